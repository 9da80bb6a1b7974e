/* SPDX-License-Identifier: MIT */
/*
 * preflight_python.c - CPython as seen from outside, while it runs: interpreters and
 * threads come and go between two reads, so what does not fit together is read again,
 * and only what the main interpreter shows every time is believed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "attach/preflight_priv.h"
#include "attach/util.h"

enum {
	TRIES = 5,
	MAX_INTERPRETERS = 4096,
	MAX_THREADS = 1 << 16,
	WATCH_PAUSE_NS = 1000 * 1000,
	GIL_WINDOW_NS = 20 * 1000 * 1000,
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

/* ---- threads ---- */

/* The kernel's number of the thread that a PyThreadState belongs to; 0: unknown. */
static pid_t thread_number(const struct vz_target *target, const struct vz_python *python,
			   uint64_t tstate)
{
	const struct vz_py_offsets *off = &python->ver->off;
	struct vz_tasks tasks;
	struct vz_task task;
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
	/* Without a pid namespace between us, which is the rule, that is its number here too. */
	if (vz_task_read(target->pid, (pid_t)number, &task) == 0 && (uint64_t)task.ns_tid == number)
		return task.tid;
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

static int find_main(const struct vz_target *target, const struct vz_python *python,
		     struct vz_layout *ret)
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
			     const struct vz_python *python, struct vz_layout *ret)
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

static void check_layout(struct vz_scene *s, struct vz_finding *f)
{
	struct vz_err err;

	for (int i = 0; i < TRIES; i++) {
		memset(&s->layout, 0, sizeof(s->layout));
		if (check_layout_once(s->target, s->maps, s->python, &s->layout) == 0) {
			vz_finding_say(f, VZ_FOUND_OK, "as CPython 3.%u has it", s->python->minor);
			return;
		}
	}
	if (!vz_target_alive(s->target)) {
		vz_err_set(&err, VZ_EXIT_NO_PROCESS, ESRCH, "process %d (%s) has ended",
			   (int)s->target->pid, s->target->comm);
		vz_finding_refuse(f, ESRCH, &err);
		return;
	}
	vz_refusal(s, VZ_EXIT_UNSUPPORTED, &err);
	vz_err_why(&err, "its structures are not where CPython %s has them: a modified %sbuild",
		   s->python->version, s->python->debug_build ? "or debug " : "");
	vz_err_try(&err, "use a CPython as its authors or a distribution build it");
	vz_finding_refuse(f, ENOTSUP, &err);
}

/* ---- what is in the way ---- */

struct foreign {
	uint64_t tstate, function, argument;
};

static int read_finalizing(const struct vz_target *target, const struct vz_python *python,
			   uint64_t *ret)
{
	return read_word(target, runtime_raddr(python) + python->ver->off.rt_finalizing, ret);
}

bool vz_python_is_finalizing(const struct vz_target *target, const struct vz_python *python)
{
	uint64_t finalizing = 0;

	return read_finalizing(target, python, &finalizing) == 0 && finalizing;
}

static void check_finalizing(struct vz_scene *s, struct vz_finding *f)
{
	uint64_t finalizing = 0;
	struct vz_err err;

	if (read_finalizing(s->target, s->python, &finalizing) < 0) {
		vz_finding_say(f, VZ_FOUND_UNKNOWN, "its state is not readable");
		return;
	}
	if (!finalizing) {
		vz_finding_say(f, VZ_FOUND_OK, "not shutting down");
		return;
	}
	vz_refusal(s, VZ_EXIT_UNSAFE, &err);
	vz_err_why(&err, "its interpreter is shutting down");
	vz_err_try(&err, "nothing: it will be gone soon");
	vz_finding_refuse(f, EBUSY, &err);
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

/*
 * 1: found one, 0: none, negative: the list changed while it was read.  LEFT: thread states that
 * may be looked at, in all interpreters and tries together, as lists can be made to go in circles.
 */
static int find_profiler_in(const struct vz_target *target, const struct vz_python *python,
			    uint64_t interp, int *left, struct foreign *ret)
{
	const struct vz_py_offsets *off = &python->ver->off;
	uint64_t tstate, owner;

	if (read_word(target, interp + off->is_threads_head, &tstate) < 0)
		return -EFAULT;
	while (tstate && --*left > 0) {
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
	return *left > 0 ? 0 : -EAGAIN;
}

static int find_profiler(const struct vz_target *target, const struct vz_python *python, int *left,
			 struct foreign *ret)
{
	const struct vz_py_offsets *off = &python->ver->off;
	uint64_t interp;

	if (read_word(target, runtime_raddr(python) + off->rt_interpreters_head, &interp) < 0)
		return -EFAULT;
	for (int i = 0; interp && i < MAX_INTERPRETERS; i++) {
		int rc = find_profiler_in(target, python, interp, left, ret);

		if (rc != 0)
			return rc;
		if (read_word(target, interp + off->is_next, &interp) < 0)
			return -EAGAIN;
	}
	return 0;
}

static void refuse_profiler(struct vz_scene *s, struct vz_finding *f, const struct foreign *foreign)
{
	char name[128], thread[32] = "";
	pid_t tid = thread_number(s->target, s->python, foreign->tstate);
	struct vz_err err;

	profiler_name(s->target, s->objects, s->python, foreign, name, sizeof(name));
	if (tid)
		snprintf(thread, sizeof(thread), " in thread %d", (int)tid);
	vz_refusal(s, VZ_EXIT_BUSY, &err);
	vz_err_why(&err, "another profiler is installed%s: %s", thread, name);
	vz_err_try(&err, "end that profiler first, then run again");
	vz_finding_refuse(f, EBUSY, &err);
}

static void check_profiler(struct vz_scene *s, struct vz_finding *f)
{
	struct foreign foreign;
	int rc = -EAGAIN, left = MAX_THREADS;

	if (s->python->ver->hook != VZ_HOOK_PROFILE) {
		vz_finding_say(f, VZ_FOUND_OK,
			       "sys.monitoring has room for several tools; the "
			       "agent looks for a free one");
		return;
	}
	for (int i = 0; i < TRIES && rc < 0; i++)
		rc = find_profiler(s->target, s->python, &left, &foreign);
	if (rc > 0)
		refuse_profiler(s, f, &foreign);
	else if (rc == 0)
		vz_finding_say(f, VZ_FOUND_OK, "no profiler is installed");
	else
		vz_finding_say(f, VZ_FOUND_UNKNOWN,
			       "its threads change too fast to be read; the "
			       "agent looks again");
}

static void check_eval_frame(struct vz_scene *s, struct vz_finding *f)
{
	uint64_t eval_frame = s->layout.eval_frame;
	struct vz_err err;
	char name[128];

	if (s->python->ver->adopt != VZ_ADOPT_EVAL_FRAME || !eval_frame ||
	    eval_frame == s->python->py[VZ_SYM__PyEval_EvalFrameDefault]) {
		vz_finding_say(f, VZ_FOUND_OK, "no debugger or compiler is in the way");
		return;
	}
	library_name(s->objects, eval_frame, name, sizeof(name));
	vz_refusal(s, VZ_EXIT_BUSY, &err);
	vz_err_why(&err, "another tool evaluates its frames: %s", name);
	vz_err_try(&err, "end that debugger or compiler first, then run again");
	vz_finding_refuse(f, EBUSY, &err);
}

static bool is_ours(const struct vz_map *map)
{
	return strstr(map->path, "/memfd:vizattach") != NULL;
}

bool vz_preflight_occupied(const struct vz_maps *maps)
{
	for (size_t i = 0; i < maps->count; i++) {
		if (is_ours(&maps->items[i]))
			return true;
	}
	return false;
}

static void check_occupied(struct vz_scene *s, struct vz_finding *f)
{
	struct vz_err err;

	if (!vz_preflight_occupied(s->maps)) {
		vz_finding_say(f, VZ_FOUND_OK, "no other vizattach is in it");
		return;
	}
	vz_refusal(s, VZ_EXIT_BUSY, &err);
	vz_err_why(&err, "another vizattach is recording it");
	vz_err_try(&err, "wait for that one, or end it with Ctrl-C");
	vz_finding_refuse(f, EBUSY, &err);
}

static void check_build(struct vz_scene *s, struct vz_finding *f)
{
	if (s->python->debug_build)
		vz_finding_say(f, VZ_FOUND_NOTE, "a debug build: slow by itself");
	else
		vz_finding_say(f, VZ_FOUND_OK, "%s",
			       s->python->static_build ? "CPython is part of the program"
						       : "CPython is a shared library");
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

uint64_t vz_gil_turn(const struct vz_target *target, const struct vz_python *python)
{
	struct gil_sample sample;
	uint64_t gil = gil_raddr(target, python);

	if (!gil || !sample_gil(target, python, gil, &sample) || !sample.locked)
		return 0;
	return sample.switches << 1 | 1;
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

/* What a thread waits in, if it does. */
static const char *wait_name(const struct vz_task *task, char buf[32])
{
	static const struct {
		long number;
		const char *name;
	} calls[] = {
		{ SYS_read, "read" },           { SYS_write, "write" },
		{ SYS_futex, "futex" },         { SYS_poll, "poll" },
		{ SYS_recvfrom, "recvfrom" },   { SYS_sendto, "sendto" },
		{ SYS_connect, "connect" },     { SYS_wait4, "wait4" },
		{ SYS_nanosleep, "nanosleep" }, { SYS_clock_nanosleep, "clock_nanosleep" },
		{ SYS_select, "select" },       { SYS_epoll_wait, "epoll_wait" },
		{ SYS_flock, "flock" },         { SYS_fcntl, "fcntl" },
		{ SYS_fsync, "fsync" },         { SYS_openat, "openat" },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (calls[i].number == task->syscall)
			return calls[i].name;
	}
	snprintf(buf, 32, "system call %ld", task->syscall);
	return buf;
}

/*
 * A thread that computes holds the GIL and gives it up when it is asked: nothing to say.
 * One that waits in a system call and still holds it will not, before that call returns.
 */
static void check_gil(struct vz_scene *s, struct vz_finding *f)
{
	struct vz_task task;
	struct vz_gil gil;
	char name[32];

	vz_gil_watch(s->target, s->python, 0, &gil);
	if (!gil.known) {
		vz_finding_say(f, VZ_FOUND_UNKNOWN, "the GIL could not be read");
		return;
	}
	if (!gil.moved && gil.holder_tid &&
	    vz_task_read(s->target->pid, gil.holder_tid, &task) == 0 && task.syscall >= 0) {
		if (!s->wish->hurry)
			vz_gil_watch(s->target, s->python, GIL_WINDOW_NS, &gil);
		if (!gil.moved && vz_task_read(s->target->pid, task.tid, &task) == 0 &&
		    task.syscall >= 0) {
			vz_finding_say(f, VZ_FOUND_WARN,
				       "thread %d (%s) holds the GIL while it waits in %s",
				       (int)task.tid, task.comm, wait_name(&task, name));
			return;
		}
	}
	if (gil.locked && gil.holder_tid)
		vz_finding_say(f, VZ_FOUND_OK, "thread %d has the GIL and runs",
			       (int)gil.holder_tid);
	else
		vz_finding_say(f, VZ_FOUND_OK, "the GIL %s",
			       gil.locked ? "changes hands" : "is free");
}

/* ---- the table ---- */

static const struct vz_check checks[] = {
	{ "build", check_build, false },
	{ "other vizattach", check_occupied, false },
	{ "shutting down", check_finalizing, false },
	{ "structures", check_layout, true },
	{ "other profilers", check_profiler, false },
	{ "frame evaluator", check_eval_frame, false },
	{ "gil", check_gil, false },
};

int vz_preflight_python(const struct vz_target *target, const struct vz_inside *inside,
			const struct vz_wish *wish, struct vz_findings *findings,
			struct vz_err *err)
{
	struct vz_target copy = *target; /* nothing here opens or closes it */
	struct vz_scene s = {
		.target = &copy,
		.wish = wish,
		.maps = inside->maps,
		.objects = inside->objects,
		.python = inside->python,
	};

	return vz_checks_run(checks, sizeof(checks) / sizeof(checks[0]), &s, findings, err);
}

/* ---- once more ---- */

static uint64_t start_time(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	return vz_slurp_proc(pid, 0, "stat", VZ_SMALL_BYTES, &text, &len) < 0
		       ? 0
		       : vz_stat_start_time(text);
}

int vz_preflight_again(const struct vz_target *target, const struct vz_python *python,
		       struct vz_err *err)
{
	uint64_t word;

	if (!vz_target_alive(target) || start_time(target->pid) != target->start_time) {
		vz_err_set(err, VZ_EXIT_NO_PROCESS, ESRCH, "process %d (%s) has ended",
			   (int)target->pid, target->comm);
		vz_err_why(err, "it ended while it was being examined");
		vz_err_try(err, "vizattach ps");
		return -ESRCH;
	}
	/* The open file stays with the address space, which exec replaces. */
	if (read_word(target, runtime_raddr(python), &word) == 0)
		return 0;
	vz_err_set(err, VZ_EXIT_NO_PROCESS, ESRCH, "cannot attach to %d (%s)", (int)target->pid,
		   target->comm);
	vz_err_why(err, "it started another program (exec) while it was being examined");
	vz_err_try(err, "run again in a moment");
	return -ESRCH;
}
