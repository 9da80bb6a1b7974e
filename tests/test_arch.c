/* SPDX-License-Identifier: MIT */
#include <cpuid.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <ucontext.h>

#include "attach/arch.h"
#include "attach/tracee.h"
#include "payload/agent.h"
#include "tests/kit_child.h"

enum {
	RIP = 0x401234,
	RESTORE_RT = 0x7f00dead,
	FIRST = 0x7f00f125,
	XSTATE_FEATURES = 464,
	XSTATE_HEADER = 512,
	TILECFG = 17,
	TILEDATA = 18,
};

/* What the kernel leaves in rax. */
enum { RESTARTSYS = -512, RESTARTNOINTR = -513, RESTARTNOHAND = -514, RESTARTBLOCK = -516 };

static struct user_regs_struct *regs_of(struct vz_cpu *cpu)
{
	return (struct user_regs_struct *)cpu->regs;
}

/* Features of this machine's xsave image, without those that need a permission. */
static uint64_t features(void)
{
	unsigned a, b, c, d;

	__cpuid_count(0xd, 0, a, b, c, d);
	return ((uint64_t)d << 32 | a) & ~(UINT64_C(3) << TILECFG);
}

/* Size of the image with these features, from the table of components. */
static size_t image_size(uint64_t mask)
{
	unsigned a, b, c, d;
	size_t size = 576;

	for (unsigned i = 2; i < 63; i++) {
		if (!(mask >> i & 1))
			continue;
		__cpuid_count(0xd, i, a, b, c, d);
		size = a + b > size ? a + b : size;
	}
	return size;
}

/* A thread whose every register has another value. */
static struct vz_cpu *make(long nr, int64_t rax)
{
	static struct vz_cpu cpu;
	struct user_regs_struct *r = regs_of(&cpu);
	uint64_t mask = features();

	memset(&cpu, 0, sizeof(cpu));
	*r = (struct user_regs_struct){
		.r15 = 15,
		.r14 = 14,
		.r13 = 13,
		.r12 = 12,
		.rbp = 105,
		.rbx = 103,
		.r11 = 11,
		.r10 = 10,
		.r9 = 9,
		.r8 = 8,
		.rcx = 101,
		.rdx = 102,
		.rsi = 106,
		.rdi = 107,
		.rip = RIP,
		.cs = 0x33,
		.eflags = 0x246,
		.rsp = 0x7ffc0000f008,
		.ss = 0x2b,
		.fs_base = 0x1000,
		.gs_base = 0x2000,
	};
	r->rax = (uint64_t)rax;
	r->orig_rax = (uint64_t)nr;
	cpu.sigmask = 0x8000000000000201;
	cpu.xstate_len = image_size(mask);
	memset(cpu.xstate, 0x5a, cpu.xstate_len);
	memcpy(cpu.xstate + XSTATE_FEATURES, &mask, sizeof(mask));
	memset(cpu.xstate + XSTATE_HEADER, 0, 64);
	memcpy(cpu.xstate + XSTATE_HEADER, &mask, sizeof(mask));
	return &cpu;
}

static const struct vz_home *home_of(const struct vz_frame *frame)
{
	return (const struct vz_home *)(frame->bytes + (frame->home_raddr - frame->raddr));
}

static const ucontext_t *context_of(const struct vz_frame *frame)
{
	return (const ucontext_t *)(frame->bytes + 16);
}

Test(arch, what_ptrace_tells)
{
	struct vz_cpu *cpu = make(SYS_futex, 0);

	cr_assert_eq(vz_arch_pc(cpu), RIP);
	cr_assert_eq(vz_arch_sp(cpu), 0x7ffc0000f008);
	cr_assert_eq(vz_arch_syscall(cpu), SYS_futex);
	for (unsigned i = 0; i < 7; i++) {
		static const uint64_t args[] = { 107, 106, 102, 10, 8, 9, 0 };

		cr_assert_eq(vz_arch_syscall_arg(cpu, i), args[i]);
	}
	cr_assert(vz_arch_mode_ok(cpu));
	regs_of(cpu)->cs = 0x23; /* 32-bit code */
	cr_assert_not(vz_arch_mode_ok(cpu));
}

/* attach writes this block by its own struct, the payload pops it by that of agent.h. */
Test(arch, home_is_what_the_payload_pops)
{
	static struct vz_frame frame;
	struct vz_cpu *cpu = make(-1, 777);
	const struct vz_pop expected = {
		.r15 = 15,
		.r14 = 14,
		.r13 = 13,
		.r12 = 12,
		.r11 = 11,
		.r10 = 10,
		.r9 = 9,
		.r8 = 8,
		.rbp = 105,
		.rdi = 107,
		.rsi = 106,
		.rdx = 102,
		.rcx = 101,
		.rbx = 103,
		.rax = 777,
		.rflags = 0x246,
		.rip = RIP,
	};
	const struct vz_home *home;

	cr_assert_eq(vz_arch_frame(cpu, RESTORE_RT, FIRST, &frame), 0);
	home = home_of(&frame);
	cr_assert_eq(home->magic, VZ_HOME_MAGIC);
	cr_assert_eq(home->sigmask, cpu->sigmask);
	cr_assert_eq(home->xfeatures, features());
	cr_assert_eq(home->eintr_rip, RIP);
	cr_assert_eq(home->restarts, 0);
	cr_assert_eq(memcmp(&home->pop, &expected, sizeof(expected)), 0);
	/* the last pop is `ret $128`: it must leave the stack pointer where it was */
	cr_assert_eq(frame.home_raddr + sizeof(struct vz_home) + 128, vz_arch_sp(cpu));
	cr_assert_eq(frame.raddr + frame.len, frame.home_raddr + sizeof(struct vz_home));
}

Test(arch, frame_is_a_signal_frame)
{
	static struct vz_frame frame;

	for (uint64_t shift = 0; shift < 128; shift += 8) { /* wherever the stack pointer stands */
		struct vz_cpu *cpu = make(-1, 777);
		const ucontext_t *uc;
		uint64_t first, restore_rt, xstate, mask;
		uint32_t magic[5], magic2;
		const uint8_t *image;

		regs_of(cpu)->rsp -= shift;
		cr_assert_eq(vz_arch_frame(cpu, RESTORE_RT, FIRST, &frame), 0);
		uc = context_of(&frame);
		memcpy(&first, frame.bytes + (frame.call_sp - frame.raddr), 8);
		cr_assert_eq(first, FIRST);
		memcpy(&restore_rt, frame.bytes + (frame.sp - frame.raddr), 8);
		cr_assert_eq(restore_rt, RESTORE_RT);
		cr_assert_eq(frame.call_sp + 8, frame.sp, "first, then home");
		cr_assert_eq((frame.sp + 8) % 16, 0, "as after a call");
		cr_assert_leq(frame.raddr + frame.len, vz_arch_sp(cpu) - 128, "red zone");
		cr_assert_leq(vz_arch_sp(cpu) - frame.raddr, VZ_ARCH_STACK_NEED);
		cr_assert_eq(uc->uc_flags, 7);
		cr_assert_eq(uc->uc_stack.ss_flags, 0x1234);
		cr_assert_null(uc->uc_link);
		cr_assert_eq(memcmp(&uc->uc_sigmask, &cpu->sigmask, 8), 0);
		cr_assert_eq(uc->uc_mcontext.gregs[REG_RIP], RIP);
		cr_assert_eq(uc->uc_mcontext.gregs[REG_RAX], 777);
		cr_assert_eq(uc->uc_mcontext.gregs[REG_RSP], (greg_t)vz_arch_sp(cpu));
		cr_assert_eq(uc->uc_mcontext.gregs[REG_R15], 15);
		cr_assert_eq(uc->uc_mcontext.gregs[REG_RBX], 103);
		cr_assert_eq(uc->uc_mcontext.gregs[REG_EFL], 0x246);
		cr_assert_eq(uc->uc_mcontext.gregs[REG_CSGSFS], (greg_t)0x002b000000000033);
		memcpy(&xstate, &uc->uc_mcontext.fpregs, 8);
		cr_assert_eq(xstate, home_of(&frame)->xstate);
		cr_assert_eq(xstate % 64, 0);
		cr_assert_geq(xstate, frame.sp + 8 + sizeof(ucontext_t));
		image = frame.bytes + (xstate - frame.raddr);
		memcpy(magic, image + XSTATE_FEATURES, sizeof(magic));
		cr_assert_eq(magic[0], 0x46505853, "FP_XSTATE_MAGIC1");
		cr_assert_eq(magic[1], magic[4] + 4, "extended size");
		cr_assert_eq(magic[4], image_size(features()));
		cr_assert_eq(((uint64_t)magic[3] << 32 | magic[2]), features());
		memcpy(&magic2, image + magic[4], 4);
		cr_assert_eq(magic2, 0x46505845, "FP_XSTATE_MAGIC2");
		cr_assert_leq(xstate + magic[1], frame.home_raddr);
		memcpy(&mask, image + XSTATE_HEADER, 8);
		cr_assert_eq(mask, features());
		cr_assert_eq(memcmp(image, cpu->xstate, XSTATE_FEATURES), 0);
		cr_assert_eq(memcmp(image + 576, cpu->xstate + 576, magic[4] - 576), 0);
	}
}

/* AMX tiles are 8 KiB and nearly always unused: then they are left out, else they are kept. */
Test(arch, unused_tiles_are_left_out)
{
	static struct vz_frame frame;
	const uint64_t tiles = UINT64_C(1) << TILEDATA;
	struct vz_cpu *cpu = make(-1, 0);
	uint64_t mask = features() | tiles;
	int rc;

	memcpy(cpu->xstate + XSTATE_FEATURES, &mask, 8);
	cr_assert_eq(vz_arch_frame(cpu, RESTORE_RT, FIRST, &frame), 0);
	cr_assert_eq(home_of(&frame)->xfeatures, features());
	memcpy(cpu->xstate + XSTATE_HEADER, &mask, 8);
	cpu->xstate_len = image_size(mask);
	rc = vz_arch_frame(cpu, RESTORE_RT, FIRST, &frame);
	cr_assert_eq(rc, 0);
	cr_assert_eq(home_of(&frame)->xfeatures, mask);
}

Test(arch, a_state_that_does_not_fit_is_refused)
{
	static struct vz_frame frame;
	struct vz_cpu *cpu = make(-1, 0);

	cpu->xstate_len = image_size(features()) - 1; /* the kernel gave us less than it claims */
	cr_assert_eq(vz_arch_frame(cpu, RESTORE_RT, FIRST, &frame), -E2BIG);
}

/* clang-format off */
static const struct {
	const char *label;
	long nr;
	uint64_t op; /* second argument */
	int64_t rax;
	enum vz_restart restart;
	/* how it goes on: by the payload or by ptrace, by the kernel's sigreturn */
	int64_t home_rax, sigreturn_rax;
	int home_back, sigreturn_back; /* 2: the syscall instruction again */
} restarts[] = {
	{ "no call", -1, 0, 42, VZ_RESTART_NONE, 42, 42, 0, 0 },
	{ "no call, looks like a code", -1, 0, RESTARTSYS, VZ_RESTART_NONE, RESTARTSYS, RESTARTSYS, 0, 0 },
	{ "complete", SYS_read, 0, 100, VZ_RESTART_NONE, 100, 100, 0, 0 },
	{ "failed", SYS_read, 0, -EAGAIN, VZ_RESTART_NONE, -EAGAIN, -EAGAIN, 0, 0 },
	{ "read", SYS_read, 0, RESTARTSYS, VZ_RESTART_SAME, SYS_read, SYS_read, 2, 2 },
	{ "wait4", SYS_wait4, 0, RESTARTSYS, VZ_RESTART_SAME, SYS_wait4, SYS_wait4, 2, 2 },
	{ "restarts always", SYS_clone, 0, RESTARTNOINTR, VZ_RESTART_SAME, SYS_clone, SYS_clone, 2, 2 },
	{ "pause", SYS_pause, 0, RESTARTNOHAND, VZ_RESTART_SAME, SYS_pause, SYS_pause, 2, 2 },
	{ "select", SYS_select, 0, RESTARTNOHAND, VZ_RESTART_SAME, SYS_select, SYS_select, 2, 2 },
	{ "nanosleep", SYS_clock_nanosleep, 0, RESTARTBLOCK, VZ_RESTART_BLOCK, SYS_restart_syscall, SYS_clock_nanosleep, 2, 2 },
	{ "poll", SYS_poll, 0, RESTARTBLOCK, VZ_RESTART_BLOCK, SYS_restart_syscall, SYS_poll, 2, 2 },
	{ "futex, relative", SYS_futex, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, RESTARTBLOCK, VZ_RESTART_BLOCK,
	  SYS_restart_syscall, SYS_futex, 2, 2 },
	{ "futex, absolute", SYS_futex, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME,
	  RESTARTBLOCK, VZ_RESTART_SAME, SYS_futex, SYS_futex, 2, 2 },
	{ "epoll_wait", SYS_epoll_wait, 0, -EINTR, VZ_RESTART_REISSUE, SYS_epoll_wait, SYS_epoll_wait, 2, 2 },
	{ "semop", SYS_semop, 0, -EINTR, VZ_RESTART_REISSUE, SYS_semop, SYS_semop, 2, 2 },
	{ "io_uring_enter", SYS_io_uring_enter, 0, -EINTR, VZ_RESTART_REISSUE, SYS_io_uring_enter,
	  SYS_io_uring_enter, 2, 2 },
	{ "close", SYS_close, 0, -EINTR, VZ_RESTART_EINTR, -EINTR, -EINTR, 0, 0 },
	{ "nanosleep that a signal ended", SYS_clock_nanosleep, 0, -EINTR, VZ_RESTART_EINTR, -EINTR, -EINTR, 0, 0 },
};
/* clang-format on */

Test(arch, interrupted_calls_are_taken_up)
{
	static struct vz_frame frame;

	for (size_t i = 0; i < sizeof(restarts) / sizeof(restarts[0]); i++) {
		const char *label = restarts[i].label;
		struct vz_cpu *cpu = make(restarts[i].nr, restarts[i].rax);
		uint64_t back[VZ_ARCH_WORDS];
		const struct user_regs_struct *r = (const struct user_regs_struct *)back;
		const ucontext_t *uc = context_of(&frame);
		bool mended;

		regs_of(cpu)->rsi = restarts[i].op;
		cr_assert_eq(vz_arch_restart(cpu), restarts[i].restart, "%s", label);
		cr_assert_eq(vz_arch_frame(cpu, RESTORE_RT, FIRST, &frame), 0);
		cr_assert_eq(home_of(&frame)->pop.rax, (uint64_t)restarts[i].home_rax, "%s", label);
		cr_assert_eq(home_of(&frame)->pop.rip, RIP - (uint64_t)restarts[i].home_back, "%s",
			     label);
		cr_assert_eq(home_of(&frame)->eintr_rip, RIP);
		cr_assert_eq(home_of(&frame)->restarts, restarts[i].home_back != 0, "%s", label);
		cr_assert_eq(uc->uc_mcontext.gregs[REG_RAX], restarts[i].sigreturn_rax, "%s",
			     label);
		cr_assert_eq(uc->uc_mcontext.gregs[REG_RIP], RIP - restarts[i].sigreturn_back, "%s",
			     label);
		vz_arch_home(cpu, back);
		cr_assert_eq(r->rax, (uint64_t)restarts[i].home_rax, "%s", label);
		cr_assert_eq(r->rip, RIP - (uint64_t)restarts[i].home_back, "%s", label);
		cr_assert_eq(r->orig_rax, UINT64_MAX, "%s", label);
		cr_assert_eq(r->rbx, 103);
		cr_assert_eq(r->fs_base, 0x1000);
		/*
		 * At the stop itself the kernel still does it.  Mended are a false EINTR, and a
		 * limit in absolute time, which needs no restart_syscall.
		 */
		mended =
			restarts[i].restart == VZ_RESTART_REISSUE ||
			(restarts[i].restart == VZ_RESTART_SAME && restarts[i].rax == RESTARTBLOCK);
		cr_assert_eq(vz_arch_resume(cpu, back), mended, "%s", label);
		cr_assert_eq(r->rip, RIP, "%s", label);
		cr_assert_eq(r->orig_rax, (uint64_t)restarts[i].nr, "%s", label);
		cr_assert_eq((int64_t)r->rax, mended ? RESTARTNOHAND : restarts[i].rax, "%s",
			     label);
	}
}

static const greg_t *sigreturn_of(struct vz_cpu *cpu)
{
	static struct vz_frame frame;

	cr_assert_eq(vz_arch_frame(cpu, RESTORE_RT, FIRST, &frame), 0);
	return context_of(&frame)->uc_mcontext.gregs;
}

/* CPython takes EINTR up with the time left: better than a limit that starts afresh. */
Test(arch, a_caller_that_expects_eintr_gets_it)
{
	struct vz_cpu *cpu = make(SYS_poll, RESTARTBLOCK);
	uint64_t back[VZ_ARCH_WORDS];

	cpu->eintr_ok = true;
	cr_assert_eq(vz_arch_restart(cpu), VZ_RESTART_BLOCK, "while we live it is exact");
	cr_assert_eq(sigreturn_of(cpu)[REG_RAX], -EINTR);
	cr_assert_eq(sigreturn_of(cpu)[REG_RIP], RIP);
	cpu = make(SYS_epoll_wait, -EINTR);
	cpu->eintr_ok = true;
	cr_assert_eq(vz_arch_restart(cpu), VZ_RESTART_EINTR);
	cr_assert_not(vz_arch_resume(cpu, back));
	cr_assert_eq(vz_arch_result(back), -EINTR);
	cpu->eintr_ok = false;
}

/* Its arguments are in place, its number is only in the code: mov $NR,%eax; syscall. */
Test(arch, a_call_that_was_taken_up_before)
{
	static const uint8_t poll_code[] = { 0xb8, SYS_poll, 0, 0, 0, 0x0f, 0x05 },
			     futex_code[] = { 0xb8, SYS_futex, 0, 0, 0, 0x0f, 0x05 };
	struct vz_cpu *cpu = make(SYS_restart_syscall, RESTARTBLOCK);

	cpu->eintr_ok = false;
	memset(cpu->code, 0, sizeof(cpu->code));
	cr_assert_eq(vz_arch_issued(cpu), -1);
	cr_assert_eq(sigreturn_of(cpu)[REG_RAX], -EINTR, "unknown: nothing better");
	memcpy(cpu->code, poll_code, sizeof(cpu->code));
	cr_assert_eq(vz_arch_issued(cpu), SYS_poll);
	cr_assert_eq(sigreturn_of(cpu)[REG_RAX], SYS_poll);
	cr_assert_eq(sigreturn_of(cpu)[REG_RIP], RIP - 2);
	memcpy(cpu->code, futex_code, sizeof(cpu->code));
	regs_of(cpu)->rsi = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG;
	cr_assert_eq(vz_arch_restart(cpu), VZ_RESTART_SAME, "its limit is a point in time");
	cr_assert_eq(sigreturn_of(cpu)[REG_RAX], SYS_futex);
	memset(cpu->code, 0, sizeof(cpu->code));
}

Test(arch, borrowed_registers)
{
	static struct vz_frame frame;
	static const uint64_t args[6] = { 1, 2, 3, 4, 5, 6 };
	struct vz_cpu *cpu = make(SYS_read, RESTARTSYS);
	uint64_t regs[VZ_ARCH_WORDS];
	const struct user_regs_struct *r = (const struct user_regs_struct *)regs;

	regs_of(cpu)->eflags |= 0x40500; /* single step, direction, alignment */
	cr_assert_eq(vz_arch_frame(cpu, RESTORE_RT, FIRST, &frame), 0);
	cr_assert_eq(home_of(&frame)->pop.rflags & 0x40500, 0x40500);
	vz_arch_call(cpu, &frame, 0xf00, 0xa49, regs);
	cr_assert_eq(r->rip, 0xf00);
	cr_assert_eq(r->rdi, 0xa49);
	cr_assert_eq(r->rsp, frame.sp);
	cr_assert_eq(r->orig_rax, UINT64_MAX, "nothing may be restarted on the way");
	cr_assert_eq(r->eflags & 0x40500, 0);
	cr_assert_eq(r->cs, 0x33);
	cr_assert_eq(r->fs_base, 0x1000);
	vz_arch_remote_syscall(cpu, &frame, 0x5ca11, 9, args, regs);
	cr_assert_eq(r->rip, 0x5ca11);
	cr_assert_eq(r->rax, 9);
	cr_assert_eq(r->rsp, frame.call_sp);
	cr_assert(r->rdi == 1 && r->rsi == 2 && r->rdx == 3 && r->r10 == 4 && r->r8 == 5 &&
		  r->r9 == 6);
	regs_of(cpu)->rax = (uint64_t)-ENOMEM;
	cr_assert_eq(vz_arch_result(cpu->regs), -ENOMEM);
}

Test(arch, only_the_cpus_own_signals_get_through)
{
	static const int through[] = { SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS };
	const uint64_t mask = vz_arch_block_mask(0), usr1 = UINT64_C(1) << (SIGUSR1 - 1),
		       segv = UINT64_C(1) << (SIGSEGV - 1);
	unsigned open = 0;

	for (int sig = 1; sig <= 64; sig++)
		open += !(mask >> (sig - 1) & 1);
	cr_assert_eq(open, sizeof(through) / sizeof(through[0]));
	for (size_t i = 0; i < sizeof(through) / sizeof(through[0]); i++)
		cr_assert_not(mask >> (through[i] - 1) & 1);
	cr_assert(vz_arch_block_mask(0) & usr1);
	cr_assert(vz_arch_block_mask(segv) & segv, "what the thread itself blocks stays blocked");
}

/* ---- on a real thread -------------------------------------------------- */

/* Values in all kinds of registers, held over many loops; another value anywhere is wrong. */
static void compute(struct kit_page *page)
{
	while (!page->stop) {
		uint64_t bad;

		__asm__ volatile("mov $0x1111, %%r12\n"
				 "mov $0x2222, %%r13\n"
				 "mov $0x3333, %%r14\n"
				 "mov $0x4444, %%r15\n"
				 "movq %%r12, %%xmm0\n"
				 "movq %%r13, %%xmm15\n"
				 "fld1\n"
				 "fldpi\n"
				 "mov %%r14, -120(%%rsp)\n" /* red zone */
				 "mov $20000, %%ecx\n"
				 "movl $1, (%1)\n"
				 "1: dec %%ecx\n"
				 "jnz 1b\n"
				 "xor %0, %0\n"
				 "movq %%xmm0, %%rax\n"
				 "xor %%r12, %%rax\n"
				 "or %%rax, %0\n"
				 "movq %%xmm15, %%rax\n"
				 "xor %%r13, %%rax\n"
				 "or %%rax, %0\n"
				 "mov -120(%%rsp), %%rax\n"
				 "xor %%r14, %%rax\n"
				 "or %%rax, %0\n"
				 "xor $0x1111, %%r12\n"
				 "or %%r12, %0\n"
				 "xor $0x4444, %%r15\n"
				 "or %%r15, %0\n"
				 "fldpi\n"
				 "fcomip %%st(1), %%st\n"
				 "setne %%al\n"
				 "movzx %%al, %%eax\n"
				 "or %%rax, %0\n"
				 "fstp %%st(0)\n"
				 "fld1\n"
				 "fcomip %%st(1), %%st\n"
				 "setne %%al\n"
				 "movzx %%al, %%eax\n"
				 "or %%rax, %0\n"
				 "fstp %%st(0)\n"
				 : "=&r"(bad)
				 : "r"(&page->ready)
				 : "rax", "rcx", "r12", "r13", "r14", "r15", "xmm0", "xmm15", "st",
				   "st(1)", "memory", "cc");
		page->rounds++;
		if (bad) {
			page->wrong = (int64_t)bad;
			return;
		}
	}
}

/* "mov $15,%rax; syscall", as in libc; the child has the same code at the same place. */
__attribute__((naked, used)) static void restore_rt(void)
{
	__asm__("mov $15, %rax\n"
		"syscall\n");
}

static bool write_frame(pid_t pid, struct vz_frame *frame)
{
	struct iovec local = { frame->bytes, frame->len };
	struct iovec remote = { (void *)(uintptr_t)frame->raddr, frame->len };

	return process_vm_writev(pid, &local, 1, &remote, 1, 0) == (ssize_t)frame->len;
}

/*
 * The dead man's switch: a thread whose registers point to the end of its frame
 * finds everything as it was, by the kernel alone.
 */
Test(arch, the_frame_leads_home, .timeout = 60)
{
	static struct vz_frame frame;
	static struct vz_cpu cpu;
	struct kit_child c = kit_child_start(compute);

	for (int i = 0; i < 200; i++) {
		uint64_t regs[VZ_ARCH_WORDS];
		struct user_regs_struct *r = (struct user_regs_struct *)regs;
		struct vz_tracee t;

		if (vz_tracee_stop(&t, c.pid, 1000000000) < 0)
			cr_skip_test("ptrace is not allowed here");
		cr_assert_eq(vz_tracee_get(&t, &cpu), 0);
		cr_assert_eq(vz_arch_frame(&cpu, (uint64_t)(uintptr_t)restore_rt, 0, &frame), 0);
		cr_assert(write_frame(c.pid, &frame));
		vz_arch_call(&cpu, &frame, 0, 0, regs);
		/* as if the called function returned, with every register its own */
		r->rip = (uint64_t)(uintptr_t)restore_rt;
		r->rsp += 8;
		r->r12 = r->r13 = r->r14 = r->r15 = r->rcx = r->rbx = r->rbp = 0xbad;
		cr_assert_eq(vz_tracee_set_regs(&t, regs), 0);
		cr_assert_eq(vz_tracee_set_sigmask(&t, vz_arch_block_mask(cpu.sigmask)), 0);
		vz_tracee_detach(&t);
		kit_child_works(&c, 2);
		cr_assert_eq(c.page->wrong, 0, "%llx", (unsigned long long)c.page->wrong);
	}
	cr_assert_eq(kit_child_end(&c), 0);
}

/* Read and written back, nothing changes; and the mask is the thread's own again. */
Test(arch, registers_go_round, .timeout = 60)
{
	static struct vz_cpu before, after;
	struct kit_child c = kit_child_start(compute);

	for (int i = 0; i < 200; i++) {
		uint64_t regs[VZ_ARCH_WORDS];
		struct vz_tracee t;

		if (vz_tracee_stop(&t, c.pid, 1000000000) < 0)
			cr_skip_test("ptrace is not allowed here");
		cr_assert_eq(vz_tracee_get(&t, &before), 0);
		vz_arch_home(&before, regs);
		cr_assert_eq(vz_tracee_set_sigmask(&t, UINT64_MAX), 0);
		cr_assert_eq(vz_tracee_set_sigmask(&t, before.sigmask), 0);
		cr_assert_eq(vz_tracee_set_regs(&t, regs), 0);
		cr_assert_eq(vz_tracee_get(&t, &after), 0);
		cr_assert_eq(memcmp(before.regs, after.regs, sizeof(before.regs)), 0);
		cr_assert_eq(before.sigmask, after.sigmask);
		cr_assert_eq(before.xstate_len, after.xstate_len);
		cr_assert_eq(memcmp(before.xstate, after.xstate, before.xstate_len), 0);
		vz_tracee_detach(&t);
		kit_child_works(&c, 1);
		cr_assert_eq(c.page->wrong, 0);
	}
	cr_assert_eq(kit_child_end(&c), 0);
}
