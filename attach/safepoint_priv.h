/* SPDX-License-Identifier: MIT */
/*
 * safepoint_priv.h - what the two halves of the safe point share: safepoint.c judges
 * by system call and place, safepoint_stack.c by the frames of the native stack.
 */
#ifndef VZ_ATTACH_SAFEPOINT_PRIV_H
#define VZ_ATTACH_SAFEPOINT_PRIV_H

#include "attach/safepoint.h"
#include "attach/unwind.h"

/* A function that the rules know by name. */
struct vz_function {
	uint64_t start, end;
	const char *name; /* of the object's table; as long as that lives */
	bool refused;     /* never with this on the stack */
};

struct vz_safepoint {
	const struct vz_target *target;
	const struct vz_objects *objects;
	const struct vz_maps *maps;
	const struct vz_python *python;
	struct vz_unwinder *unwinder;
	struct vz_native_stack *stack;
	const struct vz_object *libc, *libpthread; /* the latter may be NULL */
	/* all of libc and libpthread, and the malloc family of others; by address */
	struct vz_function *functions;
	size_t nfunctions, room;
};

/** Say WHAT and return -EAGAIN. */
int vz_safepoint_refuse(char *why, size_t size, const char *what);

/** Fill .functions and find libc. */
int vz_safepoint_learn(struct vz_safepoint *s);

/** The rules on frames; sets CPU->eintr_ok. */
int vz_safepoint_check_stack(struct vz_safepoint *s, struct vz_cpu *cpu, char *why, size_t size);

#endif /* VZ_ATTACH_SAFEPOINT_PRIV_H */
