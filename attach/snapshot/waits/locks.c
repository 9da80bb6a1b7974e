/* SPDX-License-Identifier: MIT */
/* locks.c - for each thread what it waits for, and who has it. */
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/waits/locks_priv.h"

enum { LOCKS_MAX = 1 << 16 };

static bool make_room(struct vz_locks *l)
{
	size_t room = l->room ? 2 * l->room : 64;
	struct vz_lock_more *more;
	struct vz_snap_lock *locks;

	if (l->count < l->room)
		return true;
	if (room > LOCKS_MAX)
		return false;
	more = realloc(l->more, room * sizeof(*more));
	if (more)
		l->more = more;
	locks = vz_arena_alloc(l->scene->snapshot->arena, room, sizeof(*locks));
	if (!more || !locks)
		return false;
	if (l->count)
		memcpy(locks, l->locks, l->count * sizeof(*locks));
	l->locks = locks;
	l->room = room;
	return true;
}

static int add(struct vz_locks *l, const struct vz_snap_lock *lock, const struct vz_lock_raw *raw,
	       bool role)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->locks[i].raddr == lock->raddr && strcmp(l->locks[i].kind, lock->kind) == 0)
			return (int)i;
	}
	if (!make_room(l))
		return -1;
	l->locks[l->count] = *lock;
	l->more[l->count] = (struct vz_lock_more){ .raw = *raw, .role = role };
	return (int)l->count++;
}

static bool add_mutex(struct vz_locks *l, struct vz_snap_thread *t)
{
	struct vz_snap_lock lock = { .kind = "pthread mutex",
				     .name = "",
				     .note = "the mutex itself names its owner",
				     .owned = VZ_OWNER_RECORDED };
	struct vz_lock_raw raw = { .what = VZ_LOCK_OTHER };

	if (!vz_lock_mutex(l, t->wait.futex, &lock.raddr, &lock.owner, &lock.private_to_process))
		return false;
	t->lock = add(l, &lock, &raw, false);
	return true;
}

/* Import locks and the Python implementation of RLock keep their owner in an attribute. */
static void read_owner_attribute(struct vz_locks *l, const struct vz_snap_lock *lock,
				 struct vz_lock_raw *raw)
{
	const struct vz_py *py = l->scene->py;
	uint64_t value;
	int64_t owner;

	if (lock->raddr == raw->object)
		return;
	raw->what = VZ_LOCK_OTHER;
	if ((vz_pyobj_attr(py, lock->raddr, "owner", &value) == 0 ||
	     vz_pyobj_attr(py, lock->raddr, "_owner", &value) == 0) &&
	    vz_pyobj_int(py, value, &owner) == 0)
		raw->owner = (uint64_t)owner;
}

static void look_at(struct vz_locks *l, size_t i)
{
	struct vz_snap_thread *t = &l->scene->snapshot->threads[i];
	struct vz_snap_lock lock;
	struct vz_lock_raw raw;
	bool joining, role;

	if (!t->wait.futex || t->holds_gil)
		return;
	if (t->waits_gil || vz_lock_is_gil(l, t)) {
		t->waits_gil = true;
		return;
	}
	t->joins = vz_lock_joins(l, i, &joining);
	if (joining)
		return;
	if (!vz_lock_find(l, i, &raw)) {
		add_mutex(l, t);
		return;
	}
	vz_lock_describe(l, i, &raw, &lock, &role);
	if (!role)
		read_owner_attribute(l, &lock, &raw);
	t->lock = add(l, &lock, &raw, role);
}

void vz_snapshot_locks(const struct vz_scene_snapshot *scene)
{
	struct vz_locks l = { .scene = scene };
	struct vz_snapshot *s = scene->snapshot;

	for (size_t i = 0; i < s->nthreads; i++)
		look_at(&l, i);
	for (size_t i = 0; i < l.count; i++)
		vz_lock_owner(&l, i);
	s->locks = l.locks;
	s->nlocks = l.count;
	for (size_t i = 0; i < s->nthreads; i++) {
		const char *why = vz_idle_why(scene, i);

		if (why) {
			s->threads[i].idle = true;
			s->threads[i].idle_why = why;
		}
	}
	if (l.held_cut)
		vz_snapshot_note(s, "owners of locks: more \"with\" blocks than can be kept");
	free(l.more);
	free(l.held);
}
