/* SPDX-License-Identifier: MIT */
/*
 * CPython 3.8-3.11: a C profile function in every thread state.
 *
 * New threads: up to 3.10 every frame starts in interp->eval_frame, so an
 * evaluator that installs the profile function on a thread that lacks it and
 * then jumps (not calls) to the default one sees them all and leaves nothing on
 * the C stack.  In 3.11 an evaluator would switch off inlined calls, which eats C
 * stack that the program did not plan for; there each hooked thread compares the
 * interpreter's count of thread states after every event, and so adopts a
 * thread that threading or _thread started before it runs; the agent looks as
 * well, for threads that C code brings.
 */
#include "payload/agent.h"
#include "payload/hook.h"
#include "payload/intern.h"
#include "payload/names.h"
#include "payload/stack.h"

enum {
	TRACE_CALL = 0,
	TRACE_RETURN = 3,
	TRACE_C_CALL = 4,
	TRACE_C_EXCEPTION = 5,
	TRACE_C_RETURN = 6,
};

/* What CPython holds for us in c_profileobj: it dies with the thread state. */
struct thread_object {
	int64_t refcnt;
	void *type;
	struct vz_thread *thread;
};

static struct thread_object objects[VZ_MAX_SLOTS];
static struct vz_pytype object_type;
static uint32_t late_scan; /* set while the agent scans: what it finds has run unseen */
static uint32_t scanning;

/* Used by the evaluators in entry_x86_64.c. */
uint64_t vz_profile_offset;
uint64_t vz_profile_function;
uint64_t vz_default_eval;
void vz_eval_frame_38(void);
void vz_eval_frame_39(void);
void vz_profile_adopt(uint8_t *ts);

static void scan(void);

static void on_object_dealloc(void *self)
{
	struct thread_object *object = self;

	vz_thread_close(object->thread);
}

static int births_moved(const struct vz_thread *t)
{
	return vz_boot.adopt == VZ_ADOPT_COUNTER &&
	       VZ_UNLIKELY(__atomic_load_n(t->interp->births, __ATOMIC_RELAXED) !=
			   t->interp->seen);
}

static void *frame_code(void *frame)
{
	if (vz_boot.off.fr_frame != VZ_NO_OFFSET)
		return vz_load_ptr(vz_load_ptr(frame, vz_boot.off.fr_frame), vz_boot.off.if_code);
	return vz_load_ptr(frame, vz_boot.off.fr_code);
}

static int on_event(void *self, void *frame, int what, void *arg)
{
	struct vz_thread *t = ((struct thread_object *)self)->thread;
	int put;

	switch (what) {
	case TRACE_CALL:
		put = vz_put(t, VZ_EV_CALL, vz_intern_code(frame_code(frame)));
		break;
	case TRACE_RETURN: /* no value: an exception unwinds the frame */
		put = vz_put(t, arg ? VZ_EV_RETURN : VZ_EV_UNWIND,
			     vz_intern_code(frame_code(frame)));
		break;
	case TRACE_C_CALL:
	case TRACE_C_EXCEPTION:
	case TRACE_C_RETURN:
		if (!vz_boot.c_calls) {
			put = t->limit != 0;
			break;
		}
		put = vz_put(t,
			     what == TRACE_C_CALL     ? VZ_EV_C_CALL
			     : what == TRACE_C_RETURN ? VZ_EV_C_RETURN
						      : VZ_EV_C_RAISE,
			     vz_intern_c(vz_load(arg, VZ_CFUNCTION_ML), arg));
		break;
	default:
		return 0;
	}
	if (put && births_moved(t) && !scanning)
		scan();
	return 0;
}

static void *profile_function(const uint8_t *ts)
{
	return vz_load_ptr(ts, vz_boot.off.ts_c_profilefunc);
}

/* 3.8 has no function that sets it for another thread; these are the words that its own setter writes. */
static void set_by_hand(uint8_t *ts, void *function, struct thread_object *object)
{
	void **obj = (void **)(ts + vz_boot.off.ts_c_profileobj), *old = *obj;
	void *trace = vz_load_ptr(ts, vz_boot.off.ts_c_tracefunc);

	if (object)
		object->refcnt++;
	*(void **)(ts + vz_boot.off.ts_c_profilefunc) = NULL;
	*obj = object;
	if (vz_boot.off.ts_use_tracing != VZ_NO_OFFSET)
		*(int32_t *)(ts + vz_boot.off.ts_use_tracing) = function || trace;
	*(void **)(ts + vz_boot.off.ts_c_profilefunc) = function;
	vz_xdecref(old);
}

static int set_profile(uint8_t *ts, void *function, struct thread_object *object)
{
	struct vz_saved_error saved;
	int rc;

	if (!VZ_PY_HAS(_PyEval_SetProfile) || vz_boot.py_minor < 9) {
		set_by_hand(ts, function, object);
		return 0;
	}
	/* May run audit hooks, which may veto. */
	vz_error_save(&saved);
	rc = VZ_PY(_PyEval_SetProfile, int, void *, void *, void *)(ts, function, object);
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

static int adopt(uint8_t *ts, unsigned flags)
{
	struct vz_interp *in = interp_of(ts);
	struct thread_object *object;
	struct vz_thread *t;
	uint32_t depth;

	if (ts == vz_agent_ts || !in || profile_function(ts))
		return 0; /* ours already, or somebody else's: left alone */
	t = vz_thread_open(ts, vz_load(ts, vz_boot.off.ts_thread_id), vz_ts_tid(ts), flags);
	if (!t)
		return 0;
	object = &objects[t->index];
	*object = (struct thread_object){ .type = &object_type, .thread = t };
	t->interp = in;
	t->bound = 1;
	t->slot->interp = in->id;
	vz_name_thread(t);
	depth = vz_ring_stack(t, VZ_STACK_AT_ATTACH, 0);
	/* With frames on its stack it has run; without, one that C code brought may have. */
	if (late_scan && (depth || (t->self && vz_boot.adopt == VZ_ADOPT_COUNTER))) {
		t->slot->flags |= VZ_SLOT_ADOPTED_LATE;
		vz_control->threads_late++;
	}
	if (set_profile(ts, (void *)on_event, object) < 0) {
		vz_thread_close(t);
		return -1;
	}
	return 1;
}

/* The evaluators' slow path: a thread whose first frame is about to start. */
void vz_profile_adopt(uint8_t *ts)
{
	if (!vz_private->alive) {
		vz_agent_in_child();
		return;
	}
	if (!interp_of(ts))
		vz_interps_refresh();
	if (adopt(ts, 0) > 0)
		vz_control->threads_adopted++;
}

static void *get_eval_frame(uint8_t *is)
{
	return vz_load_ptr(is, vz_boot.off.is_eval_frame);
}

static void set_eval_frame(uint8_t *is, void *function)
{
	if (VZ_PY_HAS(_PyInterpreterState_SetEvalFrameFunc))
		VZ_PY(_PyInterpreterState_SetEvalFrameFunc, void, void *, void *)(is, function);
	else
		*(void **)(is + vz_boot.off.is_eval_frame) = function;
}

static void *evaluator(void)
{
	return vz_boot.py_minor < 9 ? (void *)vz_eval_frame_38 : (void *)vz_eval_frame_39;
}

/* Another evaluator (a debugger, a compiler) stays; then new threads are found by the agent only. */
static void hook_eval_frame(struct vz_interp *in)
{
	if (vz_boot.adopt == VZ_ADOPT_EVAL_FRAME &&
	    get_eval_frame(in->is) == (void *)vz_default_eval) {
		set_eval_frame(in->is, evaluator());
		in->sees_births = 1;
	}
}

/* An audit hook may have run Python code and let others run: then the list may be another one. */
static uint64_t gil_switches(void)
{
	const uint8_t *gil = (const uint8_t *)VZ_PY_DATA(_PyRuntime) + vz_boot.off.rt_gil;

	return vz_load(gil, vz_boot.off.gil_switch_number);
}

static int scan_interp(struct vz_interp *in, unsigned flags)
{
	uint64_t switches = gil_switches();
	uint8_t *ts;
	int n, adopted = 0;

	in->seen = __atomic_load_n(in->births, __ATOMIC_RELAXED);
	ts = VZ_PY(PyInterpreterState_ThreadHead, uint8_t *, void *)(in->is);
	while (ts) {
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

static void agent_scan(void)
{
	late_scan = 1;
	scan();
	late_scan = 0;
}

static int foreign_profiler(void)
{
	for (int i = 0; i < VZ_MAX_INTERPS; i++) {
		uint8_t *ts = vz_interps[i].is ? VZ_PY(PyInterpreterState_ThreadHead, uint8_t *,
						       void *)(vz_interps[i].is)
					       : NULL;

		for (; ts; ts = VZ_PY(PyThreadState_Next, uint8_t *, void *)(ts))
			if (profile_function(ts))
				return 1;
	}
	return 0;
}

static unsigned remove_hooks(void)
{
	unsigned left = 0;

	for (uint8_t *is = VZ_PY(PyInterpreterState_Head, uint8_t *, void)(); is;
	     is = VZ_PY(PyInterpreterState_Next, uint8_t *, void *)(is)) {
		uint8_t *ts;

		if (get_eval_frame(is) == evaluator())
			set_eval_frame(is, (void *)vz_default_eval);
		ts = VZ_PY(PyInterpreterState_ThreadHead, uint8_t *, void *)(is);
		for (; ts; ts = VZ_PY(PyThreadState_Next, uint8_t *, void *)(ts)) {
			if (profile_function(ts) == (void *)on_event &&
			    set_profile(ts, NULL, NULL) < 0)
				set_by_hand(ts, NULL, NULL); /* vetoed: we still must leave */
			left += profile_function(ts) == (void *)on_event;
		}
		left += get_eval_frame(is) == evaluator();
	}
	return left;
}

static uint32_t install(void)
{
	vz_pytype_init(&object_type, "vizattach", sizeof(struct thread_object), on_object_dealloc);
	vz_profile_offset = vz_boot.off.ts_c_profilefunc;
	vz_profile_function = (uint64_t)on_event;
	vz_default_eval = vz_boot.py[VZ_SYM__PyEval_EvalFrameDefault];
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
			return vz_fail(VZ_AGENT_PYTHON_ERROR, "an audit hook refused sys.setprofile");
		}
		vz_control->threads_at_attach += (uint32_t)n;
	}
	return VZ_AGENT_OK;
}

const struct vz_hook_ops vz_hook_profile = { install, agent_scan, remove_hooks };
