/* SPDX-License-Identifier: MIT */
/*
 * preflight.h - may we, and is it safe?  Every refusal that can be known
 * without stopping the target lives here, as a row of a table, each with its
 * reason and its fix.  Nothing here changes the target.
 *
 * preflight.c: the process.  preflight_access.c: may we touch it.
 * preflight_room.c: is there room for what we bring.  preflight_python.c: CPython.
 */
#ifndef VZ_ATTACH_PREFLIGHT_H
#define VZ_ATTACH_PREFLIGHT_H

#include "attach/check.h"
#include "attach/pyver.h"

/* What the caller is going to do. */
struct vz_wish {
	bool override_opt_out; /* PYTHON_DISABLE_REMOTE_DEBUG does not count */
	bool override_limits;  /* nor does a lack of memory or threads */
	bool hurry;            /* never wait for a state to pass */
	uint64_t ring_bytes;
};

/* What was found in the target's memory. */
struct vz_inside {
	const struct vz_maps *maps;
	const struct vz_objects *objects;
	const struct vz_python *python;
};

/**
 * Checks that need no access to the target's memory, in the order in which a
 * person would ask: zombie (3), thread of the kernel (5), already traced and by
 * whom (6), frozen, stopped or in uninterruptible sleep (7), no access to its memory
 * (4: other user, capabilities, user namespace, non-dumpable, Yama, an LSM), shadow
 * stack, strict seccomp (7), opt-out (4), no room for memory or threads (7).
 * Opens TARGET->mem_fd if it may.  ERR is that of the first refusal.
 */
int vz_preflight_process(struct vz_target *target, const struct vz_wish *wish,
			 struct vz_findings *findings, struct vz_err *err);

/**
 * Checks inside CPython by reading memory: another vizattach (6), finalizing (7),
 * structures that are not the table's (5), a foreign profile function in any thread
 * state (6, with the thread and, where it can be told, which) or frame evaluator (6) on
 * 3.8-3.11; whether all sys.monitoring ids are taken is left to the agent.  That a thread
 * holds the GIL while it waits in a system call is a warning.
 */
int vz_preflight_python(const struct vz_target *target, const struct vz_inside *inside,
			const struct vz_wish *wish, struct vz_findings *findings,
			struct vz_err *err);

/**
 * Right before the first stop: is it still the process, and the program, that was
 * examined?  Pidfd, start time and address space must agree.  Exit 3.
 */
int vz_preflight_again(const struct vz_target *target, const struct vz_python *python,
		       struct vz_err *err);

/** Is its interpreter shutting down?  False as well where that cannot be read. */
bool vz_python_is_finalizing(const struct vz_target *target, const struct vz_python *python);

/** Is a payload of ours mapped? */
bool vz_preflight_occupied(const struct vz_maps *maps);

/** How CPython's GIL looked when it was watched. */
struct vz_gil {
	bool known; /* false: the structures could not be read */
	bool moved; /* it changed hands, or was free, while watched */
	bool locked;
	uint64_t holder;  /* PyThreadState that held it all the time, 0: none */
	pid_t holder_tid; /* kernel thread, 0: unknown */
};

/** A number that is another one whenever the GIL changed hands; 0: free, or not known. */
uint64_t vz_gil_turn(const struct vz_target *target, const struct vz_python *python);
/** Look at the GIL for up to WINDOW_NS; never fails, .known tells. */
void vz_gil_watch(const struct vz_target *target, const struct vz_python *python,
		  uint64_t window_ns, struct vz_gil *ret);

#endif /* VZ_ATTACH_PREFLIGHT_H */
