/* SPDX-License-Identifier: MIT */
/*
 * residue_priv.h - what the parts of residue share: residue.c looks at the process,
 * residue_python.c at CPython's interpreters and tools, residue_hooks.c for pointers to us.
 */
#ifndef VZ_ATTACH_RESIDUE_PRIV_H
#define VZ_ATTACH_RESIDUE_PRIV_H

#include "attach/residue.h"

/** Add a clause to what is left. */
void vz_residue_say(struct vz_residue *residue, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* An interpreter, as seen from outside. */
struct vz_interp_seen {
	uint64_t raddr, id;
};

struct vz_hook_search {
	const struct vz_target *target;
	const struct vz_objects *objects;
	const struct vz_python *python;
	struct vz_range image; /* where our code was */
	bool mapped;           /* it still is */
	uint64_t deadline_ns;  /* a target can make lists and images of any size: then give up */
};

/**
 * Look for pointers into the image in all places that CPython and libc could follow them from.
 * INTERPS: all interpreters.  Fills ours and looked of VZ_RESIDUE_HOOKS; -EAGAIN: the target did
 * not hold still, try again.
 */
int vz_residue_hooks(const struct vz_hook_search *search, const struct vz_interp_seen *interps,
		     size_t count, struct vz_residue *ret);

#endif /* VZ_ATTACH_RESIDUE_PRIV_H */
