/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif

#include "attach/target.h"
#include "attach/tracee.h"
#include "attach/util.h"
#include "tests/kit_child.h"
#include "tests/kit_wait.h"

#define SECOND UINT64_C(1000000000)

static struct vz_cpu cpu;

static void stop(struct vz_tracee *t, pid_t pid)
{
	int rc = vz_tracee_stop(t, pid, 10 * SECOND);

	if (rc == -EPERM)
		cr_skip_test("ptrace is not allowed here");
	cr_assert_eq(rc, 0, "%s", strerror(-rc));
	cr_assert(t->stopped);
	cr_assert_leq(t->interrupt_ns, t->stop_ns);
	cr_assert_eq(kit_child_state(pid), 't');
}

/* Works on a checksum; a register or a byte of its stack that changes makes it wrong. */
static void sum(struct kit_page *page)
{
	uint64_t expected = 0;

	while (!page->stop && !page->wrong) {
		double d = 1;
		uint64_t x = 1;

		for (unsigned i = 1; i < 20000; i++) {
			x = x * UINT64_C(6364136223846793005) + i;
			d = d * 1.0000001 + (double)(x >> 60);
		}
		x ^= (uint64_t)d;
		if (!expected)
			expected = x;
		page->wrong = x != expected;
		page->rounds++;
		page->ready = 1;
	}
}

Test(tracee, a_thread_that_works, .timeout = 60)
{
	struct kit_child c = kit_child_start(sum);

	for (int i = 0; i < 100; i++) {
		struct vz_tracee t;
		uint64_t rounds;

		stop(&t, c.pid);
		cr_assert_eq(vz_tracee_get(&t, &cpu), 0);
		cr_assert(vz_arch_mode_ok(&cpu));
		cr_assert_gt(cpu.xstate_len, 512);
		rounds = c.page->rounds;
		sched_yield();
		cr_assert_eq(c.page->rounds, rounds, "it stands still");
		vz_tracee_detach(&t);
		cr_assert_not(t.stopped || t.seized);
		cr_assert_leq(t.stop_ns, t.resume_ns);
		vz_tracee_detach(&t); /* twice is harmless */
		kit_child_works(&c, 1);
	}
	cr_assert_eq(kit_child_end(&c), 0);
}

Test(tracee, waits_are_seen_and_not_disturbed, .timeout = 100)
{
	for (size_t i = 0; i < KIT_NWAITS; i++) {
		const struct kit_wait *w = &kit_waits[i];
		struct kit_child c;
		int status;

		if (!w->bare)
			continue;
		c = kit_wait_start(w);
		for (int k = 0; k < 50; k++) {
			struct vz_tracee t;

			stop(&t, c.pid);
			cr_assert_eq(vz_tracee_get(&t, &cpu), 0);
			/* later it may be met on its way back into the wait */
			if (k == 0 && !w->timed && w->nr >= 0) {
				cr_assert_eq(vz_arch_syscall(&cpu), w->nr, "%s", w->label);
				cr_assert_neq(vz_arch_restart(&cpu), VZ_RESTART_NONE, "%s",
					      w->label);
			}
			vz_tracee_detach(&t);
		}
		status = kit_wait_end(&c);
		cr_assert_eq(status, 0, "%s: %lld", w->label, (long long)c.page->wrong);
	}
}

/* "syscall; ret", and at a place that the child has too. */
__attribute__((naked, used)) static void syscall_insn(void)
{
	__asm__("syscall\n"
		"ret\n");
}

__attribute__((naked, used)) static void restore_rt(void)
{
	__asm__("mov $15, %rax\n"
		"syscall\n");
}

/* One system call in the stopped thread, as attach/inject.c does it. */
static int64_t call(struct vz_tracee *t, long nr, const uint64_t args[6])
{
	static struct vz_frame frame;
	uint64_t regs[VZ_ARCH_WORDS];
	struct iovec local, remote;
	int64_t result = 0;

	cr_assert_eq(vz_tracee_get(t, &cpu), 0);
	cr_assert_eq(vz_arch_frame(&cpu, (uint64_t)(uintptr_t)restore_rt, 0, &frame), 0);
	local = (struct iovec){ frame.bytes, frame.len };
	remote = (struct iovec){ (void *)(uintptr_t)frame.raddr, frame.len };
	cr_assert_eq(process_vm_writev(t->tid, &local, 1, &remote, 1, 0), (ssize_t)frame.len);
	vz_arch_remote_syscall(&cpu, &frame, (uint64_t)(uintptr_t)syscall_insn, nr, args, regs);
	cr_assert_eq(vz_tracee_set_regs(t, regs), 0);
	cr_assert_eq(vz_tracee_set_sigmask(t, vz_arch_block_mask(cpu.sigmask)), 0);
	cr_assert_eq(vz_tracee_syscall(t, 10 * SECOND, &result), 0);
	return result;
}

static void home(struct vz_tracee *t)
{
	uint64_t regs[VZ_ARCH_WORDS];

	vz_arch_home(&cpu, regs);
	cr_assert_eq(vz_tracee_set_sigmask(t, cpu.sigmask), 0);
	cr_assert_eq(vz_tracee_set_regs(t, regs), 0);
	vz_tracee_detach(t);
}

Test(tracee, a_system_call_in_the_thread, .timeout = 60)
{
	static const uint64_t none[6],
		page[6] = { 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, UINT64_MAX, 0 };
	struct kit_child c = kit_child_start(sum);

	for (int i = 0; i < 50; i++) {
		struct vz_tracee t;
		int64_t at;

		stop(&t, c.pid);
		cr_assert_eq(call(&t, SYS_getpid, none), c.pid);
		home(&t);
		stop(&t, c.pid);
		at = call(&t, SYS_mmap, page);
		cr_assert_gt(at, 0);
		home(&t);
		stop(&t, c.pid);
		cr_assert_eq(call(&t, SYS_close, (const uint64_t[6]){ 9999 }), -EBADF);
		home(&t);
		kit_child_works(&c, 1);
	}
	cr_assert_eq(kit_child_end(&c), 0);
}

/* Two in one stop: the frame is only ever the way out. */
Test(tracee, several_system_calls_in_one_stop, .timeout = 60)
{
	static const uint64_t none[6];
	struct kit_child c = kit_child_start(sum);
	struct vz_tracee t;
	uint64_t regs[VZ_ARCH_WORDS];
	int64_t result;

	stop(&t, c.pid);
	cr_assert_eq(call(&t, SYS_getpid, none), c.pid);
	for (int i = 0; i < 3; i++) {
		static struct vz_frame frame;

		cr_assert_eq(vz_arch_frame(&cpu, (uint64_t)(uintptr_t)restore_rt, 0, &frame), 0);
		vz_arch_remote_syscall(&cpu, &frame, (uint64_t)(uintptr_t)syscall_insn, SYS_getppid,
				       none, regs);
		cr_assert_eq(vz_tracee_set_regs(&t, regs), 0);
		cr_assert_eq(vz_tracee_syscall(&t, 10 * SECOND, &result), 0);
		cr_assert_eq(result, getpid());
	}
	home(&t);
	kit_child_works(&c, 2);
	cr_assert_eq(kit_child_end(&c), 0);
}

static struct kit_page *signalled;

static void on_signal(int sig)
{
	(void)sig;
	signalled->signals++;
}

static void sum_with_handler(struct kit_page *page)
{
	signalled = page;
	signal(SIGUSR1, on_signal);
	sum(page);
}

/* A signal that comes while the thread is borrowed arrives when it is back. */
Test(tracee, signals_are_neither_lost_nor_early, .timeout = 60)
{
	static const uint64_t none[6];
	struct kit_child c = kit_child_start(sum_with_handler);

	for (uint32_t i = 0; i < 50; i++) {
		struct vz_tracee t;

		kit_child_works(&c, 1);
		if (i % 2)
			kill(c.pid, SIGUSR1); /* on its way when the stop is asked for */
		stop(&t, c.pid);
		if (!(i % 2))
			kill(c.pid, SIGUSR1);
		cr_assert_eq(call(&t, SYS_getpid, none), c.pid);
		home(&t);
		while (c.page->signals <= i && kill(c.pid, 0) == 0)
			sched_yield();
		cr_assert_eq(c.page->signals, i + 1);
	}
	cr_assert_eq(kit_child_end(&c), 0);
}

static void block_and_wait(struct kit_page *page)
{
	sigset_t set;
	char ch;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	page->ready = 1;
	page->wrong = read(page->pipe[0], &ch, 1) != 1;
}

Test(tracee, pending_signals)
{
	struct kit_child c = kit_child_start(block_and_wait);
	struct vz_tracee t;

	stop(&t, c.pid);
	cr_assert_eq(vz_tracee_get(&t, &cpu), 0);
	cr_assert(cpu.sigmask >> (SIGUSR1 - 1) & 1);
	cr_assert_not(vz_tracee_signal_pending(&t, 0));
	kill(c.pid, SIGUSR1);
	cr_assert_not(vz_tracee_signal_pending(&t, cpu.sigmask), "it is blocked");
	cr_assert(vz_tracee_signal_pending(&t, 0), "to the process");
	vz_tracee_detach(&t);
	cr_assert_eq(kit_child_end(&c), 0);
}

static void wait_forever(struct kit_page *page)
{
	char ch;

#ifdef RSEQ_SIG
	page->address[0] =
		(uint64_t)(uintptr_t)__builtin_thread_pointer() + (uint64_t)__rseq_offset;
#endif
	page->ready = 1;
	page->wrong = read(page->pipe[0], &ch, 1) != 1;
}

Test(tracee, rseq_area)
{
	struct kit_child c = kit_child_start(wait_forever);
	struct vz_tracee t;
	uint64_t rseq;

	stop(&t, c.pid);
	rseq = vz_tracee_rseq(&t);
	vz_tracee_detach(&t);
	if (rseq) /* 0: an old kernel, or a libc that does not use it */
		cr_assert_eq(rseq, c.page->address[0]);
	cr_assert_eq(kit_child_end(&c), 0);
}

/* ---- what cannot be stopped -------------------------------------------- */

Test(tracee, job_control_keeps_it)
{
	struct kit_child c = kit_child_start(wait_forever);
	struct vz_tracee t;
	int rc;

	kill(c.pid, SIGSTOP);
	kit_child_until(c.pid, 'T');
	for (int i = 0; i < 20; i++) {
		rc = vz_tracee_stop(&t, c.pid, 10 * SECOND);
		if (rc == -EPERM)
			cr_skip_test("ptrace is not allowed here");
		cr_assert_eq(rc, -EBUSY);
		cr_assert_not(t.seized || t.stopped);
		kit_child_until(c.pid, 'T'); /* the kernel moves it back */
		cr_assert_eq(kit_child_state(c.pid), 'T');
	}
	kill(c.pid, SIGCONT);
	cr_assert_eq(kit_child_end(&c), 0);
}

Test(tracee, gone_and_taken)
{
	struct kit_child c = kit_child_start(wait_forever);
	struct vz_tracee t;
	int rc;

	stop(&t, c.pid);
	rc = vz_tracee_stop(&(struct vz_tracee){ 0 }, c.pid, SECOND);
	cr_assert_eq(rc, -EPERM, "traced already");
	vz_tracee_detach(&t);
	cr_assert_eq(kit_child_end(&c), 0);
	cr_assert_eq(vz_tracee_stop(&t, c.pid, SECOND), -ESRCH);
	cr_assert_not(t.seized);
	vz_tracee_detach(&t);
}

Test(tracee, dies_while_it_is_stopped)
{
	struct kit_child c = kit_child_start(wait_forever);
	uint64_t regs[VZ_ARCH_WORDS] = { 0 };
	struct vz_tracee t;
	int64_t result;

	stop(&t, c.pid);
	kill(c.pid, SIGKILL);
	kit_child_until(c.pid, 'Z');
	cr_assert_lt(vz_tracee_get(&t, &cpu), 0);
	cr_assert_lt(vz_tracee_set_regs(&t, regs), 0);
	cr_assert_lt(vz_tracee_set_sigmask(&t, 0), 0);
	cr_assert_lt(vz_tracee_syscall(&t, SECOND, &result), 0);
	cr_assert_eq(vz_tracee_rseq(&t), 0);
	cr_assert_not(vz_tracee_signal_pending(&t, 0));
	vz_tracee_detach(&t);
	cr_assert_not(t.seized);
	kit_child_kill(&c);
}

/* Its child lives on its stack: such a thread stops only when that is over. */
static void be_vfork_parent(struct kit_page *page)
{
	pid_t pid = vfork();
	char ch;

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		page->ready = 1;
		_exit(read(page->pipe[0], &ch, 1) != 1);
	}
	page->wrong = pid < 0 || waitpid(pid, NULL, 0) != pid;
}

Test(tracee, a_thread_that_does_not_stop, .timeout = 60)
{
	struct kit_child c = kit_child_start(be_vfork_parent);
	struct vz_tracee t;
	struct timespec naps = { 0, 1000000 };
	int rc;

	nanosleep(&naps, NULL);
	rc = vz_tracee_stop(&t, c.pid, SECOND / 20);
	if (rc == -EPERM)
		cr_skip_test("ptrace is not allowed here");
	cr_assert_eq(rc, -ETIMEDOUT);
	cr_assert_not(t.stopped);
	kit_child_kill(&c);
}

static void *try_in_vain(void *child)
{
	const struct kit_child *c = child;
	struct vz_tracee t;

	return (void *)(intptr_t)vz_tracee_stop(&t, c->pid, SECOND / 20);
}

/* The end of our thread is the end of its tracing, also of what it could not stop. */
Test(tracee, a_thread_that_does_not_stop_is_let_go_with_ours, .timeout = 60)
{
	struct kit_child c = kit_child_start(be_vfork_parent);
	struct vz_status status = { .tracer_pid = 1 };
	pthread_t thread;
	void *rc;

	cr_assert_eq(pthread_create(&thread, NULL, try_in_vain, &c), 0);
	pthread_join(thread, &rc);
	if ((intptr_t)rc == -EPERM)
		cr_skip_test("ptrace is not allowed here");
	cr_assert_eq((intptr_t)rc, -ETIMEDOUT);
	while (status.tracer_pid) /* the kernel does it a moment after the join */
		cr_assert_eq(vz_status_read(c.pid, 0, &status), 0);
	cr_assert_eq(kit_child_end(&c), 0, "and it never stopped");
}

/* ---- steps ------------------------------------------------------------- */

static unsigned steps;
static char log_of_steps[4096];

static void count(const char *operation)
{
	steps++;
	strncat(log_of_steps, operation, sizeof(log_of_steps) - strlen(log_of_steps) - 2);
	strcat(log_of_steps, " ");
}

Test(tracee, every_operation_can_be_the_last)
{
	struct kit_child c = kit_child_start(wait_forever);
	struct vz_tracee t;

	vz_step_hook = count;
	stop(&t, c.pid);
	vz_tracee_get(&t, &cpu);
	vz_tracee_detach(&t);
	vz_step_hook = NULL;
	cr_assert_str_eq(log_of_steps,
			 "SEIZE INTERRUPT waitid GETREGSET GETSIGMASK GETREGSET xstate DETACH ");
	cr_assert_eq(steps, 7);
	cr_assert_eq(kit_child_end(&c), 0);
}
