/* SPDX-License-Identifier: MIT */
/*
 * build_paths.c - PATHS and NODES: call paths, in one block and in 16, 256 ... of them.
 *
 * As in viewer/calltree.h: a function that calls itself directly stays in its node.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/build_priv.h"

enum {
	FIRST_NODES = 256,
	FIRST_STACK = 64,
	ROW_VARINTS = 5,
	NODE_VARINTS = 2,
};

int vz_set_room(struct vz_set *set, uint32_t n)
{
	uint32_t nwords = n / 64 + 1;
	uint64_t *bigger;

	if (nwords <= set->nwords)
		return 0;
	bigger = realloc(set->words, nwords * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger + set->nwords, 0, (nwords - set->nwords) * sizeof(*bigger));
	set->words = bigger;
	set->nwords = nwords;
	return 0;
}

static uint32_t slot_of(const struct vz_paths *p, uint32_t parent, uint32_t function)
{
	uint64_t h = ((uint64_t)parent << 32 | function) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(h >> 32) & (p->nslots - 1);
}

/* Where the node of FUNCTION below PARENT is, or would be. */
static uint32_t *slot_for(const struct vz_paths *p, uint32_t parent, uint32_t function)
{
	uint32_t i = slot_of(p, parent, function);

	while (p->slots[i] && (p->nodes[p->slots[i]].parent != parent ||
			       p->nodes[p->slots[i]].function != function))
		i = (i + 1) & (p->nslots - 1);
	return &p->slots[i];
}

/* Room for CAP nodes, and a table twice as large. */
static int grow(struct vz_paths *p, uint32_t cap)
{
	struct vz_path *nodes = realloc(p->nodes, cap * sizeof(*nodes));
	uint32_t *slots;

	if (!nodes)
		return -ENOMEM;
	p->nodes = nodes;
	slots = calloc((size_t)cap * 2, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(p->slots);
	p->slots = slots;
	p->nslots = cap * 2;
	p->cap = cap;
	for (uint32_t i = 1; i < p->nnodes; i++)
		*slot_for(p, nodes[i].parent, nodes[i].function) = i;
	return vz_set_room(&p->set, cap);
}

static uint32_t add(struct vz_paths *p, uint32_t parent, uint32_t function)
{
	p->nodes[p->nnodes] = (struct vz_path){
		.function = function,
		.parent = parent,
	};
	return p->nnodes++;
}

int vz_paths_init(struct vz_paths *p)
{
	int rc;

	*p = (struct vz_paths){ 0 };
	rc = grow(p, FIRST_NODES);
	if (rc == 0)
		add(p, 0, VZ_BUILD_NONE);
	return rc;
}

void vz_paths_fini(struct vz_paths *p)
{
	free(p->nodes);
	free(p->slots);
	free(p->set.words);
	free(p->stack);
	for (int i = 0; i <= VZ_BUILD_LEVELS; i++) {
		free(p->levels[i].sums);
		free(p->levels[i].set.words);
	}
	*p = (struct vz_paths){ 0 };
}

int vz_paths_more_stack(struct vz_paths *p)
{
	uint32_t cap = p->stack_cap ? p->stack_cap * 2 : FIRST_STACK;
	uint32_t *bigger = realloc(p->stack, cap * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	p->stack = bigger;
	p->stack_cap = cap;
	return 0;
}

int vz_paths_find(struct vz_paths *p, uint32_t from, uint32_t function, uint32_t *ret)
{
	uint32_t *slot = slot_for(p, from, function);
	int rc;

	if (!*slot) {
		*ret = from | VZ_PATH_LEFT;
		if (p->nnodes == VZI_MAX_NODES)
			return 0;
		if (p->nnodes == p->cap) {
			rc = grow(p, p->cap * 2);
			if (rc < 0)
				return rc;
			slot = slot_for(p, from, function);
		}
		*slot = add(p, from, function);
	}
	*ret = *slot;
	return 0;
}

/* ---- rows ---- */

static int put(struct vz_bytes *bytes, uint32_t delta, const struct vz_path_sum *s)
{
	int rc = vz_bytes_room(bytes, (size_t)ROW_VARINTS * VZ_VARINT_MAX);
	uint8_t *p;

	if (rc < 0)
		return rc;
	p = vz_put_varint(bytes->p + bytes->n, delta);
	p = vz_put_varint(p, s->calls);
	p = vz_put_varint(p, s->resumes);
	p = vz_put_varint(p, s->self);
	p = vz_put_varint(p, s->other);
	bytes->n = (size_t)(p - bytes->p);
	return 0;
}

static int have_level(struct vz_path_level *l, uint32_t cap)
{
	struct vz_path_sum *bigger;

	if (cap <= l->cap)
		return 0;
	bigger = realloc(l->sums, cap * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger + l->cap, 0, (cap - l->cap) * sizeof(*bigger));
	l->sums = bigger;
	l->cap = cap;
	return vz_set_room(&l->set, cap);
}

static void add_up(struct vz_path_level *l, uint32_t node, const struct vz_path_sum *s)
{
	struct vz_path_sum *to = &l->sums[node];

	vz_set_add(&l->set, node);
	to->calls += s->calls;
	to->resumes += s->resumes;
	to->self += s->self;
	to->other += s->other;
}

int vz_paths_flush(struct vz_paths *p, struct vz_tile_writer *w, struct vzi_tile *tile)
{
	struct vz_path_level *l = &p->levels[tile->level];
	struct vz_path_level *up = l + 1;
	uint32_t next = 0;
	int rc = have_level(up, l->cap);

	for (uint32_t i = vz_set_next(&l->set, 0); i != VZ_BUILD_NONE;
	     i = vz_set_next(&l->set, i + 1)) {
		struct vz_path_sum *sum = &l->sums[i];

		if (rc == 0)
			rc = put(&w->bytes, i - next, sum);
		if (rc == 0)
			add_up(up, i, sum);
		*sum = (struct vz_path_sum){ 0 };
		next = i + 1;
		tile->count++;
	}
	vz_set_clear(&l->set);
	return rc < 0 ? rc : vz_tile_send(w, tile);
}

int vz_paths_block(struct vz_paths *p, struct vz_tile_writer *w, struct vzi_tile *tile)
{
	struct vz_path_level *up = &p->levels[1];
	uint32_t next = 0;
	int rc = have_level(up, p->cap);

	for (uint32_t i = vz_set_next(&p->set, 0); i != VZ_BUILD_NONE;
	     i = vz_set_next(&p->set, i + 1)) {
		struct vz_path *node = &p->nodes[i];
		const struct vz_path_sum sum = {
			.calls = node->calls,
			.resumes = node->resumes,
			.self = node->self,
			.other = node->other,
		};

		node->calls = node->resumes = 0;
		node->self = node->other = 0;
		if (!(sum.calls | sum.resumes | sum.self | sum.other))
			continue;
		if (rc == 0)
			rc = put(&w->bytes, i - next, &sum);
		if (rc == 0)
			add_up(up, i, &sum);
		next = i + 1;
		tile->count++;
	}
	vz_set_clear(&p->set);
	return rc < 0 ? rc : vz_tile_send(w, tile);
}

/* Node 0 is written as 0, 0. */
int vz_paths_nodes(struct vz_paths *p, struct vz_tile_writer *w)
{
	int rc = 0;

	for (uint32_t first = 0; first < p->nnodes && rc == 0; first += VZI_NODES_TILE) {
		uint32_t n =
			p->nnodes - first < VZI_NODES_TILE ? p->nnodes - first : VZI_NODES_TILE;
		struct vzi_tile tile = { .kind = VZI_NODES, .count = n, .first = first };
		uint8_t *at;

		rc = vz_bytes_room(&w->bytes, (size_t)n * NODE_VARINTS * VZ_VARINT_MAX);
		if (rc < 0)
			return rc;
		at = w->bytes.p;
		for (uint32_t i = first; i < first + n; i++) {
			at = vz_put_varint(at, i - p->nodes[i].parent);
			at = vz_put_varint(at, i ? p->nodes[i].function : 0);
		}
		w->bytes.n = (size_t)(at - w->bytes.p);
		rc = vz_tile_send(w, &tile);
	}
	return rc;
}
