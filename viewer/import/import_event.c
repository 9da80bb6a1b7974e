/* SPDX-License-Identifier: MIT */
/*
 * What each phase of an event means for the trace.  Owns what has begun and not ended:
 * B and E pair up by thread, b and e by what the file calls the same (category and id).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "viewer/import/import_async.h"
#include "viewer/import/import_priv.h"

enum {
	OPEN_MAX = 4 << 20, /* begun and not ended, in all */
	FIRST_OPEN = 16,
	GROUP_BYTES = 512,
};

/* What viewer/export/export.c says of a call that was not seen whole. */
struct note {
	const char *text;
	uint8_t entry, leave;
	bool no_end;
};

static const struct note notes[] = {
	{ "left by an exception", VZ_ENTRY_CALL, VZ_LEAVE_UNWIND, false },
	{ "began before it was seen here", VZ_ENTRY_OPEN, VZ_LEAVE_RETURN, false },
	{ "had not ended when the recording did", VZ_ENTRY_CALL, VZ_LEAVE_UNSEEN, true },
	{ "ran during the whole recording; began before it, ended after it", VZ_ENTRY_OPEN,
	  VZ_LEAVE_UNSEEN, true },
	{ "its end was not seen; it ended here at the latest", VZ_ENTRY_CALL, VZ_LEAVE_UNSEEN,
	  false },
	{ "its end is in a part of the trace that cannot be read", VZ_ENTRY_CALL, VZ_LEAVE_UNSEEN,
	  false },
};

int vz_import_note(const char *s, size_t n)
{
	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++)
		if (strlen(notes[i].text) == n && !memcmp(notes[i].text, s, n))
			return (int)i;
	return -1;
}

bool vz_import_is(struct vz_span s, const char *text)
{
	return s.p && s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

bool vz_import_leave_out(struct vz_importer *im, enum vz_import_left_out why)
{
	im->left_out[why]++;
	im->summary.not_shown++;
	return true;
}

bool vz_import_failed(struct vz_importer *im, int rc)
{
	if (rc == -E2BIG)
		return vz_import_leave_out(im, VZ_OUT_MANY);
	im->error = rc;
	return false;
}

/* ---- parts of events ---- */

static bool time_of(struct vz_span s, struct vz_import_time *ret)
{
	return s.p && vz_import_time(s.p, s.n, ret);
}

static int function_of(struct vz_importer *im, uint32_t *ret)
{
	const struct vz_import_event *e = &im->event;
	struct vz_span name = e->name.n ? e->name : (struct vz_span){ "(no name)", 9 };
	bool python = e->cat.n == 3 && !strncasecmp(e->cat.p, "fee", 3);
	int rc = vz_import_name(&im->names, name.p, name.n, python, ret);

	if (rc == 0 && !*ret)
		im->other_names++;
	return rc;
}

/* Where the arguments wait, + 1; 0: there are none. */
static uint64_t keep_args(struct vz_importer *im)
{
	const struct vz_import_event *e = &im->event;
	uint64_t at;

	if (!e->args_len)
		return 0;
	at = vz_spill_put(im->spill, &e->args_len, sizeof(e->args_len));
	vz_spill_put(im->spill, e->args, e->args_len);
	return at + 1;
}

/* The same behind the group of an asynchronous event. */
static uint64_t keep_group(struct vz_importer *im, uint64_t group)
{
	const struct vz_import_event *e = &im->event;
	uint64_t at = vz_spill_put(im->spill, &group, sizeof(group));

	vz_spill_put(im->spill, &e->args_len, sizeof(e->args_len));
	vz_spill_put(im->spill, e->args, e->args_len);
	return at + 1;
}

/* The end of something has arguments, too: append them to those of its begin, if any. */
static int join_args(struct vz_importer *im, uint64_t *extra, size_t behind)
{
	struct vz_import_event *e = &im->event;
	uint32_t n = 0, rest;
	uint64_t group = 0;
	char *text;
	int rc = 0;

	if (!e->args_len)
		return 0;
	if (*extra && behind)
		rc = vz_spill_get(im->spill, *extra - 1, &group, sizeof(group));
	if (*extra && rc == 0)
		rc = vz_spill_text(im->spill, *extra - 1 + behind, &text, &n);
	if (rc < 0)
		return rc;
	rest = e->args_len > 2 ? e->args_len - 1 : 0;
	if (n > 2 && rest && n + rest < e->args_cap && n + rest <= VZ_IMPORT_ARGS_MAX) {
		memmove(e->args + n, e->args + 1, rest);
		memcpy(e->args, text, n - 1);
		e->args[n - 1] = ',';
		e->args_len = n + rest;
	} else if (n > 2 && rest) {
		im->left_out[VZ_OUT_ARGS]++;
		return 0;
	}
	*extra = behind ? keep_group(im, group) : keep_args(im);
	return 0;
}

static void stretch(struct vz_importer *im, uint64_t from, uint64_t to)
{
	if (from < im->min_ns)
		im->min_ns = from;
	if (to > im->max_ns)
		im->max_ns = to;
}

static bool add(struct vz_importer *im, struct vz_rec *rec)
{
	int rc;

	im->tracks.p[rec->track].records++;
	rc = vz_sort_add(im->sort, rec);
	return rc < 0 ? vz_import_failed(im, rc) : true;
}

/* ---- calls ---- */

/* Which comes first in this file where one call holds another? */
static void note_order(struct vz_importer *im, struct vz_import_track *t, uint64_t start,
		       uint64_t end)
{
	if (start <= t->last_start && end >= t->last_end && end > start)
		im->nested_before += start < t->last_start || end > t->last_end;
	else if (start >= t->last_start && end <= t->last_end)
		im->nested_after++;
	t->last_start = start;
	t->last_end = end;
}

static bool take_call(struct vz_importer *im)
{
	const struct vz_import_event *e = &im->event;
	const struct note *note = e->note >= 0 ? &notes[e->note] : NULL;
	struct vz_rec rec = { .seq = im->seq };
	struct vz_import_time ts, dur = { 0, 0 };
	uint32_t function;
	int rc;

	if (!time_of(e->ts, &ts) || (e->dur.p && !time_of(e->dur, &dur)))
		return vz_import_leave_out(im, VZ_OUT_NO_TIME);
	if (dur.ns < 0)
		return vz_import_leave_out(im, VZ_OUT_NEGATIVE);
	rc = vz_import_track(&im->tracks, VZ_IMPORT_THREAD, e->pid, e->tid, (struct vz_span){ 0 },
			     &rec.track);
	if (rc == 0)
		rc = function_of(im, &function);
	if (rc < 0)
		return vz_import_failed(im, rc);
	rec.start = vz_import_round(ts);
	rec.end = vz_import_round(vz_import_sum(ts, dur));
	rec.what = function << VZ_REC_FUNCTION_SHIFT | VZ_REC_CALL;
	rec.extra = keep_args(im);
	stretch(im, rec.start, rec.end);
	note_order(im, &im->tracks.p[rec.track], rec.start, rec.end);
	if (note) {
		rec.what |= (uint32_t)note->entry << VZ_REC_ENTRY_SHIFT |
			    (uint32_t)note->leave << VZ_REC_LEAVE_SHIFT;
		if (note->no_end) {
			im->tracks.p[rec.track].open_end = rec.end;
			rec.end = VZ_IMPORT_NO_END;
		}
	}
	return add(im, &rec);
}

static bool take_begin(struct vz_importer *im)
{
	const struct vz_import_event *e = &im->event;
	struct vz_import_open open = { .seq = im->seq };
	struct vz_import_time ts;
	struct vz_import_track *t;
	uint32_t track;
	int rc;

	if (!time_of(e->ts, &ts))
		return vz_import_leave_out(im, VZ_OUT_NO_TIME);
	if (im->open >= OPEN_MAX)
		return vz_import_leave_out(im, VZ_OUT_MANY);
	rc = vz_import_track(&im->tracks, VZ_IMPORT_THREAD, e->pid, e->tid, (struct vz_span){ 0 },
			     &track);
	if (rc == 0)
		rc = function_of(im, &open.function);
	if (rc < 0)
		return vz_import_failed(im, rc);
	t = &im->tracks.p[track];
	if (t->depth == t->open_cap) {
		uint32_t cap = t->open_cap ? t->open_cap * 2 : FIRST_OPEN;
		struct vz_import_open *bigger = reallocarray(t->open, cap, sizeof(*bigger));

		if (!bigger)
			return vz_import_failed(im, -ENOMEM);
		t->open = bigger;
		t->open_cap = cap;
	}
	open.start = vz_import_round(ts);
	open.extra = keep_args(im);
	stretch(im, open.start, open.start);
	t->open[t->depth++] = open;
	im->open++;
	return true;
}

static bool add_open(struct vz_importer *im, const struct vz_import_open *open, uint32_t track,
		     uint64_t end)
{
	struct vz_rec rec = {
		.start = open->start,
		.end = end,
		.seq = open->seq,
		.extra = open->extra,
		.track = track,
		.what = open->function << VZ_REC_FUNCTION_SHIFT | VZ_REC_CALL,
	};

	im->open--;
	if (end < rec.start)
		return vz_import_leave_out(im, VZ_OUT_NEGATIVE);
	if (end == VZ_IMPORT_NO_END)
		rec.what |= (uint32_t)VZ_LEAVE_UNSEEN << VZ_REC_LEAVE_SHIFT;
	else
		stretch(im, end, end);
	return add(im, &rec);
}

static bool take_end(struct vz_importer *im)
{
	const struct vz_import_event *e = &im->event;
	struct vz_import_open *open;
	struct vz_import_time ts;
	struct vz_import_track *t;
	uint32_t track;
	int rc;

	if (!time_of(e->ts, &ts))
		return vz_import_leave_out(im, VZ_OUT_NO_TIME);
	rc = vz_import_track(&im->tracks, VZ_IMPORT_THREAD, e->pid, e->tid, (struct vz_span){ 0 },
			     &track);
	if (rc < 0)
		return vz_import_failed(im, rc);
	t = &im->tracks.p[track];
	if (!t->depth)
		return vz_import_leave_out(im, VZ_OUT_END);
	open = &t->open[--t->depth];
	rc = join_args(im, &open->extra, 0);
	if (rc < 0)
		return vz_import_failed(im, rc);
	/* So that calls which begin and end as this one are put in it, and not it in them. */
	open->seq = im->nested_before >= im->nested_after ? im->seq : open->seq;
	return add_open(im, open, track, vz_import_round(ts));
}

/* ---- what is asynchronous ---- */

static uint64_t group_of(const struct vz_import_event *e)
{
	char key[GROUP_BYTES];
	const struct vz_span parts[] = { e->cat, e->id, e->scope,
					 e->global_id ? e->scope : e->pid };
	uint32_t n = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		uint32_t hash = parts[i].n ? vz_import_hash(parts[i].p, parts[i].n) : 0;
		uint32_t here = parts[i].n < 96 ? parts[i].n : 96;

		memcpy(key + n, &hash, sizeof(hash));
		n += (uint32_t)sizeof(hash);
		if (here)
			memcpy(key + n, parts[i].p, here);
		n += here;
		key[n++] = '\0';
	}
	key[n] = 1;
	return (uint64_t)vz_import_hash(key, n) << 32 | vz_import_hash(key, n + 1);
}

/* 0: done with; 1: TRACK and TS are set. */
static int async_track(struct vz_importer *im, uint32_t *track, uint64_t *ns)
{
	const struct vz_import_event *e = &im->event;
	struct vz_import_time ts;
	int rc;

	if (!time_of(e->ts, &ts)) {
		vz_import_leave_out(im, VZ_OUT_NO_TIME);
		return 0;
	}
	rc = vz_import_track(&im->tracks, VZ_IMPORT_ASYNC, e->pid, e->cat, (struct vz_span){ 0 },
			     track);
	if (rc < 0) {
		vz_import_failed(im, rc);
		return 0;
	}
	*ns = vz_import_round(ts);
	return 1;
}

static bool take_async_begin(struct vz_importer *im)
{
	struct vz_import_open open = { .seq = im->seq };
	uint64_t group = group_of(&im->event);
	uint32_t track;
	int rc;

	if (im->open >= OPEN_MAX)
		return vz_import_leave_out(im, VZ_OUT_MANY);
	if (!async_track(im, &track, &open.start))
		return !im->error;
	rc = function_of(im, &open.function);
	open.extra = keep_group(im, group);
	if (rc == 0)
		rc = vz_async_push(im->async, group, track, &open);
	if (rc < 0)
		return vz_import_failed(im, rc);
	stretch(im, open.start, open.start);
	im->open++;
	return true;
}

static bool take_async_end(struct vz_importer *im)
{
	struct vz_import_open open;
	uint32_t track, other;
	uint64_t ns;
	int rc;

	if (!async_track(im, &other, &ns))
		return !im->error;
	if (!vz_async_pop(im->async, group_of(&im->event), &track, &open))
		return vz_import_leave_out(im, VZ_OUT_END);
	rc = join_args(im, &open.extra, sizeof(uint64_t));
	return rc < 0 ? vz_import_failed(im, rc) : add_open(im, &open, track, ns);
}

static bool take_async_point(struct vz_importer *im)
{
	struct vz_rec rec = { .seq = im->seq };
	uint32_t function;
	int rc;

	if (!async_track(im, &rec.track, &rec.start))
		return !im->error;
	rc = function_of(im, &function);
	if (rc < 0)
		return vz_import_failed(im, rc);
	rec.end = rec.start;
	rec.extra = keep_group(im, group_of(&im->event));
	rec.what = function << VZ_REC_FUNCTION_SHIFT | VZ_REC_CALL;
	stretch(im, rec.start, rec.start);
	return add(im, &rec);
}

/* ---- points and values ---- */

/* Losses as viewer/export/export_json.c writes them; RECORDS 0: a part could not be read. */
static bool is_loss(const struct vz_import_event *e, uint64_t *records)
{
	*records = 0;
	if (!vz_import_is(e->cat, "LOST"))
		return false;
	for (uint32_t i = 0; i < e->nseries; i++)
		if (e->series[i].name_len == 7 &&
		    !memcmp(e->args + e->series[i].name, "records", 7))
			*records = strtoull(e->args + e->series[i].value, NULL, 10);
	return *records > 0 || vz_import_is(e->name, "a part of the trace cannot be read");
}

static bool take_loss(struct vz_importer *im, uint64_t records, uint64_t ns)
{
	const struct vz_import_event *e = &im->event;
	struct vz_rec rec = { .start = ns, .end = records, .seq = im->seq, .what = VZ_REC_LOST };
	int rc = vz_import_track(&im->tracks, VZ_IMPORT_THREAD, e->pid, e->tid,
				 (struct vz_span){ 0 }, &rec.track);

	if (rc < 0)
		return vz_import_failed(im, rc);
	stretch(im, ns, ns);
	return add(im, &rec);
}

static bool take_instant(struct vz_importer *im)
{
	const struct vz_import_event *e = &im->event;
	bool of_thread = !e->scope.n || e->scope.p[0] == 't';
	struct vz_rec rec = { .seq = im->seq };
	struct vz_import_time ts;
	uint32_t function;
	uint64_t records;
	int rc;

	if (!time_of(e->ts, &ts))
		return vz_import_leave_out(im, VZ_OUT_NO_TIME);
	rec.start = rec.end = vz_import_round(ts);
	if (is_loss(e, &records))
		return take_loss(im, records, rec.start);
	rc = vz_import_track(
		&im->tracks, VZ_IMPORT_INSTANTS, e->pid, of_thread ? e->tid : (struct vz_span){ 0 },
		of_thread ? (struct vz_span){ 0 } : (struct vz_span){ e->scope.p, 1 }, &rec.track);
	if (rc == 0)
		rc = function_of(im, &function);
	if (rc < 0)
		return vz_import_failed(im, rc);
	rec.extra = keep_args(im);
	rec.what = function << VZ_REC_FUNCTION_SHIFT | VZ_REC_POINT;
	stretch(im, rec.start, rec.start);
	return add(im, &rec);
}

static bool take_value(struct vz_importer *im, const struct vz_import_series *series, uint64_t ns)
{
	const struct vz_import_event *e = &im->event;
	struct vz_span detail = { e->args + series->name, series->name_len };
	struct vz_rec rec = { .start = ns, .seq = im->seq, .what = VZ_REC_VALUE };
	double v = strtod(e->args + series->value, NULL);
	int rc;

	if (vz_import_is(detail, "value") ||
	    (detail.n == e->name.n && !memcmp(detail.p, e->name.p, detail.n)))
		detail.n = 0;
	rc = vz_import_track(&im->tracks, VZ_IMPORT_COUNTER, e->pid, e->name, detail, &rec.track);
	if (rc < 0)
		return vz_import_failed(im, rc);
	memcpy(&rec.end, &v, sizeof(v));
	return add(im, &rec);
}

static bool take_counter(struct vz_importer *im)
{
	const struct vz_import_event *e = &im->event;
	struct vz_import_time ts;
	uint64_t ns;

	if (!time_of(e->ts, &ts))
		return vz_import_leave_out(im, VZ_OUT_NO_TIME);
	ns = vz_import_round(ts);
	stretch(im, ns, ns);
	if (e->nothers || !e->nseries)
		vz_import_leave_out(im, VZ_OUT_VALUE);
	for (uint32_t i = 0; i < e->nseries; i++)
		if (!take_value(im, &e->series[i], ns))
			return false;
	return true;
}

bool vz_import_take(struct vz_importer *im)
{
	const struct vz_import_event *e = &im->event;

	im->seq++;
	im->summary.events++;
	if (e->args_dropped)
		im->left_out[VZ_OUT_ARGS]++;
	switch (e->phase.n == 1 ? e->phase.p[0] : '\0') {
	case 'X':
		return take_call(im);
	case 'B':
		return take_begin(im);
	case 'E':
		return take_end(im);
	case 'i':
	case 'I':
	case 'R':
		return take_instant(im);
	case 'C':
		return take_counter(im);
	case 'M':
		return vz_import_take_metadata(im);
	case 'b':
	case 'S':
		return take_async_begin(im);
	case 'e':
	case 'F':
		return take_async_end(im);
	case 'n':
	case 'T':
	case 'p':
		return take_async_point(im);
	case 's':
	case 't':
	case 'f':
		return vz_import_leave_out(im, VZ_OUT_FLOW);
	case 'N':
	case 'O':
	case 'D':
		return vz_import_leave_out(im, VZ_OUT_OBJECT);
	case 'P':
		return vz_import_leave_out(im, VZ_OUT_SAMPLE);
	case 'v':
	case 'V':
		return vz_import_leave_out(im, VZ_OUT_MEMORY);
	case 'c':
		return vz_import_leave_out(im, VZ_OUT_META);
	default:
		return vz_import_leave_out(im, e->phase.p ? VZ_OUT_PHASE : VZ_OUT_NO_EVENT);
	}
}

int vz_import_close(struct vz_importer *im)
{
	struct vz_import_open open;
	uint32_t track;

	for (uint32_t i = 0; i < im->tracks.n; i++) {
		struct vz_import_track *t = &im->tracks.p[i];

		while (t->depth)
			if (!add_open(im, &t->open[--t->depth], i, VZ_IMPORT_NO_END))
				return im->error;
	}
	while (vz_async_take_any(im->async, &track, &open))
		if (!add_open(im, &open, track, VZ_IMPORT_NO_END))
			return im->error;
	return 0;
}
