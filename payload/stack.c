/* SPDX-License-Identifier: MIT */
#include "payload/stack.h"

#include "payload/intern.h"
#include "payload/pyapi.h"

uint32_t vz_stack_ids[VZ_STACK_MAX];

enum { FRAME_OWNED_BY_CSTACK = 3 }; /* 3.12+: an entry shim, no Python code */

#define HAS(field) (vz_boot.off.field != VZ_NO_OFFSET)

static void *top_frame(const uint8_t *ts)
{
	void *cframe;

	if (HAS(ts_frame))
		return vz_load_ptr(ts, vz_boot.off.ts_frame);
	if (HAS(ts_current_frame))
		return vz_load_ptr(ts, vz_boot.off.ts_current_frame);
	cframe = vz_load_ptr(ts, vz_boot.off.ts_cframe);
	return cframe ? vz_load_ptr(cframe, vz_boot.off.cf_current_frame) : NULL;
}

/* The code object of a frame, NULL for a shim; *FRAME moves on to the caller. */
static void *next_code(void **frame)
{
	void *f = *frame, *code;

	if (HAS(fr_back)) {
		*frame = vz_load_ptr(f, vz_boot.off.fr_back);
		return vz_load_ptr(f, vz_boot.off.fr_code);
	}
	*frame = vz_load_ptr(f, vz_boot.off.if_previous);
	if (vz_boot.py_minor >= 12 &&
	    *((uint8_t *)f + vz_boot.off.if_owner) == FRAME_OWNED_BY_CSTACK)
		return NULL;
	code = vz_load_ptr(f, vz_boot.off.if_code);
	/* f_executable is not always code (3.13). */
	return code && vz_load_ptr(code, VZ_OB_TYPE) == VZ_PY_DATA(PyCode_Type) ? code : NULL;
}

uint32_t vz_stack_walk(const uint8_t *ts, unsigned skip, uint32_t *depth)
{
	void *frame = top_frame(ts);
	uint32_t n = 0, all = 0;

	while (frame) {
		void *code = next_code(&frame);

		if (!code)
			continue;
		if (skip) {
			skip--;
			continue;
		}
		all++;
		if (n < VZ_STACK_MAX)
			vz_stack_ids[n++] = vz_intern_code(code);
	}
	*depth = all;
	return n;
}

uint64_t vz_stack_key(const uint8_t *ts)
{
	void *chunk;

	if (!HAS(ts_datastack_chunk))
		return 0;
	chunk = vz_load_ptr(ts, vz_boot.off.ts_datastack_chunk);
	while (chunk) {
		void *previous = vz_load_ptr(chunk, vz_boot.off.dc_previous);

		if (!previous)
			break;
		chunk = previous;
	}
	return (uint64_t)chunk;
}
