/* SPDX-License-Identifier: MIT */
#include "attach/arch.h"

#include <cpuid.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <ucontext.h>

/* payload/agent.h has the same struct as seen from inside; test_arch.c compares them. */
struct home {
	uint64_t magic, sigmask, xstate, xfeatures, eintr_rip, restarts;
	/* the order in which the payload pops */
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax, rflags,
		rip;
};

enum {
	RED_ZONE = 128,
	SYSCALL_LEN = 2,
	NR_RESTART_SYSCALL = 219,
	/* What the kernel leaves in rax for itself; never seen by programs. */
	ERESTARTSYS = 512,
	ERESTARTNOINTR = 513,
	ERESTARTNOHAND = 514,
	ERESTART_RESTARTBLOCK = 516,
	XSTATE_HEADER = 512,
	XSTATE_SOFTWARE = 464, /* the kernel's bytes in the legacy area */
	XFEATURE_TILEDATA = 18,
	FP_MAGIC_1 = 0x46505853,
	FP_MAGIC_2 = 0x46505845,
	UC_FP_XSTATE = 1,
	UC_SIGCONTEXT_SS = 2,
	UC_STRICT_RESTORE_SS = 4,
	SS_FLAGS_INVALID = 0x1234, /* rt_sigreturn then leaves the alternate stack alone */
	USER64_CS = 0x33,
	FLAGS_TF_DF_AC = 0x40500,
};
#define HOME_MAGIC UINT64_C(0x454d4f485a564c56)

static const struct user_regs_struct *regs_of(const struct vz_cpu *cpu)
{
	return (const struct user_regs_struct *)cpu->regs;
}

uint64_t vz_arch_pc(const struct vz_cpu *cpu)
{
	return regs_of(cpu)->rip;
}

uint64_t vz_arch_sp(const struct vz_cpu *cpu)
{
	return regs_of(cpu)->rsp;
}

uint64_t vz_arch_thread_pointer(const struct vz_cpu *cpu)
{
	return regs_of(cpu)->fs_base;
}

bool vz_arch_mode_ok(const struct vz_cpu *cpu)
{
	return regs_of(cpu)->cs == USER64_CS;
}

long vz_arch_syscall(const struct vz_cpu *cpu)
{
	return (long)regs_of(cpu)->orig_rax;
}

/*
 * A call that was interrupted before is in restart_syscall now, with its
 * arguments in place; which one it was is in the code: mov $NR,%eax; syscall.
 */
long vz_arch_issued(const struct vz_cpu *cpu)
{
	long nr = vz_arch_syscall(cpu);
	int32_t immediate;

	if (nr != NR_RESTART_SYSCALL)
		return nr;
	if (cpu->code[0] != 0xb8 || cpu->code[5] != 0x0f || cpu->code[6] != 0x05)
		return -1;
	memcpy(&immediate, cpu->code + 1, sizeof(immediate));
	return immediate;
}

uint64_t vz_arch_syscall_arg(const struct vz_cpu *cpu, unsigned i)
{
	const struct user_regs_struct *r = regs_of(cpu);
	const uint64_t args[6] = { r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9 };

	return i < 6 ? args[i] : 0;
}

void vz_arch_at(uint64_t pc, uint64_t sp, struct vz_cpu *ret)
{
	struct user_regs_struct *r = (struct user_regs_struct *)ret->regs;

	memset(ret->regs, 0, sizeof(ret->regs));
	r->rip = pc;
	r->rsp = sp;
}

int vz_arch_unwind_register(const struct vz_cpu *cpu, unsigned number, uint64_t *ret)
{
	const struct user_regs_struct *r = regs_of(cpu);
	const uint64_t in_order[] = { r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi,
				      r->rbp, r->rsp, r->r8,  r->r9,  r->r10, r->r11,
				      r->r12, r->r13, r->r14, r->r15, r->rip };

	if (number >= sizeof(in_order) / sizeof(in_order[0]))
		return -EINVAL;
	*ret = in_order[number];
	return 0;
}

/* mov $15,%rax; syscall */
bool vz_arch_is_sigreturn(const uint64_t code[2])
{
	return code[0] == UINT64_C(0x0f0000000fc0c748) && (code[1] & 0xff) == 0x05;
}

/*
 * Calls that the kernel ends with EINTR after a bare stop.  Issuing them again
 * is exact when they wait without a limit; with a relative one the wait starts afresh,
 * which is the lesser evil for a call that the program did not expect to be interrupted.
 */
static bool ends_with_eintr(long nr)
{
	switch (nr) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_rt_sigtimedwait:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_read:
	case SYS_readv:
	case SYS_write:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_io_uring_enter:
		return true;
	default:
		return false;
	}
}

/* FUTEX_WAIT_BITSET has an absolute limit: issuing it again is exact. */
static bool absolute_futex(const struct vz_cpu *cpu)
{
	return vz_arch_issued(cpu) == SYS_futex &&
	       ((int)vz_arch_syscall_arg(cpu, 1) & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
}

enum vz_restart vz_arch_restart(const struct vz_cpu *cpu)
{
	long nr = vz_arch_syscall(cpu);
	int64_t rax = (int64_t)regs_of(cpu)->rax;

	if (nr < 0)
		return VZ_RESTART_NONE;
	if (rax == -ERESTARTSYS || rax == -ERESTARTNOINTR || rax == -ERESTARTNOHAND)
		return VZ_RESTART_SAME;
	if (rax == -ERESTART_RESTARTBLOCK)
		return absolute_futex(cpu) ? VZ_RESTART_SAME : VZ_RESTART_BLOCK;
	if (rax == -EINTR)
		return ends_with_eintr(nr) && !cpu->eintr_ok ? VZ_RESTART_REISSUE
							     : VZ_RESTART_EINTR;
	return VZ_RESTART_NONE;
}

/* Where and with what rax the thread goes on; SIGRETURN: the kernel will have forgotten the restart
 * block. */
static void home_state(const struct vz_cpu *cpu, bool sigreturn, uint64_t *rax, uint64_t *rip)
{
	const struct user_regs_struct *r = regs_of(cpu);

	*rax = r->rax;
	*rip = r->rip;
	switch (vz_arch_restart(cpu)) {
	case VZ_RESTART_SAME:
	case VZ_RESTART_REISSUE:
		*rax = (uint64_t)(vz_arch_issued(cpu) < 0 ? vz_arch_syscall(cpu)
							  : vz_arch_issued(cpu));
		*rip = r->rip - SYSCALL_LEN;
		break;
	case VZ_RESTART_BLOCK:
		*rax = sigreturn ? (uint64_t)vz_arch_issued(cpu) : NR_RESTART_SYSCALL;
		*rip = r->rip - SYSCALL_LEN;
		if (sigreturn && (cpu->eintr_ok || vz_arch_issued(cpu) < 0)) {
			*rax = (uint64_t)-EINTR;
			*rip = r->rip;
		}
		break;
	case VZ_RESTART_NONE:
	case VZ_RESTART_EINTR:
		break;
	}
}

/* Size of the standard-format image without the AMX tiles, which are large and nearly always
 * unused. */
static size_t xstate_size(uint64_t features)
{
	unsigned a, b, c, d;
	size_t size = XSTATE_HEADER + 64;

	for (unsigned i = 2; i < 63; i++) {
		if (!(features >> i & 1))
			continue;
		__cpuid_count(0xd, i, a, b, c, d);
		if (b + a > size)
			size = b + a;
	}
	return size;
}

struct xstate_plan {
	uint64_t features;
	size_t size;
};

static struct xstate_plan plan_xstate(const struct vz_cpu *cpu)
{
	struct xstate_plan plan;
	uint64_t used;

	memcpy(&plan.features, cpu->xstate + XSTATE_SOFTWARE, sizeof(plan.features));
	memcpy(&used, cpu->xstate + XSTATE_HEADER, sizeof(used));
	if (!(used >> XFEATURE_TILEDATA & 1))
		plan.features &= ~(UINT64_C(1) << XFEATURE_TILEDATA);
	plan.size = xstate_size(plan.features);
	return plan;
}

static void fill_xstate(const struct vz_cpu *cpu, struct xstate_plan plan, uint8_t *to)
{
	uint32_t software[12] = { FP_MAGIC_1, (uint32_t)plan.size + 4, (uint32_t)plan.features,
				  (uint32_t)(plan.features >> 32), (uint32_t)plan.size };
	uint32_t magic2 = FP_MAGIC_2;
	uint64_t used;

	memcpy(to, cpu->xstate, plan.size);
	memcpy(&used, to + XSTATE_HEADER, sizeof(used));
	used &= plan.features;
	memset(to + XSTATE_HEADER, 0, 64);
	memcpy(to + XSTATE_HEADER, &used, sizeof(used));
	memcpy(to + XSTATE_SOFTWARE, software, sizeof(software));
	memcpy(to + plan.size, &magic2, sizeof(magic2));
}

static void fill_ucontext(const struct vz_cpu *cpu, uint64_t xstate_raddr, ucontext_t *uc)
{
	const struct user_regs_struct *r = regs_of(cpu);
	greg_t *g = uc->uc_mcontext.gregs;
	uint64_t rax, rip;

	home_state(cpu, true, &rax, &rip);
	uc->uc_flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	uc->uc_stack.ss_flags = SS_FLAGS_INVALID;
	g[REG_R8] = (greg_t)r->r8;
	g[REG_R9] = (greg_t)r->r9;
	g[REG_R10] = (greg_t)r->r10;
	g[REG_R11] = (greg_t)r->r11;
	g[REG_R12] = (greg_t)r->r12;
	g[REG_R13] = (greg_t)r->r13;
	g[REG_R14] = (greg_t)r->r14;
	g[REG_R15] = (greg_t)r->r15;
	g[REG_RDI] = (greg_t)r->rdi;
	g[REG_RSI] = (greg_t)r->rsi;
	g[REG_RBP] = (greg_t)r->rbp;
	g[REG_RBX] = (greg_t)r->rbx;
	g[REG_RDX] = (greg_t)r->rdx;
	g[REG_RCX] = (greg_t)r->rcx;
	g[REG_RSP] = (greg_t)r->rsp;
	g[REG_RAX] = (greg_t)rax;
	g[REG_RIP] = (greg_t)rip;
	g[REG_EFL] = (greg_t)r->eflags;
	g[REG_CSGSFS] = (greg_t)((r->cs & 0xffff) | (r->gs & 0xffff) << 16 |
				 (r->fs & 0xffff) << 32 | (r->ss & 0xffff) << 48);
	memcpy(&uc->uc_mcontext.fpregs, &xstate_raddr, sizeof(xstate_raddr));
	memcpy(&uc->uc_sigmask, &cpu->sigmask, sizeof(cpu->sigmask));
}

static void fill_home(const struct vz_cpu *cpu, uint64_t xstate_raddr, uint64_t features,
		      struct home *h)
{
	const struct user_regs_struct *r = regs_of(cpu);
	enum vz_restart restart = vz_arch_restart(cpu);

	*h = (struct home){
		.magic = HOME_MAGIC,
		.sigmask = cpu->sigmask,
		.xstate = xstate_raddr,
		.xfeatures = features,
		.eintr_rip = r->rip,
		.restarts = restart != VZ_RESTART_NONE && restart != VZ_RESTART_EINTR,
		.r15 = r->r15,
		.r14 = r->r14,
		.r13 = r->r13,
		.r12 = r->r12,
		.r11 = r->r11,
		.r10 = r->r10,
		.r9 = r->r9,
		.r8 = r->r8,
		.rbp = r->rbp,
		.rdi = r->rdi,
		.rsi = r->rsi,
		.rdx = r->rdx,
		.rcx = r->rcx,
		.rbx = r->rbx,
		.rflags = r->eflags,
	};
	home_state(cpu, false, &h->rax, &h->rip);
}

int vz_arch_frame(const struct vz_cpu *cpu, uint64_t restore_rt, uint64_t first,
		  struct vz_frame *ret)
{
	uint64_t top = regs_of(cpu)->rsp - RED_ZONE;
	uint64_t home = top - sizeof(struct home);
	struct xstate_plan plan = plan_xstate(cpu);
	uint64_t xstate = (home - plan.size - 4) & ~UINT64_C(63);
	/* The return address lies where a call would put it: (sp + 8) % 16 == 0. */
	uint64_t sp = ((xstate - 8 - sizeof(ucontext_t) - 128) & ~UINT64_C(15)) - 8;

	if (plan.size + 4 > cpu->xstate_len + 4 || top - sp + 8 > sizeof(ret->bytes))
		return -E2BIG;
	ret->sp = sp;
	ret->call_sp = first ? sp - 8 : sp;
	ret->raddr = sp - 8;
	ret->len = top - ret->raddr;
	ret->home_raddr = home;
	memset(ret->bytes, 0, ret->len);
	memcpy(ret->bytes, &first, sizeof(first));
	memcpy(ret->bytes + 8, &restore_rt, sizeof(restore_rt));
	fill_ucontext(cpu, xstate, (ucontext_t *)(ret->bytes + 16));
	fill_xstate(cpu, plan, ret->bytes + (xstate - ret->raddr));
	fill_home(cpu, xstate, plan.features, (struct home *)(ret->bytes + (home - ret->raddr)));
	return 0;
}

static struct user_regs_struct *borrowed(const struct vz_cpu *cpu, uint64_t sp,
					 uint64_t regs[VZ_ARCH_WORDS])
{
	struct user_regs_struct *r = (struct user_regs_struct *)regs;

	memcpy(regs, cpu->regs, sizeof(cpu->regs));
	r->rsp = sp;
	r->orig_rax = (uint64_t)-1; /* the kernel must not restart anything on the way */
	r->eflags &= ~(uint64_t)FLAGS_TF_DF_AC;
	return r;
}

void vz_arch_call(const struct vz_cpu *cpu, const struct vz_frame *frame, uint64_t fn, uint64_t arg,
		  uint64_t regs[VZ_ARCH_WORDS])
{
	struct user_regs_struct *r = borrowed(cpu, frame->sp, regs);

	r->rip = fn;
	r->rdi = arg;
	r->rax = 0;
}

void vz_arch_remote_syscall(const struct vz_cpu *cpu, const struct vz_frame *frame, uint64_t insn,
			    long nr, const uint64_t args[6], uint64_t regs[VZ_ARCH_WORDS])
{
	struct user_regs_struct *r = borrowed(cpu, frame->call_sp, regs);

	r->rip = insn;
	r->rax = (uint64_t)nr;
	r->rdi = args[0];
	r->rsi = args[1];
	r->rdx = args[2];
	r->r10 = args[3];
	r->r8 = args[4];
	r->r9 = args[5];
}

int64_t vz_arch_result(const uint64_t regs[VZ_ARCH_WORDS])
{
	return (int64_t)((const struct user_regs_struct *)regs)->rax;
}

/* Whether the kernel, left alone, would take it up in a way that is worse than issuing it again. */
static bool better_issued(const struct vz_cpu *cpu)
{
	return vz_arch_restart(cpu) == VZ_RESTART_REISSUE ||
	       ((int64_t)regs_of(cpu)->rax == -ERESTART_RESTARTBLOCK &&
		vz_arch_syscall(cpu) != NR_RESTART_SYSCALL && absolute_futex(cpu));
}

bool vz_arch_resume(const struct vz_cpu *cpu, uint64_t regs[VZ_ARCH_WORDS])
{
	struct user_regs_struct *r = (struct user_regs_struct *)regs;

	memcpy(regs, cpu->regs, sizeof(cpu->regs));
	if (!better_issued(cpu))
		return false;
	/* Let the kernel issue it again, unless a handler runs. */
	r->rax = (uint64_t)-ERESTARTNOHAND;
	return true;
}

void vz_arch_home(const struct vz_cpu *cpu, uint64_t regs[VZ_ARCH_WORDS])
{
	struct user_regs_struct *r = (struct user_regs_struct *)regs;
	uint64_t rax, rip;

	memcpy(regs, cpu->regs, sizeof(cpu->regs));
	home_state(cpu, false, &rax, &rip);
	r->rax = rax;
	r->rip = rip;
	r->orig_rax = (uint64_t)-1;
}

uint64_t vz_arch_block_mask(uint64_t sigmask)
{
	static const int raised_by_cpu[] = { SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS };
	uint64_t mask = UINT64_MAX;

	for (unsigned i = 0; i < sizeof(raised_by_cpu) / sizeof(raised_by_cpu[0]); i++)
		mask &= ~(UINT64_C(1) << (raised_by_cpu[i] - 1));
	return mask | sigmask;
}
