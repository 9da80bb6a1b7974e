/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kit_spans.h"
#include "viewer/calltree.h"
#include "viewer/human.h"
#include "viewer/tree.h"
#include "viewer/walk.h"

enum {
	S = KIT_START_NS,
	MAIN = 1,
	FIB = 2,
	LEAF = 4,
	MAX_DEPTH = 1 << 16,
};

static struct vz_reader *open_kit(struct kit *kit, uint8_t **bytes, size_t cut)
{
	struct vz_trouble trouble;
	struct vz_reader *r;
	size_t n;

	*bytes = kit_bytes(kit, &n);
	cr_assert_eq(vz_reader_open_memory(*bytes, n - cut, &r, &trouble), 0, "%s", trouble.what);
	return r;
}

/* What "vizview tree" prints; free() it. */
static char *tree_text(struct vz_reader *r, const struct vz_tree_options *options, int expect)
{
	struct vz_trouble trouble;
	struct vz_out out;
	char *text = NULL;
	size_t n;
	FILE *memory = open_memstream(&text, &n);

	cr_assert_eq(vz_out_open_memory(&out, memory), 0);
	cr_assert_eq(vz_tree(r, options, &out, &trouble), expect);
	cr_assert_eq(vz_out_close(&out, &trouble), 0);
	fclose(memory);
	return text;
}

static bool fits(const char *text, unsigned columns)
{
	char line[4096];

	for (const char *at = text; *at; at += strcspn(at, "\n") + 1) {
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
		if (vz_human_width(line) > columns) {
			fprintf(stderr, "too wide: %s\n", line);
			return false;
		}
	}
	return true;
}

/* Whether python3 finds TEXT to be one line of JSON of which PREDICATE is true. */
static bool json_is(const char *text, const char *predicate)
{
	char name[] = "/tmp/vz-test-tree-XXXXXX", command[2048];
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

/* ---- the naive reference: the path of each span as text, by walking what the kit wrote ---- */

struct path {
	uint64_t hash; /* of the functions from the root, direct recursion once */
	uint64_t calls, total, self;
};

struct paths {
	struct path *p;
	size_t n;
};

struct naive_frame {
	uint32_t function;
	uint64_t hash, begin, child;
	bool again; /* its caller is the same function */
};

static struct path *path_of(struct paths *paths, uint64_t hash)
{
	for (size_t i = 0; i < paths->n; i++)
		if (paths->p[i].hash == hash)
			return &paths->p[i];
	paths->p = realloc(paths->p, (paths->n + 1) * sizeof(*paths->p));
	paths->p[paths->n] = (struct path){ .hash = hash };
	return &paths->p[paths->n++];
}

static uint64_t mix(uint64_t hash, uint32_t function)
{
	return (hash ^ (function + 1)) * UINT64_C(0x100000001b3) + 7;
}

static uint64_t start_of(uint32_t track)
{
	return (track + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void naive_leave(struct paths *paths, struct naive_frame *stack, uint32_t depth, uint64_t ns)
{
	const struct naive_frame *f = &stack[depth - 1];
	struct path *path = path_of(paths, f->hash);

	path->self += ns - f->begin - f->child;
	if (!f->again)
		path->total += ns - f->begin;
	if (depth > 1)
		stack[depth - 2].child += ns - f->begin;
}

static void naive(const struct kit *kit, uint32_t track, struct paths *paths)
{
	const struct kit_track *t = kit->tracks[track];
	struct naive_frame *stack = calloc(MAX_DEPTH, sizeof(*stack));
	uint32_t depth = 0;

	for (size_t i = 0; i < t->n; i++) {
		const struct kit_event *e = &t->events[i];

		if (e->kind == KIT_LEAVE) {
			naive_leave(paths, stack, depth--, e->ns);
		} else if (e->kind == KIT_ENTER) {
			uint64_t above = depth ? stack[depth - 1].hash : start_of(track);
			bool again = depth && stack[depth - 1].function == e->function;

			stack[depth++] =
				(struct naive_frame){ e->function,
						      again ? above : mix(above, e->function),
						      e->ns, 0, again };
			path_of(paths, stack[depth - 1].hash)->calls += e->how != VZ_ENTRY_OPEN;
		}
	}
	while (depth)
		naive_leave(paths, stack, depth--, t->ended ? t->end_ns : kit->end_ns);
	free(stack);
}

static uint64_t hash_of(const struct vz_calltree *t, uint32_t id)
{
	if (id < t->ntracks)
		return start_of(id);
	return mix(hash_of(t, t->nodes[id].parent), t->nodes[id].function);
}

Test(tree, is_what_a_naive_count_finds)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct kit *kit = kit_new(9, seed);
		struct paths want = { 0 };
		struct vz_calltree tree;
		struct vz_reader *r;
		uint8_t *bytes;

		for (uint32_t i = 0; i < 2; i++)
			kit_track(kit, 1 + i, 0);
		for (int round = 0; round < 6; round++) {
			kit_steps(kit->tracks[kit_random(kit, 2)], 400);
			vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
		}
		kit_finish(kit);
		for (uint32_t i = 0; i < 2; i++)
			naive(kit, i, &want);
		r = open_kit(kit, &bytes, 0);
		cr_assert_eq(vz_calltree_init(&tree, r, VZ_CALLTREE_PATHS), 0);
		cr_assert_eq(tree.nnodes - tree.ntracks, want.n);
		for (uint32_t i = tree.ntracks; i < tree.nnodes; i++) {
			const struct vz_call_node *node = &tree.nodes[i];
			const struct path *path = path_of(&want, hash_of(&tree, i));

			cr_assert_eq(node->calls + node->resumes, path->calls);
			cr_assert_eq(node->total_ns, path->total);
			cr_assert_eq(node->self_ns, path->self);
		}
		cr_assert_eq(tree.nnodes - tree.ntracks, want.n, "a path that was not there");
		vz_calltree_fini(&tree);
		vz_reader_free(r);
		free(bytes);
		free(want.p);
		kit_free(kit);
	}
}

Test(tree, adds_up_and_is_sorted_also_when_there_are_too_many_paths)
{
	static const uint32_t limits[] = { VZ_CALLTREE_PATHS, 300, 1, 0 };
	struct kit *kit = kit_recorded(7);
	uint8_t *bytes;
	struct vz_reader *r = open_kit(kit, &bytes, 0);

	for (size_t k = 0; k < 4; k++) {
		struct vz_calltree t;
		uint64_t entries = 0, kept = 0;

		cr_assert_eq(vz_calltree_init(&t, r, limits[k]), 0);
		cr_assert_leq(t.nnodes, t.ntracks + limits[k]);
		cr_assert_eq(t.left_calls > 0, k > 0);
		for (uint32_t i = 0; i < t.nnodes; i++) {
			uint64_t sum = t.nodes[i].self_ns + t.nodes[i].other_ns;

			for (uint32_t c = t.nodes[i].first; c != VZ_NO_NODE; c = t.nodes[c].next) {
				sum += t.nodes[c].total_ns;
				cr_assert_eq(t.nodes[c].parent, i);
				if (t.nodes[c].next != VZ_NO_NODE)
					cr_assert_geq(t.nodes[c].total_ns,
						      t.nodes[t.nodes[c].next].total_ns);
			}
			cr_assert_eq(sum, t.nodes[i].total_ns);
			kept += t.nodes[i].calls + t.nodes[i].resumes;
		}
		for (uint32_t i = 0; i < t.ntracks; i++)
			entries += t.tracks[i].calls + t.tracks[i].resumes;
		cr_assert_leq(kept, entries);
		cr_assert_geq(kept + t.left_calls, entries);
		vz_calltree_fini(&t);
	}
	vz_reader_free(r);
	free(bytes);
	kit_free(kit);
}

/* MAIN calls FIB, three deep, and LEAF; MAIN stays open, something was lost in LEAF. */
static struct kit *small(void)
{
	struct kit *kit = kit_new(6, 1);
	struct kit_track *t = kit_track(kit, 77, 0);

	kit_enter(t, MAIN, VZ_ENTRY_OPEN, S);
	kit_enter(t, FIB, VZ_ENTRY_CALL, S + 1000);
	kit_enter(t, FIB, VZ_ENTRY_CALL, S + 2000);
	kit_enter(t, FIB, VZ_ENTRY_CALL, S + 3000);
	kit_leave(t, VZ_LEAVE_RETURN, S + 4000);
	kit_leave(t, VZ_LEAVE_RETURN, S + 5000);
	kit_leave(t, VZ_LEAVE_RETURN, S + 6000);
	kit_enter(t, LEAF, VZ_ENTRY_CALL, S + 7000);
	kit_lost(t, 7, S + 7010);
	kit_leave(t, VZ_LEAVE_RETURN, S + 7100);
	kit->end_ns = S + 10000;
	kit_finish(kit);
	return kit;
}

Test(tree, text)
{
	struct kit *kit = small();
	struct vz_tree_options options = { .columns = 80 };
	uint8_t *bytes;
	struct vz_reader *r = open_kit(kit, &bytes, 0);
	char *text = tree_text(r, &options, 0);

	cr_expect_not_null(strstr(text, "100.0% 10.00 µs  4.90 µs         0 ~  Klass_1"), "%s",
			   text);
	cr_expect_not_null(strstr(text, " 50.0%  5.00 µs  5.00 µs         3    ├ Klass_2"), "%s",
			   text);
	cr_expect_not_null(strstr(text, "↻3\n"), "%s", text);
	cr_expect_not_null(strstr(text, "  1.0%   100 ns   100 ns         1 !  └ Klass_4"), "%s",
			   text);
	cr_expect_not_null(strstr(text, "7 records lost"), "%s", text);
	cr_expect(fits(text, 80));
	free(text);
	options.min_percent = 10;
	text = tree_text(r, &options, 0);
	cr_expect_null(strstr(text, "Klass_4"), "%s", text);
	cr_expect_not_null(strstr(text, " ~+ Klass_1"), "%s", text);
	free(text);
	options.depth = 1;
	text = tree_text(r, &options, 0);
	cr_expect_null(strstr(text, "Klass_2"), "%s", text);
	free(text);
	options.thread = "nobody";
	free(tree_text(r, &options, -ENOENT));
	options = (struct vz_tree_options){ .thread = "read 77", .max_paths = 1 };
	text = tree_text(r, &options, 0);
	cr_expect_not_null(strstr(text, "4 calls (5.10 µs) are on more paths than are kept (1)"),
			   "%s", text);
	free(text);
	vz_reader_free(r);
	free(bytes);
	kit_free(kit);
}

Test(tree, small_ones_are_folded)
{
	struct kit *kit = kit_new(20, 1);
	struct kit_track *t = kit_track(kit, 77, 0);
	const struct vz_tree_options options = { .columns = 80, .min_percent = 10 };
	struct vz_reader *r;
	uint8_t *bytes;
	char *text;

	for (uint32_t i = 0; i < 13; i++) {
		kit_enter(t, i, VZ_ENTRY_CALL, S + 1000 * i);
		kit_leave(t, VZ_LEAVE_RETURN, S + 1000 * i + (i ? 50 : 900));
	}
	kit_finish(kit);
	r = open_kit(kit, &bytes, 0);
	text = tree_text(r, &options, 0);
	cr_expect_not_null(strstr(text, "└ ... 12 more, 600 ns\n"), "%s", text);
	free(text);
	vz_reader_free(r);
	free(bytes);
	kit_free(kit);
}

Test(tree, json)
{
	const struct vz_tree_options options = { .json = true };
	struct kit *kit = small();
	uint8_t *bytes;
	struct vz_reader *r = open_kit(kit, &bytes, 0);
	char *text = tree_text(r, &options, 0);

	cr_expect(json_is(text, "[(n[\"calls\"], n[\"total_ns\"], n[\"self_ns\"], n[\"nested\"], "
				"n[\"open\"], n[\"lost\"]) for n in d[\"threads\"][0][\"nodes\"]]"
				" == [(0, 10000, 4900, 1, 1, 0), (3, 5000, 5000, 3, 0, 0), "
				"(1, 100, 100, 1, 0, 7)]"));
	free(text);
	vz_reader_free(r);
	free(bytes);
	kit_free(kit);
}

/* A trace of functions whose names are meant for somebody's terminal. */
Test(tree, hostile_names)
{
	static const char *const names[] = { "\033[2J",
					     "a\nb",
					     "\xff\xfe\xc3",
					     "\xc2\x9b"
					     "31m",
					     "\"}]\\",
					     "日本語",
					     "" };
	struct kit *kit = kit_new(1, 1);
	struct kit_track *t;
	char *text, *big = malloc(20000);

	memset(big, '/', 19999);
	big[19999] = '\0';
	for (uint32_t i = 0; i < 7; i++)
		vz_tracefile_function(kit->tf, 1 + i, VZ_DEF_PYTHON, names[i], strlen(names[i]),
				      names[i], strlen(names[i]), 1);
	vz_tracefile_function(kit->tf, 8, VZ_DEF_PYTHON, big, 19999, big, 19999, UINT32_MAX);
	t = kit_track(kit, 1, 0);
	for (uint32_t i = 1; i < 9; i++)
		kit_enter(t, i, VZ_ENTRY_CALL, S + i);
	kit->end_ns = S + 100;
	kit_finish(kit);
	for (unsigned columns = 0; columns < 200; columns += 40) {
		const struct vz_tree_options options = { .columns = columns };
		uint8_t *bytes;
		struct vz_reader *r = open_kit(kit, &bytes, 0);

		text = tree_text(r, &options, 0);
		for (const unsigned char *s = (unsigned char *)text; *s; s++)
			cr_assert(*s == '\n' || (*s >= 0x20 && *s != 0x7f && *s != 0xff &&
						 !(*s == 0xc2 && s[1] < 0xa0)));
		cr_expect(columns < 80 || fits(text, columns));
		free(text);
		text = tree_text(r, &(struct vz_tree_options){ .json = true }, 0);
		cr_expect(json_is(text, "len(d[\"threads\"][0][\"nodes\"]) == 8"));
		free(text);
		vz_reader_free(r);
		free(bytes);
	}
	free(big);
	kit_free(kit);
}

Test(tree, empty_and_cut)
{
	const struct vz_tree_options plain = { .columns = 80 }, json = { .json = true };
	struct kit *kits[] = { kit_new(3, 1), kit_recorded(3), kit_recorded(4) };
	size_t cuts[] = { 0, 9000, 20000 };

	kit_finish(kits[0]);
	for (int i = 0; i < 3; i++) {
		uint8_t *bytes;
		struct vz_reader *r = open_kit(kits[i], &bytes, cuts[i]);
		char *text = tree_text(r, &plain, 0);

		cr_expect_eq(strstr(text, "the recording was cut off") != NULL, i > 0, "%s", text);
		cr_expect(fits(text, 80));
		free(text);
		text = tree_text(r, &json, 0);
		cr_expect(json_is(text, i ? "d[\"threads\"] and not d[\"complete\"]"
					  : "d[\"threads\"] == [] and d[\"complete\"]"));
		free(text);
		vz_reader_free(r);
		free(bytes);
		kit_free(kits[i]);
	}
}
