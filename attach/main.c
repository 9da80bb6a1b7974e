/* SPDX-License-Identifier: MIT */
/* main.c - verbs to sessions to exit status.  The only file that exits and that prints errors. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "attach/doctor.h"
#include "attach/ps.h"
#include "attach/pyver.h"
#include "attach/receipt.h"
#include "attach/snapshot/show/show.h"
#include "attach/snapshot/take.h"

extern const char vz_payload_elf[], vz_payload_elf_end[];

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop++;
}

static void catch_signals(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal };

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		sigaction(ends[i], &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* One write each: messages stay whole where stderr is shared. */
static void say(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static int fail(const struct vz_err *err)
{
	char text[2048];

	say(STDERR_FILENO, text, vz_err_format(err, "vizattach", text, sizeof(text)));
	return (int)err->exit;
}

static int version(void)
{
	printf("vizattach %s, CPython %s\n", VZ_VERSION, vz_pyver_supported());
	return 0;
}

/* Colours are for people at a terminal that has them and who want them. */
static bool wants_colour(int fd)
{
	const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");

	return isatty(fd) && !(no_colour && no_colour[0]) && term && strcmp(term, "dumb") != 0;
}

static unsigned terminal_width(int fd)
{
	struct winsize size;

	return isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static char *show_snapshot(const struct vz_opts *opts, const struct vz_snapshot *before,
			   const struct vz_snapshot *now, int fd, size_t *len)
{
	const struct vz_show show = { .width = terminal_width(fd),
				      .colour = wants_colour(fd),
				      .native = opts->native,
				      .all = opts->all };

	if (opts->json && fd == STDOUT_FILENO)
		return vz_snapshot_json(now, len);
	return before ? vz_snapshot_changes(before, now, &show, len)
		      : vz_snapshot_text(now, &show, len);
}

/* What kept a recording from its beginning. */
static void say_snapshot(const struct vz_opts *opts, struct vz_report *report)
{
	size_t len = 0;
	char *text;

	if (!report->snapshot)
		return;
	text = opts->quiet ? NULL
			   : show_snapshot(opts, NULL, report->snapshot, STDERR_FILENO, &len);
	if (text) {
		fputc('\n', stderr);
		say(STDERR_FILENO, text, len);
	}
	free(text);
	vz_snapshot_free(report->snapshot);
	report->snapshot = NULL;
}

static int record(struct vz_opts *opts)
{
	static struct vz_report report;
	static char text[16384];
	const struct vz_payload_bytes payload = { vz_payload_elf,
						  (size_t)(vz_payload_elf_end - vz_payload_elf) };
	struct vz_err err = { 0 };
	enum vz_exit code;

	catch_signals();
	code = vz_session_run(opts, &payload, &stop, &report, &err);
	if (report.recorded && !opts->quiet && !opts->json)
		say(STDERR_FILENO, text, vz_receipt_text(&report, text, sizeof(text)));
	if (opts->json)
		say(STDOUT_FILENO, text, vz_receipt_json(&report, code, &err, text, sizeof(text)));
	err.exit = code;
	if (code != VZ_EXIT_OK)
		fail(&err);
	say_snapshot(opts, &report);
	return (int)code;
}

static int doctor(const struct vz_opts *opts)
{
	static struct vz_examination examination;
	static char text[1 << 17];
	const struct vz_wish wish = {
		.override_opt_out = opts->override_opt_out,
		.override_limits = opts->override_limits,
		.ring_bytes = opts->ring_bytes,
	};
	size_t len;

	if (opts->pid)
		vz_examine_process(opts->pid, &wish, &examination);
	else
		vz_examine_machine(&examination.findings);
	if (opts->json)
		len = vz_examination_json(&examination, text, sizeof(text));
	else
		len = vz_examination_text(&examination, wants_colour(STDOUT_FILENO), text,
					  sizeof(text));
	say(STDOUT_FILENO, text, len);
	return (int)vz_examination_exit(&examination);
}

static int list(const struct vz_opts *opts)
{
	struct vz_processes processes;
	struct vz_err err = { 0 };
	char *text;
	size_t len;

	if (vz_ps_read(&processes, &err) < 0)
		return fail(&err);
	text = opts->json ? vz_ps_json(&processes, &len)
			  : vz_ps_text(&processes, terminal_width(STDOUT_FILENO),
				       wants_colour(STDOUT_FILENO), &len);
	if (text)
		say(STDOUT_FILENO, text, len);
	if (!processes.count && !opts->json)
		fputs("vizattach: no process here runs Python\n", stderr);
	free(text);
	vz_ps_free(&processes);
	return 0;
}

/* Once, or until Ctrl-C or the end of the process; JSON: a line each time. */
static int snapshot(const struct vz_opts *opts)
{
	const struct vz_take take = { .pid = opts->pid,
				      .core = opts->core,
				      .no_stop = opts->no_stop,
				      .locals = opts->locals };
	const struct timespec pause = { (time_t)(opts->watch_ns / 1000000000u),
					(long)(opts->watch_ns % 1000000000u) };
	struct vz_snapshot *before = NULL, *now = NULL;
	struct vz_err err = { 0 };
	int rc;

	if (opts->watch_ns)
		catch_signals();
	while ((rc = vz_snapshot_take(&take, &now, &err)) == 0) {
		size_t len = 0;
		char *text = show_snapshot(opts, before, now, STDOUT_FILENO, &len);

		if (text)
			say(STDOUT_FILENO, text, len);
		else
			rc = vz_err_set(&err, VZ_EXIT_UNEXPECTED, ENOMEM, "out of memory");
		free(text);
		vz_snapshot_free(before);
		before = now;
		if (rc < 0 || !opts->watch_ns || stop || nanosleep(&pause, NULL) < 0)
			break;
	}
	vz_snapshot_free(before);
	return rc < 0 ? fail(&err) : 0;
}

int main(int argc, char **argv)
{
	static struct vz_opts opts;
	struct vz_err err = { 0 };

	if (vz_opts_parse(argc, argv, &opts, &err) < 0)
		return fail(&err);
	switch (opts.verb) {
	case VZ_VERB_HELP:
		fputs(vz_opts_help(opts.topic), stdout);
		return 0;
	case VZ_VERB_VERSION:
		return version();
	case VZ_VERB_DOCTOR:
		return doctor(&opts);
	case VZ_VERB_PS:
		return list(&opts);
	case VZ_VERB_SNAPSHOT:
		return snapshot(&opts);
	case VZ_VERB_RECORD:
		break;
	}
	return record(&opts);
}
