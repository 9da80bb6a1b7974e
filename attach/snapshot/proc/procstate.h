/* SPDX-License-Identifier: MIT */
/*
 * procstate.h - what /proc tells of threads and of what they wait for.  Read-only, nothing
 * is stopped.
 */
#ifndef VZ_ATTACH_SNAPSHOT_PROCSTATE_H
#define VZ_ATTACH_SNAPSHOT_PROCSTATE_H

#include "attach/snapshot/snapshot.h"
#include "attach/target.h"

/**
 * One look: state, CPU time, switches, major faults of thread TID into RET (the rest of RET
 * is left alone); -ESRCH: gone.
 */
int vz_procstate_look(pid_t pid, pid_t tid, struct vz_look *ret);
/** For how long TID has been asleep, ns (the scheduler's own record where the kernel has it); 0:
 * unknown or awake. */
uint64_t vz_procstate_asleep(pid_t pid, pid_t tid);
/**
 * Fill T->wait from the system call TASK is in (vz_tasks_read): which call, which object, which
 * peer.  Pointers in its arguments are read from TARGET (pollfd arrays, sockaddr, timeouts).
 * For a core dump PID is 0: only the number, the call and what is in memory are told.
 */
void vz_procstate_wait(const struct vz_target *target, const struct vz_task *task,
		       struct vz_snapshot *s, struct vz_snap_thread *t);
/** S->process, but for the GIL: state, fork, swap, cgroup.  Call again at the last look with LAST
 * set: what grew meanwhile (throttling). */
void vz_procstate_process(const struct vz_target *target, bool last, struct vz_snapshot *s);

#endif /* VZ_ATTACH_SNAPSHOT_PROCSTATE_H */
