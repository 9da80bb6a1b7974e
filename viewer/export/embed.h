/* SPDX-License-Identifier: MIT */
/*
 * embed.h - data in a page: script elements of text/plain, base64 of deflate-raw.
 *
 * Every browser can inflate that by itself.  Elements are compressed some at a time, by as
 * many threads as there are processors, and written in order; memory does not grow with
 * their number.
 */
#ifndef VZ_VIEWER_EMBED_H
#define VZ_VIEWER_EMBED_H

#include <stddef.h>
#include <stdint.h>

#include "viewer/out.h"

struct vz_embed;

/** To OUT, which stays the caller's.  LEVEL: 1 to 12 of libdeflate.  NULL: no memory. */
struct vz_embed *vz_embed_new(struct vz_out *out, int level);
void vz_embed_free(struct vz_embed *e);

/** Begin an element with these attributes, all of them ours: they are not escaped. */
void vz_embed_begin(struct vz_embed *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vz_embed_bytes(struct vz_embed *e, const void *p, size_t n);
/** The attributes were not known before. */
void vz_embed_rename(struct vz_embed *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** Bytes of the element so far. */
size_t vz_embed_size(const struct vz_embed *e);
void vz_embed_end(struct vz_embed *e);

/** Write what waits.  0, -ENOMEM, or the error of OUT. */
int vz_embed_flush(struct vz_embed *e);

#endif /* VZ_VIEWER_EMBED_H */
