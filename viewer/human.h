/* SPDX-License-Identifier: MIT */
/* human.h - numbers and times as people read them. */
#ifndef VZ_VIEWER_HUMAN_H
#define VZ_VIEWER_HUMAN_H

#include <stdint.h>

/* Text of one value, returned by value so that several fit one line of output. */
struct vz_human {
	char s[48];
};

/** "1,234,567" */
struct vz_human vz_human_count(uint64_t n);
/** "12.3 ms": three or four digits and a unit. */
struct vz_human vz_human_time(uint64_t ns);
/** "12.3 MiB" */
struct vz_human vz_human_bytes(uint64_t bytes);
/** "2024-05-06 07:08:09", local time. */
struct vz_human vz_human_date(uint64_t unix_ns);

/** Columns that S takes on a terminal, taking one for each character. */
unsigned vz_human_width(const char *s);

#endif /* VZ_VIEWER_HUMAN_H */
