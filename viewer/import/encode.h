/* SPDX-License-Identifier: MIT */
/*
 * encode.h - turns events of one track into the payload of an EVENTS block.
 *
 * Owns the columns, the move-to-front lists and the compressor; the layout is part 3
 * of payload/wire.h, viewer/core/decode.c is the mirror.  One encoder serves all tracks:
 * nothing survives from one block to the next.
 */
#ifndef VZ_VIEWER_ENCODE_H
#define VZ_VIEWER_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "payload/wire.h"

enum vz_pack_tag {
	VZ_PACK_ENTER = 0, /* + enum vz_entry */
	VZ_PACK_LEAVE = 4, /* + enum vz_leave */
	VZ_PACK_LOST = 8,  /* .ns of the event that follows is the number of records */
	VZ_PACK_TAG_BITS = 4,
};

struct vz_pack_event {
	uint64_t ns;
	uint32_t what; /* function << VZ_PACK_TAG_BITS | tag */
	uint32_t pad;
};

/* A frame on the stack on which the block begins. */
struct vz_pack_frame {
	uint64_t ns;
	uint32_t symbol; /* function << VZ_SYMBOL_SHIFT | enum vz_entry */
	uint32_t pad;
};

struct vz_pack_events {
	const struct vz_pack_frame *stack; /* bottom first */
	uint32_t depth;
	const struct vz_pack_event *events; /* times never run back */
	size_t n;
};

struct vz_pack;

/** Returns NULL without memory.  Free with vz_pack_free(). */
struct vz_pack *vz_pack_new(void);
void vz_pack_free(struct vz_pack *pack);

/**
 * Fills codec, lengths, count and times of HEAD; the payload belongs to the encoder until the
 * next call.  Returns 0 or -ENOMEM.
 */
int vz_pack_events(struct vz_pack *pack, const struct vz_pack_events *in, struct vz_block *head,
		   const uint8_t **payload);

/** Compress any other payload where that helps; the same rules. */
int vz_pack_plain(struct vz_pack *pack, const uint8_t *raw, size_t bytes, struct vz_block *head,
		  const uint8_t **payload);

/** P with V as a varint behind it; at most ten bytes. */
static inline uint8_t *vz_pack_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

#endif /* VZ_VIEWER_ENCODE_H */
