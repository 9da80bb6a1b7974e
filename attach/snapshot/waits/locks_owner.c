/* SPDX-License-Identifier: MIT */
/*
 * locks_owner.c - who has a lock.  RLock, import locks and mutexes say so themselves.  A
 * Lock does not: if a frame of exactly one thread is in the body of a "with" of it, and did
 * not release it meanwhile, that one is inferred.  acquire() leaves no trace.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/python/pywith.h"
#include "attach/snapshot/waits/locks_priv.h"
#include "attach/snapshot/waits/sight.h"

enum {
	MAX_WITHS = 20,
	MAX_HELD = 1 << 16,
	FRAMES_NOW = 1 << 14,
	/* struct pthread.tid of glibc on x86-64 since 2.4; used only if a thread has that number */
	PTHREAD_TID = 720,
};

/* ---- who is inside of which "with" ---- */

/* The lock behind a context manager; 0: it is none. */
static uint64_t lock_of_manager(struct vz_locks *l, uint64_t manager)
{
	const struct vz_py *py = l->scene->py;
	uint64_t lock;

	switch (vz_lock_class(l, manager)) {
	case VZ_LOCK_PLAIN:
	case VZ_LOCK_R:
	case VZ_LOCK_SEM:
		return manager;
	case VZ_LOCK_OTHER:
		if (vz_pyobj_is(py, manager, "Condition") &&
		    vz_pyobj_attr(py, manager, "_lock", &lock) == 0)
			return lock;
		if (vz_pyobj_is(py, manager, "SemLock") &&
		    vz_pyobj_attr(py, manager, "_semlock", &lock) == 0)
			return lock;
		return 0;
	default:
		return 0;
	}
}

static void keep(struct vz_locks *l, uint64_t lock, size_t thread, size_t frame)
{
	if (l->nheld == l->held_room) {
		size_t room = l->held_room ? 2 * l->held_room : 64;
		struct vz_lock_held *grown =
			room <= MAX_HELD ? realloc(l->held, room * sizeof(*grown)) : NULL;

		if (!grown) {
			l->held_cut = true;
			return;
		}
		l->held = grown;
		l->held_room = room;
	}
	l->held[l->nheld++] =
		(struct vz_lock_held){ .lock = lock, .thread = thread, .frame = frame };
}

static void read_held(struct vz_locks *l)
{
	const struct vz_snapshot *s = l->scene->snapshot;
	struct vz_pywith withs[MAX_WITHS];

	l->held_read = true;
	for (size_t i = 0; i < s->nthreads; i++) {
		const struct vz_raw_stack *raw = &l->scene->raw[i];

		for (size_t j = 0; j < raw->count; j++) {
			ssize_t n =
				vz_pyframe_withs(l->scene->py, &raw->frames[j], withs, MAX_WITHS);

			for (ssize_t k = 0; k < n; k++) {
				uint64_t lock = lock_of_manager(l, withs[k].manager);

				if (lock)
					keep(l, lock, i, j);
			}
		}
	}
}

/* ---- may it have been released within the "with"? ---- */

static bool mentions_release(struct vz_locks *l, const struct vz_pyframe *frame)
{
	static const char *const words[] = { "release", "_release_save", "__exit__" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (vz_lock_mentions(l->scene->py, frame->code, words[i]) != 0)
			return true;
	}
	return false;
}

/* Modules of the standard library that release only what is theirs. */
static bool minds_its_own(const struct vz_snap_frame *frame)
{
	static const char *const files[] = { "threading.py",
					     "queue.py",
					     "logging/__init__.py",
					     "logging/handlers.py",
					     "concurrent/futures/_base.py",
					     "concurrent/futures/thread.py",
					     "<frozen importlib._bootstrap>",
					     "<frozen importlib._bootstrap_external>" };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (vz_sight_is(frame, files[i], vz_sight_function(frame)))
			return true;
	}
	return false;
}

/* In the wait() of a condition with this lock, which releases it and takes it again. */
static bool waits_with(struct vz_locks *l, size_t thread, size_t frame, uint64_t lock)
{
	uint64_t self, own;

	return vz_sight_at(l->scene, thread, frame, "threading.py", "wait", "Condition", &self) &&
	       (vz_pyobj_attr(l->scene->py, self, "_lock", &own) < 0 || own == lock);
}

static bool may_have_released(struct vz_locks *l, const struct vz_lock_held *held)
{
	const struct vz_raw_stack *raw = &l->scene->raw[held->thread];
	struct vz_snap_frame frame;

	for (size_t i = 0; i <= held->frame; i++) {
		if (waits_with(l, held->thread, i, held->lock))
			return true;
		if (vz_sight_frame(l->scene, held->thread, i, &frame) && minds_its_own(&frame))
			continue;
		if (mentions_release(l, &raw->frames[i]))
			return true;
	}
	return false;
}

/*
 * Its frames were copied a moment ago.  A thread that moves may have left the "with" since, and
 * memory of frames that are gone keeps what was in it: so the frame must still be the thread's,
 * as far from the outermost one, and be inside.
 */
static bool is_still_inside(struct vz_locks *l, const struct vz_lock_held *held)
{
	const struct vz_raw_stack *raw = &l->scene->raw[held->thread];
	const struct vz_pyframe *old = &raw->frames[held->frame];
	size_t below = raw->count - 1 - held->frame;
	struct vz_pyframe *now = calloc(FRAMES_NOW, sizeof(*now));
	struct vz_pywith withs[MAX_WITHS];
	ssize_t n = now ? vz_pystack_walk(l->scene->py,
					  l->scene->snapshot->threads[held->thread].tstate, now,
					  FRAMES_NOW)
			: -ENOMEM;
	bool inside = false;

	if (n > (ssize_t)below) {
		const struct vz_pyframe *frame = &now[(size_t)n - 1 - below];

		n = frame->raddr == old->raddr && frame->code == old->code
			    ? vz_pyframe_withs(l->scene->py, frame, withs, MAX_WITHS)
			    : 0;
		for (ssize_t i = 0; i < n; i++)
			inside = inside || lock_of_manager(l, withs[i].manager) == held->lock;
	}
	free(now);
	return inside;
}

/* ---- the owner ---- */

int vz_lock_thread(const struct vz_locks *l, uint64_t ident)
{
	const struct vz_snapshot *s = l->scene->snapshot;
	int i = vz_snapshot_by_ident(s, ident);
	uint32_t tid;

	if (i >= 0 || vz_py_u32(l->scene->py, ident + PTHREAD_TID, &tid) < 0 || !tid)
		return i;
	for (size_t j = 0; j < s->nthreads; j++) {
		if ((uint32_t)s->threads[j].ns_tid == tid && !s->threads[j].ident)
			return (int)j;
	}
	return -1;
}

static void infer(struct vz_locks *l, size_t i)
{
	struct vz_snap_lock *lock = &l->locks[i];
	const struct vz_lock_held *owner = NULL;
	struct vz_snap_frame frame;

	if (!l->held_read)
		read_held(l);
	for (size_t j = 0; j < l->nheld; j++) {
		const struct vz_lock_held *held = &l->held[j];

		if (held->lock != l->more[i].raw.object || may_have_released(l, held))
			continue;
		if (owner && owner->thread != held->thread) {
			lock->note = "more than one thread is inside \"with\" of it";
			return;
		}
		owner = held;
	}
	if (!owner || !is_still_inside(l, owner) ||
	    !vz_sight_frame(l->scene, owner->thread, owner->frame, &frame))
		return;
	lock->owned = VZ_OWNER_INFERRED;
	lock->owner = (int)owner->thread;
	lock->note = vz_arena_format(l->scene->snapshot->arena, "%s is inside \"with\" of it",
				     vz_sight_words(l->scene, &frame));
}

static bool waits_for(const struct vz_locks *l, int thread, size_t lock)
{
	return thread >= 0 && l->scene->snapshot->threads[thread].lock == (int)lock;
}

static void recorded(struct vz_locks *l, size_t i)
{
	struct vz_snap_lock *lock = &l->locks[i];
	uint64_t ident = l->more[i].raw.owner;
	int owner = vz_lock_thread(l, ident);

	/* Identifiers are used again: a thread does not wait for a lock that names it. */
	if (owner >= 0 && !waits_for(l, owner, i)) {
		lock->owned = VZ_OWNER_RECORDED;
		lock->owner = owner;
		lock->note = "the lock itself names its owner";
		return;
	}
	if (l->scene->snapshot->threads_left_out) {
		lock->note = "the lock names a thread that was not looked at";
		return;
	}
	lock->owned = l->scene->snapshot->process.forked ? VZ_OWNER_ORPHANED : VZ_OWNER_GONE;
	lock->note = vz_arena_format(l->scene->snapshot->arena,
				     "the lock names thread 0x%llx, which this process does not "
				     "have",
				     (unsigned long long)ident);
}

void vz_lock_owner(struct vz_locks *l, size_t i)
{
	struct vz_lock_more *more = &l->more[i];
	struct vz_snap_lock *lock = &l->locks[i];

	if (more->role || lock->owned != VZ_OWNER_UNKNOWN)
		return;
	if (more->raw.owner) {
		recorded(l, i);
		return;
	}
	if (!more->raw.locked && more->raw.what == VZ_LOCK_PLAIN) {
		lock->owned = VZ_OWNER_NONE;
		lock->note = "it is free: the thread is about to go on";
		return;
	}
	infer(l, i);
	if (lock->owned == VZ_OWNER_UNKNOWN && !lock->note[0] && more->raw.what == VZ_LOCK_PLAIN)
		vz_lock_orphan(l, i);
}
