/* SPDX-License-Identifier: MIT */
/*
 * kit_py.h - a running CPython, opened to be looked into from outside; any version that the
 * layout table has.
 */
#ifndef VZ_TESTS_KIT_PY_H
#define VZ_TESTS_KIT_PY_H

#include "attach/elfsym.h"
#include "attach/snapshot/python/pyobj.h"

struct kit_py {
	struct vz_target target;
	struct vz_maps maps;
	struct vz_objects objects;
	struct vz_py py;
	char version[64];
};

/** 0, or a negative errno with the reason in WHY; free with kit_py_close(). */
int kit_py_open(pid_t pid, struct kit_py *ret, char *why, size_t why_size);
void kit_py_close(struct kit_py *k);

#endif /* VZ_TESTS_KIT_PY_H */
