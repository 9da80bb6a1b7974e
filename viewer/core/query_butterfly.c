/* SPDX-License-Identifier: MIT */
/*
 * Callers and callees of one function: trees of groups of paths.
 *
 * A node of either tree stands for a group of members; its children are the same
 * members one step further, in groups by the function there.  Groups that are too small to be seen
 * are not followed, so that the work is bounded by what is shown.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/query_sums.h"

struct member {
	uint32_t path; /* whose sums count */
	uint32_t at;   /* how far it was followed */
};

struct group {
	uint32_t first, n; /* members */
	uint32_t node;     /* of the tree */
};

/* Groups of one distance from the function. */
struct level {
	struct group *groups;
	uint32_t ngroups;
	struct member *members;
	uint32_t nmembers;
};

/* A group that is being made. */
struct candidate {
	uint32_t fn, n, first;
	bool shown;
	struct vzq_acc acc;
	uint64_t total;
};

struct growing {
	const struct vzq_forest *f;
	const uint32_t *parents, *fns;
	const struct vzq_paths *paths;
	uint32_t fn;
	bool callers;
	uint64_t *total;
	uint8_t *occurs;
	uint8_t *inner;            /* paths that have the function below their top as well */
	uint32_t *child, *sibling; /* of each path: first and next, 0: none */
	uint32_t *slot;            /* by function: candidate + 1 */
	struct candidate *candidates;
	uint32_t ncandidates;
	struct level now, next;
	uint64_t least;
	struct vzq_tree *tree;
	uint32_t n; /* nodes of the tree */
};

static bool is_top(const struct growing *g, uint32_t path)
{
	return path && g->fns[path] == g->fn;
}

/* ---- groups ---- */

static void add(struct growing *g, struct candidate *c, uint32_t path)
{
	struct vzq_acc a = vzq_paths_get(g->paths, path);

	c->n++;
	c->acc.calls += a.calls;
	c->acc.resumes += a.resumes;
	c->acc.self_ns += a.self_ns;
	c->acc.other_ns += a.other_ns;
	if (!g->callers || !g->inner[path])
		c->total += g->total[path];
}

static struct candidate *candidate_of(struct growing *g, uint32_t fn)
{
	if (!g->slot[fn]) {
		g->candidates[g->ncandidates] = (struct candidate){ .fn = fn };
		g->slot[fn] = ++g->ncandidates;
	}
	return &g->candidates[g->slot[fn] - 1];
}

static void set_node(struct growing *g, uint32_t parent, const struct candidate *c)
{
	struct vzq_tree *t = g->tree;
	uint32_t i = g->n++;

	t->parent[i] = parent;
	t->fn[i] = c->fn;
	t->calls[i] = (double)c->acc.calls;
	t->resumes[i] = (double)c->acc.resumes;
	t->self[i] = (double)c->acc.self_ns;
	t->other[i] = (double)c->acc.other_ns;
	t->total[i] = (double)c->total;
}

/* Where MEMBER may go from here: one step up, or each path above it in turn; 0: nowhere. */
static uint32_t first_step(const struct growing *g, const struct member *m)
{
	return g->callers ? g->parents[m->at] : g->child[m->at];
}

static uint32_t next_step(const struct growing *g, uint32_t at)
{
	return g->callers ? 0 : g->sibling[at];
}

static uint32_t path_of(const struct growing *g, const struct member *m, uint32_t at)
{
	return g->callers ? m->path : at;
}

/* Make nodes of the candidates that are large enough, and room for their members. */
static void choose(struct growing *g, uint32_t parent)
{
	struct level *next = &g->next;

	for (uint32_t i = 0; i < g->ncandidates; i++) {
		struct candidate *c = &g->candidates[i];
		uint64_t weight = c->total > c->acc.self_ns ? c->total : c->acc.self_ns;

		c->shown = weight >= g->least && g->n <= VZQ_TREE_NODES;
		if (!c->shown) {
			g->tree->pruned++;
			continue;
		}
		c->first = next->nmembers;
		next->groups[next->ngroups++] = (struct group){ c->first, c->n, g->n };
		next->nmembers += c->n;
		c->n = 0;
		set_node(g, parent, c);
	}
}

static void place(struct growing *g, const struct member *m, uint32_t at)
{
	struct candidate *c = candidate_of(g, g->fns[at]);

	if (c->shown)
		g->next.members[c->first + c->n++] = (struct member){ path_of(g, m, at), at };
}

static void split(struct growing *g, const struct group *group)
{
	const struct member *members = g->now.members + group->first;

	g->ncandidates = 0;
	for (uint32_t i = 0; i < group->n; i++)
		for (uint32_t at = first_step(g, &members[i]); at; at = next_step(g, at))
			if (g->callers || g->occurs[at])
				add(g, candidate_of(g, g->fns[at]), path_of(g, &members[i], at));
	choose(g, group->node);
	for (uint32_t i = 0; i < group->n; i++)
		for (uint32_t at = first_step(g, &members[i]); at; at = next_step(g, at))
			if (g->callers || g->occurs[at])
				place(g, &members[i], at);
	for (uint32_t i = 0; i < g->ncandidates; i++)
		g->slot[g->candidates[i].fn] = 0;
}

static void grow(struct growing *g)
{
	while (g->now.ngroups) {
		struct level done = g->now;

		g->next.ngroups = g->next.nmembers = 0;
		for (uint32_t i = 0; i < g->now.ngroups; i++)
			split(g, &g->now.groups[i]);
		g->now = g->next;
		g->next = done;
	}
	g->tree->n = g->n;
}

/* The root: the function itself, wherever it is on top; callees follow the outermost only. */
static void plant(struct growing *g)
{
	struct candidate root = { .fn = g->fn };
	struct level *now = &g->now;

	now->nmembers = g->n = 0;
	for (uint32_t i = 1; i < g->paths->n; i++) {
		if (!is_top(g, i) || !g->occurs[i])
			continue;
		add(g, &root, i);
		if (!g->callers && g->inner[i])
			root.total -= g->total[i];
		if (g->callers || !g->inner[i])
			now->members[now->nmembers++] = (struct member){ i, i };
	}
	g->least = root.total / VZQ_TREE_PARTS + (root.total % VZQ_TREE_PARTS != 0);
	now->groups[0] = (struct group){ 0, now->nmembers, 0 };
	now->ngroups = 1;
	set_node(g, 0, &root);
}

/* ---- room ---- */

static void free_level(struct level *l)
{
	free(l->groups);
	free(l->members);
}

static void growing_fini(struct growing *g)
{
	free(g->total);
	free(g->occurs);
	free(g->inner);
	free(g->child);
	free(g->sibling);
	free(g->slot);
	free(g->candidates);
	free_level(&g->now);
	free_level(&g->next);
}

static bool new_level(struct level *l, uint32_t n)
{
	l->groups = malloc((VZQ_TREE_NODES + 1u) * sizeof(*l->groups));
	l->members = malloc((n + 1u) * sizeof(*l->members));
	return l->groups && l->members;
}

static int growing_init(struct growing *g)
{
	uint32_t functions = g->fn + 1;

	for (uint32_t i = 1; i < g->paths->n; i++)
		if (g->fns[i] >= functions)
			functions = g->fns[i] + 1;
	g->total = vzq_tree_totals(g->f, g->paths);
	g->occurs = vzq_tree_occurs(g->f, g->paths);
	g->inner = calloc(g->paths->n, 1);
	g->child = calloc(g->paths->n, sizeof(*g->child));
	g->sibling = calloc(g->paths->n, sizeof(*g->sibling));
	g->slot = calloc(functions, sizeof(*g->slot));
	g->candidates = malloc(functions * sizeof(*g->candidates));
	if (!g->total || !g->occurs || !g->inner || !g->child || !g->sibling || !g->slot ||
	    !g->candidates || !new_level(&g->now, g->paths->n) || !new_level(&g->next, g->paths->n))
		return -ENOMEM;
	for (uint32_t i = g->paths->n; i-- > 1;) {
		uint32_t parent = g->parents[i];

		g->sibling[i] = g->child[parent];
		g->child[parent] = i;
	}
	for (uint32_t i = 1; i < g->paths->n; i++) {
		uint32_t parent = g->parents[i];

		g->inner[i] = g->inner[parent] || is_top(g, parent);
	}
	return 0;
}

int vzq_butterfly_make(const struct vzq_forest *f, const struct vzq_paths *paths, uint32_t fn,
		       struct vzq_tree ret[2])
{
	struct growing g = { .f = f,
			     .parents = vzq_forest_parents(f),
			     .fns = vzq_forest_fns(f),
			     .paths = paths,
			     .fn = fn };
	int rc = growing_init(&g);

	for (int i = VZQ_CALLERS; i <= VZQ_CALLEES && rc == 0; i++) {
		rc = vzq_tree_init(&ret[i], VZQ_TREE_NODES + 2);
		if (rc < 0)
			break;
		g.tree = &ret[i];
		g.callers = i == VZQ_CALLERS;
		plant(&g);
		grow(&g);
	}
	growing_fini(&g);
	return rc;
}
