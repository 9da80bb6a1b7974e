/* SPDX-License-Identifier: MIT */
/* What is read of objects is what their interpreter says of them (tests/objects.py). */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "tests/kit_view.h"
#include "tests/subject.h"

/* ---- facts ---- */

enum { ITEMS = 8192 };

struct fact {
	const struct vz_py *py;
	const char *python; /* for messages */
	uint64_t obj;
	char *words[4];
};

#define SAY     "%s: %s %s"
#define WHAT(f) (f)->python, (f)->words[0] ? (f)->words[0] : "", (f)->words[1] ? (f)->words[1] : ""

static uint64_t number(const char *word)
{
	return word ? strtoull(word, NULL, 10) : 0;
}

/* An address, or 0: -ENOENT. */
static void expect_found(const struct fact *f, const char *want, int rc, uint64_t got)
{
	if (number(want)) {
		cr_expect_eq(rc, 0, SAY ": %d", WHAT(f), rc);
		cr_expect_eq(got, number(want), SAY, WHAT(f));
	} else {
		cr_expect_eq(rc, -ENOENT, SAY ": %d", WHAT(f), rc);
	}
}

static void fact_text(const struct fact *f)
{
	char buf[4096], small[8];
	const char *hex = f->words[0];
	size_t len = strcmp(hex, "-") ? strlen(hex) / 2 : 0;
	int rc = vz_pyobj_text(f->py, f->obj, buf, sizeof(buf));

	cr_expect_eq(rc, (int)number(f->words[1]), "%s: %.20s: %d", f->python, hex, rc);
	cr_expect_eq(strlen(buf), len, "%s: %.20s: %zu of %zu", f->python, hex, strlen(buf), len);
	for (size_t i = 0; i < len; i++) {
		unsigned byte = 0;

		sscanf(hex + 2 * i, "%2x", &byte);
		cr_assert_eq((unsigned char)buf[i], byte, "%s: %.20s at %zu", f->python, hex, i);
	}
	/* Cut at a character. */
	rc = vz_pyobj_text(f->py, f->obj, small, sizeof(small));
	cr_expect_eq(rc, len > sizeof(small) - 1, "%s: %.20s: %d", f->python, hex, rc);
	cr_expect_eq(strncmp(small, buf, strlen(small)), 0);
	cr_expect(strlen(small) + 4 > sizeof(small) - 1 || len < sizeof(small));
	cr_expect_eq((unsigned char)buf[strlen(small)] >> 6 == 2, 0, "%s: %.20s", f->python, hex);
	if (len < 200 && !number(f->words[1]) && !strpbrk(buf, "\xc2\xc3\xe2\xef\xed\xf0"))
		cr_expect(vz_pyobj_text_is(f->py, f->obj, buf), "%s: %s", f->python, buf);
	cr_expect_not(vz_pyobj_text_is(f->py, f->obj, "something else"));
}

static void fact_nottext(const struct fact *f)
{
	char buf[8] = "x";

	cr_expect_eq(vz_pyobj_text(f->py, f->obj, buf, sizeof(buf)), -EINVAL);
	cr_expect_str_eq(buf, "");
}

static void fact_len(const struct fact *f)
{
	cr_expect_eq(vz_pyobj_len(f->py, f->obj), (int64_t)number(f->words[0]), SAY, WHAT(f));
}

static void fact_kind(const struct fact *f)
{
	static const char *const names[] = {
		[VZ_PYKIND_OTHER] = "other", [VZ_PYKIND_NONE] = "none",   [VZ_PYKIND_BOOL] = "bool",
		[VZ_PYKIND_INT] = "int",     [VZ_PYKIND_FLOAT] = "float", [VZ_PYKIND_STR] = "str",
		[VZ_PYKIND_BYTES] = "bytes", [VZ_PYKIND_TUPLE] = "tuple", [VZ_PYKIND_LIST] = "list",
		[VZ_PYKIND_DICT] = "dict",   [VZ_PYKIND_SET] = "set",     [VZ_PYKIND_TYPE] = "type",
	};

	cr_expect_str_eq(names[vz_pyobj_kind(f->py, f->obj)], f->words[0], SAY, WHAT(f));
}

static void fact_int(const struct fact *f)
{
	int64_t value = 0;

	cr_expect_eq(vz_pyobj_int(f->py, f->obj, &value), 0, SAY, WHAT(f));
	cr_expect_eq(value, strtoll(f->words[0], NULL, 10), SAY ": %" PRId64, WHAT(f), value);
}

static void fact_bigint(const struct fact *f)
{
	int64_t value;

	cr_expect_eq(vz_pyobj_int(f->py, f->obj, &value), -ERANGE, SAY, WHAT(f));
}

static void fact_float(const struct fact *f)
{
	double value = 0;

	cr_expect_eq(vz_pyobj_float(f->py, f->obj, &value), 0, SAY, WHAT(f));
	cr_expect(value == strtod(f->words[0], NULL), SAY ": %g", WHAT(f), value);
}

static size_t parse_ids(const char *word, uint64_t *ids, uint64_t *second)
{
	size_t n = 0;
	char *end;

	if (!strcmp(word, "-"))
		return 0;
	for (;; word = end + 1) {
		ids[n] = strtoull(word, &end, 10);
		if (*end == ':')
			second[n] = strtoull(end + 1, &end, 10);
		n++;
		if (*end != ',')
			return n;
	}
}

static void fact_items(const struct fact *f)
{
	static uint64_t want[ITEMS], got[ITEMS], few[2];
	size_t n = parse_ids(f->words[0], want, NULL);
	ssize_t rc = vz_pyobj_items(f->py, f->obj, got, ITEMS);

	cr_assert_eq(rc, (ssize_t)n, "%s: %zd of %zu", f->python, rc, n);
	cr_expect_eq(memcmp(want, got, n * sizeof(*want)), 0, "%s: %zu items", f->python, n);
	cr_expect_eq(vz_pyobj_items(f->py, f->obj, few, 2), (ssize_t)(n < 2 ? n : 2));
}

static bool holds(const uint64_t *ids, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++) {
		if (ids[i] == id)
			return true;
	}
	return false;
}

static void fact_set(const struct fact *f)
{
	static uint64_t want[ITEMS], got[ITEMS];
	size_t n = parse_ids(f->words[0], want, NULL);
	ssize_t rc = vz_pyobj_items(f->py, f->obj, got, ITEMS);

	cr_assert_eq(rc, (ssize_t)n, "%s: %zd of %zu", f->python, rc, n);
	for (size_t i = 0; i < n; i++)
		cr_assert(holds(got, n, want[i]), "%s: set of %zu", f->python, n);
}

static void fact_dict(const struct fact *f)
{
	static uint64_t keys[ITEMS], values[ITEMS], got[ITEMS], got_values[ITEMS];
	size_t n = parse_ids(f->words[0], keys, values);
	ssize_t rc = vz_pydict_items(f->py, f->obj, got, got_values, ITEMS);

	cr_assert_eq(rc, (ssize_t)n, "%s: %zd of %zu", f->python, rc, n);
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < n && got[k] != keys[i])
			k++;
		cr_assert_lt(k, n, "%s: a key of %zu is not there", f->python, n);
		cr_expect_eq(got_values[k], values[i], "%s: value %zu of %zu", f->python, i, n);
	}
	if (n)
		cr_expect_eq(vz_pydict_items(f->py, f->obj, got, got_values, 1), 1);
}

static void fact_get(const struct fact *f)
{
	uint64_t got = 0;
	int rc = vz_pydict_get(f->py, f->obj, f->words[0], &got);

	expect_found(f, f->words[1], rc, got);
}

static void fact_attr(const struct fact *f)
{
	uint64_t got = 0;
	int rc = vz_pyobj_attr(f->py, f->obj, f->words[0], &got);

	expect_found(f, f->words[1], rc, got);
}

static void fact_type(const struct fact *f)
{
	char name[64], cut[4];
	uint64_t type;

	cr_expect_eq(vz_pyobj_type(f->py, f->obj, &type), 0, SAY, WHAT(f));
	vz_pyobj_type_name(f->py, f->obj, name, sizeof(name));
	cr_expect_str_eq(name, f->words[0], "%s: %s", f->python, name);
	vz_pyobj_type_name(f->py, f->obj, cut, sizeof(cut));
	cr_expect_eq(strncmp(cut, name, 3), 0);
}

static void fact_is(const struct fact *f)
{
	cr_expect_eq(vz_pyobj_is(f->py, f->obj, f->words[0]), number(f->words[1]) != 0, SAY,
		     WHAT(f));
}

static void fact_weakref(const struct fact *f)
{
	uint64_t got = 1;

	cr_expect_eq(vz_pyobj_weakref(f->py, f->obj, &got), 0, SAY, WHAT(f));
	cr_expect_eq(got, number(f->words[0]), SAY, WHAT(f));
}

static void fact_cell(const struct fact *f)
{
	uint64_t got = 0;
	int rc = vz_pyobj_cell(f->py, f->obj, &got);

	expect_found(f, f->words[0], rc, got);
}

static void fact_self(const struct fact *f)
{
	uint64_t got = 0;
	int rc = vz_pyobj_self(f->py, f->obj, &got);

	expect_found(f, f->words[0], rc, got);
}

static void fact_noself(const struct fact *f)
{
	uint64_t got;

	cr_expect_eq(vz_pyobj_self(f->py, f->obj, &got), -EINVAL, SAY, WHAT(f));
	cr_expect_eq(vz_pyobj_cell(f->py, f->obj, &got), -EINVAL, SAY, WHAT(f));
	cr_expect_eq(vz_pyobj_weakref(f->py, f->obj, &got), -EINVAL, SAY, WHAT(f));
}

static void fact_module(const struct fact *f)
{
	uint64_t interp, got = 0;
	int rc;

	cr_assert_eq(vz_py_word(f->py, f->py->runtime + f->py->at.rt_interpreters_main, &interp),
		     0);
	rc = vz_py_module_attr(f->py, interp, f->words[0], f->words[1], &got);
	expect_found(f, f->words[2], rc, got);
}

static const struct {
	const char *name;
	void (*check)(const struct fact *f);
} facts[] = {
	{ "text", fact_text },     { "nottext", fact_nottext }, { "len", fact_len },
	{ "kind", fact_kind },     { "int", fact_int },         { "bigint", fact_bigint },
	{ "float", fact_float },   { "items", fact_items },     { "set", fact_set },
	{ "dict", fact_dict },     { "get", fact_get },         { "attr", fact_attr },
	{ "type", fact_type },     { "is", fact_is },           { "weakref", fact_weakref },
	{ "cell", fact_cell },     { "self", fact_self },       { "noself", fact_noself },
	{ "module", fact_module },
};

enum { NFACTS = sizeof(facts) / sizeof(facts[0]) };

/* The fact of a line; false: the last one. */
static bool check_line(const struct vz_py *py, const char *python, char *line, unsigned *count)
{
	struct fact fact = { .py = py, .python = python };
	char *save = NULL, *name = strtok_r(line, " \n", &save);
	char *address = strtok_r(NULL, " \n", &save);
	size_t i = 0;

	cr_assert(name && address, "%s", python);
	if (!strcmp(name, "end"))
		return false;
	fact.obj = number(address);
	for (size_t k = 0; k < 4; k++)
		fact.words[k] = strtok_r(NULL, " \n", &save);
	while (i < NFACTS && strcmp(facts[i].name, name) != 0)
		i++;
	cr_assert_lt(i, NFACTS, "%s: %s", python, name);
	facts[i].check(&fact);
	count[i]++;
	return true;
}

/* ---- every interpreter ---- */

/* The facts are told while the interpreter works on them, and checked when it waits. */
static void check_python(const char *path, const char *text)
{
	char **lines = calloc(4096, sizeof(*lines));
	unsigned count[NFACTS] = { 0 };
	struct subject s;
	struct kit_view view;
	size_t n = 0, size = 0;
	FILE *out;

	if (!subject_python_text(&s, path, text)) {
		fprintf(stderr, "skip: %s does not run here\n", path);
		free(lines);
		return;
	}
	out = fdopen(dup(s.out), "r");
	while (n < 4095 && getline(&lines[n], &size, out) > 0 && strncmp(lines[n], "end", 3) != 0)
		n++, size = 0;
	cr_assert(lines[n] && !strncmp(lines[n], "end", 3), "%s", path);
	kit_view_open(&view, s.pid, path);
	for (size_t i = 0; check_line(&view.py, path, lines[i], count); i++)
		;
	for (size_t i = 0; i < NFACTS; i++)
		cr_expect_gt(count[i], 0, "%s: no %s", path, facts[i].name);
	for (size_t i = 0; i <= n; i++)
		free(lines[i]);
	free(lines);
	fclose(out);
	kit_view_close(&view);
	subject_end(&s);
}

static unsigned check_all(glob_t *found, const char *text)
{
	unsigned checked = 0;

	for (size_t i = 0; i < found->gl_pathc; i++) {
		if (!vz_pylayout_find(python_minor(found->gl_pathv[i]), false))
			continue;
		check_python(found->gl_pathv[i], text);
		checked++;
	}
	globfree(found);
	return checked;
}

Test(pyobj, objects_are_what_python_says, .timeout = 100)
{
	char *text = subject_script("objects.py");
	unsigned checked;
	glob_t found;

	find_pythons(&found);
	checked = check_all(&found, text);
	find_more_pythons(&found);
	checked += check_all(&found, text);
	free(text);
	if (!checked)
		cr_skip_test("no CPython here");
}
