/* SPDX-License-Identifier: MIT */
/* machine.c - what this machine allows this user, before any process is looked at. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "attach/clock.h"
#include "attach/doctor.h"
#include "attach/tracee.h"
#include "attach/util.h"

enum {
	SMALL_BYTES = 1 << 16,
	LARGE_BYTES = 8 << 20,
	TRIAL_NS = 1000 * 1000 * 1000,
	CAP_PTRACE_BIT = 19,
	/* Inode numbers of the first namespaces, fixed in the kernel since 3.8 */
	FIRST_USER_NAMESPACE = (int)0xEFFFFFFDU,
	FIRST_PID_NAMESPACE = (int)0xEFFFFFFCU,
};

/* ---- the kernel ---- */

static void look_kernel(struct vz_finding *f)
{
	struct utsname name;
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	uname(&name);
	if (fd >= 0)
		close(fd);
#ifndef __x86_64__
	vz_finding_say(f, VZ_FOUND_WARN, "%s on %s: only x86_64 is supported", name.release,
		       name.machine);
	return;
#endif
	if (fd >= 0)
		vz_finding_say(f, VZ_FOUND_OK, "%s %s on %s", name.sysname, name.release,
			       name.machine);
	else
		vz_finding_say(f, VZ_FOUND_NOTE,
			       "%s %s without pidfd: a reused pid is told by its start time alone",
			       name.sysname, name.release);
}

/* Not what the rules say, but what happens: on a child of our own. */
static void look_ptrace(struct vz_finding *f)
{
	struct vz_tracee tracee;
	struct vz_err err;
	pid_t child = fork();
	int rc;

	if (child == 0) {
		for (;;)
			pause();
	}
	if (child < 0) {
		vz_finding_say(f, VZ_FOUND_UNKNOWN, "no child to try it on: %s", strerror(errno));
		return;
	}
	rc = vz_tracee_stop(&tracee, child, TRIAL_NS);
	vz_tracee_detach(&tracee);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	if (rc == 0) {
		vz_finding_say(f, VZ_FOUND_OK, "works (tried on a child of vizattach)");
		return;
	}
	vz_err_set(&err, VZ_EXIT_PERMISSION, -rc, "cannot use ptrace here");
	vz_err_why(&err, "ptrace of a child: %s; a seccomp filter or a security module forbids it",
		   strerror(-rc));
	vz_err_try(&err, "run on the host, or start the container with --cap-add=SYS_PTRACE");
	vz_finding_refuse(f, -rc, &err);
}

static uint64_t own_capabilities(void)
{
	_cleanup_free_ char *text = NULL;
	const char *line;
	size_t len;

	if (vz_slurp("/proc/self/status", SMALL_BYTES, &text, &len) < 0)
		return 0;
	line = strstr(text, "\nCapEff:");
	return line ? strtoull(line + strlen("\nCapEff:"), NULL, 16) : 0;
}

static void look_capability(struct vz_finding *f)
{
	if (own_capabilities() >> CAP_PTRACE_BIT & 1)
		vz_finding_say(f, VZ_FOUND_OK, "CAP_SYS_PTRACE: processes of all users");
	else
		vz_finding_say(f, VZ_FOUND_NOTE,
			       "no CAP_SYS_PTRACE: only your own processes; all others need sudo");
}

static void refuse_yama(struct vz_finding *f, long scope, const char *words)
{
	struct vz_err err;

	vz_err_set(&err, VZ_EXIT_PERMISSION, EPERM, "cannot attach here");
	vz_err_why(&err, "kernel.yama.ptrace_scope is %s", words);
	vz_err_try(&err, "%s",
		   scope == 3   ? "boot with kernel.yama.ptrace_scope below 3"
		   : scope == 2 ? "sudo vizattach ..."
				: "sudo vizattach ..., or sudo sysctl kernel.yama.ptrace_scope=0");
	vz_finding_refuse(f, EPERM, &err);
}

static void look_yama(struct vz_finding *f)
{
	static const char *const words[] = {
		"0: your own processes may be recorded",
		"1: without sudo only children of vizattach",
		"2: with sudo only",
		"3: nobody may, until the next boot",
	};
	_cleanup_free_ char *text = NULL;
	bool cap = own_capabilities() >> CAP_PTRACE_BIT & 1;
	size_t len;
	int rc = vz_slurp("/proc/sys/kernel/yama/ptrace_scope", SMALL_BYTES, &text, &len);
	long scope = rc < 0 ? -1 : strtol(text, NULL, 10);

	if (rc == -ENOENT)
		vz_finding_say(f, VZ_FOUND_OK, "not in this kernel");
	else if (scope < 0 || scope > 3)
		vz_finding_say(f, VZ_FOUND_UNKNOWN, "ptrace_scope is not readable");
	else if (scope == 0 || (scope < 3 && cap))
		vz_finding_say(f, VZ_FOUND_OK, "kernel.yama.ptrace_scope is %s", words[scope]);
	else
		refuse_yama(f, scope, words[scope]);
}

/* ---- where we are ---- */

static bool is_first(const char *path, int inode)
{
	struct stat st;

	return stat(path, &st) < 0 || (uint32_t)st.st_ino == (uint32_t)inode;
}

static void look_namespace(struct vz_finding *f)
{
	if (is_first("/proc/self/ns/user", FIRST_USER_NAMESPACE))
		vz_finding_say(f, VZ_FOUND_OK, "the first one: your rights count everywhere");
	else
		vz_finding_say(
			f, VZ_FOUND_NOTE,
			"not the first one: your rights count for processes in it and below");
}

static void look_container(struct vz_finding *f)
{
	if (is_first("/proc/self/ns/pid", FIRST_PID_NAMESPACE))
		vz_finding_say(f, VZ_FOUND_OK, "vizattach sees all processes of this machine");
	else
		vz_finding_say(f, VZ_FOUND_NOTE,
			       "vizattach runs in a pid namespace and sees only its processes");
}

/* The options of the mount at /proc. */
static void look_proc(struct vz_finding *f)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	const char *hidden;

	if (vz_slurp("/proc/self/mounts", LARGE_BYTES, &text, &len) < 0) {
		vz_finding_say(f, VZ_FOUND_UNKNOWN, "/proc is not readable");
		return;
	}
	hidden = strstr(text, " /proc proc ");
	hidden = hidden ? memmem(hidden, strcspn(hidden, "\n"), "hidepid=", 8) : NULL;
	if (hidden && !vz_starts_with(hidden, "hidepid=0") &&
	    !vz_starts_with(hidden, "hidepid=off"))
		vz_finding_say(f, VZ_FOUND_NOTE,
			       "mounted with hidepid: processes of other users may be hidden");
	else
		vz_finding_say(f, VZ_FOUND_OK, "shows all processes");
}

static void look_seccomp(struct vz_finding *f)
{
	struct vz_status status;

	if (vz_status_read(getpid(), 0, &status) < 0)
		vz_finding_say(f, VZ_FOUND_UNKNOWN, "the status of vizattach is not readable");
	else if (status.seccomp)
		vz_finding_say(f, VZ_FOUND_NOTE, "a filter guards vizattach itself");
	else
		vz_finding_say(f, VZ_FOUND_OK, "no filter guards vizattach itself");
}

static void look_modules(struct vz_finding *f)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (vz_slurp("/sys/kernel/security/lsm", SMALL_BYTES, &text, &len) < 0) {
		vz_finding_say(f, VZ_FOUND_UNKNOWN, "/sys/kernel/security is not readable here");
		return;
	}
	text[strcspn(text, "\n")] = '\0';
	vz_finding_say(f, VZ_FOUND_OK, "%.200s", text);
}

/* ---- the machine ---- */

static void look_clock(struct vz_finding *f)
{
	if (vz_clock_tsc_usable())
		vz_finding_say(f, VZ_FOUND_OK, "the time stamp counter is fit to be one");
	else
		vz_finding_say(f, VZ_FOUND_NOTE,
			       "the time stamp counter is not trusted: CLOCK_MONOTONIC, which "
			       "costs more per event");
}

static bool cpu_has(const char *flag)
{
	_cleanup_free_ char *text = NULL;
	char word[32];
	size_t len;

	if (vz_slurp("/proc/cpuinfo", LARGE_BYTES, &text, &len) < 0)
		return false;
	snprintf(word, sizeof(word), " %s ", flag);
	for (char *p = strchr(text, '\n'); p; p = strchr(p, '\n'))
		*p = ' ';
	return strstr(text, word) != NULL;
}

static void look_cpu(struct vz_finding *f)
{
	unsigned size = 0;
#ifdef __x86_64__
	unsigned a, c, d;

	if (!__get_cpuid_count(0xd, 0, &a, &size, &c, &d))
		size = 512;
#endif
	vz_finding_say(f, VZ_FOUND_OK, "%u bytes of vector state to put back%s%s", size,
		       cpu_has("avx512f") ? ", AVX-512" : "", cpu_has("amx_tile") ? ", AMX" : "");
}

static void look_shadow_stack(struct vz_finding *f)
{
	if (cpu_has("user_shstk"))
		vz_finding_say(f, VZ_FOUND_NOTE,
			       "this machine has it: programs that use it are refused");
	else
		vz_finding_say(f, VZ_FOUND_OK, "not on this machine");
}

static void look_pythons(struct vz_finding *f)
{
	vz_finding_say(f, VZ_FOUND_OK, "CPython %s, 64-bit, with glibc", vz_pyver_supported());
}

/* ---- the table ---- */

static const struct {
	const char *name;
	void (*look)(struct vz_finding *f);
} looks[] = {
	{ "kernel", look_kernel },
	{ "ptrace", look_ptrace },
	{ "capability", look_capability },
	{ "yama", look_yama },
	{ "security modules", look_modules },
	{ "user namespace", look_namespace },
	{ "container", look_container },
	{ "/proc", look_proc },
	{ "seccomp", look_seccomp },
	{ "clock", look_clock },
	{ "cpu", look_cpu },
	{ "shadow stack", look_shadow_stack },
	{ "supported", look_pythons },
};

void vz_examine_machine(struct vz_findings *ret)
{
	ret->count = 0;
	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
		struct vz_finding *f = vz_findings_add(ret, looks[i].name);

		if (f)
			looks[i].look(f);
	}
}
