/* SPDX-License-Identifier: MIT */
/*
 * Interpreters, threads, frames, code objects and generators made of any bytes: what walks them
 * from outside ends, in bounded time, inside its own memory.
 *
 * The input is the row of the layout table, which byte of it is changed and how, then the memory.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/python/pystack.h"
#include "tests/fuzz/fake_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small, so that a fuzzer finds pointers that lead somewhere. */
enum { MEMORY = 0x100, HEAD = 4, MAX_FRAMES = 64, MAX_VALUES = 32 };

static void look_at(const struct vz_py *py, const struct vz_pyframe *frame)
{
	static struct vz_pylocal locals[MAX_VALUES];
	uint64_t values[MAX_VALUES], value;
	struct vz_pyplace place;
	ssize_t n;

	vz_pyframe_place(py, frame, &place);
	if (!memchr(place.name, '\0', sizeof(place.name)) ||
	    !memchr(place.file, '\0', sizeof(place.file)))
		abort();
	vz_pyframe_local(py, frame, "x", &value);
	n = vz_pyframe_locals(py, frame, locals, MAX_VALUES);
	if (n > MAX_VALUES || vz_pyframe_stack(py, frame, values, MAX_VALUES) > MAX_VALUES)
		abort();
	for (ssize_t i = 0; i < n; i++) {
		if (!memchr(locals[i].name, '\0', sizeof(locals[i].name)))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vz_pyframe frames[MAX_FRAMES];
	struct vz_target *target = fake_target();
	struct vz_py py = { .target = target, .runtime = MEMORY };
	struct vz_pythread threads[4];
	unsigned rows = 0;
	uint64_t value;
	ssize_t n;

	if (size < HEAD)
		return 0;
	while (vz_pylayout_row(rows))
		rows++;
	py.at = *vz_pylayout_row(data[0] % rows);
	/* Much of the table may come from the process itself. */
	((uint8_t *)&py.at)[offsetof(struct vz_pylayout, rt_interpreters_head) +
			    (data[1] | (size_t)data[2] << 8) %
				    (sizeof(py.at) - offsetof(struct vz_pylayout,
							      rt_interpreters_head))] ^= data[3];
	fake_target_clear(target);
	fake_target_put(target, MEMORY, data + HEAD, size - HEAD);
	n = vz_pythreads_read(&py, threads, 4);
	for (ssize_t i = 0; i < n && i < 4; i++)
		vz_pystack_walk(&py, threads[i].raddr, frames, MAX_FRAMES);
	n = vz_pystack_walk(&py, MEMORY, frames, MAX_FRAMES);
	for (ssize_t i = 0; i < n; i++)
		look_at(&py, &frames[i]);
	if (vz_pygen_frame(&py, MEMORY, &frames[0]) == 0)
		look_at(&py, &frames[0]);
	vz_pygen_awaits(&py, MEMORY, &value);
	frames[0] = (struct vz_pyframe){ .raddr = MEMORY, .code = MEMORY, .instr = data[3] };
	look_at(&py, &frames[0]);
	return 0;
}
