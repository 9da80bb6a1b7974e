/* SPDX-License-Identifier: MIT */
/*
 * pywith.h - which "with" blocks a Python frame is inside of.  Not what happens to lie on
 * its value stack, which may be stale, but what its block stack (to 3.10) or the exception
 * table of its code (3.11+) proves to be there at the current instruction.
 */
#ifndef VZ_ATTACH_SNAPSHOT_PYWITH_H
#define VZ_ATTACH_SNAPSHOT_PYWITH_H

#include "attach/snapshot/python/pystack.h"

struct vz_pywith {
	uint64_t manager; /* the object whose __exit__ or __aexit__ will be called */
	bool async;
};

/** The blocks that FRAME is in the body of, outermost first, at most MAX.  Returns how many,
 * negative errno: not to be told. */
ssize_t vz_pyframe_withs(const struct vz_py *py, const struct vz_pyframe *frame,
			 struct vz_pywith *ret, size_t max);

#endif /* VZ_ATTACH_SNAPSHOT_PYWITH_H */
