/* SPDX-License-Identifier: MIT */
/*
 * Next, slowest and marks on random traces against the list of all calls.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kit_naive.h"

enum {
	MAX_TRACKS = 4,
};

struct set {
	uint32_t fn[4];
	struct vzq_fns fns;
};

static void choose_fns(struct kit_query *k, struct set *set)
{
	set->fns = (struct vzq_fns){ set->fn, 1 + (uint32_t)kit_random(k->kit, 4) };
	for (uint32_t i = 0; i < set->fns.n; i++)
		set->fn[i] = (uint32_t)kit_random(k->kit, k->nfunctions + 1u);
}

static bool has(const struct set *set, uint32_t fn)
{
	for (uint32_t i = 0; i < set->fns.n; i++)
		if (set->fn[i] == fn)
			return true;
	return false;
}

static uint32_t choose_tracks(struct kit_query *k, uint32_t *tracks)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < k->index.ntracks; i++)
		if (kit_random(k->kit, 2))
			tracks[n++] = i;
	return n;
}

static bool is_among(const uint32_t *tracks, uint32_t n, uint32_t track)
{
	for (uint32_t i = 0; i < n; i++)
		if (tracks[i] == track)
			return true;
	return n == UINT32_MAX;
}

static bool is_call(const struct vzq_slice *s, const struct kit_call *c)
{
	return s->start == (double)c->start && s->end == (double)c->end && s->depth == c->depth &&
	       s->fn == c->function && s->how == c->how;
}

/* ---- next ---- */

/* Time of the next one, and the lowest track that has it; false: there is none. */
static bool naive_next(const struct kit_query *k, const struct set *set, double from, int direction,
		       const bool *tracks, double *start, uint32_t *track)
{
	bool found = false;

	for (uint32_t t = 0; t < k->index.ntracks; t++)
		for (uint32_t i = 0; i < k->calls[t].n && tracks[t]; i++) {
			const struct kit_call *c = &k->calls[t].p[i];
			double at = (double)c->start;

			if (!has(set, c->function) || !kit_call_entered(c) ||
			    (direction > 0 ? at <= from : at >= from) ||
			    (found && (direction > 0 ? at >= *start : at <= *start)))
				continue;
			found = true;
			*start = at;
			*track = t;
		}
	return found;
}

static void check_next(struct kit_query *k)
{
	const struct kit_calls *c = &k->calls[kit_random(k->kit, k->index.ntracks)];
	double from = (double)kit_random(k->kit, k->duration), start = 0;
	int direction = kit_random(k->kit, 2) ? 1 : -1;
	uint32_t tracks[MAX_TRACKS], n = choose_tracks(k, tracks), track = 0;
	bool all = kit_random(k->kit, 2), chosen[MAX_TRACKS], found, same = false;
	const struct vzq_result *r;
	struct vzq_job *job;
	struct set set;

	choose_fns(k, &set);
	if (kit_random(k->kit, 2) && c->n)
		from = (double)c->p[kit_random(k->kit, c->n)].start;
	if (kit_random(k->kit, 10) == 0)
		from = direction > 0 ? -1 : (double)k->duration + 1;
	for (uint32_t i = 0; i < k->index.ntracks; i++)
		chosen[i] = all || is_among(tracks, n, i);
	found = naive_next(k, &set, from, direction, chosen, &start, &track);
	job = vzq_next(k->q, &set.fns, from, direction, all ? NULL : tracks, n);
	r = kit_query_run(k, job, 1 + (uint32_t)kit_random(k->kit, 32));
	cr_assert_eq(r->bad, 0);
	cr_assert_eq(r->nslices, found, "from %.0f: found %u instead of %d", from, r->nslices,
		     found);
	for (uint32_t i = 0; found && i < k->calls[track].n; i++)
		same |= is_call(&r->slices[0], &k->calls[track].p[i]) &&
			has(&set, k->calls[track].p[i].function);
	if (found) {
		cr_assert_eq(r->slices[0].start, start, "from %.0f to %d: %.0f, not %.0f", from,
			     direction, r->slices[0].start, start);
		cr_assert_eq(r->slices[0].track, track);
		cr_assert(same, "a call that was not there");
	}
	vzq_job_free(job);
}

/* ---- slowest ---- */

static int by_length(const void *pa, const void *pb)
{
	const struct vzq_slice *a = pa, *b = pb;
	double la = a->end - a->start, lb = b->end - b->start;

	if (la != lb)
		return la > lb ? -1 : 1;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->track != b->track)
		return a->track < b->track ? -1 : 1;
	return (a->depth > b->depth) - (a->depth < b->depth);
}

static uint32_t naive_slowest(const struct kit_query *k, const struct kit_range *range, uint32_t fn,
			      double least, double below, struct vzq_slice **ret)
{
	struct vzq_slice *p = malloc(sizeof(*p));
	uint32_t n = 0;

	for (uint32_t t = 0; t < k->index.ntracks; t++)
		for (uint32_t i = 0; i < k->calls[t].n; i++) {
			const struct kit_call *c = &k->calls[t].p[i];
			double length = (double)(c->end - c->start);

			if (c->function != fn || !kit_call_seen(c) || !range->tracks[t] ||
			    !kit_range_has(range, c->end) || length < least || length >= below)
				continue;
			p = realloc(p, (n + 1) * sizeof(*p));
			p[n++] = (struct vzq_slice){ .start = (double)c->start,
						     .end = (double)c->end,
						     .track = t,
						     .depth = c->depth,
						     .fn = fn,
						     .how = c->how };
		}
	qsort(p, n, sizeof(*p), by_length);
	*ret = p;
	return n;
}

static void check_slowest(struct kit_query *k)
{
	struct kit *kit = k->kit;
	uint64_t from = kit_random(kit, 3) ? kit_random(kit, k->duration) : 0;
	uint64_t to = kit_random(kit, 2)
			      ? k->duration
			      : from + kit_random(kit, UINT64_C(1) << kit_random(kit, 44));
	uint32_t fn = (uint32_t)kit_random(kit, k->nfunctions), tracks[MAX_TRACKS];
	uint32_t n = choose_tracks(k, tracks), wanted = 1 + (uint32_t)kit_random(kit, 30), found;
	bool chosen[MAX_TRACKS];
	double least = kit_random(kit, 2) ? 0 : (double)kit_random(kit, 5000);
	double below = kit_random(kit, 2) ? INFINITY : least + (double)kit_random(kit, 20000);
	struct kit_range range = { from, to >= k->duration ? UINT64_MAX : to, chosen };
	struct vzq_range query = { (double)from, (double)to, tracks, n };
	struct vzq_job *job = vzq_slowest(k->q, &query, fn, wanted, least, below);
	const struct vzq_result *r = kit_query_run(k, job, 7);
	struct vzq_slice *want;

	for (uint32_t i = 0; i < k->index.ntracks; i++)
		chosen[i] = is_among(tracks, n, i);
	found = naive_slowest(k, &range, fn, least, below, &want);
	cr_assert_eq(r->bad, 0);
	cr_assert_eq(r->nslices, found < wanted ? found : wanted, "%u of %u found", r->nslices,
		     found);
	for (uint32_t i = 0; i < r->nslices; i++)
		cr_assert_eq(memcmp(&r->slices[i], &want[i], sizeof(want[i])), 0,
			     "number %u: %.0f long instead of %.0f", i,
			     r->slices[i].end - r->slices[i].start, want[i].end - want[i].start);
	free(want);
	vzq_job_free(job);
}

/* ---- marks ---- */

static void check_marks(struct kit_query *k)
{
	uint32_t buckets = 1 + (uint32_t)kit_random(k->kit, 3000);
	double *want = calloc(buckets, sizeof(*want));
	const struct vzq_result *r;
	struct vzq_job *job;
	struct set set;

	choose_fns(k, &set);
	for (uint32_t t = 0; t < k->index.ntracks; t++)
		for (uint32_t i = 0; i < k->calls[t].n; i++) {
			const struct kit_call *c = &k->calls[t].p[i];
			double at = (double)c->start * buckets / (double)k->duration;

			if (has(&set, c->function) && kit_call_entered(c))
				want[at < buckets ? (uint32_t)at : buckets - 1]++;
		}
	job = vzq_marks(k->q, &set.fns, buckets);
	r = kit_query_run(k, job, 16);
	cr_assert_eq(r->bad, 0);
	cr_assert(r->exact);
	cr_assert_eq(r->nvalues, buckets);
	for (uint32_t i = 0; i < buckets; i++)
		cr_assert_eq(r->values[i], want[i], "bucket %u of %u: %f instead of %f", i, buckets,
			     r->values[i], want[i]);
	free(want);
	vzq_job_free(job);
}

/* ---- all of it ---- */

static void check_story(const struct kit_story_options *options)
{
	struct kit_query k;

	kit_query_random(&k, options);
	for (int i = 0; i < 60; i++)
		check_next(&k);
	for (int i = 0; i < 30; i++)
		check_slowest(&k);
	for (int i = 0; i < 8; i++)
		check_marks(&k);
	kit_query_fini(&k);
}

Test(query_find, whole_traces)
{
	for (uint64_t seed = 1; seed < 6; seed++)
		check_story(&(struct kit_story_options){ seed, 3, 3000, 0 });
}

Test(query_find, summaries_of_several_levels)
{
	for (uint64_t seed = 20; seed < 25; seed++)
		check_story(&(struct kit_story_options){ seed, 2, 6000, KIT_MANY_BLOCKS });
}

Test(query_find, events_at_the_same_time)
{
	for (uint64_t seed = 40; seed < 45; seed++)
		check_story(
			&(struct kit_story_options){ seed, 3, 2000, KIT_MANY_BLOCKS | KIT_TIES });
}

Test(query_find, damaged_and_missing_blocks)
{
	for (uint64_t seed = 60; seed < 65; seed++) {
		check_story(&(struct kit_story_options){ seed, 3, 2000,
							 KIT_MANY_BLOCKS | KIT_DAMAGED });
		check_story(
			&(struct kit_story_options){ seed, 3, 2000, KIT_MANY_BLOCKS | KIT_CUT });
	}
}

/* What makes it quick: a function that is called once is found without a look at each block. */
Test(query_find, rare_functions_are_found_through_summaries)
{
	static const uint32_t rare = 40;
	const struct vzq_fns fns = { &rare, 1 };
	struct kit *kit = kit_new(50, 7);
	struct kit_track *t = kit_track(kit, 1, 0);
	struct kit_query k;
	struct vzq_job *job;

	for (uint32_t i = 0; i < 3000; i++) {
		for (uint32_t n = 0; n < 10; n++) {
			kit_enter(t, i == 2900 && n == 5 ? rare : n, VZ_ENTRY_CALL, t->ns + 10);
			kit_leave(t, VZ_LEAVE_RETURN, t->ns + 10);
		}
		vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
	kit_finish(kit);
	kit_query_open(&k, kit);
	cr_assert_gt(vzq_directory(k.q)->nblocks, 2900);
	job = vzq_next(k.q, &fns, 0, 1, NULL, 0);
	cr_assert_eq(kit_query_run(&k, job, 64)->nslices, 1);
	cr_assert_leq(k.blocks, 2, "%u blocks", k.blocks);
	cr_assert_leq(k.tiles, 100, "%u tiles", k.tiles);
	cr_assert_leq(k.rounds, 12, "%u rounds", k.rounds);
	vzq_job_free(job);
	job = vzq_marks(k.q, &fns, 1000);
	k.blocks = k.tiles = k.rounds = 0;
	cr_assert(kit_query_run(&k, job, 64)->exact);
	cr_assert_eq(k.blocks, 1);
	cr_assert_leq(k.rounds, 8, "%u rounds", k.rounds);
	vzq_job_free(job);
	kit_query_fini(&k);
}
