/* SPDX-License-Identifier: MIT */
/*
 * calltree.h - who called whom, for how long: one tree of call paths for each track.
 *
 * Rules
 *   - a node is a call path; a function that calls itself directly stays in its node,
 *     so that total = self + totals of the children + other, exactly;
 *   - each stay counts, as in stats.h, and frames not seen whole count as there;
 *   - not more than a given number of paths is kept.  What is called beyond them is
 *     counted in .other_ns of the last path that is kept, and in all in .left_calls.
 */
#ifndef VZ_VIEWER_CALLTREE_H
#define VZ_VIEWER_CALLTREE_H

#include "viewer/reader.h"

enum {
	VZ_NO_NODE = UINT32_MAX,
	VZ_CALLTREE_PATHS = 1 << 20, /* about 100 MiB */
};

struct vz_call_node {
	uint32_t function; /* VZ_NO_NODE: root of a track */
	uint32_t parent;   /* VZ_NO_NODE: of a root */
	uint32_t first;    /* child with the most time, or VZ_NO_NODE */
	uint32_t next;     /* sibling with less */
	uint32_t depth;    /* 0: root */
	uint32_t active;   /* while counting: frames on the stack */
	uint32_t nested;   /* most frames at once; above 1: it called itself */
	uint64_t calls;
	uint64_t resumes;
	uint64_t total_ns;
	uint64_t self_ns;
	uint64_t other_ns; /* in paths that were not kept */
	uint64_t lost;     /* records, while it was on top */
	uint64_t holes;    /* places that cannot be read */
	uint64_t open;
	uint64_t unseen;
};

struct vz_call_track {
	uint32_t current; /* while counting: node on top */
	uint64_t skipped; /* while counting: frames above it that have none */
	uint64_t calls;
	uint64_t resumes;
	uint64_t lost;
	uint64_t holes;
};

struct vz_calltree {
	struct vz_call_node *nodes; /* the first .ntracks are roots, by place */
	uint32_t nnodes, cap, max;
	struct vz_call_track *tracks;
	uint32_t ntracks;
	uint32_t *slots; /* while counting: hash table of nodes by parent and function */
	uint32_t nslots;
	uint64_t left_calls; /* entries whose path was not kept */
	uint64_t left_ns;
};

/** Count all of R, keeping at most MAX_PATHS.  0 or -ENOMEM; finish with vz_calltree_fini(). */
int vz_calltree_init(struct vz_calltree *t, struct vz_reader *r, uint32_t max_paths);
void vz_calltree_fini(struct vz_calltree *t);

#endif /* VZ_VIEWER_CALLTREE_H */
