/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <math.h>

#include "attach/clock.h"

#define SEC UINT64_C(1000000000)

enum { INTERVAL = 200 * 1000 * 1000 };

/* A counter of HZ that starts somewhere and whose real rate may bend while we look. */
struct fake {
	uint64_t ticks0, ns0;
	double hz;
};

static struct vz_clock_pair pair_at(const struct fake *f, uint64_t ns)
{
	return (struct vz_clock_pair){ f->ticks0 + (uint64_t)((double)(ns - f->ns0) * f->hz / 1e9),
				       ns };
}

/* From now on the counter runs at HZ; no jump. */
static void bend(struct fake *f, uint64_t ns, double hz)
{
	struct vz_clock_pair here = pair_at(f, ns);

	*f = (struct fake){ here.ticks, here.ns, hz };
}

Test(clock, nanoseconds_are_themselves)
{
	struct vz_clock_pair a = vz_clock_pair_now(true), b = vz_clock_pair_now(true);
	struct vz_clock_map map;
	uint64_t ticks = vz_clock_ticks(true);

	cr_assert_geq(ticks, b.ns);
	vz_clock_init(&map, true, a, b);
	vz_clock_update(&map, vz_clock_pair_now(true), INTERVAL);
	cr_assert_eq(vz_clock_ns(&map, 0), 0);
	cr_assert_eq(vz_clock_ns(&map, ticks), ticks);
	cr_assert_eq(vz_clock_ns(&map, UINT64_MAX), UINT64_MAX);
}

Test(clock, pairs_do_not_run_back)
{
	for (int is_ns = 0; is_ns < 2; is_ns++) {
		struct vz_clock_pair last = vz_clock_pair_now(is_ns);

		for (int i = 0; i < 1000; i++) {
			struct vz_clock_pair pair = vz_clock_pair_now(is_ns);

			cr_assert_geq(pair.ns, last.ns);
			cr_assert(is_ns || pair.ticks >= last.ticks || !vz_clock_tsc_usable());
			last = pair;
		}
	}
}

/* Whatever the pairs say, time in the trace rises with the ticks, and no pair makes it jump. */
Test(clock, rises_and_is_continuous)
{
	static const double rates[] = { 1e9, 2.1e9, 2.1002e9, 2.0998e9, 3.7e9 };

	for (size_t k = 0; k < sizeof(rates) / sizeof(rates[0]); k++) {
		struct fake f = { 123456789, 77 * SEC, rates[k] };
		struct vz_clock_map map;
		uint64_t now = f.ns0 + SEC / 100, last = 0;

		vz_clock_init(&map, false, pair_at(&f, f.ns0), pair_at(&f, now));
		for (unsigned i = 0; i < 500; i++) {
			struct vz_clock_pair pair;
			uint64_t before, after;

			for (unsigned step = 1; step <= 20; step++) {
				struct vz_clock_pair at = pair_at(&f, now + step * (INTERVAL / 20));
				uint64_t ns = vz_clock_ns(&map, at.ticks);

				cr_assert_geq(ns, last, "rate %g round %u", rates[k], i);
				last = ns;
			}
			now += INTERVAL;
			if (i % 10 == 9) /* temperature, or NTP */
				bend(&f, now, rates[k] * (i % 20 == 9 ? 1.0001 : 0.9999));
			pair = pair_at(&f, now);
			pair.ns += i % 7 == 3 ? 900
					      : 0; /* we were not let on the CPU between the two */
			before = vz_clock_ns(&map, pair.ticks);
			vz_clock_update(&map, pair, INTERVAL);
			after = vz_clock_ns(&map, pair.ticks);
			cr_assert_eq(before, after, "rate %g round %u", rates[k], i);
		}
	}
}

Test(clock, converges_to_the_real_time)
{
	struct fake f = { UINT64_C(1) << 50, SEC, 2.5e9 };
	struct vz_clock_map map;
	struct vz_clock_pair first = pair_at(&f, SEC), second = pair_at(&f, SEC + 2000000);
	uint64_t now = second.ns;

	second.ns += 600; /* off by 300 ppm at first */
	vz_clock_init(&map, false, first, second);
	for (unsigned i = 0; i < 50; i++) {
		now += INTERVAL;
		vz_clock_update(&map, pair_at(&f, now), INTERVAL);
	}
	for (unsigned i = 0; i < 100; i++) {
		uint64_t ns = now + i * (INTERVAL / 100);
		double off = (double)(int64_t)(vz_clock_ns(&map, pair_at(&f, ns).ticks) - ns);

		cr_assert_lt(fabs(off), 100, "off by %.0f ns", off);
	}
	cr_assert_lt(fabs(vz_clock_hz(&map) - 2.5e9), 2.5e3);
}

/* A pair that is far off bends time gently instead of breaking it. */
Test(clock, a_bad_pair_is_followed_slowly)
{
	struct fake f = { 0, SEC, 1e9 };
	struct vz_clock_map map;
	struct vz_clock_pair bad = pair_at(&f, 3 * SEC);
	uint64_t at, next;

	vz_clock_init(&map, false, pair_at(&f, SEC), pair_at(&f, 2 * SEC));
	at = vz_clock_ns(&map, bad.ticks);
	bad.ns += SEC / 2;
	vz_clock_update(&map, bad, INTERVAL);
	next = vz_clock_ns(&map, bad.ticks + INTERVAL);
	cr_assert_eq(vz_clock_ns(&map, bad.ticks), at);
	cr_assert_gt(next, at);
	/* the overall rate is (2.5 s for 2 s); on top of it no more than 500 ppm */
	cr_assert_lt((double)(next - at), INTERVAL * 1.25 * 1.0006);
}

/* Events may be older than a few pairs: they are mapped by the piece that was valid then. */
Test(clock, old_ticks_keep_their_time)
{
	struct fake f = { 1000, SEC, 2e9 };
	struct vz_clock_map map;
	uint64_t now = SEC, ticks[VZ_CLOCK_PIECES], ns[VZ_CLOCK_PIECES];

	vz_clock_init(&map, false, pair_at(&f, now), pair_at(&f, now + SEC / 10));
	for (unsigned i = 0; i < 300; i++) {
		now += INTERVAL;
		bend(&f, now, i % 2 ? 2e9 : 2.0001e9);
		vz_clock_update(&map, pair_at(&f, now), INTERVAL);
		ticks[i % VZ_CLOCK_PIECES] = pair_at(&f, now + INTERVAL / 2).ticks;
		ns[i % VZ_CLOCK_PIECES] = vz_clock_ns(&map, ticks[i % VZ_CLOCK_PIECES]);
		for (unsigned k = 0; k < VZ_CLOCK_PIECES && k <= i; k++)
			cr_assert_eq(vz_clock_ns(&map, ticks[k]), ns[k], "round %u", i);
	}
	/* older than all that is kept: not exact, but earlier */
	cr_assert_lt(vz_clock_ns(&map, 1001), ns[0]);
}

Test(clock, pairs_that_cannot_be_are_ignored)
{
	struct vz_clock_map map, before;
	const struct vz_clock_pair a = { 1000, 5000 }, b = { 2000, 6000 };

	vz_clock_init(&map, false, a, a);
	cr_assert_eq(vz_clock_ns(&map, 1500), 5500); /* no rate known: 1 GHz */
	vz_clock_init(&map, false, a, b);
	before = map;
	vz_clock_update(&map, (struct vz_clock_pair){ 999, 7000 }, INTERVAL);
	cr_assert_eq(map.npieces, before.npieces);
	cr_assert_eq(vz_clock_ns(&map, 1700), 5700);
	cr_assert_eq(vz_clock_ns(&map, 900), 4900); /* before the first pair */
	map.rate = 0;
	cr_assert_eq((uint64_t)vz_clock_hz(&map), 0);
}
