/* SPDX-License-Identifier: MIT */
/* verdict_run.c - rules about threads that run, hold the GIL or an event loop, and the machine. */
#include <string.h>

#include "attach/snapshot/verdict/verdict_priv.h"
#include "attach/util.h"

enum { MANY_FAULTS = 50 };

static uint64_t looked_ns(const struct vz_snapshot *s)
{
	for (size_t i = 0; i < s->nthreads; i++) {
		const struct vz_snap_thread *t = &s->threads[i];

		if (t->nlooks == VZ_LOOKS)
			return t->looks[VZ_LOOKS - 1].at_ns - t->looks[0].at_ns;
	}
	return 0;
}

bool vz_rule_stopped(struct vz_snapshot *s)
{
	const struct vz_snap_process *p = &s->process;

	if (s->from_core || (!p->stopped && !p->frozen && p->state != 'T' && p->state != 't'))
		return false;
	if (p->frozen)
		vz_verdict_say(s, VZ_VERDICT_STOPPED, 0,
			       "stopped: its freezer cgroup is frozen, no thread can run");
	else if (p->tracer)
		vz_verdict_say(s, VZ_VERDICT_STOPPED, 0,
			       "stopped: process %d traces it and has stopped it", (int)p->tracer);
	else
		vz_verdict_say(
			s, VZ_VERDICT_STOPPED, 0,
			"stopped: a signal (SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU) has stopped "
			"it, no thread can run");
	vz_verdict_evidence(s, "state %c of the process", p->state ? p->state : '?');
	if (!p->frozen && !p->tracer)
		vz_verdict_advise(s, "kill -CONT %d", (int)s->pid);
	return true;
}

/* ---- the GIL ---- */

static unsigned count_gil_waiters(const struct vz_snapshot *s)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->nthreads; i++)
		n += s->threads[i].waits_gil;
	return n;
}

/* The thread that held the GIL at every look without handing it on; -1. */
static int constant_holder(const struct vz_snapshot *s)
{
	const struct vz_snap_process *p = &s->process;
	int holder = p->gil_holder;

	if (!p->gil_known || holder < 0)
		return -1;
	if (s->from_core)
		return holder;
	for (size_t i = 0; i < VZ_LOOKS; i++) {
		if (p->gil_turns[i] != p->gil_turns[0] || !s->threads[holder].looks[i].holds_gil)
			return -1;
	}
	return holder;
}

bool vz_rule_collecting(struct vz_snapshot *s)
{
	for (size_t i = 0; i < s->nthreads; i++) {
		const struct vz_snap_thread *t = &s->threads[i];
		unsigned seen = 0;

		for (size_t k = 0; k < t->nlooks; k++)
			seen += t->looks[k].collecting;
		if (seen < 2 || !vz_is_running(s, (int)i))
			continue;
		vz_verdict_say(s, VZ_VERDICT_COLLECTING, (int)i,
			       "collecting garbage: %s was in the garbage collector at %u of %u "
			       "looks, called from %s",
			       vz_say_thread(s, (int)i), seen, (unsigned)t->nlooks,
			       vz_say_place(s, (int)i));
		vz_verdict_evidence(s, "%u threads wait for the GIL", count_gil_waiters(s));
		vz_verdict_advise(s, "fewer container objects, gc.freeze() after start-up, or "
				     "higher thresholds (gc.set_threshold)");
		return true;
	}
	return false;
}

static void tell_gil(struct vz_snapshot *s, int holder, unsigned waiters)
{
	const struct vz_snap_thread *t = &s->threads[holder];

	vz_verdict_evidence(s, "%s holds the GIL, called from %s", vz_say_thread(s, holder),
			    vz_say_place(s, holder));
	if (t->wait.call[0])
		vz_verdict_evidence(s, "it %s%s", vz_say_wait(s, holder), vz_say_since(s, holder));
	vz_verdict_evidence(s, "%u thread%s wait%s for the GIL", waiters, waiters == 1 ? "" : "s",
			    waiters == 1 ? "s" : "");
}

bool vz_rule_gil(struct vz_snapshot *s)
{
	int holder = constant_holder(s);
	unsigned waiters = count_gil_waiters(s);
	const char *native, *since;
	bool asleep;

	if (holder < 0)
		return false;
	asleep = vz_is_still(s, holder) && s->threads[holder].wait.nr >= 0 &&
		 !s->threads[holder].waits_gil;
	/* One that runs holds it by right, unless it is in C code and others wait. */
	if (!asleep && !(waiters && vz_is_in_native(s, holder) && vz_is_running(s, holder) &&
			 vz_is_same_frames(s, holder, 0)))
		return false;
	native = vz_say_native(s, holder);
	since = s->process.gil_held_ns ? vz_arena_format(s->arena, " for %s",
							 vz_say_time(s, s->process.gil_held_ns))
				       : "";
	if (asleep && vz_waits_for(s, holder) >= 0)
		return false; /* whoever it waits for is the cause */
	vz_verdict_say(s, VZ_VERDICT_GIL_HELD, holder,
		       "the GIL is held by native code: %s has been in %s%s%s%s, called from %s",
		       vz_say_thread(s, holder), native[0] ? native : "C code", since,
		       asleep ? ", asleep in " : "", asleep ? s->threads[holder].wait.call : "",
		       vz_say_place(s, holder));
	tell_gil(s, holder, waiters);
	vz_verdict_advise(s, "no Python code can run until it returns: %s should release the GIL",
			  native[0] ? native : "that code");
	return true;
}

/* ---- event loops ---- */

static void say_loop(struct vz_snapshot *s, const struct vz_snap_loop *l, bool asleep)
{
	const char *task = s->tasks[l->running].name, *coroutine = s->tasks[l->running].coroutine;
	unsigned waiting = 0;

	for (size_t i = 0; i < s->ntasks; i++)
		waiting += s->tasks[i].loop == s->tasks[l->running].loop && (int)i != l->running &&
			   s->tasks[i].state != VZ_TASK_DONE;
	if (asleep)
		vz_verdict_say(
			s, VZ_VERDICT_LOOP_BLOCKED, l->thread,
			"event loop blocked: %s (%s) %s at %s%s, in the thread of the loop, %s",
			task, coroutine, vz_say_wait(s, l->thread), vz_say_place(s, l->thread),
			vz_say_since(s, l->thread), vz_say_thread(s, l->thread));
	else
		vz_verdict_say(s, VZ_VERDICT_LOOP_BLOCKED, l->thread,
			       "event loop blocked: %s (%s) runs without a break at %s, in the "
			       "thread of the loop, %s",
			       task, coroutine, vz_say_common_place(s, l->thread),
			       vz_say_thread(s, l->thread));
	vz_verdict_evidence(s, "%u other task%s of this loop cannot run", waiting,
			    waiting == 1 ? "" : "s");
	vz_verdict_advise(s, "await something that does not block, or use run_in_executor()");
}

bool vz_rule_loop(struct vz_snapshot *s)
{
	for (size_t i = 0; i < s->nloops; i++) {
		const struct vz_snap_loop *l = &s->loops[i];
		bool asleep;

		if (l->thread < 0 || l->running < 0 || l->selecting)
			continue;
		asleep = vz_is_still(s, l->thread) && s->threads[l->thread].wait.nr >= 0;
		if (!asleep && !(vz_is_running(s, l->thread) && vz_is_same_frames(s, l->thread, 2)))
			continue;
		if (s->threads[l->thread].waits_gil)
			continue;
		say_loop(s, l, asleep);
		return true;
	}
	return false;
}

/* Greenlets that are parked in the same thread wait for its running one to give way. */
static unsigned count_greenlets(const struct vz_snapshot *s, int thread)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->ntasks; i++)
		n += s->tasks[i].greenlet && s->tasks[i].thread == thread;
	return n;
}

bool vz_rule_greenlets(struct vz_snapshot *s)
{
	for (size_t i = 0; i < s->nthreads; i++) {
		const struct vz_snap_thread *t = &s->threads[i];
		unsigned parked = count_greenlets(s, (int)i);
		bool asleep = vz_is_still(s, (int)i) && t->wait.nr >= 0;

		if (!parked || t->idle || t->waits_gil || (t->wait.kind == VZ_WAIT_POLL && asleep))
			continue;
		if (!asleep && !(vz_is_running(s, (int)i) && vz_is_same_frames(s, (int)i, 2)))
			continue;
		vz_verdict_say(
			s, VZ_VERDICT_LOOP_BLOCKED, (int)i,
			"event loop blocked: the running greenlet of %s %s at %s%s, and does "
			"not give way to the others",
			vz_say_thread(s, (int)i),
			asleep ? vz_say_wait(s, (int)i) : "runs without a break",
			asleep ? vz_say_place(s, (int)i) : vz_say_common_place(s, (int)i),
			vz_say_since(s, (int)i));
		vz_verdict_evidence(s, "%u greenlet%s of this thread cannot run", parked,
				    parked == 1 ? "" : "s");
		vz_verdict_advise(s, "use calls that give way (monkey patching), or a thread pool");
		return true;
	}
	return false;
}

/* ---- the machine ---- */

static bool always_in_state(const struct vz_snap_thread *t, char state)
{
	for (size_t i = 0; i < t->nlooks; i++) {
		if (t->looks[i].state != state)
			return false;
	}
	return t->nlooks == VZ_LOOKS;
}

/* State D, too, but no device is slow. */
static void say_vfork(struct vz_snapshot *s, int i)
{
	const struct vz_wait *w = &s->threads[i].wait;

	vz_verdict_say(s, VZ_VERDICT_CHILD, i,
		       "waiting for a child process%s to exec or end: %s is in %s at %s%s",
		       w->peer_pid ? vz_arena_format(s->arena, " (%d)", (int)w->peer_pid) : "",
		       vz_say_thread(s, i), w->call, vz_say_place(s, i), vz_say_since(s, i));
	vz_verdict_evidence(s, "state D: no signal reaches it until the child goes on");
	if (w->peer_pid)
		vz_verdict_advise(s, "look at the child, %d", (int)w->peer_pid);
}

bool vz_rule_disk(struct vz_snapshot *s)
{
	for (size_t i = 0; i < s->nthreads; i++) {
		const struct vz_snap_thread *t = &s->threads[i];
		const struct vz_wait *w = &t->wait;

		if (!always_in_state(t, 'D') || !vz_is_still(s, (int)i))
			continue;
		if (!strcmp(w->call, "vfork") || w->kind == VZ_WAIT_CHILD) {
			say_vfork(s, (int)i);
			return true;
		}
		vz_verdict_say(s, VZ_VERDICT_DISK, (int)i,
			       "uninterruptible wait in the kernel (state D): %s is in %s%s%s at "
			       "%s%s",
			       vz_say_thread(s, (int)i), w->call[0] ? w->call : "the kernel",
			       w->object[0] ? ", " : "", w->object, vz_say_place(s, (int)i),
			       vz_say_since(s, (int)i));
		if (w->kernel[0])
			vz_verdict_evidence(s, "in the kernel's %s", w->kernel);
		if (w->remote_fs)
			vz_verdict_evidence(s,
					    "the file is on a network or user-space file system");
		vz_verdict_advise(s, "look at the disk, the file server or the device; signals "
				     "wait until it is over");
		return true;
	}
	return false;
}

bool vz_rule_throttled(struct vz_snapshot *s)
{
	const struct vz_snap_process *p = &s->process;
	uint64_t looked = looked_ns(s);

	if (!p->throttle_known || !looked || p->throttled_ns * 10 < looked * 3)
		return false;
	/* The kernel books a pause when it is over, all of it, also what was before our looks. */
	vz_verdict_say(s, VZ_VERDICT_THROTTLED, 0,
		       "throttled: the CPU quota of its cgroup kept it from running for %s of the "
		       "%s that we looked",
		       vz_say_time(s, p->throttled_ns < looked ? p->throttled_ns : looked),
		       vz_say_time(s, looked));
	vz_verdict_evidence(s, "%llu of %llu periods throttled",
			    (unsigned long long)p->throttled_periods,
			    (unsigned long long)p->periods);
	vz_verdict_advise(s, "raise the CPU limit of the container");
	return true;
}

bool vz_rule_swapped(struct vz_snapshot *s)
{
	uint64_t faults = 0;

	if (!s->process.swap_bytes)
		return false;
	for (size_t i = 0; i < s->nthreads; i++) {
		const struct vz_snap_thread *t = &s->threads[i];

		if (t->nlooks == VZ_LOOKS)
			faults += t->looks[VZ_LOOKS - 1].majflt - t->looks[0].majflt;
	}
	if (faults < MANY_FAULTS)
		return false;
	vz_verdict_say(s, VZ_VERDICT_SWAPPED, 0,
		       "swapped: it read %llu pages back from disk in the %s that we looked, and "
		       "%llu MiB of it are swapped out",
		       (unsigned long long)faults, vz_say_time(s, looked_ns(s)),
		       (unsigned long long)(s->process.swap_bytes >> 20));
	vz_verdict_advise(s, "give the machine or the container more memory");
	return true;
}

/* ---- running ---- */

static uint64_t used_ns(const struct vz_snap_thread *t)
{
	return t->nlooks == VZ_LOOKS ? t->looks[VZ_LOOKS - 1].cpu_ns - t->looks[0].cpu_ns : 0;
}

/* One call of C code at all looks: what a loop in Python happens to be in changes. */
static const char *same_native(const struct vz_snapshot *s, int i)
{
	const struct vz_snap_thread *t = &s->threads[i];
	const char *native;

	if (!vz_is_in_native(s, i) || !vz_is_same_frames(s, i, 0))
		return "";
	for (size_t k = 1; k < t->nlooks; k++) {
		if (t->looks[k].py_frame != t->looks[0].py_frame ||
		    t->looks[k].py_instr != t->looks[0].py_instr)
			return "";
	}
	/* Short loops are seen at one place by chance; CPython's own part of those proves nothing.
	 */
	native = vz_say_native(s, i);
	return strstr(native, "(python") || strstr(native, "(libpython") ? "" : native;
}

static void say_busy(struct vz_snapshot *s, int i)
{
	const char *native = same_native(s, i);

	if (native[0])
		vz_verdict_say(s, VZ_VERDICT_BUSY, i,
			       "busy: %s runs native code all the time, %s, called from %s",
			       vz_say_thread(s, i), native, vz_say_common_place(s, i));
	else
		vz_verdict_say(s, VZ_VERDICT_BUSY, i,
			       "busy: %s runs all the time, in the same frames at all %u looks, at "
			       "%s",
			       vz_say_thread(s, i), (unsigned)VZ_LOOKS, vz_say_common_place(s, i));
}

struct busy {
	uint64_t together;
	unsigned count;
	int most;            /* thread that used most; -1 */
	bool runs[VZ_LOOKS]; /* one of them ran at that look */
};

/* Threads that take turns with the GIL: together they use a CPU, each stays where it is. */
static void find_busy(const struct vz_snapshot *s, struct busy *ret)
{
	*ret = (struct busy){ .most = -1 };
	for (size_t i = 0; i < s->nthreads; i++) {
		const struct vz_snap_thread *t = &s->threads[i];
		uint64_t used = used_ns(t);

		if (!t->tstate || !used || !vz_is_same_frames(s, (int)i, 2))
			continue;
		ret->together += used;
		ret->count++;
		for (size_t k = 0; k < VZ_LOOKS; k++)
			ret->runs[k] = ret->runs[k] || t->looks[k].state == 'R';
		if (ret->most < 0 || used > used_ns(&s->threads[ret->most]))
			ret->most = (int)i;
	}
}

bool vz_rule_busy(struct vz_snapshot *s)
{
	uint64_t looked = looked_ns(s);
	struct busy b;
	bool always = true;

	find_busy(s, &b);
	for (size_t k = 0; k < VZ_LOOKS; k++)
		always = always && b.runs[k];
	if (b.most < 0 || !looked || (b.together * 10 < looked * 6 && !always))
		return false;
	if (vz_is_running(s, b.most))
		say_busy(s, b.most);
	else
		vz_verdict_say(s, VZ_VERDICT_BUSY, b.most,
			       "busy: %u threads share the CPU, each in the same frames at all %u "
			       "looks; the busiest is %s at %s",
			       b.count, (unsigned)VZ_LOOKS, vz_say_thread(s, b.most),
			       vz_say_common_place(s, b.most));
	vz_verdict_evidence(s, "%u %% of a CPU used between the looks, %u %% by %s",
			    (unsigned)(b.together * 100 / looked),
			    (unsigned)(used_ns(&s->threads[b.most]) * 100 / looked),
			    vz_say_thread(s, b.most));
	vz_verdict_advise(s,
			  "if it should not: record what it does with vizattach --pid %d "
			  "--duration 2s",
			  (int)s->pid);
	return true;
}
