/* SPDX-License-Identifier: MIT */
/*
 * varint.h - reads LEB128 numbers from bytes that nobody has checked.
 */
#ifndef VZ_VIEWER_CORE_VARINT_H
#define VZ_VIEWER_CORE_VARINT_H

#include <stdbool.h>
#include <stdint.h>

/** The number at *P, which moves behind it; false: there is none before END. */
static inline bool vz_get_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
	const uint8_t *at = *p;
	uint64_t v = 0;

	if (at < end && *at < 0x80) {
		*ret = *at;
		*p = at + 1;
		return true;
	}
	for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
		uint8_t byte = *at++;

		if (shift == 63 && byte > 1)
			return false;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret = v;
			*p = at;
			return true;
		}
	}
	return false;
}

#endif /* VZ_VIEWER_CORE_VARINT_H */
