/* SPDX-License-Identifier: MIT */
/*
 * asyncio_awaits.c - what a parked task waits for: another task, several of them, or what
 * the function of asyncio that it is in says; and who has the asyncio.Lock that it wants.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/python/pywith.h"
#include "attach/snapshot/waits/asyncio_priv.h"
#include "attach/snapshot/waits/locks_priv.h"
#include "attach/snapshot/waits/sight.h"

enum { MAX_CHILDREN = 4096, MAX_WITHS = 20, MAX_HELD = 1 << 16, MAX_DEPTH = 64 };

/* One task and its frames while it is being described. */
struct looking {
	struct vz_aio *a;
	size_t task;
	struct vz_pyframe raw[VZ_AIO_CHAIN];
	struct vz_snap_frame *frames;
	size_t n;
};

static const char *name_of(struct vz_aio *a, int task)
{
	return a->out[task].name;
}

/* ---- the tree ---- */

/* A tree has no cycles, whatever awaits whom; the first that waits is the parent. */
static void adopt(struct vz_aio *a, size_t parent, int child)
{
	int up = (int)parent;

	if (child < 0 || a->out[child].parent >= 0)
		return;
	for (int i = 0; i < MAX_DEPTH && up >= 0; i++) {
		if (up == child)
			return;
		up = a->out[up].parent;
	}
	if (up < 0)
		a->out[child].parent = (int)parent;
}

/* Several futures: which of them are tasks that are not done? */
static size_t adopt_all(struct looking *l, const uint64_t *futures, size_t n, int *only)
{
	size_t pending = 0;

	*only = -1;
	for (size_t i = 0; i < n; i++) {
		int child = vz_aio_find(l->a, futures[i]);

		if (child < 0 && !vz_aio_pending(l->a, futures[i]))
			continue;
		pending++;
		*only = pending == 1 ? child : -1;
		adopt(l->a, l->task, child);
	}
	return pending;
}

static void say_several(struct looking *l, const char *what, const uint64_t *futures, size_t n,
			size_t total)
{
	struct vz_snap_task *out = &l->a->out[l->task];
	int only;
	size_t pending = adopt_all(l, futures, n, &only);

	if (pending == 1 && only >= 0 && n == total) {
		out->awaits_task = only;
		out->awaits =
			vz_arena_format(l->a->scene->snapshot->arena, "%s: %s, the last of %zu",
					what, name_of(l->a, only), total);
	} else {
		out->awaits = vz_arena_format(l->a->scene->snapshot->arena, "%s: %zu of %zu", what,
					      pending, total);
	}
}

static bool say_container(struct looking *l, const char *what, uint64_t container)
{
	int64_t total = vz_pyobj_len(l->a->scene->py, container);
	uint64_t *items;
	ssize_t n;

	if (total < 0)
		return false;
	items = calloc(MAX_CHILDREN, sizeof(*items));
	n = items ? vz_pyobj_items(l->a->scene->py, container, items,
				   l->a->children_left < MAX_CHILDREN ? l->a->children_left
								      : MAX_CHILDREN)
		  : -1;
	l->a->children_left -= n > 0 ? (size_t)n : 0;
	if (n >= 0)
		say_several(l, what, items, (size_t)n, (size_t)total);
	free(items);
	return n >= 0;
}

/* ---- who has an asyncio.Lock ---- */

static void keep(struct vz_aio *a, uint64_t lock, size_t task, bool doubtful)
{
	if (a->nheld == a->held_room) {
		size_t room = a->held_room ? 2 * a->held_room : 64;
		void *grown = room <= MAX_HELD ? realloc(a->held, room * sizeof(*a->held)) : NULL;

		if (!grown)
			return;
		a->held = grown;
		a->held_room = room;
	}
	a->held[a->nheld].lock = lock;
	a->held[a->nheld].task = task;
	a->held[a->nheld++].doubtful = doubtful;
}

/* May what frame K is inside of have been released since?  By wait() of a condition, or by
 * code that mentions it. */
static bool released(struct vz_aio *a, const struct vz_pyframe *frames, size_t k)
{
	struct vz_snap_frame frame;

	for (size_t i = 0; i <= k; i++) {
		vz_snapshot_python_frame(a->scene, &frames[i], &frame);
		if (vz_sight_is(&frame, "asyncio/locks.py", "wait"))
			return true;
		if (!strstr(frame.file, "asyncio/") &&
		    vz_lock_mentions(a->scene->py, frames[i].code, "release") != 0)
			return true;
	}
	return false;
}

static void read_held(struct vz_aio *a)
{
	struct vz_pyframe frames[VZ_AIO_CHAIN];
	struct vz_pywith withs[MAX_WITHS];

	a->held_read = true;
	for (size_t i = 0; i < a->ntasks; i++) {
		size_t n = vz_aio_frames(a, &a->tasks[i], frames, VZ_AIO_CHAIN);

		for (size_t j = 0; j < n; j++) {
			ssize_t nwiths =
				vz_pyframe_withs(a->scene->py, &frames[j], withs, MAX_WITHS);

			for (ssize_t k = 0; k < nwiths; k++) {
				uint64_t lock = withs[k].manager;

				if (!withs[k].async)
					continue;
				if (vz_pyobj_is(a->scene->py, lock, "Condition") &&
				    vz_pyobj_attr(a->scene->py, lock, "_lock", &lock) < 0)
					continue;
				keep(a, lock, i, released(a, frames, j));
			}
		}
	}
}

static void say_lock(struct looking *l, uint64_t lock)
{
	struct vz_snap_task *out = &l->a->out[l->task];
	int owner = -1;
	bool clear = true;

	if (!l->a->held_read)
		read_held(l->a);
	for (size_t i = 0; i < l->a->nheld; i++) {
		if (l->a->held[i].lock != lock)
			continue;
		clear = clear && !l->a->held[i].doubtful &&
			(owner < 0 || owner == (int)l->a->held[i].task);
		owner = (int)l->a->held[i].task;
	}
	out->awaits = "asyncio.Lock";
	if (owner < 0 || !clear)
		return;
	out->awaits_task = owner;
	out->awaits_inferred = true;
	out->awaits = vz_arena_format(l->a->scene->snapshot->arena, "asyncio.Lock held by %s",
				      name_of(l->a, owner));
	if (owner != (int)l->task)
		adopt(l->a, (size_t)owner == l->task ? 0 : l->task, owner);
}

/* ---- by the function of asyncio that it is in ---- */

enum how { SAY, LOCK, SLEEP, TASKS_OF_LOCAL, FUTURE_OF_LOCAL, TASKS_OF_SELF };

static const struct place {
	const char *file, *function, *class; /* class of self; NULL: any */
	enum how how;
	const char *what; /* to say */
	const char *name; /* of the local or attribute */
} places[] = {
	{ "asyncio/locks.py", "acquire", "Lock", LOCK, "asyncio.Lock", NULL },
	{ "asyncio/locks.py", "wait", "Event", SAY, "asyncio.Event", NULL },
	{ "asyncio/locks.py", "wait", "Condition", SAY, "asyncio.Condition", NULL },
	{ "asyncio/locks.py", "acquire", "Semaphore", SAY, "asyncio.Semaphore", NULL },
	{ "asyncio/locks.py", "wait", "Barrier", SAY, "asyncio.Barrier", NULL },
	{ "asyncio/queues.py", "get", "Queue", SAY, "asyncio.Queue.get", NULL },
	{ "asyncio/queues.py", "put", "Queue", SAY, "asyncio.Queue.put", NULL },
	{ "asyncio/queues.py", "join", "Queue", SAY, "asyncio.Queue.join", NULL },
	{ "asyncio/tasks.py", "sleep", NULL, SLEEP, "sleep", NULL },
	{ "asyncio/tasks.py", "_wait", NULL, TASKS_OF_LOCAL, "asyncio.wait", "fs" },
	{ "asyncio/tasks.py", "wait_for", NULL, FUTURE_OF_LOCAL, "asyncio.wait_for", "fut" },
	{ "asyncio/tasks.py", "_wait_for_one", NULL, SAY, "asyncio.as_completed", NULL },
	{ "asyncio/taskgroups.py", "__aexit__", "TaskGroup", TASKS_OF_SELF, "TaskGroup", "_tasks" },
	{ "asyncio/taskgroups.py", "_aexit", "TaskGroup", TASKS_OF_SELF, "TaskGroup", "_tasks" },
	{ "asyncio/streams.py", "drain", NULL, SAY, "StreamWriter.drain", NULL },
	{ "asyncio/streams.py", "_drain_helper", NULL, SAY, "StreamWriter.drain", NULL },
	{ "asyncio/streams.py", "_wait_for_data", NULL, SAY, "StreamReader: data", NULL },
	{ "asyncio/streams.py", "wait_closed", NULL, SAY, "StreamWriter.wait_closed", NULL },
	{ "asyncio/selector_events.py", "sock_recv", NULL, SAY, "socket (sock_recv)", NULL },
	{ "asyncio/selector_events.py", "sock_recv_into", NULL, SAY, "socket (sock_recv_into)",
	  NULL },
	{ "asyncio/selector_events.py", "sock_recvfrom", NULL, SAY, "socket (sock_recvfrom)",
	  NULL },
	{ "asyncio/selector_events.py", "sock_sendall", NULL, SAY, "socket (sock_sendall)", NULL },
	{ "asyncio/selector_events.py", "sock_connect", NULL, SAY, "socket (sock_connect)", NULL },
	{ "asyncio/selector_events.py", "sock_accept", NULL, SAY, "socket (sock_accept)", NULL },
	{ "asyncio/base_events.py", "getaddrinfo", NULL, SAY, "name look-up (getaddrinfo)", NULL },
	{ "asyncio/base_events.py", "serve_forever", NULL, SAY, "Server.serve_forever", NULL },
	{ "asyncio/base_events.py", "wait_closed", NULL, SAY, "Server.wait_closed", NULL },
	{ "asyncio/base_events.py", "shutdown_default_executor", NULL, SAY,
	  "shutdown of the executor", NULL },
	{ "asyncio/subprocess.py", "wait", NULL, SAY, "a child process", NULL },
	{ "asyncio/base_subprocess.py", "_wait", NULL, SAY, "a child process", NULL },
	{ "asyncio/threads.py", "to_thread", NULL, SAY, "a function in another thread (to_thread)",
	  NULL },
};

static uint64_t local(struct looking *l, size_t i, const char *name)
{
	uint64_t value;

	return vz_pyframe_local(l->a->scene->py, &l->raw[i], name, &value) == 0 ? value : 0;
}

static const struct place *place_at(struct looking *l, size_t i, uint64_t *self)
{
	for (size_t j = 0; j < sizeof(places) / sizeof(places[0]); j++) {
		if (!vz_sight_is(&l->frames[i], places[j].file, places[j].function))
			continue;
		*self = local(l, i, "self");
		if (!places[j].class ||
		    (*self && vz_pyobj_is(l->a->scene->py, *self, places[j].class)))
			return &places[j];
	}
	return NULL;
}

static bool say_task(struct looking *l, uint64_t future, const char *through)
{
	struct vz_snap_task *out = &l->a->out[l->task];
	int task = vz_aio_find(l->a, future);

	if (task < 0)
		return false;
	out->awaits_task = task;
	out->awaits = through ? vz_arena_format(l->a->scene->snapshot->arena, "%s (%s)",
						name_of(l->a, task), through)
			      : name_of(l->a, task);
	adopt(l->a, l->task, task);
	return true;
}

static void say_sleep(struct looking *l, size_t i)
{
	struct vz_snap_task *out = &l->a->out[l->task];
	const struct vz_py *py = l->a->scene->py;
	uint64_t delay = local(l, i, "delay");
	int64_t seconds;
	double real;

	out->awaits = "sleep";
	if (delay && vz_pyobj_kind(py, delay) == VZ_PYKIND_FLOAT &&
	    vz_pyobj_float(py, delay, &real) == 0)
		out->awaits = vz_arena_format(l->a->scene->snapshot->arena, "sleep(%g)", real);
	else if (delay && vz_pyobj_kind(py, delay) == VZ_PYKIND_INT &&
		 vz_pyobj_int(py, delay, &seconds) == 0)
		out->awaits = vz_arena_format(l->a->scene->snapshot->arena, "sleep(%lld)",
					      (long long)seconds);
}

static bool say_place(struct looking *l, size_t i)
{
	uint64_t self = 0, value;
	const struct place *place = place_at(l, i, &self);

	if (!place)
		return false;
	switch (place->how) {
	case LOCK:
		say_lock(l, self);
		return true;
	case SLEEP:
		say_sleep(l, i);
		return true;
	case TASKS_OF_LOCAL:
		return say_container(l, place->what, local(l, i, place->name));
	case FUTURE_OF_LOCAL:
		return say_task(l, local(l, i, place->name), place->what);
	case TASKS_OF_SELF:
		return vz_pyobj_attr(l->a->scene->py, self, place->name, &value) == 0 &&
		       say_container(l, place->what, value);
	default:
		l->a->out[l->task].awaits = place->what;
		return true;
	}
}

/* ---- by the future itself ---- */

/* run_in_executor() and wrap_future() chain a future of asyncio to one of another thread. */
static bool is_chained(struct vz_aio *a, uint64_t future)
{
	const struct vz_py *py = a->scene->py;
	uint64_t callback, name;
	char type[32];

	if (vz_aio_class(a, future) != VZ_AIO_FUTURE ||
	    vz_py_word(py, future + py->at.fu_callback0, &callback) < 0 || !callback)
		return false;
	vz_pyobj_type_name(py, callback, type, sizeof(type));
	return strcmp(type, "function") == 0 &&
	       vz_py_word(py, callback + py->at.fn_qualname, &name) == 0 &&
	       vz_pyobj_text_is(py, name, "_chain_future.<locals>._call_check_cancel");
}

static void say_future(struct looking *l, uint64_t future)
{
	struct vz_snap_task *out = &l->a->out[l->task];
	const struct vz_py *py = l->a->scene->py;
	uint64_t children;
	char type[VZ_PYNAME_MAX];

	vz_pyobj_type_name(py, future, type, sizeof(type));
	if (strcmp(type, "_GatheringFuture") == 0 &&
	    vz_pyobj_attr(py, future, "_children", &children) == 0 &&
	    say_container(l, "gather", children))
		return;
	if (is_chained(l->a, future)) {
		out->awaits = "a function in another thread (executor)";
		return;
	}
	vz_sight_type(l->a->scene, future, type, sizeof(type));
	out->awaits = vz_arena_format(l->a->scene->snapshot->arena, "%s at 0x%llx",
				      type[0] ? type : "object", (unsigned long long)future);
}

static void say_what(struct looking *l)
{
	uint64_t waiter = l->a->tasks[l->task].waiter;

	if (waiter && say_task(l, waiter, NULL))
		return;
	/* The innermost function of asyncio that is known tells most. */
	for (size_t i = 0; i < l->n; i++) {
		if (say_place(l, i))
			return;
		if (!strstr(l->frames[i].file, "asyncio/"))
			break;
	}
	if (waiter)
		say_future(l, waiter);
}

/* ---- a task ---- */

static void set_state(struct vz_aio *a, const struct vz_aio_task *task, struct vz_snap_task *out)
{
	if (task->thread >= 0 || task->current) {
		out->state = VZ_TASK_RUNNING;
		return;
	}
	if (!task->waiter ||
	    (vz_aio_class(a, task->waiter) != VZ_AIO_OTHER && !vz_aio_pending(a, task->waiter)))
		out->state = VZ_TASK_READY;
	else
		out->state = VZ_TASK_WAITING;
}

static void copy_frames(struct looking *l)
{
	struct vz_snap_task *out = &l->a->out[l->task];

	l->n = vz_aio_frames(l->a, &l->a->tasks[l->task], l->raw, VZ_AIO_CHAIN);
	l->frames =
		vz_arena_alloc(l->a->scene->snapshot->arena, l->n ? l->n : 1, sizeof(*l->frames));
	if (!l->frames)
		l->n = 0;
	for (size_t i = 0; i < l->n; i++)
		vz_snapshot_python_frame(l->a->scene, &l->raw[i], &l->frames[i]);
	out->frames = l->frames;
	out->nframes = l->n;
}

void vz_aio_awaits(struct vz_aio *a, size_t i)
{
	struct looking *l = calloc(1, sizeof(*l));

	if (!l)
		return;
	l->a = a;
	l->task = i;
	set_state(a, &a->tasks[i], &a->out[i]);
	copy_frames(l);
	if (a->out[i].state == VZ_TASK_WAITING)
		say_what(l);
	free(l);
}
