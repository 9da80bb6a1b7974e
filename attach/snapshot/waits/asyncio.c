/* SPDX-License-Identifier: MIT */
/* asyncio.c - event loops, and their tasks as the snapshot has them. */
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/waits/asyncio_priv.h"
#include "attach/snapshot/waits/sight.h"

/* ---- loops ---- */

static int find_loop(const struct vz_snapshot *s, uint64_t raddr)
{
	for (size_t i = 0; i < s->nloops; i++) {
		if (s->loops[i].raddr == raddr)
			return (int)i;
	}
	return -1;
}

/* Loops that CPython's own classes implement know their thread while they run. */
static int thread_of_loop(struct vz_aio *a, uint64_t loop)
{
	const struct vz_py *py = a->scene->py;
	const struct vz_snapshot *s = a->scene->snapshot;
	uint64_t value;
	int64_t ident;

	if (vz_pyobj_attr(py, loop, "_thread_id", &value) == 0)
		return vz_pyobj_kind(py, value) == VZ_PYKIND_INT &&
				       vz_pyobj_int(py, value, &ident) == 0
			       ? vz_snapshot_by_ident(s, (uint64_t)ident)
			       : -1;
	for (size_t i = 0; i < s->nthreads && py->at.ts_asyncio_running_loop != VZ_NO_OFFSET; i++) {
		if (s->threads[i].tstate &&
		    vz_py_word(py, s->threads[i].tstate + py->at.ts_asyncio_running_loop, &value) ==
			    0 &&
		    value == loop)
			return (int)i;
	}
	return -1;
}

/* A loop of another implementation: if there is but one loop, and one thread runs one. */
static int only_runner(const struct vz_scene_snapshot *scene)
{
	const struct vz_snapshot *s = scene->snapshot;
	struct vz_snap_frame frame;
	int found = -1;

	for (size_t i = 0; i < s->nthreads; i++) {
		for (size_t j = 0; j < scene->raw[i].count; j++) {
			if (!vz_sight_frame(scene, i, j, &frame) ||
			    !vz_sight_is(&frame, "asyncio/runners.py", "run"))
				continue;
			if (found >= 0 && found != (int)i)
				return -1;
			found = (int)i;
		}
	}
	return found;
}

static bool is_selecting(const struct vz_scene_snapshot *scene, int thread)
{
	const struct vz_snap_thread *t = &scene->snapshot->threads[thread];
	struct vz_snap_frame frame;

	if (t->wait.kind == VZ_WAIT_NONE || t->holds_gil || t->waits_gil ||
	    !vz_sight_frame(scene, (size_t)thread, 0, &frame))
		return false;
	return vz_sight_is(&frame, "selectors.py", "select") ||
	       /* a loop in C: nothing of Python's is inside */
	       vz_sight_is(&frame, "asyncio/runners.py", "run");
}

static void add_loop(struct vz_aio *a, uint64_t raddr)
{
	struct vz_snapshot *s = a->scene->snapshot;
	struct vz_snap_loop *loop = &s->loops[s->nloops];
	char kind[VZ_PYNAME_MAX];

	vz_sight_type(a->scene, raddr, kind, sizeof(kind));
	*loop = (struct vz_snap_loop){ .raddr = raddr,
				       .kind = vz_arena_text(s->arena, kind),
				       .thread = thread_of_loop(a, raddr),
				       .running = -1 };
	s->nloops++;
}

static void list_loops(struct vz_aio *a)
{
	struct vz_snapshot *s = a->scene->snapshot;

	s->loops = vz_arena_alloc(s->arena, VZ_AIO_LOOPS, sizeof(*s->loops));
	for (size_t i = 0; s->loops && i < a->ntasks && s->nloops < VZ_AIO_LOOPS; i++) {
		if (a->tasks[i].loop && find_loop(s, a->tasks[i].loop) < 0)
			add_loop(a, a->tasks[i].loop);
	}
	if (s->nloops == 1 && s->loops[0].thread < 0)
		s->loops[0].thread = only_runner(a->scene);
}

static void settle_loops(struct vz_aio *a)
{
	struct vz_snapshot *s = a->scene->snapshot;

	for (size_t i = 0; i < a->ntasks; i++) {
		struct vz_snap_task *task = &a->out[i];

		if (task->state != VZ_TASK_RUNNING || task->loop < 0)
			continue;
		s->loops[task->loop].running = (int)i;
		if (s->loops[task->loop].thread < 0)
			s->loops[task->loop].thread = a->tasks[i].thread;
	}
	for (size_t i = 0; i < s->nloops; i++) {
		if (s->loops[i].thread >= 0 && s->loops[i].running < 0)
			s->loops[i].selecting = is_selecting(a->scene, s->loops[i].thread);
	}
	for (size_t i = 0; i < a->ntasks; i++) {
		if (a->out[i].thread < 0 && a->out[i].loop >= 0)
			a->out[i].thread = s->loops[a->out[i].loop].thread;
	}
}

/* ---- tasks ---- */

static void begin_task(struct vz_aio *a, size_t i)
{
	const struct vz_py *py = a->scene->py;
	struct vz_arena *arena = a->scene->snapshot->arena;
	const struct vz_aio_task *task = &a->tasks[i];
	uint64_t name;
	char coroutine[VZ_PYNAME_MAX] = "";

	if (vz_aio_class(a, task->coro) == VZ_AIO_GENERATOR &&
	    vz_py_word(py, task->coro + py->at.ge_qualname, &name) == 0 &&
	    vz_pyobj_text(py, name, coroutine, sizeof(coroutine)) < 0)
		coroutine[0] = '\0';
	a->out[i] = (struct vz_snap_task){
		.raddr = task->raddr,
		.name = task->name[0] ? vz_arena_text(arena, task->name)
				      : vz_arena_format(arena, "Task at 0x%llx",
							(unsigned long long)task->raddr),
		.coroutine = vz_arena_text(arena, coroutine),
		.thread = task->thread,
		.loop = find_loop(a->scene->snapshot, task->loop),
		.awaits = "",
		.awaits_task = -1,
		.parent = -1,
	};
}

static void fill(struct vz_aio *a)
{
	struct vz_snapshot *s = a->scene->snapshot;

	if (a->ntasks == 0)
		return;
	a->out = vz_arena_alloc(s->arena, a->ntasks, sizeof(*a->out));
	if (!a->out)
		return;
	list_loops(a);
	for (size_t i = 0; i < a->ntasks; i++)
		begin_task(a, i);
	for (size_t i = 0; i < a->ntasks; i++)
		vz_aio_awaits(a, i);
	settle_loops(a);
	s->tasks = a->out;
	s->ntasks = a->ntasks;
}

void vz_snapshot_asyncio(const struct vz_scene_snapshot *scene)
{
	const struct vz_py *py = scene->py;
	struct vz_aio a = { .scene = scene, .children_left = VZ_AIO_CHILDREN };
	uint64_t module;

	if (vz_py_word(py, py->runtime + py->at.rt_interpreters_main, &a.interp) < 0 ||
	    vz_py_module_attr(py, a.interp, "asyncio.tasks", "_current_tasks", &module) < 0)
		return;
	scene->snapshot->tasks_left_out += vz_aio_collect(&a);
	fill(&a);
	free(a.running);
	free(a.tasks);
	free(a.places);
	free(a.held);
}
