/* SPDX-License-Identifier: MIT */
/*
 * directory.h - puts the directory of an index together, and checks one before it is used.
 *
 * Owns the rows while they are collected.  Tracks may be added in any order, and by parts
 * made in several threads or workers.
 */
#ifndef VZ_VIEWER_CORE_DIRECTORY_H
#define VZ_VIEWER_CORE_DIRECTORY_H

#include <stddef.h>
#include <stdint.h>

#include "viewer/core/format.h"

struct vz_directory;

/** For NTRACKS tracks, none of which has anything yet; NULL without memory. */
struct vz_directory *vz_directory_new(uint32_t ntracks);
void vz_directory_free(struct vz_directory *d);

/** Add a tile whose .offset and .track are set; 0, -ENOMEM or -EINVAL. */
int vz_directory_tile(struct vz_directory *d, const struct vzi_tile *tile);
/** Add track number I: its row, its blocks; and add its density to that of all. */
int vz_directory_track(struct vz_directory *d, uint32_t i, const struct vzi_track *row,
		       const struct vzi_block *blocks, uint32_t nblocks, const uint32_t *density);

/**
 * The blob: struct vzi_directory, tracks, tiles, blocks, density.  HEAD: .zero_ns, .nfunctions,
 * .flags, and at least .duration_ns; the rest is filled in.  0, -ENOMEM or -EINVAL: too much.  Free
 * RET with free().
 */
int vz_directory_finish(struct vz_directory *d, const struct vzi_directory *head, uint8_t **ret,
			size_t *bytes);

/* Where the parts of a blob are. */
struct vz_directory_view {
	const struct vzi_directory *head;
	const struct vzi_track *tracks;
	const struct vzi_tile *tiles;
	const struct vzi_block *blocks;
	const uint32_t *density;
};

/**
 * Whether these BYTES, aligned to 8, are a directory, all rows of which can be used: order, sums,
 * kinds, levels, and tiles within TILES_END bytes of the index.  0 or -EBADMSG.
 */
int vz_directory_check(const void *blob, size_t bytes, uint64_t tiles_end,
		       struct vz_directory_view *ret);

#endif /* VZ_VIEWER_CORE_DIRECTORY_H */
