/* SPDX-License-Identifier: MIT */
/*
 * entry_x86_64.c - the code that must be written by hand.
 *
 *   vz_entry            first instruction on the borrowed thread; rdi: struct vz_home
 *   vz_eval_frame_*     frame evaluators that jump to the default one
 *   vz_child_entry      a function for Py_AddPendingCall whose last act is to unmap itself
 *   vz_clone_reaper     a thread without stack or TLS; vz_reaper_exit: its end
 *
 * The way home does not use rt_sigreturn, because that forgets how to restart
 * nanosleep, poll and timed futex waits; popping the registers keeps it.
 */
#include <stddef.h>

#include "payload/agent.h"
#include "payload/running.h"
#include "payload/wire.h"

_Static_assert(offsetof(struct vz_home, xstate) == 16, "used below");
_Static_assert(offsetof(struct vz_home, xfeatures) == 24, "used below");
_Static_assert(offsetof(struct vz_home, pop) == 48, "used below");
_Static_assert(offsetof(struct vz_boot, image_base) == 16, "used below");
_Static_assert(offsetof(struct vz_boot, image_bytes) == 24, "used below");
_Static_assert(offsetof(struct vz_running, floor) == 16, "used below");

__asm__(".text\n"
	".globl vz_entry\n"
	".type vz_entry, @function\n"
	"vz_entry:\n"
	"	mov %rdi, %rbx\n"
	"	mov %rsp, %r12\n"
	"	and $-64, %rsp\n"
	"	fninit\n"
	"	lea vz_mxcsr(%rip), %rax\n"
	"	ldmxcsr (%rax)\n"
	"	call vz_start\n"
	"	test %rax, %rax\n"
	"	jne 1f\n"
	"	mov 24(%rbx), %rax\n"
	"	mov %rax, %rdx\n"
	"	shr $32, %rdx\n"
	"	mov 16(%rbx), %rcx\n"
	"	xrstor64 (%rcx)\n"
	"	lea 48(%rbx), %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n"
	"	pop %r11\n	pop %r10\n	pop %r9\n	pop %r8\n"
	"	pop %rbp\n	pop %rdi\n	pop %rsi\n	pop %rdx\n"
	"	pop %rcx\n	pop %rbx\n	pop %rax\n	popfq\n"
	"	ret $0x80\n" /* skips the red zone, where the frame was written below */
	/* Nobody will unmap us: libc's munmap does, and returns into the signal frame. */
	"1:	mov 16+vz_boot(%rip), %rdi\n"
	"	mov 24+vz_boot(%rip), %rsi\n"
	"	mov %r12, %rsp\n"
	"	jmp *%rax\n"
	".size vz_entry, . - vz_entry\n"
	".section .rodata\n"
	".balign 4\n"
	"vz_mxcsr: .long 0x1f80\n"
	".text\n");

__asm__(".text\n"
	".globl vz_eval_frame_38, vz_eval_frame_39, vz_eval_frame_310\n"
	".hidden vz_eval_frame_38, vz_eval_frame_39, vz_eval_frame_310\n"
	"vz_eval_frame_38:\n" /* (frame, throwflag) */
	"	push %rdi\n"
	"	push %rsi\n"
	"	sub $8, %rsp\n"
	"	call vz_ts_current\n"
	"	test %rax, %rax\n"
	"	je 1f\n"
	"	mov vz_profile_offset(%rip), %rcx\n"
	"	mov (%rax,%rcx), %rcx\n"
	"	cmp vz_profile_function(%rip), %rcx\n"
	"	je 1f\n"
	"	mov %rax, %rdi\n"
	"	mov %rsp, %rsi\n"
	"	call vz_profile_check\n"
	"1:	add $8, %rsp\n"
	"	pop %rsi\n"
	"	pop %rdi\n"
	"	jmp *vz_default_eval(%rip)\n"
	"vz_eval_frame_310:\n" /* (thread state, frame, throwflag); 3.10 and 3.11 */
	"	mov vz_profile_offset(%rip), %rax\n"
	"	mov (%rdi,%rax), %rax\n"
	"	cmp vz_profile_function(%rip), %rax\n"
	"	jne 2f\n"
	"	mov vz_cframe_offset(%rip), %rax\n"
	"	mov (%rdi,%rax), %rax\n"
	"	cmpb $0, (%rax)\n" /* cframe->use_tracing */
	"	je 2f\n"
	"	cmp vz_running(%rip), %rdi\n"
	"	jne 2f\n"
	"	mov 16+vz_running(%rip), %rax\n" /* .floor */
	"	cmp (%rax), %rsp\n"
	"	jb 2f\n"
	"	jmp *vz_default_eval(%rip)\n"
	"vz_eval_frame_39:\n" /* (thread state, frame, throwflag) */
	"	mov vz_profile_offset(%rip), %rax\n"
	"	mov (%rdi,%rax), %rax\n"
	"	cmp vz_profile_function(%rip), %rax\n"
	"	jne 2f\n"
	"	jmp *vz_default_eval(%rip)\n"
	"2:	push %rdi\n"
	"	push %rsi\n"
	"	push %rdx\n"
	"	mov %rsp, %rsi\n"
	"	call vz_profile_check\n"
	"	pop %rdx\n"
	"	pop %rsi\n"
	"	pop %rdi\n"
	"	jmp *vz_default_eval(%rip)\n");

__asm__(".text\n"
	".globl vz_child_entry\n"
	".hidden vz_child_entry\n"
	"vz_child_entry:\n"
	"	sub $8, %rsp\n"
	"	call vz_child_leaves\n"
	"	add $8, %rsp\n"
	"	test %eax, %eax\n"
	"	je 4f\n"
	"	mov vz_child_unmap(%rip), %rdi\n"
	"	mov 8+vz_child_unmap(%rip), %rsi\n"
	"	jmp *16+vz_child_unmap(%rip)\n" /* munmap returns 0 to our caller */
	"4:	xor %eax, %eax\n"
	"	ret\n"
	/* (stack top, flags): new thread continues in vz_reaper on that stack; returns its tid to
	   the caller */
	".globl vz_clone_reaper\n"
	".hidden vz_clone_reaper\n"
	"vz_clone_reaper:\n"
	"	mov %rdi, %rax\n"
	"	mov %rsi, %rdi\n"
	"	mov %rax, %rsi\n"
	"	xor %edx, %edx\n"
	"	xor %r10d, %r10d\n"
	"	xor %r8d, %r8d\n"
	"	mov $56, %eax\n"
	"	syscall\n"
	"	test %rax, %rax\n"
	"	je 3f\n"
	"	ret\n"
	"3:	xor %ebp, %ebp\n"
	"	call vz_reaper\n"
	"	mov $60, %eax\n"
	"	xor %edi, %edi\n"
	"	syscall\n"
	/* (base, bytes, gadget): unmaps the code that runs; libc's "syscall; jmp" goes on to
	   exit(0) */
	".globl vz_reaper_exit\n"
	".hidden vz_reaper_exit\n"
	"vz_reaper_exit:\n"
	"	mov %rdx, %rcx\n"
	"	mov $11, %eax\n"
	"	mov $60, %edx\n"
	"	jmp *%rcx\n");
