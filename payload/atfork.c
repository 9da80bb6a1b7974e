/* SPDX-License-Identifier: MIT */
#include "payload/atfork.h"

#include "payload/agent.h"
#include "payload/leave.h"

enum { METH_NOARGS = 4 };

/* PyMethodDef */
struct method_def {
	const char *name;
	void *(*call)(void *self, void *unused);
	int flags;
	const char *doc;
};

/* Objects of CPython's, not ours: a program that walks through all objects may hold them when we
 * are gone. */
static void *before, *after;
static uint8_t installed;

static void *none(void)
{
	void *value = VZ_PY_DATA(_Py_NoneStruct);

	vz_incref(value);
	return value;
}

static void *on_before(void *self, void *unused)
{
	(void)self, (void)unused;
	if (vz_private->alive && !vz_leaves_alone())
		vz_agent_park();
	return none();
}

static int unpark_pending(void *unused)
{
	(void)unused;
	if (vz_private->alive)
		vz_agent_unpark();
	return 0;
}

/* 3.13 counts threads only after this: so not before fork() has returned to the interpreter. */
static void *on_after(void *self, void *unused)
{
	(void)self, (void)unused;
	if (vz_private->alive && !vz_leaves_alone() &&
	    VZ_PY(Py_AddPendingCall, int, int (*)(void *), void *)(unpark_pending, NULL) < 0)
		vz_agent_unpark();
	return none();
}

static struct method_def before_def = { "vizattach_before_fork", on_before, METH_NOARGS, NULL };
static struct method_def after_def = { "vizattach_after_fork", on_after, METH_NOARGS, NULL };

/* os.register_at_fork has no counterpart, so its lists must be where the table says; NULL: no list
 * yet. */
static void *list_at(uint8_t *is, uint32_t offset)
{
	return vz_load_ptr(is, offset);
}

static int is_list_or_null(void *object)
{
	uint64_t type;

	return !object || (!vz_read_self((uint64_t)object + VZ_OB_TYPE, &type, 8) &&
			   (void *)type == VZ_PY_DATA(PyList_Type));
}

static uint8_t *main_interp(void)
{
	return vz_load_ptr(VZ_PY_DATA(_PyRuntime), vz_boot.off.rt_interpreters_main);
}

static int lists_as_expected(void)
{
	uint8_t *is = main_interp();

	return is_list_or_null(list_at(is, vz_boot.off.is_before_forkers)) &&
	       is_list_or_null(list_at(is, vz_boot.off.is_after_forkers_parent));
}

/* 1 if HOOK was there and is taken out, or was never there. */
static int take_out(uint32_t offset, const void *hook)
{
	void *list = list_at(main_interp(), offset);
	int64_t n = list ? VZ_PY(PyList_Size, int64_t, void *)(list) : 0;

	for (int64_t i = n - 1; i >= 0; i--)
		if (VZ_PY(PyList_GetItem, void *, void *, int64_t)(list, i) == hook)
			return VZ_PY(PyList_SetSlice, int, void *, int64_t, int64_t,
				     void *)(list, i, i + 1, NULL) == 0;
	return 1;
}

/* posix.register_at_fork(before=..., after_in_parent=...) */
static int call_register(void)
{
	void *modules = VZ_PY(PySys_GetObject, void *, const char *)("modules");
	void *posix = modules ? VZ_PY(PyDict_GetItemString, void *, void *, const char *)(modules,
											  "posix")
			      : NULL;
	void *function = posix ? VZ_PY(PyObject_GetAttrString, void *, void *,
				       const char *)(posix, "register_at_fork")
			       : NULL;
	void *args = function ? VZ_PY(PyTuple_New, void *, int64_t)(0) : NULL;
	void *named = args ? VZ_PY(PyDict_New, void *, void)() : NULL, *result = NULL;

	if (named &&
	    !VZ_PY(PyDict_SetItemString, int, void *, const char *, void *)(named, "before",
									    before) &&
	    !VZ_PY(PyDict_SetItemString, int, void *, const char *,
		   void *)(named, "after_in_parent", after))
		result =
			VZ_PY(PyObject_Call, void *, void *, void *, void *)(function, args, named);
	if (VZ_PY(PyErr_Occurred, void *, void)())
		VZ_PY(PyErr_Clear, void, void)();
	vz_xdecref(named);
	vz_xdecref(args);
	vz_xdecref(function);
	vz_xdecref(result);
	return result != NULL;
}

void vz_atfork_install(void)
{
	if (vz_boot.off.is_before_forkers == VZ_NO_OFFSET || !VZ_PY_HAS(PyList_Type) ||
	    !lists_as_expected())
		return;
	before = VZ_PY(PyCFunction_NewEx, void *, struct method_def *, void *, void *)(&before_def,
										       NULL, NULL);
	after = VZ_PY(PyCFunction_NewEx, void *, struct method_def *, void *, void *)(&after_def,
										      NULL, NULL);
	if (VZ_PY(PyErr_Occurred, void *, void)())
		VZ_PY(PyErr_Clear, void, void)();
	installed = before && after && call_register();
	if (!installed)
		vz_atfork_remove();
}

/* Whoever still holds it has sys.is_finalizing: nothing of ours. */
static void give_up(void **hook)
{
	void *other = VZ_PY(PySys_GetObject, void *, const char *)("is_finalizing");

	if (*hook && other && vz_load_ptr(other, VZ_OB_TYPE) == VZ_PY_DATA(PyCFunction_Type))
		*(void **)((uint8_t *)*hook + VZ_CFUNCTION_ML) =
			vz_load_ptr(other, VZ_CFUNCTION_ML);
	vz_xdecref(*hook);
	*hook = NULL;
}

unsigned vz_atfork_remove(void)
{
	unsigned left = 0;

	if (installed) {
		left = !take_out(vz_boot.off.is_before_forkers, before);
		left += !take_out(vz_boot.off.is_after_forkers_parent, after);
	}
	installed = 0;
	if (!left) {
		give_up(&before);
		give_up(&after);
	}
	return left;
}
