/* SPDX-License-Identifier: MIT */
/* Folded stacks: their sums are the self times. */
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

Test(export_collapsed, numbers_are_those_of_the_spans)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		check(kit_recorded(seed), "collapsed", "", 0);
}

Test(export_collapsed, part_of_a_trace)
{
	check(kit_recorded(4), "collapsed", "3000", 0);
	check(kit_recorded(4), "collapsed", "", 20000);
}

Test(export_collapsed, hostile_names)
{
	check(kit_hostile(), "collapsed", "", 0);
}

Test(export_collapsed, nothing_recorded)
{
	struct kit *kit = kit_new(3, 1);

	kit_track(kit, 7, 0);
	kit_finish(kit);
	check(kit, "collapsed", "", 0);
}
