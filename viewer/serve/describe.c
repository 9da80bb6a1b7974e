/* SPDX-License-Identifier: MIT */
#include "viewer/serve/describe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/export/export.h"
#include "viewer/human.h"

enum {
	PART_ROWS = 256,
	NS_PER_MS = 1000000,
};

static void put_string(struct vz_out *out, const char *s)
{
	vz_out_char(out, '"');
	vz_out_json(out, s);
	vz_out_char(out, '"');
}

static void put_member(struct vz_out *out, const char *name, const char *value)
{
	vz_out_format(out, ",\"%s\":", name);
	put_string(out, value);
}

static void put_count(struct vz_out *out, const char *name, uint64_t value)
{
	vz_out_format(out, ",\"%s\":%" PRIu64, name, value);
}

/* ---- warnings ---- */

struct warnings {
	struct vz_out *out;
	unsigned n;
};

static void warn(struct warnings *w, const char *why, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void warn(struct warnings *w, const char *why, const char *hint, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	vz_out_text(w->out, w->n++ ? ",{\"what\":" : "{\"what\":");
	put_string(w->out, what);
	if (why)
		put_member(w->out, "why", why);
	if (hint)
		put_member(w->out, "try", hint);
	vz_out_char(w->out, '}');
}

/* What blocks say is known once they were read: the index has read all of them. */
static uint64_t holes(const struct vz_describe *d)
{
	uint64_t n = 0;

	for (uint32_t i = 0; d->directory && i < d->directory->ntracks; i++)
		n += d->tracks[i].holes;
	return n;
}

static uint64_t missing_calls(const struct vz_reader *r, const struct vz_describe *d)
{
	const struct vz_file_end *end = vz_reader_end(r);
	uint64_t here = d->directory ? d->directory->entries : 0;

	return d->directory && !d->calls && end && end->calls > here ? end->calls - here : 0;
}

static struct vz_human parts(uint64_t n)
{
	struct vz_human h;

	snprintf(h.s, sizeof(h.s), "%.40s part%s", vz_human_count(n).s, n == 1 ? "" : "s");
	return h;
}

static void warn_of_damage(struct warnings *w, const struct vz_reader *r,
			   const struct vz_describe *d)
{
	const char *hint = "copy the file again, if it was copied";
	uint64_t places, calls = missing_calls(r, d);
	struct vz_damage damage;
	const char *gaps;

	vz_reader_damage(r, &damage);
	if (d->damage)
		damage = *d->damage;
	if (damage.cut)
		warn(w,
		     "the recorder was ended before it could finish the file, or the file was cut",
		     NULL, "the end of the recording is missing; all before it is here");
	places = damage.damaged_blocks + damage.missing_blocks;
	places = holes(d) > places ? holes(d) : places;
	gaps = places == 1 ? "a gap" : "gaps";
	if (places && calls)
		warn(w, "checksums do not hold, or parts are gone", hint,
		     "%s of the trace cannot be read, with at least %s calls; shown as %s",
		     parts(places).s, vz_human_count(calls).s, gaps);
	else if (places)
		warn(w, "checksums do not hold, or parts are gone", hint,
		     "%s of the trace cannot be read; shown as %s", parts(places).s, gaps);
	else if (damage.skipped_bytes)
		warn(w, "they belong to no part of a trace", hint, "%s of the file were skipped",
		     vz_human_bytes(damage.skipped_bytes).s);
}

/* What the import of a file of another tool had to leave out or to move. */
static void warn_of_import(struct warnings *w, const struct vz_reader *r)
{
	const char *key, *value;

	for (uint32_t i = 0; vz_reader_fact_at(r, i, &key, &value); i++) {
		if (!strcmp(key, "imported in part"))
			warn(w, value, NULL, "only a part of the file could be imported");
		else if (!strcmp(key, "not shown"))
			warn(w, "a timeline of calls has no place for them", NULL, "not shown: %s",
			     value);
		else if (!strcmp(key, "overlaps"))
			warn(w, NULL, NULL, "%s", value);
	}
}

static void put_warnings(struct vz_out *out, const struct vz_reader *r, const struct vz_describe *d,
			 uint64_t lost)
{
	struct warnings w = { .out = out };

	vz_out_text(out, ",\"warnings\":[");
	warn_of_damage(&w, r, d);
	warn_of_import(&w, r);
	if (lost)
		warn(&w, "the program made them faster than they could be taken out of its memory",
		     "vizattach --ring-size 256MiB, or --no-c-calls",
		     "%s records were lost: counts and times around the hatched parts are lower "
		     "bounds",
		     vz_human_count(lost).s);
	if (d->calls && d->directory)
		warn(&w, "it was exported with a limit, or a part of the trace was chosen",
		     "vizview export FILE --format html --limit 0",
		     "only %s of %s calls are in this file",
		     vz_human_count(d->directory->entries).s, vz_human_count(d->calls).s);
	vz_out_char(out, ']');
}

/* ---- tracks ---- */

/* What is known of a track before there is an index. */
static int count_tracks(const struct vz_reader *r, struct vzi_track **ret)
{
	uint32_t n = vz_reader_ntracks(r);
	struct vzi_track *tracks = calloc(n + (size_t)1, sizeof(*tracks));
	uint64_t zero_ns, t1_ns;

	if (!tracks)
		return -ENOMEM;
	vz_reader_range(r, &zero_ns, &t1_ns);
	for (uint32_t i = 0; i < n; i++) {
		const struct vz_thread_track *t = vz_reader_track(r, i);
		uint64_t end_ns = t->end_ns ? t->end_ns : t1_ns;

		tracks[i].place = i;
		tracks[i].begin_ns = t->begin_ns > zero_ns ? t->begin_ns - zero_ns : 0;
		tracks[i].end_ns = end_ns > zero_ns ? end_ns - zero_ns : 0;
	}
	for (uint32_t i = 0; i < vz_reader_nblocks(r); i++) {
		const struct vz_index_entry *b = vz_reader_block(r, i);

		tracks[vz_reader_track_place(r, b->track)].entries += b->count;
	}
	*ret = tracks;
	return 0;
}

static const char *kind_name(const struct vz_thread_track *t)
{
	if (t->flags & VZ_TRACK_COUNTER)
		return "counter";
	if (t->flags & VZ_TRACK_INSTANTS)
		return "instants";
	if (t->flags & VZ_TRACK_STATE)
		return "state";
	if (t->flags & VZ_TRACK_ASYNC)
		return "async";
	return t->stack_key ? "greenlet" : "thread";
}

static bool is_thread(const struct vz_thread_track *t)
{
	return !t->stack_key && !(t->flags & (VZ_TRACK_COUNTER | VZ_TRACK_INSTANTS |
					      VZ_TRACK_STATE | VZ_TRACK_ASYNC));
}

/* Linux gives the first thread the number of its process; in a pid namespace the name must do. */
static bool is_main(const struct vz_reader *r, const struct vz_thread_track *t)
{
	const char *name = t->name;

	if (!is_thread(t))
		return false;
	return t->tid == vz_reader_process(r, t->process)->pid || !strcmp(name, "MainThread");
}

static void put_track(struct vz_out *out, const struct vz_reader *r, const struct vzi_track *track)
{
	const struct vz_thread_track *t = vz_reader_track(r, track->place);
	char title[1024];

	vz_reader_track_title(t, title, sizeof(title));
	vz_out_format(out, "{\"process\":%u,\"tid\":%u", t->process, t->tid);
	put_member(out, "name", title);
	put_member(out, "kind", kind_name(t));
	put_count(out, "begin", track->begin_ns);
	put_count(out, "end", track->end_ns);
	put_count(out, "calls", track->entries);
	put_count(out, "lost", track->lost);
	put_count(out, "holes", track->holes);
	put_count(out, "depth", track->max_depth);
	vz_out_format(out, ",\"main\":%s}", is_main(r, t) ? "true" : "false");
}

static void put_tracks(struct vz_out *out, const struct vz_reader *r,
		       const struct vzi_track *tracks, uint32_t n)
{
	vz_out_text(out, ",\"tracks\":[");
	for (uint32_t i = 0; i < n; i++) {
		if (i)
			vz_out_text(out, ",\n");
		if (tracks[i].place < vz_reader_ntracks(r))
			put_track(out, r, &tracks[i]);
		else
			vz_out_text(out, "null"); /* an index that does not fit is not asked */
	}
	vz_out_char(out, ']');
}

static void put_processes(struct vz_out *out, const struct vz_reader *r)
{
	vz_out_text(out, ",\"processes\":[");
	for (uint32_t i = 0; i < vz_reader_nprocesses(r); i++) {
		const struct vz_process *p = vz_reader_process(r, i);

		vz_out_format(out, "%s{\"pid\":%u", i ? "," : "", p->pid);
		put_member(out, "name", i || p->name[0] ? p->name : vz_export_process(r));
		vz_out_char(out, '}');
	}
	vz_out_char(out, ']');
}

static void put_facts(struct vz_out *out, const struct vz_reader *r)
{
	const char *key, *value;

	vz_out_text(out, ",\"facts\":[");
	for (uint32_t i = 0; vz_reader_fact_at(r, i, &key, &value); i++) {
		vz_out_text(out, i ? ",[" : "[");
		put_string(out, key);
		vz_out_char(out, ',');
		put_string(out, value);
		vz_out_char(out, ']');
	}
	vz_out_char(out, ']');
}

/* ---- trace.json ---- */

static void put_head(struct vz_out *out, const struct vz_reader *r, const struct vz_describe *d)
{
	const struct vz_file_header *h = vz_reader_header(r);
	uint64_t zero_ns, t1_ns, since_ns;

	vz_reader_range(r, &zero_ns, &t1_ns);
	if (d->directory)
		zero_ns = d->directory->zero_ns;
	since_ns = zero_ns - h->start_mono_ns;
	vz_out_text(out, "{\"version\":\"" VZ_VERSION "\"");
	put_member(out, "file", d->file);
	put_member(out, "title", vz_export_process(r));
	put_count(out, "pid", h->pid);
	vz_out_format(out, ",\"startUnixMs\":%.3f",
		      (double)(int64_t)(h->start_unix_ns + since_ns) / NS_PER_MS);
	put_count(out, "duration", d->directory ? d->directory->duration_ns : t1_ns - zero_ns);
}

int vz_describe_trace(const struct vz_reader *r, const struct vz_describe *d, struct vz_out *out)
{
	const struct vz_file_end *end = vz_reader_end(r);
	uint32_t n = d->directory ? d->directory->ntracks : vz_reader_ntracks(r);
	uint64_t calls = 0, lost = 0;
	struct vzi_track *counted = NULL;
	const struct vzi_track *tracks = d->tracks;

	if (!d->directory && count_tracks(r, &counted) < 0)
		return -ENOMEM;
	if (counted)
		tracks = counted;
	for (uint32_t i = 0; i < n; i++) {
		calls += tracks[i].entries;
		lost += tracks[i].lost;
	}
	if (end && end->lost > lost && !d->calls)
		lost = end->lost;
	put_head(out, r, d);
	put_count(out, "calls", calls);
	put_count(out, "lost", lost);
	put_facts(out, r);
	put_warnings(out, r, d, lost);
	put_processes(out, r);
	put_tracks(out, r, tracks, n);
	vz_out_format(out, ",\"hasSource\":%s,\"compare\":", d->has_source ? "true" : "false");
	if (d->compare)
		put_string(out, d->compare);
	else
		vz_out_text(out, "null");
	vz_out_text(out, "}\n");
	free(counted);
	return 0;
}

/* ---- functions.json ---- */

enum column {
	COLUMN_FILES,
	COLUMN_NAME,
	COLUMN_FILE,
	COLUMN_LINE,
	COLUMN_KIND,
	COLUMNS,
};

static void put_cell(struct vz_out *out, const struct vz_files *files, const struct vz_function *f,
		     enum column column, uint32_t row)
{
	switch (column) {
	case COLUMN_FILES:
		put_string(out, files->names[row]);
		break;
	case COLUMN_NAME:
		put_string(out, f->name);
		break;
	case COLUMN_FILE:
		vz_out_format(out, "%d", files->of[row]);
		break;
	case COLUMN_LINE:
		vz_out_number(out, f->line);
		break;
	default:
		vz_out_number(out, f->kind);
		break;
	}
}

bool vz_describe_functions(const struct vz_reader *r, const struct vz_files *files,
			   struct vz_describe_place *place, struct vz_out *out)
{
	static const char *const openings[COLUMNS] = {
		"{\"files\":[",   "],\n\"name\":[", "],\n\"file\":[",
		"],\n\"line\":[", "],\n\"kind\":[",
	};
	uint32_t rows;

	if (place->column >= COLUMNS)
		return false;
	rows = place->column == COLUMN_FILES ? files->n : files->nfunctions;
	if (!place->row)
		vz_out_text(out, openings[place->column]);
	for (uint32_t i = 0; i < PART_ROWS && place->row < rows; i++, place->row++) {
		if (place->row)
			vz_out_char(out, ',');
		put_cell(out, files, vz_reader_function(r, place->row), (enum column)place->column,
			 place->row);
	}
	if (place->row < rows)
		return true;
	place->column++;
	place->row = 0;
	if (place->column < COLUMNS)
		return true;
	vz_out_text(out, "]}\n");
	return false;
}
