/* SPDX-License-Identifier: MIT */
/*
 * bench_query - what processor time questions about a trace take that has an index.
 *
 *   bench_query TRACE [ROUNDS]
 *
 * Each question is asked with random arguments; what is told is the median and the
 * slowest, without and with the time to unpack the blocks that it needs, and how many
 * bytes that were.  Made by: gen_trace TRACE CALLS; vizview index TRACE.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "viewer/core/query.h"
#include "viewer/index/index.h"

enum {
	MAX_ROUNDS = 1000,
	MAX_WANT = 64,
};

struct bench {
	struct vz_reader *reader;
	struct vz_index *index;
	struct vzq *q;
	double duration;
	uint32_t nfunctions;
	uint64_t seed;
	double loading_ms; /* blocks, in the question under way */
	uint64_t bytes;
	uint32_t tiles, blocks;
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static double roll(struct bench *b)
{
	b->seed ^= b->seed << 13;
	b->seed ^= b->seed >> 7;
	b->seed ^= b->seed << 17;
	return (double)(b->seed % 1000003) / 1000003;
}

static void give(struct bench *b, struct vzq_job *job, const struct vzq_want *want)
{
	const uint8_t *p = NULL;
	struct vz_block head;
	size_t n = 0;

	if (want->kind == VZQ_WANT_TILE) {
		p = vz_index_tile(b->index, want->id, &n);
		b->tiles++;
	} else {
		double before = now_ms();

		if (vz_reader_load(b->reader, vzq_block(b->q, want->id)->number, &head, &p) == 0)
			n = head.raw_bytes;
		b->loading_ms += now_ms() - before;
		b->blocks++;
	}
	b->bytes += n;
	vzq_job_give(job, p, n);
}

static void run(struct bench *b, struct vzq_job *job)
{
	struct vzq_want want[MAX_WANT];
	uint32_t n;

	while ((n = vzq_job_want(job, want, MAX_WANT)) > 0)
		for (uint32_t i = 0; i < n; i++)
			give(b, job, &want[i]);
	if (vzq_job_result(job)->bad || vzq_job_result(job)->error)
		printf("    (%u bad, error %d)\n", vzq_job_result(job)->bad,
		       vzq_job_result(job)->error);
}

/* ---- questions ---- */

static struct vzq_range range(struct bench *b)
{
	double part = pow(roll(b), 2), from = roll(b) * (1 - part) * b->duration;

	return (struct vzq_range){ from, from + part * b->duration, NULL, 0 };
}

static struct vzq_job *aggregate(struct bench *b)
{
	struct vzq_range r = range(b);

	return vzq_aggregate(b->q, &r, true);
}

static struct vzq_job *aggregate_all(struct bench *b)
{
	const struct vzq_range r = { 0, b->duration, NULL, 0 };

	return vzq_aggregate(b->q, &r, true);
}

static uint32_t function(struct bench *b)
{
	return (uint32_t)(roll(b) * b->nfunctions);
}

static struct vzq_job *butterfly(struct bench *b)
{
	const struct vzq_range r = { 0, b->duration, NULL, 0 };

	return vzq_butterfly(b->q, &r, function(b));
}

static struct vzq_job *histogram(struct bench *b)
{
	struct vzq_range r = range(b);

	return vzq_histogram(b->q, &r, function(b));
}

static struct vzq_job *slowest(struct bench *b)
{
	struct vzq_range r = range(b);

	return vzq_slowest(b->q, &r, function(b), 100, 0, INFINITY);
}

static struct vzq_job *next(struct bench *b)
{
	const uint32_t fn = function(b);
	const struct vzq_fns fns = { &fn, 1 };

	return vzq_next(b->q, &fns, roll(b) * b->duration, roll(b) < 0.5 ? 1 : -1, NULL, 0);
}

/* Of a function that never occurs, which is the most that can be looked through. */
static struct vzq_job *next_never(struct bench *b)
{
	const uint32_t fn = b->nfunctions + 7;
	const struct vzq_fns fns = { &fn, 1 };

	return vzq_next(b->q, &fns, 0, 1, NULL, 0);
}

static struct vzq_job *marks(struct bench *b)
{
	const uint32_t fn[] = { function(b), function(b), function(b) };
	const struct vzq_fns fns = { fn, 3 };

	return vzq_marks(b->q, &fns, 2048);
}

static struct vzq_job *at(struct bench *b)
{
	return vzq_at(b->q, (uint32_t)(roll(b) * vzq_directory(b->q)->ntracks),
		      roll(b) * b->duration, (uint32_t)(roll(b) * 12));
}

static struct vzq_job *details(struct bench *b)
{
	struct vzq_job *job = at(b);
	struct vzq_ref ref = { 0 };

	run(b, job);
	if (vzq_job_result(job)->nslices) {
		const struct vzq_slice *s = vzq_job_result(job)->slices;

		ref = (struct vzq_ref){ s->start, s->track, s->depth, s->fn };
	}
	vzq_job_free(job);
	return vzq_details(b->q, &ref);
}

static struct vzq_job *fine(struct bench *b)
{
	return vzq_fine(b->q, (uint32_t)(roll(b) * vzq_directory(b->q)->ntracks),
			(uint32_t)(roll(b) * b->duration / (1 << VZQ_WINDOW_SHIFT)));
}

/* ---- all of them ---- */

static int by_value(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

static void ask(struct bench *b, const char *what, struct vzq_job *(*make)(struct bench *),
		int rounds)
{
	double alone[MAX_ROUNDS], all[MAX_ROUNDS];

	b->bytes = b->tiles = b->blocks = 0;
	for (int i = 0; i < rounds; i++) {
		double before = now_ms();
		struct vzq_job *job;

		b->loading_ms = 0;
		job = make(b);
		run(b, job);
		all[i] = now_ms() - before;
		alone[i] = all[i] - b->loading_ms;
		vzq_job_free(job);
	}
	qsort(alone, (size_t)rounds, sizeof(*alone), by_value);
	qsort(all, (size_t)rounds, sizeof(*all), by_value);
	printf("%-16s %8.2f %8.2f %8.2f %8.2f %8u %8u %10llu\n", what, alone[rounds / 2],
	       alone[rounds - 1], all[rounds / 2], all[rounds - 1], b->tiles / (unsigned)rounds,
	       b->blocks / (unsigned)rounds, (unsigned long long)b->bytes / (unsigned)rounds);
}

static void ask_all(struct bench *b, int rounds)
{
	printf("%llu calls, %u tracks, %u blocks, %u tiles\n",
	       (unsigned long long)vzq_directory(b->q)->entries, vzq_directory(b->q)->ntracks,
	       vzq_directory(b->q)->nblocks, vzq_directory(b->q)->ntiles);
	printf("CPU ms:          %8s %8s %8s %8s %8s %8s %10s\n", "median", "most", "loaded",
	       "most", "tiles", "blocks", "bytes");
	ask(b, "first aggregate", aggregate_all, 1);
	ask(b, "aggregate all", aggregate_all, rounds < 5 ? rounds : 5);
	ask(b, "butterfly", butterfly, rounds);
	ask(b, "aggregate", aggregate, rounds);
	ask(b, "histogram", histogram, rounds);
	ask(b, "slowest 100", slowest, rounds);
	ask(b, "next", next, rounds);
	ask(b, "next, never", next_never, rounds < 5 ? rounds : 5);
	ask(b, "marks", marks, rounds);
	ask(b, "at", at, rounds);
	ask(b, "at, details", details, rounds);
	ask(b, "fine window", fine, rounds);
}

int main(int argc, char **argv)
{
	struct bench b = { .seed = 88172645463325252u };
	int rounds = argc > 2 ? atoi(argv[2]) : 50, rc;
	struct vz_trouble trouble;
	const void *directory;
	size_t bytes;

	if (argc < 2 || rounds < 1 || rounds > MAX_ROUNDS) {
		fprintf(stderr, "usage: bench_query TRACE [ROUNDS]\n");
		return 2;
	}
	if (vz_reader_open(argv[1], &b.reader, &trouble) < 0 ||
	    vz_index_open(argv[1], NULL, b.reader, &b.index) < 0) {
		fprintf(stderr, "%s: no trace with an index; vizview index makes one\n", argv[1]);
		return 1;
	}
	directory = vz_index_directory(b.index, &bytes);
	rc = vzq_open(directory, bytes, &b.q);
	if (rc == 0) {
		b.duration = (double)vzq_directory(b.q)->duration_ns;
		b.nfunctions = vz_reader_nfunctions(b.reader);
		ask_all(&b, rounds);
		vzq_free(b.q);
	}
	vz_index_free(b.index);
	vz_reader_free(b.reader);
	return rc < 0;
}
