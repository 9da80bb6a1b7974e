/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/kit_view.h"
#include "tests/subject.h"

/* ---- the table ---- */

Test(pylayout, rows_are_in_order_and_whole)
{
	const struct vz_pylayout *row;
	unsigned minor = 8, n = 0;

	for (; (row = vz_pylayout_row(n)); n++) {
		cr_assert(row->minor == minor || row->minor == minor + 1, "row %u", n);
		minor = row->minor;
		cr_assert_eq(vz_pylayout_find(row->minor, row->free_threaded), row);
		cr_assert_neq(row->ts_interp, VZ_NO_OFFSET);
		cr_assert_eq(row->ob_type, row->free_threaded ? 24 : 8);
		/* A field is in the table, or the version has none: never both left out. */
		cr_assert_eq(row->ts_frame != VZ_NO_OFFSET, minor <= 10);
		cr_assert_eq(row->if_code != VZ_NO_OFFSET, minor >= 11);
		cr_assert_eq(row->in_tag != VZ_NO_OFFSET, minor >= 12);
		cr_assert_eq(row->dv_valid != VZ_NO_OFFSET, minor >= 13);
	}
	cr_assert_geq(minor, 13);
	cr_assert_null(vz_pylayout_find(7, false));
	cr_assert_null(vz_pylayout_find(12, true));
	cr_assert_null(vz_pylayout_find(99, false));
}

/* Both tables say the same where both have a field. */
Test(pylayout, agrees_with_the_table_of_recordings)
{
	const struct vz_pyver *ver;

	for (unsigned i = 0; (ver = vz_pyver_row(i)); i++) {
		const struct vz_pylayout *row = vz_pylayout_find(ver->minor, false);

		cr_assert_not_null(row);
#define SAME(field) cr_expect_eq(row->field, ver->off.field, "3.%u: " #field, (unsigned)ver->minor);
		SAME(ts_next)
		SAME(ts_interp)
		SAME(ts_thread_id)
		SAME(ts_native_thread_id)
		SAME(ts_frame)
		SAME(ts_cframe)
		SAME(ts_current_frame)
		SAME(cf_current_frame)
		SAME(fr_back)
		SAME(fr_code)
		SAME(if_code)
		SAME(if_previous)
		SAME(if_owner)
		SAME(co_name)
		SAME(co_filename)
		SAME(co_qualname)
		SAME(co_firstlineno)
		SAME(is_id)
		SAME(is_gil)
		SAME(is_next)
		SAME(is_threads_head)
		SAME(rt_gil)
		SAME(gil_last_holder)
		SAME(gil_locked)
		SAME(gil_switch_number)
		SAME(rt_interpreters_main)
		SAME(rt_interpreters_head)
		SAME(rt_main_thread)
#undef SAME
	}
}

/* The script writes what is checked in: for the versions whose headers are here. */
Test(pylayout, table_is_that_of_the_headers, .timeout = 100)
{
	const char *source = getenv("VZ_SOURCE_DIR");
	char command[2048], line[512];
	FILE *pipe;

	if (system("python3 -c pass && cc --version >/dev/null") != 0)
		cr_skip_test("no python3, or no compiler here");
	snprintf(command, sizeof(command), "'%s/scripts/pylayout' --check '%s'/build/roots/* 2>&1",
		 source ? source : ".", source ? source : ".");
	pipe = popen(command, "r");
	cr_assert_not_null(pipe);
	while (fgets(line, sizeof(line), pipe))
		fputs(line, stderr);
	cr_assert_eq(pclose(pipe), 0);
}

/* ---- live processes ---- */

/* Where it does not say it itself, a release build has it where the headers have it. */
static void check_same(const struct vz_pylayout *layout, const char *path)
{
	const struct vz_pylayout *row = vz_pylayout_find(layout->minor, layout->free_threaded);

#define CHECK(field)                                                                           \
	cr_expect_eq(layout->field, row->field, "%s says " #field " is at %u, table %u", path, \
		     layout->field, row->field);
	VZ_PYLAYOUT_FIELDS(CHECK)
#undef CHECK
}

static void check_python(const struct kit_view *view, const char *path, unsigned minor)
{
	const struct vz_python *python = &view->python;
	uint64_t runtime = python->py[VZ_SYM__PyRuntime], asyncio = 0;
	struct vz_pylayout layout;

	cr_assert_eq(python->minor, minor, "%s", path);
	cr_assert_neq(runtime, 0, "%s", path);
	cr_assert_eq(python->ver, python->free_threaded ? NULL : vz_pyver_find(minor), "%s", path);
	if (minor >= 14) {
		asyncio = vz_pylayout_asyncio(&view->target, &view->maps, &view->objects, runtime);
		cr_assert_neq(asyncio, 0, "%s: no table of _asyncio", path);
	}
	cr_assert_eq(vz_pylayout_read(&view->target, runtime, asyncio, minor, python->free_threaded,
				      &layout),
		     0, "%s", path);
	if (!python->debug_build)
		check_same(&layout, path);
	if (minor >= 13)
		/* Another version's table is not taken. */
		cr_assert_eq(vz_pylayout_read(&view->target, runtime, 0, minor,
					      !python->free_threaded, &layout),
			     -ENOTSUP);
}

static unsigned check_process(const char *path)
{
	unsigned minor = python_minor(path);
	struct kit_view view;
	struct subject s;
	int rc;

	if (!subject_python(&s, path, minor ? "import _asyncio\nready()" : "ready()"))
		return 0;
	rc = kit_view_look(&view, s.pid);
	if (vz_pylayout_find(minor, false)) {
		cr_assert_eq(rc, 0, "%s: %s", path, view.err.why);
		check_python(&view, path, minor);
	} else {
		cr_assert_eq(rc, -ENOTSUP, "%s", path);
		cr_assert_eq(view.err.exit, VZ_EXIT_UNSUPPORTED, "%s", path);
	}
	kit_view_close(&view);
	subject_end(&s);
	return 1;
}

Test(pylayout, processes_say_what_the_table_says, .timeout = 100)
{
	unsigned checked = 0;
	glob_t found[2];

	find_pythons(&found[0]);
	find_more_pythons(&found[1]);
	for (int k = 0; k < 2; k++) {
		for (size_t i = 0; i < found[k].gl_pathc; i++)
			checked += check_process(found[k].gl_pathv[i]);
		globfree(&found[k]);
	}
	if (!checked)
		cr_skip_test("no CPython here");
}

Test(pylayout, look_refuses_what_is_not_python)
{
	struct kit_view view;
	struct subject s;

	cr_assert(subject_plain(&s));
	cr_assert_eq(kit_view_look(&view, s.pid), -ENOTSUP);
	cr_assert_eq(view.err.exit, VZ_EXIT_UNSUPPORTED);
	cr_assert_not_null(strstr(view.err.what, "cannot look into"), "%s", view.err.what);
	cr_assert_not_null(strstr(view.err.why, "not a Python process"), "%s", view.err.why);
	kit_view_close(&view);
	subject_end(&s);
}

/* The same bytes without a process. */
struct copy {
	struct vz_bytes bytes;
	const struct vz_target *real;
};

static int copy_read(const struct vz_bytes *memory, uint64_t raddr, void *buf, size_t len)
{
	return vz_target_read(((const struct copy *)memory)->real, raddr, buf, len);
}

/* The structure of this name, or at this address. */
static uint64_t base_of(const struct vz_py *py, const char *word)
{
	uint64_t interp = 0, thread = 0;

	vz_target_read(py->target, py->runtime + py->at.rt_interpreters_main, &interp, 8);
	vz_target_read(py->target, interp + py->at.is_threads_head, &thread, 8);
	return !strcmp(word, "runtime")  ? py->runtime
	       : !strcmp(word, "interp") ? interp
	       : !strcmp(word, "thread") ? thread
					 : strtoull(word, NULL, 10);
}

/* A process that tells nonsense of itself is not read. */
struct liar {
	struct vz_bytes bytes;
	const struct vz_target *real;
	uint64_t raddr; /* where one word is LIE */
	uint64_t lie;
};

static int lying_read(const struct vz_bytes *memory, uint64_t raddr, void *buf, size_t len)
{
	const struct liar *liar = (const struct liar *)memory;
	int rc = vz_target_read(liar->real, raddr, buf, len);

	if (rc == 0 && liar->raddr >= raddr && liar->raddr - raddr + 8 <= len)
		memcpy((char *)buf + (liar->raddr - raddr), &liar->lie, 8);
	return rc;
}

static int read_lied_to(const struct kit_view *view, uint64_t raddr, uint64_t lie, uint64_t asyncio)
{
	const struct liar liar = { { lying_read }, &view->target, raddr, lie };
	const struct vz_target target = { .pidfd = -1, .mem_fd = -1, .memory = &liar.bytes };
	struct vz_pylayout layout;

	return vz_pylayout_read(&target, view->py.runtime, asyncio, view->python.minor,
				view->python.free_threaded, &layout);
}

static void lie_to(const char *path)
{
	struct kit_view view;
	struct subject s;
	uint64_t interp, thread, asyncio = 0;

	if (!vz_pylayout_find(python_minor(path), false) ||
	    !subject_python(&s, path, "import _asyncio\nready()"))
		return;
	kit_view_open(&view, s.pid, path);
	if (view.python.minor >= 14)
		asyncio = vz_pylayout_asyncio(&view.target, &view.maps, &view.objects,
					      view.py.runtime);
	cr_expect_eq(read_lied_to(&view, 0, 0, asyncio), 0, "%s", path);
	for (uint64_t at = 0; view.python.minor >= 13 && at < 32; at += 8) /* the head, a size */
		cr_expect_eq(read_lied_to(&view, view.py.runtime + at, UINT64_MAX, asyncio),
			     at < 24 ? -ENOTSUP : 0, "%s: %lu", path, (unsigned long)at);
	if (view.python.minor >= 13) /* runtime_state.finalizing */
		cr_expect_eq(read_lied_to(&view, view.py.runtime + 32, 1 << 20, asyncio), -ENOTSUP);
	if (asyncio)
		cr_expect_eq(read_lied_to(&view, asyncio + 8, 1 << 20, asyncio), -ENOTSUP);
	interp = base_of(&view.py, "interp");
	thread = base_of(&view.py, "thread");
	cr_assert(interp && thread, "%s", path);
	cr_expect_eq(read_lied_to(&view, thread + view.py.at.ts_interp, interp + 8, asyncio),
		     -ENOTSUP, "%s", path);
	kit_view_close(&view);
	subject_end(&s);
}

Test(pylayout, nonsense_is_refused, .timeout = 100)
{
	glob_t found[2];

	find_pythons(&found[0]);
	find_more_pythons(&found[1]);
	for (int k = 0; k < 2; k++) {
		for (size_t i = 0; i < found[k].gl_pathc; i++)
			lie_to(found[k].gl_pathv[i]);
		globfree(&found[k]);
	}
}

Test(pylayout, a_core_dump_has_no_process)
{
	glob_t found;

	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *path = found.gl_pathv[i];
		struct copy copy = { .bytes.read = copy_read };
		struct vz_target core = { .pidfd = -1, .mem_fd = -1, .memory = &copy.bytes };
		struct vz_python python;
		struct kit_view view;
		struct subject s;

		if (!vz_pylayout_find(python_minor(path), false) ||
		    !subject_python(&s, path, "ready()"))
			continue;
		cr_assert_eq(kit_view_look(&view, s.pid), 0, "%s", path);
		copy.real = &view.target;
		cr_assert_eq(vz_python_look(&core, &view.objects, &python, &view.err), 0, "%s: %s",
			     path, view.err.why);
		cr_assert_eq(memcmp(&python, &view.python, sizeof(python)), 0, "%s", path);
		kit_view_close(&view);
		subject_end(&s);
	}
	globfree(&found);
}

/* ---- fields that no header shows ---- */

static const struct {
	const char *name;
	size_t at;
} fields[] = {
#define FIELD(field) { #field, offsetof(struct vz_pylayout, field) },
	VZ_PYLAYOUT_FIELDS(FIELD)
#undef FIELD
};

static uint32_t offset_of(const struct vz_pylayout *layout, const char *name)
{
	uint32_t offset = VZ_NO_OFFSET;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (!strcmp(fields[i].name, name))
			memcpy(&offset, (const char *)layout + fields[i].at, sizeof(offset));
	}
	return offset;
}

static void check_field(const struct vz_py *py, const char *path, const char *name,
			const char *base, uint64_t want, size_t bytes)
{
	uint64_t raddr = base_of(py, base), got = 0;
	uint32_t offset = offset_of(&py->at, name);

	if (!strcmp(name, "th_ident"))
		cr_assert_eq(vz_target_read(py->target, raddr + py->at.th_handle, &raddr, 8), 0);
	if (!strcmp(name, "ts_interp"))
		want = base_of(py, "interp");
	cr_assert_neq(offset, VZ_NO_OFFSET, "%s: no %s", path, name);
	cr_assert_eq(vz_target_read(py->target, raddr + offset, &got, bytes), 0);
	if (!strcmp(name, "fu_state"))
		got &= 3;
	cr_expect_eq(got, want, "%s: %s at %u is %#lx, not %#lx", path, name, offset, got, want);
}

static unsigned check_fields(const char *path, const char *text)
{
	char name[64], base[64];
	unsigned bytes, n = 0;
	struct kit_view view;
	unsigned long want;
	struct subject s;
	FILE *out;

	if (!vz_pylayout_find(python_minor(path), false) || !subject_python_text(&s, path, text))
		return 0;
	out = fdopen(dup(s.out), "r");
	kit_view_open(&view, s.pid, path);
	while (fscanf(out, "%63s %63s %lu %u", name, base, &want, &bytes) == 4 &&
	       strcmp(name, "end") != 0) {
		check_field(&view.py, path, name, base, want, bytes <= 8 ? bytes : 8);
		n++;
	}
	cr_expect_str_eq(name, "end", "%s", path);
	cr_expect_gt(n, 24, "%s: %u", path, n);
	fclose(out);
	kit_view_close(&view);
	subject_end(&s);
	return 1;
}

Test(pylayout, structures_without_header_are_as_probed, .timeout = 100)
{
	char *text = subject_script("structures.py");
	unsigned checked = 0;
	glob_t found[2];

	find_pythons(&found[0]);
	find_more_pythons(&found[1]);
	for (int k = 0; k < 2; k++) {
		for (size_t i = 0; i < found[k].gl_pathc; i++)
			checked += check_fields(found[k].gl_pathv[i], text);
		globfree(&found[k]);
	}
	free(text);
	if (!checked)
		cr_skip_test("no CPython here");
}
