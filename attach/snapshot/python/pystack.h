/* SPDX-License-Identifier: MIT */
/*
 * pystack.h - interpreters, threads and Python frames from outside.  In two steps: the walk
 * is short, for a thread that is stopped; names and lines are looked up when it runs again.
 */
#ifndef VZ_ATTACH_SNAPSHOT_PYSTACK_H
#define VZ_ATTACH_SNAPSHOT_PYSTACK_H

#include "attach/snapshot/python/pyobj.h"

/* A PyThreadState. */
struct vz_pythread {
	uint64_t raddr;
	uint64_t interp;
	int64_t interp_id;
	uint64_t ident;   /* threading.get_ident(): pthread_self */
	pid_t native_tid; /* as the target numbers it; from struct pthread before 3.11; 0: unknown
			   */
};

/** All thread states of all interpreters, at most MAX; returns how many there are, negative errno.
 */
ssize_t vz_pythreads_read(const struct vz_py *py, struct vz_pythread *ret, size_t max);

/* One Python frame as it was found, innermost first.  What C code has no part in follows on. */
struct vz_pyframe {
	uint64_t raddr; /* PyFrameObject (to 3.10) or _PyInterpreterFrame */
	uint64_t code;
	int32_t instr; /* byte offset of the current instruction, -1: not begun, -2: unknown */
	bool entry; /* the evaluator was called from C for it: the frame before (outside) is below
		       a native frame of the evaluator */
	bool generator;   /* its memory is a generator's or coroutine's */
	uint64_t c_stack; /* an address on the C stack inside the evaluator's frame that runs this
			     frame (3.10+: CFrame, 3.12+: entry frame), for the .entry one; 0:
			     unknown */
};

/**
 * The frames of TSTATE; frames that are still being set up are left out.  Returns how many, at
 * most MAX; -E2BIG would be more; other negative errno: memory does not make sense.  That happens
 * to one stop of a running thread in a thousand, between two instructions of CPython's own (3.11,
 * 3.12), and more often without a stop: let it run, and try again.
 */
ssize_t vz_pystack_walk(const struct vz_py *py, uint64_t tstate, struct vz_pyframe *frames,
			size_t max);
/** Likewise from the frame at RADDR on, which no thread has: a parked greenlet's. */
ssize_t vz_pystack_follow(const struct vz_py *py, uint64_t raddr, struct vz_pyframe *frames,
			  size_t max);
/** The frame of a generator or coroutine that is suspended, not begun or running; -ENOENT: ended.
 */
int vz_pygen_frame(const struct vz_py *py, uint64_t gen, struct vz_pyframe *ret);
/** What a suspended generator or coroutine awaits (yield from, await): any object; -ENOENT. */
int vz_pygen_awaits(const struct vz_py *py, uint64_t gen, uint64_t *ret);

enum { VZ_PYNAME_MAX = 256, VZ_PYPATH_MAX = 1024 };
struct vz_pyplace {
	char name[VZ_PYNAME_MAX]; /* qualified where the version has it (3.11+) */
	char file[VZ_PYPATH_MAX];
	uint32_t line; /* 0: unknown */
	uint32_t first_line;
};
/** Names and line of a frame.  Negative errno: its code is gone or is no code. */
int vz_pyframe_place(const struct vz_py *py, const struct vz_pyframe *frame,
		     struct vz_pyplace *ret);

/** Value of a local variable (cells are followed); -ENOENT: no such, or not bound. */
int vz_pyframe_local(const struct vz_py *py, const struct vz_pyframe *frame, const char *name,
		     uint64_t *ret);
struct vz_pylocal {
	char name[VZ_PYNAME_MAX];
	uint64_t value; /* 0: not bound */
};
/** Locals in the order of the code, at most MAX; returns how many. */
ssize_t vz_pyframe_locals(const struct vz_py *py, const struct vz_pyframe *frame,
			  struct vz_pylocal *locals, size_t max);
/**
 * The value stack, bottom first, all co_stacksize slots that hold something that is or
 * was an object: in a running frame its height is not recorded, so slots above it are
 * stale.  Returns how many, at most MAX.
 */
ssize_t vz_pyframe_stack(const struct vz_py *py, const struct vz_pyframe *frame, uint64_t *values,
			 size_t max);

#endif /* VZ_ATTACH_SNAPSHOT_PYSTACK_H */
