/* SPDX-License-Identifier: MIT */
/*
 * blocks.h - finds the blocks of a mapped .viz file.
 *
 * By the index where there is one, else by walking and searching.  Knows
 * headers, checksums and compression, not what is inside a payload.
 */
#ifndef VZ_VIEWER_BLOCKS_H
#define VZ_VIEWER_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payload/wire.h"

struct vz_blocks {
	const uint8_t *file;
	size_t bytes;
	struct vz_index_entry *entries; /* all types, in order of the file */
	uint32_t n, cap;
	bool has_footer;
	bool by_index;
	uint64_t skipped_bytes;
	uint64_t missing_blocks;
	uint8_t *raw; /* of the block decoded last */
	size_t raw_cap;
};

/** Find all blocks; 0 or -ENOMEM.  Free with vz_blocks_fini(). */
int vz_blocks_init(struct vz_blocks *b, const uint8_t *file, size_t bytes);
void vz_blocks_fini(struct vz_blocks *b);

/** Check and decode the block at OFFSET; RAW is valid until the next call.  -EBADMSG, -ENOMEM. */
int vz_blocks_load(struct vz_blocks *b, uint64_t offset, struct vz_block *head,
		   const uint8_t **raw);

#endif /* VZ_VIEWER_BLOCKS_H */
