/* SPDX-License-Identifier: MIT */
#include "payload/pyapi.h"

void vz_pytype_init(struct vz_pytype *type, const char *name, int64_t basicsize,
		    void (*dealloc)(void *))
{
	type->refcnt = 1 << 28;
	type->type = VZ_PY_DATA(PyType_Type);
	type->name = name;
	type->basicsize = basicsize;
	type->dealloc = dealloc;
}

uint8_t *vz_ts_current(void)
{
	if (VZ_PY_HAS(_PyThreadState_UncheckedGet))
		return VZ_PY(_PyThreadState_UncheckedGet, uint8_t *, void)();
	return VZ_PY(PyThreadState_GetUnchecked, uint8_t *, void)();
}

static uint32_t utf8_put(char *to, uint32_t c)
{
	if (c >= 0xd800 && c < 0xe000)
		c = 0xfffd; /* a lone surrogate has no UTF-8 form */
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 63));
		to[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 63));
	to[2] = (char)(0x80 | (c >> 6 & 63));
	to[3] = (char)(0x80 | (c & 63));
	return 4;
}

int vz_str_utf8(PyObj *str, char *buf, uint32_t size, uint32_t *len, int *cut)
{
	int64_t n;

	*len = 0;
	if (!str || !(vz_load(vz_load_ptr(str, VZ_OB_TYPE), VZ_TYPE_FLAGS) & VZ_TPFLAGS_UNICODE))
		return 0;
	n = VZ_PY(PyUnicode_GetLength, int64_t, void *)(str);
	/* ReadChar neither allocates nor fails for an index that is inside. */
	for (int64_t i = 0; i < n; i++) {
		if (*len + 4 > size) {
			*cut = 1;
			break;
		}
		*len += utf8_put(buf + *len,
				 VZ_PY(PyUnicode_ReadChar, uint32_t, void *, int64_t)(str, i));
	}
	return 1;
}

void vz_error_save(struct vz_saved_error *saved)
{
	VZ_PY(PyErr_Fetch, void, void *, void *, void *)
	(&saved->type, &saved->value, &saved->traceback);
}

void vz_error_restore(struct vz_saved_error *saved)
{
	VZ_PY(PyErr_Restore, void, void *, void *, void *)
	(saved->type, saved->value, saved->traceback);
}
