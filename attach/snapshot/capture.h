/* SPDX-License-Identifier: MIT */
/*
 * capture.h - a copy of one thread: registers, stack, Python frames, all of one moment.
 *
 * A thread that sleeps is not stopped: its stack is copied, and that it slept in the same
 * call before and after, without having run in between, proves that the copy is whole.  Its
 * callee-saved registers are then unknown, which unwinding hardly ever needs.  Only a thread
 * that runs, or whose stack cannot be followed without them, is stopped, while its registers
 * and stack are copied.  What ptrace leaves in a thread after that: nothing.
 */
#ifndef VZ_ATTACH_SNAPSHOT_CAPTURE_H
#define VZ_ATTACH_SNAPSHOT_CAPTURE_H

#include "attach/arch.h"
#include "attach/snapshot/python/pystack.h"
#include "attach/snapshot/snapshot.h"

enum { VZ_CAPTURE_FRAMES = 1 << 16 };

/* The parts that a look needs; each may be left out. */
enum vz_capture_what {
	VZ_CAPTURE_PYTHON = 1,
	VZ_CAPTURE_STACK = 2,
};

struct vz_capture {
	struct vz_bytes bytes; /* first: the stack's copy, and the process behind it */
	const struct vz_target *under;
	struct vz_target view; /* a target that reads through .bytes: for unwinding */
	enum vz_copied copied;
	uint64_t stopped_ns;
	struct vz_task task; /* state, system call */
	bool has_cpu;
	bool registers_known; /* all of them, not just where it is */
	struct vz_cpu cpu;
	uint64_t stack_start;
	size_t stack_len, stack_room;
	uint8_t *stack;
	struct vz_pyframe *frames; /* room for VZ_CAPTURE_FRAMES */
	size_t nframes;
	int python_rc;    /* of the walk; -ENOENT: it has no Python state */
	bool late;        /* it was to be stopped, and did not stop in time */
	const char *note; /* why something is missing; static, "" */
};

/** Buffers for one thread after the other.  -ENOMEM. */
int vz_capture_new(const struct vz_target *target, struct vz_capture **ret);
void vz_capture_free(struct vz_capture *c);

struct vz_capture_wish {
	unsigned what;
	uint64_t tstate; /* 0: none */
	uint64_t ident;  /* 0: unknown */
	bool no_stop;
	bool stop_sleeper; /* its registers are needed: stop it though it sleeps, if that is
			      harmless */
};
/** Copy thread TID; -ESRCH: it has ended.  All else is told by what is in C. */
int vz_capture_thread(struct vz_capture *c, const struct vz_py *py, const struct vz_maps *maps,
		      pid_t tid, const struct vz_capture_wish *wish);
/** The same from a core dump: CPU as it was. */
void vz_capture_core(struct vz_capture *c, const struct vz_py *py, const struct vz_maps *maps,
		     const struct vz_cpu *cpu, const struct vz_capture_wish *wish);

#endif /* VZ_ATTACH_SNAPSHOT_CAPTURE_H */
