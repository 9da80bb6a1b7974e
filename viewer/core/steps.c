/* SPDX-License-Identifier: MIT */
#include "viewer/core/steps_inl.h"

#include <stdlib.h>
#include <string.h>

enum {
	MAX_FRAMES = 32 << 20, /* of all lines: a small file can unpack to any number */
	KEEP_FRAMES = 1 << 10, /* a line does not keep more than it needs */
};

int vz_steps_init(struct vz_steps *s, const struct vz_visitor *visitor, void *ctx)
{
	*s = (struct vz_steps){
		.visitor = visitor,
		.ctx = ctx,
		.decoder = vz_decoder_new(),
	};
	return s->decoder ? 0 : -ENOMEM;
}

void vz_steps_fini(struct vz_steps *s)
{
	vz_decoder_free(s->decoder);
	s->decoder = NULL;
}

void vz_line_fini(struct vz_steps *s, struct vz_line *line)
{
	s->frames -= line->cap;
	free(line->stack);
	line->stack = NULL;
	line->depth = line->cap = 0;
}

static int set_room(struct vz_steps *s, struct vz_line *line, uint32_t cap)
{
	struct vz_open_frame *other;

	if (cap > line->cap && s->frames + (cap - line->cap) > MAX_FRAMES)
		return -ENOMEM;
	other = realloc(line->stack, cap * sizeof(*other));
	if (!other)
		return -ENOMEM;
	s->frames += cap;
	s->frames -= line->cap;
	line->stack = other;
	line->cap = cap;
	return 0;
}

static int have_room(struct vz_steps *s, struct vz_line *line, uint32_t depth)
{
	uint32_t cap = line->cap ? line->cap : 8;

	if (depth <= line->cap)
		return 0;
	while (cap < depth)
		cap *= 2;
	return set_room(s, line, cap);
}

/* Frames that both stacks share, from the bottom. */
static uint32_t shared(const struct vz_line *line, const struct vz_open_frame *stack,
		       uint32_t depth)
{
	uint32_t n = 0;

	while (n < depth && n < line->depth && stack[n].symbol == line->stack[n].symbol &&
	       stack[n].begin_ns == line->stack[n].begin_ns)
		n++;
	return n;
}

static int report_hole(const struct vz_steps *s, struct vz_visit *at, struct vz_line *line)
{
	at->stack = line->stack;
	at->depth = line->depth;
	at->lost = 0;
	at->ns = line->ns;
	line->holed = false;
	return vz_steps_tell(s->visitor->lost, s, at);
}

/* Time of the first thing that a block tells. */
static uint64_t first_ns(const struct vz_open_frame *stack, uint32_t depth, uint32_t same,
			 uint64_t t0_ns)
{
	return same < depth ? stack[same].begin_ns : t0_ns;
}

/* Time must not run backwards. */
int vz_steps_open(struct vz_steps *s, struct vz_line *line, const struct vz_block *head,
		  const uint8_t *raw)
{
	const struct vz_open_frame *stack;
	uint32_t depth;
	int rc = vz_decoder_open(s->decoder, head, raw);

	if (rc == 0) {
		stack = vz_decoder_stack(s->decoder, &depth);
		if (!line->ns)
			line->ns = first_ns(stack, depth, 0, head->t0_ns);
		s->line = line;
		s->same = shared(line, stack, depth);
		s->t0_ns = head->t0_ns;
		s->from_ns = first_ns(stack, depth, s->same, head->t0_ns);
		if (s->from_ns < line->ns)
			rc = -EBADMSG;
	}
	if (rc == -EBADMSG)
		line->holed = true;
	return rc == -EBADMSG ? VZ_STEPS_NONSENSE : rc;
}

/*
 * Make the line's stack that on which the block begins.  They differ only where a
 * block before is missing: frames that are new were entered in the hole, and the
 * block says when; frames that are gone had left before the first new one began.
 */
int vz_steps_resume(struct vz_steps *s, struct vz_visit *at)
{
	struct vz_line *line = s->line;
	uint32_t depth, same = s->same;
	struct vz_open_frame *stack = vz_decoder_stack(s->decoder, &depth);
	int rc = have_room(s, line, depth);

	if (rc < 0)
		return rc;
	if (line->holed || same < line->depth || same < depth)
		rc = report_hole(s, at, line);
	at->ns = s->from_ns;
	at->how = VZ_LEFT_GAP;
	while (rc == 0 && line->depth > same)
		rc = vz_steps_pop(s, s->visitor, at, line->stack, &line->depth);
	for (uint32_t i = 0; i < same; i++)
		stack[i].child_ns = line->stack[i].child_ns;
	while (rc == 0 && line->depth < depth) {
		line->stack[line->depth] = stack[line->depth];
		at->ns = stack[line->depth].begin_ns;
		at->stack = line->stack;
		at->depth = ++line->depth;
		at->entry = VZ_NO_ENTRY;
		rc = vz_steps_tell(s->visitor->enter, s, at);
	}
	return rc;
}

int vz_steps_save(struct vz_steps *s, uint64_t ns)
{
	struct vz_line *line = s->line;
	uint32_t depth;
	const struct vz_open_frame *stack = vz_decoder_stack(s->decoder, &depth);
	int rc = have_room(s, line, depth);

	if (rc == 0 && line->cap > KEEP_FRAMES && depth < line->cap / 4)
		rc = set_room(s, line, line->cap / 2);
	if (rc < 0)
		return rc;
	if (depth)
		memcpy(line->stack, stack, depth * sizeof(*stack));
	line->depth = depth;
	line->ns = ns;
	return 0;
}

int vz_steps_events(struct vz_steps *s)
{
	return vz_steps_play(s, s->visitor);
}

int vz_steps_close(struct vz_steps *s, struct vz_line *line, uint64_t end_ns)
{
	struct vz_visit at = {
		.place = line->place,
		.stack = line->stack,
		.depth = line->depth,
		.ns = line->ns,
	};
	int rc;

	if (!line->depth && !line->holed)
		return 0;
	rc = vz_steps_tell(s->visitor->begin, s, &at);
	if (rc == 0 && line->holed)
		rc = report_hole(s, &at, line);
	at.ns = end_ns;
	if (s->until_ns && at.ns > s->until_ns)
		at.ns = s->until_ns;
	if (at.ns < line->ns)
		at.ns = line->ns;
	at.how = VZ_LEFT_OPEN;
	while (rc == 0 && line->depth)
		rc = vz_steps_pop(s, s->visitor, &at, line->stack, &line->depth);
	at.depth = 0;
	return rc < 0 ? rc : vz_steps_tell(s->visitor->end, s, &at);
}
