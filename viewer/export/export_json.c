/* SPDX-License-Identifier: MIT */
/*
 * Chrome trace events as VizTracer writes them: one complete ("X") event for
 * each frame, written when it ends; times in microseconds with three decimals.
 *
 * Instants ("i"), values of counters ("C") and what is asynchronous ("b", "e") have
 * phases of their own.  Rows are thread ids: what shares one with another track, or has
 * none, gets one that no thread has.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/callargs.h"
#include "viewer/export/export.h"
#include "viewer/intern.h"
#include "viewer/samples.h"

enum {
	NAME_BYTES = 6144,
	/* Chrome's rows are thread ids; a greenlet's stack needs one that no thread has. */
	FIRST_MADE_UP_TID = 1 << 30,
};

/* Arguments of the frames on the stack of a track, written when they end. */
struct held {
	char **p; /* by depth; NULL: none */
	uint32_t cap;
};

struct json {
	struct vz_reader *reader;
	struct vz_out *out;
	const struct vz_select *select;
	uint32_t *rows; /* by place */
	struct vz_callargs *args;
	struct held *held; /* by place */
	bool first;
};

enum { NO_THREAD = VZ_TRACK_INSTANTS | VZ_TRACK_ASYNC | VZ_TRACK_COUNTER };

/* The first track of a thread has its row; a greenlet's stack needs one that no thread has. */
static int find_rows(struct json *j)
{
	struct vz_pairs threads = { 0 };
	int rc = 0;

	for (uint32_t i = 0; i < vz_reader_ntracks(j->reader) && rc == 0; i++) {
		const struct vz_thread_track *t = vz_reader_track(j->reader, i);
		uint32_t known = threads.n, row;

		j->rows[i] = t->flags & VZ_TRACK_INSTANTS ? t->tid : FIRST_MADE_UP_TID + t->id;
		if (t->stack_key || !t->tid || t->flags & NO_THREAD)
			continue;
		rc = vz_pairs_row(&threads, t->process, t->tid, &row);
		if (rc == 0 && threads.n > known)
			j->rows[i] = t->tid;
	}
	vz_pairs_fini(&threads);
	return rc;
}

static uint32_t pid_of(const struct json *j, uint32_t place)
{
	return vz_reader_process(j->reader, vz_reader_track(j->reader, place)->process)->pid;
}

static void put_us(struct vz_out *out, uint64_t ns)
{
	const char thousandths[] = { '.', (char)('0' + ns / 100 % 10), (char)('0' + ns / 10 % 10),
				     (char)('0' + ns % 10) };

	vz_out_number(out, ns / 1000);
	vz_out_bytes(out, thousandths, sizeof(thousandths));
}

static void put_head(struct json *j, const char *phase, uint32_t pid, uint32_t tid)
{
	vz_out_text(j->out, j->first ? "\n{\"ph\":\"" : ",\n{\"ph\":\"");
	j->first = false;
	vz_out_text(j->out, phase);
	vz_out_text(j->out, "\",\"pid\":");
	vz_out_number(j->out, pid);
	vz_out_text(j->out, ",\"tid\":");
	vz_out_number(j->out, tid);
}

static void put_metadata(struct json *j, const char *what, uint32_t pid, uint32_t tid,
			 const char *name)
{
	put_head(j, "M", pid, tid);
	vz_out_format(j->out, ",\"name\":\"%s\",\"args\":{\"name\":\"", what);
	vz_out_json(j->out, name);
	vz_out_text(j->out, "\"}}");
}

/* The same text that vz_export_name() makes, without its copy: this runs for each call. */
static void put_name(struct json *j, const struct vz_function *f)
{
	if (f->kind == VZ_DEF_C) {
		vz_out_json(j->out, f->file);
		if (f->file[0])
			vz_out_char(j->out, '.');
		vz_out_json(j->out, f->name);
		return;
	}
	vz_out_json(j->out, f->name);
	if (!f->file[0])
		return;
	vz_out_text(j->out, " (");
	vz_out_json(j->out, f->file);
	vz_out_char(j->out, ':');
	vz_out_number(j->out, f->line);
	vz_out_char(j->out, ')');
}

/* ---- arguments ---- */

static int hold(struct held *h, uint32_t depth, const char *json, size_t n)
{
	if (depth >= h->cap) {
		uint32_t cap = h->cap;
		char **bigger = vz_grow(h->p, &cap, depth + 1, sizeof(char *));

		if (!bigger)
			return -ENOMEM;
		h->p = bigger;
		h->cap = cap;
	}
	h->p[depth] = json ? strndup(json, n) : NULL;
	return json && !h->p[depth] ? -ENOMEM : 0;
}

/* What a note and the arguments come to: one object, or nothing. */
static void put_args(struct json *j, const char *note, const char *args)
{
	if (!note && !args)
		return;
	vz_out_text(j->out, ",\"args\":");
	if (!note) {
		vz_out_text(j->out, args);
		return;
	}
	vz_out_format(j->out, "{\"note\":\"%s\"", note);
	if (args && args[0] == '{' && args[1] != '}') {
		vz_out_char(j->out, ',');
		vz_out_text(j->out, args + 1);
	} else {
		vz_out_char(j->out, '}');
	}
}

/* ---- events ---- */

static void put_function(struct json *j, const struct vz_open_frame *frame)
{
	vz_out_text(j->out, ",\"name\":\"");
	put_name(j, vz_reader_function(j->reader, frame->symbol >> VZ_SYMBOL_SHIFT));
	vz_out_char(j->out, '"');
}

/* What is asynchronous on one track never overlaps: the track is its id. */
static void put_async(struct json *j, const char *phase, const struct vz_visit *at, uint64_t ns)
{
	char title[NAME_BYTES];

	vz_reader_track_title(vz_reader_track(j->reader, at->place), title, sizeof(title));
	put_head(j, phase, pid_of(j, at->place), j->rows[at->place]);
	vz_out_format(j->out, ",\"id\":\"%u\",\"cat\":\"", at->place + 1);
	vz_out_json(j->out, title);
	vz_out_text(j->out, "\",\"ts\":");
	put_us(j->out, ns);
	put_function(j, &at->stack[at->depth - 1]);
}

static int enter(void *ctx, const struct vz_visit *at)
{
	struct json *j = ctx;
	const char *args = NULL;
	size_t n = 0;

	if (vz_reader_track(j->reader, at->place)->flags & VZ_TRACK_ASYNC) {
		put_async(j, "b", at, at->stack[at->depth - 1].begin_ns);
		vz_out_char(j->out, '}');
	}
	if (!vz_callargs_any(j->args))
		return j->out->error;
	if (at->entry < VZ_NO_ENTRY)
		args = vz_callargs_get(j->args, at->place, at->entry, &n);
	return hold(&j->held[at->place], at->depth, args, n);
}

static void put_call(struct json *j, const struct vz_visit *at, const char *args)
{
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	const char *note = vz_export_note(frame->symbol, at->how);

	if (!note && at->how == VZ_LEAVE_UNWIND)
		note = "left by an exception";
	put_head(j, "X", pid_of(j, at->place), j->rows[at->place]);
	vz_out_text(j->out, ",\"cat\":\"FEE\",\"ts\":");
	put_us(j->out, frame->begin_ns);
	vz_out_text(j->out, ",\"dur\":");
	put_us(j->out, at->ns - frame->begin_ns);
	put_function(j, frame);
	put_args(j, note, args);
	vz_out_char(j->out, '}');
}

static void put_instant(struct json *j, const struct vz_visit *at, const char *args)
{
	put_head(j, "i", pid_of(j, at->place), j->rows[at->place]);
	vz_out_format(j->out,
		      ",\"s\":\"%s\",\"ts\":", j->rows[at->place] >= FIRST_MADE_UP_TID ? "p" : "t");
	put_us(j->out, at->ns);
	put_function(j, &at->stack[at->depth - 1]);
	put_args(j, NULL, args);
	vz_out_char(j->out, '}');
}

static int leave(void *ctx, const struct vz_visit *at)
{
	struct json *j = ctx;
	struct held *h = &j->held[at->place];
	uint32_t flags = vz_reader_track(j->reader, at->place)->flags;
	char *args = at->depth < h->cap ? h->p[at->depth] : NULL;

	if (flags & VZ_TRACK_INSTANTS) {
		put_instant(j, at, args);
	} else if (!(flags & VZ_TRACK_ASYNC)) {
		put_call(j, at, args);
	} else if (at->how != VZ_LEFT_OPEN) {
		put_async(j, "e", at, at->ns);
		put_args(j, NULL, args);
		vz_out_char(j->out, '}');
	}
	if (args)
		h->p[at->depth] = NULL;
	free(args);
	return j->out->error;
}

static int sample(void *ctx, uint32_t place, uint64_t ns, double value)
{
	struct json *j = ctx;
	const struct vz_select *s = j->select;
	char title[NAME_BYTES];

	if (ns < s->from_ns || (s->until_ns && ns > s->until_ns) ||
	    !vz_select_track(s, j->reader, place))
		return 0;
	vz_reader_track_title(vz_reader_track(j->reader, place), title, sizeof(title));
	put_head(j, "C", pid_of(j, place), j->rows[place]);
	vz_out_text(j->out, ",\"ts\":");
	put_us(j->out, ns);
	vz_out_text(j->out, ",\"name\":\"");
	vz_out_json(j->out, title);
	/* Neither is a number in JSON. */
	if (value != value || value - value != 0)
		vz_out_text(j->out, "\",\"args\":{\"value\":null}}");
	else
		vz_out_format(j->out, "\",\"args\":{\"value\":%.17g}}", value);
	return j->out->error;
}

static int lost(void *ctx, const struct vz_visit *at)
{
	struct json *j = ctx;

	put_head(j, "i", pid_of(j, at->place), j->rows[at->place]);
	vz_out_text(j->out, ",\"cat\":\"LOST\",\"s\":\"t\",\"ts\":");
	put_us(j->out, at->ns);
	if (at->lost)
		vz_out_format(j->out, ",\"name\":\"lost\",\"args\":{\"records\":%llu}}",
			      (unsigned long long)at->lost);
	else
		vz_out_text(j->out, ",\"name\":\"a part of the trace cannot be read\"}");
	return j->out->error;
}

static void put_tail(struct json *j, bool part)
{
	const struct vz_file_header *h = vz_reader_header(j->reader);
	struct vz_damage damage;

	vz_reader_damage(j->reader, &damage);
	vz_out_format(j->out,
		      "\n],\"displayTimeUnit\":\"ns\",\"viztracer_metadata\":{\"version\":"
		      "\"1.0.0\",\"producer\":\"vizattach " VZ_VERSION "\",\"overflow\":false,"
		      "\"truncated\":%s",
		      damage.cut || part ? "true" : "false");
	if (h->start_unix_ns)
		vz_out_format(j->out, ",\"baseTimeNanoseconds\":%lld",
			      (long long)(h->start_unix_ns - h->start_mono_ns));
	vz_out_text(j->out, "},\"file_info\":{\"files\":{},\"functions\":{}}}\n");
}

static void put_names(struct json *j)
{
	char title[NAME_BYTES];

	for (uint32_t i = 0; i < vz_reader_nprocesses(j->reader); i++) {
		const struct vz_process *p = vz_reader_process(j->reader, i);
		const char *name = p->name[0] || i ? p->name : vz_export_process(j->reader);

		if (name[0])
			put_metadata(j, "process_name", p->pid, p->pid, name);
	}
	for (uint32_t i = 0; i < vz_reader_ntracks(j->reader); i++) {
		const struct vz_thread_track *track = vz_reader_track(j->reader, i);

		if (track->flags & NO_THREAD || !vz_select_track(j->select, j->reader, i))
			continue;
		vz_reader_track_title(track, title, sizeof(title));
		put_metadata(j, "thread_name", pid_of(j, i), j->rows[i], title);
	}
}

static void fini(struct json *j)
{
	for (uint32_t i = 0; j->held && i < vz_reader_ntracks(j->reader); i++) {
		for (uint32_t k = 0; k < j->held[i].cap; k++)
			free(j->held[i].p[k]);
		free(j->held[i].p);
	}
	free(j->held);
	free(j->rows);
	vz_callargs_free(j->args);
}

int vz_export_json(struct vz_reader *r, const struct vz_export_options *options, struct vz_out *out)
{
	static const struct vz_visitor visitor = { .enter = enter, .leave = leave, .lost = lost };
	const struct vz_walk_limits limits = {
		.place = VZ_ALL_TRACKS,
		.until_ns = vz_export_until(r, options->max_calls),
		.entries = true,
		.select = &options->select,
	};
	struct json j = {
		.reader = r,
		.out = out,
		.select = &options->select,
		.rows = calloc(vz_reader_ntracks(r) + 1u, sizeof(*j.rows)),
		.args = vz_callargs_new(r),
		.held = calloc(vz_reader_ntracks(r) + 1u, sizeof(*j.held)),
		.first = true,
	};
	int rc = j.rows && j.args && j.held ? find_rows(&j) : -ENOMEM;

	if (rc == 0) {
		vz_out_text(out, "{\"traceEvents\":[");
		put_names(&j);
		rc = vz_walk(r, &limits, &visitor, &j);
	}
	if (rc == 0)
		rc = vz_samples_walk(r, sample, &j);
	if (rc == 0)
		put_tail(&j, limits.until_ns || vz_select_any(&options->select));
	fini(&j);
	return rc;
}
