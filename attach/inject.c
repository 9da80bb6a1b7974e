/* SPDX-License-Identifier: MIT */
#include "attach/inject.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "attach/safepoint.h"
#include "attach/tracee.h"
#include "attach/util.h"

enum {
	STOP_TIMEOUT_NS = 200 * 1000 * 1000,
	RETRY_MIN_NS = 100 * 1000,
	RETRY_SPREAD_NS = 300 * 1000,
};

pid_t vz_inject_only;

/* Large, and used by one injection at a time. */
struct work {
	struct vz_cpu cpu;
	struct vz_frame frame;
	uint8_t *image;
	char blocker[256];
};

static void pause_a_little(void)
{
	struct timespec ts = { 0, RETRY_MIN_NS + rand() % RETRY_SPREAD_NS };

	nanosleep(&ts, NULL);
}

/* Put everything back by ptrace; the thread sees at most what a bare stop does. */
static void give_back(struct vz_tracee *t, const struct vz_cpu *cpu)
{
	uint64_t regs[VZ_ARCH_WORDS];

	vz_arch_home(cpu, regs);
	vz_tracee_set_sigmask(t, cpu->sigmask);
	vz_tracee_set_regs(t, regs);
	vz_tracee_detach(t);
}

/*
 * Give back without any change to the registers but the EINTR repair.  A signal
 * that came meanwhile keeps its EINTR.
 */
static void let_go(struct vz_tracee *t, const struct vz_cpu *cpu)
{
	uint64_t regs[VZ_ARCH_WORDS];

	if (vz_arch_restart(cpu) == VZ_RESTART_REISSUE &&
	    !vz_tracee_signal_pending(t, cpu->sigmask)) {
		vz_arch_resume(cpu, regs);
		vz_tracee_set_regs(t, regs);
	}
	vz_tracee_detach(t);
}

/* One system call in the stopped thread, the frame being its safety net. */
static int remote_syscall(const struct vz_target *target, const struct vz_python *python,
			  struct vz_tracee *t, struct work *w, long nr, const uint64_t args[6],
			  int64_t *result)
{
	uint64_t regs[VZ_ARCH_WORDS];
	int rc = vz_arch_frame(&w->cpu, python->restore_rt, &w->frame);

	if (rc == 0)
		rc = vz_target_write(target, w->frame.raddr, w->frame.bytes, w->frame.len);
	if (rc < 0)
		return rc;
	vz_arch_remote_syscall(&w->cpu, &w->frame, python->syscall_insn, nr, args, regs);
	rc = vz_tracee_set_regs(t, regs);
	/* After the registers: dying in between must not leave signals blocked. */
	if (rc == 0)
		rc = vz_tracee_set_sigmask(t, vz_arch_block_mask(w->cpu.sigmask));
	if (rc == 0)
		rc = vz_tracee_syscall(t, STOP_TIMEOUT_NS, result);
	return rc;
}

static uint64_t tsc(void)
{
	return __builtin_ia32_rdtsc();
}

/* The thread is stopped at a safe point: bring the image in and send it through vz_entry. */
static int bring_in(const struct vz_inject_context *c, struct vz_tracee *t, struct work *w,
		    struct vz_injection *ret)
{
	const uint64_t args[6] = { 0,
				   c->image->image_bytes,
				   PROT_READ | PROT_EXEC,
				   MAP_PRIVATE | MAP_ANONYMOUS,
				   UINT64_MAX,
				   0 };
	uint64_t regs[VZ_ARCH_WORDS];
	int64_t base = 0;
	int rc = remote_syscall(c->target, c->python, t, w, SYS_mmap, args, &base);

	if (rc < 0 || base < 0) {
		give_back(t, &w->cpu);
		return rc < 0 ? rc : (int)base;
	}
	ret->image_base = (uint64_t)base;
	ret->boot_raddr = ret->image_base + c->image->boot;
	vz_image_place(c->image, ret->image_base, c->boot, w->image);
	rc = vz_target_write(c->target, ret->image_base, w->image, c->image->bytes_len);
	vz_arch_call(&w->cpu, &w->frame, ret->image_base + c->image->entry, w->frame.home_raddr,
		     regs);
	if (rc == 0)
		rc = vz_tracee_set_regs(t, regs);
	if (rc < 0) {
		const uint64_t undo[6] = { ret->image_base, c->image->image_bytes };
		int64_t ignored;

		remote_syscall(c->target, c->python, t, w, SYS_munmap, undo, &ignored);
		give_back(t, &w->cpu);
		return rc;
	}
	vz_tracee_detach(t);
	ret->detach_tsc = tsc();
	return 0;
}

/* One thread, one try: 0, -EAGAIN (not now; w->blocker says why), or what is fatal. */
static int try_thread(const struct vz_inject_context *c, pid_t tid, struct work *w,
		      struct vz_injection *ret)
{
	struct vz_tracee t;
	int rc = vz_tracee_stop(&t, tid, STOP_TIMEOUT_NS);

	if (rc < 0) {
		if (rc == -EBUSY)
			snprintf(w->blocker, sizeof(w->blocker), "a stop by job control (SIGSTOP)");
		return rc == -ESRCH || rc == -EBUSY ? -EAGAIN : rc;
	}
	rc = vz_tracee_get(&t, &w->cpu);
	if (rc < 0) {
		vz_tracee_detach(&t);
		return rc == -ESRCH ? -EAGAIN : rc;
	}
	rc = vz_safepoint_check(c->target, c->objects, c->maps, c->python, &w->cpu,
				vz_tracee_rseq(&t), w->blocker, sizeof(w->blocker));
	/* A signal about to be delivered decides itself how the call ends: another moment. */
	if (rc == 0 && vz_arch_syscall(&w->cpu) >= 0 &&
	    vz_tracee_signal_pending(&t, w->cpu.sigmask)) {
		snprintf(w->blocker, sizeof(w->blocker), "a signal that is being delivered");
		rc = -EAGAIN;
	}
	if (rc < 0) {
		let_go(&t, &w->cpu);
		return -EAGAIN;
	}
	ret->tid = tid;
	ret->long_wait = vz_arch_restart(&w->cpu) == VZ_RESTART_REISSUE;
	rc = bring_in(c, &t, w, ret);
	ret->interrupt_ns = t.interrupt_ns;
	ret->stop_ns = t.stop_ns;
	ret->resume_ns = t.resume_ns;
	return rc;
}

/* The best thread by rank; among equals another one each round. */
static pid_t choose(const struct vz_tasks *tasks, unsigned round)
{
	pid_t best = 0;
	int best_rank = 0;

	if (vz_inject_only)
		return vz_inject_only;
	for (size_t k = 0; k < tasks->count; k++) {
		const struct vz_task *task = &tasks->items[(k + round) % tasks->count];
		int rank = vz_safepoint_rank(task);

		/* Now and then somebody else: the favourite may never be safe. */
		if (round % 8 == 7 && rank >= 0)
			return task->tid;
		if (rank >= 0 && (!best || rank < best_rank)) {
			best = task->tid;
			best_rank = rank;
		}
	}
	return best;
}

static int fail(const struct vz_inject_context *c, int rc, const struct work *w, unsigned attempts,
		struct vz_err *err)
{
	const char *comm = c->target->comm;
	pid_t pid = c->target->pid;

	if (rc == -EAGAIN || rc == -ETIMEDOUT) {
		vz_err_set(err, VZ_EXIT_UNSAFE, -rc, "no safe moment to attach to %d (%s)",
			   (int)pid, comm);
		if (rc == -ETIMEDOUT)
			vz_err_why(err, "a thread did not stop when asked to: it is in an "
					"uninterruptible wait, or its cgroup is frozen");
		else
			vz_err_why(err, "%u times a thread was found in %s", attempts,
				   w->blocker[0] ? w->blocker : "a state that cannot be borrowed");
		vz_err_try(err,
			   "again, or with a longer --attach-timeout; the target is untouched");
		return rc;
	}
	if (!vz_target_alive(c->target)) {
		vz_err_set(err, VZ_EXIT_NO_PROCESS, ESRCH, "%d (%s) ended before the attach",
			   (int)pid, comm);
		return -ESRCH;
	}
	if (rc == -EPERM || rc == -EACCES) {
		vz_err_set(err, VZ_EXIT_PERMISSION, -rc, "may not trace %d (%s)", (int)pid, comm);
		vz_err_why(err, "ptrace: %s", strerror(-rc));
		vz_err_try(err, "sudo, or run as the user of the target");
		return rc;
	}
	vz_err_set(err, VZ_EXIT_UNEXPECTED, -rc, "cannot enter %d (%s)", (int)pid, comm);
	vz_err_why(err, "%s; the target was put back", strerror(-rc));
	return rc;
}

/*
 * While a thread of the target stands still, nobody should keep us from the
 * CPU.  For milliseconds, and only where the user may.
 */
static void hurry(bool on)
{
	static struct sched_param before;
	static int policy = -1;
	struct sched_param first = { .sched_priority = 1 };

	if (on) {
		policy = sched_getscheduler(0);
		if (policy >= 0 &&
		    (sched_getparam(0, &before) < 0 ||
		     sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first) < 0))
			policy = -1;
	} else if (policy >= 0) {
		sched_setscheduler(0, policy, &before);
	}
}

int vz_inject(const struct vz_inject_context *c, struct vz_injection *ret, struct vz_err *err)
{
	uint64_t deadline = vz_now_ns() + c->timeout_ns;
	struct work *w = calloc(1, sizeof(*w));
	int rc = w && (w->image = calloc(1, c->image->bytes_len)) ? -EAGAIN : -ENOMEM;

	memset(ret, 0, sizeof(*ret));
	hurry(true);
	while (rc == -EAGAIN) {
		struct vz_tasks tasks;
		pid_t tid;

		if (vz_tasks_read(c->target->pid, &tasks, err) < 0) {
			rc = -ESRCH;
			break;
		}
		tid = choose(&tasks, ret->attempts++);
		vz_tasks_fini(&tasks);
		if (tid)
			rc = try_thread(c, tid, w, ret);
		else
			snprintf(w->blocker, sizeof(w->blocker),
				 "a stopped or uninterruptible state");
		if (rc == -EAGAIN && vz_now_ns() >= deadline)
			break;
		if (rc == -EAGAIN)
			pause_a_little();
	}
	hurry(false);
	if (rc < 0 && w)
		fail(c, rc, w, ret->attempts, err);
	if (w)
		free(w->image);
	free(w);
	return rc;
}

int vz_inject_munmap(const struct vz_target *target, const struct vz_python *python, uint64_t raddr,
		     uint64_t bytes, struct vz_err *err)
{
	const uint64_t args[6] = { raddr, bytes };
	_cleanup_free_ struct work *w = calloc(1, sizeof(*w));
	struct vz_tasks tasks;
	struct vz_tracee t;
	int64_t result = -ESRCH;
	int rc = w ? vz_tasks_read(target->pid, &tasks, err) : -ENOMEM;
	pid_t tid;

	if (rc < 0)
		return rc;
	tid = choose(&tasks, 0);
	vz_tasks_fini(&tasks);
	rc = tid ? vz_tracee_stop(&t, tid, STOP_TIMEOUT_NS) : -ESRCH;
	if (rc < 0)
		return rc;
	rc = vz_tracee_get(&t, &w->cpu);
	if (rc == 0 && vz_arch_pc(&w->cpu) - raddr < bytes)
		rc = -EBUSY; /* still on its way home through it */
	if (rc == 0)
		rc = remote_syscall(target, python, &t, w, SYS_munmap, args, &result);
	give_back(&t, &w->cpu);
	return rc < 0 ? rc : (int)result;
}
