/* SPDX-License-Identifier: MIT */
/*
 * Counts a part of a block.  What stands before the block is on its stack; only where blocks
 * are missing must the one before be read too, to know what ended in the gap.
 *
 * A path is a node of the merged tree; above one that was not kept it is the last that
 * was, with UNKEPT.  As in PATHS, a function that calls itself directly stays in its node.
 */
#include "viewer/core/query_sums.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/steps_inl.h"

enum {
	UNKEPT = 1u << 31,
	FIRST_DEPTH = 64,
	ENTRY_MASK = (1 << VZ_SYMBOL_SHIFT) - 1,
};

void vzq_edge_fini(struct vzq_edge *e)
{
	if (e->q)
		vz_line_fini(&e->q->steps, &e->line);
	free(e->path);
	free(e->cache);
	e->path = NULL;
	e->cache = NULL;
}

static uint32_t function_of(const struct vz_open_frame *frame)
{
	return frame->symbol >> VZ_SYMBOL_SHIFT;
}

static uint32_t find_path(const struct vzq_edge *e, uint32_t node, uint32_t fn)
{
	uint32_t child;

	if (node && vzq_forest_fns(e->q->forest)[node] == fn)
		return node;
	child = vzq_forest_child(e->q->forest, e->track, node, fn);
	return child < e->paths->n ? child : node | UNKEPT;
}

/* The same few paths come again and again, and the tree is larger than a processor's caches. */
static uint32_t path_above(const struct vzq_edge *e, uint32_t fn)
{
	uint32_t node = e->depth ? e->path[e->depth - 1] : 0;
	struct vzq_edge_hit *hit;

	if (node & UNKEPT)
		return node;
	hit = &e->cache[(node * 31 + fn) % VZQ_EDGE_CACHE];
	if (hit->node != node || hit->fn != fn)
		*hit = (struct vzq_edge_hit){ node, fn, find_path(e, node, fn) };
	return hit->above;
}

static int push(struct vzq_edge *e, uint32_t fn)
{
	int rc = vzq_table_room(e->table, fn);
	struct vzq_fsum *f;

	if (rc == 0 && e->depth == e->path_cap) {
		uint32_t cap = e->path_cap ? e->path_cap * 2 : FIRST_DEPTH;
		uint32_t *bigger = realloc(e->path, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		e->path = bigger;
		e->path_cap = cap;
	}
	if (rc < 0)
		return rc;
	f = &e->table->f[fn];
	if (!f->active++)
		f->since = e->now;
	e->path[e->depth] = e->paths ? path_above(e, fn) : 0;
	e->depth++;
	return 0;
}

static void pop(struct vzq_edge *e, uint32_t fn)
{
	struct vzq_fsum *f = &e->table->f[fn];

	if (!--f->active)
		f->total_ns += e->now - f->since;
	e->depth--;
}

/* The time up to NS goes to FN, on top of the stack. */
static int advance(struct vzq_edge *e, uint64_t ns, uint32_t fn)
{
	uint64_t passed;

	if (ns > e->end)
		ns = e->end;
	if (ns <= e->now)
		return 0;
	passed = ns - e->now;
	e->now = ns;
	if (!e->depth)
		return 0;
	e->table->f[fn].self_ns += passed;
	if (e->paths) {
		uint32_t node = e->path[e->depth - 1];

		if (node & UNKEPT)
			return vzq_paths_add(e->paths, node & ~UNKEPT,
					     &(struct vzq_acc){ .other_ns = passed });
		e->paths->p[node].self_ns += passed;
	}
	return 0;
}

static uint32_t below(const struct vz_visit *at)
{
	return at->depth > 1 ? function_of(&at->stack[at->depth - 2]) : 0;
}

static bool in_range(const struct vzq_edge *e, uint64_t ns)
{
	return ns >= e->from && ns < e->to;
}

static int count_entry(struct vzq_edge *e, uint32_t fn, unsigned how)
{
	struct vzq_fsum *f = &e->table->f[fn];
	uint32_t node = e->path[e->depth - 1];
	bool resumed = how == VZ_ENTRY_RESUME || how == VZ_ENTRY_THROW;

	f->calls += how == VZ_ENTRY_CALL;
	f->resumes += resumed;
	if (!e->paths || node & UNKEPT)
		return 0;
	return vzq_paths_add(
		e->paths, node,
		&(struct vzq_acc){ .calls = how == VZ_ENTRY_CALL, .resumes = resumed });
}

/* The range begins: what is on the stack counts from here on. */
static int catch_up(struct vzq_edge *e, const struct vz_open_frame *stack, uint32_t depth)
{
	int rc = 0;

	for (uint32_t i = 0; i < depth && e->behind && rc == 0; i++)
		rc = push(e, function_of(&stack[i]));
	e->behind = false;
	return rc;
}

static int on_enter(void *ctx, const struct vz_visit *at)
{
	struct vzq_edge *e = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	uint64_t ns = vzq_since(e->q, at->ns);
	int rc;

	if (e->known) {
		e->known--;
		if (ns < e->limit)
			return e->behind ? 0 : push(e, function_of(frame));
	}
	if (e->behind && ns < e->from)
		return 0;
	rc = catch_up(e, at->stack, at->depth - 1);
	if (rc == 0)
		rc = advance(e, ns, below(at));
	if (rc == 0)
		rc = push(e, function_of(frame));
	if (rc == 0 && in_range(e, ns))
		rc = count_entry(e, function_of(frame), frame->symbol & ENTRY_MASK);
	return rc;
}

static int count_stay(struct vzq_edge *e, const struct vz_open_frame *frame, unsigned how,
		      uint64_t ns)
{
	struct vzq_fsum *f = &e->table->f[function_of(frame)];
	uint64_t length = ns - vzq_since(e->q, frame->begin_ns);

	f->raised += how == VZ_LEAVE_UNWIND;
	if (how >= VZ_LEAVE_UNSEEN || (frame->symbol & ENTRY_MASK) == VZ_ENTRY_OPEN) {
		f->partial++;
		return 0;
	}
	f->seen++;
	f->sum_ns += length;
	if (length > f->max_ns)
		f->max_ns = length;
	return vzq_table_count(e->table, function_of(frame), vzi_bucket(length), 1);
}

static int on_leave(void *ctx, const struct vz_visit *at)
{
	struct vzq_edge *e = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	uint64_t ns = vzq_since(e->q, at->ns);
	int rc;

	if (e->behind && ns < e->from)
		return 0;
	rc = catch_up(e, at->stack, at->depth);
	if (rc == 0)
		rc = advance(e, ns, function_of(frame));
	if (rc < 0)
		return rc;
	if (in_range(e, ns))
		rc = count_stay(e, frame, at->how, ns);
	pop(e, function_of(frame));
	return rc;
}

static const struct vz_visitor visitor = {
	.enter = on_enter,
	.leave = on_leave,
};

/* ---- blocks ---- */

int vzq_edge_plan(struct vzq_job *job, uint32_t track, uint32_t i, uint32_t mode)
{
	const struct vzi_block *b = vzq_block_of(job->q, track, i);
	uint32_t first = job->q->tracks[track].first_block, before = VZQ_NO_BLOCK;
	bool unreadable = b->flags & VZI_BLOCK_UNREADABLE;
	struct vzq_item item = { .kind = VZQ_WANT_BLOCK, .arg = track, .more = i, .mode = mode };
	int rc = 0;

	if (unreadable || b->flags & VZI_BLOCK_AFTER_HOLE)
		before = vzq_readable_before(job->q, track, i);
	if (before != VZQ_NO_BLOCK) {
		item.id = first + before;
		item.tag = unreadable ? VZQ_TAG_UNREADABLE : VZQ_TAG_BEFORE;
		rc = vzq_job_plan(job, &item);
	}
	if (unreadable || rc < 0)
		return rc;
	item.id = first + i;
	item.tag = VZQ_TAG_EDGE;
	return vzq_job_plan(job, &item);
}

static int take_before(struct vzq_edge *e, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	struct vzq_scan scan = { .line = &e->line };
	int rc = vzq_scan(e->q, item, p, n, &scan);

	e->has_line = rc == 0;
	e->lost_line = rc < 0;
	return rc;
}

static int push_line(struct vzq_edge *e)
{
	int rc = 0;

	for (uint32_t i = 0; i < e->line.depth && rc == 0; i++)
		rc = push(e, function_of(&e->line.stack[i]));
	return rc;
}

/* The part of block I that is in the range. */
static void begin(struct vzq_edge *e, uint32_t i)
{
	const struct vzi_block *b = vzq_block_of(e->q, e->track, i);
	uint64_t covered = vzq_covered(e->q, e->track, i);
	bool first = vzq_readable_before(e->q, e->track, i) == VZQ_NO_BLOCK;

	e->now = e->from > b->from_ns ? e->from : b->from_ns;
	e->end = e->to < covered ? e->to : covered;
	if (e->end < e->now)
		e->end = e->now;
	e->known = 0;
	e->behind = false;
	e->limit = UINT64_MAX;
	if (first)
		e->limit = 0;
	else if (e->lost_line)
		e->limit = b->from_ns;
}

/* The stack stays as it is to the end of the time that block I covers. */
static int finish(struct vzq_edge *e, uint32_t i)
{
	const struct vzi_track *track = &e->q->tracks[e->track];
	struct vz_line *line = &e->line;
	int rc = 0;

	if (i + 1 == track->nblocks && e->to > track->end_ns) {
		e->q->steps.visitor = &visitor;
		e->q->steps.ctx = e;
		rc = vz_steps_close(&e->q->steps, line, track->end_ns + e->q->head->zero_ns);
	}
	if (rc == 0)
		rc = catch_up(e, line->stack, line->depth);
	if (line->depth && rc == 0)
		rc = advance(e, e->end, function_of(&line->stack[line->depth - 1]));
	for (uint32_t k = line->depth; k-- > 0 && rc == 0;)
		pop(e, function_of(&line->stack[k]));
	vz_line_fini(&e->q->steps, line);
	*line = (struct vz_line){ 0 };
	e->has_line = e->lost_line = false;
	return rc;
}

/* What is known of a block that cannot be read: the stack before it, and for how long. */
static int take_unreadable(struct vzq_edge *e, const struct vzq_item *item, const uint8_t *p,
			   size_t n)
{
	struct vzq_scan scan = { .line = &e->line };
	int rc = vzq_scan(e->q, item, p, n, &scan);

	return rc == -ENOMEM || push_line(e) < 0 ? -ENOMEM : rc;
}

static int take_block(struct vzq_edge *e, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	struct vzq_scan scan = { &e->line, &visitor, e, e->has_line ? NULL : &e->known };
	int rc;

	/* What comes before the range only changes the stack; what comes after it is not read. */
	e->behind = e->from > vzq_block_of(e->q, e->track, item->more)->from_ns;
	rc = e->behind ? 0 : push_line(e);
	if (rc < 0)
		return rc;
	if (e->to < VZQ_MAX_NS && e->to)
		e->q->steps.until_ns = e->q->head->zero_ns + e->to - 1;
	rc = vzq_scan_open(e->q, item, p, n, &scan);
	if (rc == 0)
		rc = vz_steps_play(&e->q->steps, &visitor);
	e->q->steps.until_ns = 0;
	return rc == VZ_STEPS_NONSENSE ? -EBADMSG : rc;
}

/* What was found on another track may not have been kept on this one. */
static int have_cache(struct vzq_edge *e)
{
	if (e->cache && e->cached == e->track)
		return 0;
	if (!e->cache)
		e->cache = malloc(VZQ_EDGE_CACHE * sizeof(*e->cache));
	if (!e->cache)
		return -ENOMEM;
	memset(e->cache, 0xff, VZQ_EDGE_CACHE * sizeof(*e->cache));
	e->cached = e->track;
	return 0;
}

int vzq_edge_take(struct vzq_edge *e, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	int rc, done;

	if (item->tag == VZQ_TAG_BEFORE)
		return take_before(e, item, p, n);
	if (e->paths && have_cache(e) < 0)
		return -ENOMEM;
	begin(e, item->more);
	rc = item->tag == VZQ_TAG_UNREADABLE ? take_unreadable(e, item, p, n)
					     : take_block(e, item, p, n);
	if (rc == -ENOMEM)
		return rc;
	done = finish(e, item->more);
	return done < 0 ? done : rc;
}
