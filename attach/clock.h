/* SPDX-License-Identifier: MIT */
/*
 * clock.h - turns the ticks of events into nanoseconds of CLOCK_MONOTONIC.
 *
 * Owns a piecewise linear map, one piece for every clock pair.  It is
 * continuous and rises, so the order of events is kept; each piece aims at
 * where the real clock will be at the next pair.
 */
#ifndef VZ_ATTACH_CLOCK_H
#define VZ_ATTACH_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

enum { VZ_CLOCK_PIECES = 64 };

struct vz_clock_pair {
	uint64_t ticks, ns;
};

struct vz_clock_map {
	bool is_ns;  /* ticks are nanoseconds already */
	double rate; /* ns for each tick, over all pairs */
	struct vz_clock_pair first;
	struct {
		uint64_t ticks, ns;
		double rate;
	} piece[VZ_CLOCK_PIECES];
	unsigned npieces; /* the last VZ_CLOCK_PIECES are kept */
	double error_ns;  /* how far the map was off at the last pair */
};

/** Is the time-stamp counter fit to be a clock: constant, never stopping, trusted by the kernel? */
bool vz_clock_tsc_usable(void);
/** Take a pair: the tightest of ten brackets. */
struct vz_clock_pair vz_clock_pair_now(bool is_ns);
/** Ticks now, as the payload reads them. */
uint64_t vz_clock_ticks(bool is_ns);
/** Start from two pairs some time apart (the further, the better). */
void vz_clock_init(struct vz_clock_map *map, bool is_ns, struct vz_clock_pair a,
		   struct vz_clock_pair b);
/** A new pair; INTERVAL_NS: when the next one will come. */
void vz_clock_update(struct vz_clock_map *map, struct vz_clock_pair pair, uint64_t interval_ns);
uint64_t vz_clock_ns(const struct vz_clock_map *map, uint64_t ticks);
/** Ticks per second, for whom it may interest. */
double vz_clock_hz(const struct vz_clock_map *map);

#endif /* VZ_ATTACH_CLOCK_H */
