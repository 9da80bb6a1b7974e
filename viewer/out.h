/* SPDX-License-Identifier: MIT */
/*
 * out.h - a buffered output file that remembers its first error.
 *
 * Writers just write; whoever opened it asks once at the end.  A file that
 * could not be completed is removed: a half export looks like a whole one.
 */
#ifndef VZ_VIEWER_OUT_H
#define VZ_VIEWER_OUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "viewer/trouble.h"

struct vz_out {
	int fd;
	int error;        /* negative errno, sticky; -EPIPE: the reader has seen enough */
	const char *path; /* NULL: standard output, or: */
	FILE *memory;     /* what open_memstream(3) made, instead of .fd */
	char *buf;
	size_t used, size;
	uint64_t bytes; /* written so far, buffer included */
};

/** PATH "-": standard output.  An existing file is replaced. */
int vz_out_open(struct vz_out *out, const char *path, struct vz_trouble *trouble);
/** Begin with MEMORY, which stays the caller's; 0 or -ENOMEM. */
int vz_out_open_memory(struct vz_out *out, FILE *memory);
/** Write the rest.  0, or the first error. */
int vz_out_close(struct vz_out *out, struct vz_trouble *trouble);
/** Close, and remove the file: the export did not work. */
void vz_out_abandon(struct vz_out *out);

void vz_out_bytes(struct vz_out *out, const void *p, size_t n);
void vz_out_text(struct vz_out *out, const char *s);
void vz_out_char(struct vz_out *out, char c);
void vz_out_number(struct vz_out *out, uint64_t v);
void vz_out_format(struct vz_out *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** TEXT as the inside of a JSON string: escaped, and made valid UTF-8. */
void vz_out_json(struct vz_out *out, const char *text);

/**
 * Make TEXT, which comes from a trace, fit for a terminal: what is neither printable nor
 * UTF-8 becomes '?', line ends too.
 */
void vz_out_plain(char *text);

#endif /* VZ_VIEWER_OUT_H */
