/* SPDX-License-Identifier: MIT */
/* Parts of an import: decimal times, names with places, texts on disk, order of records. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/import/import_priv.h"

struct time_case {
	const char *text;
	bool good;
	int64_t ns;
	uint32_t part;
};

Test(import_parts, decimal_microseconds_are_exact)
{
	static const struct time_case cases[] = {
		{ "0", true, 0, 0 },
		{ "1", true, 1000, 0 },
		{ "1.5", true, 1500, 0 },
		{ "0.001", true, 1, 0 },
		{ "0.0015", true, 1, 500000000 },
		{ "45578246651.666", true, 45578246651666, 0 },
		{ "1684437837123456.789", true, 1684437837123456789, 0 },
		{ "1684437837123456.7891234567899", true, 1684437837123456789, 123456789 },
		{ "-1.5", true, -1500, 0 },
		{ "-0.0001", true, -1, 900000000 },
		{ "1e3", true, 1000000, 0 },
		{ "1.25E-2", true, 12, 500000000 },
		{ "12345e-5", true, 123, 450000000 },
		{ "0.00000e99", true, 0, 0 },
		{ "000001", true, 1000, 0 },
		{ "9223372036854775.806", true, 9223372036854775806, 0 },
		{ "9223372036854775.808", false, 0, 0 },
		{ "1e30", false, 0, 0 },
		{ "1e99999999999", false, 0, 0 },
		{ "1e-99999999999", true, 0, 0 },
		{ "", false, 0, 0 },
		{ "-", false, 0, 0 },
		{ ".5", false, 0, 0 },
		{ "1e", false, 0, 0 },
		{ "1.5x", false, 0, 0 },
		{ "0x10", false, 0, 0 },
		{ "NaN", false, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vz_import_time t = { 0, 0 };
		bool good = vz_import_time(cases[i].text, strlen(cases[i].text), &t);

		cr_expect_eq(good, cases[i].good, "%s", cases[i].text);
		cr_expect(!good || (t.ns == cases[i].ns && t.part == cases[i].part),
			  "%s: %ld and %u", cases[i].text, (long)t.ns, t.part);
	}
}

Test(import_parts, what_nests_nests_when_rounded)
{
	const struct vz_import_time outer = { 10, 600000000 }, long_ = { 5, 300000000 };
	const struct vz_import_time inner = { 10, 700000000 }, short_ = { 5, 200000000 };

	cr_expect_leq(vz_import_round(outer), vz_import_round(inner));
	cr_expect_geq(vz_import_round(vz_import_sum(outer, long_)),
		      vz_import_round(vz_import_sum(inner, short_)));
	cr_expect_eq(vz_import_round(vz_import_sum(outer, long_)) - VZ_IMPORT_BIAS, 16);
}

struct place_case {
	const char *text, *name, *file;
	uint32_t line;
};

Test(import_parts, names_are_taken_apart)
{
	static const struct place_case cases[] = {
		{ "f (/a/b.py:12)", "f", "/a/b.py", 12 },
		{ "C.f.<locals>.<lambda> (<string>:1)", "C.f.<locals>.<lambda>", "<string>", 1 },
		{ "f (/a (b)/c.py:3)", "f", "/a (b)/c.py", 3 },
		{ "Foo (bar) (x.cc:12)", "Foo (bar)", "x.cc", 12 },
		{ "f (C:\\x.py:7)", "f", "C:\\x.py", 7 },
		{ "f (a.py:)", "f (a.py:)", "", 0 },
		{ "f (a.py)", "f (a.py)", "", 0 },
		{ "f(a.py:1)", "f(a.py:1)", "", 0 },
		{ "f (:1)", "f (:1)", "", 0 },
		{ " (a:1)", " (a:1)", "", 0 },
		{ ")", ")", "", 0 },
		{ "", "", "", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *s = cases[i].text;
		struct vz_import_place p;

		vz_import_place(s, (uint32_t)strlen(s), &p);
		cr_expect(p.name_len == strlen(cases[i].name), "%s: %u", s, p.name_len);
		cr_expect(p.file_len == strlen(cases[i].file) &&
				  !memcmp(s + p.file, cases[i].file, p.file_len),
			  "%s: %.*s", s, (int)p.file_len, s + p.file);
		cr_expect_eq(p.line, cases[i].line, "%s", s);
	}
}

Test(import_parts, texts_come_back_from_disk)
{
	enum { TEXTS = 20000 };
	static uint64_t at[TEXTS];
	struct vz_spill *s = vz_spill_new("/tmp/x");
	char want[64], *got;
	uint32_t n;

	cr_assert_not_null(s);
	for (uint32_t i = 0; i < TEXTS; i++) {
		n = (uint32_t)snprintf(want, sizeof(want), "%u%.*s", i, (int)(i % 30),
				       "..............................");
		at[i] = vz_spill_put(s, &n, sizeof(n));
		vz_spill_put(s, want, n);
		/* Now and then one is read while others are still to come. */
		if (i % 100 == 99) {
			cr_assert_eq(vz_spill_text(s, at[i - i % 77], &got, &n), 0);
			cr_assert_eq(strtoul(got, NULL, 10), i - i % 77);
		}
	}
	for (uint32_t i = TEXTS; i-- > 0;) {
		cr_assert_eq(vz_spill_text(s, at[i], &got, &n), 0);
		cr_assert(strtoul(got, NULL, 10) == i && strlen(got) == n);
	}
	cr_assert_lt(vz_spill_get(s, 1 << 30, want, 1), 0);
	vz_spill_free(s);
}
