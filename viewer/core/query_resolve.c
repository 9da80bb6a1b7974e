/* SPDX-License-Identifier: MIT */
#include "viewer/core/query_resolve.h"

#include <errno.h>
#include <stdlib.h>

enum state {
	STILL_OPEN, /* at the end of the block */
	IN_SLICES,  /* of class .level or more */
	SETTLED,
};

struct vzq_pending {
	enum state state;
	uint32_t slice; /* number */
	unsigned level;
	bool there; /* in the block that is read: on its stack, yet to be left */
};

int vzq_resolve_init(struct vzq_resolve *r, struct vzq *q, uint32_t block, struct vzq_slice *slices,
		     uint32_t nslices)
{
	vzq_resolve_fini(r);
	*r = (struct vzq_resolve){
		.q = q,
		.block = block,
		.slices = slices,
		.nslices = nslices,
		.pending = calloc(nslices + 1u, sizeof(*r->pending)),
	};
	if (!r->pending)
		return -ENOMEM;
	for (uint32_t i = 0; i < nslices; i++)
		if (slices[i].end < 0)
			r->pending[r->npending++].slice = i;
	r->track = nslices ? slices[0].track : 0;
	return 0;
}

void vzq_resolve_fini(struct vzq_resolve *r)
{
	free(r->pending);
	*r = (struct vzq_resolve){ 0 };
}

/* A call that is open at the end of the block lasts until then at least. */
static uint64_t lasts(const struct vzq_resolve *r, const struct vzq_slice *s)
{
	uint64_t last = vzq_last_event(r->q, r->track, r->block), start = (uint64_t)s->start;

	return last > start ? last - start : 0;
}

static void look_in_slices(const struct vzq_resolve *r, struct vzq_pending *p)
{
	uint64_t least = lasts(r, &r->slices[p->slice]);

	p->state = IN_SLICES;
	p->level = least < VZI_FINE_NS ? 0 : vzi_class(least);
}

/* ---- the block after ---- */

static int plan_block(struct vzq_resolve *r, struct vzq_job *job)
{
	const struct vzi_track *track = &r->q->tracks[r->track];
	uint32_t next = vzq_readable_from(r->q, r->track, r->block + 1);
	struct vzq_item item = { .kind = VZQ_WANT_BLOCK, .tag = VZQ_TAG_RESOLVE_BLOCK };
	bool wanted = false;

	for (uint32_t i = 0; i < r->npending; i++) {
		struct vzq_pending *p = &r->pending[i];
		double start = r->slices[p->slice].start;

		if (p->state != STILL_OPEN)
			continue;
		if (next != VZQ_NO_BLOCK &&
		    (double)vzq_block_of(r->q, r->track, next)->from_ns - start < VZI_FINE_NS)
			wanted = true;
		else
			look_in_slices(r, p);
	}
	if (!wanted)
		return 0;
	item.id = track->first_block + next;
	item.arg = next;
	return vzq_job_plan(job, &item);
}

/* The frame that was told, if it is one that is meant; they are sorted by depth. */
static struct vzq_pending *pending_at(struct vzq_resolve *r, const struct vz_visit *at)
{
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	const struct vzq_slice *s;
	uint32_t lo = 0, hi = r->npending;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (r->slices[r->pending[mid].slice].depth < at->depth - 1)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == r->npending || r->pending[lo].state != STILL_OPEN)
		return NULL;
	s = &r->slices[r->pending[lo].slice];
	return s->depth == at->depth - 1 && s->fn == frame->symbol >> VZ_SYMBOL_SHIFT &&
			       (uint64_t)s->start == vzq_since(r->q, frame->begin_ns)
		       ? &r->pending[lo]
		       : NULL;
}

struct reading {
	struct vzq_resolve *r;
	uint32_t known; /* frames that the block began with, yet to be told */
};

static int on_enter(void *ctx, const struct vz_visit *at)
{
	struct reading *reading = ctx;
	struct vzq_pending *p;

	if (!reading->known)
		return 0;
	reading->known--;
	p = pending_at(reading->r, at);
	if (p)
		p->there = true;
	return 0;
}

static int on_leave(void *ctx, const struct vz_visit *at)
{
	struct reading *reading = ctx;
	struct vzq_pending *p = pending_at(reading->r, at);
	struct vzq_slice *s;

	if (!p || !p->there)
		return 0;
	s = &reading->r->slices[p->slice];
	s->end = (double)vzq_since(reading->r->q, at->ns);
	s->how |= (uint32_t)at->how << VZI_HOW_LEAVE_SHIFT;
	p->state = SETTLED;
	return 0;
}

static int take_block(struct vzq_resolve *r, const struct vzq_item *item, const uint8_t *p,
		      size_t n)
{
	static const struct vz_visitor visitor = { .enter = on_enter, .leave = on_leave };
	struct vz_line line = { 0 };
	struct reading reading = { .r = r };
	const struct vzq_scan scan = { &line, &visitor, &reading, &reading.known };
	int rc;

	for (uint32_t i = 0; i < r->npending; i++)
		r->pending[i].there = false;
	rc = vzq_scan(r->q, item, p, n, &scan);
	vz_line_fini(&r->q->steps, &line);
	for (uint32_t i = 0; i < r->npending; i++)
		if (r->pending[i].state == STILL_OPEN && !r->pending[i].there)
			look_in_slices(r, &r->pending[i]); /* it ended in a gap */
	r->block = item->arg;
	return rc;
}

/* ---- SLICES ---- */

/* Tiles of a class that may hold S: those before the first that begins later. */
static struct vzq_group tiles_for(const struct vzq_resolve *r, const struct vzq_slice *s,
				  unsigned level)
{
	struct vzq_group group = vzq_group(r->q, r->track, VZI_SLICES, level);
	uint32_t lo = group.first, hi = group.first + group.n, end;
	uint64_t start = (uint64_t)s->start;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (r->q->tiles[mid].t0_ns <= start)
			lo = mid + 1;
		else
			hi = mid;
	}
	end = lo;
	if (lo > group.first)
		lo--;
	while (lo > group.first && r->q->tiles[lo].t0_ns == start)
		lo--;
	return (struct vzq_group){ lo, end - lo };
}

static int plan_tiles(struct vzq_resolve *r, struct vzq_job *job, uint32_t i)
{
	struct vzq_pending *p = &r->pending[i];
	const struct vzq_slice *s = &r->slices[p->slice];
	uint32_t depth = s->depth < UINT16_MAX ? s->depth : UINT16_MAX, before = job->nitems;
	struct vzq_item item = { .kind = VZQ_WANT_TILE, .tag = VZQ_TAG_RESOLVE_TILE, .arg = i };
	int rc = 0;

	for (; p->level < VZI_LEVELS && job->nitems == before && rc == 0; p->level++) {
		struct vzq_group group = tiles_for(r, s, p->level);

		for (uint32_t k = 0; k < group.n && rc == 0; k++) {
			const struct vzi_tile *tile = &r->q->tiles[group.first + k];

			item.id = group.first + k;
			if (tile->min_depth <= depth && depth <= tile->max_depth)
				rc = vzq_job_plan(job, &item);
		}
	}
	return rc;
}

static int take_tile(struct vzq_resolve *r, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	struct vzq_pending *pending = &r->pending[item->arg];
	struct vzq_slice *s = &r->slices[pending->slice];
	uint32_t depth = s->depth < UINT16_MAX ? s->depth : UINT16_MAX;
	struct vzt_records records;
	int rc;

	if (pending->state != IN_SLICES)
		return 0;
	rc = vzt_decode(&r->q->tiles[item->id], p, n, &records);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < records.n; i++) {
		if (records.start[i] < s->start || records.start[i] > s->start ||
		    records.depth[i] != depth || records.fn[i] != s->fn)
			continue;
		s->end = records.end[i];
		s->how = records.how[i];
		pending->state = SETTLED;
		break;
	}
	vzt_records_fini(&records);
	return 0;
}

/* The index lacks it: it ends where it was seen last, in what counts as a gap. */
static void give_up(struct vzq_resolve *r, struct vzq_pending *p)
{
	struct vzq_slice *s = &r->slices[p->slice];

	s->end = s->start + (double)lasts(r, s);
	s->how |= VZ_LEFT_GAP << VZI_HOW_LEAVE_SHIFT;
	p->state = SETTLED;
	r->unknown++;
}

int vzq_resolve_plan(struct vzq_resolve *r, struct vzq_job *job)
{
	uint32_t before = job->nitems;
	int rc = plan_block(r, job);

	if (rc < 0 || job->nitems > before)
		return rc;
	for (uint32_t i = 0; i < r->npending && rc == 0; i++) {
		struct vzq_pending *p = &r->pending[i];
		uint32_t planned = job->nitems;

		if (p->state != IN_SLICES)
			continue;
		rc = plan_tiles(r, job, i);
		if (rc == 0 && job->nitems == planned)
			give_up(r, p);
	}
	return rc;
}

int vzq_resolve_take(struct vzq_resolve *r, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	return item->tag == VZQ_TAG_RESOLVE_BLOCK ? take_block(r, item, p, n)
						  : take_tile(r, item, p, n);
}
