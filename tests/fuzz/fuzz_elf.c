/* SPDX-License-Identifier: MIT */
/*
 * Whatever ELF images a target has in its memory: looking for CPython and a C library in
 * them ends, reads nothing outside of them, and takes no more memory than is stated.
 *
 * The input is one image, or two: two bytes with the length of the first, then both.  They
 * are mapped as a program and as a library.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/preflight.h"
#include "attach/pyver.h"
#include "tests/fuzz/fake_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PROGRAM = 0x10000, LIBRARY = 0x80000, PAGE = 4096 };

static void map_text(char *text, size_t room, uint64_t start, size_t len, const char *path)
{
	size_t used = strlen(text), pages = (len + PAGE - 1) / PAGE;
	unsigned long long end = start + (pages ? pages : 1) * PAGE;

	snprintf(text + used, room - used, "%llx-%llx r-xp 00000000 08:01 7 %s\n",
		 (unsigned long long)start, end, path);
}

/* All that is asked of an object, with the names that the seeds have. */
static void ask(const struct vz_object *object)
{
	static const char *const names[] = { "PyGILState_Ensure",
					     "Py_GetVersion",
					     "_PyRuntime",
					     "pthread_create",
					     "clock_gettime",
					     "__vdso_clock_gettime",
					     "" };
	uint64_t start, end, size;

	vz_object_range(object, &start, &end);
	if (end < start)
		abort();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		uint64_t raddr = vz_object_symbol(object, names[i], &size);
		const char *name = raddr ? vz_object_function_at(object, raddr) : NULL;

		if (name && strlen(name) > 1 << 20)
			abort();
	}
	vz_object_function_at(object, start + (end - start) / 2);
	if (vz_object_eh_frame_hdr(object, &start, &size) == 0 && start + size < start)
		abort();
	for (unsigned i = 0; vz_object_text(object, i, &start, &end) == 0; i++)
		;
	if (strlen(vz_object_soname(object)) > 255)
		abort();
}

static void examine(struct vz_target *target, const struct vz_maps *maps)
{
	static struct vz_findings findings;
	const struct vz_wish wish = { .hurry = true };
	struct vz_objects objects;
	struct vz_python python;
	const struct vz_inside inside = { maps, &objects, &python };
	struct vz_err err;

	findings = (struct vz_findings){ .go_on = true };
	if (vz_objects_read(target, maps, &objects, &err) < 0)
		return;
	for (size_t i = 0; i < objects.count; i++)
		ask(objects.items[i]);
	if (vz_python_find(target, maps, &objects, &python, &err) == 0)
		vz_preflight_python(target, &inside, &wish, &findings, &err);
	vz_objects_fini(&objects);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vz_target *target = fake_target();
	char text[256] = "";
	struct vz_maps maps;
	size_t first;

	if (size < 2)
		return 0;
	first = data[0] | (size_t)data[1] << 8;
	data += 2;
	size -= 2;
	if (first > size)
		first = size;
	fake_target_clear(target);
	fake_target_put(target, PROGRAM, data, first);
	fake_target_put(target, LIBRARY, data + first, size - first);
	/* whole pages, as in a process */
	if (ftruncate(target->mem_fd, LIBRARY + (off_t)(size - first + PAGE - 1) / PAGE * PAGE) < 0)
		abort();
	map_text(text, sizeof(text), PROGRAM, first, "/usr/bin/python3.11");
	map_text(text, sizeof(text), LIBRARY, size - first, "/lib/libc.so.6");
	if (vz_maps_parse(text, strlen(text), &maps) < 0)
		abort();
	examine(target, &maps);
	vz_maps_fini(&maps);
	return 0;
}
