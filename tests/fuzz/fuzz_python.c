/* SPDX-License-Identifier: MIT */
/*
 * Whatever CPython's structures look like: cyclic lists, wild pointers, half-written
 * states.  What looks at them from outside ends, in bounded time.
 *
 * The input is the row of the version table, where _PyRuntime is, then the memory.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attach/preflight.h"
#include "tests/fuzz/fake_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small, so that a fuzzer finds pointers that lead somewhere. */
enum { MEMORY = 0x100, HEAD = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char text[] = "0-100000 r-xp 00000000 08:01 7 /usr/bin/python3\n";
	static struct vz_findings findings;
	const struct vz_wish wish = { .hurry = true };
	struct vz_target *target = fake_target();
	struct vz_objects objects = { 0 };
	struct vz_python python = { .major = 3 };
	struct vz_maps maps;
	const struct vz_inside inside = { &maps, &objects, &python };
	struct vz_gil gil;
	struct vz_err err = { 0 };
	unsigned rows = 0;

	if (size < HEAD)
		return 0;
	while (vz_pyver_row(rows))
		rows++;
	python.ver = vz_pyver_row(data[0] % rows);
	python.minor = python.ver->minor;
	python.py[VZ_SYM__PyRuntime] = MEMORY + (data[1] | (uint64_t)data[2] << 8);
	python.py[VZ_SYM__PyEval_EvalFrameDefault] = MEMORY;
	fake_target_clear(target);
	fake_target_put(target, MEMORY, data + HEAD, size - HEAD);
	if (vz_maps_parse(text, sizeof(text) - 1, &maps) < 0)
		abort();
	findings = (struct vz_findings){ .go_on = true };
	vz_preflight_python(target, &inside, &wish, &findings, &err);
	if (!memchr(err.why, '\0', sizeof(err.why)))
		abort();
	vz_gil_watch(target, &python, 0, &gil);
	vz_maps_fini(&maps);
	return 0;
}
