/* SPDX-License-Identifier: MIT */
/*
 * preflight_access.c - may we touch it?  The kernel is asked, by opening its memory; only
 * if it says no are the causes looked for, in strace's order, extended.  A check here
 * refuses only if the kernel did.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "attach/preflight_priv.h"
#include "attach/util.h"

enum {
	CAP_PTRACE_BIT = 19,
	MAX_NAMESPACES = 33, /* the kernel nests 32 */
};

static const char *const capability_names[] = {
	"chown",
	"dac_override",
	"dac_read_search",
	"fowner",
	"fsetid",
	"kill",
	"setgid",
	"setuid",
	"setpcap",
	"linux_immutable",
	"net_bind_service",
	"net_broadcast",
	"net_admin",
	"net_raw",
	"ipc_lock",
	"ipc_owner",
	"sys_module",
	"sys_rawio",
	"sys_chroot",
	"sys_ptrace",
	"sys_pacct",
	"sys_admin",
	"sys_boot",
	"sys_nice",
	"sys_resource",
	"sys_time",
	"sys_tty_config",
	"mknod",
	"lease",
	"audit_write",
	"audit_control",
	"setfcap",
	"mac_override",
	"mac_admin",
	"syslog",
	"wake_alarm",
	"block_suspend",
	"audit_read",
	"perfmon",
	"bpf",
	"checkpoint_restore",
};

/* ---- what the kernel tells ---- */

/* The set behind LABEL in the status of PID, 0 for ourselves; 0 if there is none. */
static uint64_t capabilities(pid_t pid, const char *label)
{
	_cleanup_free_ char *text = NULL;
	const char *line;
	size_t len;
	int rc = pid ? vz_slurp_proc(pid, 0, "status", VZ_SMALL_BYTES, &text, &len)
		     : vz_slurp("/proc/self/status", VZ_SMALL_BYTES, &text, &len);

	line = rc < 0 ? NULL : strstr(text, label);
	return line ? strtoull(line + strlen(label), NULL, 16) : 0;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* Is the namespace of THEIRS ours, or which of its parents is?  OWNED: we made one on the way. */
static enum vz_kinship kinship_of(int theirs, int ours, bool *owned)
{
	int fd = fcntl(theirs, F_DUPFD_CLOEXEC, 3);

	for (int i = 0; fd >= 0 && i < MAX_NAMESPACES; i++) {
		uid_t owner;
		int parent;

		if (same_file(fd, ours)) {
			close(fd);
			return i ? VZ_KIN_BELOW : VZ_KIN_SAME;
		}
		if (ioctl(fd, NS_GET_OWNER_UID, &owner) == 0 && owner == geteuid())
			*owned = true;
		parent = ioctl(fd, NS_GET_PARENT);
		close(fd);
		/* EPERM: the parent is none of ours, nor below it. */
		if (parent < 0)
			return errno == EPERM ? VZ_KIN_ELSEWHERE : VZ_KIN_UNKNOWN;
		fd = parent;
	}
	if (fd >= 0)
		close(fd);
	return VZ_KIN_UNKNOWN;
}

/* Without a right to its namespace file: its map of users is open to all. */
static enum vz_kinship kinship_by_map(pid_t pid)
{
	_cleanup_free_ char *theirs = NULL;
	_cleanup_free_ char *ours = NULL;
	size_t len, our_len;

	if (vz_slurp_proc(pid, 0, "uid_map", VZ_SMALL_BYTES, &theirs, &len) < 0 ||
	    vz_slurp("/proc/self/uid_map", VZ_SMALL_BYTES, &ours, &our_len) < 0)
		return VZ_KIN_UNKNOWN;
	if (!strcmp(theirs, ours))
		return VZ_KIN_UNKNOWN; /* most likely the same, but two may have equal maps */
	/* All others are below the first one, which maps every number to itself. */
	return strstr(ours, "4294967295") ? VZ_KIN_BELOW : VZ_KIN_ELSEWHERE;
}

void vz_access_look(struct vz_scene *s)
{
	_cleanup_close_ int ours = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	char path[64];
	bool owned = false;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)s->target->pid);
	_cleanup_close_ int theirs = open(path, O_RDONLY | O_CLOEXEC);

	s->access = vz_target_open_mem(s->target);
	if (theirs >= 0 && ours >= 0)
		s->kin = kinship_of(theirs, ours, &owned);
	else
		s->kin = kinship_by_map(s->target->pid);
	s->has_cap = capabilities(0, "\nCapEff:") >> CAP_PTRACE_BIT & 1;
	s->cap_there = (s->has_cap && s->kin != VZ_KIN_ELSEWHERE) || owned;
	s->same_user = s->status.uid == geteuid() && s->status.euid == geteuid() &&
		       s->status.fsuid == geteuid();
	s->same_group = s->status.gid == getgid();
}

static void user_name(uid_t uid, char *buf, size_t size)
{
	if (!vz_user_name(uid, buf, size))
		snprintf(buf, size, "user %u", (unsigned)uid);
}

/* ---- the checks ---- */

void vz_check_user(struct vz_scene *s, struct vz_finding *f)
{
	char theirs[64], ours[64];
	struct vz_err err;

	user_name(s->status.uid, theirs, sizeof(theirs));
	user_name(geteuid(), ours, sizeof(ours));
	if (s->same_user && (s->same_group || !s->access || s->has_cap)) {
		vz_finding_say(f, VZ_FOUND_OK, "same user (%s)", theirs);
		return;
	}
	if (s->access == 0 || s->has_cap) {
		vz_finding_say(f, s->access ? VZ_FOUND_NOTE : VZ_FOUND_OK,
			       "it belongs to %s, you are %s", theirs, ours);
		return;
	}
	vz_refusal(s, VZ_EXIT_PERMISSION, &err);
	if (s->same_user) {
		vz_err_why(&err, "it runs with the group %u, you with the group %u",
			   (unsigned)s->status.gid, (unsigned)getgid());
		vz_err_try(&err, "sudo vizattach --pid %d", (int)s->target->pid);
	} else if (geteuid() == 0) {
		vz_err_why(&err, "it belongs to %s, and this root lacks CAP_SYS_PTRACE", theirs);
		vz_err_try(&err,
			   "start the container with --cap-add=SYS_PTRACE, or run on the host");
	} else {
		vz_err_why(&err, "it belongs to %s, you are %s", theirs, ours);
		vz_err_try(&err, "sudo vizattach --pid %d", (int)s->target->pid);
	}
	vz_finding_refuse(f, -s->access, &err);
}

static void refuse_namespace(struct vz_scene *s, struct vz_finding *f)
{
	struct vz_err err;

	vz_refusal(s, VZ_EXIT_PERMISSION, &err);
	if (s->kin == VZ_KIN_BELOW) {
		vz_err_why(&err, "it lives in a user namespace (a container) below yours, where "
				 "you lack CAP_SYS_PTRACE");
		vz_err_try(&err, "sudo vizattach --pid %d", (int)s->target->pid);
	} else {
		vz_err_why(&err, "it lives in another user namespace (a container), where %s",
			   s->has_cap ? "your CAP_SYS_PTRACE does not count"
				      : "you lack CAP_SYS_PTRACE");
		vz_err_try(&err, "run as root of the host, or inside that container with "
				 "--cap-add=SYS_PTRACE");
	}
	vz_finding_refuse(f, -s->access, &err);
}

/* Some capabilities by name, and how many more. */
static void name_capabilities(uint64_t set, char *buf, size_t size)
{
	unsigned n = 0, named = 0;
	size_t used = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < 64; i++) {
		if (!(set >> i & 1))
			continue;
		n++;
		if (i < sizeof(capability_names) / sizeof(capability_names[0]) && named < 3 &&
		    used < size) {
			used += (size_t)snprintf(buf + used, size - used, "%scap_%s",
						 named ? ", " : "", capability_names[i]);
			named++;
		}
	}
	if (n > named && used < size)
		snprintf(buf + used, size - used, "%s%u more", named ? " and " : "", n - named);
}

/* The kernel lets nobody look into a process that may do more than the looker. */
static void check_excess(struct vz_scene *s, struct vz_finding *f)
{
	/* Of another user nobody asks that. */
	uint64_t more = !s->same_user ? 0
				      : capabilities(s->target->pid, "\nCapPrm:") &
						~capabilities(0, "\nCapPrm:");
	struct vz_err err;
	char names[160];

	if (s->cap_there || !more || !s->access) {
		if (s->cap_there)
			vz_finding_say(f, VZ_FOUND_OK, "CAP_SYS_PTRACE counts for it%s",
				       s->kin == VZ_KIN_BELOW ? ", from a user namespace above"
							      : "");
		else if (s->access)
			vz_finding_say(f, VZ_FOUND_NOTE, "you lack CAP_SYS_PTRACE");
		else
			vz_finding_say(f, VZ_FOUND_OK, "you need none for it");
		return;
	}
	name_capabilities(more, names, sizeof(names));
	vz_refusal(s, VZ_EXIT_PERMISSION, &err);
	vz_err_why(&err, "it holds capabilities that you lack: %s", names);
	vz_err_try(&err, "sudo vizattach --pid %d", (int)s->target->pid);
	vz_finding_refuse(f, -s->access, &err);
}

void vz_check_capabilities(struct vz_scene *s, struct vz_finding *f)
{
	bool foreign = s->kin == VZ_KIN_ELSEWHERE || s->kin == VZ_KIN_BELOW;

	if (s->access && foreign && !s->cap_there)
		refuse_namespace(s, f);
	else
		check_excess(s, f);
}

/* The kernel gives the files of a non-dumpable process to root. */
void vz_check_dumpable(struct vz_scene *s, struct vz_finding *f)
{
	struct vz_err err;
	char path[64];
	struct stat st;

	/* The directory itself keeps its owner. */
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)s->target->pid);
	if (stat(path, &st) < 0) {
		vz_finding_say(f, VZ_FOUND_UNKNOWN, "%s: %s", path, strerror(errno));
		return;
	}
	if (st.st_uid == s->status.euid) {
		/* Root's files are root's, dumpable or not. */
		if (s->status.euid || s->cap_there)
			vz_finding_say(f, VZ_FOUND_OK, "it has not shut itself off%s",
				       s->status.euid ? "" : ", or it does not matter");
		else
			vz_finding_say(f, VZ_FOUND_NOTE, "cannot be told for a process of root");
		return;
	}
	if (s->cap_there || !s->access) {
		vz_finding_say(f, VZ_FOUND_NOTE, "it is not dumpable; your rights are enough");
		return;
	}
	vz_refusal(s, VZ_EXIT_PERMISSION, &err);
	vz_err_why(&err, "it has shut itself off (not dumpable: set-uid program or prctl)");
	vz_err_try(&err, "sudo vizattach --pid %d", (int)s->target->pid);
	vz_finding_refuse(f, -s->access, &err);
}

void vz_check_yama(struct vz_scene *s, struct vz_finding *f)
{
	_cleanup_free_ char *text = NULL;
	struct vz_err err;
	size_t len;
	int rc = vz_slurp("/proc/sys/kernel/yama/ptrace_scope", VZ_SMALL_BYTES, &text, &len);
	long scope;

	if (rc < 0) {
		vz_finding_say(f, rc == -ENOENT ? VZ_FOUND_OK : VZ_FOUND_UNKNOWN, "%s",
			       rc == -ENOENT ? "not in this kernel" : strerror(-rc));
		return;
	}
	scope = strtol(text, NULL, 10);
	if (!s->access || scope < 1 || scope > 3 || (scope < 3 && s->cap_there)) {
		vz_finding_say(f, VZ_FOUND_OK, "kernel.yama.ptrace_scope is %ld", scope);
		return;
	}
	vz_refusal(s, VZ_EXIT_PERMISSION, &err);
	if (scope == 3) {
		vz_err_why(&err, "kernel.yama.ptrace_scope is 3: nobody may, until the next boot");
		vz_err_try(&err, "boot with kernel.yama.ptrace_scope below 3");
	} else {
		vz_err_why(&err, "kernel.yama.ptrace_scope is %ld: %s", scope,
			   scope == 1 ? "only a parent may attach to its child"
				      : "only root may attach");
		vz_err_try(&err, "sudo vizattach --pid %d%s", (int)s->target->pid,
			   scope == 1 ? ", or sudo sysctl kernel.yama.ptrace_scope=0" : "");
	}
	vz_finding_refuse(f, -s->access, &err);
}

void vz_check_label(struct vz_scene *s, struct vz_finding *f)
{
	_cleanup_free_ char *text = NULL;
	struct vz_err err;
	size_t len;
	int rc = vz_slurp_proc(s->target->pid, 0, "attr/current", VZ_SMALL_BYTES, &text, &len);

	if (rc < 0) /* EINVAL: no module that gives labels */
		text = NULL;
	else
		text[strcspn(text, "\n")] = '\0';
	if (rc == -EACCES || rc == -EPERM) {
		vz_finding_say(f, VZ_FOUND_UNKNOWN, "its label is not readable");
		return;
	}
	if (!text || !text[0] || vz_starts_with(text, "unconfined")) {
		vz_finding_say(f, VZ_FOUND_OK, "no security module guards it");
		return;
	}
	if (!s->access) {
		vz_finding_say(f, VZ_FOUND_NOTE, "its security label is %.200s", text);
		return;
	}
	vz_refusal(s, VZ_EXIT_PERMISSION, &err);
	vz_err_why(&err, "a security module guards it: its label is %.200s", text);
	vz_err_try(&err, "allow ptrace for that label, or look into the audit log");
	vz_finding_refuse(f, -s->access, &err);
}

void vz_check_memory_access(struct vz_scene *s, struct vz_finding *f)
{
	struct vz_err err;

	if (!s->access) {
		vz_finding_say(f, VZ_FOUND_OK, "its memory can be opened");
		return;
	}
	vz_refusal(s, VZ_EXIT_PERMISSION, &err);
	vz_err_why(&err, "%s%s", strerror(-s->access),
		   s->explained ? ", as told above"
				: "; a container or a seccomp filter may forbid it");
	if (geteuid() == 0)
		vz_err_try(&err, "run on the host, or start the container with "
				 "--cap-add=SYS_PTRACE");
	else
		vz_err_try(&err, "sudo vizattach --pid %d", (int)s->target->pid);
	vz_finding_refuse(f, -s->access, &err);
}
