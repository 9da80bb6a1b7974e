/* SPDX-License-Identifier: MIT */
/* args.h - arguments, return values and the like, that a trace has for single calls. */
#ifndef VZ_VIEWER_ARGS_H
#define VZ_VIEWER_ARGS_H

#include <stddef.h>
#include <stdint.h>

#include "viewer/reader.h"

/* A block of VZ_BLOCK_ARGS, record by record. */
struct vz_args {
	const uint8_t *p, *end;
	uint64_t entry;
	uint64_t last; /* entries above are damage */
};

/** Begin with a block; RAW must stay. */
void vz_args_init(struct vz_args *args, const struct vz_block *head, const uint8_t *raw);
/** 1: JSON is that of call number ENTRY of its track; 0: no more; -EBADMSG: nonsense. */
int vz_args_next(struct vz_args *args, uint64_t *entry, const uint8_t **json, size_t *bytes);

/**
 * The JSON object of call number ENTRY (counted over all blocks of events) of the track at
 * PLACE; free() it.  -ENOENT, -ENOMEM.
 */
int vz_args_find(struct vz_reader *r, uint32_t place, uint64_t entry, char **json, size_t *bytes);

#endif /* VZ_VIEWER_ARGS_H */
