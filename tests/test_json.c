/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <string.h>

#include "attach/json.h"

Test(json, strings)
{
	static const struct {
		const char *value, *expected;
	} cases[] = {
		{ "plain", "\"k\":\"plain\"" },
		{ "a\"b\\c", "\"k\":\"a\\\"b\\\\c\"" },
		{ "\n\x01", "\"k\":\"\\u000a\\u0001\"" },
		{ "\xc3\xa4", "\"k\":\"\xc3\xa4\"" },
		{ "\xff"
		  "x\xc3",
		  "\"k\":\"\\ufffdx\\ufffd\"" },
		{ "\xed\xa0\x80", "\"k\":\"\\ufffd\\ufffd\\ufffd\"" }, /* a surrogate */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[128];
		struct vz_text t = { buf, 0, sizeof(buf) };

		vz_json_string(&t, "k", cases[i].value);
		cr_assert_str_eq(buf, cases[i].expected);
		cr_assert_eq(t.used, strlen(buf));
	}
}

Test(json, numbers)
{
	char buf[64];
	struct vz_text t = { buf, 0, sizeof(buf) };

	vz_json_number(&t, "n", UINT64_MAX);
	cr_assert_str_eq(buf, ",\"n\":18446744073709551615");
}

Test(json, never_writes_behind_the_end)
{
	for (size_t size = 1; size < 32; size++) {
		char buf[40];
		struct vz_text t = { buf, 0, size };

		memset(buf, '#', sizeof(buf));
		buf[0] = '\0';
		vz_json_string(&t, "key", "a value with \xff in it, and more");
		cr_assert_lt(strlen(buf), size);
		cr_assert_eq(buf[size], '#');
	}
}
