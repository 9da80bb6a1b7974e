/* SPDX-License-Identifier: MIT */
#include "payload/agent.h"

#include "payload/atfork.h"
#include "payload/hook.h"
#include "payload/intern.h"
#include "payload/leave.h"
#include "payload/names.h"

enum {
	STACK_BYTES = 1 << 20, /* audit hooks may run Python code on it */
	GUARD_BYTES = 4096,
	TOOL_DIED = 1 << 30, /* FUTEX_OWNER_DIED */
	POLL_NS = 20 * 1000 * 1000,
	BIRTH_POLL_NS = 2 * 1000 * 1000,
	PREFAULT_BYTES = 2 << 20,
	PRIVATE_PREFAULT = 64 << 10,
	SIG_UNBLOCK = 1,
	SIG_SETMASK = 2,
	DETACHED = 1,
	SA_RESTART = 0x10000000,
	PARKED = 1000, /* besides enum vz_agent_error */
	PARK_TIMEOUT_NS = 50 * 1000 * 1000,
	FAILED_STAY_NS = 200 * 1000 * 1000,
};

/* In .data: attach finds it by symbol and fills it in before anything runs. */
__attribute__((visibility("default"))) struct vz_boot vz_boot = {
	.magic = VZ_WIRE_MAGIC,
	.version = VZ_WIRE_VERSION,
	.size = sizeof(struct vz_boot),
	.arena_fd = -1,
};

/* The agent's stack, behind a guard page: unmapped with the image, never cached by libc. */
__attribute__((visibility("default"), aligned(4096)))
uint8_t vz_agent_stack[GUARD_BYTES + STACK_BYTES];
const struct vz_hook_ops *vz_hooks;
/* See atfork.h: asked to end for a fork; ended. */
static uint32_t park_wanted, parked;

uint64_t vz_start(struct vz_home *home);

#define LIBC(name, result, ...) ((result(*)(__VA_ARGS__))vz_boot.libc[VZ_LIBC_##name])

/* ---- recording --------------------------------------------------------- */

static void set_state(uint32_t state)
{
	__atomic_store_n(&vz_control->state, state, __ATOMIC_RELEASE);
	__atomic_store_n(&vz_boot.status, state, __ATOMIC_RELEASE);
	vz_sys6(VZ_SYS_FUTEX, (long)&vz_control->state, 1, 1 << 30, 0, 0, 0);
}

static uint32_t command(void)
{
	return __atomic_load_n(&vz_control->command, __ATOMIC_ACQUIRE);
}

static void wait_command(uint32_t while_it_is, uint64_t ns)
{
	struct vz_timespec ts = { 0, (int64_t)ns };

	vz_sys6(VZ_SYS_FUTEX, (long)&vz_control->command, VZ_FUTEX_WAIT, while_it_is, (long)&ts, 0,
		0);
}

/* 0 while the tool lives and keeps its lease. */
static uint32_t tool_lost(void)
{
	static uint32_t lease;
	static uint64_t since;
	uint64_t now = vz_monotonic_ns();
	uint32_t seen = __atomic_load_n(&vz_control->lease, __ATOMIC_RELAXED);

	if (__atomic_load_n(&vz_control->tool_lock, __ATOMIC_RELAXED) & TOOL_DIED)
		return VZ_AGENT_TOOL_DEAD;
	if (seen != lease || !since) {
		lease = seen;
		since = now;
	}
	return now - since > vz_boot.lease_ns ? VZ_AGENT_LEASE : 0;
}

static int finalizing(void)
{
	if (VZ_PY_HAS(Py_IsFinalizing) && VZ_PY(Py_IsFinalizing, int, void)())
		return 1;
	if (VZ_PY_HAS(_Py_IsFinalizing) && VZ_PY(_Py_IsFinalizing, int, void)())
		return 1;
	return !VZ_PY(Py_IsInitialized, int, void)();
}

static int take_gil(void)
{
	int state;

	/* Before it is born: others count births while we wait for the GIL. */
	__atomic_add_fetch(&vz_agent_births, 1, __ATOMIC_RELEASE);
	state = VZ_PY(PyGILState_Ensure, int, void)();
	vz_agent_ts = vz_ts_current();
	return state;
}

static void release_gil(int state)
{
	/* Audit hooks may have asked threading who we are, which makes a thread of us. */
	vz_forget_name(vz_agent_self);
	vz_agent_ts = NULL;
	VZ_PY(PyGILState_Release, void, int)(state);
}

/* Are the structures where the table says?  What we know about ourselves must be found there. */
static int layout_ok(void)
{
	const uint8_t *ts = vz_agent_ts;
	uint8_t *is;

	if (vz_load(ts, vz_boot.off.ts_thread_id) != vz_thread_pointer())
		return 0;
	is = VZ_PY(PyInterpreterState_Head, uint8_t *, void)();
	while (is && is != vz_load_ptr(ts, vz_boot.off.ts_interp))
		is = VZ_PY(PyInterpreterState_Next, uint8_t *, void *)(is);
	return is && !vz_load_ptr(ts, vz_boot.off.ts_c_profilefunc) &&
	       vz_load(is, vz_boot.off.is_next_unique_id) >= vz_load(ts, vz_boot.off.ts_id);
}

static uint32_t install(void)
{
	uint64_t begin = vz_monotonic_ns(), got;
	uint32_t rc = VZ_AGENT_OK;
	int state;

	if (finalizing())
		return vz_fail(VZ_AGENT_FINALIZING, "the interpreter is shutting down");
	state = take_gil();
	got = vz_monotonic_ns();
	vz_control->gil_wait_ns = got - begin;
	if (command() == VZ_COMMAND_STOP || tool_lost())
		rc = vz_fail(VZ_AGENT_CANCELLED, "told to stop before the GIL was free");
	else if (!layout_ok())
		rc = vz_fail(VZ_AGENT_LAYOUT, "CPython's structures are not as expected");
	if (!rc) {
		vz_keep_in_children(1);
		vz_intern_watch();
		rc = vz_hooks->install();
		if (rc) {
			vz_intern_unwatch();
			vz_keep_in_children(0);
		} else {
			vz_atfork_install();
		}
	}
	if (!rc) {
		/* Seen by the tool before another thread can record: the GIL is still ours. */
		set_state(VZ_STATE_RUNNING);
	}
	release_gil(state);
	vz_control->install_ns = vz_monotonic_ns() - got;
	return rc;
}

/* 0: an interpreter that is just ending still has some. */
static int remove_once(void)
{
	uint64_t got;
	int state, ending;

	if (finalizing())
		for (;;) /* the process ends; its memory must stay until then */
			vz_sleep_ns(1000 * 1000 * 1000);
	state = take_gil();
	got = vz_monotonic_ns();
	vz_control->left_hooks = vz_hooks->remove();
	ending = vz_interps_ending();
	if (!ending) {
		vz_control->left_hooks += !vz_intern_unwatch();
		vz_control->left_hooks += vz_atfork_remove();
	}
	if (!vz_control->left_hooks)
		vz_keep_in_children(0);
	release_gil(state);
	vz_control->remove_ns = vz_monotonic_ns() - got;
	return !ending;
}

static void remove_hooks(void)
{
	while (!remove_once())
		vz_sleep_ns(BIRTH_POLL_NS);
}

static void scan(void)
{
	int state;

	if (finalizing())
		return;
	state = take_gil();
	vz_hooks->scan();
	release_gil(state);
}

/* Until told to stop; returns why it ended. */
static uint32_t record(void)
{
	uint64_t poll = vz_boot.adopt == VZ_ADOPT_AUTOMATIC ? POLL_NS : BIRTH_POLL_NS;
	uint32_t lost = 0;

	while (command() == VZ_COMMAND_GO && !(lost = tool_lost())) {
		if (__atomic_load_n(&park_wanted, __ATOMIC_ACQUIRE))
			return PARKED;
		wait_command(VZ_COMMAND_GO, poll);
		if (command() == VZ_COMMAND_GO && (vz_interps_changed() || vz_hooks->bare()))
			scan();
	}
	return lost;
}

/* Our own variables, but not the stack in their midst, which is large and mostly unused. */
static void populate_image(void)
{
	uint64_t end = vz_boot.image_base + vz_boot.image_bytes;
	uint64_t behind = vz_boot.stack_base + vz_boot.stack_bytes;

	vz_sys(VZ_SYS_MADVISE, (long)vz_boot.writable_base,
	       (long)(vz_boot.guard_base - vz_boot.writable_base), VZ_MADV_POPULATE_WRITE);
	vz_sys(VZ_SYS_MADVISE, (long)behind, (long)(end - behind), VZ_MADV_POPULATE_WRITE);
}

static int make_arena(void)
{
	uint64_t private_bytes = sizeof(struct vz_private) + 4 * (uint64_t)vz_boot.nchunks;
	void *private;
	long fd, at;

	fd = vz_sys(VZ_SYS_MEMFD_CREATE, (long)"vizattach",
		    VZ_MFD_CLOEXEC | VZ_MFD_ALLOW_SEALING | VZ_MFD_NOEXEC_SEAL, 0);
	if (fd < 0) /* before Linux 6.3 */
		fd = vz_sys(VZ_SYS_MEMFD_CREATE, (long)"vizattach",
			    VZ_MFD_CLOEXEC | VZ_MFD_ALLOW_SEALING, 0);
	if (fd < 0) {
		vz_boot.create_result = -fd;
		vz_boot.error = VZ_AGENT_NO_MEMFD;
		return -1;
	}
	vz_boot.arena_fd = (int32_t)fd;
	if (vz_sys(VZ_SYS_FTRUNCATE, fd, (long)vz_boot.arena_bytes, 0) < 0)
		return -1;
	at = vz_sys6(VZ_SYS_MMAP, 0, (long)vz_boot.arena_bytes, VZ_PROT_READ | VZ_PROT_WRITE,
		     VZ_MAP_SHARED, fd, 0);
	if (at < 0 && at > -4096)
		return -1;
	vz_boot.arena_raddr = (uint64_t)at;
	vz_sys(VZ_SYS_MADVISE, at, (long)vz_boot.arena_bytes, VZ_MADV_DONTFORK);
	private_bytes = (private_bytes + 4095) & ~UINT64_C(4095);
	private = vz_map_anonymous(private_bytes);
	if (!private)
		return -1;
	vz_boot.private_raddr = (uint64_t) private;
	vz_boot.private_bytes = private_bytes;
	if (vz_sys(VZ_SYS_MADVISE, (long)private, (long)private_bytes, VZ_MADV_WIPEONFORK) < 0)
		return -1;
	/* Page faults now, not while we hold the GIL or inside a hook. */
	vz_sys(VZ_SYS_MADVISE, at, PREFAULT_BYTES, VZ_MADV_POPULATE_WRITE);
	vz_sys(VZ_SYS_MADVISE, (long)private, PRIVATE_PREFAULT, VZ_MADV_POPULATE_WRITE);
	populate_image();
	vz_ring_init((void *)at, private);
	if (vz_intern_init() < 0)
		return -1;
	vz_keep_in_children(0);
	return 0;
}

/*
 * Until the tool has tied its life to the arena only its heartbeat tells that it
 * is there; it writes that into our image, so a short silence is enough.
 */
static uint32_t wait_for_go(void)
{
	uint64_t seen = 0, since = vz_monotonic_ns();

	while (command() == VZ_COMMAND_NONE) {
		uint64_t beat = __atomic_load_n(&vz_boot.heartbeat, __ATOMIC_RELAXED);

		if (beat != seen) {
			seen = beat;
			since = vz_monotonic_ns();
		}
		if (vz_boot.heartbeat_ns && vz_monotonic_ns() - since > vz_boot.heartbeat_ns)
			return VZ_AGENT_TOOL_DEAD;
		if (tool_lost() == VZ_AGENT_TOOL_DEAD)
			return VZ_AGENT_TOOL_DEAD;
		wait_command(VZ_COMMAND_NONE, POLL_NS);
	}
	return command() == VZ_COMMAND_GO ? 0 : VZ_AGENT_CANCELLED;
}

/*
 * setuid and its like send each thread a signal and wait until all have answered: a thread
 * that never hears it makes the program wait for ever.  Numbers 32 and 33 are libc's own.
 */
static void hear_libc(void)
{
	uint64_t own = UINT64_C(3) << 31;

	vz_sys6(VZ_SYS_RT_SIGPROCMASK, SIG_UNBLOCK, (long)&own, 0, 8, 0, 0);
}

static int record_and_leave(void);

/* 0 if the agent is only parked. */
static int run(void)
{
	uint32_t rc = wait_for_go();

	vz_sys(VZ_SYS_CLOSE, vz_boot.arena_fd, 0, 0);
	vz_boot.arena_fd = -1;
	if (!rc) {
		set_state(VZ_STATE_WAIT_GIL);
		rc = install();
	}
	if (rc) {
		vz_control->error = rc;
		vz_boot.error = rc;
		set_state(VZ_STATE_FAILED);
		return 1;
	}
	return record_and_leave();
}

/* Returns 0 if the agent is only parked. */
static int record_and_leave(void)
{
	uint32_t why = record();

	if (why == PARKED)
		return 0;
	vz_control->error = why;
	set_state(VZ_STATE_LEAVING);
	remove_hooks();
	if (vz_control->left_hooks) {
		set_state(
			VZ_STATE_FAILED); /* something may still call us: stay mapped, and say so */
		for (;;)
			vz_sleep_ns(UINT64_C(3600) * 1000000000u);
	}
	set_state(VZ_STATE_GONE);
	return 1;
}

static void *agent_main(void *unused)
{
	(void)unused;
	hear_libc();
	vz_agent_self = vz_thread_pointer();
	vz_boot.agent_tid = (uint32_t)vz_sys(VZ_SYS_GETTID, 0, 0, 0);
	if (vz_control) { /* back from parking */
		vz_control->agent_tid = vz_boot.agent_tid;
		if (record_and_leave())
			vz_leave();
		return NULL;
	}
	vz_hooks = vz_boot.hook == VZ_HOOK_PROFILE ? &vz_hook_profile : &vz_hook_monitoring;
	if (make_arena() < 0) {
		if (!vz_boot.error)
			vz_boot.error = VZ_AGENT_NO_MEMORY;
		__atomic_store_n(&vz_boot.status, VZ_STATE_FAILED, __ATOMIC_RELEASE);
		vz_sleep_ns(FAILED_STAY_NS); /* so that the tool can read why */
	} else {
		vz_control->agent_tid = vz_boot.agent_tid;
		set_state(VZ_STATE_READY);
		if (!run())
			return NULL;
	}
	vz_leave();
	return NULL;
}

/* ---- around a fork ------------------------------------------------------ */

/* Number of threads of this process, from field 20 of /proc/self/stat; 0: unknown. */
static uint64_t count_threads(void)
{
	char text[512];
	long fd = vz_sys6(VZ_SYS_OPENAT, -100, (long)"/proc/self/stat", 02000000, 0, 0, 0), len;
	uint64_t n = 0;
	int field = 2, at;

	if (fd < 0)
		return 0;
	len = vz_sys(VZ_SYS_READ, fd, (long)text, sizeof(text) - 1);
	vz_sys(VZ_SYS_CLOSE, fd, 0, 0);
	if (len <= 0)
		return 0;
	text[len] = '\0';
	for (at = (int)len - 1; at > 0 && text[at] != ')'; at--) /* the name may hold anything */
		;
	for (; text[at] && field < 20; at++)
		field += text[at] == ' ';
	for (; text[at] >= '0' && text[at] <= '9'; at++)
		n = n * 10 + (uint64_t)(text[at] - '0');
	return n;
}

static void wake_agent(void)
{
	vz_sys6(VZ_SYS_FUTEX, (long)&vz_control->command, VZ_FUTEX_WAKE, 1, 0, 0, 0);
}

void vz_agent_park(void)
{
	uint64_t deadline = vz_monotonic_ns() + PARK_TIMEOUT_NS;

	if (parked || vz_ts_current() == vz_agent_ts || count_threads() != 2)
		return;
	__atomic_store_n(&park_wanted, 1, __ATOMIC_RELEASE);
	do {
		wake_agent();
		vz_sleep_ns(10 * 1000);
		parked = vz_task_gone(__atomic_load_n(&vz_boot.agent_tid, __ATOMIC_ACQUIRE)) != 0;
	} while (!parked && vz_monotonic_ns() < deadline);
	/* Not in time: it waits for our GIL, or leaves for good.  The fork goes on. */
	if (!parked)
		__atomic_store_n(&park_wanted, 0, __ATOMIC_RELEASE);
}

/* ---- on the borrowed thread -------------------------------------------- */

static void start_agent(void)
{
	_Alignas(16) uint8_t attr[128], thread[16];
	int rc;

	vz_sys(VZ_SYS_MPROTECT, (long)vz_agent_stack, GUARD_BYTES, 0);
	rc = LIBC(pthread_attr_init, int, void *)(attr);
	if (!rc)
		rc = LIBC(pthread_attr_setstack, int, void *, void *,
			  uint64_t)(attr, vz_agent_stack + GUARD_BYTES, STACK_BYTES);
	if (!rc)
		rc = LIBC(pthread_attr_setdetachstate, int, void *, int)(attr, DETACHED);
	if (!rc)
		rc = LIBC(pthread_create, int, void *, void *, void *(*)(void *),
			  void *)(thread, attr, agent_main, NULL);
	LIBC(pthread_attr_destroy, int, void *)(attr);
	vz_boot.create_result = rc;
	if (rc && !vz_control) {
		vz_boot.error = VZ_AGENT_NO_THREAD;
		__atomic_store_n(&vz_boot.status, VZ_STATE_FAILED, __ATOMIC_RELEASE);
	}
}

void vz_agent_unpark(void)
{
	uint64_t all = UINT64_MAX, before = 0;

	/* Given up on while it was just about to end: then it is gone now. */
	if (!parked && !vz_task_gone(vz_boot.agent_tid))
		return;
	if (__atomic_load_n(&vz_control->state, __ATOMIC_ACQUIRE) != VZ_STATE_RUNNING)
		return;
	__atomic_store_n(&park_wanted, 0, __ATOMIC_RELEASE);
	/* Until it has said its own number, the new agent is nobody that could be seen to be gone.
	 */
	__atomic_store_n(&vz_boot.agent_tid, 0, __ATOMIC_RELEASE);
	/* The agent inherits a full mask: no signal of the program is for it. */
	vz_sys6(VZ_SYS_RT_SIGPROCMASK, SIG_SETMASK, (long)&all, (long)&before, 8, 0, 0);
	start_agent();
	vz_sys6(VZ_SYS_RT_SIGPROCMASK, SIG_SETMASK, (long)&before, 0, 8, 0, 0);
	parked = vz_boot.create_result != 0;
	if (parked) /* nobody would hear the tool any more: end it here */
		vz_leave_alone();
}

/*
 * A signal that came in meanwhile would have interrupted the call that we are
 * about to restart, unless its handler restarts calls or there is none.
 */
static int must_interrupt(const struct vz_home *home)
{
	uint64_t pending = 0;

	vz_sys(VZ_SYS_RT_SIGPENDING, (long)&pending, 8, 0);
	pending &= ~home->sigmask;
	for (int sig = 1; sig <= 64; sig++) {
		struct {
			uint64_t handler, flags, restorer, mask;
		} action = { 0, 0, 0, 0 };

		if (!(pending >> (sig - 1) & 1))
			continue;
		vz_sys6(VZ_SYS_RT_SIGACTION, sig, 0, (long)&action, 8, 0, 0);
		if (action.handler > 1 && !(action.flags & SA_RESTART))
			return 1;
	}
	return 0;
}

/*
 * Returns 0, or the address of munmap if nobody of ours is there to unmap the image:
 * then the borrowed thread must do it on its way home.
 */
__attribute__((used)) uint64_t vz_start(struct vz_home *home)
{
	/* The image came as one readable, executable mapping; nothing may be written before this.
	 */
	if (vz_sys(VZ_SYS_MPROTECT, (long)vz_boot.writable_base, (long)vz_boot.writable_bytes,
		   VZ_PROT_READ | VZ_PROT_WRITE) < 0)
		return vz_boot.libc[VZ_LIBC_munmap];
	vz_boot.entry_ticks = vz_tsc();
	vz_boot.home_tid = (uint32_t)vz_sys(VZ_SYS_GETTID, 0, 0, 0);
	hear_libc(); /* pthread_create may wait for the lock that setuid holds */
	start_agent();
	if (vz_boot.create_result && !vz_leave_unborn())
		return vz_boot.libc[VZ_LIBC_munmap];
	if (home->restarts && must_interrupt(home)) {
		home->pop.rax = (uint64_t)-VZ_EINTR;
		home->pop.rip = home->eintr_rip;
	}
	vz_sys6(VZ_SYS_RT_SIGPROCMASK, SIG_SETMASK, (long)&home->sigmask, 0, 8, 0, 0);
	vz_boot.home_ticks = vz_tsc();
	__atomic_store_n(&vz_boot.home_done, 1, __ATOMIC_RELEASE);
	return 0;
}

void *memset(void *to, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);

/* gcc turns loops and struct copies into these even when freestanding. */
__attribute__((used)) void *memset(void *to, int c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile uint8_t *)to)[i] = (uint8_t)c;
	return to;
}

__attribute__((used)) void *memcpy(void *to, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
	return to;
}
