/* SPDX-License-Identifier: MIT */
/*
 * agent.h - life and death of the payload.
 *
 * vz_entry (entry_x86_64.c) runs on the borrowed thread, starts the agent
 * thread and sends the borrowed one home.  The agent makes the arena, takes
 * the GIL, installs the hooks, waits for the tool's word, takes the hooks out
 * and leaves: a last raw thread waits until the agent is gone and unmaps
 * everything, itself included.  It leaves as well when the tool dies (the
 * kernel marks vz_control.tool_lock) or stays silent for the length of the lease.
 */
#ifndef VZ_PAYLOAD_AGENT_H
#define VZ_PAYLOAD_AGENT_H

#include <stdint.h>

/*
 * What the tracer wrote on the borrowed thread's dead stack.  .pop is last and
 * its rip is the slot that the trampoline's final return takes.
 */
struct vz_pop {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax, rflags,
		rip;
};

struct vz_home {
	uint64_t magic; /* VZ_HOME_MAGIC */
	uint64_t sigmask;
	uint64_t xstate;    /* 64-byte aligned image for xrstor */
	uint64_t xfeatures; /* which components it has */
	uint64_t eintr_rip; /* where to go with rax = -EINTR if a signal must interrupt the call */
	uint64_t restarts;  /* 1: .pop restarts a system call */
	struct vz_pop pop;
};

#define VZ_HOME_MAGIC UINT64_C(0x454d4f485a564c56)

/** A hook found itself in a forked child: arrange that the child gets rid of us. */
void vz_agent_in_child(void);

/** End the agent thread if it is all that makes the process multi-threaded; waits until it is gone.
 * GIL held. */
void vz_agent_park(void);
/** Start it again if it was parked. */
void vz_agent_unpark(void);

#endif /* VZ_PAYLOAD_AGENT_H */
