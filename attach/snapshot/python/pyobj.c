/* SPDX-License-Identifier: MIT */
/*
 * pyobj.c - types of objects, and the objects that only lead to others.  A structure is
 * copied in one read and then checked: the target may be running.
 */
#include "attach/snapshot/python/pyobj.h"

#include <errno.h>
#include <string.h>

#include "attach/snapshot/python/pyobj_priv.h"

enum {
	TYPE_BYTES = 512, /* more than a PyTypeObject: 416 in all versions, with a wide head 432 */
	NAME_MAX_BYTES = 256,
	BASICSIZE_MAX = 1 << 24,
};

int vz_py_word(const struct vz_py *py, uint64_t raddr, uint64_t *ret)
{
	return vz_target_read(py->target, raddr, ret, sizeof(*ret));
}

int vz_py_u32(const struct vz_py *py, uint64_t raddr, uint32_t *ret)
{
	return vz_target_read(py->target, raddr, ret, sizeof(*ret));
}

int vz_py_u8(const struct vz_py *py, uint64_t raddr, uint8_t *ret)
{
	return vz_target_read(py->target, raddr, ret, sizeof(*ret));
}

/* Objects are aligned, and not in the kernel's half. */
static bool may_be_object(uint64_t raddr)
{
	return raddr % 8 == 0 && raddr && raddr < UINT64_C(1) << 56;
}

/* ---- types ---- */

static uint32_t type_bytes(const struct vz_pylayout *at)
{
	const uint32_t ends[] = { at->ob_type,       at->tp_name,  at->tp_basicsize,
				  at->tp_itemsize,   at->tp_flags, at->tp_dict,
				  at->tp_dictoffset, at->tp_base,  at->tp_mro };
	uint32_t max = 0;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		if (ends[i] > max)
			max = ends[i];
	}
	return max + 8;
}

static uint64_t word_of(const uint8_t *bytes, uint32_t at)
{
	uint64_t word;

	memcpy(&word, bytes + at, sizeof(word));
	return word;
}

int vz_pytype_read(const struct vz_py *py, uint64_t raddr, struct vz_pytype *ret)
{
	const struct vz_pylayout *at = &py->at;
	uint32_t bytes = type_bytes(at);
	uint8_t copy[TYPE_BYTES];

	if (!may_be_object(raddr) || bytes > sizeof(copy))
		return -EINVAL;
	if (vz_target_read(py->target, raddr, copy, bytes) < 0)
		return -EFAULT;
	*ret = (struct vz_pytype){
		.raddr = raddr,
		.metatype = word_of(copy, at->ob_type),
		.name = word_of(copy, at->tp_name),
		.flags = word_of(copy, at->tp_flags),
		.dict = word_of(copy, at->tp_dict),
		.base = word_of(copy, at->tp_base),
		.mro = word_of(copy, at->tp_mro),
		.basicsize = (int64_t)word_of(copy, at->tp_basicsize),
		.itemsize = (int64_t)word_of(copy, at->tp_itemsize),
		.dictoffset = (int64_t)word_of(copy, at->tp_dictoffset),
	};
	if (!may_be_object(ret->metatype) || !ret->name || !(ret->flags & VZ_TP_READY) ||
	    ret->basicsize < 16 || ret->basicsize > BASICSIZE_MAX || ret->itemsize < 0 ||
	    ret->itemsize > BASICSIZE_MAX || ret->dictoffset > BASICSIZE_MAX ||
	    ret->dictoffset < -BASICSIZE_MAX)
		return -EINVAL;
	return 0;
}

int vz_pyobj_type_read(const struct vz_py *py, uint64_t obj, struct vz_pytype *ret)
{
	uint64_t type, flags;
	int rc;

	if (!may_be_object(obj))
		return -EINVAL;
	rc = vz_py_word(py, obj + py->at.ob_type, &type);
	if (rc < 0)
		return rc;
	rc = vz_pytype_read(py, type, ret);
	if (rc < 0)
		return rc;
	/* A type's type is a type of types: what looks like one by chance fails here. */
	rc = vz_py_word(py, ret->metatype + py->at.tp_flags, &flags);
	if (rc < 0)
		return rc;
	return flags & VZ_TP_TYPE ? 0 : -EINVAL;
}

int vz_pyobj_type(const struct vz_py *py, uint64_t obj, uint64_t *ret_type)
{
	struct vz_pytype type;
	int rc = vz_pyobj_type_read(py, obj, &type);

	if (rc == 0)
		*ret_type = type.raddr;
	return rc;
}

int vz_pyobj_expect(const struct vz_py *py, uint64_t obj, uint64_t flags)
{
	struct vz_pytype type;
	int rc = vz_pyobj_type_read(py, obj, &type);

	if (rc < 0)
		return rc;
	return type.flags & flags ? 0 : -EINVAL;
}

void vz_pyobj_type_name(const struct vz_py *py, uint64_t obj, char *buf, size_t size)
{
	struct vz_pytype type;

	if (size == 0)
		return;
	buf[0] = '\0';
	if (vz_pyobj_type_read(py, obj, &type) == 0 &&
	    vz_target_read_string(py->target, type.name, buf, size) < 0)
		buf[0] = '\0';
}

size_t vz_pytype_mro(const struct vz_py *py, const struct vz_pytype *type, uint64_t *ret)
{
	struct vz_pytype base = *type;
	uint64_t size;
	size_t n = 0;

	/* The tuple, and if it is not there yet, or no tuple, the chain of bases. */
	if (may_be_object(type->mro) && vz_py_word(py, type->mro + py->at.ob_size, &size) == 0 &&
	    size > 0 && size < UINT16_MAX) {
		n = size < VZ_MRO_MAX ? size : VZ_MRO_MAX;
		if (vz_target_read(py->target, type->mro + py->at.tu_items, ret,
				   n * sizeof(*ret)) == 0 &&
		    ret[0] == type->raddr)
			return n;
	}
	for (n = 1, ret[0] = type->raddr; n < VZ_MRO_MAX && base.base; n++) {
		if (vz_pytype_read(py, base.base, &base) < 0)
			break;
		ret[n] = base.raddr;
	}
	return n;
}

static bool is_called(const struct vz_py *py, const struct vz_pytype *type, const char *name,
		      bool builtin)
{
	char text[NAME_MAX_BYTES];

	return !(builtin && type->flags & VZ_TP_HEAPTYPE) &&
	       vz_target_read_string(py->target, type->name, text, sizeof(text)) == 0 &&
	       strcmp(text, name) == 0;
}

bool vz_pytype_is(const struct vz_py *py, const struct vz_pytype *type, const char *name,
		  bool builtin)
{
	uint64_t mro[VZ_MRO_MAX];
	struct vz_pytype base;
	size_t n;

	if (is_called(py, type, name, builtin))
		return true;
	n = vz_pytype_mro(py, type, mro);
	for (size_t i = 1; i < n; i++) {
		if (vz_pytype_read(py, mro[i], &base) == 0 && is_called(py, &base, name, builtin))
			return true;
	}
	return false;
}

bool vz_pyobj_is(const struct vz_py *py, uint64_t obj, const char *tp_name)
{
	struct vz_pytype type;

	return vz_pyobj_type_read(py, obj, &type) == 0 && vz_pytype_is(py, &type, tp_name, false);
}

/* ---- kinds ---- */

static const struct {
	uint64_t flag;
	enum vz_pykind kind;
} kinds_by_flag[] = {
	{ VZ_TP_LONG, VZ_PYKIND_INT },    { VZ_TP_LIST, VZ_PYKIND_LIST },
	{ VZ_TP_TUPLE, VZ_PYKIND_TUPLE }, { VZ_TP_BYTES, VZ_PYKIND_BYTES },
	{ VZ_TP_UNICODE, VZ_PYKIND_STR }, { VZ_TP_DICT, VZ_PYKIND_DICT },
	{ VZ_TP_TYPE, VZ_PYKIND_TYPE },
};

enum vz_pykind vz_pyobj_kind(const struct vz_py *py, uint64_t obj)
{
	struct vz_pytype type;
	enum vz_pykind kind = VZ_PYKIND_OTHER;

	if (vz_pyobj_type_read(py, obj, &type) < 0)
		return VZ_PYKIND_OTHER;
	for (size_t i = 0; i < sizeof(kinds_by_flag) / sizeof(kinds_by_flag[0]); i++) {
		if (type.flags & kinds_by_flag[i].flag)
			kind = kinds_by_flag[i].kind;
	}
	if (kind == VZ_PYKIND_INT && is_called(py, &type, "bool", true))
		return VZ_PYKIND_BOOL;
	if (kind != VZ_PYKIND_OTHER)
		return kind;
	if (is_called(py, &type, "NoneType", true))
		return VZ_PYKIND_NONE;
	if (vz_pytype_is(py, &type, "float", true))
		return VZ_PYKIND_FLOAT;
	if (vz_pytype_is(py, &type, "set", true) || vz_pytype_is(py, &type, "frozenset", true))
		return VZ_PYKIND_SET;
	return VZ_PYKIND_OTHER;
}

/* ---- objects that lead to one other ---- */

/* The word at AT of an OBJ of one of these types; NULL ends them. */
static int follow(const struct vz_py *py, uint64_t obj, const char *const *names, uint32_t at,
		  uint64_t *ret)
{
	struct vz_pytype type;
	int rc = vz_pyobj_type_read(py, obj, &type);

	if (rc < 0)
		return rc;
	while (*names && !vz_pytype_is(py, &type, *names, true))
		names++;
	return *names ? vz_py_word(py, obj + at, ret) : -EINVAL;
}

int vz_pyobj_weakref(const struct vz_py *py, uint64_t obj, uint64_t *ret)
{
	static const char *const names[] = { "weakref.ReferenceType",
					     "weakref",
					     "weakref.ProxyType",
					     "weakproxy",
					     "weakref.CallableProxyType",
					     "weakcallableproxy",
					     NULL };
	uint64_t value;
	int rc = follow(py, obj, names, py->at.wr_object, &value);

	if (rc < 0)
		return rc;
	*ret = vz_pyobj_kind(py, value) == VZ_PYKIND_NONE ? 0 : value;
	return 0;
}

int vz_pyobj_cell(const struct vz_py *py, uint64_t obj, uint64_t *ret)
{
	static const char *const names[] = { "cell", NULL };
	uint64_t value;
	int rc = follow(py, obj, names, py->at.ce_ref, &value);

	if (rc < 0)
		return rc;
	*ret = value;
	return value ? 0 : -ENOENT;
}

int vz_pyobj_self(const struct vz_py *py, uint64_t obj, uint64_t *ret)
{
	static const char *const bound[] = { "method", NULL };
	static const char *const builtin[] = { "builtin_function_or_method", NULL };
	uint64_t value;
	int rc = follow(py, obj, bound, py->at.me_self, &value);

	if (rc == -EINVAL)
		rc = follow(py, obj, builtin, py->at.cm_self, &value);
	if (rc < 0)
		return rc;
	*ret = value;
	return value ? 0 : -ENOENT;
}
