/* SPDX-License-Identifier: MIT */
/*
 * encode.h - turns the buffered events of one track into an EVENTS block.
 *
 * Owns the columns, the move-to-front lists and the compressor.  One encoder
 * serves all tracks of a file, because nothing survives from one block to the
 * next.  The layout is part 3 of payload/wire.h; viewer/core/decode.c is the mirror.
 */
#ifndef VZ_ATTACH_ENCODE_H
#define VZ_ATTACH_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "payload/wire.h"

/*
 * Buffered events, one word each:
 *
 *   63        32 31        4 3   0
 *   [ ns since  | function  | tag ]     ns since the event, loss or gap before
 *   [          ns           | GAP ]     added to the ns of the word that follows
 *   [ ns since  |     0     | LOST] and a word with the number of records lost
 */
enum vz_word_tag {
	VZ_WORD_ENTER = 0, /* + how it was entered: 0 to 3 */
	VZ_WORD_LEAVE = 4, /* + how it was left: 4 to 7 */
	VZ_WORD_LOST = 8,
	VZ_WORD_GAP = 9,
	VZ_WORD_TAG_BITS = 4,
	VZ_WORD_NS_SHIFT = 32,
};

/* One frame of a shadow stack. */
struct vz_frame {
	uint64_t ns;     /* when it was entered */
	uint32_t symbol; /* function << VZ_SYMBOL_SHIFT | how it was entered */
	uint32_t pad;
};

struct vz_encoder;

/** Returns NULL without memory.  Free with vz_encoder_free(). */
struct vz_encoder *vz_encoder_new(void);
void vz_encoder_free(struct vz_encoder *e);

/** Room for the DEPTH frames, bottom first, of the next block's stack; NULL without memory. */
struct vz_frame *vz_encoder_stack(struct vz_encoder *e, uint32_t depth);

/**
 * Encode WORDS, the first of which happened at T0_NS on the stack given before.
 * Fills codec, lengths and count of HEAD; the payload belongs to the encoder until the next call.
 * Returns 0 or -ENOMEM.
 */
int vz_encode_events(struct vz_encoder *e, const uint64_t *words, size_t nwords, uint64_t t0_ns,
		     struct vz_block *head, const uint8_t **payload);

/** Compress any other payload where that helps; the same rules. */
int vz_encode_plain(struct vz_encoder *e, const uint8_t *raw, size_t bytes, struct vz_block *head,
		    const uint8_t **payload);

#endif /* VZ_ATTACH_ENCODE_H */
