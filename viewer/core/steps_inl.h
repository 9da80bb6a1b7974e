/* SPDX-License-Identifier: MIT */
/*
 * steps_inl.h - the inner loop of the steps, for a visitor that is known when it is compiled.
 *
 * The same as vz_steps_events(), but what the visitor does may be compiled into the loop.
 */
#ifndef VZ_VIEWER_CORE_STEPS_INL_H
#define VZ_VIEWER_CORE_STEPS_INL_H

#include "viewer/core/decode_inl.h"
#include "viewer/core/steps.h"

/* ---- steps.c: before and after ---- */

int vz_steps_resume(struct vz_steps *s, struct vz_visit *at);
int vz_steps_save(struct vz_steps *s, uint64_t ns);

/* ---- the loop ---- */

static inline __attribute__((always_inline)) int
vz_steps_tell(int (*what)(void *, const struct vz_visit *), const struct vz_steps *s,
	      const struct vz_visit *at)
{
	return what ? what(s->ctx, at) : 0;
}

/* The frame on top ends: its time is its parent's child time. */
static inline __attribute__((always_inline)) int
vz_steps_pop(const struct vz_steps *s, const struct vz_visitor *visitor, struct vz_visit *at,
	     struct vz_open_frame *stack, uint32_t *depth)
{
	const struct vz_open_frame *top = &stack[*depth - 1];
	int rc;

	at->stack = stack;
	at->depth = *depth;
	rc = vz_steps_tell(visitor->leave, s, at);
	if (*depth > 1)
		stack[*depth - 2].child_ns += at->ns - top->begin_ns;
	--*depth;
	return rc;
}

static inline __attribute__((always_inline)) int vz_steps_event(const struct vz_steps *s,
								const struct vz_visitor *visitor,
								struct vz_visit *at,
								const struct vz_event *event)
{
	struct vz_decoder *d = s->decoder;
	int rc;

	at->ns = event->ns;
	if (event->kind == VZ_EVENT_LEAVE) {
		at->how = event->leave;
		return vz_steps_pop(s, visitor, at, d->stack, &d->depth);
	}
	if (event->kind == VZ_EVENT_ENTER) {
		rc = vz_decoder_push(d, event->symbol, event->ns);
		if (rc < 0)
			return rc;
	}
	at->stack = d->stack;
	at->depth = d->depth;
	if (event->kind == VZ_EVENT_ENTER) {
		rc = vz_steps_tell(visitor->enter, s, at);
		at->entry++;
		return rc;
	}
	at->lost = event->lost;
	return vz_steps_tell(visitor->lost, s, at);
}

/** See vz_steps_events(); VISITOR is that of S. */
static inline __attribute__((always_inline)) int vz_steps_play(struct vz_steps *s,
							       const struct vz_visitor *visitor)
{
	struct vz_line *line = s->line;
	struct vz_visit at = {
		.place = line->place,
		.stack = line->stack,
		.depth = line->depth,
		.ns = line->ns,
	};
	int rc = vz_steps_tell(visitor->begin, s, &at), told, done = 0;
	struct vz_event event = { 0 };

	if (rc == 0)
		rc = vz_steps_resume(s, &at);
	if (rc < 0)
		return rc;
	at.entry = s->entry;
	while ((rc = vz_decoder_step(s->decoder, &event)) == 1) {
		if (VZ_UNLIKELY(s->until_ns) && event.ns > s->until_ns) {
			rc = 0;
			break;
		}
		told = vz_steps_event(s, visitor, &at, &event);
		if (VZ_UNLIKELY(told < 0))
			return told;
	}
	if (rc == -EBADMSG) {
		line->holed = true;
		done = VZ_STEPS_NONSENSE;
		rc = 0;
	}
	if (rc == 0)
		rc = vz_steps_save(s, at.ns);
	if (rc < 0)
		return rc;
	at.stack = line->stack;
	at.depth = line->depth;
	rc = vz_steps_tell(visitor->end, s, &at);
	return rc < 0 ? rc : done;
}

#endif /* VZ_VIEWER_CORE_STEPS_INL_H */
