/* SPDX-License-Identifier: MIT */
/*
 * procstate_wait.h - one thread in one call, for procstate_wait.c (for what) and
 * procstate_time.c (for how long).
 */
#ifndef VZ_ATTACH_SNAPSHOT_PROCSTATE_WAIT_H
#define VZ_ATTACH_SNAPSHOT_PROCSTATE_WAIT_H

#include "attach/arch_calls.h"
#include "attach/snapshot/snapshot.h"
#include "attach/target.h"

struct vz_waiting {
	const struct vz_target *target;
	const struct vz_task *task;
	const struct vz_call *call;
	struct vz_snapshot *s;
	const struct vz_snap_thread *t;
	struct vz_wait *wait; /* to be filled: T's */
};

/* The time limit that was given to the call: ns, -1 none, -2 not to be read. */
int64_t vz_waiting_limit(const struct vz_waiting *w);

#endif /* VZ_ATTACH_SNAPSHOT_PROCSTATE_WAIT_H */
