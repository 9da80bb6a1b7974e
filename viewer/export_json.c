/* SPDX-License-Identifier: MIT */
/*
 * Chrome trace events as VizTracer writes them: one complete ("X") event for
 * each frame, written when it ends; times in microseconds with three decimals.
 */
#include <stdio.h>

#include "viewer/export.h"

enum {
	NAME_BYTES = 6144,
	/* Chrome's rows are thread ids; a greenlet's stack needs one that no thread has. */
	FIRST_MADE_UP_TID = 1 << 30,
};

struct json {
	struct vz_reader *reader;
	struct vz_out *out;
	uint32_t pid;
	bool first;
};

static uint32_t row_of(const struct vz_thread_track *track)
{
	if (track->stack_key || !track->tid)
		return FIRST_MADE_UP_TID + track->id;
	return track->tid;
}

static void put_us(struct vz_out *out, uint64_t ns)
{
	const char thousandths[] = { '.', (char)('0' + ns / 100 % 10), (char)('0' + ns / 10 % 10),
				     (char)('0' + ns % 10) };

	vz_out_number(out, ns / 1000);
	vz_out_bytes(out, thousandths, sizeof(thousandths));
}

static void put_head(struct json *j, const char *phase, uint32_t tid)
{
	vz_out_text(j->out, j->first ? "\n{\"ph\":\"" : ",\n{\"ph\":\"");
	j->first = false;
	vz_out_text(j->out, phase);
	vz_out_text(j->out, "\",\"pid\":");
	vz_out_number(j->out, j->pid);
	vz_out_text(j->out, ",\"tid\":");
	vz_out_number(j->out, tid);
}

static void put_metadata(struct json *j, const char *what, uint32_t tid, const char *name)
{
	put_head(j, "M", tid);
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

static int leave(void *ctx, const struct vz_visit *at)
{
	struct json *j = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	const char *note = vz_export_note(frame->symbol, at->how);

	put_head(j, "X", row_of(vz_reader_track(j->reader, at->place)));
	vz_out_text(j->out, ",\"cat\":\"FEE\",\"ts\":");
	put_us(j->out, frame->begin_ns);
	vz_out_text(j->out, ",\"dur\":");
	put_us(j->out, at->ns - frame->begin_ns);
	vz_out_text(j->out, ",\"name\":\"");
	put_name(j, vz_reader_function(j->reader, frame->symbol >> VZ_SYMBOL_SHIFT));
	vz_out_char(j->out, '"');
	if (note)
		vz_out_format(j->out, ",\"args\":{\"note\":\"%s\"}", note);
	else if (at->how == VZ_LEAVE_UNWIND)
		vz_out_text(j->out, ",\"args\":{\"note\":\"left by an exception\"}");
	vz_out_char(j->out, '}');
	return j->out->error;
}

static int lost(void *ctx, const struct vz_visit *at)
{
	struct json *j = ctx;

	put_head(j, "i", row_of(vz_reader_track(j->reader, at->place)));
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

int vz_export_json(struct vz_reader *r, const struct vz_export_options *options, struct vz_out *out)
{
	static const struct vz_visitor visitor = { .leave = leave, .lost = lost };
	const struct vz_walk_limits limits = {
		.place = VZ_ALL_TRACKS,
		.until_ns = vz_export_until(r, options->max_calls),
		.select = &options->select,
	};
	struct json j = { r, out, vz_reader_header(r)->pid, true };
	char title[NAME_BYTES];
	int rc;

	vz_out_text(out, "{\"traceEvents\":[");
	put_metadata(&j, "process_name", j.pid, vz_export_process(r));
	for (uint32_t i = 0; i < vz_reader_ntracks(r); i++) {
		const struct vz_thread_track *track = vz_reader_track(r, i);

		if (!vz_select_track(&options->select, r, i))
			continue;
		vz_reader_track_title(track, title, sizeof(title));
		put_metadata(&j, "thread_name", row_of(track), title);
	}
	rc = vz_walk(r, &limits, &visitor, &j);
	put_tail(&j, limits.until_ns || vz_select_any(&options->select));
	return rc;
}
