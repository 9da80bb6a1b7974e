/* SPDX-License-Identifier: MIT */
/* The encoder against the decoder, at the edges of the format; sizes are exact, so they can be
 * asserted. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "attach/encode.h"
#include "tests/kit_trace.h"
#include "viewer/core/decode.h"

static void check(struct kit *kit)
{
	struct vz_trouble trouble;
	struct vz_reader *r;
	const char *wrong;
	uint8_t *p;
	size_t n;

	kit_finish(kit);
	p = kit_bytes(kit, &n);
	cr_assert_eq(vz_reader_open_memory(p, n, &r, &trouble), 0);
	wrong = kit_compare_all(kit, r);
	cr_assert_null(wrong, "%s", wrong);
	vz_reader_free(r);
	free(p);
	kit_free(kit);
}

Test(encode, recursion_a_hundred_thousand_deep)
{
	struct kit *kit = kit_new(5, 1);
	struct kit_track *t = kit_track(kit, 1, 0);
	uint64_t ns = KIT_START_NS;

	for (int i = 0; i < 100000; i++) {
		kit_enter(t, i == 70000 ? 4 : 3, VZ_ENTRY_CALL, ns += 40);
		if (i % 30000 == 0)
			vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
	for (int i = 0; i < 99000; i++)
		kit_leave(t, i % 1000 ? VZ_LEAVE_RETURN : VZ_LEAVE_UNWIND, ns += 20);
	vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	kit_enter(t, 2, VZ_ENTRY_CALL, ns += 20);
	check(kit);
}

Test(encode, more_callees_than_a_list_holds)
{
	struct kit *kit = kit_new(1000, 2);
	struct kit_track *t = kit_track(kit, 1, 0);
	uint64_t ns = KIT_START_NS;

	kit_enter(t, 0, VZ_ENTRY_CALL, ns);
	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t f = 1; f < 1000; f += round + 1) {
			kit_enter(t, f, VZ_ENTRY_CALL, ns += 10);
			kit_leave(t, VZ_LEAVE_RETURN, ns += 10);
		}
	}
	for (int i = 0; i < 5000; i++) {
		kit_enter(t, 1 + (uint32_t)kit_random(kit, 70), VZ_ENTRY_CALL, ns += 10);
		kit_leave(t, VZ_LEAVE_RETURN, ns += 10);
	}
	check(kit);
}

Test(encode, long_waits_and_no_time_at_all)
{
	static const uint64_t waits[] = { 0,
					  1,
					  127,
					  128,
					  UINT32_MAX,
					  UINT64_C(1) << 32,
					  (UINT64_C(1) << 32) + 1,
					  UINT64_C(1) << 52,
					  0,
					  0 };
	struct kit *kit = kit_new(3, 3);
	struct kit_track *t = kit_track(kit, 1, 0);
	uint64_t ns = KIT_START_NS;

	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		kit_lost(t, UINT64_MAX - i, ns += waits[i]);
		kit_enter(t, 1, VZ_ENTRY_CALL, ns += waits[i]);
		kit_enter(t, 2, VZ_ENTRY_OPEN, ns += waits[i]);
		kit_leave(t, VZ_LEAVE_UNSEEN, ns += waits[i]);
		if (i % 2)
			kit_leave(t, VZ_LEAVE_RETURN, ns += waits[i]);
	}
	check(kit);
}

Test(encode, losses_alone_and_losses_last)
{
	struct kit *kit = kit_new(3, 4);
	struct kit_track *t = kit_track(kit, 1, 0);

	kit_lost(t, 1, KIT_START_NS + 10);
	kit_lost(t, 2, KIT_START_NS + 10);
	vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	kit_enter(t, 0, VZ_ENTRY_CALL, KIT_START_NS + 20);
	kit_lost(t, 3, KIT_START_NS + 30);
	check(kit);
}

Test(encode, every_kind_of_entry_and_leave)
{
	struct kit *kit = kit_new(3, 5);
	struct kit_track *t = kit_track(kit, 1, 0);
	uint64_t ns = KIT_START_NS;

	for (int i = 0; i < 4000; i++) {
		kit_enter(t, (uint32_t)kit_random(kit, 3), (enum vz_entry)(i & 3), ns += 3);
		kit_leave(t, (enum vz_leave)kit_random(kit, 4), ns += 3);
	}
	check(kit);
}

/* Bytes of a trace of CALLS calls from PLAY, without what the file has anyway. */
static size_t cost(void (*play)(struct kit_track *t, int i), int calls)
{
	struct kit *kit = kit_new(3, 6);
	struct kit_track *t = kit_track(kit, 1, 0);
	struct vz_tracefile_totals before, after;

	vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	vz_tracefile_totals(kit->tf, &before);
	for (int i = 0; i < calls; i++)
		play(t, i);
	vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	vz_tracefile_totals(kit->tf, &after);
	check(kit);
	return (size_t)(after.bytes - before.bytes);
}

static void play_call(struct kit_track *t, int i)
{
	(void)i;
	kit_enter(t, 1, VZ_ENTRY_CALL, t->ns + 60 + kit_random(t->kit, 16));
	kit_leave(t, VZ_LEAVE_RETURN, t->ns + 60 + kit_random(t->kit, 16));
}

static void play_generator(struct kit_track *t, int i)
{
	kit_enter(t, 1, i % 100 ? VZ_ENTRY_RESUME : VZ_ENTRY_CALL,
		  t->ns + 60 + kit_random(t->kit, 16));
	kit_leave(t, i % 100 == 99 ? VZ_LEAVE_RETURN : VZ_LEAVE_YIELD,
		  t->ns + 60 + kit_random(t->kit, 16));
}

Test(encode, a_generator_costs_hardly_more_than_a_call)
{
	size_t calls = cost(play_call, 50000), yields = cost(play_generator, 50000);

	cr_assert_lt(calls, 50000 * 2, "%zu bytes", calls);
	cr_assert_lt(yields, calls + 50000 / 10, "%zu bytes against %zu", yields, calls);
}

Test(encode, a_block_of_few_events_is_small)
{
	cr_assert_lt(cost(play_call, 1), sizeof(struct vz_block) + 40);
}

/* Any bytes may stand in a payload whose checksum holds: the decoder must end, within bounds. */
Test(encode, the_decoder_survives_any_payload)
{
	struct kit *kit = kit_new(1, 7);
	struct vz_decoder *d = vz_decoder_new();
	struct vz_event event;
	uint8_t raw[64];

	for (int round = 0; round < 200000; round++) {
		uint32_t n = (uint32_t)kit_random(kit, sizeof(raw));
		struct vz_block head = { .raw_bytes = n, .t1_ns = kit_random(kit, 1000) };
		int rc;

		for (uint32_t i = 0; i < n; i++)
			raw[i] = (uint8_t)(kit_random(kit, 4) ? kit_random(kit, 8)
							      : kit_random(kit, 256));
		head.count = n ? raw[0] : 0;
		rc = vz_decoder_open(d, &head, raw);
		for (int events = 0; rc >= 0; events++) {
			rc = vz_decoder_next(d, &event);
			cr_assert_lt(events, 4096);
			if (rc != 1)
				break;
			cr_assert_leq(event.ns, head.t1_ns);
			vz_decoder_apply(d, &event);
		}
	}
	vz_decoder_free(d);
	kit_free(kit);
}
