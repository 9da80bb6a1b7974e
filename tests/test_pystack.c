/* SPDX-License-Identifier: MIT */
/*
 * Python's stacks as they are read from outside, in every interpreter that is here, against what
 * the program says of itself (pystack_subject.py).  Memory that is made up: test_pystack_memory.c.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "attach/snapshot/python/pystack.h"
#include "tests/kit_py.h"
#include "tests/subject.h"

/* ---- every interpreter ---- */

enum { MAX_THREADS = 64, MAX_FRAMES = 4096, MAX_VALUES = 256 };

struct seen {
	struct subject subject;
	FILE *said;
	struct kit_py k;
	struct vz_pythread threads[MAX_THREADS];
	ssize_t nthreads;
	struct vz_pyframe frames[MAX_FRAMES]; /* of the thread that was looked at last */
	ssize_t nframes;
	pid_t tid;
	const char *python;
	unsigned frames_equal, facts_equal;
};

static const char *source_dir(void)
{
	const char *source = getenv("VZ_SOURCE_DIR");

	return source ? source : ".";
}

/* Run the subject in PYTHON; LEN of its first bytes name the root that it is in, 0: ours. */
static bool start(struct seen *s, const char *python, int root_len)
{
	static char text[1 << 16];
	char path[1024], exe[1024], root[1024], option[] = "-c", why[512];
	char program[] = "/usr/sbin/chroot";
	char *argv[] = { program, root, exe, option, text, NULL };
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "%s/tests/pystack_subject.py", source_dir());
	file = fopen(path, "r");
	cr_assert_not_null(file, "%s: %s", path, strerror(errno));
	/* Its first byte says that it is ready. */
	n = (size_t)snprintf(text, sizeof(text), "import os; os.write(1, b'x')\n");
	n += fread(text + n, 1, sizeof(text) - n - 1, file);
	text[n] = '\0';
	fclose(file);
	memset(s, 0, sizeof(*s));
	s->python = python;
	snprintf(root, sizeof(root), "%.*s", root_len, python);
	snprintf(exe, sizeof(exe), "%s", python + root_len);
	if (!subject_start(&s->subject, root_len ? argv : argv + 2))
		return false;
	s->said = fdopen(s->subject.out, "r");
	cr_assert_eq(kit_py_open(s->subject.pid, &s->k, why, sizeof(why)), 0, "%s: %s", python,
		     why);
	return true;
}

static void finish(struct seen *s)
{
	kit_py_close(&s->k);
	fclose(s->said);
	s->subject.out = -1;
	subject_end(&s->subject);
}

static void look_at(struct seen *s, pid_t tid)
{
	if (s->tid == tid)
		return;
	s->tid = tid;
	/* Now all of them are there. */
	s->nthreads = vz_pythreads_read(&s->k.py, s->threads, MAX_THREADS);
	cr_assert(s->nthreads > 1, "%s: %zd threads", s->python, s->nthreads);
	for (ssize_t i = 0; i < s->nthreads; i++) {
		if (s->threads[i].native_tid != tid)
			continue;
		s->nframes = vz_pystack_walk(&s->k.py, s->threads[i].raddr, s->frames, MAX_FRAMES);
		cr_assert(s->nframes > 0, "%s: %zd frames", s->python, s->nframes);
		return;
	}
	cr_assert_fail("%s: no thread %d", s->python, (int)tid);
}

static const struct vz_pyframe *frame_at(struct seen *s, pid_t tid, unsigned depth)
{
	look_at(s, tid);
	cr_assert(depth < (size_t)s->nframes);
	return &s->frames[depth];
}

static void check_frame(struct seen *s, const char *line, ssize_t number)
{
	struct vz_pyplace place;
	char text[2048];

	cr_assert(number < s->nframes, "%s: %zd frames, not %s", s->python, s->nframes, line);
	cr_assert_eq(vz_pyframe_place(&s->k.py, &s->frames[number], &place), 0);
	snprintf(text, sizeof(text), "%u|%s|%s", place.line, place.file, place.name);
	cr_assert_str_eq(text, line, "%s, frame %zd: %s, expected %s", s->python, number, text,
			 line);
	s->frames_equal++;
}

static void check_generator(struct seen *s, const char *line)
{
	const struct vz_py *py = &s->k.py;
	struct vz_pyframe frame;
	struct vz_pyplace place;
	uint64_t generator, expected, awaited = 0;
	unsigned expected_line;
	char state[16];
	int rc;

	cr_assert_eq(
		sscanf(line, "gen %lu %15s %u %lu", &generator, state, &expected_line, &expected),
		4);
	rc = vz_pygen_frame(py, generator, &frame);
	if (!strcmp(state, "ended")) {
		cr_assert_eq(rc, -ENOENT, "%s: %d", s->python, rc);
		cr_assert_eq(vz_pygen_awaits(py, generator, &awaited), -ENOENT);
		return;
	}
	cr_assert_eq(rc, 0, "%s: %s: %d", s->python, line, rc);
	cr_assert(frame.generator);
	cr_assert_eq(frame.instr == -1, !strcmp(state, "made") && py->at.minor <= 12);
	cr_assert_eq(vz_pyframe_place(py, &frame, &place), 0);
	cr_assert_eq(place.line, expected_line, "%s: %s: line %u", s->python, line, place.line);
	rc = vz_pygen_awaits(py, generator, &awaited);
	cr_assert_eq(rc, expected ? 0 : -ENOENT, "%s: %s: %d", s->python, line, rc);
	cr_assert_eq(expected ? awaited : 0, expected, "%s: %s: %lx", s->python, line, awaited);
}

static void check_local(struct seen *s, const char *line)
{
	static struct vz_pylocal locals[MAX_VALUES];
	const struct vz_pyframe *frame;
	uint64_t expected, value = 0;
	unsigned depth;
	char name[64];
	ssize_t n, at = -1;
	int tid, rc;

	cr_assert_eq(sscanf(line, "local %d %u %63s %lu", &tid, &depth, name, &expected), 4);
	frame = frame_at(s, tid, depth);
	rc = vz_pyframe_local(&s->k.py, frame, name, &value);
	cr_assert_eq(rc, expected ? 0 : -ENOENT, "%s: %s: %d", s->python, line, rc);
	cr_assert_eq(expected ? value : 0, expected, "%s: %s: %lx", s->python, line, value);
	n = vz_pyframe_locals(&s->k.py, frame, locals, MAX_VALUES);
	for (ssize_t i = 0; i < n; i++) {
		if (!strcmp(locals[i].name, name)) {
			cr_assert_eq(at, -1, "%s: %s twice", s->python, name);
			at = i;
		}
	}
	cr_assert(at >= 0, "%s: no %s in %zd", s->python, name, n);
	cr_assert_eq(locals[at].value, expected);
	cr_assert_eq(vz_pyframe_local(&s->k.py, frame, "no_such", &value), -ENOENT);
}

static void check_value(struct seen *s, const char *line)
{
	uint64_t expected, values[MAX_VALUES];
	unsigned depth;
	ssize_t n, i = 0;
	int tid;

	cr_assert_eq(sscanf(line, "value %d %u %lu", &tid, &depth, &expected), 3);
	n = vz_pyframe_stack(&s->k.py, frame_at(s, tid, depth), values, MAX_VALUES);
	while (i < n && values[i] != expected)
		i++;
	cr_assert(i < n, "%s: not among %zd values", s->python, n);
}

/* How CPython calls itself: as often as C stands between two frames. */
static void check_entries(struct seen *s)
{
	unsigned minor = s->k.py.at.minor;
	uint64_t last = 0;

	for (ssize_t i = 0; i < s->nframes; i++) {
		const struct vz_pyframe *frame = &s->frames[i];

		cr_assert(frame->entry || minor >= 11);
		if (!frame->entry || minor < 10) {
			cr_assert_eq(frame->c_stack, 0);
			continue;
		}
		cr_assert(frame->c_stack > last, "%s: frame %zd: %lx", s->python, i,
			  frame->c_stack);
		last = frame->c_stack;
	}
	cr_assert(s->frames[s->nframes - 1].entry);
}

/* What the subject says, line by line. */
static void compare(struct seen *s)
{
	char line[2048];
	ssize_t number = -1;

	while (fgets(line, sizeof(line), s->said) && strcmp(line, "end\n") != 0) {
		int tid;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] >= '0' && line[0] <= '9') {
			check_frame(s, line, number++);
			continue;
		}
		if (number >= 0)
			cr_assert_eq(number, s->nframes, "%s: %zd frames too many", s->python,
				     s->nframes - number);
		number = -1;
		s->facts_equal++;
		if (sscanf(line, "thread %d", &tid) == 1) {
			look_at(s, tid);
			check_entries(s);
			number = 0;
		} else if (!strncmp(line, "gen ", 4)) {
			check_generator(s, line);
		} else if (!strncmp(line, "local ", 6)) {
			check_local(s, line);
		} else {
			check_value(s, line);
		}
	}
}

static bool try_one(const char *python, int root_len)
{
	static struct seen s;
	unsigned minor = python_minor(python);

	if (minor < 8 || !vz_pylayout_find(minor, false) || !start(&s, python, root_len))
		return false;
	compare(&s);
	cr_assert(s.frames_equal > 1000, "%s: %u frames", s.python, s.frames_equal);
	cr_assert(s.facts_equal >= 14 + 9 + 10, "%s: %u facts", s.python, s.facts_equal);
	finish(&s);
	return true;
}

Test(pystack, is_what_python_says_of_itself, .timeout = 100)
{
	unsigned compared = 0;
	glob_t found;

	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		compared += try_one(found.gl_pathv[i], 0);
	globfree(&found);
	if (!compared)
		cr_skip_test("no CPython 3.8 or later here");
}

/* What scripts/freethreaded has built. */
Test(pystack, is_what_free_threaded_python_says, .timeout = 100)
{
	char pattern[1024];
	bool compared = false;
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/build/freethreaded/bin/python3.*t", source_dir());
	if (glob(pattern, 0, NULL, &found) == 0) {
		compared = try_one(found.gl_pathv[0], 0);
		globfree(&found);
	}
	if (!compared)
		cr_skip_test("no free-threaded CPython here: run scripts/freethreaded");
}

/* Newer ones, in roots that scripts/roots has unpacked. */
Test(pystack, is_what_python_says_in_other_roots, .timeout = 100)
{
	unsigned compared = 0;
	char pattern[1024];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/build/roots/*/usr/bin/python3.[0-9]*[0-9d]",
		 source_dir());
	if (geteuid() == 0 && glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			const char *at = strstr(found.gl_pathv[i], "/usr/bin/python3.");

			if (strchr(at, '-'))
				continue;
			compared += try_one(found.gl_pathv[i], (int)(at - found.gl_pathv[i]));
		}
		globfree(&found);
	}
	if (!compared)
		cr_skip_test("no other roots here, or not root: run scripts/roots");
}
