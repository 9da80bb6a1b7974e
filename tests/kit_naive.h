/* SPDX-License-Identifier: MIT */
/*
 * kit_naive.h - answers to queries from the list of all calls, by their definitions in
 * viewer/core/query.h; slow and plain.
 */
#ifndef VZ_TESTS_KIT_NAIVE_H
#define VZ_TESTS_KIT_NAIVE_H

#include "tests/kit_query.h"

struct kit_row {
	uint64_t calls, resumes, total, self, seen, sum, max, raised, partial;
	uint64_t spread[VZI_BUCKETS];
};

/* A path; direct recursion stays in its node. */
struct kit_node {
	uint32_t parent, fn, child, sibling; /* 0: none */
	uint64_t calls, resumes, self, total;
	bool occurs; /* anything happened in it or above */
};

struct kit_sums {
	struct kit_row *rows; /* by function */
	struct kit_node *nodes;
	uint32_t nnodes, nodes_cap;
	uint64_t lost;
};

/* Whole ns; to == UINT64_MAX: to the end and what happens there. */
struct kit_range {
	uint64_t from, to;
	bool *tracks; /* which ones */
};

void kit_naive_sums(const struct kit_query *k, const struct kit_range *range, struct kit_sums *ret);
void kit_sums_fini(struct kit_sums *s);
/** The child of NODE that is FN, 0: none. */
uint32_t kit_sums_child(const struct kit_sums *s, uint32_t node, uint32_t fn);

bool kit_call_entered(const struct kit_call *c); /* called or resumed, not found open */
bool kit_call_seen(const struct kit_call *c);    /* from begin to end */
bool kit_range_has(const struct kit_range *range, uint64_t ns);
/** How much of the call is in the range, ns. */
uint64_t kit_range_part(const struct kit_range *range, const struct kit_call *c);

#endif /* VZ_TESTS_KIT_NAIVE_H */
