/* SPDX-License-Identifier: MIT */
#include "attach/seccomp.h"

#include <linux/audit.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum {
	THREAD_FLAGS =
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM
};

/* What runs in the target, in the order of its first use, with the arguments that filters look at.
 */
static const struct call {
	int nr;
	const char *name;
	uint64_t args[6];
	bool optional; /* refused with an error, something is missing but nothing breaks */
} calls[] = {
	{ SYS_mmap,
	  "mmap",
	  { 0, 1 << 20, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, UINT64_MAX, 0 },
	  false },
	{ SYS_rt_sigreturn, "rt_sigreturn", { 0 }, false },
	{ SYS_munmap, "munmap", { 0, 1 << 20 }, false },
	{ SYS_mprotect, "mprotect", { 0, 4096, PROT_READ | PROT_WRITE }, false },
	{ SYS_mprotect, "mprotect", { 0, 4096, PROT_NONE }, false },
	{ SYS_gettid, "gettid", { 0 }, false },
	{ SYS_clone,
	  "clone",
	  { THREAD_FLAGS | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID },
	  false },
	{ SYS_clone, "clone", { THREAD_FLAGS }, false },
	{ SYS_clone3, "clone3", { 0, 88 }, true }, /* libc then uses clone */
	{ SYS_set_robust_list, "set_robust_list", { 0, 24 }, true },
	{ SYS_rseq, "rseq", { 0, 32 }, true },
	{ SYS_rt_sigpending, "rt_sigpending", { 0, 8 }, true },
	{ SYS_rt_sigaction, "rt_sigaction", { 0, 0, 0, 8 }, true },
	{ SYS_rt_sigprocmask, "rt_sigprocmask", { 2, 0, 0, 8 }, false },
	{ SYS_memfd_create,
	  "memfd_create",
	  { 0, 0xb },
	  true }, /* once more without the last flag */
	{ SYS_memfd_create, "memfd_create", { 0, 3 }, false },
	{ SYS_ftruncate, "ftruncate", { 3, 1 << 24 }, false },
	{ SYS_mmap, "mmap", { 0, 1 << 24, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0 }, false },
	{ SYS_mmap,
	  "mmap",
	  { 0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	    UINT64_MAX, 0 },
	  false },
	{ SYS_madvise, "madvise", { 0, 4096, MADV_WIPEONFORK }, false },
	{ SYS_madvise, "madvise", { 0, 4096, MADV_DONTFORK }, true },
	{ SYS_madvise, "madvise", { 0, 4096, MADV_POPULATE_WRITE }, true },
	{ SYS_futex, "futex", { 0, FUTEX_WAIT }, false },
	{ SYS_futex, "futex", { 0, FUTEX_WAKE, 1 }, false },
	{ SYS_clock_gettime, "clock_gettime", { 1 }, false },
	{ SYS_nanosleep, "nanosleep", { 0 }, false },
	{ SYS_close, "close", { 3 }, false },
	{ SYS_getpid, "getpid", { 0 }, false },
	{ SYS_tgkill, "tgkill", { 1, 1, 0 }, false },
	{ SYS_getrlimit, "getrlimit", { 3 }, true },
	{ SYS_process_vm_readv, "process_vm_readv", { 1 }, true },
	{ SYS_openat, "openat", { (uint64_t)-100, 0, 02000000 }, true },
	{ SYS_read, "read", { 3, 0, 512 }, true },
	{ SYS_exit, "exit", { 0 }, false },
};

struct machine {
	uint32_t a, x, mem[BPF_MEMWORDS];
	const struct seccomp_data *call;
};

static bool load_word(const struct machine *m, uint32_t offset, uint32_t *ret)
{
	if (offset % 4 || offset > sizeof(*m->call) - 4)
		return false;
	memcpy(ret, (const char *)m->call + offset, sizeof(*ret));
	return true;
}

static bool calculate(struct machine *m, uint16_t op, uint32_t v)
{
	switch (op) {
	case BPF_ADD:
		m->a += v;
		return true;
	case BPF_SUB:
		m->a -= v;
		return true;
	case BPF_MUL:
		m->a *= v;
		return true;
	case BPF_AND:
		m->a &= v;
		return true;
	case BPF_OR:
		m->a |= v;
		return true;
	case BPF_XOR:
		m->a ^= v;
		return true;
	case BPF_LSH:
		m->a = v < 32 ? m->a << v : 0;
		return true;
	case BPF_RSH:
		m->a = v < 32 ? m->a >> v : 0;
		return true;
	case BPF_NEG:
		m->a = -m->a;
		return true;
	case BPF_DIV:
		m->a = v ? m->a / v : 0;
		return v != 0;
	default:
		return false;
	}
}

/* How many instructions to skip; negative: not an instruction. */
static int64_t jump(const struct machine *m, const struct sock_filter *i)
{
	uint32_t v = BPF_SRC(i->code) == BPF_X ? m->x : i->k;

	switch (BPF_OP(i->code)) {
	case BPF_JA:
		return i->k;
	case BPF_JEQ:
		return m->a == v ? i->jt : i->jf;
	case BPF_JGT:
		return m->a > v ? i->jt : i->jf;
	case BPF_JGE:
		return m->a >= v ? i->jt : i->jf;
	case BPF_JSET:
		return m->a & v ? i->jt : i->jf;
	default:
		return -1;
	}
}

static bool load(struct machine *m, const struct sock_filter *i)
{
	uint32_t *to = BPF_CLASS(i->code) == BPF_LD ? &m->a : &m->x;

	switch (BPF_MODE(i->code)) {
	case BPF_IMM:
		*to = i->k;
		return true;
	case BPF_LEN:
		*to = sizeof(*m->call);
		return true;
	case BPF_MEM:
		*to = i->k < BPF_MEMWORDS ? m->mem[i->k] : 0;
		return i->k < BPF_MEMWORDS;
	case BPF_ABS:
		return to == &m->a && load_word(m, i->k, to);
	default:
		return false;
	}
}

static bool store(struct machine *m, const struct sock_filter *i)
{
	if (i->k >= BPF_MEMWORDS)
		return false;
	m->mem[i->k] = BPF_CLASS(i->code) == BPF_ST ? m->a : m->x;
	return true;
}

uint32_t vz_seccomp_run(const struct sock_filter *filter, size_t len,
			const struct seccomp_data *call)
{
	struct machine m = { .call = call };
	int64_t skip = 0;

	/* Jumps lead forward only, so it ends. */
	for (size_t at = 0; at < len; at += 1 + (size_t)skip) {
		const struct sock_filter *i = &filter[at];
		bool good = true;

		skip = 0;
		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
		case BPF_LDX:
			good = load(&m, i);
			break;
		case BPF_ST:
		case BPF_STX:
			good = store(&m, i);
			break;
		case BPF_ALU:
			good = calculate(&m, BPF_OP(i->code),
					 BPF_SRC(i->code) == BPF_X ? m.x : i->k);
			break;
		case BPF_JMP:
			skip = jump(&m, i);
			good = skip >= 0;
			break;
		case BPF_RET:
			return BPF_RVAL(i->code) == BPF_A ? m.a : i->k;
		default: /* BPF_MISC */
			if (BPF_MISCOP(i->code) == BPF_TAX)
				m.x = m.a;
			else
				m.a = m.x;
		}
		if (!good)
			break;
	}
	return SECCOMP_RET_KILL_PROCESS;
}

void vz_seccomp_add(struct vz_seccomp *all, const struct sock_filter *filter, size_t len)
{
	all->filters++;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct seccomp_data data = { .nr = calls[i].nr, .arch = AUDIT_ARCH_X86_64 };

		memcpy(data.args, calls[i].args, sizeof(data.args));
		switch (vz_seccomp_run(filter, len, &data) & SECCOMP_RET_ACTION_FULL) {
		case SECCOMP_RET_ALLOW:
		case SECCOMP_RET_LOG:
			break;
		case SECCOMP_RET_ERRNO:
		case SECCOMP_RET_TRACE: /* without a tracer that asked for it: ENOSYS */
			if (!calls[i].optional && !all->denied)
				all->denied = calls[i].name;
			break;
		default: /* kill, trap, a supervisor who may wait for ever, and what is yet to come
			  */
			if (!all->fatal)
				all->fatal = calls[i].name;
		}
	}
}
