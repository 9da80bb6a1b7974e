/* SPDX-License-Identifier: MIT */
/*
 * asyncio_tasks.c - the tasks of all loops: to 3.13 weak sets of the module, from 3.14 on
 * linked lists in each thread's state; and of each task its state and frames.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/waits/asyncio_priv.h"

enum { PENDING = 0, SEEN_MAX = 4 * VZ_AIO_TASKS, LEFT_OUT_MAX = 1 << 20 };

/* ---- types ---- */

static enum vz_aio_class class_by_bases(const struct vz_py *py, uint64_t obj)
{
	if (vz_pyobj_is(py, obj, "_asyncio.Task"))
		return VZ_AIO_TASK;
	if (vz_pyobj_is(py, obj, "_asyncio.Future"))
		return VZ_AIO_FUTURE;
	if (vz_pyobj_is(py, obj, "Task"))
		return VZ_AIO_PYTASK;
	return vz_pyobj_is(py, obj, "Future") ? VZ_AIO_PYFUTURE : VZ_AIO_OTHER;
}

static enum vz_aio_class class_by_name(const struct vz_py *py, uint64_t obj, const char *name)
{
	static const struct {
		const char *name;
		enum vz_aio_class what;
	} classes[] = {
		{ "coroutine", VZ_AIO_GENERATOR },
		{ "generator", VZ_AIO_GENERATOR },
		{ "async_generator", VZ_AIO_GENERATOR },
		{ "_asyncio.FutureIter", VZ_AIO_ITER },
		{ "coroutine_wrapper", VZ_AIO_WRAPPER },
		{ "async_generator_asend", VZ_AIO_AGEN_STEP },
		{ "async_generator_athrow", VZ_AIO_AGEN_STEP },
	};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (strcmp(classes[i].name, name) == 0)
			return classes[i].what;
	}
	return class_by_bases(py, obj);
}

/* To 3.9 the steps of asynchronous generators have types that nobody ever made ready. */
static void unready_name(const struct vz_py *py, uint64_t type, char *buf, size_t size)
{
	uint64_t name;

	if (vz_py_word(py, type + py->at.tp_name, &name) < 0 ||
	    vz_target_read_string(py->target, name, buf, size) < 0 ||
	    (strcmp(buf, "async_generator_asend") != 0 &&
	     strcmp(buf, "async_generator_athrow") != 0))
		buf[0] = '\0';
}

enum vz_aio_class vz_aio_class(struct vz_aio *a, uint64_t obj)
{
	const struct vz_py *py = a->scene->py;
	enum vz_aio_class what;
	uint64_t type;
	char name[64];

	if (!obj || (obj & 7) || vz_py_word(py, obj + py->at.ob_type, &type) < 0 || !type)
		return VZ_AIO_OTHER;
	for (size_t i = 0; i < VZ_AIO_TYPES; i++) {
		if (a->type[i] == type)
			return a->what[i];
	}
	vz_pyobj_type_name(py, obj, name, sizeof(name));
	if (!name[0] && py->at.minor < 10)
		unready_name(py, type, name, sizeof(name));
	if (!name[0])
		return VZ_AIO_OTHER;
	what = class_by_name(py, obj, name);
	a->type[a->next_type] = type;
	a->what[a->next_type] = (uint8_t)what;
	a->next_type = (a->next_type + 1) % VZ_AIO_TYPES;
	return what;
}

/* ---- one task ---- */

bool vz_aio_pending(struct vz_aio *a, uint64_t future)
{
	const struct vz_py *py = a->scene->py;
	enum vz_aio_class what = vz_aio_class(a, future);
	uint64_t text;
	uint32_t state;
	int rc;

	if (what == VZ_AIO_TASK || what == VZ_AIO_FUTURE)
		return vz_py_u32(py, future + py->at.fu_state, &state) == 0 && state == PENDING;
	if (what != VZ_AIO_PYTASK && what != VZ_AIO_PYFUTURE)
		return false;
	/* "PENDING" is the class's own; an instance has it when it is done. */
	rc = vz_pyobj_attr(py, future, "_state", &text);
	return rc == -ENOENT || (rc == 0 && vz_pyobj_text_is(py, text, "PENDING"));
}

static void field(const struct vz_py *py, uint64_t raddr, uint64_t *ret)
{
	if (vz_py_word(py, raddr, ret) < 0)
		*ret = 0;
}

static void attribute(const struct vz_py *py, uint64_t obj, const char *name, uint64_t *ret)
{
	if (vz_pyobj_attr(py, obj, name, ret) < 0)
		*ret = 0;
}

/* Later versions make up the name of a task when it is asked for: until then it is a number. */
static void read_name(const struct vz_py *py, uint64_t name, struct vz_aio_task *task)
{
	char *digits;

	if (vz_pyobj_kind(py, name) == VZ_PYKIND_INT) {
		if (vz_pyobj_int(py, name, &task->number) == 0)
			snprintf(task->name, sizeof(task->name), "Task-%" PRId64, task->number);
		return;
	}
	if (vz_pyobj_text(py, name, task->name, sizeof(task->name)) < 0) {
		task->name[0] = '\0';
		return;
	}
	digits = task->name + strlen(task->name);
	while (digits > task->name && digits[-1] >= '0' && digits[-1] <= '9')
		digits--;
	task->number = strtoll(digits, NULL, 10);
}

/* False: it is no task, or it is done. */
static bool read_task(struct vz_aio *a, uint64_t raddr, struct vz_aio_task *task)
{
	const struct vz_py *py = a->scene->py;
	enum vz_aio_class what = vz_aio_class(a, raddr);
	uint64_t name = 0;

	*task = (struct vz_aio_task){ .raddr = raddr, .thread = -1 };
	if ((what != VZ_AIO_TASK && what != VZ_AIO_PYTASK) || !vz_aio_pending(a, raddr))
		return false;
	if (what == VZ_AIO_TASK) {
		field(py, raddr + py->at.fu_loop, &task->loop);
		field(py, raddr + py->at.ta_coro, &task->coro);
		field(py, raddr + py->at.ta_fut_waiter, &task->waiter);
		field(py, raddr + py->at.ta_name, &name);
	} else {
		attribute(py, raddr, "_loop", &task->loop);
		attribute(py, raddr, "_coro", &task->coro);
		attribute(py, raddr, "_fut_waiter", &task->waiter);
		attribute(py, raddr, "_name", &name);
	}
	if (task->waiter && vz_pyobj_kind(py, task->waiter) == VZ_PYKIND_NONE)
		task->waiter = 0;
	if (name)
		read_name(py, name, task);
	return true;
}

/* ---- all tasks ---- */

/* Addresses, each once after they were sorted. */
struct seen {
	uint64_t *items;
	size_t count, left_out;
};

static void see(struct seen *seen, uint64_t raddr)
{
	if (raddr && seen->count < SEEN_MAX)
		seen->items[seen->count++] = raddr;
	else if (raddr)
		seen->left_out++;
}

static void see_set(const struct vz_py *py, uint64_t set, bool weak, struct seen *seen)
{
	int64_t len = vz_pyobj_len(py, set);
	uint64_t *items, task;
	ssize_t n;

	if (len <= 0)
		return;
	if (len > SEEN_MAX) {
		seen->left_out += (size_t)len - SEEN_MAX;
		len = SEEN_MAX;
	}
	items = calloc((size_t)len, sizeof(*items));
	n = items ? vz_pyobj_items(py, set, items, (size_t)len) : 0;
	for (ssize_t i = 0; i < n; i++) {
		if (!weak)
			see(seen, items[i]);
		else if (vz_pyobj_weakref(py, items[i], &task) == 0)
			see(seen, task);
	}
	free(items);
}

static void see_module(struct vz_aio *a, struct seen *seen)
{
	static const char *const weak[] = { "_all_tasks", "_scheduled_tasks" };
	const struct vz_py *py = a->scene->py;
	uint64_t set, data;

	for (size_t i = 0; i < 2; i++) {
		if (vz_py_module_attr(py, a->interp, "asyncio.tasks", weak[i], &set) == 0 &&
		    vz_pyobj_attr(py, set, "data", &data) == 0)
			see_set(py, data, true, seen);
	}
	if (vz_py_module_attr(py, a->interp, "asyncio.tasks", "_eager_tasks", &set) == 0)
		see_set(py, set, false, seen);
}

/* struct llist_node: next, prev; the head is one too. */
static void see_list(const struct vz_py *py, uint64_t head, struct seen *seen)
{
	uint64_t node;

	if (vz_py_word(py, head, &node) < 0)
		return;
	while (node && node != head && seen->left_out < LEFT_OUT_MAX) {
		see(seen, node - py->at.ta_node);
		if (vz_py_word(py, node, &node) < 0)
			return;
	}
}

static void see_lists(struct vz_aio *a, struct seen *seen)
{
	const struct vz_py *py = a->scene->py;
	const struct vz_snapshot *s = a->scene->snapshot;

	if (py->at.ta_node == VZ_NO_OFFSET)
		return;
	if (py->at.is_asyncio_tasks_head != VZ_NO_OFFSET)
		see_list(py, a->interp + py->at.is_asyncio_tasks_head, seen);
	for (size_t i = 0; i < s->nthreads; i++) {
		if (s->threads[i].tstate && py->at.ts_asyncio_tasks_head != VZ_NO_OFFSET)
			see_list(py, s->threads[i].tstate + py->at.ts_asyncio_tasks_head, seen);
	}
}

static int by_address(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int by_name(const void *a, const void *b)
{
	const struct vz_aio_task *x = a, *y = b;

	if (x->loop != y->loop)
		return x->loop > y->loop ? 1 : -1;
	if (x->number != y->number)
		return x->number > y->number ? 1 : -1;
	return (x->raddr > y->raddr) - (x->raddr < y->raddr);
}

static size_t read_tasks(struct vz_aio *a, struct seen *seen)
{
	size_t left_out = seen->left_out;
	struct vz_aio_task task;

	qsort(seen->items, seen->count, sizeof(*seen->items), by_address);
	for (size_t i = 0; i < seen->count; i++) {
		if ((i && seen->items[i] == seen->items[i - 1]) ||
		    !read_task(a, seen->items[i], &task))
			continue;
		if (a->ntasks < VZ_AIO_TASKS)
			a->tasks[a->ntasks++] = task;
		else
			left_out++;
	}
	qsort(a->tasks, a->ntasks, sizeof(*a->tasks), by_name);
	return left_out;
}

/* ---- which of them run ---- */

static int by_frame(const void *a, const void *b)
{
	const struct vz_aio_running *x = a, *y = b;

	return (x->raddr > y->raddr) - (x->raddr < y->raddr);
}

/* The coroutine's frame is among those of a thread: whatever the module says. */
static void find_running(struct vz_aio *a, struct vz_aio_task *task)
{
	const struct vz_aio_running *found;
	struct vz_pyframe frame;

	if (a->nrunning == 0 || vz_aio_class(a, task->coro) != VZ_AIO_GENERATOR ||
	    vz_pygen_frame(a->scene->py, task->coro, &frame) < 0)
		return;
	found = bsearch(&(struct vz_aio_running){ .raddr = frame.raddr }, a->running, a->nrunning,
			sizeof(*found), by_frame);
	if (found) {
		task->thread = (int)found->thread;
		task->index = found->index;
	}
}

static void note_current(struct vz_aio *a, uint64_t task)
{
	for (size_t i = 0; i < a->ntasks; i++)
		a->tasks[i].current |= a->tasks[i].raddr == task;
}

/* Tasks that are not coroutines of Python (Cython's) have no frame: the module's word counts. */
static void find_current(struct vz_aio *a)
{
	const struct vz_py *py = a->scene->py;
	const struct vz_snapshot *s = a->scene->snapshot;
	uint64_t dict, keys[VZ_AIO_LOOPS], values[VZ_AIO_LOOPS], task;
	ssize_t n = 0;

	if (vz_py_module_attr(py, a->interp, "asyncio.tasks", "_current_tasks", &dict) == 0)
		n = vz_pydict_items(py, dict, keys, values, VZ_AIO_LOOPS);
	for (ssize_t i = 0; i < n; i++)
		note_current(a, values[i]);
	for (size_t i = 0; i < s->nthreads; i++) {
		if (s->threads[i].tstate && py->at.ts_asyncio_running_task != VZ_NO_OFFSET &&
		    vz_py_word(py, s->threads[i].tstate + py->at.ts_asyncio_running_task, &task) ==
			    0 &&
		    task)
			note_current(a, task);
	}
}

static void list_running(struct vz_aio *a)
{
	const struct vz_snapshot *s = a->scene->snapshot;
	size_t n = 0;

	for (size_t i = 0; i < s->nthreads; i++)
		n += a->scene->raw[i].count;
	a->running = calloc(n + 1, sizeof(*a->running));
	for (size_t i = 0; a->running && i < s->nthreads; i++) {
		for (size_t j = 0; j < a->scene->raw[i].count; j++) {
			const struct vz_pyframe *frame = &a->scene->raw[i].frames[j];

			if (frame->generator || a->scene->py->at.minor < 11)
				a->running[a->nrunning++] =
					(struct vz_aio_running){ frame->raddr, i, j };
		}
	}
	if (a->running)
		qsort(a->running, a->nrunning, sizeof(*a->running), by_frame);
}

static int by_place(const void *a, const void *b)
{
	const struct vz_aio_place *x = a, *y = b;

	return (x->raddr > y->raddr) - (x->raddr < y->raddr);
}

static void index_tasks(struct vz_aio *a)
{
	a->places = calloc(a->ntasks + 1, sizeof(*a->places));
	for (size_t i = 0; a->places && i < a->ntasks; i++)
		a->places[i] = (struct vz_aio_place){ a->tasks[i].raddr, (int)i };
	if (a->places)
		qsort(a->places, a->ntasks, sizeof(*a->places), by_place);
}

int vz_aio_find(const struct vz_aio *a, uint64_t raddr)
{
	const struct vz_aio_place *found;

	if (!raddr || !a->places)
		return -1;
	found = bsearch(&(struct vz_aio_place){ .raddr = raddr }, a->places, a->ntasks,
			sizeof(*found), by_place);
	return found ? found->task : -1;
}

size_t vz_aio_collect(struct vz_aio *a)
{
	struct seen seen = { .items = calloc(SEEN_MAX, sizeof(*seen.items)) };
	size_t left_out = 0;

	a->tasks = calloc(VZ_AIO_TASKS, sizeof(*a->tasks));
	if (seen.items && a->tasks) {
		see_module(a, &seen);
		see_lists(a, &seen);
		left_out = read_tasks(a, &seen);
		list_running(a);
		for (size_t i = 0; i < a->ntasks; i++)
			find_running(a, &a->tasks[i]);
		find_current(a);
		index_tasks(a);
	}
	free(seen.items);
	return left_out;
}

/* ---- frames ---- */

/* What is behind the object that a coroutine awaits, if that is a coroutine again. */
static uint64_t next_generator(struct vz_aio *a, uint64_t obj)
{
	const struct vz_py *py = a->scene->py;
	uint64_t inner;

	switch (vz_aio_class(a, obj)) {
	case VZ_AIO_GENERATOR:
		return obj;
	case VZ_AIO_WRAPPER:
		return vz_py_word(py, obj + py->at.cw_coroutine, &inner) == 0 ? inner : 0;
	case VZ_AIO_AGEN_STEP:
		return vz_py_word(py, obj + py->at.ag_gen, &inner) == 0 ? inner : 0;
	default:
		return 0;
	}
}

static void turn_round(struct vz_pyframe *frames, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct vz_pyframe other = frames[i];

		frames[i] = frames[n - 1 - i];
		frames[n - 1 - i] = other;
	}
}

static size_t chain(struct vz_aio *a, uint64_t coro, struct vz_pyframe *frames, size_t max)
{
	const struct vz_py *py = a->scene->py;
	uint64_t awaited;
	size_t n = 0;

	while (n < max && (coro = next_generator(a, coro)) != 0 &&
	       vz_pygen_frame(py, coro, &frames[n]) == 0) {
		n++;
		if (vz_pygen_awaits(py, coro, &awaited) < 0)
			break;
		coro = awaited;
	}
	turn_round(frames, n);
	return n;
}

size_t vz_aio_frames(struct vz_aio *a, const struct vz_aio_task *task, struct vz_pyframe *frames,
		     size_t max)
{
	size_t n;

	if (task->thread < 0)
		return chain(a, task->coro, frames, max);
	n = task->index + 1 < max ? task->index + 1 : max;
	memcpy(frames, a->scene->raw[task->thread].frames + (task->index + 1 - n),
	       n * sizeof(*frames));
	return n;
}
