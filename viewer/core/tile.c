/* SPDX-License-Identifier: MIT */
#include "viewer/core/tile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/varint.h"

enum {
	MAX_COLUMNS = 5,
	MAX_FUNCTION = 1 << 20, /* VZ_MAX_FUNCTIONS */
	MAX_DEPTH = UINT16_MAX,
};

/* The last time that is exact in a double. */
#define MAX_NS (UINT64_C(1) << 53)

struct column {
	const uint8_t *p, *end;
};

int vzt_records_init(struct vzt_records *r, uint32_t n)
{
	size_t each = 2 * sizeof(double) + 2 * sizeof(uint32_t) + sizeof(uint16_t) + 1;

	*r = (struct vzt_records){ 0 };
	if (n > VZT_MAX_RECORDS)
		return -EBADMSG;
	r->start = malloc(n ? n * each : 1);
	if (!r->start)
		return -ENOMEM;
	r->n = n;
	r->end = r->start + n;
	r->fn = (uint32_t *)(void *)(r->end + n);
	r->count = r->fn + n;
	r->depth = (uint16_t *)(void *)(r->count + n);
	r->how = (uint8_t *)(r->depth + n);
	return 0;
}

void vzt_records_fini(struct vzt_records *r)
{
	free(r->start);
	*r = (struct vzt_records){ 0 };
}

void vzt_samples_fini(struct vzt_samples *s)
{
	free(s->t);
	*s = (struct vzt_samples){ 0 };
}

int vzt_samples_init(struct vzt_samples *s, uint32_t n)
{
	*s = (struct vzt_samples){ 0 };
	if (n > VZT_MAX_RECORDS)
		return -EBADMSG;
	s->t = malloc(n ? n * 4 * sizeof(double) : 1);
	if (!s->t)
		return -ENOMEM;
	s->n = n;
	s->min = s->t + n;
	s->max = s->min + n;
	s->last = s->max + n;
	return 0;
}

void vzt_samples_copy(struct vzt_samples *to, uint32_t at, const struct vzt_samples *from)
{
	size_t bytes = from->n * sizeof(double);

	if (!bytes)
		return;
	memcpy(to->t + at, from->t, bytes);
	memcpy(to->min + at, from->min, bytes);
	memcpy(to->max + at, from->max, bytes);
	memcpy(to->last + at, from->last, bytes);
}

/* Where the columns are; they must fill the tile to the last byte. */
static bool split(const uint8_t *p, size_t n, struct column *columns, unsigned ncolumns)
{
	const uint8_t *at;

	if (!p || n < ncolumns * sizeof(uint32_t))
		return false;
	at = p + ncolumns * sizeof(uint32_t);
	for (unsigned i = 0; i < ncolumns; i++) {
		uint32_t bytes;

		memcpy(&bytes, p + i * sizeof(bytes), sizeof(bytes));
		if (bytes > (size_t)(p + n - at))
			return false;
		columns[i] = (struct column){ at, at + bytes };
		at += bytes;
	}
	return at == p + n;
}

static bool all_read(const struct column *columns, unsigned ncolumns)
{
	for (unsigned i = 0; i < ncolumns; i++)
		if (columns[i].p != columns[i].end)
			return false;
	return true;
}

static inline bool get(struct column *c, uint64_t *ret)
{
	return vz_get_varint(&c->p, c->end, ret);
}

/* Times of the records: column 0 and 1. */
static bool read_times(const struct vzi_tile *tile, struct column *columns, struct vzt_records *r)
{
	uint64_t ns = tile->t0_ns, delta, length;

	for (uint32_t i = 0; i < r->n; i++) {
		if (!get(&columns[0], &delta) || !get(&columns[1], &length) || delta > MAX_NS ||
		    length > MAX_NS)
			return false;
		ns += delta;
		if (ns > MAX_NS || ns + length > MAX_NS)
			return false;
		r->start[i] = (double)ns;
		r->end[i] = (double)(ns + length);
	}
	return true;
}

static bool read_depths(struct column *c, struct vzt_records *r)
{
	uint64_t v;

	for (uint32_t i = 0; i < r->n; i++) {
		if (!get(c, &v))
			return false;
		r->depth[i] = v < MAX_DEPTH ? (uint16_t)v : MAX_DEPTH;
	}
	return true;
}

static bool read_functions(struct column *c, struct vzt_records *r)
{
	uint64_t v;

	for (uint32_t i = 0; i < r->n; i++) {
		if (!get(c, &v) || v >= MAX_FUNCTION)
			return false;
		r->fn[i] = (uint32_t)v;
	}
	return true;
}

static bool read_counts(struct column *c, struct vzt_records *r)
{
	uint64_t v;

	for (uint32_t i = 0; i < r->n; i++) {
		if (!get(c, &v))
			return false;
		r->count[i] = v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
	}
	return true;
}

static bool read_hows(struct column *c, struct vzt_records *r)
{
	if ((size_t)(c->end - c->p) < r->n)
		return false;
	if (r->n)
		memcpy(r->how, c->p, r->n);
	c->p += r->n;
	return true;
}

static bool decode_slices(const struct vzi_tile *tile, struct column *columns,
			  struct vzt_records *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		r->count[i] = 1;
	return read_times(tile, columns, r) && read_depths(&columns[2], r) &&
	       read_functions(&columns[3], r) && read_hows(&columns[4], r);
}

static bool decode_runs(const struct vzi_tile *tile, struct column *columns, struct vzt_records *r)
{
	if (r->n)
		memset(r->how, 0, r->n);
	return read_times(tile, columns, r) && read_depths(&columns[2], r) &&
	       read_functions(&columns[3], r) && read_counts(&columns[4], r);
}

static bool decode_gaps(const struct vzi_tile *tile, struct column *columns, struct vzt_records *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		r->depth[i] = 0;
		r->fn[i] = 0;
		r->how[i] = 0;
	}
	return read_times(tile, columns, r) && read_counts(&columns[2], r);
}

int vzt_decode(const struct vzi_tile *tile, const uint8_t *p, size_t n, struct vzt_records *ret)
{
	/* clang-format off */
	static const struct {
		unsigned ncolumns;
		bool (*decode)(const struct vzi_tile *, struct column *, struct vzt_records *);
	} kinds[] = {
		[VZI_SLICES] = { VZI_SLICE_COLUMNS, decode_slices },
		[VZI_RUNS]   = { VZI_RUN_COLUMNS,   decode_runs },
		[VZI_GAPS]   = { VZI_GAP_COLUMNS,   decode_gaps },
	};
	/* clang-format on */
	struct column columns[MAX_COLUMNS];
	int rc;

	if (tile->kind >= sizeof(kinds) / sizeof(kinds[0]) || !kinds[tile->kind].decode ||
	    !split(p, n, columns, kinds[tile->kind].ncolumns) || tile->count > n)
		return -EBADMSG;
	rc = vzt_records_init(ret, tile->count);
	if (rc < 0)
		return rc;
	if (kinds[tile->kind].decode(tile, columns, ret) &&
	    all_read(columns, kinds[tile->kind].ncolumns))
		return 0;
	vzt_records_fini(ret);
	return -EBADMSG;
}

static bool read_samples(const struct vzi_tile *tile, struct column *columns, struct vzt_samples *s)
{
	double *const values[] = { s->min, s->max, s->last };
	uint64_t ns = tile->t0_ns, delta;

	for (uint32_t i = 0; i < s->n; i++) {
		if (!get(&columns[0], &delta) || delta > MAX_NS || ns + delta > MAX_NS)
			return false;
		ns += delta;
		s->t[i] = (double)ns;
	}
	for (int k = 0; k < 3; k++) {
		struct column *c = &columns[k + 1];

		if ((size_t)(c->end - c->p) != s->n * sizeof(double))
			return false;
		if (s->n)
			memcpy(values[k], c->p, s->n * sizeof(double));
		c->p = c->end;
	}
	return all_read(columns, VZI_SAMPLE_COLUMNS);
}

int vzt_decode_samples(const struct vzi_tile *tile, const uint8_t *p, size_t n,
		       struct vzt_samples *ret)
{
	struct column columns[MAX_COLUMNS];
	int rc;

	if (tile->kind != VZI_SAMPLES || !split(p, n, columns, VZI_SAMPLE_COLUMNS) ||
	    tile->count > n)
		return -EBADMSG;
	rc = vzt_samples_init(ret, tile->count);
	if (rc < 0)
		return rc;
	if (read_samples(tile, columns, ret))
		return 0;
	vzt_samples_fini(ret);
	return -EBADMSG;
}

/* ---- rows ---- */

void vzt_rows(struct vzt_cursor *c, const struct vzi_tile *tile, const uint8_t *p, size_t n)
{
	*c = (struct vzt_cursor){ .p = p, .end = p ? p + n : p, .left = tile->count };
	if (!p && tile->count == 0)
		c->left = 1; /* what could not be had is not an empty tile */
}

static inline bool row_get(struct vzt_cursor *c, uint64_t *ret)
{
	return vz_get_varint(&c->p, c->end, ret);
}

/* The number that rows are sorted by, below LIMIT; 1, 0 or -EBADMSG as vzt_next_function(). */
static inline int next_key(struct vzt_cursor *c, uint32_t limit, uint32_t *ret)
{
	uint64_t delta;

	if (!c->left)
		return c->p == c->end ? 0 : -EBADMSG;
	c->left--;
	if (!row_get(c, &delta) || delta >= limit || c->key + delta >= limit)
		return -EBADMSG;
	*ret = c->key + (uint32_t)delta;
	c->key = *ret + 1;
	return 1;
}

int vzt_next_function(struct vzt_cursor *c, struct vzt_function *ret)
{
	int rc = next_key(c, MAX_FUNCTION, &ret->function);
	uint64_t nbuckets;

	if (rc != 1)
		return rc;
	if (!row_get(c, &ret->calls) || !row_get(c, &ret->resumes) || !row_get(c, &ret->self_ns) ||
	    !row_get(c, &ret->total_ns) || !row_get(c, &ret->seen) || !row_get(c, &ret->sum_ns) ||
	    !row_get(c, &ret->max_ns) || !row_get(c, &ret->raised) || !row_get(c, &ret->partial) ||
	    !row_get(c, &nbuckets) || nbuckets > VZI_BUCKETS)
		return -EBADMSG;
	ret->nbuckets = (uint32_t)nbuckets;
	return 1;
}

int vzt_bucket(struct vzt_cursor *c, uint32_t *bucket, uint64_t *count)
{
	bool first = *bucket == UINT32_MAX;
	uint64_t delta;

	if (!row_get(c, &delta) || !row_get(c, count) || delta >= VZI_BUCKETS ||
	    (!first && delta == 0))
		return -EBADMSG;
	*bucket = (first ? 0 : *bucket) + (uint32_t)delta;
	return *bucket < VZI_BUCKETS ? 0 : -EBADMSG;
}

int vzt_next_path(struct vzt_cursor *c, struct vzt_path *ret)
{
	int rc = next_key(c, VZI_MAX_NODES, &ret->node);

	if (rc != 1)
		return rc;
	return row_get(c, &ret->calls) && row_get(c, &ret->resumes) && row_get(c, &ret->self_ns) &&
			       row_get(c, &ret->other_ns)
		       ? 1
		       : -EBADMSG;
}

int vzt_next_node(struct vzt_cursor *c, uint32_t *up, uint32_t *function)
{
	uint64_t v, f;

	if (!c->left)
		return c->p == c->end ? 0 : -EBADMSG;
	c->left--;
	if (!row_get(c, &v) || !row_get(c, &f) || v > VZI_MAX_NODES || f >= MAX_FUNCTION)
		return -EBADMSG;
	*up = (uint32_t)v;
	*function = (uint32_t)f;
	return 1;
}
