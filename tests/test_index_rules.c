/* SPDX-License-Identifier: MIT */
/*
 * The rules of the index at their limits, which random traces hardly meet.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kit_index.h"
#include "viewer/core/directory.h"
#include "viewer/index/index.h"

enum {
	S = KIT_START_NS,
	FINE = VZI_FINE_NS,
};

struct subject {
	struct kit *kit;
	struct kit_track *t;
	uint8_t *bytes;
	struct vz_reader *reader;
	struct kit_index index;
};

static void begin(struct subject *s)
{
	*s = (struct subject){ .kit = kit_new(9, 1) };
	s->t = kit_track(s->kit, 1, 0);
}

/* Outermost calls: after so long a gap, for so long. */
static void calls(struct subject *s, const uint64_t (*gaps_and_lengths)[2], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		kit_enter(s->t, (uint32_t)i, VZ_ENTRY_CALL, s->t->ns + gaps_and_lengths[i][0]);
		kit_leave(s->t, VZ_LEAVE_RETURN, s->t->ns + gaps_and_lengths[i][1]);
	}
}

static void look(struct subject *s)
{
	struct vz_trouble trouble;
	size_t n;

	s->kit->end_ns = S + (UINT64_C(1) << 40); /* so that there are all levels */
	kit_finish(s->kit);
	s->bytes = kit_bytes(s->kit, &n);
	cr_assert_eq(vz_reader_open_memory(s->bytes, n, &s->reader, &trouble), 0);
	kit_index_build(s->reader, &s->index);
}

static void done(struct subject *s)
{
	kit_index_fini(&s->index);
	vz_reader_free(s->reader);
	free(s->bytes);
	kit_free(s->kit);
}

/* Numbers of calls in the runs of a level, which end with 0. */
static void check_runs(const struct subject *s, unsigned level, const uint64_t *counts)
{
	struct kit_records runs;
	size_t i = 0;

	cr_assert_null(kit_index_records(&s->index, 0, VZI_RUNS, level, &runs));
	for (; i < runs.n; i++)
		cr_assert_eq(runs.p[i].last, counts[i], "level %u, run %zu: %llu", level, i,
			     (unsigned long long)runs.p[i].last);
	cr_assert_eq(counts[i], 0);
	free(runs.p);
}

Test(index_rules, runs_end_where_it_is_said)
{
	/* clang-format off */
	static const struct {
		const char *label;
		uint64_t calls[8][2]; /* gap, length */
		uint64_t runs[3][5];  /* of levels 0 to 2 */
	} cases[] = {
		{ "a gap of less than r", { { 5, 9 }, { FINE - 1, 9 } }, { { 2 }, { 2 }, { 2 } } },
		{ "a gap of r", { { 5, 9 }, { FINE, 9 } }, { { 1, 1 }, { 2 }, { 2 } } },
		{ "a gap of 4 r", { { 5, 9 }, { 4 * FINE, 9 } }, { { 1, 1 }, { 1, 1 }, { 2 } } },
		{ "longer than 4 r", { { 5, FINE - 1 }, { 1, FINE - 1 }, { 1, FINE - 1 }, { 1, FINE - 1 },
				{ 2, 0 } }, { { 4, 1 }, { 5 }, { 5 } } },
		{ "exactly 4 r long", { { 5, FINE - 1 }, { 1, FINE - 1 }, { 1, FINE - 1 }, { 1, FINE - 1 },
				{ 1, 0 } }, { { 5 }, { 5 }, { 5 } } },
		{ "across a call of r", { { 5, 9 }, { 1, FINE }, { 1, 9 } }, { { 1, 1 }, { 3 }, { 3 } } },
		{ "across one that is just shorter", { { 5, 9 }, { 1, FINE - 1 }, { 1, 9 } },
		  { { 3 }, { 3 }, { 3 } } },
		{ "across a call of 4 r", { { 5, 9 }, { 1, 4 * FINE }, { 1, 9 } },
		  { { 1, 1 }, { 1, 1 }, { 3 } } },
	};
	/* clang-format on */

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct subject s;
		size_t n = 0;

		while (n < 8 && (cases[i].calls[n][0] || cases[i].calls[n][1]))
			n++;
		begin(&s);
		calls(&s, cases[i].calls, n);
		look(&s);
		for (unsigned level = 0; level < 3; level++) {
			struct kit_records runs;

			cr_assert_null(kit_index_records(&s.index, 0, VZI_RUNS, level, &runs));
			cr_expect_geq(runs.n, 1, "%s", cases[i].label);
			free(runs.p);
			check_runs(&s, level, cases[i].runs[level]);
		}
		done(&s);
	}
}

/* The clock may be coarse: what begins at the same time is in order of depth. */
Test(index_rules, calls_that_begin_at_once_are_in_order_of_depth)
{
	struct subject s;
	struct kit_records slices;

	begin(&s);
	for (uint32_t i = 0; i < 50; i++)
		kit_enter(s.t, i % 9, VZ_ENTRY_CALL, S + 7);
	for (uint32_t i = 0; i < 50; i++)
		kit_leave(s.t, VZ_LEAVE_RETURN, S + 7 + FINE);
	look(&s);
	/* Order within a tile is checked while it is read. */
	cr_assert_null(kit_index_records(&s.index, 0, VZI_SLICES, 0, &slices));
	cr_assert_eq(slices.n, 50);
	for (uint32_t i = 0; i < 50; i++)
		cr_assert_eq(slices.p[i].depth, i);
	free(slices.p);
	done(&s);
}

static int ignore(void *ctx, const struct vzi_tile *tile, const uint8_t *bytes)
{
	uint64_t *last = ctx;

	(void)bytes;
	cr_assert_leq(tile->t0_ns, tile->t1_ns);
	*last = tile->t1_ns > *last ? tile->t1_ns : *last;
	return 0;
}

/* Blocks that cannot be read say any time; those around them are right. */
Test(index_rules, what_cannot_be_read_lies_between_what_can)
{
	static const uint64_t lies[][2] = {
		{ 0, 0 }, { 5, 1 }, { S + 100, S + 100000 }, { UINT64_MAX, UINT64_MAX }
	};
	struct subject s;
	struct vz_build_options options = { .zero_ns = S, .duration_ns = 10000 };
	const struct vzi_block *blocks;
	struct vz_block head, lie = { 0 };
	struct vz_build *b;
	const uint8_t *raw;
	uint64_t last = 0;
	uint32_t n;

	begin(&s);
	for (int i = 0; i < 6; i++) {
		calls(&s, (const uint64_t[][2]){ { 10, 20 }, { 30, 40 } }, 2);
		vz_tracefile_flush(s.kit->tf, UINT64_MAX, 0);
	}
	look(&s);
	options.sink = (struct vz_build_sink){ ignore, &last };
	cr_assert_eq(vz_build_new(&options, &b), 0);
	for (uint32_t i = 0; i < 6; i++) {
		for (size_t k = 0; k < 4; k++) {
			lie.t0_ns = lies[k][0];
			lie.t1_ns = lies[k][1];
			cr_assert_eq(vz_build_block(b, i, &lie, NULL), 0);
		}
		cr_assert_eq(vz_reader_load(s.reader, i, &head, &raw), 0);
		cr_assert_eq(vz_build_block(b, i, &head, raw), 0);
	}
	cr_assert_eq(vz_build_end(b), 0);
	blocks = vz_build_blocks(b, &n);
	cr_assert_eq(n, 30);
	for (uint32_t i = 1; i < n; i++) {
		cr_assert_leq(blocks[i - 1].from_ns, blocks[i].from_ns);
		if (blocks[i].flags & VZI_BLOCK_UNREADABLE)
			continue;
		cr_assert(blocks[i].flags & VZI_BLOCK_AFTER_HOLE);
		cr_assert_eq(blocks[i].from_ns, blocks[i].t0_ns);
		if (i > 5)
			cr_assert_geq(blocks[i - 4].from_ns, blocks[i - 5].t1_ns);
	}
	cr_assert_eq(last, vz_build_track(b)->end_ns);
	cr_assert_eq(vz_build_track(b)->holes, 6);
	vz_build_free(b);
	done(&s);
}

/* Each member of a directory that could lead astray, by one too much. */
Test(index_rules, a_directory_with_one_wrong_number_is_refused)
{
	struct row {
		struct vzi_directory head;
		struct vzi_track tracks[1];
		struct vzi_tile tiles[2];
		struct vzi_block blocks[2];
		uint32_t density[VZI_DENSITY];
	} good = {
		.head = { .version = VZI_VERSION,
			  .ntracks = 1,
			  .ntiles = 2,
			  .nblocks = 2,
			  .duration_ns = 1000 },
		.tracks = { { .ntiles = 2, .nblocks = 2, .end_ns = 1000, .nnodes = 1 } },
		.tiles = { { .t0_ns = 10,
			     .t1_ns = 20,
			     .offset = 64,
			     .bytes = 36,
			     .count = 5,
			     .kind = VZI_SLICES },
			   { .t0_ns = 10,
			     .t1_ns = 20,
			     .offset = 104,
			     .bytes = 24,
			     .count = 5,
			     .kind = VZI_RUNS } },
		.blocks = { { .t1_ns = 5 }, { .from_ns = 7, .t0_ns = 7, .t1_ns = 9 } },
	};
	struct row bad[] = { good, good, good, good, good, good, good, good, good,
			     good, good, good, good, good, good, good, good };
	struct vz_directory_view view;
	size_t i = 0;

	bad[i++].head.version++;
	bad[i++].head.ntracks++;
	bad[i++].head.ntiles--;
	bad[i++].head.nblocks++;
	bad[i++].head.duration_ns--;
	bad[i++].tracks[0].first_tile++;
	bad[i++].tracks[0].nblocks = UINT32_MAX;
	bad[i++].tracks[0].nnodes = VZI_MAX_NODES + 1;
	bad[i++].tracks[0].begin_ns = 1001;
	bad[i++].tiles[0].t0_ns = 21;
	bad[i++].tiles[1].bytes++;
	bad[i++].tiles[1].offset += 4;
	bad[i++].tiles[1].offset = UINT64_MAX - 7;
	bad[i++].tiles[1].kind = VZI_SAMPLES + 1;
	bad[i++].tiles[1].level = VZI_LEVELS;
	bad[i++].tiles[1].count = 25;
	bad[i++].blocks[0].from_ns = 8;
	cr_assert_eq(i, sizeof(bad) / sizeof(bad[0]));
	cr_assert_eq(vz_directory_check(&good, sizeof(good), 128, &view), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_neq(vz_directory_check(&bad[i], sizeof(bad[i]), 128, &view), 0, "%zu", i);
	cr_assert_neq(vz_directory_check(&good, sizeof(good) - 1, 128, &view), 0);
}
