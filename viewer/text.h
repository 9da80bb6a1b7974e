/* SPDX-License-Identifier: MIT */
/*
 * text.h - the strings of a trace, each kept once, never moved, freed together.
 *
 * Owns the limit of what they may take: a small file can unpack to any amount.
 */
#ifndef VZ_VIEWER_TEXT_H
#define VZ_VIEWER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vz_text_chunk;

/* Begin with zeros. */
struct vz_text {
	struct vz_text_chunk *chunks;
	uint64_t bytes;
	bool full; /* the limit was met: what does not fit is damage, not want of memory */
};

/** LEN bytes of S with a NUL behind; NULL: no room, see vz_text_no_room(). */
const char *vz_text_keep(struct vz_text *text, const void *s, size_t len);
/** Why there was none: -EBADMSG or -ENOMEM. */
int vz_text_no_room(const struct vz_text *text);
void vz_text_fini(struct vz_text *text);

#endif /* VZ_VIEWER_TEXT_H */
