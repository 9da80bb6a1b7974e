/* SPDX-License-Identifier: MIT */
#include "attach/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "attach/util.h"

enum { BRACKETS = 10, MAX_SLEW_PPM = 500 };

static bool file_has(const char *path, const char *word)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	return vz_slurp(path, 1 << 20, &text, &len) == 0 && strstr(text, word);
}

bool vz_clock_tsc_usable(void)
{
	return file_has("/proc/cpuinfo", "constant_tsc") &&
	       file_has("/proc/cpuinfo", "nonstop_tsc") &&
	       file_has("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc");
}

uint64_t vz_clock_ticks(bool is_ns)
{
	return is_ns ? vz_now_ns() : __builtin_ia32_rdtsc();
}

struct vz_clock_pair vz_clock_pair_now(bool is_ns)
{
	struct vz_clock_pair best = { 0, 0 };
	uint64_t width = UINT64_MAX;

	if (is_ns)
		return (struct vz_clock_pair){ vz_now_ns(), vz_now_ns() };
	for (int i = 0; i < BRACKETS; i++) {
		uint64_t a = __builtin_ia32_rdtsc(), ns = vz_now_ns(), b = __builtin_ia32_rdtsc();

		if (b - a < width) {
			width = b - a;
			best = (struct vz_clock_pair){ a + (b - a) / 2, ns };
		}
	}
	return best;
}

static void add_piece(struct vz_clock_map *map, uint64_t ticks, uint64_t ns, double rate)
{
	unsigned at = map->npieces++ % VZ_CLOCK_PIECES;

	map->piece[at].ticks = ticks;
	map->piece[at].ns = ns;
	map->piece[at].rate = rate;
}

void vz_clock_init(struct vz_clock_map *map, bool is_ns, struct vz_clock_pair a,
		   struct vz_clock_pair b)
{
	memset(map, 0, sizeof(*map));
	map->is_ns = is_ns;
	map->first = a;
	map->rate = b.ticks > a.ticks ? (double)(b.ns - a.ns) / (double)(b.ticks - a.ticks) : 1.0;
	add_piece(map, a.ticks, a.ns, map->rate);
}

void vz_clock_update(struct vz_clock_map *map, struct vz_clock_pair pair, uint64_t interval_ns)
{
	uint64_t here = vz_clock_ns(map, pair.ticks);
	double slew, limit;

	if (map->is_ns || pair.ticks <= map->first.ticks)
		return;
	map->rate = (double)(pair.ns - map->first.ns) / (double)(pair.ticks - map->first.ticks);
	map->error_ns = (double)(int64_t)(pair.ns - here);
	/* Bend just enough to be right at the next pair; never so much that time looks odd. */
	limit = (double)interval_ns * MAX_SLEW_PPM * 1e-6;
	slew = map->error_ns > limit ? limit : map->error_ns < -limit ? -limit : map->error_ns;
	add_piece(map, pair.ticks, here,
		  map->rate * ((double)interval_ns + slew) / (double)interval_ns);
}

uint64_t vz_clock_ns(const struct vz_clock_map *map, uint64_t ticks)
{
	unsigned kept = map->npieces < VZ_CLOCK_PIECES ? map->npieces : VZ_CLOCK_PIECES;
	unsigned at = 0;

	if (map->is_ns)
		return ticks;
	/* Events are recent: the newest piece nearly always fits. */
	for (unsigned i = 1; i <= kept; i++) {
		at = (map->npieces - i) % VZ_CLOCK_PIECES;
		if (map->piece[at].ticks <= ticks)
			break;
	}
	return map->piece[at].ns +
	       (uint64_t)(int64_t)((double)(int64_t)(ticks - map->piece[at].ticks) *
				   map->piece[at].rate);
}

double vz_clock_hz(const struct vz_clock_map *map)
{
	return map->rate > 0 ? 1e9 / map->rate : 0;
}
