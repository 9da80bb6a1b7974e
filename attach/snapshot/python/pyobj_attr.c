/* SPDX-License-Identifier: MIT */
/*
 * pyobj_attr.c - attributes as an instance has them: in its dict, which each version keeps
 * elsewhere or does not make before somebody asks for it, or in a slot of its type.
 */
#include <errno.h>
#include <string.h>

#include "attach/snapshot/python/pyobj_priv.h"

enum {
	/* PyMemberDef.type */
	MEMBER_OBJECT = 6,
	MEMBER_OBJECT_EX = 16,

	TYPE_DICT_MAX = 1 << 12, /* entries of a type's dict that are looked at */
};

/* ---- in the instance ---- */

/* Values whose keys the type has. */
static int get_value(const struct vz_py *py, const struct vz_pytype *type, uint64_t values,
		     const char *name, uint64_t *ret)
{
	struct vz_pykeys keys;
	uint64_t raddr, nvalues;
	int rc;

	if (vz_py_word(py, type->raddr + py->at.ht_cached_keys, &raddr) < 0)
		return -EFAULT;
	nvalues = vz_pyvalues_count(py, values, true);
	if (!raddr || !nvalues)
		return -ENOENT;
	rc = vz_pykeys_read(py, raddr, &keys);
	if (rc < 0)
		return rc;
	return vz_pykeys_get(py, &keys, values + py->at.dv_values, nvalues, name, ret);
}

/* 3.11: one pointer to the values before the object, one to the dict; at most one is set. */
static int get_managed_3_11(const struct vz_py *py, uint64_t obj, const struct vz_pytype *type,
			    const char *name, uint64_t *ret)
{
	uint64_t values, dict;

	if (vz_py_word(py, obj - py->at.ob_values_before, &values) < 0 ||
	    vz_py_word(py, obj - py->at.ob_dict_before, &dict) < 0)
		return -EFAULT;
	if (values)
		return get_value(py, type, values, name, ret);
	return dict ? vz_pydict_get(py, dict, name, ret) : -ENOENT;
}

/* 3.12: one word for both, values have its lowest bit set.  3.13+: values are in the object. */
static int get_managed(const struct vz_py *py, uint64_t obj, const struct vz_pytype *type,
		       const char *name, uint64_t *ret)
{
	uint64_t dict;

	if (py->at.ob_values_before != VZ_NO_OFFSET)
		return get_managed_3_11(py, obj, type, name, ret);
	if (vz_py_word(py, obj - py->at.ob_dict_before, &dict) < 0)
		return -EFAULT;
	if (py->at.dv_valid == VZ_NO_OFFSET && dict & 1)
		return get_value(py, type, dict + 1, name, ret);
	if (dict)
		return vz_pydict_get(py, dict, name, ret);
	if (py->at.dv_valid != VZ_NO_OFFSET && type->flags & VZ_TP_INLINE_VALUES)
		return get_value(py, type, obj + (uint64_t)type->basicsize, name, ret);
	return -ENOENT;
}

/* Where the pointer to the dict is; negative offsets count from the end of the object. */
static int dict_at(const struct vz_py *py, uint64_t obj, const struct vz_pytype *type,
		   uint64_t *ret)
{
	int64_t offset = type->dictoffset, size;
	uint64_t word;

	if (offset < 0) {
		if (vz_py_word(py, obj + py->at.ob_size, &word) < 0)
			return -EFAULT;
		size = (int64_t)word < 0 ? -(int64_t)word : (int64_t)word;
		if (size < 0 || size > INT32_MAX)
			return -EINVAL;
		offset += (type->basicsize + size * type->itemsize + 7) & ~INT64_C(7);
	}
	if (offset <= 0)
		return -ENOENT;
	*ret = obj + (uint64_t)offset;
	return 0;
}

static int get_instance(const struct vz_py *py, uint64_t obj, const struct vz_pytype *type,
			const char *name, uint64_t *ret)
{
	uint64_t raddr, dict;
	int rc;

	if (py->at.ob_dict_before != VZ_NO_OFFSET && type->flags & VZ_TP_MANAGED_DICT)
		return get_managed(py, obj, type, name, ret);
	if (type->dictoffset == 0)
		return -ENOENT;
	rc = dict_at(py, obj, type, &raddr);
	if (rc < 0)
		return rc;
	if (vz_py_word(py, raddr, &dict) < 0)
		return -EFAULT;
	return dict ? vz_pydict_get(py, dict, name, ret) : -ENOENT;
}

/* ---- in a slot ---- */

static int get_member(const struct vz_py *py, uint64_t obj, const struct vz_pytype *type,
		      uint64_t descriptor, uint64_t *ret)
{
	struct vz_pytype descriptor_type;
	uint64_t member, offset;
	uint32_t kind;

	if (vz_pyobj_type_read(py, descriptor, &descriptor_type) < 0 ||
	    !vz_pytype_is(py, &descriptor_type, "member_descriptor", true))
		return -ENOENT; /* a property, a method, a class attribute */
	if (vz_py_word(py, descriptor + py->at.mb_member, &member) < 0 ||
	    vz_py_u32(py, member + py->at.mb_type, &kind) < 0 ||
	    vz_py_word(py, member + py->at.mb_offset, &offset) < 0)
		return -EFAULT;
	if (kind != MEMBER_OBJECT && kind != MEMBER_OBJECT_EX)
		return -ENOENT;
	if (offset % 8 || offset > (uint64_t)type->basicsize - 8)
		return -EINVAL;
	if (vz_py_word(py, obj + offset, ret) < 0)
		return -EFAULT;
	return *ret ? 0 : -ENOENT;
}

static int get_slot(const struct vz_py *py, uint64_t obj, const struct vz_pytype *type,
		    const char *name, uint64_t *ret)
{
	uint64_t mro[VZ_MRO_MAX], descriptor;
	size_t n = vz_pytype_mro(py, type, mro);
	struct vz_pytype base;

	for (size_t i = 0; i < n; i++) {
		/* Types built into CPython have their dict elsewhere since 3.12: no slots of ours.
		 */
		if (vz_pytype_read(py, mro[i], &base) == 0 && base.dict &&
		    vz_pydict_get_within(py, base.dict, name, TYPE_DICT_MAX, &descriptor) == 0)
			return get_member(py, obj, type, descriptor, ret);
	}
	return -ENOENT;
}

int vz_pyobj_attr(const struct vz_py *py, uint64_t obj, const char *name, uint64_t *ret)
{
	struct vz_pytype type;
	int rc = vz_pyobj_type_read(py, obj, &type);

	if (rc < 0)
		return rc;
	rc = get_instance(py, obj, &type, name, ret);
	return rc == 0 ? 0 : get_slot(py, obj, &type, name, ret);
}

/* ---- in a module ---- */

int vz_py_module_attr(const struct vz_py *py, uint64_t interp, const char *name, const char *attr,
		      uint64_t *ret)
{
	uint64_t modules, module, dict;
	int rc;

	if (vz_py_word(py, interp + py->at.is_modules, &modules) < 0)
		return -EFAULT;
	rc = vz_pydict_get(py, modules, name, &module);
	if (rc < 0)
		return rc;
	if (!vz_pyobj_is(py, module, "module"))
		return -ENOENT;
	if (vz_py_word(py, module + py->at.md_dict, &dict) < 0)
		return -EFAULT;
	return vz_pydict_get(py, dict, attr, ret);
}
