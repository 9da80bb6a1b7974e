/* SPDX-License-Identifier: MIT */
#include "attach/session_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "attach/preflight.h"
#include "attach/sources.h"
#include "attach/util.h"

enum {
	BUSY_POLL_MS = 2,
	IDLE_POLL_MS = 10,
	READY_TIMEOUT_S = 5,
	STALE_TRIES = 2,
	LEFTOVER_TIMEOUT_MS = 3000,
	PROGRESS_MS = 1000,
};

void vz_session_sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * VZ_MS };

	nanosleep(&ts, NULL);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * VZ_SEC + (uint64_t)ts.tv_nsec;
}

/* ---- steps: each returns 0 or a negative errno with err set ------------- */

/* The agent of a tool that died leaves by itself: give it the time that it needs. */
static int wait_for_leftover(struct session *s)
{
	uint64_t deadline = vz_now_ns() + (uint64_t)LEFTOVER_TIMEOUT_MS * VZ_MS;

	for (;;) {
		int rc = vz_maps_read(s->target.pid, &s->maps, s->err);

		if (rc < 0 || !vz_preflight_occupied(&s->maps))
			return rc;
		if (vz_now_ns() >= deadline)
			break;
		vz_maps_fini(&s->maps);
		vz_session_sleep_ms(20);
	}
	vz_err_set(s->err, VZ_EXIT_BUSY, EBUSY, "cannot attach to %d (%s)", (int)s->target.pid,
		   s->target.comm);
	vz_err_why(s->err, "another vizattach is recording it");
	vz_err_try(s->err, "wait for that one, or end it with Ctrl-C");
	return -EBUSY;
}

static void say_warnings(const struct session *s, const struct vz_findings *findings)
{
	for (unsigned i = 0; i < findings->count && !s->opts->quiet; i++) {
		if (findings->items[i].verdict == VZ_FOUND_WARN)
			fprintf(stderr, "vizattach: warning: %s: %s\n", findings->items[i].name,
				findings->items[i].text);
	}
}

static int step_examine(struct session *s)
{
	static struct vz_findings findings; /* large */
	const struct vz_wish wish = {
		.override_opt_out = s->opts->override_opt_out,
		.override_limits = s->opts->override_limits,
		.ring_bytes = s->opts->ring_bytes,
	};
	const struct vz_inside inside = { &s->maps, &s->objects, &s->python };
	int rc;

	findings.count = 0;
	rc = vz_target_open(s->opts->pid, &s->target, s->err);

	if (rc == 0)
		rc = vz_preflight_process(&s->target, &wish, &findings, s->err);
	if (rc == 0)
		rc = wait_for_leftover(s);
	if (rc == 0)
		rc = vz_objects_read(&s->target, &s->maps, &s->objects, s->err);
	if (rc == 0)
		rc = vz_python_find(&s->target, &s->maps, &s->objects, &s->python, s->err);
	if (rc == 0)
		rc = vz_preflight_python(&s->target, &inside, &wish, &findings, s->err);
	if (rc < 0)
		return rc;
	say_warnings(s, &findings);
	snprintf(s->report->comm, sizeof(s->report->comm), "%s", s->target.comm);
	snprintf(s->report->python, sizeof(s->report->python), "%s%s", s->python.version,
		 s->python.static_build ? " (static)" : "");
	return 0;
}

int vz_session_fail_output(struct session *s, const char *what, int error)
{
	vz_err_set(s->err, error == EEXIST ? VZ_EXIT_USAGE : VZ_EXIT_UNEXPECTED, error, "%s %s",
		   what, s->opts->output);
	vz_err_why(s->err, "%s", error == EEXIST ? "it is there already" : strerror(error));
	vz_err_try(s->err, "%s",
		   error == EEXIST ? "another name with -o, or --force" : "another place with -o");
	return -error;
}

/*
 * A file of our own making, which only we can read.  One of that name may be the rest of a
 * recording that was cut short; somebody else's, a link or a FIFO is not for us to write to.
 */
static int open_part(const char *path)
{
	const int how = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	int fd = open(path, how, 0600);
	struct stat st;

	if (fd >= 0 || errno != EEXIST)
		return fd;
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    unlink(path) == 0)
		return open(path, how, 0600);
	errno = EEXIST;
	return -1;
}

static int step_output(struct session *s)
{
	int rc = vz_opts_output(s->opts, s->target.comm, s->err);

	if (rc < 0)
		return rc;
	snprintf(s->report->output, sizeof(s->report->output), "%s", s->opts->output);
	if (!s->opts->force && access(s->opts->output, F_OK) == 0)
		return vz_session_fail_output(s, "will not overwrite", EEXIST);
	snprintf(s->part, sizeof(s->part), "%s.part", s->opts->output);
	s->out_fd = open_part(s->part);
	return s->out_fd < 0 ? vz_session_fail_output(s, "cannot write", errno) : 0;
}

/* One injection, and the line to what it brought in. */
static int inject_once(struct session *s, const struct vz_inject_context *context)
{
	int rc;

	vz_link_boot(&s->python, &s->link.arena, s->opts->c_calls, s->clock_is_ns, context->boot);
	s->link.nonce = context->boot->nonce;
	s->link.target = &s->target;
	s->link.beats = s->link.beat_ns = 0;
	rc = vz_preflight_again(&s->target, &s->python, s->err);
	if (rc == 0)
		rc = vz_inject(context, &s->injection, s->err);
	if (rc < 0)
		return rc;
	s->injected = true;
	s->link.boot_raddr = s->injection.boot_raddr;
	s->link.born_ns = s->injection.resume_ns;
	s->report->attempts += s->injection.attempts;
	s->report->borrowed_tid = s->injection.tid;
	s->report->long_wait = s->injection.long_wait;
	s->report->pause_us = (double)(s->injection.resume_ns - s->injection.interrupt_ns) / 1000.0;
	rc = vz_link_open(&s->link, READY_TIMEOUT_S * VZ_SEC, s->err);
	s->opened = rc == 0;
	return rc;
}

static int step_inject(struct session *s)
{
	struct vz_boot boot;
	const struct vz_inject_context context = {
		.target = &s->target,
		.maps = &s->maps,
		.objects = &s->objects,
		.python = &s->python,
		.image = &s->image,
		.boot = &boot,
		.timeout_ns = s->opts->attach_timeout_ns,
	};
	int rc = vz_arena_plan(s->opts->ring_bytes, &s->link.arena);

	if (rc < 0) {
		vz_err_set(s->err, VZ_EXIT_USAGE, -rc, "--ring-size is too small");
		vz_err_try(s->err, "at least 1MiB");
		return rc;
	}
	rc = inject_once(s, &context);
	/* A machine that did not let us run: the agent has taken us for dead and goes. */
	for (int i = 0; rc == -ESTALE && i < STALE_TRIES; i++) {
		uint64_t deadline = vz_now_ns() + VZ_SEC;

		while (vz_link_alive(&s->link) && vz_now_ns() < deadline)
			vz_session_sleep_ms(5);
		rc = inject_once(s, &context);
	}
	return rc;
}

static void describe_thread(void *context, uint32_t ns_tid, pid_t *tid, char *name, size_t size)
{
	struct session *s = context;
	struct vz_task task;
	struct vz_tasks tasks;
	struct vz_err ignored;

	if (vz_task_read(s->target.pid, (pid_t)ns_tid, &task) == 0 &&
	    task.ns_tid == (pid_t)ns_tid) {
		snprintf(name, size, "%s", task.tid == s->target.pid ? "MainThread" : task.comm);
		return;
	}
	if (vz_tasks_read(s->target.pid, &tasks, &ignored) < 0)
		return;
	for (size_t i = 0; i < tasks.count; i++) {
		if (tasks.items[i].ns_tid == (pid_t)ns_tid) {
			*tid = tasks.items[i].tid;
			snprintf(name, size, "%s", tasks.items[i].comm);
		}
	}
	vz_tasks_fini(&tasks);
}

static void write_meta(struct session *s)
{
	char text[64], cwd[VZ_TARGET_PATH_BYTES];
	time_t now = time(NULL);
	struct tm tm;

	vz_tracefile_meta(s->tf, "comm", s->target.comm);
	vz_tracefile_meta(s->tf, "exe", s->target.exe);
	/* Names of source files may be relative to it. */
	if (vz_target_cwd(&s->target, cwd))
		vz_tracefile_meta(s->tf, "cwd", cwd);
	vz_tracefile_meta(s->tf, "python", s->python.version);
	vz_tracefile_meta(s->tf, "tool", "vizattach " VZ_VERSION);
	vz_tracefile_meta(s->tf, "clock", s->clock_is_ns ? "CLOCK_MONOTONIC" : "tsc");
	vz_tracefile_meta(s->tf, "c_calls", s->opts->c_calls ? "yes" : "no");
	if (gmtime_r(&now, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		vz_tracefile_meta(s->tf, "recorded", text);
}

static int step_file(struct session *s)
{
	struct timespec wall;
	struct vz_clock_pair second = vz_clock_pair_now(s->clock_is_ns);
	uint64_t now = vz_now_ns(), start = s->injection.resume_ns; /* no event is older */
	int rc;

	clock_gettime(CLOCK_REALTIME, &wall);
	vz_clock_init(&s->clock, s->clock_is_ns, s->first_pair, second);
	rc = vz_tracefile_new(s->out_fd, s->target.pid, start,
			      (uint64_t)wall.tv_sec * VZ_SEC + (uint64_t)wall.tv_nsec -
				      (now - start),
			      &s->tf, s->err);
	if (rc < 0)
		return rc;
	if (s->opts->with_source) {
		s->sources = vz_sources_new();
		if (!s->sources)
			return vz_err_set(s->err, VZ_EXIT_UNEXPECTED, ENOMEM, "out of memory");
		vz_tracefile_note_sources(s->tf, s->sources);
	}
	write_meta(s);
	rc = vz_drain_new(&s->link.arena, s->tf, &s->clock, describe_thread, s, &s->drain);
	if (rc < 0)
		vz_err_set(s->err, VZ_EXIT_UNEXPECTED, -rc, "out of memory");
	return rc;
}

/* ---- recording --------------------------------------------------------- */

static void progress(struct session *s, uint64_t now)
{
	bool tty = isatty(STDERR_FILENO);
	struct vz_drain_totals t;
	double elapsed = (double)(now - s->record_ns) / 1e9;

	if (s->opts->quiet || now < s->next_progress_ns)
		return;
	s->next_progress_ns = now + (uint64_t)PROGRESS_MS * (tty ? 1 : 5) * VZ_MS;
	vz_drain_totals(s->drain, &t);
	fprintf(stderr, "%svizattach: %.0f s, %llu events (%.0f/s), %u threads, %llu lost%s",
		tty ? "\r\033[K" : "", elapsed, (unsigned long long)t.events,
		elapsed > 0 ? (double)t.events / elapsed : 0, t.threads, (unsigned long long)t.lost,
		tty ? "" : "\n");
}

/* Things that need doing now and then; false if the target is no longer what it was. */
static bool upkeep(struct session *s, uint64_t now)
{
	if (now >= s->next_pair_ns) {
		vz_clock_update(&s->clock, vz_clock_pair_now(s->clock_is_ns), 200 * VZ_MS);
		s->next_pair_ns = now + 200 * VZ_MS;
		vz_tracefile_flush(s->tf, now, VZ_SEC);
		vz_link_renew(&s->link);
	}
	progress(s, now);
	if (now < s->next_check_ns)
		return true;
	s->next_check_ns = now + 100 * VZ_MS;
	return vz_link_alive(&s->link);
}

static bool target_exited(struct session *s, int timeout_ms)
{
	struct pollfd p = { s->target.pidfd, POLLIN, 0 };

	return poll(&p, 1, timeout_ms) == 1;
}

/* One round; true while it should go on. */
static bool record_once(struct session *s, uint64_t end, enum vz_end *why)
{
	uint64_t words = vz_drain_poll(s->drain), now = vz_now_ns();
	enum vz_state state = vz_link_state(&s->link);
	/* The first Ctrl-C ends the recording. */
	if (*s->stop)
		*why = VZ_END_SIGNAL;
	else if (end && now >= end)
		*why = VZ_END_TIME;
	else if (vz_tracefile_error(s->tf))
		*why = VZ_END_ERROR;
	else if (state != VZ_STATE_RUNNING)
		*why = VZ_END_AGENT;
	else if (!upkeep(s, now) || target_exited(s, words ? BUSY_POLL_MS : IDLE_POLL_MS))
		*why = VZ_END_TARGET;
	else
		return true;
	return false;
}

static void say_recording(const struct session *s)
{
	char how_long[64] = "until Ctrl-C";

	if (s->opts->duration_ns)
		snprintf(how_long, sizeof(how_long), "for %.4g s; Ctrl-C ends it earlier",
			 (double)s->opts->duration_ns / 1e9);
	fprintf(stderr, "vizattach: recording %d (%s, python %s) %s\n", (int)s->target.pid,
		s->target.comm, s->report->python, how_long);
}

static void record(struct session *s)
{
	uint64_t end = s->opts->duration_ns ? s->record_ns + s->opts->duration_ns : 0;
	uint64_t cpu = cpu_ns();

	if (!s->opts->quiet)
		say_recording(s);
	s->next_progress_ns = vz_now_ns() + (uint64_t)PROGRESS_MS * VZ_MS;
	while (record_once(s, end, &s->report->end))
		;
	s->report->duration_ns = vz_now_ns() - s->record_ns;
	if (!s->opts->quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	s->report->cpu_ns = cpu_ns() - cpu;
}

static double home_us(struct session *s)
{
	struct vz_boot boot;
	double after = 0;

	if (vz_target_read(&s->target, s->injection.boot_raddr, &boot, sizeof(boot)) < 0 ||
	    boot.nonce != s->link.nonce || !boot.home_done || s->clock_is_ns)
		return 0;
	if (boot.home_ticks > s->injection.detach_tsc)
		after = (double)(boot.home_ticks - s->injection.detach_tsc) * s->clock.rate /
			1000.0;
	return s->report->pause_us + after;
}

enum vz_exit vz_session_run(struct vz_opts *opts, const struct vz_payload_bytes *payload,
			    const volatile sig_atomic_t *stop, struct vz_report *report,
			    struct vz_err *err)
{
	struct session *s = calloc(1, sizeof(*s));
	enum vz_exit code;
	int rc;

	memset(report, 0, sizeof(*report));
	report->pid = opts->pid;
	if (!s) {
		vz_err_set(err, VZ_EXIT_UNEXPECTED, ENOMEM, "out of memory");
		return VZ_EXIT_UNEXPECTED;
	}
	*s = (struct session){
		.opts = opts, .stop = stop, .report = report, .err = err, .out_fd = -1
	};
	s->begin_ns = vz_now_ns();
	s->clock_is_ns = !vz_clock_tsc_usable();
	s->first_pair = vz_clock_pair_now(s->clock_is_ns);
	rc = vz_image_init(payload->elf, payload->len, &s->image, err);
	if (rc == 0)
		rc = step_examine(s);
	if (rc == 0)
		rc = step_output(s);
	if (rc == 0)
		rc = vz_inventory_take(&s->target, &s->before, err);
	if (rc == 0)
		s->python_before = vz_pystate_take(&s->target, &s->objects, &s->python);
	if (rc == 0)
		rc = step_inject(s);
	if (rc == 0)
		rc = vz_session_hook(s);
	if (rc == 0)
		rc = step_file(s);
	if (rc == 0) {
		report->home_us = home_us(s);
		record(s);
	}
	code = vz_session_finish(s, rc);
	free(s);
	return code;
}
