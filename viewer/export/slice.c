/* SPDX-License-Identifier: MIT */
#include "viewer/export/slice.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/callargs.h"
#include "viewer/import/write.h"
#include "viewer/loader.h"
#include "viewer/samples.h"

enum { TEXT_BYTES = 1024 };

struct slice {
	struct vz_reader *reader;
	const struct vz_select *select;
	uint64_t from_ns, until_ns;
	struct vz_writer *w;
	struct vz_writer_track **tracks; /* by place; NULL: not wanted */
	struct vz_callargs *args;
};

/* ---- what the walk tells ---- */

static int enter(void *ctx, const struct vz_visit *at)
{
	struct slice *s = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	const char *json;
	size_t n;

	vz_writer_enter(s->tracks[at->place], frame->symbol >> VZ_SYMBOL_SHIFT,
			(enum vz_entry)(frame->symbol & ((1u << VZ_SYMBOL_SHIFT) - 1)),
			frame->begin_ns);
	if (at->entry >= VZ_NO_ENTRY || !vz_callargs_any(s->args))
		return vz_writer_error(s->w);
	json = vz_callargs_get(s->args, at->place, at->entry, &n);
	if (json)
		vz_writer_args(s->tracks[at->place], json, n);
	return vz_writer_error(s->w);
}

static int leave(void *ctx, const struct vz_visit *at)
{
	struct slice *s = ctx;

	if (at->how == VZ_LEFT_OPEN)
		return 0;
	vz_writer_leave(s->tracks[at->place],
			at->how == VZ_LEFT_GAP ? VZ_LEAVE_UNSEEN : (enum vz_leave)at->how, at->ns);
	return vz_writer_error(s->w);
}

static int lost(void *ctx, const struct vz_visit *at)
{
	struct slice *s = ctx;

	vz_writer_lost(s->tracks[at->place], at->lost, at->ns);
	return vz_writer_error(s->w);
}

/* ---- tracks ---- */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void begin_track(struct slice *s, uint32_t place)
{
	const struct vz_thread_track *t = vz_reader_track(s->reader, place);
	const struct vz_process *p = vz_reader_process(s->reader, t->process);
	const struct vz_file_track record = {
		.tid = t->tid,
		.flags = t->flags,
		.stack_key = t->stack_key,
		.ns = later(t->begin_ns, s->from_ns),
	};

	s->tracks[place] = vz_writer_track(s->w, &record, t->name);
	if (s->tracks[place] && (t->process || p->name[0]))
		vz_writer_process(s->tracks[place], p->pid, p->name);
}

/* Tracks that had ended before the range, or begin behind it, are left out as well. */
static bool is_there(const struct slice *s, uint32_t place)
{
	const struct vz_thread_track *t = vz_reader_track(s->reader, place);

	return vz_select_track(s->select, s->reader, place) &&
	       (!t->end_ns || t->end_ns >= s->from_ns) &&
	       (!s->until_ns || t->begin_ns <= s->until_ns);
}

static int begin_tracks(struct slice *s)
{
	uint32_t n = vz_reader_ntracks(s->reader);

	s->tracks = calloc(n + 1u, sizeof(struct vz_writer_track *));
	if (!s->tracks)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		if (is_there(s, i))
			begin_track(s, i);
	return vz_writer_error(s->w);
}

static void end_tracks(struct slice *s)
{
	for (uint32_t i = 0; s->tracks && i < vz_reader_ntracks(s->reader); i++) {
		uint64_t end_ns = vz_reader_track(s->reader, i)->end_ns;

		if (s->until_ns && end_ns > s->until_ns)
			end_ns = 0;
		if (s->tracks[i])
			vz_writer_end_track(s->tracks[i], end_ns);
	}
	free(s->tracks);
}

/* ---- what is copied ---- */

static int sample(void *ctx, uint32_t place, uint64_t ns, double value)
{
	struct slice *s = ctx;

	if (s->tracks[place] && ns >= s->from_ns && (!s->until_ns || ns <= s->until_ns))
		vz_writer_sample(s->tracks[place], value, ns);
	return vz_writer_error(s->w);
}

static int copy_sources(struct slice *s)
{
	struct vz_loader *loader = vz_loader_new(s->reader);
	struct vz_block head;
	const uint8_t *raw;
	int rc = loader ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < vz_reader_nextras(s->reader); i++) {
		if (vz_reader_extra(s->reader, i)->type != VZ_BLOCK_SOURCE ||
		    vz_loader_load_extra(loader, i, &head, &raw) < 0)
			continue;
		vz_writer_block(s->w,
				&(struct vz_block){ .type = VZ_BLOCK_SOURCE, .count = head.count },
				raw, head.raw_bytes);
		rc = vz_writer_error(s->w);
	}
	vz_loader_free(loader);
	return rc;
}

static void copy_functions(struct slice *s)
{
	for (uint32_t i = 0; i < vz_reader_nfunctions(s->reader); i++) {
		const struct vz_function *f = vz_reader_function(s->reader, i);
		const struct vz_file_function record = { .id = i,
							 .line = f->line,
							 .kind = f->kind };

		if (f->kind)
			vz_writer_function(s->w, &record, f->name, f->file);
	}
}

static void copy_facts(struct slice *s, uint64_t t0_ns)
{
	const struct vz_select *select = s->select;
	const char *key, *value;
	char text[TEXT_BYTES];

	for (uint32_t i = 0; vz_reader_fact_at(s->reader, i, &key, &value); i++)
		vz_writer_fact(s->w, key, value);
	if (s->from_ns || s->until_ns) {
		snprintf(text, sizeof(text), "%.9f s to ",
			 (double)(later(s->from_ns, t0_ns) - t0_ns) / 1e9);
		if (s->until_ns)
			snprintf(text + strlen(text), 32, "%.9f s",
				 (double)(s->until_ns - t0_ns) / 1e9);
		else
			strcat(text, "the end");
		vz_writer_fact(s->w, "only the time", text);
	}
	if (select && select->thread)
		vz_writer_fact(s->w, "only threads with", select->thread);
	if (select && select->function)
		vz_writer_fact(s->w, "only functions with", select->function);
}

/* ---- the whole ---- */

static int copy_all(struct slice *s, uint64_t t0_ns)
{
	static const struct vz_visitor visitor = { .enter = enter, .leave = leave, .lost = lost };
	const struct vz_walk_limits limits = {
		.place = VZ_ALL_TRACKS,
		.until_ns = s->until_ns,
		.entries = true,
		.select = s->select,
	};
	int rc;

	copy_facts(s, t0_ns);
	copy_functions(s);
	rc = copy_sources(s);
	if (rc == 0)
		rc = begin_tracks(s);
	if (rc == 0)
		rc = vz_walk(s->reader, &limits, &visitor, s);
	if (rc == 0)
		rc = vz_samples_walk(s->reader, sample, s);
	end_tracks(s);
	return rc;
}

int vz_slice(struct vz_reader *r, const struct vz_select *select, uint64_t until_ns, int fd,
	     uint64_t *bytes)
{
	struct slice s = { .reader = r, .select = select, .until_ns = until_ns };
	struct vz_file_header header = *vz_reader_header(r);
	uint64_t t0_ns, t1_ns, unix_ns = header.start_unix_ns;
	int rc = -ENOMEM;

	vz_reader_range(r, &t0_ns, &t1_ns);
	if (select && select->until_ns && (!until_ns || select->until_ns < until_ns))
		s.until_ns = select->until_ns;
	if (s.until_ns && s.until_ns < t1_ns)
		t1_ns = s.until_ns;
	if (select && select->from_ns > t0_ns)
		s.from_ns = select->from_ns;
	header.start_mono_ns = later(t0_ns, s.from_ns);
	header.start_unix_ns = unix_ns ? unix_ns + (header.start_mono_ns - t0_ns) : 0;
	s.args = vz_callargs_new(r);
	s.w = s.args ? vz_writer_new(fd, &header) : NULL;
	if (s.w)
		rc = copy_all(&s, t0_ns);
	if (rc == 0)
		rc = vz_writer_finish(s.w, t1_ns, "");
	if (s.w)
		*bytes = vz_writer_bytes(s.w);
	vz_writer_free(s.w);
	vz_callargs_free(s.args);
	return rc;
}
