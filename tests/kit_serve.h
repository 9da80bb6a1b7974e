/* SPDX-License-Identifier: MIT */
/* kit_serve.h - for each test a folder with a trace in it, and a server that shows it. */
#ifndef VZ_TESTS_KIT_SERVE_H
#define VZ_TESTS_KIT_SERVE_H

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/kit_http.h"
#include "tests/kit_trace.h"

static char folder[] = "/tmp/vz-serve-test-XXXXXX";
static char trace[64], other[64];
static struct kit_server server;

static inline void save(const char *path, const void *p, size_t n)
{
	FILE *file = fopen(path, "wb");

	cr_assert_not_null(file);
	cr_assert_eq(fwrite(p, 1, n, file), n);
	fclose(file);
}

static inline void save_trace(const char *path, uint64_t seed)
{
	struct kit *kit = kit_new(300, seed);
	uint8_t *p;
	size_t n;

	for (uint32_t i = 0; i < 3; i++)
		kit_track(kit, KIT_PID + i, 0);
	for (int round = 0; round < 30; round++) {
		kit_steps(kit->tracks[round % 3], 2000);
		vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
	kit_finish(kit);
	p = kit_bytes(kit, &n);
	save(path, p, n);
	free(p);
	kit_free(kit);
}

static inline void wait_for_index(void)
{
	struct kit_answer a;

	for (bool complete = false; !complete; usleep(complete ? 0 : 20000)) {
		kit_http_get(&server, "progress", &a);
		cr_assert_eq(a.status, 200, "%s", (char *)a.body);
		complete = strstr((char *)a.body, "\"complete\":true") != NULL;
		kit_answer_free(&a);
	}
}

static inline void setup(void)
{
	char *arguments[] = { trace, NULL };

	cr_assert_not_null(mkdtemp(folder));
	snprintf(trace, sizeof(trace), "%s/a.viz", folder);
	snprintf(other, sizeof(other), "%s/b.viz", folder);
	save_trace(trace, 1);
	cr_assert(kit_server_start(&server, arguments), "%s", server.said);
	wait_for_index();
}

static inline void teardown(void)
{
	char command[128];

	if (server.pid > 0)
		cr_expect_eq(kit_server_end(&server, SIGTERM), 0);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	cr_assert_eq(system(command), 0);
}

static inline void expect_status(int status, int wanted, const char *what)
{
	cr_expect_eq(status, wanted, "%s: %d", what, status);
}

#endif /* VZ_TESTS_KIT_SERVE_H */
