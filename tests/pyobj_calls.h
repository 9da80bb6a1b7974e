/* SPDX-License-Identifier: MIT */
/*
 * pyobj_calls.h - every reader of pyobj.h on one address, for who makes up the memory behind
 * it: nothing may be written beyond what was given, and every text ends.
 */
#ifndef VZ_TESTS_PYOBJ_CALLS_H
#define VZ_TESTS_PYOBJ_CALLS_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/python/pyobj.h"

enum { PYOBJ_CALLS = 17, PYOBJ_ITEMS = 16 };

static inline void pyobj_must(bool good)
{
	if (!good)
		abort();
}

static inline void pyobj_call_text(const struct vz_py *py, uint64_t obj)
{
	char buf[64];
	int rc;

	memset(buf, 'x', sizeof(buf));
	rc = vz_pyobj_text(py, obj, buf, sizeof(buf) - 1);
	pyobj_must(memchr(buf, '\0', sizeof(buf) - 1) && buf[sizeof(buf) - 1] == 'x');
	pyobj_must(rc <= 1 && (rc >= 0 || !buf[0]));
}

static inline void pyobj_call_items(const struct vz_py *py, uint64_t obj, bool dict)
{
	uint64_t keys[PYOBJ_ITEMS + 1], values[PYOBJ_ITEMS + 1];
	ssize_t n;

	keys[PYOBJ_ITEMS] = values[PYOBJ_ITEMS] = 77;
	n = dict ? vz_pydict_items(py, obj, keys, values, PYOBJ_ITEMS)
		 : vz_pyobj_items(py, obj, keys, PYOBJ_ITEMS);
	pyobj_must(n <= PYOBJ_ITEMS && keys[PYOBJ_ITEMS] == 77 && values[PYOBJ_ITEMS] == 77);
}

static inline void pyobj_call_name(const struct vz_py *py, uint64_t obj)
{
	char name[16];

	vz_pyobj_type_name(py, obj, name, sizeof(name));
	pyobj_must(memchr(name, '\0', sizeof(name)) != NULL);
}

/** The reader of this number, 0 to PYOBJ_CALLS - 1. */
static inline void pyobj_call(const struct vz_py *py, uint64_t obj, unsigned number)
{
	uint64_t word;
	int64_t value;
	double real;

	/* clang-format off */
	switch (number) {
	case 0: vz_pyobj_type(py, obj, &word); break;
	case 1: pyobj_call_name(py, obj); break;
	case 2: vz_pyobj_is(py, obj, "Plain"); break;
	case 3: pyobj_must(vz_pyobj_kind(py, obj) <= VZ_PYKIND_TYPE); break;
	case 4: pyobj_call_text(py, obj); break;
	case 5: vz_pyobj_text_is(py, obj, "text"); break;
	case 6: vz_pyobj_int(py, obj, &value); break;
	case 7: vz_pyobj_float(py, obj, &real); break;
	case 8: vz_pyobj_len(py, obj); break;
	case 9: pyobj_call_items(py, obj, false); break;
	case 10: pyobj_call_items(py, obj, true); break;
	case 11: vz_pydict_get(py, obj, "left", &word); break;
	case 12: vz_pyobj_attr(py, obj, "left", &word); break;
	case 13: vz_pyobj_weakref(py, obj, &word); break;
	case 14: vz_pyobj_cell(py, obj, &word); break;
	case 15: vz_pyobj_self(py, obj, &word); break;
	case 16: vz_py_module_attr(py, obj, "sys", "stdout", &word); break;
	default: pyobj_must(false);
	}
	/* clang-format on */
}

#endif /* VZ_TESTS_PYOBJ_CALLS_H */
