/* SPDX-License-Identifier: MIT */
/*
 * The index of random traces against the plainest way to make one: kit_index.h.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kit_index.h"
#include "viewer/core/build.h"
#include "viewer/index/index.h"
#include "viewer/stats.h"

struct subject {
	struct kit *kit;
	uint8_t *bytes;
	size_t nbytes;
	struct vz_reader *reader;
	struct kit_index index;
};

/* From nanoseconds to days, so that calls of all classes occur. */
static uint64_t later(struct kit_track *t, unsigned most)
{
	uint64_t shift = kit_random(t->kit, most);

	return t->ns + 1 + kit_random(t->kit, UINT64_C(1) << shift);
}

/* Mostly short calls in bursts, as in programs; now and then a long wait. */
static void steps(struct kit_track *t, size_t n)
{
	struct kit *kit = t->kit;

	while (n--) {
		uint64_t dice = kit_random(kit, 1000);
		unsigned most = dice < 5 ? 46 : dice < 60 ? 28 : 12;
		uint32_t function = (uint32_t)kit_random(kit, kit->nfunctions);

		if (dice == 100)
			kit_lost(t, 1 + kit_random(kit, 1000), later(t, most));
		else if (t->depth && kit_random(kit, 100) < (t->depth > 12 ? 60 : 48))
			kit_leave(t,
				  kit_random(kit, 20) ? VZ_LEAVE_RETURN
						      : (enum vz_leave)kit_random(kit, 4),
				  later(t, most));
		else
			kit_enter(t, function,
				  kit_random(kit, 20) ? VZ_ENTRY_CALL
						      : (enum vz_entry)kit_random(kit, 4),
				  later(t, most));
		if (dice / 10 == 20)
			vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
}

static void recurse(struct kit_track *t, uint32_t function, uint32_t depth)
{
	for (uint32_t i = 0; i < depth; i++)
		kit_enter(t, function, VZ_ENTRY_CALL, later(t, 10));
	for (uint32_t i = 0; i < depth; i++)
		kit_leave(t, VZ_LEAVE_RETURN, later(t, 14));
}

static void look(struct subject *s)
{
	struct vz_trouble trouble;

	cr_assert_eq(vz_reader_open_memory(s->bytes, s->nbytes, &s->reader, &trouble), 0);
	kit_index_build(s->reader, &s->index);
}

static void begin(struct subject *s, uint64_t seed, uint32_t tracks, size_t n)
{
	s->kit = kit_new(23, seed);
	for (uint32_t i = 0; i < tracks; i++)
		kit_track(s->kit, 1 + i, 0);
	for (uint32_t i = 0; i < tracks; i++)
		steps(s->kit->tracks[i], n);
	recurse(s->kit->tracks[0], 3, 300);
	if (tracks > 1)
		kit_end(s->kit->tracks[1], s->kit->tracks[1]->ns + 5);
	kit_finish(s->kit);
	s->bytes = kit_bytes(s->kit, &s->nbytes);
}

static void done(struct subject *s)
{
	kit_index_fini(&s->index);
	vz_reader_free(s->reader);
	free(s->bytes);
	kit_free(s->kit);
}

/* Break every third block of events, so that it stays in the table of blocks. */
static void damage(struct subject *s)
{
	struct vz_trouble trouble;
	struct vz_reader *r;

	cr_assert_eq(vz_reader_open_memory(s->bytes, s->nbytes, &r, &trouble), 0);
	for (uint32_t i = 2; i < vz_reader_nblocks(r); i += 3)
		s->bytes[vz_reader_block(r, i)->offset + sizeof(struct vz_block) + 1] ^= 0x40;
	vz_reader_free(r);
}

/* ---- comparing ---- */

static void same_records(const struct kit_records *a, const struct kit_records *b, const char *what,
			 unsigned level)
{
	cr_assert_eq(a->n, b->n, "%s %u: %zu records instead of %zu", what, level, a->n, b->n);
	for (size_t i = 0; i < a->n; i++)
		cr_assert_eq(memcmp(&a->p[i], &b->p[i], sizeof(a->p[i])), 0,
			     "%s %u: record %zu of %zu: start %llu depth %u", what, level, i, a->n,
			     (unsigned long long)b->p[i].start, b->p[i].depth);
}

static void check_slices(const struct subject *s, const struct kit_calls *c, uint32_t track)
{
	for (unsigned class = 0; class < VZI_LEVELS; class ++) {
		struct kit_records made, naive = { 0 };
		const char *wrong = kit_index_records(&s->index, track, VZI_SLICES, class, &made);

		cr_assert_null(wrong, "slices %u: %s", class, wrong);
		for (uint32_t i = 0; i < c->n; i++) {
			const struct kit_call *call = &c->p[i];
			const struct kit_record record = { call->start, call->end, call->depth,
							   call->function, call->how };

			if (!kit_call_fine(call) && vzi_class(call->end - call->start) == class)
				kit_records_add(&naive, &record);
		}
		kit_records_sort(&made);
		kit_records_sort(&naive);
		same_records(&made, &naive, "slices", class);
		free(made.p);
		free(naive.p);
	}
}

static void check_runs(const struct subject *s, const struct kit_calls *c, uint32_t track)
{
	for (unsigned level = 0; level < VZI_LEVELS; level++) {
		struct kit_records made, naive;
		const char *wrong = kit_index_records(&s->index, track, VZI_RUNS, level, &made);
		uint64_t calls = 0;

		cr_assert_null(wrong, "runs %u: %s", level, wrong);
		if (level && (uint64_t)VZI_FINE_NS << 2 * level > s->index.duration_ns) {
			cr_assert_eq(made.n, 0);
			continue;
		}
		kit_naive_runs(c, level, &naive);
		kit_records_sort(&made);
		same_records(&made, &naive, "runs", level);
		/* Each call that is in no slice of this level is in one run. */
		for (size_t i = 0; i < made.n; i++)
			calls += made.p[i].last;
		for (uint32_t i = 0; i < c->n; i++)
			calls -= kit_call_fine(&c->p[i]) ||
				 vzi_class(c->p[i].end - c->p[i].start) < level;
		cr_assert_eq(calls, 0);
		free(made.p);
		free(naive.p);
	}
}

static void same_varints(const struct kit_tile *tile, struct kit_varints naive, const char *what)
{
	struct kit_varints made = kit_index_varints(tile);
	size_t n = made.n < naive.n ? made.n : naive.n;

	for (size_t i = 0; i < n; i++)
		cr_assert_eq(made.p[i], naive.p[i],
			     "%s level %u block %u: number %zu of %zu is %llu, not %llu", what,
			     tile->row.level, tile->row.first, i, n, (unsigned long long)made.p[i],
			     (unsigned long long)naive.p[i]);
	cr_assert_eq(made.n, naive.n, "%s level %u block %u", what, tile->row.level,
		     tile->row.first);
	free(made.p);
	free(naive.p);
}

static uint64_t begin_of(const struct subject *s, uint32_t track, uint32_t block)
{
	return block < s->index.tracks[track].nblocks ? s->index.blocks[track][block].from_ns
						      : s->index.tracks[track].end_ns;
}

static void check_sums(const struct subject *s, const struct kit_calls *c, uint32_t track)
{
	uint32_t *nodes = malloc((c->n + 1u) * sizeof(*nodes));
	uint32_t n = s->index.tracks[track].nblocks, below = 1;

	same_varints(kit_index_tile(&s->index, track, VZI_NODES, 0, 0), kit_naive_nodes(c, nodes),
		     "nodes");
	for (unsigned level = 0; level == 0 || below < n; level++) {
		uint32_t size = 1u << (VZI_FANOUT_SHIFT * level);

		for (uint32_t i = 0; i < n; i += size) {
			const struct kit_tile *f =
				kit_index_tile(&s->index, track, VZI_FUNCS, level, i);
			const struct kit_tile *p =
				kit_index_tile(&s->index, track, VZI_PATHS, level, i);
			uint64_t from = begin_of(s, track, i), to = begin_of(s, track, i + size);
			bool last = i + size >= n;

			cr_assert(f && p, "level %u, block %u", level, i);
			cr_assert(f->row.t0_ns == from && f->row.t1_ns == to);
			cr_assert(p->row.t0_ns == from && p->row.t1_ns == to);
			same_varints(f, kit_naive_funcs(c, from, to, last), "funcs");
			same_varints(p, kit_naive_paths(c, nodes, from, to, last), "paths");
		}
		below = size;
	}
	free(nodes);
}

static void check_gaps(const struct subject *s, const struct kit_calls *c, uint32_t track)
{
	struct kit_records made;
	uint64_t lost = 0, holes = 0;

	kit_index_records(&s->index, track, VZI_GAPS, 0, &made);
	cr_assert_eq(made.n, c->gaps.n);
	for (size_t i = 0; i < made.n; i++) {
		cr_assert_eq(made.p[i].start, c->gaps.p[i].start, "gap %zu %llu %llu lost %llu", i,
			     (unsigned long long)made.p[i].start,
			     (unsigned long long)c->gaps.p[i].start,
			     (unsigned long long)c->gaps.p[i].last);
		cr_assert_eq(made.p[i].last, c->gaps.p[i].last);
		if (made.p[i].last)
			cr_assert_eq(made.p[i].end, c->gaps.p[i].end);
		lost += made.p[i].last;
		holes += !made.p[i].last;
	}
	cr_assert_eq(s->index.tracks[track].lost, lost);
	cr_assert_eq(s->index.tracks[track].holes, holes);
	free(made.p);
}

static void check_blocks(const struct subject *s, uint32_t track)
{
	const struct vzi_block *blocks = s->index.blocks[track];
	uint32_t n = s->index.tracks[track].nblocks;

	for (uint32_t i = 0; i < n; i++) {
		bool bad = blocks[i].flags & VZI_BLOCK_UNREADABLE;

		cr_assert(i == 0 || blocks[i].from_ns >= blocks[i - 1].from_ns);
		cr_assert(bad || blocks[i].from_ns <= blocks[i].t0_ns);
		cr_assert_leq(blocks[i].t0_ns, blocks[i].t1_ns);
		/* All that it tells is in the time that it covers. */
		cr_assert(bad || blocks[i].t1_ns <= begin_of(s, track, i + 1));
		if (i && blocks[i - 1].flags & VZI_BLOCK_UNREADABLE && !bad)
			cr_assert(blocks[i].flags & VZI_BLOCK_AFTER_HOLE);
	}
}

static void check_all(const struct subject *s)
{
	uint64_t entries = 0, density = 0;

	for (uint32_t i = 0; i < s->index.ntracks; i++) {
		struct kit_calls calls;

		kit_calls_init(&calls, s->reader, i, s->index.zero_ns);
		check_slices(s, &calls, i);
		check_runs(s, &calls, i);
		check_sums(s, &calls, i);
		check_gaps(s, &calls, i);
		check_blocks(s, i);
		cr_assert_eq(s->index.tracks[i].entries, calls.n);
		entries += calls.n;
		kit_calls_fini(&calls);
	}
	for (int i = 0; i < VZI_DENSITY; i++)
		density += s->index.density[i];
	cr_assert_eq(density, entries);
}

/* ---- tests ---- */

Test(index, holds_what_the_plainest_way_makes)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct subject s;

		begin(&s, seed, 3, 2500);
		look(&s);
		check_all(&s);
		done(&s);
	}
}

Test(index, holds_what_is_left_of_a_damaged_trace)
{
	for (uint64_t seed = 11; seed <= 16; seed++) {
		struct subject s;

		begin(&s, seed, 2, 2500);
		damage(&s);
		look(&s);
		cr_assert_gt(s.index.tracks[0].holes + s.index.tracks[1].holes, 0);
		check_all(&s);
		done(&s);
	}
}

/* So that the test above is one of all that can happen. */
Test(index, random_traces_have_calls_of_all_classes)
{
	bool seen[(VZI_SAMPLES + 1) * VZI_LEVELS] = { false };
	uint32_t most = 0;

	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct subject s;

		begin(&s, seed, 3, 2500);
		look(&s);
		for (uint32_t i = 0; i < s.index.ntiles; i++) {
			const struct vzi_tile *t = &s.index.tiles[i].row;

			seen[t->kind * VZI_LEVELS + t->level] = true;
		}
		for (uint32_t i = 0; i < s.index.ntracks; i++)
			if (s.index.tracks[i].nblocks > most)
				most = s.index.tracks[i].nblocks;
		done(&s);
	}
	for (unsigned i = 0; i < VZI_LEVELS; i++) {
		cr_expect(seen[VZI_SLICES * VZI_LEVELS + i], "class %u", i);
		cr_expect(seen[VZI_RUNS * VZI_LEVELS + i], "level %u", i);
	}
	cr_expect_gt(most, 16);
}

Test(index, sums_of_sums)
{
	struct kit *kit = kit_new(5, 7);
	struct kit_track *t = kit_track(kit, 1, 0);
	struct subject s = { .kit = kit };

	for (int i = 0; i < 300; i++) {
		steps(t, 6);
		vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
	kit_finish(kit);
	s.bytes = kit_bytes(kit, &s.nbytes);
	look(&s);
	cr_assert_gt(s.index.tracks[0].nblocks, 256);
	cr_assert_not_null(kit_index_tile(&s.index, 0, VZI_FUNCS, 3, 0));
	cr_assert_null(kit_index_tile(&s.index, 0, VZI_FUNCS, 4, 0));
	check_all(&s);
	done(&s);
}

/* The tile of all blocks says what vizview report does. */
Test(index, sums_of_all_blocks_are_those_of_the_report)
{
	struct subject s;
	struct vz_stats stats;
	uint64_t rows = 0;

	begin(&s, 21, 1, 20000);
	look(&s);
	cr_assert_eq(vz_stats_init(&stats, s.reader, 0), 0);
	for (uint32_t i = 0; i < s.index.ntiles; i++) {
		const struct vzi_tile *tile = &s.index.tiles[i].row;
		struct kit_varints v;

		if (tile->kind != VZI_FUNCS ||
		    kit_index_tile(&s.index, 0, VZI_FUNCS, tile->level + 1u, 0))
			continue;
		v = kit_index_varints(&s.index.tiles[i]);
		for (size_t at = 0; at < v.n; rows++) {
			const struct vz_function_stats *f = &stats.functions[rows];
			const uint64_t *row = &v.p[at];

			cr_assert_eq(row[1], f->calls);
			cr_assert_eq(row[2], f->resumes);
			cr_assert_eq(row[3], f->self_ns);
			cr_assert_eq(row[4], f->total_ns);
			cr_assert_eq(row[7], f->max_ns);
			cr_assert_eq(row[8], f->raised);
			at += 11 + 2 * row[10];
		}
		free(v.p);
	}
	cr_assert_eq(rows, stats.nfunctions);
	vz_stats_fini(&stats);
	done(&s);
}

static uint64_t time_in_paths(const struct subject *s, unsigned level)
{
	uint64_t self = 0, other = 0;

	for (uint32_t i = 0; i < s->index.ntiles; i++) {
		const struct vzi_tile *tile = &s->index.tiles[i].row;
		struct kit_varints v;

		if (tile->kind != VZI_PATHS || tile->level != level)
			continue;
		v = kit_index_varints(&s->index.tiles[i]);
		for (size_t k = 0; k < v.n; k += 5) {
			self += v.p[k + 3];
			other += v.p[k + 4];
		}
		free(v.p);
	}
	cr_assert_gt(other, 0);
	return self + other;
}

/* More than 2^18 paths, each walked once: time above the last that is kept is .other. */
Test(index, paths_beyond_the_limit_are_counted)
{
	struct kit *kit = kit_new(2, 8);
	struct kit_track *t = kit_track(kit, 1, 0);
	struct subject s = { .kit = kit };

	for (uint32_t i = 0; i < 1u << 16; i++) {
		for (int part = 3; part >= 0; part--)
			kit_enter(t, (uint32_t)part * 16 + (i >> 4 * part & 15), VZ_ENTRY_CALL,
				  t->ns + 1);
		kit_enter(t, 200 + i, VZ_ENTRY_CALL, t->ns + 1);
		kit_enter(t, 99, VZ_ENTRY_CALL, t->ns + 1);
		kit_enter(t, 98, VZ_ENTRY_CALL, t->ns + 1);
		while (t->depth)
			kit_leave(t, VZ_LEAVE_RETURN, t->ns + 1);
	}
	kit_finish(kit);
	s.bytes = kit_bytes(kit, &s.nbytes);
	look(&s);
	cr_assert_eq(s.index.tracks[0].nnodes, VZI_MAX_NODES);
	cr_assert_gt(s.index.tracks[0].left_calls, 0);
	/* A frame is on the stack but for 1 ns between two outermost calls. */
	for (unsigned level = 0; kit_index_tile(&s.index, 0, VZI_PATHS, level, 0); level++)
		cr_assert_eq(time_in_paths(&s, level), t->ns - KIT_START_NS - (1u << 16));
	done(&s);
}

/* Deeper than can be drawn: all is counted, nothing is lost. */
Test(index, what_is_too_deep_is_drawn_at_the_bottom)
{
	struct kit *kit = kit_new(2, 9);
	struct kit_track *t = kit_track(kit, 1, 0);
	struct subject s = { .kit = kit };
	struct kit_records slices = { 0 }, runs = { 0 };
	uint64_t calls = 0;

	for (uint32_t i = 0; i < 70000; i++)
		kit_enter(t, 1, VZ_ENTRY_CALL, t->ns + 1);
	while (t->depth)
		kit_leave(t, VZ_LEAVE_RETURN, t->ns + 1);
	kit_finish(kit);
	s.bytes = kit_bytes(kit, &s.nbytes);
	look(&s);
	cr_assert_eq(s.index.tracks[0].max_depth, 70000);
	for (unsigned class = 0; class < VZI_LEVELS; class ++) {
		cr_assert_null(kit_index_records(&s.index, 0, VZI_SLICES, class, &slices));
		calls += slices.n;
		free(slices.p);
	}
	cr_assert_null(kit_index_records(&s.index, 0, VZI_RUNS, 0, &runs));
	for (size_t i = 0; i < runs.n; i++) {
		cr_assert_leq(runs.p[i].depth, 65535);
		calls += runs.p[i].last;
	}
	free(runs.p);
	cr_assert_eq(calls, 70000);
	done(&s);
}

/* What a counter has is on all its levels; level k has one record for 4^k samples. */
Test(index, samples_of_a_counter)
{
	enum {
		N = 3000,
	};
	const struct vz_build_options options = { .duration_ns = N * 10 };
	struct vz_block head = { .count = N, .t0_ns = 5, .raw_bytes = N * 9 };
	uint8_t *raw = malloc(head.raw_bytes);
	struct kit_index x = { 0 };
	struct vz_build *b;

	for (int i = 0; i < N; i++) {
		double value = i % 7 ? i : -i;

		raw[i] = i ? 10 : 0;
		memcpy(raw + N + (size_t)i * 8, &value, 8);
	}
	kit_index_samples(&options, &head, raw, &x, &b);
	cr_assert_eq(vz_build_track(b)->end_ns, 5 + (N - 1) * 10);
	for (unsigned level = 0, n = N, size = 1; level < 3; level++, size *= 4) {
		const struct kit_tile *tile = kit_index_tile(&x, 0, VZI_SAMPLES, level, 0);
		const double *values;
		uint32_t lengths[VZI_SAMPLE_COLUMNS];

		cr_assert_not_null(tile);
		n = (N + size - 1) / size;
		cr_assert_eq(tile->row.count, n);
		memcpy(lengths, tile->bytes, sizeof(lengths));
		cr_assert_eq(lengths[0] + 3 * lengths[1] + sizeof(lengths), tile->row.bytes);
		values = malloc(3 * lengths[1]);
		memcpy((void *)(uintptr_t)values, tile->bytes + sizeof(lengths) + lengths[0],
		       3 * lengths[1]);
		for (unsigned i = 0; i < n; i++) {
			double least = 1e9, most = -1e9, last = 0;

			for (unsigned k = i * size; k < (i + 1) * size && k < N; k++) {
				last = k % 7 ? k : -(double)k;
				least = last < least ? last : least;
				most = last > most ? last : most;
			}
			cr_assert(values[i] == least && values[n + i] == most &&
				  values[2 * n + i] == last);
		}
		free((void *)(uintptr_t)values);
	}
	cr_assert_null(kit_index_tile(&x, 0, VZI_SAMPLES, 3, 0));
	vz_build_free(b);
	kit_index_fini(&x);
	free(raw);
}
