/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach/link.h"

#define SECOND UINT64_C(1000000000)

/* The test is its own target: the boot block and the arena are ours. */
struct line {
	struct vz_target target;
	struct vz_boot boot;
	struct vz_link link;
	struct vz_err err;
};

static void prepare(struct line *l)
{
	struct vz_python python = { .ver = vz_pyver_find(11), .minor = 11 };

	memset(l, 0, sizeof(*l));
	cr_assert_eq(vz_target_open(getpid(), &l->target, &l->err), 0);
	cr_assert_eq(vz_arena_plan(1 << 20, &l->link.arena), 0);
	vz_link_boot(&python, &l->link.arena, true, false, &l->boot);
	l->boot.arena_fd = -1;
	l->link.target = &l->target;
	l->link.nonce = l->boot.nonce;
	l->link.boot_raddr = (uint64_t)(uintptr_t)&l->boot;
}

/* As the agent does it. */
static int make_arena(struct line *l, unsigned flags, uint64_t bytes)
{
	l->boot.arena_fd = memfd_create("vizattach", MFD_CLOEXEC | flags);
	cr_assert_geq(l->boot.arena_fd, 0);
	cr_assert_eq(ftruncate(l->boot.arena_fd, (off_t)bytes), 0);
	l->boot.status = VZ_STATE_READY;
	return l->boot.arena_fd;
}

Test(link, boot_block)
{
	struct vz_python python = { .ver = vz_pyver_find(12), .minor = 12, .exit_gadget = 77 };
	struct vz_boot a, b;
	struct vz_arena arena;

	python.py[VZ_SYM_PyGILState_Ensure] = 1234;
	python.libc[VZ_LIBC_munmap] = 5678;
	cr_assert_eq(vz_arena_plan(64 << 20, &arena), 0);
	vz_link_boot(&python, &arena, false, true, &a);
	vz_link_boot(&python, &arena, true, false, &b);
	cr_assert_eq(a.py[VZ_SYM_PyGILState_Ensure], 1234);
	cr_assert_eq(a.libc[VZ_LIBC_munmap], 5678);
	cr_assert_eq(a.exit_gadget, 77);
	cr_assert_eq(a.py_minor, 12);
	cr_assert_eq(a.hook, VZ_HOOK_MONITORING);
	cr_assert_eq(memcmp(&a.off, &python.ver->off, sizeof(a.off)), 0);
	cr_assert(a.clock == VZ_CLOCK_MONOTONIC_NS && b.clock == VZ_CLOCK_TSC);
	cr_assert(!a.c_calls && b.c_calls);
	cr_assert_neq(a.nonce, 0);
	cr_assert_neq(a.nonce, b.nonce, "another recording of the same process is another one");
	cr_assert_gt(a.lease_ns, 2 * SECOND);
	cr_assert_eq(a.nchunks, arena.nchunks);
	cr_assert_eq(a.nslots, arena.nslots);
	cr_assert_eq(a.nreturns, arena.nreturns);
	cr_assert_eq(a.chunks_offset, arena.chunks_offset);
	cr_assert_eq(a.returns_offset, arena.returns_offset);
	cr_assert_eq(a.slots_offset, arena.slots_offset);
	cr_assert_eq(a.arena_bytes, arena.bytes);
	cr_assert_eq(a.status, VZ_STATE_LOADING);
}

Test(link, opens_what_the_agent_made)
{
	static struct line l;
	int fd;
	uint32_t lease;

	prepare(&l);
	fd = make_arena(&l, MFD_ALLOW_SEALING, l.link.arena.bytes);
	cr_assert_eq(vz_link_open(&l.link, SECOND, &l.err), 0, "%s", l.err.why);
	cr_assert_eq(l.link.control->command, VZ_COMMAND_GO);
	cr_assert_eq(l.link.control->tool_lock, (uint32_t)syscall(SYS_gettid));
	cr_assert_lt(ftruncate(fd, 0), 0, "it can no longer be taken away under our feet");
	cr_assert(vz_link_alive(&l.link));
	lease = l.link.control->lease;
	vz_link_renew(&l.link);
	cr_assert_neq(l.link.control->lease, lease);
	for (uint32_t state = 0; state < 20; state++) {
		l.link.control->state = state;
		cr_assert_eq(vz_link_state(&l.link),
			     state <= VZ_STATE_FAILED ? state : VZ_STATE_FAILED);
	}
	vz_link_stop(&l.link);
	cr_assert_eq(l.link.control->command, VZ_COMMAND_STOP);
	/* what is at that address now is another's */
	l.boot.nonce++;
	cr_assert_not(vz_link_alive(&l.link));
	vz_link_close(&l.link);
	cr_assert_null(l.link.control);
	vz_link_close(&l.link);
	close(fd);
	vz_target_close(&l.target);
}

/* A shorter file, or one that can be cut, would kill us with SIGBUS: not mapped at all. */
Test(link, refuses_what_could_hurt)
{
	static struct line l;
	int fd, fds[2];

	prepare(&l);
	fd = make_arena(&l, MFD_ALLOW_SEALING, l.link.arena.bytes - 1);
	cr_assert_eq(vz_link_open(&l.link, SECOND, &l.err), -EBADF, "short");
	cr_assert_eq(l.err.exit, VZ_EXIT_UNEXPECTED);
	close(fd);
	fd = make_arena(&l, MFD_ALLOW_SEALING, l.link.arena.bytes);
	close(fd);
	l.boot.arena_fd = memfd_create("another", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	cr_assert_eq(ftruncate(l.boot.arena_fd, (off_t)l.link.arena.bytes), 0);
	cr_assert_eq(vz_link_open(&l.link, SECOND, &l.err), -EBADF, "another name");
	close(l.boot.arena_fd);
	/* huge pages run out while they are used */
	l.boot.arena_fd = memfd_create("vizattach", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	if (l.boot.arena_fd >= 0 && ftruncate(l.boot.arena_fd, 1 << 22) == 0)
		cr_assert_eq(vz_link_open(&l.link, SECOND, &l.err), -EBADF, "huge pages");
	fd = make_arena(&l, 0, l.link.arena.bytes); /* F_SEAL_SEAL is set */
	cr_assert_lt(vz_link_open(&l.link, SECOND, &l.err), 0, "cannot be sealed");
	close(fd);
	cr_assert_eq(pipe(fds), 0);
	l.boot.arena_fd = fds[0];
	cr_assert_lt(vz_link_open(&l.link, SECOND, &l.err), 0, "a pipe");
	l.boot.arena_fd = open("/dev/null", O_RDWR);
	cr_assert_lt(vz_link_open(&l.link, SECOND, &l.err), 0, "a device");
	l.boot.arena_fd = 9999;
	cr_assert_lt(vz_link_open(&l.link, SECOND, &l.err), 0, "nothing");
	l.boot.arena_fd = -1;
	cr_assert_lt(vz_link_open(&l.link, SECOND, &l.err), 0, "none");
	cr_assert_null(l.link.control);
	vz_target_close(&l.target);
}

Test(link, says_why_the_agent_did_not_start)
{
	static struct line l;

	prepare(&l);
	cr_assert_eq(vz_link_open(&l.link, SECOND / 100, &l.err), -ETIMEDOUT);
	l.boot.status = VZ_STATE_FAILED;
	l.boot.error = VZ_AGENT_NO_THREAD;
	l.boot.create_result = EAGAIN;
	cr_assert_eq(vz_link_open(&l.link, SECOND, &l.err), -ECANCELED);
	cr_assert_not_null(strstr(l.err.why, strerror(EAGAIN)), "%s", l.err.why);
	cr_assert_not_null(strstr(l.err.hint, "pids.max"), "%s", l.err.hint);
	cr_assert_eq(l.err.exit, VZ_EXIT_UNSAFE);
	l.boot.error = VZ_AGENT_NO_MEMORY;
	cr_assert_eq(vz_link_open(&l.link, SECOND, &l.err), -ECANCELED);
	cr_assert_not_null(strstr(l.err.why, "no more memory"), "%s", l.err.why);
	cr_assert_eq(l.err.exit, VZ_EXIT_UNEXPECTED);
	l.boot.error = VZ_AGENT_NO_MEMFD;
	l.boot.create_result = EPERM;
	cr_assert_eq(vz_link_open(&l.link, SECOND, &l.err), -ECANCELED);
	cr_assert_not_null(strstr(l.err.why, "memfd_create: Operation not permitted: a seccomp"),
			   "%s", l.err.why);
	cr_assert_not_null(strstr(l.err.hint, "allow memfd_create"), "%s", l.err.hint);
	cr_assert_eq(l.err.exit, VZ_EXIT_PERMISSION);
	l.link.boot_raddr = 16; /* unmapped */
	cr_assert_lt(vz_link_open(&l.link, SECOND, &l.err), 0);
	cr_assert_not(vz_link_alive(&l.link));
	vz_target_close(&l.target);
}

/* Every reason has its exit code; what the target wrote is printed as plain text only. */
Test(link, explains)
{
	static const struct {
		uint32_t error;
		enum vz_exit exit;
		const char *what;
	} reasons[] = {
		{ VZ_AGENT_FINALIZING, VZ_EXIT_UNSAFE, "shutting down" },
		{ VZ_AGENT_PROFILER, VZ_EXIT_BUSY, "another profiler" },
		{ VZ_AGENT_NO_TOOL_ID, VZ_EXIT_BUSY, "sys.monitoring" },
		{ VZ_AGENT_LAYOUT, VZ_EXIT_UNSUPPORTED, "laid out differently" },
		{ VZ_AGENT_CANCELLED, VZ_EXIT_UNSAFE, "cancelled" },
		{ VZ_AGENT_PYTHON_ERROR, VZ_EXIT_UNEXPECTED, "the agent failed" },
		{ UINT32_MAX, VZ_EXIT_UNEXPECTED, "the agent failed" },
	};
	static struct line l;
	static struct vz_control control;

	prepare(&l);
	l.link.control = &control;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		control.error = reasons[i].error;
		memset(control.error_text, 'x', sizeof(control.error_text)); /* without an end */
		control.error_text[0] = '\x1b';
		vz_link_explain(&l.link, &l.err);
		cr_assert_eq(l.err.exit, reasons[i].exit, "%zu", i);
		cr_assert_not_null(strstr(l.err.what, reasons[i].what), "%s", l.err.what);
		cr_assert_eq(strncmp(l.err.why, "?xxx", 4), 0, "%s", l.err.why);
	}
	control.error_text[0] = '\0';
	vz_link_explain(&l.link, &l.err);
	cr_assert_not_null(strstr(l.err.why, "it gave no reason"));
	vz_target_close(&l.target);
}

static struct line dying;

static void *open_and_die(void *unused)
{
	(void)unused;
	cr_assert_eq(vz_link_open(&dying.link, SECOND, &dying.err), 0);
	syscall(SYS_exit, 0); /* this thread only, and not by pthread_exit */
	return NULL;
}

/* The kernel tells the agent: no heartbeat is needed to see that we died. */
Test(link, our_death_is_seen)
{
	pthread_t thread;
	uint32_t *lock;
	void *at;
	int fd;

	prepare(&dying);
	fd = make_arena(&dying, MFD_ALLOW_SEALING, dying.link.arena.bytes);
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq(at, MAP_FAILED);
	lock = &((struct vz_control *)at)->tool_lock;
	cr_assert_eq(pthread_create(&thread, NULL, open_and_die, NULL), 0);
	while (!(__atomic_load_n(lock, __ATOMIC_ACQUIRE) & FUTEX_OWNER_DIED))
		usleep(200);
	cr_assert_eq(dying.link.control->command, VZ_COMMAND_GO);
}

static void *grow_and_shrink(void *context)
{
	const struct line *l = context;

	while (ftruncate(l->boot.arena_fd, (off_t)l->link.arena.bytes) == 0 &&
	       ftruncate(l->boot.arena_fd, 0) == 0)
		;
	return NULL;
}

/* What the target does between our looks does not matter: what is mapped stays as large. */
Test(link, a_file_that_changes_its_size)
{
	static struct line l;
	pthread_t thread;

	for (int round = 0; round < 200; round++) {
		int fd, rc;

		prepare(&l);
		fd = make_arena(&l, MFD_ALLOW_SEALING, l.link.arena.bytes);
		cr_assert_eq(pthread_create(&thread, NULL, grow_and_shrink, &l), 0);
		rc = vz_link_open(&l.link, SECOND, &l.err);
		if (rc == 0) {
			l.link.arena.at[l.link.arena.bytes - 1] = 1;
			vz_link_close(&l.link);
		} else {
			cr_assert_eq(rc, -EBADF);
		}
		close(fd);
		pthread_join(thread, NULL);
		vz_target_close(&l.target);
	}
}
