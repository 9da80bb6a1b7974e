/* SPDX-License-Identifier: MIT */
/*
 * intern.h - numbers for what occurs in a trace: names of functions, pairs of numbers.
 *
 * Numbers are given in order of first occurrence, so that what is written by them
 * is the same each time.  Memory grows with what is different, not with the events.
 */
#ifndef VZ_VIEWER_INTERN_H
#define VZ_VIEWER_INTERN_H

#include <stddef.h>
#include <stdint.h>

#include "viewer/reader.h"

enum {
	VZ_NO_ROW = UINT32_MAX,
};

/* Printable UTF-8 without line ends, whatever the trace says. */
struct vz_name {
	char *file; /* "": unknown */
	char *text;
	uint32_t line;
};

/* Functions that read the same share a row: a code object can be made twice. */
struct vz_names {
	/* Makes .file and .text, which the table frees; -ENOMEM. */
	int (*make)(const struct vz_function *f, struct vz_name *ret);
	struct vz_name *p;
	uint32_t n, cap;
	uint32_t *rows; /* function id to row + 1; 0: not yet asked for */
	uint32_t nrows;
	uint32_t *slots, nslots;
};

struct vz_pair {
	uint32_t a, b;
};

struct vz_pairs {
	struct vz_pair *p;
	uint32_t n, cap;
	uint32_t *slots, nslots;
};

/** Row of function ID; 0 or -ENOMEM.  Begin with zeros and .make. */
int vz_names_function(struct vz_names *names, const struct vz_reader *r, uint32_t id,
		      uint32_t *row);
/** Row of TEXT, which is of no file. */
int vz_names_text(struct vz_names *names, const char *text, uint32_t *row);
void vz_names_fini(struct vz_names *names);

/** Row of the pair; 0 or -ENOMEM.  Begin with zeros. */
int vz_pairs_row(struct vz_pairs *pairs, uint32_t a, uint32_t b, uint32_t *row);
void vz_pairs_fini(struct vz_pairs *pairs);

/** Array P with room for N > 0 elements, new ones zero; NULL: no memory, P is as it was. */
void *vz_grow(void *p, uint32_t *cap, uint32_t n, size_t size);

#endif /* VZ_VIEWER_INTERN_H */
