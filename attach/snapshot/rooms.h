/* SPDX-License-Identifier: MIT */
/*
 * rooms.h - what the parts of a snapshot ask of each other while it is being taken.
 */
#ifndef VZ_ATTACH_SNAPSHOT_ROOMS_H
#define VZ_ATTACH_SNAPSHOT_ROOMS_H

#include "attach/elfsym.h"
#include "attach/pyver.h"
#include "attach/snapshot/native/symbols.h"
#include "attach/snapshot/python/pystack.h"
#include "attach/snapshot/snapshot.h"
#include "attach/unwind.h"

/* Python frames of one thread as they were copied, to be looked into again (locals, value stacks).
 */
struct vz_raw_stack {
	struct vz_pyframe *frames; /* innermost first */
	size_t count;
};

struct vz_frame_cache; /* frames.c: places and symbols that were looked up already */

struct vz_scene_snapshot {
	const struct vz_target *target;
	const struct vz_maps *maps;
	const struct vz_objects *objects;
	const struct vz_python *python;
	const struct vz_py *py;
	struct vz_symbols *symbols;
	const struct vz_raw_stack *raw; /* as many as snapshot->nthreads */
	struct vz_frame_cache *cache;
	struct vz_snapshot *snapshot;
};

int vz_frame_cache_new(struct vz_frame_cache **ret);
void vz_frame_cache_free(struct vz_frame_cache *cache);

/** Names, daemon flags of Python's threads (threading._active of the main interpreter). */
void vz_snapshot_names(const struct vz_scene_snapshot *scene);
/** Fill .locks, and .lock, .joins, .idle, .idle_why of each thread.  Cycles are the verdict's
 * business. */
void vz_snapshot_locks(const struct vz_scene_snapshot *scene);
/** Fill .loops and .tasks: asyncio. */
void vz_snapshot_asyncio(const struct vz_scene_snapshot *scene);
/** Append greenlets that are parked to .tasks. */
void vz_snapshot_greenlets(const struct vz_scene_snapshot *scene);
/** Locals of all Python frames: bounded, secrets masked. */
void vz_snapshot_locals(const struct vz_scene_snapshot *scene);
/** A Python frame for printing, from a raw one; texts in the arena. */
void vz_snapshot_python_frame(const struct vz_scene_snapshot *scene, const struct vz_pyframe *raw,
			      struct vz_snap_frame *ret);
/** A native frame for printing: PC as vz_symbols_find() wants it, AT as it is to be shown. */
void vz_snapshot_native_frame(const struct vz_scene_snapshot *scene, uint64_t pc, uint64_t at,
			      struct vz_snap_frame *ret);
/**
 * Python and native frames of one thread in their true order, into T->frames: what native
 * frame runs which Python frames is told by addresses on the C stack, else by the evaluator's name,
 * if there are as many as need be.  If not, .order_known stays false: first all Python
 * frames, then the native ones.  NATIVE may be NULL.
 */
void vz_snapshot_merge(const struct vz_scene_snapshot *scene, const struct vz_native_stack *native,
		       const struct vz_raw_stack *python, struct vz_snap_thread *t);
/** The GIL of the main interpreter, into .process and the threads, at look number LOOK. */
void vz_snapshot_gil(const struct vz_scene_snapshot *scene, unsigned look);
/** Threads on their way to the GIL that were awake for a moment, told by their merged frames. */
void vz_snapshot_gil_names(struct vz_snapshot *snapshot);
/** The verdict, from what is in the snapshot alone. */
void vz_verdict_find(struct vz_snapshot *snapshot);

#endif /* VZ_ATTACH_SNAPSHOT_ROOMS_H */
