/* SPDX-License-Identifier: MIT */
/*
 * safepoint.c - the rules that need no stack: which thread to try, in which call or
 * place a thread must not be.  They come first because they are quick.
 */
#include "attach/safepoint_priv.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

struct syscall_rule {
	long nr;
	const char *name;
};

/* Calls that libc makes while it holds a lock that we need, or whose thread must not be borrowed.
 */
static const struct syscall_rule holds_locks[] = {
	{ SYS_mmap, "mmap" },
	{ SYS_munmap, "munmap" },
	{ SYS_mprotect, "mprotect" },
	{ SYS_brk, "brk" },
	{ SYS_madvise, "madvise" },
	{ SYS_mremap, "mremap" },
	{ SYS_clone, "clone" },
	{ SYS_clone3, "clone3" },
	{ SYS_fork, "fork" },
	{ SYS_vfork, "vfork" },
	{ SYS_execve, "execve" },
	{ SYS_execveat, "execveat" },
	{ SYS_exit, "exit" },
	{ SYS_exit_group, "exit" },
	{ SYS_open, "open" },
	{ SYS_openat, "openat" },
	{ SYS_rt_sigreturn, "rt_sigreturn" },
};

enum { NEVER = -1, NO_LIMIT_ARG = -1, UNKNOWN_LIMIT = -2 };

/*
 * Waits that a stop ends with EINTR, and the argument that says for how long;
 * without a limit, issuing the call again is exact.
 */
static const struct poor_wait {
	long nr;
	int limit;         /* index of the argument, or one of the above */
	bool milliseconds; /* -1 means no limit; else a null pointer does */
} poor_waits[] = {
	{ SYS_epoll_wait, 3, true },
	{ SYS_epoll_pwait, 3, true },
	{ SYS_epoll_pwait2, 3, false },
	{ SYS_rt_sigtimedwait, 2, false },
	{ SYS_semop, NO_LIMIT_ARG, false },
	{ SYS_semtimedop, 3, false },
	{ SYS_io_getevents, 4, false },
	{ SYS_io_pgetevents, 4, false },
	{ SYS_io_uring_enter, UNKNOWN_LIMIT, false },
	/* a limit is a property of the socket */
	{ SYS_recvfrom, UNKNOWN_LIMIT, false },
	{ SYS_recvmsg, UNKNOWN_LIMIT, false },
	{ SYS_recvmmsg, UNKNOWN_LIMIT, false },
	{ SYS_accept, UNKNOWN_LIMIT, false },
	{ SYS_accept4, UNKNOWN_LIMIT, false },
	{ SYS_sendto, UNKNOWN_LIMIT, false },
	{ SYS_sendmsg, UNKNOWN_LIMIT, false },
	{ SYS_connect, UNKNOWN_LIMIT, false },
};

enum rank {
	RANK_FUTEX,   /* Python's locks: exact even if we die on the way */
	RANK_EXACT,   /* the kernel issues it again, or we do so exactly */
	RANK_LIMITED, /* exact while we live: only the kernel knows the time left */
	RANK_RUNNING,
	RANK_POOR = VZ_SAFEPOINT_POOR, /* the limit starts afresh */
	RANK_LOCKED,
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

int vz_safepoint_refuse(char *why, size_t size, const char *what)
{
	snprintf(why, size, "%s", what);
	return -EAGAIN;
}

/* A low-level lock of libc: the thread waits for what another one holds and may hold more. */
static bool waits_for_libc_lock(const struct vz_cpu *cpu)
{
	int op = (int)vz_arch_syscall_arg(cpu, 1) & FUTEX_CMD_MASK;

	return vz_arch_syscall(cpu) == SYS_futex &&
	       ((op == FUTEX_WAIT && (uint32_t)vz_arch_syscall_arg(cpu, 2) == 2) ||
		op == FUTEX_LOCK_PI || op == FUTEX_LOCK_PI2);
}

static int check_syscall(const struct vz_cpu *cpu, char *why, size_t size)
{
	if (waits_for_libc_lock(cpu))
		return vz_safepoint_refuse(why, size, "a lock inside the C library");
	for (size_t i = 0; i < COUNT(holds_locks); i++)
		if (holds_locks[i].nr == vz_arch_syscall(cpu))
			return vz_safepoint_refuse(why, size, holds_locks[i].name);
	return 0;
}

/* Moving the program counter out of a restartable sequence would break it. */
static bool in_rseq(const struct vz_target *target, uint64_t rseq, uint64_t pc)
{
	struct {
		uint32_t version, flags;
		uint64_t start, length, abort;
	} section;
	uint64_t at = 0;

	if (!rseq || vz_target_read(target, rseq + 8, &at, sizeof(at)) < 0 || !at)
		return false;
	if (vz_target_read(target, at, &section, sizeof(section)) < 0)
		return true; /* cannot tell: another moment */
	return pc - section.start < section.length;
}

/* The frame goes below the stack pointer; the mapping must reach far enough down. */
static bool stack_has_room(const struct vz_maps *maps, uint64_t sp)
{
	const struct vz_map *map = vz_maps_find(maps, sp - 1);

	if (!map || !map->writable)
		return false;
	return sp - map->start >= VZ_ARCH_STACK_NEED || !strcmp(map->path, "[stack]");
}

static int check_place(const struct vz_safepoint *s, const struct vz_cpu *cpu, uint64_t rseq,
		       char *why, size_t size)
{
	uint64_t pc = vz_arch_pc(cpu);
	const struct vz_map *map = vz_maps_find(s->maps, pc);

	if (!vz_arch_mode_ok(cpu))
		return vz_safepoint_refuse(why, size, "32-bit code");
	if (pc >= s->python->ld_start && pc < s->python->ld_end)
		return vz_safepoint_refuse(why, size, "the dynamic loader");
	if (!stack_has_room(s->maps, vz_arch_sp(cpu)))
		return vz_safepoint_refuse(why, size, "a stack that is nearly full");
	if (in_rseq(s->target, rseq, pc))
		return vz_safepoint_refuse(why, size, "a restartable sequence");
	if (!map || !map->executable)
		return vz_safepoint_refuse(why, size, "code that is not mapped as such");
	return 0;
}

int vz_safepoint_check(struct vz_safepoint *s, struct vz_cpu *cpu, uint64_t rseq, char *why,
		       size_t why_size)
{
	int rc = check_place(s, cpu, rseq, why, why_size);

	cpu->eintr_ok = false;
	if (rc == 0 && vz_arch_syscall(cpu) >= 0)
		rc = check_syscall(cpu, why, why_size);
	return rc < 0 ? rc : vz_safepoint_check_stack(s, cpu, why, why_size);
}

/* ---- before the stop ---- */

static int rank_poor(const struct poor_wait *wait, const struct vz_task *task)
{
	uint64_t none = wait->milliseconds ? UINT32_MAX : 0;

	if (wait->limit == UNKNOWN_LIMIT)
		return RANK_POOR;
	if (wait->limit == NO_LIMIT_ARG)
		return RANK_EXACT;
	return (wait->milliseconds ? (uint32_t)task->args[wait->limit] : task->args[wait->limit]) ==
			       none
		       ? RANK_EXACT
		       : RANK_POOR;
}

/* Calls whose rest of the time only the kernel knows (its restart block). */
static bool is_limited(const struct vz_task *task)
{
	switch (task->syscall) {
	case SYS_restart_syscall:
	case SYS_nanosleep:
		return true;
	case SYS_clock_nanosleep:
		return !(task->args[1] & TIMER_ABSTIME);
	case SYS_poll:
		return (int32_t)task->args[2] >= 0;
	case SYS_futex:
		return (task->args[1] & FUTEX_CMD_MASK) == FUTEX_WAIT && task->args[3];
	default:
		return false;
	}
}

int vz_safepoint_rank(const struct vz_task *task)
{
	if (strchr("DZXTt", task->state))
		return NEVER;
	if (task->syscall < 0)
		return RANK_RUNNING;
	for (size_t i = 0; i < COUNT(holds_locks); i++)
		if (holds_locks[i].nr == task->syscall)
			return RANK_LOCKED;
	for (size_t i = 0; i < COUNT(poor_waits); i++)
		if (poor_waits[i].nr == task->syscall)
			return rank_poor(&poor_waits[i], task);
	if (is_limited(task))
		return RANK_LIMITED;
	return task->syscall == SYS_futex ? RANK_FUTEX : RANK_EXACT;
}
