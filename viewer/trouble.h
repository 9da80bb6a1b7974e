/* SPDX-License-Identifier: MIT */
/*
 * trouble.h - what went wrong in vizview, in the words that the user will read.
 *
 * Functions return 0 or a negative errno and describe the failure here; only
 * main prints it, with a single write, and only main exits.
 */
#ifndef VZ_VIEWER_TROUBLE_H
#define VZ_VIEWER_TROUBLE_H

struct vz_trouble {
	char what[256];
	char why[256];
	char hint[256]; /* printed behind "try:" */
};

/** Describe a failure; returns -RC (RC: a positive errno) so that callers can return it. */
int vz_trouble_set(struct vz_trouble *trouble, int rc, const char *what, ...)
	__attribute__((format(printf, 3, 4)));
void vz_trouble_why(struct vz_trouble *trouble, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void vz_trouble_try(struct vz_trouble *trouble, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

enum {
	VZ_TROUBLE_BYTES = 1024,
};

/** The three lines, without a line end behind, into BUF of VZ_TROUBLE_BYTES. */
void vz_trouble_text(const struct vz_trouble *trouble, char *buf);
/** Write the three lines to standard error. */
void vz_trouble_print(const struct vz_trouble *trouble);

#endif /* VZ_VIEWER_TROUBLE_H */
