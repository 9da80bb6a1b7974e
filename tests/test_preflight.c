/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "attach/preflight.h"
#include "tests/subject.h"

/* ---- the process ---- */

static struct vz_findings findings; /* large */

static struct vz_wish wish(bool override_opt_out)
{
	return (struct vz_wish){ .override_opt_out = override_opt_out, .ring_bytes = 1 << 20 };
}

struct verdict {
	struct vz_target target;
	struct vz_err err;
	int rc;
};

static void judge(struct verdict *v, pid_t pid, bool override_opt_out)
{
	const struct vz_wish w = wish(override_opt_out);

	findings.count = 0;
	memset(v, 0, sizeof(*v));
	v->rc = vz_target_open(pid, &v->target, &v->err);
	if (v->rc == 0)
		v->rc = vz_preflight_process(&v->target, &w, &findings, &v->err);
	vz_target_close(&v->target);
}

Test(preflight, accepts_a_child)
{
	struct subject s;
	struct verdict v;

	cr_assert(subject_plain(&s));
	judge(&v, s.pid, false);
	cr_assert_eq(v.rc, 0, "%s", v.err.why);
	subject_end(&s);
}

Test(preflight, refuses_a_stopped_process)
{
	struct subject s;
	struct verdict v;
	char expected[64];

	cr_assert(subject_plain(&s));
	kill(s.pid, SIGSTOP);
	waitpid(s.pid, NULL, WUNTRACED);
	judge(&v, s.pid, false);
	cr_assert_lt(v.rc, 0);
	cr_assert_eq(v.err.exit, VZ_EXIT_UNSAFE);
	cr_assert_str_eq(v.err.why, "it is stopped (SIGSTOP or job control)");
	snprintf(expected, sizeof(expected), "kill -CONT %d", (int)s.pid);
	cr_assert_str_eq(v.err.hint, expected);
	subject_end(&s);
}

Test(preflight, refuses_a_traced_process_and_names_the_tracer)
{
	struct subject s;
	struct verdict v;
	char expected[64];

	cr_assert(subject_plain(&s));
	if (ptrace(PTRACE_SEIZE, s.pid, 0, 0) < 0)
		cr_skip_test("ptrace is not allowed here");
	judge(&v, s.pid, false);
	cr_assert_eq(v.rc, -EBUSY);
	cr_assert_eq(v.err.exit, VZ_EXIT_BUSY);
	snprintf(expected, sizeof(expected), "(pid %d)", (int)getpid());
	cr_assert_not_null(strstr(v.err.why, expected), "%s", v.err.why);
	subject_end(&s);
}

Test(preflight, refuses_a_process_that_has_ended)
{
	struct subject s;
	struct vz_target target;
	struct vz_err err;
	const struct vz_wish w = wish(false);

	cr_assert(subject_plain(&s));
	cr_assert_eq(vz_target_open(s.pid, &target, &err), 0);
	subject_end(&s);
	cr_assert_eq(vz_preflight_process(&target, &w, &findings, &err), -ESRCH);
	cr_assert_eq(err.exit, VZ_EXIT_NO_PROCESS);
	vz_target_close(&target);
}

Test(preflight, honours_the_opt_out)
{
	static const struct {
		const char *label, *value;
		bool override_it;
		int rc;
	} cases[] = {
		{ "set", "1", false, -EACCES },
		{ "overridden", "1", true, 0 },
		{ "empty counts as not set", "", false, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct subject s;
		struct verdict v;

		setenv("PYTHON_DISABLE_REMOTE_DEBUG", cases[i].value, 1);
		cr_assert(subject_plain(&s));
		judge(&v, s.pid, cases[i].override_it);
		cr_assert_eq(v.rc, cases[i].rc, "%s", cases[i].label);
		cr_assert(v.rc == 0 || v.err.exit == VZ_EXIT_PERMISSION);
		subject_end(&s);
	}
}

/* Lives as another user, if this one may become one. */
static bool start_as_nobody(struct subject *s, bool dumpable)
{
	int out[2];
	char c;

	if (pipe(out) < 0)
		return false;
	s->out = out[0];
	s->in = out[1];
	s->pid = fork();
	if (s->pid == 0) {
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			_exit(1);
		prctl(PR_SET_DUMPABLE, dumpable);
		if (write(out[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	return read(s->out, &c, 1) == 1;
}

/* In a child that has become nobody too: exit code and reason travel through shared memory. */
static void judge_as_nobody(pid_t pid, bool other, struct verdict *v)
{
	int result[2];
	pid_t child;

	cr_assert_eq(pipe(result), 0);
	child = fork();
	if (child == 0) {
		uid_t uid = other ? 65533 : 65534;

		if (setresgid(65534, 65534, 65534) < 0 || setresuid(uid, uid, uid) < 0)
			_exit(1);
		judge(v, pid, false);
		_exit(write(result[1], v, sizeof(*v)) != (ssize_t)sizeof(*v));
	}
	close(result[1]);
	for (size_t used = 0; used < sizeof(*v);) {
		ssize_t n = read(result[0], (char *)v + used, sizeof(*v) - used);

		if (n <= 0)
			break;
		used += (size_t)n;
	}
	waitpid(child, NULL, 0);
}

Test(preflight, tells_why_access_is_refused)
{
	static const struct {
		const char *label;
		bool dumpable, other;
		const char *why;
	} cases[] = {
		{ "another user", true, true, "it belongs to " },
		{ "not dumpable", false, false, "not dumpable" },
	};

	if (geteuid() != 0)
		cr_skip_test("only root can become two other users");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct subject s;
		struct verdict v = { 0 };

		if (!start_as_nobody(&s, cases[i].dumpable))
			cr_skip_test("cannot become another user");
		judge_as_nobody(s.pid, cases[i].other, &v);
		cr_assert_lt(v.rc, 0, "%s", cases[i].label);
		cr_assert_eq(v.err.exit, VZ_EXIT_PERMISSION, "%s", cases[i].label);
		cr_assert_not_null(strstr(v.err.why, cases[i].why), "%s: %s", cases[i].label,
				   v.err.why);
		cr_assert_neq(v.err.hint[0], '\0', "%s", cases[i].label);
		subject_end(&s);
	}
}

/* ---- what it has forbidden itself, and what it may use ---- */

static const struct vz_finding *find(const char *name)
{
	for (unsigned i = 0; i < findings.count; i++) {
		if (!strcmp(findings.items[i].name, name))
			return &findings.items[i];
	}
	cr_assert(false, "there is no check %s", name);
	return NULL;
}

/* A child of ours that prepares itself and then waits in a read. */
static void start_waiting(struct subject *s, void (*prepare)(void))
{
	int in[2], out[2];
	char c;

	cr_assert(pipe(in) == 0 && pipe(out) == 0);
	s->in = in[1];
	s->out = out[0];
	s->pid = fork();
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prepare();
		if (write(out[1], "x", 1) == 1)
			(void)!read(in[0], &c, 1);
		syscall(SYS_exit, 0);
	}
	cr_assert_eq(read(s->out, &c, 1), 1);
}

static void become_strict(void)
{
	prctl(PR_SET_SECCOMP, 1);
}

static void filter_nothing(void)
{
	struct sock_filter allow = { 6, 0, 0, 0x7fff0000 };
	struct sock_fprog program = { 1, &allow };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, 2, &program);
}

Test(preflight, refuses_strict_seccomp_and_cannot_read_a_filter)
{
	struct subject s;
	struct verdict v;

	start_waiting(&s, become_strict);
	judge(&v, s.pid, false);
	cr_assert_lt(v.rc, 0);
	cr_assert_eq(v.err.exit, VZ_EXIT_UNSAFE);
	cr_assert_not_null(strstr(v.err.why, "strict seccomp mode"), "%s", v.err.why);
	subject_end(&s);
	start_waiting(&s, filter_nothing);
	judge(&v, s.pid, false);
	cr_assert_eq(v.rc, 0, "%s", v.err.why);
	cr_assert_eq(find("seccomp")->verdict, VZ_FOUND_UNKNOWN);
	cr_assert_eq(find("privileges")->verdict, VZ_FOUND_NOTE);
	subject_end(&s);
}

static void limit_memory(void)
{
	setrlimit(RLIMIT_AS, &(struct rlimit){ 100 << 20, 100 << 20 });
}

Test(preflight, refuses_what_would_not_fit)
{
	struct vz_wish w = { .ring_bytes = 128 << 20 };
	struct vz_target target;
	struct vz_err err;
	struct subject s;

	start_waiting(&s, limit_memory);
	cr_assert_eq(vz_target_open(s.pid, &target, &err), 0);
	findings.count = 0;
	cr_assert_eq(vz_preflight_process(&target, &w, &findings, &err), -ENOMEM);
	cr_assert_eq(err.exit, VZ_EXIT_UNSAFE);
	cr_assert_not_null(strstr(err.why, "RLIMIT_AS"), "%s", err.why);
	cr_assert_not_null(strstr(err.hint, "--override-limits"), "%s", err.hint);
	w.override_limits = true;
	findings.count = 0;
	cr_assert_eq(vz_preflight_process(&target, &w, &findings, &err), 0);
	cr_assert_eq(find("memory left")->verdict, VZ_FOUND_WARN);
	vz_target_close(&target);
	subject_end(&s);
}

/* ---- once more ---- */

/* A Python of which only one address is known. */
static void look(struct subject *s, struct vz_target *target, struct vz_python *python)
{
	struct vz_maps maps;
	struct vz_err err;

	memset(python, 0, sizeof(*python));
	cr_assert_eq(vz_target_open(s->pid, target, &err), 0);
	cr_assert_eq(vz_target_open_mem(target), 0);
	cr_assert_eq(vz_maps_read(s->pid, &maps, &err), 0);
	python->py[VZ_SYM__PyRuntime] = maps.items[0].start;
	vz_maps_fini(&maps);
	cr_assert_eq(vz_preflight_again(target, python, &err), 0);
}

Test(preflight, sees_that_the_process_is_another_one)
{
	static struct vz_python python;
	struct vz_target target;
	struct vz_err err;
	struct subject s;

	cr_assert(subject_plain(&s));
	look(&s, &target, &python);
	target.start_time++; /* as if the number had been given to a new process */
	cr_assert_eq(vz_preflight_again(&target, &python, &err), -ESRCH);
	cr_assert_eq(err.exit, VZ_EXIT_NO_PROCESS);
	target.start_time--;
	subject_end(&s);
	cr_assert_eq(vz_preflight_again(&target, &python, &err), -ESRCH);
	vz_target_close(&target);
}

Test(preflight, sees_that_the_program_is_another_one, .timeout = 60)
{
	static struct vz_python python;
	struct vz_target target;
	struct vz_status status;
	struct vz_err err;
	struct subject s;
	char shell[] = "/bin/sh", option[] = "-c", text[] = "echo x; read line; exec sleep 1000";
	char *argv[] = { shell, option, text, NULL };

	cr_assert(subject_start(&s, argv));
	look(&s, &target, &python);
	cr_assert_eq(write(s.in, "\n", 1), 1);
	do {
		sched_yield();
		cr_assert_eq(vz_status_read(s.pid, 0, &status), 0);
	} while (strcmp(status.comm, "sleep") != 0);
	cr_assert_eq(vz_preflight_again(&target, &python, &err), -ESRCH);
	cr_assert_not_null(strstr(err.why, "exec"), "%s", err.why);
	vz_target_close(&target);
	subject_end(&s);
}

/* ---- the interpreter ---- */

struct view {
	struct vz_target target;
	struct vz_maps maps;
	struct vz_objects objects;
	struct vz_python python;
	struct vz_err err;
	int rc;
};

static void view_check(struct view *view)
{
	const struct vz_inside inside = { &view->maps, &view->objects, &view->python };
	const struct vz_wish w = wish(false);

	findings.count = 0;
	view->rc = vz_preflight_python(&view->target, &inside, &w, &findings, &view->err);
}

static bool view_open(struct view *view, struct subject *s, const char *path, const char *program)
{
	memset(view, 0, sizeof(*view));
	if (!subject_python(s, path, program))
		return false;
	cr_assert_eq(vz_target_open(s->pid, &view->target, &view->err), 0);
	cr_assert_eq(vz_maps_read(s->pid, &view->maps, &view->err), 0);
	cr_assert_eq(vz_objects_read(&view->target, &view->maps, &view->objects, &view->err), 0);
	cr_assert_eq(vz_python_find(&view->target, &view->maps, &view->objects, &view->python,
				    &view->err),
		     0, "%s: %s", path, view->err.why);
	view_check(view);
	return true;
}

static void view_close(struct view *view, struct subject *s)
{
	vz_objects_fini(&view->objects);
	vz_maps_fini(&view->maps);
	vz_target_close(&view->target);
	subject_end(s);
}

static void check_program(const char *path, const char *program, const char *profiler)
{
	struct subject s;
	struct view view;

	if (!view_open(&view, &s, path, program))
		return;
	if (!profiler || view.python.ver->hook != VZ_HOOK_PROFILE) {
		cr_assert_eq(view.rc, 0, "%s: %s", path, view.err.why);
	} else {
		cr_assert_eq(view.rc, -EBUSY, "%s", path);
		cr_assert_eq(view.err.exit, VZ_EXIT_BUSY, "%s", path);
		cr_assert_not_null(strstr(view.err.why, profiler), "%s: %s", path, view.err.why);
		cr_assert_not_null(strstr(view.err.why, " in thread "), "%s: %s", path,
				   view.err.why);
	}
	view_close(&view, &s);
}

Test(preflight, finds_other_profilers, .timeout = 100)
{
	static const struct {
		const char *program, *profiler;
	} cases[] = {
		{ "ready()", NULL },
		{ "import cProfile\np = cProfile.Profile()\np.enable()\nready()", "cProfile" },
		{ "sys.setprofile(lambda *args: None)\nready()", "sys.setprofile" },
		{ "import threading\n"
		  "def f():\n"
		  "    sys.setprofile(lambda *args: None)\n"
		  "    ready()\n"
		  "t = threading.Thread(target=f)\nt.start()\nt.join()",
		  "sys.setprofile" },
	};
	glob_t found;

	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		if (!vz_pyver_find(python_minor(found.gl_pathv[i])))
			continue;
		for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++)
			check_program(found.gl_pathv[i], cases[k].program, cases[k].profiler);
	}
	globfree(&found);
}

Test(preflight, sees_a_layout_that_is_not_the_tables, .timeout = 100)
{
	glob_t found;

	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct subject s;
		struct view view;
		struct vz_pyver wrong;

		if (!vz_pyver_find(python_minor(found.gl_pathv[i])) ||
		    !view_open(&view, &s, found.gl_pathv[i], "ready()"))
			continue;
		wrong = *view.python.ver;
		wrong.off.ts_interp += 8;
		view.python.ver = &wrong;
		view_check(&view);
		cr_assert_eq(view.rc, -ENOTSUP, "%s", found.gl_pathv[i]);
		cr_assert_eq(view.err.exit, VZ_EXIT_UNSUPPORTED);
		view_close(&view, &s);
	}
	globfree(&found);
}

Test(preflight, tells_who_waits_with_the_gil, .timeout = 100)
{
	glob_t found;

	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct subject s;
		struct view view;

		if (!vz_pyver_find(python_minor(found.gl_pathv[i])) ||
		    !view_open(&view, &s, found.gl_pathv[i],
			       "import ctypes\n"
			       "read = ctypes.PyDLL(None).read\n"
			       "buffer = ctypes.create_string_buffer(1)\n"
			       "os.write(1, b'x')\n"
			       "read(0, buffer, 1)"))
			continue;
		while (find("gil")->verdict != VZ_FOUND_WARN)
			view_check(&view);
		cr_assert_eq(view.rc, 0);
		cr_assert_not_null(strstr(find("gil")->text, "waits in read"), "%s",
				   find("gil")->text);
		view_close(&view, &s);
	}
	globfree(&found);
}

Test(preflight, watches_the_gil, .timeout = 100)
{
	glob_t found;

	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct subject s;
		struct view view;
		struct vz_gil gil;

		if (!vz_pyver_find(python_minor(found.gl_pathv[i])))
			continue;
		/* Nobody else asks for it, so it never changes hands; then it waits without it. */
		if (!view_open(&view, &s, found.gl_pathv[i], "os.write(1, b'x')\nwhile True: pass"))
			continue;
		vz_gil_watch(&view.target, &view.python, 0, &gil);
		cr_assert(gil.known, "%s", found.gl_pathv[i]);
		if (!gil.moved) {
			cr_assert(gil.locked);
			cr_assert_neq(gil.holder, 0);
			cr_assert_eq(gil.holder_tid, s.pid, "%s", found.gl_pathv[i]);
			cr_assert_neq(vz_gil_turn(&view.target, &view.python), 0);
			cr_assert_eq(vz_gil_turn(&view.target, &view.python),
				     vz_gil_turn(&view.target, &view.python), "it has one thread");
		}
		view_close(&view, &s);
	}
	globfree(&found);
}
