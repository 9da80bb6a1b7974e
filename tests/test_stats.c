/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/kit_trace.h"
#include "viewer/stats.h"
#include "viewer/walk.h"

enum {
	S = KIT_START_NS,
	MAIN = 1,
	FIB = 2,
	GEN = 3,
};

struct counted {
	uint8_t *bytes;
	struct vz_reader *reader;
	struct vz_stats stats;
};

static void count(struct kit *kit, uint32_t place, struct counted *c)
{
	struct vz_trouble trouble;
	size_t n;

	c->bytes = kit_bytes(kit, &n);
	cr_assert_eq(vz_reader_open_memory(c->bytes, n, &c->reader, &trouble), 0);
	cr_assert_eq(vz_stats_init(&c->stats, c->reader, place), 0);
}

static void done(struct counted *c)
{
	vz_stats_fini(&c->stats);
	vz_reader_free(c->reader);
	free(c->bytes);
}

static const struct vz_function_stats *of(const struct counted *c, uint32_t function)
{
	for (uint32_t i = 0; i < c->stats.nfunctions; i++)
		if (c->stats.functions[i].function == function)
			return &c->stats.functions[i];
	cr_assert_fail("function %u does not occur", function);
	return NULL;
}

Test(stats, recursion_is_not_counted_twice)
{
	struct kit *kit = kit_new(5, 1);
	struct kit_track *t = kit_track(kit, 1, 0);
	struct counted c;

	kit_enter(t, MAIN, VZ_ENTRY_CALL, S + 100);
	kit_enter(t, FIB, VZ_ENTRY_CALL, S + 110);
	kit_enter(t, FIB, VZ_ENTRY_CALL, S + 120);
	vz_tracefile_flush(kit->tf, UINT64_MAX, 0); /* the rule holds across blocks */
	kit_enter(t, FIB, VZ_ENTRY_CALL, S + 130);
	kit_leave(t, VZ_LEAVE_UNWIND, S + 140);
	kit_leave(t, VZ_LEAVE_UNWIND, S + 150);
	kit_leave(t, VZ_LEAVE_RETURN, S + 170);
	kit_leave(t, VZ_LEAVE_RETURN, S + 200);
	kit_finish(kit);
	count(kit, VZ_ALL_TRACKS, &c);
	cr_assert_eq(of(&c, FIB)->calls, 3);
	cr_assert_eq(of(&c, FIB)->total_ns, 60);
	cr_assert_eq(of(&c, FIB)->self_ns, 60);
	cr_assert_eq(of(&c, FIB)->raised, 2);
	cr_assert_eq(of(&c, FIB)->min_ns, 10);
	cr_assert_eq(of(&c, FIB)->max_ns, 60);
	cr_assert_eq(of(&c, MAIN)->total_ns, 100);
	cr_assert_eq(of(&c, MAIN)->self_ns, 40);
	cr_assert_eq(c.stats.all.busy_ns, 100);
	cr_assert_eq(c.stats.all.max_depth, 4);
	done(&c);
	kit_free(kit);
}

Test(stats, a_generator_is_the_sum_of_its_stays)
{
	struct kit *kit = kit_new(5, 2);
	struct kit_track *t = kit_track(kit, 1, 0);
	struct counted c;

	kit_enter(t, GEN, VZ_ENTRY_CALL, S + 100);
	kit_leave(t, VZ_LEAVE_YIELD, S + 110);
	kit_enter(t, GEN, VZ_ENTRY_RESUME, S + 200);
	kit_leave(t, VZ_LEAVE_YIELD, S + 220);
	kit_enter(t, GEN, VZ_ENTRY_THROW, S + 300);
	kit_leave(t, VZ_LEAVE_RETURN, S + 330);
	kit_finish(kit);
	count(kit, VZ_ALL_TRACKS, &c);
	cr_assert_eq(of(&c, GEN)->calls, 1);
	cr_assert_eq(of(&c, GEN)->resumes, 2);
	cr_assert_eq(of(&c, GEN)->total_ns, 60);
	cr_assert_eq(c.stats.all.busy_ns, 60);
	done(&c);
	kit_free(kit);
}

Test(stats, what_was_not_seen_whole_is_counted_as_such)
{
	struct kit *kit = kit_new(5, 3);
	struct kit_track *t = kit_track(kit, 1, 0);
	struct counted c;

	kit_enter(t, MAIN, VZ_ENTRY_OPEN, S);
	kit_enter(t, FIB, VZ_ENTRY_CALL, S + 10);
	kit_lost(t, 7, S + 20);
	kit_leave(t, VZ_LEAVE_UNSEEN, S + 30);
	kit_enter(t, FIB, VZ_ENTRY_CALL, S + 40);
	kit->end_ns = S + 100;
	kit_finish(kit);
	count(kit, VZ_ALL_TRACKS, &c);
	cr_assert_eq(of(&c, MAIN)->calls, 0);
	cr_assert_eq(of(&c, MAIN)->open, 1);
	cr_assert_eq(of(&c, MAIN)->total_ns, 100);
	cr_assert_eq(of(&c, FIB)->calls, 2);
	cr_assert_eq(of(&c, FIB)->open, 1);
	cr_assert_eq(of(&c, FIB)->unseen, 1);
	cr_assert_eq(of(&c, FIB)->total_ns, 20 + 60);
	cr_assert_gt(of(&c, FIB)->min_ns, of(&c, FIB)->max_ns);
	cr_assert_eq(c.stats.all.lost, 7);
	done(&c);
	kit_free(kit);
}

Test(stats, threads_add_up)
{
	struct kit *kit = kit_new(60, 4);
	struct counted all, one;
	uint64_t calls = 0, self = 0, total = 0;

	for (uint32_t i = 0; i < 3; i++)
		kit_track(kit, 1 + i, 0);
	for (int round = 0; round < 60; round++)
		kit_steps(kit->tracks[kit_random(kit, 3)], kit_random(kit, 2000));
	kit_finish(kit);
	count(kit, VZ_ALL_TRACKS, &all);
	for (uint32_t place = 0; place < 3; place++) {
		uint64_t busy = 0;

		count(kit, place, &one);
		for (uint32_t i = 0; i < one.stats.nfunctions; i++) {
			busy += one.stats.functions[i].self_ns;
			calls += one.stats.functions[i].calls;
			total += one.stats.functions[i].total_ns;
		}
		/* Every nanosecond with a frame on the stack is some function's own. */
		cr_assert_eq(busy, one.stats.all.busy_ns);
		cr_assert_eq(busy, all.stats.tracks[place].busy_ns);
		self += busy;
		done(&one);
	}
	for (uint32_t i = 0; i < all.stats.nfunctions; i++) {
		calls -= all.stats.functions[i].calls;
		self -= all.stats.functions[i].self_ns;
		total -= all.stats.functions[i].total_ns;
	}
	cr_assert(calls == 0 && self == 0 && total == 0);
	done(&all);
	kit_free(kit);
}

Test(stats, order)
{
	struct kit *kit = kit_new(60, 5);
	struct counted c;

	kit_steps(kit_track(kit, 1, 0), 5000);
	kit_finish(kit);
	count(kit, VZ_ALL_TRACKS, &c);
	vz_stats_sort(&c.stats, c.reader, VZ_ORDER_SELF);
	for (uint32_t i = 1; i < c.stats.nfunctions; i++)
		cr_assert_geq(c.stats.functions[i - 1].self_ns, c.stats.functions[i].self_ns);
	vz_stats_sort(&c.stats, c.reader, VZ_ORDER_TOTAL);
	for (uint32_t i = 1; i < c.stats.nfunctions; i++)
		cr_assert_geq(c.stats.functions[i - 1].total_ns, c.stats.functions[i].total_ns);
	vz_stats_sort(&c.stats, c.reader, VZ_ORDER_CALLS);
	for (uint32_t i = 1; i < c.stats.nfunctions; i++)
		cr_assert_geq(c.stats.functions[i - 1].calls + c.stats.functions[i - 1].resumes,
			      c.stats.functions[i].calls + c.stats.functions[i].resumes);
	done(&c);
	kit_free(kit);
}
