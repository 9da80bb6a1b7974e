/* SPDX-License-Identifier: MIT */
/*
 * CPython 3.8-3.11: a C profile function in every thread state.
 *
 * New threads: every frame that C code starts begins in interp->eval_frame, so
 * an evaluator that installs the profile function on a thread that lacks it and
 * then jumps (not calls) to the default one sees them all and leaves nothing on
 * the C stack.  Up to 3.10 that changes nothing else.
 *
 * In 3.11 an evaluator costs: it switches off inlined calls, so that Python
 * recursion eats C stack that the program did not plan for.  There each hooked
 * thread compares the interpreter's count of thread states after every event, and
 * so adopts a thread that threading or _thread started before it runs.  The agent
 * looks as well; when it finds that C code brings threads (those that came and went
 * are counted), or where there are greenlets, the evaluator goes in after all.  It
 * knows how far each thread may go, and takes itself out before that.
 */
#include "payload/agent.h"
#include "payload/evaluator.h"
#include "payload/hook.h"
#include "payload/intern.h"
#include "payload/names.h"
#include "payload/running.h"
#include "payload/stack.h"

enum {
	TRACE_CALL = 0,
	TRACE_RETURN = 3,
	TRACE_C_CALL = 4,
	TRACE_C_EXCEPTION = 5,
	TRACE_C_RETURN = 6,
};

enum {
	TRACE_ON = 255,
	READY_TRIES = 10000,
	LOOKS = 8,            /* threads at a time */
	RUNTIME_BYTES = 2048, /* of _PyRuntime, where the running thread state is told */
};

/* Where CPython keeps the thread state that runs, in _PyRuntime. */
static uint64_t *current;
static uint32_t late_scan; /* set while the agent scans: what it finds has run unseen */
static uint32_t scanning;

/* Used by the evaluators in entry_x86_64.c. */
uint64_t vz_profile_offset;
uint64_t vz_cframe_offset;
uint64_t vz_profile_function;
void vz_profile_check(uint8_t *ts, uint64_t sp);

static void scan(void);

/* Set while some interpreter's births are not seen by an evaluator. */
static uint32_t count_births;

static inline int births_moved(const struct vz_thread *t)
{
	return __atomic_load_n(t->interp->births, __ATOMIC_RELAXED) != t->interp->seen;
}

/* Where no evaluator tells of new threads: look after each event. */
__attribute__((noinline)) static int check_births(struct vz_thread *t)
{
	/* The limit first: in a child the rest is not there. */
	if (t->limit && births_moved(t) && !t->interp->sees_births && !scanning)
		scan();
	return 0;
}

/* Another thread than at the last event. */
__attribute__((noinline)) static struct vz_thread *switch_thread(void)
{
	uint64_t ts = *current;
	struct vz_thread *t;

	if (!vz_private->alive) {
		vz_agent_in_child();
		return NULL;
	}
	t = ts ? vz_running_find(ts) : NULL;
	if (t)
		vz_running_set(t, ts);
	else
		vz_control->lost_no_slot++; /* its thread state is being taken apart */
	return t;
}

static inline struct vz_thread *last_thread(void)
{
	return VZ_LIKELY(vz_running.key == *current) ? vz_running.thread : NULL;
}

/* Off the common path, and not inlined, so that the path itself needs no stack. */
__attribute__((noinline)) static int record_slow(unsigned kind, void *code)
{
	struct vz_thread *t = last_thread();

	if (!t && !(t = switch_thread()))
		return 0;
	vz_record_code_slow(t, kind, code);
	return count_births ? check_births(t) : 0;
}

__attribute__((noinline)) static int record_c_slow(unsigned kind, void *callable)
{
	struct vz_thread *t = last_thread();

	if (!t && !(t = switch_thread()))
		return 0;
	vz_record_c_slow(t, kind, vz_load(callable, VZ_CFUNCTION_ML), callable);
	return count_births ? check_births(t) : 0;
}

static inline int done(struct vz_thread *t)
{
	return VZ_LIKELY(!count_births) || VZ_LIKELY(!births_moved(t)) ? 0 : check_births(t);
}

/* Without C calls their events must still notice that we are a child. */
__attribute__((noinline)) static int notice_child(void)
{
	if (!vz_private->alive)
		vz_agent_in_child();
	return 0;
}

static inline __attribute__((always_inline)) int on_event(void *frame, int what, void *arg,
							  int minor)
{
	struct vz_thread *t = last_thread();
	unsigned kind;
	void *code;

	if (what == TRACE_CALL || what == TRACE_RETURN) {
		/* A return without a value: an exception unwinds the frame. */
		kind = what == TRACE_CALL ? VZ_EV_CALL : arg ? VZ_EV_RETURN : VZ_EV_UNWIND;
		code = minor >= 11 ? vz_load_ptr(vz_load_ptr(frame, vz_boot.off.fr_frame),
						 vz_boot.off.if_code)
				   : vz_load_ptr(frame, vz_boot.off.fr_code);
		return VZ_LIKELY(t != NULL) && vz_record_fast(t, kind, (uint64_t)code)
			       ? done(t)
			       : record_slow(kind, code);
	}
	if (what < TRACE_C_CALL || what > TRACE_C_RETURN)
		return 0;
	if (!vz_boot.c_calls)
		return VZ_LIKELY(t && t->limit) ? 0 : notice_child();
	kind = what == TRACE_C_CALL     ? VZ_EV_C_CALL
	       : what == TRACE_C_RETURN ? VZ_EV_C_RETURN
					: VZ_EV_C_RAISE;
	return VZ_LIKELY(t != NULL) && vz_record_fast(t, kind, vz_load(arg, VZ_CFUNCTION_ML))
		       ? done(t)
		       : record_c_slow(kind, arg);
}

/*
 * 3.8-3.10.  SELF is NULL: what is there, sys.getprofile() would show to the program,
 * which may keep it or set it again.
 */
static int on_event_10(void *self, void *frame, int what, void *arg)
{
	(void)self;
	return on_event(frame, what, arg, 10);
}

static int on_event_11(void *self, void *frame, int what, void *arg)
{
	(void)self;
	return on_event(frame, what, arg, 11);
}

static int is_ours(const void *function)
{
	return (uint64_t)function == vz_profile_function;
}

static void *profile_function(const uint8_t *ts)
{
	return vz_load_ptr(ts, vz_boot.off.ts_c_profilefunc);
}

/* 3.8 has no function that sets it for another thread; these are the words that its own setter
 * writes. */
static void set_by_hand(uint8_t *ts, void *function)
{
	void **obj = (void **)(ts + vz_boot.off.ts_c_profileobj), *old = *obj;
	void *trace = vz_load_ptr(ts, vz_boot.off.ts_c_tracefunc);

	*(void **)(ts + vz_boot.off.ts_c_profilefunc) = NULL;
	*obj = NULL;
	if (vz_boot.off.ts_use_tracing != VZ_NO_OFFSET)
		*(int32_t *)(ts + vz_boot.off.ts_use_tracing) = function || trace;
	*(void **)(ts + vz_boot.off.ts_c_profilefunc) = function;
	vz_xdecref(old);
}

/* CPython 3.10 and 3.11 keep the tracing flag on the C stack; greenlets bring back one from before
 * us. */
static void trace_this_stack(uint8_t *ts)
{
	uint8_t *flag;

	if (vz_boot.off.cf_use_tracing == VZ_NO_OFFSET)
		return;
	flag = (uint8_t *)vz_load_ptr(ts, vz_boot.off.ts_cframe) + vz_boot.off.cf_use_tracing;
	if (!*flag && *(int32_t *)(ts + vz_boot.off.ts_tracing) == 0)
		*flag = TRACE_ON;
}

static int set_profile(uint8_t *ts, void *function)
{
	struct vz_saved_error saved;
	int rc;

	if (!VZ_PY_HAS(_PyEval_SetProfile) || vz_boot.py_minor < 9) {
		set_by_hand(ts, function);
		return 0;
	}
	/* May run audit hooks, which may veto. */
	vz_error_save(&saved);
	rc = VZ_PY(_PyEval_SetProfile, int, void *, void *, void *)(ts, function, NULL);
	if (rc < 0)
		VZ_PY(PyErr_Clear, void, void)();
	vz_error_restore(&saved);
	return rc;
}

static struct vz_interp *interp_of(const uint8_t *ts)
{
	uint8_t *is = vz_load_ptr(ts, vz_boot.off.ts_interp);

	for (int i = 0; i < VZ_MAX_INTERPS; i++)
		if (vz_interps[i].is == is)
			return &vz_interps[i];
	return NULL;
}

/*
 * The dict of TS, made if need be.  An exception that is set keeps CPython from
 * collecting garbage for it: finalizers of the program are not for our thread.
 */
static void *dict_of(uint8_t *ts)
{
	void **dict = (void **)(ts + vz_boot.off.ts_dict);
	PyObj *any = VZ_PY_DATA(PyType_Type);

	if (!*dict) {
		vz_incref(any);
		VZ_PY(PyErr_Restore, void, void *, void *, void *)(any, NULL, NULL);
		*dict = VZ_PY(PyDict_New, void *, void)();
		VZ_PY(PyErr_Clear, void, void)();
	}
	return *dict;
}

static int bind(struct vz_thread *t, uint8_t *ts)
{
	struct vz_saved_error saved;

	vz_error_save(&saved);
	vz_running_add(t, (uint64_t)ts);
	if (!vz_sentinel_put(t, dict_of(ts)))
		vz_running_close(t);
	vz_error_restore(&saved);
	return t->in_use;
}

static int adopt(uint8_t *ts, unsigned flags)
{
	struct vz_interp *in = interp_of(ts);
	struct vz_thread *t;
	uint32_t depth;

	if (vz_ts_is_agent(ts) || !in || profile_function(ts))
		return 0; /* ours already, or somebody else's: left alone */
	t = vz_thread_open(ts, vz_load(ts, vz_boot.off.ts_thread_id), vz_ts_tid(ts), flags);
	if (!t || !bind(t, ts))
		return 0;
	t->interp = in;
	t->slot->interp = in->id;
	depth = vz_ring_stack(t, VZ_STACK_AT_ATTACH, 0);
	/* A thread that has not begun still bears its maker's numbers: it will tell its own. */
	if (depth)
		vz_name_thread(t);
	else
		t->self = t->slot->tid = 0;
	/* With frames on its stack it has run; without, it may have if nobody saw it come. */
	if (late_scan && (depth || !in->sees_births)) {
		t->slot->flags |= VZ_SLOT_ADOPTED_LATE;
		vz_control->threads_late++;
	}
	if (*current != (uint64_t)vz_agent_ts) {
		/* On a thread of the program, whose audit hooks and whose use of the setter (which
		 * is not reentrant) are not to be met with in the midst of anything. */
		set_by_hand(ts, (void *)vz_profile_function);
		trace_this_stack(ts);
	} else if (set_profile(ts, (void *)vz_profile_function) < 0) {
		vz_sentinel_drop(ts);
		return -1;
	}
	return 1;
}

static uint32_t evaluator_wanted; /* 3.11 only, see above */

static void set_count_births(void)
{
	count_births = 0;
	for (int i = 0; i < VZ_MAX_INTERPS; i++)
		count_births |=
			vz_interps[i].is && vz_interps[i].hooked && !vz_interps[i].sees_births;
}

/* Another evaluator (a debugger, a compiler) stays; then new threads are found by counting. */
static void hook_eval_frame(struct vz_interp *in)
{
	if ((vz_boot.py_minor < 11 || evaluator_wanted) && !in->no_evaluator &&
	    vz_get_evaluator(in->is) == (void *)vz_default_eval) {
		vz_set_evaluator(in->is, vz_evaluator());
		in->sees_births = 1;
	}
	set_count_births();
}

static void unhook_eval_frame(struct vz_interp *in)
{
	if (vz_get_evaluator(in->is) == vz_evaluator())
		vz_set_evaluator(in->is, (void *)vz_default_eval);
	in->sees_births = 0;
	in->no_evaluator = 1;
	set_count_births();
}

/* The evaluators' slow path, on the thread of TS, before a frame starts. */
void vz_profile_check(uint8_t *ts, uint64_t sp)
{
	struct vz_interp *in;

	if (!vz_private->alive) {
		vz_agent_in_child();
		return;
	}
	if (!is_ours(profile_function(ts))) {
		if (!interp_of(ts))
			vz_interps_refresh();
		if (adopt(ts, 0) > 0) {
			vz_control->threads_adopted++;
			interp_of(ts)->adopted++;
		}
	}
	if (!is_ours(profile_function(ts)))
		return;
	trace_this_stack(ts);
	if (vz_running.key != (uint64_t)ts && !switch_thread())
		return;
	if (*vz_running.floor == UINT64_MAX)
		*vz_running.floor = vz_boot.py_minor == 11 ? vz_find_floor(sp) : 0;
	in = interp_of(ts);
	if (sp < *vz_running.floor && in) {
		in->seen = __atomic_load_n(in->births, __ATOMIC_RELAXED);
		unhook_eval_frame(in);
	}
}

/* An audit hook may have run Python code and let others run: then the list may be another one. */
static uint64_t gil_switches(void)
{
	const uint8_t *gil = (const uint8_t *)VZ_PY_DATA(_PyRuntime) + vz_boot.off.rt_gil;

	return vz_load(gil, vz_boot.off.gil_switch_number);
}

/* The agent makes its thread states in the main interpreter. */
static uint64_t births_of_others(const struct vz_interp *in, uint64_t births)
{
	return in->id ? births : births - __atomic_load_n(&vz_agent_births, __ATOMIC_ACQUIRE);
}

/*
 * Thread states that came and went between two looks.  Counted from the beginning
 * each time, so that one that is just being made does no lasting harm.
 */
static void count_missed(struct vz_interp *in, uint64_t births, int adopted)
{
	uint64_t others = births_of_others(in, births);

	in->adopted += (uint64_t)adopted;
	if (!in->hooked) {
		in->first = others;
		in->adopted = 0;
	} else if (!in->sees_births && (int64_t)(others - in->first - in->adopted) > 0) {
		vz_control->threads_missed = (uint32_t)(others - in->first - in->adopted);
	} else if (!in->sees_births) {
		vz_control->threads_missed = 0;
	}
}

static int scan_interp(struct vz_interp *in, unsigned flags)
{
	uint64_t switches = gil_switches();
	uint64_t births = __atomic_load_n(in->births, __ATOMIC_RELAXED);
	int n, adopted = 0, ready = 1;
	uint8_t *ts;

	ts = VZ_PY(PyInterpreterState_ThreadHead, uint8_t *, void *)(in->is);
	while (ts) {
		if (!vz_ts_ready(ts)) { /* the list goes on behind it, but how is not known yet */
			ready = 0;
			break;
		}
		n = adopt(ts, flags);
		if (n < 0)
			return n;
		adopted += n;
		if (gil_switches() == switches) {
			ts = VZ_PY(PyThreadState_Next, uint8_t *, void *)(ts);
			continue;
		}
		switches = gil_switches();
		ts = VZ_PY(PyInterpreterState_ThreadHead, uint8_t *, void *)(in->is);
	}
	if (ready) { /* else the next event, or the agent, looks again */
		count_missed(in, births, adopted);
		in->seen = births;
	}
	if (!in->hooked) {
		in->hooked = 1;
		vz_control->interps_hooked++;
		hook_eval_frame(in);
	}
	return adopted;
}

static void scan(void)
{
	int n;

	scanning = 1;
	vz_interps_refresh();
	for (int i = 0; i < VZ_MAX_INTERPS; i++) {
		if (!vz_interps[i].is || vz_interps[i].own_gil)
			continue;
		n = scan_interp(&vz_interps[i], 0);
		if (n > 0)
			vz_control->threads_adopted += (uint32_t)n;
	}
	scanning = 0;
}

static void want_evaluator(void)
{
	evaluator_wanted = 1;
	for (int i = 0; i < VZ_MAX_INTERPS; i++)
		if (vz_interps[i].is && vz_interps[i].hooked)
			hook_eval_frame(&vz_interps[i]);
}

static void agent_scan(void)
{
	uint32_t before = vz_control->threads_late + vz_control->threads_missed;

	late_scan = 1;
	scan();
	late_scan = 0;
	if (vz_control->threads_late + vz_control->threads_missed != before && !evaluator_wanted)
		want_evaluator();
}

/* Greenlets that were suspended before us come back with tracing off; only the evaluator sees them.
 */
static int greenlets_loaded(void)
{
	void *modules = VZ_PY(PySys_GetObject, void *, const char *)("modules");
	int loaded = modules && VZ_PY(PyDict_GetItemString, void *, void *,
				      const char *)(modules, "greenlet") != NULL;

	if (VZ_PY(PyErr_Occurred, void *, void)())
		VZ_PY(PyErr_Clear, void, void)();
	return loaded;
}

static int foreign_profiler(void)
{
	for (int i = 0; i < VZ_MAX_INTERPS; i++) {
		uint8_t *ts = vz_interps[i].is ? VZ_PY(PyInterpreterState_ThreadHead, uint8_t *,
						       void *)(vz_interps[i].is)
					       : NULL;

		for (; ts; ts = VZ_PY(PyThreadState_Next, uint8_t *, void *)(ts))
			if (vz_ts_ready(ts) && profile_function(ts))
				return 1;
	}
	return 0;
}

/* To leave somebody out here would be to leave a hook behind: wait until the list is whole. */
static void wait_ready(const uint8_t *ts)
{
	for (int i = 0; i < READY_TRIES && !vz_ts_ready(ts); i++)
		vz_sleep_ns(100 * 1000);
}

static unsigned remove_hooks(void)
{
	unsigned left = 0;

	for (uint8_t *is = VZ_PY(PyInterpreterState_Head, uint8_t *, void)(); is;
	     is = VZ_PY(PyInterpreterState_Next, uint8_t *, void *)(is)) {
		uint8_t *ts;

		if (vz_get_evaluator(is) == vz_evaluator())
			vz_set_evaluator(is, (void *)vz_default_eval);
		ts = VZ_PY(PyInterpreterState_ThreadHead, uint8_t *, void *)(is);
		for (; ts; ts = VZ_PY(PyThreadState_Next, uint8_t *, void *)(ts)) {
			wait_ready(ts);
			vz_sentinel_drop(ts);
			if (is_ours(profile_function(ts)) && set_profile(ts, NULL) < 0)
				set_by_hand(ts, NULL); /* vetoed: we still must leave */
			left += is_ours(profile_function(ts));
		}
		left += vz_get_evaluator(is) == vz_evaluator();
	}
	return left;
}

/* _PyRuntime.gilstate.tstate_current: the one word there that follows a swap. */
static uint64_t *find_current(void)
{
	uint8_t *runtime = VZ_PY_DATA(_PyRuntime), *mine = vz_ts_current();

	for (uint32_t at = 0; at < RUNTIME_BYTES; at += 8) {
		uint64_t *word = (uint64_t *)(runtime + at);
		int follows;

		if (*(volatile uint64_t *)word != (uint64_t)mine)
			continue;
		VZ_PY(PyThreadState_Swap, uint8_t *, void *)(NULL);
		follows = *(volatile uint64_t *)word == 0;
		VZ_PY(PyThreadState_Swap, uint8_t *, void *)(mine);
		if (follows)
			return word;
	}
	return NULL;
}

static uint32_t install(void)
{
	current = find_current();
	if (!current)
		return vz_fail(VZ_AGENT_LAYOUT, "where the running thread is told was not found");
	vz_profile_offset = vz_boot.off.ts_c_profilefunc;
	vz_cframe_offset = vz_boot.off.ts_cframe;
	vz_profile_function = (uint64_t)(vz_boot.py_minor >= 11 ? on_event_11 : on_event_10);
	vz_default_eval = vz_boot.py[VZ_SYM__PyEval_EvalFrameDefault];
	evaluator_wanted = (uint32_t)greenlets_loaded();
	vz_interps_refresh();
	if (foreign_profiler())
		return vz_fail(VZ_AGENT_PROFILER, "a profile function was installed meanwhile");
	for (int i = 0; i < VZ_MAX_INTERPS; i++) {
		int n;

		if (!vz_interps[i].is || vz_interps[i].own_gil)
			continue;
		n = scan_interp(&vz_interps[i], VZ_SLOT_AT_ATTACH);
		if (n < 0) {
			remove_hooks();
			return vz_fail(VZ_AGENT_VETO, "its audit hook refused sys.setprofile");
		}
		vz_control->threads_at_attach += (uint32_t)n;
	}
	return VZ_AGENT_OK;
}

/* sys.setprofile(None) took it out, and no evaluator puts it back. */
static int bare(void)
{
	static uint32_t next;
	uint32_t used = vz_control->nslots_used;

	for (uint32_t i = 0; count_births && i < LOOKS && i + 1 < used; i++) {
		struct vz_thread *t = &vz_private->threads[1 + next++ % (used - 1)];
		uint64_t function;

		/* The thread may end meanwhile: then this is a look too many. */
		if (t->bound &&
		    !vz_read_self((uint64_t)t->ts + vz_boot.off.ts_c_profilefunc, &function, 8) &&
		    !function)
			return 1;
	}
	return 0;
}

const struct vz_hook_ops vz_hook_profile = { install, agent_scan, bare, remove_hooks };
