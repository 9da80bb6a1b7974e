/* SPDX-License-Identifier: MIT */
/*
 * One call and its relatives.
 *
 * What stands around a call is in the block where it begins, mostly; a child may begin in a
 * later one, a sibling may have ended in an earlier one.
 */
#include <errno.h>
#include <stdlib.h>

#include "viewer/core/query_locate.h"

enum {
	TAG_WALK = 1,
};

enum what {
	PARENT = VZQ_PARENT,
	CHILD = VZQ_CHILD,
	BEFORE = VZQ_BEFORE,
	AFTER = VZQ_AFTER,
	AT,
};

enum step {
	STEP_LOCATE,
	STEP_OWN_END, /* of the call itself; AFTER */
	STEP_WALK,    /* block by block: CHILD, AFTER forwards, BEFORE backwards */
	STEP_END,     /* of what was found */
	STEP_DONE,
};

struct slice_job {
	struct vzq_job job;
	enum what what;
	enum step step;
	struct vzq_locate locate;
	uint64_t time; /* AT */
	uint32_t block;
	struct vz_line line;
	uint32_t known; /* frames that the block began with, yet to be told */
	bool inherited; /* the call that the siblings are in began in a block before */
	bool gone;      /* the call itself was left */
	bool walked;    /* a block beside the one in which the call begins was gone through */
	bool has;       /* .found is set */
	struct vzq_slice found;
	struct vzq_resolve resolve;
};

/* ---- what is met while events are gone through ---- */

static void meet(struct slice_job *j, const struct vz_visit *at)
{
	j->has = true;
	j->found =
		vzq_slice_of(j->job.q, j->locate.track, &at->stack[at->depth - 1], at->depth - 1);
}

/* Whether the frame that was told is called from the same one as the call in question. */
static bool is_sibling(const struct slice_job *j, const struct vz_visit *at)
{
	const struct vz_open_frame *below;
	const struct vzq_slice *parent;

	if (at->depth - 1 != j->locate.depth)
		return false;
	if (at->depth == 1)
		return true;
	below = &at->stack[at->depth - 2];
	parent = &j->locate.stack[at->depth - 2];
	return vzq_since(j->job.q, below->begin_ns) == (uint64_t)parent->start &&
	       below->symbol >> VZ_SYMBOL_SHIFT == parent->fn;
}

static int enter_at(struct slice_job *j, const struct vz_visit *at)
{
	if (!j->has && at->depth - 1 == j->locate.depth && vzq_since(j->job.q, at->ns) <= j->time)
		meet(j, at);
	return 0;
}

static void leave_at(struct slice_job *j, const struct vz_visit *at)
{
	if (!j->has || j->found.end >= 0 || at->depth - 1 != j->locate.depth)
		return;
	vzq_slice_end(j->job.q, &j->found, at);
	/* Not this one, unless it takes no time and stands just there. */
	if (j->found.end <= (double)j->time && j->found.start < (double)j->time)
		j->has = false;
}

static int enter_child(struct slice_job *j, const struct vz_visit *at)
{
	if (j->locate.found && !j->gone && !j->has && at->depth - 1 == j->locate.depth + 1)
		meet(j, at);
	return vzq_locate_enter(&j->locate, at);
}

/* Of the child too. */
static void leave_child(struct slice_job *j, const struct vz_visit *at)
{
	if (j->has && j->found.end < 0 && at->depth - 1 == j->found.depth)
		vzq_slice_end(j->job.q, &j->found, at);
	vzq_locate_leave(&j->locate, at);
	if (j->locate.found && at->depth - 1 == j->locate.depth)
		j->gone = true;
}

static int enter_before(struct slice_job *j, const struct vz_visit *at)
{
	bool known = j->known > 0;

	j->known -= known;
	if (!j->gone && at->depth == j->locate.depth) {
		j->inherited = known;
		j->has = false; /* what was left before was in another call */
	}
	if (j->locate.found)
		return 0;
	if (vzq_locate_enter(&j->locate, at) < 0)
		return -ENOMEM;
	j->gone = j->locate.found;
	return 0;
}

/* The last one that was left before the call, if it began before it. */
static void leave_before(struct slice_job *j, const struct vz_visit *at)
{
	uint64_t begin = vzq_since(j->job.q, at->stack[at->depth - 1].begin_ns);

	if (!j->gone && at->depth - 1 == j->locate.depth && begin < j->locate.start) {
		meet(j, at);
		vzq_slice_end(j->job.q, &j->found, at);
	}
}

static int enter_after(struct slice_job *j, const struct vz_visit *at)
{
	uint64_t begin = vzq_since(j->job.q, at->ns);
	const struct vzq_slice *self = &j->locate.stack[j->locate.depth];

	if (!j->has && (double)begin >= self->end && begin > j->locate.start && is_sibling(j, at))
		meet(j, at);
	return 0;
}

static void leave_after(struct slice_job *j, const struct vz_visit *at)
{
	if (j->has && j->found.end < 0 && at->depth - 1 == j->found.depth)
		vzq_slice_end(j->job.q, &j->found, at);
}

static int enter_stack(struct slice_job *j, const struct vz_visit *at)
{
	return vzq_locate_enter(&j->locate, at);
}

static void leave_stack(struct slice_job *j, const struct vz_visit *at)
{
	vzq_locate_leave(&j->locate, at);
}

struct meeting {
	int (*enter)(struct slice_job *j, const struct vz_visit *at);
	void (*leave)(struct slice_job *j, const struct vz_visit *at);
};

static const struct meeting *meeting_of(const struct slice_job *j)
{
	static const struct meeting stack = { enter_stack, leave_stack };
	static const struct meeting after = { enter_after, leave_after };
	static const struct meeting meetings[] = {
		[PARENT] = { enter_stack, leave_stack },
		[CHILD] = { enter_child, leave_child },
		[BEFORE] = { enter_before, leave_before },
		[AFTER] = { enter_stack, leave_stack },
		[AT] = { enter_at, leave_at },
	};

	if (j->what == AFTER)
		return j->step == STEP_WALK ? &after : &stack;
	return &meetings[j->what];
}

static int on_enter(void *ctx, const struct vz_visit *at)
{
	struct slice_job *j = ctx;

	return meeting_of(j)->enter(j, at);
}

static int on_leave(void *ctx, const struct vz_visit *at)
{
	struct slice_job *j = ctx;

	meeting_of(j)->leave(j, at);
	return 0;
}

static void forget_line(struct slice_job *j)
{
	vz_line_fini(&j->job.q->steps, &j->line);
	j->line = (struct vz_line){ 0 };
}

/* Backwards each block stands alone, as does the first one otherwise. */
static int take(struct vzq_job *job, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	static const struct vz_visitor visitor = { .enter = on_enter, .leave = on_leave };
	struct slice_job *j = (struct slice_job *)job;
	struct vzq_scan scan = { &j->line, &visitor, j, NULL };

	if (item->tag != VZQ_TAG_LOCATE && item->tag != TAG_WALK)
		return vzq_resolve_take(&j->resolve, item, p, n);
	if (item->tag == VZQ_TAG_LOCATE || j->what == BEFORE) {
		forget_line(j);
		scan.depth = &j->known;
	}
	j->block = item->arg;
	j->walked = item->tag == TAG_WALK;
	return vzq_scan(job->q, item, p, n, &scan);
}

/* ---- the plan ---- */

static int plan_block(struct slice_job *j, uint32_t block)
{
	const struct vzq_item item = {
		.kind = VZQ_WANT_BLOCK,
		.id = j->job.q->tracks[j->locate.track].first_block + block,
		.tag = TAG_WALK,
		.arg = block,
	};

	return vzq_job_plan(&j->job, &item);
}

/* The first block with events at NS or later. */
static uint32_t block_from(const struct slice_job *j, uint64_t ns)
{
	const struct vzq *q = j->job.q;
	uint32_t i = vzq_begun(q, j->locate.track, ns);

	while (i > 0 && vzq_last_event(q, j->locate.track, i - 1) >= ns)
		i--;
	return vzq_readable_from(q, j->locate.track, i);
}

/* Whether the frame that siblings are called from is on the stack after the block. */
static bool parent_there(const struct slice_job *j)
{
	struct vz_visit at = { .stack = j->line.stack, .depth = j->locate.depth + 1 };

	return j->line.depth >= j->locate.depth && is_sibling(j, &at);
}

/* What was left in the hole between this block and the call. */
static void meet_open(struct slice_job *j)
{
	struct vz_visit at = { .stack = j->line.stack, .depth = j->locate.depth + 1 };

	if (j->line.depth > j->locate.depth &&
	    vzq_since(j->job.q, j->line.stack[j->locate.depth].begin_ns) < j->locate.start)
		meet(j, &at);
}

static int begin_walk(struct slice_job *j)
{
	uint32_t block = VZQ_NO_BLOCK;

	if (j->what == AT) {
		block = vzq_block_at(j->job.q, j->locate.track, j->time);
	} else if (j->what == AFTER) {
		forget_line(j);
		block = block_from(j, (uint64_t)j->locate.stack[j->locate.depth].end);
	} else if (j->what == CHILD && !j->has && !j->gone) {
		block = vzq_readable_from(j->job.q, j->locate.track, j->block + 1);
	} else if (j->what == BEFORE && !j->has && (j->inherited || !j->locate.depth)) {
		block = vzq_readable_before(j->job.q, j->locate.track, j->block);
		j->gone = false;
	}
	return block == VZQ_NO_BLOCK ? 0 : plan_block(j, block);
}

static int go_on(struct slice_job *j)
{
	uint32_t block = VZQ_NO_BLOCK;

	if (j->what == BEFORE) {
		if (!parent_there(j)) {
			j->has = false;
			return 0;
		}
		meet_open(j);
		if (!j->has && (j->inherited || !j->locate.depth))
			block = vzq_readable_before(j->job.q, j->locate.track, j->block);
	} else if (j->what == CHILD && !j->has && !j->gone) {
		block = vzq_readable_from(j->job.q, j->locate.track, j->block + 1);
	} else if (j->what == AFTER && !j->has && parent_there(j)) {
		block = vzq_readable_from(j->job.q, j->locate.track, j->block + 1);
	}
	return block == VZQ_NO_BLOCK ? 0 : plan_block(j, block);
}

static int located(struct slice_job *j)
{
	const struct vzq_locate *l = &j->locate;

	if (!l->found)
		return 0;
	if (j->what == PARENT && l->depth) {
		j->found = l->stack[l->depth - 1];
		j->has = true;
	}
	if (j->what == AFTER)
		return vzq_resolve_init(&j->resolve, j->job.q, j->block, &l->stack[l->depth], 1);
	return 0;
}

/* Found, but for its end perhaps. */
static int settle(struct slice_job *j)
{
	struct vzq_result *r = &j->job.result;

	r->bad += j->resolve.unknown;
	vzq_resolve_fini(&j->resolve);
	if (!j->has)
		return 0;
	r->slices = malloc(sizeof(*r->slices));
	if (!r->slices)
		return -ENOMEM;
	r->slices[r->nslices++] = j->found;
	return vzq_resolve_init(&j->resolve, j->job.q, j->block, r->slices, 1);
}

static int resolve(struct slice_job *j)
{
	return j->resolve.npending ? vzq_resolve_plan(&j->resolve, &j->job) : 0;
}

/* What a step plans; nothing: on to the next one. */
static int do_step(struct slice_job *j)
{
	switch (j->step) {
	case STEP_LOCATE:
		return j->what == AT ? 0 : vzq_locate_plan(&j->locate, &j->job);
	case STEP_WALK:
		return j->walked ? go_on(j) : 0;
	default:
		return resolve(j);
	}
}

static void end(struct slice_job *j)
{
	struct vzq_result *r = &j->job.result;

	r->bad += j->resolve.unknown;
	/* It ended just then, as all do that are open when the trace ends. */
	if (j->what == AT && r->nslices && r->slices[0].end <= (double)j->time &&
	    r->slices[0].start < (double)j->time)
		r->nslices = 0;
}

static int end_step(struct slice_job *j)
{
	switch (j->step++) {
	case STEP_LOCATE:
		return located(j);
	case STEP_OWN_END:
		return j->locate.found || j->what == AT ? begin_walk(j) : 0;
	case STEP_WALK:
		return settle(j);
	default:
		end(j);
		return 0;
	}
}

static int next(struct vzq_job *job)
{
	struct slice_job *j = (struct slice_job *)job;
	int rc = 0;

	while (rc == 0 && !job->nitems && j->step != STEP_DONE) {
		rc = do_step(j);
		if (rc == 0 && !job->nitems)
			rc = end_step(j);
	}
	return rc;
}

static void fini(struct vzq_job *job)
{
	struct slice_job *j = (struct slice_job *)job;

	forget_line(j);
	vzq_resolve_fini(&j->resolve);
	vzq_locate_fini(&j->locate);
}

static struct vzq_job *slice_new(struct vzq *q, const struct vzq_ref *ref, enum what what)
{
	struct slice_job *j = vzq_job_new(q, sizeof(*j));

	if (!j)
		return NULL;
	j->job.next = next;
	j->job.take = take;
	j->job.fini = fini;
	j->what = what;
	vzq_locate_init(&j->locate, q, ref);
	return &j->job;
}

struct vzq_job *vzq_relative(struct vzq *q, const struct vzq_ref *ref, enum vzq_relation which)
{
	return slice_new(q, ref, which <= VZQ_AFTER ? (enum what)which : PARENT);
}

struct vzq_job *vzq_at(struct vzq *q, uint32_t track, double time, uint32_t depth)
{
	const struct vzq_ref ref = { .track = track, .depth = depth };
	struct vzq_job *job = slice_new(q, &ref, AT);
	struct slice_job *j = (struct slice_job *)job;

	if (!j)
		return NULL;
	/* A call that covers a time between two ns began at the earlier one, or before. */
	j->time = vzq_ns(time);
	if (j->time && (double)j->time > time)
		j->time--;
	if (j->locate.over)
		j->step = STEP_DONE;
	return job;
}
