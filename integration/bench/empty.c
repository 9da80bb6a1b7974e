/* SPDX-License-Identifier: MIT */
/*
 * empty.c - the hooks with nothing in them: what the mechanism itself costs.
 * Compiled by empty.py against the headers of each interpreter.
 *
 *   install(c_calls)   3.8-3.11: an empty C profile function; 3.12+: empty
 *                      vectorcall objects for sys.monitoring
 *   remove()
 */
#include <Python.h>
#include <frameobject.h>
#include <structmember.h>

#if PY_VERSION_HEX < 0x030c0000

static int nothing(PyObject *self, PyFrameObject *frame, int what, PyObject *arg)
{
	(void)self, (void)frame, (void)what, (void)arg;
	return 0;
}

static PyObject *install(PyObject *self, PyObject *c_calls)
{
	(void)self, (void)c_calls; /* this hook is called for C functions in any case */
	PyEval_SetProfile(nothing, Py_None);
	Py_RETURN_NONE;
}

static PyObject *uninstall(PyObject *self, PyObject *none)
{
	(void)self, (void)none;
	PyEval_SetProfile(NULL, NULL);
	Py_RETURN_NONE;
}

static int prepare(void)
{
	return 0;
}

#else

enum { TOOL_ID = 4 };

struct callback {
	PyObject_HEAD
	vectorcallfunc vectorcall;
};

static PyObject *nothing(PyObject *self, PyObject *const *args, size_t nargs, PyObject *names)
{
	(void)self, (void)args, (void)nargs, (void)names;
	return Py_NewRef(Py_None);
}

static PyMemberDef members[] = {
	{ "__vectorcalloffset__", T_PYSSIZET, offsetof(struct callback, vectorcall), READONLY, NULL },
	{ NULL, 0, 0, 0, NULL },
};

static PyTypeObject callback_type = {
	PyVarObject_HEAD_INIT(NULL, 0).tp_name = "empty.callback",
	.tp_basicsize = sizeof(struct callback),
	.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
	.tp_vectorcall_offset = offsetof(struct callback, vectorcall),
	.tp_call = PyVectorcall_Call,
	.tp_members = members,
};

static struct callback *callback;

static const char *const python_events[] = { "PY_START",  "PY_RESUME", "PY_THROW",
					      "PY_RETURN", "PY_YIELD",  "PY_UNWIND" };
static const char *const c_events[] = { "CALL", "C_RETURN", "C_RAISE" };

static int register_one(PyObject *monitoring, PyObject *events, const char *name, long *set)
{
	PyObject *number = PyObject_GetAttrString(events, name);
	if (!number)
		return -1;
	*set |= PyLong_AsLong(number);
	PyObject *done = PyObject_CallMethod(monitoring, "register_callback", "iOO", TOOL_ID, number,
					     (PyObject *)callback);
	Py_DECREF(number);
	Py_XDECREF(done);
	return done ? 0 : -1;
}

static PyObject *install(PyObject *self, PyObject *c_calls)
{
	(void)self;
	PyObject *monitoring = PySys_GetObject("monitoring");
	PyObject *events = monitoring ? PyObject_GetAttrString(monitoring, "events") : NULL;
	long set = 0;
	if (!events)
		return NULL;
	PyObject *done = PyObject_CallMethod(monitoring, "use_tool_id", "is", TOOL_ID, "empty");
	if (!done)
		return NULL;
	Py_DECREF(done);
	for (size_t i = 0; i < sizeof(python_events) / sizeof(*python_events); i++)
		if (register_one(monitoring, events, python_events[i], &set))
			return NULL;
	for (size_t i = 0; PyObject_IsTrue(c_calls) && i < sizeof(c_events) / sizeof(*c_events); i++)
		if (register_one(monitoring, events, c_events[i], &set))
			return NULL;
	Py_DECREF(events);
	return PyObject_CallMethod(monitoring, "set_events", "il", TOOL_ID, set);
}

static PyObject *uninstall(PyObject *self, PyObject *none)
{
	(void)self, (void)none;
	PyObject *monitoring = PySys_GetObject("monitoring");
	PyObject *done = PyObject_CallMethod(monitoring, "set_events", "ii", TOOL_ID, 0);
	if (!done)
		return NULL;
	Py_DECREF(done);
	return PyObject_CallMethod(monitoring, "free_tool_id", "i", TOOL_ID);
}

static int prepare(void)
{
	if (PyType_Ready(&callback_type))
		return -1;
	callback = PyObject_New(struct callback, &callback_type);
	if (callback)
		callback->vectorcall = nothing;
	return callback ? 0 : -1;
}

#endif

static PyMethodDef methods[] = {
	{ "install", install, METH_O, "install(c_calls)" },
	{ "remove", uninstall, METH_NOARGS, "remove()" },
	{ NULL, NULL, 0, NULL },
};

static struct PyModuleDef module = { PyModuleDef_HEAD_INIT, .m_name = "empty", .m_size = -1,
				     .m_methods = methods };

PyMODINIT_FUNC PyInit_empty(void);
PyMODINIT_FUNC PyInit_empty(void)
{
	return prepare() ? NULL : PyModule_Create(&module);
}
