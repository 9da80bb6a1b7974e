/* SPDX-License-Identifier: MIT */
/*
 * pyobj_priv.h - what the halves of pyobj share: types and simple objects (pyobj.c), values
 * (pyobj_value.c), dicts (pyobj_dict.c), attributes (pyobj_attr.c).
 */
#ifndef VZ_ATTACH_SNAPSHOT_PYOBJ_PRIV_H
#define VZ_ATTACH_SNAPSHOT_PYOBJ_PRIV_H

#include "attach/snapshot/python/pyobj.h"

/* Bits of tp_flags that never changed their meaning since they came. */
#define VZ_TP_INLINE_VALUES (UINT64_C(1) << 2) /* 3.13+ */
#define VZ_TP_MANAGED_DICT  (UINT64_C(1) << 4) /* 3.11+ */
#define VZ_TP_HEAPTYPE      (UINT64_C(1) << 9)
#define VZ_TP_READY         (UINT64_C(1) << 12)
#define VZ_TP_LONG          (UINT64_C(1) << 24)
#define VZ_TP_LIST          (UINT64_C(1) << 25)
#define VZ_TP_TUPLE         (UINT64_C(1) << 26)
#define VZ_TP_BYTES         (UINT64_C(1) << 27)
#define VZ_TP_UNICODE       (UINT64_C(1) << 28)
#define VZ_TP_DICT          (UINT64_C(1) << 29)
#define VZ_TP_TYPE          (UINT64_C(1) << 31)

/* A PyTypeObject, copied in one read. */
struct vz_pytype {
	uint64_t raddr;
	uint64_t metatype, name, flags, dict, base, mro;
	int64_t basicsize, itemsize, dictoffset;
};

/** Copy the type at RADDR; -EINVAL if it cannot be one (its own type is not looked at). */
int vz_pytype_read(const struct vz_py *py, uint64_t raddr, struct vz_pytype *ret);
/** The type of OBJ, checked as by vz_pyobj_type(). */
int vz_pyobj_type_read(const struct vz_py *py, uint64_t obj, struct vz_pytype *ret);
/** The type of OBJ if it has one of these flags, else -EINVAL. */
int vz_pyobj_expect(const struct vz_py *py, uint64_t obj, uint64_t flags);
/** Is TYPE, or one of its bases, called so?  BUILTIN: and made in C, not by a class statement. */
bool vz_pytype_is(const struct vz_py *py, const struct vz_pytype *type, const char *name,
		  bool builtin);

enum { VZ_MRO_MAX = 64 };
/** The types in which attributes are looked up, TYPE first; returns how many, at most VZ_MRO_MAX.
 */
size_t vz_pytype_mro(const struct vz_py *py, const struct vz_pytype *type, uint64_t *ret);

/* Where the keys of a dict are. */
struct vz_pykeys {
	uint64_t entries; /* address of the first */
	uint64_t count;   /* entries in use, deleted ones among them */
	uint32_t stride;  /* bytes of one */
	uint32_t key_at;  /* in it; the value follows */
};

/** Read and check a PyDictKeysObject. */
int vz_pykeys_read(const struct vz_py *py, uint64_t raddr, struct vz_pykeys *ret);
/** Is OBJ a str that holds exactly the LEN ASCII characters of TEXT?  One read in most cases. */
bool vz_pystr_is(const struct vz_py *py, uint64_t obj, const char *text, size_t len);
/**
 * Value of a str key.  VALUES: the dict's values are there and not with the keys (0: they
 * are), at most NVALUES of them.
 */
int vz_pykeys_get(const struct vz_py *py, const struct vz_pykeys *keys, uint64_t values,
		  uint64_t nvalues, const char *key, uint64_t *ret);
/** vz_pydict_get() that looks at MAX entries only; -E2BIG: not among them, and there are more. */
int vz_pydict_get_within(const struct vz_py *py, uint64_t dict, const char *key, uint64_t max,
			 uint64_t *ret);
/**
 * How many values there can be at VALUES, which a dict has, or an object (3.13+: inside of it,
 * where they are invalid, 0, once its dict keeps its values elsewhere).
 */
uint64_t vz_pyvalues_count(const struct vz_py *py, uint64_t values, bool in_object);

#endif /* VZ_ATTACH_SNAPSHOT_PYOBJ_PRIV_H */
