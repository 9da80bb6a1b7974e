/* SPDX-License-Identifier: MIT */
/*
 * query_paths.h - sums of what happened on each path of the merged tree, in 16 bytes a path.
 *
 * There may be a million paths.  Few of them have resumes, time that is not their own, or
 * 2^32 calls: what they have of that is in a table of its own.
 */
#ifndef VZ_VIEWER_CORE_QUERY_PATHS_H
#define VZ_VIEWER_CORE_QUERY_PATHS_H

#include <stdint.h>

/* What happened on a path. */
struct vzq_acc {
	uint64_t calls, resumes;
	uint64_t self_ns, other_ns;
};

struct vzq_path_sum {
	uint64_t self_ns;
	uint32_t calls; /* modulo 2^32 */
	uint32_t rare;  /* number + 1 in .rare; 0: it has nothing there */
};

struct vzq_path_rare {
	uint64_t resumes, other_ns;
	uint32_t calls; /* in 2^32 */
};

struct vzq_paths {
	struct vzq_path_sum *p; /* NULL: there are no sums */
	uint32_t n;
	struct vzq_path_rare *rare;
	uint32_t nrare, rare_cap;
};

/** N sums of 0; -ENOMEM. */
int vzq_paths_init(struct vzq_paths *s, uint32_t n);
void vzq_paths_fini(struct vzq_paths *s);
/** Add to I what is not in its 16 bytes; 0, or -ENOMEM and nothing was added. */
int vzq_paths_add_rare(struct vzq_paths *s, uint32_t i, const struct vzq_acc *more);
/** Take off what was added. */
void vzq_paths_take_off(struct vzq_paths *s, uint32_t i, const struct vzq_acc *less);

/** Add to I; 0, or -ENOMEM and nothing was added. */
static inline int vzq_paths_add(struct vzq_paths *s, uint32_t i, const struct vzq_acc *more)
{
	struct vzq_path_sum *sum = &s->p[i];

	if (more->resumes || more->other_ns || more->calls > UINT32_MAX - sum->calls)
		return vzq_paths_add_rare(s, i, more);
	sum->calls += (uint32_t)more->calls;
	sum->self_ns += more->self_ns;
	return 0;
}

static inline struct vzq_acc vzq_paths_get(const struct vzq_paths *s, uint32_t i)
{
	const struct vzq_path_sum *sum = &s->p[i];
	struct vzq_acc acc = { .calls = sum->calls, .self_ns = sum->self_ns };

	if (sum->rare) {
		const struct vzq_path_rare *rare = &s->rare[sum->rare - 1];

		acc.calls += (uint64_t)rare->calls << 32;
		acc.resumes = rare->resumes;
		acc.other_ns = rare->other_ns;
	}
	return acc;
}

#endif /* VZ_VIEWER_CORE_QUERY_PATHS_H */
