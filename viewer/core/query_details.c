/* SPDX-License-Identifier: MIT */
/*
 * What a call did: its stack, its own time, whom it called.
 *
 * Blocks are counted event by event, if they are not many.  Of a call that lasts for more
 * those in its middle are taken from summaries: all that happens there on its track is its own
 * doing, so time of its path is its own, and paths right above are its callees.  Paths do not tell
 * direct recursion apart, nor what was not kept; what they cannot tell is unknown, and so is
 * all of a call in which blocks are missing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/query_locate.h"
#include "viewer/core/query_sums.h"

enum {
	TAG_NODES = VZQ_TAG_OWN,
	TAG_COUNT,
	TAG_PATHS,
	TAG_FUNCS,
	MAX_COUNTED = 8, /* blocks in the middle that are counted too */
	ENTRY_MASK = (1 << VZ_SYMBOL_SHIFT) - 1,
};

enum step {
	STEP_LOCATE,
	STEP_ENDS,
	STEP_COUNT,
	STEP_NODES,
	STEP_MIDDLE,
	STEP_ANSWER,
	STEP_DONE,
};

struct callee {
	uint64_t calls;  /* direct ones */
	uint64_t folded; /* with its own direct recursion, as paths have it */
	uint64_t total_ns, self_ns;
};

struct details_job {
	struct vzq_job job;
	enum step step;
	struct vzq_locate locate;
	struct vzq_resolve resolve;
	uint64_t start, end;
	uint64_t entered; /* in the block where it begins, before it */
	bool numbered;    /* it begins there */
	struct vzq_cover cover;
	bool middle;  /* there are blocks of which only summaries are used */
	bool unknown; /* some of them could not be read, or do not tell */
	uint32_t path;
	struct vzq_paths paths;
	struct vzq_table table; /* of the middle */
	/* counted */
	uint64_t self_ns, children, descendants;
	struct callee *callees; /* by function */
	uint32_t ncallees;
	/* of the block that is read */
	uint32_t known;
	uint64_t limit, now, until;
	bool inside, over;
	uint32_t callee,
		depth;   /* function of the direct callee that is on the stack; of the stack */
	uint32_t folded; /* depth up to which it only called itself */
};

/* ---- counting event by event ---- */

static int have_callee(struct details_job *j, uint32_t fn)
{
	uint32_t n = j->ncallees ? j->ncallees : 64;
	struct callee *bigger;

	if (fn < j->ncallees)
		return 0;
	while (n <= fn)
		n *= 2;
	bigger = realloc(j->callees, n * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger + j->ncallees, 0, (n - j->ncallees) * sizeof(*bigger));
	j->callees = bigger;
	j->ncallees = n;
	return 0;
}

/* The time up to NS goes to what is on the stack. */
static void advance(struct details_job *j, uint64_t ns)
{
	uint32_t own = j->locate.depth + 1;
	uint64_t passed;

	if (ns > j->until)
		ns = j->until;
	if (ns <= j->now)
		return;
	passed = ns - j->now;
	j->now = ns;
	if (!j->inside)
		return;
	if (j->depth == own) {
		j->self_ns += passed;
		return;
	}
	j->callees[j->callee].total_ns += passed;
	if (j->depth == j->folded)
		j->callees[j->callee].self_ns += passed;
}

static int count_entry(struct details_job *j, const struct vz_open_frame *frame, uint32_t depth,
		       bool counts)
{
	uint32_t own = j->locate.depth + 1, fn = frame->symbol >> VZ_SYMBOL_SHIFT;
	int rc = 0;

	j->depth = depth;
	if (depth == own + 1) {
		rc = have_callee(j, fn);
		j->callee = fn;
		j->folded = depth;
	} else if (depth == j->folded + 1 && fn == j->callee) {
		j->folded = depth;
	}
	if (rc < 0 || !counts || (frame->symbol & ENTRY_MASK) == VZ_ENTRY_OPEN)
		return rc;
	j->descendants++;
	if (depth == own + 1) {
		j->children++;
		j->callees[fn].calls++;
	}
	if (depth == j->folded)
		j->callees[fn].folded++;
	return 0;
}

static int on_enter(void *ctx, const struct vz_visit *at)
{
	struct details_job *j = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	uint64_t ns = vzq_since(j->job.q, at->ns);
	bool counts = !j->known || ns >= j->limit;

	if (j->known)
		j->known--;
	if (counts)
		advance(j, ns);
	if (j->inside)
		return count_entry(j, frame, at->depth, counts);
	if (!j->over && at->depth == j->locate.depth + 1 && ns == j->start &&
	    frame->symbol >> VZ_SYMBOL_SHIFT == j->locate.fn) {
		j->inside = true;
		j->depth = at->depth;
	}
	return 0;
}

static int on_leave(void *ctx, const struct vz_visit *at)
{
	struct details_job *j = ctx;

	advance(j, vzq_since(j->job.q, at->ns));
	if (!j->inside)
		return 0;
	j->depth = at->depth - 1;
	if (j->folded > j->depth)
		j->folded = j->depth;
	if (at->depth == j->locate.depth + 1) {
		j->inside = false;
		j->over = true;
	}
	return 0;
}

static int take_block(struct details_job *j, const struct vzq_item *item, const uint8_t *p,
		      size_t n)
{
	static const struct vz_visitor visitor = { .enter = on_enter, .leave = on_leave };
	const struct vzq *q = j->job.q;
	uint64_t from = q->blocks[item->id].from_ns;
	uint64_t covered = vzq_covered(q, j->locate.track, item->arg);
	struct vz_line line = { 0 };
	const struct vzq_scan scan = { &line, &visitor, j, &j->known };
	int rc;

	j->now = j->start > from ? j->start : from;
	j->until = j->end < covered ? j->end : covered;
	j->inside = false;
	j->folded = 0;
	j->limit =
		vzq_readable_before(q, j->locate.track, item->arg) == VZQ_NO_BLOCK ? 0 : UINT64_MAX;
	rc = vzq_scan(j->job.q, item, p, n, &scan);
	if (j->inside)
		advance(j, j->until);
	vz_line_fini(&j->job.q->steps, &line);
	return rc;
}

/* ---- the middle ---- */

static int take_funcs(struct details_job *j, const struct vzq_item *item, const uint8_t *p,
		      size_t n)
{
	return vzq_table_add(&j->table, &j->job.q->tiles[item->id], p, n);
}

static int locate_enter(void *ctx, const struct vz_visit *at)
{
	struct details_job *j = ctx;
	bool began = !j->known, found = j->locate.found;
	int rc = vzq_locate_enter(&j->locate, at);

	if (j->known)
		j->known--;
	if (j->locate.found != found)
		j->numbered = began;
	else if (!found && began)
		j->entered++;
	return rc;
}

static int locate_leave(void *ctx, const struct vz_visit *at)
{
	struct details_job *j = ctx;

	vzq_locate_leave(&j->locate, at);
	return 0;
}

static int take(struct vzq_job *job, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	static const struct vz_visitor locate = { .enter = locate_enter, .leave = locate_leave };
	struct details_job *j = (struct details_job *)job;
	struct vz_line line = { 0 };
	const struct vzq_scan scan = { &line, &locate, j, &j->known };
	int rc;

	switch (item->tag) {
	case VZQ_TAG_LOCATE:
		j->entered = 0;
		rc = vzq_scan(job->q, item, p, n, &scan);
		vz_line_fini(&job->q->steps, &line);
		return rc;
	case TAG_NODES:
		return vzq_take_nodes(job->q, item, p, n);
	case TAG_COUNT:
		rc = take_block(j, item, p, n);
		break;
	case TAG_PATHS:
		rc = vzq_add_paths(job->q, item, p, n, &j->paths);
		break;
	case TAG_FUNCS:
		rc = take_funcs(j, item, p, n);
		break;
	case VZQ_TAG_RESOLVE_BLOCK:
	case VZQ_TAG_RESOLVE_TILE:
		return vzq_resolve_take(&j->resolve, item, p, n);
	default:
		rc = -EBADMSG; /* a summary is missing */
	}
	j->unknown |= rc < 0;
	return rc;
}

/* ---- the plan ---- */

/* Whether anything is missing while the call was there. */
static bool has_hole(const struct details_job *j)
{
	const struct vzq *q = j->job.q;

	for (uint32_t i = j->cover.first; i < j->cover.end; i++) {
		const struct vzi_block *b = vzq_block_of(q, j->locate.track, i);

		if (b->flags & VZI_BLOCK_UNREADABLE &&
		    vzq_covered(q, j->locate.track, i) > j->start)
			return true;
		if (b->flags & VZI_BLOCK_AFTER_HOLE && b->t0_ns > j->start)
			return true;
	}
	return false;
}

static int plan_blocks(struct details_job *j, uint32_t lo, uint32_t hi)
{
	struct vzq_item item = { .kind = VZQ_WANT_BLOCK, .tag = TAG_COUNT };
	int rc = 0;

	for (uint32_t i = lo; i < hi && rc == 0; i++) {
		item.id = j->job.q->tracks[j->locate.track].first_block + i;
		item.arg = i;
		if (!(vzq_block_of(j->job.q, j->locate.track, i)->flags & VZI_BLOCK_UNREADABLE))
			rc = vzq_job_plan(&j->job, &item);
	}
	return rc;
}

static int plan_count(struct details_job *j)
{
	const struct vzq_slice *self = &j->locate.stack[j->locate.depth];
	struct vzq_cover *c = &j->cover;
	int rc;

	j->start = (uint64_t)self->start;
	j->end = (uint64_t)self->end;
	vzq_cover(j->job.q, j->locate.track, j->start, j->start + 1, j->end, c);
	if (c->first == c->end) /* it begins and ends at the time at which a block begins */
		*c = (struct vzq_cover){ j->locate.block, j->locate.block, j->locate.block + 1,
					 j->locate.block + 1 };
	if (c->hi - c->lo <= MAX_COUNTED)
		c->lo = c->hi = c->end;
	j->middle = c->lo < c->hi;
	j->unknown = j->resolve.unknown || has_hole(j);
	if (j->unknown)
		return 0;
	rc = plan_blocks(j, c->first, c->lo);
	return rc < 0 ? rc : plan_blocks(j, c->hi, c->end);
}

/* The path of the call, as far as its track kept it. */
static uint32_t own_path(const struct details_job *j)
{
	const struct vzq_forest *f = j->job.q->forest;
	uint32_t node = 0;

	for (uint32_t i = 0; i <= j->locate.depth && node != VZQ_NO_PATH; i++) {
		uint32_t fn = j->locate.stack[i].fn;

		if (!node || vzq_forest_fns(f)[node] != fn)
			node = vzq_forest_child(f, j->locate.track, node, fn);
	}
	return node;
}

static int plan_middle(struct details_job *j)
{
	struct vzq_span span = { j->locate.track, VZI_FUNCS, j->cover.lo, j->cover.hi };
	int rc = vzq_paths_init(&j->paths, vzq_forest_size(j->job.q->forest));

	if (rc < 0)
		return rc;
	j->path = own_path(j);
	rc = vzq_plan_span(&j->job, &span, VZI_LEVELS, TAG_FUNCS);
	span.kind = VZI_PATHS;
	return rc < 0 || j->path == VZQ_NO_PATH
		       ? rc
		       : vzq_plan_span(&j->job, &span, VZI_LEVELS, TAG_PATHS);
}

/* ---- the answer ---- */

/* Callees of the middle: paths right above that of the call. */
static int add_middle(struct details_job *j)
{
	const struct vzq_forest *f = j->job.q->forest;
	uint64_t *total = vzq_tree_totals(f, &j->paths);
	int rc = total ? 0 : -ENOMEM;

	for (uint32_t i = 1; i < j->paths.n && rc == 0; i++) {
		uint32_t fn = vzq_forest_fns(f)[i];
		struct vzq_acc a = vzq_paths_get(&j->paths, i);

		if (vzq_forest_parents(f)[i] != j->path || (!total[i] && !a.calls && !a.resumes))
			continue;
		rc = have_callee(j, fn);
		if (rc < 0)
			break;
		j->callees[fn].folded += a.calls + a.resumes;
		j->callees[fn].total_ns += total[i];
		j->callees[fn].self_ns += a.self_ns;
	}
	free(total);
	return rc;
}

static int make_callees(struct details_job *j)
{
	struct vzq_callees *c = &j->job.result.callees;
	uint32_t n = 0;

	for (uint32_t i = 0; i < j->ncallees; i++)
		n += j->callees[i].total_ns || j->callees[i].folded;
	c->calls = malloc((n + 1u) * (3 * sizeof(double) + sizeof(uint32_t)));
	if (!c->calls)
		return -ENOMEM;
	c->total = c->calls + n;
	c->self = c->total + n;
	c->fn = (uint32_t *)(void *)(c->self + n);
	for (uint32_t i = 0; i < j->ncallees; i++) {
		const struct callee *from = &j->callees[i];

		if (!from->total_ns && !from->folded)
			continue;
		c->fn[c->n] = i;
		c->calls[c->n] = (double)(j->middle ? from->folded : from->calls);
		c->total[c->n] = (double)from->total_ns;
		c->self[c->n++] = (double)from->self_ns;
	}
	return 0;
}

/* The function called itself directly in the middle, which its path does not tell apart. */
static bool calls_itself(const struct details_job *j)
{
	struct vzq_acc own = vzq_paths_get(&j->paths, j->path);

	return own.calls || own.resumes ||
	       (j->locate.fn < j->ncallees && j->callees[j->locate.fn].total_ns);
}

static int make_counts(struct details_job *j)
{
	struct vzq_result *r = &j->job.result;
	uint64_t entries = 0;
	int rc;

	if (j->unknown)
		return 0;
	for (uint32_t i = 0; i < j->table.n; i++)
		entries += j->table.f[i].calls + j->table.f[i].resumes;
	r->descendants = (double)(j->descendants + entries);
	if (!j->middle) {
		r->self_ns = (double)j->self_ns;
		r->children = (double)j->children;
		return make_callees(j);
	}
	if (j->path == VZQ_NO_PATH || calls_itself(j))
		return 0;
	r->self_ns = (double)(j->self_ns + vzq_paths_get(&j->paths, j->path).self_ns);
	if (vzq_paths_get(&j->paths, j->path).other_ns)
		return 0;
	rc = add_middle(j);
	return rc < 0 ? rc : make_callees(j);
}

/* Its number in its track; unknown where blocks before it are. */
static double number_of(const struct details_job *j)
{
	uint64_t number = j->entered;

	if (!j->numbered)
		return -1;
	for (uint32_t i = 0; i <= j->locate.block; i++) {
		const struct vzi_block *b = vzq_block_of(j->job.q, j->locate.track, i);

		if (b->flags & VZI_BLOCK_AFTER_HOLE)
			return -1;
		number += i < j->locate.block ? b->entries : 0;
	}
	return (double)number;
}

static int make_answer(struct details_job *j)
{
	struct vzq_result *r = &j->job.result;

	r->entry = number_of(j);
	r->bad += j->resolve.unknown;
	r->slices = j->locate.stack;
	r->nslices = j->locate.depth + 1;
	j->locate.stack = NULL;
	return make_counts(j);
}

static int begin_resolve(struct details_job *j)
{
	if (!j->locate.found) {
		j->step = STEP_DONE;
		return 0;
	}
	return vzq_resolve_init(&j->resolve, j->job.q, j->locate.block, j->locate.stack,
				j->locate.depth + 1);
}

/* What a step plans; nothing: the next one is on. */
static int do_step(struct details_job *j)
{
	int rc;

	switch (j->step) {
	case STEP_LOCATE:
		rc = vzq_locate_plan(&j->locate, &j->job);
		if (rc < 0 || j->job.nitems)
			return rc;
		j->step = STEP_ENDS;
		return begin_resolve(j);
	case STEP_ENDS:
		rc = vzq_resolve_plan(&j->resolve, &j->job);
		j->step = rc < 0 || j->job.nitems ? STEP_ENDS : STEP_COUNT;
		return rc;
	case STEP_COUNT:
		j->step = STEP_NODES;
		return plan_count(j);
	case STEP_NODES:
		j->step = STEP_MIDDLE;
		return j->middle && !j->unknown
			       ? vzq_plan_nodes(&j->job, j->locate.track, TAG_NODES)
			       : 0;
	case STEP_MIDDLE:
		j->step = STEP_ANSWER;
		return j->middle && !j->unknown ? plan_middle(j) : 0;
	default:
		j->step = STEP_DONE;
		return make_answer(j);
	}
}

static int next(struct vzq_job *job)
{
	struct details_job *j = (struct details_job *)job;
	int rc = 0;

	while (rc == 0 && !job->nitems && j->step != STEP_DONE)
		rc = do_step(j);
	return rc;
}

static void fini(struct vzq_job *job)
{
	struct details_job *j = (struct details_job *)job;

	vzq_locate_fini(&j->locate);
	vzq_resolve_fini(&j->resolve);
	vzq_table_fini(&j->table);
	vzq_paths_fini(&j->paths);
	free(j->callees);
}

struct vzq_job *vzq_details(struct vzq *q, const struct vzq_ref *ref)
{
	struct details_job *j = vzq_job_new(q, sizeof(*j));

	if (!j)
		return NULL;
	j->job.next = next;
	j->job.take = take;
	j->job.fini = fini;
	vzq_locate_init(&j->locate, q, ref);
	return &j->job;
}
