/* SPDX-License-Identifier: MIT */
#include "viewer/core/tile_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIRST_BYTES = 4096,
	FIRST_RECORDS = 64, /* VZI_TILE_RECORDS is this times a power of 4 */
	MOVES = 8,          /* of a record, on average, to put them in order */
	DEPTH_MAX = 65535,  /* of a tile: deeper is this */
};

int vz_bytes_room(struct vz_bytes *b, size_t more)
{
	size_t cap = b->cap ? b->cap : FIRST_BYTES;
	uint8_t *bigger;

	if (b->cap - b->n >= more)
		return 0;
	while (cap - b->n < more)
		cap *= 2;
	bigger = realloc(b->p, cap);
	if (!bigger)
		return -ENOMEM;
	b->p = bigger;
	b->cap = cap;
	return 0;
}

void vz_tile_writer_fini(struct vz_tile_writer *w)
{
	free(w->bytes.p);
	free(w->spare);
	w->bytes = (struct vz_bytes){ 0 };
	w->spare = NULL;
}

int vz_tile_send(struct vz_tile_writer *w, struct vzi_tile *tile)
{
	int rc = vz_bytes_room(&w->bytes, 1); /* so that there is a place, even of nothing */

	if (rc < 0)
		return rc;
	tile->track = w->track;
	tile->bytes = (uint32_t)w->bytes.n;
	w->bytes.n = 0;
	return w->sink.tile(w->sink.ctx, tile, w->bytes.p);
}

/* ---- order ---- */

static inline int before(const struct vz_record *a, const struct vz_record *b)
{
	return a->start != b->start ? a->start < b->start : a->depth < b->depth;
}

/* Where what is in order from AT on ends. */
static uint32_t run_end(const struct vz_record *p, uint32_t at, uint32_t n)
{
	for (at++; at < n && !before(&p[at], &p[at - 1]); at++)
		;
	return at;
}

static void merge(const struct vz_record *a, uint32_t na, const struct vz_record *b, uint32_t nb,
		  struct vz_record *to)
{
	while (na && nb) {
		if (before(b, a)) {
			*to++ = *b++;
			nb--;
		} else {
			*to++ = *a++;
			na--;
		}
	}
	memcpy(to, a, na * sizeof(*a));
	memcpy(to + na, b, nb * sizeof(*b));
}

/* By insertion, as long as it takes few moves; how many records are in order then. */
static uint32_t insert(struct vz_record *p, uint32_t n)
{
	uint32_t moves = n * MOVES;

	for (uint32_t i = 1; i < n; i++) {
		const struct vz_record r = p[i];
		uint32_t at = i;

		while (at > 0 && before(&r, &p[at - 1])) {
			p[at] = p[at - 1];
			at--;
		}
		p[at] = r;
		if (i - at > moves)
			return i + 1;
		moves -= i - at;
	}
	return n;
}

/*
 * Records come in order of their end, so that they are nearly in order, mostly; what
 * is not is merged, run by run.  SPARE has room for as many.
 */
static void sort(struct vz_record *p, uint32_t n, struct vz_record *spare)
{
	struct vz_record *from = p, *to = spare, *swap;

	if (insert(p, n) == n)
		return;
	while (run_end(from, 0, n) < n) {
		for (uint32_t at = 0; at < n;) {
			uint32_t middle = run_end(from, at, n);
			uint32_t end = middle < n ? run_end(from, middle, n) : n;

			merge(from + at, middle - at, from + middle, end - middle, to + at);
			at = end;
		}
		swap = from;
		from = to;
		to = swap;
	}
	if (from != p)
		memcpy(p, from, n * sizeof(*p));
}

/* ---- columns ---- */

static uint8_t *put_starts(uint8_t *p, const struct vz_record *r, uint32_t n)
{
	uint64_t last = r[0].start;

	for (uint32_t i = 0; i < n; i++) {
		p = vz_put_varint(p, r[i].start - last);
		last = r[i].start;
	}
	return p;
}

static uint8_t *put_column(uint8_t *p, const struct vz_record *r, uint32_t n, int column,
			   enum vzi_kind kind)
{
	switch (column) {
	case 0:
		return put_starts(p, r, n);
	case 1:
		for (uint32_t i = 0; i < n; i++)
			p = vz_put_varint(p, r[i].length);
		return p;
	case 2:
		for (uint32_t i = 0; i < n; i++)
			p = vz_put_varint(p, r[i].depth);
		return p;
	case 3:
		for (uint32_t i = 0; i < n; i++)
			p = vz_put_varint(p, r[i].function);
		return p;
	default:
		for (uint32_t i = 0; i < n; i++)
			if (kind == VZI_SLICES)
				*p++ = (uint8_t)r[i].last;
			else
				p = vz_put_varint(p, r[i].last);
		return p;
	}
}

_Static_assert(VZI_SLICE_COLUMNS == VZI_RUN_COLUMNS, "written by the same functions");

static void put_columns(struct vz_tile_writer *w, const struct vz_records *records,
			enum vzi_kind kind)
{
	uint8_t *p = w->bytes.p + VZI_SLICE_COLUMNS * sizeof(uint32_t);

	for (int i = 0; i < VZI_SLICE_COLUMNS; i++) {
		uint8_t *end = put_column(p, records->p, records->n, i, kind);
		uint32_t bytes = (uint32_t)(end - p);

		memcpy(w->bytes.p + (size_t)i * sizeof(bytes), &bytes, sizeof(bytes));
		p = end;
	}
	w->bytes.n = (size_t)(p - w->bytes.p);
}

static uint16_t short_depth(uint32_t depth)
{
	return depth < DEPTH_MAX ? (uint16_t)depth : DEPTH_MAX;
}

/* The extent of the records, which are in order. */
static void measure(const struct vz_records *records, struct vzi_tile *tile)
{
	uint32_t least = UINT32_MAX, most = 0;

	tile->t0_ns = records->p[0].start;
	tile->t1_ns = tile->t0_ns;
	for (uint32_t i = 0; i < records->n; i++) {
		const struct vz_record *r = &records->p[i];

		if (r->start + r->length > tile->t1_ns)
			tile->t1_ns = r->start + r->length;
		if (r->depth < least)
			least = r->depth;
		if (r->depth > most)
			most = r->depth;
	}
	tile->min_depth = short_depth(least);
	tile->max_depth = short_depth(most);
}

int vz_records_flush(struct vz_tile_writer *w, struct vz_records *records, enum vzi_kind kind,
		     unsigned level)
{
	struct vzi_tile tile = {
		.kind = (uint8_t)kind,
		.level = (uint8_t)level,
		.count = records->n,
	};
	int rc;

	if (!records->n)
		return 0;
	rc = vz_bytes_room(&w->bytes, (sizeof(uint32_t) + (size_t)records->n * VZ_VARINT_MAX) *
					      VZI_SLICE_COLUMNS);
	if (rc < 0)
		return rc;
	if (!w->spare)
		w->spare = malloc(VZI_TILE_RECORDS * sizeof(*w->spare));
	if (!w->spare)
		return -ENOMEM;
	sort(records->p, records->n, w->spare);
	measure(records, &tile);
	put_columns(w, records, kind);
	records->n = 0;
	return vz_tile_send(w, &tile);
}

static int more_records(struct vz_records *records)
{
	uint32_t cap = records->cap ? records->cap * 4 : FIRST_RECORDS;
	struct vz_record *bigger = realloc(records->p, cap * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	records->p = bigger;
	records->cap = cap;
	return 0;
}

int vz_records_add(struct vz_tile_writer *w, struct vz_records *records, enum vzi_kind kind,
		   unsigned level, const struct vz_record *record)
{
	int rc = records->n == records->cap ? more_records(records) : 0;

	if (rc < 0)
		return rc;
	records->p[records->n++] = *record;
	return records->n == VZI_TILE_RECORDS ? vz_records_flush(w, records, kind, level) : 0;
}
