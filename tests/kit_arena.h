/* SPDX-License-Identifier: MIT */
/*
 * kit_arena.h - an arena in plain memory and a producer for it, written from
 * wire.h alone: what the drain reads in tests was not written by the payload.
 */
#ifndef VZ_TESTS_KIT_ARENA_H
#define VZ_TESTS_KIT_ARENA_H

#include "attach/drain.h"

enum { KIT_SLOTS = 8 };

struct kit_producer {
	struct vz_chunk *chunk;
	uint32_t used;
	uint64_t seq;
};

struct kit_arena {
	struct vz_arena a;
	struct vz_control *control;
	struct vz_slot *slots;
	struct vz_chunk *chunks;
	struct kit_producer producers[KIT_SLOTS];
	uint32_t next_chunk; /* never taken so far */
	uint64_t ticks;      /* of the next event, CLOCK_MONOTONIC */
	/* where it is read into */
	int fd;
	struct vz_tracefile *tf;
	struct vz_clock_map clock;
	struct vz_drain *drain;
};

/** Shared memory, so that a child can play the target. */
struct kit_arena *kit_arena_new(uint64_t bytes);
/** Events of wire.h into a slot, chunk after chunk. */
void kit_slot_open(struct kit_arena *k, uint32_t slot, uint32_t tid);
void kit_slot_close(struct kit_arena *k, uint32_t slot);
void kit_word(struct kit_arena *k, uint32_t slot, uint64_t word);
void kit_event(struct kit_arena *k, uint32_t slot, unsigned kind, uint32_t id);
void kit_pair(struct kit_arena *k, uint32_t slot, unsigned kind, uint32_t id, uint64_t extra);
void kit_def(struct kit_arena *k, struct vz_def def, const char *name, const char *file);
/** Go on in a new chunk. */
void kit_new_chunk(struct kit_arena *k, uint32_t slot);
/** Finish, and tell what is in the trace; free() it. */
char *kit_arena_story(struct kit_arena *k, struct vz_drain_totals *totals);
void kit_arena_free(struct kit_arena *k);

#endif /* VZ_TESTS_KIT_ARENA_H */
