/* SPDX-License-Identifier: MIT */
/* locks_priv.h - what the files that find locks and their owners share. */
#ifndef VZ_ATTACH_SNAPSHOT_LOCKS_PRIV_H
#define VZ_ATTACH_SNAPSHOT_LOCKS_PRIV_H

#include "attach/snapshot/rooms.h"

enum vz_lock_class {
	VZ_LOCK_OTHER,    /* no lock */
	VZ_LOCK_PLAIN,    /* _thread.lock */
	VZ_LOCK_R,        /* _thread.RLock */
	VZ_LOCK_SEM,      /* _multiprocessing.SemLock */
	VZ_LOCK_QUEUE,    /* _queue.SimpleQueue: a lock is inside */
	VZ_LOCK_BUFFERED, /* _io.Buffered...: likewise, with its owner */
	VZ_LOCK_BUILTIN,  /* bound method of C */
	VZ_LOCK_METHOD,   /* bound method of Python */
};

/* A lock that is no PyObject of its own, or one that is: what it says of itself. */
struct vz_lock_raw {
	enum vz_lock_class what;
	uint64_t object;
	bool locked;
	uint64_t owner; /* ident; 0: none, or it does not say */
};

enum { VZ_LOCK_TYPES = 64 };

/* Types are looked up by name once. */
struct vz_lock_types {
	uint64_t type[VZ_LOCK_TYPES];
	uint8_t what[VZ_LOCK_TYPES];
	size_t next;
};

/* A "with" of a lock that a frame is inside of. */
struct vz_lock_held {
	uint64_t lock;
	size_t thread, frame;
};

/* More than the snapshot says of a lock. */
struct vz_lock_more {
	struct vz_lock_raw raw;
	bool role; /* a condition, a queue: nobody owns it */
};

struct vz_locks {
	const struct vz_scene_snapshot *scene;
	struct vz_lock_types types;
	struct vz_snap_lock *locks; /* in the arena */
	struct vz_lock_more *more;
	size_t count, room;
	struct vz_lock_held *held;
	size_t nheld, held_room;
	bool held_read, held_cut;
};

/* ---- locks_raw.c: one lock ---- */

enum vz_lock_class vz_lock_class(struct vz_locks *l, uint64_t obj);
/** What OBJ of class WHAT says of itself; FUTEX: where a lock inside of it is looked for. */
int vz_lock_raw(const struct vz_py *py, uint64_t obj, enum vz_lock_class what, uint64_t futex,
		struct vz_lock_raw *ret);
/** Is FUTEX where a thread sleeps that waits for this lock?  Proof, whatever led to the lock. */
bool vz_lock_sleeps(const struct vz_py *py, const struct vz_lock_raw *raw, uint64_t futex);

/* ---- locks_find.c: what a thread waits for ---- */

/** The lock that THREAD sleeps for, found from its innermost Python frame. */
bool vz_lock_find(struct vz_locks *l, size_t thread, struct vz_lock_raw *ret);
/** Is FUTEX in the GIL of the interpreter of this thread? */
bool vz_lock_is_gil(const struct vz_locks *l, const struct vz_snap_thread *t);
/** A mutex of the C library; its owner's index. */
bool vz_lock_mutex(const struct vz_locks *l, uint64_t futex, uint64_t *ret_mutex, int *ret_owner,
		   bool *ret_private);

/* ---- locks_kind.c: what it is for ---- */

/** Describe the lock RAW that THREAD waits for: .raddr, .kind, .name; *ROLE: nobody owns it. */
void vz_lock_describe(struct vz_locks *l, size_t thread, const struct vz_lock_raw *raw,
		      struct vz_snap_lock *ret, bool *role);
/** The thread that THREAD joins; -1: it does not, or is not known.  *JOINING tells. */
int vz_lock_joins(struct vz_locks *l, size_t thread, bool *joining);
/** How the code of the innermost frames of THREAD calls OBJ: "self.lock"; "". */
const char *vz_lock_name(struct vz_locks *l, size_t thread, uint64_t obj);

/* ---- locks_owner.c ---- */

/** Fill .owned, .owner, .note of lock I. */
void vz_lock_owner(struct vz_locks *l, size_t i);
/** Index of the thread with this ident, also of one that is no Python thread now; -1. */
int vz_lock_thread(const struct vz_locks *l, uint64_t ident);

/* ---- locks_fork.c ---- */

/** Was this lock, which somebody holds, held when the process was forked, by a thread that is
 * not here?  Then .owned and .note say so. */
void vz_lock_orphan(struct vz_locks *l, size_t i);
/** Is WORD among the names of attributes and globals of CODE?  1, 0; negative: not to be told. */
int vz_lock_mentions(const struct vz_py *py, uint64_t code, const char *word);
/** How often CODE looks WORD up as an attribute, at least; many if that cannot be told. */
unsigned vz_lock_calls(const struct vz_py *py, uint64_t code, const char *word);

/* ---- locks_idle.c ---- */

/** What a thread that waits for work says it waits for; NULL: it does not. */
const char *vz_idle_why(const struct vz_scene_snapshot *scene, size_t thread);

#endif /* VZ_ATTACH_SNAPSHOT_LOCKS_PRIV_H */
