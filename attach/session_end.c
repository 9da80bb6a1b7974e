/* SPDX-License-Identifier: MIT */
#include "attach/session_priv.h"

#include "attach/preflight.h"
#include "attach/sources.h"
#include "attach/util.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LEAVE_TIMEOUT_S = 20, ENDING_MS = 500, EXIT_WAIT_MS = 10 * 1000 };

/* Tell the agent to leave and take what it still has to say. */
static bool agent_leaves(struct session *s)
{
	/* Without the GIL it may wait for ever: it leaves when it gets its turn. */
	uint64_t limit = (s->report->recorded ? LEAVE_TIMEOUT_S : 1) * VZ_SEC;
	uint64_t begin = vz_now_ns(), deadline = begin + limit, say = begin + VZ_SEC;
	int stop = *s->stop;

	vz_link_stop(&s->link);
	for (;;) {
		/* Before the state: an agent that is gone has said so before. */
		bool there = vz_target_alive(&s->target) && vz_link_alive(&s->link);
		enum vz_state state = vz_link_state(&s->link);

		if (s->drain)
			vz_drain_poll(s->drain);
		if (state == VZ_STATE_GONE ||
		    (state == VZ_STATE_FAILED && !s->link.control->left_hooks))
			return true;
		if (state == VZ_STATE_FAILED || vz_now_ns() >= deadline || !there)
			return false;
		if (vz_now_ns() >= say) {
			/* However long it is stopped: when it goes on we must be there, or Ctrl-C.
			 */
			if (s->report->recorded && vz_session_is_stopped(s) && *s->stop == stop)
				deadline = vz_now_ns() + limit;
			vz_session_say_waiting(s, begin);
			say = vz_now_ns() + 2 * VZ_SEC;
		}
		vz_link_renew(&s->link);
		vz_session_sleep_ms(1);
	}
}

/* The agent's thread, its code and its memory go by themselves: see it happen. */
static bool memory_gone(struct session *s, uint64_t timeout_ns)
{
	uint64_t deadline = vz_now_ns() + timeout_ns;

	while (vz_link_alive(&s->link)) {
		if (!vz_session_sweep(s) && vz_now_ns() >= deadline)
			return false;
		vz_session_sleep_ms(1);
	}
	return true;
}

static void copy_control(struct session *s)
{
	const struct vz_control *c = s->link.control;
	struct vz_report *r = s->report;

	r->threads_at_attach = c->threads_at_attach;
	r->threads_adopted = c->threads_adopted;
	r->threads_late = c->threads_late;
	r->threads_refused = c->threads_refused;
	r->threads_missed = c->threads_missed;
	r->interps_hooked = c->interps_hooked;
	r->interps_skipped = c->interps_skipped;
	r->gil_wait_us = (double)c->gil_wait_ns / 1000.0;
	r->install_us = (double)c->install_ns / 1000.0;
	r->remove_us = (double)c->remove_ns / 1000.0;
}

/* What of our memory is still there; the program may have got the same addresses since. */
static void find_ranges(const struct session *s, struct vz_deed *deed)
{
	const struct vz_boot *boot = &s->link.boot;
	uint64_t magic = 0;

	/* The arena is told by its name, the image and the private part by their marks. */
	if (deed->mapped)
		deed->ranges[deed->nranges++] = deed->image;
	if (boot->private_raddr &&
	    vz_target_read(&s->target, boot->private_raddr, &magic, sizeof(magic)) == 0 &&
	    magic == VZ_WIRE_MAGIC)
		deed->ranges[deed->nranges++] =
			(struct vz_range){ boot->private_raddr,
					   boot->private_raddr + boot->private_bytes };
}

static void compare(struct session *s, bool gone)
{
	struct vz_deed deed = { .agent_tid = (pid_t)s->link.boot.agent_tid,
				.borrowed_tid = s->injection.tid,
				.image = { s->injection.image_base,
					   s->injection.image_base + s->image.image_bytes },
				.mapped = !gone };
	struct vz_residue *residue = &s->report->residue;
	struct vz_inventory *after = NULL;
	struct vz_err ignored;

	find_ranges(s, &deed);
	if (!s->before || vz_inventory_take(&s->target, &after, &ignored) < 0)
		return;
	vz_inventory_compare(s->before, after, &deed, residue);
	vz_inventory_free(after);
	vz_pystate_compare(s->python_before, &s->target, &s->objects, &s->python, &deed, residue);
	/* It may have ended while we looked: then it is not unclean but gone. */
	s->report->compared = vz_target_alive(&s->target);
	s->report->restored = s->report->compared && gone && vz_residue_clean(residue);
}

/* A process that is being killed loses its memory before it counts as ended: give it that time. */
static bool still_there(struct session *s)
{
	struct pollfd p = { s->target.pidfd, POLLIN, 0 };

	if (vz_link_alive(&s->link))
		return vz_target_alive(&s->target);
	return poll(&p, 1, ENDING_MS) == 0 && vz_target_alive(&s->target);
}

static uint64_t stack_end(const struct vz_maps *maps)
{
	for (size_t i = 0; i < maps->count; i++)
		if (!strcmp(maps->items[i].path, "[stack]"))
			return maps->items[i].end;
	return 0;
}

/* By exec, after the agent had left: another program has its stack elsewhere. */
static bool is_replaced(const struct session *s)
{
	struct vz_maps now;
	struct vz_err ignored;
	bool ret;

	if (vz_maps_read(s->target.pid, &now, &ignored) < 0)
		return false;
	ret = stack_end(&now) != stack_end(&s->maps);
	vz_maps_fini(&now);
	return ret;
}

/*
 * An interpreter that shuts down ends every thread that asks for its GIL, ours too; so our
 * memory goes with the process, which is on its way out.  Wait for that.
 */
static void wait_for_exit(struct session *s)
{
	struct pollfd p = { s->target.pidfd, POLLIN, 0 };

	if (vz_link_alive(&s->link) && vz_python_is_finalizing(&s->target, &s->python))
		poll(&p, 1, EXIT_WAIT_MS);
}

static void undo_inject(struct session *s)
{
	bool left;

	if (s->opened && s->report->recorded)
		vz_pystate_witness(s->python_before, &s->target, &s->python,
				   s->link.control->tool_id);
	s->report->borrowed_syscall = s->injection.syscall;
	left = !s->opened || agent_leaves(s);
	if (s->opened)
		copy_control(s);
	wait_for_exit(s);
	if (is_replaced(s) || !vz_target_alive(&s->target))
		s->report->end = VZ_END_TARGET;
	if (s->report->recorded && s->report->end == VZ_END_TARGET) {
		s->report->exec = still_there(s) && !vz_link_alive(&s->link);
		return;
	}
	if (vz_target_alive(&s->target))
		compare(s, memory_gone(s, !left ? 0 : s->opened ? 5 * VZ_SEC : 20 * VZ_SEC));
	if (s->report->recorded && (!vz_target_alive(&s->target) || is_replaced(s))) {
		s->report->end = VZ_END_TARGET;
		s->report->exec = still_there(s);
	}
}

/* The target runs again, or is gone: then nothing can be read any more. */
static void write_sources(struct session *s, struct vz_sources_done *done)
{
	_cleanup_close_ int proc_fd = -1;
	struct vz_status status;
	char path[32];

	*done = (struct vz_sources_done){ 0 };
	if (!s->sources)
		return;
	snprintf(path, sizeof(path), "/proc/%d", (int)s->target.pid);
	proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* Asked afterwards, so that the folder is not that of a process which took its number. */
	if (proc_fd >= 0 && vz_status_read(s->target.pid, 0, &status) == 0 &&
	    vz_target_alive(&s->target))
		vz_sources_write(s->sources, proc_fd, status.fsuid, status.gid, s->tf, done);
}

static enum vz_exit finish_file(struct session *s)
{
	struct vz_sources_done sources;
	char counters[640];
	uint64_t now = vz_now_ns();
	int rc;

	vz_drain_finish(s->drain, now);
	vz_drain_totals(s->drain, &s->report->totals);
	write_sources(s, &sources);
	snprintf(counters, sizeof(counters),
		 "events=%llu\nlost=%llu\norphan_exits=%llu\nunseen_exits=%llu\nopen_frames=%llu\n"
		 "damaged=%llu\nthreads_late=%u\nthreads_missed=%u\nthreads_refused=%u\n"
		 "interps_skipped=%u\n",
		 (unsigned long long)s->report->totals.events,
		 (unsigned long long)s->report->totals.lost,
		 (unsigned long long)s->report->totals.orphan_exits,
		 (unsigned long long)s->report->totals.unseen_exits,
		 (unsigned long long)s->report->totals.open_frames,
		 (unsigned long long)s->report->totals.damaged, s->report->threads_late,
		 s->report->threads_missed, s->report->threads_refused, s->report->interps_skipped);
	if (s->sources)
		snprintf(counters + strlen(counters), sizeof(counters) - strlen(counters),
			 "source_files=%u\nsource_left_out=%u\n", sources.files, sources.left_out);
	rc = vz_tracefile_finish(s->tf, now, counters, s->err);
	vz_tracefile_totals(s->tf, &s->report->file);
	/* Checked at the start, but somebody else may have made it since. */
	if (rc == 0 && renameat2(AT_FDCWD, s->part, AT_FDCWD, s->opts->output,
				 s->opts->force ? 0 : RENAME_NOREPLACE) < 0)
		rc = errno == EINVAL && rename(s->part, s->opts->output) == 0 ? 0 : -errno;
	if (rc == 0)
		return VZ_EXIT_OK;
	vz_session_fail_output(s, "could not finish", -rc);
	s->err->hint[0] = '\0';
	vz_err_try(s->err, "%swhat was written so far is in %s, and vizview reads it",
		   rc == -ENOSPC ? "free some space; " : "", s->part);
	return VZ_EXIT_UNEXPECTED;
}

/* Something is left, or could not be looked at. */
static enum vz_exit judge_residue(struct session *s)
{
	const struct vz_residue *residue = &s->report->residue;
	bool left = false;

	for (int i = 0; i < VZ_NRESIDUE; i++)
		left = left || residue->ours[i];
	vz_err_set(s->err, VZ_EXIT_UNEXPECTED, 1,
		   left ? "something of ours is left in %d (%s)"
			: "cannot tell whether %d (%s) was restored",
		   (int)s->target.pid, s->target.comm);
	vz_err_why(s->err, "%s", residue->text);
	if (left)
		vz_err_try(s->err, "restart the program when it suits; the trace is complete: %s",
			   s->opts->output);
	else
		vz_err_try(s->err,
			   "once more: a short recording looks again; this trace is complete: %s",
			   s->opts->output);
	return VZ_EXIT_UNEXPECTED;
}

static enum vz_exit judge(struct session *s)
{
	struct vz_report *r = s->report;

	if (r->end == VZ_END_TARGET) {
		vz_err_set(s->err, VZ_EXIT_TARGET_ENDED, 1,
			   r->exec ? "%d (%s) replaced itself by another program"
				   : "%d (%s) ended while it was recorded",
			   (int)s->target.pid, s->target.comm);
		vz_err_why(s->err, "the trace up to then is complete: %s", s->opts->output);
		return VZ_EXIT_TARGET_ENDED;
	}
	if (r->compared && !r->restored)
		return judge_residue(s);
	if (r->end == VZ_END_AGENT && !r->restored) {
		vz_link_explain(&s->link, s->err);
		return VZ_EXIT_UNEXPECTED;
	}
	if (!r->compared) {
		vz_err_set(s->err, VZ_EXIT_UNEXPECTED, 1,
			   "cannot tell whether %d (%s) was restored", (int)s->target.pid,
			   s->target.comm);
		vz_err_why(s->err, "/proc/%d could not be read", (int)s->target.pid);
		vz_err_try(s->err,
			   "look for \"vizattach\" in /proc/%d/maps; the trace is complete: %s",
			   (int)s->target.pid, s->opts->output);
		return VZ_EXIT_UNEXPECTED;
	}
	if (s->opts->strict && (r->totals.lost || r->totals.damaged)) {
		vz_err_set(s->err, VZ_EXIT_LOST, 1, "%llu events were lost",
			   (unsigned long long)r->totals.lost);
		vz_err_why(s->err, "the buffers were full (--ring-size)");
		return VZ_EXIT_LOST;
	}
	return VZ_EXIT_OK;
}

/* It failed for another reason, and something is left as well. */
static void add_left(struct session *s)
{
	size_t used = strlen(s->err->why);

	snprintf(s->err->why + used, sizeof(s->err->why) - used, "%sleft in the target: %s",
		 used ? "; " : "", s->report->residue.text);
}

enum vz_exit vz_session_finish(struct session *s, int rc)
{
	enum vz_exit code = rc < 0 ? s->err->exit : VZ_EXIT_OK;

	if (s->injected)
		undo_inject(s);
	if (s->drain && s->report->recorded) {
		enum vz_exit file = finish_file(s);

		if (code == VZ_EXIT_OK)
			code = file;
		if (code == VZ_EXIT_OK)
			code = judge(s);
	} else if (s->out_fd >= 0) {
		unlink(s->part); /* nothing was recorded */
	}
	if (rc < 0 && s->report->compared && !s->report->restored)
		add_left(s);
	vz_drain_free(s->drain);
	vz_sources_free(s->sources);
	vz_tracefile_free(s->tf);
	vz_link_close(&s->link);
	vz_inventory_free(s->before);
	vz_pystate_free(s->python_before);
	vz_image_fini(&s->image);
	vz_objects_fini(&s->objects);
	vz_maps_fini(&s->maps);
	if (s->out_fd >= 0)
		close(s->out_fd);
	if (s->target.pid)
		vz_target_close(&s->target);
	return code;
}
