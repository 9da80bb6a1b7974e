/* SPDX-License-Identifier: MIT */
/*
 * stats.h - how often and how long each function ran, in all threads or one.
 *
 * Rules
 *   - total: time while at least one frame of the function was on the stack of a
 *     track, so recursion is not counted twice; self: time on top of the stack;
 *   - each stay counts, so a generator's time is the sum from entry to yield;
 *   - a frame that was there before the recording counts from its begin, one that
 *     never ended up to the end; both are counted in .open, as their time is a part;
 *   - a frame whose end was not seen counts up to the time when it was known to be
 *     gone, and is counted in .unseen.
 */
#ifndef VZ_VIEWER_STATS_H
#define VZ_VIEWER_STATS_H

#include "viewer/reader.h"
#include "viewer/walk.h"

struct vz_function_stats {
	uint32_t function;
	uint32_t active; /* while counting: frames on the stack in question */
	uint64_t calls;
	uint64_t resumes; /* entries of generators and coroutines after the first */
	uint64_t total_ns;
	uint64_t self_ns;
	uint64_t min_ns,
		max_ns;  /* of one stay that was seen from begin to end; min > max: none was */
	uint64_t raised; /* left by an exception */
	uint64_t open;
	uint64_t unseen;
};

struct vz_track_stats {
	uint64_t calls;
	uint64_t resumes;
	uint64_t lost;    /* records dropped while recording */
	uint64_t holes;   /* places where blocks are missing or unreadable */
	uint64_t busy_ns; /* with a frame on the stack */
	uint32_t max_depth;
};

struct vz_stats {
	struct vz_function_stats *functions; /* only those that occur, see vz_stats_sort() */
	uint32_t nfunctions;
	struct vz_track_stats *tracks; /* for each place */
	uint32_t ntracks;
	struct vz_track_stats all;
};

enum vz_stats_order {
	VZ_ORDER_SELF = 0,
	VZ_ORDER_TOTAL = 1,
	VZ_ORDER_CALLS = 2,
};

/* Told of each stay that was seen from begin to end; a result below 0 ends the count. */
struct vz_stats_hook {
	int (*stay)(void *ctx, uint32_t function, uint64_t self_ns);
	void *ctx;
};

/** Count track PLACE, or VZ_ALL_TRACKS.  0 or -ENOMEM; finish with vz_stats_fini(). */
int vz_stats_init(struct vz_stats *s, struct vz_reader *r, uint32_t place);
/** The same for what LIMITS leave. */
int vz_stats_within(struct vz_stats *s, struct vz_reader *r, const struct vz_walk_limits *limits);
/** The same as vz_stats_init(), and tell HOOK. */
int vz_stats_init_hooked(struct vz_stats *s, struct vz_reader *r, uint32_t place,
			 const struct vz_stats_hook *hook);
/** Greatest first; equals by name. */
void vz_stats_sort(struct vz_stats *s, const struct vz_reader *r, enum vz_stats_order order);
void vz_stats_fini(struct vz_stats *s);

#endif /* VZ_VIEWER_STATS_H */
