/* SPDX-License-Identifier: MIT */
/*
 * Pointers to us are found in every place where there can be some: in a CPython that this test
 * makes up in its own memory, and in every real one while it is recorded.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/image.h"
#include "attach/session.h"
#include "attach/util.h"
#include "tests/subject.h"

/* ---- made up ---- */

enum { IMAGE_BYTES = 1 << 20 };

/* A CPython of the version MINOR: one interpreter, two threads. */
struct fake {
	uint8_t runtime[1 << 20], interp[1 << 20], threads[2][1024], code_type[256];
	struct vz_target target;
	struct vz_python python;
	struct vz_objects objects;
	struct vz_range image;
	uint8_t *mapped;
};

static void put(uint8_t *at, uint32_t offset, uint64_t word)
{
	memcpy(at + offset, &word, 8);
}

static uint64_t raddr(const void *at)
{
	return (uintptr_t)at;
}

static struct fake *fake_new(unsigned minor)
{
	struct fake *f = calloc(1, sizeof(*f));
	const struct vz_py_offsets *off = &vz_pyver_find(minor)->off;
	struct vz_err err;

	cr_assert_eq(vz_target_open(getpid(), &f->target, &err), 0);
	f->python.ver = vz_pyver_find(minor);
	f->python.py[VZ_SYM__PyRuntime] = raddr(f->runtime);
	f->python.py[VZ_SYM_PyCode_Type] = raddr(f->code_type);
	put(f->runtime, off->rt_interpreters_head, raddr(f->interp));
	put(f->interp, off->is_threads_head, raddr(f->threads[0]));
	put(f->interp, off->is_next_unique_id, 3);
	for (uint64_t i = 0; i < 2; i++) {
		put(f->threads[i], off->ts_interp, raddr(f->interp));
		put(f->threads[i], off->ts_id, 2 - i);
	}
	put(f->threads[0], off->ts_next, raddr(f->threads[1]));
	/* where nobody else's memory comes to lie when it is free again */
	f->mapped = mmap((void *)(uintptr_t)UINT64_C(0x100000000000), IMAGE_BYTES,
			 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	f->image = (struct vz_range){ raddr(f->mapped), raddr(f->mapped) + IMAGE_BYTES };
	munmap(f->mapped, IMAGE_BYTES);
	return f;
}

static struct vz_residue fake_compare(struct fake *f)
{
	struct vz_residue residue = { 0 };
	struct vz_pystate *before = vz_pystate_take(&f->target, &f->objects, &f->python);

	vz_pystate_compare(before, &f->target, &f->objects, &f->python,
			   &(struct vz_deed){ .image = f->image }, &residue);
	vz_pystate_free(before);
	return residue;
}

static void fake_free(struct fake *f)
{
	vz_target_close(&f->target);
	free(f);
}

/* Sets the word to a pointer to us, sees it found, and clears it again. */
static void expect_found(struct fake *f, uint8_t *at, uint32_t offset, const char *where)
{
	struct vz_residue residue;
	uint64_t was;

	memcpy(&was, at + offset, 8);
	put(at, offset, f->image.start + 4096);
	residue = fake_compare(f);
	cr_expect_eq(vz_residue_verdict(&residue, VZ_RESIDUE_HOOKS), VZ_CLEAN_LEFT, "3.%u: %s",
		     f->python.ver->minor, where);
	cr_expect_not_null(strstr(residue.text, where), "%s: %s", where, residue.text);
	put(at, offset, was);
	residue = fake_compare(f);
	cr_expect_eq(vz_residue_verdict(&residue, VZ_RESIDUE_HOOKS), VZ_CLEAN_OK, "3.%u: %s",
		     f->python.ver->minor, residue.text);
}

Test(residue_python, pointers_are_found_in_each_place)
{
	for (unsigned i = 0; vz_pyver_row(i); i++) {
		const struct vz_pyver *ver = vz_pyver_row(i);
		struct fake *f = fake_new(ver->minor);

		expect_found(f, f->threads[0], ver->off.ts_c_profilefunc, "a thread state");
		expect_found(f, f->threads[1], ver->off.ts_c_profileobj, "a thread state");
		expect_found(f, f->threads[1], ver->off.ts_thread_id, "a thread state");
		expect_found(f, f->interp, ver->off.is_eval_frame, "the frame evaluator");
		expect_found(f, f->interp, ver->is_bytes - 8, "an interpreter");
		expect_found(f, f->code_type, 48, "the type of code objects");
		fake_free(f);
	}
}

Test(residue_python, at_fork_functions_and_dicts_are_looked_at)
{
	const struct vz_pyver *ver = vz_pyver_find(12);
	struct fake *f = fake_new(12);
	char capsule_name[] = "PyCapsule", str_name[] = "str";
	uint64_t capsule_type[4] = { 1, 0, 0, raddr(capsule_name) };
	uint64_t str_type[4] = { 1, 0, 0, raddr(str_name) };
	uint64_t object[8] = { 1, raddr(capsule_type) };
	uint64_t items[3] = { 0 }, list[4] = { 1, 0, 3, raddr(items) };
	uint64_t keys[16] = { 0 }, dict[6] = { 1, 0, 1, 0, raddr(keys), 0 };

	put(f->interp, ver->off.is_after_forkers_parent, raddr(list));
	expect_found(f, (uint8_t *)items, 16, "at-fork");
	((uint8_t *)keys)[9] = 3; /* 8 bytes of indices, then two entries of 16 bytes */
	((uint8_t *)keys)[10] = 1;
	keys[3] = 2;
	put(f->threads[1], ver->off.ts_dict, raddr(dict));
	keys[4 + 1 + 3] = raddr(object); /* the value of the second entry */
	expect_found(f, (uint8_t *)object, 40, "the dict of a thread state"); /* its destructor */
	object[1] = raddr(str_type); /* whose bytes may be anything */
	object[5] = f->image.start + 4096;
	cr_expect_eq(fake_compare(f).ours[VZ_RESIDUE_HOOKS], 0);
	expect_found(f, (uint8_t *)keys, 32 + 8 + 16 + 8, "the dict of a thread state");
	fake_free(f);
}

/* The program may get our addresses for its own data: pointers to them are its own, but not where
 * a function is expected. */
Test(residue_python, memory_that_is_used_again_is_the_programs)
{
	const struct vz_pyver *ver = vz_pyver_find(11);
	struct fake *f = fake_new(11);
	struct vz_residue residue;

	put(f->threads[0], ver->off.ts_datastack_chunk, f->image.start + 64);
	residue = fake_compare(f);
	cr_assert_eq(residue.ours[VZ_RESIDUE_HOOKS], 1);
	cr_assert_eq(mmap(f->mapped, IMAGE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
		     f->mapped);
	residue = fake_compare(f);
	cr_assert_eq(vz_residue_verdict(&residue, VZ_RESIDUE_HOOKS), VZ_CLEAN_OK);
	put(f->threads[1], ver->off.ts_c_profilefunc, f->image.start + 64);
	residue = fake_compare(f);
	cr_assert_eq(residue.ours[VZ_RESIDUE_HOOKS], 1, "%s", residue.text);
	munmap(f->mapped, IMAGE_BYTES);
	fake_free(f);
}

/* What does not make sense is unknown, never ok. */
Test(residue_python, lists_that_do_not_hold_still_are_unknown, .timeout = 60)
{
	const struct vz_py_offsets *off = &vz_pyver_find(11)->off;
	struct fake *f = fake_new(11);
	struct vz_residue residue;

	put(f->threads[1], off->ts_interp, 0); /* freed, and used for something else */
	residue = fake_compare(f);
	cr_expect_eq(vz_residue_verdict(&residue, VZ_RESIDUE_HOOKS), VZ_CLEAN_UNKNOWN);
	cr_expect_not_null(strstr(residue.text, "could not be told"), "%s", residue.text);
	put(f->threads[1], off->ts_interp, raddr(f->interp));
	put(f->threads[1], off->ts_next, 12345);
	residue = fake_compare(f);
	cr_expect_eq(vz_residue_verdict(&residue, VZ_RESIDUE_HOOKS), VZ_CLEAN_UNKNOWN);
	put(f->threads[1], off->ts_next, 0);
	put(f->threads[1], off->ts_next, raddr(f->threads[0])); /* a ring of threads */
	residue = fake_compare(f);
	cr_expect_eq(vz_residue_verdict(&residue, VZ_RESIDUE_HOOKS), VZ_CLEAN_UNKNOWN);
	put(f->threads[1], off->ts_next, 0);
	put(f->interp, off->is_next, raddr(f->interp)); /* a ring of interpreters */
	residue = fake_compare(f);
	cr_expect_eq(vz_residue_verdict(&residue, VZ_RESIDUE_HOOKS), VZ_CLEAN_UNKNOWN);
	fake_free(f);
}

/* ---- the ids of sys.monitoring, made up ---- */

struct name {
	uint64_t refcnt, type, length, hash, state;
	char text[16];
};

Test(residue_python, monitoring_ids_are_compared, .timeout = 60)
{
	const struct vz_pyver *ver = vz_pyver_find(13);
	struct fake *f = fake_new(13);
	struct name ours = { .length = 9, .text = "vizattach" },
		    other = { .length = 3, .text = "cov" };
	uint64_t type = f->python.py[VZ_SYM_PyUnicode_Type] = raddr(f->runtime);
	struct vz_residue residue = { 0 };
	struct vz_pystate *before;

	ours.type = other.type = type;
	put(f->interp, ver->is_tool_names + 8, raddr(&other));
	before = vz_pystate_take(&f->target, &f->objects, &f->python);
	put(f->interp, ver->is_tool_names + 4 * 8, raddr(&ours));
	f->interp[ver->is_monitors + 2] = 1 << 4;
	vz_pystate_witness(before, &f->target, &f->python, 4);
	vz_pystate_compare(before, &f->target, &f->objects, &f->python,
			   &(struct vz_deed){ .image = f->image }, &residue);
	cr_expect_eq(vz_residue_verdict(&residue, VZ_RESIDUE_TOOL_IDS), VZ_CLEAN_LEFT);
	cr_expect_not_null(strstr(residue.text, "id 4 of sys.monitoring is still ours"), "%s",
			   residue.text);
	put(f->interp, ver->is_tool_names + 4 * 8, 0);
	residue = (struct vz_residue){ 0 };
	vz_pystate_compare(before, &f->target, &f->objects, &f->python,
			   &(struct vz_deed){ .image = f->image }, &residue);
	cr_expect_not_null(strstr(residue.text, "events of id 4"), "%s", residue.text);
	f->interp[ver->is_monitors + 2] = 0;
	residue = (struct vz_residue){ 0 };
	vz_pystate_compare(before, &f->target, &f->objects, &f->python,
			   &(struct vz_deed){ .image = f->image }, &residue);
	cr_expect_eq(vz_residue_verdict(&residue, VZ_RESIDUE_TOOL_IDS), VZ_CLEAN_OK, "%s",
		     residue.text);
	cr_expect_eq(residue.other[VZ_RESIDUE_TOOL_IDS], 0);
	put(f->interp, ver->is_tool_names + 8, 0); /* the other tool left meanwhile */
	vz_pystate_compare(before, &f->target, &f->objects, &f->python,
			   &(struct vz_deed){ .image = f->image }, &residue);
	residue = (struct vz_residue){ 0 };
	vz_pystate_compare(before, &f->target, &f->objects, &f->python,
			   &(struct vz_deed){ .image = f->image }, &residue);
	cr_expect_eq(residue.other[VZ_RESIDUE_TOOL_IDS], 1);
	vz_pystate_free(before);
	fake_free(f);
}

/* A build whose names are elsewhere: seen while we are in; without that, unknown. */
Test(residue_python, monitoring_ids_elsewhere, .timeout = 60)
{
	const struct vz_pyver *ver = vz_pyver_find(12);
	struct fake *f = fake_new(12);
	struct name ours = { .length = 9, .text = "vizattach" };
	struct vz_residue residue = { 0 };
	struct vz_pystate *before;

	ours.type = f->python.py[VZ_SYM_PyUnicode_Type] = raddr(f->runtime);
	put(f->interp, ver->is_tool_names, 1); /* not a name */
	before = vz_pystate_take(&f->target, &f->objects, &f->python);
	vz_pystate_compare(before, &f->target, &f->objects, &f->python,
			   &(struct vz_deed){ .image = f->image }, &residue);
	cr_expect_eq(vz_residue_verdict(&residue, VZ_RESIDUE_TOOL_IDS), VZ_CLEAN_UNKNOWN);
	put(f->interp, ver->is_tool_names - 200 + 3 * 8, raddr(&ours));
	vz_pystate_witness(before, &f->target, &f->python, 3);
	residue = (struct vz_residue){ 0 };
	vz_pystate_compare(before, &f->target, &f->objects, &f->python,
			   &(struct vz_deed){ .image = f->image }, &residue);
	cr_expect_not_null(strstr(residue.text, "id 3 of sys.monitoring is still ours"), "%s",
			   residue.text);
	put(f->interp, ver->is_tool_names - 200 + 3 * 8, 0);
	residue = (struct vz_residue){ 0 };
	vz_pystate_compare(before, &f->target, &f->objects, &f->python,
			   &(struct vz_deed){ .image = f->image }, &residue);
	cr_expect_eq(vz_residue_verdict(&residue, VZ_RESIDUE_TOOL_IDS), VZ_CLEAN_OK, "%s",
		     residue.text);
	vz_pystate_free(before);
	fake_free(f);
}

/* The id comes out of the shared memory: whatever it is, nothing outside of the window is read. */
Test(residue_python, a_monitoring_id_that_is_none, .timeout = 60)
{
	static const unsigned ids[] = { 8, 600, UINT32_MAX, 1u << 31, 0x12345678 };
	const struct vz_pyver *ver = vz_pyver_find(13);
	struct fake *f = fake_new(13);
	struct name ours = { .length = 9, .text = "vizattach" };

	ours.type = f->python.py[VZ_SYM_PyUnicode_Type] = raddr(f->runtime);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct vz_pystate *before = vz_pystate_take(&f->target, &f->objects, &f->python);
		struct vz_residue residue = { 0 };

		if (i % 2) /* somewhere in the window, so that a place is computed from it */
			put(f->interp, ver->is_tool_names - 80, raddr(&ours));
		vz_pystate_witness(before, &f->target, &f->python, ids[i]);
		vz_pystate_compare(before, &f->target, &f->objects, &f->python,
				   &(struct vz_deed){ .image = f->image }, &residue);
		cr_expect_neq(vz_residue_verdict(&residue, VZ_RESIDUE_TOOL_IDS), VZ_CLEAN_LEFT);
		put(f->interp, ver->is_tool_names - 80, 0);
		vz_pystate_free(before);
	}
	fake_free(f);
}

/* ---- every real one, while it is recorded ---- */

static const char busy[] = "import threading, time\n"
			   "def leaf(): pass\n"
			   "def work():\n"
			   "    while True:\n"
			   "        for i in range(100): leaf()\n"
			   "        time.sleep(0.0005)\n"
			   "threading.Thread(target=work, daemon=True).start()\n"
			   "os.write(1, b'x')\n"
			   "work()\n";

struct recording {
	struct vz_opts opts;
	struct vz_payload_bytes payload;
	struct vz_report report;
	struct vz_err err;
	enum vz_exit exit;
	volatile sig_atomic_t stop;
	pthread_t thread;
};

static void *record(void *argument)
{
	struct recording *r = argument;

	r->exit = vz_session_run(&r->opts, &r->payload, &r->stop, &r->report, &r->err);
	return NULL;
}

struct view {
	struct vz_target target;
	struct vz_maps maps;
	struct vz_objects objects;
	struct vz_python python;
	struct vz_pystate *before;
};

static void view_open(struct view *v, pid_t pid)
{
	struct vz_err err;

	memset(v, 0, sizeof(*v));
	cr_assert_eq(vz_target_open(pid, &v->target, &err), 0);
	cr_assert_eq(vz_maps_read(pid, &v->maps, &err), 0);
	cr_assert_eq(vz_objects_read(&v->target, &v->maps, &v->objects, &err), 0);
	cr_assert_eq(vz_python_find(&v->target, &v->maps, &v->objects, &v->python, &err), 0);
	v->before = vz_pystate_take(&v->target, &v->objects, &v->python);
}

static void view_close(struct view *v)
{
	vz_pystate_free(v->before);
	vz_objects_fini(&v->objects);
	vz_maps_fini(&v->maps);
	vz_target_close(&v->target);
}

/* The image is the only code in anonymous memory. */
static struct vz_range find_image(const struct recording *r, pid_t pid)
{
	struct vz_range range = { 0, 0 };
	struct vz_image image;
	struct vz_maps maps;
	struct vz_err err;

	cr_assert_eq(vz_image_init(r->payload.elf, r->payload.len, &image, &err), 0);
	cr_assert_eq(vz_maps_read(pid, &maps, &err), 0);
	for (size_t i = 0; i < maps.count; i++) {
		if (maps.items[i].executable && !maps.items[i].path[0])
			range = (struct vz_range){ maps.items[i].start,
						   maps.items[i].start + image.image_bytes };
	}
	vz_maps_fini(&maps);
	vz_image_fini(&image);
	cr_assert_neq(range.start, 0);
	return range;
}

static void check_hooked(const struct view *v, const struct vz_residue *residue, const char *path)
{
	static const struct {
		enum vz_hook hook;
		const char *where;
	} places[] = {
		{ VZ_HOOK_PROFILE, "a thread state" },
		{ VZ_HOOK_PROFILE, "the frame evaluator" },
		{ VZ_HOOK_PROFILE, "the type of code objects" },
		{ VZ_HOOK_PROFILE, "the dict of a thread state" },
		{ VZ_HOOK_MONITORING, "the type of code objects" },
		{ VZ_HOOK_MONITORING, "CPython's data" },
		{ VZ_HOOK_MONITORING, "the dict of a thread state" },
		{ VZ_HOOK_MONITORING, "at-fork" },
		{ VZ_HOOK_MONITORING, "of sys.monitoring is still ours" },
	};

	cr_assert_eq(vz_residue_verdict(residue, VZ_RESIDUE_HOOKS), VZ_CLEAN_LEFT, "%s", path);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		/* on 3.11 there is one only while it is needed */
		if (strstr(places[i].where, "evaluator") && v->python.minor == 11)
			continue;
		if (places[i].hook == v->python.ver->hook)
			cr_expect_not_null(strstr(residue->text, places[i].where),
					   "%s: no %s in %s", path, places[i].where, residue->text);
	}
}

static void check_python(struct recording *r, const char *path)
{
	struct vz_residue residue = { 0 };
	struct vz_range image;
	struct subject s;
	struct view v;

	cr_assert(subject_python(&s, path, busy), "%s", path);
	view_open(&v, s.pid);
	r->opts.pid = s.pid;
	r->stop = 0;
	memset(&r->report, 0, sizeof(r->report));
	pthread_create(&r->thread, NULL, record, r);
	while (!*(volatile bool *)&r->report.recorded && pthread_tryjoin_np(r->thread, NULL) != 0)
		usleep(1000);
	cr_assert(r->report.recorded, "%s: %s: %s", path, r->err.what, r->err.why);
	usleep(50000);
	image = find_image(r, s.pid);
	vz_pystate_witness(v.before, &v.target, &v.python, 4);
	vz_pystate_compare(v.before, &v.target, &v.objects, &v.python,
			   &(struct vz_deed){ .image = image, .mapped = true }, &residue);
	check_hooked(&v, &residue, path);
	r->stop = 1;
	pthread_join(r->thread, NULL);
	cr_expect(r->exit == VZ_EXIT_OK && r->report.restored, "%s: %s: %s", path, r->err.what,
		  r->err.why);
	residue = (struct vz_residue){ 0 };
	vz_pystate_compare(v.before, &v.target, &v.objects, &v.python,
			   &(struct vz_deed){ .image = image }, &residue);
	cr_expect_eq(vz_residue_verdict(&residue, VZ_RESIDUE_HOOKS), VZ_CLEAN_OK, "%s: %s", path,
		     residue.text);
	cr_expect_eq(vz_residue_verdict(&residue, VZ_RESIDUE_TOOL_IDS),
		     v.python.minor < 12 ? VZ_CLEAN_NONE : VZ_CLEAN_OK, "%s", path);
	/* it had a second thread before us */
	cr_expect_eq(residue.possible[VZ_RESIDUE_THREADS], 0, "%s: %s", path, residue.text);
	view_close(&v);
	subject_end(&s);
}

/* The flag of libc, in a child that goes from one thread to two. */
Test(residue_python, the_first_second_thread_is_told)
{
	struct subject s;
	struct view v;
	struct vz_residue residue = { 0 };
	char go = '\n';
	glob_t found;
	size_t i = 0;

	find_pythons(&found);
	while (i < found.gl_pathc && !vz_pyver_find(python_minor(found.gl_pathv[i])))
		i++;
	if (i == found.gl_pathc ||
	    !subject_python(&s, found.gl_pathv[i],
			    "import threading\n"
			    "os.write(1, b'x')\n"
			    "os.read(0, 1)\n"
			    "t = threading.Thread(target=print); t.start(); t.join()\n"
			    "os.write(1, b'x')\n"
			    "os.read(0, 1)\n"))
		cr_skip_test("no CPython here");
	view_open(&v, s.pid);
	vz_pystate_compare(v.before, &v.target, &v.objects, &v.python,
			   &(struct vz_deed){ .mapped = false }, &residue);
	cr_expect_eq(residue.possible[VZ_RESIDUE_THREADS], 0);
	cr_assert_eq(write(s.in, &go, 1), 1);
	cr_assert_eq(read(s.out, &go, 1), 1);
	residue = (struct vz_residue){ 0 };
	vz_pystate_compare(v.before, &v.target, &v.objects, &v.python,
			   &(struct vz_deed){ .mapped = false }, &residue);
	if (vz_object_symbol(vz_objects_find(&v.objects, v.python.libc_start),
			     "__libc_single_threaded", NULL))
		cr_expect_not_null(strstr(residue.text, "libc takes its locks now"), "%s",
				   residue.text);
	view_close(&v);
	subject_end(&s);
	globfree(&found);
}

Test(residue_python, hooks_are_seen_while_they_are_in, .timeout = 100)
{
	static struct recording r;
	char path[4096], *bytes, output[] = "/tmp/vz-residue-XXXXXX";
	const char *dir = getenv("VZ_BUILD_DIR");
	glob_t found;
	int fd = mkstemp(output);

	cr_assert_geq(fd, 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/payload/libvzpayload.so", dir ? dir : ".");
	cr_assert_eq(vz_slurp(path, 16 << 20, &bytes, &r.payload.len), 0, "%s", path);
	r.payload.elf = bytes;
	r.opts = (struct vz_opts){
		.attach_timeout_ns = 10 * UINT64_C(1000000000),
		.gil_timeout_ns = 20 * UINT64_C(1000000000),
		.ring_bytes = 8 << 20,
		.quiet = true,
		.force = true,
		.c_calls = true,
		.output_given = output,
	};
	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		if (vz_pyver_find(python_minor(found.gl_pathv[i])))
			check_python(&r, found.gl_pathv[i]);
	}
	globfree(&found);
	unlink(output);
	free(bytes);
}
