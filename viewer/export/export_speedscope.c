/* SPDX-License-Identifier: MIT */
/*
 * The format of speedscope.app: an evented profile for each track, with frames
 * that all of them share.  Times are nanoseconds since the begin of the trace.
 *
 * The format knows no remarks on calls.  What a reader should know of a track,
 * such as losses, is said in the name of its profile; a part of the trace that
 * cannot be read is a frame of its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/export/export.h"
#include "viewer/intern.h"

struct speedscope {
	struct vz_reader *reader;
	struct vz_out *out;
	struct vz_names names;
	uint64_t base_ns, end_ns; /* of the trace, or of what of it is written */
	uint64_t until_ns;
	const struct vz_select *select;
	uint32_t profiles; /* so far */
	/* of the profile */
	uint64_t ns; /* of its last event, since base_ns */
	bool first, in_gap;
	uint32_t gap; /* row of the frame that is a gap */
	uint64_t lost, began, unended, unseen;
};

static int make(const struct vz_function *f, struct vz_name *ret)
{
	bool c = f->kind == VZ_DEF_C;
	int n = asprintf(&ret->text, "%s%s%s", c ? f->file : "", c && f->file[0] ? "." : "",
			 f->name);

	if (n < 0)
		ret->text = NULL;
	ret->file = strdup(c ? "" : f->file);
	ret->line = c ? 0 : f->line;
	return 0;
}

/* ---- events ---- */

static void put_event(struct speedscope *s, char type, uint32_t row, uint64_t ns)
{
	uint64_t since = ns > s->base_ns ? ns - s->base_ns : 0;

	if (since > s->ns)
		s->ns = since;
	vz_out_text(s->out, s->first ? "\n{\"type\":\"" : ",\n{\"type\":\"");
	s->first = false;
	vz_out_char(s->out, type);
	vz_out_text(s->out, "\",\"frame\":");
	vz_out_number(s->out, row);
	vz_out_text(s->out, ",\"at\":");
	vz_out_number(s->out, s->ns);
	vz_out_char(s->out, '}');
}

static void end_gap(struct speedscope *s, uint64_t ns)
{
	if (s->in_gap)
		put_event(s, 'C', s->gap, ns);
	s->in_gap = false;
}

static int put_frame(struct speedscope *s, char type, const struct vz_visit *at)
{
	uint32_t row, function = at->stack[at->depth - 1].symbol >> VZ_SYMBOL_SHIFT;
	int rc = vz_names_function(&s->names, s->reader, function, &row);

	if (rc < 0)
		return rc;
	end_gap(s, at->ns);
	put_event(s, type, row, at->ns);
	return s->out->error;
}

static int enter(void *ctx, const struct vz_visit *at)
{
	struct speedscope *s = ctx;
	unsigned how = at->stack[at->depth - 1].symbol & ((1u << VZ_SYMBOL_SHIFT) - 1);

	s->began += how == VZ_ENTRY_OPEN;
	return put_frame(s, 'O', at);
}

static int leave(void *ctx, const struct vz_visit *at)
{
	struct speedscope *s = ctx;

	s->unended += at->how == VZ_LEFT_OPEN;
	s->unseen += at->how == VZ_LEAVE_UNSEEN || at->how == VZ_LEFT_GAP;
	return put_frame(s, 'C', at);
}

static int lost(void *ctx, const struct vz_visit *at)
{
	struct speedscope *s = ctx;
	int rc;

	end_gap(s, at->ns);
	s->lost += at->lost;
	if (at->lost)
		return 0;
	rc = vz_names_text(&s->names, "[a part of the trace cannot be read]", &s->gap);
	if (rc < 0)
		return rc;
	put_event(s, 'O', s->gap, at->ns);
	s->in_gap = true;
	return s->out->error;
}

/* ---- profiles ---- */

static void put_remark(struct vz_out *out, bool *first, uint64_t n, const char *what)
{
	if (!n)
		return;
	vz_out_format(out, "%s%" PRIu64 " %s", *first ? " [" : ", ", n, what);
	*first = false;
}

static void put_title(struct speedscope *s, uint32_t place)
{
	char title[1024] = "";
	bool first = true;

	if (place < vz_reader_ntracks(s->reader))
		vz_reader_track_title(vz_reader_track(s->reader, place), title, sizeof(title));
	vz_out_text(s->out, "\"name\":\"");
	vz_out_json(s->out, title);
	put_remark(s->out, &first, s->lost, "records lost");
	put_remark(s->out, &first, s->began, "frames began before they were seen");
	put_remark(s->out, &first, s->unended, "had not ended");
	put_remark(s->out, &first, s->unseen, "with an end that was not seen");
	vz_out_text(s->out, first ? "\"" : "]\"");
}

/* PLACE VZ_ALL_TRACKS: of nothing. */
static int put_profile(struct speedscope *s, uint32_t place, const uint32_t *blocks, uint32_t n)
{
	static const struct vz_visitor visitor = { .enter = enter, .leave = leave, .lost = lost };
	const struct vz_walk_limits limits = {
		.place = place,
		.until_ns = s->until_ns,
		.blocks = blocks,
		.nblocks = n,
		.select = s->select,
	};
	uint64_t end_ns = s->end_ns > s->base_ns ? s->end_ns - s->base_ns : 0;
	int rc = 0;

	s->ns = s->lost = s->began = s->unended = s->unseen = 0;
	s->first = true;
	vz_out_text(s->out, s->profiles++ ? ",\n" : "\n");
	vz_out_text(s->out, "{\"type\":\"evented\",\"unit\":\"nanoseconds\",\"events\":[");
	if (place != VZ_ALL_TRACKS)
		rc = vz_walk(s->reader, &limits, &visitor, s);
	end_gap(s, s->end_ns);
	vz_out_text(s->out, "\n],\"startValue\":0,\"endValue\":");
	vz_out_number(s->out, s->ns > end_ns ? s->ns : end_ns);
	vz_out_char(s->out, ',');
	put_title(s, place);
	vz_out_char(s->out, '}');
	return rc;
}

/*
 * The numbers of all blocks, track by track; those of track PLACE end at ENDS[PLACE].
 * NULL: no memory.
 */
static uint32_t *sort_blocks(struct speedscope *s, uint32_t *ends)
{
	uint32_t n = vz_reader_nblocks(s->reader), ntracks = vz_reader_ntracks(s->reader);
	uint32_t *blocks = malloc((n + 1u) * sizeof(*blocks)), sum = 0;

	if (!blocks)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		const struct vz_index_entry *block = vz_reader_block(s->reader, i);

		ends[vz_reader_track_place(s->reader, block->track)]++;
		if (block->t0_ns < s->base_ns && !s->select->from_ns)
			s->base_ns = block->t0_ns;
	}
	for (uint32_t i = 0; i < ntracks; i++) {
		uint32_t count = ends[i];

		ends[i] = sum; /* its begin, until all have their place */
		sum += count;
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct vz_index_entry *block = vz_reader_block(s->reader, i);

		blocks[ends[vz_reader_track_place(s->reader, block->track)]++] = i;
	}
	return blocks;
}

/* Threads in which nothing happened are no profiles; but a file without any cannot be opened. */
static int put_profiles(struct speedscope *s)
{
	uint32_t ntracks = vz_reader_ntracks(s->reader), at = 0;
	uint32_t *ends = calloc(ntracks + 1u, sizeof(*ends));
	uint32_t *blocks = ends ? sort_blocks(s, ends) : NULL;
	int rc = blocks ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < ntracks; i++) {
		if (ends[i] > at && vz_select_track(s->select, s->reader, i) &&
		    (!s->until_ns || vz_reader_block(s->reader, blocks[at])->t0_ns <= s->until_ns))
			rc = put_profile(s, i, blocks + at, ends[i] - at);
		at = ends[i];
	}
	free(blocks);
	free(ends);
	return rc == 0 && !s->profiles ? put_profile(s, VZ_ALL_TRACKS, NULL, 0) : rc;
}

static void put_frames(const struct speedscope *s)
{
	for (uint32_t i = 0; i < s->names.n; i++) {
		const struct vz_name *name = &s->names.p[i];

		vz_out_text(s->out, i ? ",\n{\"name\":\"" : "\n{\"name\":\"");
		vz_out_json(s->out, name->text);
		vz_out_char(s->out, '"');
		if (name->file[0]) {
			vz_out_text(s->out, ",\"file\":\"");
			vz_out_json(s->out, name->file);
			vz_out_format(s->out, "\",\"line\":%u", name->line);
		}
		vz_out_char(s->out, '}');
	}
}

int vz_export_speedscope(struct vz_reader *r, const struct vz_export_options *options,
			 struct vz_out *out)
{
	struct speedscope s = {
		.reader = r,
		.out = out,
		.names = { .make = make },
		.until_ns = vz_export_until(r, options->max_calls),
		.select = &options->select,
	};
	int rc;

	vz_reader_range(r, &s.base_ns, &s.end_ns);
	if (options->select.until_ns && (!s.until_ns || options->select.until_ns < s.until_ns))
		s.until_ns = options->select.until_ns;
	if (s.until_ns && s.until_ns < s.end_ns)
		s.end_ns = s.until_ns;
	if (options->select.from_ns > s.base_ns)
		s.base_ns = options->select.from_ns;
	vz_out_text(out, "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\","
			 "\"exporter\":\"vizattach " VZ_VERSION "\",\"name\":\"");
	vz_out_json(out, vz_export_process(r));
	vz_out_format(out, " (pid %u)\",\"profiles\":[", vz_reader_header(r)->pid);
	rc = put_profiles(&s);
	vz_out_text(out, "],\n\"shared\":{\"frames\":[");
	put_frames(&s);
	vz_out_text(out, "\n]}}\n");
	vz_names_fini(&s.names);
	return rc;
}
