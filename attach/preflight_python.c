/* SPDX-License-Identifier: MIT */
/*
 * preflight_python.c - CPython as seen from outside, while it runs: interpreters and
 * threads come and go between two reads, so what does not fit together is read again,
 * and only what the main interpreter shows every time is believed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "attach/preflight.h"
#include "attach/util.h"

enum {
	TRIES = 5,
	MAX_INTERPRETERS = 4096,
	MAX_THREADS = 1 << 18,
	WATCH_PAUSE_NS = 1000 * 1000,
	/* In every CPython without Py_TRACE_REFS: PyObject.ob_type; tp_name, tp_base of
	   PyTypeObject. */
	OBJECT_TYPE = 8,
	TYPE_NAME = 24,
	TYPE_BASE = 256,
	MAX_BASES = 8,
	/* struct pthread.tid of glibc on x86-64 since 2.4; used only if a thread has that number */
	PTHREAD_TID = 720,
};

static int read_word(const struct vz_target *target, uint64_t raddr, uint64_t *ret)
{
	return vz_target_read(target, raddr, ret, sizeof(*ret));
}

static uint64_t runtime_raddr(const struct vz_python *python)
{
	return python->py[VZ_SYM__PyRuntime];
}

static int refuse(const struct vz_target *target, enum vz_exit exit, int rc, struct vz_err *err)
{
	return vz_err_set(err, exit, rc, "cannot attach to %d (%s)", (int)target->pid,
			  target->comm);
}

/* ---- threads ---- */

/* The kernel's number of the thread that a PyThreadState belongs to; 0: unknown. */
static pid_t thread_number(const struct vz_target *target, const struct vz_python *python,
			   uint64_t tstate)
{
	const struct vz_py_offsets *off = &python->ver->off;
	struct vz_tasks tasks;
	struct vz_err ignored;
	uint64_t number = 0, pthread;
	pid_t ret = 0;

	if (off->ts_native_thread_id != VZ_NO_OFFSET) {
		if (read_word(target, tstate + off->ts_native_thread_id, &number) < 0)
			return 0;
	} else if (read_word(target, tstate + off->ts_thread_id, &pthread) < 0 ||
		   read_word(target, pthread + PTHREAD_TID, &number) < 0) {
		return 0;
	}
	number &= UINT32_MAX;
	if (vz_tasks_read(target->pid, &tasks, &ignored) < 0)
		return 0;
	for (size_t i = 0; i < tasks.count; i++) {
		if ((uint64_t)tasks.items[i].ns_tid == number)
			ret = tasks.items[i].tid;
	}
	vz_tasks_fini(&tasks);
	return ret;
}

/* ---- do the structures look like the table says? ---- */

struct layout {
	uint64_t main_interp;
	uint64_t first_thread; /* of the main interpreter, 0: none */
	uint64_t eval_frame;
};

static int find_main(const struct vz_target *target, const struct vz_python *python,
		     struct layout *ret)
{
	const struct vz_py_offsets *off = &python->ver->off;
	uint64_t runtime = runtime_raddr(python), interp, main_interp;

	if (read_word(target, runtime + off->rt_interpreters_main, &main_interp) < 0 ||
	    read_word(target, runtime + off->rt_interpreters_head, &interp) < 0)
		return -EFAULT;
	for (int i = 0; interp && i < MAX_INTERPRETERS; i++) {
		if (interp == main_interp) {
			ret->main_interp = main_interp;
			return 0;
		}
		if (read_word(target, interp + off->is_next, &interp) < 0)
			return -EFAULT;
	}
	return -EINVAL;
}

static int check_layout_once(const struct vz_target *target, const struct vz_maps *maps,
			     const struct vz_python *python, struct layout *ret)
{
	const struct vz_py_offsets *off = &python->ver->off;
	uint64_t id, next_id, thread, owner, thread_id;
	const struct vz_map *map;
	int rc = find_main(target, python, ret);

	if (rc < 0)
		return rc;
	if (read_word(target, ret->main_interp + off->is_id, &id) < 0 ||
	    read_word(target, ret->main_interp + off->is_next_unique_id, &next_id) < 0 ||
	    read_word(target, ret->main_interp + off->is_eval_frame, &ret->eval_frame) < 0 ||
	    read_word(target, ret->main_interp + off->is_threads_head, &thread) < 0)
		return -EFAULT;
	map = vz_maps_find(maps, ret->eval_frame);
	/* From 3.11 on none at all means the default one. */
	if (id != 0 || (ret->eval_frame ? !map || !map->executable : python->minor < 11))
		return -EINVAL;
	ret->first_thread = thread;
	if (!thread)
		return 0;
	if (read_word(target, thread + off->ts_interp, &owner) < 0 ||
	    read_word(target, thread + off->ts_id, &thread_id) < 0)
		return -EFAULT;
	return owner == ret->main_interp && thread_id <= next_id ? 0 : -EINVAL;
}

static int check_layout(const struct vz_target *target, const struct vz_maps *maps,
			const struct vz_python *python, struct layout *ret, struct vz_err *err)
{
	for (int i = 0; i < TRIES; i++) {
		memset(ret, 0, sizeof(*ret));
		if (check_layout_once(target, maps, python, ret) == 0)
			return 0;
	}
	if (!vz_target_alive(target))
		return vz_err_set(err, VZ_EXIT_NO_PROCESS, ESRCH, "process %d (%s) has ended",
				  (int)target->pid, target->comm);
	refuse(target, VZ_EXIT_UNSUPPORTED, ENOTSUP, err);
	vz_err_why(err, "its structures are not where CPython %s has them: a modified %sbuild",
		   python->version, python->debug_build ? "or debug " : "");
	return -ENOTSUP;
}

/* ---- what is in the way ---- */

struct foreign {
	uint64_t tstate, function, argument;
};

static int check_finalizing(const struct vz_target *target, const struct vz_python *python,
			    struct vz_err *err)
{
	uint64_t finalizing = 0;

	read_word(target, runtime_raddr(python) + python->ver->off.rt_finalizing, &finalizing);
	if (!finalizing)
		return 0;
	refuse(target, VZ_EXIT_UNSAFE, EBUSY, err);
	vz_err_why(err, "its interpreter is shutting down");
	return -EBUSY;
}

static void library_name(const struct vz_objects *objects, uint64_t function, char *buf,
			 size_t size)
{
	const struct vz_object *object = vz_objects_find(objects, function);

	if (object)
		snprintf(buf, size, "%s", vz_basename(vz_object_path(object)));
	else
		snprintf(buf, size, "generated code");
}

/* Is the type of the object at RADDR called NAME, or derived from such a type? */
static bool is_instance(const struct vz_target *target, uint64_t raddr, const char *name)
{
	uint64_t type, name_raddr;
	char text[32];

	if (read_word(target, raddr + OBJECT_TYPE, &type) < 0)
		return false;
	for (int i = 0; type && i < MAX_BASES; i++) {
		if (read_word(target, type + TYPE_NAME, &name_raddr) < 0 ||
		    vz_target_read_string(target, name_raddr, text, sizeof(text)) < 0)
			return false;
		if (!strcmp(text, name))
			return true;
		if (read_word(target, type + TYPE_BASE, &type) < 0)
			return false;
	}
	return false;
}

/* Both may live in one library: cProfile is told by its argument, a Profiler. */
static void profiler_name(const struct vz_target *target, const struct vz_objects *objects,
			  const struct vz_python *python, const struct foreign *foreign, char *buf,
			  size_t size)
{
	const struct vz_object *object = vz_objects_find(objects, foreign->function);

	if (is_instance(target, foreign->argument, "_lsprof.Profiler"))
		snprintf(buf, size, "cProfile");
	else if (object && !strcmp(vz_object_path(object), python->path))
		snprintf(buf, size, "sys.setprofile");
	else
		library_name(objects, foreign->function, buf, size);
}

/* 1: found one, 0: none, negative: the list changed while it was read. */
static int find_profiler_in(const struct vz_target *target, const struct vz_python *python,
			    uint64_t interp, struct foreign *ret)
{
	const struct vz_py_offsets *off = &python->ver->off;
	uint64_t tstate, owner;

	if (read_word(target, interp + off->is_threads_head, &tstate) < 0)
		return -EFAULT;
	for (int i = 0; tstate && i < MAX_THREADS; i++) {
		uint64_t next;

		ret->tstate = tstate;
		if (read_word(target, tstate + off->ts_interp, &owner) < 0 || owner != interp ||
		    read_word(target, tstate + off->ts_c_profilefunc, &ret->function) < 0 ||
		    read_word(target, tstate + off->ts_c_profileobj, &ret->argument) < 0 ||
		    read_word(target, tstate + off->ts_next, &next) < 0)
			return -EAGAIN;
		if (ret->function)
			return 1;
		tstate = next;
	}
	return 0;
}

static int find_profiler(const struct vz_target *target, const struct vz_python *python,
			 struct foreign *ret)
{
	const struct vz_py_offsets *off = &python->ver->off;
	uint64_t interp;

	if (read_word(target, runtime_raddr(python) + off->rt_interpreters_head, &interp) < 0)
		return -EFAULT;
	for (int i = 0; interp && i < MAX_INTERPRETERS; i++) {
		int rc = find_profiler_in(target, python, interp, ret);

		if (rc != 0)
			return rc;
		if (read_word(target, interp + off->is_next, &interp) < 0)
			return -EAGAIN;
	}
	return 0;
}

static int check_profiler(const struct vz_target *target, const struct vz_objects *objects,
			  const struct vz_python *python, struct vz_err *err)
{
	struct foreign foreign;
	char name[128], thread[32] = "";
	pid_t tid;
	int rc = -EAGAIN;

	for (int i = 0; i < TRIES && rc < 0; i++)
		rc = find_profiler(target, python, &foreign);
	if (rc <= 0) /* too lively to tell: the agent looks again, with the GIL */
		return 0;
	profiler_name(target, objects, python, &foreign, name, sizeof(name));
	tid = thread_number(target, python, foreign.tstate);
	if (tid)
		snprintf(thread, sizeof(thread), " in thread %d", (int)tid);
	refuse(target, VZ_EXIT_BUSY, EBUSY, err);
	vz_err_why(err, "another profiler is installed%s: %s", thread, name);
	vz_err_try(err, "end that profiler first, then run again");
	return -EBUSY;
}

static int check_eval_frame(const struct vz_target *target, const struct vz_objects *objects,
			    const struct vz_python *python, uint64_t eval_frame, struct vz_err *err)
{
	char name[128];

	if (python->ver->adopt != VZ_ADOPT_EVAL_FRAME || !eval_frame ||
	    eval_frame == python->py[VZ_SYM__PyEval_EvalFrameDefault])
		return 0;
	library_name(objects, eval_frame, name, sizeof(name));
	refuse(target, VZ_EXIT_BUSY, EBUSY, err);
	vz_err_why(err, "another tool evaluates its frames: %s", name);
	vz_err_try(err, "end that debugger or compiler first, then run again");
	return -EBUSY;
}

int vz_preflight_python(const struct vz_target *target, const struct vz_maps *maps,
			const struct vz_objects *objects, const struct vz_python *python,
			struct vz_err *err)
{
	struct layout layout;
	int rc = check_finalizing(target, python, err);

	if (rc == 0)
		rc = check_layout(target, maps, python, &layout, err);
	if (rc < 0 || python->ver->hook != VZ_HOOK_PROFILE)
		return rc;
	rc = check_profiler(target, objects, python, err);
	if (rc < 0)
		return rc;
	return check_eval_frame(target, objects, python, layout.eval_frame, err);
}

/* ---- the GIL ---- */

struct gil_sample {
	uint64_t holder, switches;
	int32_t locked;
};

static uint64_t gil_raddr(const struct vz_target *target, const struct vz_python *python)
{
	const struct vz_py_offsets *off = &python->ver->off;
	uint64_t interp, gil;

	if (off->rt_gil != VZ_NO_OFFSET)
		return runtime_raddr(python) + off->rt_gil;
	if (off->is_gil == VZ_NO_OFFSET ||
	    read_word(target, runtime_raddr(python) + off->rt_interpreters_main, &interp) < 0 ||
	    read_word(target, interp + off->is_gil, &gil) < 0)
		return 0;
	return gil;
}

static bool sample_gil(const struct vz_target *target, const struct vz_python *python, uint64_t gil,
		       struct gil_sample *ret)
{
	const struct vz_py_offsets *off = &python->ver->off;

	return read_word(target, gil + off->gil_last_holder, &ret->holder) == 0 &&
	       read_word(target, gil + off->gil_switch_number, &ret->switches) == 0 &&
	       vz_target_read(target, gil + off->gil_locked, &ret->locked, sizeof(ret->locked)) ==
		       0 &&
	       (ret->locked == 0 || ret->locked == 1);
}

void vz_gil_watch(const struct vz_target *target, const struct vz_python *python,
		  uint64_t window_ns, struct vz_gil *ret)
{
	static const struct timespec pause = { .tv_nsec = WATCH_PAUSE_NS };
	struct gil_sample first, sample;
	uint64_t end = vz_now_ns() + window_ns;
	uint64_t gil = gil_raddr(target, python);

	memset(ret, 0, sizeof(*ret));
	if (!gil || !sample_gil(target, python, gil, &first))
		return;
	sample = first;
	for (;;) {
		ret->moved = sample.locked == 0 || sample.holder != first.holder ||
			     sample.switches != first.switches;
		if (ret->moved || vz_now_ns() >= end)
			break;
		nanosleep(&pause, NULL);
		if (!sample_gil(target, python, gil, &sample))
			return;
	}
	ret->known = true;
	ret->locked = sample.locked != 0;
	if (!ret->moved) {
		ret->holder = sample.holder;
		ret->holder_tid = thread_number(target, python, sample.holder);
	}
}
