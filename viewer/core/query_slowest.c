/* SPDX-License-Identifier: MIT */
/*
 * The slowest calls of a function.  Summaries say how long the longest in them was; the one that
 * promises most is looked into first, until what was found is longer than all promises.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/query_sums.h"

enum {
	TAG_SUMMARY = VZQ_TAG_OWN,
	MAX_SLICES = 10000,
	BATCH = 16, /* promises looked into at a time */
	ENTRY_MASK = (1 << VZ_SYMBOL_SHIFT) - 1,
};

/* Something that may hold a call of this duration. */
struct promise {
	uint64_t ns;
	uint32_t track, block; /* its first block */
	int level;             /* of a summary; -1: a block itself */
};

struct slowest_job {
	struct vzq_job job;
	uint32_t fn, wanted;
	uint64_t from, to;
	uint64_t least, below;
	struct vzq_tracks tracks;
	bool begun;
	struct promise *promises; /* a heap, greatest first */
	uint32_t npromises, promises_cap;
	uint32_t nslices; /* in .result.slices, a heap, the one to go first at its top */
	/* of the block that is read */
	uint32_t track;
};

/* ---- promises ---- */

static bool promises_more(const struct promise *a, const struct promise *b)
{
	return a->ns > b->ns;
}

static int add_promise(struct slowest_job *j, const struct promise *promise)
{
	uint32_t at = j->npromises;

	if (at == j->promises_cap) {
		uint32_t cap = at ? at * 2 : 64;
		struct promise *bigger = realloc(j->promises, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		j->promises = bigger;
		j->promises_cap = cap;
	}
	j->npromises++;
	for (; at && promises_more(promise, &j->promises[(at - 1) / 2]); at = (at - 1) / 2)
		j->promises[at] = j->promises[(at - 1) / 2];
	j->promises[at] = *promise;
	return 0;
}

static struct promise take_promise(struct slowest_job *j)
{
	const struct promise top = j->promises[0], last = j->promises[--j->npromises];
	uint32_t at = 0, child;

	for (; (child = 2 * at + 1) < j->npromises; at = child) {
		if (child + 1 < j->npromises &&
		    promises_more(&j->promises[child + 1], &j->promises[child]))
			child++;
		if (!promises_more(&j->promises[child], &last))
			break;
		j->promises[at] = j->promises[child];
	}
	j->promises[at] = last;
	return top;
}

/* ---- slices ---- */

static double length(const struct vzq_slice *s)
{
	return s->end - s->start;
}

/* Whether A comes before B in the answer. */
static bool precedes(const struct vzq_slice *a, const struct vzq_slice *b)
{
	if (length(a) < length(b) || length(a) > length(b))
		return length(a) > length(b);
	if (a->start < b->start || a->start > b->start)
		return a->start < b->start;
	if (a->track != b->track)
		return a->track < b->track;
	return a->depth < b->depth;
}

static void sift_down(struct vzq_slice *p, uint32_t n, uint32_t at)
{
	const struct vzq_slice moved = p[at];
	uint32_t child;

	for (; (child = 2 * at + 1) < n; at = child) {
		if (child + 1 < n && precedes(&p[child], &p[child + 1]))
			child++;
		if (!precedes(&moved, &p[child]))
			break;
		p[at] = p[child];
	}
	p[at] = moved;
}

static void add_slice(struct slowest_job *j, const struct vzq_slice *s)
{
	struct vzq_slice *p = j->job.result.slices;
	uint32_t at = j->nslices;

	if (at == j->wanted) {
		if (!at || !precedes(s, &p[0]))
			return;
		p[0] = *s;
		sift_down(p, j->nslices, 0);
		return;
	}
	for (j->nslices++; at && precedes(&p[(at - 1) / 2], s); at = (at - 1) / 2)
		p[at] = p[(at - 1) / 2];
	p[at] = *s;
}

static void sort_slices(struct slowest_job *j)
{
	struct vzq_slice *p = j->job.result.slices;

	for (uint32_t n = j->nslices; n > 1; n--) {
		const struct vzq_slice last = p[0];

		p[0] = p[n - 1];
		sift_down(p, n - 1, 0);
		p[n - 1] = last;
	}
	j->job.result.nslices = j->nslices;
}

/* ---- what comes ---- */

/* 1: the longest call in bounds that the row allows; 0: none; -EBADMSG. */
static int allows(const struct slowest_job *j, struct vzt_cursor *c, const struct vzt_function *row,
		  uint64_t *ret)
{
	uint32_t bucket = UINT32_MAX;
	int any = 0;

	for (uint32_t i = 0; i < row->nbuckets; i++) {
		uint64_t count, last;

		if (vzt_bucket(c, &bucket, &count) < 0)
			return -EBADMSG;
		last = bucket + 1 < VZI_BUCKETS ? vzi_bucket_ns(bucket + 1) - 1 : UINT64_MAX;
		last = last < row->max_ns ? last : row->max_ns;
		if (!count || last < j->least || vzi_bucket_ns(bucket) >= j->below)
			continue;
		*ret = last < j->below ? last : j->below - 1;
		any = 1;
	}
	return any;
}

static int skip_buckets(struct vzt_cursor *c, uint32_t n)
{
	uint32_t bucket = UINT32_MAX;
	uint64_t count;
	int rc = 0;

	while (n-- && rc == 0)
		rc = vzt_bucket(c, &bucket, &count);
	return rc;
}

/* As allows(), of a whole tile. */
static int tile_allows(const struct slowest_job *j, struct vzt_cursor c, uint64_t *ret)
{
	struct vzt_function row;
	int rc;

	while ((rc = vzt_next_function(&c, &row)) == 1) {
		if (row.function > j->fn)
			return 0;
		if (row.function == j->fn)
			return allows(j, &c, &row, ret);
		rc = skip_buckets(&c, row.nbuckets);
		if (rc < 0)
			break;
	}
	return rc;
}

static int take_summary(struct slowest_job *j, const struct vzq_item *item, const uint8_t *p,
			size_t n)
{
	const struct vzi_tile *tile = &j->job.q->tiles[item->id];
	struct promise promise = { 0, tile->track, tile->first, tile->level - 1 };
	struct vzt_cursor c;
	int rc, added = 0;

	vzt_rows(&c, tile, p, n);
	rc = tile_allows(j, c, &promise.ns);
	if (rc < 0)
		promise.ns = UINT64_MAX; /* it may hold anything */
	if (rc)
		added = add_promise(j, &promise);
	return added < 0 || rc == 1 ? added : rc;
}

static int on_leave(void *ctx, const struct vz_visit *at)
{
	struct slowest_job *j = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	uint64_t begin, ns;
	struct vzq_slice s;

	if (frame->symbol >> VZ_SYMBOL_SHIFT != j->fn || at->how >= VZ_LEAVE_UNSEEN ||
	    (frame->symbol & ENTRY_MASK) == VZ_ENTRY_OPEN)
		return 0;
	begin = vzq_since(j->job.q, frame->begin_ns);
	ns = vzq_since(j->job.q, at->ns);
	if (ns < j->from || ns >= j->to || ns - begin < j->least || ns - begin >= j->below)
		return 0;
	s = (struct vzq_slice){
		.start = (double)begin,
		.end = (double)ns,
		.track = j->track,
		.depth = at->depth - 1,
		.fn = j->fn,
		.how = (frame->symbol & ENTRY_MASK) | (uint32_t)at->how << VZI_HOW_LEAVE_SHIFT,
	};
	add_slice(j, &s);
	return 0;
}

/* A stay that ends in a block is told by it alone, also where blocks before are missing. */
static int take_block(struct slowest_job *j, const struct vzq_item *item, const uint8_t *p,
		      size_t n)
{
	static const struct vz_visitor visitor = { .leave = on_leave };
	struct vz_line line = { 0 };
	const struct vzq_scan scan = { .line = &line, .visitor = &visitor, .ctx = j };
	int rc;

	j->track = item->arg;
	rc = vzq_scan(j->job.q, item, p, n, &scan);
	vz_line_fini(&j->job.q->steps, &line);
	return rc;
}

static int take(struct vzq_job *job, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	struct slowest_job *j = (struct slowest_job *)job;

	switch (item->tag) {
	case TAG_SUMMARY:
		return take_summary(j, item, p, n);
	case VZQ_TAG_EDGE:
		return take_block(j, item, p, n);
	default:
		return 0; /* stacks before it do not matter */
	}
}

/* ---- the plan ---- */

static int plan_block(struct slowest_job *j, uint32_t track, uint32_t i)
{
	const struct vzq_item item = {
		.kind = VZQ_WANT_BLOCK,
		.id = j->job.q->tracks[track].first_block + i,
		.tag = VZQ_TAG_EDGE,
		.arg = track,
	};

	if (vzq_block_of(j->job.q, track, i)->flags & VZI_BLOCK_UNREADABLE)
		return 0;
	return vzq_job_plan(&j->job, &item);
}

static int plan_track(struct slowest_job *j, uint32_t track)
{
	struct vzq_span span = { .track = track, .kind = VZI_FUNCS };
	struct vzq_cover c;
	int rc = 0;

	vzq_cover(j->job.q, track, j->from, j->from, j->to, &c);
	for (uint32_t i = c.first; i < c.lo && rc == 0; i++)
		rc = plan_block(j, track, i);
	for (uint32_t i = c.hi; i < c.end && rc == 0; i++)
		rc = plan_block(j, track, i);
	span.lo = c.lo;
	span.hi = c.hi;
	return rc < 0 ? rc : vzq_plan_span(&j->job, &span, VZI_LEVELS, TAG_SUMMARY);
}

static int look_into(struct slowest_job *j, const struct promise *promise)
{
	uint32_t n = j->job.q->tracks[promise->track].nblocks;
	struct vzq_span span = { promise->track, VZI_FUNCS, promise->block, n };
	uint32_t size = 1u << VZI_FANOUT_SHIFT * (promise->level + 1);

	if (promise->level < 0)
		return plan_block(j, promise->track, promise->block);
	if (size < n - promise->block)
		span.hi = promise->block + size;
	return vzq_plan_span(&j->job, &span, promise->level, TAG_SUMMARY);
}

/* Whether a call of NS would be in the answer. */
static bool is_wanted(const struct slowest_job *j, uint64_t ns)
{
	return j->nslices < j->wanted || (double)ns >= length(&j->job.result.slices[0]);
}

static int next(struct vzq_job *job)
{
	struct slowest_job *j = (struct slowest_job *)job;
	int rc = 0;

	for (uint32_t i = 0; !j->begun && i < j->tracks.n && j->from < j->to && rc == 0; i++)
		rc = plan_track(j, j->tracks.p[i]);
	j->begun = true;
	for (uint32_t i = 0; i < BATCH && rc == 0 && j->wanted && j->npromises; i++) {
		struct promise promise;

		if (!is_wanted(j, j->promises[0].ns))
			break;
		if (i && job->nitems >= BATCH)
			break;
		promise = take_promise(j);
		rc = look_into(j, &promise);
	}
	if (rc == 0 && !job->nitems)
		sort_slices(j);
	return rc;
}

static void fini(struct vzq_job *job)
{
	struct slowest_job *j = (struct slowest_job *)job;

	vzq_tracks_fini(&j->tracks);
	free(j->promises);
}

struct vzq_job *vzq_slowest(struct vzq *q, const struct vzq_range *range, uint32_t fn, uint32_t n,
			    double least, double below)
{
	struct slowest_job *j = vzq_job_new(q, sizeof(*j));

	if (!j)
		return NULL;
	j->job.next = next;
	j->job.take = take;
	j->job.fini = fini;
	j->fn = fn;
	j->wanted = n < MAX_SLICES ? n : MAX_SLICES;
	j->from = vzq_ns(range->from);
	j->to = vzq_end_ns(q, range->to);
	j->least = vzq_ns(least);
	j->below = below < (double)VZQ_MAX_NS ? vzq_ns(below) : UINT64_MAX;
	j->job.result.slices = calloc(j->wanted + 1u, sizeof(*j->job.result.slices));
	if (!j->job.result.slices ||
	    vzq_tracks_init(q, &j->tracks, range->tracks, range->ntracks) < 0) {
		vzq_job_free(&j->job);
		return NULL;
	}
	return &j->job;
}
