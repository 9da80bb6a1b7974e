/* SPDX-License-Identifier: MIT */
/* write_priv.h - what the two parts of the writer share: blocks and records; events of tracks. */
#ifndef VZ_VIEWER_WRITE_PRIV_H
#define VZ_VIEWER_WRITE_PRIV_H

#include "viewer/import/encode.h"
#include "viewer/import/write.h"

enum {
	FIRST = 64,
	EVENTS_PER_PUT = 2, /* a loss and its number */
	MAX_EVENTS = 2 * VZ_BLOCK_MAX_CALLS,
	HELD_MAX = 16 << 20,   /* bytes of events that wait in all tracks together */
	BLOCK_BYTES = 1 << 20, /* other blocks are written when they have so much */
	MAX_SAMPLES = 1 << 14,
	NAME_MAX_BYTES = UINT16_MAX,
	VARINT_MAX = 10,
};

/* Bytes that wait for a block. */
struct bytes {
	uint8_t *p;
	size_t n, cap;
	uint32_t records;
};

struct sample {
	uint64_t ns;
	double value;
};

struct vz_writer_track {
	struct vz_writer *w;
	struct vz_writer_track *next, *previous;
	uint32_t id;
	struct vz_pack_event *events;
	uint32_t n, cap, entries_here;
	struct vz_pack_frame *stack, *base; /* now, and where the waiting events begin */
	uint32_t depth, stack_cap, base_depth, base_cap;
	uint64_t ns;
	uint64_t entries;
	struct bytes args;
	uint64_t args_first, args_last;
	struct sample *samples;
	uint32_t nsamples;
};

struct vz_writer {
	int fd, error;
	uint64_t bytes;
	uint32_t seq;
	struct vz_pack *pack;
	struct vz_index_entry *index; /* of the blocks since the last index block */
	uint32_t nindex;
	uint64_t last_index;
	struct bytes facts, functions, track_records;
	struct vz_writer_track *tracks;
	uint64_t start_ns, calls, lost;
	uint32_t ntracks, nfunctions;
	size_t held;
};

/** The first error sticks. */
void vz_writer_fail(struct vz_writer *w, int rc);
/** Append a block; HEAD holds all but what concerns the file.  Returns its offset. */
uint64_t vz_writer_put_block(struct vz_writer *w, struct vz_block *head, const uint8_t *payload);
/** What defines functions and tracks goes before the events of them. */
void vz_writer_flush_records(struct vz_writer *w);
void vz_writer_flush_events(struct vz_writer_track *t);
/** Give back the room of events that were written. */
void vz_writer_free_events(struct vz_writer_track *t);

#endif /* VZ_VIEWER_WRITE_PRIV_H */
