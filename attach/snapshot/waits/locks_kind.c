/* SPDX-License-Identifier: MIT */
/*
 * locks_kind.c - what a lock is for: by the functions of the standard library that wait for
 * it.  A waiter of a Condition, and of what is built on one, sleeps for a fresh lock of its
 * own that nobody owns; who will notify is not known.
 */
#include <stdio.h>
#include <string.h>

#include "attach/snapshot/waits/locks_priv.h"
#include "attach/snapshot/waits/sight.h"

enum { MAX_LOCALS = 64, MAX_NAMES = 64, MAX_ROLES = 8, NAME_FRAMES = 3 };

/* ---- how the code calls it ---- */

struct names {
	char text[MAX_NAMES][VZ_PYNAME_MAX];
	size_t count;
};

/* Names of attributes and globals in the code of a frame. */
static void read_names(const struct vz_py *py, uint64_t code, struct names *ret)
{
	uint64_t tuple, items[MAX_NAMES];
	ssize_t n;

	ret->count = 0;
	if (vz_py_word(py, code + py->at.co_names, &tuple) < 0)
		return;
	n = vz_pyobj_items(py, tuple, items, MAX_NAMES);
	for (ssize_t i = 0; i < n; i++) {
		if (vz_pyobj_text(py, items[i], ret->text[ret->count], VZ_PYNAME_MAX) == 0)
			ret->count++;
	}
}

static const char *name_in_locals(struct vz_locks *l, const struct vz_pylocal *locals, ssize_t n,
				  uint64_t obj)
{
	for (ssize_t i = 0; i < n; i++) {
		if (locals[i].value == obj && strcmp(locals[i].name, "self") != 0)
			return vz_arena_text(l->scene->snapshot->arena, locals[i].name);
	}
	return NULL;
}

static const char *name_in_attributes(struct vz_locks *l, const struct vz_pylocal *local,
				      const struct names *names, uint64_t obj)
{
	const struct vz_py *py = l->scene->py;
	uint64_t value;

	for (size_t i = 0; local->value && i < names->count; i++) {
		if (vz_pyobj_attr(py, local->value, names->text[i], &value) == 0 && value == obj)
			return vz_arena_format(l->scene->snapshot->arena, "%s.%s", local->name,
					       names->text[i]);
	}
	return NULL;
}

static const char *name_in_globals(struct vz_locks *l, const struct vz_pyframe *frame,
				   const struct names *names, uint64_t obj)
{
	const struct vz_py *py = l->scene->py;
	uint32_t offset = py->at.minor < 11 ? py->at.fr_globals : py->at.if_globals;
	uint64_t globals, value;

	if (offset == VZ_NO_OFFSET || vz_py_word(py, frame->raddr + offset, &globals) < 0)
		return NULL;
	globals &= ~py->at.ref_mask;
	for (size_t i = 0; i < names->count; i++) {
		if (vz_pydict_get(py, globals, names->text[i], &value) == 0 && value == obj)
			return vz_arena_text(l->scene->snapshot->arena, names->text[i]);
	}
	return NULL;
}

static const char *name_in_frame(struct vz_locks *l, const struct vz_pyframe *frame, uint64_t obj)
{
	struct vz_pylocal locals[MAX_LOCALS];
	struct names names;
	ssize_t n = vz_pyframe_locals(l->scene->py, frame, locals, MAX_LOCALS);
	const char *found = name_in_locals(l, locals, n, obj);

	if (found)
		return found;
	read_names(l->scene->py, frame->code, &names);
	for (ssize_t i = 0; i < n && i < 4; i++) {
		found = name_in_attributes(l, &locals[i], &names, obj);
		if (found)
			return found;
	}
	return name_in_globals(l, frame, &names, obj);
}

/* The object of the standard library that THREAD enters or acquires, and that has the lock. */
static uint64_t wrapper_of(struct vz_locks *l, size_t thread)
{
	static const char *const functions[] = { "__enter__", "acquire" };
	static const char *const files[] = { "threading.py", "multiprocessing/synchronize.py",
					     "logging/__init__.py" };
	uint64_t self;

	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < sizeof(files) / sizeof(files[0]); j++) {
			if (vz_sight_at(l->scene, thread, 0, files[j], functions[i], NULL, &self))
				return self;
		}
	}
	return 0;
}

const char *vz_lock_name(struct vz_locks *l, size_t thread, uint64_t obj)
{
	const struct vz_raw_stack *raw = &l->scene->raw[thread];
	uint64_t wrapper = wrapper_of(l, thread);
	const char *found;

	/* In the standard library's own words it would be "self._lock". */
	for (size_t i = wrapper != 0; i < NAME_FRAMES && i < raw->count; i++) {
		found = name_in_frame(l, &raw->frames[i], wrapper ? wrapper : obj);
		if (found)
			return found;
	}
	return "";
}

/* ---- conditions and what is built on them ---- */

struct role {
	const char *file, *function, *class;
	const char *kind; /* NULL: that of the frame before */
	const char *says;
};

static const struct role roles[] = {
	{ "threading.py", "wait", "Condition", "threading.Condition", "threading.Condition.wait" },
	{ "threading.py", "wait_for", "Condition", NULL, "threading.Condition.wait_for" },
	{ "threading.py", "wait", "Event", "threading.Event", "threading.Event.wait" },
	{ "threading.py", "acquire", "Semaphore", "threading.Semaphore",
	  "threading.Semaphore.acquire" },
	{ "threading.py", "_wait", "Barrier", "threading.Barrier", "threading.Barrier.wait" },
	{ "threading.py", "_enter", "Barrier", "threading.Barrier", "threading.Barrier.wait" },
	{ "threading.py", "wait", "Barrier", "threading.Barrier", "threading.Barrier.wait" },
	{ "threading.py", "start", "Thread", NULL, "threading.Thread.start" },
	{ "queue.py", "get", "Queue", NULL, "queue.Queue.get" },
	{ "queue.py", "put", "Queue", NULL, "queue.Queue.put" },
	{ "queue.py", "join", "Queue", NULL, "queue.Queue.join" },
	{ "concurrent/futures/_base.py", "result", "Future", NULL,
	  "concurrent.futures.Future.result" },
	{ "concurrent/futures/_base.py", "exception", "Future", NULL,
	  "concurrent.futures.Future.exception" },
	{ "concurrent/futures/_base.py", "as_completed", NULL, NULL,
	  "concurrent.futures.as_completed" },
	{ "concurrent/futures/_base.py", "wait", NULL, NULL, "concurrent.futures.wait" },
	{ "multiprocessing/pool.py", "wait", "ApplyResult", NULL,
	  "multiprocessing.pool.AsyncResult.wait" },
	{ "multiprocessing/pool.py", "get", "ApplyResult", NULL,
	  "multiprocessing.pool.AsyncResult.get" },
	{ "multiprocessing/pool.py", "next", "IMapIterator", NULL,
	  "multiprocessing.pool.Pool.imap" },
};

static const struct role *role_at(struct vz_locks *l, size_t thread, size_t i, uint64_t *self)
{
	for (size_t j = 0; j < sizeof(roles) / sizeof(roles[0]); j++) {
		if (vz_sight_at(l->scene, thread, i, roles[j].file, roles[j].function,
				roles[j].class, self))
			return &roles[j];
	}
	return NULL;
}

/* Is it the fresh lock of a waiter, and not the one that belongs to the condition? */
static bool is_waiter(struct vz_locks *l, size_t thread, uint64_t lock, uint64_t *condition)
{
	uint64_t waiter;

	return vz_sight_at(l->scene, thread, 0, "threading.py", "wait", "Condition", condition) &&
	       vz_pyframe_local(l->scene->py, &l->scene->raw[thread].frames[0], "waiter",
				&waiter) == 0 &&
	       waiter == lock;
}

static bool describe_role(struct vz_locks *l, size_t thread, const struct vz_lock_raw *raw,
			  struct vz_snap_lock *ret)
{
	const struct role *role;
	uint64_t self;

	if (!is_waiter(l, thread, raw->object, &self))
		return false;
	ret->kind = "threading.Condition";
	ret->name = "threading.Condition.wait";
	ret->raddr = self;
	for (size_t i = 1; i < MAX_ROLES; i++) {
		role = role_at(l, thread, i, &self);
		if (!role)
			break;
		ret->kind = role->kind ? role->kind : ret->kind;
		ret->name = role->says;
		ret->raddr = self ? self : ret->raddr;
	}
	return true;
}

/* ---- locks with a purpose ---- */

static bool describe_import(struct vz_locks *l, size_t thread, const struct vz_lock_raw *raw,
			    struct vz_snap_lock *ret)
{
	const struct vz_py *py = l->scene->py;
	uint64_t self, wakeup, name;
	char module[VZ_PYNAME_MAX];

	if (!vz_sight_at(l->scene, thread, 0, "<frozen importlib._bootstrap>", "acquire",
			 "_ModuleLock", &self) ||
	    vz_pyobj_attr(py, self, "wakeup", &wakeup) < 0 || wakeup != raw->object ||
	    vz_pyobj_attr(py, self, "name", &name) < 0 ||
	    vz_pyobj_text(py, name, module, sizeof(module)) < 0)
		return false;
	ret->raddr = self;
	ret->kind =
		vz_arena_format(l->scene->snapshot->arena, "import lock of module '%s'", module);
	ret->name = "import";
	return true;
}

static void describe_logging(struct vz_locks *l, size_t thread, struct vz_snap_lock *ret)
{
	struct vz_snap_frame frame;
	uint64_t self;
	char class[64];

	for (size_t i = 0; i < 2; i++) {
		if (vz_sight_at(l->scene, thread, i, "logging/__init__.py", "acquire", "Handler",
				&self) ||
		    vz_sight_at(l->scene, thread, i, "logging/__init__.py", "handle", "Handler",
				&self)) {
			vz_pyobj_type_name(l->scene->py, self, class, sizeof(class));
			ret->name = vz_arena_format(l->scene->snapshot->arena,
						    "lock of a logging handler (%s)", class);
			return;
		}
		if (vz_sight_frame(l->scene, thread, i, &frame) &&
		    (vz_sight_is(&frame, "logging/__init__.py", "_acquireLock") ||
		     (vz_sight_is(&frame, "logging/__init__.py", vz_sight_function(&frame)) &&
		      strcmp(ret->name, "_lock") == 0))) {
			ret->name = "lock of the logging module";
			return;
		}
		/* A handler that waits for a lock of its own is called by handle(), too. */
		if (!vz_sight_frame(l->scene, thread, 0, &frame) ||
		    (!vz_sight_is(&frame, "threading.py", vz_sight_function(&frame)) &&
		     !vz_sight_is(&frame, "logging/__init__.py", vz_sight_function(&frame))))
			return;
	}
}

static const char *kind_of(const struct vz_locks *l, const struct vz_lock_raw *raw)
{
	char type[64];

	switch (raw->what) {
	case VZ_LOCK_PLAIN:
		return "threading.Lock";
	case VZ_LOCK_R:
		return "threading.RLock";
	case VZ_LOCK_SEM:
		return "multiprocessing.Lock";
	case VZ_LOCK_QUEUE:
		return "queue.SimpleQueue";
	default:
		vz_pyobj_type_name(l->scene->py, raw->object, type, sizeof(type));
		return vz_arena_format(l->scene->snapshot->arena, "lock of %s", type);
	}
}

/* Condition(lock), the lock of the Python implementation of RLock: its owner is in there. */
static uint64_t python_recursive(struct vz_locks *l, size_t thread, const struct vz_lock_raw *raw)
{
	uint64_t self, block;

	if ((vz_sight_at(l->scene, thread, 0, "threading.py", "acquire", "_RLock", &self) ||
	     vz_sight_at(l->scene, thread, 0, "threading.py", "__enter__", "_RLock", &self)) &&
	    vz_pyobj_attr(l->scene->py, self, "_block", &block) == 0 && block == raw->object)
		return self;
	return 0;
}

void vz_lock_describe(struct vz_locks *l, size_t thread, const struct vz_lock_raw *raw,
		      struct vz_snap_lock *ret, bool *role)
{
	uint64_t self;

	*ret = (struct vz_snap_lock){ .raddr = raw->object,
				      .name = "",
				      .note = "",
				      .owner = -1,
				      .private_to_process = raw->what != VZ_LOCK_SEM };
	*role = describe_role(l, thread, raw, ret) || raw->what == VZ_LOCK_QUEUE;
	if (raw->what == VZ_LOCK_QUEUE) {
		ret->kind = "queue.SimpleQueue";
		ret->name = "queue.SimpleQueue.get";
	}
	if (*role || describe_import(l, thread, raw, ret))
		return;
	self = python_recursive(l, thread, raw);
	ret->kind = self ? "threading.RLock" : kind_of(l, raw);
	ret->raddr = self ? self : raw->object;
	ret->name = vz_lock_name(l, thread, ret->raddr);
	describe_logging(l, thread, ret);
}

/* ---- join ---- */

static int thread_of_object(struct vz_locks *l, uint64_t self)
{
	uint64_t ident;
	int64_t value;

	if (vz_pyobj_attr(l->scene->py, self, "_ident", &ident) < 0 ||
	    vz_pyobj_int(l->scene->py, ident, &value) < 0)
		return -1;
	return vz_snapshot_by_ident(l->scene->snapshot, (uint64_t)value);
}

int vz_lock_joins(struct vz_locks *l, size_t thread, bool *joining)
{
	uint64_t self;
	size_t i = 0;

	*joining = false;
	if (vz_sight_at(l->scene, thread, 0, "threading.py", "_wait_for_tstate_lock", "Thread",
			&self))
		i = 1; /* 3.8 - 3.12 */
	if (!vz_sight_at(l->scene, thread, i, "threading.py", "join", "Thread", &self))
		return -1;
	*joining = i == 1 || l->scene->py->at.minor >= 13;
	return *joining ? thread_of_object(l, self) : -1;
}
