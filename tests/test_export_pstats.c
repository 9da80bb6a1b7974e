/* SPDX-License-Identifier: MIT */
/* Profiles of functions, read back by Python's pstats; and the report's numbers. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/kit_check.h"
#include "tests/kit_spans.h"

static void check(struct kit *kit, const char *format, const char *limit, size_t bytes)
{
	int status;
	char *text = kit_check(kit, format, limit, bytes, &status);

	if (!text)
		cr_skip_test("no python3 here");
	cr_expect_eq(status, 0, "%s: %s", format, text);
	free(text);
	kit_free(kit);
}

Test(export_pstats, numbers_are_those_of_the_spans)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		check(kit_recorded(seed), "pstats", "", 0);
}

Test(export_pstats, report_agrees)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		check(kit_recorded(seed), "report", "", 0);
}

Test(export_pstats, part_of_a_trace)
{
	check(kit_recorded(4), "pstats", "3000", 0);
	check(kit_recorded(4), "pstats", "", 20000);
}

Test(export_pstats, hostile_names)
{
	check(kit_hostile(), "pstats", "", 0);
}

Test(export_pstats, calls_and_times_that_are_large)
{
	struct kit *kit = kit_new(2, 1);
	struct kit_track *t = kit_track(kit, 7, 0);

	kit_enter(t, 1, VZ_ENTRY_CALL, KIT_START_NS + 1);
	kit_leave(t, VZ_LEAVE_RETURN, KIT_START_NS + (UINT64_C(1) << 50));
	kit_finish(kit);
	check(kit, "pstats", "", 0);
}

Test(export_pstats, nothing_recorded)
{
	struct kit *kit = kit_new(3, 1);

	kit_track(kit, 7, 0);
	kit_finish(kit);
	check(kit, "pstats", "", 0);
}
