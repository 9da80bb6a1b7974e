/* SPDX-License-Identifier: MIT */
/* Real recordings of real Pythons, as main would run them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach/receipt.h"
#include "attach/session.h"
#include "attach/util.h"
#include "tests/kit_story.h"
#include "tests/subject.h"
#include "viewer/source.h"

#include "attach/pyver.h"

static const char busy[] = "import time\n"
			   "def leaf(): pass\n"
			   "def work():\n"
			   "    for i in range(100): leaf()\n"
			   "os.write(1, b'x')\n"
			   "while True:\n"
			   "    work()\n"
			   "    time.sleep(0.0005)\n";

struct run {
	struct subject s;
	struct vz_opts opts;
	struct vz_payload_bytes payload;
	struct vz_report report;
	struct vz_err err;
	enum vz_exit exit;
	char dir[64], part[4200];
	volatile sig_atomic_t stop;
	pthread_t helper;
};

static char *payload_bytes;

/* A Python that we support; the newest of them. */
static bool python(char *path, size_t size)
{
	unsigned best = 0;
	glob_t found;

	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		unsigned minor = python_minor(found.gl_pathv[i]);

		if (minor > best && vz_pyver_find(minor)) {
			best = minor;
			snprintf(path, size, "%s", found.gl_pathv[i]);
		}
	}
	globfree(&found);
	return best != 0;
}

static void prepare(struct run *run)
{
	char path[4096];
	const char *dir = getenv("VZ_BUILD_DIR");

	memset(run, 0, sizeof(*run));
	snprintf(path, sizeof(path), "%s/payload/libvzpayload.so", dir ? dir : ".");
	cr_assert_eq(vz_slurp(path, 16 << 20, &payload_bytes, &run->payload.len), 0, "%s", path);
	run->payload.elf = payload_bytes;
	snprintf(run->dir, sizeof(run->dir), "/tmp/vz-session-XXXXXX");
	cr_assert_not_null(mkdtemp(run->dir));
	run->opts = (struct vz_opts){
		.duration_ns = 300 * 1000 * 1000,
		.attach_timeout_ns = 10 * UINT64_C(1000000000),
		.gil_timeout_ns = 20 * UINT64_C(1000000000),
		.ring_bytes = 8 << 20,
		.quiet = true,
		.c_calls = true,
	};
	snprintf(path, sizeof(path), "%s/out.viz", run->dir);
	run->opts.output_given = strdup(path);
	snprintf(run->part, sizeof(run->part), "%s.part", path);
}

static void start(struct run *run, const char *program)
{
	char path[4096];

	prepare(run);
	if (!python(path, sizeof(path)))
		cr_skip_test("no CPython here");
	cr_assert(subject_python(&run->s, path, program), "%s", path);
	run->opts.pid = run->s.pid;
}

static void record(struct run *run)
{
	run->exit = vz_session_run(&run->opts, &run->payload, &run->stop, &run->report, &run->err);
	if (run->exit == VZ_EXIT_PERMISSION)
		cr_skip_test("ptrace is not allowed here: %s", run->err.why);
}

static void clean(struct run *run)
{
	char command[128];

	if (run->s.pid)
		subject_end(&run->s);
	snprintf(command, sizeof(command), "rm -rf '%s'", run->dir);
	cr_assert_eq(system(command), 0);
	free(payload_bytes);
}

static bool there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* The trace tells what the program does; free() it. */
static void check_trace(const struct run *run)
{
	int fd = open(run->opts.output_given, O_RDONLY);
	struct vz_damage damage;
	struct vz_reader *r;
	uint8_t *bytes;
	char *story = NULL;

	cr_assert_geq(fd, 0, "no trace");
	cr_assert_not(there(run->part), "the unfinished name is gone");
	r = kit_open(fd, &bytes);
	vz_reader_damage(r, &damage);
	cr_assert_not(damage.cut);
	cr_assert_str_eq(vz_reader_fact(r, "tool"), "vizattach " VZ_VERSION);
	cr_assert_not_null(vz_reader_fact(r, "python"));
	cr_assert_geq(vz_reader_ntracks(r), 1);
	story = kit_story_of(r, 0);
	cr_assert_gt(kit_story_count(story, "+leaf"), 100);
	cr_assert_not_null(strstr(story, " +work +leaf -leaf +leaf"), "%.500s", story);
	free(story);
	vz_reader_free(r);
	free(bytes);
	close(fd);
}

Test(session, until_the_time_is_over, .timeout = 60)
{
	static struct run run;
	static char text[16384];

	start(&run, busy);
	record(&run);
	cr_assert_eq(run.exit, VZ_EXIT_OK, "%s: %s", run.err.what, run.err.why);
	cr_assert_eq(run.report.end, VZ_END_TIME);
	cr_assert(run.report.recorded && run.report.compared && run.report.restored, "%s",
		  run.report.residue.text);
	cr_assert_geq(run.report.duration_ns, run.opts.duration_ns);
	cr_assert_gt(run.report.totals.events, 200);
	cr_assert_eq(run.report.totals.lost, 0);
	cr_assert_eq(run.report.totals.damaged, 0);
	cr_assert_eq(run.report.threads_at_attach, 1);
	cr_assert_gt(run.report.pause_us, 0);
	cr_assert_eq(kill(run.s.pid, 0), 0);
	check_trace(&run);
	/* once more on the same process, over the same file */
	record(&run);
	cr_assert_eq(run.exit, VZ_EXIT_USAGE);
	cr_assert_not_null(strstr(run.err.why, "there already"));
	run.opts.force = true;
	record(&run);
	cr_assert_eq(run.exit, VZ_EXIT_OK, "%s: %s", run.err.what, run.err.why);
	check_trace(&run);
	cr_assert_gt(vz_receipt_text(&run.report, text, sizeof(text)), 100);
	clean(&run);
}

/* ---- where the source is ---- */

/* Run "PYTHON app.py" in FOLDER, which work.py goes to as well. */
static void start_script(struct run *run, const char *python, const char *folder)
{
	static const char *const texts[][2] = {
		{ "app.py", "import runpy\nrunpy.run_path('work.py')\n" },
		{ "work.py", "import os, time\n"
			     "def leaf(): pass\n"
			     "os.write(1, b'x')\n"
			     "while True:\n"
			     "    leaf()\n"
			     "    time.sleep(0.0005)\n" },
	};
	char exe[4096], script[] = "app.py", *argv[] = { exe, script, NULL };
	int back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	snprintf(exe, sizeof(exe), "%s", python);
	cr_assert(back >= 0 && mkdir(folder, 0700) == 0 && chdir(folder) == 0);
	for (int i = 0; i < 2; i++) {
		FILE *file = fopen(texts[i][0], "w");

		cr_assert(file && fputs(texts[i][1], file) >= 0 && fclose(file) == 0);
	}
	cr_assert(subject_start(&run->s, argv), "%s", python);
	cr_assert_eq(fchdir(back), 0);
	close(back);
	run->opts.pid = run->s.pid;
}

/* The trace says where NAME is, without its text. */
static void check_source(const struct run *run, const char *name, const char *begin)
{
	struct vz_source source = { 0 };
	struct vz_trouble trouble;
	struct vz_files files;
	struct vz_reader *r;
	int rc = -ENOENT;

	cr_assert_eq(vz_reader_open(run->opts.output_given, &r, &trouble), 0);
	cr_assert_eq(vz_files_init(&files, r), 0);
	for (uint32_t i = 0; i < files.n; i++)
		if (!strcmp(files.names[i], name))
			rc = vz_source_read(r, &files, i, &source);
	cr_assert_eq(rc, 0, "%s in %s", name, vz_reader_fact(r, "cwd"));
	cr_expect(!source.recorded && !source.newer);
	cr_expect_eq(strncmp(source.text, begin, strlen(begin)), 0);
	free(source.text);
	vz_files_fini(&files);
	vz_reader_free(r);
}

static void find_script(const char *python)
{
	static struct run run;
	char folder[128], info[1024];

	prepare(&run);
	snprintf(folder, sizeof(folder), "%s/app of ours", run.dir);
	start_script(&run, python, folder);
	record(&run);
	cr_assert_eq(run.exit, VZ_EXIT_OK, "%s: %s", run.err.what, run.err.why);
	check_source(&run, "work.py", "import os, time\n");
	if (python_minor(python) == 8) /* later ones make the name of the script absolute */
		check_source(&run, "app.py", "import runpy\n");
	snprintf(info, sizeof(info),
		 "cd '%s' && %s/vizview info out.viz | grep -qx 'cwd  *%s'"
		 " && %s/vizview info --json out.viz | grep -qF '\"cwd\":\"%s\"'",
		 run.dir, getenv("VZ_BUILD_DIR"), folder, getenv("VZ_BUILD_DIR"), folder);
	cr_assert_eq(system(info), 0, "%s", info);
	clean(&run);
}

Test(session, a_relative_name_is_found_afterwards, .timeout = 60)
{
	char newest[4096];
	glob_t found;

	if (!python(newest, sizeof(newest)))
		cr_skip_test("no CPython here");
	find_script(newest);
	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		if (python_minor(found.gl_pathv[i]) != 8)
			continue;
		find_script(found.gl_pathv[i]);
		break;
	}
	globfree(&found);
}

/* ---- ends ---- */

static void *stop_soon(void *argument)
{
	struct run *run = argument;

	/* the file grows once something is recorded; then we want no more */
	while (!there(run->part))
		usleep(1000);
	usleep(100000);
	run->stop = 1;
	return NULL;
}

Test(session, until_the_user_stops_it, .timeout = 60)
{
	static struct run run;

	start(&run, busy);
	run.opts.duration_ns = 0;
	run.opts.quiet = false; /* says what it does */
	pthread_create(&run.helper, NULL, stop_soon, &run);
	record(&run);
	pthread_join(run.helper, NULL);
	if (run.exit == VZ_EXIT_UNSAFE) { /* so soon that it had not begun */
		cr_assert_not_null(strstr(run.err.what, "stopped before"));
	} else {
		cr_assert_eq(run.exit, VZ_EXIT_OK, "%s: %s", run.err.what, run.err.why);
		cr_assert_eq(run.report.end, VZ_END_SIGNAL);
		cr_assert(run.report.restored, "%s", run.report.residue.text);
	}
	cr_assert_eq(kill(run.s.pid, 0), 0);
	clean(&run);
}

static void *kill_soon(void *argument)
{
	struct run *run = argument;

	while (!run->report.recorded)
		usleep(1000);
	usleep(200000);
	kill(run->s.pid, SIGKILL);
	return NULL;
}

/* What was recorded up to then is a whole trace. */
Test(session, until_the_target_is_killed, .timeout = 60)
{
	static struct run run;

	start(&run, busy);
	run.opts.duration_ns = 0;
	pthread_create(&run.helper, NULL, kill_soon, &run);
	record(&run);
	pthread_join(run.helper, NULL);
	cr_assert_eq(run.exit, VZ_EXIT_TARGET_ENDED, "%s: %s", run.err.what, run.err.why);
	cr_assert_eq(run.report.end, VZ_END_TARGET);
	cr_assert_not(run.report.exec);
	check_trace(&run);
	clean(&run);
}

Test(session, until_the_target_runs_another_program, .timeout = 60)
{
	static struct run run;

	start(&run, "import time\n"
		    "def leaf(): pass\n"
		    "def work():\n"
		    "    for i in range(100): leaf()\n"
		    "os.write(1, b'x')\n"
		    "end = time.monotonic() + 2\n"
		    "while time.monotonic() < end:\n"
		    "    work()\n"
		    "    time.sleep(0.0005)\n"
		    "os.execv('/bin/cat', ['cat'])\n");
	run.opts.duration_ns = 0;
	record(&run);
	cr_assert_eq(run.exit, VZ_EXIT_TARGET_ENDED, "%s: %s", run.err.what, run.err.why);
	cr_assert(run.report.exec);
	cr_assert_not_null(strstr(run.err.what, "replaced itself"), "%s", run.err.what);
	check_trace(&run);
	clean(&run);
}

Test(session, a_directory_that_cannot_be_written, .timeout = 60)
{
	static struct run run;

	start(&run, busy);
	run.opts.output_given = "/proc/nowhere/out.viz";
	record(&run);
	cr_assert_eq(run.exit, VZ_EXIT_UNEXPECTED, "%d %s", run.exit, run.err.what);
	cr_assert_not(run.report.recorded);
	cr_assert_str_not_empty(run.err.why);
	cr_assert_eq(kill(run.s.pid, 0), 0);
	clean(&run);
}

/* Whoever may create files beside the output must not get the trace. */
Test(session, an_unfinished_file_of_somebody_else, .timeout = 60)
{
	static struct run run;
	struct stat st;

	start(&run, busy);
	run.opts.duration_ns = 100 * 1000 * 1000;
	cr_assert_eq(mkfifo(run.part, 0666), 0);
	record(&run);
	cr_assert_eq(run.exit, VZ_EXIT_USAGE, "%d %s", run.exit, run.err.what);
	cr_assert_not(run.report.recorded);
	cr_assert(there(run.part), "not ours, so it stays");
	cr_assert_eq(unlink(run.part), 0);
	/* the rest of a recording of ours that was cut short */
	close(open(run.part, O_WRONLY | O_CREAT, 0666));
	record(&run);
	cr_assert_eq(run.exit, VZ_EXIT_OK, "%d %s: %s", run.exit, run.err.what, run.err.why);
	cr_assert_eq(stat(run.opts.output_given, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	clean(&run);
}

Test(session, a_ring_that_is_too_small, .timeout = 60)
{
	static struct run run;

	start(&run, busy);
	run.opts.ring_bytes = 1000;
	record(&run);
	cr_assert_eq(run.exit, VZ_EXIT_USAGE, "%s", run.err.what);
	cr_assert_not_null(strstr(run.err.what, "--ring-size"));
	cr_assert_not(there(run.part) || there(run.opts.output_given), "nothing was recorded");
	clean(&run);
}

/* More than fits: counted, told, and with --strict an exit code of its own. */
Test(session, losses_are_said, .timeout = 60)
{
	static struct run run;

	start(&run, "import time\n"
		    "def leaf(): pass\n"
		    "def work():\n"
		    "    for i in range(200000): leaf()\n"
		    "os.write(1, b'x')\n"
		    "while True: work()\n");
	run.opts.ring_bytes = 1 << 19;
	run.opts.strict = true;
	record(&run);
	/* the drain may have kept up; then nothing was lost, and that is what it says */
	cr_assert_eq(run.exit, run.report.totals.lost ? VZ_EXIT_LOST : VZ_EXIT_OK, "%s: %s",
		     run.err.what, run.err.why);
	cr_assert(run.report.restored, "%s", run.report.residue.text);
	clean(&run);
}

Test(session, what_is_no_python, .timeout = 60)
{
	static struct run run;

	prepare(&run);
	cr_assert(subject_plain(&run.s));
	run.opts.pid = run.s.pid;
	record(&run);
	cr_assert_eq(run.exit, VZ_EXIT_UNSUPPORTED, "%s", run.err.what);
	cr_assert_not(run.report.recorded);
	cr_assert_not(there(run.part));
	cr_assert_eq(kill(run.s.pid, 0), 0);
	clean(&run);
}

Test(session, what_is_not_there, .timeout = 60)
{
	static struct run run;
	struct subject s;

	prepare(&run);
	cr_assert(subject_plain(&s));
	run.opts.pid = s.pid;
	subject_end(&s);
	record(&run);
	cr_assert_eq(run.exit, VZ_EXIT_NO_PROCESS, "%s", run.err.what);
	run.payload.len = 100; /* a damaged program of ours */
	record(&run);
	cr_assert_eq(run.exit, VZ_EXIT_UNEXPECTED);
	cr_assert_not_null(strstr(run.err.what, "damaged"));
	clean(&run);
}

/*
 * A program that keeps us from taking something out, without that anything of ours could notice:
 * seen from outside, named, and told by the exit code.
 */
Test(session, what_is_left_is_seen_and_named, .timeout = 60)
{
	static const struct {
		const char *program, *says;
		enum vz_residue_kind kind;
	} cases[] = {
		{ "if newer: sys.monitoring.free_tool_id = lambda tool: None\n",
		  "id 4 of sys.monitoring is still ours", VZ_RESIDUE_TOOL_IDS },
		{ "def deafen():\n"
		  "    while not sys.monitoring.get_tool(4): time.sleep(0.001)\n"
		  "    while not sys.monitoring.get_events(4): time.sleep(0.001)\n"
		  "    sys.monitoring.register_callback = lambda *arguments: None\n"
		  "if newer: threading.Thread(target=deafen).start()\n",
		  "code of ours in CPython's data", VZ_RESIDUE_HOOKS },
	};
	static struct run run;
	static char text[16384], program[1024];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(program, sizeof(program),
			 "import sys, threading\nnewer = hasattr(sys, 'monitoring')\n%s%s",
			 strstr(cases[i].program, "time") ? "import time\n" : "", cases[i].program);
		snprintf(program + strlen(program), sizeof(program) - strlen(program), "%s", busy);
		start(&run, program);
		record(&run);
		if (run.exit == VZ_EXIT_OK && run.report.residue.no_tool_ids)
			cr_skip_test("no CPython 3.12 or later here");
		cr_expect_eq(run.exit, VZ_EXIT_UNEXPECTED, "%d %s", run.exit, run.err.what);
		cr_expect_not(run.report.restored);
		cr_expect_eq(vz_residue_verdict(&run.report.residue, cases[i].kind), VZ_CLEAN_LEFT);
		cr_expect_not_null(strstr(run.err.what, "something of ours is left"), "%s",
				   run.err.what);
		cr_expect_not_null(strstr(run.err.why, cases[i].says), "%s", run.err.why);
		vz_receipt_text(&run.report, text, sizeof(text));
		cr_expect_not_null(strstr(text, " LEFT; "), "%s", text);
		cr_expect(there(run.opts.output_given), "the trace is whole all the same");
		clean(&run);
	}
}

/* C code that keeps the GIL for good: we give up, and later nothing is left there. */
Test(session, a_gil_that_is_never_free, .timeout = 60)
{
	static struct run run;

	start(&run, "import ctypes\n"
		    "nap = ctypes.PyDLL(None).sleep\n" /* PyDLL keeps the GIL */
		    "os.write(1, b'x')\n"
		    "nap(2)\n"
		    "while True: pass\n");
	run.opts.gil_timeout_ns = 200 * 1000 * 1000;
	record(&run);
	if (run.exit == VZ_EXIT_OK || run.err.exit == VZ_EXIT_UNSUPPORTED)
		cr_skip_test("no ctypes, or it began later");
	cr_assert_eq(run.exit, VZ_EXIT_UNSAFE, "%s: %s", run.err.what, run.err.why);
	cr_assert_not_null(strstr(run.err.what, "did not release the GIL"), "%s", run.err.what);
	cr_assert_not_null(strstr(run.err.why, "(MainThread) has held it for"), "%s", run.err.why);
	cr_assert_not(there(run.part));
	cr_assert_eq(kill(run.s.pid, 0), 0);
	clean(&run);
}

/*
 * A program that may have no more threads, as with pids.max: not even the agent, or only not the
 * one that unmaps it in the end.  Either way nothing stays.  "lines" is a seccomp filter.
 */
static const char no_threads[] =
	"import ctypes, struct\n"
	"def deny(lines):\n"
	"    code = b''.join(struct.pack('=HBBI', *line) for line in lines)\n"
	"    code = ctypes.create_string_buffer(code)\n"
	"    program = struct.pack('@HP', len(lines), ctypes.addressof(code))\n"
	"    libc = ctypes.CDLL(None)\n"
	"    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program) == 0\n"
	"ALLOW, ENOSYS, EAGAIN = 0x7fff0000, 0x50026, 0x5000b\n";
/* With a stack, that is: what attach/seccomp.c asks about without one would be allowed. */
static const char no_thread_at_all[] =
	"deny([(0x20, 0, 0, 0), (0x15, 4, 0, 435), (0x15, 0, 2, 56), (0x20, 0, 0, 24),\n"
	"      (0x15, 0, 2, 0), (6, 0, 0, ALLOW), (6, 0, 0, ENOSYS), (6, 0, 0, EAGAIN)])\n";
/* Only clone without CLONE_SETTLS; libc does without clone3. */
static const char no_raw_thread[] =
	"deny([(0x20, 0, 0, 0), (0x15, 6, 0, 435), (0x15, 0, 4, 56), (0x20, 0, 0, 24),\n"
	"      (0x15, 2, 0, 0), (0x20, 0, 0, 16), (0x45, 0, 2, 0x80000), (6, 0, 0, ALLOW),\n"
	"      (6, 0, 0, ENOSYS), (6, 0, 0, EAGAIN)])\n";

static void record_without_threads(struct run *run, const char *filter)
{
	static char program[4096];

	snprintf(program, sizeof(program), "%s%s%s", no_threads, filter, busy);
	start(run, program);
	record(run);
	cr_assert(run->report.compared);
	cr_assert(run->report.restored, "%s", run->report.residue.text);
	cr_assert_eq(kill(run->s.pid, 0), 0);
}

Test(session, no_thread_for_the_agent, .timeout = 60)
{
	static struct run run;

	record_without_threads(&run, no_thread_at_all);
	cr_assert_eq(run.exit, VZ_EXIT_UNSAFE, "%s: %s", run.err.what, run.err.why);
	cr_assert_not_null(strstr(run.err.why, "refused a thread"), "%s", run.err.why);
	cr_assert_not(there(run.part));
	clean(&run);
}

Test(session, no_thread_to_unmap_the_agent, .timeout = 60)
{
	static struct run run;

	record_without_threads(&run, no_raw_thread);
	cr_assert_eq(run.exit, VZ_EXIT_OK, "%s: %s", run.err.what, run.err.why);
	check_trace(&run);
	clean(&run);
}
