/* SPDX-License-Identifier: MIT */
/*
 * pyver_priv.h - what the halves of pyver share: finding CPython (pyver_find.c),
 * telling its version (pyver_which.c), finding its C library (pyver_libc.c).
 */
#ifndef VZ_ATTACH_PYVER_PRIV_H
#define VZ_ATTACH_PYVER_PRIV_H

#include "attach/pyver.h"

/**
 * Tell the version of the CPython in OBJECT: fills major, minor, micro, version,
 * debug_build, free_threaded.  -ENODATA: cannot be told for sure; why in WHY.
 */
int vz_pyver_which(const struct vz_target *target, const struct vz_object *object,
		   struct vz_python *ret, char *why, size_t why_size);

/**
 * Find libc and ld.so: fills libc[], exit_gadget, restore_rt, syscall_insn and the
 * ranges.  Exit 5: musl, no C library that can be called, a function missing.
 */
int vz_pyver_libc(const struct vz_target *target, const struct vz_objects *objects,
		  struct vz_python *ret, struct vz_err *err);

/** "cannot attach to PID (COMM)" with exit 5; returns -ENOTSUP. */
int vz_pyver_refuse(const struct vz_target *target, struct vz_err *err);

#endif /* VZ_ATTACH_PYVER_PRIV_H */
