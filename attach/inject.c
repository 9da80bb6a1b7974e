/* SPDX-License-Identifier: MIT */
#include "attach/inject_priv.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attach/util.h"

enum {
	RETRY_MIN_NS = 100 * 1000,
	RETRY_SPREAD_NS = 300 * 1000,
	LOOK_AGAIN = 64, /* tries after which the target may have mapped other code */
};

pid_t vz_inject_only;

static void pause_a_little(void)
{
	struct timespec ts = { 0, RETRY_MIN_NS + rand() % RETRY_SPREAD_NS };

	nanosleep(&ts, NULL);
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

static int refuse_filters(const struct work *w, int rc, struct vz_err *err)
{
	const struct vz_target *target = w->context->target;
	bool fatal = w->seccomp.fatal != NULL;
	const char *call = fatal ? w->seccomp.fatal : w->seccomp.denied;

	vz_err_set(err, call ? VZ_EXIT_UNSAFE : VZ_EXIT_PERMISSION, -rc, "cannot attach to %d (%s)",
		   (int)target->pid, target->comm);
	if (call)
		vz_err_why(err, "its seccomp filter %s a call that we need: %s",
			   fatal ? "would end it for" : "refuses", call);
	else
		vz_err_why(err,
			   "its seccomp filter cannot be read (%s), and may end it for what we do",
			   strerror(-rc));
	if (call)
		vz_err_try(err, "allow %s in the filter; the target is untouched", call);
	else
		vz_err_try(err, "as root of the host; the target is untouched");
	return rc;
}

/*
 * Each thread may have filters of its own.  Inside the same container both of us
 * live under the same ones, so what has not ended us does not end the target.
 */
static int check_filters(struct work *w, struct vz_err *err)
{
	struct vz_status status, own;
	int rc = vz_status_read(w->context->target->pid, w->task.tid, &status);

	if (rc < 0 || status.seccomp != SECCOMP_MODE_FILTER || w->filters_tid == w->task.tid)
		return rc == -ESRCH ? -EAGAIN : rc;
	w->seccomp = (struct vz_seccomp){ 0 };
	rc = attempt(w, vz_inject_filters);
	if (rc < 0 && rc != -EACCES)
		return rc;
	if (rc == -EACCES && vz_status_read(getpid(), 0, &own) == 0 &&
	    own.seccomp == status.seccomp && own.seccomp_filters >= status.seccomp_filters)
		rc = 0;
	if (rc == 0 && (w->seccomp.fatal || w->seccomp.denied))
		rc = -EPERM;
	w->refused = rc < 0;
	w->filters_tid = rc < 0 ? 0 : w->task.tid;
	return rc < 0 ? refuse_filters(w, rc, err) : 0;
}

/* Read what the first stop would have to read, while everybody runs. */
static void warm(struct work *w)
{
	if (w->task.syscall >= 0)
		vz_arch_at(w->task.pc, w->task.sp, &w->cpu);
	else if (attempt(w, vz_inject_look) < 0)
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
	if (w)
		w->strict_until_ns = deadline - c->timeout_ns / 2;
	while (rc == -EAGAIN) {
		rc = next_task(w, ret->attempts++, err);
		if (rc == 0)
			rc = check_filters(w, err);
		if (rc == 0 && ret->attempts == 1)
			warm(w);
		if (rc == 0)
			rc = attempt(w, vz_inject_try);
		if (rc != -EAGAIN || vz_now_ns() >= deadline)
			break;
		pause_a_little();
		if (ret->attempts % LOOK_AGAIN == 0 && look_again(w) < 0)
			rc = vz_target_alive(c->target) ? -ENOMEM : -ESRCH;
	}
	if (rc < 0 && !(w && w->refused))
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
		rc = attempt(w, vz_inject_remove);
	work_free(w);
	return rc == -EAGAIN ? -ESRCH : rc;
}
