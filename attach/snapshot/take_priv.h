/* SPDX-License-Identifier: MIT */
/* take_priv.h - what a snapshot needs while it is being taken; shared by take*.c. */
#ifndef VZ_ATTACH_SNAPSHOT_TAKE_PRIV_H
#define VZ_ATTACH_SNAPSHOT_TAKE_PRIV_H

#include "attach/snapshot/capture.h"
#include "attach/snapshot/native/core.h"
#include "attach/snapshot/proc/procstate.h"
#include "attach/snapshot/rooms.h"
#include "attach/snapshot/take.h"

struct vz_taking {
	const struct vz_take *take;
	struct vz_snapshot *snapshot;
	struct vz_core *core; /* NULL: a process */
	struct vz_target process;
	const struct vz_target *target;
	struct vz_maps own_maps;
	const struct vz_maps *maps;
	struct vz_objects objects;
	struct vz_python python;
	struct vz_py py;
	struct vz_symbols *symbols;
	struct vz_unwinder *unwinder; /* reads through the capture */
	struct vz_native_stack *unwound;
	struct vz_capture *capture;
	/* as many as the snapshot has threads */
	struct vz_native_stack **native; /* only as many frames as there are; or NULL */
	struct vz_raw_stack *raw;
	struct vz_task *tasks;
	unsigned late; /* threads that did not stop in time */
	struct vz_scene_snapshot scene;
};

/** Open the process or the core dump, and find CPython in it. */
int vz_taking_open(struct vz_taking *k, struct vz_err *err);
/** Everything that needs the number of threads. */
int vz_taking_prepare(struct vz_taking *k, struct vz_err *err);
void vz_taking_close(struct vz_taking *k);
/** The thread of the core dump that is thread I of the snapshot. */
const struct vz_core_thread *vz_taking_core_thread(const struct vz_taking *k, size_t i);

#endif /* VZ_ATTACH_SNAPSHOT_TAKE_PRIV_H */
