/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "attach/pyver.h"
#include "tests/subject.h"

/* ---- the table ---- */

Test(pyver, rows_are_in_order_and_complete)
{
	const struct vz_pyver *row;
	unsigned n = 0;

	for (; (row = vz_pyver_row(n)); n++) {
		cr_assert_eq(row->minor, 8 + n);
		cr_assert_eq(vz_pyver_find(row->minor), row);
		cr_assert(row->hook == VZ_HOOK_PROFILE || row->hook == VZ_HOOK_MONITORING);
		cr_assert_neq(row->off.ts_interp, VZ_NO_OFFSET);
	}
	cr_assert_eq(n, 6);
	cr_assert_null(vz_pyver_find(7));
	cr_assert_null(vz_pyver_find(14));
	cr_assert_str_eq(vz_pyver_supported(), "3.8-3.13");
}

/* One line "name offset" of the probe, as it came. */
struct told {
	char name[48];
	unsigned offset;
	bool used;
};

struct probe {
	struct told told[128];
	size_t count;
};

static bool run_probe(const char *include, struct probe *ret)
{
	const char *source = getenv("VZ_SOURCE_DIR"), *cc = getenv("CC");
	char command[4096], directory[] = "/tmp/vz-probe-XXXXXX";
	FILE *pipe;

	ret->count = 0;
	if (!mkdtemp(directory))
		return false;
	snprintf(command, sizeof(command),
		 "%s -std=gnu11 -w -I'%s' -I'%s/internal' '%s/tests/pyver_probe.c' -o %s/probe && "
		 "%s/probe; rm -r %s",
		 cc ? cc : "cc", include, include, source ? source : ".", directory, directory,
		 directory);
	pipe = popen(command, "r");
	while (pipe && ret->count < 128 &&
	       fscanf(pipe, "%47s %u", ret->told[ret->count].name, &ret->told[ret->count].offset) ==
		       2)
		ret->told[ret->count++].used = false;
	return pipe && pclose(pipe) == 0 && ret->count > 1;
}

static unsigned offset_of(struct probe *probe, const char *name)
{
	for (size_t i = 0; i < probe->count; i++) {
		if (!strcmp(probe->told[i].name, name)) {
			probe->told[i].used = true;
			return probe->told[i].offset;
		}
	}
	return VZ_NO_OFFSET;
}

static void check_outside(struct probe *probe, const struct vz_pyver *row, const char *include)
{
	const struct {
		const char *name;
		uint32_t offset;
	} fields[] = {
		{ "ts_bytes", row->ts_bytes },
		{ "is_bytes", row->is_bytes },
		{ "is_tool_names", row->is_tool_names },
		{ "is_monitors", row->is_monitors },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		cr_expect_eq(fields[i].offset, offset_of(probe, fields[i].name),
			     "%s: %s is %u, table %u", include, fields[i].name,
			     offset_of(probe, fields[i].name), fields[i].offset);
}

static void check_row(struct probe *probe, const char *include)
{
	const struct vz_pyver *row = vz_pyver_find(offset_of(probe, "minor"));

	cr_assert_not_null(row);
	check_outside(probe, row, include);
#define CHECK(field)                                                                         \
	cr_expect_eq(row->off.field, offset_of(probe, #field),                               \
		     "%s: " #field " is at %u, table %u", include, offset_of(probe, #field), \
		     row->off.field);
	VZ_PY_OFFSETS(CHECK)
#undef CHECK
	for (size_t i = 0; i < probe->count; i++)
		cr_expect(probe->told[i].used, "%s is no field", probe->told[i].name);
}

Test(pyver, offsets_are_those_of_the_headers, .timeout = 100)
{
	unsigned checked[32] = { 0 };
	glob_t found;

	find_below_prefixes("include/python3.*", &found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *include = found.gl_pathv[i];
		unsigned minor = python_minor(include);
		char header[1024];
		struct probe probe;

		snprintf(header, sizeof(header), "%s/internal/pycore_pystate.h", include);
		if (!vz_pyver_find(minor) || access(header, R_OK) < 0)
			continue;
		cr_expect(run_probe(include, &probe), "cannot compile against %s", include);
		if (probe.count > 1)
			check_row(&probe, include);
		checked[minor % 32]++;
	}
	for (unsigned i = 0; vz_pyver_row(i); i++) {
		if (!checked[vz_pyver_row(i)->minor])
			/* Not cr_log_warn(): that makes Criterion exit with 1. */
			fprintf(stderr,
				"skip: no headers of CPython 3.%u here: its row is not checked\n",
				vz_pyver_row(i)->minor);
	}
	globfree(&found);
}

/* ---- live processes ---- */

struct view {
	struct vz_target target;
	struct vz_maps maps;
	struct vz_objects objects;
	struct vz_python python;
	struct vz_err err;
};

static int view_open(struct view *view, pid_t pid)
{
	memset(view, 0, sizeof(*view));
	cr_assert_eq(vz_target_open(pid, &view->target, &view->err), 0);
	cr_assert_eq(vz_maps_read(pid, &view->maps, &view->err), 0);
	cr_assert_eq(vz_objects_read(&view->target, &view->maps, &view->objects, &view->err), 0);
	return vz_python_find(&view->target, &view->maps, &view->objects, &view->python,
			      &view->err);
}

static void view_close(struct view *view)
{
	vz_objects_fini(&view->objects);
	vz_maps_fini(&view->maps);
	vz_target_close(&view->target);
}

static void check_found(const struct view *view, const char *path, unsigned minor)
{
	const struct vz_python *python = &view->python;
	char start[32];
	uint32_t code;

	cr_assert_eq(python->major, 3, "%s", path);
	cr_assert_eq(python->minor, minor, "%s", path);
	cr_assert_eq(python->ver, vz_pyver_find(minor), "%s", path);
	snprintf(start, sizeof(start), "3.%u.%u", minor, python->micro);
	cr_assert_eq(strncmp(python->version, start, strlen(start)), 0, "%s: %s", path,
		     python->version);
	cr_assert_neq(python->py[VZ_SYM_PyGILState_Ensure], 0);
	for (int i = 0; i < VZ_NLIBCSYMS; i++) {
		const struct vz_map *map = vz_maps_find(&view->maps, python->libc[i]);

		cr_assert(map && map->executable, "%s: libc function %d", path, i);
	}
	cr_assert_lt(python->libc_start, python->libc_end);
	cr_assert_lt(python->ld_start, python->ld_end);
	/* "syscall", where there is one */
	if (python->exit_gadget) {
		cr_assert_eq(vz_target_read(&view->target, python->exit_gadget, &code, 4), 0);
		cr_assert_eq(code & 0xffffff, 0xeb050fU);
	}
	if (python->syscall_insn) {
		cr_assert_eq(vz_target_read(&view->target, python->syscall_insn, &code, 3), 0);
		cr_assert_eq(code & 0xffffff, 0xc3050f);
	}
}

Test(pyver, every_python_is_found_or_refused, .timeout = 100)
{
	glob_t found;

	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *path = found.gl_pathv[i];
		unsigned minor = python_minor(path);
		struct subject s;
		struct view view;
		int rc;

		if (!subject_python(&s, path, "ready()"))
			continue;
		rc = view_open(&view, s.pid);
		if (vz_pyver_find(minor)) {
			cr_assert_eq(rc, 0, "%s: %s", path, view.err.why);
			check_found(&view, path, minor);
		} else {
			cr_assert_eq(rc, -ENOTSUP, "%s", path);
			cr_assert_eq(view.err.exit, VZ_EXIT_UNSUPPORTED, "%s", path);
			cr_assert_not_null(strstr(view.err.why, minor > 13 ? "new" : "old"),
					   "%s: %s", path, view.err.why);
		}
		view_close(&view);
		subject_end(&s);
	}
	if (found.gl_pathc == 0)
		cr_skip_test("no CPython here");
	globfree(&found);
}

Test(pyver, addresses_are_those_that_python_sees, .timeout = 100)
{
	static const char program[] =
		"import ctypes\n"
		"f = ctypes.cast(ctypes.pythonapi.PyGILState_Ensure, ctypes.c_void_p).value\n"
		"os.write(1, f.to_bytes(8, 'little'))\n"
		"sys.stdin.read()\n";
	glob_t found;

	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct subject s;
		struct view view;
		uint64_t address = 0;

		if (!vz_pyver_find(python_minor(found.gl_pathv[i])))
			continue;
		/* The first byte is read as the sign that it runs. */
		if (!subject_python(&s, found.gl_pathv[i], program) ||
		    read(s.out, (char *)&address + 1, 7) != 7)
			continue;
		cr_assert_eq(view_open(&view, s.pid), 0);
		cr_assert_eq(view.python.py[VZ_SYM_PyGILState_Ensure] >> 8, address >> 8, "%s",
			     found.gl_pathv[i]);
		view_close(&view);
		subject_end(&s);
	}
	globfree(&found);
}

/* What glibc 2.34 left of libpthread is still one that can be loaded: its code is found as such. */
Test(pyver, libpthread_apart_is_known)
{
	const struct vz_map *map;
	struct subject s;
	struct view view;
	bool started;

	setenv("LD_PRELOAD", "libpthread.so.0", 1);
	started = subject_python(&s, "/usr/bin/python3", "ready()");
	unsetenv("LD_PRELOAD");
	if (!started)
		cr_skip_test("no python3 of the system here");
	cr_assert_eq(view_open(&view, s.pid), 0, "%s", view.err.why);
	map = vz_maps_find(&view.maps, view.python.pthread_start);
	if (!map)
		cr_skip_test("no libpthread here");
	cr_assert(map->executable && strstr(map->path, "libpthread"), "%s", map->path);
	cr_assert_gt(view.python.pthread_end, view.python.pthread_start);
	cr_assert_leq(view.python.pthread_end, map->end);
	check_found(&view, "/usr/bin/python3", view.python.minor);
	view_close(&view);
	subject_end(&s);
}

Test(pyver, refuses_what_is_not_python)
{
	struct subject s;
	struct view view;

	cr_assert(subject_plain(&s));
	cr_assert_eq(view_open(&view, s.pid), -ENOTSUP);
	cr_assert_eq(view.err.exit, VZ_EXIT_UNSUPPORTED);
	cr_assert_not_null(strstr(view.err.why, "not a Python process"));
	view_close(&view);
	subject_end(&s);
}
