/* SPDX-License-Identifier: MIT */
/*
 * What a view gets to draw, at random ranges and resolutions, against the list of all calls.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kit_naive.h"

enum {
	MAX_TILES = 4096,
};

struct drawn {
	struct kit_records slices, runs;
};

static uint64_t resolution_of(unsigned level)
{
	return (uint64_t)VZI_FINE_NS << 2 * level;
}

static void add(struct kit_records *to, const struct vzt_records *from, uint64_t lo, uint64_t hi,
		bool runs)
{
	for (uint32_t i = 0; i < from->n; i++) {
		const struct kit_record record = {
			(uint64_t)from->start[i],
			(uint64_t)from->end[i],
			from->depth[i],
			from->fn[i],
			runs ? from->count[i] : from->how[i],
		};

		if (record.start < hi && record.end >= lo)
			kit_records_add(to, &record);
	}
}

static void take_tile(struct kit_query *k, const struct vzq_view_tile *tile, uint64_t from,
		      uint64_t to, struct drawn *d)
{
	if (tile->kind == VZQ_FINE) {
		struct vzq_job *job = vzq_fine(k->q, tile->track,
					       (uint32_t)((uint64_t)tile->t0 >> VZQ_WINDOW_SHIFT));
		const struct vzq_result *r = kit_query_run(k, job, 3);

		cr_assert_eq(r->bad + r->left_out, 0);
		for (uint32_t i = 0; i < r->records.n; i++) {
			cr_assert_geq(r->records.start[i], tile->t0);
			cr_assert_lt(r->records.start[i], tile->t1);
			cr_assert(!i || r->records.start[i - 1] <= r->records.start[i]);
			cr_assert_eq(r->records.count[i], 1);
		}
		add(&d->slices, &r->records, from, to, false);
		vzq_job_free(job);
	} else {
		uint32_t id = (uint32_t)tile->id;
		const struct kit_tile *kit = &k->index.tiles[vzq_tile(k->q, id)->offset / 8];
		struct vzt_records records;

		cr_assert_eq(vzq_records(k->q, id, kit->bytes, kit->row.bytes, &records), 0);
		add(tile->kind == VZQ_RUNS ? &d->runs : &d->slices, &records, from, to,
		    tile->kind == VZQ_RUNS);
		vzt_records_fini(&records);
	}
}

static int by_all(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct kit_record));
}

static void same(struct kit_records *got, struct kit_records *want, const char *what)
{
	cr_assert_eq(got->n, want->n, "%zu %s instead of %zu", got->n, what, want->n);
	if (got->n) {
		qsort(got->p, got->n, sizeof(*got->p), by_all);
		qsort(want->p, want->n, sizeof(*want->p), by_all);
		cr_assert_eq(memcmp(got->p, want->p, got->n * sizeof(*got->p)), 0, "%s differ",
			     what);
	}
	free(got->p);
	free(want->p);
}

/* What must be drawn: calls of the level's class or more, what is shorter merged or by itself. */
static void naive_view(const struct kit_query *k, uint32_t track, uint64_t from, uint64_t to,
		       double resolution, struct drawn *d)
{
	const struct kit_calls *c = &k->calls[track];
	struct kit_records runs;
	unsigned level = 0;

	while (level + 1 < VZI_LEVELS && (double)resolution_of(level + 1) <= resolution &&
	       resolution_of(level + 1) <= k->duration)
		level++;
	for (uint32_t i = 0; i < c->n; i++) {
		const struct kit_call *call = &c->p[i];
		const struct kit_record record = { call->start, call->end, call->depth,
						   call->function, call->how };
		bool fine = kit_call_fine(call);

		if (call->start >= to || call->end < from)
			continue;
		if (fine ? resolution < VZI_FINE_NS : vzi_class(call->end - call->start) >= level)
			kit_records_add(&d->slices, &record);
	}
	if (resolution < VZI_FINE_NS)
		return;
	kit_naive_runs(c, level, &runs);
	for (size_t i = 0; i < runs.n; i++)
		if (runs.p[i].start < to && runs.p[i].end >= from)
			kit_records_add(&d->runs, &runs.p[i]);
	free(runs.p);
}

static void check_view(struct kit_query *k, struct vzq_view_tile *tiles)
{
	struct kit *kit = k->kit;
	uint32_t track = (uint32_t)kit_random(kit, k->index.ntracks);
	uint64_t span = UINT64_C(1) << (10 + kit_random(kit, 36));
	uint64_t from = k->calls[track].p[kit_random(kit, k->calls[track].n)].start;
	double resolution = (double)span / 1000;
	struct vzq_view view = { .resolution = resolution, .tracks = &track, .ntracks = 1 };
	struct drawn got = { { 0 }, { 0 } }, want = { { 0 }, { 0 } };
	uint64_t to = from + 1 + kit_random(kit, span);
	uint32_t n;

	view.from = (double)from;
	view.to = (double)to;
	n = vzq_plan(k->q, &view, tiles, MAX_TILES);
	cr_assert_leq(n, MAX_TILES);
	for (uint32_t i = 0; i < n; i++) {
		cr_assert_eq(tiles[i].track, track);
		take_tile(k, &tiles[i], from, to, &got);
	}
	naive_view(k, track, from, to >= k->duration ? UINT64_MAX : to, resolution, &want);
	/* Short calls that begin before the windows of a fine view are too short to be seen. */
	if (resolution < VZI_FINE_NS)
		for (size_t i = 0; i < want.slices.n; i++)
			if (want.slices.p[i].start >> VZQ_WINDOW_SHIFT < from >> VZQ_WINDOW_SHIFT &&
			    want.slices.p[i].end - want.slices.p[i].start < VZI_FINE_NS &&
			    want.slices.p[i].last >> 2 < 4)
				want.slices.p[i--] = want.slices.p[--want.slices.n];
	same(&got.slices, &want.slices, "calls");
	same(&got.runs, &want.runs, "runs");
}

static void check_story(const struct kit_story_options *options)
{
	struct vzq_view_tile *tiles = calloc(MAX_TILES, sizeof(*tiles));
	struct kit_query k;

	kit_query_random(&k, options);
	for (int i = 0; i < 40; i++)
		check_view(&k, tiles);
	kit_query_fini(&k);
	free(tiles);
}

Test(query_view, random_views)
{
	for (uint64_t seed = 1; seed < 7; seed++)
		check_story(&(struct kit_story_options){ seed, 2, 5000, 0 });
}

Test(query_view, small_blocks)
{
	for (uint64_t seed = 20; seed < 25; seed++)
		check_story(&(struct kit_story_options){ seed, 3, 2000, KIT_MANY_BLOCKS });
}

Test(query_view, damaged_and_missing_blocks)
{
	for (uint64_t seed = 40; seed < 45; seed++) {
		check_story(&(struct kit_story_options){ seed, 2, 2000,
							 KIT_MANY_BLOCKS | KIT_DAMAGED });
		check_story(&(struct kit_story_options){ seed, 2, 2000, KIT_CUT });
	}
}

Test(query_view, numbers_of_tiles_are_their_own)
{
	struct vzq_view_tile *tiles = calloc(MAX_TILES, sizeof(*tiles));
	const uint32_t tracks[] = { 0, 1, 77 };
	struct kit_query k;
	uint32_t n;

	kit_query_random(&k, &(struct kit_story_options){ 9, 2, 2000, 0 });
	n = vzq_plan(k.q,
		     &(struct vzq_view){ 0, (double)(MAX_TILES / 4) * (1 << VZQ_WINDOW_SHIFT), 10,
					 tracks, 3 },
		     tiles, MAX_TILES);
	cr_assert_gt(n, 10);
	cr_assert_leq(n, MAX_TILES);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < i; j++)
			cr_assert_neq(tiles[i].id, tiles[j].id);
	/* As many as there is room for are told, and how many there are. */
	cr_assert_eq(
		vzq_plan(k.q,
			 &(struct vzq_view){ 0, (double)(MAX_TILES / 4) * (1 << VZQ_WINDOW_SHIFT),
					     10, tracks, 3 },
			 tiles, 1),
		n);
	kit_query_fini(&k);
	free(tiles);
}

Test(query_view, gaps)
{
	struct kit_query k;

	kit_query_random(&k, &(struct kit_story_options){ 9, 2, 2000, 0 });
	for (uint32_t t = 0; t < 2; t++) {
		const struct kit_records *want = &k.calls[t].gaps;
		struct vzq_job *job = vzq_gaps(k.q, t);
		const struct vzq_result *r = kit_query_run(&k, job, 1);

		cr_assert_eq(r->records.n, want->n);
		for (uint32_t i = 0; i < r->records.n; i++) {
			cr_assert_eq(r->records.start[i], (double)want->p[i].start);
			cr_assert_eq(r->records.end[i], (double)want->p[i].end);
			cr_assert_eq(r->records.count[i], want->p[i].last);
		}
		vzq_job_free(job);
	}
	kit_query_fini(&k);
}

/* A short call belongs to the window in which it begins, also where it ends in the next one and
 * in another block. */
Test(query_view, short_calls_across_a_window_and_a_block)
{
	const uint64_t window = UINT64_C(1) << VZQ_WINDOW_SHIFT;
	struct kit *kit = kit_new(5, 1);
	struct kit_track *t = kit_track(kit, 1, 0);
	struct kit_query k;
	struct vzq_job *job;
	const struct vzq_result *r;

	kit_enter(t, 1, VZ_ENTRY_CALL, KIT_START_NS + 10);
	kit_enter(t, 2, VZ_ENTRY_CALL, KIT_START_NS + window - 100);
	vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	kit_leave(t, VZ_LEAVE_UNWIND, KIT_START_NS + window + 5000);
	kit_enter(t, 3, VZ_ENTRY_CALL, KIT_START_NS + window + 5001);
	kit_leave(t, VZ_LEAVE_RETURN, KIT_START_NS + window + 5002);
	kit_leave(t, VZ_LEAVE_RETURN, KIT_START_NS + 2 * window);
	kit_finish(kit);
	kit_query_open(&k, kit);
	cr_assert_eq(k.index.tracks[0].nblocks, 2);
	job = vzq_fine(k.q, 0, 0);
	r = kit_query_run(&k, job, 1);
	cr_assert_eq(r->records.n, 1);
	cr_assert_eq(r->records.fn[0], 2);
	cr_assert_eq(r->records.start[0], (double)(window - 100));
	cr_assert_eq(r->records.end[0], (double)(window + 5000));
	cr_assert_eq(r->records.how[0], VZ_LEAVE_UNWIND << VZI_HOW_LEAVE_SHIFT);
	vzq_job_free(job);
	job = vzq_fine(k.q, 0, 1);
	r = kit_query_run(&k, job, 1);
	cr_assert_eq(r->records.n, 1);
	cr_assert_eq(r->records.fn[0], 3);
	vzq_job_free(job);
	kit_query_fini(&k);
}
