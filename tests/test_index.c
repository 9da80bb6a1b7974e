/* SPDX-License-Identifier: MIT */
/*
 * The index of random traces against the plainest way to make one: kit_index.h.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kit_index.h"
#include "viewer/index.h"
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
		if (dice == 200)
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
