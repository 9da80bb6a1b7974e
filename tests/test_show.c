/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "attach/snapshot/show/grow.h"
#include "attach/snapshot/show/show_priv.h"
#include "attach/util.h"
#include "tests/kit_snapshot.h"

static const struct vz_show plain = { .width = 100 };

static char *text_of(const struct vz_snapshot *s, struct vz_show show)
{
	size_t len = 0;
	char *text = vz_snapshot_text(s, &show, &len);

	cr_assert(text);
	cr_assert_eq(len, strlen(text));
	return text;
}

static void has(const char *text, const char *part)
{
	cr_expect(strstr(text, part), "'%s' is not in:\n%s", part, text);
}

static void has_not(const char *text, const char *part)
{
	cr_expect(!strstr(text, part), "'%s' is in:\n%s", part, text);
}

static size_t count_of(const char *text, const char *part)
{
	size_t ret = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		ret++;
	return ret;
}

/* No line is wider, and nothing steers the terminal. */
static void fits(const char *text, size_t width)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		char line[8192];

		cr_assert(len < sizeof(line));
		memcpy(line, text, len);
		line[len] = '\0';
		for (size_t i = 0; i < len; i++)
			cr_expect(line[i] < 0 || line[i] >= ' ', "byte %d in '%s'", line[i], line);
		cr_expect_leq(vz_text_columns(line), width, "%zu: '%s'", width, line);
		cr_assert_eq(text[len], '\n');
		text += len + 1;
	}
}

/* ---- for a terminal ---- */

static struct vz_snapshot *deadlock(void)
{
	struct vz_snapshot *s = snap_new(4);

	snap_thread(s, 0, "MainThread", "wait /usr/lib/python3.11/threading.py 1116",
		    "<module> /srv/app/main.py 60", NULL);
	s->threads[0].joins = 1;
	snap_thread(s, 1, "worker-a", "__futex_abstimed_wait_common64 /usr/lib/libc.so.6",
		    "PyThread_acquire_lock_timed /usr/bin/python3.11",
		    "lock_PyThread_acquire_lock /usr/bin/python3.11",
		    "transfer /srv/app/bank.py 44", "run /usr/lib/python3.11/threading.py 975",
		    "thread_run /usr/bin/python3.11", "start_thread /usr/lib/libc.so.6", NULL);
	snap_thread(s, 2, "worker-b", "transfer /srv/app/bank.py 44", NULL);
	snap_thread(s, 3, "pool-0_0", "get /usr/lib/python3.11/queue.py 171", NULL);
	s->threads[3].idle = true;
	s->threads[3].idle_why = "pool worker waits for work";
	s->threads[1].lock = snap_lock(s, "threading.Lock", "lock_b", VZ_OWNER_INFERRED, 2);
	s->threads[2].lock = snap_lock(s, "threading.Lock", "lock_a", VZ_OWNER_INFERRED, 1);
	s->verdict.kind = VZ_VERDICT_DEADLOCK;
	s->verdict.sentence = "worker-a (101) and worker-b (102) wait for each other's lock";
	s->verdict.advice = "take lock_a and lock_b in the same order everywhere";
	s->verdict.evidence[0] = "worker-a waits for lock_b, which worker-b holds";
	s->verdict.evidence[1] = "worker-b waits for lock_a, which worker-a holds";
	s->verdict.nevidence = 2;
	s->verdict.threads[0] = 1;
	s->verdict.threads[1] = 2;
	s->verdict.nthreads = 2;
	return s;
}

Test(show, the_verdict_comes_first_then_its_threads)
{
	struct vz_snapshot *s = deadlock();
	char *text = text_of(s, plain);

	cr_expect(vz_starts_with(text, "DEADLOCK: worker-a (101) and worker-b (102) wait"));
	has(text, "  next       take lock_a and lock_b");
	has(text, "  evidence   worker-a waits for lock_b");
	has(text, "innermost frame first");
	has(text, "worker-a (101): waits for lock_b (threading.Lock), held (inferred) by worker-b "
		  "(102), asleep 4 min\n");
	has(text, "      /srv/app/bank.py:44                   transfer\n");
	has(text, "PyThread_acquire_lock_timed (and 2 more)\n");
	has(text,
	    "MainThread (100), main thread: waits for the end of worker-a (101), asleep 4 min");
	has(text, "pool-0_0 (103): idle: pool worker waits for work, asleep 4 min");
	has(text, "lock_a (threading.Lock) at 0x7f5500001040: held by worker-a (101), inferred; "
		  "waited for by");
	has_not(text, "start_thread");
	has_not(text, "queue.py");
	cr_expect_lt(strstr(text, "worker-a (101): "), strstr(text, "MainThread (100)"));
	cr_expect_lt(strstr(text, "MainThread (100)"), strstr(text, "pool-0_0 (103)"));
	free(text);
	vz_arena_free(s->arena);
}

Test(show, all_and_native_leave_nothing_out)
{
	struct vz_snapshot *s = deadlock();
	char *text = text_of(s, (struct vz_show){ .width = 120, .native = true, .all = true });

	has(text, "start_thread+0x1b");
	has(text, "lock_PyThread_acquire_lock+0x1b");
	has(text, "queue.py:171");
	has_not(text, "(and ");
	free(text);
	vz_arena_free(s->arena);
}

Test(show, colour_only_if_asked)
{
	struct vz_snapshot *s = deadlock();
	char *text = text_of(s, plain);

	cr_expect_null(strchr(text, '\033'));
	free(text);
	text = text_of(s, (struct vz_show){ .width = 100, .colour = true });
	cr_expect(vz_starts_with(text, "\033[1;31mDEADLOCK:\033[0m"));
	has(text, "\033[2m");
	cr_expect_eq(count_of(text, "\033[0m") * 2, count_of(text, "\033["));
	free(text);
	vz_arena_free(s->arena);
}

Test(show, states_in_words)
{
	struct vz_snapshot *s = snap_new(6);
	struct vz_snap_thread *t = s->threads;
	char *text;

	for (int i = 0; i < 6; i++)
		t[i].lock = -1;
	t[0].wait.kind = VZ_WAIT_SOCKET;
	t[0].wait.call = "recvfrom";
	t[0].wait.object = "tcp 10.0.0.5:40112 -> 10.0.0.7:5432";
	t[1].waits_gil = true;
	t[2].holds_gil = true;
	t[2].wait.nr = -1;
	t[2].looks[0].state = t[2].looks[1].state = 'R';
	t[2].looks[1].cpu_ns = 29700000;
	t[3].looks[1].state = 'T';
	t[4].looks[1].state = 'D';
	t[4].wait.kind = VZ_WAIT_FILE;
	t[4].wait.call = "read";
	t[4].wait.object = "/mnt/x (nfs on /mnt)";
	t[5].copied = VZ_COPIED_MOVING;
	t[5].looks[1].state = 'Z';
	text = text_of(s, (struct vz_show){ .width = 0 });
	has(text, "asleep 4 min in recvfrom, tcp 10.0.0.5:40112 -> 10.0.0.7:5432\n");
	has(text, ": waits for the GIL\n");
	has(text, ": holds the GIL, on CPU (99 %)\n");
	has(text, ": stopped by a signal in futex\n");
	has(text, ": stuck in the kernel (D) 4 min in read, /mnt/x (nfs on /mnt)\n");
	has(text, ": has ended\n");
	has(text, "may be torn");
	free(text);
	vz_arena_free(s->arena);
}

Test(show, times_as_people_say_them)
{
	static const struct {
		uint64_t ns;
		const char *words;
	} cases[] = { { 0, "0 ns" },
		      { 850000, "850 us" },
		      { 12345678, "12 ms" },
		      { 4250000000, "4.2 s" },
		      { 59000000000, "59 s" },
		      { 240000000000, "4 min" },
		      { 12600000000000, "3 h" },
		      { 259200000000000, "3 d" },
		      { UINT64_MAX, "213503 d" } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vz_snapshot *s = snap_new(0);
		char *text, want[64];

		s->took_ns = cases[i].ns;
		text = text_of(s, plain);
		snprintf(want, sizeof(want), "taken in %s\n", cases[i].words);
		has(text, want);
		free(text);
		vz_arena_free(s->arena);
	}
}

Test(show, equal_threads_are_one)
{
	struct vz_snapshot *s = snap_new(501);
	char *text;

	snap_thread(s, 0, "MainThread", "<module> /srv/app/main.py 3", NULL);
	for (size_t i = 1; i < 501; i++) {
		char name[64];

		snprintf(name, sizeof(name), "ThreadPoolExecutor-0_%zu", (i * 7) % 500);
		snap_thread(s, i, name, "work /srv/app/jobs.py 12", "run /srv/app/pool.py 80",
			    NULL);
	}
	text = text_of(s, plain);
	has(text, "500 threads, ThreadPoolExecutor-0_0 ... 499 (101 102");
	cr_expect_eq(count_of(text, "jobs.py:12"), 1);
	free(text);
	/* One of them elsewhere is no equal. */
	snap_thread(s, 250, "x", "work /srv/app/jobs.py 13", "run /srv/app/pool.py 80", NULL);
	text = text_of(s, plain);
	has(text, "499 threads, ThreadPoolExecutor-0_7, ThreadPoolExecutor-0_14, ");
	has(text, "x (350): ");
	free(text);
	text = text_of(s, (struct vz_show){ .width = 100, .all = true });
	cr_expect_eq(count_of(text, "jobs.py:12"), 500 - 1);
	free(text);
	vz_arena_free(s->arena);
}

Test(show, recursion_is_folded_and_depth_cut)
{
	struct vz_snapshot *s = snap_new(2);
	char *text;

	snap_deep(s, 0, 1000, "fact", false);
	snap_deep(s, 1, 994, "walk", true);
	text = text_of(s, plain);
	cr_expect_eq(count_of(text, "fact"), 1);
	has(text, "... the same 999 more times");
	has(text, "... 940 more frames, most of them of walk ...");
	has(text, "deep.py:10 ");
	has(text, "deep.py:1003 ");
	cr_expect_lt(count_of(text, "\n"), 90);
	free(text);
	text = text_of(s, (struct vz_show){ .width = 100, .all = true });
	cr_expect_eq(count_of(text, "walk"), 994);
	free(text);
	vz_arena_free(s->arena);
}

Test(show, paths_are_cut_between_their_parts)
{
	static const char path[] = "/usr/lib/python3.11/asyncio/base_events.py";

	for (size_t columns = 1; columns < sizeof(path) + 5; columns++) {
		struct vz_grow g = { 0 };

		vz_grow_middle(&g, path, columns);
		cr_expect_leq(vz_text_columns(vz_grow_text(&g)), columns < 3 ? 3 : columns);
		if (columns == 32)
			cr_expect_str_eq(vz_grow_text(&g), "/usr/lib/.../base_events.py", "%s",
					 vz_grow_text(&g));
		if (columns >= sizeof(path) - 1)
			cr_expect_str_eq(vz_grow_text(&g), path);
		vz_grow_free(&g);
	}
}

Test(show, symbols_of_other_languages)
{
	static const struct {
		const char *symbol, *name;
	} cases[] = {
		{ "_ZN8greenlet12UserGreenlet8g_switchEv", "greenlet::UserGreenlet::g_switch" },
		{ "_ZN4grpc6ServerC2Ev", "grpc::Server::Server" },
		{ "_ZN4grpc6ServerD0Ev", "grpc::Server::~Server" },
		{ "_ZNK5torch8autograd6Engine4waitEv", "torch::autograd::Engine::wait" },
		{ "_ZNSt6thread11_State_implINS_8_InvokerISt5tupleIJZ4mainEEEEE6_M_runEv",
		  "std::thread::_State_impl::_M_run" },
		{ "_ZN12_GLOBAL__N_14workEi", "(anonymous)::work" },
		{ "_Z4workv", "work" },
		{ "_ZN4core3ops8function6FnOnce9call_once17h0123456789abcdefE",
		  "core::ops::function::FnOnce::call_once" },
		{ "PyThread_acquire_lock_timed", "PyThread_acquire_lock_timed" },
		{ "_Z", "_Z" },
		{ "_ZN", "_ZN" },
		{ "_ZN9", "_ZN9" },
		{ "_ZN99999999999999999999xE", "_ZN99999999999999999999xE" },
		{ "_ZN4workILi5EE3runEv", "_ZN4workILi5EE3runEv" },
		{ "_ZNE", "_ZNE" },
		{ "_ZN1aI", "_ZN1aI" },
		{ "_ZTI4work", "_ZTI4work" },
		{ "_ZN1aC", "_ZN1aC" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vz_grow g = { 0 };

		vz_show_symbol(&g, cases[i].symbol, 80);
		cr_expect_str_eq(vz_grow_text(&g), cases[i].name, "%s: %s", cases[i].symbol,
				 vz_grow_text(&g));
		vz_grow_free(&g);
	}
}

Test(show, functions_that_call_each_other)
{
	struct vz_snapshot *s = snap_new(1);
	struct vz_snap_frame frames[302];
	char *text;

	for (size_t i = 0; i < 302; i++)
		frames[i] = (struct vz_snap_frame){ .function = i % 3 ? "odd" : "even",
						    .file = "/srv/x.py",
						    .line = 5 + (uint32_t)i % 3 };
	s->threads[0].frames = frames;
	s->threads[0].nframes = 302;
	text = text_of(s, plain);
	has(text, "... these 3 frames 99 more times");
	cr_expect_eq(count_of(text, "/srv/x.py:"), 5);
	free(text);
	vz_arena_free(s->arena);
}

/* Every text of the target is this one. */
static const char hostile[] =
	"\033[31m\a\r\nx\t\x7f\xc2\x9b\xff\xe2\x80\xae \"\\ \xe4\xb8\xad\xe6\x96"
	"\x87\xf0\x9f\x92\xa9\xed\xa0\x80\xc0\xaf\xf8";

static struct vz_snapshot *all_hostile(const char *text)
{
	struct vz_snapshot *s = snap_full();
	struct vz_snap_local *local = vz_arena_alloc(s->arena, 1, sizeof(*local));
	struct vz_snap_frame *f = vz_arena_alloc(s->arena, 2, sizeof(*f));
	struct vz_snap_thread *t = s->threads;

	*local = (struct vz_snap_local){ text, text };
	f[0] = (struct vz_snap_frame){
		VZ_FRAME_PYTHON, text, text, 7, 1, 0, false, local, 1, true
	};
	f[1] = (struct vz_snap_frame){
		VZ_FRAME_NATIVE, text, text, 0, 1, 2, false, NULL, 0, false
	};
	for (size_t i = 0; i < s->nthreads; i++) {
		t[i].name = t[i].comm = t[i].idle_why = t[i].stack_note = text;
		t[i].wait.call = t[i].wait.object = t[i].wait.peer = text;
		t[i].wait.socket_state = t[i].wait.kernel = text;
		t[i].frames = f;
		t[i].nframes = 2;
	}
	t[1].idle = false;
	s->locks[0].name = s->locks[0].kind = s->locks[0].note = text;
	s->loops[0].kind = text;
	for (size_t i = 0; i < s->ntasks; i++) {
		s->tasks[i].name = s->tasks[i].coroutine = s->tasks[i].awaits = text;
		s->tasks[i].frames = f;
		s->tasks[i].nframes = 2;
	}
	s->notes[0] = s->verdict.sentence = s->verdict.advice = s->verdict.evidence[0] = text;
	s->comm = s->exe = s->python = s->source = text;
	return s;
}

Test(show, no_byte_of_the_target_steers_the_terminal)
{
	static char long_name[5000];

	for (size_t i = 0; i + sizeof(hostile) < sizeof(long_name); i += sizeof(hostile) - 1)
		memcpy(long_name + i, hostile, sizeof(hostile));
	for (unsigned width = 40; width <= 200; width += 7) {
		for (int i = 0; i < 2; i++) {
			struct vz_snapshot *s = all_hostile(i ? long_name : hostile);
			char *text = text_of(s, (struct vz_show){ width, false, i, i });

			fits(text, width);
			has(text, "\\x1b[31m\\x07");
			free(text);
			vz_arena_free(s->arena);
		}
	}
}

Test(show, everything_fits_its_width)
{
	for (unsigned width = 40; width <= 200; width++) {
		struct vz_snapshot *s = deadlock();
		char *text = text_of(s, (struct vz_show){ .width = width });

		fits(text, width);
		has(text, "bank.py:44");
		free(text);
		vz_arena_free(s->arena);
	}
}

/* ---- tasks ---- */

Test(show, tasks_are_a_tree)
{
	struct vz_snapshot *s = snap_new(1);
	char *text;
	int main_task, gather;

	s->loops[s->nloops++] =
		(struct vz_snap_loop){ 1, "asyncio.unix_events._UnixSelectorEventLoop", 0, -1,
				       true };
	main_task = snap_task(s, "Task-1", "main", "Task-2", -1);
	gather = snap_task(s, "Task-2", "load", "2 tasks", main_task);
	snap_task(s, "Task-3", "fetch", "socket", gather);
	snap_task(s, "Task-4", "parse", "asyncio.Lock held by Task-3", gather);
	s->tasks[3].awaits_inferred = true;
	text = text_of(s, plain);
	has(text,
	    "  asyncio.unix_events._UnixSelectorEventLoop of python3 (100), waits for events\n"
	    "    Task-1, main: awaits Task-2\n"
	    "      Task-2, load: awaits 2 tasks\n"
	    "        Task-3, fetch: awaits socket\n"
	    "        Task-4, parse: awaits asyncio.Lock held by Task-3 (inferred)\n");
	free(text);
	vz_arena_free(s->arena);
}

Test(show, a_circle_below_a_task)
{
	struct vz_snapshot *s = snap_new(1);
	char *text;

	snap_task(s, "Task-1", "main", "gather: 2 of 2", -1);
	snap_task(s, "a", "wait", "b", 0);
	snap_task(s, "b", "wait", "a", 1);
	s->tasks[1].awaits_task = 2;
	s->tasks[2].awaits_task = 1;
	text = text_of(s, plain);
	has(text, "      a, wait: awaits b\n"
		  "        b, wait: awaits a, which is above: a circle\n");
	free(text);
	vz_arena_free(s->arena);
}

Test(show, tasks_in_circles_and_with_wild_links)
{
	struct vz_snapshot *s = snap_new(1);
	char *text;

	s->loops[s->nloops++] = (struct vz_snap_loop){ 1, "loop", 99, 77, false };
	snap_task(s, "A", "a", "B", 1);
	snap_task(s, "B", "b", "C", 2);
	snap_task(s, "C", "c", "A", 0);
	snap_task(s, "below", "d", "A", 1); /* hangs on the circle */
	snap_task(s, "self", "e", "self", 4);
	snap_task(s, "wild", "f", "?", 1 << 30);
	s->tasks[5].loop = -7;
	s->tasks[5].thread = 1 << 30;
	s->tasks[5].awaits_task = -9;
	text = text_of(s, plain);
	has(text, "(in a circle)");
	for (size_t i = 0; i < s->ntasks; i++) {
		char want[32];

		snprintf(want, sizeof(want), " %s, %c: awaits", s->tasks[i].name, "abcdef"[i]);
		cr_expect_eq(count_of(text, want), 1, "%s\n%s", want, text);
	}
	has(text, "an unknown thread");
	free(text);
	vz_arena_free(s->arena);
}

Test(show, ten_thousand_tasks)
{
	struct vz_snapshot *s = snap_new(1);
	struct vz_snap_loop loop = { 1, "loop", 0, -1, true };
	char *text;

	s->loops[s->nloops++] = loop;
	for (int i = 0; i < 5000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "Task-%d", i);
		snap_task(s, name, "worker", "Queue.get", -1);
	}
	for (int i = 0; i < 5000; i++) /* a chain */
		snap_task(s, "link", "link", "Task", i ? (int)s->ntasks - 1 : -1);
	s->tasks_left_out = 3;
	text = text_of(s, plain);
	has(text, "5000 tasks, Task-0 ... Task-4999, worker: awaits Queue.get");
	has(text, "... 4944 more tasks (--all shows them)");
	fits(text, 100);
	free(text);
	text = text_of(s, (struct vz_show){ .width = 60, .all = true });
	cr_expect_eq(count_of(text, "Queue.get"), 5000);
	cr_expect_eq(count_of(text, "link, link"), 5000);
	fits(text, 60);
	free(text);
	vz_arena_free(s->arena);
}

/* ---- what changed ---- */

static char *changes(const struct vz_snapshot *a, const struct vz_snapshot *b)
{
	size_t len = 0;
	char *text = vz_snapshot_changes(a, b, &plain, &len);

	cr_assert(text);
	cr_assert_eq(len, strlen(text));
	fits(text, plain.width);
	return text;
}

Test(show, nothing_changed)
{
	struct vz_snapshot *a = deadlock(), *b = deadlock(), *f = snap_full(), *g = snap_full();
	char *text;

	b->unix_ns += 5000000000;
	for (size_t i = 0; i < b->nthreads; i++)
		b->threads[i].asleep_ns += 5000000000;
	a->verdict.sentence = "they wait for 4 min";
	b->verdict.sentence = "they wait for 12.5 min";
	text = changes(a, b);
	cr_expect_str_empty(text, "%s", text);
	free(text);
	text = changes(f, g);
	cr_expect_str_empty(text, "%s", text);
	free(text);
	vz_arena_free(a->arena);
	vz_arena_free(b->arena);
	vz_arena_free(f->arena);
	vz_arena_free(g->arena);
}

Test(show, what_is_new_gone_and_moved)
{
	struct vz_snapshot *a = deadlock(), *b = deadlock();
	char *text;

	b->unix_ns += 5000000000;
	b->threads[0].tid = 99;
	snap_thread(b, 2, "worker-b", "log /srv/app/log.py 9", "transfer /srv/app/bank.py 44",
		    NULL);
	b->locks[1].owner = 2;
	b->locks[0].raddr = 0x4711;
	b->verdict.kind = VZ_VERDICT_LOCK;
	b->notes[b->nnotes++] = "what is new";
	snap_task(a, "Task-1", "main", "socket", -1);
	snap_task(b, "Task-1", "main", "Queue.get", -1);
	snap_task(b, "Task-2", "main", "socket", -1);
	text = changes(a, b);
	has(text, " UTC, 5.0 s later:");
	has(text, "\nLOCK: ");
	has(text, "  + MainThread (99): ");
	has(text, "  - MainThread (100) has ended");
	has(text, "  * worker-b (102): waits for lock_a");
	has(text, "/srv/app/log.py:9  log\n      ... 1 outer frames as before");
	has(text, "  + lock lock_b (threading.Lock): held by");
	has(text, "  - lock lock_b (threading.Lock): nobody waits for it any more");
	has(text, "  * lock lock_a (threading.Lock): held by worker-b (102), inferred");
	has(text, "  * task Task-1, main: awaits Queue.get");
	has(text, "  + task Task-2, main: awaits socket");
	has(text, "  + could not be read: what is new");
	free(text);
	vz_arena_free(a->arena);
	vz_arena_free(b->arena);
}

/* ---- JSON, read by a strict reader that keeps the names of keys with their places ---- */

enum { PATHS = 400, LEVELS = 16 };

struct reader {
	const char *at;
	char path[256];
	char paths[PATHS][128];
	size_t npaths;
};

static void take(struct reader *r, char c)
{
	cr_assert_eq(*r->at, c, "'%c' expected at: %.40s", c, r->at);
	r->at++;
}

static void read_string(struct reader *r, char *ret, size_t size)
{
	size_t n = 0;

	take(r, '"');
	while (*r->at != '"') {
		uint32_t number;
		size_t len = vz_utf8_char(r->at, &number);

		cr_assert(len && (unsigned char)*r->at >= ' ', "%.40s", r->at);
		if (*r->at == '\\') {
			cr_assert(strchr("\"\\u", r->at[1]), "%.8s", r->at);
			len = r->at[1] == 'u' ? 6 : 2;
			for (size_t i = 2; i < len; i++)
				cr_assert(isxdigit((unsigned char)r->at[i]));
		}
		for (size_t i = 0; i < len; i++) {
			if (n + 1 < size)
				ret[n++] = r->at[i];
		}
		r->at += len;
	}
	ret[n] = '\0';
	take(r, '"');
}

static void read_number(struct reader *r)
{
	char *end;
	double value = strtod(r->at, &end);

	cr_assert(end > r->at && value < 9007199254740993.0, "%.40s", r->at);
	cr_assert(isdigit((unsigned char)*r->at));
	r->at = end;
}

static void remember(struct reader *r)
{
	for (size_t i = 0; i < r->npaths; i++) {
		if (!strcmp(r->paths[i], r->path))
			return;
	}
	cr_assert_lt(r->npaths, PATHS);
	snprintf(r->paths[r->npaths++], sizeof(r->paths[0]), "%.127s", r->path);
}

static void read_value(struct reader *r, int level);

static void read_object(struct reader *r, int level)
{
	size_t end = strlen(r->path);

	for (take(r, '{'); *r->at != '}'; r->at += *r->at == ',' && r->at[1] == '"') {
		char name[64];

		read_string(r, name, sizeof(name));
		take(r, ':');
		snprintf(r->path + end, sizeof(r->path) - end, "%s%s", end ? "." : "", name);
		remember(r);
		read_value(r, level + 1);
		r->path[end] = '\0';
	}
	take(r, '}');
}

static void read_array(struct reader *r, int level)
{
	size_t end = strlen(r->path);

	snprintf(r->path + end, sizeof(r->path) - end, "[]");
	for (take(r, '['); *r->at != ']'; r->at += *r->at == ',' && r->at[1] != ']')
		read_value(r, level + 1);
	take(r, ']');
	r->path[end] = '\0';
}

static void read_value(struct reader *r, int level)
{
	static const char *const words[] = { "true", "false", "null" };
	char text[64];

	cr_assert_lt(level, LEVELS);
	for (int i = 0; i < 3; i++) {
		if (vz_starts_with(r->at, words[i])) {
			r->at += strlen(words[i]);
			return;
		}
	}
	if (*r->at == '{')
		read_object(r, level);
	else if (*r->at == '[')
		read_array(r, level);
	else if (*r->at == '"')
		read_string(r, text, sizeof(text));
	else
		read_number(r);
}

static char *json_of(const struct vz_snapshot *s, struct reader *r)
{
	size_t len = 0;
	char *text = vz_snapshot_json(s, &len);

	cr_assert(text);
	cr_assert_eq(len, strlen(text));
	memset(r, 0, sizeof(*r));
	r->at = text;
	read_value(r, 0);
	cr_assert_str_eq(r->at, "\n");
	return text;
}

Test(show, json_of_everything)
{
	static struct reader r;
	struct vz_snapshot *s = snap_full();
	char *text = json_of(s, &r);

	has(text, "{\"schema\":1,\"version\":\"" VZ_VERSION "\",\"pid\":100,");
	has(text, "\"unix_ns\":\"1767261600000000000\"");
	has(text, "\"time\":\"2026-01-01T10:00:00Z\"");
	has(text, "\"cpu_ns\":\"18446744073709551615\"");
	has(text,
	    "\"verdict\":{\"kind\":\"deadlock\",\"sentence\":\"worker-a and worker-b wait for "
	    "each other\",");
	has(text, "\"threads\":[100,101]}");
	has(text, "{\"kind\":\"python\",\"function\":\"transfer\",\"file\":\"/srv/app/bank.py\","
		  "\"line\":44,\"object\":null,\"offset\":null,\"raddr\":\"0x7f002\",");
	has(text, "\"locals\":[{\"name\":\"order\",\"value\":\"<app.Order at 0x7f5500002000>\"},");
	has(text, "\"lock\":0,\"joins\":101,");
	has(text, "\"owned\":\"inferred\",\"owner\":101,");
	has(text, "\"gil\":{\"locked\":true,\"holder\":100,\"held_ns\":2000000000}");
	free(text);
	vz_arena_free(s->arena);
}

Test(show, json_of_hostile_and_of_empty_things)
{
	static struct reader r;
	struct vz_snapshot *s = all_hostile(hostile);
	char *text = json_of(s, &r);

	has(text, "\\u001b[31m\\u0007\\u000d\\u000ax\\u0009\\u007f\\u009b\\ufffd\\u202e \\\"\\\\ ");
	has_not(text, "\033");
	free(text);
	vz_arena_free(s->arena);
	s = snap_new(0);
	s->pid = 0;
	text = json_of(s, &r);
	has(text, "\"pid\":null,");
	has(text, "\"threads\":[],");
	free(text);
	vz_arena_free(s->arena);
}

/* Rows "| `field` | ..." below "### `place`": as paths. */
static size_t documented(char (*ret)[128], size_t max)
{
	char path[4096], place[64] = "", line[1024];
	size_t count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/docs/snapshot-schema.md", getenv("VZ_SOURCE_DIR"));
	file = fopen(path, "re");
	cr_assert(file, "%s", path);
	while (fgets(line, sizeof(line), file)) {
		char word[64];

		if (sscanf(line, "## `%63[^`]`", word) == 1)
			strcpy(place, strcmp(word, "{}") ? word : "");
		else if (sscanf(line, "| `%63[^`]` |", word) == 1 && count < max)
			snprintf(ret[count++], sizeof(*ret), "%.60s%s%.60s", place,
				 *place ? "." : "", word);
	}
	fclose(file);
	return count;
}

static bool among(const char *path, char (*paths)[128], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(paths[i], path))
			return true;
	}
	return false;
}

Test(show, the_schema_is_what_is_printed)
{
	static char paths[PATHS][128];
	static struct reader r;
	struct vz_snapshot *s = snap_full();
	size_t count = documented(paths, PATHS);

	s->loops[0].running = 0;
	free(json_of(s, &r));
	for (size_t i = 0; i < r.npaths; i++)
		cr_expect(among(r.paths[i], paths, count), "%s is not documented", r.paths[i]);
	for (size_t i = 0; i < count; i++)
		cr_expect(among(paths[i], r.paths, r.npaths), "%s is not printed", paths[i]);
	vz_arena_free(s->arena);
}
