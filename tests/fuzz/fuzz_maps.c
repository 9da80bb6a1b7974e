/* SPDX-License-Identifier: MIT */
/*
 * Any text in the files of /proc is read without a crash, and what comes of it
 * keeps its promises: mappings are in order, names fit for a terminal.
 *
 * The first byte says which file it is.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attach/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static void read_maps(const char *text, size_t len)
{
	struct vz_maps maps;
	uint64_t end = 0;

	if (vz_maps_parse(text, len, &maps) < 0)
		return;
	for (size_t i = 0; i < maps.count; i++) {
		const struct vz_map *map = &maps.items[i];

		check(map->start >= end && map->end > map->start);
		check(!strchr(map->path, '\n') && strlen(map->path) <= len);
		check(vz_maps_find(&maps, map->start) == map);
		check(vz_maps_find(&maps, map->end - 1) == map);
		end = map->end;
	}
	check(!vz_maps_find(&maps, UINT64_MAX));
	vz_maps_fini(&maps);
}

static void read_status(const char *text)
{
	struct vz_status status;

	if (vz_status_parse(text, &status) < 0)
		return;
	check(memchr(status.comm, '\0', sizeof(status.comm)));
	check(status.ns_depth >= 0);
}

static void read_syscall(const char *text)
{
	struct vz_task task;

	memset(&task, 0, sizeof(task));
	vz_syscall_parse(text, &task);
	check(task.syscall >= -2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size < 1)
		return 0;
	text = malloc(size); /* exact: its end is watched */
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 4) {
	case 0:
		read_maps(text, size - 1);
		break;
	case 1:
		read_status(text);
		break;
	case 2:
		read_syscall(text);
		break;
	default:
		vz_stat_start_time(text);
		break;
	}
	free(text);
	return 0;
}
