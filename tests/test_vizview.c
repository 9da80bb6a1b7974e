/* SPDX-License-Identifier: MIT */
/* The program as a user meets it: exit codes, messages, files it must not touch. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/blockfile.h"
#include "tests/kit_trace.h"

static char dir[] = "/tmp/vizview-test-XXXXXX";

static void setup(void)
{
	static char cache[64];
	struct kit *kit = kit_new(30, 1);
	char path[64];
	uint8_t *p;
	size_t n;
	FILE *f;

	kit_steps(kit_track(kit, 77, 0), 5000);
	kit_lost(kit->tracks[0], 5, kit->end_ns + 1);
	kit_finish(kit);
	p = kit_bytes(kit, &n);
	cr_assert_not_null(mkdtemp(dir));
	snprintf(cache, sizeof(cache), "%s/cache", dir);
	cr_assert_eq(setenv("XDG_CACHE_HOME", cache, 1), 0);
	snprintf(path, sizeof(path), "%s/a.viz", dir);
	f = fopen(path, "wb");
	cr_assert_not_null(f);
	cr_assert_eq(fwrite(p, 1, n, f), n);
	fclose(f);
	free(p);
	kit_free(kit);
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	cr_assert_eq(system(command), 0);
}

/* Exit status of "vizview ARGS" run in the directory of the trace; TEXT: stdout and stderr. */
static int run(const char *args, char *text, size_t size)
{
	char command[1024];
	size_t n;
	FILE *f;
	int status;

	snprintf(command, sizeof(command), "cd %s && VIZVIEW=%s/vizview; $VIZVIEW %s 2>&1", dir,
		 getenv("VZ_BUILD_DIR"), args);
	f = popen(command, "r");
	cr_assert_not_null(f);
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	status = pclose(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct usage_case {
	const char *args;
	int status;
	const char *says;
};

Test(vizview, exit_codes_and_messages, .init = setup, .fini = teardown)
{
	/* clang-format off */
	static const struct usage_case cases[] = {
		{ "",                                2, "no trace is named" },
		{ "--help",                          0, "Examples:" },
		{ "report --help",                   0, "Examples:" },
		{ "--version",                       0, "vizview " },
		{ "b.viz",                           1, "No such file" },
		{ "a.viz b.viz --no-open",           1, "No such file" },
		{ "a.viz a.viz a.viz",               2, "is too many" },
		{ "a.viz --port 65536",              2, "takes 0 to 65535" },
		{ "a.viz --top 3",                   2, "does not belong" },
		{ "info a.viz",                      0, "complete" },
		{ "info --json a.viz",               0, "\"schema\":1" },
		{ "report a.viz",                    0, "self" },
		{ "report a.viz --sort total",       0, "self" },
		{ "report a.viz --top 2 --threads",  0, "thread 77" },
		{ "report a.viz --json --threads",   0, "\"tid\":77" },
		{ "tree a.viz",                      0, "thread 77" },
		{ "tree a.viz --thread 77 --depth 2 --min-percent 0.5", 0, "share" },
		{ "tree a.viz --json",               0, "\"schema\":1" },
		{ "tree a.viz --thread nobody",      1, "no thread has \"nobody\"" },
		{ "tree a.viz --min-percent 101",    2, "takes 0 to 100" },
		{ "tree a.viz --min-percent nan",    2, "takes 0 to 100" },
		{ "tree a.viz --depth x",            2, "takes a number" },
		{ "diff a.viz a.viz",                0, "nothing differs" },
		{ "diff a.viz a.viz --json",         0, "\"schema\":1" },
		{ "diff a.viz",                      2, "diff compares two traces" },
		{ "diff a.viz a.viz a.viz",          2, "diff compares two traces" },
		{ "diff a.viz b.viz",                1, "No such file" },
		{ "diff b.viz a.viz",                1, "No such file" },
		{ "diff a.viz a.viz --depth 3",      2, "does not belong" },
		{ "report a.viz --sort age",         2, "self, total or calls" },
		{ "report a.viz --top many",         2, "takes a number" },
		{ "report a.viz --format html",      2, "does not belong" },
		{ "report a.viz --nothing",          2, "there is no option --nothing" },
		{ "report a.viz --top",              2, "needs a value" },
		{ "index a.viz",                     0, "bytes a call" },
		{ "index a.viz",                     0, "a.vizi" },
		{ "index a.viz -o c.vizi",           0, "c.vizi" },
		{ "index a.viz -o c.vizi",           1, "it exists" },
		{ "index a.viz -o c.vizi --force",   0, "c.vizi" },
		{ "index a.viz -o a.viz --force",    1, "it is the trace itself" },
		{ "index a.viz -o /nowhere/x",       1, "cannot make the index of a.viz" },
		{ "index a.viz -o /dev/full",        1, "cannot make the index of a.viz" },
		{ "index a.viz -o -",                1, "cannot go to standard output" },
		{ "index b.viz",                     1, "No such file" },
		{ "index a.viz --json",              2, "does not belong" },
		{ "export a.viz",                    2, "--format is missing" },
		{ "export a.viz --format doc",       2, "there is no format doc" },
		{ "export a.viz --format json -o t.json",     0, "records were lost" },
		{ "export a.viz --format csv --range 1s",     2, "takes two times" },
		{ "export a.viz --format csv --range 3s-1s",  2, "takes two times" },
		{ "export a.viz --format csv --range 99h-",   2, "takes two times" },
		{ "export a.viz --format csv -o - --range 900000s-", 1, "ends before the range" },
		{ "export a.viz --format csv -o - --thread nobody", 1, "no thread has \"nobody\"" },
		{ "export a.viz --format csv -o - --function nothing", 1, "no function has" },
		{ "export a.viz --format viz --range -1ms --thread 77", 0, "a.part.viz" },
		{ "info a.part.viz",                 0, "only threads with" },
		{ "import t.json",                   0, "t.viz: " },
		{ "import t.json",                   1, "--force to replace it" },
		{ "import t.json --force",           0, "events" },
		{ "import a.viz -o b2.viz",          1, "it is no JSON" },
		{ "import none.json",                1, "No such file" },
		{ "info t.viz",                      0, "t.json by vizview" },
		{ "info t.json",                     0, "t.json by vizview" },
		{ "report t.json --json",            0, "\"schema\":1" },
		{ "tree t.json",                     0, "thread 77" },
		{ "diff a.viz t.json",               0, "" },
		{ "export t.json --format csv -o -", 0, "calls,resumes" },
		{ "report a.viz b.viz",              2, "one trace at a time" },
		{ "report b.viz",                    1, "No such file" },
		{ "report .",                        1, "Is a directory" },
		{ "export a.viz --format csv",       0, "records were lost" },
		{ "export a.viz --format json -o /nowhere/x", 1, "No such file" },
		{ "export a.viz --format json -o /dev/full",  1, "No space left" },
		{ "export a.viz --format json -o a.viz",      1, "it is the trace itself" },
		{ "export a.viz --format json -o a.viz --force", 1, "it is the trace itself" },
	};
	/* clang-format on */
	char text[65536];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = run(cases[i].args, text, sizeof(text));

		cr_expect_eq(status, cases[i].status, "vizview %s: exit %d: %s", cases[i].args,
			     status, text);
		cr_expect_not_null(strstr(text, cases[i].says), "vizview %s: %s", cases[i].args,
				   text);
	}
	cr_assert_eq(access("/dev/full", F_OK), 0);
}

Test(vizview, help_fits_a_screen, .init = setup, .fini = teardown)
{
	char text[65536];
	int lines = 0;

	run("--help", text, sizeof(text));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++)
		cr_expect_leq(strlen(line), 80, "%s", line);
	cr_assert_leq(lines, 40);
}

Test(vizview, nothing_is_replaced_without_force, .init = setup, .fini = teardown)
{
	char text[65536];

	cr_assert_eq(run("export a.viz --format json", text, sizeof(text)), 0);
	cr_assert_eq(run("export a.viz --format json", text, sizeof(text)), 1);
	cr_assert_not_null(strstr(text, "  try: --force"));
	cr_assert_eq(run("export a.viz --format json --force", text, sizeof(text)), 0);
	cr_assert_eq(run("export a.viz --format html -o - >/dev/null", text, sizeof(text)), 0);
}

Test(vizview, a_reader_that_goes_away_is_no_error, .init = setup, .fini = teardown)
{
	char text[65536];

	run("report a.viz --top 0 --json | head -c 10; echo; "
	    "{ $VIZVIEW export a.viz --format json -o -; echo status $?; } 2>&1 >/dev/null",
	    text, sizeof(text));
	cr_assert_null(strstr(text, "vizview:"), "%s", text);
}

Test(vizview, json_is_one_object_on_one_line, .init = setup, .fini = teardown)
{
	static const char *const verbs[] = { "info a.viz", "report a.viz --threads",
					     "report a.viz --top 0", "tree a.viz --min-percent 0",
					     "diff a.viz a.viz" };
	char text[65536], args[512];

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		snprintf(args, sizeof(args),
			 "%s --json | /usr/bin/python3 -c 'import json, sys; "
			 "t = sys.stdin.buffer.read().decode(\"utf-8\"); "
			 "assert t.count(\"\\n\") == 1 and json.loads(t)[\"schema\"] == 1'",
			 verbs[i]);
		cr_expect_eq(run(args, text, sizeof(text)), 0, "%s: %s", verbs[i], text);
	}
}

/* A browser would not thank for it; who wants it says so. */
Test(vizview, a_page_that_would_be_huge_is_asked_for, .init = setup, .fini = teardown)
{
	const struct vz_file_header header = { .pid = 1 };
	struct vz_block head = { .type = VZ_BLOCK_EVENTS, .count = 20000000 };
	struct vz_blockfile file;
	char path[64], text[65536];
	int fd;

	snprintf(path, sizeof(path), "%s/huge.viz", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	vz_blockfile_init(&file, fd, &header);
	vz_blockfile_put_raw(&file, &head, (const uint8_t *)"x", 1);
	cr_assert_eq(file.error, 0);
	vz_blockfile_fini(&file);
	close(fd);
	cr_assert_eq(run("export huge.viz --format html", text, sizeof(text)), 1);
	cr_expect_not_null(strstr(text, "huge.viz would be a page of about 85.83 MiB"), "%s", text);
	cr_expect_not_null(strstr(text, "  why: it has 20,000,000 calls"));
	cr_expect_not_null(strstr(text, "  try: --limit 10000000"));
	snprintf(path, sizeof(path), "%s/huge.html", dir);
	cr_expect_neq(access(path, F_OK), 0);
	cr_assert_eq(run("export huge.viz --format html --limit 0", text, sizeof(text)), 0, "%s",
		     text);
	cr_expect_eq(access(path, F_OK), 0);
}
