/* SPDX-License-Identifier: MIT */
#include "attach/tracee.h"
#include "attach/util.h"

#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

enum { PEEK_SIGNALS = 32, ALARM_NS = 5 * 1000 * 1000, SYSCALL_STOP = SIGTRAP | 0x80 };

/* glibc's <sys/ptrace.h> declares these as enum values of another type than ptrace() takes. */
#define REQUEST(name) ((enum __ptrace_request)(name))
/* linux/ptrace.h collides with sys/ptrace.h. */
#define GET_RSEQ_CONFIGURATION REQUEST(0x420f)

struct rseq_configuration {
	uint64_t pointer;
	uint32_t size, signature, flags, pad;
};

static void on_alarm(int sig)
{
	(void)sig; /* only interrupts waitid */
}

/* waitid has no timeout: an alarm that repeats interrupts it, also if the first one comes too
 * early. */
struct alarm {
	timer_t timer;
	bool armed;
	struct sigaction old;
};

static void alarm_arm(struct alarm *a)
{
	const struct itimerspec every = { { 0, ALARM_NS }, { 0, ALARM_NS } };
	struct sigaction action = { .sa_handler = on_alarm };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM };
	sigset_t set;

	event._sigev_un._tid = gettid(); /* others of our threads go on waiting undisturbed */
	sigaction(SIGALRM, &action, &a->old);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	a->armed = timer_create(CLOCK_MONOTONIC, &event, &a->timer) == 0;
	if (a->armed)
		timer_settime(a->timer, 0, &every, NULL);
}

static void alarm_disarm(struct alarm *a)
{
	if (a->armed)
		timer_delete(a->timer);
	sigaction(SIGALRM, &a->old, NULL);
}

/* Wait until the thread reports something; 0, -ESRCH or -ETIMEDOUT. */
static int wait_report(pid_t tid, uint64_t deadline, siginfo_t *si)
{
	for (;;) {
		memset(si, 0, sizeof(*si));
		vz_step("waitid");
		if (waitid(P_PID, (id_t)tid, si, WSTOPPED | WEXITED | WNOWAIT | __WALL) == 0)
			break;
		if (errno != EINTR)
			return -ESRCH;
		if (vz_now_ns() >= deadline)
			return -ETIMEDOUT;
	}
	if (si->si_code == CLD_EXITED || si->si_code == CLD_KILLED || si->si_code == CLD_DUMPED)
		return -ESRCH;
	return 0;
}

static int resume(struct vz_tracee *t, enum __ptrace_request how, int signal)
{
	vz_step(how == PTRACE_CONT ? "CONT" : "SYSCALL");
	return ptrace(how, t->tid, 0, (long)signal) < 0 ? -errno : 0;
}

/*
 * Wait for the stop that WANTED describes (an event stop, or a system call
 * stop).  Signals on the way are handed on at once.
 */
static int wait_stop(struct vz_tracee *t, bool syscall_stop, uint64_t deadline)
{
	siginfo_t si;
	int rc;

	for (;;) {
		rc = wait_report(t->tid, deadline, &si);
		if (rc < 0)
			return rc;
		if (syscall_stop && si.si_status == SYSCALL_STOP)
			return 0;
		if (si.si_status >> 8 == PTRACE_EVENT_STOP) {
			if ((si.si_status & 0xff) != SIGTRAP)
				return -EBUSY; /* group stop: job control has it */
			if (!syscall_stop)
				return 0;
			rc = resume(t, PTRACE_SYSCALL, 0);
		} else {
			rc = resume(t, syscall_stop ? PTRACE_SYSCALL : PTRACE_CONT,
				    si.si_status & 0x7f);
		}
		if (rc < 0)
			return rc;
	}
}

int vz_tracee_stop(struct vz_tracee *t, pid_t tid, uint64_t timeout_ns)
{
	struct alarm alarm;
	int rc;

	*t = (struct vz_tracee){ .tid = tid };
	vz_step("SEIZE");
	if (ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD) < 0)
		return -errno;
	t->seized = true;
	t->interrupt_ns = vz_now_ns();
	vz_step("INTERRUPT");
	if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0) {
		rc = -errno;
		vz_tracee_detach(t);
		return rc;
	}
	alarm_arm(&alarm);
	rc = wait_stop(t, false, t->interrupt_ns + timeout_ns);
	alarm_disarm(&alarm);
	t->stopped = rc == 0;
	t->stop_ns = vz_now_ns();
	if (rc < 0)
		vz_tracee_detach(t);
	return rc;
}

int vz_tracee_look(struct vz_tracee *t, struct vz_cpu *cpu)
{
	struct iovec general = { cpu->regs, sizeof(cpu->regs) };

	vz_step("GETREGSET");
	if (ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_PRSTATUS, &general) < 0)
		return -errno;
	if (general.iov_len != sizeof(cpu->regs))
		return -ENOTSUP; /* a 32-bit task */
	vz_step("GETSIGMASK");
	if (ptrace(PTRACE_GETSIGMASK, t->tid, (void *)sizeof(cpu->sigmask), &cpu->sigmask) < 0)
		return -errno;
	return 0;
}

int vz_tracee_get(struct vz_tracee *t, struct vz_cpu *cpu)
{
	struct iovec extended = { cpu->xstate, sizeof(cpu->xstate) };
	int rc = vz_tracee_look(t, cpu);

	if (rc < 0)
		return rc;
	vz_step("GETREGSET xstate");
	if (ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_X86_XSTATE, &extended) < 0)
		return -errno;
	cpu->xstate_len = extended.iov_len;
	return 0;
}

int vz_tracee_set_regs(struct vz_tracee *t, const uint64_t regs[VZ_ARCH_WORDS])
{
	uint64_t copy[VZ_ARCH_WORDS];
	struct iovec iov = { copy, sizeof(copy) };

	memcpy(copy, regs, sizeof(copy));
	vz_step("SETREGSET");
	return ptrace(PTRACE_SETREGSET, t->tid, (void *)NT_PRSTATUS, &iov) < 0 ? -errno : 0;
}

int vz_tracee_set_sigmask(struct vz_tracee *t, uint64_t mask)
{
	vz_step("SETSIGMASK");
	return ptrace(PTRACE_SETSIGMASK, t->tid, (void *)sizeof(mask), &mask) < 0 ? -errno : 0;
}

int vz_tracee_syscall(struct vz_tracee *t, uint64_t timeout_ns, int64_t *result)
{
	uint64_t deadline = vz_now_ns() + timeout_ns, regs[VZ_ARCH_WORDS];
	struct iovec iov = { regs, sizeof(regs) };
	struct alarm alarm;
	int rc = 0;

	alarm_arm(&alarm);
	for (int stop = 0; stop < 2 && rc == 0; stop++) { /* entry, exit */
		rc = resume(t, PTRACE_SYSCALL, 0);
		if (rc == 0)
			rc = wait_stop(t, true, deadline);
	}
	alarm_disarm(&alarm);
	if (rc < 0)
		return rc;
	vz_step("GETREGSET");
	if (ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_PRSTATUS, &iov) < 0)
		return -errno;
	*result = vz_arch_result(regs);
	return 0;
}

bool vz_tracee_signal_pending(struct vz_tracee *t, uint64_t sigmask)
{
	siginfo_t si[PEEK_SIGNALS];

	for (unsigned shared = 0; shared < 2; shared++) {
		struct __ptrace_peeksiginfo_args args = { 0, shared, PEEK_SIGNALS };
		long n;

		vz_step("PEEKSIGINFO");
		n = ptrace(PTRACE_PEEKSIGINFO, t->tid, &args, si);
		for (long i = 0; i < n; i++)
			if (!(sigmask >> (si[i].si_signo - 1) & 1))
				return true;
	}
	return false;
}

uint64_t vz_tracee_rseq(struct vz_tracee *t)
{
	struct rseq_configuration conf = { 0 };

	vz_step("GET_RSEQ_CONFIGURATION");
	if (ptrace(GET_RSEQ_CONFIGURATION, t->tid, (void *)sizeof(conf), &conf) <= 0)
		return 0;
	return conf.pointer;
}

int vz_tracee_filter(struct vz_tracee *t, unsigned index, struct sock_filter *to, size_t max)
{
	long n;

	vz_step("SECCOMP_GET_FILTER");
	n = ptrace(PTRACE_SECCOMP_GET_FILTER, t->tid, (unsigned long)index, NULL);
	if (n > 0 && (size_t)n <= max)
		n = ptrace(PTRACE_SECCOMP_GET_FILTER, t->tid, (unsigned long)index, to);
	else if (n >= 0)
		return -E2BIG;
	return n < 0 ? -errno : (int)n;
}

void vz_tracee_let_go(struct vz_tracee *t, const struct vz_cpu *cpu)
{
	uint64_t regs[VZ_ARCH_WORDS];

	if (vz_arch_resume(cpu, regs) && !vz_tracee_signal_pending(t, cpu->sigmask))
		vz_tracee_set_regs(t, regs);
	vz_tracee_detach(t);
}

void vz_tracee_detach(struct vz_tracee *t)
{
	if (!t->seized)
		return;
	vz_step("DETACH");
	t->resume_ns = vz_now_ns();
	/* A thread that is not stopped cannot be detached; the kernel does it when we exit. */
	if (ptrace(PTRACE_DETACH, t->tid, 0, 0) == 0 || errno == ESRCH)
		t->seized = false;
	t->stopped = false;
}
