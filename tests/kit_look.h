/* SPDX-License-Identifier: MIT */
/*
 * kit_look.h - programs that stand still in a known way, in every CPython of the machine,
 * and what a snapshot of them says, as lines that a test compares.
 */
#ifndef VZ_TESTS_KIT_LOOK_H
#define VZ_TESTS_KIT_LOOK_H

#include "attach/snapshot/take.h"

struct kit_case {
	const char *label;
	unsigned min, max;   /* 3.min - 3.max; 0: any */
	const char *program; /* writes a byte to fd 1 when it is about to stand still */
	const char *expect[10];
	const char *reject[6]; /* never said, not even for a moment */
	bool child;            /* look at the child whose pid the program writes to fd 1 */
	bool locals;
	bool optional; /* it may lack a module: then it ends with 77 before it writes */
};

/** Lines, one a thread, lock, loop and task; free() it. */
char *kit_look_story(const struct vz_snapshot *s);
/** Every case in every CPython 3.MIN - 3.MAX.  What is wrong is written to stderr; returns how
 * often. */
unsigned kit_look_all(const struct kit_case *cases, size_t count, unsigned min, unsigned max);

#endif /* VZ_TESTS_KIT_LOOK_H */
