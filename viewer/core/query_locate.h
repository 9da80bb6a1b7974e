/* SPDX-License-Identifier: MIT */
/*
 * query_locate.h - finds a call and the stack that it is on, in the block where it begins.
 */
#ifndef VZ_VIEWER_CORE_QUERY_LOCATE_H
#define VZ_VIEWER_CORE_QUERY_LOCATE_H

#include "viewer/core/query_resolve.h"

enum {
	VZQ_TAG_LOCATE = 102,
};

struct vzq_locate {
	struct vzq *q;
	uint32_t track, depth, fn;
	uint64_t start;
	bool found;
	bool over;               /* it is not there */
	uint32_t block;          /* where it was looked for last */
	struct vzq_slice *stack; /* .depth + 1 of them; ends only as far as the block tells */
};

/** NULL reference: nothing will be found. */
void vzq_locate_init(struct vzq_locate *l, struct vzq *q, const struct vzq_ref *ref);
void vzq_locate_fini(struct vzq_locate *l);
/** Plan the block to look at; nothing: it was found or is not there. */
int vzq_locate_plan(struct vzq_locate *l, struct vzq_job *job);
/** Of the planned block, in order: tell what is entered and left. */
int vzq_locate_enter(struct vzq_locate *l, const struct vz_visit *at);
void vzq_locate_leave(struct vzq_locate *l, const struct vz_visit *at);

/** The frame as a slice whose end is not known yet. */
struct vzq_slice vzq_slice_of(const struct vzq *q, uint32_t track,
			      const struct vz_open_frame *frame, uint32_t depth);
/** It was left. */
void vzq_slice_end(const struct vzq *q, struct vzq_slice *s, const struct vz_visit *at);

#endif /* VZ_VIEWER_CORE_QUERY_LOCATE_H */
