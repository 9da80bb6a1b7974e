/* SPDX-License-Identifier: MIT */
/*
 * kit_view.h - a live CPython as the readers of a snapshot see it.
 */
#ifndef VZ_TESTS_KIT_VIEW_H
#define VZ_TESTS_KIT_VIEW_H

#include <criterion/criterion.h>
#include <string.h>

#include "attach/pyver.h"
#include "attach/snapshot/python/pyobj.h"

struct kit_view {
	struct vz_target target;
	struct vz_maps maps;
	struct vz_objects objects;
	struct vz_python python;
	struct vz_py py;
	struct vz_err err;
};

/* All but .py, as vz_python_look() returned. */
static inline int kit_view_look(struct kit_view *v, pid_t pid)
{
	memset(v, 0, sizeof(*v));
	cr_assert_eq(vz_target_open(pid, &v->target, &v->err), 0);
	cr_assert_eq(vz_maps_read(pid, &v->maps, &v->err), 0);
	cr_assert_eq(vz_objects_read(&v->target, &v->maps, &v->objects, &v->err), 0);
	return vz_python_look(&v->target, &v->objects, &v->python, &v->err);
}

static inline void kit_view_open(struct kit_view *v, pid_t pid, const char *path)
{
	uint64_t asyncio = 0;

	cr_assert_eq(kit_view_look(v, pid), 0, "%s: %s", path, v->err.why);
	v->py = (struct vz_py){ .target = &v->target,
				.maps = &v->maps,
				.runtime = v->python.py[VZ_SYM__PyRuntime],
				.debug_build = v->python.debug_build };
	if (v->python.minor >= 14)
		asyncio = vz_pylayout_asyncio(&v->target, &v->maps, &v->objects, v->py.runtime);
	cr_assert_eq(vz_pylayout_read(&v->target, v->py.runtime, asyncio, v->python.minor,
				      v->python.free_threaded, &v->py.at),
		     0, "%s", path);
}

static inline void kit_view_close(struct kit_view *v)
{
	vz_objects_fini(&v->objects);
	vz_maps_fini(&v->maps);
	vz_target_close(&v->target);
}

#endif /* VZ_TESTS_KIT_VIEW_H */
