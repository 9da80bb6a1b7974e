/* SPDX-License-Identifier: MIT */
/*
 * slice.h - a part of a trace as a trace of its own.
 *
 * Owns nothing.  What belongs to the calls that are left comes along: their arguments,
 * values of counters, the source text, the facts, and one that says what was left out.
 */
#ifndef VZ_VIEWER_SLICE_H
#define VZ_VIEWER_SLICE_H

#include "viewer/select.h"

/**
 * Write what SELECT (or NULL), and UNTIL_NS if not 0, leave of R to FD.  0 or a negative errno;
 * BYTES: how long it became.
 */
int vz_slice(struct vz_reader *r, const struct vz_select *select, uint64_t until_ns, int fd,
	     uint64_t *bytes);

#endif /* VZ_VIEWER_SLICE_H */
