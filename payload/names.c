/* SPDX-License-Identifier: MIT */
#include "payload/names.h"

#include "payload/pyapi.h"

/* Large, and there is one producer at a time (GIL): not on the thread's stack. */
static char name_buf[VZ_DEF_NAME_MAX + 8];
static char file_buf[VZ_DEF_FILE_MAX + 8];

static void copy(uint8_t *to, const char *from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		to[i] = (uint8_t)from[i];
}

static int write_def(struct vz_def def, uint32_t name_len, uint32_t file_len)
{
	uint32_t words = (uint32_t)(sizeof(def) + name_len + file_len + 7) / 8;
	struct vz_def *to = vz_dict_reserve(words);

	if (!to)
		return 0;
	def.words = (uint16_t)words;
	def.name_len = (uint16_t)name_len;
	def.file_len = (uint16_t)file_len;
	((uint64_t *)to)[words - 1] = 0;
	*to = def;
	copy((uint8_t *)(to + 1), name_buf, name_len);
	copy((uint8_t *)(to + 1) + name_len, file_buf, file_len);
	vz_dict_commit(words);
	return 1;
}

int vz_name_code(uint32_t id, void *code)
{
	const struct vz_py_offsets *off = &vz_boot.off;
	uint32_t name_len, file_len;
	int cut = 0;
	void *name = off->co_qualname != VZ_NO_OFFSET ? vz_load_ptr(code, off->co_qualname) : NULL;

	if (!name)
		name = vz_load_ptr(code, off->co_name);
	vz_str_utf8(name, name_buf, VZ_DEF_NAME_MAX, &name_len, &cut);
	vz_str_utf8(vz_load_ptr(code, off->co_filename), file_buf, VZ_DEF_FILE_MAX, &file_len,
		    &cut);
	return write_def(
		(struct vz_def){ .id = id,
				 .kind = VZ_DEF_PYTHON,
				 .flags = (uint8_t)cut,
				 .line = *(uint32_t *)((uint8_t *)code + off->co_firstlineno) },
		name_len, file_len);
}

static uint32_t c_string(char *to, uint32_t size, const char *from)
{
	uint32_t n = 0;

	while (from && from[n] && n < size) {
		to[n] = from[n];
		n++;
	}
	return n;
}

/* The type that defines the method, which may be a base of the object's own type. */
static const char *defining_type(void *self, const char *method, void *ml)
{
	void *type = vz_load_ptr(self, VZ_OB_TYPE), *descr = NULL;
	void *str = VZ_PY(PyUnicode_InternFromString, void *, const char *)(method);

	if (str) {
		descr = VZ_PY(_PyType_Lookup, void *, void *, void *)(type, str);
		vz_decref(str);
	}
	if (descr && vz_load_ptr(descr, VZ_OB_TYPE) == VZ_PY_DATA(PyMethodDescr_Type) &&
	    vz_load_ptr(descr, VZ_DESCR_METHOD) == ml)
		type = vz_load_ptr(descr, VZ_DESCR_TYPE);
	return vz_load_ptr(type, VZ_TYPE_NAME);
}

/* Where a builtin comes from: its module's name, or the name of its type. */
static uint32_t c_owner(void *callable, const char *method, void *ml)
{
	void *self = vz_load_ptr(callable, VZ_CFUNCTION_SELF);
	void *module = vz_load_ptr(callable, VZ_CFUNCTION_MODULE);
	uint32_t len;
	int cut = 0;

	if (self && vz_load_ptr(self, VZ_OB_TYPE) != VZ_PY_DATA(PyModule_Type)) {
		const char *type = vz_load_ptr(self, VZ_OB_TYPE) == VZ_PY_DATA(PyType_Type)
					   ? vz_load_ptr(self, VZ_TYPE_NAME) /* class method */
					   : defining_type(self, method, ml);

		return c_string(file_buf, VZ_DEF_FILE_MAX, type);
	}
	if (module && vz_str_utf8(module, file_buf, VZ_DEF_FILE_MAX, &len, &cut))
		return len;
	return 0;
}

int vz_name_c(uint32_t id, void *callable)
{
	struct vz_saved_error saved;
	void *type = vz_load_ptr(callable, VZ_OB_TYPE), *ml;
	uint32_t name_len, file_len;
	const char *name;

	vz_error_save(&saved);
	if (type == VZ_PY_DATA(PyMethodDescr_Type)) {
		ml = vz_load_ptr(callable, VZ_DESCR_METHOD);
		name = *(const char **)ml;
		file_len =
			c_string(file_buf, VZ_DEF_FILE_MAX,
				 vz_load_ptr(vz_load_ptr(callable, VZ_DESCR_TYPE), VZ_TYPE_NAME));
	} else {
		ml = vz_load_ptr(callable, VZ_CFUNCTION_ML);
		name = *(const char **)ml;
		file_len = c_owner(callable, name, ml);
	}
	name_len = c_string(name_buf, VZ_DEF_NAME_MAX, name);
	if (VZ_PY(PyErr_Occurred, void *, void)())
		VZ_PY(PyErr_Clear, void, void)();
	vz_error_restore(&saved);
	return write_def((struct vz_def){ .id = id, .kind = VZ_DEF_C }, name_len, file_len);
}

/* threading._active, a dict from ident to Thread; new reference or NULL. */
static void *active_threads(void)
{
	void *modules = VZ_PY(PySys_GetObject, void *, const char *)("modules");
	void *threading = modules ? VZ_PY(PyDict_GetItemString, void *, void *,
					  const char *)(modules, "threading")
				  : NULL;

	return threading ? VZ_PY(PyObject_GetAttrString, void *, void *, const char *)(threading,
										       "_active")
			 : NULL;
}

/* threading._active[ident]._name, each step without running Python code; new reference or NULL. */
static void *thread_name(uint64_t ident)
{
	void *active = active_threads(), *key = NULL, *thread = NULL, *attr, *name = NULL;

	if (active)
		key = VZ_PY(PyLong_FromUnsignedLong, void *, uint64_t)(ident);
	if (key)
		thread = VZ_PY(PyDict_GetItemWithError, void *, void *, void *)(active, key);
	attr = thread ? VZ_PY(PyUnicode_InternFromString, void *, const char *)("_name") : NULL;
	if (attr)
		name = VZ_PY(PyObject_GenericGetAttr, void *, void *, void *)(thread, attr);
	vz_xdecref(attr);
	vz_xdecref(key);
	vz_xdecref(active);
	return name;
}

void vz_forget_name(uint64_t ident)
{
	struct vz_saved_error saved;
	void *active, *key = NULL;

	vz_error_save(&saved);
	active = active_threads();
	if (active && vz_load_ptr(active, VZ_OB_TYPE) == VZ_PY_DATA(PyDict_Type))
		key = VZ_PY(PyLong_FromUnsignedLong, void *, uint64_t)(ident);
	if (key && VZ_PY(PyDict_GetItemWithError, void *, void *, void *)(active, key))
		VZ_PY(PyDict_DelItem, int, void *, void *)(active, key);
	vz_xdecref(key);
	vz_xdecref(active);
	if (VZ_PY(PyErr_Occurred, void *, void)())
		VZ_PY(PyErr_Clear, void, void)();
	vz_error_restore(&saved);
}

int vz_name_thread(struct vz_thread *t)
{
	struct vz_saved_error saved;
	uint32_t len = 0;
	int cut = 0;
	void *name;

	vz_error_save(&saved);
	name = thread_name(t->self);
	if (name) {
		vz_str_utf8(name, name_buf, VZ_DEF_NAME_MAX, &len, &cut);
		vz_decref(name);
	}
	if (VZ_PY(PyErr_Occurred, void *, void)())
		VZ_PY(PyErr_Clear, void, void)();
	vz_error_restore(&saved);
	return len && write_def((struct vz_def){ .id = t->index,
						 .kind = VZ_DEF_THREAD,
						 .flags = (uint8_t)cut,
						 .line = (uint32_t)t->slot->generation },
				len, 0);
}
