/* SPDX-License-Identifier: MIT */
#include "attach/receipt.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "attach/json.h"
#include "attach/util.h"

/* Nearly every line here is one. */
#define add vz_text_add

/* "1,234,567": people read these. */
static const char *grouped(uint64_t n, char buf[32])
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n), at = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			buf[at++] = ',';
		buf[at++] = digits[i];
	}
	buf[at] = '\0';
	return buf;
}

static const char *ended_by(const struct vz_report *r)
{
	switch (r->end) {
	case VZ_END_TIME:
		return "time over";
	case VZ_END_SIGNAL:
		return "stopped by a signal";
	case VZ_END_TARGET:
		return r->exec ? "the target ran exec" : "the target ended";
	case VZ_END_AGENT:
		return "the agent left by itself";
	case VZ_END_ERROR:
		return "the trace could not be written";
	}
	return "unknown";
}

static const char *verdict_word(enum vz_cleanness verdict)
{
	static const char *const words[] = {
		[VZ_CLEAN_UNKNOWN] = "unknown", [VZ_CLEAN_OK] = "ok",     [VZ_CLEAN_LEFT] = "left",
		[VZ_CLEAN_GREW] = "grew",       [VZ_CLEAN_NONE] = "none",
	};

	return words[verdict];
}

/* "maps, files ok": all kinds with this verdict, behind SEPARATOR; returns how many. */
static unsigned kinds_with(const struct vz_residue *residue, enum vz_cleanness verdict,
			   const char *separator, struct vz_text *t)
{
	unsigned n = 0;

	for (int i = 0; i < VZ_NRESIDUE; i++) {
		enum vz_residue_kind kind = (enum vz_residue_kind)i;

		if (vz_residue_verdict(residue, kind) == verdict)
			add(t, "%s%s", n++ ? ", " : separator, vz_residue_name(kind));
	}
	return n;
}

/* What stays, a line for each. */
static void left_lines(const char *clause, struct vz_text *t)
{
	const char *label = "left";

	while (*clause) {
		const char *end = strstr(clause, "; ");
		int len = (int)(end ? (size_t)(end - clause) : strlen(clause));

		add(t, "  %-10s %.*s\n", label, len, clause);
		label = "";
		clause += len + (end ? 2 : 0);
	}
}

/* What is wrong comes first. */
static void restored_line(const struct vz_report *r, struct vz_text *t)
{
	static const struct {
		enum vz_cleanness verdict;
		const char *word;
	} groups[] = {
		{ VZ_CLEAN_LEFT, "LEFT" },
		{ VZ_CLEAN_UNKNOWN, "UNKNOWN" },
		{ VZ_CLEAN_OK, "ok" },
		{ VZ_CLEAN_GREW, "grew" },
	};
	const char *separator = ": ";

	if (!r->compared) {
		add(t, "  target     %s\n",
		    r->end == VZ_END_TARGET ? (r->exec ? "runs another program now" : "gone")
					    : "not compared: its state is unknown");
		return;
	}
	add(t, "  target     %s", r->restored ? "restored" : "NOT RESTORED");
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (kinds_with(&r->residue, groups[i].verdict, separator, t)) {
			add(t, " %s", groups[i].word);
			separator = "; ";
		}
	}
	add(t, "\n");
	left_lines(r->residue.text, t);
}

/* What the borrowed thread waited in; NULL: nothing, or nothing that has a name here. */
static const char *wait_name(long nr)
{
	static const struct {
		long nr;
		const char *name;
	} waits[] = {
		{ SYS_futex, "futex" },
		{ SYS_read, "read" },
		{ SYS_poll, "poll" },
		{ SYS_ppoll, "ppoll" },
		{ SYS_select, "select" },
		{ SYS_pselect6, "pselect" },
		{ SYS_epoll_wait, "epoll_wait" },
		{ SYS_epoll_pwait, "epoll_pwait" },
		{ SYS_nanosleep, "nanosleep" },
		{ SYS_clock_nanosleep, "clock_nanosleep" },
		{ SYS_recvfrom, "recvfrom" },
		{ SYS_recvmsg, "recvmsg" },
		{ SYS_accept, "accept" },
		{ SYS_accept4, "accept4" },
		{ SYS_wait4, "wait4" },
		{ SYS_waitid, "waitid" },
		{ SYS_restart_syscall, "a wait taken up again" },
	};

	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
		if (waits[i].nr == nr)
			return waits[i].name;
	return NULL;
}

/* How the one thread was borrowed. */
static void pause_line(const struct vz_report *r, struct vz_text *t)
{
	const char *wait = wait_name(r->borrowed_syscall);

	add(t, "  pause      thread %d%s%s%s for %.0f us", (int)r->borrowed_tid,
	    wait ? ", blocked in " : "", wait ? wait : "", wait ? "," : "", r->pause_us);
	if (r->home_us > 0)
		add(t, " (back home after %.0f us)", r->home_us);
	if (r->attempts > 1)
		add(t, "; safe at try %u, one thread at a time\n", r->attempts);
	else
		add(t, "; no other thread was stopped\n");
}

static void losses(const struct vz_report *r, struct vz_text *t)
{
	char n[32];

	if (r->totals.lost)
		add(t,
		    "  LOST       %s records: the buffers were full (--ring-size); the trace says "
		    "where\n",
		    grouped(r->totals.lost, n));
	if (r->totals.unseen_exits || r->totals.orphan_exits)
		add(t, "  unpaired   %llu frames left unseen, %llu exits without an entry\n",
		    (unsigned long long)r->totals.unseen_exits,
		    (unsigned long long)r->totals.orphan_exits);
	if (r->threads_late)
		add(t, "  late       %u threads had run before they were found\n", r->threads_late);
	if (r->threads_missed)
		add(t, "  missed     %u threads came and went before they were found\n",
		    r->threads_missed);
	if (r->threads_refused)
		add(t, "  refused    %u threads found no place in the buffers\n",
		    r->threads_refused);
	if (r->interps_skipped)
		add(t, "  skipped    %u interpreters with a GIL of their own\n",
		    r->interps_skipped);
	if (r->totals.damaged)
		add(t,
		    "  DAMAGED    %llu times a thread was given up: garbled shared memory, or a "
		    "stack of a million frames\n",
		    (unsigned long long)r->totals.damaged);
	if (r->long_wait)
		add(t,
		    "  note       the borrowed thread's own time limit may have started afresh\n");
}

/* Names that the target chose must not move the cursor. */
static void plain_lines(char *text)
{
	for (char *end; (end = strchr(text, '\n')); text = end + 1) {
		*end = '\0';
		vz_plain(text);
		*end = '\n';
	}
}

size_t vz_receipt_text(const struct vz_report *r, char *buf, size_t size)
{
	struct vz_text t = { buf, 0, size };
	char n[4][32];

	buf[0] = '\0';
	add(&t, "vizattach: recorded %d (%s, python %s) for %.2f s, %s\n", (int)r->pid, r->comm,
	    r->python, (double)r->duration_ns / 1e9, ended_by(r));
	add(&t, "  events     %s in %s calls, %u threads (%u at the attach), %s functions\n",
	    grouped(r->totals.events, n[0]), grouped(r->file.calls, n[1]), r->totals.threads,
	    r->threads_at_attach, grouped(r->totals.functions, n[2]));
	add(&t, "  file       %s, %s bytes (%.1f a call)\n", r->output,
	    grouped(r->file.bytes, n[3]),
	    r->file.calls ? (double)r->file.bytes / (double)r->file.calls : 0.0);
	pause_line(r, &t);
	losses(r, &t);
	restored_line(r, &t);
	plain_lines(buf);
	return t.used;
}

/* What was not compared is unknown. */
static void json_residue(struct vz_text *t, const struct vz_report *r)
{
	const struct vz_residue *d = &r->residue;
	static const char *const keys[VZ_NRESIDUE] = {
		[VZ_RESIDUE_MAPS] = "maps",       [VZ_RESIDUE_MEMORY] = "memory",
		[VZ_RESIDUE_FDS] = "files",       [VZ_RESIDUE_FILE_SYSTEM] = "file_system",
		[VZ_RESIDUE_THREADS] = "threads", [VZ_RESIDUE_SIGNALS] = "signals",
		[VZ_RESIDUE_HOOKS] = "hooks",     [VZ_RESIDUE_TOOL_IDS] = "monitoring_ids",
	};

	add(t, ",\"residue\":{");
	for (int i = 0; i < VZ_NRESIDUE; i++)
		add(t, "%s\"%s\":\"%s\"", i ? "," : "", keys[i],
		    verdict_word(r->compared ? vz_residue_verdict(d, (enum vz_residue_kind)i)
					     : VZ_CLEAN_UNKNOWN));
	add(t, "},\"memory\":{\"named_bytes\":%llu", (unsigned long long)d->possible_bytes);
	vz_json_number(t, "rss_before", d->before.rss_bytes);
	vz_json_number(t, "rss_after", d->after.rss_bytes);
	vz_json_number(t, "anon_before", d->before.anon_bytes);
	vz_json_number(t, "anon_after", d->after.anon_bytes);
	vz_json_number(t, "data_before", d->before.data_bytes);
	vz_json_number(t, "data_after", d->after.data_bytes);
	add(t, "}");
}

static void json_error(struct vz_text *t, enum vz_exit exit, const struct vz_err *err)
{
	if (exit == VZ_EXIT_OK)
		return;
	add(t, ",\"error\":{");
	vz_json_string(t, "what", err->what);
	add(t, ",");
	vz_json_string(t, "why", err->why);
	add(t, ",");
	vz_json_string(t, "try", err->hint);
	add(t, "}");
}

size_t vz_receipt_json(const struct vz_report *r, enum vz_exit exit, const struct vz_err *err,
		       char *buf, size_t size)
{
	struct vz_text t = { buf, 0, size };

	buf[0] = '\0';
	add(&t, "{\"schema\":2,\"pid\":%d,\"exit\":%d,", (int)r->pid, (int)exit);
	vz_json_string(&t, "comm", r->comm);
	add(&t, ",");
	vz_json_string(&t, "python", r->python);
	add(&t, ",");
	vz_json_string(&t, "output", r->recorded ? r->output : "");
	add(&t, ",");
	vz_json_string(&t, "ended_by", r->recorded ? ended_by(r) : "not recorded");
	add(&t, ",\"recorded\":%s,\"restored\":%s,\"compared\":%s", r->recorded ? "true" : "false",
	    r->restored ? "true" : "false", r->compared ? "true" : "false");
	add(&t, ",\"pause_us\":%.1f,\"home_us\":%.1f,\"attach_ms\":%.2f,\"gil_wait_us\":%.1f",
	    r->pause_us, r->home_us, r->attach_ms, r->gil_wait_us);
	add(&t, ",\"install_us\":%.1f,\"remove_us\":%.1f,\"duration_s\":%.6f,\"cpu_s\":%.6f",
	    r->install_us, r->remove_us, (double)r->duration_ns / 1e9, (double)r->cpu_ns / 1e9);
	vz_json_number(&t, "attempts", r->attempts);
	add(&t, ",\"long_wait\":%s", r->long_wait ? "true" : "false");
	vz_json_number(&t, "borrowed_tid", (uint64_t)r->borrowed_tid);
	add(&t, ",\"borrowed_syscall\":%ld", r->borrowed_tid ? r->borrowed_syscall : -1);
	vz_json_number(&t, "events", r->totals.events);
	vz_json_number(&t, "calls", r->file.calls);
	vz_json_number(&t, "bytes", r->file.bytes);
	vz_json_number(&t, "lost", r->totals.lost);
	vz_json_number(&t, "orphan_exits", r->totals.orphan_exits);
	vz_json_number(&t, "unseen_exits", r->totals.unseen_exits);
	vz_json_number(&t, "open_frames", r->totals.open_frames);
	vz_json_number(&t, "damaged", r->totals.damaged);
	vz_json_number(&t, "threads", r->totals.threads);
	vz_json_number(&t, "stacks", r->totals.stacks);
	vz_json_number(&t, "functions", r->totals.functions);
	vz_json_number(&t, "threads_at_attach", r->threads_at_attach);
	vz_json_number(&t, "threads_adopted", r->threads_adopted);
	vz_json_number(&t, "threads_late", r->threads_late);
	vz_json_number(&t, "threads_missed", r->threads_missed);
	vz_json_number(&t, "threads_refused", r->threads_refused);
	vz_json_number(&t, "interps_hooked", r->interps_hooked);
	vz_json_number(&t, "interps_skipped", r->interps_skipped);
	add(&t, ",");
	vz_json_string(&t, "left", r->residue.text);
	json_residue(&t, r);
	json_error(&t, exit, err);
	add(&t, "}\n");
	return t.used;
}
