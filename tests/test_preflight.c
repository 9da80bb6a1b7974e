/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

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
	const struct vz_wish w = wish(false);

	findings.count = 0;
	view->rc = vz_preflight_python(&view->target, &view->maps, &view->objects, &view->python,
				       &w, &findings, &view->err);
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
		}
		view_close(&view, &s);
	}
	globfree(&found);
}
