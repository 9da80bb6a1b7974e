/* SPDX-License-Identifier: MIT */
#include "payload/leave.h"

#include "payload/agent.h"
#include "payload/atfork.h"
#include "payload/intern.h"

/* CLONE_VM FS FILES SIGHAND THREAD SYSVSEM */
enum {
	CLONE_FLAGS = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000,
	UNBORN_STAY_NS = 200 * 1000 * 1000, /* so that the tool can read why */
	REAPER_TRIES = 50,                  /* it may be at its limit of threads for a moment */
	REAPER_PAUSE_NS = 5 * 1000 * 1000,
};

static uint8_t reaper_stack[4096] __attribute__((aligned(64)));
static struct {
	uint32_t agent_tid;
	uint64_t arena, arena_bytes, private, private_bytes;
} reap;
struct {
	uint64_t base, bytes, munmap;
} vz_child_unmap; /* read by vz_child_entry */
static uint32_t child_pending;

/* entry_x86_64.c, and what it calls */
int vz_child_entry(void *unused);
int vz_child_leaves(void);
long vz_clone_reaper(void *stack_top, long flags);
void vz_reaper_exit(uint64_t base, uint64_t bytes, uint64_t gadget);
void vz_reaper(void);

int vz_task_gone(uint32_t tid)
{
	long pid = vz_sys(VZ_SYS_GETPID, 0, 0, 0);

	return vz_sys(VZ_SYS_TGKILL, pid, tid, 0) == -VZ_ESRCH;
}

void vz_keep_in_children(int keep)
{
	long advice = keep ? VZ_MADV_DOFORK : VZ_MADV_DONTFORK;

	/* Not the image: libc looks through all stacks in a child, and the agent's is there. */
	if (vz_boot.private_raddr)
		vz_sys(VZ_SYS_MADVISE, (long)vz_boot.private_raddr, (long)vz_boot.private_bytes,
		       advice);
	vz_intern_keep(keep);
}

static void unmap(uint64_t base, uint64_t bytes)
{
	if (base && bytes)
		vz_sys(VZ_SYS_MUNMAP, (long)base, (long)bytes, 0);
}

static void wait_home(void);

/* Runs on a raw thread: no TLS, no libc, and at the end no memory. */
__attribute__((used)) void vz_reaper(void)
{
	if (!reap.agent_tid) { /* there never was one */
		vz_sleep_ns(UNBORN_STAY_NS);
		wait_home();
	}
	while (reap.agent_tid && !vz_task_gone(reap.agent_tid))
		vz_sleep_ns(50 * 1000);
	unmap(reap.arena, reap.arena_bytes);
	unmap(reap.private, reap.private_bytes);
	if (vz_boot.exit_gadget)
		vz_reaper_exit(vz_boot.image_base, vz_boot.image_bytes, vz_boot.exit_gadget);
	/* There is no code but ours to end in: the tool unmaps it, once this thread is gone. */
	vz_boot.arena_raddr = vz_boot.private_raddr = 0;
	vz_boot.agent_tid = (uint32_t)vz_sys(VZ_SYS_GETTID, 0, 0, 0);
	__atomic_store_n(&vz_boot.error, VZ_AGENT_NO_REAPER, __ATOMIC_RELEASE);
}

static uint64_t parse_hex(const char *s)
{
	uint64_t v = 0;

	for (; *s; s++) {
		unsigned d = *s >= '0' && *s <= '9'   ? (unsigned)(*s - '0')
			     : *s >= 'a' && *s <= 'f' ? (unsigned)(*s - 'a' + 10)
						      : 99;

		if (d > 15)
			break;
		v = v << 4 | d;
	}
	return v;
}

/* Where the borrowed thread is blocked: 0: it runs, 1: gone, else its program counter. */
static uint64_t home_pc(void)
{
	char path[64] = "/proc/self/task/", text[256];
	uint32_t tid = vz_boot.home_tid, n = 16, digits = 1;
	long fd, len;

	for (uint32_t t = tid; t >= 10; t /= 10)
		digits++;
	for (uint32_t i = digits; i > 0; i--, tid /= 10)
		path[n + i - 1] = (char)('0' + tid % 10);
	n += digits;
	for (const char *s = "/syscall"; *s; s++)
		path[n++] = *s;
	path[n] = '\0';
	fd = vz_sys6(VZ_SYS_OPENAT, -100, (long)path, 02000000, 0, 0, 0);
	if (fd < 0) /* also where there is no /proc, or one of other numbers */
		return vz_task_gone(vz_boot.home_tid) ? 1 : 0;
	len = vz_sys(VZ_SYS_READ, fd, (long)text, sizeof(text) - 1);
	vz_sys(VZ_SYS_CLOSE, fd, 0, 0);
	if (len <= 0)
		return 1;
	text[len] = '\0';
	while (len > 0 && text[len - 1] != ' ')
		len--;
	return text[0] == 'r' ? 0 : parse_hex(text + len + 2); /* "running", else "... 0xpc" */
}

/* The borrowed thread set its flag a few instructions before it left; see it elsewhere, or give it
 * time. */
static void wait_home(void)
{
	for (int running = 0; running < 10;) {
		uint64_t pc = vz_boot.home_done ? home_pc() : vz_boot.image_base;

		if (pc &&
		    (pc < vz_boot.image_base || pc >= vz_boot.image_base + vz_boot.image_bytes))
			return;
		running += pc == 0;
		vz_sleep_ns(2 * 1000 * 1000);
	}
}

void vz_leave(void)
{
	wait_home();
	vz_intern_fini();
	reap.agent_tid = vz_boot.agent_tid;
	reap.arena = vz_boot.arena_raddr;
	reap.arena_bytes = vz_boot.arena_raddr ? vz_boot.arena_bytes : 0;
	reap.private = vz_boot.private_raddr;
	reap.private_bytes = vz_boot.private_bytes;
	if (vz_boot.arena_fd >= 0)
		vz_sys(VZ_SYS_CLOSE, vz_boot.arena_fd, 0, 0);
	vz_boot.arena_fd = -1;
	for (int i = 0; vz_clone_reaper(reaper_stack + sizeof(reaper_stack), CLONE_FLAGS) < 0;
	     i++) {
		if (i == REAPER_TRIES) {
			vz_boot.error = VZ_AGENT_NO_REAPER; /* the tool unmaps us, if it is there */
			break;
		}
		vz_sleep_ns(REAPER_PAUSE_NS);
	}
}

int vz_leave_unborn(void)
{
	return vz_clone_reaper(reaper_stack + sizeof(reaper_stack), CLONE_FLAGS) > 0;
}

/* ---- without an agent: in a forked child, or where no thread can be made ---- */

/* The tool is told, since this is not a child; the arena is its as well. */
static void say_gone(void)
{
	vz_control->error = VZ_AGENT_NO_THREAD;
	__atomic_store_n(&vz_control->state, VZ_STATE_GONE, __ATOMIC_RELEASE);
	__atomic_store_n(&vz_boot.status, VZ_STATE_GONE, __ATOMIC_RELEASE);
	vz_control = NULL;
	unmap(vz_boot.arena_raddr, vz_boot.arena_bytes);
}

/*
 * Runs from the program's evaluation loop, through vz_child_entry, which unmaps the
 * image if this returns 1.
 */
__attribute__((used)) int vz_child_leaves(void)
{
	struct vz_saved_error saved;

	vz_error_save(&saved);
	vz_agent_ts = vz_ts_current();
	if (vz_hooks->remove() || !vz_intern_unwatch() || vz_atfork_remove()) {
		vz_error_restore(&saved);
		return 0; /* somebody hooked on top of us: the code must stay */
	}
	vz_error_restore(&saved);
	vz_intern_fini();
	if (vz_private->alive)
		say_gone();
	unmap(vz_boot.private_raddr, vz_boot.private_bytes);
	if (vz_boot.arena_fd >= 0)
		vz_sys(VZ_SYS_CLOSE, vz_boot.arena_fd, 0, 0);
	vz_child_unmap.base = vz_boot.image_base;
	vz_child_unmap.bytes = vz_boot.image_bytes;
	vz_child_unmap.munmap = vz_boot.libc[VZ_LIBC_munmap];
	return vz_child_unmap.munmap != 0;
}

void vz_leave_alone(void)
{
	vz_agent_in_child(); /* the same way */
}

int vz_leaves_alone(void)
{
	return child_pending != 0;
}

void vz_agent_in_child(void)
{
	if (__atomic_exchange_n(&child_pending, 1, __ATOMIC_RELAXED))
		return;
	if (VZ_PY(Py_AddPendingCall, int, int (*)(void *), void *)(vz_child_entry, NULL) < 0)
		child_pending = 0; /* queue full: the next event tries again */
}
