/* SPDX-License-Identifier: MIT */
/*
 * query_paths.h - sums of what happened on each path of the merged tree, in 12 bytes a path.
 *
 * There may be a million paths.  Few of them have resumes, time that is not their own, or
 * 2^31 calls: what they have of that is in a table of its own.
 */
#ifndef VZ_VIEWER_CORE_QUERY_PATHS_H
#define VZ_VIEWER_CORE_QUERY_PATHS_H

#include <stddef.h>
#include <stdint.h>

/* What happened on a path. */
struct vzq_acc {
	uint64_t calls, resumes;
	uint64_t self_ns, other_ns;
};

struct __attribute__((packed, aligned(4))) vzq_path_sum {
	uint64_t self_ns;
	uint32_t calls; /* or VZQ_PATH_RARE | number in .rare, which has all but .self_ns */
};
_Static_assert(sizeof(struct vzq_path_sum) == 12, "a million of them");

enum {
	VZQ_PATH_RARE = 1u << 31,
};

struct vzq_path_rare {
	uint64_t calls, resumes, other_ns;
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
/** Add to I what is not in its 12 bytes; 0, or -ENOMEM and nothing was added. */
int vzq_paths_add_rare(struct vzq_paths *s, uint32_t i, const struct vzq_acc *more);
/** Take off what was added. */
void vzq_paths_take_off(struct vzq_paths *s, uint32_t i, const struct vzq_acc *less);

/** What I has in .rare, or NULL. */
static inline struct vzq_path_rare *vzq_paths_rare(const struct vzq_paths *s, uint32_t i)
{
	uint32_t calls = s->p[i].calls;

	return calls & VZQ_PATH_RARE ? &s->rare[calls & ~VZQ_PATH_RARE] : NULL;
}

/** Add to I; 0, or -ENOMEM and nothing was added. */
static inline int vzq_paths_add(struct vzq_paths *s, uint32_t i, const struct vzq_acc *more)
{
	struct vzq_path_sum *sum = &s->p[i];

	if (sum->calls & VZQ_PATH_RARE || more->resumes || more->other_ns ||
	    more->calls >= VZQ_PATH_RARE - sum->calls)
		return vzq_paths_add_rare(s, i, more);
	sum->calls += (uint32_t)more->calls;
	sum->self_ns += more->self_ns;
	return 0;
}

static inline struct vzq_acc vzq_paths_get(const struct vzq_paths *s, uint32_t i)
{
	const struct vzq_path_rare *rare = vzq_paths_rare(s, i);

	if (!rare)
		return (struct vzq_acc){ .calls = s->p[i].calls, .self_ns = s->p[i].self_ns };
	return (struct vzq_acc){
		.calls = rare->calls,
		.resumes = rare->resumes,
		.self_ns = s->p[i].self_ns,
		.other_ns = rare->other_ns,
	};
}

#endif /* VZ_VIEWER_CORE_QUERY_PATHS_H */
