/* SPDX-License-Identifier: MIT */
/* Microseconds in decimal digits, as nanoseconds; doubles would lose some of them. */
#include "viewer/import/import_priv.h"

enum {
	DIGITS = 32, /* what is beyond is far below a billionth of a ns */
	NS_DIGITS = 19,
	TO_NS = 3,
	PART_DIGITS = 9,
	PART = 1000000000,
	EXPONENT_MAX = 100,
	FAST_DIGITS = 15,
};

/* A decimal number: 0.DIGITS * 10^point. */
struct decimal {
	uint8_t digits[DIGITS];
	int n, point;
	bool negative;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *read_digits(const char *s, const char *end, struct decimal *d, bool whole)
{
	for (; s < end && is_digit(*s); s++) {
		bool leading = d->n == 0 && *s == '0';

		if (!leading && d->n < DIGITS)
			d->digits[d->n++] = (uint8_t)(*s - '0');
		if (whole && !leading)
			d->point++;
		if (!whole && leading)
			d->point--;
	}
	return s;
}

static bool read_exponent(const char *s, const char *end, int *ret)
{
	bool negative = s < end && *s == '-';
	int n = 0;

	s += s < end && (*s == '-' || *s == '+');
	if (s == end)
		return false;
	for (; s < end && is_digit(*s); s++)
		n = n < EXPONENT_MAX ? n * 10 + (*s - '0') : n;
	*ret = negative ? -n : n;
	return s == end;
}

static bool read_decimal(const char *s, const char *end, struct decimal *d)
{
	const char *begin;
	int exponent = 0;

	*d = (struct decimal){ .negative = s < end && *s == '-' };
	s += d->negative;
	begin = s;
	s = read_digits(s, end, d, true);
	if (s == begin)
		return false;
	if (s < end && *s == '.')
		s = read_digits(s + 1, end, d, false);
	if (s < end && (*s == 'e' || *s == 'E')) {
		if (!read_exponent(s + 1, end, &exponent))
			return false;
		s = end;
	}
	d->point += exponent;
	return s == end;
}

/* N digits from number FIRST on, which may lie before the first or behind the last. */
static uint64_t digits_at(const struct decimal *d, int first, int n)
{
	uint64_t v = 0;

	for (int i = first; i < first + n; i++)
		v = v * 10 + (i >= 0 && i < d->n ? d->digits[i] : 0);
	return v;
}

static bool slow(const char *s, size_t n, struct vz_import_time *ret)
{
	struct decimal d;
	uint64_t ns;
	uint32_t part;

	if (!read_decimal(s, s + n, &d))
		return false;
	if (d.n && d.point + TO_NS > NS_DIGITS)
		return false;
	ns = digits_at(&d, d.point + TO_NS - NS_DIGITS, NS_DIGITS);
	part = (uint32_t)digits_at(&d, d.point + TO_NS, PART_DIGITS);
	if (ns >= INT64_MAX)
		return false;
	*ret = (struct vz_import_time){ (int64_t)ns, part };
	if (d.negative)
		*ret = (struct vz_import_time){ -(int64_t)ns - (part > 0),
						part ? (uint32_t)PART - part : 0 };
	return true;
}

/* What nearly all files hold: up to 15 digits, a point, up to 3 digits. */
bool vz_import_time(const char *s, size_t n, struct vz_import_time *ret)
{
	static const uint32_t scale[] = { 1000, 100, 10, 1 };
	uint64_t v = 0;
	size_t i = 0, point;

	while (i < n && is_digit(s[i]))
		v = v * 10 + (uint64_t)(s[i++] - '0');
	if (i == 0 || i > FAST_DIGITS)
		return slow(s, n, ret);
	point = i + (i < n && s[i] == '.');
	for (i = point; i < n && i < point + TO_NS && is_digit(s[i]); i++)
		v = v * 10 + (uint64_t)(s[i] - '0');
	if (i < n)
		return slow(s, n, ret);
	*ret = (struct vz_import_time){ (int64_t)(v * scale[i - point]), 0 };
	return true;
}

uint64_t vz_import_round(struct vz_import_time t)
{
	return (uint64_t)t.ns + VZ_IMPORT_BIAS + (t.part >= (uint32_t)PART / 2);
}

struct vz_import_time vz_import_sum(struct vz_import_time a, struct vz_import_time b)
{
	uint32_t part = a.part + b.part;
	bool carry = part >= (uint32_t)PART;
	int64_t ns;

	/* A sum beyond 290 years is as far as there is. */
	if (__builtin_add_overflow(a.ns, b.ns, &ns) || ns == INT64_MAX)
		return (struct vz_import_time){ b.ns < 0 ? INT64_MIN : INT64_MAX - 1, 0 };
	return (struct vz_import_time){ ns + carry, carry ? part - (uint32_t)PART : part };
}
