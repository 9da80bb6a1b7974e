/* SPDX-License-Identifier: MIT */
/*
 * A counter at all resolutions: each sample where there is room, else what they have in common.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/build.h"
#include "viewer/core/directory.h"
#include "viewer/core/query.h"

enum {
	SAMPLES = 100000,
	BLOCK = 1000, /* samples */
	ZERO_NS = 5000,
	STEP_NS = 1000,
	MAX_TILES = 256,
};

struct counter {
	struct vz_directory *directory;
	uint8_t *tiles[MAX_TILES];
	uint32_t ntiles;
	double *values;
	uint64_t *times; /* since ZERO_NS */
	uint64_t seed;
	struct vzq *q;
};

static uint64_t roll(struct counter *c, uint64_t below)
{
	c->seed = c->seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (c->seed >> 33) % below;
}

static int take_tile(void *ctx, const struct vzi_tile *tile, const uint8_t *bytes)
{
	struct counter *c = ctx;
	struct vzi_tile placed = *tile;

	cr_assert_lt(c->ntiles, MAX_TILES);
	placed.offset = c->ntiles * 8u;
	c->tiles[c->ntiles] = malloc(tile->bytes + 1u);
	memcpy(c->tiles[c->ntiles++], bytes, tile->bytes);
	return vz_directory_tile(c->directory, &placed);
}

static void feed(struct counter *c, struct vz_build *b, uint32_t from)
{
	uint8_t raw[BLOCK * (sizeof(double) + 10)], *p = raw;
	uint64_t last = c->times[from];
	struct vz_block head = { .type = VZ_BLOCK_SAMPLES, .count = BLOCK };

	head.t0_ns = c->times[from] + ZERO_NS;
	head.t1_ns = c->times[from + BLOCK - 1] + ZERO_NS;
	for (uint32_t i = from; i < from + BLOCK; i++) {
		uint64_t delta = c->times[i] - last;

		for (; delta >= 0x80; delta >>= 7)
			*p++ = (uint8_t)(delta | 0x80);
		*p++ = (uint8_t)delta;
		last = c->times[i];
	}
	memcpy(p, c->values + from, BLOCK * sizeof(double));
	p += BLOCK * sizeof(double);
	head.raw_bytes = (uint32_t)(p - raw);
	cr_assert_eq(vz_build_samples(b, &head, raw), 0);
}

static void open_counter(struct counter *c)
{
	struct vz_build_options options = {
		.zero_ns = ZERO_NS,
		.duration_ns = (uint64_t)SAMPLES * STEP_NS * 2,
		.begin_ns = ZERO_NS,
		.sink = { take_tile, c },
	};
	const struct vzi_directory head = { .duration_ns = options.duration_ns };
	struct vz_build *b;
	uint8_t *blob;
	size_t bytes;

	c->directory = vz_directory_new(1);
	c->values = calloc(SAMPLES, sizeof(*c->values));
	c->times = calloc(SAMPLES, sizeof(*c->times));
	for (uint32_t i = 0; i < SAMPLES; i++) {
		c->times[i] = (i ? c->times[i - 1] : 0) + 1 + roll(c, STEP_NS);
		c->values[i] = (double)roll(c, 1000000) / 7 - 1000;
	}
	options.end_ns = ZERO_NS + c->times[SAMPLES - 1];
	cr_assert_eq(vz_build_new(&options, &b), 0);
	for (uint32_t i = 0; i < SAMPLES; i += BLOCK)
		feed(c, b, i);
	cr_assert_eq(vz_build_end(b), 0);
	cr_assert_eq(vz_directory_track(c->directory, 0, vz_build_track(b), NULL, 0,
					vz_build_density(b)),
		     0);
	vz_build_free(b);
	cr_assert_eq(vz_directory_finish(c->directory, &head, &blob, &bytes), 0);
	vz_directory_free(c->directory);
	cr_assert_eq(vzq_open(blob, bytes, &c->q), 0);
	free(blob);
}

static void close_counter(struct counter *c)
{
	vzq_free(c->q);
	for (uint32_t i = 0; i < c->ntiles; i++)
		free(c->tiles[i]);
	free(c->values);
	free(c->times);
}

static struct vzq_job *ask(const struct counter *c, double from, double to, double resolution)
{
	struct vzq_job *job = vzq_samples(c->q, 0, from, to, resolution);
	struct vzq_want want;

	while (vzq_job_want(job, &want, 1)) {
		const struct vzi_tile *tile = vzq_tile(c->q, want.id);

		vzq_job_give(job, c->tiles[tile->offset / 8], tile->bytes);
	}
	cr_assert_eq(vzq_job_result(job)->bad, 0);
	return job;
}

/* Each record must be what the samples from its time to that of the next one have in common. */
static void check_records(const struct counter *c, const struct vzt_samples *s)
{
	uint32_t at = 0;

	while (at < SAMPLES && (double)c->times[at] < s->t[0])
		at++;
	for (uint32_t i = 0; i + 1 < s->n; i++) {
		double min = c->values[at], max = min, last = min;

		cr_assert_eq((double)c->times[at], s->t[i]);
		for (; at < SAMPLES && (double)c->times[at] < s->t[i + 1]; at++) {
			last = c->values[at];
			min = last < min ? last : min;
			max = last > max ? last : max;
		}
		cr_assert_eq(s->min[i], min, "record %u of %u", i, s->n);
		cr_assert_eq(s->max[i], max);
		cr_assert_eq(s->last[i], last);
	}
}

Test(query_samples, random_ranges)
{
	struct counter c = { .seed = 1 };
	uint32_t least = UINT32_MAX, most = 0;
	double end;

	open_counter(&c);
	end = (double)c.times[SAMPLES - 1];
	for (int i = 0; i < 60; i++) {
		double from = (double)roll(&c, (uint64_t)end),
		       to = from + (end - from) / (1 + i % 7);
		struct vzq_job *job = ask(&c, from, to, (to - from) / 1000);
		const struct vzt_samples *s = &vzq_job_result(job)->samples;

		cr_assert_gt(s->n, 0);
		cr_assert_leq(s->t[0], from + 1, "what it was at the begin of the range");
		cr_assert_lt(s->n, 20000);
		least = s->n < least ? s->n : least;
		most = s->n > most ? s->n : most;
		check_records(&c, s);
		vzq_job_free(job);
	}
	cr_assert_lt(least, most);
	close_counter(&c);
}

Test(query_samples, beyond_the_last_one_and_of_no_counter)
{
	struct counter c = { .seed = 2 };
	struct vzq_job *job;

	open_counter(&c);
	job = ask(&c, 1.5e8, 1.6e8, 1000);
	cr_assert_gt(vzq_job_result(job)->samples.n, 0, "it keeps its last value");
	vzq_job_free(job);
	job = vzq_samples(c.q, 7, 0, 1, 1);
	cr_assert_eq(vzq_job_want(job, NULL, 0), 0);
	cr_assert_eq(vzq_job_result(job)->samples.n, 0);
	vzq_job_free(job);
	close_counter(&c);
}
