/* SPDX-License-Identifier: MIT */
/* show_words.c - who a thread is and what it does, in words. */
#include <string.h>

#include "attach/snapshot/show/show_priv.h"

#define US  UINT64_C(1000)
#define MS  UINT64_C(1000000)
#define SEC UINT64_C(1000000000)

void vz_words_time(struct vz_grow *g, uint64_t ns)
{
	uint64_t s = ns / SEC;

	if (ns < US)
		vz_grow_add(g, "%u ns", (unsigned)ns);
	else if (ns < MS)
		vz_grow_add(g, "%u us", (unsigned)(ns / US));
	else if (ns < SEC)
		vz_grow_add(g, "%u ms", (unsigned)(ns / MS));
	else if (s < 10)
		vz_grow_add(g, "%u.%u s", (unsigned)s, (unsigned)(ns % SEC / (SEC / 10)));
	else if (s < 120)
		vz_grow_add(g, "%u s", (unsigned)s);
	else if (s < 7200)
		vz_grow_add(g, "%u min", (unsigned)(s / 60));
	else if (s < 48 * 3600)
		vz_grow_add(g, "%u h", (unsigned)(s / 3600));
	else
		vz_grow_add(g, "%u d", (unsigned)(s / 86400));
}

void vz_words_since(struct vz_grow *g, uint64_t least, uint64_t most)
{
	if (!least)
		return;
	vz_words_time(g, least);
	if (most / 2 > least) {
		vz_grow_add(g, " to ");
		vz_words_time(g, most);
	}
}

void vz_words_name(struct vz_grow *g, const struct vz_snap_thread *t)
{
	const char *name = t->name[0] ? t->name : t->comm;

	if (name[0])
		vz_grow_safe(g, name, VZ_NAME_COLUMNS);
	else
		vz_grow_add(g, "thread");
}

void vz_words_who(struct vz_grow *g, const struct vz_snapshot *s, int thread)
{
	if (thread < 0 || (size_t)thread >= s->nthreads) {
		vz_grow_add(g, "an unknown thread");
		return;
	}
	vz_words_name(g, &s->threads[thread]);
	vz_grow_add(g, " (%d)", (int)s->threads[thread].tid);
}

void vz_words_lock(struct vz_grow *g, const struct vz_snapshot *s, int lock)
{
	const struct vz_snap_lock *l = &s->locks[lock];

	if (l->name[0]) {
		vz_grow_safe(g, l->name, VZ_NAME_COLUMNS);
		vz_grow_add(g, " (");
	}
	vz_grow_safe(g, l->kind[0] ? l->kind : "lock", VZ_NAME_COLUMNS);
	if (l->name[0])
		vz_grow_add(g, ")");
}

static char last_state(const struct vz_snap_thread *t)
{
	return t->nlooks && t->nlooks <= VZ_LOOKS ? t->looks[t->nlooks - 1].state : 0;
}

/* Share of the time between the looks that it was on a CPU, in percent; -1: unknown. */
static int cpu_share(const struct vz_snap_thread *t)
{
	const struct vz_look *first = &t->looks[0], *last;

	if (t->nlooks < 2 || t->nlooks > VZ_LOOKS)
		return -1;
	last = &t->looks[t->nlooks - 1];
	if (last->at_ns <= first->at_ns || last->cpu_ns < first->cpu_ns)
		return -1;
	return (int)((last->cpu_ns - first->cpu_ns) * 100.0 / (double)(last->at_ns - first->at_ns));
}

static void asleep(struct vz_grow *g, const struct vz_snap_thread *t, const char *since)
{
	vz_grow_add(g, last_state(t) == 'D' ? "stuck in the kernel (D)" : "asleep");
	if (since && since[0])
		vz_grow_add(g, " %s", since);
}

static void timeout(struct vz_grow *g, const struct vz_wait *w, const char *since)
{
	if (w->timeout_ns < 0 || !since || w->nr < 0)
		return;
	vz_grow_add(g, ", at most ");
	vz_words_time(g, (uint64_t)w->timeout_ns);
}

/* "in recvfrom, tcp 10.0.0.5:40112 -> 10.0.0.7:5432, established" */
static void call(struct vz_grow *g, const struct vz_snap_thread *t, const char *since)
{
	const struct vz_wait *w = &t->wait;

	if (w->call[0]) {
		vz_grow_add(g, " in ");
		vz_grow_safe(g, w->call, VZ_NAME_COLUMNS);
	}
	if (w->object[0]) {
		vz_grow_add(g, w->call[0] ? ", " : " on ");
		vz_grow_safe(g, w->object, VZ_OBJECT_COLUMNS);
	}
	if (w->dns)
		vz_grow_add(g, " (a name server)");
	timeout(g, w, since);
}

static void lock_wait(struct vz_grow *g, const struct vz_snapshot *s,
		      const struct vz_snap_thread *t)
{
	const struct vz_snap_lock *l = &s->locks[t->lock];

	vz_grow_add(g, "waits for ");
	vz_words_lock(g, s, t->lock);
	if (l->owned == VZ_OWNER_RECORDED || l->owned == VZ_OWNER_INFERRED) {
		vz_grow_add(g,
			    l->owned == VZ_OWNER_RECORDED ? ", held by " : ", held (inferred) by ");
		vz_words_who(g, s, l->owner);
	} else if (l->owned == VZ_OWNER_GONE) {
		vz_grow_add(g, ", held by a thread that has ended");
	} else if (l->owned == VZ_OWNER_ORPHANED) {
		vz_grow_add(g, ", held by a thread that was not forked");
	}
}

static void idle(struct vz_grow *g, const struct vz_snap_thread *t)
{
	vz_grow_add(g, "idle");
	if (t->idle_why[0]) {
		vz_grow_add(g, ": ");
		vz_grow_safe(g, t->idle_why, VZ_OBJECT_COLUMNS);
	}
}

/* What it waits for beyond the call; true: told. */
static bool reason(struct vz_grow *g, const struct vz_snapshot *s, const struct vz_snap_thread *t)
{
	if (t->waits_gil) {
		vz_grow_add(g, "waits for the GIL");
	} else if (t->idle) {
		idle(g, t);
	} else if (t->lock >= 0 && (size_t)t->lock < s->nlocks) {
		lock_wait(g, s, t);
	} else if (t->joins >= 0 && (size_t)t->joins < s->nthreads) {
		vz_grow_add(g, "waits for the end of ");
		vz_words_who(g, s, t->joins);
	} else {
		return false;
	}
	return true;
}

static void awake(struct vz_grow *g, const struct vz_snap_thread *t, const char *since)
{
	int share = since ? cpu_share(t) : -1;

	if (last_state(t) != 'R') {
		vz_grow_add(g, t->copied == VZ_COPIED_CORE ? "was on CPU, or ready to run"
			       : last_state(t)             ? "about to run or to sleep"
							   : "state unknown");
		return;
	}
	vz_grow_add(g, "on CPU");
	if (share >= 0)
		vz_grow_add(g, " (%d %%)", share > 100 ? 100 : share);
}

static void sleeper(struct vz_grow *g, const struct vz_snap_thread *t, bool told, const char *since)
{
	/* That is done in short naps. */
	if (t->waits_gil)
		return;
	vz_grow_add(g, told ? ", " : "");
	asleep(g, t, since);
	/* Which futex a lock is made of helps nobody. */
	if (!told || t->wait.kind != VZ_WAIT_FUTEX)
		call(g, t, since);
	else
		timeout(g, &t->wait, since);
}

void vz_words_state(struct vz_grow *g, const struct vz_snapshot *s, const struct vz_snap_thread *t,
		    const char *since)
{
	char state = last_state(t);
	bool stopped = state == 'T' || state == 't', told;

	if (state == 'Z' || state == 'X') {
		vz_grow_add(g, "has ended");
		return;
	}
	if (t->holds_gil)
		vz_grow_add(g, "holds the GIL, ");
	if (t->collecting)
		vz_grow_add(g, "collects garbage, ");
	told = reason(g, s, t);
	if (!stopped && state != 'R' && (t->wait.nr >= 0 || state == 'S' || state == 'D'))
		return sleeper(g, t, told, since);
	vz_grow_add(g, told ? ", " : "");
	if (!stopped)
		return awake(g, t, since);
	vz_grow_add(g, state == 'T' ? "stopped by a signal" : "stopped by a debugger");
	if (!told && t->wait.nr >= 0)
		call(g, t, since);
}

bool vz_words_quiet(const struct vz_snap_thread *t)
{
	char state = last_state(t);

	if (t->holds_gil || t->collecting || t->waits_gil || state == 'R' || state == 'D')
		return false;
	return t->idle || (!t->tstate && t->lock < 0 && t->wait.nr >= 0);
}

void vz_words_owner(struct vz_grow *g, const struct vz_snapshot *s, const struct vz_snap_lock *l)
{
	switch (l->owned) {
	case VZ_OWNER_NONE:
		vz_grow_add(g, "free");
		break;
	case VZ_OWNER_RECORDED:
	case VZ_OWNER_INFERRED:
		vz_grow_add(g, "held by ");
		vz_words_who(g, s, l->owner);
		vz_grow_add(g, l->owned == VZ_OWNER_INFERRED ? ", inferred" : "");
		break;
	case VZ_OWNER_GONE:
		vz_grow_add(g, "held by a thread that has ended");
		break;
	case VZ_OWNER_ORPHANED:
		vz_grow_add(g, "held since before the fork, by a thread that was not forked");
		break;
	default:
		vz_grow_add(g, "its owner is not known");
		break;
	}
	if (l->note[0]) {
		vz_grow_add(g, " (");
		vz_grow_safe(g, l->note, 0);
		vz_grow_add(g, ")");
	}
}

static const char *task_word(const struct vz_snap_task *t)
{
	switch (t->state) {
	case VZ_TASK_RUNNING:
		return "runs";
	case VZ_TASK_WAITING:
		return t->greenlet ? "parked" : "waits";
	case VZ_TASK_READY:
		return "ready to run";
	case VZ_TASK_DONE:
		return "done";
	default:
		return "state unknown";
	}
}

void vz_words_awaits(struct vz_grow *g, const struct vz_snap_task *t)
{
	if (t->coroutine[0]) {
		vz_grow_add(g, ", ");
		vz_grow_safe(g, t->coroutine, VZ_NAME_COLUMNS);
	}
	vz_grow_add(g, ": ");
	if (!t->awaits[0] || t->state != VZ_TASK_WAITING)
		vz_grow_add(g, "%s", task_word(t));
	if (!t->awaits[0])
		return;
	vz_grow_add(g, t->state == VZ_TASK_WAITING ? "awaits " : ", awaits ");
	vz_grow_safe(g, t->awaits, VZ_OBJECT_COLUMNS);
	if (t->awaits_inferred)
		vz_grow_add(g, " (inferred)");
}

void vz_words_task(struct vz_grow *g, const struct vz_snap_task *t)
{
	vz_grow_safe(g, t->name[0] ? t->name : "task", VZ_NAME_COLUMNS);
	vz_words_awaits(g, t);
}
