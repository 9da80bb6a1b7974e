/* SPDX-License-Identifier: MIT */
/*
 * Exports are read back by readers written here from the formats' descriptions,
 * and must hold the spans that the kit wrote.
 */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/kit_trace.h"
#include "viewer/export.h"

struct span {
	uint64_t track, begin, end, name; /* name: hash */
};

struct spans {
	struct span *p;
	size_t n, cap;
	uint64_t lost; /* records, in all losses */
};

static void add(struct spans *s, struct span span)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 256;
		s->p = realloc(s->p, s->cap * sizeof(*s->p));
	}
	s->p[s->n++] = span;
}

static uint64_t hash(const char *p, size_t n)
{
	uint64_t h = UINT64_C(14695981039346656037);

	while (n--)
		h = (h ^ (uint8_t)*p++) * UINT64_C(1099511628211);
	return h;
}

static int compare(const void *pa, const void *pb)
{
	return memcmp(pa, pb, sizeof(struct span));
}

/* What the kit wrote; TRACK is its number + 1. */
static void expect(const struct kit *kit, struct spans *s)
{
	for (uint32_t i = 0; i < kit->ntracks; i++) {
		const struct kit_track *t = kit->tracks[i];

		for (size_t k = 0; k < t->n; k++)
			if (t->events[k].kind == KIT_LEAVE)
				add(s, (struct span){ i + 1, t->events[k].begin_ns, t->events[k].ns,
						      t->events[k].function });
			else if (t->events[k].kind == KIT_LOST)
				s->lost += t->events[k].lost;
		for (uint32_t k = 0; k < t->depth; k++)
			add(s, (struct span){ i + 1, t->stack[k].begin_ns, kit->end_ns,
					      t->stack[k].function });
	}
	for (size_t i = 0; i < s->n; i++) {
		uint32_t id = (uint32_t)s->p[i].name;
		const struct vz_function f = { .kind = id % 3 ? VZ_DEF_PYTHON : VZ_DEF_C };
		char function[64], text[128];

		kit_function_name(id, function, sizeof(function));
		if (f.kind == VZ_DEF_C)
			snprintf(text, sizeof(text), "mod%u.%s", id % 11, function);
		else
			snprintf(text, sizeof(text), "%s (/app/mod%u.py:%u)", function, id % 11, id);
		s->p[i].name = hash(text, strlen(text));
	}
}

static void check(struct spans *got, struct spans *want, const char *format)
{
	cr_assert_eq(got->n, want->n, "%s: %zu spans instead of %zu", format, got->n, want->n);
	qsort(got->p, got->n, sizeof(*got->p), compare);
	qsort(want->p, want->n, sizeof(*want->p), compare);
	for (size_t i = 0; i < got->n; i++)
		cr_assert_eq(compare(&got->p[i], &want->p[i]), 0, "%s: span %zu differs", format, i);
	cr_assert_eq(got->lost, want->lost, "%s: lost records", format);
	free(got->p);
	free(want->p);
}

/* ---- Perfetto: protobuf wire format ---- */

struct wire {
	const uint8_t *p, *end;
};

struct field {
	uint32_t number;
	uint64_t v; /* varint */
	struct wire inner;
};

static uint64_t wire_varint(struct wire *w)
{
	uint64_t v = 0;

	for (unsigned shift = 0;; shift += 7) {
		cr_assert(w->p < w->end && shift < 64);
		v |= (uint64_t)(*w->p & 127) << shift;
		if (*w->p++ < 128)
			return v;
	}
}

static bool wire_next(struct wire *w, struct field *f)
{
	uint64_t key;

	if (w->p == w->end)
		return false;
	key = wire_varint(w);
	f->number = (uint32_t)(key >> 3);
	f->v = wire_varint(w);
	if ((key & 7) == 0)
		return true;
	cr_assert_eq(key & 7, 2, "wire type");
	cr_assert_leq(f->v, (uint64_t)(w->end - w->p));
	f->inner = (struct wire){ w->p, w->p + f->v };
	w->p += f->v;
	return true;
}

static uint64_t wire_uint(struct wire w, uint32_t number)
{
	struct field f;

	while (wire_next(&w, &f))
		if (f.number == number)
			return f.v;
	return 0;
}

static bool wire_find(struct wire w, uint32_t number, struct wire *ret)
{
	struct field f;

	while (wire_next(&w, &f)) {
		if (f.number == number) {
			*ret = f.inner;
			return true;
		}
	}
	return false;
}

struct sequence {
	uint64_t clock, track;
	uint64_t names[1024];
	struct span stack[8192];
	uint32_t depth;
};

static void perfetto_event(struct sequence *s, struct wire event, struct spans *out)
{
	struct wire annotation;

	switch (wire_uint(event, 9)) {
	case 1:
		cr_assert_lt(s->depth, 8192);
		s->stack[s->depth++] = (struct span){ s->track - 1, s->clock, 0,
						      s->names[wire_uint(event, 10)] };
		break;
	case 2:
		cr_assert_gt(s->depth, 0);
		s->stack[--s->depth].end = s->clock;
		add(out, s->stack[s->depth]);
		break;
	default:
		cr_assert_eq(wire_uint(event, 9), 3);
		cr_assert(wire_find(event, 4, &annotation));
		out->lost += wire_uint(annotation, 3);
	}
}

static void perfetto_packet(struct sequence *sequences, struct wire packet, struct spans *out)
{
	struct sequence *s = &sequences[wire_uint(packet, 10)];
	struct wire inner, name, event;
	struct field f;

	if (wire_uint(packet, 13) == 1) { /* incremental state cleared */
		memset(s->names, 0, sizeof(s->names));
		cr_assert(wire_find(packet, 59, &inner));
		cr_assert_eq(wire_uint(inner, 58), 64);
		cr_assert(wire_find(inner, 11, &event));
		s->track = wire_uint(event, 11);
		cr_assert(wire_find(packet, 6, &inner));
		while (wire_next(&inner, &f))
			if (wire_uint(f.inner, 1) == 64)
				s->clock = wire_uint(f.inner, 2);
	}
	if (!wire_find(packet, 11, &event))
		return;
	cr_assert_eq(wire_uint(packet, 13), 2);
	s->clock += wire_uint(packet, 8);
	if (wire_find(packet, 12, &inner)) {
		cr_assert(wire_find(inner, 2, &inner));
		cr_assert(wire_find(inner, 2, &name));
		s->names[wire_uint(inner, 1)] = hash((const char *)name.p,
						     (size_t)(name.end - name.p));
	}
	perfetto_event(s, event, out);
}

static void read_perfetto(const uint8_t *p, size_t n, struct spans *out)
{
	struct sequence *sequences = calloc(16, sizeof(*sequences));
	struct wire file = { p, p + n };
	struct field f;

	while (wire_next(&file, &f)) {
		cr_assert_eq(f.number, 1);
		perfetto_packet(sequences, f.inner, out);
	}
	for (int i = 0; i < 16; i++)
		cr_assert_eq(sequences[i].depth, 0, "slices stay open");
	free(sequences);
}

/* ---- JSON ---- */

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

	return !strcmp(key, "ph")      ? &e->ph
	       : !strcmp(key, "name")  ? &e->name
	       : !strcmp(key, "ts")    ? &e->ts
	       : !strcmp(key, "dur")   ? &e->dur
	       : !strcmp(key, "tid")   ? &e->tid
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
			json_value(j, e && (level == 0 || !strcmp(key.text, "records"))
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

static void read_json(const char *p, size_t n, struct spans *out)
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
			add(out, (struct span){ tid < 1 << 30 ? tid - 99 : tid - (1 << 30) + 1,
						ns_of(&e.ts), ns_of(&e.ts) + ns_of(&e.dur),
						hash(e.name.text, e.name.n) });
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

/* ---- HTML ---- */

static uint8_t *inflated(const char *text, size_t n, size_t *ret)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t *packed = malloc(n), *raw = malloc(64 << 20);
	z_stream z = { 0 };
	size_t used = 0;
	uint32_t v = 0;

	for (size_t i = 0; i < n && text[i] != '='; i++) {
		v = v << 6 | (uint32_t)(strchr(digits, text[i]) - digits);
		if (i % 4)
			packed[used++] = (uint8_t)(v >> (6 - 2 * (i % 4)));
	}
	cr_assert_eq(inflateInit2(&z, -15), Z_OK);
	z.next_in = packed;
	z.avail_in = (uInt)used;
	z.next_out = raw;
	z.avail_out = 64 << 20;
	cr_assert_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	*ret = z.total_out;
	inflateEnd(&z);
	free(packed);
	return raw;
}

struct rows {
	struct span stack[8192];
	uint32_t depth;
};

static void html_segment(struct wire *w, struct rows *rows, struct spans *out)
{
	uint64_t place = wire_varint(w), ns = KIT_START_NS + wire_varint(w);
	uint64_t ncodes = wire_varint(w), ntimes = wire_varint(w);
	struct wire codes = { w->p, w->p + ncodes }, times = { codes.end, codes.end + ntimes };
	struct rows *t = &rows[place];

	while (codes.p < codes.end) {
		uint64_t code = wire_varint(&codes);

		ns += wire_varint(&times);
		if (code >= 8) {
			t->stack[t->depth++] = (struct span){ place + 1, ns, 0, (code - 8) >> 2 };
		} else if (code == 6) {
			out->lost += wire_varint(&codes);
		} else {
			cr_assert_gt(t->depth, 0);
			t->stack[--t->depth].end = ns;
			add(out, t->stack[t->depth]);
		}
	}
	cr_assert_eq(times.p, times.end);
	w->p = times.end;
}

/* Names of the rows, from "functions":[ ["name","file",line,kind, ... */
static void html_names(const uint8_t *facts, size_t n, struct spans *out)
{
	struct json j = { memmem(facts, n, "\"functions\":[", 13), (const char *)facts + n };
	uint64_t names[1024];
	uint32_t rows = 0;

	cr_assert_not_null(j.p);
	for (j.p += 13; skip(&j), *j.p != ']';) {
		struct value name, file, number;
		char text[1200];
		int line, kind;

		json_take(&j, '[');
		json_string(&j, &name);
		json_take(&j, ',');
		json_string(&j, &file);
		json_take(&j, ',');
		json_value(&j, &number, 0);
		line = atoi(number.text);
		json_take(&j, ',');
		json_value(&j, &number, 0);
		kind = atoi(number.text);
		if (kind == VZ_DEF_C)
			snprintf(text, sizeof(text), "%s.%s", file.text, name.text);
		else
			snprintf(text, sizeof(text), "%s (%s:%d)", name.text, file.text, line);
		names[rows++] = hash(text, strlen(text));
		j.p = strchr(j.p, ']') + 1;
		skip(&j);
		if (*j.p == ',')
			j.p++;
	}
	for (size_t i = 0; i < out->n; i++)
		out->p[i].name = names[out->p[i].name];
}

static void read_html(const char *p, size_t n, struct spans *out)
{
	static const char events[] = "<script type=\"text/plain\" class=\"events\">";
	static const char facts[] = "<script type=\"text/plain\" class=\"facts\">";
	struct rows *rows = calloc(16, sizeof(*rows));
	const char *at = p;
	uint8_t *raw;
	size_t bytes;

	while ((at = memmem(at, n - (size_t)(at - p), events, sizeof(events) - 1)) != NULL) {
		struct wire w;

		at += sizeof(events) - 1;
		raw = inflated(at, (size_t)(strchr(at, '<') - at), &bytes);
		for (w = (struct wire){ raw, raw + bytes }; w.p < w.end;)
			html_segment(&w, rows, out);
		free(raw);
	}
	at = memmem(p, n, facts, sizeof(facts) - 1);
	cr_assert_not_null(at);
	at += sizeof(facts) - 1;
	raw = inflated(at, (size_t)(strchr(at, '<') - at), &bytes);
	html_names(raw, bytes, out);
	free(raw);
	free(rows);
}

/* ---- all of them ---- */

static char *export(struct kit *kit, const char *format, uint64_t max_calls, size_t *n)
{
	const struct vz_export_options options = { .max_calls = max_calls };
	struct vz_trouble trouble;
	struct vz_reader *r;
	struct vz_out out;
	size_t bytes;
	uint8_t *p = kit_bytes(kit, &bytes);
	char *text = NULL;
	FILE *memory = open_memstream(&text, n);

	cr_assert_eq(vz_reader_open_memory(p, bytes, &r, &trouble), 0);
	cr_assert_eq(vz_out_open_memory(&out, memory), 0);
	cr_assert_eq(vz_export_find(format)->write(r, &options, &out), 0);
	cr_assert_eq(vz_out_close(&out, &trouble), 0);
	fclose(memory);
	vz_reader_free(r);
	free(p);
	return text;
}

static struct kit *recorded(uint64_t seed)
{
	struct kit *kit = kit_new(90, seed);

	for (uint32_t i = 0; i < 4; i++)
		kit_track(kit, 100 + i, i == 3 ? 0x77 : 0);
	for (int round = 0; round < 20; round++) {
		kit_steps(kit->tracks[kit_random(kit, 4)], kit_random(kit, 1000));
		if (round % 3 == 0)
			vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
	kit_finish(kit);
	return kit;
}

Test(export, perfetto_holds_every_span)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct kit *kit = recorded(seed);
		struct spans got = { 0 }, want = { 0 };
		size_t n;
		char *p = export(kit, "perfetto", 0, &n);

		read_perfetto((const uint8_t *)p, n, &got);
		expect(kit, &want);
		check(&got, &want, "perfetto");
		free(p);
		kit_free(kit);
	}
}

Test(export, json_holds_every_span)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct kit *kit = recorded(seed);
		struct spans got = { 0 }, want = { 0 };
		size_t n;
		char *p = export(kit, ".json", 0, &n);

		read_json(p, n, &got);
		expect(kit, &want);
		check(&got, &want, "json");
		free(p);
		kit_free(kit);
	}
}

Test(export, html_holds_every_span)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct kit *kit = recorded(seed);
		struct spans got = { 0 }, want = { 0 };
		size_t n;
		char *p = export(kit, "html", 0, &n);

		read_html(p, n, &got);
		expect(kit, &want);
		check(&got, &want, "html");
		free(p);
		kit_free(kit);
	}
}

Test(export, html_asks_for_nothing)
{
	struct kit *kit = recorded(1);
	size_t n;
	char *p = export(kit, "html", 0, &n);

	cr_assert_not_null(strstr(p, "default-src 'none'"));
	cr_assert_null(strstr(p, "http://"));
	cr_assert_null(strstr(p, "https://"));
	cr_assert_null(strstr(p, "<!--DATA-->"));
	cr_assert_str_eq(p + n - 8, "</html>\n");
	free(p);
	kit_free(kit);
}

Test(export, a_limit_leaves_out_what_is_later)
{
	struct kit *kit = recorded(2);
	struct spans got = { 0 }, want = { 0 };
	uint64_t last = 0;
	size_t n;
	char *p = export(kit, "html", 2000, &n);

	read_html(p, n, &got);
	expect(kit, &want);
	cr_assert_lt(got.n, want.n);
	cr_assert_gt(got.n, 500);
	for (size_t i = 0; i < got.n; i++)
		last = got.p[i].end > last ? got.p[i].end : last;
	/* Nothing that begins before the limit is left out: all tracks end at the same time. */
	for (size_t i = 0; i < want.n; i++)
		got.n -= want.p[i].begin < last;
	cr_assert_leq(got.n, 4);
	free(got.p);
	free(want.p);
	free(p);
	kit_free(kit);
}

Test(export, text_that_is_no_utf8_or_would_end_a_script)
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
	cr_assert_str_eq(text, "a\\\"b\\\\c\\u000a\\u003c/script>\\ufffd\xc3\xa9\\ufffd\\ufffd\\ufffdz");
	free(text);
}
