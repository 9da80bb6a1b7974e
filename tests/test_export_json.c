/* SPDX-License-Identifier: MIT */
/* The JSON export, read back by a small parser. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kit_spans.h"
#include "viewer/out.h"

struct json {
	const char *p, *end;
};

/* Text of the value of the last string or number read. */
struct value {
	char text[512];
	size_t n;
};

static void skip(struct json *j)
{
	while (j->p < j->end && isspace((unsigned char)*j->p))
		j->p++;
	cr_assert(j->p < j->end, "JSON ends early");
}

static void json_take(struct json *j, char c)
{
	skip(j);
	cr_assert_eq(*j->p, c, "JSON: %c instead of %c", *j->p, c);
	j->p++;
}

static void json_string(struct json *j, struct value *v)
{
	json_take(j, '"');
	v->n = 0;
	while (*j->p != '"') {
		unsigned code;

		cr_assert((unsigned char)*j->p >= 0x20 && v->n < sizeof(v->text) - 1);
		if (*j->p != '\\') {
			v->text[v->n++] = *j->p++;
			continue;
		}
		j->p++;
		if (*j->p == 'u') {
			cr_assert_eq(sscanf(j->p + 1, "%4x", &code), 1);
			cr_assert_lt(code, 128);
			v->text[v->n++] = (char)code;
			j->p += 5;
		} else {
			cr_assert(*j->p == '"' || *j->p == '\\');
			v->text[v->n++] = *j->p++;
		}
	}
	j->p++;
	v->text[v->n] = '\0';
}

static void json_value(struct json *j, struct value *v, int level);

struct event {
	struct value ph, name, ts, dur, tid, records;
};

static struct value *member(struct event *e, const char *key)
{
	static struct value other;

	return !strcmp(key, "ph")        ? &e->ph
	       : !strcmp(key, "name")    ? &e->name
	       : !strcmp(key, "ts")      ? &e->ts
	       : !strcmp(key, "dur")     ? &e->dur
	       : !strcmp(key, "tid")     ? &e->tid
	       : !strcmp(key, "records") ? &e->records
					 : &other;
}

static void json_object(struct json *j, struct event *e, int level)
{
	struct value key, v;

	json_take(j, '{');
	for (skip(j); *j->p != '}'; skip(j)) {
		json_string(j, &key);
		json_take(j, ':');
		skip(j);
		if (*j->p == '{' && e && level < 2)
			json_object(j, e, level + 1);
		else
			json_value(j,
				   e && (level == 0 || !strcmp(key.text, "records"))
					   ? member(e, key.text)
					   : &v,
				   level + 1);
		skip(j);
		if (*j->p == ',')
			j->p++;
	}
	j->p++;
}

static void json_value(struct json *j, struct value *v, int level)
{
	cr_assert_lt(level, 8);
	skip(j);
	if (*j->p == '"') {
		json_string(j, v);
	} else if (*j->p == '{') {
		json_object(j, NULL, level);
	} else {
		for (v->n = 0; isalnum((unsigned char)*j->p) || *j->p == '.' || *j->p == '-';)
			v->text[v->n++] = *j->p++;
		cr_assert_gt(v->n, 0, "JSON: no value at %.20s", j->p);
		v->text[v->n] = '\0';
	}
}

/* "1.234" microseconds as nanoseconds. */
static uint64_t ns_of(const struct value *v)
{
	uint64_t ns = 0;
	size_t digits = 0;

	for (size_t i = 0; i < v->n; i++) {
		if (v->text[i] != '.')
			ns = ns * 10 + (uint64_t)(v->text[i] - '0');
		else
			digits = v->n - i - 1;
	}
	cr_assert_eq(digits, 3);
	return ns;
}

static void read_json(const char *p, size_t n, struct kit_spans *out)
{
	struct json j = { p, p + n };
	struct value key;

	json_take(&j, '{');
	json_string(&j, &key);
	cr_assert_str_eq(key.text, "traceEvents");
	json_take(&j, ':');
	json_take(&j, '[');
	for (skip(&j); *j.p != ']'; skip(&j)) {
		struct event e = { 0 };
		uint64_t tid;

		json_object(&j, &e, 0);
		tid = strtoull(e.tid.text, NULL, 10);
		if (!strcmp(e.ph.text, "X"))
			kit_span_add(out, (struct kit_span){
						  tid < 1 << 30 ? tid - 99 : tid - (1 << 30) + 1,
						  ns_of(&e.ts), ns_of(&e.ts) + ns_of(&e.dur),
						  kit_hash(e.name.text, e.name.n) });
		else if (!strcmp(e.ph.text, "i"))
			out->lost += strtoull(e.records.text, NULL, 10);
		skip(&j);
		if (*j.p == ',')
			j.p++;
	}
	json_take(&j, ']');
	for (skip(&j); *j.p != '}'; skip(&j)) {
		json_take(&j, ',');
		json_string(&j, &key);
		json_take(&j, ':');
		json_value(&j, &key, 0);
	}
	j.p++;
	while (j.p < j.end)
		cr_assert(isspace((unsigned char)*j.p++));
}

Test(export_json, holds_every_span)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct kit *kit = kit_recorded(seed);
		struct kit_spans got = { 0 }, want = { 0 };
		const char *wrong;
		size_t n;
		char *p = kit_export(kit, ".json", 0, &n);

		read_json(p, n, &got);
		kit_spans_expect(kit, &want);
		wrong = kit_spans_compare(&got, &want);
		cr_assert_null(wrong, "seed %lu: %s", (unsigned long)seed, wrong);
		free(p);
		kit_free(kit);
	}
}

Test(export_json, text_that_is_no_utf8_or_would_end_a_script)
{
	struct vz_trouble trouble;
	struct vz_out out;
	char *text = NULL;
	size_t n;
	FILE *memory = open_memstream(&text, &n);

	cr_assert_eq(vz_out_open_memory(&out, memory), 0);
	vz_out_json(&out, "a\"b\\c\n</script>\xff\xc3\xa9\xed\xa0\x80z");
	cr_assert_eq(vz_out_close(&out, &trouble), 0);
	fclose(memory);
	cr_assert_str_eq(text,
			 "a\\\"b\\\\c\\u000a\\u003c/script>\\ufffd\xc3\xa9\\ufffd\\ufffd\\ufffdz");
	free(text);
}
