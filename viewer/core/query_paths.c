/* SPDX-License-Identifier: MIT */
#include "viewer/core/query_paths.h"

#include <errno.h>
#include <stdlib.h>

enum {
	FIRST_RARE = 256,
};

int vzq_paths_init(struct vzq_paths *s, uint32_t n)
{
	*s = (struct vzq_paths){ .p = calloc(n + 1u, sizeof(*s->p)), .n = n };
	return s->p ? 0 : -ENOMEM;
}

void vzq_paths_fini(struct vzq_paths *s)
{
	free(s->p);
	free(s->rare);
	*s = (struct vzq_paths){ 0 };
}

/* Half as many more: old copies stay as holes in a memory that cannot shrink. */
static int have_room(struct vzq_paths *s)
{
	uint32_t cap = s->rare_cap ? s->rare_cap + s->rare_cap / 2 : FIRST_RARE;
	struct vzq_path_rare *bigger;

	if (s->nrare < s->rare_cap)
		return 0;
	bigger = realloc(s->rare, cap * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	s->rare = bigger;
	s->rare_cap = cap;
	return 0;
}

static void set(struct vzq_paths *s, uint32_t i, const struct vzq_acc *acc)
{
	struct vzq_path_sum *sum = &s->p[i];

	sum->calls = (uint32_t)acc->calls;
	sum->self_ns = acc->self_ns;
	if (sum->rare)
		s->rare[sum->rare - 1] = (struct vzq_path_rare){
			.resumes = acc->resumes,
			.other_ns = acc->other_ns,
			.calls = (uint32_t)(acc->calls >> 32),
		};
}

int vzq_paths_add_rare(struct vzq_paths *s, uint32_t i, const struct vzq_acc *more)
{
	struct vzq_acc acc = vzq_paths_get(s, i);

	if (!s->p[i].rare) {
		if (have_room(s) < 0)
			return -ENOMEM;
		s->p[i].rare = ++s->nrare;
	}
	acc.calls += more->calls;
	acc.resumes += more->resumes;
	acc.self_ns += more->self_ns;
	acc.other_ns += more->other_ns;
	set(s, i, &acc);
	return 0;
}

void vzq_paths_take_off(struct vzq_paths *s, uint32_t i, const struct vzq_acc *less)
{
	struct vzq_acc acc = vzq_paths_get(s, i);

	acc.calls -= less->calls;
	acc.resumes -= less->resumes;
	acc.self_ns -= less->self_ns;
	acc.other_ns -= less->other_ns;
	set(s, i, &acc);
}
