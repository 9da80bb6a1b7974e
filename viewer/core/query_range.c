/* SPDX-License-Identifier: MIT */
/*
 * Answers about a range: aggregate, butterfly, histogram.  Blocks that are wholly in it are
 * summed up by summaries as large as fit; those at its edges are read.  A summary that
 * cannot be read is replaced by those below it, in the end by the block.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/query_sums.h"

enum tag {
	TAG_NODES = VZQ_TAG_OWN,
	TAG_SUMMARY,
	TAG_GAPS,
};

enum what {
	TABLE,
	AGGREGATE, /* the same, and the tree */
	BUTTERFLY,
	HISTOGRAM,
};

enum step {
	STEP_NODES,
	STEP_SUMS,
	STEP_ANSWER,
	STEP_DONE,
};

struct range_job {
	struct vzq_job job;
	enum what what;
	enum step step;
	uint32_t fn;
	uint64_t from, to;
	struct vzq_tracks tracks;
	struct vzq_table table;
	struct vzq_table unused; /* what a block says of functions where only its paths count */
	struct vzq_paths paths;
	struct vzq_edge edge;
	uint64_t lost;
};

static bool has_paths(const struct range_job *j)
{
	return j->what == AGGREGATE || j->what == BUTTERFLY;
}

static int plan_edges(struct range_job *j, uint32_t track, uint32_t lo, uint32_t hi)
{
	int rc = 0;

	for (uint32_t i = lo; i < hi && rc == 0; i++)
		rc = vzq_edge_plan(&j->job, track, i, 0);
	return rc;
}

static int plan_track(struct range_job *j, uint32_t track)
{
	struct vzq_group gaps = vzq_group(j->job.q, track, VZI_GAPS, 0);
	struct vzq_cover c;
	struct vzq_span span;
	int rc;

	vzq_cover(j->job.q, track, j->from, j->from, j->to, &c);
	span = (struct vzq_span){ track, VZI_FUNCS, c.lo, c.hi };
	rc = plan_edges(j, track, c.first, c.lo);
	if (rc == 0)
		rc = vzq_plan_span(&j->job, &span, VZI_LEVELS, TAG_SUMMARY);
	span.kind = VZI_PATHS;
	if (rc == 0 && has_paths(j))
		rc = vzq_plan_span(&j->job, &span, VZI_LEVELS, TAG_SUMMARY);
	if (rc == 0)
		rc = plan_edges(j, track, c.hi, c.end);
	if (rc == 0 && (j->what == TABLE || j->what == AGGREGATE))
		rc = vzq_job_plan_group(&j->job, gaps, TAG_GAPS, track);
	return rc;
}

static int plan_nodes(struct range_job *j)
{
	int rc = 0;

	for (uint32_t i = 0; i < j->tracks.n && rc == 0 && has_paths(j); i++)
		rc = vzq_plan_nodes(&j->job, j->tracks.p[i], TAG_NODES);
	return rc;
}

static int plan_sums(struct range_job *j)
{
	int rc = 0;

	if (has_paths(j)) {
		/* Those of the last range make room; these will take their place anyway. */
		vzq_last_fini(&j->job.q->last);
		rc = vzq_paths_init(&j->paths, vzq_forest_size(j->job.q->forest));
	}
	for (uint32_t i = 0; i < j->tracks.n && rc == 0 && j->from < j->to; i++)
		rc = plan_track(j, j->tracks.p[i]);
	return rc;
}

/* ---- what comes ---- */

static int take_gaps(struct range_job *j, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	struct vzt_records gaps;
	int rc = vzt_decode(&j->job.q->tiles[item->id], p, n, &gaps);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < gaps.n; i++)
		if (gaps.end[i] >= (double)j->from && gaps.end[i] < (double)j->to)
			j->lost += gaps.count[i];
	vzt_records_fini(&gaps);
	return 0;
}

/* The summary is no good: what it is of, by smaller ones. */
static int instead(struct range_job *j, const struct vzi_tile *tile)
{
	struct vzq_span span;

	vzq_summary_span(j->job.q, tile, &span);
	if (tile->level == 0)
		return vzq_edge_plan(&j->job, tile->track, tile->first, tile->kind);
	return vzq_plan_span(&j->job, &span, tile->level - 1, TAG_SUMMARY);
}

static int take_summary(struct range_job *j, const struct vzq_item *item, const uint8_t *p,
			size_t n)
{
	const struct vzi_tile *tile = &j->job.q->tiles[item->id];
	int rc, planned;

	if (tile->kind == VZI_FUNCS)
		rc = vzq_table_add(&j->table, tile, p, n);
	else if (!vzq_has_nodes(j->job.q->forest, tile->track))
		return -EBADMSG;
	else
		rc = vzq_add_paths(j->job.q, item, p, n, &j->paths);
	planned = rc == -EBADMSG ? instead(j, tile) : 0;
	return planned < 0 ? planned : rc;
}

static int take_edge(struct range_job *j, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	struct vzq_edge *e = &j->edge;

	e->track = item->arg;
	e->table = item->mode == VZI_PATHS ? &j->unused : &j->table;
	e->paths = item->mode == VZI_FUNCS || !j->paths.p ? NULL : &j->paths;
	return vzq_edge_take(e, item, p, n);
}

static int take(struct vzq_job *job, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	struct range_job *j = (struct range_job *)job;

	switch (item->tag) {
	case TAG_NODES:
		return vzq_take_nodes(job->q, item, p, n);
	case TAG_SUMMARY:
		return take_summary(j, item, p, n);
	case TAG_GAPS:
		return take_gaps(j, item, p, n);
	default:
		return take_edge(j, item, p, n);
	}
}

/* ---- the answer ---- */

static bool is_last(const struct vzq_last *last, const struct range_job *j)
{
	return last->paths.p && last->from == j->from && last->to == j->to &&
	       last->ntracks == j->tracks.n &&
	       memcmp(last->tracks, j->tracks.p, j->tracks.n * sizeof(*j->tracks.p)) == 0;
}

/* Keep the sums for the next question about the same range. */
static void keep(struct range_job *j)
{
	struct vzq_last *last = &j->job.q->last;

	vzq_last_fini(last);
	*last = (struct vzq_last){
		.from = j->from,
		.to = j->to,
		.tracks = j->tracks.p,
		.ntracks = j->tracks.n,
		.paths = j->paths,
		.bad = j->job.result.bad,
	};
	j->tracks = (struct vzq_tracks){ 0 };
	j->paths = (struct vzq_paths){ 0 };
}

static int make_table(struct range_job *j)
{
	struct vzq_result *r = &j->job.result;
	uint64_t busy = 0;
	int rc = vzq_table_rows(&j->table, &r->rows);

	for (uint32_t i = 0; i < j->table.n; i++)
		busy += j->table.f[i].self_ns;
	r->busy_ns = (double)busy;
	r->lost = (double)j->lost;
	return rc;
}

static int make_histogram(struct range_job *j)
{
	struct vzq_result *r = &j->job.result;

	r->keys = malloc(VZI_BUCKETS * sizeof(*r->keys));
	r->values = malloc(VZI_BUCKETS * sizeof(*r->values));
	if (!r->keys || !r->values)
		return -ENOMEM;
	for (uint32_t i = 0; i < VZI_BUCKETS; i++) {
		uint64_t count = vzq_table_counted(&j->table, j->fn, i);

		if (!count)
			continue;
		r->keys[r->nvalues] = (double)vzi_bucket_ns(i);
		r->values[r->nvalues++] = (double)count;
	}
	return 0;
}

static int make_butterfly(struct range_job *j)
{
	const struct vzq_last *last = &j->job.q->last;

	j->job.result.bad = last->bad;
	if (j->fn >= VZ_MAX_FUNCTIONS)
		j->fn = VZ_MAX_FUNCTIONS; /* there is none */
	return vzq_butterfly_make(j->job.q->forest, &last->paths, j->fn, j->job.result.tree);
}

static int finish(struct range_job *j)
{
	int rc;

	if (j->what == HISTOGRAM)
		return make_histogram(j);
	if (j->what == BUTTERFLY) {
		keep(j);
		return make_butterfly(j);
	}
	rc = make_table(j);
	if (rc < 0 || j->what == TABLE)
		return rc;
	rc = vzq_tree_make(j->job.q->forest, &j->paths, &j->job.result.tree[VZQ_TREE]);
	if (rc == 0)
		keep(j);
	return rc;
}

/* Each step plans, or does nothing; the last one answers. */
static int do_step(struct range_job *j)
{
	switch (j->step++) {
	case STEP_NODES:
		if (j->what != BUTTERFLY || !is_last(&j->job.q->last, j))
			return plan_nodes(j);
		j->step = STEP_DONE;
		return make_butterfly(j);
	case STEP_SUMS:
		return plan_sums(j);
	default:
		return finish(j);
	}
}

static int next(struct vzq_job *job)
{
	struct range_job *j = (struct range_job *)job;
	int rc = 0;

	while (j->step != STEP_DONE && rc == 0 && !job->nitems)
		rc = do_step(j);
	return rc;
}

static void fini(struct vzq_job *job)
{
	struct range_job *j = (struct range_job *)job;

	vzq_edge_fini(&j->edge);
	vzq_tracks_fini(&j->tracks);
	vzq_table_fini(&j->table);
	vzq_table_fini(&j->unused);
	vzq_paths_fini(&j->paths);
}

static struct vzq_job *range_new(struct vzq *q, const struct vzq_range *range, enum what what,
				 uint32_t fn)
{
	struct range_job *j = vzq_job_new(q, sizeof(*j));

	if (!j)
		return NULL;
	j->job.next = next;
	j->job.take = take;
	j->job.fini = fini;
	j->what = what;
	j->fn = fn;
	j->from = vzq_ns(range->from);
	j->to = vzq_end_ns(q, range->to);
	j->edge = (struct vzq_edge){ .q = q, .from = j->from, .to = j->to };
	if (vzq_tracks_init(q, &j->tracks, range->tracks, range->ntracks) < 0) {
		vzq_job_free(&j->job);
		return NULL;
	}
	return &j->job;
}

struct vzq_job *vzq_aggregate(struct vzq *q, const struct vzq_range *range, bool tree)
{
	return range_new(q, range, tree ? AGGREGATE : TABLE, 0);
}

struct vzq_job *vzq_butterfly(struct vzq *q, const struct vzq_range *range, uint32_t fn)
{
	return range_new(q, range, BUTTERFLY, fn);
}

struct vzq_job *vzq_histogram(struct vzq *q, const struct vzq_range *range, uint32_t fn)
{
	return range_new(q, range, HISTOGRAM, fn);
}
