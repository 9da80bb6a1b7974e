/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/seccomp.h"

#define NR   offsetof(struct seccomp_data, nr)
#define ARG0 offsetof(struct seccomp_data, args)

/* clang-format off */
/* The first argument decides: arithmetic, memory and jumps of every kind. */
static const struct sock_filter decides[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG0),
	BPF_STMT(BPF_ST, 3),
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 7),
	BPF_STMT(BPF_MISC | BPF_TAX, 0),
	BPF_STMT(BPF_LD | BPF_MEM, 3),
	BPF_STMT(BPF_ALU | BPF_RSH | BPF_X, 0),
	BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 3),
	BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
	BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 5),
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff),
	BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 100, 3, 0),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 2, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EDOM),
	BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
	BPF_STMT(BPF_RET | BPF_A, 0),
};
/* clang-format on */
#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static int errno_of(uint32_t answer)
{
	return (answer & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO ? (int)(answer & 0xffff) : 0;
}

/* The kernel is the reference. */
Test(seccomp, answers_as_the_kernel_does, .timeout = 60)
{
	struct sock_fprog program = { LEN(decides), (struct sock_filter *)(uintptr_t)decides };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
			_exit(77);
		for (uint64_t x = 0; x < 2000; x++) {
			struct seccomp_data call = { .nr = SYS_getpriority, .args = { x } };
			int expected = errno_of(vz_seccomp_run(decides, LEN(decides), &call));

			errno = 0;
			if (syscall(SYS_getpriority, x, 0) >= 0 || errno != expected)
				_exit(1);
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		cr_skip_test("no seccomp here");
	cr_assert_eq(status, 0);
}

Test(seccomp, programs_that_the_kernel_refuses_are_fatal)
{
	static const struct sock_filter broken[][2] = {
		{ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 62),
		  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64),
		  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_LD | BPF_MEM, 16), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_ST, 16), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0),
		  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_JMP | BPF_JA, UINT32_MAX),
		  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_ALU | 0xf0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
	};
	struct seccomp_data call = { .nr = SYS_mmap };

	for (size_t i = 0; i < LEN(broken); i++)
		cr_assert_eq(vz_seccomp_run(broken[i], 2, &call), SECCOMP_RET_KILL_PROCESS, "%zu",
			     i);
	cr_assert_eq(vz_seccomp_run(broken[0], 0, &call), SECCOMP_RET_KILL_PROCESS, "empty");
}

/* One call is answered with ACTION, all others are allowed. */
static struct vz_seccomp judge(int nr, uint32_t action)
{
	const struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct vz_seccomp all = { 0 };

	vz_seccomp_add(&all, filter, LEN(filter));
	return all;
}

Test(seccomp, what_would_become_of_the_target)
{
	struct vz_seccomp s = judge(SYS_memfd_create, SECCOMP_RET_KILL_PROCESS);

	cr_assert_str_eq(s.fatal, "memfd_create");
	s = judge(SYS_openat, SECCOMP_RET_KILL_THREAD);
	cr_assert_str_eq(s.fatal, "openat", "not needed, but deadly");
	s = judge(SYS_futex, SECCOMP_RET_TRAP);
	cr_assert_str_eq(s.fatal, "futex");
	s = judge(SYS_mprotect, SECCOMP_RET_ERRNO | EPERM);
	cr_assert_null(s.fatal);
	cr_assert_str_eq(s.denied, "mprotect");
	s = judge(SYS_openat, SECCOMP_RET_ERRNO | EPERM);
	cr_assert(!s.fatal && !s.denied, "we do without");
	s = judge(SYS_ptrace, SECCOMP_RET_KILL_PROCESS);
	cr_assert(!s.fatal && !s.denied, "not ours");
	s = judge(SYS_mmap, SECCOMP_RET_LOG);
	cr_assert(!s.fatal && !s.denied);
	cr_assert_eq(s.filters, 1);
}
