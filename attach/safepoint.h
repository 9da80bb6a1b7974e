/* SPDX-License-Identifier: MIT */
/*
 * safepoint.h - may this stopped thread make one libc call (pthread_create) now?
 *
 * The call takes locks of malloc, of the loader and of the thread list.  It is
 * refused where the thread could be holding one of them: anywhere inside libc
 * or ld.so unless it is blocked in a call that is known to hold none, inside
 * another malloc, inside a restartable sequence.
 */
#ifndef VZ_ATTACH_SAFEPOINT_H
#define VZ_ATTACH_SAFEPOINT_H

#include "attach/arch.h"
#include "attach/pyver.h"

/**
 * 0: safe.  Otherwise -EAGAIN and WHY names the function or call that is in the
 * way.  RSEQ: address of the thread's rseq area, 0: none.
 */
int vz_safepoint_check(const struct vz_target *target, const struct vz_objects *objects,
		       const struct vz_maps *maps, const struct vz_python *python,
		       const struct vz_cpu *cpu, uint64_t rseq, char *why, size_t why_size);

/** How good a candidate a thread is, judged without stopping it; lower is better, negative: never.
 */
int vz_safepoint_rank(const struct vz_task *task);

#endif /* VZ_ATTACH_SAFEPOINT_H */
