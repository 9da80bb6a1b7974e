/* SPDX-License-Identifier: MIT */
/*
 * core_files.c - what a core dump left out because it is in files: read from them, if they are
 * the same ones still.  The dump has the first page of each, and that has the build id.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/native/core_priv.h"

enum { PAGE_BYTES = 4096, MAX_OPEN = 512 };

static void add_object(struct vz_core *core, struct vz_core_file *file,
		       const struct vz_object *object)
{
	struct vz_core_object *to = &file->objects[file->nobjects];
	const struct vz_map *map;

	memset(to, 0, sizeof(*to));
	to->file.fd = -1;
	vz_object_range(object, &to->start, &to->end);
	map = vz_maps_find(&core->maps, to->start);
	if (!map || map->path[0] != '/' || vz_object_build_id(object, &to->id) < 0)
		return;
	to->path = map->path;
	file->nobjects++;
}

int vz_core_find_files(struct vz_core *core, struct vz_core_file *file)
{
	struct vz_objects objects;
	struct vz_err err;

	/* For now with what is in the dump alone. */
	if (vz_objects_read(&core->target, &core->maps, &objects, &err) < 0)
		return -ENOMEM;
	file->objects = calloc(objects.count + 1, sizeof(*file->objects));
	for (size_t i = 0; file->objects && i < objects.count && file->nobjects < MAX_OPEN; i++)
		add_object(core, file, objects.items[i]);
	vz_objects_fini(&objects);
	return file->objects ? 0 : -ENOMEM;
}

static struct vz_core_object *object_of(const struct vz_core_file *file, const struct vz_map *map)
{
	for (size_t i = 0; i < file->nobjects; i++) {
		struct vz_core_object *object = &file->objects[i];

		if (map->start >= object->start && map->start < object->end &&
		    !strcmp(map->path, object->path))
			return object;
	}
	return NULL;
}

static bool open_object(struct vz_core_object *object)
{
	struct vz_build_id id;

	if (object->tried)
		return object->file.fd >= 0;
	object->tried = true;
	if (vz_elffile_open(object->path, &object->file) < 0 ||
	    vz_elffile_build_id(&object->file, &id) < 0 || !vz_build_id_equal(&id, &object->id))
		vz_elffile_close(&object->file);
	return object->file.fd >= 0;
}

int vz_core_from_file(const struct vz_core_file *file, const struct vz_map *map, uint64_t raddr,
		      void *buf, size_t len)
{
	struct vz_core_object *object = object_of(file, map);
	uint64_t offset = map->offset + (raddr - map->start), size, limit;
	size_t there = 0;

	if (!object || offset < map->offset || !open_object(object))
		return -EFAULT;
	/* Behind its end, up to the next page, a file is mapped as zeros. */
	size = object->file.size;
	limit = (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	if (offset > limit || len > limit - offset)
		return -EFAULT;
	if (offset < size)
		there = size - offset < len ? (size_t)(size - offset) : len;
	memset((char *)buf + there, 0, len - there);
	if (!there)
		return 0;
	return vz_elffile_read(&object->file, offset, buf, there);
}
