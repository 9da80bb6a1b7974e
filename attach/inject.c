/* SPDX-License-Identifier: MIT */
#include "attach/inject.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>

#include "attach/safepoint.h"
#include "attach/tracee.h"
#include "attach/util.h"

enum {
	STOP_TIMEOUT_NS = 200 * 1000 * 1000,
	RETRY_MIN_NS = 100 * 1000,
	RETRY_SPREAD_NS = 300 * 1000,
	LOOK_AGAIN = 64, /* tries after which the target may have mapped other code */
	PAGE = 4096,
};
#define LOWEST_ADDRESS  (UINT64_C(1) << 32)
#define HIGHEST_ADDRESS (UINT64_C(0x7ffe) << 32)

pid_t vz_inject_only;

/* Large, and used by one injection at a time. */
struct work {
	const struct vz_inject_context *context;
	struct vz_injection *injection;
	struct vz_cpu cpu;
	struct vz_frame frame;
	uint8_t *image;
	char blocker[256];
	/* what is mapped, as of the last look; those of the context at first */
	const struct vz_maps *maps;
	const struct vz_objects *objects;
	struct vz_maps own_maps;
	struct vz_objects own_objects;
	struct vz_safepoint *safepoint;
	/* one attempt */
	struct vz_task task;
	uint64_t munmap_raddr, munmap_bytes;
	int (*attempt)(struct work *w);
	int rc;
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

/*
 * One system call in the stopped thread, the frame being its safety net: if we
 * die, the thread returns to FIRST, with the arguments of the call, and then home.
 */
static int remote_syscall(struct vz_tracee *t, struct work *w, uint64_t first, long nr,
			  const uint64_t args[6], int64_t *result)
{
	const struct vz_target *target = w->context->target;
	const struct vz_python *python = w->context->python;
	uint64_t regs[VZ_ARCH_WORDS];
	int rc = vz_arch_frame(&w->cpu, python->restore_rt, first, &w->frame);

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

/*
 * In the middle of the largest hole, where neither the kernel nor any allocator
 * comes by itself: between our choice and the mmap nobody else takes the place, so
 * that its removal, should we die, can hit nobody else's.
 */
static uint64_t choose_base(const struct vz_maps *maps, uint64_t bytes)
{
	uint64_t hole = LOWEST_ADDRESS, size = 0, at = LOWEST_ADDRESS, noise = 0;

	for (size_t i = 0; i < maps->count && at < HIGHEST_ADDRESS; i++) {
		uint64_t start = maps->items[i].start;

		if (start > HIGHEST_ADDRESS)
			start = HIGHEST_ADDRESS;
		if (start > at && start - at > size) {
			hole = at;
			size = start - at;
		}
		if (maps->items[i].end > at)
			at = maps->items[i].end;
	}
	if (getrandom(&noise, sizeof(noise), GRND_NONBLOCK) < 0)
		noise = vz_now_ns() * UINT64_C(0x9e3779b97f4a7c15);
	if (size / 2 <= bytes)
		return 0; /* wherever there is room */
	return (hole + size / 4 + noise % (size / 2 - bytes)) & ~(uint64_t)(PAGE - 1);
}

static int remote_munmap(struct vz_tracee *t, struct work *w, uint64_t raddr, uint64_t bytes)
{
	const uint64_t args[6] = { raddr, bytes };
	int64_t result = -ESRCH;
	int rc = remote_syscall(t, w, 0, SYS_munmap, args, &result);

	return rc < 0 ? rc : (int)result;
}

/* If we die before the next step, the thread itself unmaps it on its way home. */
static int remote_map(struct vz_tracee *t, struct work *w, uint64_t bytes, uint64_t *base)
{
	const struct vz_inject_context *c = w->context;
	uint64_t wish = choose_base(w->maps, bytes);
	const uint64_t args[6] = { wish,
				   bytes,
				   PROT_READ | PROT_EXEC,
				   MAP_PRIVATE | MAP_ANONYMOUS | (wish ? MAP_FIXED_NOREPLACE : 0),
				   UINT64_MAX,
				   0 };
	int64_t result = 0;
	int rc = remote_syscall(t, w, wish ? c->python->libc[VZ_LIBC_munmap] : 0, SYS_mmap, args,
				&result);

	if (rc < 0 || (result < 0 && result > -PAGE))
		return rc < 0 ? rc : result == -EEXIST ? -EAGAIN : (int)result;
	*base = (uint64_t)result;
	if (!wish || *base == wish)
		return 0;
	/* Linux before 4.17 takes the address for a wish: then the way home would miss it. */
	remote_munmap(t, w, *base, bytes);
	return -EAGAIN;
}

static uint64_t tsc(void)
{
	return __builtin_ia32_rdtsc();
}

/* The thread is stopped at a safe point: bring the image in and send it through vz_entry. */
static int bring_in(struct vz_tracee *t, struct work *w)
{
	const struct vz_inject_context *c = w->context;
	struct vz_injection *ret = w->injection;
	uint64_t regs[VZ_ARCH_WORDS];
	int rc = remote_map(t, w, c->image->image_bytes, &ret->image_base);

	if (rc < 0) {
		give_back(t, &w->cpu);
		return rc;
	}
	ret->boot_raddr = ret->image_base + c->image->boot;
	vz_image_place(c->image, ret->image_base, c->boot, w->image);
	rc = vz_target_write(c->target, ret->image_base, w->image, c->image->bytes_len);
	vz_arch_call(&w->cpu, &w->frame, ret->image_base + c->image->entry, w->frame.home_raddr,
		     regs);
	if (rc == 0)
		rc = vz_tracee_set_regs(t, regs);
	if (rc < 0) {
		remote_munmap(t, w, ret->image_base, c->image->image_bytes);
		give_back(t, &w->cpu);
		return rc;
	}
	vz_tracee_detach(t);
	ret->detach_tsc = tsc();
	return 0;
}

/* Not at all, or not now; the thread is let go. */
static int no_stop(const struct work *w, int rc, char *blocker, size_t size)
{
	struct vz_status status;

	switch (rc) {
	case -EBUSY:
		snprintf(blocker, size, "a stop by job control (SIGSTOP)");
		return -EAGAIN;
	case -ETIMEDOUT:
		snprintf(blocker, size, "a wait that cannot be interrupted (it did not stop)");
		return -EAGAIN;
	case -EPERM:
		/* One that would not stop for us is let go when our former thread has ended. */
		if (vz_status_read(w->context->target->pid, w->task.tid, &status) == 0 &&
		    status.tracer_pid == getpid())
			return -EAGAIN;
		return rc;
	default:
		return rc == -ESRCH ? -EAGAIN : rc;
	}
}

/* What a system call that was taken up again once really is can only be seen in the code. */
static void read_code(const struct vz_target *target, struct vz_cpu *cpu)
{
	if (vz_arch_syscall(cpu) < 0 ||
	    vz_target_read(target, vz_arch_pc(cpu) - sizeof(cpu->code), cpu->code,
			   sizeof(cpu->code)) < 0)
		memset(cpu->code, 0, sizeof(cpu->code));
}

/* One thread, one try: 0, -EAGAIN (not now; w->blocker says why), or what is fatal. */
static int try_thread(struct work *w)
{
	const struct vz_inject_context *c = w->context;
	struct vz_injection *ret = w->injection;
	struct vz_tracee t;
	int rc = vz_tracee_stop(&t, w->task.tid, STOP_TIMEOUT_NS);

	if (rc < 0)
		return no_stop(w, rc, w->blocker, sizeof(w->blocker));
	rc = vz_tracee_get(&t, &w->cpu);
	if (rc < 0) {
		vz_tracee_detach(&t);
		return rc == -ESRCH ? -EAGAIN : rc;
	}
	read_code(c->target, &w->cpu);
	rc = vz_safepoint_check(w->safepoint, &w->cpu, vz_tracee_rseq(&t), w->blocker,
				sizeof(w->blocker));
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
	ret->tid = w->task.tid;
	ret->syscall = vz_arch_issued(&w->cpu);
	ret->long_wait = vz_arch_restart(&w->cpu) == VZ_RESTART_REISSUE &&
			 vz_safepoint_rank(&w->task) >= VZ_SAFEPOINT_POOR;
	rc = bring_in(&t, w);
	ret->interrupt_ns = t.interrupt_ns;
	ret->stop_ns = t.stop_ns;
	ret->resume_ns = t.resume_ns;
	return rc;
}

/* A look at where a running thread is; not counted as a try. */
static int try_look(struct work *w)
{
	struct vz_tracee t;
	int rc = vz_tracee_stop(&t, w->task.tid, STOP_TIMEOUT_NS);

	if (rc < 0)
		return rc;
	rc = vz_tracee_get(&t, &w->cpu);
	let_go(&t, &w->cpu);
	return rc;
}

/* A raw system call, which needs no safe point. */
static int try_munmap(struct work *w)
{
	struct vz_tracee t;
	int rc = vz_tracee_stop(&t, w->task.tid, STOP_TIMEOUT_NS);

	if (rc < 0)
		return rc;
	rc = vz_tracee_get(&t, &w->cpu);
	if (rc < 0) {
		vz_tracee_detach(&t);
		return rc;
	}
	read_code(w->context->target, &w->cpu);
	if (vz_arch_pc(&w->cpu) - w->munmap_raddr < w->munmap_bytes) {
		let_go(&t, &w->cpu);
		return -EBUSY; /* still on its way home through it */
	}
	rc = remote_munmap(&t, w, w->munmap_raddr, w->munmap_bytes);
	give_back(&t, &w->cpu);
	return rc;
}

/*
 * While a thread of the target stands still, nobody should keep us from the
 * CPU.  For milliseconds, and only where the user may.
 */
static void hurry(void)
{
	const struct sched_param first = { .sched_priority = 1 };

	sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first);
}

static void *attempt_main(void *arg)
{
	struct work *w = arg;

	hurry();
	w->rc = w->attempt(w);
	return NULL;
}

/*
 * In a thread of ours that ends with it.  Tracing is a matter of threads: when ours
 * has ended the kernel has let the tracee go, also one that would not stop, and has
 * taken the request to stop back.
 */
static int attempt(struct work *w, int (*what)(struct work *w))
{
	pthread_t thread;
	int rc;

	w->attempt = what;
	rc = pthread_create(&thread, NULL, attempt_main, w);

	if (rc)
		return -rc;
	pthread_join(thread, NULL);
	return w->rc;
}

/* Read what the first stop would have to read, while everybody runs. */
static void warm(struct work *w)
{
	if (w->task.syscall >= 0)
		vz_arch_at(w->task.pc, w->task.sp, &w->cpu);
	else if (attempt(w, try_look) < 0)
		return;
	vz_safepoint_warm(w->safepoint, &w->cpu);
}

/* The best thread by rank; among equals another one each round. */
static int choose(const struct vz_tasks *tasks, unsigned round, struct vz_task *ret)
{
	int best_rank = -1;

	for (size_t k = 0; k < tasks->count; k++) {
		const struct vz_task *task = &tasks->items[(k + round) % tasks->count];
		int rank = vz_safepoint_rank(task);

		if (vz_inject_only && task->tid != vz_inject_only)
			continue;
		if (rank < 0 || (best_rank >= 0 && rank >= best_rank))
			continue;
		*ret = *task;
		best_rank = rank;
		/* Now and then somebody else: the favourite may never be safe. */
		if (round % 8 == 7)
			break;
	}
	return best_rank < 0 ? -EAGAIN : 0;
}

static int next_task(struct work *w, unsigned round, struct vz_err *err)
{
	struct vz_tasks tasks;
	int rc;

	if (vz_tasks_read(w->context->target->pid, &tasks, err) < 0)
		return -ESRCH;
	rc = choose(&tasks, round, &w->task);
	vz_tasks_fini(&tasks);
	if (rc < 0)
		snprintf(w->blocker, sizeof(w->blocker), "a stopped or uninterruptible state");
	return rc;
}

static int fail(const struct vz_inject_context *c, int rc, const char *blocker, unsigned attempts,
		struct vz_err *err)
{
	const char *comm = c->target->comm;
	pid_t pid = c->target->pid;

	if (rc == -EAGAIN) {
		vz_err_set(err, VZ_EXIT_UNSAFE, -rc, "no safe moment to attach to %d (%s)",
			   (int)pid, comm);
		vz_err_why(err, "a thread was found %u times, the last time in %s", attempts,
			   blocker[0] ? blocker : "a state that cannot be borrowed");
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

/* Threads come with new stacks, imports with new code: look again at what is mapped. */
static int look_again(struct work *w)
{
	const struct vz_inject_context *c = w->context;
	struct vz_safepoint *safepoint;
	struct vz_objects objects;
	struct vz_maps maps;
	struct vz_err ignored;
	int rc = vz_maps_read(c->target->pid, &maps, &ignored);

	if (rc < 0)
		return rc;
	rc = vz_objects_read(c->target, &maps, &objects, &ignored);
	if (rc < 0) {
		vz_maps_fini(&maps);
		return rc;
	}
	vz_safepoint_free(w->safepoint);
	vz_objects_fini(&w->own_objects);
	vz_maps_fini(&w->own_maps);
	w->own_maps = maps;
	w->own_objects = objects;
	w->maps = &w->own_maps;
	w->objects = &w->own_objects;
	w->safepoint = NULL;
	rc = vz_safepoint_new(c->target, w->objects, w->maps, c->python, &safepoint);
	if (rc == 0)
		w->safepoint = safepoint;
	return rc;
}

static void work_free(struct work *w)
{
	if (!w)
		return;
	vz_safepoint_free(w->safepoint);
	vz_objects_fini(&w->own_objects);
	vz_maps_fini(&w->own_maps);
	free(w->image);
	free(w);
}

static struct work *work_new(const struct vz_inject_context *c, struct vz_injection *ret)
{
	struct work *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->context = c;
	w->injection = ret;
	w->maps = c->maps;
	w->objects = c->objects;
	if (!c->image) /* no injection */
		return w;
	w->image = calloc(1, c->image->bytes_len);
	if (!w->image ||
	    vz_safepoint_new(c->target, w->objects, w->maps, c->python, &w->safepoint) < 0) {
		work_free(w);
		return NULL;
	}
	return w;
}

int vz_inject(const struct vz_inject_context *c, struct vz_injection *ret, struct vz_err *err)
{
	uint64_t deadline = vz_now_ns() + c->timeout_ns;
	struct work *w = work_new(c, ret);
	int rc = w ? -EAGAIN : -ENOMEM;

	memset(ret, 0, sizeof(*ret));
	while (rc == -EAGAIN) {
		rc = next_task(w, ret->attempts++, err);
		if (rc == 0 && ret->attempts == 1)
			warm(w);
		if (rc == 0)
			rc = attempt(w, try_thread);
		if (rc != -EAGAIN || vz_now_ns() >= deadline)
			break;
		pause_a_little();
		if (ret->attempts % LOOK_AGAIN == 0 && look_again(w) < 0)
			rc = vz_target_alive(c->target) ? -ENOMEM : -ESRCH;
	}
	if (rc < 0)
		fail(c, rc, w ? w->blocker : "", ret->attempts, err);
	work_free(w);
	return rc;
}

int vz_inject_munmap(const struct vz_target *target, const struct vz_python *python, uint64_t raddr,
		     uint64_t bytes, struct vz_err *err)
{
	const struct vz_inject_context context = { .target = target, .python = python };
	struct work *w = work_new(&context, NULL);
	int rc = w ? 0 : -ENOMEM;

	if (rc == 0) {
		w->munmap_raddr = raddr;
		w->munmap_bytes = bytes;
		rc = next_task(w, 0, err);
	}
	if (rc == 0)
		rc = attempt(w, try_munmap);
	work_free(w);
	return rc == -EAGAIN ? -ESRCH : rc;
}
