/* SPDX-License-Identifier: MIT */
/*
 * build.h - makes the index of one track, a block of events at a time.
 *
 * Owns what is under way: open runs, sums of the block, call paths; not the tiles, which
 * go to a sink as soon as they are full, nor the events, which are the caller's.  Memory
 * does not depend on the number of events.  Layouts are in format.h; which calls become
 * which records is said there and in build_runs.c (RUNS) and build_sums.c (FUNCS, PATHS).
 *
 * Blocks of a track are fed in order of time, all of them, also those that cannot be read.
 */
#ifndef VZ_VIEWER_CORE_BUILD_H
#define VZ_VIEWER_CORE_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "payload/wire.h"
#include "viewer/core/format.h"

struct vz_build;

struct vz_build_sink {
	/** Take TILE, all but its offset, and its bytes, which are gone afterwards; below 0 ends
	 * it. */
	int (*tile)(void *ctx, const struct vzi_tile *tile, const uint8_t *bytes);
	void *ctx;
};

struct vz_build_options {
	uint32_t track;        /* number in the directory */
	uint32_t place, flags; /* for its row */
	uint64_t zero_ns;      /* of the clock of the trace: what is before it counts as 0 */
	uint64_t duration_ns;  /* of the trace, for the density */
	uint64_t begin_ns;     /* of the track, on the clock of the trace */
	uint64_t end_ns;       /* 0: not known, it is that of the last event then */
	struct vz_build_sink sink;
};

/** 0 or -ENOMEM.  Free with vz_build_free(). */
int vz_build_new(const struct vz_build_options *options, struct vz_build **ret);
void vz_build_free(struct vz_build *b);

/**
 * Feed a block of events: its NUMBER (see vz_reader_block()), its header, its RAW payload, or NULL
 * if it cannot be read; HEAD is then what is known of it.  What makes no sense in it becomes a
 * hole. 0, -ENOMEM, or what the sink returned.
 */
int vz_build_block(struct vz_build *b, uint32_t number, const struct vz_block *head,
		   const uint8_t *raw);
/** Feed a block of VZ_BLOCK_SAMPLES.  The same; what makes no sense is left out. */
int vz_build_samples(struct vz_build *b, const struct vz_block *head, const uint8_t *raw);
/** No more follows: the rest goes to the sink. */
int vz_build_end(struct vz_build *b);

/** After vz_build_end(): rows for the directory; .first_tile, .ntiles, .first_block are 0. */
const struct vzi_track *vz_build_track(const struct vz_build *b);
const struct vzi_block *vz_build_blocks(const struct vz_build *b, uint32_t *n);
/** VZI_DENSITY buckets. */
const uint32_t *vz_build_density(const struct vz_build *b);

#endif /* VZ_VIEWER_CORE_BUILD_H */
