/* SPDX-License-Identifier: MIT */
/*
 * session_sweep.c - the last resort of clean-up.  The agent unmaps itself with the help of a
 * second thread; where the target may have no more threads (pids.max, RLIMIT_NPROC) nobody in
 * there can; where its libc has no code to end in, nobody in there may.  Then one borrowed
 * thread does it by a system call.
 */
#include "attach/session_priv.h"

#include <errno.h>

#include "attach/util.h"

enum { HOME_MS = 20, TRIES = 50 };

/* The agent itself, or any thread that is blocked in our code. */
static bool somebody_inside(const struct session *s)
{
	struct vz_tasks tasks;
	struct vz_err ignored;
	bool inside = false;

	if (vz_tasks_read(s->target.pid, &tasks, &ignored) < 0)
		return true;
	for (size_t i = 0; i < tasks.count; i++)
		inside = inside || tasks.items[i].ns_tid == (pid_t)s->link.boot.agent_tid ||
			 tasks.items[i].pc - s->injection.image_base < s->image.image_bytes;
	vz_tasks_fini(&tasks);
	return inside;
}

/* Never twice: the program may get the same addresses. */
static bool unmap(struct session *s, uint64_t raddr, uint64_t bytes)
{
	struct vz_err ignored;
	int rc = raddr ? -EBUSY : 0;

	for (int i = 0; i < TRIES && (rc == -EBUSY || rc == -ESRCH); i++) {
		rc = vz_inject_munmap(&s->target, &s->python, raddr, bytes, &ignored);
		if (rc < 0)
			vz_session_sleep_ms(1);
	}
	return rc == 0;
}

bool vz_session_sweep(struct session *s)
{
	const struct vz_boot boot = s->link.boot;

	if (boot.error != VZ_AGENT_NO_REAPER || !boot.home_done)
		return false;
	/* Its flag goes up a few instructions before the borrowed thread is out. */
	vz_session_sleep_ms(HOME_MS);
	if (somebody_inside(s) || !unmap(s, s->injection.image_base, s->image.image_bytes))
		return false;
	unmap(s, boot.private_raddr, boot.private_bytes);
	return unmap(s, boot.arena_raddr, boot.arena_bytes);
}
