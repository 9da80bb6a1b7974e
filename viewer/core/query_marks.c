/* SPDX-License-Identifier: MIT */
/*
 * Where some functions are called, over the whole trace.  What has calls is looked into
 * further as long as that costs no more than a budget: rare functions are found to the call,
 * of frequent ones it is known how often each part of the trace has them.
 */
#include <errno.h>
#include <stdlib.h>

#include "viewer/core/query_set.h"

enum {
	TAG_SUMMARY = 1,
	TAG_BLOCK = 2,
	BUDGET = 24 << 20, /* bytes */
	MAX_BUCKETS = 1 << 16,
	ENTRY_MASK = (1 << VZ_SYMBOL_SHIFT) - 1,
};

/* 16^level blocks. */
struct unit {
	uint32_t track, number;
	int level;
	bool unsure; /* it has no summary, or one that cannot be read */
	uint64_t entries;
};

struct units {
	struct unit *p;
	uint32_t n, cap;
};

struct marks_job {
	struct vzq_job job;
	struct vzq_set fns;
	bool begun;
	uint64_t spent;
	struct units now; /* those that are looked at */
	/* of the block that is read */
	uint32_t known;
	uint64_t limit;
};

static int add_unit(struct units *units, const struct unit *unit)
{
	if (units->n == units->cap) {
		uint32_t cap = units->cap ? units->cap * 2 : 64;
		struct unit *bigger = realloc(units->p, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		units->p = bigger;
		units->cap = cap;
	}
	units->p[units->n++] = *unit;
	return 0;
}

/* ---- marks ---- */

static uint32_t bucket_of(const struct marks_job *j, uint64_t ns)
{
	uint64_t duration = j->job.q->head->duration_ns;
	double at = duration ? (double)ns * j->job.result.nvalues / (double)duration : 0;

	return at < j->job.result.nvalues ? (uint32_t)at : j->job.result.nvalues - 1;
}

/* ENTRIES are somewhere between FROM and TO. */
static void spread(struct marks_job *j, uint64_t from, uint64_t to, uint64_t entries)
{
	double width = (double)j->job.q->head->duration_ns / j->job.result.nvalues;
	uint32_t first = bucket_of(j, from), last = bucket_of(j, to);
	double each = to > from ? (double)entries / (double)(to - from) : 0;

	if (first == last || !(each > 0)) {
		j->job.result.values[first] += (double)entries;
		return;
	}
	for (uint32_t i = first; i <= last; i++) {
		double lo = i == first ? (double)from : width * i;
		double hi = i == last ? (double)to : width * (i + 1);

		if (hi > lo)
			j->job.result.values[i] += (hi - lo) * each;
	}
}

static void spread_unit(struct marks_job *j, const struct unit *unit)
{
	const struct vzq *q = j->job.q;
	uint32_t n = q->tracks[unit->track].nblocks;
	uint64_t first = (uint64_t)unit->number << VZI_FANOUT_SHIFT * unit->level;
	uint64_t last = ((uint64_t)unit->number + 1) << VZI_FANOUT_SHIFT * unit->level;

	last = (last < n ? last : n) - 1;
	spread(j, vzq_block_of(q, unit->track, (uint32_t)first)->from_ns,
	       vzq_covered(q, unit->track, (uint32_t)last), unit->entries);
}

/* ---- what comes ---- */

static int on_enter(void *ctx, const struct vz_visit *at)
{
	struct marks_job *j = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	uint64_t ns = vzq_since(j->job.q, at->ns);

	if (j->known) {
		j->known--;
		if (ns < j->limit)
			return 0;
	}
	if ((frame->symbol & ENTRY_MASK) != VZ_ENTRY_OPEN &&
	    vzq_set_has(&j->fns, frame->symbol >> VZ_SYMBOL_SHIFT))
		j->job.result.values[bucket_of(j, ns)]++;
	return 0;
}

static int take_block(struct marks_job *j, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	static const struct vz_visitor visitor = { .enter = on_enter };
	const struct vzi_block *b = &j->job.q->blocks[item->id];
	struct vz_line line = { 0 };
	const struct vzq_scan scan = { &line, &visitor, j, &j->known };
	int rc;

	j->known = 0;
	j->limit = UINT64_MAX;
	if (vzq_readable_before(j->job.q, item->arg, item->more) == VZQ_NO_BLOCK)
		j->limit = 0;
	else if (b->flags & VZI_BLOCK_AFTER_HOLE)
		j->limit = b->from_ns;
	rc = vzq_scan(j->job.q, item, p, n, &scan);
	vz_line_fini(&j->job.q->steps, &line);
	return rc;
}

static int take(struct vzq_job *job, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	struct marks_job *j = (struct marks_job *)job;
	struct unit *unit;
	int rc;

	if (item->tag == TAG_BLOCK)
		return take_block(j, item, p, n);
	unit = &j->now.p[item->arg];
	rc = vzq_set_in_summary(&j->fns, &job->q->tiles[item->id], p, n, &unit->entries);
	unit->unsure = rc < 0;
	return rc < 0 ? rc : 0;
}

/* ---- the plan ---- */

static bool may_hold(const struct marks_job *j, const struct unit *unit)
{
	const struct vzi_block *b;

	if (unit->level || !unit->unsure)
		return unit->entries || unit->unsure;
	b = vzq_block_of(j->job.q, unit->track, unit->number);
	return !(b->flags & VZI_BLOCK_UNREADABLE);
}

/* Units that UNIT is made of. */
static uint32_t children(const struct marks_job *j, const struct unit *unit, uint32_t *first)
{
	uint32_t n = j->job.q->tracks[unit->track].nblocks;
	uint64_t all = ((n - 1u) >> VZI_FANOUT_SHIFT * (unit->level - 1)) + UINT64_C(1);
	uint64_t end = ((uint64_t)unit->number + 1) << VZI_FANOUT_SHIFT;

	*first = unit->number << VZI_FANOUT_SHIFT;
	return (uint32_t)((end < all ? end : all) - *first);
}

static uint32_t summary_of(const struct marks_job *j, const struct unit *unit)
{
	return vzq_summary(j->job.q, unit->track, VZI_FUNCS, (unsigned)unit->level,
			   unit->number << VZI_FANOUT_SHIFT * unit->level);
}

/* Bytes that have to be read to know more of UNIT. */
static uint64_t cost(const struct marks_job *j, const struct unit *unit)
{
	uint64_t bytes = 0;
	uint32_t first, n;

	if (!unit->level)
		return vzq_block_of(j->job.q, unit->track, unit->number)->raw_bytes;
	n = children(j, unit, &first);
	for (uint32_t i = 0; i < n; i++) {
		struct unit child = { unit->track, first + i, unit->level - 1, false, 0 };
		uint32_t tile = summary_of(j, &child);

		if (tile != VZQ_NO_BLOCK)
			bytes += j->job.q->tiles[tile].bytes;
	}
	return bytes;
}

/* Ask for the summaries of all units. */
static int plan_units(struct marks_job *j)
{
	struct vzq_item item = { .kind = VZQ_WANT_TILE, .tag = TAG_SUMMARY };
	int rc = 0;

	for (uint32_t i = 0; i < j->now.n && rc == 0; i++) {
		item.id = summary_of(j, &j->now.p[i]);
		item.arg = i;
		if (item.id == VZQ_NO_BLOCK)
			j->now.p[i].unsure = true;
		else
			rc = vzq_job_plan(&j->job, &item);
	}
	return rc;
}

static int plan_block(struct marks_job *j, const struct unit *unit)
{
	const struct vzq_item item = {
		.kind = VZQ_WANT_BLOCK,
		.id = j->job.q->tracks[unit->track].first_block + unit->number,
		.tag = TAG_BLOCK,
		.arg = unit->track,
		.more = unit->number,
	};

	return vzq_job_plan(&j->job, &item);
}

/* All that may hold calls by its parts: blocks at once, other units as the next ones. */
static int refine(struct marks_job *j)
{
	struct units old = j->now;
	int rc = 0;

	j->now = (struct units){ 0 };
	for (uint32_t i = 0; i < old.n && rc == 0; i++) {
		const struct unit *unit = &old.p[i];
		uint32_t first, n;

		if (!may_hold(j, unit))
			continue;
		if (!unit->level) {
			rc = plan_block(j, unit);
			continue;
		}
		n = children(j, unit, &first);
		for (uint32_t k = 0; k < n && rc == 0; k++) {
			struct unit child = { unit->track, first + k, unit->level - 1, false, 0 };

			rc = add_unit(&j->now, &child);
		}
	}
	free(old.p);
	return rc < 0 ? rc : plan_units(j);
}

static void settle(struct marks_job *j)
{
	for (uint32_t i = 0; i < j->now.n; i++)
		if (may_hold(j, &j->now.p[i])) {
			j->job.result.exact = false;
			spread_unit(j, &j->now.p[i]);
		}
	j->now.n = 0;
}

/* The largest units of each track. */
static int begin(struct marks_job *j)
{
	int rc = 0;

	j->begun = true;
	for (uint32_t t = 0; t < j->job.q->head->ntracks && rc == 0; t++) {
		uint32_t n = j->job.q->tracks[t].nblocks;
		struct unit unit = { .track = t };

		while (unit.level < VZQ_SUMMARY_LEVELS &&
		       vzq_group(j->job.q, t, VZI_FUNCS, (unsigned)unit.level + 1).n)
			unit.level++;
		for (; n && unit.number <= (n - 1) >> VZI_FANOUT_SHIFT * unit.level && rc == 0;
		     unit.number++)
			rc = add_unit(&j->now, &unit);
	}
	return rc < 0 ? rc : plan_units(j);
}

static int next(struct vzq_job *job)
{
	struct marks_job *j = (struct marks_job *)job;
	int rc = 0;

	if (!j->begun)
		rc = begin(j);
	while (rc == 0 && !job->nitems && j->now.n) {
		uint64_t bytes = 0;

		for (uint32_t i = 0; i < j->now.n; i++)
			if (may_hold(j, &j->now.p[i]))
				bytes += cost(j, &j->now.p[i]);
		j->spent += bytes;
		if (j->spent > BUDGET)
			settle(j);
		else
			rc = refine(j);
	}
	return rc;
}

static void fini(struct vzq_job *job)
{
	struct marks_job *j = (struct marks_job *)job;

	vzq_set_fini(&j->fns);
	free(j->now.p);
}

struct vzq_job *vzq_marks(struct vzq *q, const struct vzq_fns *fns, uint32_t buckets)
{
	struct marks_job *j = vzq_job_new(q, sizeof(*j));

	if (!j)
		return NULL;
	j->job.next = next;
	j->job.take = take;
	j->job.fini = fini;
	j->job.result.exact = true;
	j->job.result.nvalues = buckets < MAX_BUCKETS ? buckets : MAX_BUCKETS;
	if (!buckets)
		j->job.result.nvalues = 1;
	j->job.result.values = calloc(j->job.result.nvalues, sizeof(*j->job.result.values));
	if (!j->job.result.values || vzq_set_init(&j->fns, fns) < 0) {
		vzq_job_free(&j->job);
		return NULL;
	}
	return &j->job;
}
