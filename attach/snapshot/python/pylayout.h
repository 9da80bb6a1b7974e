/* SPDX-License-Identifier: MIT */
/*
 * pylayout.h - where things are in CPython's structures, for reading a process or a core
 * dump from outside: one row for each version and flavour, written by scripts/pylayout
 * from that version's headers into pylayout_table.inc.  From 3.13 on the process itself
 * tells most of it (_Py_DebugOffsets), and what it tells wins.
 *
 * Offsets are bytes on 64-bit CPUs; VZ_NO_OFFSET: this version has no such field.
 */
#ifndef VZ_ATTACH_SNAPSHOT_PYLAYOUT_H
#define VZ_ATTACH_SNAPSHOT_PYLAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "attach/elfsym.h"
#include "attach/target.h"
#include "payload/wire.h" /* VZ_NO_OFFSET */

/*
 * rt_ _PyRuntimeState    is_ PyInterpreterState   ts_ PyThreadState (3.13+: _PyThreadStateImpl)
 * gil_ struct _gil_runtime_state    cf_ CFrame/_PyCFrame    dc_ _PyStackChunk
 * fr_ PyFrameObject (3.11+: only fr_frame)    if_ _PyInterpreterFrame    co_ PyCodeObject
 * ob_ PyObject, PyVarObject   tp_ PyTypeObject   ht_ PyHeapTypeObject
 * and after their types: us_ str, by_ bytes, tu_ tuple, li_ list, in_ int, fl_ float, di_ dict,
 * dk_ PyDictKeysObject, dv_ dict values, se_ set, wr_ weakref, ce_ cell, me_ bound method,
 * cm_ builtin method, md_ module, ge_ generator/coroutine (async generators begin alike),
 * lo_ _thread.lock, rl_ _thread.RLock, th_ thread handle (3.13+), fu_ _asyncio.Future,
 * ta_ _asyncio.Task, fi_ _asyncio.FutureIter, ag_ async_generator_asend/athrow, cw_
 * coroutine_wrapper, de_ method_descriptor (PyDescrObject)
 */
/* clang-format off */
#define VZ_PYLAYOUT_FIELDS(X) \
	/* run time: _PyRuntime; to 3.11: the GIL, and the thread state that holds it */ \
	X(rt_interpreters_head) X(rt_interpreters_main) X(rt_main_thread) X(rt_finalizing) \
	X(rt_gil) X(rt_gc_collecting) /* 3.8 */ X(rt_gilstate_current) \
	/* interpreter; 3.12+: is_gil is a pointer; 3.9+: is_gc_collecting; 3.14+: tasks */ \
	X(is_next) X(is_id) X(is_threads_head) X(is_threads_main) X(is_modules) X(is_gil) \
	X(is_gc_collecting) X(is_sysdict) X(is_asyncio_tasks_head) \
	/* GIL; a thread that waits for it has its futex inside gil_bytes */ \
	X(gil_last_holder) X(gil_locked) X(gil_switch_number) X(gil_bytes) \
	X(gil_enabled) /* int, free-threaded */ \
	/* thread; ts_state, 3.13+: 1 attached; ts_asyncio_...: 3.13+, 3.14+ */ \
	X(ts_next) X(ts_interp) X(ts_id) X(ts_thread_id) X(ts_native_thread_id) X(ts_status) \
	X(ts_frame) X(ts_cframe) X(ts_current_frame) X(ts_datastack_chunk) X(ts_exc_info) \
	X(ts_state) X(ts_asyncio_running_loop) X(ts_asyncio_running_task) \
	X(ts_asyncio_tasks_head) \
	X(cf_current_frame) X(cf_previous) X(dc_previous) X(dc_size) X(dc_top) X(dc_data) \
	/* frames: PyFrameObject; fr_stacktop: 3.8, 3.9; fr_stackdepth, fr_state: 3.10 */ \
	X(fr_back) X(fr_code) X(fr_lasti) X(fr_valuestack) X(fr_stacktop) X(fr_stackdepth) \
	X(fr_state) X(fr_localsplus) X(fr_gen) X(fr_locals) X(fr_frame) \
	/* 3.11+: if_instr is prev_instr (to 3.12), instr_ptr; if_stacktop: int, to 3.13; */ \
	/* if_stackpointer: 3.14+; if_is_entry: 3.11; if_tlbc_index: free-threaded 3.14+ */ \
	X(if_code) X(if_previous) X(if_instr) X(if_stacktop) X(if_stackpointer) X(if_owner) \
	X(if_is_entry) X(if_localsplus) X(if_frame_obj) X(if_func) X(if_locals) \
	X(if_tlbc_index) \
	/* code; co_code: to 3.10, bytes; co_lines: co_lnotab (3.8, 3.9), co_linetable */ \
	X(co_code) X(co_code_adaptive) X(co_name) X(co_qualname) X(co_filename) \
	X(co_firstlineno) X(co_firsttraceable) /* 3.11+ */ X(co_lines) X(co_flags) X(co_argcount) X(co_nlocals) \
	X(co_nlocalsplus) X(co_stacksize) X(co_varnames) X(co_cellvars) X(co_freevars) \
	X(co_localsplusnames) X(co_localspluskinds) X(co_names) X(co_tlbc) \
	/* objects; ob_refcnt: free-threaded: the owner's part, 32 bits */ \
	/* ob_dict_before, ob_values_before (3.11): bytes before the object, where tp_flags say so */ \
	X(ob_type) X(ob_size) X(ob_refcnt) X(ob_dict_before) X(ob_values_before) X(tp_name) X(tp_basicsize) X(tp_itemsize) \
	X(tp_flags) X(tp_dict) X(tp_dictoffset) X(tp_base) X(tp_mro) X(tp_subclasses) \
	X(ht_cached_keys) X(ht_qualname) X(ht_bytes) \
	/* us_kind_shift: bits in us_state, then compact and ascii; us_ascii, us_compact: sizes */ \
	X(us_length) X(us_state) X(us_kind_shift) X(us_ascii) X(us_compact) X(by_data) \
	X(tu_items) X(li_items) X(in_digits) X(in_tag) /* 3.12+ */ X(fl_value) \
	/* dk_size: to 3.10; dv_size, dv_capacity, dv_valid: bytes, 3.13+ */ \
	X(di_used) X(di_keys) X(di_values) X(dk_size) X(dk_log2_size) X(dk_log2_index_bytes) \
	X(dk_kind) X(dk_nentries) X(dk_indices) X(dv_values) X(dv_size) X(dv_capacity) \
	X(dv_valid) X(se_mask) X(se_used) X(se_table) X(wr_object) X(ce_ref) X(me_func) \
	X(me_self) X(cm_ml) X(cm_self) X(md_dict) X(fn_code) X(fn_qualname) \
	/* member_descriptor, and the PyMemberDef that it points to */ \
	X(mb_member) X(mb_type) X(mb_offset) \
	/* ge_frame: to 3.10; ge_iframe: 3.11+, a frame inside; ge_code: to 3.11 */ \
	X(ge_frame) X(ge_iframe) X(ge_frame_state) X(ge_name) X(ge_qualname) X(ge_code) \
	X(ge_running) /* 3.8, 3.9 */ \
	/* lo_lock, rl_lock: a pointer to a native lock; 3.14+, and lo_lock where the type is */ \
	/* too small for lo_locked (later 3.13): a PyMutex, one byte, bit 0 locked.  rl_count: */ \
	/* depth, 3.14+: one less.  th_handle: a pointer to what th_ident is in */ \
	X(lo_lock) X(lo_locked) X(rl_lock) X(rl_owner) X(rl_count) X(th_handle) X(th_ident) \
	X(fu_loop) X(fu_callback0) X(fu_callbacks) X(fu_exception) X(fu_result) X(fu_state) \
	X(fu_awaited_by) X(fu_awaited_by_is_set) /* 3.14+: object or set; byte */ \
	X(ta_fut_waiter) X(ta_coro) X(ta_name) X(ta_node) /* 3.14+: llist node */ \
	X(fi_future) X(ag_gen) X(cw_coroutine) \
	/* fr_...: to 3.10; co_exctable: 3.11+, bytes */ \
	X(fr_iblock) X(fr_blockstack) X(fr_globals) X(if_globals) X(co_exctable) X(de_name)
/* clang-format on */

struct vz_pylayout {
	uint8_t minor; /* 3.minor */
	bool free_threaded;
	uint64_t ref_mask; /* bits of a reference on a value stack that are no address: 3.14+, 3.13t
			    */
#define VZ_PYLAYOUT_FIELD(name) uint32_t name;
	VZ_PYLAYOUT_FIELDS(VZ_PYLAYOUT_FIELD)
#undef VZ_PYLAYOUT_FIELD
};

/** The generated row for 3.MINOR, or NULL. */
const struct vz_pylayout *vz_pylayout_find(unsigned minor, bool free_threaded);
/** Row by index from 0; NULL behind the last. */
const struct vz_pylayout *vz_pylayout_row(unsigned index);
/**
 * The row, corrected by what the process says of itself at RUNTIME (_PyRuntime), and, for
 * ASYNCIO_DEBUG (3.14+, 0: none), _asyncio's own table.  -ENOTSUP: no row, or what the process
 * says makes no sense.
 */
int vz_pylayout_read(const struct vz_target *target, uint64_t runtime, uint64_t asyncio_debug,
		     unsigned minor, bool free_threaded, struct vz_pylayout *ret);
/**
 * Address of _asyncio's own table (3.14+), 0: not found, or not loaded.  No symbol leads there:
 * the data of _asyncio and of CPython is searched for it.
 */
uint64_t vz_pylayout_asyncio(const struct vz_target *target, const struct vz_maps *maps,
			     const struct vz_objects *objects, uint64_t runtime);

#endif /* VZ_ATTACH_SNAPSHOT_PYLAYOUT_H */
