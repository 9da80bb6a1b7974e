/* SPDX-License-Identifier: MIT */
/*
 * preflight.c - the process around CPython: is it there, at rest, ours to touch.
 */
#include "attach/preflight.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "attach/util.h"

enum {
	SMALL_MAX_BYTES = 1 << 16,
	ENVIRON_MAX_BYTES = 8 << 20,
	CAP_PTRACE_BIT = 19,
	ASLEEP_TRIES = 25, /* disk waits are short; half a second of them is not */
	ASLEEP_PAUSE_NS = 20 * 1000 * 1000,
};

static int refuse(const struct vz_target *target, enum vz_exit exit, int rc, struct vz_err *err)
{
	return vz_err_set(err, exit, rc, "cannot attach to %d (%s)", (int)target->pid,
			  target->comm);
}

/* ---- gone, traced, at rest ---- */

static int check_gone(const struct vz_target *target, struct vz_status *status, struct vz_err *err)
{
	int rc = vz_status_read(target->pid, 0, status);

	if (rc == 0 && vz_target_alive(target) && status->state != 'Z' && status->state != 'X')
		return 0;
	vz_err_set(err, VZ_EXIT_NO_PROCESS, ESRCH, "process %d (%s) has ended", (int)target->pid,
		   target->comm);
	if (rc == 0 && status->state == 'Z') {
		vz_err_why(err, "it is a zombie: its parent, process %d, has not collected it",
			   (int)status->ppid);
		vz_err_try(err, "look at its parent; a zombie has no memory left to look into");
	}
	return -ESRCH;
}

static void process_name(pid_t pid, char *buf, size_t size)
{
	struct vz_status status;

	if (vz_status_read(pid, 0, &status) < 0)
		snprintf(buf, size, "another process");
	else
		snprintf(buf, size, "%s", status.comm);
}

static int refuse_traced(const struct vz_target *target, pid_t tracer, struct vz_err *err)
{
	char name[32];

	process_name(tracer, name, sizeof(name));
	refuse(target, VZ_EXIT_BUSY, EBUSY, err);
	vz_err_why(err, "it is being traced by %s (pid %d)", name, (int)tracer);
	vz_err_try(err, "stop %s first, then run again", name);
	return -EBUSY;
}

/* A debugger may hold a single thread: ask all of them. */
static int check_traced(const struct vz_target *target, const struct vz_tasks *tasks,
			struct vz_err *err)
{
	for (size_t i = 0; i < tasks->count; i++) {
		struct vz_status status;

		if (vz_status_read(target->pid, tasks->items[i].tid, &status) == 0 &&
		    status.tracer_pid != 0)
			return refuse_traced(target, status.tracer_pid, err);
	}
	return 0;
}

static size_t count_in_state(const struct vz_tasks *tasks, const char *states)
{
	size_t n = 0;

	for (size_t i = 0; i < tasks->count; i++)
		n += strchr(states, tasks->items[i].state) != NULL;
	return n;
}

static bool file_says(const char *path, const char *word)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	return vz_slurp(path, SMALL_MAX_BYTES, &text, &len) == 0 && strstr(text, word);
}

/* LINE of /proc/PID/cgroup: "4:freezer:/a/b" (version 1) or "0::/a/b" (version 2). */
static bool line_is_frozen(const char *line, int len)
{
	const char *path = memchr(line, ':', (size_t)len);
	char file[SMALL_MAX_BYTES];

	path = path ? memchr(path + 1, ':', (size_t)(len - (path + 1 - line))) : NULL;
	if (!path)
		return false;
	path++;
	len -= (int)(path - line);
	if (vz_starts_with(line, "0::")) {
		snprintf(file, sizeof(file), "/sys/fs/cgroup%.*s/cgroup.events", len, path);
		return file_says(file, "frozen 1");
	}
	if (!vz_starts_with(strchr(line, ':'), ":freezer:"))
		return false;
	snprintf(file, sizeof(file), "/sys/fs/cgroup/freezer%.*s/freezer.state", len, path);
	return file_says(file, "FROZEN");
}

static bool is_frozen(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (vz_slurp_proc(pid, 0, "cgroup", SMALL_MAX_BYTES, &text, &len) < 0)
		return false;
	for (const char *line = text; *line;) {
		const char *end = strchrnul(line, '\n');

		if (line_is_frozen(line, (int)(end - line)))
			return true;
		line = *end ? end + 1 : end;
	}
	return false;
}

/* Every thread, for a while: one in a disk wait now and then is normal. */
static bool stays_asleep(const struct vz_target *target, const struct vz_tasks *tasks)
{
	static const struct timespec pause = { .tv_nsec = ASLEEP_PAUSE_NS };
	size_t asleep = count_in_state(tasks, "D");

	for (int i = 0; i < ASLEEP_TRIES && asleep == tasks->count; i++) {
		struct vz_tasks again;
		struct vz_err ignored;

		nanosleep(&pause, NULL);
		if (vz_tasks_read(target->pid, &again, &ignored) < 0)
			return false;
		asleep = count_in_state(&again, "D") == again.count ? tasks->count : 0;
		vz_tasks_fini(&again);
	}
	return asleep == tasks->count;
}

static int check_rest(const struct vz_target *target, const struct vz_tasks *tasks,
		      struct vz_err *err)
{
	if (is_frozen(target->pid)) {
		refuse(target, VZ_EXIT_UNSAFE, EBUSY, err);
		vz_err_why(err, "it is paused: its control group is frozen");
		vz_err_try(err, "unpause the container or thaw the group, then run again");
		return -EBUSY;
	}
	if (count_in_state(tasks, "Tt") > 0) {
		refuse(target, VZ_EXIT_UNSAFE, EBUSY, err);
		vz_err_why(err, "it is stopped (SIGSTOP or job control)");
		vz_err_try(err, "kill -CONT %d", (int)target->pid);
		return -EBUSY;
	}
	if (stays_asleep(target, tasks)) {
		refuse(target, VZ_EXIT_UNSAFE, EBUSY, err);
		vz_err_why(err, "all its threads are in uninterruptible sleep (state D)");
		vz_err_try(err, "find the disk or network file system that it waits for");
		return -EBUSY;
	}
	return 0;
}

static int check_shadow_stack(const struct vz_target *target, const struct vz_status *status,
			      struct vz_err *err)
{
	if (!status->shadow_stack)
		return 0;
	refuse(target, VZ_EXIT_UNSAFE, ENOTSUP, err);
	vz_err_why(err,
		   "it runs with a shadow stack (x86 CET), which an injected call would break");
	vz_err_try(err, "start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off");
	return -ENOTSUP;
}

/* ---- why access was refused ---- */

struct situation {
	const struct vz_target *target;
	struct vz_status status;
	bool has_cap; /* CAP_SYS_PTRACE, here; that may not count in the target's user namespace */
	bool same_user;
	int errnum;
};

static bool own_capability(void)
{
	_cleanup_free_ char *text = NULL;
	const char *line;
	size_t len;

	if (vz_slurp("/proc/self/status", SMALL_MAX_BYTES, &text, &len) < 0)
		return false;
	line = strstr(text, "\nCapEff:");
	return line && (strtoull(line + strlen("\nCapEff:"), NULL, 16) >> CAP_PTRACE_BIT & 1);
}

static void user_name(uid_t uid, char *buf, size_t size)
{
	const struct passwd *entry = getpwuid(uid);

	if (entry)
		snprintf(buf, size, "%s", entry->pw_name);
	else
		snprintf(buf, size, "user %u", (unsigned)uid);
}

static bool is_kernel_thread(const struct situation *s, struct vz_err *err)
{
	if (s->target->exe[0] || s->status.rss_bytes ||
	    (s->target->pid != 2 && s->status.ppid != 2))
		return false;
	err->exit = VZ_EXIT_UNSUPPORTED;
	vz_err_why(err, "it is a thread of the kernel");
	return true;
}

static bool is_other_user(const struct situation *s, struct vz_err *err)
{
	char theirs[64], ours[64];

	if (s->has_cap || s->same_user)
		return false;
	user_name(s->status.uid, theirs, sizeof(theirs));
	user_name(geteuid(), ours, sizeof(ours));
	if (geteuid() == 0) {
		vz_err_why(err, "it belongs to %s, and this root lacks CAP_SYS_PTRACE", theirs);
		vz_err_try(err,
			   "start the container with --cap-add=SYS_PTRACE, or run on the host");
		return true;
	}
	vz_err_why(err, "it belongs to %s, you are %s", theirs, ours);
	vz_err_try(err, "sudo vizattach --pid %d", (int)s->target->pid);
	return true;
}

static bool other_namespace(pid_t pid)
{
	char path[64], theirs[64], ours[64];
	ssize_t a, b;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	a = readlink(path, theirs, sizeof(theirs));
	b = readlink("/proc/self/ns/user", ours, sizeof(ours));
	return a > 0 && b > 0 && (a != b || memcmp(theirs, ours, (size_t)a) != 0);
}

static bool is_foreign_namespace(const struct situation *s, struct vz_err *err)
{
	if (!other_namespace(s->target->pid))
		return false;
	vz_err_why(err,
		   "it lives in another user namespace (a container), where you have no rights");
	vz_err_try(err, "run as root of the host, or inside that container with "
			"--cap-add=SYS_PTRACE");
	return true;
}

/* The kernel gives the files of a non-dumpable process to root. */
static bool is_not_dumpable(const struct situation *s, struct vz_err *err)
{
	char path[64];
	struct stat st;

	/* The directory itself keeps its owner. */
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)s->target->pid);
	if (s->has_cap || stat(path, &st) < 0 || st.st_uid == s->status.euid)
		return false;
	vz_err_why(err, "it has shut itself off (not dumpable: set-uid program or prctl)");
	vz_err_try(err, "sudo vizattach --pid %d", (int)s->target->pid);
	return true;
}

static bool is_yama(const struct situation *s, struct vz_err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	long scope;

	if (vz_slurp("/proc/sys/kernel/yama/ptrace_scope", SMALL_MAX_BYTES, &text, &len) < 0)
		return false;
	scope = strtol(text, NULL, 10);
	if (scope < 1 || scope > 3 || (scope < 3 && s->has_cap))
		return false;
	if (scope == 3) {
		vz_err_why(err, "kernel.yama.ptrace_scope is 3: nobody may, until the next boot");
		vz_err_try(err, "boot with kernel.yama.ptrace_scope below 3");
		return true;
	}
	vz_err_why(err, "kernel.yama.ptrace_scope is %ld: %s", scope,
		   scope == 1 ? "only a parent may attach to its child" : "only root may attach");
	vz_err_try(err, "sudo vizattach --pid %d%s", (int)s->target->pid,
		   scope == 1 ? ", or sudo sysctl kernel.yama.ptrace_scope=0" : "");
	return true;
}

static bool is_security_module(const struct situation *s, struct vz_err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (vz_slurp_proc(s->target->pid, 0, "attr/current", SMALL_MAX_BYTES, &text, &len) < 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	if (!text[0] || vz_starts_with(text, "unconfined"))
		return false;
	vz_err_why(err, "a security module guards it: its label is %.200s", text);
	vz_err_try(err, "allow ptrace for that label, or look into the audit log");
	return true;
}

/* In strace's order: who it is, then what the system forbids. */
static bool (*const causes[])(const struct situation *s, struct vz_err *err) = {
	is_kernel_thread, is_other_user, is_foreign_namespace,
	is_not_dumpable,  is_yama,       is_security_module,
};

void vz_preflight_diagnose(const struct vz_target *target, int errnum, struct vz_err *err)
{
	struct situation s = { .target = target, .errnum = errnum };

	if (check_gone(target, &s.status, err) < 0)
		return;
	if (s.status.tracer_pid != 0) {
		refuse_traced(target, s.status.tracer_pid, err);
		return;
	}
	s.has_cap = own_capability();
	s.same_user = s.status.uid == geteuid() && s.status.euid == geteuid() &&
		      s.status.fsuid == geteuid();
	refuse(target, VZ_EXIT_PERMISSION, errnum, err);
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
		if (causes[i](&s, err))
			return;
	}
	vz_err_why(err, "%s; a container or a seccomp filter may forbid it", strerror(errnum));
	if (geteuid() == 0)
		vz_err_try(err, "run on the host, or start the container with "
				"--cap-add=SYS_PTRACE");
	else
		vz_err_try(err, "sudo vizattach --pid %d", (int)target->pid);
}

static int check_access(struct vz_target *target, struct vz_err *err)
{
	int rc = vz_target_open_mem(target);

	if (rc == 0)
		return 0;
	vz_preflight_diagnose(target, -rc, err);
	return rc;
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

static int check_opt_out(const struct vz_target *target, struct vz_err *err)
{
	bool variable = environment_opts_out(target->pid);

	if (!variable && !arguments_opt_out(target->pid))
		return 0;
	refuse(target, VZ_EXIT_PERMISSION, EACCES, err);
	vz_err_why(err, "it was started with %s: no remote debugging",
		   variable ? "PYTHON_DISABLE_REMOTE_DEBUG" : "-X disable-remote-debug");
	vz_err_try(err, "--override-opt-out, if you may decide that");
	return -EACCES;
}

int vz_preflight_process(struct vz_target *target, bool override_opt_out, struct vz_err *err)
{
	struct vz_status status;
	struct vz_tasks tasks;
	int rc = check_gone(target, &status, err);

	if (rc < 0)
		return rc;
	rc = vz_tasks_read(target->pid, &tasks, err);
	if (rc < 0)
		return rc;
	rc = check_traced(target, &tasks, err);
	if (rc == 0)
		rc = check_rest(target, &tasks, err);
	vz_tasks_fini(&tasks);
	if (rc == 0)
		rc = check_access(target, err);
	if (rc == 0)
		rc = check_shadow_stack(target, &status, err);
	if (rc == 0 && !override_opt_out)
		rc = check_opt_out(target, err);
	return rc;
}
