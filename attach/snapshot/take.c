/* SPDX-License-Identifier: MIT */
/* take.c - the order of things: open, look, copy, look again, tell. */
#include "attach/snapshot/take.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attach/snapshot/python/pagecache.h"
#include "attach/snapshot/take_priv.h"
#include "attach/util.h"

enum { ARENA_MAX = 512 << 20, PYTHREADS_MAX = 1 << 15, LATE_MAX = 8 };
#define LOOK_PAUSE_NS     UINT64_C(50000000)
#define THROTTLE_PAUSE_NS UINT64_C(150000000) /* periods of the scheduler's quota are 100 ms */

/* ---- threads ---- */

static int by_main_then_tid(const void *a, const void *b)
{
	const struct vz_snap_thread *x = a, *y = b;

	if (x->main != y->main)
		return x->main ? -1 : 1;
	return (x->tid > y->tid) - (x->tid < y->tid);
}

static void fill_thread(struct vz_taking *k, struct vz_snap_thread *t, pid_t tid, pid_t ns_tid,
			const char *comm)
{
	struct vz_snapshot *s = k->snapshot;

	t->tid = tid;
	t->ns_tid = ns_tid;
	t->main = tid == s->pid;
	t->comm = vz_arena_text(s->arena, comm);
	t->name = t->idle_why = t->stack_note = "";
	t->wait.call = t->wait.object = t->wait.peer = t->wait.socket_state = t->wait.kernel = "";
	t->wait.nr = -1;
	t->wait.fd = -1;
	t->wait.timeout_ns = -2;
	t->interp_id = -1;
	t->lock = t->joins = -1;
	t->common = -1;
}

static int list_threads(struct vz_taking *k, struct vz_err *err)
{
	struct vz_snapshot *s = k->snapshot;
	struct vz_tasks tasks = { 0 };
	size_t n = k->core ? k->core->nthreads : 0, kept = 0;

	if (!k->core) {
		int rc = vz_tasks_read(s->pid, &tasks, err);

		if (rc < 0)
			return rc;
		n = tasks.count;
	}
	s->threads_left_out = n > VZ_SNAPSHOT_THREADS ? n - VZ_SNAPSHOT_THREADS : 0;
	n -= s->threads_left_out;
	s->threads = vz_arena_alloc(s->arena, n + 1, sizeof(*s->threads));
	for (size_t i = 0; s->threads && i < n; i++) {
		if (k->core)
			fill_thread(k, &s->threads[kept++], k->core->threads[i].tid,
				    k->core->threads[i].tid, k->core->threads[i].comm);
		else if (!k->take->without || tasks.items[i].ns_tid != k->take->without)
			fill_thread(k, &s->threads[kept++], tasks.items[i].tid,
				    tasks.items[i].ns_tid, "");
	}
	s->nthreads = kept;
	vz_tasks_fini(&tasks);
	if (!s->threads)
		return vz_err_set(err, VZ_EXIT_UNEXPECTED, ENOMEM, "out of memory");
	qsort(s->threads, s->nthreads, sizeof(*s->threads), by_main_then_tid);
	return 0;
}

/* The thread of the kernel that a Python thread is. */
static struct vz_snap_thread *find_thread(struct vz_taking *k, const struct vz_pythread *py)
{
	struct vz_snapshot *s = k->snapshot;

	for (size_t i = 0; i < s->nthreads; i++) {
		const struct vz_core_thread *core = k->core ? vz_taking_core_thread(k, i) : NULL;

		if (core ? py->ident && vz_arch_thread_pointer(&core->cpu) == py->ident
			 : py->native_tid && s->threads[i].ns_tid == py->native_tid)
			return &s->threads[i];
	}
	return NULL;
}

/* Of several states that a thread has (subinterpreters) the one that runs something. */
static void match_python(struct vz_taking *k)
{
	struct vz_pythread *list = calloc(PYTHREADS_MAX, sizeof(*list));
	ssize_t n = list ? vz_pythreads_read(&k->py, list, PYTHREADS_MAX) : -ENOMEM;
	struct vz_pyframe frame;

	if (n < 0)
		vz_snapshot_note(k->snapshot,
				 "Python's list of threads could not be read: only native frames");
	for (ssize_t i = 0; i < n && i < PYTHREADS_MAX; i++) {
		struct vz_snap_thread *t = find_thread(k, &list[i]);

		if (!t)
			continue;
		if (t->tstate && vz_pystack_walk(&k->py, list[i].raddr, &frame, 1) == 0)
			continue;
		t->tstate = list[i].raddr;
		t->ident = list[i].ident;
		t->interp_id = list[i].interp_id;
	}
	free(list);
}

/* ---- the first look ---- */

static int keep_raw(struct vz_taking *k, size_t i)
{
	struct vz_raw_stack *raw = &k->raw[i];

	raw->count = k->capture->nframes;
	raw->frames = calloc(raw->count ? raw->count : 1, sizeof(*raw->frames));
	if (!raw->frames) {
		raw->count = 0;
		return -ENOMEM;
	}
	memcpy(raw->frames, k->capture->frames, raw->count * sizeof(*raw->frames));
	return 0;
}

static void unwind(struct vz_taking *k, size_t i)
{
	const struct vz_native_stack *stack = k->unwound;
	size_t keep, bytes;

	if (!k->capture->has_cpu)
		return;
	vz_unwind(k->unwinder, &k->capture->cpu, k->unwound);
	keep = stack->count;
	bytes = sizeof(*stack) - sizeof(stack->frames) + keep * sizeof(stack->frames[0]);
	free(k->native[i]);
	k->native[i] = malloc(bytes);
	if (k->native[i])
		memcpy(k->native[i], stack, bytes);
}

/* Each that does not stop in time costs a quarter of a second: not for hundreds of threads. */
static bool may_stop(const struct vz_taking *k)
{
	return !k->take->no_stop && k->late < LATE_MAX;
}

static bool wants_registers(const struct vz_taking *k, size_t i)
{
	return k->capture->copied == VZ_COPIED_ASLEEP && may_stop(k) && k->native[i] &&
	       k->native[i]->end != VZ_UNWIND_ROOT;
}

static void note_look(struct vz_taking *k, struct vz_snap_thread *t, unsigned look)
{
	struct vz_look *l = &t->looks[look];

	l->pc = k->capture->has_cpu ? vz_arch_pc(&k->capture->cpu) : 0;
	l->py_depth = (uint32_t)k->capture->nframes;
	if (k->capture->nframes) {
		l->py_frame = k->capture->frames[0].raddr;
		l->py_code = k->capture->frames[0].code;
		l->py_instr = k->capture->frames[0].instr;
	}
}

/* A stop wakes a sleeper for a moment: that is no movement of its own. */
static void sleep_again(const struct vz_taking *k, struct vz_snap_thread *t)
{
	const struct timespec pause = { 0, 50000 };
	struct vz_look look;

	for (int i = 0; i < 40; i++) {
		memset(&look, 0, sizeof(look));
		if (vz_procstate_look(k->snapshot->pid, t->tid, &look) < 0)
			return;
		if (look.state != 'R' && look.state != 't')
			break;
		nanosleep(&pause, NULL);
	}
	t->looks[0].switches = look.switches;
}

static void first_copy(struct vz_taking *k, size_t i)
{
	struct vz_snap_thread *t = &k->snapshot->threads[i];
	struct vz_capture_wish wish = { .what = VZ_CAPTURE_PYTHON | VZ_CAPTURE_STACK,
					.tstate = t->tstate,
					.ident = t->ident,
					.no_stop = !may_stop(k) };
	int rc = 0;

	if (k->core)
		vz_capture_core(k->capture, &k->py, k->maps, &vz_taking_core_thread(k, i)->cpu,
				&wish);
	else
		rc = vz_capture_thread(k->capture, &k->py, k->maps, t->tid, &wish);
	if (rc < 0) {
		t->stack_note = "it ended meanwhile";
		return;
	}
	k->late += k->capture->late;
	unwind(k, i);
	if (wants_registers(k, i)) {
		wish.stop_sleeper = true;
		if (vz_capture_thread(k->capture, &k->py, k->maps, t->tid, &wish) == 0)
			unwind(k, i);
		if (k->capture->stopped_ns)
			sleep_again(k, t);
	}
	keep_raw(k, i);
	t->copied = k->capture->copied;
	t->stopped_ns = k->capture->stopped_ns;
	if (k->capture->note[0])
		t->stack_note = k->capture->note;
	else if (t->tstate && k->capture->python_rc < 0 && k->capture->python_rc != -ENOENT)
		t->stack_note = "its Python frames could not be read";
	note_look(k, t, 0);
	k->tasks[i] = k->capture->task;
}

static void first_look(struct vz_taking *k)
{
	struct vz_snapshot *s = k->snapshot;

	for (size_t i = 0; i < s->nthreads; i++) {
		struct vz_snap_thread *t = &s->threads[i];

		if (!k->core && vz_procstate_look(s->pid, t->tid, &t->looks[0]) == 0) {
			t->looks[0].at_ns = vz_now_ns();
			t->nlooks = 1;
			t->cpu_ns = t->looks[0].cpu_ns;
			t->asleep_ns = vz_procstate_asleep(s->pid, t->tid);
		}
		first_copy(k, i);
		vz_procstate_wait(k->target, &k->tasks[i], s, t);
	}
	vz_snapshot_gil(&k->scene, 0);
}

/* ---- the other looks ---- */

static int count_common(const struct vz_raw_stack *a, const struct vz_pyframe *b, size_t count)
{
	int common = 0;

	for (size_t i = 1; i <= a->count && i <= count; i++) {
		const struct vz_pyframe *x = &a->frames[a->count - i], *y = &b[count - i];

		if (x->raddr != y->raddr || x->code != y->code)
			break;
		common++;
		if (x->instr != y->instr)
			break;
	}
	return common;
}

static void look_again_at(struct vz_taking *k, size_t i, unsigned look)
{
	struct vz_snap_thread *t = &k->snapshot->threads[i];
	struct vz_look *l = &t->looks[look];
	struct vz_capture_wish wish = { .what = VZ_CAPTURE_PYTHON,
					.tstate = t->tstate,
					.no_stop = !may_stop(k) };
	int common;

	if (t->nlooks != look || vz_procstate_look(k->snapshot->pid, t->tid, l) < 0)
		return;
	t->nlooks++;
	l->at_ns = vz_now_ns();
	if (l->switches == t->looks[look - 1].switches && l->state != 'R') {
		l->pc = t->looks[look - 1].pc;
		l->py_frame = t->looks[look - 1].py_frame;
		l->py_code = t->looks[look - 1].py_code;
		l->py_instr = t->looks[look - 1].py_instr;
		l->py_depth = t->looks[look - 1].py_depth;
		return;
	}
	if (vz_capture_thread(k->capture, &k->py, k->maps, t->tid, &wish) < 0)
		return;
	k->late += k->capture->late;
	if (k->capture->stopped_ns > t->stopped_ns)
		t->stopped_ns = k->capture->stopped_ns;
	note_look(k, t, look);
	common = count_common(&k->raw[i], k->capture->frames, k->capture->nframes);
	if (t->common < 0 || common < t->common)
		t->common = common;
}

static void look_again(struct vz_taking *k, unsigned look)
{
	struct vz_snapshot *s = k->snapshot;
	uint64_t pause =
		s->process.throttle_known && s->process.periods ? THROTTLE_PAUSE_NS : LOOK_PAUSE_NS;
	struct timespec ts = { 0, (long)pause };

	nanosleep(&ts, NULL);
	for (size_t i = 0; i < s->nthreads; i++)
		look_again_at(k, i, look);
	vz_snapshot_gil(&k->scene, look);
}

static void settle_common(struct vz_snapshot *s, const struct vz_raw_stack *raw)
{
	for (size_t i = 0; i < s->nthreads; i++) {
		if (s->threads[i].common < 0 && s->threads[i].nlooks == VZ_LOOKS)
			s->threads[i].common = (int)raw[i].count;
	}
}

/* For how long the GIL has been in the same hands, as far as that can be told. */
static void settle_gil(struct vz_snapshot *s)
{
	struct vz_snap_process *p = &s->process;
	const struct vz_snap_thread *holder;

	if (p->gil_holder < 0 || p->gil_turns[0] != p->gil_turns[VZ_LOOKS - 1])
		return;
	holder = &s->threads[p->gil_holder];
	if (holder->nlooks == VZ_LOOKS)
		p->gil_held_ns = holder->looks[VZ_LOOKS - 1].at_ns - holder->looks[0].at_ns;
	if (holder->asleep_ns > p->gil_held_ns)
		p->gil_held_ns = holder->asleep_ns;
}

/* ---- all of it ---- */

/* Python's objects, of which there are many and small ones, are read through a cache. */
static void read_python_parts(struct vz_taking *k)
{
	struct vz_scene_snapshot scene = k->scene;
	struct vz_pagecache *cache = NULL;
	struct vz_snapshot *s = k->snapshot;
	struct vz_py py = *k->scene.py;

	if (!k->core && vz_pagecache_new(k->target, &cache) == 0) {
		py.target = vz_pagecache_target(cache);
		scene.target = py.target;
		scene.py = &py;
	}
	vz_snapshot_names(&scene);
	vz_snapshot_locks(&scene);
	vz_snapshot_asyncio(&scene);
	vz_snapshot_greenlets(&scene);
	for (size_t i = 0; i < s->nthreads; i++)
		vz_snapshot_merge(&scene, k->native[i], &k->raw[i], &s->threads[i]);
	vz_snapshot_gil_names(s);
	if (k->take->locals)
		vz_snapshot_locals(&scene);
	vz_pagecache_free(cache);
}

static void look_at_all(struct vz_taking *k)
{
	struct vz_snapshot *s = k->snapshot;

	match_python(k);
	if (!k->core)
		vz_procstate_process(k->target, false, s);
	first_look(k);
	read_python_parts(k);
	for (unsigned look = 1; !k->core && look < VZ_LOOKS; look++)
		look_again(k, look);
	if (!k->core)
		vz_procstate_process(k->target, true, s);
	settle_common(s, k->raw);
	settle_gil(s);
	vz_verdict_find(s);
}

int vz_snapshot_take(const struct vz_take *take, struct vz_snapshot **ret, struct vz_err *err)
{
	uint64_t begin = vz_now_ns();
	struct vz_taking *k = calloc(1, sizeof(*k));
	struct vz_snapshot *s = calloc(1, sizeof(*s));
	struct timespec now;
	int rc = 0;

	if (s)
		s->arena = vz_arena_new(ARENA_MAX);
	if (!k || !s || !s->arena) {
		free(k);
		vz_snapshot_free(s);
		return vz_err_set(err, VZ_EXIT_UNEXPECTED, ENOMEM, "out of memory");
	}
	clock_gettime(CLOCK_REALTIME, &now);
	s->unix_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	s->process.gil_holder = -1;
	k->take = take;
	k->snapshot = s;
	rc = vz_taking_open(k, err);
	if (rc == 0)
		rc = list_threads(k, err);
	if (rc == 0)
		rc = vz_taking_prepare(k, err);
	if (rc == 0)
		look_at_all(k);
	vz_taking_close(k);
	free(k);
	s->took_ns = vz_now_ns() - begin;
	if (rc < 0)
		vz_snapshot_free(s);
	else
		*ret = s;
	return rc;
}

void vz_snapshot_free(struct vz_snapshot *s)
{
	if (!s)
		return;
	vz_arena_free(s->arena);
	free(s);
}
