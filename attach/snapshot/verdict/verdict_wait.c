/* SPDX-License-Identifier: MIT */
/* verdict_wait.c - rules about threads that wait: for each other, for a peer, for nothing. */
#include <string.h>

#include "attach/snapshot/verdict/verdict_priv.h"
#include "attach/util.h"

#define SEC UINT64_C(1000000000)

/* ---- circles ---- */

/* A wait that ends by itself is no deadlock; one whose limit is not known might. */
static bool waits_for_ever(const struct vz_snapshot *s, int thread)
{
	const struct vz_snap_thread *t = &s->threads[thread];

	return vz_is_still(s, thread) && (t->wait.timeout_ns == -1 || t->waits_gil);
}

/* Length of the circle that THREAD is on; 0: it is on none. */
static unsigned circle_from(const struct vz_snapshot *s, int thread)
{
	int at = thread;

	for (unsigned n = 1; n <= s->nthreads; n++) {
		if (!waits_for_ever(s, at))
			return 0;
		at = vz_waits_for(s, at);
		if (at < 0)
			return 0;
		if (at == thread)
			return n;
	}
	return 0;
}

static void tell_owner(struct vz_snapshot *s, int thread)
{
	const struct vz_snap_thread *t = &s->threads[thread];
	const struct vz_snap_lock *l = t->lock >= 0 ? &s->locks[t->lock] : NULL;
	const char *how = !l                              ? ""
			  : l->owned == VZ_OWNER_INFERRED ? "; the owner is inferred: "
			  : l->note[0]                    ? "; "
							  : "";

	vz_verdict_evidence(s, "%s %s at %s%s%s%s", vz_say_thread(s, thread),
			    vz_say_link(s, thread), vz_say_place(s, thread),
			    vz_say_since(s, thread), how, l ? l->note : "");
}

bool vz_rule_deadlock(struct vz_snapshot *s)
{
	unsigned length = 0, waiters = 0;
	struct vz_words w;
	int first = 0, at;

	for (; first < (int)s->nthreads && !length; first++)
		length = circle_from(s, first);
	if (!length)
		return false;
	first--;
	vz_words_begin(&w);
	at = first;
	for (unsigned i = 0; i < length && i < 6; i++, at = vz_waits_for(s, at))
		vz_text_add(&w.text, "%s%s", i ? ", which " : "", vz_say_link(s, at));
	if (length > 6)
		vz_text_add(&w.text, ", and so on round %u threads", length);
	vz_verdict_say(s, VZ_VERDICT_DEADLOCK, first, "deadlock: %s %s", vz_say_thread(s, first),
		       w.room);
	at = first;
	for (unsigned i = 0; i < length; i++, at = vz_waits_for(s, at)) {
		vz_verdict_thread(s, at);
		tell_owner(s, at);
	}
	for (size_t i = 0; i < s->nthreads; i++)
		waiters += vz_waits_for(s, (int)i) >= 0 && !circle_from(s, (int)i) &&
			   circle_from(s, vz_root_of(s, (int)i));
	if (waiters)
		vz_verdict_evidence(s, "%u more thread%s wait%s for these", waiters,
				    waiters == 1 ? "" : "s", waiters == 1 ? "s" : "");
	vz_verdict_advise(s, "it will not go on by itself: restart it, and take the locks in one "
			     "order everywhere");
	return true;
}

static unsigned task_circle(const struct vz_snapshot *s, int task)
{
	int at = task;

	for (unsigned n = 1; n <= s->ntasks; n++) {
		if (s->tasks[at].state != VZ_TASK_WAITING)
			return 0;
		at = s->tasks[at].awaits_task;
		if (at < 0)
			return 0;
		if (at == task)
			return n;
	}
	return 0;
}

bool vz_rule_task_deadlock(struct vz_snapshot *s)
{
	unsigned length = 0;
	struct vz_words w;
	int first = 0, at;

	for (; first < (int)s->ntasks && !length; first++)
		length = task_circle(s, first);
	if (!length)
		return false;
	at = --first;
	vz_words_begin(&w);
	for (unsigned i = 0; i < length && i < 6; i++, at = s->tasks[at].awaits_task)
		vz_text_add(&w.text, "%s awaits %s", i ? ", which" : "", s->tasks[at].awaits);
	vz_verdict_say(s, VZ_VERDICT_DEADLOCK, s->tasks[first].thread,
		       "deadlock among asyncio tasks: %s%s", s->tasks[first].name, w.room);
	at = first;
	for (unsigned i = 0; i < length; i++, at = s->tasks[at].awaits_task)
		vz_verdict_evidence(s, "%s (%s) awaits %s%s", s->tasks[at].name,
				    s->tasks[at].coroutine, s->tasks[at].awaits,
				    s->tasks[at].awaits_inferred
					    ? "; the owner is inferred from its \"async with\""
					    : "");
	vz_verdict_advise(s, "these tasks will not go on by themselves; the event loop runs");
	return true;
}

bool vz_rule_orphaned(struct vz_snapshot *s)
{
	for (size_t i = 0; i < s->nthreads; i++) {
		const struct vz_snap_thread *t = &s->threads[i];
		const struct vz_snap_lock *l = t->lock >= 0 ? &s->locks[t->lock] : NULL;

		if (!l || l->owned != VZ_OWNER_ORPHANED || !vz_is_still(s, (int)i))
			continue;
		vz_verdict_say(s, VZ_VERDICT_ORPHANED_LOCK, (int)i,
			       "lock orphaned by fork: %s waits at %s for %s, which was held when "
			       "this process was forked, by a thread that is not here",
			       vz_say_thread(s, (int)i), vz_say_place(s, (int)i),
			       vz_say_lock(s, t->lock));
		if (l->note[0])
			vz_verdict_evidence(s, "%s", l->note);
		vz_verdict_evidence(s, "it is a fork of %d that did not exec",
				    (int)s->process.parent);
		vz_verdict_advise(s, "nobody will release it: end this process; do not fork a "
				     "process that has threads, or use \"spawn\"");
		return true;
	}
	return false;
}

/* ---- the thread that matters ---- */

/* In time.sleep; what sleeps inside some other library waits for something that it knows. */
static bool is_sleeping(const struct vz_snapshot *s, int i)
{
	const char *native;

	if (s->threads[i].wait.kind != VZ_WAIT_SLEEP)
		return false;
	native = vz_say_native(s, i);
	return !native[0] || strstr(native, "(libc.") || strstr(native, "(python") ||
	       strstr(native, "(libpython");
}

/* Asleep at every look, though it may have been awake for a moment in between. */
static bool is_napping(const struct vz_snapshot *s, int i)
{
	const struct vz_snap_thread *t = &s->threads[i];
	const struct vz_look *first = &t->looks[0], *last = &t->looks[VZ_LOOKS - 1];

	if (t->nlooks != VZ_LOOKS || !is_sleeping(s, i))
		return false;
	for (size_t k = 0; k < VZ_LOOKS; k++) {
		if (t->looks[k].state != 'S')
			return false;
	}
	return (last->cpu_ns - first->cpu_ns) * 10 < last->at_ns - first->at_ns &&
	       vz_is_same_frames(s, i, 0);
}

/*
 * A server's thread that waits for its client's next request, or a consumer for its
 * queue's next item.  The main thread is believed to be owed an answer.
 */
static bool waits_for_work(const struct vz_snapshot *s, int i)
{
	const struct vz_snap_thread *t = &s->threads[i];
	const struct vz_snap_lock *l = t->lock >= 0 ? &s->locks[t->lock] : NULL;

	if (t->idle)
		return true;
	if (t->wait.kind == VZ_WAIT_SOCKET && t->wait.direction == VZ_DIR_IN && t->wait.accepted)
		return true;
	return !t->main && l && l->owner < 0 && strstr(l->name, "Queue.get");
}

/* Joins a thread that waits for work, directly or not: all is well as far as it can tell. */
static bool joins_worker(const struct vz_snapshot *s, int i)
{
	for (size_t n = 0; n < s->nthreads && s->threads[i].joins >= 0; n++) {
		i = s->threads[i].joins;
		if (waits_for_work(s, i))
			return true;
	}
	return false;
}

static bool is_at_rest(const struct vz_snapshot *s, int i)
{
	return waits_for_work(s, i) || joins_worker(s, i);
}

static bool matters(const struct vz_snapshot *s, int i)
{
	const struct vz_snap_thread *t = &s->threads[i];

	/* Who waits for the GIL alone gets it in turn. */
	return t->tstate && !is_at_rest(s, i) && !t->waits_gil && !is_sleeping(s, i) &&
	       vz_is_still(s, i);
}

/*
 * The main thread, if it waits; else the thread most others wait for, if it has waited
 * for so long that it is more than a request under way.
 */
static int find_focus(const struct vz_snapshot *s)
{
	unsigned best = 0;
	int ret = -1;

	if (s->nthreads && matters(s, 0))
		return 0;
	for (size_t i = 0; i < s->nthreads; i++) {
		unsigned votes = 0;
		int root = vz_root_of(s, (int)i);

		if (!matters(s, (int)i) || (!s->from_core && s->threads[i].asleep_ns < SEC))
			continue;
		for (size_t k = 0; k < s->nthreads; k++)
			votes += matters(s, (int)k) && vz_root_of(s, (int)k) == root;
		if (votes > best) {
			best = votes;
			ret = (int)i;
		}
	}
	return ret;
}

/* ---- what the end of the chain waits for ---- */

static const char *from_whom(const struct vz_snapshot *s, int focus, int root)
{
	if (focus == root)
		return "";
	return vz_arena_format(s->arena, "; %s %s", vz_say_thread(s, focus), vz_say_link(s, focus));
}

static const char *direction(const struct vz_wait *w)
{
	if (w->direction == VZ_DIR_CONNECT)
		return "to accept its connection";
	if (w->direction == VZ_DIR_OUT)
		return "to take what it sends";
	return "to answer";
}

/* A poll for the answer of one or two others; who watches many, or listens, is a server. */
static bool is_small_poll(const struct vz_wait *w)
{
	if (w->kind != VZ_WAIT_POLL)
		return false;
	return w->peer[0] || (w->descriptors && w->descriptors <= 3 &&
			      !vz_starts_with(w->call, "epoll") && !strstr(w->object, "listen"));
}

static bool say_peer(struct vz_snapshot *s, int focus, int root)
{
	const struct vz_snap_thread *t = &s->threads[root];
	const struct vz_wait *w = &t->wait;
	const char *who = w->peer[0] ? w->peer : w->object;

	if (w->kind != VZ_WAIT_SOCKET && w->kind != VZ_WAIT_PIPE && !is_small_poll(w))
		return false;
	if (w->direction == VZ_DIR_ACCEPT || !who[0])
		return false;
	vz_verdict_say(s, VZ_VERDICT_PEER, root, "waiting for %s%s %s: %s is in %s at %s%s%s",
		       w->dns ? "the name server " : "", who, direction(w), vz_say_thread(s, root),
		       w->call, vz_say_place(s, root), vz_say_since(s, root),
		       from_whom(s, focus, root));
	vz_verdict_evidence(s, "%s: %s", w->call, w->object);
	if (w->peer_pid)
		vz_verdict_evidence(s, "process %d has the other end", (int)w->peer_pid);
	vz_verdict_advise(s, "look at the peer; set a time-out at %s", vz_say_place(s, root));
	return true;
}

static bool say_child(struct vz_snapshot *s, int focus, int root)
{
	const struct vz_wait *w = &s->threads[root].wait;

	if (w->kind != VZ_WAIT_CHILD)
		return false;
	if (w->peer_pid)
		vz_verdict_say(s, VZ_VERDICT_CHILD, root,
			       "waiting for child process %d: %s is in %s at %s%s%s",
			       (int)w->peer_pid, vz_say_thread(s, root), w->call,
			       vz_say_place(s, root), vz_say_since(s, root),
			       from_whom(s, focus, root));
	else
		vz_verdict_say(s, VZ_VERDICT_CHILD, root,
			       "waiting for a child process: %s is in %s at %s%s%s",
			       vz_say_thread(s, root), w->call, vz_say_place(s, root),
			       vz_say_since(s, root), from_whom(s, focus, root));
	if (w->object[0])
		vz_verdict_evidence(s, "%s", w->object);
	if (w->peer_pid)
		vz_verdict_advise(s, "look at the child: vizattach snapshot --pid %d",
				  (int)w->peer_pid);
	return true;
}

static bool say_file_lock(struct vz_snapshot *s, int focus, int root)
{
	const struct vz_wait *w = &s->threads[root].wait;

	if (w->kind != VZ_WAIT_FLOCK)
		return false;
	vz_verdict_say(s, VZ_VERDICT_LOCK, root,
		       "waiting for a file lock%s%s: %s is in %s at %s%s%s",
		       w->object[0] ? " on " : "", w->object, vz_say_thread(s, root), w->call,
		       vz_say_place(s, root), vz_say_since(s, root), from_whom(s, focus, root));
	if (w->peer_pid)
		vz_verdict_evidence(s, "process %d holds it", (int)w->peer_pid);
	return true;
}

/*
 * A program's main thread may wait for an event that says "end", while its workers wait for
 * work; or for one that a dead worker should have set.  Nothing tells these two apart.
 */
static bool is_perhaps_the_end(const struct vz_snapshot *s, int i)
{
	const struct vz_snap_thread *t = &s->threads[i];
	unsigned others = 0;

	if (!t->main || t->lock < 0 || strcmp(s->locks[t->lock].name, "threading.Event.wait") != 0)
		return false;
	for (size_t k = 0; k < s->nthreads; k++) {
		if ((int)k == i || !s->threads[k].tstate)
			continue;
		if (!is_at_rest(s, (int)k))
			return false;
		others++;
	}
	return others > 0;
}

/* Facts only: that it waits, for what, and that nobody is known to be about to end it. */
static bool say_lock(struct vz_snapshot *s, int focus, int root)
{
	const struct vz_snap_thread *t = &s->threads[root];
	const struct vz_snap_lock *l = t->lock >= 0 ? &s->locks[t->lock] : NULL;

	if (!l)
		return false;
	if (is_perhaps_the_end(s, root)) {
		vz_verdict_say(s, VZ_VERDICT_UNKNOWN, root,
			       "unknown: %s waits for a threading.Event at %s%s, and all other "
			       "threads wait for work; whether it should have been set is not "
			       "recorded anywhere",
			       vz_say_thread(s, root), vz_say_place(s, root),
			       vz_say_since(s, root));
		return true;
	}
	vz_verdict_say(s, VZ_VERDICT_LOCK, root, "waiting for %s: %s is at %s%s%s%s",
		       vz_say_lock(s, t->lock), vz_say_thread(s, root), vz_say_place(s, root),
		       vz_say_since(s, root),
		       l->owned == VZ_OWNER_GONE ? "; the thread that held it has ended"
						 : "; who would end the wait is not recorded",
		       from_whom(s, focus, root));
	if (l->note[0])
		vz_verdict_evidence(s, "%s", l->note);
	return true;
}

/* The holder of what FOCUS waits for goes about some other business. */
static bool say_busy_owner(struct vz_snapshot *s, int focus, int root)
{
	/* Who just waits for the end of a thread that works is not the one to tell of. */
	if (focus == root || s->threads[focus].lock < 0 || s->threads[focus].joins >= 0)
		return false;
	vz_verdict_say(s, VZ_VERDICT_LOCK, focus, "%s %s, which %s at %s%s",
		       vz_say_thread(s, focus), vz_say_link(s, focus), vz_say_wait(s, root),
		       vz_say_place(s, root), vz_say_since(s, root));
	vz_verdict_thread(s, root);
	return true;
}

static void tell_others(struct vz_snapshot *s, int focus)
{
	unsigned others = 0;

	for (size_t i = 0; i < s->nthreads; i++)
		others += (int)i != focus && matters(s, (int)i) &&
			  vz_root_of(s, (int)i) == vz_root_of(s, focus);
	if (others)
		vz_verdict_evidence(s, "%u more thread%s wait%s for the same", others,
				    others == 1 ? "" : "s", others == 1 ? "s" : "");
}

bool vz_rule_waiting(struct vz_snapshot *s)
{
	int focus = find_focus(s), root;

	if (focus < 0)
		return false;
	root = vz_root_of(s, focus);
	if (!vz_is_still(s, root)) {
		if (!say_busy_owner(s, focus, root))
			return false;
	} else if (!say_peer(s, focus, root) && !say_child(s, focus, root) &&
		   !say_file_lock(s, focus, root) && !say_lock(s, focus, root) &&
		   !say_busy_owner(s, focus, root)) {
		return false;
	}
	for (int at = focus, n = 0; at != root && n < 5; at = vz_waits_for(s, at), n++)
		tell_owner(s, at);
	tell_others(s, focus);
	return true;
}

static void say_idle(struct vz_snapshot *s, int first, unsigned idle, unsigned sleeping)
{
	unsigned parked = 0;

	for (size_t i = 0; i < s->ntasks; i++)
		parked += s->tasks[i].state == VZ_TASK_WAITING;
	if (sleeping)
		vz_verdict_say(s, VZ_VERDICT_IDLE, first,
			       "idle: %s sleeps at %s; %u of %u threads wait for work",
			       vz_say_thread(s, first), vz_say_place(s, first), idle,
			       idle + sleeping);
	else
		vz_verdict_say(s, VZ_VERDICT_IDLE, first, "idle%s: %s wait%s for work",
			       parked ? "" : " and healthy",
			       idle == 1 ? "its thread" : "all its threads", idle == 1 ? "s" : "");
	/* A future that nobody will set looks like one that somebody will. */
	if (parked)
		vz_verdict_evidence(s,
				    "%u task%s parked; whether what they wait for will come is not "
				    "recorded",
				    parked, parked == 1 ? " is" : "s are");
}

bool vz_rule_idle(struct vz_snapshot *s)
{
	unsigned idle = 0, sleeping = 0;
	int first = -1;

	for (size_t i = 0; i < s->nthreads; i++) {
		const struct vz_snap_thread *t = &s->threads[i];

		if (!t->tstate)
			continue;
		if (!vz_is_still(s, (int)i) && !t->idle && !is_napping(s, (int)i))
			return false;
		if (is_at_rest(s, (int)i) || t->wait.kind == VZ_WAIT_TTY)
			idle++;
		else if (is_sleeping(s, (int)i))
			sleeping++;
		else
			return false;
		if (first < 0 && (is_sleeping(s, (int)i) || t->main))
			first = (int)i;
	}
	if (!idle && !sleeping)
		return false;
	say_idle(s, first, idle, sleeping);
	for (size_t i = 0; i < s->nthreads && i < 4; i++) {
		if (s->threads[i].idle && s->threads[i].idle_why[0])
			vz_verdict_evidence(s, "%s: %s%s", vz_say_thread(s, (int)i),
					    s->threads[i].idle_why, vz_say_since(s, (int)i));
	}
	return true;
}
