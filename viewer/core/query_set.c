/* SPDX-License-Identifier: MIT */
#include "viewer/core/query_set.h"

#include <errno.h>
#include <stdlib.h>

int vzq_set_init(struct vzq_set *set, const struct vzq_fns *fns)
{
	set->words = calloc(VZ_MAX_FUNCTIONS / 32, sizeof(*set->words));
	if (!set->words)
		return -ENOMEM;
	for (uint32_t i = 0; i < fns->n; i++)
		if (fns->fn[i] < VZ_MAX_FUNCTIONS)
			set->words[fns->fn[i] / 32] |= 1u << fns->fn[i] % 32;
	return 0;
}

void vzq_set_fini(struct vzq_set *set)
{
	free(set->words);
	set->words = NULL;
}

int vzq_set_in_summary(const struct vzq_set *set, const struct vzi_tile *tile, const uint8_t *p,
		       size_t n, uint64_t *entries)
{
	struct vzt_function row;
	struct vzt_cursor c;
	uint64_t count, sum = 0;
	int rc;

	vzt_rows(&c, tile, p, n);
	while ((rc = vzt_next_function(&c, &row)) == 1) {
		uint32_t bucket = UINT32_MAX;

		if (vzq_set_has(set, row.function))
			sum += row.calls + row.resumes;
		if (sum && !entries)
			return 1;
		for (uint32_t i = 0; i < row.nbuckets; i++)
			if (vzt_bucket(&c, &bucket, &count) < 0)
				return -EBADMSG;
	}
	if (entries)
		*entries = sum;
	return rc < 0 ? rc : sum > 0;
}
