/* SPDX-License-Identifier: MIT */
/*
 * callargs.h - the arguments of calls, for who goes through the calls in their order.
 *
 * Owns where each track is among its blocks of arguments, and a copy of one block.
 */
#ifndef VZ_VIEWER_CALLARGS_H
#define VZ_VIEWER_CALLARGS_H

#include "viewer/reader.h"

struct vz_callargs;

/** R must stay.  NULL: no memory.  Free with vz_callargs_free(). */
struct vz_callargs *vz_callargs_new(const struct vz_reader *r);
void vz_callargs_free(struct vz_callargs *c);

/** Does the trace have any at all? */
bool vz_callargs_any(const struct vz_callargs *c);

/**
 * The JSON object of entry number ENTRY of the track at PLACE, which must be greater than
 * the one asked for before; valid until the next call.  NULL: it has none, or it cannot be read.
 */
const char *vz_callargs_get(struct vz_callargs *c, uint32_t place, uint64_t entry, size_t *bytes);

#endif /* VZ_VIEWER_CALLARGS_H */
