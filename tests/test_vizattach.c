/* SPDX-License-Identifier: MIT */
/* The program itself: exit codes, what goes to stdout and what to stderr. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach/pyver.h"
#include "tests/subject.h"

struct output {
	int exit;
	char out[16384], err[16384];
};

static void slurp(const char *path, char *to, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t n = file ? fread(to, 1, size - 1, file) : 0;

	to[n] = '\0';
	if (file)
		fclose(file);
}

/* Run vizattach with ARGUMENTS in a directory of its own. */
static void run(struct output *ret, const char *arguments)
{
	char dir[] = "/tmp/vz-main-XXXXXX", command[8192], path[128];
	const char *build = getenv("VZ_BUILD_DIR");
	int status;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(command, sizeof(command), "cd %s && '%s/vizattach' %s >out 2>err", dir,
		 build ? build : ".", arguments);
	status = system(command);
	cr_assert(WIFEXITED(status), "%s", command);
	ret->exit = WEXITSTATUS(status);
	cr_assert_neq(ret->exit, 127, "%s", command);
	snprintf(path, sizeof(path), "%s/out", dir);
	slurp(path, ret->out, sizeof(ret->out));
	snprintf(path, sizeof(path), "%s/err", dir);
	slurp(path, ret->err, sizeof(ret->err));
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

Test(vizattach, help_and_version)
{
	static struct output o;

	run(&o, "--help");
	cr_assert_eq(o.exit, 0);
	cr_assert_not_null(strstr(o.out, "--duration"));
	cr_assert_str_empty(o.err);
	run(&o, "--version");
	cr_assert_eq(o.exit, 0);
	cr_assert_not_null(strstr(o.out, "vizattach " VZ_VERSION));
	cr_assert_not_null(strstr(o.out, vz_pyver_supported()));
}

Test(vizattach, what_it_cannot_do_it_says_on_stderr)
{
	static const struct {
		const char *arguments;
		int exit;
	} cases[] = {
		{ "", VZ_EXIT_USAGE },
		{ "--no-such-option", VZ_EXIT_USAGE },
		{ "--pid nonsense", VZ_EXIT_USAGE },
		{ "--pid 1073741824", VZ_EXIT_NO_PROCESS },
	};
	static struct output o;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run(&o, cases[i].arguments);
		if (cases[i].exit == VZ_EXIT_NO_PROCESS && o.exit == VZ_EXIT_USAGE)
			continue; /* a number that can be no process is refused as such */
		cr_assert_eq(o.exit, cases[i].exit, "%s: %d, %s", cases[i].arguments, o.exit,
			     o.err);
		cr_assert_str_empty(o.out);
		cr_assert_eq(strncmp(o.err, "vizattach: ", 11), 0, "%s", o.err);
	}
}

Test(vizattach, records_and_tells, .timeout = 100)
{
	static struct output o;
	struct subject s;
	char arguments[256];
	glob_t found;
	size_t i = 0;

	find_pythons(&found);
	while (i < found.gl_pathc && !vz_pyver_find(python_minor(found.gl_pathv[i])))
		i++;
	if (i == found.gl_pathc)
		cr_skip_test("no CPython here");
	cr_assert(subject_python(&s, found.gl_pathv[i],
				 "import time\n"
				 "def f(): pass\n"
				 "os.write(1, b'x')\n"
				 "while True:\n"
				 "    f()\n"
				 "    time.sleep(0.001)\n"));
	snprintf(arguments, sizeof(arguments), "--pid %d -d 200ms -o t.viz", (int)s.pid);
	run(&o, arguments);
	if (o.exit == VZ_EXIT_PERMISSION)
		cr_skip_test("ptrace is not allowed here");
	cr_assert_eq(o.exit, 0, "%s", o.err);
	cr_assert_str_empty(o.out);
	cr_assert_not_null(strstr(o.err, "time over"), "%s", o.err);
	cr_assert_not_null(strstr(o.err, "restored:"), "%s", o.err);
	strcat(arguments, " --json");
	run(&o, arguments);
	cr_assert_eq(o.exit, 0, "%s", o.err);
	cr_assert_eq(strncmp(o.out, "{\"schema\":2,", 12), 0, "%s", o.out);
	cr_assert_not_null(strstr(o.out, "\"recorded\":true,\"restored\":true"), "%s", o.out);
	strcat(arguments, " -q");
	run(&o, arguments);
	cr_assert_str_empty(o.err);
	subject_end(&s);
	globfree(&found);
}
