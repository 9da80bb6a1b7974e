/* SPDX-License-Identifier: MIT */
#include "viewer/walk.h"

#include <errno.h>
#include <stdlib.h>

#include "viewer/select.h"

struct walk {
	struct vz_reader *reader;
	struct vz_steps steps;
	struct vz_line *lines;
	uint32_t first; /* track of lines[0] */
	uint64_t *entries; /* for each block the number of its first entry; NULL: not asked for */
};

static int walk_block(struct walk *w, uint32_t i)
{
	uint32_t place = vz_reader_track_place(w->reader, vz_reader_block(w->reader, i)->track);
	struct vz_line *line = &w->lines[place - w->first];
	struct vz_block head;
	const uint8_t *raw;
	int rc = vz_reader_load(w->reader, i, &head, &raw);

	if (rc == -EBADMSG) {
		line->holed = true;
		return 0;
	}
	if (rc == 0)
		rc = vz_steps_open(&w->steps, line, &head, raw);
	w->steps.entry = w->entries ? w->entries[i] : VZ_NO_ENTRY;
	if (rc == 0)
		rc = vz_steps_events(&w->steps);
	if (rc != VZ_STEPS_NONSENSE)
		return rc;
	vz_reader_distrust(w->reader, i);
	return 0;
}

static int walk_blocks(struct walk *w, const struct vz_walk_limits *limits)
{
	uint32_t only = limits ? limits->place : VZ_ALL_TRACKS;
	const uint32_t *blocks = limits ? limits->blocks : NULL;
	uint32_t n = blocks ? limits->nblocks : vz_reader_nblocks(w->reader);
	int rc = 0;

	for (uint32_t k = 0; k < n && rc == 0; k++) {
		uint32_t i = blocks ? blocks[k] : k;
		const struct vz_index_entry *block = vz_reader_block(w->reader, i);

		if (w->steps.until_ns && block->t0_ns > w->steps.until_ns)
			continue;
		if (blocks || only == VZ_ALL_TRACKS ||
		    vz_reader_track_place(w->reader, block->track) == only)
			rc = walk_block(w, i);
	}
	return rc;
}

/* Frames that are still open get an end where nothing more is known of their track. */
static int close_line(struct walk *w, struct vz_line *line)
{
	uint64_t end_ns = vz_reader_track(w->reader, line->place)->end_ns, t0_ns;

	if (!end_ns)
		vz_reader_range(w->reader, &t0_ns, &end_ns);
	return vz_steps_close(&w->steps, line, end_ns);
}

/* Where blocks are missing nobody knows how many entries they held. */
static uint64_t *number_entries(const struct vz_reader *r)
{
	uint32_t n = vz_reader_nblocks(r), ntracks = vz_reader_ntracks(r);
	uint64_t *first = malloc((n + 1u) * sizeof(*first));
	uint64_t *sum = calloc(ntracks + 1u, sizeof(*sum));
	struct vz_damage damage;

	vz_reader_damage(r, &damage);
	for (uint32_t i = 0; first && sum && i < n; i++) {
		const struct vz_index_entry *block = vz_reader_block(r, i);
		uint64_t *here = &sum[vz_reader_track_place(r, block->track)];

		first[i] = damage.missing_blocks || damage.skipped_bytes ? VZ_NO_ENTRY : *here;
		*here += block->count;
	}
	if (!sum) {
		free(first);
		first = NULL;
	}
	free(sum);
	return first;
}

int vz_walk(struct vz_reader *r, const struct vz_walk_limits *limits,
	    const struct vz_visitor *visitor, void *ctx)
{
	bool all = !limits || limits->place == VZ_ALL_TRACKS;
	uint32_t first = all ? 0 : limits->place;
	uint32_t end = all ? vz_reader_ntracks(r) : first + (first < vz_reader_ntracks(r));
	struct walk w = {
		.reader = r,
		.lines = calloc(end - first + 1u, sizeof(*w.lines)),
		.first = first,
	};
	int rc;

	if (limits && vz_select_any(limits->select)) {
		free(w.lines);
		return vz_select_walk(r, limits, visitor, ctx);
	}
	rc = vz_steps_init(&w.steps, visitor, ctx);
	w.steps.until_ns = limits ? limits->until_ns : 0;
	w.entries = limits && limits->entries ? number_entries(r) : NULL;
	if (!w.lines || (limits && limits->entries && !w.entries))
		rc = -ENOMEM;
	for (uint32_t i = first; w.lines && i < end; i++)
		w.lines[i - first].place = i;
	if (rc == 0)
		rc = walk_blocks(&w, limits);
	for (uint32_t i = first; i < end && rc == 0; i++)
		rc = close_line(&w, &w.lines[i - first]);
	for (uint32_t i = first; w.lines && i < end; i++)
		vz_line_fini(&w.steps, &w.lines[i - first]);
	free(w.lines);
	free(w.entries);
	vz_steps_fini(&w.steps);
	return rc;
}
