/* SPDX-License-Identifier: MIT */
#include "attach/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "attach/util.h"

enum { POLL_NS = 100 * 1000 };
#define LEASE_NS     (UINT64_C(15) * 1000000000u)
#define HEARTBEAT_NS (UINT64_C(500) * 1000000u) /* what the agent allows */
#define BEAT_NS      (UINT64_C(20) * 1000000u)  /* what we do */

/*
 * The kernel walks this list when our thread dies and marks the word that
 * lies FUTEX_OFFSET behind each entry.  The entry is in our own memory and only the
 * word is in the arena, so the target cannot bend the list.
 */
static struct {
	struct robust_list_head head;
	struct robust_list entry;
} robust;

static void pause_a_little(void)
{
	struct timespec ts = { 0, POLL_NS };

	nanosleep(&ts, NULL);
}

void vz_link_boot(const struct vz_python *python, const struct vz_arena *arena, bool c_calls,
		  bool clock_is_ns, struct vz_boot *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->py, python->py, sizeof(ret->py));
	memcpy(ret->libc, python->libc, sizeof(ret->libc));
	ret->off = python->ver->off;
	ret->py_minor = python->minor;
	ret->hook = python->ver->hook;
	ret->adopt = python->ver->adopt;
	ret->clock = clock_is_ns ? VZ_CLOCK_MONOTONIC_NS : VZ_CLOCK_TSC;
	ret->c_calls = c_calls;
	ret->exit_gadget = python->exit_gadget;
	ret->nslots = arena->nslots;
	ret->nchunks = arena->nchunks;
	ret->nreturns = arena->nreturns;
	ret->slots_offset = arena->slots_offset;
	ret->returns_offset = arena->returns_offset;
	ret->chunks_offset = arena->chunks_offset;
	ret->arena_bytes = arena->bytes;
	ret->lease_ns = LEASE_NS;
	ret->heartbeat_ns = HEARTBEAT_NS;
	ret->nonce = vz_now_ns() ^ (uint64_t)getpid() << 40;
}

static void die_visibly(uint32_t *word)
{
	robust.head.list.next = &robust.entry;
	robust.head.futex_offset = (long)((char *)word - (char *)&robust.entry);
	robust.head.list_op_pending = NULL;
	robust.entry.next = &robust.head.list;
	__atomic_store_n(word, (uint32_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	syscall(SYS_set_robust_list, &robust.head, sizeof(robust.head));
}

/*
 * The target can have put anything behind that number.  To open a terminal, a FIFO or a file
 * of a file system of its own could have effects or never return: only its name is looked at.
 */
static int open_memfd(const char *path)
{
	static const char name[] = "/memfd:vizattach";
	char link[sizeof(name)];
	ssize_t n = readlink(path, link, sizeof(link) - 1);
	int fd;

	if (n < 0)
		return -errno;
	link[n] = '\0';
	if (strcmp(link, name) != 0)
		return -EBADF;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/*
 * Memory that stays as large as it is: a shorter file would kill us with SIGBUS, so it is
 * sealed against shrinking before its size is looked at; and huge pages may be used up.
 */
static int check_memfd(int fd, uint64_t bytes)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		return -EBADF;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size < bytes)
		return -EBADF;
	return 0;
}

static int map_arena(struct vz_link *link)
{
	char path[64];
	void *at;
	int rc;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)link->target->pid, link->boot.arena_fd);
	_cleanup_close_ int fd = open_memfd(path);
	if (fd < 0)
		return fd;
	rc = check_memfd(fd, link->arena.bytes);
	if (rc < 0)
		return rc;
	vz_step("map arena");
	at = mmap(NULL, link->arena.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	link->arena.at = at;
	link->control = at;
	return 0;
}

static int read_boot(struct vz_link *link)
{
	struct vz_boot boot;
	int rc = vz_target_read(link->target, link->boot_raddr, &boot, sizeof(boot));

	if (rc < 0 || boot.nonce != link->nonce)
		return rc < 0 ? rc : -ESRCH;
	link->boot = boot;
	return 0;
}

/*
 * Say that we are there.  The image lies where nothing else comes to lie, so this
 * cannot hit anything else, even if the agent has just left.
 */
static void beat(struct vz_link *link)
{
	uint64_t now = vz_now_ns();

	if (now - link->beat_ns < BEAT_NS)
		return;
	link->beat_ns = now;
	link->beats++;
	vz_target_write(link->target, link->boot_raddr + offsetof(struct vz_boot, heartbeat),
			&link->beats, sizeof(link->beats));
}

/* vz_err_try() keeps the first hint: these come before the general one. */
static void explain_thread(const struct vz_link *link, struct vz_err *err)
{
	err->exit = VZ_EXIT_UNSAFE;
	if (link->boot.error == VZ_AGENT_NO_THREAD)
		vz_err_why(err, "it was refused a thread (pthread_create: %s)",
			   strerror((int)link->boot.create_result));
	else /* not even one that stays to say so */
		vz_err_why(err, "it was refused a thread, or the right to its own memory "
				"(limits, seccomp), and left");
	vz_err_try(err,
		   "raise pids.max of its control group, or RLIMIT_NPROC of its user; the target "
		   "goes on");
}

static void explain_memfd(const struct vz_link *link, struct vz_err *err)
{
	bool files = link->boot.create_result == EMFILE || link->boot.create_result == ENFILE;

	err->exit = files ? VZ_EXIT_UNSAFE : VZ_EXIT_PERMISSION;
	if (files)
		vz_err_try(err, "when it has fewer files open, or with a higher RLIMIT_NOFILE; the "
				"target goes on");
	vz_err_why(err, "memfd_create: %s%s", strerror((int)link->boot.create_result),
		   link->boot.create_result == EPERM ? ": a seccomp filter forbids it" : "");
	vz_err_try(err,
		   "allow memfd_create in the seccomp profile of its container; the target goes "
		   "on");
}

/* It is gone: because it took us for dead?  Else it could not live. */
static bool silent_too_long(const struct vz_link *link)
{
	uint64_t last = link->beat_ns > link->born_ns ? link->beat_ns : link->born_ns;

	return vz_now_ns() - last >= HEARTBEAT_NS;
}

static int fail_open(struct vz_link *link, int rc, struct vz_err *err)
{
	const struct vz_target *t = link->target;

	if (!vz_target_alive(t)) {
		vz_err_set(err, VZ_EXIT_NO_PROCESS, ESRCH, "%d (%s) ended during the attach",
			   (int)t->pid, t->comm);
		return -ESRCH;
	}
	vz_err_set(err, VZ_EXIT_UNEXPECTED, -rc, "the agent did not start in %d (%s)", (int)t->pid,
		   t->comm);
	if (rc == -ESTALE)
		vz_err_why(err, "vizattach was not let run for %u ms, so the agent left again",
			   (unsigned)(HEARTBEAT_NS / 1000000));
	else if (link->boot.error == VZ_AGENT_NO_THREAD || rc == -EFAULT || rc == -ESRCH)
		explain_thread(link, err);
	else if (link->boot.error == VZ_AGENT_NO_MEMFD)
		explain_memfd(link, err);
	else if (link->boot.error == VZ_AGENT_NO_MEMORY)
		vz_err_why(err, "it may have no more memory (its control group, or RLIMIT_AS)");
	else
		vz_err_why(err, "%s", strerror(-rc));
	vz_err_try(err, "a smaller --ring-size; the target goes on");
	return rc;
}

int vz_link_open(struct vz_link *link, uint64_t timeout_ns, struct vz_err *err)
{
	uint64_t deadline = vz_now_ns() + timeout_ns;
	int rc;

	for (;;) {
		rc = read_boot(link);
		if (rc < 0 && vz_target_alive(link->target) && silent_too_long(link))
			rc = -ESTALE;
		if (rc == 0 && link->boot.status == VZ_STATE_FAILED)
			rc = link->boot.error == VZ_AGENT_TOOL_DEAD ? -ESTALE : -ECANCELED;
		if (rc == 0)
			beat(link);
		if (rc < 0 || link->boot.status >= VZ_STATE_READY)
			break;
		if (vz_now_ns() >= deadline) {
			rc = -ETIMEDOUT;
			break;
		}
		pause_a_little();
	}
	if (rc == 0)
		rc = map_arena(link);
	if (rc < 0)
		return fail_open(link, rc, err);
	vz_step("robust list");
	die_visibly(&link->control->tool_lock);
	vz_step("renew");
	vz_link_renew(link);
	vz_step("GO");
	__atomic_store_n(&link->control->command, VZ_COMMAND_GO, __ATOMIC_RELEASE);
	syscall(SYS_futex, &link->control->command, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
	return 0;
}

enum vz_state vz_link_state(const struct vz_link *link)
{
	uint32_t state = __atomic_load_n(&link->control->state, __ATOMIC_ACQUIRE);

	return state <= VZ_STATE_FAILED ? (enum vz_state)state : VZ_STATE_FAILED;
}

bool vz_link_alive(struct vz_link *link)
{
	return read_boot(link) == 0;
}

void vz_link_renew(struct vz_link *link)
{
	__atomic_add_fetch(&link->control->lease, 1, __ATOMIC_RELAXED);
}

void vz_link_stop(struct vz_link *link)
{
	vz_step("STOP");
	__atomic_store_n(&link->control->command, VZ_COMMAND_STOP, __ATOMIC_RELEASE);
	syscall(SYS_futex, &link->control->command, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void vz_link_explain(const struct vz_link *link, struct vz_err *err)
{
	static const struct {
		enum vz_agent_error error;
		enum vz_exit exit;
		const char *what, *hint;
	} table[] = {
		{ VZ_AGENT_FINALIZING, VZ_EXIT_UNSAFE, "the interpreter is shutting down", "" },
		{ VZ_AGENT_PROFILER, VZ_EXIT_BUSY, "another profiler is active",
		  "again when it is done" },
		{ VZ_AGENT_NO_TOOL_ID, VZ_EXIT_BUSY, "all ids of sys.monitoring are taken",
		  "again when one of those tools is done" },
		{ VZ_AGENT_VETO, VZ_EXIT_PERMISSION, "an audit hook of the program forbids it",
		  "have the program's audit hook allow it" },
		{ VZ_AGENT_LAYOUT, VZ_EXIT_UNSUPPORTED,
		  "this build of CPython is laid out differently",
		  "report the version and where it comes from" },
		{ VZ_AGENT_CANCELLED, VZ_EXIT_UNSAFE, "the attach was cancelled", "" },
	};
	uint32_t error = link->control->error;
	char text[sizeof(link->control->error_text)];

	memcpy(text, link->control->error_text, sizeof(text)); /* shared: take it once */
	text[sizeof(text) - 1] = '\0';
	for (char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].error != error)
			continue;
		vz_err_set(err, table[i].exit, 1, "did not record %d (%s): %s",
			   (int)link->target->pid, link->target->comm, table[i].what);
		vz_err_why(err, "%s", text);
		vz_err_try(err, "%s", table[i].hint);
		return;
	}
	vz_err_set(err, VZ_EXIT_UNEXPECTED, 1, "the agent failed in %d (%s)",
		   (int)link->target->pid, link->target->comm);
	vz_err_why(err, "%s (code %u)", text[0] ? text : "it gave no reason", error);
}

void vz_link_close(struct vz_link *link)
{
	if (!link->control)
		return;
	vz_step("unmap arena");
	/* From here on our death no longer matters to anybody. */
	robust.head.list.next = &robust.head.list;
	__atomic_store_n(&link->control->tool_lock, 0, __ATOMIC_RELEASE);
	munmap(link->arena.at, link->arena.bytes);
	link->control = NULL;
}
