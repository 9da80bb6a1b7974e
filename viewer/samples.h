/* SPDX-License-Identifier: MIT */
/* samples.h - the values of counters, in order of the file, which is that of time in each track. */
#ifndef VZ_VIEWER_SAMPLES_H
#define VZ_VIEWER_SAMPLES_H

#include "viewer/reader.h"

/** Calls TELL for each value; 0, -ENOMEM, or what TELL returned below 0.  Damage is left out. */
int vz_samples_walk(const struct vz_reader *r,
		    int (*tell)(void *ctx, uint32_t place, uint64_t ns, double value), void *ctx);

#endif /* VZ_VIEWER_SAMPLES_H */
