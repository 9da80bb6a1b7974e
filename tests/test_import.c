/* SPDX-License-Identifier: MIT */
/* Imports: what Chrome's JSON says is what the trace holds, in any order, whole or not. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/kit_import.h"
#include "viewer/import/import.h"
#include "viewer/reader.h"
#include "viewer/walk.h"

enum { TEXT = 1 << 16 };

/* What a walk tells, one line each: "track >name start", "track <name end how". */
struct told {
	struct vz_reader *r;
	char text[TEXT];
	size_t n;
};

static int tell(struct told *t, const struct vz_visit *at, char sign)
{
	uint32_t symbol = at->stack[at->depth - 1].symbol;
	const struct vz_function *f = vz_reader_function(t->r, symbol >> VZ_SYMBOL_SHIFT);
	char title[256];

	vz_reader_track_title(vz_reader_track(t->r, at->place), title, sizeof(title));
	t->n += (size_t)snprintf(t->text + t->n, TEXT - t->n, "%s %c%s %" PRIu64 "%s\n", title,
				 sign, f->name, at->ns,
				 sign != '<'                  ? ""
				 : at->how == VZ_LEAVE_RETURN ? ""
				 : at->how == VZ_LEFT_OPEN    ? " open"
				 : at->how == VZ_LEAVE_UNWIND ? " raised"
							      : " unseen");
	cr_assert_lt(t->n, TEXT);
	return 0;
}

static int enter(void *ctx, const struct vz_visit *at)
{
	return tell(ctx, at, '>');
}

static int leave(void *ctx, const struct vz_visit *at)
{
	return tell(ctx, at, '<');
}

static int lost(void *ctx, const struct vz_visit *at)
{
	struct told *t = ctx;

	t->n += (size_t)snprintf(t->text + t->n, TEXT - t->n, "lost %" PRIu64 " %" PRIu64 "\n",
				 at->lost, at->ns);
	return 0;
}

static struct vz_reader *import(const char *text, size_t n, struct vz_import_summary *summary)
{
	const struct vz_import_options options = { .sort_records = 16 };
	struct vz_trouble trouble;
	struct vz_reader *r;
	int rc;

	write_json(text, n);
	rc = vz_import(json_path, viz_path, &options, summary, &trouble);
	cr_assert_eq(rc, 0, "%s: %s", trouble.what, trouble.why);
	cr_assert_eq(vz_reader_open(viz_path, &r, &trouble), 0, "%s", trouble.why);
	return r;
}

static void walk(struct vz_reader *r, struct told *t)
{
	static const struct vz_visitor visitor = { .enter = enter, .leave = leave, .lost = lost };

	t->r = r;
	t->n = 0;
	t->text[0] = '\0';
	cr_assert_eq(vz_walk(r, NULL, &visitor, t), 0);
}

struct import_case {
	const char *label, *events, *want;
	uint64_t not_shown, overlaps;
};

#define EVENT(ph, ts, name) \
	"{\"ph\":\"" ph "\",\"pid\":1,\"tid\":2,\"ts\":" ts ",\"name\":\"" name "\"}"
#define CALL(ts, dur, name) \
	"{\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":" ts ",\"dur\":" dur ",\"name\":\"" name "\"}"
#define ASYNC(ph, id, ts, name)                                                              \
	"{\"ph\":\"" ph "\",\"pid\":1,\"tid\":2,\"cat\":\"io\",\"id\":\"" id "\",\"ts\":" ts \
	",\"name\":\"" name "\"}"

static const struct import_case cases[] = {
	{ .label = "callees first, as VizTracer",
	  .events = CALL("2", "1", "b") "," CALL("4", "2.5", "c") "," CALL("1", "9", "a"),
	  .want = "thread 2 >a 1000\nthread 2 >b 2000\nthread 2 <b 3000\nthread 2 >c 4000\n"
		  "thread 2 <c 6500\nthread 2 <a 10000\n" },
	{ .label = "callers first",
	  .events = CALL("1", "9", "a") "," CALL("2", "1", "b") "," CALL("4", "2.5", "c"),
	  .want = "thread 2 >a 1000\nthread 2 >b 2000\nthread 2 <b 3000\nthread 2 >c 4000\n"
		  "thread 2 <c 6500\nthread 2 <a 10000\n" },
	{ .label = "of two that begin and end together, callees first",
	  .events = CALL("2", "1", "x") "," CALL("1", "3", "y") "," CALL("5", "2", "in") "," CALL(
		  "5", "2", "out"),
	  .want = "thread 2 >y 1000\nthread 2 >x 2000\nthread 2 <x 3000\nthread 2 <y 4000\n"
		  "thread 2 >out 5000\nthread 2 >in 5000\nthread 2 <in 7000\nthread 2 <out "
		  "7000\n" },
	{ .label = "of two that begin and end together, callers first",
	  .events = CALL("1", "3", "y") "," CALL("2", "1", "x") "," CALL("5", "2", "out") "," CALL(
		  "5", "2", "in"),
	  .want = "thread 2 >y 1000\nthread 2 >x 2000\nthread 2 <x 3000\nthread 2 <y 4000\n"
		  "thread 2 >out 5000\nthread 2 >in 5000\nthread 2 <in 7000\nthread 2 <out "
		  "7000\n" },
	{ .label = "no time at all: in what begins with it, or ends with it and came later",
	  .events = CALL("2", "0", "p") "," CALL("1", "1", "a") "," CALL("2", "0", "q") "," CALL(
		  "2", "3", "b"),
	  .want = "thread 2 >a 1000\nthread 2 >p 2000\nthread 2 <p 2000\nthread 2 <a 2000\n"
		  "thread 2 >b 2000\nthread 2 >q 2000\nthread 2 <q 2000\nthread 2 <b 5000\n" },
	{ .label = "overlaps are never nested",
	  .events = CALL("1", "4", "a") "," CALL("3", "4", "b") "," CALL("4", "0.5", "c"),
	  .want = "thread 2 >a 1000\nthread 2 >c 4000\nthread 2 <c 4500\nthread 2 <a 5000\n"
		  "thread 2 (2) >b 3000\nthread 2 (2) <b 7000\n",
	  .overlaps = 1 },
	{ .label = "begin and end, one left open",
	  .events = EVENT("B", "1", "a") "," EVENT("B", "2", "b") "," EVENT(
		  "E", "3", "b") "," EVENT("B", "4", "c"),
	  .want = "thread 2 >a 1000\nthread 2 >b 2000\nthread 2 <b 3000\nthread 2 >c 4000\n"
		  "thread 2 <c 4000 open\nthread 2 <a 4000 open\n" },
	{ .label = "an end without a begin",
	  .events = EVENT("E", "1", "a"),
	  .want = "",
	  .not_shown = 1 },
	{ .label = "negative times and durations",
	  .events = CALL("-3.5", "1", "a") "," CALL("2", "-1", "b"),
	  .want = "thread 2 >a 0\nthread 2 <a 1000\n",
	  .not_shown = 1 },
	{ .label = "no time, no phase, no event",
	  .events = "{\"ph\":\"X\",\"name\":\"a\"},{\"ph\":\"Q\",\"ts\":1},{},7,[1]",
	  .want = "",
	  .not_shown = 3 },
	{ .label = "flows are counted",
	  .events = CALL("1", "1", "a") "," EVENT("s", "1", "f") "," EVENT("t", "1", "f") "," EVENT(
		  "f", "2", "f"),
	  .want = "thread 2 >a 1000\nthread 2 <a 2000\n",
	  .not_shown = 3 },
	{ .label = "asynchronous: each lane holds one at a time",
	  .events = ASYNC("b", "x", "1", "a") "," ASYNC("b", "y", "2", "c") "," ASYNC(
		  "b", "x", "3",
		  "in") "," ASYNC("n", "y", "4",
				  "point") "," ASYNC("e", "x", "5",
						     "in") "," ASYNC("e", "x", "6",
								     "a") "," ASYNC("e", "y", "7",
										    "c"),
	  .want = "io >a 1000\nio >in 3000\nio <in 5000\nio <a 6000\n"
		  "io (2) >c 2000\nio (2) >point 4000\nio (2) <point 4000\nio (2) <c 7000\n" },
	{ .label = "instants, by scope",
	  .events = EVENT("i", "2", "late") "," EVENT(
		  "I", "1", "early") ",{\"ph\":\"i\",\"s\":\"p\",\"pid\":1,\"tid\":2,\"ts\":3,"
				     "\"name\":\"all\"}",
	  .want = "instants of thread 2 >early 1000\ninstants of thread 2 <early 1000\n"
		  "instants of thread 2 >late 2000\ninstants of thread 2 <late 2000\n"
		  "instants of process >all 3000\ninstants of process <all 3000\n" },
	{ .label = "what our own exports say of calls and losses",
	  .events = "{\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":1,\"dur\":1,\"name\":\"a\",\"args\":{"
		    "\"note\":\"left by an exception\"}},"
		    "{\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":2,\"dur\":3,\"name\":\"b\",\"args\":{"
		    "\"note\":\"had not ended when the recording did\"}},"
		    "{\"ph\":\"i\",\"pid\":1,\"tid\":2,\"cat\":\"LOST\",\"s\":\"t\",\"ts\":3,"
		    "\"name\":"
		    "\"lost\",\"args\":{\"records\":17}}",
	  .want = "thread 2 >a 1000\nthread 2 <a 2000 raised\nthread 2 >b 2000\nlost 17 3000\n"
		  "thread 2 <b 5000 open\n" },
	{ .label = "NaN and Infinity, as Python writes them",
	  .events = "{\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":1,\"dur\":1,\"name\":\"a\",\"args\":{"
		    "\"v\":[1,NaN,{\"w\":-Infinity}]}},{\"ph\":\"X\",\"ts\":NaN}," CALL("3", "1",
											"b"),
	  .want = "thread 2 >a 1000\nthread 2 <a 2000\nthread 2 >b 3000\nthread 2 <b 4000\n",
	  .not_shown = 1 },
};

Test(import, events_of_each_kind, .init = setup, .fini = teardown)
{
	static struct told told;
	char text[4096];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int form = 0; form < 3; form++) {
			static const char *const forms[] = { "{\"traceEvents\":[%s]}", "[%s]",
							     "[%s" };
			struct vz_import_summary s;
			struct vz_reader *r;
			int n;

			/* The forms are from the table above. */
			n = snprintf(text, sizeof(text), "%.*s%s%s",
				     (int)(strchr(forms[form], '%') - forms[form]), forms[form],
				     cases[i].events, strchr(forms[form], '%') + 2);
			r = import(text, (size_t)n, &s);
			walk(r, &told);
			cr_expect_str_eq(told.text, cases[i].want, "%s:\n%s", cases[i].label,
					 told.text);
			cr_expect_eq(s.not_shown, cases[i].not_shown, "%s: %" PRIu64,
				     cases[i].label, s.not_shown);
			cr_expect_eq(s.overlaps, cases[i].overlaps, "%s", cases[i].label);
			cr_expect_not(s.cut, "%s: %s", cases[i].label, s.why);
			vz_reader_free(r);
		}
	}
}
