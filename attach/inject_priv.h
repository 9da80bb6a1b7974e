/* SPDX-License-Identifier: MIT */
/*
 * inject_priv.h - what the two halves of an injection share: inject.c chooses the
 * thread and the moment, inject_thread.c does what is done to a stopped thread.
 */
#ifndef VZ_ATTACH_INJECT_PRIV_H
#define VZ_ATTACH_INJECT_PRIV_H

#include "attach/inject.h"
#include "attach/safepoint.h"
#include "attach/seccomp.h"

/* Large, and used by one injection at a time. */
struct work {
	const struct vz_inject_context *context;
	struct vz_injection *injection;
	struct vz_cpu cpu;
	struct vz_frame frame;
	uint8_t *image;
	char blocker[256];
	/* what is mapped, as of the last look; those of the context at first */
	const struct vz_maps *maps;
	const struct vz_objects *objects;
	struct vz_maps own_maps;
	struct vz_objects own_objects;
	struct vz_safepoint *safepoint;
	struct vz_seccomp seccomp;
	pid_t filters_tid; /* whose filters let us */
	bool refused;      /* the error is told already */
	uint64_t strict_until_ns; /* CLOCK_MONOTONIC; from then on the second best will do */
	/* one attempt */
	struct vz_task task;
	uint64_t munmap_raddr, munmap_bytes;
	int (*attempt)(struct work *w);
	int rc;
};

/* One stop of w->task each; 0, -EAGAIN (not now; w->blocker says why), or what is fatal. */

/** Inject, if it is a safe point. */
int vz_inject_try(struct work *w);
/** Only look where a running thread is; not counted as a try. */
int vz_inject_look(struct work *w);
/** What would its filters say to us?  They cannot be seen without a stop.  -EACCES: nor with one. */
int vz_inject_filters(struct work *w);
/** One munmap: a raw system call, which needs no safe point. */
int vz_inject_remove(struct work *w);

#endif /* VZ_ATTACH_INJECT_PRIV_H */
