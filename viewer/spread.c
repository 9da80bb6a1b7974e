/* SPDX-License-Identifier: MIT */
#include "viewer/spread.h"

#include <math.h>

enum {
	ENOUGH = VZ_BATCHES / 4, /* batches to judge by */
};

static void halve(struct vz_spread *s)
{
	for (uint32_t i = 0; i < VZ_BATCHES / 2; i++)
		s->batch[i] = (s->batch[2 * i] + s->batch[2 * i + 1]) / 2;
	s->nbatches = VZ_BATCHES / 2;
	s->size *= 2;
}

static void add_to_batch(struct vz_spread *s, double value)
{
	if (!s->size)
		s->size = 1;
	s->sum += value;
	if (++s->filled < s->size)
		return;
	s->batch[s->nbatches++] = s->sum / (double)s->size;
	s->sum = 0;
	s->filled = 0;
	if (s->nbatches == VZ_BATCHES)
		halve(s);
}

void vz_spread_add(struct vz_spread *s, double value)
{
	double distance = value - s->mean;

	s->n++;
	s->mean += distance / (double)s->n;
	s->squares += distance * (value - s->mean);
	add_to_batch(s, value);
}

static double batch_error(const struct vz_spread *s)
{
	double mean = 0, squares = 0, n = s->nbatches;

	if (s->nbatches < ENOUGH)
		return 0;
	for (uint32_t i = 0; i < s->nbatches; i++)
		mean += s->batch[i] / n;
	for (uint32_t i = 0; i < s->nbatches; i++)
		squares += (s->batch[i] - mean) * (s->batch[i] - mean);
	return sqrt(squares / (n - 1) / n);
}

double vz_spread_error(const struct vz_spread *s)
{
	double n = (double)s->n;
	double one = s->n > 1 ? sqrt(s->squares / (n - 1) / n) : 0;

	return fmax(one, batch_error(s));
}

/* The batches of the one with more samples are kept: they tell more of the order. */
void vz_spread_merge(struct vz_spread *s, const struct vz_spread *other)
{
	struct vz_spread both = s->n >= other->n ? *s : *other;
	double distance = other->mean - s->mean, n = (double)s->n + (double)other->n;

	if (!other->n)
		return;
	both.n = s->n + other->n;
	both.mean = s->mean + distance * (double)other->n / n;
	both.squares = s->squares + other->squares +
		       distance * distance * (double)s->n * (double)other->n / n;
	*s = both;
}
