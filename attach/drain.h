/* SPDX-License-Identifier: MIT */
/*
 * drain.h - the consumer of the arena.
 *
 * Copies events out, checks every word, pairs exits with entries, hands them
 * to the trace file, gives chunks back.  The target can scribble on the arena
 * at any time: each word is read once, each index and size is checked, the work
 * of one poll is bounded.  Garbage can make the trace wrong, never the tool.
 *
 * Memory, whatever is in the arena: 128 MiB for stacks, 64 MiB for snapshots of
 * stacks, 32 MiB for events that wait, 160 MiB to encode a block of the deepest stack
 * that is followed, 64 MiB for tables and timelines.  Ordinary programs need a tenth.
 */
#ifndef VZ_ATTACH_DRAIN_H
#define VZ_ATTACH_DRAIN_H

#include <stdbool.h>

#include "attach/clock.h"
#include "attach/tracefile.h"

/* The arena as mapped here, and what we told the agent about it. */
struct vz_arena {
	uint8_t *at;
	uint64_t bytes;
	uint32_t nslots, nchunks, nreturns;
	uint64_t slots_offset, returns_offset, chunks_offset;
};

/** Lay out an arena of at most BYTES; -EINVAL if that is too little for one thread. */
int vz_arena_plan(uint64_t bytes, struct vz_arena *ret);

struct vz_drain_totals {
	uint64_t events;            /* entries and exits */
	uint64_t lost;              /* dropped by the target: the ring was full */
	uint64_t orphan_exits;      /* exits of frames whose entry nobody saw */
	uint64_t unseen_exits;      /* frames that were gone when their caller left */
	uint64_t open_frames;       /* on stacks at the attach */
	uint64_t unknown_functions; /* events whose function has no definition */
	uint64_t damaged;           /* slots given up because the arena was garbled */
	uint32_t threads, stacks;   /* timelines: of threads; of further Python stacks */
	uint32_t functions;
};

struct vz_drain;

/* Called for each new thread: fill in its id outside and a name ("" if unknown). */
typedef void (*vz_drain_thread_fn)(void *context, uint32_t ns_tid, pid_t *tid, char *name,
				   size_t name_size);

/** Read ARENA into TF with times by CLOCK; all stay the caller's.  Free with vz_drain_free(). */
int vz_drain_new(const struct vz_arena *arena, struct vz_tracefile *tf,
		 const struct vz_clock_map *clock, vz_drain_thread_fn describe, void *context,
		 struct vz_drain **ret);
/**
 * Take what is there; after a tenth of a second the rest is left for the next call.
 * Returns the number of words taken.
 */
uint64_t vz_drain_poll(struct vz_drain *drain);
/** No more will come: end all timelines at NS. */
void vz_drain_finish(struct vz_drain *drain, uint64_t ns);
void vz_drain_totals(const struct vz_drain *drain, struct vz_drain_totals *ret);
void vz_drain_free(struct vz_drain *drain);

#endif /* VZ_ATTACH_DRAIN_H */
