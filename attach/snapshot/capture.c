/* SPDX-License-Identifier: MIT */
#include "attach/snapshot/capture.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "attach/tracee.h"
#include "attach/util.h"

enum {
	STACK_MAX = 8 << 20,
	STACK_UNBOUNDED = 1 << 20, /* where it cannot be told where the stack ends */
	BEYOND_IDENT = 4096,       /* pthread_self points into the top of a thread's stack */
	STATUS_MAX = 1 << 16,
	QUIET_TRIES = 3,
	STOP_TRIES = 3,
};
/* A thread that its cgroup throttles cannot stop before its next period, most often of 100 ms. */
#define STOP_TIMEOUT_NS UINT64_C(250000000)

/* ---- memory: the copy first ---- */

static int read_copied(const struct vz_bytes *bytes, uint64_t raddr, void *buf, size_t len)
{
	const struct vz_capture *c = (const struct vz_capture *)bytes;
	uint64_t end = c->stack_start + c->stack_len, inside;
	char *to = buf;

	if (raddr < c->stack_start || raddr >= end)
		return vz_target_read(c->under, raddr, buf, len);
	inside = end - raddr < len ? end - raddr : len;
	memcpy(to, c->stack + (raddr - c->stack_start), inside);
	return inside == len ? 0 : vz_target_read(c->under, end, to + inside, len - inside);
}

int vz_capture_new(const struct vz_target *target, struct vz_capture **ret)
{
	struct vz_capture *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->frames = calloc(VZ_CAPTURE_FRAMES, sizeof(*c->frames));
	if (!c->frames) {
		free(c);
		return -ENOMEM;
	}
	c->bytes.read = read_copied;
	c->under = target;
	c->view = *target;
	c->view.memory = &c->bytes;
	*ret = c;
	return 0;
}

void vz_capture_free(struct vz_capture *c)
{
	if (!c)
		return;
	free(c->frames);
	free(c->stack);
	free(c);
}

/* ---- the copies ---- */

static size_t stack_bytes(const struct vz_maps *maps, uint64_t sp, uint64_t ident)
{
	const struct vz_map *map = vz_maps_find(maps, sp);
	uint64_t end;

	if (!map || !map->readable)
		return 0;
	end = map->end;
	if (ident > sp && ident < end && end - ident > BEYOND_IDENT)
		end = ident + BEYOND_IDENT;
	else if (ident > sp && ident < end && end - sp <= STACK_MAX)
		return end - sp;
	else if (strcmp(map->path, "[stack]") != 0 && end - sp > STACK_UNBOUNDED)
		end = sp + STACK_UNBOUNDED;
	return end - sp < STACK_MAX ? end - sp : STACK_MAX;
}

static bool make_room(struct vz_capture *c, size_t len)
{
	uint8_t *stack;

	if (len <= c->stack_room)
		return true;
	stack = realloc(c->stack, len);
	if (!stack)
		return false;
	/* Touched now, so that no page fault of ours makes a stop longer. */
	memset(stack, 0, len);
	c->stack = stack;
	c->stack_room = len;
	return true;
}

static void copy_stack(struct vz_capture *c, const struct vz_maps *maps, uint64_t sp,
		       uint64_t ident)
{
	size_t len = stack_bytes(maps, sp, ident);

	c->stack_start = sp;
	c->stack_len = 0;
	/* A stack may be smaller than its mapping says, where that has grown together. */
	for (; len >= sizeof(uint64_t); len /= 2) {
		if (make_room(c, len) && vz_target_read(c->under, sp, c->stack, len) == 0) {
			c->stack_len = len;
			return;
		}
	}
}

static void walk_python(struct vz_capture *c, const struct vz_py *py,
			const struct vz_capture_wish *wish)
{
	ssize_t n = -ENOENT;

	c->nframes = 0;
	if (wish->tstate && wish->what & VZ_CAPTURE_PYTHON)
		n = vz_pystack_walk(py, wish->tstate, c->frames, VZ_CAPTURE_FRAMES);
	c->python_rc = n < 0 ? (int)n : 0;
	if (n > 0)
		c->nframes = (size_t)n;
}

/* ---- asleep ---- */

/* How often it was put on a CPU; it has not run as long as this stays. */
static int count_switches(pid_t pid, pid_t tid, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	char *at;
	int rc = vz_slurp_proc(pid, tid, "status", STATUS_MAX, &text, &len);

	if (rc < 0)
		return rc == -ENOENT ? -ESRCH : rc;
	at = strstr(text, "\nvoluntary_ctxt_switches:");
	if (!at)
		return -ENOTSUP;
	*ret = strtoull(at + strlen("\nvoluntary_ctxt_switches:"), &at, 10);
	at = strstr(at, "nonvoluntary_ctxt_switches:");
	if (!at)
		return -ENOTSUP;
	*ret += strtoull(at + strlen("nonvoluntary_ctxt_switches:"), NULL, 10);
	return 0;
}

static bool is_off_cpu(const struct vz_task *task)
{
	return task->state != 'R' && task->syscall != -2 && task->sp;
}

/* 0: copied; -EAGAIN: it runs. */
static int copy_asleep(struct vz_capture *c, const struct vz_py *py, const struct vz_maps *maps,
		       pid_t tid, const struct vz_capture_wish *wish)
{
	pid_t pid = c->under->pid;
	uint64_t before, after;
	struct vz_task again;
	int rc = count_switches(pid, tid, &before);

	if (rc == 0)
		rc = vz_task_read(pid, tid, &c->task);
	if (rc < 0)
		return rc;
	if (!is_off_cpu(&c->task))
		return -EAGAIN;
	vz_arch_at(c->task.pc, c->task.sp, &c->cpu);
	c->has_cpu = true;
	if (wish->what & VZ_CAPTURE_STACK)
		copy_stack(c, maps, c->task.sp, wish->ident);
	walk_python(c, py, wish);
	rc = vz_task_read(pid, tid, &again);
	if (rc == 0)
		rc = count_switches(pid, tid, &after);
	if (rc < 0)
		return rc;
	if (before != after || !is_off_cpu(&again) || again.sp != c->task.sp ||
	    again.pc != c->task.pc)
		return -EAGAIN;
	c->copied = VZ_COPIED_ASLEEP;
	return 0;
}

/* ---- stopped ---- */

/* A stop is nothing to a sleeper in these calls: the kernel takes them up again by itself. */
static bool stop_is_harmless(long nr)
{
	static const long calls[] = {
		SYS_futex,   SYS_read,   SYS_write,     SYS_readv,           SYS_recvfrom,
		SYS_recvmsg, SYS_poll,   SYS_ppoll,     SYS_select,          SYS_pselect6,
		SYS_wait4,   SYS_waitid, SYS_nanosleep, SYS_clock_nanosleep, SYS_accept,
		SYS_accept4, SYS_flock,
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (calls[i] == nr)
			return true;
	}
	return false;
}

static int explain_stop(struct vz_capture *c, int rc)
{
	c->late = rc == -ETIMEDOUT;
	if (rc == -EPERM)
		c->note = "it may not be stopped: another tracer has it, or ptrace is forbidden";
	else if (rc == -ETIMEDOUT)
		c->note = "it did not stop in 250 ms";
	else if (rc == -EBUSY)
		c->note = "job control stopped it meanwhile";
	else
		c->note = "its registers could not be read";
	return rc == -ESRCH ? rc : -EBUSY;
}

struct stop {
	struct vz_capture *c;
	const struct vz_py *py;
	const struct vz_maps *maps;
	pid_t tid;
	const struct vz_capture_wish *wish;
	bool hurried; /* nothing keeps us from seeing the stop at once */
	int rc;
};

static int stop_and_copy(const struct stop *s)
{
	struct vz_capture *c = s->c;
	struct vz_tracee t;
	int rc = vz_tracee_stop(&t, s->tid, STOP_TIMEOUT_NS);

	if (rc < 0)
		return explain_stop(c, rc);
	rc = vz_tracee_look(&t, &c->cpu);
	if (rc < 0) {
		vz_tracee_detach(&t);
		return explain_stop(c, rc);
	}
	if (s->wish->what & VZ_CAPTURE_STACK)
		copy_stack(c, s->maps, vz_arch_sp(&c->cpu), s->wish->ident);
	walk_python(c, s->py, s->wish);
	vz_tracee_let_go(&t, &c->cpu);
	/*
	 * Until it is on a CPU again it does not notice that it is to stop, which is no wait of our
	 * making.  Only if we see its stop at once does the time begin there; else it is at most
	 * this.
	 */
	c->stopped_ns = t.resume_ns - (s->hurried ? t.stop_ns : t.interrupt_ns);
	c->has_cpu = c->registers_known = true;
	c->copied = VZ_COPIED_STOPPED;
	return 0;
}

static void *run_stop(void *arg)
{
	const struct sched_param soon = { .sched_priority = 1 };
	struct stop *s = arg;

	/* Where we may: a busy machine must not make the stop long. */
	s->hurried = pthread_setschedparam(pthread_self(), SCHED_RR, &soon) == 0;
	s->rc = stop_and_copy(s);
	return NULL;
}

/*
 * By a thread of ours that ends with it: a thread that would not stop (it gets no CPU, say)
 * cannot be let go of in any other way, and would stop later and stay so.
 */
static int copy_stopped(struct vz_capture *c, const struct vz_py *py, const struct vz_maps *maps,
			pid_t tid, const struct vz_capture_wish *wish)
{
	struct stop s = { c, py, maps, tid, wish, false, -EAGAIN };
	pthread_t thread;

	if (pthread_create(&thread, NULL, run_stop, &s) != 0)
		return explain_stop(c, -EAGAIN);
	pthread_join(thread, NULL);
	return s.rc;
}

/* ---- any thread ---- */

static void reset(struct vz_capture *c)
{
	c->copied = VZ_COPIED_NOT;
	c->stopped_ns = 0;
	c->has_cpu = c->registers_known = false;
	c->stack_len = c->nframes = 0;
	c->late = false;
	c->python_rc = -ENOENT;
	c->note = "";
	memset(&c->task, 0, sizeof(c->task));
}

/* What can be had of a thread that runs without stopping it. */
static int copy_moving(struct vz_capture *c, const struct vz_py *py,
		       const struct vz_capture_wish *wish)
{
	c->has_cpu = false;
	c->stack_len = 0;
	walk_python(c, py, wish);
	c->copied = c->nframes ? VZ_COPIED_MOVING : VZ_COPIED_NOT;
	if (!c->note[0])
		c->note = "it ran, and was not to be stopped";
	return 0;
}

int vz_capture_thread(struct vz_capture *c, const struct vz_py *py, const struct vz_maps *maps,
		      pid_t tid, const struct vz_capture_wish *wish)
{
	int rc = -EAGAIN;

	reset(c);
	for (int i = 0; i < QUIET_TRIES && rc == -EAGAIN; i++) {
		rc = copy_asleep(c, py, maps, tid, wish);
		/* One that runs will not sleep a microsecond later; one that slept will again. */
		if (rc == -EAGAIN && c->task.state == 'R' && !wish->no_stop)
			break;
	}
	if (rc == -ESRCH || (rc == 0 && !wish->stop_sleeper))
		return rc;
	if (rc == 0 && (wish->no_stop || !stop_is_harmless(c->task.syscall)))
		return 0;
	if (!wish->no_stop) {
		int asleep = rc;

		/* CPython links some of its frames before they are filled in. */
		for (int i = 0; i < STOP_TRIES; i++) {
			rc = copy_stopped(c, py, maps, tid, wish);
			if (rc < 0 || c->python_rc == 0 || c->python_rc == -ENOENT)
				break;
		}
		if (rc == 0 || rc == -ESRCH)
			return rc;
		if (asleep == 0)
			return copy_asleep(c, py, maps, tid, wish) == -ESRCH ? -ESRCH : 0;
	}
	return copy_moving(c, py, wish);
}

void vz_capture_core(struct vz_capture *c, const struct vz_py *py, const struct vz_maps *maps,
		     const struct vz_cpu *cpu, const struct vz_capture_wish *wish)
{
	reset(c);
	c->cpu = *cpu;
	c->has_cpu = c->registers_known = true;
	c->copied = VZ_COPIED_CORE;
	c->task.syscall = vz_arch_syscall(cpu) < 0 ? -1 : vz_arch_syscall(cpu);
	for (unsigned i = 0; i < 6; i++)
		c->task.args[i] = vz_arch_syscall_arg(cpu, i);
	c->task.sp = vz_arch_sp(cpu);
	c->task.pc = vz_arch_pc(cpu);
	if (wish->what & VZ_CAPTURE_STACK)
		copy_stack(c, maps, vz_arch_sp(cpu), wish->ident);
	walk_python(c, py, wish);
}
