/* SPDX-License-Identifier: MIT */
/*
 * The next call of some functions.  On each track summaries are looked through, a group of 16
 * at a time: where none of them has one it goes on in groups of the level above, where one
 * has, in those below, in the end in a block.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/query_resolve.h"
#include "viewer/core/query_set.h"

enum {
	TAG_SUMMARY = 1,
	TAG_BLOCK = 2,
	GROUP = 1 << VZI_FANOUT_SHIFT,
	ENTRY_MASK = (1 << VZ_SYMBOL_SHIFT) - 1,
};

enum seek_state {
	LOOKING, /* in summaries of .level from unit .at on */
	READING, /* block .at may have one */
	FOUND,
	NONE,
};

struct seek {
	enum seek_state state;
	uint32_t track;
	unsigned level;
	int64_t at;  /* a unit is 16^level blocks */
	int64_t hit; /* the nearest unit that has one, -1: none so far */
	bool asked;  /* summaries of a group are on their way */
	uint32_t block;
	struct vzq_slice slice;
};

enum next_step {
	SEEK,
	RESOLVE,
};

struct next_job {
	struct vzq_job job;
	enum next_step step;
	struct vzq_set fns;
	uint64_t bound; /* forwards the first ns at which it may begin, else the first at which not
			 */
	int direction;
	struct seek *seeks;
	uint32_t nseeks;
	struct vzq_resolve resolve;
};

static int64_t units(const struct next_job *j, const struct seek *s, unsigned level)
{
	int64_t n = j->job.q->tracks[s->track].nblocks;

	return (n + (INT64_C(1) << VZI_FANOUT_SHIFT * level) - 1) >> VZI_FANOUT_SHIFT * level;
}

/* ---- planning ---- */

/* Time of the call that was found on another track, which this one must better. */
static bool may_be_better(const struct next_job *j, const struct seek *s)
{
	uint32_t first = (uint32_t)(s->at << VZI_FANOUT_SHIFT * s->level);
	int64_t last = ((s->at + 1) << VZI_FANOUT_SHIFT * s->level) - 1;
	uint32_t n = j->job.q->tracks[s->track].nblocks;

	if (last >= n)
		last = n - 1;
	for (uint32_t i = 0; i < j->nseeks; i++) {
		double start = j->seeks[i].slice.start;

		if (j->seeks[i].state != FOUND)
			continue;
		if (j->direction > 0
			    ? (double)vzq_block_of(j->job.q, s->track, first)->from_ns > start
			    : (double)vzq_covered(j->job.q, s->track, (uint32_t)last) < start)
			return false;
	}
	return true;
}

/* Whether a unit without a summary may have a call: it has one if there is anything to sum up. */
static bool may_hold(const struct next_job *j, const struct seek *s, int64_t unit)
{
	const struct vzi_block *b = vzq_block_of(j->job.q, s->track, (uint32_t)unit);

	return s->level || !(b->flags & VZI_BLOCK_UNREADABLE);
}

/* The rest of the group in which it looks. */
static int plan_group(struct next_job *j, struct seek *s, uint32_t i)
{
	struct vzq_item item = { .kind = VZQ_WANT_TILE, .tag = TAG_SUMMARY, .arg = i };
	int64_t group = s->at >> VZI_FANOUT_SHIFT, n = units(j, s, s->level);
	int rc = 0;

	s->hit = -1;
	for (int64_t u = s->at; u >= 0 && u < n && u >> VZI_FANOUT_SHIFT == group && rc == 0;
	     u += j->direction) {
		item.id = vzq_summary(j->job.q, s->track, VZI_FUNCS, s->level,
				      (uint32_t)(u << VZI_FANOUT_SHIFT * s->level));
		item.more = (uint32_t)u;
		if (item.id != VZQ_NO_BLOCK) {
			rc = vzq_job_plan(&j->job, &item);
			s->asked = true;
		} else if (may_hold(j, s, u)) {
			s->hit = u;
			break;
		}
	}
	return rc;
}

/* Nothing here: the next unit, or the next group, which is a unit of the level above. */
static void go_on(const struct next_job *j, struct seek *s, bool whole_group)
{
	int64_t next = s->at + j->direction;

	if (whole_group || next < 0 || next >> VZI_FANOUT_SHIFT != s->at >> VZI_FANOUT_SHIFT) {
		next = (s->at >> VZI_FANOUT_SHIFT) + j->direction;
		s->level++;
	}
	s->at = next;
	s->state = LOOKING;
	if (next < 0 || next >= units(j, s, s->level) || s->level > VZQ_SUMMARY_LEVELS)
		s->state = NONE;
}

/* What the group said. */
static void decide(const struct next_job *j, struct seek *s)
{
	int64_t n;

	if (s->hit < 0) {
		go_on(j, s, true);
		return;
	}
	s->at = s->hit;
	s->hit = -1;
	if (!s->level) {
		s->state = READING;
		return;
	}
	s->level--;
	n = units(j, s, s->level);
	s->at <<= VZI_FANOUT_SHIFT;
	if (j->direction < 0)
		s->at = s->at + GROUP <= n ? s->at + GROUP - 1 : n - 1;
}

static int plan_seek(struct next_job *j, struct seek *s, uint32_t i)
{
	struct vzq_item item = { .kind = VZQ_WANT_BLOCK, .tag = TAG_BLOCK, .arg = i };
	uint32_t planned = j->job.nitems;
	int rc = 0;

	while (rc == 0 && j->job.nitems == planned &&
	       (s->state == LOOKING || s->state == READING)) {
		if (!may_be_better(j, s)) {
			s->state = NONE;
		} else if (s->state == READING) {
			item.id = j->job.q->tracks[s->track].first_block + (uint32_t)s->at;
			item.more = (uint32_t)s->at;
			rc = vzq_job_plan(&j->job, &item);
		} else {
			rc = plan_group(j, s, i);
			if (!s->asked)
				decide(j, s);
		}
	}
	return rc;
}

/* ---- what comes ---- */

static void take_summary(struct next_job *j, struct seek *s, const struct vzq_item *item,
			 const uint8_t *p, size_t n, int *rc)
{
	int found;

	if (s->hit >= 0 && (item->more < s->hit) != (j->direction > 0))
		return; /* a nearer one has it */
	found = vzq_set_in_summary(&j->fns, &j->job.q->tiles[item->id], p, n, NULL);
	if (found < 0)
		*rc = found;
	if (found)
		s->hit = item->more;
}

struct reading {
	struct next_job *j;
	struct seek *s;
	uint32_t known; /* frames that the block began with, yet to be told */
	uint64_t limit; /* those of them that began before did not begin in it */
	bool found;
};

static int on_enter(void *ctx, const struct vz_visit *at)
{
	struct reading *r = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	uint64_t ns = vzq_since(r->j->job.q, at->ns);

	if (r->known) {
		r->known--;
		if (ns < r->limit)
			return 0;
	}
	if ((frame->symbol & ENTRY_MASK) == VZ_ENTRY_OPEN ||
	    !vzq_set_has(&r->j->fns, frame->symbol >> VZ_SYMBOL_SHIFT))
		return 0;
	if (r->j->direction > 0 ? r->found || ns < r->j->bound : ns >= r->j->bound)
		return 0;
	r->found = true;
	r->s->slice = (struct vzq_slice){
		.start = (double)ns,
		.end = VZQ_UNRESOLVED,
		.track = r->s->track,
		.depth = at->depth - 1,
		.fn = frame->symbol >> VZ_SYMBOL_SHIFT,
		.how = frame->symbol & ENTRY_MASK,
	};
	return 0;
}

static int on_leave(void *ctx, const struct vz_visit *at)
{
	struct reading *r = ctx;
	struct vzq_slice *s = &r->s->slice;

	/* Calls nest: the first one that is left at this depth is it. */
	if (r->found && s->end < 0 && s->depth == at->depth - 1) {
		s->end = (double)vzq_since(r->j->job.q, at->ns);
		s->how |= (uint32_t)at->how << VZI_HOW_LEAVE_SHIFT;
	}
	return 0;
}

static int take_block(struct next_job *j, struct seek *s, const struct vzq_item *item,
		      const uint8_t *p, size_t n)
{
	static const struct vz_visitor visitor = { .enter = on_enter, .leave = on_leave };
	const struct vzi_block *b = &j->job.q->blocks[item->id];
	struct vz_line line = { 0 };
	struct reading reading = { .j = j, .s = s, .limit = UINT64_MAX };
	const struct vzq_scan scan = { &line, &visitor, &reading, &reading.known };
	int rc;

	if (vzq_readable_before(j->job.q, s->track, item->more) == VZQ_NO_BLOCK)
		reading.limit = 0;
	else if (b->flags & VZI_BLOCK_AFTER_HOLE)
		reading.limit = b->from_ns;
	rc = vzq_scan(j->job.q, item, p, n, &scan);
	vz_line_fini(&j->job.q->steps, &line);
	s->block = item->more;
	if (reading.found)
		s->state = FOUND;
	else
		go_on(j, s, false);
	return rc;
}

static int next_take(struct vzq_job *job, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	struct next_job *j = (struct next_job *)job;
	struct seek *s;
	int rc = 0;

	if (j->step != SEEK)
		return vzq_resolve_take(&j->resolve, item, p, n);
	s = &j->seeks[item->arg];
	if (item->tag == TAG_BLOCK)
		return take_block(j, s, item, p, n);
	take_summary(j, s, item, p, n, &rc);
	return rc;
}

/* ---- the job ---- */

static int plan_seeks(struct next_job *j)
{
	int rc = 0;

	for (uint32_t i = 0; i < j->nseeks && rc == 0; i++) {
		struct seek *s = &j->seeks[i];

		if (s->asked)
			decide(j, s);
		s->asked = false;
		rc = plan_seek(j, s, i);
	}
	return rc;
}

/* The nearest of all tracks; its end may have to be looked for. */
static int choose(struct next_job *j)
{
	struct vzq_result *r = &j->job.result;
	const struct seek *best = NULL;

	for (uint32_t i = 0; i < j->nseeks; i++) {
		const struct seek *s = &j->seeks[i];

		if (s->state == FOUND &&
		    (!best || (j->direction > 0 ? s->slice.start < best->slice.start
						: s->slice.start > best->slice.start)))
			best = s;
	}
	if (!best)
		return 0;
	r->slices = malloc(sizeof(*r->slices));
	if (!r->slices)
		return -ENOMEM;
	r->slices[r->nslices++] = best->slice;
	return vzq_resolve_init(&j->resolve, j->job.q, best->block, r->slices, 1);
}

static int next_next(struct vzq_job *job)
{
	struct next_job *j = (struct next_job *)job;
	int rc = 0;

	if (j->step == SEEK) {
		rc = plan_seeks(j);
		if (rc < 0 || job->nitems)
			return rc;
		j->step = RESOLVE;
		rc = choose(j);
	}
	if (rc == 0 && j->resolve.npending)
		rc = vzq_resolve_plan(&j->resolve, job);
	if (!job->nitems)
		job->result.bad += j->resolve.unknown;
	return rc;
}

static void next_fini(struct vzq_job *job)
{
	struct next_job *j = (struct next_job *)job;

	vzq_set_fini(&j->fns);
	vzq_resolve_fini(&j->resolve);
	free(j->seeks);
}

static void begin_seek(const struct next_job *j, struct seek *s, uint32_t track)
{
	const struct vzq *q = j->job.q;
	uint32_t i = vzq_begun(q, track, j->bound);

	while (j->direction > 0 && i > 0 && vzq_last_event(q, track, i - 1) >= j->bound)
		i--;
	*s = (struct seek){ .track = track,
			    .hit = -1,
			    .at = j->direction > 0 ? i : i - INT64_C(1) };
	if (s->at < 0 || s->at >= q->tracks[track].nblocks)
		s->state = NONE;
}

static int next_init(struct next_job *j, const struct vzq_fns *fns, const uint32_t *tracks,
		     uint32_t ntracks)
{
	struct vzq_tracks t;
	int rc = vzq_tracks_init(j->job.q, &t, tracks, ntracks);

	if (rc == 0)
		rc = vzq_set_init(&j->fns, fns);
	if (rc == 0)
		j->seeks = calloc(t.n + 1u, sizeof(*j->seeks));
	if (rc == 0 && !j->seeks)
		rc = -ENOMEM;
	for (uint32_t i = 0; i < t.n && rc == 0; i++)
		begin_seek(j, &j->seeks[j->nseeks++], t.p[i]);
	vzq_tracks_fini(&t);
	return rc;
}

struct vzq_job *vzq_next(struct vzq *q, const struct vzq_fns *fns, double from, int direction,
			 const uint32_t *tracks, uint32_t ntracks)
{
	struct next_job *j = vzq_job_new(q, sizeof(*j));

	if (!j)
		return NULL;
	j->job.next = next_next;
	j->job.take = next_take;
	j->job.fini = next_fini;
	j->direction = direction < 0 ? -1 : 1;
	j->bound = vzq_ns(from);
	if (j->direction > 0 && from >= 0 && (double)j->bound <= from)
		j->bound++;
	if (next_init(j, fns, tracks, ntracks) < 0) {
		vzq_job_free(&j->job);
		return NULL;
	}
	return &j->job;
}
