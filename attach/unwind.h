/* SPDX-License-Identifier: MIT */
/*
 * unwind.h - the native stack of a stopped thread, from its registers and memory.
 *
 * Unwinding is libunwind's; where the tables are is ours: they are read out of
 * the target's memory through the program headers, so binaries that were deleted
 * or replaced under a running service, and those of other roots, work like any
 * other.  libunwind alone takes a stack that it cannot follow for a complete one;
 * here the end of each stack is told apart.
 */
#ifndef VZ_ATTACH_UNWIND_H
#define VZ_ATTACH_UNWIND_H

#include "attach/arch.h"
#include "attach/elfsym.h"

enum { VZ_UNWIND_MAX = 1 << 16 }; /* frames; a Python call is up to five of them */

enum vz_unwind_end {
	VZ_UNWIND_ROOT,    /* the last frame says of itself that nothing called it */
	VZ_UNWIND_UNKNOWN, /* no unwind information for the last frame's code */
	VZ_UNWIND_BROKEN,  /* memory that is not there, or a stack that does not go upwards */
	VZ_UNWIND_DEEP,    /* more than VZ_UNWIND_MAX frames */
};

struct vz_native_frame {
	uint64_t pc;     /* the first: where it stands; others: what they return to */
	uint64_t sp;     /* its stack pointer there: its own part of the stack begins here */
	bool exact;      /* no call lies before .pc: it stands there, or a signal came there */
	bool trampoline; /* the way back from a signal handler, which is the frame before */
};

struct vz_native_stack {
	enum vz_unwind_end end;
	size_t count;
	struct vz_native_frame frames[VZ_UNWIND_MAX]; /* innermost first; allocate it */
};

struct vz_unwinder;

/**
 * What is given must outlive it.  What it learns of tables is kept, so that
 * stops are short; make a new one when the target has mapped other code.  -ENOMEM.
 */
int vz_unwinder_new(const struct vz_target *target, const struct vz_maps *maps,
		    const struct vz_objects *objects, struct vz_unwinder **ret);
void vz_unwinder_free(struct vz_unwinder *unwinder);

/** Follow the stack of a thread that is stopped in state CPU; never fails, RET->end tells. */
void vz_unwind(struct vz_unwinder *unwinder, const struct vz_cpu *cpu, struct vz_native_stack *ret);

#endif /* VZ_ATTACH_UNWIND_H */
