/* SPDX-License-Identifier: MIT */
/*
 * spread.h - mean of many samples, and how far off it may be by chance.
 *
 * Calls that follow each other resemble each other: a busy neighbour slows down a
 * thousand in a row.  So the samples are also cut into 16 to 31 batches, in order,
 * and the standard error is the greater of that of the single samples and that of
 * the means of the batches.  Constant memory, one pass.
 */
#ifndef VZ_VIEWER_SPREAD_H
#define VZ_VIEWER_SPREAD_H

#include <stdint.h>

enum {
	VZ_BATCHES = 32,
};

struct vz_spread {
	uint64_t n;
	double mean;
	double squares; /* sum of squared distances from the mean */
	double batch[VZ_BATCHES];
	uint32_t nbatches;
	uint64_t size;   /* samples in a batch */
	uint64_t filled; /* samples in the batch that is being filled */
	double sum;      /* of these */
};

void vz_spread_add(struct vz_spread *s, double value);
/** Put OTHER, which was sampled beside S, into S; its order is lost, its error is not. */
void vz_spread_merge(struct vz_spread *s, const struct vz_spread *other);
/** Standard error of the mean; 0 if there are less than two samples. */
double vz_spread_error(const struct vz_spread *s);

#endif /* VZ_VIEWER_SPREAD_H */
