/* SPDX-License-Identifier: MIT */
/*
 * kit_check.h - reads exports with programs that were there before them.
 *
 * tests/check_export.py does it, so that no format is checked only by what was
 * written along with its writer.
 */
#ifndef VZ_TESTS_KIT_CHECK_H
#define VZ_TESTS_KIT_CHECK_H

#include "tests/kit_trace.h"

/**
 * NULL: there is no python3.  Else what check_export.py says of the first BYTES of KIT's
 * trace (0: all), free() it; STATUS is its exit status.
 */
char *kit_check(const struct kit *kit, const char *format, const char *limit, size_t bytes,
		int *status);

/** A trace whose names are what no program should have. */
struct kit *kit_hostile(void);

#endif /* VZ_TESTS_KIT_CHECK_H */
