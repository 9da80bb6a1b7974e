/* SPDX-License-Identifier: MIT */
/*
 * Records in order of track and time, in bounded memory.
 *
 * A full buffer is sorted and written to a file without a name, as one run: segments by
 * track.  At the end the segments of one track are merged at a time, so what follows
 * holds one track in memory, and the order of tracks is free.
 *
 * At the same time come first those that take no time, in order of the file (who reads
 * the records finds out what they are in), then the longest, which hold the others.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/import/import_priv.h"

enum {
	RECORDS = 1 << 19,
	RECORDS_MIN = 16,
	DIGIT_BITS = 11,
	DIGITS = 1 << DIGIT_BITS,
	KEY_BITS = 64,
	MERGE_BYTES = 32 << 20, /* for the buffers of all segments together */
	CURSOR_MIN = 64,        /* records */
	CURSOR_MAX = 8192,
	RUNS_MAX = 1 << 20,
};

struct key {
	uint64_t key;
	uint32_t at, pad;
};

/* Records of one track in one run. */
struct segment {
	uint64_t first, n; /* record in the file, or in memory */
	uint32_t track, run;
};

/* Where the merge is in one segment. */
struct cursor {
	struct vz_rec *p;
	uint32_t at, n, cap;
	uint64_t next, left; /* in the file */
};

struct vz_sort {
	int fd;
	const char *path;
	struct vz_rec *recs;
	struct key *keys, *spare;
	uint32_t n, cap, max_track;
	uint64_t min_start, max_start;
	uint64_t written; /* records in the file */
	struct segment *segments;
	uint32_t nsegments, segments_cap, nruns;
	bool callees_first, decided;
	bool (*decide)(void *ctx);
	void *ctx;
	struct cursor *cursors, **heap;
	uint32_t ncursors, cursors_cap, nheap;
};

struct vz_sort *vz_sort_new(const char *path, uint32_t records)
{
	struct vz_sort *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->fd = -1;
	s->path = path;
	s->cap = !records ? RECORDS : records < RECORDS_MIN ? RECORDS_MIN : records;
	s->recs = reallocarray(NULL, s->cap, sizeof(*s->recs));
	s->keys = reallocarray(NULL, s->cap, sizeof(*s->keys));
	s->spare = reallocarray(NULL, s->cap, sizeof(*s->spare));
	s->min_start = UINT64_MAX;
	if (!s->recs || !s->keys || !s->spare) {
		vz_sort_free(s);
		return NULL;
	}
	return s;
}

static void free_cursors(struct vz_sort *s)
{
	for (uint32_t i = 0; i < s->cursors_cap; i++)
		free(s->cursors[i].p);
	free(s->cursors);
	free(s->heap);
}

void vz_sort_free(struct vz_sort *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free_cursors(s);
	free(s->recs);
	free(s->keys);
	free(s->spare);
	free(s->segments);
	free(s);
}

void vz_sort_order(struct vz_sort *s, bool (*callees_first)(void *ctx), void *ctx)
{
	s->decide = callees_first;
	s->ctx = ctx;
}

/* ---- the order ---- */

static uint64_t end_of(const struct vz_rec *r)
{
	return (r->what & VZ_REC_KIND) == VZ_REC_CALL ? r->end : r->start;
}

/* Both are of one track. */
static int compare(const struct vz_sort *s, const struct vz_rec *a, const struct vz_rec *b)
{
	uint64_t a_end, b_end;
	bool a_point, b_point;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	a_end = end_of(a);
	b_end = end_of(b);
	a_point = a_end == a->start;
	b_point = b_end == b->start;
	if (a_point != b_point)
		return a_point ? -1 : 1;
	if (a_end != b_end)
		return a_end > b_end ? -1 : 1;
	if (a->seq == b->seq)
		return 0;
	return (a->seq < b->seq) == (a_point || !s->callees_first) ? -1 : 1;
}

static int compare_keys(const void *a, const void *b, void *ctx)
{
	const struct vz_sort *s = ctx;
	const struct vz_rec *x = &s->recs[((const struct key *)a)->at];
	const struct vz_rec *y = &s->recs[((const struct key *)b)->at];

	if (x->track != y->track)
		return x->track < y->track ? -1 : 1;
	return compare(s, x, y);
}

/* ---- one run ---- */

static unsigned bits_of(uint64_t v)
{
	return v ? (unsigned)KEY_BITS - (unsigned)__builtin_clzll(v) : 0;
}

/* By 11 bits of the key; order is kept where they are equal.  Keys that all have the same stay. */
static void sort_digit(struct vz_sort *s, unsigned shift)
{
	uint32_t count[DIGITS] = { 0 }, sum = 0;
	struct key *other = s->spare;

	for (uint32_t i = 0; i < s->n; i++)
		count[s->keys[i].key >> shift & (DIGITS - 1)]++;
	if (count[s->keys[0].key >> shift & (DIGITS - 1)] == s->n)
		return;
	for (uint32_t i = 0; i < DIGITS; i++) {
		uint32_t n = count[i];

		count[i] = sum;
		sum += n;
	}
	for (uint32_t i = 0; i < s->n; i++)
		other[count[s->keys[i].key >> shift & (DIGITS - 1)]++] = s->keys[i];
	s->spare = s->keys;
	s->keys = other;
}

static void sort_ties(struct vz_sort *s)
{
	for (uint32_t i = 0, end; i < s->n; i = end) {
		for (end = i + 1; end < s->n && s->keys[end].key == s->keys[i].key;)
			end++;
		if (end - i > 1)
			qsort_r(&s->keys[i], end - i, sizeof(*s->keys), compare_keys, s);
	}
}

static void sort_run(struct vz_sort *s)
{
	unsigned time_bits = bits_of(s->max_start - s->min_start);
	unsigned bits = time_bits + bits_of(s->max_track);

	if (!s->decided && s->decide)
		s->callees_first = s->decide(s->ctx);
	s->decided = true;
	for (uint32_t i = 0; i < s->n; i++) {
		const struct vz_rec *r = &s->recs[i];

		s->keys[i] = (struct key){ r->start - s->min_start, i, 0 };
		if (time_bits < KEY_BITS)
			s->keys[i].key |= (uint64_t)r->track << time_bits;
	}
	if (bits > KEY_BITS) {
		qsort_r(s->keys, s->n, sizeof(*s->keys), compare_keys, s);
		return;
	}
	for (unsigned shift = 0; shift < bits && s->n; shift += DIGIT_BITS)
		sort_digit(s, shift);
	sort_ties(s);
}

static int note_segments(struct vz_sort *s, uint64_t first)
{
	for (uint32_t i = 0, end; i < s->n; i = end) {
		uint32_t track = s->recs[s->keys[i].at].track;

		for (end = i + 1; end < s->n && s->recs[s->keys[end].at].track == track;)
			end++;
		if (s->nsegments == s->segments_cap) {
			uint32_t cap = s->segments_cap ? s->segments_cap * 2 : RECORDS_MIN;
			struct segment *bigger = reallocarray(s->segments, cap, sizeof(*bigger));

			if (!bigger)
				return -ENOMEM;
			s->segments = bigger;
			s->segments_cap = cap;
		}
		s->segments[s->nsegments++] =
			(struct segment){ first + i, end - i, track, s->nruns };
	}
	s->nruns++;
	return 0;
}

static int write_records(struct vz_sort *s, const struct vz_rec *p, uint32_t n)
{
	const uint8_t *from = (const uint8_t *)p;
	size_t left = n * sizeof(*p);
	off_t at = (off_t)(s->written * sizeof(*p));

	while (left) {
		ssize_t done = pwrite(s->fd, from, left, at);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			from += done;
			at += done;
			left -= (size_t)done;
		}
	}
	s->written += n;
	return 0;
}

/* The records in order; the spare keys are where they are gathered. */
static int write_run(struct vz_sort *s)
{
	struct vz_rec *out = (struct vz_rec *)(void *)s->spare;
	uint32_t room = (uint32_t)(s->cap * sizeof(*s->spare) / sizeof(*out)), used = 0;
	int rc = 0;

	for (uint32_t i = 0; i < s->n && rc == 0; i++) {
		out[used++] = s->recs[s->keys[i].at];
		if (used == room || i + 1 == s->n) {
			rc = write_records(s, out, used);
			used = 0;
		}
	}
	return rc;
}

static int spill(struct vz_sort *s)
{
	int rc;

	if (s->fd < 0) {
		s->fd = vz_spill_file(s->path);
		if (s->fd < 0)
			return s->fd;
	}
	if (s->nruns >= RUNS_MAX)
		return -EFBIG;
	sort_run(s);
	rc = note_segments(s, s->written);
	if (rc == 0)
		rc = write_run(s);
	s->n = 0;
	s->min_start = UINT64_MAX;
	s->max_start = 0;
	return rc;
}

int vz_sort_add(struct vz_sort *s, const struct vz_rec *rec)
{
	int rc = s->n == s->cap ? spill(s) : 0;

	if (rc < 0)
		return rc;
	s->recs[s->n++] = *rec;
	if (rec->start < s->min_start)
		s->min_start = rec->start;
	if (rec->start > s->max_start)
		s->max_start = rec->start;
	if (rec->track > s->max_track)
		s->max_track = rec->track;
	return 0;
}

/* ---- merging ---- */

static int compare_segments(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	if (x->track != y->track)
		return x->track < y->track ? -1 : 1;
	return x->run < y->run ? -1 : x->run > y->run;
}

int vz_sort_finish(struct vz_sort *s)
{
	int rc = 0;

	if (s->nruns) {
		rc = s->n ? spill(s) : 0;
		free(s->recs);
		free(s->keys);
		free(s->spare);
		s->recs = NULL;
		s->keys = s->spare = NULL;
	} else {
		sort_run(s);
		rc = note_segments(s, 0);
	}
	if (s->nsegments)
		qsort(s->segments, s->nsegments, sizeof(*s->segments), compare_segments);
	return rc;
}

static int fill(struct vz_sort *s, struct cursor *c)
{
	size_t want = c->left < c->cap ? c->left : c->cap, got = 0;
	size_t bytes = want * sizeof(*c->p);

	while (got < bytes) {
		ssize_t n = pread(s->fd, (uint8_t *)c->p + got, bytes - got,
				  (off_t)(c->next * sizeof(*c->p) + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		got += (size_t)n;
	}
	c->at = 0;
	c->n = (uint32_t)want;
	c->next += want;
	c->left -= want;
	return 0;
}

static bool before(const struct vz_sort *s, const struct cursor *a, const struct cursor *b)
{
	return compare(s, &a->p[a->at], &b->p[b->at]) < 0;
}

static void sift_down(struct vz_sort *s, uint32_t i)
{
	struct cursor *c = s->heap[i];

	for (uint32_t child; (child = 2 * i + 1) < s->nheap; i = child) {
		if (child + 1 < s->nheap && before(s, s->heap[child + 1], s->heap[child]))
			child++;
		if (!before(s, s->heap[child], c))
			break;
		s->heap[i] = s->heap[child];
	}
	s->heap[i] = c;
}

static int cursors_room(struct vz_sort *s, uint32_t n)
{
	struct cursor **heap;
	struct cursor *cursors;

	if (n <= s->cursors_cap)
		return 0;
	heap = reallocarray(s->heap, n, sizeof(*heap));
	if (heap)
		s->heap = heap;
	cursors = heap ? reallocarray(s->cursors, n, sizeof(*cursors)) : NULL;
	if (!cursors)
		return -ENOMEM;
	memset(cursors + s->cursors_cap, 0, (n - s->cursors_cap) * sizeof(*cursors));
	s->cursors = cursors;
	s->cursors_cap = n;
	return 0;
}

static int open_cursor(struct vz_sort *s, struct cursor *c, const struct segment *seg, uint32_t cap)
{
	if (c->cap < cap) {
		free(c->p);
		c->p = reallocarray(NULL, cap, sizeof(*c->p));
		c->cap = c->p ? cap : 0;
		if (!c->p)
			return -ENOMEM;
	}
	c->next = seg->first;
	c->left = seg->n;
	return fill(s, c);
}

static uint32_t first_segment(const struct vz_sort *s, uint32_t track)
{
	uint32_t lo = 0, hi = s->nsegments;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (s->segments[mid].track < track)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* All is in memory: a single cursor counts keys. */
static int open_memory(struct vz_sort *s, const struct segment *seg, uint32_t n)
{
	int rc = cursors_room(s, 1);

	if (rc < 0)
		return rc;
	s->cursors[0].next = n ? seg->first : 0;
	s->cursors[0].left = n ? seg->n : 0;
	return 0;
}

int vz_sort_track(struct vz_sort *s, uint32_t track)
{
	uint32_t first = first_segment(s, track), n = 0, cap;
	int rc;

	while (first + n < s->nsegments && s->segments[first + n].track == track)
		n++;
	s->nheap = 0;
	if (s->recs)
		return open_memory(s, n ? &s->segments[first] : NULL, n);
	/* The same room for all, so that it serves the next track as well. */
	cap = (uint32_t)(MERGE_BYTES / sizeof(struct vz_rec)) / (s->nruns ? s->nruns : 1);
	cap = cap < CURSOR_MIN ? CURSOR_MIN : cap > CURSOR_MAX ? CURSOR_MAX : cap;
	rc = cursors_room(s, n);
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		rc = open_cursor(s, &s->cursors[i], &s->segments[first + i], cap);
		s->heap[s->nheap++] = &s->cursors[i];
	}
	for (uint32_t i = s->nheap / 2; rc == 0 && i-- > 0;)
		sift_down(s, i);
	return rc;
}

int vz_sort_next(struct vz_sort *s, struct vz_rec *ret)
{
	struct cursor *c;
	int rc = 0;

	if (s->recs) {
		c = s->cursors;
		if (!c->left)
			return 0;
		c->left--;
		*ret = s->recs[s->keys[c->next++].at];
		return 1;
	}
	if (!s->nheap)
		return 0;
	c = s->heap[0];
	*ret = c->p[c->at++];
	if (c->at == c->n && c->left)
		rc = fill(s, c);
	if (rc == 0 && c->at == c->n)
		s->heap[0] = s->heap[--s->nheap];
	if (rc == 0 && s->nheap)
		sift_down(s, 0);
	return rc < 0 ? rc : 1;
}
