/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "attach/receipt.h"

static char text[16384];

static struct vz_report good(void)
{
	struct vz_report r = {
		.pid = 4711,
		.comm = "worker",
		.python = "3.11.2",
		.output = "out.viz",
		.end = VZ_END_TIME,
		.recorded = true,
		.restored = true,
		.compared = true,
		.pause_us = 123.4,
		.home_us = 234.5,
		.attempts = 1,
		.borrowed_tid = 4712,
		.borrowed_syscall = -1,
		.duration_ns = 10 * UINT64_C(1000000000),
		.totals = { .events = 1234567, .threads = 3, .functions = 1000 },
		.file = { .calls = 617283, .bytes = 2500000 },
		.threads_at_attach = 2,
	};

	for (int i = 0; i < VZ_NRESIDUE; i++)
		r.residue.looked[i] = true;
	return r;
}

static const char *tell(const struct vz_report *r)
{
	size_t len = vz_receipt_text(r, text, sizeof(text));

	cr_assert_eq(len, strlen(text));
	cr_assert_eq(text[len - 1], '\n');
	return text;
}

#define SAYS(report, what) \
	cr_assert_not_null(strstr(tell(report), what), "no \"%s\" in\n%s", what, text)
#define SAYS_NOT(report, what) \
	cr_assert_null(strstr(tell(report), what), "\"%s\" in\n%s", what, text)

Test(receipt, all_is_well)
{
	struct vz_report r = good();

	SAYS(&r, "recorded 4711 (worker, python 3.11.2) for 10.00 s, time over\n");
	SAYS(&r, "1,234,567 in 617,283 calls, 3 threads (2 at the attach), 1,000 functions\n");
	SAYS(&r, "out.viz, 2,500,000 bytes (4.1 a call)\n");
	SAYS(&r, "thread 4712 for 123 us (back home after 234 us)");
	SAYS(&r, "restored: maps, memory, files, file system, threads, signals, hooks, "
		 "monitoring ids ok\n");
	SAYS_NOT(&r, "LOST");
	SAYS_NOT(&r, "LEFT");
	SAYS_NOT(&r, "unpaired");
	SAYS_NOT(&r, "DAMAGED");
}

Test(receipt, what_went_wrong_is_said)
{
	struct vz_report r = good();

	r.totals.lost = 1000;
	r.totals.unseen_exits = 7;
	r.totals.orphan_exits = 8;
	r.totals.damaged = 2;
	r.threads_late = 3;
	r.threads_refused = 4;
	r.interps_skipped = 5;
	r.long_wait = true;
	SAYS(&r, "LOST       1,000 records");
	SAYS(&r, "7 frames left unseen, 8 exits without an entry");
	SAYS(&r, "DAMAGED    2 times");
	SAYS(&r, "late       3 threads");
	SAYS(&r, "refused    4 threads");
	SAYS(&r, "skipped    5 interpreters");
	SAYS(&r, "may have started afresh");
}

Test(receipt, what_is_left_is_named)
{
	struct vz_report r = good();

	r.restored = false;
	r.residue.ours[VZ_RESIDUE_MAPS] = 1;
	snprintf(r.residue.text, sizeof(r.residue.text), "7f00-7f10 still mapped");
	SAYS(&r, "NOT RESTORED: maps LEFT; memory, files, ");
	SAYS(&r, "left       7f00-7f10 still mapped\n");
	r.residue.ours[VZ_RESIDUE_FDS] = r.residue.ours[VZ_RESIDUE_THREADS] = 1;
	r.residue.ours[VZ_RESIDUE_SIGNALS] = 1;
	SAYS(&r, "NOT RESTORED: maps, files, threads, signals LEFT; memory, file system, ");
}

Test(receipt, what_could_not_be_told_is_no_ok)
{
	struct vz_report r = good();

	r.restored = false;
	r.residue.looked[VZ_RESIDUE_HOOKS] = false;
	SAYS(&r, "NOT RESTORED: hooks UNKNOWN; maps, memory, ");
	r.residue.no_tool_ids = true;
	SAYS_NOT(&r, "monitoring ids");
	r.residue.possible[VZ_RESIDUE_MEMORY] = 1;
	SAYS(&r, "signals ok; memory grew\n");
	snprintf(r.residue.text, sizeof(r.residue.text), "one thing; another");
	SAYS(&r, "  left       one thing\n             another\n");
}

Test(receipt, how_the_thread_was_borrowed)
{
	struct vz_report r = good();

	SAYS(&r, "; no other thread was stopped\n");
	r.borrowed_syscall = SYS_futex;
	SAYS(&r, "thread 4712, blocked in futex, for 123 us (");
	r.borrowed_syscall = -1;
	r.attempts = 3;
	r.home_us = 0; /* nobody knows */
	SAYS_NOT(&r, "no other thread");
	SAYS_NOT(&r, "back home");
	SAYS(&r, "thread 4712 for 123 us; safe at try 3, one thread at a time\n");
}

Test(receipt, names_are_made_plain)
{
	struct vz_report r = good();

	strcpy(r.comm, "a\033[31mb\x9b");
	strcpy(r.residue.text, "file descriptor 3 (/memfd:vizattach\033]0;x\007) is still open");
	r.restored = false;
	SAYS(&r, "(a?[31mb?, python");
	SAYS(&r, "vizattach?]0;x?)");
}

Test(receipt, how_it_ended)
{
	static const struct {
		enum vz_end end;
		bool exec;
		const char *says, *target;
	} ends[] = {
		{ VZ_END_TIME, false, "time over", "not compared: its state is unknown" },
		{ VZ_END_SIGNAL, false, "stopped by a signal", "not compared" },
		{ VZ_END_TARGET, false, "the target ended", "target     gone" },
		{ VZ_END_TARGET, true, "the target ran exec", "runs another program now" },
		{ VZ_END_AGENT, false, "the agent left by itself", "not compared" },
		{ VZ_END_ERROR, false, "the trace could not be written", "not compared" },
	};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct vz_report r = good();

		r.end = ends[i].end;
		r.exec = ends[i].exec;
		r.compared = r.restored = false;
		SAYS(&r, ends[i].says);
		SAYS(&r, ends[i].target);
		SAYS_NOT(&r, "restored:");
	}
}

/* A buffer that is too small cuts, whatever its size. */
Test(receipt, cut_at_every_size)
{
	struct vz_report r = good();
	struct vz_err err = { .what = "w" };
	size_t whole = vz_receipt_text(&r, text, sizeof(text));

	for (size_t size = 1; size <= whole + 1; size++) {
		char *small = malloc(size);
		size_t len = vz_receipt_text(&r, small, size);

		cr_assert_eq(len, strlen(small));
		cr_assert_lt(len, size);
		cr_assert_eq(memcmp(small, text, len), 0);
		len = vz_receipt_json(&r, VZ_EXIT_OK, &err, small, size);
		cr_assert_eq(len, strlen(small));
		free(small);
	}
}

/* ---- JSON: read by somebody else's parser ------------------------------ */

/* What Python's json makes of EXPRESSION on the object o; into a static buffer. */
static const char *json_says(const char *expression)
{
	static char answer[8192];
	char path[] = "/tmp/vz-receipt-XXXXXX", command[8400];
	int fd = mkstemp(path);
	FILE *pipe;
	size_t n;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	snprintf(command, sizeof(command),
		 "python3 -c 'import json, sys; o = json.loads(open(sys.argv[1], \"rb\").read()); "
		 "sys.stdout.buffer.write(str(%s).encode(\"utf-8\", \"surrogatepass\"))' %s 2>&1",
		 expression, path);
	pipe = popen(command, "r");
	cr_assert_not_null(pipe);
	n = fread(answer, 1, sizeof(answer) - 1, pipe);
	answer[n] = '\0';
	unlink(path);
	if (pclose(pipe) != 0 && strstr(answer, "not found"))
		cr_skip_test("no python3 to read JSON with");
	return answer;
}

Test(receipt, json_of_a_good_recording, .timeout = 60)
{
	struct vz_report r = good();
	struct vz_err err = { 0 };
	size_t len = vz_receipt_json(&r, VZ_EXIT_OK, &err, text, sizeof(text));

	cr_assert_eq(len, strlen(text));
	cr_assert_eq(strchr(text, '\n'), text + len - 1, "one line");
	cr_assert_str_eq(
		json_says("[o[k] for k in (\"schema\", \"pid\", \"exit\", \"events\", \"calls\", "
			  "\"bytes\", \"threads\", \"borrowed_tid\", \"lost\")]"),
		"[2, 4711, 0, 1234567, 617283, 2500000, 3, 4712, 0]");
	cr_assert_str_eq(
		json_says("[o[k] for k in (\"comm\", \"python\", \"output\", \"ended_by\", "
			  "\"recorded\", \"restored\", \"compared\", \"left\")]"),
		"['worker', '3.11.2', 'out.viz', 'time over', True, True, True, '']");
	cr_assert_str_eq(json_says("\"error\" in o"), "False");
	cr_assert_str_eq(json_says("set(o[\"residue\"].values())"), "{'ok'}");
	cr_assert_str_eq(json_says("sorted(o[\"residue\"])"),
			 "['file_system', 'files', 'hooks', 'maps', 'memory', 'monitoring_ids', "
			 "'signals', 'threads']");
	cr_assert_str_eq(json_says("sorted(o[\"memory\"])"),
			 "['anon_after', 'anon_before', 'data_after', 'data_before', "
			 "'named_bytes', 'rss_after', 'rss_before']");
	cr_assert_str_eq(json_says("len(set(o)) == len(json.loads(open(sys.argv[1]).read(), "
				   "object_pairs_hook=list))"),
			 "True", "a key twice");
}

Test(receipt, json_of_a_failure, .timeout = 60)
{
	struct vz_report r = { .pid = 7 };
	struct vz_err err = { VZ_EXIT_PERMISSION, "cannot", "be\"cause\\\n\t\001", "try" };

	vz_receipt_json(&r, VZ_EXIT_PERMISSION, &err, text, sizeof(text));
	cr_assert_str_eq(json_says("o[\"error\"]"),
			 "{'what': 'cannot', 'why': 'be\"cause\\\\\\n\\t\\x01', 'try': 'try'}");
	cr_assert_str_eq(
		json_says("[o[\"exit\"], o[\"recorded\"], o[\"output\"], o[\"ended_by\"]]"),
		"[4, False, '', 'not recorded']");
	cr_assert_str_eq(json_says("set(o[\"residue\"].values())"), "{'unknown'}");
}

/* Names come from outside: quotes, control characters, bytes that are no UTF-8. */
Test(receipt, json_of_strange_names, .timeout = 60)
{
	struct vz_report r = good();
	struct vz_err err = { 0 };

	snprintf(r.comm, sizeof(r.comm), "a\"b\\c\nd\x1b");
	snprintf(r.output, sizeof(r.output), "/tmp/ä€\U0001f600.viz");
	vz_receipt_json(&r, VZ_EXIT_OK, &err, text, sizeof(text));
	cr_assert_str_eq(json_says("[ord(c) for c in o[\"comm\"]]"),
			 "[97, 34, 98, 92, 99, 10, 100, 27]");
	cr_assert_str_eq(json_says("o[\"output\"]"), "/tmp/ä€\U0001f600.viz");
}

Test(receipt, json_of_bytes_that_are_no_text, .timeout = 60)
{
	struct vz_report r = good();
	struct vz_err err = { 0 };

	snprintf(r.comm, sizeof(r.comm), "caf\xe9\xff"); /* prctl(PR_SET_NAME) takes any bytes */
	vz_receipt_json(&r, VZ_EXIT_OK, &err, text, sizeof(text));
	cr_assert_str_eq(json_says("o[\"comm\"]"), "caf\xef\xbf\xbd\xef\xbf\xbd");
	snprintf(r.comm, sizeof(r.comm), "x\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82");
	vz_receipt_json(&r, VZ_EXIT_OK, &err, text, sizeof(text));
	cr_assert_str_eq(json_says("[o[\"comm\"][0], len(o[\"comm\"])]"), "['x', 10]");
}
