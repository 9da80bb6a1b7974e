/* SPDX-License-Identifier: MIT */
/*
 * tracee.h - the only caller of ptrace(2).
 *
 * Owns one stop of one thread: seize, interrupt, look, change, let go.  Other
 * threads are never touched.  Nothing here can leave the thread stopped: if
 * the tracer dies, the kernel detaches it.  Stops are waited for with WNOWAIT,
 * so that a signal that is being delivered is not lost if we die.
 */
#ifndef VZ_ATTACH_TRACEE_H
#define VZ_ATTACH_TRACEE_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "attach/arch.h"

struct vz_tracee {
	pid_t tid;
	bool seized;
	bool stopped;
	uint64_t interrupt_ns; /* CLOCK_MONOTONIC when the stop was asked for */
	uint64_t stop_ns;      /* ... was seen */
	uint64_t resume_ns;    /* ... the thread was let go */
};

/**
 * Stop thread TID.  -ESRCH: gone.  -EPERM: not allowed or traced by another.
 * -EBUSY: it is in a group stop (SIGSTOP).  -ETIMEDOUT: it would not stop
 * (uninterruptible); it is let go.
 */
int vz_tracee_stop(struct vz_tracee *t, pid_t tid, uint64_t timeout_ns);
/** Read all of its state. */
int vz_tracee_get(struct vz_tracee *t, struct vz_cpu *cpu);
/** Only its general registers and signal mask: all that a look at it needs. */
int vz_tracee_look(struct vz_tracee *t, struct vz_cpu *cpu);
int vz_tracee_set_regs(struct vz_tracee *t, const uint64_t regs[VZ_ARCH_WORDS]);
int vz_tracee_set_sigmask(struct vz_tracee *t, uint64_t mask);
/** Run the system call that the registers are set up for; *RESULT as the kernel returned it.  It
 * stays stopped. */
int vz_tracee_syscall(struct vz_tracee *t, uint64_t timeout_ns, int64_t *result);
/** A signal that the thread does not block is waiting for it. */
bool vz_tracee_signal_pending(struct vz_tracee *t, uint64_t sigmask);
/** Address of its rseq area; 0: none. */
uint64_t vz_tracee_rseq(struct vz_tracee *t);
/**
 * Its INDEXth seccomp filter, the newest first: number of instructions, at most MAX
 * of which are copied; -ENOENT: no more; -EACCES: needs CAP_SYS_ADMIN.
 */
int vz_tracee_filter(struct vz_tracee *t, unsigned index, struct sock_filter *to, size_t max);
/**
 * Let it go after no more than a look at CPU: a call that the kernel would end with EINTR
 * because of our stop alone is taken up again; a signal that came meanwhile keeps its EINTR.
 */
void vz_tracee_let_go(struct vz_tracee *t, const struct vz_cpu *cpu);
/** Let it go; safe to call at any time. */
void vz_tracee_detach(struct vz_tracee *t);

#endif /* VZ_ATTACH_TRACEE_H */
