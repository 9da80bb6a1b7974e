/* SPDX-License-Identifier: MIT */
#include "viewer/human.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct unit {
	const char *name;
	double size;
};

static struct vz_human scaled(double v, const struct unit *units, unsigned n)
{
	struct vz_human h;
	unsigned i = 0;

	while (i + 1 < n && v < units[i].size)
		i++;
	v /= units[i].size;
	snprintf(h.s, sizeof(h.s), "%.*f %s",
		 units[i].size == 1 || v >= 1000 ? 0
		 : v >= 100                      ? 1
						 : 2,
		 v, units[i].name);
	return h;
}

struct vz_human vz_human_time(uint64_t ns)
{
	static const struct unit units[] = {
		{ "s", 1e9 }, { "ms", 1e6 }, { "µs", 1e3 }, { "ns", 1 }
	};

	return scaled((double)ns, units, 4);
}

struct vz_human vz_human_bytes(uint64_t bytes)
{
	static const struct unit units[] = {
		{ "GiB", 1 << 30 }, { "MiB", 1 << 20 }, { "KiB", 1 << 10 }, { "bytes", 1 }
	};

	return scaled((double)bytes, units, 4);
}

struct vz_human vz_human_count(uint64_t n)
{
	struct vz_human h;
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
	char *p = h.s;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*p++ = ',';
		*p++ = digits[i];
	}
	*p = '\0';
	return h;
}

struct vz_human vz_human_date(uint64_t unix_ns)
{
	time_t seconds = (time_t)(unix_ns / 1000000000);
	struct vz_human h = { "" };
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		strftime(h.s, sizeof(h.s), "%Y-%m-%d %H:%M:%S", &tm);
	return h;
}

unsigned vz_human_width(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}
