/* SPDX-License-Identifier: MIT */
/*
 * walk.h - goes through the events of a trace, block by block, with the stacks.
 *
 * Owns one stack for each track and nothing else that grows, so that a trace
 * larger than memory can be walked.  What a visitor sees nests properly
 * whatever happened to the file: each frame is entered once and left once, in
 * order, also where blocks are missing and where the recording ended.
 */
#ifndef VZ_VIEWER_WALK_H
#define VZ_VIEWER_WALK_H

#include "viewer/decode.h"
#include "viewer/reader.h"

/* How a visitor sees a frame end, beyond enum vz_leave. */
enum {
	VZ_LEFT_GAP =
		4, /* in a part of the trace that cannot be read; the time is an upper bound */
	VZ_LEFT_OPEN = 5, /* not at all: it was on the stack when the track ended */
	VZ_LEFT_KINDS = 6,
};

struct vz_visit {
	uint32_t place; /* of the track, see vz_reader_track() */
	const struct vz_open_frame *stack;
	uint32_t depth; /* frame in question: stack[depth - 1] */
	uint64_t ns;   /* begin: not later than anything that follows; never runs back on a track */
	uint8_t how;   /* leave: enum vz_leave or VZ_LEFT_ */
	uint64_t lost; /* lost: records; 0: blocks of the file are unreadable or missing here */
};

/* Each member is optional; a result below 0 ends the walk and is returned by it. */
struct vz_visitor {
	/** Events of this track follow; the stack before the first. */
	int (*begin)(void *ctx, const struct vz_visit *at);
	/** The frame was just entered and is on top; .begin_ns is when. */
	int (*enter)(void *ctx, const struct vz_visit *at);
	/** The frame on top ends. Its .child_ns is complete. */
	int (*leave)(void *ctx, const struct vz_visit *at);
	int (*lost)(void *ctx, const struct vz_visit *at);
	/** Other tracks may follow; the stack after the last event. */
	int (*end)(void *ctx, const struct vz_visit *at);
};

enum {
	VZ_ALL_TRACKS = UINT32_MAX,
};

struct vz_walk_limits {
	uint32_t place;    /* only this track, or VZ_ALL_TRACKS */
	uint64_t until_ns; /* leave out what is later; 0: nothing */
	/* The blocks of .place, for who walks track by track; NULL: they are looked for. */
	const uint32_t *blocks;
	uint32_t nblocks;
};

/** Walk in order of the file.  0, -ENOMEM, or what the visitor returned.  Unreadable blocks are no
 * error. */
int vz_walk(struct vz_reader *r, const struct vz_walk_limits *limits,
	    const struct vz_visitor *visitor, void *ctx);

#endif /* VZ_VIEWER_WALK_H */
