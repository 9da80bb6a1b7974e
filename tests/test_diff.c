/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kit_spans.h"
#include "viewer/diff.h"
#include "viewer/human.h"
#include "viewer/match.h"

enum {
	S = KIT_START_NS,
	FUNCTIONS = 30,
};

/* Two readers and what they read. */
struct pair {
	struct vz_reader *r[2];
	uint8_t *bytes[2];
};

static void open_pair(struct pair *p, struct kit *a, struct kit *b, size_t cut_b)
{
	struct kit *kits[] = { a, b };
	struct vz_trouble trouble;

	for (int i = 0; i < 2; i++) {
		size_t n;

		p->bytes[i] = kit_bytes(kits[i], &n);
		cr_assert_eq(
			vz_reader_open_memory(p->bytes[i], n - (i ? cut_b : 0), &p->r[i], &trouble),
			0);
	}
}

static void close_pair(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		vz_reader_free(p->r[i]);
		free(p->bytes[i]);
	}
}

/* What "vizview diff" prints; free() it. */
static char *diff_text(const struct pair *p, const struct vz_diff_options *with)
{
	struct vz_diff_options options = *with;
	struct vz_trouble trouble;
	struct vz_out out;
	char *text = NULL;
	size_t n;
	FILE *memory = open_memstream(&text, &n);

	options.file[0] = "a.viz";
	options.file[1] = "b\033\xff.viz";
	cr_assert_eq(vz_out_open_memory(&out, memory), 0);
	cr_assert_eq(vz_diff(p->r[0], p->r[1], &options, &out), 0);
	cr_assert_eq(vz_out_close(&out, &trouble), 0);
	fclose(memory);
	return text;
}

/* Whether python3 finds TEXT to be one line of JSON of which PREDICATE is true. */
static bool json_is(const char *text, const char *predicate)
{
	char name[] = "/tmp/vz-test-diff-XXXXXX", command[2048];
	int fd = mkstemp(name), status;
	FILE *f = fdopen(fd, "w");

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
	snprintf(command, sizeof(command),
		 "/usr/bin/python3 -c 'import json,sys; t=open(sys.argv[1],\"rb\").read()"
		 ".decode(\"utf-8\"); assert t.count(\"\\n\") == 1; d=json.loads(t); "
		 "assert d[\"schema\"] == 1; assert %s, str(d)[:2000]' %s",
		 predicate, name);
	status = system(command);
	remove(name);
	return status == 0;
}

/* Fit for a terminal of so many columns. */
static bool is_fit(const char *text, unsigned columns)
{
	char line[4096];

	for (const unsigned char *s = (const unsigned char *)text; *s; s++)
		if ((*s < 0x20 && *s != '\n') || *s == 0x7f || *s == 0xff ||
		    (*s == 0xc2 && s[1] < 0xa0))
			return false;
	for (const char *at = text; *at; at += strcspn(at, "\n") + 1) {
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
		if (vz_human_width(line) > columns) {
			fprintf(stderr, "too wide: %s\n", line);
			return false;
		}
	}
	return true;
}

/* Heavy-tailed: most calls near BASE, one in 64 ten times as long, one in 4096 a thousand times. */
static uint64_t length(struct kit *kit, uint64_t base)
{
	uint64_t ns = base / 2 + kit_random(kit, base);

	if (kit_random(kit, 64) == 0)
		ns *= 10;
	return kit_random(kit, 4096) ? ns : ns * 1000;
}

/* A program of FUNCTIONS functions; function SLOW takes PERCENT of its time. */
static struct kit *program(uint64_t seed, uint32_t slow, unsigned percent, int rounds)
{
	struct kit *kit = kit_new(FUNCTIONS, seed);
	struct kit_track *t = kit_track(kit, 1, 0);
	uint64_t ns = S;

	for (int i = 0; i < rounds; i++) {
		for (uint32_t f = 0; f < FUNCTIONS; f++) {
			kit_enter(t, f, VZ_ENTRY_CALL, ns += 10);
			ns += length(kit, 1000) * (f == slow ? percent : 100) / 100;
			kit_leave(t, VZ_LEAVE_RETURN, ns);
		}
	}
	kit_finish(kit);
	return kit;
}

Test(diff, what_is_slower_is_found_and_noise_is_not)
{
	for (uint64_t seed = 1; seed <= 12; seed++) {
		bool slow = seed % 2 == 0;
		struct kit *a = program(seed, FUNCTIONS, 100, 1500);
		struct kit *b = program(seed + 100, slow ? 7 : FUNCTIONS, 200, 1500);
		struct vz_matches m;
		struct pair p;

		open_pair(&p, a, b, 0);
		cr_assert_eq(vz_matches_init(&m, p.r[0], p.r[1]), 0);
		cr_expect_eq(m.count[VZ_SLOWER], slow, "seed %d: %d slower", (int)seed,
			     (int)m.count[VZ_SLOWER]);
		cr_expect_eq(m.count[VZ_FASTER], 0, "seed %d", (int)seed);
		for (size_t i = 0; i < m.n; i++)
			if (m.p[i].verdict == VZ_SLOWER)
				cr_expect_eq(m.p[i].side[1].function->line, 7);
		vz_matches_fini(&m);
		close_pair(&p);
		kit_free(a);
		kit_free(b);
	}
}

Test(diff, what_slows_down_everything_is_no_functions_fault)
{
	struct kit *a = program(1, FUNCTIONS, 100, 400), *b = kit_new(FUNCTIONS, 2);
	struct kit_track *t = kit_track(b, 1, 0);
	struct vz_matches m;
	struct pair p;
	uint64_t ns = S;

	for (int i = 0; i < 400; i++) {
		for (uint32_t f = 0; f < FUNCTIONS; f++) {
			kit_enter(t, f, VZ_ENTRY_CALL, ns += 10);
			kit_leave(t, VZ_LEAVE_RETURN, ns += length(b, f == 7 ? 9000 : 1500));
		}
	}
	kit_finish(b);
	open_pair(&p, a, b, 0);
	cr_assert_eq(vz_matches_init(&m, p.r[0], p.r[1]), 0);
	cr_expect_gt(m.machine, 1.2);
	cr_expect_leq(m.count[VZ_SLOWER], 1);
	vz_matches_fini(&m);
	close_pair(&p);
	kit_free(a);
	kit_free(b);
}

Test(diff, equal_traces_differ_in_nothing)
{
	struct kit *a = kit_recorded(5), *b = kit_recorded(5);
	const struct vz_diff_options plain = { .columns = 80 }, json = { .json = true };
	struct pair p;
	char *text;

	open_pair(&p, a, b, 0);
	text = diff_text(&p, &plain);
	cr_expect_not_null(strstr(text, "nothing differs"), "%s", text);
	free(text);
	text = diff_text(&p, &json);
	cr_expect(json_is(text, "d[\"functions\"] == [] and d[\"folded\"] == 0 and "
				"[k for k, n in d[\"verdicts\"].items() if n] == [\"same\"]"));
	free(text);
	close_pair(&p);
	kit_free(a);
	kit_free(b);
}

/* Sums over the events as the kit wrote them, function by function, against what is matched. */
Test(diff, counts_what_a_naive_count_finds)
{
	struct kit *a = kit_recorded(11), *b = kit_recorded(12), *kits[] = { a, b };
	struct vz_matches m;
	struct pair p;

	open_pair(&p, a, b, 0);
	cr_assert_eq(vz_matches_init(&m, p.r[0], p.r[1]), 0);
	for (size_t i = 0; i < m.n; i++) {
		for (int side = 0; side < 2; side++) {
			const struct vz_match_side *s = &m.p[i].side[side];
			uint64_t entries = 0;

			for (uint32_t k = 0; k < kits[side]->ntracks; k++) {
				const struct kit_track *t = kits[side]->tracks[k];

				for (size_t e = 0; s->function && e < t->n; e++)
					entries += t->events[e].kind == KIT_ENTER &&
						   t->events[e].how != VZ_ENTRY_OPEN &&
						   t->events[e].function == s->function->line;
			}
			cr_expect_eq(s->calls + s->resumes, entries);
			cr_expect_leq(s->spread.mean * (double)s->spread.n,
				      (double)s->self_ns * 1.000001 + 1);
		}
		if (i)
			cr_expect_geq(fabs(m.p[i - 1].difference), fabs(m.p[i].difference));
	}
	vz_matches_fini(&m);
	close_pair(&p);
	kit_free(a);
	kit_free(b);
}

Test(diff, spread_is_mean_and_standard_error)
{
	struct vz_spread s = { 0 }, halves[2] = { 0 };
	double sum = 0, squares = 0, mean, naive;
	struct kit *kit = kit_new(1, 3);

	for (int i = 0; i < 1000; i++) {
		double v = (double)kit_random(kit, 1000);

		vz_spread_add(&s, v);
		vz_spread_add(&halves[i % 3 == 0], v);
		sum += v;
		squares += v * v;
	}
	mean = sum / 1000;
	naive = sqrt((squares / 1000 - mean * mean) / 999);
	cr_expect_lt(fabs(s.mean - mean), 1e-6);
	/* The error is that of independent samples or more: here they are independent. */
	cr_expect_geq(vz_spread_error(&s), naive * 0.999999);
	cr_expect_lt(vz_spread_error(&s), naive * 2);
	vz_spread_merge(&halves[0], &halves[1]);
	cr_expect_lt(fabs(halves[0].mean - mean), 1e-6);
	cr_expect_lt(fabs(halves[0].squares - s.squares), s.squares * 1e-9);
	/* A slow half hour is seen as what it is. */
	s = (struct vz_spread){ 0 };
	for (int i = 0; i < 100000; i++)
		vz_spread_add(&s, (i / 10000 == 3 ? 2000 : 1000) + (double)kit_random(kit, 10));
	cr_expect_gt(vz_spread_error(&s), 50);
	kit_free(kit);
}

/* Other lines, other ids, other lengths; one function gone, one new, one called more often. */
static struct kit *moved(bool b)
{
	static const char *const names[] = { "stays", "gone", "new", "oftener", "once" };
	struct kit *kit = kit_new(1, 1);
	struct kit_track *t;
	uint64_t ns = S;

	for (uint32_t i = 0; i < 5; i++)
		vz_tracefile_function(kit->tf, (b ? 9 - i : i) + 1, VZ_DEF_PYTHON, names[i],
				      strlen(names[i]), "/app/x.py", 9, b ? 100 + i : i);
	t = kit_track(kit, 1, 0);
	for (uint32_t i = 0; i < (b ? 300 : 100); i++) {
		for (uint32_t f = 0; f < 5; f++) {
			uint32_t n = f == (b ? 1 : 2) ? 0 : f == 4 ? i == 0 : f == 3 && b ? 4 : 1;

			while (n--) {
				kit_enter(t, (b ? 9 - f : f) + 1, VZ_ENTRY_CALL, ns += 10);
				kit_leave(t, VZ_LEAVE_RETURN, ns += 1000);
			}
		}
	}
	kit->end_ns = b ? S + 3000000 : S + 1000000;
	kit_finish(kit);
	return kit;
}

Test(diff, matches_by_name_and_compares_per_second)
{
	struct kit *a = moved(false), *b = moved(true);
	const struct vz_diff_options plain = { .columns = 160 }, json = { .json = true };
	struct pair p;
	char *text;

	open_pair(&p, a, b, 0);
	text = diff_text(&p, &plain);
	cr_expect_not_null(strstr(text, "per second"), "%s", text);
	cr_expect_not_null(strstr(text, "only in A: 1, only in B: 1"), "%s", text);
	cr_expect(is_fit(text, 160));
	free(text);
	text = diff_text(&p, &json);
	cr_expect(json_is(text, "{f[\"name\"]: f[\"verdict\"] for f in d[\"functions\"]} == "
				"{\"stays\": \"noise\", \"oftener\": \"more calls\", \"new\": "
				"\"only in B\", \"gone\": \"only in A\", \"once\": \"too few\"}"),
		  "%s", text);
	cr_expect(json_is(text, "[(f[\"difference_ns\"], f[\"a\"][\"self_ns\"], "
				"f[\"b\"][\"self_ns\"], f[\"b\"][\"line\"]) for f in "
				"d[\"functions\"] if f[\"name\"] == \"oftener\"] == "
				"[(300000000, 100000, 1200000, 103)]"),
		  "%s", text);
	free(text);
	close_pair(&p);
	kit_free(a);
	kit_free(b);
}

Test(diff, empty_cut_and_hostile)
{
	struct kit *kits[] = { kit_new(3, 1), kit_recorded(3), kit_recorded(4), kit_new(1, 1) };
	static const char evil[] = "\033[2J\n\xc2\x9b\xff\"}";
	struct kit_track *t;

	vz_tracefile_function(kits[3]->tf, 1, VZ_DEF_PYTHON, evil, sizeof(evil) - 1, evil,
			      sizeof(evil) - 1, 1);
	t = kit_track(kits[3], 1, 0);
	kit_enter(t, 1, VZ_ENTRY_CALL, S + 5);
	kit_leave(t, VZ_LEAVE_RETURN, S + 5000);
	kit_finish(kits[0]);
	kit_finish(kits[3]);
	for (int i = 0; i < 16; i++) {
		for (size_t columns = 80; columns <= 160; columns += 40) {
			const struct vz_diff_options plain = { .columns = (uint32_t)columns };
			bool cut = i / 4 == 1 || i / 4 == 2;
			struct pair p;
			char *text;

			open_pair(&p, kits[i % 4], kits[i / 4], cut ? 20000 : 0);
			text = diff_text(&p, &plain);
			cr_expect(is_fit(text, (unsigned)columns), "%s", text);
			cr_expect_eq(strstr(text, "it was cut off") != NULL, cut, "%s", text);
			free(text);
			text = diff_text(&p, &(struct vz_diff_options){ .json = true });
			cr_expect(columns > 80 || json_is(text, "\"a\" in d and \"b\" in d"));
			free(text);
			close_pair(&p);
		}
	}
	for (int i = 0; i < 4; i++)
		kit_free(kits[i]);
}
