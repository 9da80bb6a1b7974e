/* SPDX-License-Identifier: MIT */
/*
 * safepoint.h - may this stopped thread make one libc call (pthread_create) now?
 *
 * The call takes locks of malloc, of the loader and of libc's list of threads.
 * The thread must not be holding one of them, so its native stack is followed to
 * its root, and it is refused with a frame in malloc and its like, the loader,
 * libc's thread functions other than blocked waits, fork, exit handlers, a signal
 * handler, or code that cannot be told.  What is no moment now may be one later.
 */
#ifndef VZ_ATTACH_SAFEPOINT_H
#define VZ_ATTACH_SAFEPOINT_H

#include "attach/arch.h"
#include "attach/pyver.h"

struct vz_safepoint;

/**
 * Prepare all that can be before anything is stopped.  What is given must outlive
 * it.  -ENOMEM.  Free with vz_safepoint_free().
 */
int vz_safepoint_new(const struct vz_target *target, const struct vz_objects *objects,
		     const struct vz_maps *maps, const struct vz_python *python,
		     struct vz_safepoint **ret);
void vz_safepoint_free(struct vz_safepoint *safepoint);

/**
 * Follow the stack of a thread that goes on meanwhile, only to have read the tables
 * that its next stop will need: the first look at a table takes most of the time.
 */
void vz_safepoint_warm(struct vz_safepoint *safepoint, const struct vz_cpu *cpu);

/**
 * 0: safe; CPU->eintr_ok is set where the caller of the interrupted system call is
 * CPython itself, which takes every EINTR up again with the time left (PEP 475).
 * Otherwise -EAGAIN, and WHY names the function or call that is in the way.
 * RSEQ: address of the thread's rseq area, 0: none.
 */
int vz_safepoint_check(struct vz_safepoint *safepoint, struct vz_cpu *cpu, uint64_t rseq, char *why,
		       size_t why_size);

enum { VZ_SAFEPOINT_POOR = 4 }; /* from this rank on a time limit may start afresh */

/**
 * How good a candidate a thread is, judged without stopping it; lower is better,
 * negative: never.  First the waits that a stop leaves no trace in whatever
 * happens, then those that need us to live for it, running threads, and last the
 * waits whose time limit the kernel cannot continue.
 */
int vz_safepoint_rank(const struct vz_task *task);

#endif /* VZ_ATTACH_SAFEPOINT_H */
