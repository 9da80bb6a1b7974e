/* SPDX-License-Identifier: MIT */
/*
 * build_funcs.c - FUNCS: rows of one block, and their sums over 16, 256 ... blocks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/build_priv.h"

enum {
	FIRST = 64,
	ROW_VARINTS = 11, /* without the pairs */
};

void vz_funcs_fini(struct vz_funcs *f)
{
	free(f->now);
	free(f->starts);
	free(f->set.words);
	free(f->stays);
	free(f->buckets);
	for (int i = 0; i <= VZ_BUILD_LEVELS; i++) {
		free(f->levels[i].sums);
		free(f->levels[i].set.words);
		free(f->levels[i].spreads);
	}
	*f = (struct vz_funcs){ 0 };
}

int vz_funcs_grow(struct vz_funcs *f, uint32_t function)
{
	uint32_t cap = f->cap ? f->cap : FIRST;
	struct vz_func_now *bigger;
	uint32_t *starts;

	while (cap <= function)
		cap *= 2;
	starts = realloc(f->starts, cap * sizeof(*starts));
	if (!starts)
		return -ENOMEM;
	f->starts = starts;
	bigger = realloc(f->now, cap * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger + f->cap, 0, (cap - f->cap) * sizeof(*bigger));
	f->now = bigger;
	f->cap = cap;
	return vz_set_room(&f->set, cap);
}

int vz_funcs_more_stays(struct vz_funcs *f)
{
	uint32_t cap = f->stays_cap ? f->stays_cap * 2 : FIRST;
	struct vz_stay *bigger = realloc(f->stays, cap * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	f->stays = bigger;
	f->stays_cap = cap;
	return 0;
}

/* ---- rows ---- */

/* A row but for its pairs; there is room. */
static uint8_t *put_row(uint8_t *p, uint64_t function, const struct vz_func_sum *s)
{
	p = vz_put_varint(p, function);
	p = vz_put_varint(p, s->calls);
	p = vz_put_varint(p, s->resumes);
	p = vz_put_varint(p, s->self);
	p = vz_put_varint(p, s->total);
	p = vz_put_varint(p, s->seen);
	p = vz_put_varint(p, s->sum);
	p = vz_put_varint(p, s->max);
	p = vz_put_varint(p, s->raised);
	return vz_put_varint(p, s->partial);
}

static void add_sum(struct vz_func_sum *to, const struct vz_func_sum *s)
{
	to->calls += s->calls;
	to->resumes += s->resumes;
	to->seen += s->seen;
	to->raised += s->raised;
	to->partial += s->partial;
	to->self += s->self;
	to->total += s->total;
	to->sum += s->sum;
	to->max = s->max > to->max ? s->max : to->max;
}

/* Durations of one function, by bucket, in order. */
struct pairs {
	uint32_t n;
	uint32_t bucket[VZI_BUCKETS];
	uint64_t count[VZI_BUCKETS];
};

static uint8_t *put_pairs(uint8_t *p, const struct pairs *pairs)
{
	uint32_t last = 0;

	p = vz_put_varint(p, pairs->n);
	for (uint32_t i = 0; i < pairs->n; i++) {
		p = vz_put_varint(p, pairs->bucket[i] - last);
		p = vz_put_varint(p, pairs->count[i]);
		last = pairs->bucket[i];
	}
	return p;
}

/* One row of a tile under way. */
static int put(struct vz_bytes *bytes, uint32_t delta, const struct vz_func_sum *sum,
	       const struct pairs *pairs)
{
	int rc = vz_bytes_room(bytes, (ROW_VARINTS + 2 * (size_t)pairs->n) * VZ_VARINT_MAX);
	uint8_t *p;

	if (rc < 0)
		return rc;
	p = put_row(bytes->p + bytes->n, delta, sum);
	p = put_pairs(p, pairs);
	bytes->n = (size_t)(p - bytes->p);
	return 0;
}

/* ---- more than one block ---- */

static int have_level(struct vz_func_level *l, uint32_t cap)
{
	struct vz_func_sum *bigger;

	if (cap <= l->cap)
		return 0;
	bigger = realloc(l->sums, cap * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	for (uint32_t i = l->cap; i < cap; i++)
		bigger[i] = (struct vz_func_sum){ .spread = VZ_BUILD_NONE };
	l->sums = bigger;
	l->cap = cap;
	return vz_set_room(&l->set, cap);
}

static int have_spreads(struct vz_func_level *l, uint32_t more)
{
	uint32_t cap = l->spreads_cap ? l->spreads_cap : FIRST;
	struct vz_spread *bigger;

	if (l->spreads_cap - l->nspreads >= more)
		return 0;
	while (cap - l->nspreads < more)
		cap *= 2;
	bigger = realloc(l->spreads, cap * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	l->spreads = bigger;
	l->spreads_cap = cap;
	return 0;
}

/* Add PAIRS to the list that begins at *LINK; there is room. */
static void add_pairs(struct vz_func_level *l, uint32_t *link, const struct pairs *pairs)
{
	for (uint32_t i = 0; i < pairs->n; i++) {
		while (*link != VZ_BUILD_NONE && l->spreads[*link].bucket < pairs->bucket[i])
			link = &l->spreads[*link].next;
		if (*link != VZ_BUILD_NONE && l->spreads[*link].bucket == pairs->bucket[i]) {
			l->spreads[*link].count += pairs->count[i];
			continue;
		}
		l->spreads[l->nspreads] = (struct vz_spread){
			.count = pairs->count[i],
			.bucket = pairs->bucket[i],
			.next = *link,
		};
		*link = l->nspreads++;
	}
}

static int add_up(struct vz_func_level *l, uint32_t function, const struct vz_func_sum *sum,
		  const struct pairs *pairs)
{
	int rc = have_spreads(l, pairs->n);

	if (rc < 0)
		return rc;
	vz_set_add(&l->set, function);
	add_sum(&l->sums[function], sum);
	add_pairs(l, &l->sums[function].spread, pairs);
	return 0;
}

static void collect(const struct vz_func_level *l, uint32_t at, struct pairs *pairs)
{
	pairs->n = 0;
	for (; at != VZ_BUILD_NONE; at = l->spreads[at].next) {
		pairs->bucket[pairs->n] = l->spreads[at].bucket;
		pairs->count[pairs->n++] = l->spreads[at].count;
	}
}

int vz_funcs_flush(struct vz_funcs *f, struct vz_tile_writer *w, struct vzi_tile *tile)
{
	struct vz_func_level *l = &f->levels[tile->level];
	struct vz_func_level *up = l + 1;
	uint32_t next = 0;
	struct pairs pairs;
	int rc = have_level(up, l->cap);

	for (uint32_t i = vz_set_next(&l->set, 0); i != VZ_BUILD_NONE;
	     i = vz_set_next(&l->set, i + 1)) {
		struct vz_func_sum *sum = &l->sums[i];

		collect(l, sum->spread, &pairs);
		if (rc == 0)
			rc = put(&w->bytes, i - next, sum, &pairs);
		if (rc == 0)
			rc = add_up(up, i, sum, &pairs);
		*sum = (struct vz_func_sum){ .spread = VZ_BUILD_NONE };
		next = i + 1;
		tile->count++;
	}
	vz_set_clear(&l->set);
	l->nspreads = 0;
	return rc < 0 ? rc : vz_tile_send(w, tile);
}

/* ---- one block ---- */

static int have_buckets(struct vz_funcs *f)
{
	uint32_t cap = f->stays_cap ? f->stays_cap : FIRST;
	uint16_t *bigger;

	if (cap <= f->buckets_cap)
		return 0;
	bigger = realloc(f->buckets, cap * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	f->buckets = bigger;
	f->buckets_cap = cap;
	return 0;
}

/* Stays came in order of time: put their buckets in order of functions, from .starts on. */
static int sort_stays(struct vz_funcs *f)
{
	uint32_t n = 0;
	int rc = have_buckets(f);

	if (rc < 0)
		return rc;
	for (uint32_t i = vz_set_next(&f->set, 0); i != VZ_BUILD_NONE;
	     i = vz_set_next(&f->set, i + 1)) {
		f->starts[i] = n;
		n += f->now[i].seen;
	}
	for (uint32_t i = 0; i < f->nstays; i++)
		f->buckets[f->starts[f->stays[i].function]++] = (uint16_t)f->stays[i].bucket;
	f->nstays = 0;
	return 0;
}

/* Count the N buckets; COUNTS is all 0 before and after. */
static void count_pairs(const uint16_t *buckets, uint32_t n, uint32_t *counts, struct pairs *pairs)
{
	uint32_t least = VZI_BUCKETS, most = 0;

	for (uint32_t i = 0; i < n; i++) {
		counts[buckets[i]]++;
		least = buckets[i] < least ? buckets[i] : least;
		most = buckets[i] > most ? buckets[i] : most;
	}
	pairs->n = 0;
	for (uint32_t bucket = least; bucket <= most; bucket++) {
		if (!counts[bucket])
			continue;
		pairs->bucket[pairs->n] = bucket;
		pairs->count[pairs->n++] = counts[bucket];
		counts[bucket] = 0;
	}
}

/* What NOW says, which begins again. */
static struct vz_func_sum take(struct vz_func_now *now)
{
	const struct vz_func_sum sum = {
		.calls = now->calls,
		.resumes = now->resumes,
		.seen = now->seen,
		.raised = now->raised,
		.partial = now->partial,
		.self = now->self,
		.total = now->total,
		.sum = now->sum,
		.max = now->max,
	};

	*now = (struct vz_func_now){ .active = now->active, .since = now->since };
	return sum;
}

static bool is_nothing(const struct vz_func_sum *s)
{
	return !(s->calls | s->resumes | s->seen | s->raised | s->partial | s->self | s->total);
}

int vz_funcs_block(struct vz_funcs *f, struct vz_tile_writer *w, struct vzi_tile *tile)
{
	uint32_t counts[VZI_BUCKETS] = { 0 }, next = 0;
	struct vz_func_level *up = &f->levels[1];
	struct pairs pairs;
	int rc = have_level(up, f->cap);

	if (rc == 0)
		rc = sort_stays(f);
	for (uint32_t i = vz_set_next(&f->set, 0); i != VZ_BUILD_NONE;
	     i = vz_set_next(&f->set, i + 1)) {
		const struct vz_func_sum sum = take(&f->now[i]);

		if (rc < 0 || is_nothing(&sum))
			continue;
		count_pairs(f->buckets + f->starts[i] - sum.seen, (uint32_t)sum.seen, counts,
			    &pairs);
		rc = put(&w->bytes, i - next, &sum, &pairs);
		if (rc == 0)
			rc = add_up(up, i, &sum, &pairs);
		next = i + 1;
		tile->count++;
	}
	vz_set_clear(&f->set);
	return rc < 0 ? rc : vz_tile_send(w, tile);
}
