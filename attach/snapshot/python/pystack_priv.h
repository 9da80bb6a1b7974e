/* SPDX-License-Identifier: MIT */
/*
 * pystack_priv.h - what the parts of pystack share: threads and frames (pystack.c), code
 * objects and their lines (pycode.c), what frames hold (pylocals.c), generators (pygen.c).
 */
#ifndef VZ_ATTACH_SNAPSHOT_PYSTACK_PRIV_H
#define VZ_ATTACH_SNAPSHOT_PYSTACK_PRIV_H

#include <string.h>

#include "attach/snapshot/python/pystack.h"

enum {
	VZ_PYSPAN_MAX = 640, /* the part of a structure that is read at once */
	VZ_PYCODE_OPTIMIZED = 1,
};

/* The beginning of a structure, copied with one read. */
struct vz_pyspan {
	uint64_t raddr;
	uint32_t len;
	uint8_t bytes[VZ_PYSPAN_MAX];
};

/** A field that is not there reads as 0. */
static inline uint64_t vz_pyspan_get(const struct vz_pyspan *span, uint32_t offset, uint32_t size)
{
	uint64_t ret = 0;

	if (offset != VZ_NO_OFFSET && (uint64_t)offset + size <= span->len)
		memcpy(&ret, span->bytes + offset, size);
	return ret;
}

static inline uint64_t vz_pyspan_word(const struct vz_pyspan *span, uint32_t offset)
{
	return vz_pyspan_get(span, offset, 8);
}

static inline int32_t vz_pyspan_int(const struct vz_pyspan *span, uint32_t offset)
{
	return (int32_t)vz_pyspan_get(span, offset, 4);
}

/** How long a span must be to hold all of these 8-byte fields. */
uint32_t vz_pyspan_len(const uint32_t *offsets, size_t count);
/** Read LEN bytes at RADDR into RET. */
int vz_pyspan_read(const struct vz_py *py, uint64_t raddr, uint32_t len, struct vz_pyspan *ret);

/* What is looked at of a code object. */
struct vz_pycode {
	uint64_t raddr;
	uint64_t name, qualname, filename, lines;
	uint64_t bytecode; /* bytes object (to 3.10), or where the instructions begin */
	uint64_t tlbc;     /* free-threaded 3.14+: copies of the bytecode */
	uint64_t units;    /* of 2 bytes; 3.11+ */
	uint64_t varnames, cellvars, freevars; /* to 3.10 */
	uint64_t slot_names, slot_kinds;       /* 3.11+ */
	int32_t first_line, first_traceable, flags;
	int32_t nlocals, nslots; /* to 3.10; 3.11+ */
	int32_t stacksize;
};

/** One read; -EINVAL: this cannot be a code object. */
int vz_pycode_read(const struct vz_py *py, uint64_t raddr, struct vz_pycode *ret);
/** Line of the instruction at byte INSTR; 0: it has none, or is not there. */
uint32_t vz_pycode_line(const struct vz_py *py, const struct vz_pycode *code, int32_t instr);
/** Where the bytes of a bytes object are. */
int vz_pybytes(const struct vz_py *py, uint64_t bytes, uint64_t *ret_raddr, uint64_t *ret_len);

/** Do its frames lie in objects (to 3.10)? */
static inline bool vz_py_object_frames(const struct vz_py *py)
{
	return py->at.minor <= 10;
}

/** One frame by itself; .entry and .c_stack are unknown. */
int vz_pyframe_read(const struct vz_py *py, uint64_t raddr, struct vz_pyframe *ret);

/** The object that a slot of a frame refers to; 0: none, or a number that is no object. */
static inline uint64_t vz_pyref(const struct vz_py *py, uint64_t slot)
{
	if (py->at.ref_mask && (slot & 3) == 3) /* 3.14+: a small number for the evaluator */
		return 0;
	return slot & ~py->at.ref_mask;
}

#endif /* VZ_ATTACH_SNAPSHOT_PYSTACK_PRIV_H */
