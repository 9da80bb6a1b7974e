/* SPDX-License-Identifier: MIT */
/* Speedscope's files: balanced, in order, and with every span. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/kit_check.h"
#include "tests/kit_spans.h"

static char *check(const struct kit *kit, const char *limit, size_t bytes)
{
	int status;
	char *text = kit_check(kit, "speedscope", limit, bytes, &status);

	if (!text)
		cr_skip_test("no python3 here");
	cr_assert_eq(status, 0, "%s", text + (strlen(text) > 2000 ? strlen(text) - 2000 : 0));
	return text;
}

/* "track TAB begin TAB end TAB name" a line; times there begin with the trace. */
static void read_spans(char *text, struct kit_spans *got)
{
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		struct kit_span span;
		int at = 0;

		cr_assert_eq(sscanf(line, "%" SCNu64 "\t%" SCNu64 "\t%" SCNu64 "\t%n", &span.track,
				    &span.begin, &span.end, &at),
			     3, "%s", line);
		span.begin += KIT_START_NS;
		span.end += KIT_START_NS;
		span.name = kit_hash(line + at, strlen(line + at));
		kit_span_add(got, span);
	}
}

Test(export_speedscope, holds_every_span)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct kit *kit = kit_recorded(seed);
		struct kit_spans got = { 0 }, want = { 0 };
		char *text = check(kit, "", 0);
		const char *wrong;

		read_spans(text, &got);
		kit_spans_expect(kit, &want);
		want.lost = 0;
		wrong = kit_spans_compare(&got, &want);
		cr_assert_null(wrong, "seed %lu: %s", (unsigned long)seed, wrong);
		free(text);
		kit_free(kit);
	}
}

Test(export_speedscope, part_of_a_trace)
{
	struct kit *kit = kit_recorded(4);

	free(check(kit, "3000", 0));
	for (size_t bytes = 5000; bytes < 50000; bytes += 9000)
		free(check(kit, "", bytes));
	kit_free(kit);
}

Test(export_speedscope, hostile_names_and_none)
{
	struct kit *kit = kit_hostile();

	free(check(kit, "", 0));
	kit_free(kit);
	kit = kit_new(3, 1);
	kit_track(kit, 7, 0);
	kit_finish(kit);
	free(check(kit, "", 0));
	kit_free(kit);
}

Test(export_speedscope, names_of_profiles_say_what_is_not_whole)
{
	struct kit *kit = kit_new(3, 1);
	struct kit_track *t = kit_track(kit, 7, 0);
	char *text;
	size_t n;

	kit_enter(t, 1, VZ_ENTRY_OPEN, KIT_START_NS + 1);
	kit_lost(t, 12, KIT_START_NS + 2);
	kit_enter(t, 2, VZ_ENTRY_CALL, KIT_START_NS + 3);
	kit_finish(kit);
	text = kit_export(kit, "speedscope", 0, &n);
	cr_assert_not_null(strstr(text, " [12 records lost, 1 frames began before they were seen, "
					"2 had not ended]\""),
			   "%s", text);
	free(text);
	kit_free(kit);
}

/* Four blocks, the third damaged: what it held is a frame that says so. */
Test(export_speedscope, a_part_that_cannot_be_read_is_a_frame)
{
	struct kit *kit = kit_new(3, 1);
	struct kit_track *t = kit_track(kit, 7, 0);
	struct vz_trouble trouble;
	struct vz_reader *r;
	uint8_t *p;
	char *text;
	size_t n, at;

	for (uint64_t i = 0; i < 4; i++) {
		kit_enter(t, 1, VZ_ENTRY_CALL, KIT_START_NS + 100 * i + 10);
		kit_enter(t, 2, VZ_ENTRY_CALL, KIT_START_NS + 100 * i + 20);
		kit_leave(t, VZ_LEAVE_RETURN, KIT_START_NS + 100 * i + 30);
		vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
	kit_finish(kit);
	p = kit_bytes(kit, &n);
	cr_assert_eq(vz_reader_open_memory(p, n, &r, &trouble), 0);
	cr_assert_eq(vz_reader_nblocks(r), 4);
	at = vz_reader_block(r, 2)->offset + sizeof(struct vz_block);
	vz_reader_free(r);
	p[at] ^= 1;
	cr_assert_eq(pwrite(kit->fd, p + at, 1, (off_t)at), 1);
	text = check(kit, "", 0);
	/* From the last event before to the first that is known after. */
	cr_assert_not_null(strstr(text, "1\t130\t210\t[a part of the trace cannot be read]\n"),
			   "%s", text);
	free(text);
	free(p);
	kit_free(kit);
}
