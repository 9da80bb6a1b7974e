/* SPDX-License-Identifier: MIT */
/* A row for each function, read back by the csv module. */
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

Test(export_csv, numbers_are_those_of_the_spans)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		check(kit_recorded(seed), "csv", "", 0);
}

Test(export_csv, part_of_a_trace)
{
	check(kit_recorded(4), "csv", "3000", 0);
	check(kit_recorded(4), "csv", "", 20000);
}

Test(export_csv, hostile_names)
{
	check(kit_hostile(), "csv", "", 0);
}

Test(export_csv, nothing_recorded)
{
	struct kit *kit = kit_new(3, 1);

	kit_track(kit, 7, 0);
	kit_finish(kit);
	check(kit, "csv", "", 0);
}
