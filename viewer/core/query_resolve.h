/* SPDX-License-Identifier: MIT */
/*
 * query_resolve.h - finds the ends of calls that one block does not tell.
 *
 * A call of VZI_FINE_NS or more, or that ended in a gap or not at all, is in SLICES; a
 * shorter one ends in a block soon after.
 */
#ifndef VZ_VIEWER_CORE_QUERY_RESOLVE_H
#define VZ_VIEWER_CORE_QUERY_RESOLVE_H

#include "viewer/core/query_core.h"

enum {
	VZQ_UNRESOLVED = -1, /* .end of a slice */
	/* Tags of items; those who resolve have others. */
	VZQ_TAG_RESOLVE_BLOCK = 100,
	VZQ_TAG_RESOLVE_TILE = 101,
};

struct vzq_pending;

/* Calls that were all on one stack, bottom first. */
struct vzq_resolve {
	struct vzq *q;
	uint32_t track;
	uint32_t block;           /* at the end of which those that are open are known to be so */
	struct vzq_slice *slices; /* the caller's; those with .end == VZQ_UNRESOLVED are meant */
	uint32_t nslices;
	struct vzq_pending *pending;
	uint32_t npending;
	uint32_t unknown; /* how many were not found: the index lacks them */
};

/** The block within its track.  .slices must be valid until it is done.  -ENOMEM. */
int vzq_resolve_init(struct vzq_resolve *r, struct vzq *q, uint32_t block, struct vzq_slice *slices,
		     uint32_t nslices);
void vzq_resolve_fini(struct vzq_resolve *r);
/** Plan what is needed next; when it plans nothing all is resolved as far as it can be. */
int vzq_resolve_plan(struct vzq_resolve *r, struct vzq_job *job);
int vzq_resolve_take(struct vzq_resolve *r, const struct vzq_item *item, const uint8_t *p,
		     size_t n);

#endif /* VZ_VIEWER_CORE_QUERY_RESOLVE_H */
