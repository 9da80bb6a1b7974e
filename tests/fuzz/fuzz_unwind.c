/* SPDX-License-Identifier: MIT */
/*
 * Whatever unwind tables and stack a target shows: following its stack ends, and
 * reads nothing of ours.  libunwind, which does it, is fuzzed along.
 *
 * The input is two bytes with the program counter, two with the length of the image, the
 * image, then the stack.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/unwind.h"
#include "tests/fuzz/fake_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PROGRAM = 0x10000, STACK = 0x80000, PAGE = 4096, HEAD = 4 };

static void follow(struct vz_target *target, const struct vz_maps *maps, uint64_t pc)
{
	static struct vz_native_stack stack;
	struct vz_objects objects;
	struct vz_unwinder *unwinder;
	struct vz_cpu cpu;
	struct vz_err err;

	if (vz_objects_read(target, maps, &objects, &err) < 0)
		return;
	if (vz_unwinder_new(target, maps, &objects, &unwinder) < 0)
		abort();
	vz_arch_at(pc, STACK + 64, &cpu);
	vz_unwind(unwinder, &cpu, &stack);
	if (stack.count < 1 || stack.count > VZ_UNWIND_MAX)
		abort();
	vz_unwinder_free(unwinder);
	vz_objects_fini(&objects);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vz_target *target = fake_target();
	struct vz_maps maps;
	char text[256];
	size_t image, pages;
	uint64_t pc;

	if (size < HEAD)
		return 0;
	pc = PROGRAM + (data[0] | (uint64_t)data[1] << 8);
	image = data[2] | (size_t)data[3] << 8;
	data += HEAD;
	size -= HEAD;
	if (image > size)
		image = size;
	pages = (image + PAGE - 1) / PAGE;
	fake_target_clear(target);
	fake_target_put(target, PROGRAM, data, image);
	fake_target_put(target, STACK, data + image, size - image);
	if (ftruncate(target->mem_fd, STACK + (off_t)4 * PAGE) < 0)
		abort();
	snprintf(text, sizeof(text),
		 "%x-%zx r-xp 0 08:01 7 /usr/bin/python3\n%x-%x rw-p 0 00:00 0 [stack]\n", PROGRAM,
		 PROGRAM + (pages ? pages : 1) * PAGE, STACK, STACK + 4 * PAGE);
	if (vz_maps_parse(text, strlen(text), &maps) < 0)
		abort();
	follow(target, &maps, pc);
	vz_maps_fini(&maps);
	return 0;
}
