/* SPDX-License-Identifier: MIT */
/*
 * arch.h - what injection must know about a CPU, in one file for each CPU.
 *
 * Owns: the frame that is written on a borrowed thread's dead stack (a signal
 * frame, so that the kernel restores everything if the tracer dies, and a block
 * that the payload's own way home uses), and the rules of system call restart.
 * Registers are the words of NT_PRSTATUS.
 */
#ifndef VZ_ATTACH_ARCH_H
#define VZ_ATTACH_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	VZ_ARCH_WORDS = 27,           /* x86-64: struct user_regs_struct */
	VZ_ARCH_XSTATE_MAX = 1 << 16, /* AMX makes it 11 KiB today */
	VZ_ARCH_FRAME_MAX = VZ_ARCH_XSTATE_MAX + 4096,
	VZ_ARCH_STACK_NEED = 24 * 1024, /* below the stack pointer, frame included */
};

/* Everything that a thread is made of, as ptrace sees it in a stop. */
struct vz_cpu {
	uint64_t regs[VZ_ARCH_WORDS];
	uint64_t sigmask;
	size_t xstate_len;
	uint8_t xstate[VZ_ARCH_XSTATE_MAX];
};

uint64_t vz_arch_pc(const struct vz_cpu *cpu);
uint64_t vz_arch_sp(const struct vz_cpu *cpu);
/** 64-bit code in 64-bit mode; anything else is refused. */
bool vz_arch_mode_ok(const struct vz_cpu *cpu);

/** Number of the system call that the thread is in, -1: none. */
long vz_arch_syscall(const struct vz_cpu *cpu);
uint64_t vz_arch_syscall_arg(const struct vz_cpu *cpu, unsigned i);

/* How the interrupted system call can be taken up again. */
enum vz_restart {
	VZ_RESTART_NONE,    /* not in a call, or it is complete */
	VZ_RESTART_SAME,    /* the kernel would issue it again; so do we */
	VZ_RESTART_BLOCK,   /* through restart_syscall: the kernel knows the time left */
	VZ_RESTART_REISSUE, /* the kernel says EINTR though no signal came; issued again */
	VZ_RESTART_EINTR,   /* cannot be taken up: the program will see EINTR or a longer wait */
};
enum vz_restart vz_arch_restart(const struct vz_cpu *cpu);

/* A frame ready to be written. */
struct vz_frame {
	uint64_t raddr; /* where it goes; also the new stack pointer */
	size_t len;
	uint64_t home_raddr; /* of the struct vz_home inside it: the payload's argument */
	uint8_t bytes[VZ_ARCH_FRAME_MAX];
};

/**
 * Build the frame for a thread in state CPU.  RESTORE_RT: "mov $15,%rax; syscall"
 * in the target's libc.  -E2BIG: the state does not fit.
 */
int vz_arch_frame(const struct vz_cpu *cpu, uint64_t restore_rt, struct vz_frame *ret);
/** Registers for a call of FN(ARG) that returns through the frame. */
void vz_arch_call(const struct vz_cpu *cpu, const struct vz_frame *frame, uint64_t fn, uint64_t arg,
		  uint64_t regs[VZ_ARCH_WORDS]);
/** Registers for one system call at INSN ("syscall; ret"), which would return through the frame. */
void vz_arch_remote_syscall(const struct vz_cpu *cpu, const struct vz_frame *frame, uint64_t insn,
			    long nr, const uint64_t args[6], uint64_t regs[VZ_ARCH_WORDS]);
/** Result of a system call from registers at its exit. */
int64_t vz_arch_result(const uint64_t regs[VZ_ARCH_WORDS]);
/** Registers to put back at the event stop that CPU was read in: the kernel will restart what it
 * interrupted. */
void vz_arch_resume(const struct vz_cpu *cpu, uint64_t regs[VZ_ARCH_WORDS]);
/**
 * Registers to put back at any other stop, where the kernel no longer looks at
 * its restart codes: they issue the interrupted call again by themselves.
 */
void vz_arch_home(const struct vz_cpu *cpu, uint64_t regs[VZ_ARCH_WORDS]);
/** Signals to block while the thread is borrowed: all but those that the CPU itself raises. */
uint64_t vz_arch_block_mask(uint64_t sigmask);

#endif /* VZ_ATTACH_ARCH_H */
