/* SPDX-License-Identifier: MIT */
#include "viewer/core/query_locate.h"

#include <errno.h>
#include <stdlib.h>

enum {
	ENTRY_MASK = (1 << VZ_SYMBOL_SHIFT) - 1,
};

struct vzq_slice vzq_slice_of(const struct vzq *q, uint32_t track,
			      const struct vz_open_frame *frame, uint32_t depth)
{
	return (struct vzq_slice){
		.start = (double)vzq_since(q, frame->begin_ns),
		.end = VZQ_UNRESOLVED,
		.track = track,
		.depth = depth,
		.fn = frame->symbol >> VZ_SYMBOL_SHIFT,
		.how = frame->symbol & ENTRY_MASK,
	};
}

void vzq_slice_end(const struct vzq *q, struct vzq_slice *s, const struct vz_visit *at)
{
	s->end = (double)vzq_since(q, at->ns);
	s->how |= (uint32_t)at->how << VZI_HOW_LEAVE_SHIFT;
}

void vzq_locate_init(struct vzq_locate *l, struct vzq *q, const struct vzq_ref *ref)
{
	*l = (struct vzq_locate){
		.q = q,
		.track = ref->track,
		.depth = ref->depth,
		.fn = ref->fn,
		.start = vzq_ns(ref->start),
		.block = VZQ_NO_BLOCK,
		.over = ref->track >= q->head->ntracks || (double)vzq_ns(ref->start) > ref->start,
	};
}

void vzq_locate_fini(struct vzq_locate *l)
{
	free(l->stack);
	l->stack = NULL;
}

int vzq_locate_plan(struct vzq_locate *l, struct vzq_job *job)
{
	struct vzq_item item = { .kind = VZQ_WANT_BLOCK, .tag = VZQ_TAG_LOCATE };
	uint32_t before;

	if (l->found || l->over)
		return 0;
	if (l->block == VZQ_NO_BLOCK) {
		l->block = vzq_block_at(l->q, l->track, l->start);
	} else {
		/* Events at the very time at which a block begins may be in the one before. */
		before = vzq_readable_before(l->q, l->track, l->block);
		l->block =
			before != VZQ_NO_BLOCK && vzq_last_event(l->q, l->track, before) >= l->start
				? before
				: VZQ_NO_BLOCK;
	}
	l->over = l->block == VZQ_NO_BLOCK;
	if (l->over)
		return 0;
	item.id = l->q->tracks[l->track].first_block + l->block;
	item.arg = l->block;
	return vzq_job_plan(job, &item);
}

int vzq_locate_enter(struct vzq_locate *l, const struct vz_visit *at)
{
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];

	if (l->found || at->depth - 1 != l->depth || frame->symbol >> VZ_SYMBOL_SHIFT != l->fn ||
	    vzq_since(l->q, frame->begin_ns) != l->start)
		return 0;
	free(l->stack);
	l->stack = malloc(at->depth * sizeof(*l->stack));
	if (!l->stack)
		return -ENOMEM;
	for (uint32_t i = 0; i < at->depth; i++)
		l->stack[i] = vzq_slice_of(l->q, l->track, &at->stack[i], i);
	l->found = true;
	return 0;
}

/* Calls nest: the first one that is left at a depth is the one on the stack. */
void vzq_locate_leave(struct vzq_locate *l, const struct vz_visit *at)
{
	if (l->found && at->depth - 1 <= l->depth && l->stack[at->depth - 1].end < 0)
		vzq_slice_end(l->q, &l->stack[at->depth - 1], at);
}
