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

uint64_t *vzq_tree_totals(const struct vzq_forest *f, const struct vzq_paths *paths)
{
	const uint32_t *parents = vzq_forest_parents(f);
	uint64_t *total = malloc((paths->n + 1u) * sizeof(*total));

	if (!total)
		return NULL;
	for (uint32_t i = 0; i < paths->n; i++) {
		struct vzq_acc acc = vzq_paths_get(paths, i);

		total[i] = acc.self_ns + acc.other_ns;
	}
	for (uint32_t i = paths->n; i-- > 1;)
		total[parents[i]] += total[i];
	return total;
}

uint8_t *vzq_tree_occurs(const struct vzq_forest *f, const struct vzq_paths *paths)
{
	const uint32_t *parents = vzq_forest_parents(f);
	uint8_t *occurs = malloc(paths->n + 1u);

	if (!occurs)
		return NULL;
	for (uint32_t i = 0; i < paths->n; i++) {
		struct vzq_acc acc = vzq_paths_get(paths, i);

		occurs[i] = acc.calls || acc.resumes || acc.self_ns || acc.other_ns;
	}
	for (uint32_t i = paths->n; i-- > 1;)
		occurs[parents[i]] |= occurs[i];
	return occurs;
}

/* What a tree is made of. */
struct making {
	const struct vzq_forest *f;
	const struct vzq_paths *paths;
	uint64_t *total;
	uint8_t *occurs;
	uint32_t *number; /* of each node in the tree */
	uint64_t least;   /* total that is shown */
	uint32_t shown, occur;
};

/* Not too many are shown; a node is never more than its parent. */
static void choose_least(struct making *m)
{
	uint64_t all = m->total[0];

	m->least = all / VZQ_TREE_PARTS + (all % VZQ_TREE_PARTS != 0);
	for (;; m->least = m->least ? m->least * 2 : 1) {
		m->shown = m->occur = 0;
		for (uint32_t i = 1; i < m->paths->n; i++) {
			m->occur += m->occurs[i];
			m->shown += m->occurs[i] && m->total[i] >= m->least;
		}
		if (m->shown < VZQ_TREE_NODES || m->least > VZQ_MAX_NS)
			return;
	}
}

static void set_node(struct vzq_tree *t, uint32_t i, struct vzq_acc a, uint64_t total)
{
	t->calls[i] = (double)a.calls;
	t->resumes[i] = (double)a.resumes;
	t->self[i] = (double)a.self_ns;
	t->total[i] = (double)total;
	t->other[i] = (double)a.other_ns;
}

static int fill(struct making *m, struct vzq_tree *ret)
{
	uint32_t n = 1;
	int rc = vzq_tree_init(ret, m->shown + 1);

	if (rc < 0)
		return rc;
	set_node(ret, 0, vzq_paths_get(m->paths, 0), m->total[0]);
	for (uint32_t i = 1; i < m->paths->n; i++) {
		if (!m->occurs[i] || m->total[i] < m->least)
			continue;
		m->number[i] = n;
		ret->parent[n] = m->number[vzq_forest_parents(m->f)[i]];
		ret->fn[n] = vzq_forest_fns(m->f)[i];
		set_node(ret, n++, vzq_paths_get(m->paths, i), m->total[i]);
	}
	ret->pruned = m->occur - m->shown;
	return 0;
}

int vzq_tree_make(const struct vzq_forest *f, const struct vzq_paths *paths, struct vzq_tree *ret)
{
	struct making m = {
		.f = f,
		.paths = paths,
		.total = vzq_tree_totals(f, paths),
		.occurs = vzq_tree_occurs(f, paths),
		.number = calloc(paths->n + 1u, sizeof(*m.number)),
	};
	int rc = -ENOMEM;

	if (m.total && m.occurs && m.number) {
		choose_least(&m);
		rc = fill(&m, ret);
	}
	free(m.total);
	free(m.occurs);
	free(m.number);
	return rc;
}
