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

/* Only the innermost frame takes time, or the text would be of many megabytes. */
Test(export_collapsed, very_deep_stacks_end_somewhere)
{
	struct kit *kit = kit_new(3, 1);
	struct kit_track *t = kit_track(kit, 7, 0);

	for (int i = 0; i < 5000; i++)
		kit_enter(t, i % 2 ? 1 : 2, VZ_ENTRY_CALL, KIT_START_NS + 10);
	kit_leave(t, VZ_LEAVE_RETURN, KIT_START_NS + 20);
	while (t->depth > 1000)
		kit_leave(t, VZ_LEAVE_RETURN, KIT_START_NS + 30);
	while (t->depth)
		kit_leave(t, VZ_LEAVE_RETURN, KIT_START_NS + 40);
	kit_finish(kit);
	check(kit, "collapsed", "", 0);
}
