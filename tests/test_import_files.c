/* SPDX-License-Identifier: MIT */
/* Imports of whole files: large, in any order, compressed, cut; and what comes with calls. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/kit_import.h"
#include "tests/kit_spans.h"
#include "viewer/export/export.h"
#include "viewer/import/import.h"
#include "viewer/walk.h"

static struct vz_reader *import(uint32_t records, struct vz_import_summary *s)
{
	const struct vz_import_options options = { .sort_records = records };
	struct vz_trouble trouble;
	struct vz_reader *r;
	int rc = vz_import(json_path, viz_path, &options, s, &trouble);

	cr_assert_eq(rc, 0, "%s: %s", trouble.what, trouble.why);
	cr_assert_eq(vz_reader_open(viz_path, &r, &trouble), 0, "%s", trouble.why);
	return r;
}

/* ---- random calls in any order ---- */

enum { MAX_CALLS = 4000, THREADS = 3 };

struct call {
	uint64_t thread, begin, end, name;
	uint32_t depth; /* calls that hold it */
};

struct story {
	struct call calls[MAX_CALLS];
	uint32_t n;
	uint64_t random;
};

static uint64_t random_below(struct story *s, uint64_t below)
{
	s->random = s->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (s->random >> 33) % below;
}

/* Calls that nest, each with times of its own; written callees first. */
static uint64_t tell_call(struct story *s, uint64_t thread, uint64_t ns, uint32_t depth)
{
	uint64_t begin = ns;

	ns += 1 + random_below(s, 900);
	while (depth < 12 && s->n < MAX_CALLS - 20 && random_below(s, 10) < 5)
		ns = tell_call(s, thread, ns, depth + 1) + 1 + random_below(s, 50);
	s->calls[s->n++] = (struct call){ thread, begin, ns, random_below(s, 7), depth };
	return ns;
}

static void shuffle(struct story *s, uint32_t distance)
{
	for (uint32_t i = 0; distance && i < s->n; i++) {
		uint32_t far = s->n - i < distance ? s->n - i : distance;
		uint32_t j = i + (uint32_t)random_below(s, far);
		struct call other = s->calls[j];

		s->calls[j] = s->calls[i];
		s->calls[i] = other;
	}
}

static void write_story(const struct story *s)
{
	FILE *f = fopen(json_path, "wb");

	fputs("[", f);
	for (uint32_t i = 0; i < s->n; i++) {
		const struct call *c = &s->calls[i];

		fprintf(f,
			"%s{\"ph\":\"X\",\"pid\":9,\"tid\":%" PRIu64 ",\"ts\":%" PRIu64
			".%03u,\"dur\":%" PRIu64 ".%03u,\"name\":\"f%" PRIu64 "\"}",
			i ? ",\n" : "", c->thread, c->begin / 1000, (unsigned)(c->begin % 1000),
			(c->end - c->begin) / 1000, (unsigned)((c->end - c->begin) % 1000),
			c->name);
	}
	fputs("]", f);
	fclose(f);
}

/* What was found, in any order. */
struct found {
	struct vz_reader *r;
	struct call calls[MAX_CALLS];
	uint32_t n;
	bool depths;
};

static int leave(void *ctx, const struct vz_visit *at)
{
	struct found *f = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	const struct vz_function *fn = vz_reader_function(f->r, frame->symbol >> VZ_SYMBOL_SHIFT);

	cr_assert_lt(f->n, MAX_CALLS);
	cr_assert_eq(fn->name[0], 'f');
	f->calls[f->n++] = (struct call){
		vz_reader_track(f->r, at->place)->tid,
		frame->begin_ns,
		at->ns,
		strtoull(fn->name + 1, NULL, 10),
		f->depths ? at->depth - 1 : 0,
	};
	return 0;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct call));
}

static void expect_story(struct story *s, struct found *f, bool depths)
{
	static const struct vz_visitor visitor = { .leave = leave };

	f->n = 0;
	f->depths = depths;
	for (uint32_t i = 0; i < s->n && !depths; i++)
		s->calls[i].depth = 0;
	cr_assert_eq(vz_walk(f->r, NULL, &visitor, f), 0);
	cr_assert_eq(f->n, s->n, "%u calls instead of %u", f->n, s->n);
	qsort(f->calls, f->n, sizeof(f->calls[0]), compare);
	qsort(s->calls, s->n, sizeof(s->calls[0]), compare);
	cr_assert_eq(memcmp(f->calls, s->calls, s->n * sizeof(s->calls[0])), 0);
}

Test(import_files, calls_in_any_order_nest_as_they_did, .init = setup, .fini = teardown)
{
	static const uint32_t distances[] = { 0, 5, 500, MAX_CALLS };
	static struct story s;
	static struct found f;

	for (uint32_t i = 0; i < 12; i++) {
		struct vz_import_summary summary;

		s.n = 0;
		s.random = i + 1;
		for (uint64_t t = 0; t < THREADS; t++)
			for (uint64_t ns = 1000 + t; s.n < (t + 1) * MAX_CALLS / THREADS - 30;)
				ns = tell_call(&s, t + 1, ns, 0) + 1 + random_below(&s, 100000);
		shuffle(&s, distances[i % 4]);
		write_story(&s);
		f.r = import(i < 8 ? 64 : 0, &summary);
		expect_story(&s, &f, true);
		cr_expect_eq(summary.overlaps, 0);
		cr_expect_eq(summary.calls, s.n);
		vz_reader_free(f.r);
	}
}

Test(import_files, no_call_is_lost_whatever_overlaps, .init = setup, .fini = teardown)
{
	static struct story s;
	static struct found f;

	for (uint32_t i = 0; i < 6; i++) {
		struct vz_import_summary summary;

		s.random = i + 77;
		for (s.n = 0; s.n < 1500; s.n++) {
			uint64_t begin = random_below(&s, i % 2 ? 300 : 1000000);

			s.calls[s.n] = (struct call){ 1 + random_below(&s, 2), begin,
						      begin + random_below(&s, i % 2 ? 30 : 9000),
						      random_below(&s, 5), 0 };
		}
		write_story(&s);
		f.r = import(100, &summary);
		expect_story(&s, &f, false);
		cr_expect_gt(summary.overlaps, 0);
		vz_reader_free(f.r);
	}
}

/* ---- our own exports ---- */

static char *export_json(struct vz_reader *r, size_t *n)
{
	const struct vz_export_options options = { 0 };
	struct vz_trouble trouble;
	struct vz_out out;
	char *text = NULL;
	FILE *memory = open_memstream(&text, n);

	cr_assert_eq(vz_out_open_memory(&out, memory), 0);
	cr_assert_eq(vz_export_json(r, &options, &out), 0);
	cr_assert_eq(vz_out_close(&out, &trouble), 0);
	fclose(memory);
	return text;
}

struct line {
	const char *p;
	size_t n, at;
	uint64_t tid;
};

/* By thread, then as they came: blocks of several threads mix in other ways. */
static int by_thread(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	if (x->tid != y->tid)
		return x->tid < y->tid ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

static struct line *lines_of(const char *text, const char *phase, size_t *n)
{
	struct line *lines = calloc(strlen(text) / 16 + 16, sizeof(*lines));

	*n = 0;
	for (const char *p = text; *p;) {
		size_t len = strcspn(p, "\n");
		const char *tid = strstr(p, "\"tid\":");

		if (!strncmp(p, phase, strlen(phase)) && tid && tid < p + len) {
			lines[*n] = (struct line){ p, len - (p[len - 1] == ','), *n,
						   strtoull(tid + 6, NULL, 10) };
			++*n;
		}
		p += len + (p[len] == '\n');
	}
	qsort(lines, *n, sizeof(*lines), by_thread);
	return lines;
}

static void expect_same(const char *a, const char *b, const char *phase)
{
	size_t n, m;
	struct line *x = lines_of(a, phase, &n), *y = lines_of(b, phase, &m);

	cr_assert_eq(n, m, "%s: %zu and %zu", phase, n, m);
	for (size_t i = 0; i < n; i++)
		cr_assert(x[i].n == y[i].n && !memcmp(x[i].p, y[i].p, x[i].n), "%.*s\nbecame %.*s",
			  (int)x[i].n, x[i].p, (int)y[i].n, y[i].p);
	free(x);
	free(y);
}

Test(import_files, our_own_export_comes_back_as_it_was, .init = setup, .fini = teardown)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct kit *kit = kit_recorded(seed);
		struct vz_import_summary summary;
		struct vz_reader *r;
		size_t n, m;
		char *first = kit_export(kit, ".json", 0, &n), *second;

		write_json(first, n);
		r = import(seed % 2 ? 256 : 0, &summary);
		cr_expect_eq(summary.not_shown, 0);
		cr_expect_eq(summary.overlaps, 0);
		second = export_json(r, &m);
		expect_same(first, second, "{\"ph\":\"X\"");
		expect_same(first, second, "{\"ph\":\"i\"");
		expect_same(first, second, "{\"ph\":\"M\"");
		cr_expect_str_eq(strrchr(first, ']'), strrchr(second, ']'));
		vz_reader_free(r);
		free(first);
		free(second);
		kit_free(kit);
	}
}

static const char of_all_kinds[] =
	"[{\"ph\":\"M\",\"pid\":5,\"tid\":7,\"name\":\"thread_name\",\"args\":{\"name\":\"main\"}},"
	"{\"ph\":\"X\",\"pid\":5,\"tid\":7,\"ts\":2,\"dur\":1,\"name\":\"len\",\"args\":{\"q\":"
	"\"a\\\"b\"}},"
	"{\"ph\":\"X\",\"pid\":5,\"tid\":7,\"ts\":1,\"dur\":4,\"name\":\"outer\",\"args\":{\"l\":["
	"1,null]}},"
	"{\"ph\":\"X\",\"pid\":5,\"tid\":7,\"ts\":3,\"dur\":4,\"name\":\"over\"},"
	"{\"ph\":\"i\",\"pid\":5,\"tid\":7,\"ts\":3,\"s\":\"t\",\"name\":\"mark\",\"args\":{\"z\":"
	"1}},"
	"{\"ph\":\"b\",\"pid\":6,\"tid\":7,\"ts\":1,\"id\":1,\"cat\":\"io\",\"name\":\"read\"},"
	"{\"ph\":\"e\",\"pid\":6,\"tid\":7,\"ts\":4,\"id\":1,\"cat\":\"io\",\"name\":\"read\","
	"\"args\":{\"n\":3}},"
	"{\"ph\":\"C\",\"pid\":5,\"tid\":7,\"ts\":3,\"name\":\"mem\",\"args\":{\"rss\":7,\"heap\":"
	"2.5}}]";

static const char *const in_its_export[] = {
	"\"tid\":7,\"cat\":\"FEE\",\"ts\":2.000,\"dur\":1.000,\"name\":\"len\",\"args\":{\"q\":"
	"\"a\\\"b\"}}",
	"\"ts\":1.000,\"dur\":4.000,\"name\":\"outer\",\"args\":{\"l\":[1,null]}}",
	"\"ph\":\"i\",\"pid\":5,\"tid\":7,\"s\":\"t\",\"ts\":3.000,\"name\":\"mark\",\"args\":{"
	"\"z\":1}}",
	"\"cat\":\"io\",\"ts\":1.000,\"name\":\"read\"}",
	"\"cat\":\"io\",\"ts\":4.000,\"name\":\"read\",\"args\":{\"n\":3}}",
	"\"ts\":3.000,\"name\":\"mem: rss\",\"args\":{\"value\":7}}",
	"\"ts\":3.000,\"name\":\"mem: heap\",\"args\":{\"value\":2.5}}",
};

Test(import_files, every_kind_comes_back, .init = setup, .fini = teardown)
{
	struct vz_reader *r;
	char *first, *second;
	size_t n;

	write_json(of_all_kinds, sizeof(of_all_kinds) - 1);
	r = import(0, NULL);
	first = export_json(r, &n);
	vz_reader_free(r);
	for (size_t i = 0; i < sizeof(in_its_export) / sizeof(in_its_export[0]); i++)
		cr_expect(strstr(first, in_its_export[i]), "%s\nis not in\n%s", in_its_export[i],
			  first);
	/* What overlaps is on a row of its own: no viewer puts it where it does not belong. */
	cr_expect_null(strstr(first, "\"tid\":7,\"cat\":\"FEE\",\"ts\":3.000"));
	write_json(first, n);
	r = import(0, NULL);
	second = export_json(r, &n);
	vz_reader_free(r);
	cr_expect_str_eq(first, second);
	free(first);
	free(second);
}

/* ---- what comes with calls ---- */

static uint64_t varint(const uint8_t **p)
{
	uint64_t v = 0;

	for (unsigned shift = 0;; shift += 7) {
		v |= (uint64_t)(**p & 0x7f) << shift;
		if (!(*(*p)++ & 0x80))
			return v;
	}
}

static const char with_all[] =
	"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n"
	"{\"ph\":\"M\",\"pid\":5,\"tid\":5,\"name\":\"process_name\",\"args\":{\"name\":\"web\"}},"
	"\n"
	"{\"ph\":\"M\",\"pid\":5,\"tid\":8,\"name\":\"thread_name\",\"args\":{\"name\":\"late\"}},"
	"\n"
	"{\"ph\":\"M\",\"pid\":5,\"tid\":7,\"name\":\"thread_name\",\"args\":{\"name\":\"early\"}},"
	"\n"
	"{\"ph\":\"M\",\"pid\":5,\"tid\":7,\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":"
	"-1}},\n"
	"{\"ph\":\"X\",\"pid\":5,\"tid\":7,\"ts\":2,\"dur\":1,\"cat\":\"fee\",\"name\":\"builtins."
	"len\","
	"\"args\":{\"return_value\":3,\"q\":\"a\\\"\\u00e9\\n\"}},\n"
	"{\"ph\":\"X\",\"pid\":5,\"tid\":7,\"ts\":1,\"dur\":4,\"cat\":\"fee\","
	"\"name\":\"A.b (/x (y)/m.py:12)\",\"args\":{ \"l\" : [1, {\"k\":null}, true, -1.5e3] }},\n"
	"{\"ph\":\"X\",\"pid\":6,\"tid\":\"gpu\",\"ts\":2,\"dur\":1,\"name\":\"kernel "
	"(sm:80)x\"},\n"
	"{\"ph\":\"C\",\"pid\":5,\"tid\":7,\"ts\":3,\"name\":\"mem\",\"args\":{\"rss\":7,\"heap\":"
	"2.5}},\n"
	"{\"ph\":\"C\",\"pid\":5,\"tid\":7,\"ts\":1,\"name\":\"mem\",\"args\":{\"rss\":5,\"heap\":-"
	"1}}],\n"
	"\"viztracer_metadata\":{\"version\":\"1.1.1\",\"baseTimeNanoseconds\":1700000000000000000}"
	",\n"
	"\"file_info\":{\"files\":{\"/x (y)/m.py\":[\"def b():\\n    "
	"pass\\n\",2]},\"functions\":{}}}";

static void expect_args(struct vz_reader *r, const struct vz_block *head, const uint8_t *p)
{
	static const char *const want[] = { "{\"l\":[1,{\"k\":null},true,-1.5e3]}",
					    "{\"return_value\":3,\"q\":\"a\\\"\xc3\xa9\\n\"}" };

	cr_assert_str_eq(vz_reader_track(r, head->track)->name, "early");
	cr_assert_eq(head->count, 2);
	cr_assert(head->t0_ns == 0 && head->t1_ns == 1);
	for (size_t i = 0; i < 2; i++) {
		uint64_t number = varint(&p), n = varint(&p);

		cr_assert_eq(number, i);
		cr_assert(n == strlen(want[i]) && !memcmp(p, want[i], n), "%.*s", (int)n, p);
		p += n;
	}
}

static void expect_samples(struct vz_reader *r, const struct vz_block *head, const uint8_t *p)
{
	const struct vz_thread_track *t = vz_reader_track(r, head->track);
	bool rss = !strcmp(t->name, "mem: rss");
	double v[2];

	cr_assert(rss || !strcmp(t->name, "mem: heap"), "%s", t->name);
	cr_assert_eq(t->flags, VZ_TRACK_COUNTER);
	cr_assert_eq(head->count, 2);
	cr_assert(varint(&p) == 0 && head->t0_ns == 1000);
	cr_assert(varint(&p) == 2000 && head->t1_ns == 3000);
	memcpy(v, p, sizeof(v));
	cr_assert(rss ? v[0] == 5 && v[1] == 7 : v[0] == -1 && v[1] == 2.5);
}

static void expect_source(const uint8_t *p)
{
	uint64_t n = varint(&p);

	cr_assert(n == 11 && !memcmp(p, "/x (y)/m.py", n));
	p += n;
	n = varint(&p);
	cr_assert(n == 18 && !memcmp(p, "def b():\n    pass\n", n), "%" PRIu64, n);
}

static void expect_functions(const struct vz_reader *r)
{
	const struct vz_function *len = vz_reader_function(r, 1), *b = vz_reader_function(r, 2);

	cr_expect(len->kind == VZ_DEF_C && !strcmp(len->file, "builtins") &&
		  !strcmp(len->name, "len"));
	cr_expect(b->kind == VZ_DEF_PYTHON && !strcmp(b->name, "A.b") && b->line == 12 &&
		  !strcmp(b->file, "/x (y)/m.py"));
	cr_expect_str_eq(vz_reader_function(r, 3)->name, "kernel (sm:80)x");
}

Test(import_files, arguments_counters_source_processes, .init = setup, .fini = teardown)
{
	unsigned kinds[16] = { 0 };
	struct vz_block head;
	struct vz_reader *r;
	const uint8_t *raw;

	write_json(with_all, sizeof(with_all) - 1);
	r = import(0, NULL);
	for (uint32_t i = 0; i < vz_reader_nextras(r); i++) {
		cr_assert_eq(vz_reader_load_extra(r, i, &head, &raw), 0);
		kinds[head.type & 15]++;
		if (head.type == VZ_BLOCK_ARGS)
			expect_args(r, &head, raw);
		else if (head.type == VZ_BLOCK_SAMPLES)
			expect_samples(r, &head, raw);
		else
			expect_source(raw);
	}
	cr_expect(kinds[VZ_BLOCK_ARGS] == 1 && kinds[VZ_BLOCK_SAMPLES] == 2 &&
		  kinds[VZ_BLOCK_SOURCE] == 1);
	expect_functions(r);
	cr_expect_str_eq(vz_reader_track(r, 0)->name, "early");
	cr_expect_str_eq(vz_reader_track(r, 1)->name, "late");
	cr_expect_eq(vz_reader_header(r)->pid, 5);
	cr_expect_eq(vz_reader_header(r)->start_unix_ns, UINT64_C(1700000000000001000));
	cr_expect_str_eq(vz_reader_fact(r, "comm"), "web");
	cr_expect_str_eq(vz_reader_track(r, vz_reader_ntracks(r) - 1)->name, "gpu");
	vz_reader_free(r);
}

/* ---- files that are not as they should be ---- */

Test(import_files, gzipped_is_the_same, .init = setup, .fini = teardown)
{
	struct vz_import_summary plain, packed;
	gzFile gz;

	write_json(with_all, sizeof(with_all) - 1);
	vz_reader_free(import(0, &plain));
	gz = gzopen(json_path, "wb");
	/* In two members, as if two were put together. */
	cr_assert_eq(gzwrite(gz, with_all, 100), 100);
	gzclose(gz);
	gz = gzopen(json_path, "ab");
	cr_assert_eq(gzwrite(gz, with_all + 100, sizeof(with_all) - 101),
		     (int)sizeof(with_all) - 101);
	gzclose(gz);
	cr_assert(vz_import_wanted(json_path));
	vz_reader_free(import(0, &packed));
	cr_expect(!packed.cut && packed.events == plain.events && packed.calls == plain.calls);
}

Test(import_files, cut_anywhere_it_holds_what_was_before, .init = setup, .fini = teardown)
{
	const struct vz_import_options options = { .sort_records = 64 };
	uint64_t before = 0;

	for (size_t n = 0; n < sizeof(with_all); n += 2 + n % 7) {
		struct vz_import_summary s = { 0 };
		struct vz_trouble trouble;
		int rc;

		write_json(with_all, n);
		rc = vz_import(json_path, viz_path, &options, &s, &trouble);
		cr_assert(rc == 0 || (rc == -EINVAL && !s.events), "%zu: %s: %s", n, trouble.what,
			  trouble.why);
		cr_assert(rc < 0 || s.cut || n >= sizeof(with_all) - 2, "%zu", n);
		cr_assert_geq(s.events, before);
		before = s.events;
	}
	cr_expect_eq(before, 9);
}

struct bad_case {
	const char *text, *why;
};

Test(import_files, other_files_are_told_from_traces, .init = setup, .fini = teardown)
{
	static const struct bad_case cases[] = {
		{ "", "no list of traceEvents" },
		{ "{}", "no list of traceEvents" },
		{ "{\"traceEvents\":{}}", "no list of traceEvents" },
		{ "7", "no list of traceEvents" },
		{ "<html>", "it is no JSON at byte" },
		{ "{\"traceEvents\":[{\"ph\":\"X\",,}]}", "it is no JSON at byte" },
		{ "{\"nodes\":[],\"startTime\":1}", "no list of traceEvents" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vz_trouble trouble;
		int rc;

		write_json(cases[i].text, strlen(cases[i].text));
		rc = vz_import(json_path, viz_path, NULL, NULL, &trouble);
		cr_expect_eq(rc, -EINVAL, "%s: %d", cases[i].text, rc);
		cr_expect(strstr(trouble.why, cases[i].why), "%s: %s", cases[i].text, trouble.why);
		cr_expect(strstr(trouble.hint, "Chrome's JSON"));
		cr_expect_neq(access(viz_path, F_OK), 0);
	}
}

Test(import_files, deep_braces_and_long_texts_end_it, .init = setup, .fini = teardown)
{
	static const char begin[] = "[{\"ph\":\"X\",\"ts\":1,\"dur\":1,\"name\":\"a\"},"
				    "{\"ph\":\"X\",\"ts\":2,\"dur\":1,\"args\":{\"a\":";
	static char text[4 << 20];
	struct vz_import_summary s;
	size_t n = sizeof(begin) - 1;

	memcpy(text, begin, n);
	memset(text + n, '[', 100000);
	write_json(text, n + 100000);
	vz_reader_free(import(0, &s));
	cr_expect(s.cut && s.events == 1 && strstr(s.why, "nested deeper"), "%s", s.why);
	/* Arguments that are too long are left out, and that is said. */
	text[n++] = '"';
	memset(text + n, 'x', 3 << 20);
	n += 3 << 20;
	n += (size_t)sprintf(text + n, "\"}}]");
	write_json(text, n);
	vz_reader_free(import(0, &s));
	cr_expect(!s.cut && s.events == 2, "%s", s.why);
}
