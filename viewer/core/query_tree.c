/* SPDX-License-Identifier: MIT */
#include "viewer/core/query_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIRST_NODES = 1 << 10,
	MOST_RESERVED = 1 << 20, /* nodes */
	ALIKE = 4, /* tracks that have as many nodes as the largest, of which none is common */
};

/* Of one track. */
struct part {
	uint32_t *map;  /* its node: that of all tracks */
	uint32_t n;     /* known so far */
	uint32_t taken; /* tiles */
	uint8_t *kept;  /* a bit for each merged node; NULL: all that it has */
	uint32_t kept_bytes;
	bool bad;
};

struct vzq_forest {
	uint32_t n, cap;
	uint32_t *parent, *fn;
	uint32_t *slots, nslots; /* hash of (parent, fn); 0: free */
	struct part *parts;
	uint32_t nparts;
	uint32_t reserve, reserve_slots; /* room to begin with; there is none before it is used */
};

/* Slots for N nodes: a quarter stays free. */
static uint32_t slots_for(uint32_t n)
{
	return n + n / 3 + 1;
}

/*
 * Where memory never shrinks, what outgrew its place stays as a hole.  So there is room for all
 * nodes of all tracks, which costs nothing where it is not touched, and slots for as many as
 * there may well be.
 */
static void reserve(struct vzq_forest *f, const struct vzi_track *tracks, uint32_t ntracks)
{
	uint64_t largest = FIRST_NODES;

	f->reserve = FIRST_NODES;
	for (uint32_t i = 0; i < ntracks; i++) {
		uint32_t rest = MOST_RESERVED - f->reserve;

		f->reserve += tracks[i].nnodes < rest ? tracks[i].nnodes : rest;
		if (tracks[i].nnodes > largest)
			largest = tracks[i].nnodes;
	}
	largest *= ALIKE;
	f->reserve_slots = slots_for(f->reserve < largest ? f->reserve : (uint32_t)largest);
}

/* The root, and what was reserved. */
static int begin(struct vzq_forest *f)
{
	uint32_t *parent, *fn, *slots;

	if (f->n)
		return 0;
	parent = malloc(f->reserve * sizeof(*parent));
	fn = malloc(f->reserve * sizeof(*fn));
	slots = calloc(f->reserve_slots, sizeof(*slots));
	if (!parent || !fn || !slots) {
		free(parent);
		free(fn);
		free(slots);
		return -ENOMEM;
	}
	parent[0] = fn[0] = 0;
	f->parent = parent;
	f->fn = fn;
	f->slots = slots;
	f->cap = f->reserve;
	f->nslots = f->reserve_slots;
	f->n = 1;
	return 0;
}

struct vzq_forest *vzq_forest_new(const struct vzi_track *tracks, uint32_t ntracks)
{
	struct vzq_forest *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	reserve(f, tracks, ntracks);
	f->parts = calloc(ntracks + 1u, sizeof(*f->parts));
	f->nparts = ntracks;
	if (!f->parts) {
		vzq_forest_free(f);
		return NULL;
	}
	return f;
}

void vzq_forest_free(struct vzq_forest *f)
{
	if (!f)
		return;
	for (uint32_t i = 0; f->parts && i < f->nparts; i++) {
		free(f->parts[i].map);
		free(f->parts[i].kept);
	}
	free(f->parts);
	free(f->parent);
	free(f->fn);
	free(f->slots);
	free(f);
}

uint32_t vzq_forest_size(const struct vzq_forest *f)
{
	return f->n ? f->n : 1;
}

const uint32_t *vzq_forest_parents(const struct vzq_forest *f)
{
	return f->parent;
}

const uint32_t *vzq_forest_fns(const struct vzq_forest *f)
{
	return f->fn;
}

/* The slot that holds (PARENT, FN), or the free one where it would be. */
static inline uint32_t slot_of(const struct vzq_forest *f, uint32_t parent, uint32_t fn)
{
	uint64_t h = ((uint64_t)parent << 20 ^ fn) * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t at = (uint32_t)((h >> 32) * f->nslots >> 32);

	while (f->slots[at] && (f->parent[f->slots[at]] != parent || f->fn[f->slots[at]] != fn))
		at = at + 1 < f->nslots ? at + 1 : 0;
	return at;
}

static int grow_nodes(struct vzq_forest *f)
{
	uint32_t cap = f->cap * 2;
	uint32_t *parent, *fn;

	if (cap > UINT32_MAX / 4)
		return -ENOMEM;
	parent = realloc(f->parent, cap * sizeof(*parent));
	if (parent)
		f->parent = parent;
	fn = realloc(f->fn, cap * sizeof(*fn));
	if (fn)
		f->fn = fn;
	if (!parent || !fn)
		return -ENOMEM;
	f->cap = cap;
	return 0;
}

static int grow_slots(struct vzq_forest *f)
{
	uint32_t n = f->nslots * 2;
	uint32_t *slots;

	if (n > UINT32_MAX / 4)
		return -ENOMEM;
	slots = calloc(n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(f->slots);
	f->slots = slots;
	f->nslots = n;
	for (uint32_t i = 1; i < f->n; i++)
		f->slots[slot_of(f, f->parent[i], f->fn[i])] = i;
	return 0;
}

/* The node of FN called from PARENT, made if need be; below 0: -ENOMEM. */
static int64_t merged(struct vzq_forest *f, uint32_t parent, uint32_t fn)
{
	uint32_t at = slot_of(f, parent, fn);

	if (f->slots[at])
		return f->slots[at];
	if (f->n == f->cap && grow_nodes(f) < 0)
		return -ENOMEM;
	if (f->n >= f->nslots - f->nslots / 4) {
		if (grow_slots(f) < 0)
			return -ENOMEM;
		at = slot_of(f, parent, fn);
	}
	f->parent[f->n] = parent;
	f->fn[f->n] = fn;
	f->slots[at] = f->n;
	return f->n++;
}

static bool is_kept(const struct part *part, uint32_t node)
{
	return !part->kept ||
	       (node / 8 < part->kept_bytes && part->kept[node / 8] & 1u << node % 8);
}

uint32_t vzq_forest_child(const struct vzq_forest *f, uint32_t track, uint32_t parent, uint32_t fn)
{
	uint32_t node = f->n ? f->slots[slot_of(f, parent, fn)] : 0;

	return node && is_kept(&f->parts[track], node) ? node : VZQ_NO_PATH;
}

/* ---- NODES ---- */

int vzq_plan_nodes(struct vzq_job *job, uint32_t track, uint32_t tag)
{
	const struct part *part = &job->q->forest->parts[track];

	if (begin(job->q->forest) < 0)
		return -ENOMEM;
	if (part->bad || (part->n && part->n == job->q->tracks[track].nnodes))
		return 0;
	return vzq_job_plan_group(job, vzq_group(job->q, track, VZI_NODES, 0), tag, track);
}

static int have_part(const struct vzq *q, const struct vzi_tile *tile)
{
	struct part *part = &q->forest->parts[tile->track];

	if (part->map)
		return 0;
	part->map = calloc(q->tracks[tile->track].nnodes + 1u, sizeof(*part->map));
	if (!part->map)
		return -ENOMEM;
	part->n = tile->first ? 1 : 0; /* the root may be left out */
	return 0;
}

static int add_node(struct vzq_forest *f, struct part *part, uint32_t up, uint32_t fn)
{
	int64_t node = 0;

	if (part->n == 0) {
		part->n = 1;
		return up ? -EBADMSG : 0;
	}
	if (up == 0 || up > part->n)
		return -EBADMSG;
	node = merged(f, part->map[part->n - up], fn);
	if (node < 0)
		return -ENOMEM;
	part->map[part->n++] = (uint32_t)node;
	return 0;
}

/* Which merged nodes the track has, where it may lack some that others have. */
static int note_kept(const struct vzq *q, uint32_t track)
{
	struct part *part = &q->forest->parts[track];

	if (part->n < q->tracks[track].nnodes || !q->tracks[track].left_calls || part->kept)
		return 0;
	part->kept_bytes = q->forest->n / 8 + 1;
	part->kept = calloc(part->kept_bytes, 1);
	if (!part->kept)
		return -ENOMEM;
	for (uint32_t i = 0; i < part->n; i++)
		part->kept[part->map[i] / 8] |= (uint8_t)(1u << part->map[i] % 8);
	return 0;
}

static int add_nodes(const struct vzq *q, const struct vzi_tile *tile, struct vzt_cursor c)
{
	struct part *part = &q->forest->parts[tile->track];
	uint32_t up, fn;
	int rc;

	if (tile->first != part->n)
		return -EBADMSG;
	while ((rc = vzt_next_node(&c, &up, &fn)) == 1) {
		if (part->n == q->tracks[tile->track].nnodes)
			return -EBADMSG;
		rc = add_node(q->forest, part, up, fn);
		if (rc < 0)
			return rc;
	}
	return rc == 0 ? note_kept(q, tile->track) : rc;
}

int vzq_take_nodes(struct vzq *q, const struct vzq_item *item, const uint8_t *p, size_t n)
{
	const struct vzi_tile *tile = &q->tiles[item->id];
	struct part *part = &q->forest->parts[tile->track];
	uint32_t number = item->id - vzq_group(q, tile->track, VZI_NODES, 0).first;
	struct vzt_cursor c;
	int rc = 0;

	if (number < part->taken)
		return 0; /* another job asked for it as well */
	if (!part->bad)
		rc = have_part(q, tile);
	if (rc < 0)
		return rc;
	part->taken = number + 1;
	vzt_rows(&c, tile, p, n);
	rc = part->bad ? -EBADMSG : add_nodes(q, tile, c);
	if (rc == -EBADMSG)
		part->bad = true;
	return rc;
}

bool vzq_has_nodes(const struct vzq_forest *f, uint32_t track)
{
	return f->parts[track].map && !f->parts[track].bad;
}

/* ---- PATHS ---- */

static struct vzq_acc of_row(const struct vzt_path *row)
{
	return (struct vzq_acc){ row->calls, row->resumes, row->self_ns, row->other_ns };
}

/* ROWS: how many were added. */
static int add_rows(struct vzt_cursor c, const struct part *part, struct vzq_paths *paths,
		    uint32_t *rows)
{
	struct vzt_path row;
	int rc;

	for (*rows = 0; (rc = vzt_next_path(&c, &row)) == 1; ++*rows) {
		struct vzq_acc more = of_row(&row);

		if (row.node >= part->n || part->map[row.node] >= paths->n)
			return -EBADMSG;
		rc = vzq_paths_add(paths, part->map[row.node], &more);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static void take_off(struct vzt_cursor c, const struct part *part, struct vzq_paths *paths,
		     uint32_t rows)
{
	struct vzt_path row;

	for (; rows && vzt_next_path(&c, &row) == 1; rows--) {
		struct vzq_acc less = of_row(&row);

		vzq_paths_take_off(paths, part->map[row.node], &less);
	}
}

int vzq_add_paths(struct vzq *q, const struct vzq_item *item, const uint8_t *p, size_t n,
		  struct vzq_paths *paths)
{
	const struct vzi_tile *tile = &q->tiles[item->id];
	const struct part *part = &q->forest->parts[tile->track];
	struct vzt_cursor c;
	uint32_t rows;
	int rc;

	if (!part->map)
		return -EBADMSG;
	vzt_rows(&c, tile, p, n);
	rc = add_rows(c, part, paths, &rows);
	if (rc < 0)
		take_off(c, part, paths, rows);
	return rc;
}

void vzq_last_fini(struct vzq_last *last)
{
	vzq_paths_fini(&last->paths);
	free(last->tracks);
	*last = (struct vzq_last){ 0 };
}
