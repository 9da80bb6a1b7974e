/* SPDX-License-Identifier: MIT */
/* The page: its data are inflated and read back, and it asks the network for nothing. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "tests/kit_spans.h"

struct wire {
	const uint8_t *p, *end;
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
	struct kit_span stack[8192];
	uint32_t depth;
};

static void html_segment(struct wire *w, struct rows *rows, struct kit_spans *out)
{
	uint64_t place = wire_varint(w), ns = KIT_START_NS + wire_varint(w);
	uint64_t ncodes = wire_varint(w), ntimes = wire_varint(w);
	struct wire codes = { w->p, w->p + ncodes }, times = { codes.end, codes.end + ntimes };
	struct rows *t = &rows[place];

	while (codes.p < codes.end) {
		uint64_t code = wire_varint(&codes);

		ns += wire_varint(&times);
		if (code >= 8) {
			t->stack[t->depth++] =
				(struct kit_span){ place + 1, ns, 0, (code - 8) >> 2 };
		} else if (code == 6) {
			out->lost += wire_varint(&codes);
		} else {
			cr_assert_gt(t->depth, 0);
			t->stack[--t->depth].end = ns;
			kit_span_add(out, t->stack[t->depth]);
		}
	}
	cr_assert_eq(times.p, times.end);
	w->p = times.end;
}

/* The string at P without its quotes and escapes; returns what is behind it. */
static const char *take_string(const char *p, char *text, size_t size)
{
	size_t n = 0;
	unsigned code;

	cr_assert_eq(*p++, '"');
	while (*p != '"') {
		cr_assert_lt(n, size - 1);
		if (*p == '\\' && p[1] == 'u') {
			cr_assert_eq(sscanf(p + 2, "%4x", &code), 1);
			text[n++] = (char)code;
			p += 6;
		} else {
			p += *p == '\\';
			text[n++] = *p++;
		}
	}
	text[n] = '\0';
	return p + 1;
}

/* Names of the rows, from "functions":[ ["name","file",line,kind, ... */
static void html_names(const uint8_t *facts, size_t n, struct kit_spans *out)
{
	const char *p = memmem(facts, n, "\"functions\":[", 13);
	uint64_t names[1024];
	uint32_t rows = 0;

	cr_assert_not_null(p);
	for (p += 13; *p != ']'; rows++) {
		char name[512], file[512], text[1200];
		int line, kind;

		p = take_string(strchr(p, '"'), name, sizeof(name));
		p = take_string(p + 1, file, sizeof(file));
		cr_assert_eq(sscanf(p, ",%d,%d,", &line, &kind), 2);
		if (kind == VZ_DEF_C)
			snprintf(text, sizeof(text), "%s.%s", file, name);
		else
			snprintf(text, sizeof(text), "%s (%s:%d)", name, file, line);
		cr_assert_lt(rows, 1024);
		names[rows] = kit_hash(text, strlen(text));
		p = strchr(p, ']') + 1;
	}
	for (size_t i = 0; i < out->n; i++)
		out->p[i].name = names[out->p[i].name];
}

static void read_html(const char *p, size_t n, struct kit_spans *out)
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

Test(export_html, holds_every_span)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct kit *kit = kit_recorded(seed);
		struct kit_spans got = { 0 }, want = { 0 };
		const char *wrong;
		size_t n;
		char *p = kit_export(kit, "html", 0, &n);

		read_html(p, n, &got);
		kit_spans_expect(kit, &want);
		wrong = kit_spans_compare(&got, &want);
		cr_assert_null(wrong, "seed %lu: %s", (unsigned long)seed, wrong);
		free(p);
		kit_free(kit);
	}
}

Test(export_html, asks_for_nothing)
{
	struct kit *kit = kit_recorded(1);
	size_t n;
	char *p = kit_export(kit, "html", 0, &n);

	cr_assert_not_null(strstr(p, "default-src 'none'"));
	cr_assert_null(strstr(p, "http://"));
	cr_assert_null(strstr(p, "https://"));
	cr_assert_null(strstr(p, "<!--DATA-->"));
	cr_assert_str_eq(p + n - 8, "</html>\n");
	free(p);
	kit_free(kit);
}

Test(export_html, a_limit_leaves_out_what_is_later)
{
	struct kit *kit = kit_recorded(2);
	struct kit_spans got = { 0 }, want = { 0 };
	uint64_t last = 0;
	size_t n;
	char *p = kit_export(kit, "html", 2000, &n);

	read_html(p, n, &got);
	kit_spans_expect(kit, &want);
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
