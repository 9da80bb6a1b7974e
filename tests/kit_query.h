/* SPDX-License-Identifier: MIT */
/*
 * kit_query.h - a trace, its index in memory, and a host that answers jobs from them.
 */
#ifndef VZ_TESTS_KIT_QUERY_H
#define VZ_TESTS_KIT_QUERY_H

#include "tests/kit_index.h"
#include "viewer/core/query.h"

struct kit_raw {
	uint8_t *p; /* NULL: it cannot be read */
	size_t n;
};

struct kit_query {
	struct kit *kit;
	uint8_t *bytes;
	size_t nbytes;
	struct vz_reader *reader;
	struct kit_index index;
	struct kit_raw *raw;     /* of each block in the directory */
	struct kit_calls *calls; /* of each track: what answers are compared with */
	uint64_t duration;
	uint32_t nfunctions;
	uint8_t *directory;
	size_t directory_bytes;
	struct vzq *q;
	/* what jobs were given so far */
	unsigned tiles, blocks, rounds;
	/** May change what is given for a want, or set it to NULL; or NULL itself. */
	void (*spoil)(struct kit_query *k, const struct vzq_want *want, struct kit_raw *given);
};

enum {
	KIT_TIES = 1,       /* some events at the same time */
	KIT_DAMAGED = 2,    /* blocks that cannot be read */
	KIT_CUT = 4,        /* blocks are missing, and so is the end */
	KIT_MANY_BLOCKS = 8 /* small ones, so that there are summaries of several levels */
};

struct kit_story_options {
	uint64_t seed;
	uint32_t ntracks;
	size_t steps; /* on each */
	unsigned flags;
};

/** A random trace: short calls in bursts, long waits, generators, losses, recursion. */
void kit_query_random(struct kit_query *k, const struct kit_story_options *options);
/** The trace of KIT, which is finished and belongs to K from now on. */
void kit_query_open(struct kit_query *k, struct kit *kit);
void kit_query_fini(struct kit_query *k);

/** Run JOB to its end, MAX things at a time; free it with vzq_job_free(). */
const struct vzq_result *kit_query_run(struct kit_query *k, struct vzq_job *job, uint32_t max);

#endif /* VZ_TESTS_KIT_QUERY_H */
