/* SPDX-License-Identifier: MIT */
/*
 * inject_thread.c - one stop of one thread: what is written, run and put back.
 */
#include "attach/inject_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach/tracee.h"
#include "attach/util.h"

enum {
	STOP_TIMEOUT_NS = 200 * 1000 * 1000,
	PAGE = 4096,
};
#define LOWEST_ADDRESS  (UINT64_C(1) << 32)
#define HIGHEST_ADDRESS (UINT64_C(0x7ffe) << 32)

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
	if (vz_arch_syscall(cpu) < 0 || vz_target_read(target, vz_arch_pc(cpu) - sizeof(cpu->code),
						       cpu->code, sizeof(cpu->code)) < 0)
		memset(cpu->code, 0, sizeof(cpu->code));
}

int vz_inject_try(struct work *w)
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
	/*
	 * A call that was taken up once already, and of which nothing tells which one it is:
	 * should we die now, it would have to end with EINTR.  Rather wait for its end.
	 */
	if (rc == 0 && !w->cpu.eintr_ok && vz_arch_syscall(&w->cpu) >= 0 &&
	    vz_arch_issued(&w->cpu) < 0 && vz_now_ns() < w->strict_until_ns) {
		snprintf(w->blocker, sizeof(w->blocker), "a wait that was interrupted before");
		rc = -EAGAIN;
	}
	/* A signal about to be delivered decides itself how the call ends: another moment. */
	if (rc == 0 && vz_arch_syscall(&w->cpu) >= 0 &&
	    vz_tracee_signal_pending(&t, w->cpu.sigmask)) {
		snprintf(w->blocker, sizeof(w->blocker), "a signal that is being delivered");
		rc = -EAGAIN;
	}
	if (rc < 0) {
		vz_tracee_let_go(&t, &w->cpu);
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

int vz_inject_look(struct work *w)
{
	struct vz_tracee t;
	int rc = vz_tracee_stop(&t, w->task.tid, STOP_TIMEOUT_NS);

	if (rc < 0)
		return rc;
	rc = vz_tracee_get(&t, &w->cpu);
	vz_tracee_let_go(&t, &w->cpu);
	return rc;
}

int vz_inject_filters(struct work *w)
{
	struct sock_filter *filter = calloc(VZ_SECCOMP_MAX, sizeof(*filter));
	struct vz_tracee t = { 0 };
	int rc = filter ? vz_tracee_stop(&t, w->task.tid, STOP_TIMEOUT_NS) : -ENOMEM;
	int n = 0;

	if (rc < 0) {
		free(filter);
		return no_stop(w, rc, w->blocker, sizeof(w->blocker));
	}
	rc = vz_tracee_get(&t, &w->cpu);
	for (unsigned i = 0; rc == 0 && n >= 0; i++) {
		n = vz_tracee_filter(&t, i, filter, VZ_SECCOMP_MAX);
		if (n > 0)
			vz_seccomp_add(&w->seccomp, filter, (size_t)n);
	}
	if (rc == 0)
		vz_tracee_let_go(&t, &w->cpu);
	else
		vz_tracee_detach(&t);
	free(filter);
	return rc < 0 ? -EAGAIN : n == -ENOENT ? 0 : n == -ESRCH ? -EAGAIN : -EACCES;
}

int vz_inject_remove(struct work *w)
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
		vz_tracee_let_go(&t, &w->cpu);
		return -EBUSY; /* still on its way home through it */
	}
	rc = remote_munmap(&t, w, w->munmap_raddr, w->munmap_bytes);
	give_back(&t, &w->cpu);
	return rc;
}
