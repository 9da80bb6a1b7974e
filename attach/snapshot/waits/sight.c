/* SPDX-License-Identifier: MIT */
/* sight.c - Python frames by name. */
#include "attach/snapshot/waits/sight.h"

#include <stdio.h>
#include <string.h>

#include "attach/util.h"

struct vz_snap_frame *vz_sight_kept(const struct vz_scene_snapshot *scene, size_t thread, size_t i)
{
	const struct vz_raw_stack *raw = &scene->raw[thread];
	const struct vz_snap_thread *t = &scene->snapshot->threads[thread];

	/* Python frames are in the same order in both, native ones may be between them. */
	for (size_t j = i; i < raw->count && j < t->nframes; j++) {
		if (t->frames[j].kind == VZ_FRAME_PYTHON &&
		    t->frames[j].raddr == raw->frames[i].raddr)
			return (struct vz_snap_frame *)(uintptr_t)&t->frames[j]; /* arena's */
	}
	return NULL;
}

bool vz_sight_frame(const struct vz_scene_snapshot *scene, size_t thread, size_t i,
		    struct vz_snap_frame *ret)
{
	const struct vz_snap_frame *kept = vz_sight_kept(scene, thread, i);

	if (i >= scene->raw[thread].count)
		return false;
	if (kept)
		*ret = *kept;
	else
		vz_snapshot_python_frame(scene, &scene->raw[thread].frames[i], ret);
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

void vz_sight_type(const struct vz_scene_snapshot *scene, uint64_t obj, char *buf, size_t size)
{
	const struct vz_py *py = scene->py;
	char name[VZ_PYNAME_MAX], module[VZ_PYNAME_MAX];
	uint64_t type, dict, text;

	vz_pyobj_type_name(py, obj, name, sizeof(name));
	snprintf(buf, size, "%s", name);
	if (!name[0] || strchr(name, '.') || vz_pyobj_type(py, obj, &type) < 0 ||
	    vz_py_word(py, type + py->at.tp_dict, &dict) < 0 || !dict ||
	    vz_pydict_get(py, dict, "__module__", &text) < 0 ||
	    vz_pyobj_text(py, text, module, sizeof(module)) < 0 || strcmp(module, "builtins") == 0)
		return;
	snprintf(buf, size, "%s.%s", module, name);
}

const char *vz_sight_words(const struct vz_scene_snapshot *scene, const struct vz_snap_frame *frame)
{
	return vz_arena_format(scene->snapshot->arena, "%s (%s:%u)", frame->function,
			       vz_basename(frame->file), frame->line);
}
