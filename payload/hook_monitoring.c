/* SPDX-License-Identifier: MIT */
/*
 * CPython 3.12+: sys.monitoring with callbacks that are objects of our own with
 * a vectorcall, which is the cheapest thing the interpreter can call.
 *
 * It reaches all threads of an interpreter, also those not yet born.  Which
 * thread runs is told by the thread pointer; an object of ours in the thread
 * state's dict tells when a thread ends, so that a pointer used again is
 * not mistaken for the old thread.
 */
#include "payload/agent.h"
#include "payload/hook.h"
#include "payload/intern.h"
#include "payload/names.h"
#include "payload/running.h"

enum { NEVENTS = 9 };

typedef void *(*callback_fn)(void *self, void *const *args, uint64_t nargs, void *names);

struct callback {
	int64_t refcnt;
	void *type;
	callback_fn call;
};

static struct vz_pytype callback_type;
static struct callback callbacks[NEVENTS];

/* Ask CPython to tell us when this, the running, thread state ends. */
static void bind(struct vz_thread *t, uint8_t *ts)
{
	struct vz_saved_error saved;

	vz_error_save(&saved);
	if (vz_sentinel_put(t, VZ_PY(PyThreadState_GetDict, void *, void)()))
		t->ts = ts;
	vz_error_restore(&saved);
}

static struct vz_thread *open_thread(uint8_t *ts, uint64_t self, uint32_t tid, unsigned flags)
{
	struct vz_thread *t = vz_thread_open(ts, self, tid, flags);
	uint8_t *is = vz_load_ptr(ts, vz_boot.off.ts_interp);

	if (!t)
		return NULL;
	for (int i = 0; i < VZ_MAX_INTERPS; i++)
		if (vz_interps[i].is == is)
			t->interp = &vz_interps[i];
	t->slot->interp = t->interp ? t->interp->id : 0;
	vz_running_add(t, self);
	return t;
}

/* The thread pointer changed since the last event. */
__attribute__((noinline)) static struct vz_thread *switch_thread(uint64_t self)
{
	struct vz_thread *t;
	uint8_t *ts;

	if (!vz_private->alive) {
		vz_agent_in_child();
		return NULL;
	}
	t = vz_running_find(self);
	if (!t || !t->bound) {
		ts = vz_ts_current();
		if (!ts || vz_ts_is_agent(ts))
			return NULL;
		/* The same pointer, but a thread that ended unseen before its first event. */
		if (t && (t->ts != ts || t->ts_id != vz_load(ts, vz_boot.off.ts_id))) {
			vz_running_close(t);
			t = NULL;
		}
		if (!t) {
			t = open_thread(ts, self, (uint32_t)vz_sys(VZ_SYS_GETTID, 0, 0, 0), 0);
			if (!t) {
				vz_control->lost_no_slot++;
				return NULL;
			}
			vz_control->threads_adopted++;
		}
		bind(t, ts);
	}
	vz_running_set(t, self);
	return t;
}

static inline struct vz_thread *last_thread(void)
{
	return VZ_LIKELY(vz_running.key == vz_thread_pointer()) ? vz_running.thread : NULL;
}

/* Off the common path, and not inlined, so that the path itself needs no stack. */
__attribute__((noinline)) static void *record_slow(unsigned kind, void *code)
{
	struct vz_thread *t = last_thread();

	if (!t)
		t = switch_thread(vz_thread_pointer());
	if (t)
		vz_record_code_slow(t, kind, code);
	return VZ_PY_DATA(_Py_NoneStruct);
}

__attribute__((noinline)) static void *record_c_slow(unsigned kind, uint64_t ml, void *callable)
{
	struct vz_thread *t = last_thread();

	if (!t)
		t = switch_thread(vz_thread_pointer());
	if (t)
		vz_record_c_slow(t, kind, ml, callable);
	return VZ_PY_DATA(_Py_NoneStruct);
}

static inline void *record(unsigned kind, void *code)
{
	struct vz_thread *t = last_thread();

	if (VZ_LIKELY(t != NULL) && VZ_LIKELY(vz_record_fast(t, kind, (uint64_t)code)))
		return VZ_PY_DATA(_Py_NoneStruct);
	return record_slow(kind, code);
}

/* PyMethodDef of what the legacy profiler calls a C function, else 0: types and slot wrappers are
 * left out alike. */
static inline uint64_t method_def(void **callable)
{
	void *type = vz_load_ptr(*callable, VZ_OB_TYPE);

	if (type == VZ_PY_DATA(PyCFunction_Type) || type == VZ_PY_DATA(PyCMethod_Type))
		return vz_load(*callable, VZ_CFUNCTION_ML);
	if (type == VZ_PY_DATA(PyMethodDescr_Type))
		return vz_load(*callable, VZ_DESCR_METHOD);
	if (type == VZ_PY_DATA(PyMethod_Type)) {
		*callable = vz_load_ptr(*callable, VZ_METHOD_FUNC);
		type = vz_load_ptr(*callable, VZ_OB_TYPE);
		if (type == VZ_PY_DATA(PyCFunction_Type))
			return vz_load(*callable, VZ_CFUNCTION_ML);
	}
	return 0;
}

static inline void *record_c(unsigned kind, void *callable)
{
	uint64_t ml = method_def(&callable);
	struct vz_thread *t;

	if (!ml)
		return VZ_PY_DATA(_Py_NoneStruct);
	t = last_thread();
	if (VZ_LIKELY(t != NULL) && VZ_LIKELY(vz_record_fast(t, kind, ml)))
		return VZ_PY_DATA(_Py_NoneStruct);
	return record_c_slow(kind, ml, callable);
}

#define CALLBACK(name, record_what, kind, arg)                                        \
	static void *name(void *self, void *const *args, uint64_t nargs, void *names) \
	{                                                                             \
		(void)self, (void)nargs, (void)names;                                 \
		return record_what(kind, args[arg]);                                  \
	}

CALLBACK(on_start, record, VZ_EV_CALL, 0)
CALLBACK(on_resume, record, VZ_EV_RESUME, 0)
CALLBACK(on_throw, record, VZ_EV_THROW, 0)
CALLBACK(on_return, record, VZ_EV_RETURN, 0)
CALLBACK(on_yield, record, VZ_EV_YIELD, 0)
CALLBACK(on_unwind, record, VZ_EV_UNWIND, 0)
CALLBACK(on_call, record_c, VZ_EV_C_CALL, 2)
CALLBACK(on_c_return, record_c, VZ_EV_C_RETURN, 2)
CALLBACK(on_c_raise, record_c, VZ_EV_C_RAISE, 2)

/* C_RETURN and C_RAISE come with CALL and cannot be switched on by themselves. */
static const struct {
	const char *name;
	callback_fn call;
	uint8_t c_only, settable;
} events[NEVENTS] = {
	{ "PY_START", on_start, 0, 1 },  { "PY_RESUME", on_resume, 0, 1 },
	{ "PY_THROW", on_throw, 0, 1 },  { "PY_RETURN", on_return, 0, 1 },
	{ "PY_YIELD", on_yield, 0, 1 },  { "PY_UNWIND", on_unwind, 0, 1 },
	{ "CALL", on_call, 1, 1 },       { "C_RETURN", on_c_return, 1, 0 },
	{ "C_RAISE", on_c_raise, 1, 0 },
};

/* Call sys.monitoring.NAME(a, b, c); -1 for a leaves an argument out.  New reference or NULL with
 * an exception. */
static void *monitoring_call(const char *name, long a, long b, void *c)
{
	void *module = VZ_PY(PySys_GetObject, void *, const char *)("monitoring");
	void *function, *args, *result = NULL;
	int n = c ? 3 : b >= 0 ? 2 : 1;

	function =
		module ? VZ_PY(PyObject_GetAttrString, void *, void *, const char *)(module, name)
		       : NULL;
	if (!function)
		return NULL;
	args = VZ_PY(PyTuple_New, void *, int64_t)(n);
	if (args) {
		VZ_PY(PyTuple_SetItem, int, void *, int64_t, void *)
		(args, 0, VZ_PY(PyLong_FromLong, void *, long)(a));
		if (n > 1)
			VZ_PY(PyTuple_SetItem, int, void *, int64_t, void *)
		(args, 1, VZ_PY(PyLong_FromLong, void *, long)(b));
		if (n > 2) {
			vz_incref(c);
			VZ_PY(PyTuple_SetItem, int, void *, int64_t, void *)(args, 2, c);
		}
		result = VZ_PY(PyObject_CallObject, void *, void *, void *)(function, args);
		vz_decref(args);
	}
	vz_decref(function);
	return result;
}

static int ok(void *result)
{
	if (!result) {
		VZ_PY(PyErr_Clear, void, void)();
		return 0;
	}
	vz_decref(result);
	return 1;
}

static long event_bit(const char *name)
{
	void *module = VZ_PY(PySys_GetObject, void *, const char *)("monitoring");
	void *set = module ? VZ_PY(PyObject_GetAttrString, void *, void *, const char *)(module,
											 "events")
			   : NULL;
	void *bit =
		set ? VZ_PY(PyObject_GetAttrString, void *, void *, const char *)(set, name) : NULL;
	long value = bit ? VZ_PY(PyLong_AsLong, long, void *)(bit) : 0;

	vz_xdecref(bit);
	vz_xdecref(set);
	if (VZ_PY(PyErr_Occurred, void *, void)())
		VZ_PY(PyErr_Clear, void, void)();
	return value;
}

/* use_tool_id(id, name) by hand, since its second argument is text. */
static int take_tool_id(long id)
{
	void *module = VZ_PY(PySys_GetObject, void *, const char *)("monitoring");
	void *function = module ? VZ_PY(PyObject_GetAttrString, void *, void *,
					const char *)(module, "use_tool_id")
				: NULL;
	void *args = function ? VZ_PY(PyTuple_New, void *, int64_t)(2) : NULL, *result = NULL;

	if (args) {
		VZ_PY(PyTuple_SetItem, int, void *, int64_t, void *)
		(args, 0, VZ_PY(PyLong_FromLong, void *, long)(id));
		VZ_PY(PyTuple_SetItem, int, void *, int64_t, void *)
		(args, 1, VZ_PY(PyUnicode_InternFromString, void *, const char *)("vizattach"));
		result = VZ_PY(PyObject_CallObject, void *, void *, void *)(function, args);
		vz_decref(args);
	}
	vz_xdecref(function);
	return ok(result);
}

/* Never steals: the ids without a meaning first, then the one for profilers. */
static int find_tool_id(void)
{
	static const uint8_t order[] = { 4, 3, 2 };

	for (unsigned i = 0; i < sizeof(order); i++)
		if (take_tool_id(order[i]))
			return order[i];
	return -1;
}

/* Under a thread state of interpreter IN. */
static unsigned unhook_here(struct vz_interp *in)
{
	unsigned left = 0;

	left += !ok(monitoring_call("set_events", in->tool, 0, NULL));
	for (int i = 0; i < NEVENTS; i++)
		if (!events[i].c_only || vz_boot.c_calls)
			left += !ok(monitoring_call("register_callback", in->tool,
						    event_bit(events[i].name),
						    VZ_PY_DATA(_Py_NoneStruct)));
	left += !ok(monitoring_call("free_tool_id", in->tool, -1, NULL));
	in->hooked = 0;
	return left;
}

static uint32_t hook_here(struct vz_interp *in)
{
	long mask = 0;
	int tool = find_tool_id();

	if (tool < 0)
		return VZ_AGENT_NO_TOOL_ID;
	in->tool = (uint8_t)tool;
	in->hooked = 1;
	for (int i = 0; i < NEVENTS; i++) {
		long bit = event_bit(events[i].name);

		if (events[i].c_only && !vz_boot.c_calls)
			continue;
		if (!bit || !ok(monitoring_call("register_callback", tool, bit, &callbacks[i]))) {
			unhook_here(in);
			return bit ? VZ_AGENT_VETO : VZ_AGENT_PYTHON_ERROR;
		}
		mask |= events[i].settable ? bit : 0;
	}
	if (!ok(monitoring_call("set_events", tool, mask, NULL))) {
		unhook_here(in);
		return VZ_AGENT_PYTHON_ERROR;
	}
	vz_control->interps_hooked++;
	vz_control->tool_id = (uint32_t)tool;
	return VZ_AGENT_OK;
}

/*
 * Do something as if the agent belonged to another interpreter; all of these share our
 * GIL.  A real visit swaps thread states, which gives the GIL away: meanwhile the
 * program may end that interpreter, and CPython then aborts the process for having
 * one thread state too many, or ends our thread.
 */
static uint32_t run_in(struct vz_interp *in, uint32_t (*what)(struct vz_interp *))
{
	uint8_t *volatile *mine = (uint8_t *volatile *)(vz_agent_ts + vz_boot.off.ts_interp);
	uint8_t *home = *mine;
	uint32_t rc;

	*mine = in->is;
	rc = what(in);
	*mine = home;
	return rc;
}

static void open_existing(struct vz_interp *in)
{
	uint8_t *ts = VZ_PY(PyInterpreterState_ThreadHead, uint8_t *, void *)(in->is);

	for (; ts; ts = VZ_PY(PyThreadState_Next, uint8_t *, void *)(ts)) {
		uint64_t self = vz_load(ts, vz_boot.off.ts_thread_id);
		struct vz_thread *t;

		if (vz_ts_is_agent(ts) || !self || vz_running_find(self))
			continue;
		t = open_thread(ts, self, vz_ts_tid(ts), VZ_SLOT_AT_ATTACH);
		if (!t)
			continue;
		vz_control->threads_at_attach++;
		vz_name_thread(t);
		vz_ring_stack(t, VZ_STACK_AT_ATTACH, 0);
	}
}

static void init_objects(void)
{
	vz_pytype_init(&callback_type, "vizattach", sizeof(struct callback), NULL);
	callback_type.vectorcall_offset = offsetof(struct callback, call);
	callback_type.flags = VZ_TPFLAGS_VECTORCALL;
	for (int i = 0; i < NEVENTS; i++)
		callbacks[i] = (struct callback){ 1 << 28, &callback_type, events[i].call };
}

static uint32_t hook_all(void)
{
	uint32_t rc, first = VZ_AGENT_OK;

	vz_interps_refresh();
	for (int i = 0; i < VZ_MAX_INTERPS; i++) {
		struct vz_interp *in = &vz_interps[i];

		if (!in->is || in->own_gil || in->hooked || vz_interp_ends(in))
			continue;
		open_existing(in);
		rc = run_in(in, hook_here);
		if (rc && !first)
			first = rc;
	}
	return first;
}

static uint32_t unhook_counted(struct vz_interp *in)
{
	return unhook_here(in);
}

/* Thread states' dicts hold our sentinels; in a child we no longer know which, so look at all. */
static void drop_sentinels(struct vz_interp *in)
{
	uint8_t *ts = VZ_PY(PyInterpreterState_ThreadHead, uint8_t *, void *)(in->is);

	for (; ts; ts = VZ_PY(PyThreadState_Next, uint8_t *, void *)(ts))
		vz_sentinel_drop(ts);
}

static unsigned remove_hooks(void)
{
	unsigned left = 0;

	vz_interps_refresh();
	for (int i = 0; i < VZ_MAX_INTERPS; i++) {
		struct vz_interp *in = &vz_interps[i];

		if (!in->is || !in->hooked)
			continue;
		if (vz_interp_ends(in)) { /* until it is gone it may call us */
			left++;
			continue;
		}
		left += run_in(in, unhook_counted);
		drop_sentinels(in);
	}
	vz_running.key = 0;
	return left;
}

static uint32_t install(void)
{
	uint32_t rc;

	init_objects();
	rc = hook_all();
	if (rc) {
		remove_hooks();
		return vz_fail(rc,
			       rc == VZ_AGENT_NO_TOOL_ID
				       ? "sys.monitoring tool ids 2, 3 and 4 are all in use"
			       : rc == VZ_AGENT_VETO
				       ? "its audit hook refused sys.monitoring.register_callback"
				       : "a call of sys.monitoring failed");
	}
	return VZ_AGENT_OK;
}

static void agent_scan(void)
{
	hook_all();
}

/* No program but one that knows our id can take these hooks out. */
static int bare(void)
{
	return 0;
}

const struct vz_hook_ops vz_hook_monitoring = { install, agent_scan, bare, remove_hooks };
