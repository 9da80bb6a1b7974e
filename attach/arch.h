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
	VZ_ARCH_WORDS = 27, /* x86-64: struct user_regs_struct */
	VZ_ARCH_CODE_BEFORE = 7,
	VZ_ARCH_XSTATE_MAX = 1 << 16, /* AMX makes it 11 KiB today */
	VZ_ARCH_FRAME_MAX = VZ_ARCH_XSTATE_MAX + 4096,
	VZ_ARCH_STACK_NEED = 24 * 1024, /* below the stack pointer, frame included */
};

/* Everything that a thread is made of, as ptrace sees it in a stop. */
struct vz_cpu {
	uint64_t regs[VZ_ARCH_WORDS];
	uint64_t sigmask;
	uint8_t code[VZ_ARCH_CODE_BEFORE]; /* what lies before the program counter; not by ptrace */
	bool eintr_ok; /* the caller takes EINTR as a matter of course, and knows its time left */
	size_t xstate_len;
	uint8_t xstate[VZ_ARCH_XSTATE_MAX];
};

uint64_t vz_arch_pc(const struct vz_cpu *cpu);
uint64_t vz_arch_sp(const struct vz_cpu *cpu);
/** What libc's pthread_self() returns in it; 0: unknown. */
uint64_t vz_arch_thread_pointer(const struct vz_cpu *cpu);
/** 64-bit code in 64-bit mode; anything else is refused. */
bool vz_arch_mode_ok(const struct vz_cpu *cpu);

/** Number of the system call that the thread is in, -1: none. */
long vz_arch_syscall(const struct vz_cpu *cpu);
/** The same, but of a call that was taken up again the call that it is; -1: none, or unknown. */
long vz_arch_issued(const struct vz_cpu *cpu);
uint64_t vz_arch_syscall_arg(const struct vz_cpu *cpu, unsigned i);

/** A thread of which only this is known; everything else is 0. */
void vz_arch_at(uint64_t pc, uint64_t sp, struct vz_cpu *ret);
/** Register by its number in unwind tables; -EINVAL: no such. */
int vz_arch_unwind_register(const struct vz_cpu *cpu, unsigned number, uint64_t *ret);
/** Is this the code that leads back from a signal handler? */
bool vz_arch_is_sigreturn(const uint64_t code[2]);

/* How the interrupted system call can be taken up again. */
enum vz_restart {
	VZ_RESTART_NONE,    /* not in a call, or it is complete */
	VZ_RESTART_SAME,    /* the kernel would issue it again; so do we */
	VZ_RESTART_BLOCK,   /* through restart_syscall: the kernel knows the time left */
	VZ_RESTART_REISSUE, /* the kernel says EINTR though no signal came; issued again */
	VZ_RESTART_EINTR,   /* it ends with EINTR: cannot be helped, or just what its caller expects
			     */
};
enum vz_restart vz_arch_restart(const struct vz_cpu *cpu);

/* A frame ready to be written. */
struct vz_frame {
	uint64_t raddr;   /* where it goes */
	uint64_t sp;      /* stack pointer of a call: it returns to RESTORE_RT */
	uint64_t call_sp; /* stack pointer of a system call: it returns to FIRST, then there */
	size_t len;
	uint64_t home_raddr; /* of the struct vz_home inside it: the payload's argument */
	uint8_t bytes[VZ_ARCH_FRAME_MAX];
};

/**
 * Build the frame for a thread in state CPU.  RESTORE_RT: "mov $15,%rax; syscall"
 * in the target's libc.  FIRST: a function to return to before that, 0: none.
 * If the frame has to do the whole work (rt_sigreturn, because we died), a call whose
 * time left only the kernel knew ends with EINTR if .eintr_ok, and else starts afresh:
 * late at most, never an error.  -E2BIG: the state does not fit.
 */
int vz_arch_frame(const struct vz_cpu *cpu, uint64_t restore_rt, uint64_t first,
		  struct vz_frame *ret);
/** Registers for a call of FN(ARG) that returns through the frame. */
void vz_arch_call(const struct vz_cpu *cpu, const struct vz_frame *frame, uint64_t fn, uint64_t arg,
		  uint64_t regs[VZ_ARCH_WORDS]);
/** Registers for one system call at INSN ("syscall; ret"), which would return through FIRST and the
 * frame. */
void vz_arch_remote_syscall(const struct vz_cpu *cpu, const struct vz_frame *frame, uint64_t insn,
			    long nr, const uint64_t args[6], uint64_t regs[VZ_ARCH_WORDS]);
/** Result of a system call from registers at its exit. */
int64_t vz_arch_result(const uint64_t regs[VZ_ARCH_WORDS]);
/**
 * Registers to put back at the event stop that CPU was read in: the kernel will restart
 * what it interrupted.  False: they are as they were, and nothing need be put back.
 */
bool vz_arch_resume(const struct vz_cpu *cpu, uint64_t regs[VZ_ARCH_WORDS]);
/**
 * Registers to put back at any other stop, where the kernel no longer looks at
 * its restart codes: they issue the interrupted call again by themselves.
 */
void vz_arch_home(const struct vz_cpu *cpu, uint64_t regs[VZ_ARCH_WORDS]);
/** Signals to block while the thread is borrowed: all but those that the CPU itself raises. */
uint64_t vz_arch_block_mask(uint64_t sigmask);

#endif /* VZ_ATTACH_ARCH_H */
