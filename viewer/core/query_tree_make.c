/* SPDX-License-Identifier: MIT */
/*
 * Trees that can be looked at: what is too small to see is left out, and counted.
 */
#include "viewer/core/query_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int vzq_tree_init(struct vzq_tree *t, uint32_t n)
{
	*t = (struct vzq_tree){ .n = n };
	t->calls = calloc(n + 1u, 5 * sizeof(double) + 2 * sizeof(uint32_t));
	if (!t->calls)
		return -ENOMEM;
	t->resumes = t->calls + n;
	t->self = t->resumes + n;
	t->total = t->self + n;
	t->other = t->total + n;
	t->parent = (uint32_t *)(void *)(t->other + n);
	t->fn = t->parent + n;
	return 0;
}

uint64_t *vzq_tree_totals(const struct vzq_forest *f, const struct vzq_acc *acc, uint32_t nacc)
{
	uint64_t *total = malloc((nacc + 1u) * sizeof(*total));

	if (!total)
		return NULL;
	for (uint32_t i = 0; i < nacc; i++)
		total[i] = acc[i].self_ns + acc[i].other_ns;
	for (uint32_t i = nacc; i-- > 1;)
		total[vzq_forest_parent(f, i)] += total[i];
	return total;
}

static bool occurs(const struct vzq_acc *a, uint64_t total)
{
	return a->calls || a->resumes || total;
}

/* Least total that is shown, so that there are not too many; a node is never more than its parent.
 */
static uint64_t least_shown(const struct vzq_acc *acc, const uint64_t *total, uint32_t nacc,
			    uint32_t *shown, uint32_t *occur)
{
	uint64_t least = total[0] / VZQ_TREE_PARTS + (total[0] % VZQ_TREE_PARTS != 0);

	for (;; least = least ? least * 2 : 1) {
		*shown = *occur = 0;
		for (uint32_t i = 1; i < nacc; i++) {
			*occur += occurs(&acc[i], total[i]);
			*shown += occurs(&acc[i], total[i]) && total[i] >= least;
		}
		if (*shown < VZQ_TREE_NODES || least > VZQ_MAX_NS)
			return least;
	}
}

static void set_node(struct vzq_tree *t, uint32_t i, const struct vzq_acc *a, uint64_t total)
{
	t->calls[i] = (double)a->calls;
	t->resumes[i] = (double)a->resumes;
	t->self[i] = (double)a->self_ns;
	t->total[i] = (double)total;
	t->other[i] = (double)a->other_ns;
}

/* NUMBER: room for a node's place in RET. */
static int fill(const struct vzq_forest *f, const struct vzq_acc *acc, const uint64_t *total,
		uint32_t nacc, struct vzq_tree *ret)
{
	uint32_t shown, occur, n = 1, *number;
	uint64_t least = least_shown(acc, total, nacc, &shown, &occur);
	int rc = vzq_tree_init(ret, shown + 1);

	number = calloc(nacc, sizeof(*number));
	if (rc < 0 || !number) {
		free(number);
		return -ENOMEM;
	}
	set_node(ret, 0, &acc[0], total[0]);
	for (uint32_t i = 1; i < nacc; i++) {
		uint32_t parent = vzq_forest_parent(f, i);

		if (!occurs(&acc[i], total[i]) || total[i] < least || (parent && !number[parent]))
			continue;
		number[i] = n;
		ret->parent[n] = number[parent];
		ret->fn[n] = vzq_forest_fn(f, i);
		set_node(ret, n++, &acc[i], total[i]);
	}
	free(number);
	ret->pruned = occur - (n - 1);
	ret->n = n;
	return 0;
}

int vzq_tree_make(const struct vzq_forest *f, const struct vzq_acc *acc, uint32_t nacc,
		  struct vzq_tree *ret)
{
	uint64_t *total = vzq_tree_totals(f, acc, nacc);
	int rc = total ? fill(f, acc, total, nacc, ret) : -ENOMEM;

	free(total);
	return rc;
}
