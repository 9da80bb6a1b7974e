/* SPDX-License-Identifier: MIT */
/*
 * Objects made of any bytes: types that are their own bases, texts and ints of any length,
 * dicts whose keys are elsewhere.  Every reader of pyobj.h ends, in bounded time, inside its
 * own memory.
 *
 * The input is the row of the layout table, which byte of it is changed and how, where a second
 * object is, then the memory: the first object is at its beginning.
 */
#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/fake_target.h"
#include "tests/pyobj_calls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small, so that a fuzzer finds pointers that lead somewhere. */
enum { MEMORY = 0x100, HEAD = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t begin = offsetof(struct vz_pylayout, rt_interpreters_head);
	struct vz_target *target = fake_target();
	struct vz_py py = { .target = target, .runtime = MEMORY };
	unsigned rows = 0;

	if (size < HEAD)
		return 0;
	while (vz_pylayout_row(rows))
		rows++;
	py.at = *vz_pylayout_row(data[0] % rows);
	/* Much of the table may come from the process itself. */
	((uint8_t *)&py.at)[begin + (data[1] | (size_t)data[2] << 8) % (sizeof(py.at) - begin)] ^=
		data[3];
	fake_target_clear(target);
	fake_target_put(target, MEMORY, data + HEAD, size - HEAD);
	for (unsigned call = 0; call < PYOBJ_CALLS; call++) {
		pyobj_call(&py, MEMORY, call);
		pyobj_call(&py, MEMORY + 8 * (uint64_t)data[4], call);
	}
	return 0;
}
