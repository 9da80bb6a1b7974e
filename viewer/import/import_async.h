/* SPDX-License-Identifier: MIT */
/*
 * import_async.h - what asynchronous events have begun and not ended, by what the file calls the
 * same.
 */
#ifndef VZ_VIEWER_IMPORT_ASYNC_H
#define VZ_VIEWER_IMPORT_ASYNC_H

#include "viewer/import/import_priv.h"

/** NULL: no memory. */
struct vz_import_async *vz_async_new(void);
void vz_import_async_free(struct vz_import_async *a);

/** 0 or -ENOMEM. */
int vz_async_push(struct vz_import_async *a, uint64_t group, uint32_t track,
		  const struct vz_import_open *open);
/** The one begun last in GROUP; false: there is none. */
bool vz_async_pop(struct vz_import_async *a, uint64_t group, uint32_t *track,
		  struct vz_import_open *ret);
/** Any of any group; of one group the one begun last first. */
bool vz_async_take_any(struct vz_import_async *a, uint32_t *track, struct vz_import_open *ret);

#endif /* VZ_VIEWER_IMPORT_ASYNC_H */
