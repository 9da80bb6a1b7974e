/* SPDX-License-Identifier: MIT */
#include "viewer/core/directory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIRST = 64,
};

/* Tiles of a track are a list, as tracks may come at the same time. */
struct row {
	struct vzi_tile tile;
	uint32_t next;
};

struct part {
	struct vzi_track track;
	struct vzi_block *blocks;
	uint32_t first, ntiles; /* of .rows */
};

struct vz_directory {
	struct part *parts;
	uint32_t ntracks;
	struct row *rows;
	uint32_t nrows, cap;
	uint64_t nblocks, entries, end_ns;
	uint32_t density[VZI_DENSITY];
};

#define NO_ROW UINT32_MAX

struct vz_directory *vz_directory_new(uint32_t ntracks)
{
	struct vz_directory *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->parts = calloc((size_t)ntracks + 1, sizeof(*d->parts));
	if (!d->parts) {
		free(d);
		return NULL;
	}
	d->ntracks = ntracks;
	for (uint32_t i = 0; i < ntracks; i++)
		d->parts[i].first = NO_ROW;
	return d;
}

void vz_directory_free(struct vz_directory *d)
{
	if (!d)
		return;
	for (uint32_t i = 0; i < d->ntracks; i++)
		free(d->parts[i].blocks);
	free(d->parts);
	free(d->rows);
	free(d);
}

int vz_directory_tile(struct vz_directory *d, const struct vzi_tile *tile)
{
	struct part *part;

	if (tile->track >= d->ntracks)
		return -EINVAL;
	if (d->nrows == d->cap) {
		uint32_t cap = d->cap ? d->cap * 2 : FIRST;
		struct row *bigger = realloc(d->rows, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		d->rows = bigger;
		d->cap = cap;
	}
	part = &d->parts[tile->track];
	d->rows[d->nrows] = (struct row){ *tile, part->first };
	part->first = d->nrows++;
	part->ntiles++;
	return 0;
}

int vz_directory_track(struct vz_directory *d, uint32_t i, const struct vzi_track *row,
		       const struct vzi_block *blocks, uint32_t nblocks, const uint32_t *density)
{
	struct part *part;

	if (i >= d->ntracks || d->parts[i].blocks)
		return -EINVAL;
	part = &d->parts[i];
	if (nblocks) {
		part->blocks = malloc(nblocks * sizeof(*blocks));
		if (!part->blocks)
			return -ENOMEM;
		memcpy(part->blocks, blocks, nblocks * sizeof(*blocks));
	}
	part->track = *row;
	part->track.nblocks = nblocks;
	d->nblocks += nblocks;
	d->entries += row->entries;
	if (row->end_ns > d->end_ns)
		d->end_ns = row->end_ns;
	for (uint32_t k = 0; k < VZI_DENSITY; k++)
		d->density[k] += density[k];
	return 0;
}

/* ---- the blob ---- */

/* By kind, level, start; equals in order of the blocks they are of. */
static bool before(const struct vzi_tile *a, const struct vzi_tile *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind;
	if (a->level != b->level)
		return a->level < b->level;
	if (a->t0_ns != b->t0_ns)
		return a->t0_ns < b->t0_ns;
	return a->first < b->first;
}

static void sift(struct vzi_tile *tiles, uint32_t at, uint32_t n)
{
	const struct vzi_tile tile = tiles[at];

	for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
		if (child + 1 < n && before(&tiles[child], &tiles[child + 1]))
			child++;
		if (!before(&tile, &tiles[child]))
			break;
		tiles[at] = tiles[child];
	}
	tiles[at] = tile;
}

static void sort(struct vzi_tile *tiles, uint32_t n)
{
	for (uint32_t i = n / 2; i-- > 0;)
		sift(tiles, i, n);
	for (uint32_t i = n; i-- > 1;) {
		const struct vzi_tile greatest = tiles[0];

		tiles[0] = tiles[i];
		tiles[i] = greatest;
		sift(tiles, 0, i);
	}
}

struct layout {
	uint64_t tracks, tiles, blocks, density, end;
};

static struct layout lay_out(uint64_t ntracks, uint64_t ntiles, uint64_t nblocks)
{
	struct layout l;

	l.tracks = sizeof(struct vzi_directory);
	l.tiles = l.tracks + ntracks * sizeof(struct vzi_track);
	l.blocks = l.tiles + ntiles * sizeof(struct vzi_tile);
	l.density = l.blocks + nblocks * sizeof(struct vzi_block);
	l.end = l.density + VZI_DENSITY * sizeof(uint32_t);
	return l;
}

/* .first_tile and .first_block of the track are set. */
static void put_track(const struct vz_directory *d, uint32_t i, const struct layout *l,
		      uint8_t *blob)
{
	const struct part *part = &d->parts[i];
	struct vzi_track track = part->track;
	struct vzi_tile *tiles = (struct vzi_tile *)(void *)(blob + l->tiles) + track.first_tile;
	uint32_t n = part->ntiles;

	track.ntiles = n;
	memcpy(blob + l->tracks + i * sizeof(track), &track, sizeof(track));
	/* The list has the last one first. */
	for (uint32_t at = part->first; at != NO_ROW; at = d->rows[at].next)
		tiles[--n] = d->rows[at].tile;
	sort(tiles, part->ntiles);
	if (track.nblocks)
		memcpy(blob + l->blocks + track.first_block * sizeof(struct vzi_block),
		       part->blocks, track.nblocks * sizeof(struct vzi_block));
}

int vz_directory_finish(struct vz_directory *d, const struct vzi_directory *head, uint8_t **ret,
			size_t *bytes)
{
	struct layout l = lay_out(d->ntracks, d->nrows, d->nblocks);
	struct vzi_directory full = *head;
	uint32_t first_tile = 0, first_block = 0;
	uint8_t *blob;

	if (l.end > INT32_MAX || d->nblocks > UINT32_MAX)
		return -EINVAL;
	blob = malloc((size_t)l.end);
	if (!blob)
		return -ENOMEM;
	full.version = VZI_VERSION;
	full.ntracks = d->ntracks;
	full.ntiles = d->nrows;
	full.nblocks = (uint32_t)d->nblocks;
	full.entries = d->entries;
	if (d->end_ns > full.duration_ns)
		full.duration_ns = d->end_ns;
	memcpy(blob, &full, sizeof(full));
	for (uint32_t i = 0; i < d->ntracks; i++) {
		d->parts[i].track.first_tile = first_tile;
		d->parts[i].track.first_block = first_block;
		put_track(d, i, &l, blob);
		first_tile += d->parts[i].ntiles;
		first_block += d->parts[i].track.nblocks;
	}
	memcpy(blob + l.density, d->density, sizeof(d->density));
	*ret = blob;
	*bytes = (size_t)l.end;
	return 0;
}

/* ---- checking ---- */

static bool good_tile(const struct vzi_tile *t, uint32_t track, const struct vzi_directory *head,
		      uint64_t tiles_end)
{
	return t->track == track && t->kind >= VZI_SLICES && t->kind <= VZI_SAMPLES &&
	       t->level < VZI_LEVELS && t->t0_ns <= t->t1_ns && t->t1_ns <= head->duration_ns &&
	       t->offset % 8 == 0 && t->offset <= tiles_end && t->bytes <= tiles_end - t->offset &&
	       t->min_depth <= t->max_depth &&
	       /* Each record takes a byte at least. */
	       t->count <= t->bytes && (t->kind > VZI_RUNS || t->count <= VZI_TILE_RECORDS);
}

static bool good_track(const struct vz_directory_view *v, uint32_t i, uint64_t tiles_end)
{
	const struct vzi_directory *head = v->head;
	const struct vzi_track *track = &v->tracks[i];
	uint64_t from = 0;

	if (track->ntiles > head->ntiles || track->first_tile > head->ntiles - track->ntiles ||
	    track->nblocks > head->nblocks || track->first_block > head->nblocks - track->nblocks ||
	    track->begin_ns > track->end_ns || track->end_ns > head->duration_ns ||
	    track->nnodes > VZI_MAX_NODES)
		return false;
	for (uint32_t k = 0; k < track->ntiles; k++) {
		const struct vzi_tile *tile = &v->tiles[track->first_tile + k];

		if (!good_tile(tile, i, head, tiles_end) || (k && before(tile, tile - 1)))
			return false;
	}
	for (uint32_t k = 0; k < track->nblocks; k++) {
		const struct vzi_block *block = &v->blocks[track->first_block + k];

		if (block->from_ns < from || block->from_ns > track->end_ns ||
		    block->t0_ns > block->t1_ns)
			return false;
		from = block->from_ns;
	}
	return true;
}

int vz_directory_check(const void *blob, size_t bytes, uint64_t tiles_end,
		       struct vz_directory_view *ret)
{
	const struct vzi_directory *head = blob;
	const uint8_t *p = blob;
	struct layout l;
	uint64_t tiles = 0, blocks = 0;

	if (bytes < sizeof(*head) || head->version != VZI_VERSION)
		return -EBADMSG;
	l = lay_out(head->ntracks, head->ntiles, head->nblocks);
	if (l.end != bytes || head->duration_ns >= UINT64_C(1) << 53)
		return -EBADMSG;
	*ret = (struct vz_directory_view){
		.head = head,
		.tracks = (const void *)(p + l.tracks),
		.tiles = (const void *)(p + l.tiles),
		.blocks = (const void *)(p + l.blocks),
		.density = (const void *)(p + l.density),
	};
	for (uint32_t i = 0; i < head->ntracks; i++) {
		/* One after the other, so that they do not overlap and nothing is left. */
		if (ret->tracks[i].first_tile != tiles || ret->tracks[i].first_block != blocks ||
		    !good_track(ret, i, tiles_end))
			return -EBADMSG;
		tiles += ret->tracks[i].ntiles;
		blocks += ret->tracks[i].nblocks;
	}
	return tiles == head->ntiles && blocks == head->nblocks ? 0 : -EBADMSG;
}
