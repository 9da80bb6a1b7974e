/* SPDX-License-Identifier: MIT */
/*
 * pyapi.h - the only place that names CPython's functions and structures.
 *
 * Nothing is linked: attach wrote the addresses and offsets into vz_boot.
 * Object layouts used here (ob_type, PyCFunctionObject, PyMethodDef,
 * PyDescrObject, tp_name, tp_flags) are the same in 3.8-3.13; the rest is data.
 */
#ifndef VZ_PAYLOAD_PYAPI_H
#define VZ_PAYLOAD_PYAPI_H

#include "payload/ring.h"

typedef void PyObj; /* any Python object; never dereferenced except below */

/* Call a CPython function: VZ_PY(name, result type, argument types)(arguments). */
#define VZ_PY(name, result, ...) ((result(*)(__VA_ARGS__))vz_boot.py[VZ_SYM_##name])
#define VZ_PY_HAS(name)          (vz_boot.py[VZ_SYM_##name] != 0)
#define VZ_PY_DATA(name)         ((PyObj *)vz_boot.py[VZ_SYM_##name])

static inline uint64_t vz_load(const void *base, uint32_t offset)
{
	return *(const uint64_t *)((const uint8_t *)base + offset);
}

static inline void *vz_load_ptr(const void *base, uint32_t offset)
{
	return *(void *const *)((const uint8_t *)base + offset);
}

enum {
	VZ_OB_TYPE = 8,
	VZ_CFUNCTION_ML = 16,
	VZ_CFUNCTION_SELF = 24,
	VZ_CFUNCTION_MODULE = 32,
	VZ_METHOD_FUNC = 16,
	VZ_DESCR_TYPE = 16,
	VZ_DESCR_METHOD = 40,
	VZ_TYPE_NAME = 24,
	VZ_TYPE_DEALLOC = 48,
	VZ_TYPE_FLAGS = 168,
	VZ_TPFLAGS_VECTORCALL = 1 << 11,
	VZ_TPFLAGS_UNICODE = 1 << 28,
};

/* Our own objects and their type, which is never readied: nothing outside learns of it. */
struct vz_pytype {
	int64_t refcnt;
	void *type;
	int64_t size;
	const char *name;
	int64_t basicsize, itemsize;
	void (*dealloc)(void *);
	int64_t vectorcall_offset;
	void *slots0[5]; /* getattr setattr as_async repr as_number */
	void *slots1[3]; /* as_sequence as_mapping hash */
	void *call;
	void *slots2[4]; /* str getattro setattro as_buffer */
	uint64_t flags;
	void *rest[40];
};
_Static_assert(offsetof(struct vz_pytype, dealloc) == VZ_TYPE_DEALLOC, "PyTypeObject");
_Static_assert(offsetof(struct vz_pytype, flags) == VZ_TYPE_FLAGS, "PyTypeObject");

/* Fill an object type: NAME for messages, DEALLOC called when the last reference goes. */
void vz_pytype_init(struct vz_pytype *type, const char *name, int64_t basicsize,
		    void (*dealloc)(void *));

/* The thread state that is running, or NULL. */
uint8_t *vz_ts_current(void);
/* 1 if NAME is a str and was written to BUF as UTF-8, cut at SIZE; *LEN bytes, *CUT if cut. */
int vz_str_utf8(PyObj *str, char *buf, uint32_t size, uint32_t *len, int *cut);

struct vz_saved_error {
	void *type, *value, *traceback;
};
/* Our calls must not see or disturb an exception that is on its way. */
void vz_error_save(struct vz_saved_error *saved);
void vz_error_restore(struct vz_saved_error *saved);

static inline void vz_incref(PyObj *o)
{
	/* Immortal objects (3.12+) have a negative low half; leaving them alone is right on all
	 * versions. */
	if (*(int32_t *)o >= 0)
		++*(int64_t *)o;
}

static inline void vz_decref(PyObj *o)
{
	if (*(int32_t *)o < 0)
		return;
	if (--*(int64_t *)o == 0)
		VZ_PY(_Py_Dealloc, void, void *)(o);
}

static inline void vz_xdecref(PyObj *o)
{
	if (o)
		vz_decref(o);
}

#endif /* VZ_PAYLOAD_PYAPI_H */
