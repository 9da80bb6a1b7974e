/* SPDX-License-Identifier: MIT */
/*
 * index_overview.c - the part of an index that draws the whole trace at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "viewer/index/index.h"

enum {
	PIXELS = 1500,      /* a finer level than these need is left out */
	BUDGET = 128 << 10, /* bytes of RUNS and SLICES; they deflate to about two thirds */
};

static uint64_t aligned(uint64_t n)
{
	return (n + 7) & ~UINT64_C(7);
}

static bool wanted(const struct vzi_tile *tile, unsigned level)
{
	return tile->kind == VZI_SAMPLES || (tile->kind == VZI_RUNS && tile->level == level) ||
	       (tile->kind == VZI_SLICES && tile->level >= level);
}

static uint64_t bytes_at(const struct vz_directory_view *view, unsigned level)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < view->head->ntiles; i++)
		if (wanted(&view->tiles[i], level) && view->tiles[i].kind != VZI_SAMPLES)
			bytes += aligned(view->tiles[i].bytes) + sizeof(view->tiles[i]);
	return bytes;
}

/* The finest level that is not finer than needed, nor too large. */
static unsigned choose_level(const struct vz_directory_view *view)
{
	unsigned level = vzi_class(view->head->duration_ns / PIXELS);

	while (level + 1 < VZI_LEVELS && bytes_at(view, level) > BUDGET)
		level++;
	return level;
}

struct overview {
	struct vz_directory *directory;
	uint8_t *p;
	uint64_t n, cap;
};

static int add_tile(struct overview *o, const struct vzi_tile *tile, const uint8_t *bytes)
{
	struct vzi_tile placed = *tile;

	placed.offset = o->n;
	memcpy(o->p + o->n, bytes, tile->bytes);
	o->n += aligned(tile->bytes);
	return vz_directory_tile(o->directory, &placed);
}

static int add_tiles(struct overview *o, const struct vz_index *index, unsigned level)
{
	const struct vz_directory_view *view = vz_index_view(index);
	int rc = 0;

	o->cap = o->n;
	for (uint32_t i = 0; i < view->head->ntiles; i++)
		if (wanted(&view->tiles[i], level))
			o->cap += aligned(view->tiles[i].bytes);
	o->p = calloc(1, o->cap);
	if (!o->p)
		return -ENOMEM;
	for (uint32_t i = 0; i < view->head->ntiles && rc == 0; i++) {
		size_t bytes;

		if (wanted(&view->tiles[i], level))
			rc = add_tile(o, &view->tiles[i], vz_index_tile(index, i, &bytes));
	}
	return rc;
}

static int add_tracks(struct overview *o, const struct vz_directory_view *view)
{
	static const uint32_t none[VZI_DENSITY];
	int rc = 0;

	for (uint32_t i = 0; i < view->head->ntracks && rc == 0; i++) {
		const struct vzi_track *track = &view->tracks[i];

		rc = vz_directory_track(o->directory, i, track, view->blocks + track->first_block,
					track->nblocks, i ? none : view->density);
	}
	return rc;
}

static int finish(struct overview *o, const struct vz_directory_view *view)
{
	struct vzi_directory head = *view->head;
	struct vzi_header header = {
		.magic = VZI_MAGIC,
		.version = VZI_VERSION,
		.bytes = sizeof(header),
		.directory_offset = o->n,
	};
	uint8_t *blob, *bigger;
	size_t bytes;
	int rc;

	head.flags |= VZI_OVERVIEW;
	rc = vz_directory_finish(o->directory, &head, &blob, &bytes);
	if (rc < 0)
		return rc;
	bigger = realloc(o->p, o->n + bytes);
	if (bigger) {
		o->p = bigger;
		memcpy(o->p + o->n, blob, bytes);
		o->n += bytes;
		header.directory_bytes = bytes;
		header.directory_crc = (uint32_t)crc32_z(0, blob, bytes);
		header.crc = (uint32_t)crc32_z(0, (const uint8_t *)&header,
					       offsetof(struct vzi_header, crc));
		memcpy(o->p, &header, sizeof(header));
	}
	free(blob);
	return bigger ? 0 : -ENOMEM;
}

int vz_index_overview(const struct vz_index *index, uint8_t **ret, size_t *bytes)
{
	const struct vz_directory_view *view = vz_index_view(index);
	struct overview o = {
		.directory = vz_directory_new(view->head->ntracks),
		.n = sizeof(struct vzi_header),
	};
	int rc = o.directory ? 0 : -ENOMEM;

	if (rc == 0)
		rc = add_tiles(&o, index, choose_level(view));
	if (rc == 0)
		rc = add_tracks(&o, view);
	if (rc == 0)
		rc = finish(&o, view);
	vz_directory_free(o.directory);
	if (rc < 0) {
		free(o.p);
		return rc;
	}
	*ret = o.p;
	*bytes = (size_t)o.n;
	return 0;
}
