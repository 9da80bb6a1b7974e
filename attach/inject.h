/* SPDX-License-Identifier: MIT */
/*
 * inject.h - brings the payload into the target with one stop of one thread.
 *
 *   stop a thread at a safe point
 *   frame on its dead stack          from the next step on the frame leads home
 *   SETREGS: mmap, run to its exit   if we die here, "ret" leads to libc's munmap, which
 *                                    finds the arguments in place, and then home
 *   write the image                  into memory that nobody knows of yet
 *   SETREGS: vz_entry; DETACH        the payload starts the agent, restores the thread
 */
#ifndef VZ_ATTACH_INJECT_H
#define VZ_ATTACH_INJECT_H

#include "attach/image.h"
#include "attach/pyver.h"

struct vz_injection {
	pid_t tid;                                 /* the thread that was borrowed */
	uint64_t image_base;                       /* in the target */
	uint64_t boot_raddr;                       /* of its struct vz_boot */
	uint64_t interrupt_ns, stop_ns, resume_ns; /* CLOCK_MONOTONIC */
	uint64_t detach_tsc; /* time-stamp counter when the thread was let go */
	unsigned attempts;
	long syscall;   /* that it was blocked in, -1: none, or unknown */
	bool long_wait; /* the borrowed call's own limit may start afresh */
};

struct vz_inject_context {
	const struct vz_target *target;
	const struct vz_maps *maps;
	const struct vz_objects *objects;
	const struct vz_python *python;
	const struct vz_image *image;
	struct vz_boot *boot;
	uint64_t timeout_ns;
};

/** Borrow this thread and no other; 0, always so outside of tests: any. */
extern pid_t vz_inject_only;

/**
 * Try threads and moments until one is safe or the time is up (exit 7, target
 * untouched, naming what was in the way).
 */
int vz_inject(const struct vz_inject_context *context, struct vz_injection *ret,
	      struct vz_err *err);

/**
 * Remove a leftover mapping by one munmap in any thread: a raw system call, which needs no safe
 * point.  For images whose own unloading could not work.
 */
int vz_inject_munmap(const struct vz_target *target, const struct vz_python *python, uint64_t raddr,
		     uint64_t bytes, struct vz_err *err);

#endif /* VZ_ATTACH_INJECT_H */
