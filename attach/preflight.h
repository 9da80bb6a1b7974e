/* SPDX-License-Identifier: MIT */
/*
 * preflight.h - may we, and is it safe?  Every refusal that can be known
 * without stopping the target lives here, each with its reason and its fix.
 */
#ifndef VZ_ATTACH_PREFLIGHT_H
#define VZ_ATTACH_PREFLIGHT_H

#include "attach/pyver.h"

/**
 * Checks that need no access to the target's memory, in the order in which a
 * person would ask: zombie (3), already traced and by whom (6), stopped or in
 * uninterruptible sleep or traced-stopped (7), no access to its memory (4: other
 * user, non-dumpable, user namespace, Yama 1/2/3, or an LSM), opt-out by
 * PYTHON_DISABLE_REMOTE_DEBUG in its environment (4; OVERRIDE_OPT_OUT skips it).
 * Opens TARGET->mem_fd on success.
 */
int vz_preflight_process(struct vz_target *target, bool override_opt_out, struct vz_err *err);

/** How CPython's GIL looked when it was watched. */
struct vz_gil {
	bool known;      /* false: the structures could not be read */
	bool moved;      /* it changed hands, or was free, while watched */
	bool locked;
	uint64_t holder; /* PyThreadState that held it all the time, 0: none */
	pid_t holder_tid; /* kernel thread, 0: unknown */
};

/**
 * Checks inside CPython by reading memory: finalizing (7), a foreign profile
 * function in any thread state on 3.8-3.11 (6, with the thread and, where it can
 * be told, which: cProfile, sys.setprofile, another), all sys.monitoring ids taken is left to
 * the agent.  Remains of an earlier, killed attach are the session's business.
 */
int vz_preflight_python(const struct vz_target *target, const struct vz_maps *maps,
			const struct vz_objects *objects, const struct vz_python *python,
			struct vz_err *err);

/** Look at the GIL for up to WINDOW_NS; never fails, .known tells. */
void vz_gil_watch(const struct vz_target *target, const struct vz_python *python,
		  uint64_t window_ns, struct vz_gil *ret);

/** Diagnose why access to the process was refused (strace's order, extended); sets exit 4 or 6. */
void vz_preflight_diagnose(const struct vz_target *target, int errnum, struct vz_err *err);

#endif /* VZ_ATTACH_PREFLIGHT_H */
