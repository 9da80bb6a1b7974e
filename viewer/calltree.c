/* SPDX-License-Identifier: MIT */
#include "viewer/calltree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/walk.h"

enum {
	FIRST_NODES = 256,
	KIND_MASK = (1 << VZ_SYMBOL_SHIFT) - 1,
};

static uint32_t slot_of(const struct vz_calltree *t, uint32_t parent, uint32_t function)
{
	uint64_t h = ((uint64_t)parent << 32 | function) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(h >> 32) & (t->nslots - 1);
}

/* Where the node of FUNCTION below PARENT is, or would be. */
static uint32_t *find(const struct vz_calltree *t, uint32_t parent, uint32_t function)
{
	uint32_t i = slot_of(t, parent, function);

	while (t->slots[i] != VZ_NO_NODE && (t->nodes[t->slots[i]].parent != parent ||
					     t->nodes[t->slots[i]].function != function))
		i = (i + 1) & (t->nslots - 1);
	return &t->slots[i];
}

/* Room for CAP nodes, and a table twice as large. */
static int grow(struct vz_calltree *t, uint32_t cap)
{
	struct vz_call_node *nodes = realloc(t->nodes, cap * sizeof(*nodes));
	uint32_t nslots = t->nslots ? t->nslots : FIRST_NODES;
	uint32_t *slots;

	if (!nodes)
		return -ENOMEM;
	t->nodes = nodes;
	while (nslots / 2 < cap)
		nslots *= 2;
	slots = malloc(nslots * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	memset(slots, 0xff, nslots * sizeof(*slots));
	free(t->slots);
	t->slots = slots;
	t->nslots = nslots;
	t->cap = cap;
	for (uint32_t i = t->ntracks; i < t->nnodes; i++)
		*find(t, nodes[i].parent, nodes[i].function) = i;
	return 0;
}

static uint32_t add(struct vz_calltree *t, uint32_t parent, uint32_t function)
{
	t->nodes[t->nnodes] = (struct vz_call_node){
		.function = function,
		.parent = parent,
		.first = VZ_NO_NODE,
		.next = VZ_NO_NODE,
		.depth = parent == VZ_NO_NODE ? 0 : t->nodes[parent].depth + 1,
	};
	return t->nnodes++;
}

/* The node of FUNCTION below PARENT; VZ_NO_NODE in RET: there are too many. */
static int child_of(struct vz_calltree *t, uint32_t parent, uint32_t function, uint32_t *ret)
{
	uint32_t *slot = find(t, parent, function);
	int rc;

	*ret = *slot;
	if (*slot != VZ_NO_NODE || t->nnodes == t->max)
		return 0;
	if (t->nnodes == t->cap) {
		rc = grow(t, t->cap > t->max / 2 ? t->max : t->cap * 2);
		if (rc < 0)
			return rc;
		slot = find(t, parent, function);
	}
	*ret = *slot = add(t, parent, function);
	return 0;
}

static void count_entry(struct vz_call_node *node, struct vz_call_track *track, unsigned kind)
{
	if (kind == VZ_ENTRY_OPEN) {
		node->open++;
	} else if (kind == VZ_ENTRY_CALL) {
		node->calls++;
		track->calls++;
	} else {
		node->resumes++;
		track->resumes++;
	}
}

static int enter(void *ctx, const struct vz_visit *at)
{
	struct vz_calltree *t = ctx;
	struct vz_call_track *track = &t->tracks[at->place];
	uint32_t symbol = at->stack[at->depth - 1].symbol;
	uint32_t function = symbol >> VZ_SYMBOL_SHIFT, node = track->current;
	struct vz_call_node none = { 0 };
	int rc = 0;

	if (track->skipped)
		node = VZ_NO_NODE;
	else if (t->nodes[node].function != function)
		rc = child_of(t, node, function, &node);
	if (rc < 0)
		return rc;
	if (node == VZ_NO_NODE) {
		count_entry(&none, track, symbol & KIND_MASK);
		t->left_calls++;
		track->skipped++;
		return 0;
	}
	track->current = node;
	count_entry(&t->nodes[node], track, symbol & KIND_MASK);
	if (++t->nodes[node].active > t->nodes[node].nested)
		t->nodes[node].nested = t->nodes[node].active;
	return 0;
}

static int leave(void *ctx, const struct vz_visit *at)
{
	struct vz_calltree *t = ctx;
	struct vz_call_track *track = &t->tracks[at->place];
	struct vz_call_node *node = &t->nodes[track->current];
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	uint64_t ns = at->ns - frame->begin_ns;

	if (track->skipped) {
		if (--track->skipped == 0) {
			node->other_ns += ns;
			t->left_ns += ns;
		}
	} else {
		node->self_ns += ns > frame->child_ns ? ns - frame->child_ns : 0;
		if (at->how == VZ_LEFT_OPEN && (frame->symbol & KIND_MASK) != VZ_ENTRY_OPEN)
			node->open++;
		if (at->how == VZ_LEAVE_UNSEEN || at->how == VZ_LEFT_GAP)
			node->unseen++;
		if (--node->active == 0) {
			node->total_ns += ns;
			track->current = node->parent;
		}
	}
	if (at->depth == 1)
		t->nodes[at->place].total_ns += ns;
	return 0;
}

static int lost(void *ctx, const struct vz_visit *at)
{
	struct vz_calltree *t = ctx;
	struct vz_call_track *track = &t->tracks[at->place];
	struct vz_call_node *node = &t->nodes[track->current];

	if (at->lost) {
		node->lost += at->lost;
		track->lost += at->lost;
	} else {
		node->holes++;
		track->holes++;
	}
	return 0;
}

struct order {
	const struct vz_calltree *tree;
	const struct vz_reader *reader;
};

static int compare(const void *pa, const void *pb, void *ctx)
{
	const struct order *order = ctx;
	const struct vz_call_node *a = &order->tree->nodes[*(const uint32_t *)pa];
	const struct vz_call_node *b = &order->tree->nodes[*(const uint32_t *)pb];
	int names;

	if (a->parent != b->parent)
		return a->parent < b->parent ? -1 : 1;
	if (a->total_ns != b->total_ns)
		return a->total_ns > b->total_ns ? -1 : 1;
	names = strcmp(vz_reader_function(order->reader, a->function)->name,
		       vz_reader_function(order->reader, b->function)->name);
	return names ? names : (a->function > b->function) - (a->function < b->function);
}

/* Link the children of each node, greatest first. */
static int link_nodes(struct vz_calltree *t, const struct vz_reader *r)
{
	struct order order = { t, r };
	uint32_t n = t->nnodes - t->ntracks;
	uint32_t *ids = malloc((n + 1u) * sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		ids[i] = t->ntracks + i;
	if (n)
		qsort_r(ids, n, sizeof(*ids), compare, &order);
	for (uint32_t i = n; i-- > 0;) {
		struct vz_call_node *node = &t->nodes[ids[i]];

		node->next = t->nodes[node->parent].first;
		t->nodes[node->parent].first = ids[i];
	}
	free(ids);
	return 0;
}

int vz_calltree_init(struct vz_calltree *t, struct vz_reader *r, uint32_t max_paths)
{
	static const struct vz_visitor visitor = { .enter = enter, .leave = leave, .lost = lost };
	uint32_t ntracks = vz_reader_ntracks(r);
	int rc;

	*t = (struct vz_calltree){ .max = ntracks + max_paths };
	t->tracks = calloc(ntracks + 1u, sizeof(*t->tracks));
	rc = t->tracks ? grow(t, ntracks + FIRST_NODES) : -ENOMEM;
	for (uint32_t i = 0; i < ntracks && rc == 0; i++)
		t->tracks[i].current = add(t, VZ_NO_NODE, VZ_NO_NODE);
	t->ntracks = ntracks;
	if (rc == 0)
		rc = vz_walk(r, NULL, &visitor, t);
	if (rc == 0)
		rc = link_nodes(t, r);
	if (rc < 0)
		vz_calltree_fini(t);
	return rc;
}

void vz_calltree_fini(struct vz_calltree *t)
{
	free(t->nodes);
	free(t->tracks);
	free(t->slots);
	*t = (struct vz_calltree){ 0 };
}
