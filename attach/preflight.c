/* SPDX-License-Identifier: MIT */
/*
 * preflight.c - the table of checks around CPython: is the process there, at rest, ours to
 * touch, and is there room.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "attach/cgroup.h"
#include "attach/preflight_priv.h"
#include "attach/util.h"

enum {
	ENVIRON_MAX_BYTES = 8 << 20,
	ASLEEP_TRIES = 25, /* disk waits are short; half a second of them is not */
	ASLEEP_PAUSE_NS = 20 * 1000 * 1000,
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- running a table ---- */

void vz_refusal(const struct vz_scene *s, enum vz_exit exit, struct vz_err *err)
{
	vz_err_set(err, exit, 0, "cannot attach to %d (%s)", (int)s->target->pid, s->target->comm);
}

int vz_checks_run(const struct vz_check *checks, size_t nchecks, struct vz_scene *s,
		  struct vz_findings *findings, struct vz_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < nchecks; i++) {
		struct vz_finding *f = vz_findings_add(findings, checks[i].name);

		if (!f)
			return rc;
		checks[i].run(s, f);
		if (f->verdict != VZ_FOUND_REFUSE)
			continue;
		s->explained |= f->err.exit == VZ_EXIT_PERMISSION;
		if (rc == 0) {
			*err = f->err;
			rc = f->rc;
		}
		if (!findings->go_on || checks[i].needed)
			break;
	}
	return rc;
}

/* ---- gone, traced, at rest ---- */

static void check_process(struct vz_scene *s, struct vz_finding *f)
{
	const struct vz_target *target = s->target;
	int rc = vz_status_read(target->pid, 0, &s->status);
	struct vz_err err;

	if (rc == 0 && vz_target_alive(target) && s->status.state != 'Z' &&
	    s->status.state != 'X') {
		if (target->start_time == 0)
			vz_finding_say(f, VZ_FOUND_UNKNOWN, "when it was started is not readable");
		else
			vz_finding_say(f, VZ_FOUND_OK, "%s, %u thread%s%s", target->comm,
				       s->status.threads, s->status.threads == 1 ? "" : "s",
				       target->pidfd < 0 ? "; this kernel has no pidfd" : "");
		return;
	}
	vz_err_set(&err, VZ_EXIT_NO_PROCESS, ESRCH, "process %d (%s) has ended", (int)target->pid,
		   target->comm);
	if (rc == 0 && s->status.state == 'Z') {
		vz_err_why(&err, "it is a zombie: its parent, process %d, has not collected it",
			   (int)s->status.ppid);
		vz_err_try(&err, "look at its parent; a zombie has no memory left to look into");
	}
	vz_finding_refuse(f, ESRCH, &err);
}

static void check_kind(struct vz_scene *s, struct vz_finding *f)
{
	struct vz_err err;

	if (s->target->exe[0] || s->status.rss_bytes ||
	    (s->target->pid != 2 && s->status.ppid != 2)) {
		vz_finding_say(f, VZ_FOUND_OK, "a program, not a thread of the kernel");
		return;
	}
	vz_refusal(s, VZ_EXIT_UNSUPPORTED, &err);
	vz_err_why(&err, "it is a thread of the kernel");
	vz_err_try(&err, "vizattach ps lists processes that can be recorded");
	vz_finding_refuse(f, ENOTSUP, &err);
}

static void process_name(pid_t pid, char *buf, size_t size)
{
	struct vz_status status;

	if (pid == 0 || vz_status_read(pid, 0, &status) < 0)
		snprintf(buf, size, "another process");
	else
		snprintf(buf, size, "%s", status.comm);
}

/* A debugger may hold a single thread, and each has its own seccomp mode: ask all of them. */
static void look_at_threads(struct vz_scene *s)
{
	for (size_t i = 0; i < s->tasks.count; i++) {
		const struct vz_task *task = &s->tasks.items[i];

		if (task->tracer_pid)
			s->tracer = task->tracer_pid;
		if (task->seccomp == 1)
			s->strict_tid = task->tid;
		else if (task->seccomp)
			s->filtered = true;
	}
}

static void check_traced(struct vz_scene *s, struct vz_finding *f)
{
	struct vz_err err;
	char name[32];

	if (!s->tracer) {
		vz_finding_say(f, VZ_FOUND_OK, "nobody traces it");
		return;
	}
	process_name(s->tracer, name, sizeof(name));
	vz_refusal(s, VZ_EXIT_BUSY, &err);
	vz_err_why(&err, "it is being traced by %s (pid %d)", name, (int)s->tracer);
	vz_err_try(&err, "stop %s first, then run again", name);
	vz_finding_refuse(f, EBUSY, &err);
}

static size_t count_in_state(const struct vz_tasks *tasks, const char *states)
{
	size_t n = 0;

	for (size_t i = 0; i < tasks->count; i++)
		n += strchr(states, tasks->items[i].state) != NULL;
	return n;
}

/* Every thread, for a while: one in a disk wait now and then is normal. */
static bool stays_asleep(const struct vz_scene *s)
{
	static const struct timespec pause = { .tv_nsec = ASLEEP_PAUSE_NS };
	bool asleep = count_in_state(&s->tasks, "D") == s->tasks.count;

	for (int i = 0; i < ASLEEP_TRIES && asleep && !s->wish->hurry; i++) {
		struct vz_tasks again;
		struct vz_err ignored;

		nanosleep(&pause, NULL);
		if (vz_tasks_read(s->target->pid, &again, &ignored) < 0)
			return false;
		asleep = count_in_state(&again, "D") == again.count;
		vz_tasks_fini(&again);
	}
	return asleep;
}

static void check_rest(struct vz_scene *s, struct vz_finding *f)
{
	struct vz_err err;

	vz_refusal(s, VZ_EXIT_UNSAFE, &err);
	if (vz_cgroup_frozen(s->target->pid)) {
		vz_err_why(&err, "it is paused: its control group is frozen");
		vz_err_try(&err, "unpause the container or thaw the group, then run again");
	} else if (count_in_state(&s->tasks, "Tt") > 0) {
		vz_err_why(&err, "it is stopped (SIGSTOP or job control)");
		vz_err_try(&err, "kill -CONT %d", (int)s->target->pid);
	} else if (stays_asleep(s)) {
		vz_err_why(&err, "all its threads are in uninterruptible sleep (state D)");
		vz_err_try(&err, "find the disk or network file system that it waits for");
	} else {
		vz_finding_say(f, VZ_FOUND_OK, "it runs: not stopped, frozen or stuck");
		return;
	}
	vz_finding_refuse(f, EBUSY, &err);
}

static void check_shadow_stack(struct vz_scene *s, struct vz_finding *f)
{
	struct vz_err err;

	if (!s->status.shadow_stack) {
		vz_finding_say(f, VZ_FOUND_OK, "not in use");
		return;
	}
	vz_refusal(s, VZ_EXIT_UNSAFE, &err);
	vz_err_why(&err,
		   "it runs with a shadow stack (x86 CET), which an injected call would break");
	vz_err_try(&err, "start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off");
	vz_finding_refuse(f, ENOTSUP, &err);
}

/* ---- what it has forbidden itself ---- */

/* Any thread might be the one that is borrowed. */
static void check_seccomp(struct vz_scene *s, struct vz_finding *f)
{
	struct vz_err err;

	if (s->strict_tid) {
		vz_refusal(s, VZ_EXIT_UNSAFE, &err);
		vz_err_why(&err,
			   "thread %d is in strict seccomp mode: the kernel kills it for any call "
			   "but read and write",
			   (int)s->strict_tid);
		vz_err_try(&err, "record the program without its sandbox");
		vz_finding_refuse(f, EPERM, &err);
	} else if (s->filtered) {
		/* Filters can be read in a stop only: the injection does, and runs them. */
		vz_finding_say(f, VZ_FOUND_UNKNOWN,
			       "a filter guards it: a recording asks it about each call before "
			       "it makes one");
	} else {
		vz_finding_say(f, VZ_FOUND_OK, "no filter");
	}
}

static void check_new_privileges(struct vz_scene *s, struct vz_finding *f)
{
	if (s->status.no_new_privs)
		vz_finding_say(f, VZ_FOUND_NOTE, "no_new_privs is set, which does no harm");
	else
		vz_finding_say(f, VZ_FOUND_OK, "no_new_privs is not set");
}

/* ---- opt-out ---- */

static bool environment_opts_out(pid_t pid)
{
	static const char name[] = "PYTHON_DISABLE_REMOTE_DEBUG=";
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (vz_slurp_proc(pid, 0, "environ", ENVIRON_MAX_BYTES, &text, &len) < 0)
		return false;
	for (size_t at = 0; at < len; at += strlen(text + at) + 1) {
		/* CPython takes an empty variable as not set. */
		if (vz_starts_with(text + at, name) && text[at + sizeof(name) - 1])
			return true;
	}
	return false;
}

/* "python3 -X disable-remote-debug script": only options before the script are the interpreter's.
 */
static bool arguments_opt_out(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	size_t len, at;

	if (vz_slurp_proc(pid, 0, "cmdline", ENVIRON_MAX_BYTES, &text, &len) < 0)
		return false;
	for (at = strlen(text) + 1; at < len && text[at] == '-'; at += strlen(text + at) + 1) {
		const char *value = text + at + 2;

		if (vz_starts_with(text + at, "-c") || vz_starts_with(text + at, "-m"))
			return false;
		if (!vz_starts_with(text + at, "-X"))
			continue;
		if (!*value) { /* the value is the next word */
			at += strlen(text + at) + 1;
			if (at >= len)
				return false;
			value = text + at;
		}
		if (!strcmp(value, "disable_remote_debug") ||
		    !strcmp(value, "disable-remote-debug"))
			return true;
	}
	return false;
}

static void check_opt_out(struct vz_scene *s, struct vz_finding *f)
{
	bool variable = environment_opts_out(s->target->pid);
	struct vz_err err;

	if (!variable && !arguments_opt_out(s->target->pid)) {
		if (s->access)
			vz_finding_say(f, VZ_FOUND_UNKNOWN, "its environment is not readable");
		else
			vz_finding_say(f, VZ_FOUND_OK, "remote debugging is not switched off");
		return;
	}
	if (s->wish->override_opt_out) {
		vz_finding_say(f, VZ_FOUND_NOTE, "it opted out; you override that");
		return;
	}
	vz_refusal(s, VZ_EXIT_PERMISSION, &err);
	vz_err_why(&err, "it was started with %s: no remote debugging",
		   variable ? "PYTHON_DISABLE_REMOTE_DEBUG" : "-X disable-remote-debug");
	vz_err_try(&err, "--override-opt-out, if you may decide that");
	vz_finding_refuse(f, EACCES, &err);
}

/* ---- the table ---- */

/* In the order in which a person would ask; a few words for a list. */
static const struct vz_check first[] = {
	{ "process", check_process, true },
};

static const struct vz_check at_rest[] = {
	{ "kind", check_kind, true },
	{ "tracer", check_traced, false },
	{ "state", check_rest, false },
};

static const struct vz_check allowed[] = {
	{ "user", vz_check_user, false },
	{ "capabilities", vz_check_capabilities, false },
	{ "dumpable", vz_check_dumpable, false },
	{ "yama", vz_check_yama, false },
	{ "security label", vz_check_label, false },
	{ "memory access", vz_check_memory_access, false },
	{ "shadow stack", check_shadow_stack, false },
	{ "seccomp", check_seccomp, false },
	{ "privileges", check_new_privileges, false },
	{ "opt-out", check_opt_out, false },
	{ "memory left", vz_check_memory, false },
	{ "threads left", vz_check_threads, false },
};

static int run_rest(struct vz_scene *s, struct vz_findings *findings, struct vz_err *err)
{
	struct vz_err later;
	int rc = vz_checks_run(at_rest, COUNT(at_rest), s, findings, err), rc2;

	if (rc < 0 && (!findings->go_on || rc == -ENOTSUP))
		return rc;
	vz_access_look(s);
	if (s->access == -ESRCH) /* it ended meanwhile: what failed then has no other cause */
		return vz_checks_run(first, COUNT(first), s, findings, err);
	rc2 = vz_checks_run(allowed, COUNT(allowed), s, findings, rc < 0 ? &later : err);
	return rc < 0 ? rc : rc2;
}

int vz_preflight_process(struct vz_target *target, const struct vz_wish *wish,
			 struct vz_findings *findings, struct vz_err *err)
{
	struct vz_scene s = { .target = target, .wish = wish };
	int rc = vz_checks_run(first, COUNT(first), &s, findings, err);

	if (rc == 0)
		rc = vz_tasks_read(target->pid, &s.tasks, err);
	if (rc < 0)
		return rc;
	look_at_threads(&s);
	rc = run_rest(&s, findings, err);
	vz_tasks_fini(&s.tasks);
	return rc;
}
