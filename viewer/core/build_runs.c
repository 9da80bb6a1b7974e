/* SPDX-License-Identifier: MIT */
/*
 * build_runs.c - SLICES and RUNS.
 *
 * Level l merges, at each depth, items in order of time; with r = VZI_FINE_NS * 4^l:
 *   - items of level 0 are the calls shorter than VZI_FINE_NS; those of level l + 1 are the
 *     runs of level l and the calls of class l;
 *   - a run takes the next item if the gap between them is shorter than r, no call of class l
 *     or more ended between them, and it is not longer than 4 r then;
 *   - else it is closed, and the item begins a new one.
 * So each call of a class below l is in exactly one run of level l, and at one depth there is
 * not more than one run for each 2 r on average.  A level with r longer than the whole trace
 * is left out, as it would only show it as less than a pixel; there is always level 0.
 *
 * A run that nothing can join any more is closed by a sweep, or else tiles would reach far
 * back in time.  This does not change what is merged: whatever is added to level l at the
 * time NOW did not start before NOW - 2 r.  For a call this is since it is shorter than r;
 * for a run of level l - 1, since it is no longer than r and was swept if it ended
 * 3/4 r ago.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/build_priv.h"

enum {
	FIRST_DEPTHS = 64,
	SWEEP_SHIFT = 3,  /* a sweep of a level each 8 r */
	SWEEP_AGE = 3,    /* closes what ended 3 r ago */
	LENGTH_SHIFT = 2, /* a run is not longer than 4 r */
};

static uint64_t resolution(unsigned level)
{
	return (uint64_t)VZI_FINE_NS << (2 * level);
}

void vz_runs_init(struct vz_runs *runs, uint64_t duration_ns)
{
	*runs = (struct vz_runs){ .sweep_ns = (uint64_t)VZI_FINE_NS << SWEEP_SHIFT };
	for (int i = 0; i < VZI_LEVELS; i++)
		runs->levels[i].first = runs->levels[i].last = VZ_BUILD_NONE;
	for (runs->nlevels = 1; runs->nlevels < VZI_LEVELS; runs->nlevels++)
		if (resolution(runs->nlevels) > duration_ns)
			break;
}

void vz_runs_fini(struct vz_runs *runs)
{
	for (int i = 0; i < VZI_LEVELS; i++) {
		free(runs->levels[i].at);
		free(runs->levels[i].records.p);
		free(runs->slices[i].p);
	}
	vz_runs_init(runs, 0);
}

static int have_depth(struct vz_run_level *l, uint32_t depth)
{
	uint32_t cap = l->cap ? l->cap : FIRST_DEPTHS;
	struct vz_run *bigger;

	while (cap <= depth)
		cap *= 2;
	bigger = realloc(l->at, cap * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger + l->cap, 0, (cap - l->cap) * sizeof(*bigger));
	l->at = bigger;
	l->cap = cap;
	return 0;
}

static void link_run(struct vz_run_level *l, uint32_t depth)
{
	l->at[depth].previous = l->last;
	l->at[depth].next = VZ_BUILD_NONE;
	if (l->last == VZ_BUILD_NONE)
		l->first = depth;
	else
		l->at[l->last].next = depth;
	l->last = depth;
}

static void unlink_run(struct vz_run_level *l, const struct vz_run *run)
{
	if (run->previous == VZ_BUILD_NONE)
		l->first = run->next;
	else
		l->at[run->previous].next = run->next;
	if (run->next == VZ_BUILD_NONE)
		l->last = run->previous;
	else
		l->at[run->next].previous = run->previous;
}

static int add_item(struct vz_runs *runs, struct vz_tile_writer *w, unsigned level, uint32_t depth,
		    const struct vz_run *item);

/* Write the run that is open there; it is an item of the level above. */
static int close_run(struct vz_runs *runs, struct vz_tile_writer *w, unsigned level, uint32_t depth)
{
	struct vz_run_level *l = &runs->levels[level];
	const struct vz_run run = l->at[depth];
	const struct vz_record record = {
		.start = run.start,
		.length = run.end - run.start,
		.depth = depth,
		.function = run.function,
		.last = run.count,
	};
	int rc;

	unlink_run(l, &run);
	l->at[depth].count = 0;
	rc = vz_records_add(w, &l->records, VZI_RUNS, level, &record);
	if (rc == 0 && level + 1 < runs->nlevels)
		rc = add_item(runs, w, level + 1, depth, &run);
	return rc;
}

/* What is too deep to be drawn by itself may not come in order. */
static bool joins(const struct vz_run *run, const struct vz_run *item, uint64_t r)
{
	uint64_t gap = item->start > run->end ? item->start - run->end : 0;

	return gap < r && item->end - run->start <= r << LENGTH_SHIFT;
}

static void join(struct vz_run *run, const struct vz_run *item)
{
	run->start = item->start < run->start ? item->start : run->start;
	run->end = item->end;
	run->count = run->count + item->count >= run->count ? run->count + item->count : UINT32_MAX;
	if (item->longest > run->longest) {
		run->longest = item->longest;
		run->function = item->function;
	}
}

static int add_item(struct vz_runs *runs, struct vz_tile_writer *w, unsigned level, uint32_t depth,
		    const struct vz_run *item)
{
	struct vz_run_level *l = &runs->levels[level];
	struct vz_run *run;
	int rc = depth < l->cap ? 0 : have_depth(l, depth);

	if (rc < 0)
		return rc;
	run = &l->at[depth];
	if (run->count && joins(run, item, resolution(level))) {
		join(run, item);
		return 0;
	}
	if (run->count)
		rc = close_run(runs, w, level, depth);
	*run = *item;
	link_run(l, depth);
	return rc;
}

/* A call that is drawn by itself: nothing of its class or below is merged across it. */
static int add_slice(struct vz_runs *runs, struct vz_tile_writer *w, const struct vz_record *call,
		     const struct vz_run *item)
{
	unsigned class = vzi_class(call->length);
	int rc = vz_records_add(w, &runs->slices[class], VZI_SLICES, class, call);

	for (unsigned level = 0; level <= class && level < runs->nlevels && rc == 0; level++) {
		const struct vz_run_level *l = &runs->levels[level];

		if (call->depth < l->cap && l->at[call->depth].count)
			rc = close_run(runs, w, level, call->depth);
	}
	if (rc == 0 && class + 1 < runs->nlevels)
		rc = add_item(runs, w, class + 1, call->depth, item);
	return rc;
}

int vz_runs_add(struct vz_runs *runs, struct vz_tile_writer *w, const struct vz_record *call)
{
	const struct vz_run item = {
		.start = call->start,
		.end = call->start + call->length,
		.longest = call->length,
		.function = call->function,
		.count = 1,
	};
	unsigned leave = call->last >> VZI_HOW_LEAVE_SHIFT;

	if (call->length >= VZI_FINE_NS || leave == VZ_LEFT_GAP || leave == VZ_LEFT_OPEN)
		return add_slice(runs, w, call, &item);
	return add_item(runs, w, 0, call->depth, &item);
}

static int sweep_level(struct vz_runs *runs, struct vz_tile_writer *w, unsigned level, uint64_t now)
{
	const struct vz_run_level *l = &runs->levels[level];
	uint64_t age = resolution(level) * SWEEP_AGE;
	int rc = 0;

	for (uint32_t depth = l->first, next; depth != VZ_BUILD_NONE && rc == 0; depth = next) {
		next = l->at[depth].next;
		if (l->at[depth].end + age < now)
			rc = close_run(runs, w, level, depth);
	}
	return rc;
}

int vz_runs_sweep(struct vz_runs *runs, struct vz_tile_writer *w, uint64_t now)
{
	uint64_t sweep = now >> (VZI_FINE_SHIFT + SWEEP_SHIFT);
	uint64_t changed = sweep ^ runs->last_sweep;
	int rc = 0;

	for (unsigned level = 0; level < runs->nlevels && changed >> (2 * level) && rc == 0;
	     level++)
		rc = sweep_level(runs, w, level, now);
	runs->last_sweep = sweep;
	runs->sweep_ns = (sweep + 1) << (VZI_FINE_SHIFT + SWEEP_SHIFT);
	return rc;
}

int vz_runs_end(struct vz_runs *runs, struct vz_tile_writer *w)
{
	int rc = 0;

	for (unsigned level = 0; level < runs->nlevels && rc == 0; level++)
		while (runs->levels[level].first != VZ_BUILD_NONE && rc == 0)
			rc = close_run(runs, w, level, runs->levels[level].first);
	for (unsigned i = 0; i < VZI_LEVELS && rc == 0; i++) {
		rc = vz_records_flush(w, &runs->slices[i], VZI_SLICES, i);
		if (rc == 0)
			rc = vz_records_flush(w, &runs->levels[i].records, VZI_RUNS, i);
	}
	return rc;
}
