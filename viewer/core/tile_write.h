/* SPDX-License-Identifier: MIT */
/*
 * tile_write.h - collects records of the index and writes them as tiles, see format.h.
 *
 * Owns the buffers; a tile goes to the sink as soon as it is full.
 */
#ifndef VZ_VIEWER_CORE_TILE_WRITE_H
#define VZ_VIEWER_CORE_TILE_WRITE_H

#include "viewer/core/build.h"

/* Bytes under way. */
struct vz_bytes {
	uint8_t *p;
	size_t n, cap;
};

/** Make room for MORE bytes behind the .n that are there; 0 or -ENOMEM. */
int vz_bytes_room(struct vz_bytes *b, size_t more);

enum {
	VZ_VARINT_MAX = 10,
};

/** There must be room for VZ_VARINT_MAX. */
static inline uint8_t *vz_put_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

/* A record of SLICES or RUNS. */
struct vz_record {
	uint64_t start, length;
	uint32_t depth, function;
	uint32_t last; /* how, or count */
};

struct vz_records {
	struct vz_record *p;
	uint32_t n, cap;
};

struct vz_tile_writer {
	struct vz_build_sink sink;
	uint32_t track;
	struct vz_bytes bytes;
	struct vz_record *spare; /* VZI_TILE_RECORDS, to sort */
};

void vz_tile_writer_fini(struct vz_tile_writer *w);

/** Hand what is in .bytes to the sink as TILE, whose .track and .bytes are filled in, and empty it.
 */
int vz_tile_send(struct vz_tile_writer *w, struct vzi_tile *tile);

/** Add a record to those of KIND and LEVEL; a full tile is written.  0, -ENOMEM, the sink's. */
int vz_records_add(struct vz_tile_writer *w, struct vz_records *records, enum vzi_kind kind,
		   unsigned level, const struct vz_record *record);
/** Write what is there, if anything is. */
int vz_records_flush(struct vz_tile_writer *w, struct vz_records *records, enum vzi_kind kind,
		     unsigned level);

#endif /* VZ_VIEWER_CORE_TILE_WRITE_H */
