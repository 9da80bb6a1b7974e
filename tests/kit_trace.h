/* SPDX-License-Identifier: MIT */
/*
 * kit_trace.h - writes traces for tests and remembers what it wrote.
 *
 * Everything goes through attach/tracefile.h; what comes back is compared with
 * the memory of the kit, never with another result of the code under test.
 */
#ifndef VZ_TESTS_KIT_TRACE_H
#define VZ_TESTS_KIT_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attach/tracefile.h"
#include "viewer/reader.h"

enum kit_kind {
	KIT_ENTER,
	KIT_LEAVE,
	KIT_LOST,
};

struct kit_event {
	enum kit_kind kind;
	uint8_t how;
	uint32_t function; /* LEAVE: the one that is left */
	uint32_t depth;    /* of the frame, from 1 */
	uint64_t begin_ns; /* LEAVE: of the frame */
	uint64_t ns;
	uint64_t lost;
};

struct kit_frame {
	uint32_t function, how;
	uint64_t begin_ns;
};

struct kit;

struct kit_track {
	struct kit *kit;
	struct vz_track *track;
	struct kit_event *events;
	size_t n, cap;
	struct kit_frame *stack;
	uint32_t depth, stack_cap;
	uint64_t ns;
	bool ended;
	uint64_t end_ns;
};

struct kit {
	int fd;
	struct vz_tracefile *tf;
	struct kit_track **tracks;
	uint32_t ntracks;
	uint32_t nfunctions;
	uint64_t end_ns;
	uint64_t seed;
};

enum {
	KIT_PID = 4242,
	KIT_START_NS = 5000,
};
#define KIT_UNIX_NS UINT64_C(1700000000123456789)

/** A trace in memory with functions 0 .. NFUNCTIONS - 1, each third one in C. */
struct kit *kit_new(uint32_t nfunctions, uint64_t seed);
void kit_free(struct kit *kit);
uint64_t kit_random(struct kit *kit, uint64_t below);

struct kit_track *kit_track(struct kit *kit, uint32_t tid, uint64_t stack_key);
void kit_enter(struct kit_track *t, uint32_t function, enum vz_entry how, uint64_t ns);
void kit_leave(struct kit_track *t, enum vz_leave how, uint64_t ns);
void kit_lost(struct kit_track *t, uint64_t n, uint64_t ns);
void kit_end(struct kit_track *t, uint64_t ns);

/** N random steps on T: calls, generators, exceptions, deep recursion, long waits, losses. */
void kit_steps(struct kit_track *t, size_t n);

/** Write the end of the file. */
void kit_finish(struct kit *kit);
/** The file so far; free() it. */
uint8_t *kit_bytes(const struct kit *kit, size_t *bytes);

/** Text that vz_reader_function() must give for this function. */
void kit_function_name(uint32_t id, char *buf, size_t size);

/** NULL if R holds exactly the events of KIT, else what differs first. */
const char *kit_compare_all(const struct kit *kit, struct vz_reader *r);
/**
 * NULL if all that R holds of a damaged file happened so in KIT, else what differs.
 * Needs times that differ within each track.  SEEN: events that were there.
 */
const char *kit_compare_part(const struct kit *kit, struct vz_reader *r, size_t *seen);

#endif /* VZ_TESTS_KIT_TRACE_H */
