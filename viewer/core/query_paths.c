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

int vzq_paths_add_rare(struct vzq_paths *s, uint32_t i, const struct vzq_acc *more)
{
	struct vzq_path_sum *sum = &s->p[i];
	struct vzq_path_rare *rare = vzq_paths_rare(s, i);

	if (!rare) {
		if (s->nrare == VZQ_PATH_RARE || have_room(s) < 0)
			return -ENOMEM;
		rare = &s->rare[s->nrare];
		*rare = (struct vzq_path_rare){ .calls = sum->calls };
		sum->calls = VZQ_PATH_RARE | s->nrare++;
	}
	rare->calls += more->calls;
	rare->resumes += more->resumes;
	rare->other_ns += more->other_ns;
	sum->self_ns += more->self_ns;
	return 0;
}

void vzq_paths_take_off(struct vzq_paths *s, uint32_t i, const struct vzq_acc *less)
{
	struct vzq_path_rare *rare = vzq_paths_rare(s, i);

	s->p[i].self_ns -= less->self_ns;
	if (!rare) {
		s->p[i].calls -= (uint32_t)less->calls;
		return;
	}
	rare->calls -= less->calls;
	rare->resumes -= less->resumes;
	rare->other_ns -= less->other_ns;
}
