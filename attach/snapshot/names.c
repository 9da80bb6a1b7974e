/* SPDX-License-Identifier: MIT */
/* names.c - what the threading module calls the threads. */
#include <stdlib.h>

#include "attach/snapshot/rooms.h"

enum { THREADS_MAX = 1 << 14 };

/* _daemonic is set before a thread begins to run and not changed afterwards. */
static void name_thread(const struct vz_scene_snapshot *scene, struct vz_snap_thread *t,
			uint64_t thread)
{
	const struct vz_py *py = scene->py;
	uint64_t value;
	int64_t daemon;
	char name[VZ_PYNAME_MAX];

	if (vz_pyobj_attr(py, thread, "_name", &value) == 0 &&
	    vz_pyobj_text(py, value, name, sizeof(name)) >= 0)
		t->name = vz_arena_text(scene->snapshot->arena, name);
	if (vz_pyobj_attr(py, thread, "_daemonic", &value) == 0 &&
	    vz_pyobj_kind(py, value) == VZ_PYKIND_BOOL && vz_pyobj_int(py, value, &daemon) == 0) {
		t->daemon = daemon != 0;
		t->daemon_known = true;
	}
}

static uint64_t main_interpreter(const struct vz_scene_snapshot *scene)
{
	uint64_t interp;

	return vz_py_word(scene->py, scene->py->runtime + scene->py->at.rt_interpreters_main,
			  &interp) == 0
		       ? interp
		       : 0;
}

void vz_snapshot_names(const struct vz_scene_snapshot *scene)
{
	uint64_t active, interp = main_interpreter(scene);
	uint64_t *keys = calloc(2 * THREADS_MAX, sizeof(*keys));
	int64_t ident;
	ssize_t n = 0;

	if (keys && interp &&
	    vz_py_module_attr(scene->py, interp, "threading", "_active", &active) == 0)
		n = vz_pydict_items(scene->py, active, keys, keys + THREADS_MAX, THREADS_MAX);
	for (ssize_t i = 0; i < n; i++) {
		int thread = -1;

		if (vz_pyobj_int(scene->py, keys[i], &ident) == 0)
			thread = vz_snapshot_by_ident(scene->snapshot, (uint64_t)ident);
		if (thread >= 0)
			name_thread(scene, &scene->snapshot->threads[thread],
				    keys[THREADS_MAX + i]);
	}
	free(keys);
}
