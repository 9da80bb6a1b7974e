/* SPDX-License-Identifier: MIT */
#include "tests/kit_naive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/walk.h"

static void *must(void *p)
{
	if (p)
		return p;
	fprintf(stderr, "kit_naive: no memory\n");
	abort();
}

bool kit_call_entered(const struct kit_call *c)
{
	return (c->how & 3) != VZ_ENTRY_OPEN;
}

bool kit_call_seen(const struct kit_call *c)
{
	return kit_call_entered(c) && c->how >> VZI_HOW_LEAVE_SHIFT < VZ_LEAVE_UNSEEN;
}

bool kit_range_has(const struct kit_range *range, uint64_t ns)
{
	return ns >= range->from && ns < range->to;
}

uint64_t kit_range_part(const struct kit_range *range, const struct kit_call *c)
{
	uint64_t from = c->start > range->from ? c->start : range->from;
	uint64_t to = c->end < range->to ? c->end : range->to;

	return to > from ? to - from : 0;
}

uint32_t kit_sums_child(const struct kit_sums *s, uint32_t node, uint32_t fn)
{
	uint32_t child = s->nodes[node].child;

	while (child && s->nodes[child].fn != fn)
		child = s->nodes[child].sibling;
	return child;
}

static uint32_t path_of(struct kit_sums *s, uint32_t parent, uint32_t fn)
{
	uint32_t node = kit_sums_child(s, parent, fn);

	if (node || (parent && s->nodes[parent].fn == fn))
		return node ? node : parent;
	if (s->nnodes == s->nodes_cap) {
		s->nodes_cap *= 2;
		s->nodes = must(realloc(s->nodes, s->nodes_cap * sizeof(*s->nodes)));
	}
	node = s->nnodes++;
	s->nodes[node] =
		(struct kit_node){ .parent = parent, .fn = fn, .sibling = s->nodes[parent].child };
	s->nodes[parent].child = node;
	return node;
}

static bool is_outermost(const struct kit_calls *c, uint32_t i)
{
	for (uint32_t p = c->p[i].parent; p != UINT32_MAX; p = c->p[p].parent)
		if (c->p[p].function == c->p[i].function)
			return false;
	return true;
}

static void count_call(const struct kit_range *range, const struct kit_call *call,
		       struct kit_row *row, struct kit_node *node)
{
	uint64_t ns = call->end - call->start;
	bool entered = kit_range_has(range, call->start) && kit_call_entered(call);

	row->calls += entered && (call->how & 3) == VZ_ENTRY_CALL;
	row->resumes += entered && (call->how & 3) != VZ_ENTRY_CALL;
	node->calls += entered && (call->how & 3) == VZ_ENTRY_CALL;
	node->resumes += entered && (call->how & 3) != VZ_ENTRY_CALL;
	if (!kit_range_has(range, call->end))
		return;
	row->raised += call->how >> VZI_HOW_LEAVE_SHIFT == VZ_LEAVE_UNWIND;
	if (!kit_call_seen(call)) {
		row->partial++;
		return;
	}
	row->seen++;
	row->sum += ns;
	row->max = ns > row->max ? ns : row->max;
	row->spread[vzi_bucket(ns)]++;
}

static void count_track(const struct kit_calls *c, const struct kit_range *range,
			struct kit_sums *s)
{
	uint32_t *paths = must(malloc((c->n + 1u) * sizeof(*paths)));

	for (uint32_t i = 0; i < c->n; i++) {
		const struct kit_call *call = &c->p[i];
		bool top = call->parent == UINT32_MAX;
		uint64_t part = kit_range_part(range, call);

		paths[i] = path_of(s, top ? 0 : paths[call->parent], call->function);
		count_call(range, call, &s->rows[call->function], &s->nodes[paths[i]]);
		if (is_outermost(c, i))
			s->rows[call->function].total += part;
		s->rows[call->function].self += part;
		s->nodes[paths[i]].self += part;
		if (!top) {
			s->rows[c->p[call->parent].function].self -= part;
			s->nodes[paths[call->parent]].self -= part;
		}
	}
	for (size_t i = 0; i < c->gaps.n; i++)
		if (kit_range_has(range, c->gaps.p[i].end))
			s->lost += c->gaps.p[i].last;
	free(paths);
}

void kit_naive_sums(const struct kit_query *k, const struct kit_range *range, struct kit_sums *ret)
{
	*ret = (struct kit_sums){ .nnodes = 1, .nodes_cap = 64 };
	ret->rows = must(calloc(k->nfunctions, sizeof(*ret->rows)));
	ret->nodes = must(calloc(ret->nodes_cap, sizeof(*ret->nodes)));
	for (uint32_t i = 0; i < k->index.ntracks; i++)
		if (range->tracks[i])
			count_track(&k->calls[i], range, ret);
	for (uint32_t i = ret->nnodes; i-- > 0;) {
		struct kit_node *node = &ret->nodes[i];

		node->total += node->self;
		node->occurs |= node->calls || node->resumes || node->total;
		if (i) {
			ret->nodes[node->parent].total += node->total;
			ret->nodes[node->parent].occurs |= node->occurs;
		}
	}
}

void kit_sums_fini(struct kit_sums *s)
{
	free(s->rows);
	free(s->nodes);
}
