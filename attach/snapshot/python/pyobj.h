/* SPDX-License-Identifier: MIT */
/*
 * pyobj.h - Python objects read from outside: never a call, never a repr.  Everything is
 * untrusted: addresses may be wild, sizes lie, chains go in circles; each function has a
 * bound, fails with a negative errno, and never loops for ever.
 */
#ifndef VZ_ATTACH_SNAPSHOT_PYOBJ_H
#define VZ_ATTACH_SNAPSHOT_PYOBJ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "attach/snapshot/python/pylayout.h"

/* One interpreter seen from outside; what is behind the pointers is not owned. */
struct vz_py {
	const struct vz_target *target;
	const struct vz_maps *maps;
	struct vz_pylayout at;
	uint64_t runtime; /* address of _PyRuntime */
	bool debug_build;
};

int vz_py_word(const struct vz_py *py, uint64_t raddr, uint64_t *ret);
int vz_py_u32(const struct vz_py *py, uint64_t raddr, uint32_t *ret);
int vz_py_u8(const struct vz_py *py, uint64_t raddr, uint8_t *ret);

/** Type of an object; -EINVAL if what is there cannot be one. */
int vz_pyobj_type(const struct vz_py *py, uint64_t obj, uint64_t *ret_type);
/** tp_name of the type of OBJ as it is ("_thread.lock", "Task"); "" on failure. */
void vz_pyobj_type_name(const struct vz_py *py, uint64_t obj, char *buf, size_t size);
/** Is the type of OBJ, or one of its bases, called so?  "dict", "_asyncio.Future", "Task" ... */
bool vz_pyobj_is(const struct vz_py *py, uint64_t obj, const char *tp_name);

/* By tp_flags, so subclasses count. */
enum vz_pykind {
	VZ_PYKIND_OTHER,
	VZ_PYKIND_NONE,
	VZ_PYKIND_BOOL,
	VZ_PYKIND_INT,
	VZ_PYKIND_FLOAT,
	VZ_PYKIND_STR,
	VZ_PYKIND_BYTES,
	VZ_PYKIND_TUPLE,
	VZ_PYKIND_LIST,
	VZ_PYKIND_DICT,
	VZ_PYKIND_SET,
	VZ_PYKIND_TYPE,
};
enum vz_pykind vz_pyobj_kind(const struct vz_py *py, uint64_t obj);

/** Text of a str as UTF-8, cut at SIZE - 1 at a character; returns 0, 1 if cut, negative errno. */
int vz_pyobj_text(const struct vz_py *py, uint64_t obj, char *buf, size_t size);
bool vz_pyobj_text_is(const struct vz_py *py, uint64_t obj, const char *text);
/** Value of an int that fits; -ERANGE if it does not. */
int vz_pyobj_int(const struct vz_py *py, uint64_t obj, int64_t *ret);
int vz_pyobj_float(const struct vz_py *py, uint64_t obj, double *ret);
/** len() of str, bytes, tuple, list, dict, set; negative errno */
int64_t vz_pyobj_len(const struct vz_py *py, uint64_t obj);
/** At most MAX items of a tuple, list, set or frozenset; returns how many were written. */
ssize_t vz_pyobj_items(const struct vz_py *py, uint64_t obj, uint64_t *items, size_t max);
/** At most MAX entries of a dict; values may be any object, keys too. */
ssize_t vz_pydict_items(const struct vz_py *py, uint64_t dict, uint64_t *keys, uint64_t *values,
			size_t max);
/** Value of a str key (ASCII); -ENOENT; -E2BIG: not among the first 131072 entries. */
int vz_pydict_get(const struct vz_py *py, uint64_t dict, const char *key, uint64_t *ret);
/**
 * Attribute as the instance has it: its dict (also inline values), or a slot of its type
 * (__slots__).  Never a property or a class attribute.  -ENOENT.
 */
int vz_pyobj_attr(const struct vz_py *py, uint64_t obj, const char *name, uint64_t *ret);
/** Object behind a weakref (0: dead), in a cell; self and function of a bound or builtin method. */
int vz_pyobj_weakref(const struct vz_py *py, uint64_t obj, uint64_t *ret);
int vz_pyobj_cell(const struct vz_py *py, uint64_t obj, uint64_t *ret);
int vz_pyobj_self(const struct vz_py *py, uint64_t obj, uint64_t *ret);

/** sys.modules[NAME].ATTR of the interpreter at INTERP; -ENOENT. */
int vz_py_module_attr(const struct vz_py *py, uint64_t interp, const char *name, const char *attr,
		      uint64_t *ret);

#endif /* VZ_ATTACH_SNAPSHOT_PYOBJ_H */
