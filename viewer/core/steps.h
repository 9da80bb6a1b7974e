/* SPDX-License-Identifier: MIT */
/*
 * steps.h - goes through the events of a track, one block at a time, with the stack.
 *
 * Owns one stack for each line (a track) and nothing else that grows.  Blocks are
 * handed in, in order of time, by whoever has them: a file (viewer/walk.c) or
 * memory, where they may come one by one.  What a visitor sees nests properly
 * whatever happened to the trace: each frame is entered once and left once, in
 * order, also where blocks are missing and where the recording ended.
 *
 * Freestanding: see viewer/core/format.h for what compiles to WebAssembly.
 */
#ifndef VZ_VIEWER_CORE_STEPS_H
#define VZ_VIEWER_CORE_STEPS_H

#include <stdbool.h>

#include "viewer/core/decode.h"

/* How a visitor sees a frame end, beyond enum vz_leave. */
enum {
	VZ_LEFT_GAP =
		4, /* in a part of the trace that cannot be read; the time is an upper bound */
	VZ_LEFT_OPEN = 5, /* not at all: it was on the stack when the track ended */
	VZ_LEFT_KINDS = 6,
};

#define VZ_NO_ENTRY (UINT64_C(1) << 63) /* this and above: it is not known which one it is */

struct vz_visit {
	uint32_t place; /* of the track, see vz_reader_track() */
	const struct vz_open_frame *stack;
	uint32_t depth; /* frame in question: stack[depth - 1] */
	uint64_t ns;   /* begin: not later than anything that follows; never runs back on a track */
	uint8_t how;   /* leave: enum vz_leave or VZ_LEFT_ */
	uint64_t lost; /* lost: records; 0: blocks of the file are unreadable or missing here */
	uint64_t entry; /* enter: its number among the entries of the track, see VZ_NO_ENTRY */
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

/* What is kept of a track between its blocks.  All 0 but .place is one that begins. */
struct vz_line {
	uint32_t place;
	struct vz_open_frame *stack;
	uint32_t depth, cap;
	uint64_t ns; /* of the last event */
	bool holed;  /* a block since then could not be read; may be set by the caller */
};

/* One block at a time, of any line. */
struct vz_steps {
	const struct vz_visitor *visitor;
	void *ctx;
	uint64_t until_ns; /* leave out what is later; 0: nothing */
	struct vz_decoder *decoder;
	size_t frames; /* room in all lines */
	/* of the block that is open */
	struct vz_line *line;
	uint32_t same;    /* frames at the bottom that its stack and the line's share */
	uint64_t from_ns; /* first thing that it tells: a frame entered in a hole before it, or */
	uint64_t t0_ns;   /* its first event */
	uint64_t entry; /* number of its first entry; the caller may set it before vz_steps_events()
			 */
};

enum {
	VZ_STEPS_NONSENSE = 1, /* the block is not what it claims to be */
};

/** 0 or -ENOMEM.  VISITOR stays the caller's.  Finish with vz_steps_fini(). */
int vz_steps_init(struct vz_steps *s, const struct vz_visitor *visitor, void *ctx);
void vz_steps_fini(struct vz_steps *s);

/**
 * Begin with the next block of LINE; RAW stays until vz_steps_events() is done.  The visitor is
 * told nothing yet.  0, VZ_STEPS_NONSENSE: this block is left out and the line has a hole, -ENOMEM.
 */
int vz_steps_open(struct vz_steps *s, struct vz_line *line, const struct vz_block *head,
		  const uint8_t *raw);
/**
 * Tell what is in it.  0, VZ_STEPS_NONSENSE: from some event on, which is a hole, -ENOMEM, or
 * what the visitor returned.
 */
int vz_steps_events(struct vz_steps *s);
/** The track ended at END_NS: what is on its stack ends as VZ_LEFT_OPEN. */
int vz_steps_close(struct vz_steps *s, struct vz_line *line, uint64_t end_ns);
/** Forget the stack. */
void vz_line_fini(struct vz_steps *s, struct vz_line *line);

#endif /* VZ_VIEWER_CORE_STEPS_H */
