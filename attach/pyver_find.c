/* SPDX-License-Identifier: MIT */
/*
 * pyver_find.c - which of the loaded objects holds CPython, is it one that we know,
 * and where are the functions that the payload needs.
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach/pyver_priv.h"
#include "attach/snapshot/python/pylayout.h"
#include "attach/util.h"

enum { MAX_CANDIDATES = 8 };

static const char *const py_names[VZ_NPYSYMS] = {
#define NAME(symbol) #symbol,
	VZ_PY_SYMBOLS(NAME)
#undef NAME
};

/* Symbols that not every version has; all others are in all. */
static const struct {
	enum vz_py_symbol symbol;
	unsigned since, until;
} partial[] = {
	/* clang-format off */
	{ VZ_SYM__PyThreadState_UncheckedGet,             8, 12 },
	{ VZ_SYM_PyThreadState_GetUnchecked,             13, 99 },
	{ VZ_SYM__PyEval_SetProfile,                      9, 11 },
	{ VZ_SYM__PyInterpreterState_GetEvalFrameFunc,    9, 99 },
	{ VZ_SYM__PyInterpreterState_SetEvalFrameFunc,    9, 99 },
	{ VZ_SYM__Py_IsFinalizing,                        8, 12 },
	{ VZ_SYM_Py_IsFinalizing,                        13, 99 },
	{ VZ_SYM_PyCMethod_Type,                          9, 99 },
	/* clang-format on */
};

int vz_pyver_refuse(const struct vz_target *target, struct vz_err *err)
{
	return vz_err_set(err, VZ_EXIT_UNSUPPORTED, ENOTSUP, "cannot attach to %d (%s)",
			  (int)target->pid, target->comm);
}

/* The class byte of the main program, which vz_objects_read() leaves out if it is not ours. */
static int check_class(const struct vz_target *target, const struct vz_maps *maps,
		       struct vz_err *err)
{
	unsigned char ident[EI_NIDENT];

	for (size_t i = 0; i < maps->count; i++) {
		const struct vz_map *map = &maps->items[i];

		if (map->offset != 0 || map->inode == 0 || map->path[0] != '/' ||
		    vz_target_read(target, map->start, ident, sizeof(ident)) < 0 ||
		    memcmp(ident, ELFMAG, SELFMAG) != 0)
			continue;
		if (ident[EI_CLASS] == ELFCLASS64)
			return 0;
		vz_pyver_refuse(target, err);
		vz_err_why(err, "it is a 32-bit program");
		vz_err_try(err, "use a 64-bit Python");
		return -ENOTSUP;
	}
	return 0;
}

static bool is_pypy(const struct vz_object *object)
{
	const char *name = vz_basename(vz_object_path(object));

	return vz_starts_with(name, "libpypy") || vz_starts_with(name, "pypy") ||
	       vz_object_symbol(object, "pypy_main_startup", NULL) ||
	       vz_object_symbol(object, "PyPyGILState_Ensure", NULL);
}

static bool named_python(const char *path)
{
	const char *name = vz_basename(path);

	return vz_starts_with(name, "python") || vz_starts_with(name, "libpython");
}

static void explain_no_python(const struct vz_target *target, const struct vz_objects *objects,
			      struct vz_err *err)
{
	for (size_t i = 0; i < objects->count; i++) {
		if (is_pypy(objects->items[i])) {
			vz_err_why(err, "it runs PyPy, which has no CPython inside");
			vz_err_try(err, "run the program with CPython %s", vz_pyver_supported());
			return;
		}
	}
	if (named_python(target->exe)) {
		vz_err_why(err, "its Python exports no symbols (static and stripped)");
		vz_err_try(err, "use a build that exports the CPython API, as distributions do");
	} else {
		vz_err_why(err,
			   "it is not a Python process: nothing in it exports the CPython API");
		vz_err_try(err, "vizattach ps");
	}
}

static int refuse_version(const struct vz_target *target, const struct vz_python *python,
			  struct vz_err *err)
{
	vz_pyver_refuse(target, err);
	if (python->free_threaded)
		vz_err_why(err, "it runs a free-threaded CPython %s, which is not supported",
			   python->version);
	else if (python->major == 3 && python->minor > 13)
		vz_err_why(err, "it runs CPython %s, which is too new for this vizattach",
			   python->version);
	else
		vz_err_why(err, "it runs CPython %s, which is too old", python->version);
	vz_err_try(err, "use CPython %s%s", vz_pyver_supported(),
		   python->minor > 13 ? ", or a newer vizattach" : "");
	return -ENOTSUP;
}

/* Loaded is not running: a plug-in can bring a libpython that nobody initialised. */
static bool is_running(const struct vz_target *target, const struct vz_object *object,
		       const struct vz_pyver *ver)
{
	uint64_t runtime = vz_object_symbol(object, "_PyRuntime", NULL);
	uint64_t main_interp = 0;

	return runtime &&
	       vz_target_read(target, runtime + ver->off.rt_interpreters_main, &main_interp,
			      sizeof(main_interp)) == 0 &&
	       main_interp != 0;
}

static int find_candidates(const struct vz_objects *objects, const struct vz_object **ret)
{
	int n = 0;

	for (size_t i = 0; i < objects->count && n < MAX_CANDIDATES; i++) {
		if (vz_object_symbol(objects->items[i], "PyGILState_Ensure", NULL) &&
		    vz_object_symbol(objects->items[i], "Py_GetVersion", NULL))
			ret[n++] = objects->items[i];
	}
	return n;
}

static int identify(const struct vz_target *target, const struct vz_object *object,
		    struct vz_python *ret, struct vz_err *err)
{
	char why[256];
	int rc = vz_pyver_which(target, object, ret, why, sizeof(why));

	if (rc < 0) {
		vz_pyver_refuse(target, err);
		vz_err_why(err, "%s", why);
		return -ENOTSUP;
	}
	ret->ver = ret->major == 3 && !ret->free_threaded ? vz_pyver_find(ret->minor) : NULL;
	return ret->ver ? 0 : refuse_version(target, ret, err);
}

/* The one that runs; the main program comes first in the list. */
static int choose(const struct vz_target *target, const struct vz_object **candidates, int count,
		  struct vz_python *ret, const struct vz_object **chosen, struct vz_err *err)
{
	struct vz_python python;
	int rc = 0, running = 0;

	*chosen = NULL;
	for (int i = 0; i < count; i++) {
		memset(&python, 0, sizeof(python));
		rc = identify(target, candidates[i], &python, err);
		if (rc < 0) {
			*ret = python; /* its version, for who wants to name it */
			return rc;
		}
		if (!is_running(target, candidates[i], python.ver))
			continue;
		if (running++ == 0) {
			*ret = python;
			*chosen = candidates[i];
		}
	}
	if (running == 1)
		return 0;
	if (running > 1) {
		vz_pyver_refuse(target, err);
		vz_err_why(err, "more than one CPython runs in it");
		return -ENOTSUP;
	}
	vz_err_set(err, VZ_EXIT_UNSAFE, EAGAIN, "cannot attach to %d (%s)", (int)target->pid,
		   target->comm);
	vz_err_why(err, "its CPython %s is loaded, but not started yet", python.version);
	vz_err_try(err, "run again in a moment");
	return -EAGAIN;
}

static bool is_needed(enum vz_py_symbol symbol, unsigned minor)
{
	for (size_t i = 0; i < sizeof(partial) / sizeof(partial[0]); i++) {
		if (partial[i].symbol == symbol)
			return minor >= partial[i].since && minor <= partial[i].until;
	}
	return true;
}

static int find_symbols(const struct vz_target *target, const struct vz_object *object,
			struct vz_python *ret, struct vz_err *err)
{
	for (int i = 0; i < VZ_NPYSYMS; i++) {
		ret->py[i] = vz_object_symbol(object, py_names[i], NULL);
		if (ret->py[i] || !is_needed((enum vz_py_symbol)i, ret->minor))
			continue;
		vz_pyver_refuse(target, err);
		vz_err_why(err, "its CPython %s does not export %s", ret->version, py_names[i]);
		vz_err_try(err, "use a build that exports the CPython API, as distributions do");
		return -ENOTSUP;
	}
	return 0;
}

int vz_python_find(const struct vz_target *target, const struct vz_maps *maps,
		   const struct vz_objects *objects, struct vz_python *ret, struct vz_err *err)
{
	const struct vz_object *candidates[MAX_CANDIDATES], *object;
	int count, rc;

	memset(ret, 0, sizeof(*ret));
	rc = check_class(target, maps, err);
	if (rc < 0)
		return rc;
	count = find_candidates(objects, candidates);
	if (count == 0) {
		vz_pyver_refuse(target, err);
		explain_no_python(target, objects, err);
		return -ENOTSUP;
	}
	rc = choose(target, candidates, count, ret, &object, err);
	if (rc < 0)
		return rc;
	snprintf(ret->path, sizeof(ret->path), "%s", vz_object_path(object));
	ret->static_build = vz_object_has_interp(object) &&
			    !vz_starts_with(vz_basename(ret->path), "libpython");
	rc = find_symbols(target, object, ret, err);
	if (rc < 0)
		return rc;
	return vz_pyver_libc(target, objects, ret, err);
}

/* ---- only to look ---- */

static int refuse_look(const struct vz_target *target, enum vz_exit code, int rc,
		       struct vz_err *err)
{
	if (target->pid)
		return vz_err_set(err, code, rc, "cannot look into %d (%s)", (int)target->pid,
				  target->comm);
	return vz_err_set(err, code, rc, "cannot look into the core dump of %s", target->comm);
}

static void set_where(const struct vz_object *object, struct vz_python *ret)
{
	snprintf(ret->path, sizeof(ret->path), "%s", vz_object_path(object));
	ret->static_build = vz_object_has_interp(object) &&
			    !vz_starts_with(vz_basename(ret->path), "libpython");
	for (int i = 0; i < VZ_NPYSYMS; i++)
		ret->py[i] = vz_object_symbol(object, py_names[i], NULL);
}

/* What this object holds; its row of the layout table, NULL and WHY if it is not to be read. */
static const struct vz_pylayout *look_at(const struct vz_target *target,
					 const struct vz_object *object, struct vz_python *ret,
					 char *why, size_t why_size)
{
	const struct vz_pylayout *row;

	if (vz_pyver_which(target, object, ret, why, why_size) < 0)
		return NULL;
	set_where(object, ret);
	if (!ret->py[VZ_SYM__PyRuntime]) {
		snprintf(why, why_size, "its CPython %s does not export _PyRuntime", ret->version);
		return NULL;
	}
	row = ret->major == 3 ? vz_pylayout_find(ret->minor, ret->free_threaded) : NULL;
	if (!row)
		snprintf(why, why_size, "it runs %sCPython %s, whose structures are not known",
			 ret->free_threaded ? "a free-threaded " : "", ret->version);
	return row;
}

static bool has_interpreter(const struct vz_target *target, const struct vz_python *python,
			    const struct vz_pylayout *row)
{
	uint64_t interp = 0;

	return vz_target_read(target, python->py[VZ_SYM__PyRuntime] + row->rt_interpreters_main,
			      &interp, sizeof(interp)) == 0 &&
	       interp != 0;
}

int vz_python_look(const struct vz_target *target, const struct vz_objects *objects,
		   struct vz_python *ret, struct vz_err *err)
{
	const struct vz_object *candidates[MAX_CANDIDATES];
	int count = find_candidates(objects, candidates);
	const struct vz_pylayout *row = NULL;
	char why[256];

	memset(ret, 0, sizeof(*ret));
	if (count == 0) {
		refuse_look(target, VZ_EXIT_UNSUPPORTED, ENOTSUP, err);
		explain_no_python(target, objects, err);
		return -ENOTSUP;
	}
	for (int i = 0; i < count; i++) {
		memset(ret, 0, sizeof(*ret));
		row = look_at(target, candidates[i], ret, why, sizeof(why));
		if (row && has_interpreter(target, ret, row)) {
			ret->ver = ret->free_threaded ? NULL : vz_pyver_find(ret->minor);
			return 0;
		}
	}
	if (!row) {
		refuse_look(target, VZ_EXIT_UNSUPPORTED, ENOTSUP, err);
		vz_err_why(err, "%s", why);
		vz_err_try(err, "use CPython 3.8 or newer, or a newer vizattach");
		return -ENOTSUP;
	}
	refuse_look(target, VZ_EXIT_UNSAFE, EAGAIN, err);
	vz_err_why(err, "its CPython %s is loaded, but not started yet", ret->version);
	vz_err_try(err, "run again in a moment");
	return -EAGAIN;
}
