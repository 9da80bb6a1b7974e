/* SPDX-License-Identifier: MIT */
#include "attach/receipt.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
	char *at;
	size_t used, size;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->used + 1 >= t->size)
		return;
	va_start(ap, fmt);
	n = vsnprintf(t->at + t->used, t->size - t->used, fmt, ap);
	va_end(ap);
	t->used += n < 0 ? 0 : (size_t)n < t->size - t->used ? (size_t)n : t->size - t->used - 1;
}

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

static const char *tick(unsigned ours)
{
	return ours ? "LEFT" : "ok";
}

static void restored_line(const struct vz_report *r, struct text *t)
{
	const struct vz_residue *d = &r->residue;

	if (!r->compared) {
		add(t, "  target     %s\n",
		    r->end == VZ_END_TARGET ? (r->exec ? "runs another program now" : "gone")
					    : "not compared: its state is unknown");
		return;
	}
	add(t, "  target     %s: maps %s, files %s, threads %s, signals %s, hooks %s\n",
	    r->restored ? "restored" : "NOT RESTORED", tick(d->ours[VZ_RESIDUE_MAPS]),
	    tick(d->ours[VZ_RESIDUE_FDS]), tick(d->ours[VZ_RESIDUE_THREADS]),
	    tick(d->ours[VZ_RESIDUE_SIGNALS]), tick(!r->restored && !d->ours[VZ_RESIDUE_MAPS]));
	if (d->text[0])
		add(t, "  left       %s\n", d->text);
}

static void losses(const struct vz_report *r, struct text *t)
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
		add(t, "  DAMAGED    %llu times the target overwrote the shared memory\n",
		    (unsigned long long)r->totals.damaged);
	if (r->long_wait)
		add(t,
		    "  note       the borrowed thread's own time limit may have started afresh\n");
}

size_t vz_receipt_text(const struct vz_report *r, char *buf, size_t size)
{
	struct text t = { buf, 0, size };
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
	add(&t,
	    "  pause      thread %d for %.0f us (back home after %.0f us); no other thread was "
	    "stopped\n",
	    (int)r->borrowed_tid, r->pause_us, r->home_us);
	losses(r, &t);
	restored_line(r, &t);
	return t.used;
}

/* Bytes of the UTF-8 sequence that begins here, 0 if there is none. */
static int utf8_len(const unsigned char *c)
{
	int len = c[0] < 0x80                   ? 1
		  : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
		  : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
		  : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
						: 0;

	for (int i = 1; i < len; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
	    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return len;
}

/* Names of processes and files are bytes; what is no UTF-8 becomes U+FFFD. */
static void json_string(struct text *t, const char *key, const char *value)
{
	const unsigned char *c = (const unsigned char *)value;

	add(t, "\"%s\":\"", key);
	while (*c) {
		int len = utf8_len(c);

		if (*c == '"' || *c == '\\')
			add(t, "\\%c", *c);
		else if (*c < ' ')
			add(t, "\\u%04x", *c);
		else if (len == 0)
			add(t, "\\ufffd");
		else
			add(t, "%.*s", len, (const char *)c);
		c += len ? len : 1;
	}
	add(t, "\"");
}

static void json_number(struct text *t, const char *key, uint64_t value)
{
	add(t, ",\"%s\":%llu", key, (unsigned long long)value);
}

static void json_error(struct text *t, enum vz_exit exit, const struct vz_err *err)
{
	if (exit == VZ_EXIT_OK)
		return;
	add(t, ",\"error\":{");
	json_string(t, "what", err->what);
	add(t, ",");
	json_string(t, "why", err->why);
	add(t, ",");
	json_string(t, "try", err->hint);
	add(t, "}");
}

size_t vz_receipt_json(const struct vz_report *r, enum vz_exit exit, const struct vz_err *err,
		       char *buf, size_t size)
{
	struct text t = { buf, 0, size };

	buf[0] = '\0';
	add(&t, "{\"schema\":1,\"pid\":%d,\"exit\":%d,", (int)r->pid, (int)exit);
	json_string(&t, "comm", r->comm);
	add(&t, ",");
	json_string(&t, "python", r->python);
	add(&t, ",");
	json_string(&t, "output", r->recorded ? r->output : "");
	add(&t, ",");
	json_string(&t, "ended_by", r->recorded ? ended_by(r) : "not recorded");
	add(&t, ",\"recorded\":%s,\"restored\":%s,\"compared\":%s", r->recorded ? "true" : "false",
	    r->restored ? "true" : "false", r->compared ? "true" : "false");
	add(&t, ",\"pause_us\":%.1f,\"home_us\":%.1f,\"attach_ms\":%.2f,\"gil_wait_us\":%.1f",
	    r->pause_us, r->home_us, r->attach_ms, r->gil_wait_us);
	add(&t, ",\"install_us\":%.1f,\"remove_us\":%.1f,\"duration_s\":%.6f,\"cpu_s\":%.6f",
	    r->install_us, r->remove_us, (double)r->duration_ns / 1e9, (double)r->cpu_ns / 1e9);
	json_number(&t, "attempts", r->attempts);
	json_number(&t, "borrowed_tid", (uint64_t)r->borrowed_tid);
	json_number(&t, "events", r->totals.events);
	json_number(&t, "calls", r->file.calls);
	json_number(&t, "bytes", r->file.bytes);
	json_number(&t, "lost", r->totals.lost);
	json_number(&t, "orphan_exits", r->totals.orphan_exits);
	json_number(&t, "unseen_exits", r->totals.unseen_exits);
	json_number(&t, "open_frames", r->totals.open_frames);
	json_number(&t, "damaged", r->totals.damaged);
	json_number(&t, "threads", r->totals.threads);
	json_number(&t, "stacks", r->totals.stacks);
	json_number(&t, "functions", r->totals.functions);
	json_number(&t, "threads_at_attach", r->threads_at_attach);
	json_number(&t, "threads_adopted", r->threads_adopted);
	json_number(&t, "threads_late", r->threads_late);
	json_number(&t, "threads_missed", r->threads_missed);
	json_number(&t, "threads_refused", r->threads_refused);
	json_number(&t, "interps_hooked", r->interps_hooked);
	json_number(&t, "interps_skipped", r->interps_skipped);
	add(&t, ",");
	json_string(&t, "left", r->residue.text);
	json_error(&t, exit, err);
	add(&t, "}\n");
	return t.used;
}
