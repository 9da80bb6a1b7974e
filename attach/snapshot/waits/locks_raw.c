/* SPDX-License-Identifier: MIT */
/*
 * locks_raw.c - a lock as it is in memory.  To 3.13 the lock of a Lock or RLock is a POSIX
 * semaphore, and the word that a waiter sleeps on is its first one.  From 3.14 on it is a
 * byte of a PyMutex; who waits for it sleeps on a semaphore of its own, which follows the
 * address of that byte in an entry of the parking lot.
 */
#include <errno.h>
#include <string.h>

#include "attach/snapshot/waits/locks_priv.h"

enum {
	WAIT_ADDRESS = 8, /* struct wait_entry: from .addr to .sema */
	INSIDE_WORDS = 32,
};

static enum vz_lock_class class_by_name(const char *name)
{
	static const struct {
		const char *name;
		enum vz_lock_class what;
	} classes[] = {
		{ "_thread.lock", VZ_LOCK_PLAIN },
		{ "_thread.RLock", VZ_LOCK_R },
		{ "_multiprocessing.SemLock", VZ_LOCK_SEM },
		{ "_queue.SimpleQueue", VZ_LOCK_QUEUE },
		{ "_io.BufferedReader", VZ_LOCK_BUFFERED },
		{ "_io.BufferedWriter", VZ_LOCK_BUFFERED },
		{ "_io.BufferedRandom", VZ_LOCK_BUFFERED },
		{ "builtin_function_or_method", VZ_LOCK_BUILTIN },
		{ "method", VZ_LOCK_METHOD },
	};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (strcmp(classes[i].name, name) == 0)
			return classes[i].what;
	}
	return VZ_LOCK_OTHER;
}

enum vz_lock_class vz_lock_class(struct vz_locks *l, uint64_t obj)
{
	struct vz_lock_types *types = &l->types;
	const struct vz_py *py = l->scene->py;
	enum vz_lock_class what;
	uint64_t type;
	char name[64];

	if (!obj || (obj & 7) || vz_py_word(py, obj + py->at.ob_type, &type) < 0 || !type)
		return VZ_LOCK_OTHER;
	for (size_t i = 0; i < VZ_LOCK_TYPES; i++) {
		if (types->type[i] == type)
			return types->what[i];
	}
	vz_pyobj_type_name(py, obj, name, sizeof(name));
	what = class_by_name(name);
	if (name[0]) {
		types->type[types->next] = type;
		types->what[types->next] = (uint8_t)what;
		types->next = (types->next + 1) % VZ_LOCK_TYPES;
	}
	return what;
}

/* What is left of an object that was freed has a link of a free list where its count was. */
static bool is_alive(const struct vz_py *py, uint64_t obj)
{
	uint64_t count;

	if (py->at.free_threaded)
		return true;
	return vz_py_word(py, obj + py->at.ob_refcnt, &count) == 0 && count && count >> 32 == 0;
}

/* From 3.14 on, and in later 3.13, whose type is smaller, the lock is a byte of the object. */
static bool is_inside(const struct vz_py *py, const struct vz_lock_raw *raw)
{
	uint64_t type, size;

	if (py->at.minor != 13)
		return py->at.minor >= 14;
	return vz_pyobj_type(py, raw->object, &type) == 0 &&
	       vz_py_word(py, type + py->at.tp_basicsize, &size) == 0 &&
	       (raw->what == VZ_LOCK_PLAIN ? size <= py->at.lo_locked : false);
}

static int read_plain(const struct vz_py *py, struct vz_lock_raw *ret)
{
	bool inside = is_inside(py, ret);
	uint8_t locked;

	if (vz_py_u8(py, ret->object + (inside ? py->at.lo_lock : py->at.lo_locked), &locked) < 0)
		return -EFAULT;
	ret->locked = locked & 1;
	return 0;
}

static int read_recursive(const struct vz_py *py, struct vz_lock_raw *ret)
{
	uint64_t owner, count;
	uint8_t locked;

	if (vz_py_word(py, ret->object + py->at.rl_owner, &owner) < 0 ||
	    vz_py_word(py, ret->object + py->at.rl_count, &count) < 0 ||
	    vz_py_u8(py, ret->object + py->at.rl_lock, &locked) < 0)
		return -EFAULT;
	/* From 3.14 on the count is how often again. */
	ret->locked = py->at.minor >= 14 ? (locked & 1) : count != 0;
	ret->owner = ret->locked ? owner : 0;
	return 0;
}

/* The offset in OBJ of a pointer to the lock that somebody sleeps on at FUTEX. */
static int find_inside(const struct vz_py *py, uint64_t obj, uint64_t futex, uint64_t *owner)
{
	uint64_t words[INSIDE_WORDS];

	if (!futex || vz_target_read(py->target, obj, words, sizeof(words)) < 0)
		return -EFAULT;
	for (size_t i = 2; i + 1 < INSIDE_WORDS; i++) {
		if (words[i] == futex) {
			*owner = words[i + 1];
			return 0;
		}
	}
	return -ENOENT;
}

int vz_lock_raw(const struct vz_py *py, uint64_t obj, enum vz_lock_class what, uint64_t futex,
		struct vz_lock_raw *ret)
{
	*ret = (struct vz_lock_raw){ .what = what, .object = obj };
	if (!is_alive(py, obj))
		return -EINVAL;
	switch (what) {
	case VZ_LOCK_PLAIN:
		return read_plain(py, ret);
	case VZ_LOCK_R:
		return read_recursive(py, ret);
	case VZ_LOCK_SEM:
		ret->locked = true;
		return 0;
	case VZ_LOCK_QUEUE:
		ret->locked = true;
		return 0;
	case VZ_LOCK_BUFFERED:
		ret->locked = true;
		return find_inside(py, obj, futex, &ret->owner);
	default:
		return -EINVAL;
	}
}

bool vz_lock_sleeps(const struct vz_py *py, const struct vz_lock_raw *raw, uint64_t futex)
{
	uint64_t word, ignored;

	if (!futex)
		return false;
	switch (raw->what) {
	case VZ_LOCK_PLAIN:
	case VZ_LOCK_R:
		word = raw->object + (raw->what == VZ_LOCK_R ? py->at.rl_lock : py->at.lo_lock);
		if (is_inside(py, raw)) {
			uint64_t parked;

			return vz_py_word(py, futex - WAIT_ADDRESS, &parked) == 0 && parked == word;
		}
		return vz_py_word(py, word, &word) == 0 && word == futex;
	case VZ_LOCK_SEM:
		/* SemLockObject.handle follows the head */
		return vz_py_word(py, raw->object + py->at.ob_type + 8, &word) == 0 &&
		       word == futex;
	case VZ_LOCK_QUEUE:
		if (py->at.minor >= 13) /* parked on a byte of the queue */
			return vz_py_word(py, futex - WAIT_ADDRESS, &word) == 0 &&
			       word > raw->object && word < raw->object + 8 * INSIDE_WORDS;
		return find_inside(py, raw->object, futex, &ignored) == 0;
	case VZ_LOCK_BUFFERED:
		return true; /* as it was found */
	default:
		return false;
	}
}
