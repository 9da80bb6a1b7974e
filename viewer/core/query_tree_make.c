/* SPDX-License-Identifier: MIT */
/*
 * Trees that can be looked at: what is too small to see is left out, and counted.
 */
#include "viewer/core/query_tree.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

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

/*
 * What a tree is made of.  There may be a million paths: while a tree is made their .self_ns is
 * the time with all below them, and what else is needed of each is one bit.
 */
struct making {
	const struct vzq_forest *f;
	struct vzq_paths *paths;
	uint8_t *occurs;  /* a bit for each path: anything happened there or below */
	uint32_t *number; /* of each node of the tree: its path; they rise */
	uint64_t least;   /* total that is shown */
	uint32_t shown, occur;
};

static bool occurs(const struct making *m, uint32_t i)
{
	return m->occurs[i / 8] >> i % 8 & 1;
}

static bool is_shown(const struct making *m, uint32_t i)
{
	return m->paths->p[i].self_ns >= m->least && occurs(m, i);
}

static void add_up(struct making *m)
{
	const uint32_t *parents = vzq_forest_parents(m->f);
	struct vzq_path_sum *p = m->paths->p;

	for (uint32_t i = m->paths->n; i-- > 0;) {
		struct vzq_acc acc = vzq_paths_get(m->paths, i);
		uint32_t parent = i ? parents[i] : 0;

		p[i].self_ns += acc.other_ns;
		if (!occurs(m, i) && !acc.calls && !acc.resumes && !p[i].self_ns)
			continue;
		m->occurs[i / 8] |= (uint8_t)(1u << i % 8);
		if (i == 0)
			return;
		m->occurs[parent / 8] |= (uint8_t)(1u << parent % 8);
		p[parent].self_ns += p[i].self_ns;
	}
}

/* Parents come first, so that what is taken off is what was added. */
static void take_apart(struct making *m)
{
	const uint32_t *parents = vzq_forest_parents(m->f);
	struct vzq_path_sum *p = m->paths->p;

	for (uint32_t i = 0; i < m->paths->n; i++) {
		const struct vzq_path_rare *rare = vzq_paths_rare(m->paths, i);

		if (i)
			p[parents[i]].self_ns -= p[i].self_ns;
		if (rare)
			p[i].self_ns -= rare->other_ns;
	}
}

/* Not too many are shown; a node is never more than its parent. */
static void choose_least(struct making *m)
{
	uint64_t all = m->paths->p[0].self_ns;

	m->least = all / VZQ_TREE_PARTS + (all % VZQ_TREE_PARTS != 0);
	for (;; m->least = m->least ? m->least * 2 : 1) {
		m->shown = m->occur = 0;
		for (uint32_t i = 1; i < m->paths->n; i++) {
			m->occur += occurs(m, i);
			m->shown += is_shown(m, i);
		}
		if (m->shown < VZQ_TREE_NODES || m->least > VZQ_MAX_NS)
			return;
	}
}

static void choose(struct making *m)
{
	uint32_t n = 0;

	m->number[n++] = 0;
	for (uint32_t i = 1; i < m->paths->n && n <= m->shown; i++)
		if (is_shown(m, i))
			m->number[n++] = i;
}

/* The node of PATH, which is shown. */
static uint32_t node_of(const struct making *m, uint32_t path)
{
	uint32_t lo = 0, hi = m->shown;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (m->number[mid] < path)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* All but .self, which is not there yet. */
static void set_node(const struct making *m, struct vzq_tree *t, uint32_t i)
{
	uint32_t path = m->number[i];
	struct vzq_acc a = vzq_paths_get(m->paths, path);

	t->parent[i] = path ? node_of(m, vzq_forest_parents(m->f)[path]) : 0;
	t->fn[i] = path ? vzq_forest_fns(m->f)[path] : 0;
	t->calls[i] = (double)a.calls;
	t->resumes[i] = (double)a.resumes;
	t->total[i] = (double)a.self_ns;
	t->other[i] = (double)a.other_ns;
}

static int fill(struct making *m, struct vzq_tree *ret)
{
	int rc = 0;

	add_up(m);
	choose_least(m);
	m->number = malloc((m->shown + 1u) * sizeof(*m->number));
	if (m->number) {
		choose(m);
		rc = vzq_tree_init(ret, m->shown + 1);
	}
	for (uint32_t i = 0; m->number && rc == 0 && i <= m->shown; i++)
		set_node(m, ret, i);
	take_apart(m);
	for (uint32_t i = 0; m->number && rc == 0 && i <= m->shown; i++)
		ret->self[i] = (double)m->paths->p[m->number[i]].self_ns;
	ret->pruned = m->occur - m->shown;
	return m->number ? rc : -ENOMEM;
}

int vzq_tree_make(const struct vzq_forest *f, struct vzq_paths *paths, struct vzq_tree *ret)
{
	struct making m = {
		.f = f,
		.paths = paths,
		.occurs = calloc(paths->n / 8 + 1u, 1),
	};
	int rc = m.occurs ? fill(&m, ret) : -ENOMEM;

	free(m.number);
	free(m.occurs);
	return rc;
}
