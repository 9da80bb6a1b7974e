/* SPDX-License-Identifier: MIT */
/* A part of a trace: against the plainest way to leave out spans, and as a trace of its own. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/kit_spans.h"
#include "viewer/export/export.h"
#include "viewer/export/slice.h"

enum { MAX_SPANS = 200000, MAX_DEPTH = 4096 };

struct span {
	uint64_t place, function, begin, end, how;
};

struct spans {
	struct vz_reader *r;
	const char *wanted; /* NULL: all functions */
	struct span *p;
	size_t n;
	uint64_t lost;
};

static bool holds(const struct spans *s, const struct vz_open_frame *frame)
{
	/* Asked so often that it is worth remembering: 1 no, 2 yes. */
	static const char *of;
	static unsigned char known[1 << 16];
	uint32_t id = frame->symbol >> VZ_SYMBOL_SHIFT;
	char name[4096];

	if (of != s->wanted)
		memset(known, 0, sizeof(known));
	of = s->wanted;
	cr_assert_lt(id, sizeof(known));
	if (known[id])
		return known[id] == 2;
	vz_export_name(vz_reader_function(s->r, frame->symbol >> VZ_SYMBOL_SHIFT), name,
		       sizeof(name));
	known[id] = strstr(name, s->wanted) ? 2 : 1;
	return known[id] == 2;
}

/* Is this call, or one that it is in, wanted? */
static bool wanted(const struct spans *s, const struct vz_visit *at)
{
	if (!s->wanted)
		return true;
	for (uint32_t i = 0; i < at->depth; i++)
		if (holds(s, &at->stack[i]))
			return true;
	return false;
}

static int leave(void *ctx, const struct vz_visit *at)
{
	struct spans *s = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];

	cr_assert_lt(s->n, MAX_SPANS);
	if (wanted(s, at))
		s->p[s->n++] = (struct span){
			at->place, frame->symbol >> VZ_SYMBOL_SHIFT,   frame->begin_ns,
			at->ns,    (frame->symbol & 3) | at->how << 2,
		};
	return 0;
}

static int lost(void *ctx, const struct vz_visit *at)
{
	struct spans *s = ctx;

	s->lost += at->lost;
	return 0;
}

static void walk(struct spans *s, const struct vz_select *select)
{
	static const struct vz_visitor visitor = { .leave = leave, .lost = lost };
	const struct vz_walk_limits limits = { .place = VZ_ALL_TRACKS, .select = select };

	s->p = calloc(MAX_SPANS, sizeof(*s->p));
	s->n = s->lost = 0;
	cr_assert_eq(vz_walk(s->r, &limits, &visitor, s), 0);
}

/* What a recording of the range alone would have seen of S. */
static void clip(struct spans *s, const struct vz_select *select)
{
	uint64_t from = select->from_ns, until = select->until_ns ? select->until_ns : UINT64_MAX;
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct span *p = &s->p[i];

		if (p->end < from || p->begin > until ||
		    !vz_select_track(select, s->r, (uint32_t)p->place))
			continue;
		if (p->begin < from) {
			p->begin = from;
			p->how = (p->how & ~3ul) | VZ_ENTRY_OPEN;
		}
		if (p->end > until) {
			p->end = until;
			p->how = (p->how & 3) | VZ_LEFT_OPEN << 2;
		}
		s->p[n++] = *p;
	}
	s->n = n;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct span));
}

static void expect_same(struct spans *a, struct spans *b, const char *what)
{
	qsort(a->p, a->n, sizeof(*a->p), compare);
	qsort(b->p, b->n, sizeof(*b->p), compare);
	cr_assert_eq(a->n, b->n, "%s: %zu and %zu", what, a->n, b->n);
	for (size_t i = 0; i < a->n; i++)
		cr_assert_eq(compare(&a->p[i], &b->p[i]), 0, "%s: span %zu", what, i);
}

static struct vz_reader *open_kit(const struct kit *kit, uint8_t **p)
{
	struct vz_trouble trouble;
	struct vz_reader *r;
	size_t n;

	*p = kit_bytes(kit, &n);
	cr_assert_eq(vz_reader_open_memory(*p, n, &r, &trouble), 0);
	return r;
}

/* From FROM to TO thousandths of the trace. */
static struct vz_select part_of(const struct vz_reader *r, unsigned from, unsigned to)
{
	uint64_t t0_ns, t1_ns;
	struct vz_select select = { 0 };

	vz_reader_range(r, &t0_ns, &t1_ns);
	if (from)
		select.from_ns = t0_ns + (t1_ns - t0_ns) * from / 1000;
	if (to)
		select.until_ns = t0_ns + (t1_ns - t0_ns) * to / 1000;
	return select;
}

struct select_case {
	unsigned from, to;
	const char *thread, *function;
};

static const struct select_case cases[] = {
	{ 0, 0, NULL, NULL },     { 500, 0, NULL, NULL },           { 0, 400, NULL, NULL },
	{ 300, 310, NULL, NULL }, { 998, 0, NULL, NULL },           { 100, 900, "101", NULL },
	{ 0, 0, "10", "5" },      { 200, 700, NULL, "function 3" }, { 50, 60, "greenlet", "1" },
	{ 1, 2, NULL, NULL },
};

Test(select, holds_what_the_plainest_way_holds)
{
	for (uint64_t seed = 1; seed <= 2; seed++) {
		struct kit *kit = kit_recorded(seed);
		uint8_t *p;
		struct vz_reader *r = open_kit(kit, &p);

		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct vz_select select = part_of(r, cases[i].from, cases[i].to);
			struct spans want = { .r = r, .wanted = cases[i].function };
			struct spans got = { .r = r };

			select.thread = cases[i].thread;
			select.function = cases[i].function;
			walk(&want, NULL);
			clip(&want, &select);
			walk(&got, &select);
			expect_same(&got, &want, "part");
			free(want.p);
			free(got.p);
		}
		vz_reader_free(r);
		free(p);
		kit_free(kit);
	}
}

static char *export(struct vz_reader *r, const struct vz_select *select, const char *format,
		    size_t *n)
{
	struct vz_export_options options = { .select = select ? *select : (struct vz_select){ 0 } };
	struct vz_trouble trouble;
	struct vz_out out;
	char *text = NULL;
	FILE *memory = open_memstream(&text, n);

	cr_assert_eq(vz_out_open_memory(&out, memory), 0);
	cr_assert_eq(vz_export_find(format)->write(r, &options, &out), 0);
	cr_assert_eq(vz_out_close(&out, &trouble), 0);
	fclose(memory);
	return text;
}

static struct vz_reader *slice(struct vz_reader *r, const struct vz_select *select, int *fd)
{
	struct vz_trouble trouble;
	struct vz_damage damage;
	struct vz_reader *ret;
	uint64_t bytes;
	char path[64];

	*fd = memfd_create("slice", MFD_CLOEXEC);
	cr_assert_eq(vz_slice(r, select, 0, *fd, &bytes), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", *fd);
	cr_assert_eq(vz_reader_open(path, &ret, &trouble), 0, "%s", trouble.why);
	vz_reader_damage(ret, &damage);
	cr_assert(!damage.cut && !damage.no_index && !damage.damaged_blocks &&
		  !damage.missing_blocks && !damage.skipped_bytes);
	return ret;
}

/* Exporting a part is exporting the trace of the part. */
Test(select, formats_agree_with_the_trace_of_the_part)
{
	static const char *const formats[] = { "csv", "collapsed", "pstats" };
	struct kit *kit = kit_recorded(7);
	uint8_t *p;
	struct vz_reader *r = open_kit(kit, &p);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vz_select select = part_of(r, cases[i].from, cases[i].to);
		struct vz_reader *part;
		int fd;

		select.thread = cases[i].thread;
		select.function = cases[i].function;
		part = slice(r, &select, &fd);
		for (size_t k = 0; k < sizeof(formats) / sizeof(formats[0]); k++) {
			size_t n, m;
			char *a = export(r, &select, formats[k], &n);
			char *b = export(part, NULL, formats[k], &m);

			/* pstats lists what was seen first, which depends on where blocks end. */
			cr_expect(n == m && (!strcmp(formats[k], "pstats") ||
					     !strcmp(formats[k], "collapsed") || !memcmp(a, b, n)),
				  "case %zu, %s: %zu and %zu bytes", i, formats[k], n, m);
			free(a);
			free(b);
		}
		vz_reader_free(part);
		close(fd);
	}
	vz_reader_free(r);
	free(p);
	kit_free(kit);
}

Test(select, what_means_nothing_is_told)
{
	struct kit *kit = kit_recorded(1);
	struct vz_trouble trouble;
	uint8_t *p;
	struct vz_reader *r = open_kit(kit, &p);
	struct vz_select thread = { .thread = "nobody" }, function = { .function = "nothing" };
	struct vz_select late = { .from_ns = UINT64_MAX }, good = { .thread = "10" };

	cr_expect_eq(vz_select_check(&thread, r, &trouble), -EINVAL);
	cr_expect(strstr(trouble.why, "no thread has \"nobody\""));
	cr_expect_eq(vz_select_check(&function, r, &trouble), -EINVAL);
	cr_expect(strstr(trouble.why, "no function has \"nothing\""));
	cr_expect_eq(vz_select_check(&late, r, &trouble), -EINVAL);
	cr_expect(strstr(trouble.why, "ends before"));
	cr_expect_eq(vz_select_check(&good, r, &trouble), 0);
	vz_reader_free(r);
	free(p);
	kit_free(kit);
}
