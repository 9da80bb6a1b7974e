/* SPDX-License-Identifier: MIT */
/*
 * Any directory, tiles and blocks of events are taken by all queries without a crash, a leak or a
 * hang.
 *
 *   uint32_t bytes of the directory, the directory, the rest
 *
 * A tile is where the directory says, counted in the rest; a block of events where its .number
 * says.  What is not wholly there cannot be had.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	MAX_GIVEN =
		20000, /* for one question; a directory that makes it need more is no small one */
	MAX_WANT = 16,
	MAX_TILES = 256,
};

struct host {
	struct vzq *q;
	const uint8_t *rest;
	size_t n;
};

static const uint8_t *part(const struct host *h, uint64_t at, uint64_t n)
{
	return at <= h->n && n <= h->n - at ? h->rest + at : NULL;
}

static const uint8_t *find(const struct host *h, const struct vzq_want *want, size_t *n)
{
	if (want->kind == VZQ_WANT_TILE) {
		const struct vzi_tile *tile = vzq_tile(h->q, want->id);

		*n = tile->bytes;
		return part(h, tile->offset, tile->bytes);
	}
	*n = vzq_block(h->q, want->id)->raw_bytes;
	return part(h, vzq_block(h->q, want->id)->number, *n);
}

static void run(const struct host *h, struct vzq_job *job)
{
	struct vzq_want want[MAX_WANT];
	uint32_t n;
	int left = MAX_GIVEN;

	if (!job)
		abort();
	while (left > 0 && (n = vzq_job_want(job, want, MAX_WANT)) > 0)
		for (uint32_t i = 0; i < n; i++, left--) {
			size_t bytes = 0;
			const uint8_t *p = find(h, &want[i], &bytes);

			vzq_job_give(job, p, bytes);
		}
	if (left > 0 && !vzq_job_result(job))
		abort();
	vzq_job_free(job);
}

static void ask_about_ranges(const struct host *h, double from, double to)
{
	const uint32_t tracks[] = { 0, 2, 7 };
	const struct vzq_range all = { from, to, NULL, 0 }, some = { from, to, tracks, 3 };

	run(h, vzq_aggregate(h->q, &all, true));
	run(h, vzq_butterfly(h->q, &all, 1));
	run(h, vzq_butterfly(h->q, &some, UINT32_MAX));
	run(h, vzq_aggregate(h->q, &some, true));
	run(h, vzq_histogram(h->q, &all, 2));
	run(h, vzq_slowest(h->q, &all, 1, 5, 0, INFINITY));
	run(h, vzq_slowest(h->q, &some, 0, 3, 100, 10000));
}

static void ask_about_slice(const struct host *h, const struct vzq_slice *s)
{
	const struct vzq_ref ref = { s->start, s->track, s->depth, s->fn };

	run(h, vzq_details(h->q, &ref));
	for (enum vzq_relation which = VZQ_PARENT; which <= VZQ_AFTER; which++)
		run(h, vzq_relative(h->q, &ref, which));
}

static void ask_about_calls(const struct host *h, double from)
{
	const uint32_t fn[] = { 0, 1, 2, 3, 1000000, UINT32_MAX };
	const struct vzq_fns fns = { fn, 6 };
	struct vzq_slice s = { .start = from };

	run(h, vzq_next(h->q, &fns, from, 1, NULL, 0));
	run(h, vzq_next(h->q, &fns, from, -1, NULL, 0));
	run(h, vzq_marks(h->q, &fns, 100));
	for (s.track = 0; s.track < 2; s.track++)
		for (s.depth = 0; s.depth < 3; s.depth++) {
			run(h, vzq_at(h->q, s.track, from, s.depth));
			ask_about_slice(h, &s);
		}
}

static void look(const struct host *h, double from, double to, double resolution)
{
	static struct vzq_view_tile tiles[MAX_TILES];
	const uint32_t tracks[] = { 0, 1, 2, UINT32_MAX };
	const struct vzq_view view = { from, to, resolution, tracks, 4 };
	uint32_t n = vzq_plan(h->q, &view, tiles, MAX_TILES);

	for (uint32_t i = 0; i < n && i < MAX_TILES; i++) {
		struct vzt_records records;
		struct vzq_want want = { VZQ_WANT_TILE, (uint32_t)tiles[i].id };
		const uint8_t *p;
		size_t bytes;

		if (tiles[i].kind == VZQ_FINE) {
			run(h, vzq_fine(h->q, tiles[i].track,
					(uint32_t)(tiles[i].t0 / (1 << VZQ_WINDOW_SHIFT))));
			continue;
		}
		p = find(h, &want, &bytes);
		if (vzq_records(h->q, want.id, p, bytes, &records) == 0) {
			if (records.n)
				ask_about_slice(
					h, &(struct vzq_slice){ records.start[0], records.end[0],
								tiles[i].track, records.depth[0],
								records.fn[0], records.how[0] });
			vzt_records_fini(&records);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host h = { 0 };
	uint32_t bytes;
	double duration;

	if (size < sizeof(bytes))
		return 0;
	memcpy(&bytes, data, sizeof(bytes));
	if (bytes > size - sizeof(bytes))
		return 0;
	if (vzq_open(data + sizeof(bytes), bytes, &h.q) < 0)
		return 0;
	h.rest = data + sizeof(bytes) + bytes;
	h.n = size - sizeof(bytes) - bytes;
	duration = (double)vzq_directory(h.q)->duration_ns;
	ask_about_ranges(&h, 0, duration);
	ask_about_ranges(&h, duration / 3, duration / 2);
	ask_about_calls(&h, duration / 4);
	look(&h, 0, duration, duration / 100);
	look(&h, duration / 3, duration / 3 + 1e6, 100);
	for (uint32_t i = 0; i < 4; i++) {
		run(&h, vzq_gaps(h.q, i));
		run(&h, vzq_samples(h.q, i, 0, duration, duration / 100));
	}
	vzq_free(h.q);
	return 0;
}
