/* SPDX-License-Identifier: MIT */
/*
 * pygen.c - generators and coroutines that do not run: where they stand, and what they wait for.
 */
#include "attach/snapshot/python/pystack_priv.h"

#include <errno.h>

enum {
	/* Instructions, 3.8-3.10; 3.11, 3.12. */
	OP_YIELD_FROM = 72,
	OP_RESUME_QUICK = 150, /* 3.11 */
	OP_RESUME = 151,
	OP_INSTRUMENTED_RESUME = 240, /* 3.12 */
	RESUME_AFTER_YIELD_FROM = 2,
	/* Of a PyFrameObject 3.10, of a generator 3.11, 3.12; 3.13, 3.14: it waits for another. */
	STATE_SUSPENDED = -1,
};

/* States of a generator, 3.11+: the numbers changed. */
static bool state_ended(const struct vz_py *py, int8_t state)
{
	return py->at.minor >= 15 ? state < 0 || state > 4 : state > 0;
}

/* Suspended where it waits for another one; before 3.13 the instruction tells that. */
static bool state_waits(const struct vz_py *py, int8_t state)
{
	if (py->at.minor >= 15)
		return state == 2 || state == 3;
	return state == STATE_SUSPENDED;
}

static int generator_state(const struct vz_py *py, uint64_t gen, int8_t *ret)
{
	uint8_t state;
	int rc = vz_py_u8(py, gen + py->at.ge_frame_state, &state);

	*ret = (int8_t)state;
	return rc;
}

static int generator_frame(const struct vz_py *py, uint64_t gen, uint64_t *ret)
{
	int8_t state;
	int rc;

	if (vz_py_object_frames(py)) {
		rc = vz_py_word(py, gen + py->at.ge_frame, ret);
		return rc < 0 ? rc : *ret ? 0 : -ENOENT;
	}
	rc = generator_state(py, gen, &state);
	if (rc < 0)
		return rc;
	*ret = gen + py->at.ge_iframe;
	return state_ended(py, state) ? -ENOENT : 0;
}

int vz_pygen_frame(const struct vz_py *py, uint64_t gen, struct vz_pyframe *ret)
{
	uint64_t raddr;
	int rc = generator_frame(py, gen, &raddr);

	if (rc == 0)
		rc = vz_pyframe_read(py, raddr, ret);
	if (rc < 0)
		return rc;
	ret->generator = true;
	ret->entry = false;
	return 0;
}

/* Is the instruction behind the current one of the FRAME so that it waits for another? */
static bool code_waits(const struct vz_py *py, const struct vz_pyframe *frame)
{
	struct vz_pycode code;
	uint64_t start, len;
	uint8_t next[2];

	if (frame->instr < 0 || vz_pycode_read(py, frame->code, &code) < 0)
		return false;
	start = code.bytecode;
	if (vz_py_object_frames(py) && vz_pybytes(py, code.bytecode, &start, &len) < 0)
		return false;
	if (vz_target_read(py->target, start + (uint64_t)frame->instr + 2, next, 2) < 0)
		return false;
	if (vz_py_object_frames(py))
		return next[0] == OP_YIELD_FROM;
	return (next[0] == OP_RESUME ||
		next[0] == (py->at.minor == 11 ? OP_RESUME_QUICK : OP_INSTRUMENTED_RESUME)) &&
	       next[1] >= RESUME_AFTER_YIELD_FROM;
}

/* Where the slot is that holds what a suspended object frame waits for. */
static int object_frame_top(const struct vz_py *py, uint64_t frame, uint64_t *ret)
{
	const struct vz_pylayout *at = &py->at;
	uint32_t depth;
	uint8_t state;
	int rc;

	if (at->minor <= 9) {
		rc = vz_py_word(py, frame + at->fr_stacktop, ret);
		if (rc == 0 && !*ret)
			return -ENOENT;
		*ret -= 8;
		return rc;
	}
	if (vz_py_u8(py, frame + at->fr_state, &state) < 0 ||
	    vz_py_u32(py, frame + at->fr_stackdepth, &depth) < 0)
		return -EFAULT;
	if ((int8_t)state != STATE_SUSPENDED || depth == 0 || depth > INT16_MAX)
		return -ENOENT;
	rc = vz_py_word(py, frame + at->fr_valuestack, ret);
	*ret += (uint64_t)(depth - 1) * 8;
	return rc;
}

static int frame_top(const struct vz_py *py, uint64_t frame, uint64_t *ret)
{
	const struct vz_pylayout *at = &py->at;
	uint32_t height;
	int rc;

	if (at->if_stackpointer != VZ_NO_OFFSET) {
		rc = vz_py_word(py, frame + at->if_stackpointer, ret);
		/* 3.15 keeps an index above what is waited for. */
		*ret -= at->minor >= 15 ? 16 : 8;
		return rc == 0 && *ret < frame ? -ENOENT : rc;
	}
	rc = vz_py_u32(py, frame + at->if_stacktop, &height);
	if (rc == 0 && (height == 0 || height > INT16_MAX))
		return -ENOENT;
	*ret = frame + at->if_localsplus + (uint64_t)(height - 1) * 8;
	return rc;
}

int vz_pygen_awaits(const struct vz_py *py, uint64_t gen, uint64_t *ret)
{
	struct vz_pyframe frame;
	uint64_t slot, value;
	int8_t state;
	int rc = vz_pygen_frame(py, gen, &frame);

	if (rc < 0)
		return rc;
	if (!vz_py_object_frames(py)) {
		rc = generator_state(py, gen, &state);
		if (rc < 0)
			return rc;
		if (!state_waits(py, state))
			return -ENOENT;
	}
	if (py->at.minor <= 12 && !code_waits(py, &frame))
		return -ENOENT;
	rc = vz_py_object_frames(py) ? object_frame_top(py, frame.raddr, &slot)
				     : frame_top(py, frame.raddr, &slot);
	if (rc < 0)
		return rc;
	rc = vz_py_word(py, slot, &value);
	if (rc < 0)
		return rc;
	*ret = vz_pyref(py, value);
	return *ret ? 0 : -ENOENT;
}
