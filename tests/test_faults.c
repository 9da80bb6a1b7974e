/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach/inject.h"
#include "attach/util.h"
#include "tests/faults.h"

static volatile sig_atomic_t caught;

static void on_signal(int sig)
{
	caught = sig;
}

Test(faults, kill_at_a_step, .signal = SIGKILL)
{
	setenv("VZ_FAULT_STEP", "3", 1);
	vz_faults_arm();
	vz_step("one");
	vz_step("two");
	vz_step("three");
}

Test(faults, not_before_the_step)
{
	setenv("VZ_FAULT_STEP", "3", 1);
	vz_faults_arm();
	vz_step("one");
	vz_step("two");
}

Test(faults, term_once_and_go_on)
{
	signal(SIGTERM, on_signal);
	setenv("VZ_FAULT_STEP", "2", 1);
	setenv("VZ_FAULT_SIGNAL", "TERM", 1);
	vz_faults_arm();
	vz_step("one");
	cr_assert_eq(caught, 0);
	vz_step("two");
	cr_assert_eq(caught, SIGTERM);
	caught = 0;
	vz_step("three");
	cr_assert_eq(caught, 0);
}

Test(faults, kill_after_a_time, .signal = SIGKILL, .timeout = 60)
{
	setenv("VZ_FAULT_AFTER_US", "1000", 1);
	vz_faults_arm();
	for (;;)
		pause();
}

Test(faults, counts_and_names)
{
	char path[] = "/tmp/vz-faults-XXXXXX", text[64] = "";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	setenv("VZ_FAULT_COUNT", path, 1);
	vz_faults_arm();
	vz_step("SEIZE");
	vz_step("DETACH");
	vz_faults_report();
	cr_assert_gt(read(fd, text, sizeof(text) - 1), 0);
	cr_assert_str_eq(text, "SEIZE\nDETACH\n");
	close(fd);
	unlink(path);
}

Test(faults, chooses_the_thread)
{
	setenv("VZ_FAULT_THREAD", "4711", 1);
	vz_faults_arm();
	cr_assert_eq(vz_inject_only, 4711);
}

/* What is shipped does not know of any of this. */
Test(faults, not_in_the_tool)
{
	static const char *const programs[] = { "vizattach", "vizattach-faults" };
	const char *build = getenv("VZ_BUILD_DIR");

	cr_assert_not_null(build);
	for (int i = 0; i < 2; i++) {
		char path[4096], *bytes = NULL;
		size_t len = 0;

		snprintf(path, sizeof(path), "%s/%s", build, programs[i]);
		cr_assert_eq(vz_slurp(path, 256 << 20, &bytes, &len), 0);
		cr_assert_eq(memmem(bytes, len, "VZ_FAULT", 8) != NULL, i, "%s", programs[i]);
		free(bytes);
	}
}
