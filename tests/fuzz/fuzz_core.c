/* SPDX-License-Identifier: MIT */
/*
 * Whatever a file that is given as a core dump holds: what comes of it is in order, and looking
 * for CPython in it ends.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/pyver.h"
#include "attach/snapshot/native/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static void ask(const struct vz_core *core)
{
	static struct vz_python python;
	struct vz_objects objects;
	struct vz_err err;
	uint64_t end = 0;
	char bytes[64];

	check(core->nthreads > 0 && core->maps.count > 0 && core->target.pid == 0);
	for (size_t i = 0; i < core->maps.count; i++) {
		const struct vz_map *map = &core->maps.items[i];

		check(map->start >= end && map->end > map->start && strlen(map->path) < 1 << 26);
		end = map->end;
		vz_target_read(&core->target, map->start, bytes, sizeof(bytes));
		vz_target_read(&core->target, map->end - 1, bytes, sizeof(bytes));
	}
	if (vz_objects_read(&core->target, &core->maps, &objects, &err) < 0)
		return;
	vz_python_find(&core->target, &core->maps, &objects, &python, &err);
	vz_objects_fini(&objects);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct vz_core *core;
	struct vz_err err;
	char path[64];

	if (fd < 0)
		fd = memfd_create("core", MFD_CLOEXEC);
	check(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (vz_core_open(path, &core, &err) < 0)
		return 0;
	ask(core);
	vz_core_close(core);
	return 0;
}
