/* SPDX-License-Identifier: MIT */
/* sight.c - Python frames by name. */
#include "attach/snapshot/sight.h"

#include <string.h>

#include "attach/util.h"

bool vz_sight_frame(const struct vz_scene_snapshot *scene, size_t thread, size_t i,
		    struct vz_snap_frame *ret)
{
	const struct vz_raw_stack *raw = &scene->raw[thread];
	const struct vz_snap_thread *t = &scene->snapshot->threads[thread];

	if (i >= raw->count)
		return false;
	/* Python frames are in the same order in both, native ones may be between them. */
	for (size_t j = i; j < t->nframes; j++) {
		if (t->frames[j].kind == VZ_FRAME_PYTHON &&
		    t->frames[j].raddr == raw->frames[i].raddr) {
			*ret = t->frames[j];
			return ret->file[0] != '\0';
		}
	}
	vz_snapshot_python_frame(scene, &raw->frames[i], ret);
	return ret->file[0] != '\0';
}

const char *vz_sight_function(const struct vz_snap_frame *frame)
{
	const char *dot = strrchr(frame->function, '.');

	return dot ? dot + 1 : frame->function;
}

static bool ends_with_path(const char *path, const char *end)
{
	size_t len = strlen(path), n = strlen(end);

	if (len < n || strcmp(path + len - n, end) != 0)
		return false;
	return len == n || path[len - n - 1] == '/';
}

bool vz_sight_is(const struct vz_snap_frame *frame, const char *file, const char *function)
{
	return frame->kind == VZ_FRAME_PYTHON && strcmp(vz_sight_function(frame), function) == 0 &&
	       ends_with_path(frame->file, file);
}

bool vz_sight_at(const struct vz_scene_snapshot *scene, size_t thread, size_t i, const char *file,
		 const char *function, const char *class, uint64_t *self)
{
	struct vz_snap_frame frame;

	*self = 0;
	if (!vz_sight_frame(scene, thread, i, &frame) || !vz_sight_is(&frame, file, function))
		return false;
	if (vz_pyframe_local(scene->py, &scene->raw[thread].frames[i], "self", self) < 0)
		*self = 0;
	return !class || (*self && vz_pyobj_is(scene->py, *self, class));
}

const char *vz_sight_words(const struct vz_scene_snapshot *scene, const struct vz_snap_frame *frame)
{
	return vz_arena_format(scene->snapshot->arena, "%s (%s:%u)", frame->function,
			       vz_basename(frame->file), frame->line);
}
