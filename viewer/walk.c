/* SPDX-License-Identifier: MIT */
#include "viewer/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is kept of a track between its blocks. */
struct line {
	struct vz_open_frame *stack;
	uint32_t depth, cap;
	uint64_t ns; /* of the last event */
	bool holed;  /* a block since then could not be read */
};

struct walk {
	struct vz_reader *reader;
	const struct vz_visitor *visitor;
	void *ctx;
	uint64_t until_ns;
	struct vz_decoder *decoder;
	struct line *lines;
	uint32_t first; /* track of lines[0] */
	size_t *frames; /* room in all lines */
};

static int tell(int (*what)(void *, const struct vz_visit *), const struct walk *w,
		const struct vz_visit *at)
{
	return what ? what(w->ctx, at) : 0;
}

enum {
	MAX_FRAMES = 32 << 20, /* of all tracks: a small file can unpack to any number */
	KEEP_FRAMES = 1 << 10, /* a line does not keep more than it needs */
};

static int set_room(const struct walk *w, struct line *line, uint32_t cap)
{
	struct vz_open_frame *other;

	if (cap > line->cap && *w->frames + (cap - line->cap) > MAX_FRAMES)
		return -ENOMEM;
	other = realloc(line->stack, cap * sizeof(*other));
	if (!other)
		return -ENOMEM;
	*w->frames += cap;
	*w->frames -= line->cap;
	line->stack = other;
	line->cap = cap;
	return 0;
}

static int have_room(const struct walk *w, struct line *line, uint32_t depth)
{
	uint32_t cap = line->cap ? line->cap : 8;

	if (depth <= line->cap)
		return 0;
	while (cap < depth)
		cap *= 2;
	return set_room(w, line, cap);
}

/* The frame on top ends: its time is its parent's child time. */
static int pop(const struct walk *w, struct vz_visit *at, struct vz_open_frame *stack,
	       uint32_t *depth)
{
	const struct vz_open_frame *top = &stack[*depth - 1];
	int rc;

	at->stack = stack;
	at->depth = *depth;
	rc = tell(w->visitor->leave, w, at);
	if (*depth > 1)
		stack[*depth - 2].child_ns += at->ns - top->begin_ns;
	--*depth;
	return rc;
}

/* Frames that both stacks share, from the bottom. */
static uint32_t shared(const struct line *line, const struct vz_open_frame *stack, uint32_t depth)
{
	uint32_t n = 0;

	while (n < depth && n < line->depth && stack[n].symbol == line->stack[n].symbol &&
	       stack[n].begin_ns == line->stack[n].begin_ns)
		n++;
	return n;
}

static int report_hole(const struct walk *w, struct vz_visit *at, struct line *line)
{
	at->stack = line->stack;
	at->depth = line->depth;
	at->lost = 0;
	at->ns = line->ns;
	line->holed = false;
	return tell(w->visitor->lost, w, at);
}

/* Time of the first thing that the block tells. */
static uint64_t first_ns(const struct vz_open_frame *stack, uint32_t depth, uint32_t same,
			 uint64_t t0_ns)
{
	return same < depth ? stack[same].begin_ns : t0_ns;
}

/*
 * Make the line's stack that on which the block begins.  They differ only where a
 * block before is missing: frames that are new were entered in the hole, and the
 * block says when; frames that are gone had left before the first new one began.
 */
static int resume(const struct walk *w, struct vz_visit *at, struct line *line, uint32_t same,
		  uint64_t t0_ns)
{
	uint32_t depth;
	struct vz_open_frame *stack = vz_decoder_stack(w->decoder, &depth);
	int rc = have_room(w, line, depth);

	if (rc < 0)
		return rc;
	if (line->holed || same < line->depth || same < depth)
		rc = report_hole(w, at, line);
	at->ns = first_ns(stack, depth, same, t0_ns);
	at->how = VZ_LEFT_GAP;
	while (rc == 0 && line->depth > same)
		rc = pop(w, at, line->stack, &line->depth);
	for (uint32_t i = 0; i < same; i++)
		stack[i].child_ns = line->stack[i].child_ns;
	while (rc == 0 && line->depth < depth) {
		line->stack[line->depth] = stack[line->depth];
		at->ns = stack[line->depth].begin_ns;
		at->stack = line->stack;
		at->depth = ++line->depth;
		rc = tell(w->visitor->enter, w, at);
	}
	return rc;
}

static int handle(const struct walk *w, struct vz_visit *at, const struct vz_event *event)
{
	uint32_t depth;
	struct vz_open_frame *stack;
	int rc = vz_decoder_apply(w->decoder, event);

	if (rc < 0)
		return rc;
	stack = vz_decoder_stack(w->decoder, &depth);
	at->ns = event->ns;
	if (event->kind == VZ_EVENT_LEAVE) {
		/* The decoder has dropped the frame, its slot is still as it was. */
		depth++;
		at->how = event->leave;
		return pop(w, at, stack, &depth);
	}
	at->stack = stack;
	at->depth = depth;
	if (event->kind == VZ_EVENT_ENTER)
		return tell(w->visitor->enter, w, at);
	at->lost = event->lost;
	return tell(w->visitor->lost, w, at);
}

static int save(const struct walk *w, struct line *line, uint64_t ns)
{
	uint32_t depth;
	const struct vz_open_frame *stack = vz_decoder_stack(w->decoder, &depth);
	int rc = have_room(w, line, depth);

	if (rc == 0 && line->cap > KEEP_FRAMES && depth < line->cap / 4)
		rc = set_room(w, line, line->cap / 2);
	if (rc < 0)
		return rc;
	if (depth)
		memcpy(line->stack, stack, depth * sizeof(*stack));
	line->depth = depth;
	line->ns = ns;
	return 0;
}

static int walk_events(const struct walk *w, uint32_t i, struct vz_visit *at, struct line *line)
{
	struct vz_event event;
	int rc, told = 0;

	while ((rc = vz_decoder_next(w->decoder, &event)) == 1) {
		if (w->until_ns && event.ns > w->until_ns) {
			rc = 0;
			break;
		}
		told = handle(w, at, &event);
		if (told < 0)
			break;
	}
	if (rc == -EBADMSG) {
		vz_reader_distrust(w->reader, i);
		line->holed = true;
		rc = 0;
	}
	if (told < 0)
		return told;
	return rc < 0 ? rc : save(w, line, at->ns);
}

/*
 * Load block I and find how many frames its stack shares with the line.  -EBADMSG
 * if it is damaged or time would run backwards: then it is not what it claims to be.
 */
static int open_block(const struct walk *w, uint32_t i, struct line *line, struct vz_block *head,
		      uint32_t *same)
{
	const struct vz_open_frame *stack;
	const uint8_t *raw;
	uint32_t depth;
	int rc = vz_reader_load(w->reader, i, head, &raw);

	if (rc < 0)
		return rc;
	rc = vz_decoder_open(w->decoder, head, raw);
	if (rc == 0) {
		stack = vz_decoder_stack(w->decoder, &depth);
		if (!line->ns)
			line->ns = first_ns(stack, depth, 0, head->t0_ns);
		*same = shared(line, stack, depth);
		if (first_ns(stack, depth, *same, head->t0_ns) < line->ns)
			rc = -EBADMSG;
	}
	if (rc == -EBADMSG)
		vz_reader_distrust(w->reader, i);
	return rc;
}

static int walk_block(const struct walk *w, uint32_t i)
{
	uint32_t place = vz_reader_track_place(w->reader, vz_reader_block(w->reader, i)->track);
	struct line *line = &w->lines[place - w->first];
	struct vz_visit at = { .place = place };
	struct vz_block head;
	uint32_t same = 0;
	int rc = open_block(w, i, line, &head, &same);

	if (rc == -EBADMSG) {
		line->holed = true;
		return 0;
	}
	if (rc < 0)
		return rc;
	at.stack = line->stack;
	at.depth = line->depth;
	at.ns = line->ns;
	rc = tell(w->visitor->begin, w, &at);
	if (rc == 0)
		rc = resume(w, &at, line, same, head.t0_ns);
	if (rc == 0)
		rc = walk_events(w, i, &at, line);
	if (rc < 0)
		return rc;
	at.stack = line->stack;
	at.depth = line->depth;
	return tell(w->visitor->end, w, &at);
}

/* Frames that are still open get an end where nothing more is known of their track. */
static int close_line(const struct walk *w, uint32_t place)
{
	const struct vz_thread_track *track = vz_reader_track(w->reader, place);
	struct line *line = &w->lines[place - w->first];
	struct vz_visit at = { .place = place, .stack = line->stack, .depth = line->depth };
	uint64_t t0_ns, t1_ns;
	int rc;

	if (!line->depth && !line->holed)
		return 0;
	vz_reader_range(w->reader, &t0_ns, &t1_ns);
	at.ns = line->ns;
	rc = tell(w->visitor->begin, w, &at);
	if (rc == 0 && line->holed)
		rc = report_hole(w, &at, line);
	at.ns = track->end_ns ? track->end_ns : t1_ns;
	if (w->until_ns && at.ns > w->until_ns)
		at.ns = w->until_ns;
	if (at.ns < line->ns)
		at.ns = line->ns;
	at.how = VZ_LEFT_OPEN;
	while (rc == 0 && line->depth)
		rc = pop(w, &at, line->stack, &line->depth);
	at.depth = 0;
	return rc < 0 ? rc : tell(w->visitor->end, w, &at);
}

static int walk_blocks(const struct walk *w, const struct vz_walk_limits *limits)
{
	uint32_t only = limits ? limits->place : VZ_ALL_TRACKS;
	const uint32_t *blocks = limits ? limits->blocks : NULL;
	uint32_t n = blocks ? limits->nblocks : vz_reader_nblocks(w->reader);
	int rc = 0;

	for (uint32_t k = 0; k < n && rc == 0; k++) {
		uint32_t i = blocks ? blocks[k] : k;
		const struct vz_index_entry *block = vz_reader_block(w->reader, i);

		if (w->until_ns && block->t0_ns > w->until_ns)
			continue;
		if (blocks || only == VZ_ALL_TRACKS ||
		    vz_reader_track_place(w->reader, block->track) == only)
			rc = walk_block(w, i);
	}
	return rc;
}

int vz_walk(struct vz_reader *r, const struct vz_walk_limits *limits,
	    const struct vz_visitor *visitor, void *ctx)
{
	bool all = !limits || limits->place == VZ_ALL_TRACKS;
	uint32_t first = all ? 0 : limits->place;
	uint32_t end = all ? vz_reader_ntracks(r) : first + (first < vz_reader_ntracks(r));
	size_t frames = 0;
	struct walk w = {
		.reader = r,
		.visitor = visitor,
		.ctx = ctx,
		.until_ns = limits ? limits->until_ns : 0,
		.frames = &frames,
		.decoder = vz_decoder_new(),
		.lines = calloc(end - first + 1u, sizeof(*w.lines)),
		.first = first,
	};
	int rc = w.decoder && w.lines ? 0 : -ENOMEM;

	if (rc == 0)
		rc = walk_blocks(&w, limits);
	for (uint32_t i = first; i < end && rc == 0; i++)
		rc = close_line(&w, i);
	for (uint32_t i = first; w.lines && i < end; i++)
		free(w.lines[i - first].stack);
	free(w.lines);
	vz_decoder_free(w.decoder);
	return rc;
}
