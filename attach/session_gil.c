/* SPDX-License-Identifier: MIT */
/*
 * session_gil.c - waiting for the target: for its GIL, and where it is stopped.  Says
 * who keeps us waiting, and since when.
 */
#include "attach/session_priv.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "attach/preflight.h"
#include "attach/snapshot/take.h"
#include "attach/util.h"

enum { LOOK_MS = 20, POLL_US = 200 };

struct wait {
	uint64_t turn;    /* of the GIL; another number when it changed hands */
	uint64_t held_ns; /* since then, or since we look */
	uint64_t look_ns, say_ns;
};

static void look(struct session *s, struct wait *w, uint64_t now)
{
	uint64_t turn = vz_gil_turn(&s->target, &s->python);

	w->look_ns = now + (uint64_t)LOOK_MS * VZ_MS;
	if (turn == w->turn)
		return;
	w->turn = turn;
	w->held_ns = now;
}

/* "thread 4250 (python3) has held it for 1.2 s", or what else can be said of it. */
static void describe_holder(struct session *s, uint64_t held_ns, char *text, size_t size)
{
	double seconds = (double)(vz_now_ns() - held_ns) / 1e9;
	struct vz_task task;
	struct vz_gil gil;

	vz_gil_watch(&s->target, &s->python, 0, &gil);
	if (!gil.known || !gil.locked)
		snprintf(text, size, "its threads take turns");
	else if (!gil.holder_tid || vz_task_read(s->target.pid, gil.holder_tid, &task) < 0)
		snprintf(text, size, "some thread has held it for %.1f s", seconds);
	else
		snprintf(text, size, "thread %d (%s) has held it for %.1f s", (int)task.tid,
			 task.tid == s->target.pid ? "MainThread" : task.comm, seconds);
}

bool vz_session_is_stopped(const struct session *s)
{
	struct vz_status status;

	return vz_status_read(s->target.pid, 0, &status) == 0 && status.state == 'T';
}

void vz_session_say_waiting(struct session *s, uint64_t held_ns)
{
	char text[128];

	if (s->opts->quiet)
		return;
	if (vz_session_is_stopped(s)) {
		fprintf(stderr, "vizattach: %d is stopped; waiting until it goes on ...\n",
			(int)s->target.pid);
		return;
	}
	describe_holder(s, held_ns, text, sizeof(text));
	fprintf(stderr, "vizattach: waiting for the GIL of %d: %s ...\n", (int)s->target.pid, text);
}

/* The answer to the question that the user will have now. */
static void take_snapshot(struct session *s)
{
	const struct vz_take take = { .pid = s->target.pid,
				      .without = (pid_t)s->link.boot.agent_tid };
	struct vz_err ignored = { 0 };

	if (vz_snapshot_take(&take, &s->report->snapshot, &ignored) < 0)
		s->report->snapshot = NULL;
}

static int give_up(struct session *s, const struct wait *w)
{
	char text[128];

	take_snapshot(s);
	describe_holder(s, w->held_ns, text, sizeof(text));
	vz_err_set(s->err, VZ_EXIT_UNSAFE, ETIMEDOUT, "%d (%s) did not release the GIL in time",
		   (int)s->target.pid, s->target.comm);
	if (vz_session_is_stopped(s))
		vz_err_why(s->err, "it is stopped");
	else
		vz_err_why(s->err, "%s", text);
	vz_err_try(s->err,
		   "again later, or with a longer --gil-timeout; a waiting thread of ours stays "
		   "in the target and removes itself when it gets its turn");
	return -ETIMEDOUT;
}

/* It ended, became another program, or the user has enough; 0: none of these. */
static int interrupted(struct session *s)
{
	if (!vz_target_alive(&s->target)) {
		vz_err_set(s->err, VZ_EXIT_NO_PROCESS, ESRCH, "%d (%s) ended during the attach",
			   (int)s->target.pid, s->target.comm);
		return -ESRCH;
	}
	if (!vz_link_alive(&s->link)) {
		vz_err_set(s->err, VZ_EXIT_NO_PROCESS, ESRCH,
			   "%d (%s) replaced itself by another program during the attach",
			   (int)s->target.pid, s->target.comm);
		vz_err_try(s->err, "again");
		return -ESRCH;
	}
	if (*s->stop) {
		vz_err_set(s->err, VZ_EXIT_UNSAFE, EINTR, "stopped before the recording began");
		vz_err_why(s->err, "the GIL of %d (%s) was not free yet", (int)s->target.pid,
			   s->target.comm);
		return -EINTR;
	}
	return 0;
}

/* 1: the hooks are in, 0: not yet, negative: they will not be. */
static int check(struct session *s, struct wait *w, uint64_t deadline)
{
	enum vz_state state = vz_link_state(&s->link);
	uint64_t now = vz_now_ns();
	int rc;

	if (state == VZ_STATE_RUNNING)
		return 1;
	if (state == VZ_STATE_FAILED) {
		vz_link_explain(&s->link, s->err);
		return -ECANCELED;
	}
	if (now < w->look_ns)
		return 0;
	rc = interrupted(s);
	if (rc < 0)
		return rc;
	look(s, w, now);
	if (now >= deadline)
		return give_up(s, w);
	if (now >= w->say_ns) {
		vz_session_say_waiting(s, w->held_ns);
		w->say_ns = now + 2 * VZ_SEC;
	}
	return 0;
}

int vz_session_hook(struct session *s)
{
	static const struct timespec pause = { 0, (long)POLL_US * 1000 };
	uint64_t now = vz_now_ns(), deadline = now + s->opts->gil_timeout_ns;
	struct wait w = { .held_ns = now, .say_ns = now + VZ_SEC };
	int rc;

	look(s, &w, now);
	w.look_ns = now;
	while ((rc = check(s, &w, deadline)) == 0) {
		vz_link_renew(&s->link);
		nanosleep(&pause, NULL);
	}
	if (rc < 0)
		return rc;
	s->report->recorded = true;
	s->record_ns = vz_now_ns();
	s->report->attach_ms = (double)(s->record_ns - s->begin_ns) / 1e6;
	return 0;
}
