/* SPDX-License-Identifier: MIT */
/* sight.h - Python frames of the threads by name: where in the standard library they are. */
#ifndef VZ_ATTACH_SNAPSHOT_SIGHT_H
#define VZ_ATTACH_SNAPSHOT_SIGHT_H

#include "attach/snapshot/rooms.h"

/** Raw frame I (0: innermost) of THREAD with its names; false: there is none, or it has none. */
bool vz_sight_frame(const struct vz_scene_snapshot *scene, size_t thread, size_t i,
		    struct vz_snap_frame *ret);
/**
 * Is FRAME this function of this file of the standard library?  FILE: how its path ends;
 * FUNCTION: without its class, which only 3.11+ tells.
 */
bool vz_sight_is(const struct vz_snap_frame *frame, const char *file, const char *function);
/** Name of its function without that of its class. */
const char *vz_sight_function(const struct vz_snap_frame *frame);
/** vz_sight_is() for frame I of THREAD, and its "self" is a CLASS (NULL: any); *SELF: 0 if none. */
bool vz_sight_at(const struct vz_scene_snapshot *scene, size_t thread, size_t i, const char *file,
		 const char *function, const char *class, uint64_t *self);
/** Frame I of THREAD as it is kept in the snapshot, to be added to; NULL. */
struct vz_snap_frame *vz_sight_kept(const struct vz_scene_snapshot *scene, size_t thread, size_t i);
/** Type of OBJ with its module: "app.Order"; "" on failure. */
void vz_sight_type(const struct vz_scene_snapshot *scene, uint64_t obj, char *buf, size_t size);
/** "worker (app.py:12)", in the arena. */
const char *vz_sight_words(const struct vz_scene_snapshot *scene,
			   const struct vz_snap_frame *frame);

#endif /* VZ_ATTACH_SNAPSHOT_SIGHT_H */
