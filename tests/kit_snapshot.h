/* SPDX-License-Identifier: MIT */
/* kit_snapshot.h - snapshots built by hand, for the tests of the verdict and of the printers. */
#ifndef VZ_TESTS_KIT_SNAPSHOT_H
#define VZ_TESTS_KIT_SNAPSHOT_H

#include "attach/snapshot/snapshot.h"

/** An empty one, idle, with room for COUNT threads, which have no names and tids from 100 on, and
 * sleep; free it with vz_arena_free(s->arena). */
struct vz_snapshot *snap_new(size_t threads);
/** Give a thread a name and Python frames "function file line", innermost first, until NULL. */
void snap_thread(struct vz_snapshot *s, size_t index, const char *name, ...);
/** Append a lock; returns its index. */
int snap_lock(struct vz_snapshot *s, const char *kind, const char *name, enum vz_owner owned,
	      int owner);
/** Append a task that awaits; returns its index. */
int snap_task(struct vz_snapshot *s, const char *name, const char *coroutine, const char *awaits,
	      int parent);
/** COUNT frames of FUNCTION in FILE; lines from FIRST on, one more each if GROWS. */
void snap_deep(struct vz_snapshot *s, size_t index, size_t count, const char *function, bool grows);
/** One with something in every field. */
struct vz_snapshot *snap_full(void);

#endif /* VZ_TESTS_KIT_SNAPSHOT_H */
