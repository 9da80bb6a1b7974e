/* SPDX-License-Identifier: MIT */
/*
 * loader.h - decodes blocks of a trace beside its reader, in another thread.
 *
 * Owns a buffer for one block; the reader must outlive it.  Damage that is found here is
 * not counted in the reader.
 */
#ifndef VZ_VIEWER_LOADER_H
#define VZ_VIEWER_LOADER_H

#include "viewer/reader.h"

struct vz_loader;

/** NULL without memory.  Any thread; free with vz_loader_free(). */
struct vz_loader *vz_loader_new(const struct vz_reader *r);
void vz_loader_free(struct vz_loader *l);

/** As vz_reader_load() and vz_reader_load_extra(); HEAD may be wrong if it returns -EBADMSG. */
int vz_loader_load(struct vz_loader *l, uint32_t i, struct vz_block *head, const uint8_t **raw);
int vz_loader_load_extra(struct vz_loader *l, uint32_t i, struct vz_block *head,
			 const uint8_t **raw);

#endif /* VZ_VIEWER_LOADER_H */
