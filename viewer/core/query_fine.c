/* SPDX-License-Identifier: MIT */
/*
 * What a view needs beside SLICES and RUNS: short calls from events, gaps, counters.
 *
 * A short call has its record from its begin on, so that records are in order of start; those that
 * turn out not to be short, or whose end is not seen, are taken out in the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/query_core.h"

enum {
	MAX_FINE = VZT_MAX_RECORDS,
	FIRST_FINE = 1 << 10,
	NO_RECORD = UINT32_MAX,
	OPEN = -1, /* .end of a call that is under way */
	ENTRY_MASK = (1 << VZ_SYMBOL_SHIFT) - 1,
};

struct fine_record {
	double start, end;
	uint32_t fn;
	uint16_t depth;
	uint8_t how;
};

struct fine_job {
	struct vzq_job job;
	uint32_t track;
	uint64_t from, to;
	bool planned;
	struct vz_line line;
	struct fine_record *records;
	uint32_t n, cap;
	uint32_t *open; /* record of each frame */
	uint32_t depth, open_cap;
};

/* ---- records while the events are gone through ---- */

static int more_records(struct fine_job *j)
{
	uint32_t cap = j->cap ? j->cap * 2 : FIRST_FINE;
	struct fine_record *bigger = realloc(j->records, cap * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	j->records = bigger;
	j->cap = cap;
	return 0;
}

static int more_open(struct fine_job *j)
{
	uint32_t cap = j->open_cap ? j->open_cap * 2 : 64;
	uint32_t *bigger = realloc(j->open, cap * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	j->open = bigger;
	j->open_cap = cap;
	return 0;
}

static int add(struct fine_job *j, const struct vz_visit *at, uint64_t ns)
{
	uint32_t symbol = at->stack[at->depth - 1].symbol;

	if (j->n == j->cap && more_records(j) < 0)
		return -ENOMEM;
	j->records[j->n] = (struct fine_record){
		.start = (double)ns,
		.end = OPEN,
		.fn = symbol >> VZ_SYMBOL_SHIFT,
		.depth = at->depth - 1 < UINT16_MAX ? (uint16_t)(at->depth - 1) : UINT16_MAX,
		.how = symbol & ENTRY_MASK,
	};
	j->open[j->depth] = j->n++;
	return 0;
}

static int fine_enter(void *ctx, const struct vz_visit *at)
{
	struct fine_job *j = ctx;
	uint64_t ns = vzq_since(j->job.q, at->ns);
	int rc = 0;

	if (j->depth == j->open_cap)
		rc = more_open(j);
	if (rc < 0)
		return rc;
	j->open[j->depth] = NO_RECORD;
	if (ns >= j->from && ns < j->to) {
		if (j->n < MAX_FINE)
			rc = add(j, at, ns);
		else
			j->job.result.left_out++;
	}
	j->depth++;
	return rc;
}

static int fine_leave(void *ctx, const struct vz_visit *at)
{
	struct fine_job *j = ctx;
	uint32_t i = j->open[--j->depth];

	if (i != NO_RECORD && at->how < VZ_LEFT_GAP) {
		j->records[i].end = (double)vzq_since(j->job.q, at->ns);
		j->records[i].how |= (uint8_t)(at->how << VZI_HOW_LEAVE_SHIFT);
	}
	return 0;
}

static int fine_take(struct vzq_job *job, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	static const struct vz_visitor visitor = { .enter = fine_enter, .leave = fine_leave };
	struct fine_job *j = (struct fine_job *)job;
	const struct vzq_scan scan = { .line = &j->line, .visitor = &visitor, .ctx = j };

	return vzq_scan(job->q, item, p, n, &scan);
}

/* ---- the plan and the answer ---- */

/* Blocks with events from the begin of the window to where a short call in it may end. */
static int plan_blocks(struct fine_job *j)
{
	const struct vzq *q = j->job.q;
	uint32_t n = q->tracks[j->track].nblocks;
	uint64_t until = j->to + VZI_FINE_NS;
	struct vzq_item item = { .kind = VZQ_WANT_BLOCK };
	uint32_t i = vzq_begun(q, j->track, j->from);
	int rc = 0;

	while (i > 0 && vzq_last_event(q, j->track, i - 1) >= j->from)
		i--;
	for (; i < n && rc == 0; i++) {
		const struct vzi_block *b = vzq_block_of(q, j->track, i);

		if (b->from_ns >= until)
			break;
		item.id = q->tracks[j->track].first_block + i;
		if (!(b->flags & VZI_BLOCK_UNREADABLE))
			rc = vzq_job_plan(&j->job, &item);
	}
	return rc;
}

static bool is_fine(const struct fine_record *r)
{
	return r->end >= r->start && r->end - r->start < VZI_FINE_NS;
}

static int make_records(struct fine_job *j)
{
	struct vzt_records *r = &j->job.result.records;
	uint32_t n = 0, k = 0;
	int rc;

	for (uint32_t i = 0; i < j->n; i++)
		n += is_fine(&j->records[i]);
	rc = vzt_records_init(r, n);
	for (uint32_t i = 0; i < j->n && rc == 0; i++) {
		const struct fine_record *from = &j->records[i];

		if (!is_fine(from))
			continue;
		r->start[k] = from->start;
		r->end[k] = from->end;
		r->fn[k] = from->fn;
		r->count[k] = 1;
		r->depth[k] = from->depth;
		r->how[k++] = from->how;
	}
	return rc;
}

static int fine_next(struct vzq_job *job)
{
	struct fine_job *j = (struct fine_job *)job;
	int rc = 0;

	if (!j->planned)
		rc = plan_blocks(j);
	j->planned = true;
	return rc < 0 || job->nitems ? rc : make_records(j);
}

static void fine_fini(struct vzq_job *job)
{
	struct fine_job *j = (struct fine_job *)job;

	vz_line_fini(&job->q->steps, &j->line);
	free(j->records);
	free(j->open);
}

struct vzq_job *vzq_fine(struct vzq *q, uint32_t track, uint32_t window)
{
	struct fine_job *j = vzq_job_new(q, sizeof(*j));

	if (!j)
		return NULL;
	j->job.next = fine_next;
	j->job.take = fine_take;
	j->job.fini = fine_fini;
	j->track = track;
	j->from = (uint64_t)window << VZQ_WINDOW_SHIFT;
	j->to = j->from + (1u << VZQ_WINDOW_SHIFT);
	j->planned = track >= q->head->ntracks;
	return &j->job;
}

/* ---- gaps ---- */

struct gaps_job {
	struct vzq_job job;
	uint32_t track;
	bool planned;
};

static int append(struct vzt_records *all, const struct vzt_records *some)
{
	struct vzt_records both;
	int rc = vzt_records_init(&both, all->n + some->n);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < both.n; i++) {
		const struct vzt_records *from = i < all->n ? all : some;
		uint32_t k = i < all->n ? i : i - all->n;

		both.start[i] = from->start[k];
		both.end[i] = from->end[k];
		both.fn[i] = from->fn[k];
		both.count[i] = from->count[k];
		both.depth[i] = from->depth[k];
		both.how[i] = from->how[k];
	}
	vzt_records_fini(all);
	*all = both;
	return 0;
}

static int gaps_take(struct vzq_job *job, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	struct vzt_records some;
	int rc = vzt_decode(&job->q->tiles[item->id], p, n, &some);

	if (rc < 0)
		return rc;
	rc = append(&job->result.records, &some);
	vzt_records_fini(&some);
	return rc;
}

static int gaps_next(struct vzq_job *job)
{
	struct gaps_job *j = (struct gaps_job *)job;

	if (j->planned)
		return 0;
	j->planned = true;
	return vzq_job_plan_group(job, vzq_group(job->q, j->track, VZI_GAPS, 0), 0, 0);
}

struct vzq_job *vzq_gaps(struct vzq *q, uint32_t track)
{
	struct gaps_job *j = vzq_job_new(q, sizeof(*j));

	if (!j)
		return NULL;
	j->job.next = gaps_next;
	j->job.take = gaps_take;
	j->track = track;
	j->planned = track >= q->head->ntracks;
	return &j->job;
}

/* ---- samples of a counter ---- */

struct samples_job {
	struct vzq_job job;
	uint32_t track;
	uint64_t from, to;
	double wanted; /* records, about */
	bool planned;
};

static int samples_take(struct vzq_job *job, const struct vzq_item *item, const uint8_t *p,
			size_t n)
{
	struct vzt_samples *all = &job->result.samples, some, both;
	int rc = vzt_decode_samples(&job->q->tiles[item->id], p, n, &some);

	if (rc < 0)
		return rc;
	rc = vzt_samples_init(&both, all->n + some.n);
	if (rc == 0) {
		vzt_samples_copy(&both, 0, all);
		vzt_samples_copy(&both, all->n, &some);
		vzt_samples_fini(all);
		*all = both;
	}
	vzt_samples_fini(&some);
	return rc;
}

/* Tiles of a level that have a part in the range, and the one before, which says how it begins. */
static struct vzq_group in_range(const struct samples_job *j, unsigned level, uint64_t *records)
{
	const struct vzq *q = j->job.q;
	struct vzq_group group = vzq_group(q, j->track, VZI_SAMPLES, level);
	uint32_t end = group.first + group.n;
	uint32_t first = vzq_first_reaching(q, group, j->from), last = first;

	if (first > group.first && group.n)
		first--;
	*records = 0;
	for (; last < end && q->tiles[last].t0_ns < j->to; last++)
		*records += q->tiles[last].count;
	return (struct vzq_group){ first, last > first ? last - first : 0 };
}

/* The finest level that does not hold far more than can be seen. */
static int samples_next(struct vzq_job *job)
{
	struct samples_job *j = (struct samples_job *)job;
	struct vzq_group best = { 0 };

	if (j->planned)
		return 0;
	j->planned = true;
	for (unsigned level = 0; level < VZI_LEVELS; level++) {
		uint64_t records;
		struct vzq_group group = in_range(j, level, &records);

		if (!group.n && level)
			break;
		best = group;
		if ((double)records <= j->wanted + VZI_TILE_RECORDS * 2)
			break;
	}
	return vzq_job_plan_group(job, best, 0, 0);
}

struct vzq_job *vzq_samples(struct vzq *q, uint32_t track, double from, double to,
			    double resolution)
{
	struct samples_job *j = vzq_job_new(q, sizeof(*j));

	if (!j)
		return NULL;
	j->job.next = samples_next;
	j->job.take = samples_take;
	j->track = track;
	j->from = vzq_ns(from);
	j->to = vzq_end_ns(q, to);
	j->wanted = resolution > 0 ? (to - from) / resolution : 0;
	j->planned = track >= q->head->ntracks;
	return &j->job;
}
