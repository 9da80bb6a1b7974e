/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/out.h"

static const struct {
	const char *text, *plain, *json;
} cases[] = {
	/* clang-format off */
	{ "name (é€🐍)",          "name (é€🐍)",  "name (é€🐍)" },
	{ "\033]0;x\007\r\n",     "?]0;x???",      "\\u001b]0;x\\u0007\\u000d\\u000a" },
	{ "\x7f\xc2\x9b\xc2\xa0", "???\xc2\xa0",   "\\u007f\\u009b\xc2\xa0" },
	{ "\xff\xed\xa0\x80",     "????",          "\\ufffd\\ufffd\\ufffd\\ufffd" },
	{ "\xc3",                 "?",             "\\ufffd" },
	/* clang-format on */
};

/* Names out of a trace neither move the cursor nor end a line or a string. */
Test(out, names_are_made_plain)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[64], *bytes = NULL;
		size_t size = 0;
		struct vz_out out;
		struct vz_trouble trouble;
		FILE *memory = open_memstream(&bytes, &size);

		snprintf(text, sizeof(text), "%s", cases[i].text);
		vz_out_plain(text);
		cr_assert_str_eq(text, cases[i].plain, "%zu: %s", i, text);
		cr_assert_eq(vz_out_open_memory(&out, memory), 0);
		vz_out_json(&out, cases[i].text);
		cr_assert_eq(vz_out_close(&out, &trouble), 0);
		fclose(memory);
		cr_assert_str_eq(bytes, cases[i].json, "%zu: %s", i, bytes);
		free(bytes);
	}
}
