/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "viewer/core/query_paths.h"

static struct vzq_paths sums;

static void setup(void)
{
	cr_assert_eq(vzq_paths_init(&sums, 1000), 0);
}

static void teardown(void)
{
	vzq_paths_fini(&sums);
}

TestSuite(query_paths, .init = setup, .fini = teardown);

static void expect(uint32_t i, struct vzq_acc want)
{
	struct vzq_acc got = vzq_paths_get(&sums, i);

	cr_assert_eq(got.calls, want.calls);
	cr_assert_eq(got.resumes, want.resumes);
	cr_assert_eq(got.self_ns, want.self_ns);
	cr_assert_eq(got.other_ns, want.other_ns);
}

static void add(uint32_t i, struct vzq_acc more)
{
	cr_assert_eq(vzq_paths_add(&sums, i, &more), 0);
}

Test(query_paths, what_is_common_needs_no_more_room)
{
	add(7, (struct vzq_acc){ .calls = INT32_MAX, .self_ns = 5 });
	add(7, (struct vzq_acc){ .self_ns = UINT64_C(1) << 50 });
	expect(7, (struct vzq_acc){ .calls = INT32_MAX, .self_ns = (UINT64_C(1) << 50) + 5 });
	expect(8, (struct vzq_acc){ 0 });
	cr_assert_eq(sums.nrare, 0);
}

Test(query_paths, calls_beyond_31_bits_are_exact)
{
	add(0, (struct vzq_acc){ .calls = INT32_MAX });
	add(0, (struct vzq_acc){ .calls = 1 });
	expect(0, (struct vzq_acc){ .calls = UINT64_C(1) << 31 });
	add(1, (struct vzq_acc){ .calls = UINT32_MAX });
	add(1, (struct vzq_acc){ .calls = 1 });
	add(1, (struct vzq_acc){ .calls = 3, .self_ns = 2 });
	add(1, (struct vzq_acc){ .calls = UINT64_C(5) << 32 });
	expect(1, (struct vzq_acc){ .calls = (UINT64_C(6) << 32) + 3, .self_ns = 2 });
}

Test(query_paths, each_has_its_own_of_what_is_rare)
{
	for (uint32_t round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 1000; i++)
			add(i, (struct vzq_acc){ 1, i, 2, 3 * i });
	for (uint32_t i = 0; i < 1000; i++)
		expect(i, (struct vzq_acc){ 2, 2 * i, 4, 6 * i });
}

Test(query_paths, what_is_taken_off_was_never_there)
{
	const struct vzq_acc big = { UINT64_C(1) << 33, 4, 5, 6 };

	add(2, (struct vzq_acc){ UINT32_MAX, 0, 9, 0 });
	add(2, big);
	vzq_paths_take_off(&sums, 2, &big);
	expect(2, (struct vzq_acc){ UINT32_MAX, 0, 9, 0 });
	add(2, (struct vzq_acc){ 1, 1, 1, 1 });
	expect(2, (struct vzq_acc){ UINT64_C(1) << 32, 1, 10, 1 });
}
