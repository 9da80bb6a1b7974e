/* SPDX-License-Identifier: MIT */
/* A hash table of stacks; a group that is empty leaves it. */
#include "viewer/import/import_async.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST = 64 };

struct slot {
	uint64_t group;
	uint32_t top; /* node + 1, 0: the slot is free */
	uint32_t track;
};

struct vz_import_async {
	struct slot *slots;
	uint32_t nslots, n;
	struct vz_import_open *nodes;
	uint32_t nnodes, nodes_cap;
	uint32_t unused; /* node + 1 of the first that is free, linked by .next */
	uint32_t sweep;
};

struct vz_import_async *vz_async_new(void)
{
	struct vz_import_async *a = calloc(1, sizeof(*a));

	if (a)
		a->slots = calloc(FIRST, sizeof(*a->slots));
	if (a && a->slots) {
		a->nslots = FIRST;
		return a;
	}
	free(a);
	return NULL;
}

void vz_import_async_free(struct vz_import_async *a)
{
	if (!a)
		return;
	free(a->slots);
	free(a->nodes);
	free(a);
}

static uint32_t home(const struct vz_import_async *a, uint64_t group)
{
	return (uint32_t)(group ^ group >> 32) & (a->nslots - 1);
}

static struct slot *find(struct vz_import_async *a, uint64_t group)
{
	uint32_t at = home(a, group);

	while (a->slots[at].top && a->slots[at].group != group)
		at = (at + 1) & (a->nslots - 1);
	return &a->slots[at];
}

static int more_slots(struct vz_import_async *a)
{
	struct slot *old = a->slots;
	uint32_t n = a->nslots;

	if (a->n < n / 2)
		return 0;
	a->slots = calloc(n * 2u, sizeof(*a->slots));
	if (!a->slots) {
		a->slots = old;
		return -ENOMEM;
	}
	a->nslots = n * 2;
	for (uint32_t i = 0; i < n; i++)
		if (old[i].top)
			*find(a, old[i].group) = old[i];
	free(old);
	return 0;
}

static int new_node(struct vz_import_async *a, uint32_t *ret)
{
	if (a->unused) {
		*ret = a->unused - 1;
		a->unused = a->nodes[*ret].next;
		return 0;
	}
	if (a->nnodes == a->nodes_cap) {
		uint32_t cap = a->nodes_cap ? a->nodes_cap * 2 : FIRST;
		struct vz_import_open *bigger = reallocarray(a->nodes, cap, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		a->nodes = bigger;
		a->nodes_cap = cap;
	}
	*ret = a->nnodes++;
	return 0;
}

int vz_async_push(struct vz_import_async *a, uint64_t group, uint32_t track,
		  const struct vz_import_open *open)
{
	struct slot *slot;
	uint32_t node;

	if (more_slots(a) < 0 || new_node(a, &node) < 0)
		return -ENOMEM;
	slot = find(a, group);
	if (!slot->top) {
		*slot = (struct slot){ .group = group, .track = track };
		a->n++;
	}
	a->nodes[node] = *open;
	a->nodes[node].next = slot->top;
	slot->top = node + 1;
	return 0;
}

/* Those behind a free slot that would be looked for there move up. */
static void close_gap(struct vz_import_async *a, uint32_t hole)
{
	uint32_t mask = a->nslots - 1;

	for (uint32_t at = (hole + 1) & mask; a->slots[at].top; at = (at + 1) & mask) {
		uint32_t want = home(a, a->slots[at].group);

		if (((at - want) & mask) >= ((at - hole) & mask)) {
			a->slots[hole] = a->slots[at];
			hole = at;
		}
	}
	a->slots[hole].top = 0;
}

static void pop(struct vz_import_async *a, struct slot *slot, uint32_t *track,
		struct vz_import_open *ret)
{
	uint32_t node = slot->top - 1;

	*track = slot->track;
	*ret = a->nodes[node];
	slot->top = ret->next;
	a->nodes[node].next = a->unused;
	a->unused = node + 1;
	if (!slot->top) {
		a->n--;
		close_gap(a, (uint32_t)(slot - a->slots));
	}
}

bool vz_async_pop(struct vz_import_async *a, uint64_t group, uint32_t *track,
		  struct vz_import_open *ret)
{
	struct slot *slot = find(a, group);

	if (!slot->top)
		return false;
	pop(a, slot, track, ret);
	return true;
}

bool vz_async_take_any(struct vz_import_async *a, uint32_t *track, struct vz_import_open *ret)
{
	for (uint32_t tries = 0; a->n && tries < a->nslots; tries++) {
		struct slot *slot = &a->slots[a->sweep & (a->nslots - 1)];

		if (slot->top) {
			pop(a, slot, track, ret);
			return true;
		}
		a->sweep++;
	}
	return false;
}
