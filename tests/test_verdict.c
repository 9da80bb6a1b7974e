/* SPDX-License-Identifier: MIT */
/*
 * test_verdict.c - what is said of a snapshot, and above all when nothing is said: each
 * rule has a case that it must speak on, and its neighbour that it must not.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "attach/snapshot/rooms.h"

enum { MS = 1000000 };
#define SEC UINT64_C(1000000000)

/* A process with N threads that sleep in futex, without a limit, for an hour. */
static struct vz_snapshot *build(size_t n)
{
	struct vz_arena *arena = vz_arena_new(1 << 20);
	struct vz_snapshot *s = vz_arena_alloc(arena, 1, sizeof(*s));
	static const struct vz_snap_frame frame = {
		.kind = VZ_FRAME_PYTHON, .function = "work", .file = "/srv/app.py", .line = 12
	};

	s->arena = arena;
	s->pid = 100;
	s->process.state = 'S';
	s->process.gil_holder = -1;
	s->process.gil_known = true;
	s->threads = vz_arena_alloc(arena, n, sizeof(*s->threads));
	s->locks = vz_arena_alloc(arena, 8, sizeof(*s->locks));
	s->tasks = vz_arena_alloc(arena, 8, sizeof(*s->tasks));
	s->loops = vz_arena_alloc(arena, 2, sizeof(*s->loops));
	s->nthreads = n;
	for (size_t i = 0; i < n; i++) {
		struct vz_snap_thread *t = &s->threads[i];

		t->tid = 100 + (pid_t)i;
		t->main = i == 0;
		t->name = i ? vz_arena_format(arena, "T%zu", i) : "MainThread";
		t->comm = t->idle_why = t->stack_note = "";
		t->tstate = 0x1000 + i;
		t->lock = t->joins = -1;
		t->common = 1;
		t->asleep_ns = 3600 * SEC;
		t->wait = (struct vz_wait){ .kind = VZ_WAIT_FUTEX,
					    .nr = 202,
					    .call = "futex",
					    .object = "",
					    .peer = "",
					    .socket_state = "",
					    .kernel = "",
					    .fd = -1,
					    .timeout_ns = -1 };
		t->order_known = true;
		t->frames = &frame;
		t->nframes = 1;
		t->nlooks = VZ_LOOKS;
		for (size_t k = 0; k < VZ_LOOKS; k++)
			t->looks[k] = (struct vz_look){ .at_ns = SEC + k * 50 * MS,
							.state = 'S',
							.py_depth = 1 };
	}
	return s;
}

static void lock(struct vz_snapshot *s, int thread, enum vz_owner owned, int owner)
{
	s->locks[s->nlocks] =
		(struct vz_snap_lock){ .kind = "threading.Lock",
				       .name = vz_arena_format(s->arena, "lock_%zu", s->nlocks),
				       .owned = owned,
				       .owner = owner,
				       .note = "",
				       .private_to_process = true };
	s->threads[thread].lock = (int)s->nlocks++;
}

/* It runs all the time instead. */
static void run(struct vz_snap_thread *t)
{
	for (size_t k = 0; k < VZ_LOOKS; k++) {
		t->looks[k].state = 'R';
		t->looks[k].cpu_ns = k * 49 * MS;
	}
	t->wait.kind = VZ_WAIT_NONE;
	t->wait.nr = -1;
	t->wait.call = "";
	t->asleep_ns = 0;
}

static void wake(struct vz_snap_thread *t)
{
	t->looks[VZ_LOOKS - 1].switches = 1;
}

static void must(struct vz_snapshot *s, enum vz_verdict_kind kind, const char *words)
{
	char copy[256], *save = NULL;

	vz_verdict_find(s);
	cr_assert_eq(s->verdict.kind, kind, "%s: %s", vz_verdict_name(s->verdict.kind),
		     s->verdict.sentence);
	snprintf(copy, sizeof(copy), "%s", words);
	for (char *word = strtok_r(copy, "|", &save); word; word = strtok_r(NULL, "|", &save))
		cr_assert(strstr(s->verdict.sentence, word), "no '%s' in: %s", word,
			  s->verdict.sentence);
	vz_arena_free(s->arena);
}

/* ---- circles ---- */

static struct vz_snapshot *circle(size_t n, enum vz_owner owned)
{
	struct vz_snapshot *s = build(n);

	for (size_t i = 0; i < n; i++)
		lock(s, (int)i, owned, (int)((i + 1) % n));
	return s;
}

Test(verdict, two_wait_for_each_other)
{
	must(circle(2, VZ_OWNER_RECORDED), VZ_VERDICT_DEADLOCK,
	     "deadlock|MainThread (100)|T1 (101)|lock_0|lock_1");
}

Test(verdict, a_circle_may_be_long_and_inferred)
{
	must(circle(3, VZ_OWNER_INFERRED), VZ_VERDICT_DEADLOCK, "MainThread|T1|T2");
	must(circle(7, VZ_OWNER_RECORDED), VZ_VERDICT_DEADLOCK, "round 7 threads");
}

Test(verdict, a_thread_can_wait_for_itself)
{
	struct vz_snapshot *s = build(2);

	lock(s, 1, VZ_OWNER_INFERRED, 1);
	s->threads[0].joins = 1;
	must(s, VZ_VERDICT_DEADLOCK, "T1 (101)|held by itself");
}

Test(verdict, a_lock_and_the_gil_make_a_circle)
{
	struct vz_snapshot *s = build(2);

	lock(s, 0, VZ_OWNER_RECORDED, 1);
	s->threads[1].waits_gil = true;
	s->process.gil_locked = true;
	s->process.gil_holder = 0;
	s->threads[0].holds_gil = true;
	must(s, VZ_VERDICT_DEADLOCK, "lock_0|GIL");
}

Test(verdict, no_circle_if_one_wait_has_a_limit_or_moves_or_has_no_known_owner)
{
	struct vz_snapshot *s = circle(2, VZ_OWNER_RECORDED);

	s->threads[1].wait.timeout_ns = 5 * (int64_t)SEC;
	vz_verdict_find(s);
	cr_assert_neq(s->verdict.kind, VZ_VERDICT_DEADLOCK);
	s->threads[1].wait.timeout_ns = -2;
	vz_verdict_find(s);
	cr_assert_neq(s->verdict.kind, VZ_VERDICT_DEADLOCK, "its limit is not known");
	s->threads[1].wait.timeout_ns = -1;
	wake(&s->threads[1]);
	vz_verdict_find(s);
	cr_assert_neq(s->verdict.kind, VZ_VERDICT_DEADLOCK, "it ran");
	s->threads[1].looks[VZ_LOOKS - 1].switches = 0;
	s->locks[1].owned = VZ_OWNER_UNKNOWN;
	vz_verdict_find(s);
	cr_assert_neq(s->verdict.kind, VZ_VERDICT_DEADLOCK, "nobody knows who has it");
	vz_arena_free(s->arena);
}

Test(verdict, tasks_can_wait_for_each_other)
{
	struct vz_snapshot *s = build(1);

	s->ntasks = 2;
	for (int i = 0; i < 2; i++)
		s->tasks[i] = (struct vz_snap_task){ .name = i ? "Task-2" : "Task-1",
						     .coroutine = "work",
						     .awaits = i ? "Task-1" : "Task-2",
						     .state = VZ_TASK_WAITING,
						     .awaits_task = 1 - i,
						     .parent = -1 };
	s->threads[0].idle = true;
	must(s, VZ_VERDICT_DEADLOCK, "asyncio|Task-1 awaits Task-2, which awaits Task-1");
}

Test(verdict, orphans_are_told_only_if_proven)
{
	struct vz_snapshot *s = build(1);

	lock(s, 0, VZ_OWNER_ORPHANED, -1);
	must(s, VZ_VERDICT_ORPHANED_LOCK, "orphaned by fork|lock_0");
	s = build(1);
	lock(s, 0, VZ_OWNER_UNKNOWN, -1);
	must(s, VZ_VERDICT_LOCK, "lock_0|not recorded");
}

/* ---- the GIL ---- */

static void hold(struct vz_snapshot *s, int holder)
{
	s->process.gil_locked = true;
	s->process.gil_holder = holder;
	s->threads[holder].holds_gil = true;
	for (size_t k = 0; k < VZ_LOOKS; k++)
		s->threads[holder].looks[k].holds_gil = true;
}

static const struct vz_snap_frame in_native[] = {
	{ .kind = VZ_FRAME_NATIVE, .function = "nanosleep", .file = "/lib/libc.so.6" },
	{ .kind = VZ_FRAME_NATIVE, .function = "hold_it", .file = "/srv/libhold.so" },
	{ .kind = VZ_FRAME_NATIVE, .function = "ffi_call", .file = "/lib/libffi.so.8" },
	{ .kind = VZ_FRAME_NATIVE, .function = "PyObject_Call", .file = "py", .interpreter = true },
	{ .kind = VZ_FRAME_PYTHON, .function = "work", .file = "/srv/app.py", .line = 12 },
};

Test(verdict, who_sleeps_with_the_gil_is_named)
{
	struct vz_snapshot *s = build(2);

	hold(s, 1);
	s->threads[1].frames = in_native;
	s->threads[1].nframes = 5;
	s->threads[1].wait.kind = VZ_WAIT_SLEEP;
	s->threads[1].wait.call = "clock_nanosleep";
	s->threads[0].waits_gil = true;
	must(s, VZ_VERDICT_GIL_HELD,
	     "T1 (101)|hold_it (libhold.so)|clock_nanosleep|work (app.py:12)");
}

Test(verdict, native_code_that_runs_with_the_gil_counts_if_others_wait)
{
	struct vz_snapshot *s = build(2);

	hold(s, 1);
	s->threads[1].frames = in_native;
	s->threads[1].nframes = 5;
	run(&s->threads[1]);
	s->threads[0].waits_gil = true;
	must(s, VZ_VERDICT_GIL_HELD, "hold_it");
	s = build(1);
	hold(s, 0);
	s->threads[0].frames = in_native;
	s->threads[0].nframes = 5;
	run(&s->threads[0]);
	must(s, VZ_VERDICT_BUSY, "native code|hold_it");
}

Test(verdict, a_gil_that_changes_hands_is_not_held)
{
	struct vz_snapshot *s = build(2);

	hold(s, 1);
	run(&s->threads[1]);
	s->threads[0].waits_gil = true;
	s->process.gil_turns[2] = 7;
	must(s, VZ_VERDICT_BUSY, "T1 (101)|work (app.py:12)");
}

Test(verdict, the_garbage_collector)
{
	struct vz_snapshot *s = build(1);

	run(&s->threads[0]);
	for (size_t k = 0; k < VZ_LOOKS; k++)
		s->threads[0].looks[k].collecting = true;
	must(s, VZ_VERDICT_COLLECTING, "MainThread|3 of 3");
}

/* ---- running ---- */

Test(verdict, busy_means_the_same_frames)
{
	struct vz_snapshot *s = build(1);

	run(&s->threads[0]);
	must(s, VZ_VERDICT_BUSY, "MainThread (100)|work (app.py:12)");
	s = build(1);
	run(&s->threads[0]);
	s->threads[0].looks[1].py_depth = 9; /* far deeper in between: it gets on */
	must(s, VZ_VERDICT_UNKNOWN, "unknown");
}

Test(verdict, threads_that_share_a_cpu_are_busy_together)
{
	struct vz_snapshot *s = build(3);

	for (int i = 0; i < 3; i++) {
		run(&s->threads[i]);
		for (size_t k = 0; k < VZ_LOOKS; k++)
			s->threads[i].looks[k].cpu_ns = k * (16 + (unsigned)i) * MS;
		s->threads[i].looks[1].state = 'S'; /* not its turn */
	}
	must(s, VZ_VERDICT_BUSY, "3 threads|T2 (102)");
}

Test(verdict, a_loop_that_sleeps_or_computes_in_a_task_is_blocked)
{
	for (int computes = 0; computes < 2; computes++) {
		struct vz_snapshot *s = build(1);

		s->nloops = s->ntasks = 1;
		s->tasks[0] = (struct vz_snap_task){ .name = "Task-1",
						     .coroutine = "main",
						     .awaits = "",
						     .awaits_task = -1,
						     .parent = -1,
						     .state = VZ_TASK_RUNNING };
		s->threads[0].wait.kind = VZ_WAIT_SLEEP;
		s->threads[0].wait.call = "clock_nanosleep";
		if (computes)
			run(&s->threads[0]);
		must(s, VZ_VERDICT_LOOP_BLOCKED,
		     computes ? "Task-1|work|without a break" : "Task-1|clock_nanosleep");
	}
}

Test(verdict, a_loop_that_selects_is_idle)
{
	struct vz_snapshot *s = build(1);

	s->nloops = 1;
	s->loops[0] = (struct vz_snap_loop){ .running = -1, .selecting = true };
	s->threads[0].idle = true;
	s->threads[0].idle_why = "selector waits for events";
	must(s, VZ_VERDICT_IDLE, "idle");
}

/* ---- peers, children, files ---- */

static void receive(struct vz_snap_thread *t)
{
	t->wait = (struct vz_wait){ .kind = VZ_WAIT_SOCKET,
				    .nr = 45,
				    .call = "recvfrom",
				    .direction = VZ_DIR_IN,
				    .fd = 3,
				    .object = "tcp 127.0.0.1:4000 -> 127.0.0.1:5432, established",
				    .peer = "127.0.0.1:5432",
				    .socket_state = "ESTABLISHED",
				    .kernel = "",
				    .timeout_ns = -1 };
}

Test(verdict, a_silent_peer_is_named)
{
	struct vz_snapshot *s = build(1);

	receive(&s->threads[0]);
	must(s, VZ_VERDICT_PEER, "127.0.0.1:5432|recvfrom|work (app.py:12)");
}

Test(verdict, the_end_of_a_chain_is_the_cause)
{
	struct vz_snapshot *s = build(3);

	lock(s, 0, VZ_OWNER_RECORDED, 1);
	s->threads[1].joins = 2;
	receive(&s->threads[2]);
	must(s, VZ_VERDICT_PEER,
	     "T2 (102)|127.0.0.1:5432|MainThread (100) waits for threading.Lock");
}

Test(verdict, one_short_request_of_an_idle_server_is_no_hang)
{
	struct vz_snapshot *s = build(2);

	s->threads[0].idle = true;
	receive(&s->threads[1]);
	s->threads[1].asleep_ns = 3 * MS;
	must(s, VZ_VERDICT_UNKNOWN, "unknown");
	s = build(2);
	s->threads[0].idle = true;
	receive(&s->threads[1]);
	must(s, VZ_VERDICT_PEER, "127.0.0.1:5432");
}

Test(verdict, a_child)
{
	struct vz_snapshot *s = build(1);

	s->threads[0].wait.kind = VZ_WAIT_CHILD;
	s->threads[0].wait.call = "wait4";
	s->threads[0].wait.peer_pid = 4711;
	must(s, VZ_VERDICT_CHILD, "child process 4711");
}

Test(verdict, a_holder_that_does_something_else)
{
	struct vz_snapshot *s = build(2);

	lock(s, 0, VZ_OWNER_RECORDED, 1);
	run(&s->threads[1]);
	s->threads[1].looks[1].py_depth = 9;
	must(s, VZ_VERDICT_LOCK, "MainThread (100) waits for|T1 (101)|runs");
}

/* ---- the machine ---- */

Test(verdict, stopped_comes_before_all_else)
{
	struct vz_snapshot *s = circle(2, VZ_OWNER_RECORDED);

	s->process.stopped = true;
	s->process.state = 'T';
	must(s, VZ_VERDICT_STOPPED, "SIGSTOP");
}

Test(verdict, state_d_at_every_look)
{
	struct vz_snapshot *s = build(1);

	for (size_t k = 0; k < VZ_LOOKS; k++)
		s->threads[0].looks[k].state = 'D';
	s->threads[0].wait.kind = VZ_WAIT_FILE;
	s->threads[0].wait.call = "read";
	s->threads[0].wait.object = "/mnt/x (nfs)";
	must(s, VZ_VERDICT_DISK, "state D|read|/mnt/x (nfs)");
}

Test(verdict, throttled_most_of_the_time)
{
	struct vz_snapshot *s = build(1);

	run(&s->threads[0]);
	s->process.throttle_known = true;
	s->process.throttled_ns = 60 * MS;
	must(s, VZ_VERDICT_THROTTLED, "quota");
}

Test(verdict, swapped_only_if_it_reads_pages_back)
{
	struct vz_snapshot *s = build(1);

	s->process.swap_bytes = 1 << 30;
	s->threads[0].idle = true;
	must(s, VZ_VERDICT_IDLE, "");
	s = build(1);
	s->process.swap_bytes = 1 << 30;
	s->threads[0].looks[2].majflt = 500;
	must(s, VZ_VERDICT_SWAPPED, "500 pages|1024 MiB");
}

Test(verdict, nothing_known_is_unknown)
{
	struct vz_snapshot *s = build(1);

	must(s, VZ_VERDICT_UNKNOWN, "unknown");
	s = build(0);
	must(s, VZ_VERDICT_UNKNOWN, "unknown");
}

Test(verdict, sleepers_and_waiters_for_work_are_idle)
{
	struct vz_snapshot *s = build(3);

	s->threads[0].wait.kind = VZ_WAIT_SLEEP;
	s->threads[1].idle = s->threads[2].idle = true;
	must(s, VZ_VERDICT_IDLE, "idle: MainThread (100) sleeps at work|2 of 3");
}
