/* SPDX-License-Identifier: MIT */
#include "payload/atfork.h"

#include "payload/agent.h"

typedef void *(*fork_fn)(void *self, void *const *args, uint64_t nargs, void *names);

struct fork_hook {
	int64_t refcnt;
	void *type;
	fork_fn call;
};

static struct vz_pytype hook_type;
static struct fork_hook before, after;
static uint8_t installed;

static void *on_before(void *self, void *const *args, uint64_t nargs, void *names)
{
	(void)self, (void)args, (void)nargs, (void)names;
	if (vz_private->alive)
		vz_agent_park();
	return VZ_PY_DATA(_Py_NoneStruct);
}

static int unpark_pending(void *unused)
{
	(void)unused;
	if (vz_private->alive)
		vz_agent_unpark();
	return 0;
}

/* 3.13 counts threads only after this: so not before fork() has returned to the interpreter. */
static void *on_after(void *self, void *const *args, uint64_t nargs, void *names)
{
	(void)self, (void)args, (void)nargs, (void)names;
	if (vz_private->alive &&
	    VZ_PY(Py_AddPendingCall, int, int (*)(void *), void *)(unpark_pending, NULL) < 0)
		vz_agent_unpark();
	return VZ_PY_DATA(_Py_NoneStruct);
}

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
static int take_out(uint32_t offset, struct fork_hook *hook)
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
									    &before) &&
	    !VZ_PY(PyDict_SetItemString, int, void *, const char *,
		   void *)(named, "after_in_parent", &after))
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
	vz_pytype_init(&hook_type, "vizattach", sizeof(struct fork_hook), NULL);
	hook_type.vectorcall_offset = offsetof(struct fork_hook, call);
	hook_type.flags = VZ_TPFLAGS_VECTORCALL;
	hook_type.call = (void *)vz_boot.py[VZ_SYM_PyVectorcall_Call]; /* makes it callable() */
	before = (struct fork_hook){ 1 << 28, &hook_type, on_before };
	after = (struct fork_hook){ 1 << 28, &hook_type, on_after };
	installed = (uint8_t)call_register();
}

unsigned vz_atfork_remove(void)
{
	unsigned left;

	if (!installed)
		return 0;
	installed = 0;
	left = !take_out(vz_boot.off.is_before_forkers, &before);
	left += !take_out(vz_boot.off.is_after_forkers_parent, &after);
	return left;
}
