/* SPDX-License-Identifier: MIT */
/*
 * select.h - a part of a trace: a range of time, some threads, some functions with what they call.
 *
 * A walk with a selection tells what a recording of that part alone would hold: a frame
 * that was on the stack when the range begins is open from there on, one that is there
 * when it ends has not ended.  Blocks that hold nothing of it are not even read.
 */
#ifndef VZ_VIEWER_SELECT_H
#define VZ_VIEWER_SELECT_H

#include "viewer/trouble.h"
#include "viewer/walk.h"

struct vz_select {
	uint64_t from_ns, until_ns; /* of the clock of the trace; 0: from its begin, to its end */
	const char *thread;         /* a part of the title of the track; NULL: all */
	const char *function;       /* a part of the name; NULL: all */
};

/** Is anything left out at all? */
bool vz_select_any(const struct vz_select *select);
/** 0; -EINVAL and words if no thread or no function is meant, or the range is empty. */
int vz_select_check(const struct vz_select *select, const struct vz_reader *r,
		    struct vz_trouble *trouble);
/** Is the track at PLACE wanted? */
bool vz_select_track(const struct vz_select *select, const struct vz_reader *r, uint32_t place);
/** Does the name of function ID, as vz_export_name() makes it, hold what is wanted? */
bool vz_select_function(const struct vz_select *select, const struct vz_reader *r, uint32_t id);
/**
 * For each block of events 1 if it has to be read; free() it.  NULL: no memory.  Functions do
 * not matter here: any block may call them.
 */
uint8_t *vz_select_blocks(const struct vz_select *select, const struct vz_reader *r);

/** vz_walk() does this if its limits have a selection. */
int vz_select_walk(struct vz_reader *r, const struct vz_walk_limits *limits,
		   const struct vz_visitor *visitor, void *ctx);

#endif /* VZ_VIEWER_SELECT_H */
