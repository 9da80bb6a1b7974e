/* SPDX-License-Identifier: MIT */
/*
 * blockfile.h - appends blocks to a .viz file: header, checksums, index, footer.
 *
 * Knows nothing of what is in a payload.  The first write error is sticky: later
 * blocks are dropped, so that what is in the file stays a prefix of a good one.
 */
#ifndef VZ_ATTACH_BLOCKFILE_H
#define VZ_ATTACH_BLOCKFILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "attach/encode.h"
#include "payload/wire.h"

struct vz_blockfile {
	int fd;    /* the caller's */
	int error; /* 0, or the first error: negative errno */
	uint64_t bytes;
	uint32_t seq;
	struct vz_encoder *encoder;
	struct vz_index_entry *index; /* of the blocks since the last index block */
	uint32_t nindex;
	uint64_t last_index;
};

/** Write the header; errors are in .error.  Finish with vz_blockfile_fini() in any case. */
void vz_blockfile_init(struct vz_blockfile *b, int fd, const struct vz_file_header *header);
void vz_blockfile_fini(struct vz_blockfile *b);

void vz_blockfile_fail(struct vz_blockfile *b, int rc);

/**
 * Append a block.  HEAD holds type, codec, lengths, count and what belongs to the type.
 * Returns its offset, which means something only without an error.
 */
uint64_t vz_blockfile_put(struct vz_blockfile *b, struct vz_block *head, const uint8_t *payload);
/** The same for a payload that is not compressed yet; fills codec and lengths. */
uint64_t vz_blockfile_put_raw(struct vz_blockfile *b, struct vz_block *head, const uint8_t *raw,
			      size_t bytes);

/** Write the index and the footer; END: offset of the end block. */
void vz_blockfile_end(struct vz_blockfile *b, uint64_t end);

#endif /* VZ_ATTACH_BLOCKFILE_H */
