/* SPDX-License-Identifier: MIT */
#include "viewer/core/query_sums.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIRST_FUNCTIONS = 256,
	FIRST_OCTAVES = 64,
};

void vzq_table_fini(struct vzq_table *t)
{
	free(t->f);
	free(t->octaves);
	free(t->counts);
	*t = (struct vzq_table){ 0 };
}

int vzq_table_room(struct vzq_table *t, uint32_t fn)
{
	uint32_t n = t->n ? t->n : FIRST_FUNCTIONS;
	struct vzq_fsum *bigger;

	if (fn < t->n)
		return 0;
	while (n <= fn)
		n *= 2;
	bigger = realloc(t->f, n * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger + t->n, 0, (n - t->n) * sizeof(*bigger));
	t->f = bigger;
	t->n = n;
	return 0;
}

/* Room for one more of SIZE bytes in *P. */
static int more(void **p, uint32_t n, uint32_t *cap, size_t size)
{
	uint32_t bigger_cap = *cap ? *cap * 2 : FIRST_OCTAVES;
	void *bigger;

	if (n < *cap)
		return 0;
	bigger = realloc(*p, bigger_cap * size);
	if (!bigger)
		return -ENOMEM;
	*p = bigger;
	*cap = bigger_cap;
	return 0;
}

static int new_octaves(struct vzq_table *t, struct vzq_fsum *f)
{
	void *p = t->octaves;
	int rc = more(&p, t->noctaves, &t->octaves_cap, sizeof(*t->octaves));

	t->octaves = p;
	if (rc < 0)
		return rc;
	memset(t->octaves[t->noctaves], 0, sizeof(*t->octaves));
	f->spread = ++t->noctaves;
	return 0;
}

static int new_counts(struct vzq_table *t, uint32_t *octave)
{
	void *p = t->counts;
	int rc = more(&p, t->ncounts, &t->counts_cap, sizeof(*t->counts));

	t->counts = p;
	if (rc < 0)
		return rc;
	memset(t->counts[t->ncounts], 0, sizeof(*t->counts));
	*octave = ++t->ncounts;
	return 0;
}

int vzq_table_count(struct vzq_table *t, uint32_t fn, uint32_t bucket, uint64_t n)
{
	struct vzq_fsum *f = &t->f[fn];
	uint32_t *octave;

	if (!f->spread && new_octaves(t, f) < 0)
		return -ENOMEM;
	octave = &t->octaves[f->spread - 1][bucket / VZQ_OCTAVE];
	if (!*octave && new_counts(t, octave) < 0)
		return -ENOMEM;
	t->counts[*octave - 1][bucket % VZQ_OCTAVE] += n;
	return 0;
}

uint64_t vzq_table_counted(const struct vzq_table *t, uint32_t fn, uint32_t bucket)
{
	uint32_t octave;

	if (fn >= t->n || !t->f[fn].spread)
		return 0;
	octave = t->octaves[t->f[fn].spread - 1][bucket / VZQ_OCTAVE];
	return octave ? t->counts[octave - 1][bucket % VZQ_OCTAVE] : 0;
}

/* ---- summaries ---- */

/* Whether the tile can be read to its end. */
static int check(struct vzt_cursor c)
{
	struct vzt_function row;
	uint64_t count;
	int rc;

	while ((rc = vzt_next_function(&c, &row)) == 1) {
		uint32_t bucket = UINT32_MAX;

		for (uint32_t i = 0; i < row.nbuckets; i++)
			if (vzt_bucket(&c, &bucket, &count) < 0)
				return -EBADMSG;
	}
	return rc;
}

static void add_row(struct vzq_fsum *f, const struct vzt_function *row)
{
	f->calls += row->calls;
	f->resumes += row->resumes;
	f->self_ns += row->self_ns;
	f->total_ns += row->total_ns;
	f->seen += row->seen;
	f->sum_ns += row->sum_ns;
	f->raised += row->raised;
	f->partial += row->partial;
	if (row->max_ns > f->max_ns)
		f->max_ns = row->max_ns;
}

int vzq_table_add(struct vzq_table *t, const struct vzi_tile *tile, const uint8_t *p, size_t n)
{
	struct vzt_function row;
	struct vzt_cursor c;
	uint64_t count;
	int rc;

	vzt_rows(&c, tile, p, n);
	rc = check(c);
	while (rc >= 0 && (rc = vzt_next_function(&c, &row)) == 1) {
		uint32_t bucket = UINT32_MAX;

		rc = vzq_table_room(t, row.function);
		if (rc == 0)
			add_row(&t->f[row.function], &row);
		for (uint32_t i = 0; i < row.nbuckets && rc == 0; i++) {
			vzt_bucket(&c, &bucket, &count);
			rc = vzq_table_count(t, row.function, bucket, count);
		}
	}
	return rc;
}

/* ---- the table for the page ---- */

static int rows_init(struct vzq_rows *r, uint32_t n)
{
	enum {
		COLUMNS = 11,
	};
	double **const columns[COLUMNS] = {
		&r->calls, &r->resumes, &r->total, &r->self,   &r->seen,    &r->mean,
		&r->max,   &r->p50,     &r->p99,   &r->raised, &r->partial,
	};
	double *p = calloc(n + 1u, COLUMNS * sizeof(*p) + sizeof(uint32_t));

	if (!p)
		return -ENOMEM;
	r->n = n;
	for (int i = 0; i < COLUMNS; i++)
		*columns[i] = p + (size_t)i * n;
	r->fn = (uint32_t *)(void *)(p + (size_t)COLUMNS * n);
	return 0;
}

static bool occurs(const struct vzq_fsum *f)
{
	return f->calls || f->resumes || f->total_ns || f->self_ns || f->seen || f->raised ||
	       f->partial;
}

/* At least PERCENT of the stays seen lasted no longer than this. */
static uint64_t percentile(const struct vzq_table *t, uint32_t fn, unsigned percent)
{
	const struct vzq_fsum *f = &t->f[fn];
	uint64_t before = 0, last;

	for (uint32_t i = 0; i < VZI_BUCKETS; i++) {
		before += vzq_table_counted(t, fn, i);
		if (before < f->seen - f->seen / 100 * (100 - percent) -
				     f->seen % 100 * (100 - percent) / 100)
			continue;
		last = i + 1 < VZI_BUCKETS ? vzi_bucket_ns(i + 1) - 1 : UINT64_MAX;
		return last < f->max_ns ? last : f->max_ns;
	}
	return f->max_ns;
}

static void set_row(const struct vzq_table *t, uint32_t fn, struct vzq_rows *r, uint32_t i)
{
	const struct vzq_fsum *f = &t->f[fn];

	r->fn[i] = fn;
	r->calls[i] = (double)f->calls;
	r->resumes[i] = (double)f->resumes;
	r->total[i] = (double)f->total_ns;
	r->self[i] = (double)f->self_ns;
	r->seen[i] = (double)f->seen;
	r->mean[i] = f->seen ? (double)f->sum_ns / (double)f->seen : 0;
	r->max[i] = (double)f->max_ns;
	r->p50[i] = f->seen ? (double)percentile(t, fn, 50) : 0;
	r->p99[i] = f->seen ? (double)percentile(t, fn, 99) : 0;
	r->raised[i] = (double)f->raised;
	r->partial[i] = (double)f->partial;
}

int vzq_table_rows(const struct vzq_table *t, struct vzq_rows *ret)
{
	uint32_t n = 0;
	int rc;

	for (uint32_t i = 0; i < t->n; i++)
		n += occurs(&t->f[i]);
	rc = rows_init(ret, n);
	if (rc < 0)
		return rc;
	n = 0;
	for (uint32_t i = 0; i < t->n; i++)
		if (occurs(&t->f[i]))
			set_row(t, i, ret, n++);
	return 0;
}
