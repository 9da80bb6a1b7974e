/* SPDX-License-Identifier: MIT */
/* How the server begins and ends. */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/kit_serve.h"

/* What other users see in the list of processes leads to the page once, to one of us. */
Test(serve_life, the_browser_is_given_an_address_that_works_once, .init = setup, .fini = teardown)
{
	char script[96], said[96], text[512] = "", request[512];
	char *arguments[] = { trace, NULL };
	struct kit_server s;
	struct kit_answer a;
	unsigned port;
	char once[64] = "";
	FILE *file = NULL;

	snprintf(script, sizeof(script), "%s/browser", folder);
	snprintf(said, sizeof(said), "%s/said", folder);
	snprintf(text, sizeof(text), "#!/bin/sh\necho \"$1\" >%s.new; mv %s.new %s\n", said, said,
		 said);
	save(script, text, strlen(text));
	cr_assert_eq(chmod(script, 0700), 0);
	setenv("BROWSER", script, 1);
	cr_assert(kit_server_start_open(&s, arguments));
	for (int i = 0; i < 500 && !file; i++, usleep(10000))
		file = fopen(said, "r");
	cr_assert_not_null(file);
	cr_assert_eq(fscanf(file, "http://127.0.0.1:%u/%63s", &port, once), 2);
	fclose(file);
	cr_expect_eq(port, s.port);
	cr_expect_eq(strlen(once), 32);
	cr_expect_str_neq(once, s.token);
	for (int i = 0; i < 2; i++) {
		snprintf(request, sizeof(request),
			 "GET /%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n\r\n",
			 once, port);
		kit_http_raw(&s, request, strlen(request), &a);
		expect_status(a.status, i ? 404 : 303, "once");
		if (!i)
			cr_expect_eq(strncmp(kit_answer_header(&a, "Location") + 1, s.token, 32),
				     0);
		kit_answer_free(&a);
	}
	cr_expect_eq(kit_server_end(&s, SIGINT), 0);
}

Test(serve_life, each_signal_ends_it_with_0, .init = setup, .fini = teardown)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	char *arguments[] = { trace, NULL };
	struct kit_server s;

	for (int i = 0; i < 3; i++) {
		cr_assert(kit_server_start(&s, arguments));
		cr_expect_eq(kit_server_end(&s, signals[i]), 0);
	}
}

Test(serve_life, a_port_that_is_taken, .init = setup, .fini = teardown)
{
	char port[16], text[1024] = "", command[256];
	FILE *f;
	int status;

	snprintf(port, sizeof(port), "%u", server.port);
	snprintf(command, sizeof(command), "%s/vizview %s --no-open --port %s 2>&1",
		 getenv("VZ_BUILD_DIR"), trace, port);
	f = popen(command, "r");
	cr_assert_not_null(f);
	cr_expect_gt(fread(text, 1, sizeof(text) - 1, f), 0);
	status = pclose(f);
	cr_expect_eq(WEXITSTATUS(status), 1);
	cr_expect_not_null(strstr(text, "cannot listen on port"));
	cr_expect_not_null(strstr(text, "  why: Address already in use"));
	cr_expect_not_null(strstr(text, "  try: without --port"));
}

Test(serve_life, a_trace_that_is_cut_while_it_is_shown, .init = setup, .fini = teardown)
{
	const uint32_t numbers[] = { 20 };
	struct kit_answer a;

	cr_assert_eq(truncate(trace, 4096), 0);
	kit_http_post(&server, "events", numbers, sizeof(numbers), &a);
	kit_answer_free(&a);
	cr_expect_eq(kit_server_end(&server, 0), 1);
}

/* What is in the place of the index of OTHER is no file, and neither is the cache. */
static void leave_no_place(void)
{
	char index[128];

	save_trace(other, 3);
	snprintf(index, sizeof(index), "%si", other);
	cr_assert_eq(mkdir(index, 0700), 0);
	setenv("XDG_CACHE_HOME", "/dev/null", 1);
}

/* Until the index is made, or not. */
static int wait_for_end(const struct kit_server *s, struct kit_answer *a)
{
	for (int i = 0; i < 1000; i++, usleep(20000)) {
		kit_http_get(s, "progress", a);
		if (a->status != 200 || strstr((char *)a->body, "\"complete\":true"))
			break;
		kit_answer_free(a);
	}
	return a->status;
}

Test(serve_life, an_index_that_cannot_be_made_is_explained, .init = setup, .fini = teardown)
{
	const struct rlimit nothing = { 512, RLIM_INFINITY };
	char *arguments[] = { other, NULL };
	struct kit_server s;
	struct kit_answer a;

	leave_no_place();
	/* No file may grow, not even those in memory. */
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &nothing), 0);
	cr_assert(kit_server_start(&s, arguments));
	cr_expect_eq(wait_for_end(&s, &a), 500);
	cr_expect(!strncmp((char *)a.body, "vizview: ", 9), "%s", (char *)a.body);
	cr_expect_not_null(strstr((char *)a.body, "\n  why: "), "%s", (char *)a.body);
	cr_expect_not_null(strstr((char *)a.body, "; in memory: File too large"), "%s",
			   (char *)a.body);
	cr_expect_not_null(strstr((char *)a.body, "\n  try: "), "%s", (char *)a.body);
	kit_answer_free(&a);
	kit_http_get(&s, "tiles", &a);
	cr_expect_eq(a.status, 405);
	kit_answer_free(&a);
	kit_http_post(&s, "tiles", "", 0, &a);
	cr_expect_eq(a.status, 500);
	kit_answer_free(&a);
	cr_expect_eq(kit_server_end(&s, SIGTERM), 0);
}

Test(serve_life, an_index_that_can_be_kept_nowhere_serves_all_the_same, .init = setup,
     .fini = teardown)
{
	const uint32_t first[] = { 0 };
	char *arguments[] = { other, NULL }, said[128], text[1024] = "";
	struct kit_server s;
	struct kit_answer a;
	FILE *file;
	int lines = 0;

	leave_no_place();
	snprintf(said, sizeof(said), "%s/said", folder);
	cr_assert_not_null(freopen(said, "w", stderr));
	cr_assert(kit_server_start(&s, arguments));
	cr_expect_eq(wait_for_end(&s, &a), 200, "%s", (char *)a.body);
	kit_answer_free(&a);
	kit_http_post(&s, "tiles", first, sizeof(first), &a);
	cr_expect_eq(a.status, 200);
	cr_expect_gt(a.bytes, 0);
	kit_answer_free(&a);
	cr_expect_eq(kit_server_end(&s, SIGTERM), 0);
	file = fopen(said, "r");
	cr_assert(file && fread(text, 1, sizeof(text) - 1, file));
	fclose(file);
	cr_expect(!strncmp(text, "vizview: the index cannot be kept: it is in a temporary file", 60),
		  "%s", text);
	cr_expect_not_null(strstr(text, "\n  try: "), "%s", text);
	cr_expect_not_null(strstr(text, "in the cache: Not a directory"), "%s", text);
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	cr_expect_eq(lines, 3, "%s", text);
}

Test(serve_life, a_page_in_one_file_needs_no_place_either, .init = setup, .fini = teardown)
{
	char command[512];

	leave_no_place();
	snprintf(command, sizeof(command), "%s/vizview export %s --format html -o %s/x.html",
		 getenv("VZ_BUILD_DIR"), other, folder);
	cr_expect_eq(system(command), 0);
}
