/* SPDX-License-Identifier: MIT */
#include "tests/kit_snapshot.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 12000, FRAMES = 16 };

static const struct vz_wait asleep = { .kind = VZ_WAIT_FUTEX,
				       .nr = 202,
				       .call = "futex",
				       .fd = -1,
				       .object = "",
				       .peer = "",
				       .socket_state = "",
				       .timeout_ns = -1,
				       .kernel = "futex_wait_queue" };

static void blank_thread(struct vz_snap_thread *t, pid_t tid)
{
	*t = (struct vz_snap_thread){ .tid = tid,
				      .ns_tid = tid,
				      .name = "",
				      .comm = "python3",
				      .ident = 0x7f0000000000u + (uint64_t)tid * 4096,
				      .tstate = 0x5500000000u + (uint64_t)tid * 512,
				      .idle_why = "",
				      .wait = asleep,
				      .asleep_ns = UINT64_C(250000000000),
				      .nlooks = 2,
				      .copied = VZ_COPIED_ASLEEP,
				      .stack_note = "",
				      .native_whole = true,
				      .order_known = true,
				      .lock = -1,
				      .joins = -1 };
	for (size_t i = 0; i < t->nlooks; i++)
		t->looks[i] = (struct vz_look){ .at_ns = 1000000000 + i * 30000000, .state = 'S' };
}

struct vz_snapshot *snap_new(size_t threads)
{
	struct vz_arena *arena = vz_arena_new(64 << 20);
	struct vz_snapshot *s = arena ? vz_arena_alloc(arena, 1, sizeof(*s)) : NULL;

	if (!s)
		abort();
	s->arena = arena;
	s->pid = 100;
	s->comm = "python3";
	s->exe = "/usr/bin/python3.11";
	s->python = "3.11.2";
	s->source = "";
	s->unix_ns = UINT64_C(1767261600000000000);
	s->took_ns = 61000000;
	s->process = (struct vz_snap_process){
		.state = 'S', .memory_pressure = -1, .gil_known = true, .gil_holder = -1
	};
	s->nthreads = threads;
	s->threads = vz_arena_alloc(arena, threads, sizeof(*s->threads));
	for (size_t i = 0; i < threads; i++)
		blank_thread(&s->threads[i], 100 + (pid_t)i);
	if (threads)
		s->threads[0].main = true;
	s->locks = vz_arena_alloc(arena, 64, sizeof(*s->locks));
	s->loops = vz_arena_alloc(arena, 4, sizeof(*s->loops));
	s->tasks = vz_arena_alloc(arena, MOST, sizeof(*s->tasks));
	s->verdict = (struct vz_verdict){ .kind = VZ_VERDICT_IDLE,
					  .sentence = "every thread waits for work",
					  .advice = "" };
	return s;
}

void snap_thread(struct vz_snapshot *s, size_t index, const char *name, ...)
{
	struct vz_snap_frame *frames = vz_arena_alloc(s->arena, FRAMES, sizeof(*frames));
	struct vz_snap_thread *t = &s->threads[index];
	const char *text;
	va_list args;

	t->name = vz_arena_text(s->arena, name);
	t->nframes = 0;
	va_start(args, name);
	while ((text = va_arg(args, const char *)) && t->nframes < FRAMES) {
		char function[256], file[512];
		unsigned line = 0;

		sscanf(text, "%255s %511s %u", function, file, &line);
		frames[t->nframes++] = (struct vz_snap_frame){
			.kind = line ? VZ_FRAME_PYTHON : VZ_FRAME_NATIVE,
			.function = vz_arena_text(s->arena, function),
			.file = vz_arena_text(s->arena, file),
			.line = line,
			.raddr = 0x1000,
			.offset = line ? 0 : 0x1b,
		};
	}
	va_end(args);
	t->frames = frames;
}

int snap_lock(struct vz_snapshot *s, const char *kind, const char *name, enum vz_owner owned,
	      int owner)
{
	s->locks[s->nlocks] = (struct vz_snap_lock){ .raddr = 0x7f5500001000 + s->nlocks * 64,
						     .kind = kind,
						     .name = name,
						     .owned = owned,
						     .owner = owner,
						     .note = "",
						     .private_to_process = true };
	return (int)s->nlocks++;
}

int snap_task(struct vz_snapshot *s, const char *name, const char *coroutine, const char *awaits,
	      int parent)
{
	if (s->ntasks == MOST)
		abort();
	s->tasks[s->ntasks] = (struct vz_snap_task){ .raddr = 0x7f6600000000 + s->ntasks * 256,
						     .name = vz_arena_text(s->arena, name),
						     .coroutine = coroutine,
						     .state = VZ_TASK_WAITING,
						     .awaits = awaits,
						     .awaits_task = -1,
						     .parent = parent };
	return (int)s->ntasks++;
}

void snap_deep(struct vz_snapshot *s, size_t index, size_t count, const char *function, bool grows)
{
	struct vz_snap_frame *frames = vz_arena_alloc(s->arena, count, sizeof(*frames));

	for (size_t i = 0; i < count; i++)
		frames[i] = (struct vz_snap_frame){ .kind = VZ_FRAME_PYTHON,
						    .function = function,
						    .file = "/srv/app/deep.py",
						    .line = grows ? 10 + (unsigned)i : 10 };
	s->threads[index].frames = frames;
	s->threads[index].nframes = count;
}

/* ---- all fields ---- */

static const struct vz_snap_local some_locals[] = {
	{ "order", "<app.Order at 0x7f5500002000>" },
	{ "password", "***" },
};

static struct vz_snap_frame some_frames[] = {
	{ VZ_FRAME_NATIVE, "__futex_abstimed_wait_common64", "/usr/lib/libc.so.6", 0, 0x7f001, 27,
	  false, NULL, 0, false },
	{ VZ_FRAME_PYTHON, "transfer", "/srv/app/bank.py", 44, 0x7f002, 0, false, some_locals, 2,
	  true },
	{ VZ_FRAME_SIGNAL, "", "", 0, 0x7f003, 0, false, NULL, 0, false },
	{ VZ_FRAME_NATIVE, "_PyEval_EvalFrameDefault", "/usr/bin/python3.11", 0, 0x7f004, 1271,
	  true, NULL, 0, false },
};

static void full_process(struct vz_snap_process *p)
{
	*p = (struct vz_snap_process){ .state = 'S',
				       .stopped = true,
				       .tracer = 7,
				       .forked = true,
				       .parent = 99,
				       .rss_bytes = 1 << 20,
				       .swap_bytes = 4096,
				       .throttled_ns = 5,
				       .throttled_periods = 1,
				       .periods = 3,
				       .throttle_known = true,
				       .memory_pressure = 1.5,
				       .children_zombie = 1,
				       .gil_known = true,
				       .gil_locked = true,
				       .gil_holder = 0,
				       .gil_held_ns = 2000000000 };
}

static void full_thread(struct vz_snap_thread *t)
{
	t->name = "worker-a";
	t->daemon_known = true;
	t->idle_why = "pool worker waits for work";
	t->idle = true;
	t->lock = 0;
	t->joins = 1;
	t->copied = VZ_COPIED_STOPPED;
	t->stopped_ns = 120000;
	t->cpu_ns = UINT64_MAX;
	t->stack_note = "the stack ends in generated code";
	t->frames = some_frames;
	t->nframes = sizeof(some_frames) / sizeof(some_frames[0]);
	t->wait.kind = VZ_WAIT_SOCKET;
	t->wait.call = "recvfrom";
	t->wait.direction = VZ_DIR_IN;
	t->wait.fd = 7;
	t->wait.object = "tcp 10.0.0.5:40112 -> 10.0.0.7:5432, established";
	t->wait.peer = "10.0.0.7:5432";
	t->wait.socket_state = "ESTABLISHED";
	t->wait.peer_pid = 4321;
	t->wait.futex = 0x7f5500001000;
	t->wait.timeout_ns = 30000000000;
	t->looks[0].pc = t->looks[0].py_frame = t->looks[0].py_code = 0x7f000;
}

struct vz_snapshot *snap_full(void)
{
	struct vz_snapshot *s = snap_new(2);

	full_process(&s->process);
	full_thread(&s->threads[0]);
	snap_thread(s, 1, "worker-b", "transfer /srv/app/bank.py 44", NULL);
	s->locks[snap_lock(s, "threading.Lock", "lock_b", VZ_OWNER_INFERRED, 1)].note = "a frame";
	s->source = "core.4242";
	snap_task(s, "Task-1", "main", "Task-2", -1);
	snap_task(s, "Task-2", "worker", "Queue.get", 0);
	s->tasks[0].awaits_task = 1;
	s->tasks[0].frames = some_frames + 1;
	s->tasks[0].nframes = 1;
	s->loops[s->nloops++] =
		(struct vz_snap_loop){ 0x7f7700, "asyncio.unix_events._UnixSelectorEventLoop", 0, 0,
				       true };
	vz_snapshot_note(s, "the layout of greenlets is not known");
	s->verdict.kind = VZ_VERDICT_DEADLOCK;
	s->verdict.sentence = "worker-a and worker-b wait for each other";
	s->verdict.advice = "take both locks in the same order";
	s->verdict.evidence[0] = "worker-a waits for lock_b";
	s->verdict.nevidence = 1;
	s->verdict.threads[1] = 1;
	s->verdict.nthreads = 2;
	return s;
}
