/* SPDX-License-Identifier: MIT */
#include "tests/kit_py.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach/pyver_priv.h"

static int find(struct kit_py *k, char *why, size_t why_size)
{
	struct vz_python python;

	for (size_t i = 0; i < k->objects.count; i++) {
		const struct vz_object *object = k->objects.items[i];
		uint64_t runtime = vz_object_symbol(object, "_PyRuntime", NULL);
		int rc;

		if (!runtime)
			continue;
		memset(&python, 0, sizeof(python));
		rc = vz_pyver_which(&k->target, object, &python, why, why_size);
		if (rc < 0)
			return rc;
		snprintf(k->version, sizeof(k->version), "%s", python.version);
		k->py.runtime = runtime;
		k->py.debug_build = python.debug_build;
		snprintf(why, why_size, "no layout for %s", python.version);
		return vz_pylayout_read(&k->target, runtime, 0, python.minor, python.free_threaded,
					&k->py.at);
	}
	snprintf(why, why_size, "no CPython in it");
	return -ENOENT;
}

int kit_py_open(pid_t pid, struct kit_py *ret, char *why, size_t why_size)
{
	struct vz_err err = { 0 };
	int rc;

	memset(ret, 0, sizeof(*ret));
	rc = vz_target_open(pid, &ret->target, &err);
	if (rc == 0)
		rc = vz_maps_read(pid, &ret->maps, &err);
	if (rc == 0)
		rc = vz_objects_read(&ret->target, &ret->maps, &ret->objects, &err);
	snprintf(why, why_size, "%s: %s", err.what, err.why);
	if (rc == 0)
		rc = find(ret, why, why_size);
	ret->py.target = &ret->target;
	ret->py.maps = &ret->maps;
	if (rc < 0)
		kit_py_close(ret);
	return rc;
}

void kit_py_close(struct kit_py *k)
{
	vz_objects_fini(&k->objects);
	vz_maps_fini(&k->maps);
	vz_target_close(&k->target);
}
