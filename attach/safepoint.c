/* SPDX-License-Identifier: MIT */
#include "attach/safepoint.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

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
	{ SYS_rt_sigsuspend, "sigsuspend" },
};

/* Waits whose relative limit would start afresh, or that end with EINTR: picked last. */
static const long poor_waits[] = {
	SYS_epoll_wait,      SYS_epoll_pwait, SYS_epoll_pwait2, SYS_recvfrom,
	SYS_recvmsg,         SYS_accept,      SYS_accept4,      SYS_semop,
	SYS_rt_sigtimedwait, SYS_semtimedop,  SYS_io_getevents, SYS_io_uring_enter,
};

static const char *const other_mallocs[] = { "jemalloc", "tcmalloc", "mimalloc" };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool in(uint64_t at, uint64_t start, uint64_t end)
{
	return at >= start && at < end;
}

static int refuse(char *why, size_t size, const char *what)
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
		return refuse(why, size, "a lock inside the C library");
	for (size_t i = 0; i < COUNT(holds_locks); i++)
		if (holds_locks[i].nr == vz_arch_syscall(cpu))
			return refuse(why, size, holds_locks[i].name);
	return 0;
}

static int check_running(const struct vz_objects *objects, const struct vz_maps *maps,
			 const struct vz_python *python, uint64_t pc, char *why, size_t size)
{
	const struct vz_object *object = vz_objects_find(objects, pc);
	const struct vz_map *map = vz_maps_find(maps, pc);
	const char *function = object ? vz_object_function_at(object, pc) : NULL;

	if (in(pc, python->libc_start, python->libc_end) ||
	    in(pc, python->pthread_start, python->pthread_end))
		return refuse(why, size, function ? function : "the C library");
	for (size_t i = 0; object && i < COUNT(other_mallocs); i++)
		if (strstr(vz_object_path(object), other_mallocs[i]))
			return refuse(why, size, other_mallocs[i]);
	if (!map || !map->executable)
		return refuse(why, size, "code that is not mapped as such");
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

int vz_safepoint_check(const struct vz_target *target, const struct vz_objects *objects,
		       const struct vz_maps *maps, const struct vz_python *python,
		       const struct vz_cpu *cpu, uint64_t rseq, char *why, size_t why_size)
{
	uint64_t pc = vz_arch_pc(cpu);

	if (!vz_arch_mode_ok(cpu))
		return refuse(why, why_size, "32-bit code");
	if (in(pc, python->ld_start, python->ld_end))
		return refuse(why, why_size, "the dynamic loader");
	if (!stack_has_room(maps, vz_arch_sp(cpu)))
		return refuse(why, why_size, "a stack that is nearly full");
	if (in_rseq(target, rseq, pc))
		return refuse(why, why_size, "a restartable sequence");
	if (vz_arch_syscall(cpu) >= 0)
		return check_syscall(cpu, why, why_size);
	return check_running(objects, maps, python, pc, why, why_size);
}

int vz_safepoint_rank(const struct vz_task *task)
{
	if (task->state == 'D' || task->state == 'Z' || task->state == 'X' || task->state == 'T' ||
	    task->state == 't')
		return -1;
	if (task->syscall < 0)
		return 2;
	for (size_t i = 0; i < COUNT(holds_locks); i++)
		if (holds_locks[i].nr == task->syscall)
			return 4;
	for (size_t i = 0; i < COUNT(poor_waits); i++)
		if (poor_waits[i] == task->syscall)
			return 3;
	/* Absolute and unlimited waits first, then those the kernel continues by restart_block. */
	return task->syscall == SYS_futex ? 0 : 1;
}
