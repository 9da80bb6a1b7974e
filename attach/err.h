/* SPDX-License-Identifier: MIT */
/*
 * err.h - what went wrong, in the words that the user will read.
 *
 * Functions return 0 or a negative errno and describe the failure here: three
 * short lower-case sentences and the exit code that main will use.  Only main
 * prints one, with a single write, and only main exits.
 */
#ifndef VZ_ATTACH_ERR_H
#define VZ_ATTACH_ERR_H

#include <stddef.h>

/* Exit codes: the contract of the command line. */
enum vz_exit {
	VZ_EXIT_OK = 0,
	VZ_EXIT_UNEXPECTED = 1,  /* restored, or what is left is named */
	VZ_EXIT_USAGE = 2,       /* untouched */
	VZ_EXIT_NO_PROCESS = 3,  /* none, or ended before the attach */
	VZ_EXIT_PERMISSION = 4,  /* untouched */
	VZ_EXIT_UNSUPPORTED = 5, /* untouched: not a CPython that we know */
	VZ_EXIT_BUSY = 6,        /* untouched: traced, or another profiler */
	VZ_EXIT_UNSAFE = 7,      /* no safe moment in time */
	VZ_EXIT_TARGET_ENDED = 8,
	VZ_EXIT_LOST = 9, /* with --strict only */
};

struct vz_err {
	enum vz_exit exit;
	char what[256];
	char why[512];
	char hint[512]; /* printed behind "try:" */
};

/** Describe a failure; returns -1 times the errno RC given (RC > 0) so that callers can return it. */
int vz_err_set(struct vz_err *err, enum vz_exit exit, int rc, const char *what, ...)
	__attribute__((format(printf, 4, 5)));

/** Add the reason; returns nothing, keeps the first reason set. */
void vz_err_why(struct vz_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Add what to do about it; keeps the first hint set. */
void vz_err_try(struct vz_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Compose "PROGRAM: what\n  why: ...\n  try: ...\n"; returns the length, at most SIZE - 1. */
size_t vz_err_format(const struct vz_err *err, const char *program, char *buf, size_t size);

#endif /* VZ_ATTACH_ERR_H */
