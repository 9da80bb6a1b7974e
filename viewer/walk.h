/* SPDX-License-Identifier: MIT */
/*
 * walk.h - goes through the events of a file, block by block, with the stacks.
 *
 * Owns one stack for each track and nothing else that grows, so that a trace
 * larger than memory can be walked.  What a visitor sees is said in core/steps.h.
 */
#ifndef VZ_VIEWER_WALK_H
#define VZ_VIEWER_WALK_H

#include "viewer/core/steps.h"
#include "viewer/reader.h"

enum {
	VZ_ALL_TRACKS = UINT32_MAX,
};

struct vz_select;

struct vz_walk_limits {
	uint32_t place;    /* only this track, or VZ_ALL_TRACKS */
	uint64_t until_ns; /* leave out what is later; 0: nothing */
	/* The blocks of .place, for who walks track by track; NULL: they are looked for. */
	const uint32_t *blocks;
	uint32_t nblocks;
	bool entries; /* tell the number of each entry, too */
	const struct vz_select *select; /* only this part, see viewer/select.h; NULL: all */
};

/** Walk in order of the file.  0, -ENOMEM, or what the visitor returned.  Unreadable blocks are no
 * error. */
int vz_walk(struct vz_reader *r, const struct vz_walk_limits *limits,
	    const struct vz_visitor *visitor, void *ctx);

#endif /* VZ_VIEWER_WALK_H */
