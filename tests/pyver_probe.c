/* SPDX-License-Identifier: MIT */
/*
 * pyver_probe.c - compiled by test_pyver against the headers of each CPython that is
 * installed; prints "name offset" for every row of VZ_PY_OFFSETS that the version has.
 * Not part of any program of ours: only CPython's headers are used.
 */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <frameobject.h>
#include <stddef.h>
#include <stdio.h>

#include "internal/pycore_pystate.h"
#if PY_VERSION_HEX >= 0x030b0000
#include "internal/pycore_frame.h"
#elif PY_VERSION_HEX < 0x03090000
#include "code.h"
#endif
#if PY_VERSION_HEX >= 0x03090000
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#endif
#include "internal/pycore_gil.h"

typedef struct _gil_runtime_state gil_state;

#define TELL(name, type, member) printf(#name " %zu\n", offsetof(type, member))

static void tell_thread(void)
{
	TELL(ts_interp, PyThreadState, interp);
	TELL(ts_id, PyThreadState, id);
	TELL(ts_thread_id, PyThreadState, thread_id);
	TELL(ts_dict, PyThreadState, dict);
	TELL(ts_next, PyThreadState, next);
	TELL(ts_c_profilefunc, PyThreadState, c_profilefunc);
	TELL(ts_c_profileobj, PyThreadState, c_profileobj);
	TELL(ts_c_tracefunc, PyThreadState, c_tracefunc);
#if PY_VERSION_HEX >= 0x030b0000
	TELL(ts_native_thread_id, PyThreadState, native_thread_id);
	TELL(ts_datastack_chunk, PyThreadState, datastack_chunk);
	TELL(dc_previous, _PyStackChunk, previous);
#else
	TELL(ts_frame, PyThreadState, frame);
#endif
#if PY_VERSION_HEX < 0x030c0000
	TELL(ts_tracing, PyThreadState, tracing);
#endif
#if PY_VERSION_HEX < 0x030a0000
	TELL(ts_use_tracing, PyThreadState, use_tracing);
#elif PY_VERSION_HEX < 0x030d0000
	TELL(ts_cframe, PyThreadState, cframe);
#if PY_VERSION_HEX < 0x030b0000
	TELL(cf_use_tracing, CFrame, use_tracing);
#elif PY_VERSION_HEX < 0x030c0000
	TELL(cf_use_tracing, _PyCFrame, use_tracing);
#endif
#else
	TELL(ts_current_frame, PyThreadState, current_frame);
#endif
#if PY_VERSION_HEX >= 0x030c0000 && PY_VERSION_HEX < 0x030d0000
	TELL(cf_current_frame, _PyCFrame, current_frame);
#elif PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000
	TELL(cf_current_frame, _PyCFrame, current_frame);
#endif
}

static void tell_frame(void)
{
#if PY_VERSION_HEX < 0x030b0000
	TELL(fr_back, PyFrameObject, f_back);
	TELL(fr_code, PyFrameObject, f_code);
#else
	TELL(fr_frame, struct _frame, f_frame);
#if PY_VERSION_HEX < 0x030d0000
	TELL(if_code, _PyInterpreterFrame, f_code);
#else
	TELL(if_code, _PyInterpreterFrame, f_executable);
#endif
	TELL(if_previous, _PyInterpreterFrame, previous);
	TELL(if_owner, _PyInterpreterFrame, owner);
	TELL(co_qualname, PyCodeObject, co_qualname);
#endif
	TELL(co_name, PyCodeObject, co_name);
	TELL(co_filename, PyCodeObject, co_filename);
	TELL(co_firstlineno, PyCodeObject, co_firstlineno);
	TELL(co_flags, PyCodeObject, co_flags);
}

static void tell_interpreter(void)
{
	TELL(is_eval_frame, PyInterpreterState, eval_frame);
	TELL(is_id, PyInterpreterState, id);
	TELL(is_next, PyInterpreterState, next);
#if PY_VERSION_HEX >= 0x030b0000
	TELL(is_next_unique_id, PyInterpreterState, threads.next_unique_id);
	TELL(is_threads_head, PyInterpreterState, threads.head);
#else
	TELL(is_next_unique_id, PyInterpreterState, tstate_next_unique_id);
	TELL(is_threads_head, PyInterpreterState, tstate_head);
#endif
#if PY_VERSION_HEX >= 0x030c0000
	TELL(is_gil, PyInterpreterState, ceval.gil);
	TELL(is_before_forkers, PyInterpreterState, before_forkers);
	TELL(is_after_forkers_parent, PyInterpreterState, after_forkers_parent);
	TELL(is_finalizing, PyInterpreterState, _finalizing);
#endif
}

static void tell_runtime(void)
{
	TELL(rt_interpreters_head, _PyRuntimeState, interpreters.head);
	TELL(rt_interpreters_main, _PyRuntimeState, interpreters.main);
	TELL(rt_interpreters_next_id, _PyRuntimeState, interpreters.next_id);
	TELL(rt_main_thread, _PyRuntimeState, main_thread);
#if PY_VERSION_HEX < 0x03090000
	TELL(rt_finalizing, _PyRuntimeState, finalizing);
#else
	TELL(rt_finalizing, _PyRuntimeState, _finalizing);
#endif
#if PY_VERSION_HEX < 0x030c0000
	TELL(rt_gil, _PyRuntimeState, ceval.gil);
#endif
	TELL(gil_last_holder, gil_state, last_holder);
	TELL(gil_locked, gil_state, locked);
	TELL(gil_switch_number, gil_state, switch_number);
}

/* Not offsets that the payload knows, but what is looked at from outside. */
static void tell_outside(void)
{
	printf("ts_bytes %zu\nis_bytes %zu\n", sizeof(PyThreadState), sizeof(PyInterpreterState));
#if PY_VERSION_HEX >= 0x030c0000
	TELL(is_tool_names, PyInterpreterState, monitoring_tool_names);
	TELL(is_monitors, PyInterpreterState, monitors);
#endif
}

int main(void)
{
	printf("minor %d\n", PY_MINOR_VERSION);
	tell_thread();
	tell_frame();
	tell_interpreter();
	tell_runtime();
	tell_outside();
	return 0;
}
