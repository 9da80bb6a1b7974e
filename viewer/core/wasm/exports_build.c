/* SPDX-License-Identifier: MIT */
/*
 * exports_build.c - what the workers of an HTML file call to build its index; viewer/web/src/builder.ts
 * and assemble.ts are the other side.
 *
 * Owns one builder of a track at a time.  Tiles go to the page as they are made.
 */
#include <stdlib.h>

#include "viewer/core/build.h"
#include "viewer/core/directory.h"
#include "viewer/core/wasm/exports.h"

/* Takes a struct vzi_tile and its bytes, at once. */
VZX_IMPORT(tile) void vzx_page_tile(const struct vzi_tile *tile, const uint8_t *bytes);

static int take_tile(void *ctx, const struct vzi_tile *tile, const uint8_t *bytes)
{
	(void)ctx;
	vzx_page_tile(tile, bytes);
	return 0;
}

/* ROW: of the track in the overview; its times count from ZERO_NS. */
VZX_EXPORT struct vz_build *vzx_build_new(uint32_t track, const struct vzi_track *row,
					  uint64_t zero_ns, uint64_t duration_ns)
{
	const struct vz_build_options options = {
		.track = track,
		.place = row->place,
		.flags = row->flags,
		.zero_ns = zero_ns,
		.duration_ns = duration_ns,
		.begin_ns = zero_ns + row->begin_ns,
		.end_ns = zero_ns + row->end_ns,
		.sink = { .tile = take_tile },
	};
	struct vz_build *b;

	return vz_build_new(&options, &b) < 0 ? NULL : b;
}

/* BLOCK: its row in the overview.  RAW NULL: it cannot be read. */
VZX_EXPORT int vzx_build_block(struct vz_build *b, const struct vzi_block *block, uint64_t zero_ns,
			       const uint8_t *raw, uint32_t bytes)
{
	const struct vz_block head = {
		.magic = VZ_BLOCK_MAGIC,
		.type = VZ_BLOCK_EVENTS,
		.raw_bytes = bytes,
		.count = block->entries,
		.t0_ns = zero_ns + block->t0_ns,
		.t1_ns = zero_ns + block->t1_ns,
	};

	return vz_build_block(b, block->number, &head, raw);
}

VZX_EXPORT int vzx_build_end(struct vz_build *b)
{
	return vz_build_end(b);
}

VZX_EXPORT const struct vzi_track *vzx_build_track(const struct vz_build *b)
{
	return vz_build_track(b);
}

VZX_EXPORT const struct vzi_block *vzx_build_blocks(const struct vz_build *b, uint32_t *n)
{
	return vz_build_blocks(b, n);
}

VZX_EXPORT const uint32_t *vzx_build_density(const struct vz_build *b)
{
	return vz_build_density(b);
}

VZX_EXPORT void vzx_build_free(struct vz_build *b)
{
	vz_build_free(b);
}

/* ---- the directory of all tracks ---- */

VZX_EXPORT struct vz_directory *vzx_directory_new(uint32_t ntracks)
{
	return vz_directory_new(ntracks);
}

VZX_EXPORT int vzx_directory_tile(struct vz_directory *d, const struct vzi_tile *tile)
{
	return vz_directory_tile(d, tile);
}

VZX_EXPORT int vzx_directory_track(struct vz_directory *d, uint32_t i, const struct vzi_track *row,
				   const struct vzi_block *blocks, uint32_t nblocks,
				   const uint32_t *density)
{
	return vz_directory_track(d, i, row, blocks, nblocks, density);
}

/* Bytes of the blob, at *RET; 0: there is none.  HEAD: that of the overview, its flags cleared. */
VZX_EXPORT uint32_t vzx_directory_finish(struct vz_directory *d, const struct vzi_directory *head,
					 uint8_t **ret)
{
	size_t bytes = 0;

	return vz_directory_finish(d, head, ret, &bytes) < 0 ? 0 : (uint32_t)bytes;
}

VZX_EXPORT void vzx_directory_free(struct vz_directory *d)
{
	vz_directory_free(d);
}
