/* SPDX-License-Identifier: MIT */
/* What is started to show an address, with a script in the place of the browser. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "viewer/serve/browser.h"

static char folder[] = "/tmp/vz-browser-test-XXXXXX";

static void setup(void)
{
	char path[64];
	FILE *script;

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/browser", folder);
	script = fopen(path, "w");
	fprintf(script,
		"#!/bin/sh\nsleep 0.05\nfor a; do echo \"$a\"; done >%s/said.new\n"
		"echo noise; echo noise >&2\nmv %s/said.new %s/said\n",
		folder, folder, folder);
	fclose(script);
	cr_assert_eq(chmod(path, 0700), 0);
	unsetenv("BROWSER");
	unsetenv("DISPLAY");
	unsetenv("WAYLAND_DISPLAY");
	unsetenv("SSH_CONNECTION");
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	cr_assert_eq(system(command), 0);
}

/* What the script was given, a line each. */
static void expect_said(const char *wanted)
{
	char path[64], text[1024] = "";
	FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/said", folder);
	for (int i = 0; i < 500 && !file; i++, usleep(10000))
		file = fopen(path, "r");
	cr_assert_not_null(file);
	cr_expect_geq(fread(text, 1, sizeof(text) - 1, file), 1);
	fclose(file);
	cr_expect_str_eq(text, wanted);
	remove(path);
}

struct browser_case {
	const char *value; /* of $BROWSER; %: the script */
	const char *said;
};

Test(browser, is_started_as_its_variable_says, .init = setup, .fini = teardown)
{
	static const struct browser_case cases[] = {
		{ "%", "http://127.0.0.1:1/x\n" },
		{ "%:/nowhere/else", "http://127.0.0.1:1/x\n" },
		{ "% --new-window", "--new-window\nhttp://127.0.0.1:1/x\n" },
		{ "% -u %s -v", "-u\nhttp://127.0.0.1:1/x\n-v\n" },
	};
	char value[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(value, sizeof(value), "%s/browser%s", folder, cases[i].value + 1);
		setenv("BROWSER", value, 1);
		cr_assert(vz_browser_wanted());
		cr_assert_eq(vz_browser_open("http://127.0.0.1:1/x"), 0);
		expect_said(cases[i].said);
		/* Nothing is left for us to wait for. */
		cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1);
	}
}

Test(browser, one_that_is_not_there_does_no_harm, .init = setup, .fini = teardown)
{
	setenv("BROWSER", "/nowhere/browser", 1);
	cr_expect_eq(vz_browser_open("http://127.0.0.1:1/x"), 0);
	cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1);
}

Test(browser, is_not_wanted_without_a_display, .init = setup, .fini = teardown)
{
	char command[128];

	cr_expect(!vz_browser_wanted());
	setenv("DISPLAY", ":0", 1);
	cr_expect(vz_browser_wanted());
	cr_expect(!vz_browser_forward(1234, command, sizeof(command)));
	setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22", 1);
	cr_expect(!vz_browser_wanted(), "a display at the other end of ssh is slow");
	cr_assert(vz_browser_forward(1234, command, sizeof(command)));
	cr_expect_not_null(strstr(command, "ssh -N -L 1234:127.0.0.1:1234 "));
	cr_expect_not_null(strstr(command, "@192.0.2.2"));
	setenv("BROWSER", "editor", 1);
	cr_expect(vz_browser_wanted());
}
