/* SPDX-License-Identifier: MIT */
/*
 * Sums of random ranges of random traces against those made from the list of all calls.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kit_naive.h"
#include "viewer/stats.h"

#define ll(x) ((unsigned long long)(x))

enum {
	MAX_TRACKS = 8,
	PARTS = 5000,
};

struct asked {
	struct kit_range range;
	bool chosen[MAX_TRACKS];
	uint32_t tracks[MAX_TRACKS];
	struct vzq_range query;
};

/* A time at which a block begins, or 1 ns beside it. */
static uint64_t near_block(struct kit_query *k)
{
	const struct vzi_directory *d = vzq_directory(k->q);
	uint64_t ns = vzq_block(k->q, (uint32_t)kit_random(k->kit, d->nblocks))->from_ns;

	return ns ? ns - 1 + kit_random(k->kit, 3) : 0;
}

/* Ranges of all sizes, some at times of events, some beyond the trace, some of all tracks. */
static void choose(struct kit_query *k, struct asked *a)
{
	struct kit *kit = k->kit;
	const struct kit_calls *c = &k->calls[kit_random(kit, k->index.ntracks)];
	uint64_t from = kit_random(kit, k->duration), to;
	bool all = kit_random(kit, 3) == 0;

	if (kit_random(kit, 2) && c->n)
		from = c->p[kit_random(kit, c->n)].start;
	to = from + kit_random(kit, UINT64_C(1) << kit_random(kit, 46));
	if (kit_random(kit, 4) == 0 && c->n)
		to = c->p[kit_random(kit, c->n)].end;
	if (kit_random(kit, 3) == 0)
		from = near_block(k);
	if (kit_random(kit, 3) == 0)
		to = near_block(k);
	if (kit_random(kit, 8) == 0)
		from = 0;
	if (kit_random(kit, 8) == 0)
		to = k->duration + kit_random(kit, 2) * 1000;
	*a = (struct asked){ .range = { from, to >= k->duration ? UINT64_MAX : to, NULL } };
	a->query = (struct vzq_range){ (double)from, (double)to, all ? NULL : a->tracks, 0 };
	for (uint32_t i = 0; i < k->index.ntracks; i++) {
		a->chosen[i] = all || kit_random(kit, 2);
		if (a->chosen[i])
			a->tracks[a->query.ntracks++] = i;
	}
	a->range.tracks = a->chosen;
}

static uint64_t percentile(const struct kit_row *row, unsigned percent)
{
	uint64_t need = (row->seen * percent + 99) / 100, n = 0, end;
	uint32_t i = 0;

	while ((n += row->spread[i]) < need)
		i++;
	end = vzi_bucket_ns(i + 1) - 1;
	return end < row->max ? end : row->max;
}

static void same(double got, uint64_t want, const char *what, uint32_t id)
{
	cr_assert_eq(got, (double)want, "%s of %u: %.0f instead of %llu", what, id, got, ll(want));
}

static bool occurs(const struct kit_row *row)
{
	return row->calls || row->resumes || row->total || row->self || row->seen || row->raised ||
	       row->partial;
}

static void check_rows(const struct kit_query *k, const struct vzq_rows *rows,
		       const struct kit_sums *want)
{
	uint32_t n = 0;

	for (uint32_t fn = 0; fn < k->nfunctions; fn++) {
		const struct kit_row *row = &want->rows[fn];

		if (!occurs(row))
			continue;
		cr_assert_lt(n, rows->n, "functions are missing");
		cr_assert_eq(rows->fn[n], fn);
		same(rows->calls[n], row->calls, "calls", fn);
		same(rows->resumes[n], row->resumes, "resumes", fn);
		same(rows->total[n], row->total, "total", fn);
		same(rows->self[n], row->self, "self", fn);
		same(rows->seen[n], row->seen, "seen", fn);
		same(rows->max[n], row->max, "max", fn);
		same(rows->raised[n], row->raised, "raised", fn);
		same(rows->partial[n], row->partial, "partial", fn);
		if (row->seen) {
			cr_assert_eq(rows->mean[n], (double)row->sum / (double)row->seen);
			same(rows->p50[n], percentile(row, 50), "p50", fn);
			same(rows->p99[n], percentile(row, 99), "p99", fn);
		}
		n++;
	}
	cr_assert_eq(rows->n, n, "functions that did nothing");
}

/* Each node is as it must be, and none is missing but what is too small. */
static void check_tree(const struct vzq_tree *t, const struct kit_sums *want)
{
	uint32_t *nodes = calloc(t->n + 1u, sizeof(*nodes)), occur = 0, shown = 0;
	uint64_t least = (want->nodes[0].total + PARTS - 1) / PARTS;

	cr_assert_gt(t->n, 0);
	same(t->total[0], want->nodes[0].total, "total", 0);
	for (uint32_t i = 1; i < t->n; i++) {
		const struct kit_node *node;

		cr_assert_lt(t->parent[i], i);
		nodes[i] = kit_sums_child(want, nodes[t->parent[i]], t->fn[i]);
		cr_assert_neq(nodes[i], 0, "a path that was not there");
		node = &want->nodes[nodes[i]];
		same(t->calls[i], node->calls, "calls of path", nodes[i]);
		same(t->resumes[i], node->resumes, "resumes of path", nodes[i]);
		same(t->self[i], node->self, "self of path", nodes[i]);
		same(t->total[i], node->total, "total of path", nodes[i]);
		same(t->other[i], 0, "other of path", nodes[i]);
	}
	for (uint32_t i = 1; i < want->nnodes; i++) {
		const struct kit_node *node = &want->nodes[i];
		occur += node->occurs;
		shown += node->occurs && node->total >= least;
	}
	cr_assert_eq(t->n - 1, shown, "%u paths instead of %u", t->n - 1, shown);
	cr_assert_eq(t->pruned, occur - shown);
	free(nodes);
}

static void check_histogram(struct kit_query *k, const struct asked *a, const struct kit_sums *want,
			    uint32_t fn)
{
	struct vzq_job *job = vzq_histogram(k->q, &a->query, fn);
	const struct vzq_result *r = kit_query_run(k, job, 5);
	uint32_t n = 0;

	for (uint32_t i = 0; i < VZI_BUCKETS; i++) {
		if (!want->rows[fn].spread[i])
			continue;
		cr_assert_lt(n, r->nvalues);
		cr_assert_eq(r->keys[n], (double)vzi_bucket_ns(i));
		cr_assert_eq(r->values[n++], (double)want->rows[fn].spread[i]);
	}
	cr_assert_eq(n, r->nvalues);
	vzq_job_free(job);
}

/* ---- callers and callees, from the tree of all paths ---- */

static bool is_inner(const struct kit_sums *s, uint32_t node, uint32_t fn)
{
	while ((node = s->nodes[node].parent))
		if (s->nodes[node].fn == fn)
			return true;
	return false;
}

/* What of fn was called by the chain of callers that node I of T stands for. */
static struct kit_node of_callers(const struct kit_sums *s, const struct vzq_tree *t, uint32_t i,
				  uint32_t fn)
{
	struct kit_node sum = { 0 };
	uint32_t chain[4096], n = 0;

	for (uint32_t at = i; at; at = t->parent[at])
		chain[n++] = t->fn[at];
	for (uint32_t v = 1; v < s->nnodes; v++) {
		uint32_t at = s->nodes[v].parent, left = n;

		if (s->nodes[v].fn != fn)
			continue;
		while (left && at && s->nodes[at].fn == chain[left - 1]) {
			left--;
			at = s->nodes[at].parent;
		}
		if (left)
			continue;
		sum.calls += s->nodes[v].calls;
		sum.resumes += s->nodes[v].resumes;
		sum.self += s->nodes[v].self;
		if (!is_inner(s, v, fn))
			sum.total += s->nodes[v].total;
	}
	return sum;
}

static void check_callers(const struct vzq_tree *t, const struct kit_sums *s, uint32_t fn)
{
	for (uint32_t i = 0; i < t->n && i < 300; i++) {
		struct kit_node want = of_callers(s, t, i, fn);

		same(t->calls[i], want.calls, "calls of caller", i);
		same(t->resumes[i], want.resumes, "resumes of caller", i);
		same(t->self[i], want.self, "self of caller", i);
		same(t->total[i], want.total, "total of caller", i);
	}
}

/* Sums over paths below the outermost FN along the chain of callees that node I stands for. */
static void check_callees(const struct vzq_tree *t, const struct kit_sums *s, uint32_t fn)
{
	uint32_t chain[4096];

	for (uint32_t i = 1; i < t->n && i < 300; i++) {
		struct kit_node sum = { 0 };
		uint32_t n = 0;

		for (uint32_t at = i; at; at = t->parent[at])
			chain[n++] = t->fn[at];
		for (uint32_t v = 1; v < s->nnodes; v++) {
			uint32_t at = v;

			if (s->nodes[v].fn != fn || is_inner(s, v, fn))
				continue;
			for (uint32_t k = n; k-- > 0 && at;)
				at = kit_sums_child(s, at, chain[k]);
			sum.calls += at ? s->nodes[at].calls : 0;
			sum.self += at ? s->nodes[at].self : 0;
			sum.total += at ? s->nodes[at].total : 0;
		}
		same(t->calls[i], sum.calls, "calls of callee", i);
		same(t->self[i], sum.self, "self of callee", i);
		same(t->total[i], sum.total, "total of callee", i);
	}
}

static void check_butterfly(struct kit_query *k, const struct asked *a, const struct kit_sums *want,
			    uint32_t fn)
{
	struct vzq_job *job = vzq_butterfly(k->q, &a->query, fn);
	const struct vzq_result *r = kit_query_run(k, job, 64);
	const struct vzq_tree *callees = &r->tree[VZQ_CALLEES];

	same(r->tree[VZQ_CALLERS].total[0], want->rows[fn].total, "total", fn);
	same(r->tree[VZQ_CALLERS].self[0], want->rows[fn].self, "self", fn);
	same(r->tree[VZQ_CALLERS].calls[0], want->rows[fn].calls, "calls", fn);
	same(callees->total[0], want->rows[fn].total, "total", fn);
	same(callees->calls[0], want->rows[fn].calls, "calls", fn);
	check_callers(&r->tree[VZQ_CALLERS], want, fn);
	check_callees(callees, want, fn);
	vzq_job_free(job);
}

/* ---- all of it ---- */

/* Without the tree the rest is the same. */
static void check_table(struct kit_query *k, const struct asked *a, const struct kit_sums *want)
{
	struct vzq_job *job = vzq_aggregate(k->q, &a->query, false);
	const struct vzq_result *r = kit_query_run(k, job, 64);

	cr_assert_eq(r->error, 0);
	check_rows(k, &r->rows, want);
	same(r->busy_ns, want->nodes[0].total, "busy", 0);
	same(r->lost, want->lost, "lost", 0);
	cr_assert_eq(r->tree[VZQ_TREE].n, 0);
	vzq_job_free(job);
}

static void check_range(struct kit_query *k)
{
	uint32_t fn = (uint32_t)kit_random(k->kit, k->nfunctions);
	const struct vzq_result *r;
	struct kit_sums want;
	struct vzq_job *job;
	struct asked a;

	choose(k, &a);
	kit_naive_sums(k, &a.range, &want);
	job = vzq_aggregate(k->q, &a.query, true);
	r = kit_query_run(k, job, 1 + (uint32_t)kit_random(k->kit, 64));
	cr_assert_eq(r->error, 0);
	cr_assert(k->spoil || r->bad == 0);
	check_rows(k, &r->rows, &want);
	check_tree(&r->tree[VZQ_TREE], &want);
	same(r->busy_ns, want.nodes[0].total, "busy", 0);
	same(r->lost, want.lost, "lost", 0);
	check_histogram(k, &a, &want, fn);
	check_butterfly(k, &a, &want, fn);
	vzq_job_free(job);
	check_table(k, &a, &want);
	kit_sums_fini(&want);
}

static void check_story(const struct kit_story_options *options, int ranges)
{
	struct kit_query k;

	kit_query_random(&k, options);
	while (ranges--)
		check_range(&k);
	kit_query_fini(&k);
}

Test(query_range, whole_traces)
{
	for (uint64_t seed = 1; seed < 9; seed++)
		check_story(&(struct kit_story_options){ seed, 3, 3000, 0 }, 20);
}

Test(query_range, summaries_of_several_levels)
{
	for (uint64_t seed = 20; seed < 26; seed++)
		check_story(&(struct kit_story_options){ seed, 2, 6000, KIT_MANY_BLOCKS }, 30);
}

Test(query_range, events_at_the_same_time)
{
	for (uint64_t seed = 40; seed < 46; seed++)
		check_story(
			&(struct kit_story_options){ seed, 2, 3000, KIT_MANY_BLOCKS | KIT_TIES },
			30);
}

Test(query_range, damaged_blocks)
{
	for (uint64_t seed = 60; seed < 68; seed++)
		check_story(
			&(struct kit_story_options){ seed, 3, 2000, KIT_MANY_BLOCKS | KIT_DAMAGED },
			30);
}

Test(query_range, missing_blocks)
{
	for (uint64_t seed = 80; seed < 88; seed++)
		check_story(&(struct kit_story_options){ seed, 3, 2000, KIT_MANY_BLOCKS | KIT_CUT },
			    30);
}

Test(query_range, many_tracks)
{
	check_story(&(struct kit_story_options){ 100, MAX_TRACKS, 500, KIT_MANY_BLOCKS }, 30);
}

/* Some summaries cannot be had, or are cut: what they are of is counted from others, or events. */
static void spoil_summaries(struct kit_query *k, const struct vzq_want *want, struct kit_raw *given)
{
	if (want->kind != VZQ_WANT_TILE || kit_random(k->kit, 3))
		return;
	if (vzq_tile(k->q, want->id)->kind != VZI_FUNCS &&
	    vzq_tile(k->q, want->id)->kind != VZI_PATHS)
		return;
	if (kit_random(k->kit, 2))
		given->p = NULL;
	else if (given->n)
		given->p[given->n - 1] |= 0x80; /* as if it went on behind its end */
}

Test(query_range, summaries_that_cannot_be_read)
{
	struct kit_query k;

	for (uint64_t seed = 120; seed < 124; seed++) {
		kit_query_random(&k, &(struct kit_story_options){ seed, 2, 4000, KIT_MANY_BLOCKS });
		k.spoil = spoil_summaries;
		for (int i = 0; i < 15; i++)
			check_range(&k);
		kit_query_fini(&k);
	}
}

/* Over the whole trace the table says what vizview report does. */
static void compare_report(struct kit_query *k)
{
	const struct vzq_range range = { 0, (double)k->duration, NULL, 0 };
	struct vzq_job *job = vzq_aggregate(k->q, &range, false);
	const struct vzq_result *r = kit_query_run(k, job, 64);
	struct vz_stats stats;
	uint32_t n = 0;

	cr_assert_eq(vz_stats_init(&stats, k->reader, VZ_ALL_TRACKS), 0);
	for (uint32_t i = 0; i < stats.nfunctions; i++) {
		const struct vz_function_stats *f = &stats.functions[i];

		while (n < r->rows.n && r->rows.fn[n] < f->function)
			n++;
		if (n == r->rows.n || r->rows.fn[n] != f->function) {
			cr_assert_eq(f->calls + f->resumes + f->total_ns, 0);
			continue;
		}
		same(r->rows.calls[n], f->calls, "calls", f->function);
		same(r->rows.resumes[n], f->resumes, "resumes", f->function);
		same(r->rows.total[n], f->total_ns, "total", f->function);
		same(r->rows.self[n], f->self_ns, "self", f->function);
		same(r->rows.raised[n], f->raised, "raised", f->function);
		if (r->rows.seen[n] > 0)
			same(r->rows.max[n], f->max_ns, "max", f->function);
	}
	same(r->busy_ns, stats.all.busy_ns, "busy", 0);
	same(r->lost, stats.all.lost, "lost", 0);
	vz_stats_fini(&stats);
	vzq_job_free(job);
}

Test(query_range, the_whole_trace_is_what_the_report_says)
{
	static const unsigned flags[] = { 0, KIT_TIES, KIT_DAMAGED, KIT_CUT };
	struct kit_query k;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		kit_query_random(&k, &(struct kit_story_options){ 130 + i, 3, 4000,
								  flags[i] | KIT_MANY_BLOCKS });
		compare_report(&k);
		kit_query_fini(&k);
	}
}

/* More paths than are kept: time in the others is told at the last one that was, and nothing else
 * is lost. */
Test(query_range, paths_that_were_not_kept)
{
	enum {
		FUNCTIONS = 800,
		PAIRS = VZI_MAX_NODES + 50000,
	};
	struct kit *kit = kit_new(FUNCTIONS, 1);
	struct kit_track *t = kit_track(kit, 1, 0);
	const struct vzq_result *r;
	struct kit_query k;
	struct vzq_job *job;
	double self = 0, other = 0;

	for (uint32_t i = 0; i < PAIRS; i++) {
		if (i % FUNCTIONS == 0)
			kit_enter(t, i / FUNCTIONS, VZ_ENTRY_CALL, t->ns + 1);
		kit_enter(t, i % FUNCTIONS, VZ_ENTRY_CALL, t->ns + 1);
		kit_leave(t, VZ_LEAVE_RETURN, t->ns + 10);
		if (i % FUNCTIONS == FUNCTIONS - 1 || i + 1 == PAIRS)
			kit_leave(t, VZ_LEAVE_RETURN, t->ns + 1);
	}
	kit_finish(kit);
	kit_query_open(&k, kit);
	cr_assert_gt(k.index.tracks[0].left_calls, 0);
	for (int i = 0; i < 4; i++) {
		const struct vzq_range range = { (double)k.duration / 7 * i, (double)k.duration,
						 NULL, 0 };

		job = vzq_aggregate(k.q, &range, true);
		r = kit_query_run(&k, job, 64);
		cr_assert_eq(r->bad, 0);
		cr_assert_eq(r->tree[0].total[0], r->busy_ns, "%.0f of %.0f", r->tree[0].total[0],
			     r->busy_ns);
		cr_assert_leq(r->tree[0].n, 20001);
		cr_assert_gt(r->tree[0].pruned, 0);
		vzq_job_free(job);
	}
	job = vzq_butterfly(k.q, &(struct vzq_range){ 0, (double)k.duration, NULL, 0 },
			    FUNCTIONS / 4);
	r = kit_query_run(&k, job, 64);
	for (uint32_t i = 0; i < r->tree[VZQ_CALLEES].n; i++) {
		self += r->tree[VZQ_CALLEES].self[i];
		other += r->tree[VZQ_CALLEES].other[i];
	}
	cr_assert_leq(self + other, r->tree[VZQ_CALLEES].total[0]);
	cr_assert_gt(self, 0);
	vzq_job_free(job);
	kit_query_fini(&k);
}
