/* SPDX-License-Identifier: MIT */
/*
 * locks_find.c - which lock a thread sleeps for.  A call of acquire(), or "with", is made by
 * the innermost Python frame, and leaves the lock, or a method bound to it, on its value
 * stack or in its locals.  Slots may be stale: only the word that the thread sleeps on is
 * proof.
 */
#include <errno.h>
#include <string.h>

#include "attach/snapshot/waits/locks_priv.h"
#include "attach/util.h"

enum {
	MAX_STACK = 256,
	MAX_LOCALS = 64,
	/* pthread_mutex_t of glibc on 64-bit CPUs */
	MUTEX_BYTES = 24,
	MUTEX_TYPES = 3, /* normal, recursive, error checking, adaptive */
	MUTEX_PRIVATE_ELISION = 0x300,
	MUTEX_PSHARED = 0x80,
	/* The first word of a mutex, or within a condition's: from the futex word back */
	MUTEX_WAITED = 2,
};

/* ---- the GIL ---- */

bool vz_lock_is_gil(const struct vz_locks *l, const struct vz_snap_thread *t)
{
	const struct vz_py *py = l->scene->py;
	uint64_t interp, gil;

	if (!t->wait.futex || !t->tstate)
		return false;
	if (py->at.rt_gil != VZ_NO_OFFSET) {
		gil = py->runtime + py->at.rt_gil;
	} else if (py->at.is_gil == VZ_NO_OFFSET ||
		   vz_py_word(py, t->tstate + py->at.ts_interp, &interp) < 0 ||
		   vz_py_word(py, interp + py->at.is_gil, &gil) < 0 || !gil) {
		return false;
	}
	return t->wait.futex >= gil && t->wait.futex < gil + py->at.gil_bytes;
}

/* ---- locks of Python ---- */

static bool is_it(struct vz_locks *l, uint64_t obj, uint64_t futex, struct vz_lock_raw *ret)
{
	const struct vz_py *py = l->scene->py;
	enum vz_lock_class what = vz_lock_class(l, obj);

	if (what == VZ_LOCK_BUILTIN) {
		if (vz_pyobj_self(py, obj, &obj) < 0 || !obj)
			return false;
		what = vz_lock_class(l, obj);
	}
	if (what == VZ_LOCK_OTHER || what >= VZ_LOCK_BUILTIN)
		return false;
	return vz_lock_raw(py, obj, what, futex, ret) == 0 && vz_lock_sleeps(py, ret, futex);
}

/* Attributes under which classes of the standard library keep their locks. */
static bool in_attributes(struct vz_locks *l, uint64_t obj, uint64_t futex, struct vz_lock_raw *ret)
{
	static const char *const names[] = { "_lock",  "_block",   "mutex",        "lock",
					     "wakeup", "_semlock", "_tstate_lock", "_mutex" };
	const struct vz_py *py = l->scene->py;
	uint64_t value;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (vz_pyobj_attr(py, obj, names[i], &value) == 0 && is_it(l, value, futex, ret))
			return true;
	}
	return false;
}

static bool on_stack(struct vz_locks *l, const struct vz_pyframe *frame, uint64_t futex,
		     struct vz_lock_raw *ret)
{
	uint64_t values[MAX_STACK];
	ssize_t n = vz_pyframe_stack(l->scene->py, frame, values, MAX_STACK);

	while (n-- > 0) { /* the newest are on top */
		if (is_it(l, values[n], futex, ret))
			return true;
	}
	return false;
}

static bool in_locals(struct vz_locks *l, const struct vz_pyframe *frame, uint64_t futex,
		      struct vz_lock_raw *ret)
{
	struct vz_pylocal locals[MAX_LOCALS];
	ssize_t n = vz_pyframe_locals(l->scene->py, frame, locals, MAX_LOCALS);

	for (ssize_t i = 0; i < n; i++) {
		if (locals[i].value && is_it(l, locals[i].value, futex, ret))
			return true;
	}
	for (ssize_t i = 0; i < n && i < 4; i++) {
		if (locals[i].value && in_attributes(l, locals[i].value, futex, ret))
			return true;
	}
	return false;
}

bool vz_lock_find(struct vz_locks *l, size_t thread, struct vz_lock_raw *ret)
{
	const struct vz_raw_stack *raw = &l->scene->raw[thread];
	uint64_t futex = l->scene->snapshot->threads[thread].wait.futex;

	if (!futex || raw->count == 0)
		return false;
	return on_stack(l, &raw->frames[0], futex, ret) ||
	       in_locals(l, &raw->frames[0], futex, ret);
}

/* ---- mutexes of the C library ---- */

struct mutex {
	uint32_t lock, count, owner, users;
	int32_t kind;
	uint32_t spins;
};

bool vz_lock_mutex(const struct vz_locks *l, uint64_t futex, uint64_t *ret_mutex, int *ret_owner,
		   bool *ret_private)
{
	const struct vz_snapshot *s = l->scene->snapshot;
	struct mutex m;

	_Static_assert(sizeof(m) == MUTEX_BYTES, "as glibc has it");
	if (!futex || (futex & 7) || vz_target_read(l->scene->target, futex, &m, sizeof(m)) < 0)
		return false;
	/* 2: locked, and somebody waits */
	if (m.lock != MUTEX_WAITED || !m.owner || !m.users || m.users > s->nthreads ||
	    (m.kind & ~(MUTEX_TYPES | MUTEX_PRIVATE_ELISION | MUTEX_PSHARED)) != 0)
		return false;
	for (size_t i = 0; i < s->nthreads; i++) {
		if ((uint32_t)s->threads[i].ns_tid == m.owner) {
			*ret_mutex = futex;
			*ret_owner = (int)i;
			*ret_private = !(m.kind & MUTEX_PSHARED);
			return true;
		}
	}
	return false;
}
