/* SPDX-License-Identifier: MIT */
/*
 * units.c - durations and sizes as people write them.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "attach/opts.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* The largest first: a duration names them in this order. */
static const struct unit time_units[] = {
	/* clang-format off */
	{ "d",  UINT64_C(86400000000000) },
	{ "h",  UINT64_C(3600000000000) },
	{ "m",  UINT64_C(60000000000) },
	{ "s",  UINT64_C(1000000000) },
	{ "ms", UINT64_C(1000000) },
	{ "us", UINT64_C(1000) },
	{ "ns", UINT64_C(1) },
	{ NULL, 0 },
	/* clang-format on */
};

static const struct unit size_units[] = {
	/* clang-format off */
	{ "B",   UINT64_C(1) },
	{ "K",   UINT64_C(1) << 10 }, { "KiB", UINT64_C(1) << 10 }, { "KB", UINT64_C(1000) },
	{ "M",   UINT64_C(1) << 20 }, { "MiB", UINT64_C(1) << 20 }, { "MB", UINT64_C(1000000) },
	{ "G",   UINT64_C(1) << 30 }, { "GiB", UINT64_C(1) << 30 }, { "GB", UINT64_C(1000000000) },
	{ NULL, 0 },
	/* clang-format on */
};

/* A number with up to nine decimals, kept in billionths so that "1.5h" is exact. */
struct number {
	uint64_t whole, billionths;
};

static int parse_number(const char **text, struct number *ret)
{
	const char *p = *text;
	uint64_t place = 1000000000;

	ret->whole = 0;
	ret->billionths = 0;
	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++) {
		if (__builtin_mul_overflow(ret->whole, UINT64_C(10), &ret->whole) ||
		    __builtin_add_overflow(ret->whole, (uint64_t)(*p - '0'), &ret->whole))
			return -ERANGE;
	}
	if (*p == '.') {
		p++;
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		for (; isdigit((unsigned char)*p); p++) {
			place /= 10;
			ret->billionths += place * (uint64_t)(*p - '0');
		}
	}
	*text = p;
	return 0;
}

static int scale(const struct number *number, uint64_t factor, uint64_t *ret)
{
	unsigned __int128 value = (unsigned __int128)number->whole * factor +
				  (unsigned __int128)number->billionths * factor / 1000000000;

	if (value > UINT64_MAX)
		return -ERANGE;
	*ret = (uint64_t)value;
	return 0;
}

static const struct unit *find_unit(const struct unit *units, const char *name, size_t len)
{
	for (; units->name; units++) {
		if (strlen(units->name) == len && !memcmp(units->name, name, len))
			return units;
	}
	return NULL;
}

int vz_parse_duration(const char *text, uint64_t *ret_ns)
{
	const struct unit *allowed = time_units;
	uint64_t total = 0;

	do {
		const struct unit *unit;
		struct number number;
		uint64_t part;
		size_t len;
		int rc = parse_number(&text, &number);

		if (rc < 0)
			return rc;
		len = strcspn(text, "0123456789.");
		unit = find_unit(allowed, text, len);
		if (len == 0 && *text == '\0' && allowed == time_units)
			unit = find_unit(time_units, "s", 1);
		if (!unit)
			return -EINVAL;
		rc = scale(&number, unit->factor, &part);
		if (rc < 0 || __builtin_add_overflow(total, part, &total))
			return -ERANGE;
		allowed = unit + 1;
		text += len;
	} while (*text);
	*ret_ns = total;
	return 0;
}

int vz_parse_size(const char *text, uint64_t *ret_bytes)
{
	const struct unit *unit;
	struct number number;
	int rc = parse_number(&text, &number);

	if (rc < 0)
		return rc;
	unit = find_unit(size_units, *text ? text : "B", *text ? strlen(text) : 1);
	return unit ? scale(&number, unit->factor, ret_bytes) : -EINVAL;
}
