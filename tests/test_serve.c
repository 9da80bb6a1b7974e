/* SPDX-License-Identifier: MIT */
/* The server: who gets an answer, which one, and what it costs. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/kit_serve.h"
#include "viewer/index/index.h"

/* ---- who gets an answer ---- */

struct gate_case {
	const char *method, *path, *headers; /* $: the port */
	int status;
};

/* TEXT with the port in place of each '$'. */
static void with_port(char *buf, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 8 < size; text++) {
		if (*text == '$')
			n += (size_t)snprintf(buf + n, size - n, "%u", server.port);
		else
			buf[n++] = *text;
	}
	buf[n] = '\0';
}

Test(serve, only_who_has_the_address_gets_an_answer, .init = setup, .fini = teardown)
{
	/* clang-format off */
	static const struct gate_case cases[] = {
		{ "GET",  "",         "Host: 127.0.0.1:$\r\n", 200 },
		{ "GET",  "progress", "Host: 127.0.0.1:$\r\n", 200 },
		{ "GET",  "progress", "Host: LocalHost:$\r\n", 200 },
		{ "HEAD", "progress", "Host: 127.0.0.1:$\r\n", 200 },
		{ "GET",  "progress", "Host: evil.example:$\r\n", 403 },
		{ "GET",  "progress", "Host: 127.0.0.1.evil.example:$\r\n", 403 },
		{ "GET",  "progress", "Host: 127.0.0.1\r\n", 403 },
		{ "GET",  "progress", "Host: 127.0.0.1:1\r\n", 403 },
		{ "GET",  "progress", "Host: \r\n", 403 },
		{ "GET",  "progress", "Host: 127.0.0.1:$\r\nOrigin: http://127.0.0.1:$\r\n", 200 },
		{ "GET",  "progress", "Host: 127.0.0.1:$\r\nOrigin: http://localhost:$\r\n", 200 },
		{ "GET",  "progress", "Host: 127.0.0.1:$\r\nOrigin: https://127.0.0.1:$\r\n", 403 },
		{ "GET",  "progress", "Host: 127.0.0.1:$\r\nOrigin: http://127.0.0.1:1\r\n", 403 },
		{ "GET",  "progress", "Host: 127.0.0.1:$\r\nOrigin: http://evil.example\r\n", 403 },
		{ "GET",  "progress", "Host: 127.0.0.1:$\r\nOrigin: null\r\n", 403 },
		{ "GET",  "progress", "Host: 127.0.0.1:$\r\nSec-Fetch-Site: cross-site\r\n", 403 },
		{ "GET",  "progress", "Host: 127.0.0.1:$\r\nSec-Fetch-Site: same-site\r\n", 403 },
		{ "GET",  "progress", "Host: 127.0.0.1:$\r\nSec-Fetch-Site: none\r\n", 200 },
		{ "GET",  "",         "Host: 127.0.0.1:$\r\nSec-Fetch-Site: cross-site\r\n"
				      "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", 200 },
		{ "GET",  "",         "Host: 127.0.0.1:$\r\nSec-Fetch-Site: cross-site\r\n"
				      "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n", 403 },
		{ "GET",  "trace.json", "Host: 127.0.0.1:$\r\nSec-Fetch-Site: cross-site\r\n"
				      "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", 403 },
		{ "GET",  "nothing",  "Host: 127.0.0.1:$\r\n", 404 },
		{ "GET",  "progress/", "Host: 127.0.0.1:$\r\n", 404 },
		{ "GET",  "../progress", "Host: 127.0.0.1:$\r\n", 404 },
		{ "GET",  "%2e%2e/%2e%2e/etc/passwd", "Host: 127.0.0.1:$\r\n", 404 },
		{ "GET",  "/etc/passwd", "Host: 127.0.0.1:$\r\n", 404 },
		{ "GET",  "tiles",    "Host: 127.0.0.1:$\r\n", 405 },
		{ "POST", "progress", "Host: 127.0.0.1:$\r\nContent-Length: 0\r\n", 405 },
		{ "PUT",  "tiles",    "Host: 127.0.0.1:$\r\nContent-Length: 0\r\n", 405 },
		{ "DELETE", "",       "Host: 127.0.0.1:$\r\n", 405 },
		{ "OPTIONS", "tiles", "Host: 127.0.0.1:$\r\nOrigin: http://127.0.0.1:$\r\n", 405 },
		{ "POST", "tiles",    "Host: 127.0.0.1:$\r\nContent-Length: 1048577\r\n", 413 },
		{ "POST", "tiles",    "Host: 127.0.0.1:$\r\nContent-Length: 99999999999999999999\r\n",
		  413 },
		{ "POST", "events",   "Host: 127.0.0.1:$\r\nTransfer-Encoding: chunked\r\n", 411 },
		{ "POST", "events",   "Host: 127.0.0.1:$\r\n", 411 },
	};
	/* clang-format on */
	struct kit_answer a;
	char headers[512], what[768];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		with_port(headers, sizeof(headers), cases[i].headers);
		kit_http_ask(&server, cases[i].method, cases[i].path, headers, &a);
		snprintf(what, sizeof(what), "%s %s %s", cases[i].method, cases[i].path, headers);
		/* What is not even HTTP/1.1 as it should be gets 400, or nothing. */
		if (cases[i].status == 413 && (a.status == 400 || !a.status))
			a.status = 413;
		expect_status(a.status, cases[i].status, what);
		cr_expect_null(kit_answer_header(&a, "Access-Control-Allow-Origin"));
		kit_answer_free(&a);
	}
}

Test(serve, a_wrong_token_finds_nothing, .init = setup, .fini = teardown)
{
	struct kit_server wrong = server;
	struct kit_answer a;

	for (int i = 0; i < 33; i += 8) {
		memcpy(wrong.token, server.token, sizeof(wrong.token));
		if (i < 32)
			wrong.token[i] = wrong.token[i] == 'a' ? 'b' : 'a';
		else
			wrong.token[31] = '\0';
		kit_http_get(&wrong, "progress", &a);
		expect_status(a.status, 404, wrong.token);
		kit_answer_free(&a);
	}
	wrong.token[0] = '\0';
	kit_http_get(&wrong, "", &a);
	expect_status(a.status, 404, "no token");
	kit_answer_free(&a);
}

Test(serve, tokens_and_ports_differ, .init = setup, .fini = teardown)
{
	char *arguments[] = { trace, NULL };
	struct kit_server second;

	cr_assert(kit_server_start(&second, arguments));
	cr_expect_neq(second.port, server.port);
	cr_expect_str_neq(second.token, server.token);
	cr_expect_eq(kit_server_end(&second, SIGINT), 0);
}

Test(serve, answers_forbid_what_a_page_could_do_with_them, .init = setup, .fini = teardown)
{
	static const char *const paths[] = { "", "trace.json", "nothing" };
	struct kit_answer a;

	for (int i = 0; i < 3; i++) {
		kit_http_get(&server, paths[i], &a);
		cr_expect_not_null(strstr(a.head, "Content-Security-Policy: default-src 'none'"));
		cr_expect_not_null(strstr(a.head, "frame-ancestors 'none'"));
		cr_expect_not_null(strstr(a.head, "\r\nX-Content-Type-Options: nosniff\r\n"));
		cr_expect_not_null(strstr(a.head, "\r\nReferrer-Policy: no-referrer\r\n"));
		cr_expect_not_null(
			strstr(a.head, "\r\nCross-Origin-Opener-Policy: same-origin\r\n"));
		cr_expect_not_null(
			strstr(a.head, "\r\nCross-Origin-Resource-Policy: same-origin\r\n"));
		cr_expect_not_null(strstr(a.head, "\r\nCache-Control: no-store\r\n"));
		kit_answer_free(&a);
	}
	kit_http_get(&server, "", &a);
	cr_expect_not_null(strstr(a.head, "connect-src 'self'"));
	cr_expect_null(strstr(a.head, "script-src 'unsafe-inline'"));
	cr_expect_not_null(strstr((char *)a.body, "<!doctype html>"));
	cr_expect_not_null(strstr((char *)a.body, "id=\"vz-worker\""), "it is still packed");
	kit_answer_free(&a);
	kit_http_get(&server, "core.wasm", &a);
	cr_expect_not_null(strstr(a.head, "\r\nContent-Type: application/wasm\r\n"));
	cr_assert_gt(a.bytes, 8);
	cr_expect_arr_eq(a.body, "\0asm", 4);
	kit_answer_free(&a);
}

/* ---- what the answers are ---- */

static struct vz_index *open_index(struct vz_reader **r)
{
	struct vz_trouble trouble;
	struct vz_index *index;

	cr_assert_eq(vz_reader_open(trace, r, &trouble), 0);
	cr_assert_eq(vz_index_open(trace, NULL, *r, &index), 0);
	return index;
}

Test(serve, tiles_are_those_of_the_index, .init = setup, .fini = teardown)
{
	struct vz_reader *r;
	struct vz_index *index = open_index(&r);
	const struct vzi_directory *d = vz_index_view(index)->head;
	uint32_t *numbers = calloc(d->ntiles, sizeof(*numbers));
	struct kit_answer a;
	const void *directory;
	size_t n, at = 0;

	kit_http_get(&server, "index", &a);
	directory = vz_index_directory(index, &n);
	cr_assert_eq(a.bytes, n);
	cr_expect_arr_eq(a.body, directory, n);
	kit_answer_free(&a);
	cr_assert_gt(d->ntiles, 3);
	for (uint32_t i = 0; i < d->ntiles; i++)
		numbers[i] = d->ntiles - 1 - i;
	kit_http_post(&server, "tiles", numbers, d->ntiles * sizeof(*numbers), &a);
	cr_assert_eq(a.status, 200);
	for (uint32_t i = 0; i < d->ntiles; i++) {
		const uint8_t *tile = vz_index_tile(index, numbers[i], &n);

		cr_assert_leq(at + n, a.bytes);
		cr_expect_arr_eq(a.body + at, tile, n);
		at += n;
	}
	cr_expect_eq(at, a.bytes);
	kit_answer_free(&a);
	free(numbers);
	vz_index_free(index);
	vz_reader_free(r);
}

Test(serve, events_are_those_of_the_trace, .init = setup, .fini = teardown)
{
	struct vz_trouble trouble;
	struct vz_reader *r;
	struct kit_answer a;
	uint32_t n, *numbers;
	size_t at = 0;

	cr_assert_eq(vz_reader_open(trace, &r, &trouble), 0);
	n = vz_reader_nblocks(r);
	numbers = calloc(n, sizeof(*numbers));
	for (uint32_t i = 0; i < n; i++)
		numbers[i] = n - 1 - i;
	kit_http_post(&server, "events", numbers, n * sizeof(*numbers), &a);
	cr_assert_eq(a.status, 200);
	for (uint32_t i = 0; i < n; i++) {
		struct vz_block head;
		const uint8_t *raw;
		uint32_t bytes;

		cr_assert_eq(vz_reader_load(r, numbers[i], &head, &raw), 0);
		cr_assert_leq(at + 4 + head.raw_bytes, a.bytes);
		memcpy(&bytes, a.body + at, 4);
		cr_assert_eq(bytes, head.raw_bytes);
		cr_expect_arr_eq(a.body + at + 4, raw, bytes);
		at += 4 + bytes;
	}
	cr_expect_eq(at, a.bytes);
	kit_answer_free(&a);
	free(numbers);
	vz_reader_free(r);
}

Test(serve, numbers_are_checked, .init = setup, .fini = teardown)
{
	static const struct {
		const char *path;
		uint32_t numbers[2];
		size_t bytes;
		int status;
	} cases[] = {
		{ "tiles", { 0, UINT32_MAX }, 8, 400 },
		{ "tiles", { 1u << 31 }, 4, 400 },
		{ "tiles", { 0 }, 3, 400 },
		{ "tiles", { 0 }, 0, 200 },
		{ "events", { UINT32_MAX }, 4, 400 },
		{ "events", { 0, 100000 }, 8, 400 },
		{ "events", { 0 }, 5, 400 },
		{ "events", { 0 }, 0, 200 },
	};
	static const char *const bad[] = {
		"args",
		"args?track=0",
		"args?track=99&entry=0",
		"args?track=-1&entry=0",
		"args?track=0&entry=99999999999999999999",
		"source",
		"source?file=",
		"source?file=x",
		"source?file=4294967296",
		"source?file=-1",
		"source?file=1e3",
	};
	struct kit_answer a;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		kit_http_post(&server, cases[i].path, cases[i].numbers, cases[i].bytes, &a);
		expect_status(a.status, cases[i].status, cases[i].path);
		kit_answer_free(&a);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		kit_http_get(&server, bad[i], &a);
		expect_status(a.status, 400, bad[i]);
		kit_answer_free(&a);
	}
	kit_http_get(&server, "args?track=0&entry=0", &a);
	cr_expect_str_eq((char *)a.body, "null\n");
	kit_answer_free(&a);
	kit_http_get(&server, "compare.json", &a);
	expect_status(a.status, 404, "compare.json");
	kit_answer_free(&a);
}

Test(serve, a_damaged_block_is_said_to_be_unreadable, .init = setup, .fini = teardown)
{
	const uint32_t numbers[] = { 4, 3, 5 };
	struct vz_trouble trouble;
	struct kit_answer a;
	struct vz_reader *r;
	uint32_t bytes[3];
	uint64_t offset;
	size_t at = 0;
	int fd;

	cr_assert_eq(vz_reader_open(trace, &r, &trouble), 0);
	offset = vz_reader_block(r, 3)->offset + sizeof(struct vz_block) + 20;
	vz_reader_free(r);
	fd = open(trace, O_WRONLY);
	cr_assert_eq(pwrite(fd, "damage", 6, (off_t)offset), 6);
	close(fd);
	kit_http_post(&server, "events", numbers, sizeof(numbers), &a);
	cr_assert_eq(a.status, 200);
	for (int i = 0; i < 3; i++) {
		cr_assert_leq(at + 4, a.bytes);
		memcpy(&bytes[i], a.body + at, 4);
		at += 4 + (bytes[i] == UINT32_MAX ? 0 : bytes[i]);
	}
	cr_expect_eq(at, a.bytes);
	cr_expect_eq(bytes[1], UINT32_MAX);
	cr_expect(bytes[0] < 1 << 20 && bytes[2] < 1 << 20);
	kit_answer_free(&a);
	kit_http_get(&server, "trace.json", &a);
	cr_expect_not_null(strstr((char *)a.body, "cannot be read"));
	kit_answer_free(&a);
}

Test(serve, compares_with_a_second_trace, .init = setup, .fini = teardown)
{
	char *arguments[] = { trace, other, NULL };
	struct kit_server both;
	struct kit_answer a;

	save_trace(other, 2);
	cr_assert(kit_server_start(&both, arguments));
	cr_expect_not_null(strstr(both.said, "b.viz"));
	/* Asked for at once: the answer comes when it is known. */
	kit_http_get(&both, "compare.json", &a);
	expect_status(a.status, 200, "compare.json");
	cr_expect_not_null(strstr((char *)a.body, "\"schema\":1"));
	cr_expect_not_null(strstr((char *)a.body, "b.viz"));
	kit_answer_free(&a);
	kit_http_get(&both, "trace.json", &a);
	cr_expect_not_null(strstr((char *)a.body, "\"compare\":\"b.viz\""));
	kit_answer_free(&a);
	cr_expect_eq(kit_server_end(&both, SIGTERM), 0);
}

/* ---- clients as they should not be ---- */

Test(serve, nonsense_does_not_disturb_others, .init = setup, .fini = teardown)
{
	static const char *const texts[] = {
		"",
		"\r\n\r\n",
		"GET",
		"GET / HTTP/9.9\r\n\r\n",
		"G\0T / HTTP/1.1\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"GET / HTTP/1.1\r\nHost\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: -1\r\nConnection: close\r\n\r\n",
	};
	struct kit_answer a;
	char *large = malloc(200000);

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int sock = kit_http_connect(&server);

		cr_expect_geq(send(sock, texts[i], strlen(texts[i]) + 1, MSG_NOSIGNAL), 0);
		close(sock);
	}
	memset(large, 'a', 200000);
	memcpy(large, "GET /", 5);
	kit_http_raw(&server, large, 200000, &a);
	cr_expect_neq(a.status, 200);
	kit_answer_free(&a);
	free(large);
	kit_http_get(&server, "progress", &a);
	expect_status(a.status, 200, "after nonsense");
	kit_answer_free(&a);
}

Test(serve, slow_and_vanished_clients_do_not_hold_others_up, .init = setup, .fini = teardown)
{
	const uint32_t numbers[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	char start[512];
	struct kit_answer a;
	int slow[20], n;

	for (int i = 0; i < 20; i++) {
		slow[i] = kit_http_connect(&server);
		/* A body that never comes whole, or an answer that nobody reads. */
		n = snprintf(start, sizeof(start),
			     "POST /%s/events HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
			     "Content-Length: %zu\r\n\r\n",
			     server.token, server.port, sizeof(numbers));
		cr_assert_eq(send(slow[i], start, (size_t)n, MSG_NOSIGNAL), n);
		if (i % 2)
			cr_assert_eq(send(slow[i], numbers, sizeof(numbers), MSG_NOSIGNAL),
				     (ssize_t)sizeof(numbers));
	}
	for (int i = 0; i < 20; i++) {
		kit_http_get(&server, "functions.json", &a);
		expect_status(a.status, 200, "functions.json");
		cr_expect_gt(a.bytes, 10000);
		kit_answer_free(&a);
	}
	for (int i = 0; i < 20; i++)
		close(slow[i]);
	kit_http_get(&server, "progress", &a);
	expect_status(a.status, 200, "after they have gone");
	kit_answer_free(&a);
}

enum {
	READERS = 4,
	ASKED = 600, /* more than the kernel keeps for a reader that is slow */
	SIP_BYTES = 30000,
};

/* Blocks of one answer must not get into another one. */
Test(serve, answers_at_the_same_time_do_not_mix, .init = setup, .fini = teardown)
{
	uint32_t numbers[ASKED];
	char start[512], sip[SIP_BYTES];
	struct kit_answer want;
	uint8_t *got[READERS];
	size_t bytes[READERS] = { 0 }, open = READERS;
	int sock[READERS], n, small = 1 << 16;

	for (uint32_t i = 0; i < ASKED; i++)
		numbers[i] = i * 7 % 30;
	kit_http_post(&server, "events", numbers, sizeof(numbers), &want);
	cr_assert_eq(want.status, 200);
	for (int i = 0; i < READERS; i++) {
		sock[i] = kit_http_connect(&server);
		setsockopt(sock[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		got[i] = malloc(2 * want.bytes + 4096);
		n = snprintf(start, sizeof(start),
			     "POST /%s/events HTTP/1.0\r\nHost: 127.0.0.1:%u\r\n"
			     "Content-Length: %zu\r\n\r\n",
			     server.token, server.port, sizeof(numbers));
		cr_assert_eq(send(sock[i], start, (size_t)n, MSG_NOSIGNAL), n);
		cr_assert_eq(send(sock[i], numbers, sizeof(numbers), MSG_NOSIGNAL),
			     (ssize_t)sizeof(numbers));
	}
	while (open) {
		for (int i = 0; i < READERS; i++) {
			ssize_t some = sock[i] < 0 ? 0 : recv(sock[i], sip, sizeof(sip), 0);

			if (some <= 0 && sock[i] >= 0) {
				close(sock[i]);
				sock[i] = -1;
				open--;
			}
			cr_assert_leq(bytes[i] + (size_t)(some > 0 ? some : 0),
				      2 * want.bytes + 4096);
			if (some > 0)
				memcpy(got[i] + bytes[i], sip, (size_t)some);
			bytes[i] += (size_t)(some > 0 ? some : 0);
		}
	}
	/* HTTP/1.0: no chunks, so the answer is what is at the end. */
	for (int i = 0; i < READERS; i++) {
		cr_assert_gt(bytes[i], want.bytes);
		cr_expect_arr_eq(got[i] + bytes[i] - want.bytes, want.body, want.bytes);
		free(got[i]);
	}
	kit_answer_free(&want);
}

Test(serve, stays_small, .init = setup, .fini = teardown)
{
	uint32_t numbers[30];
	struct kit_answer a;

	if (getenv("VZ_FEW_PYTHONS")) /* memory of sanitizers is another thing */
		cr_skip();
	for (uint32_t i = 0; i < 30; i++)
		numbers[i] = i;
	for (int i = 0; i < 50; i++) {
		kit_http_post(&server, "events", numbers, sizeof(numbers), &a);
		cr_expect_eq(a.status, 200);
		kit_answer_free(&a);
	}
	cr_expect_lt(kit_server_memory(&server), 10 << 20, "%lu bytes",
		     (unsigned long)kit_server_memory(&server));
}

/* ---- source ---- */

Test(serve, source_is_only_what_the_trace_names, .init = setup, .fini = teardown)
{
	struct kit_answer a;

	/* Files 1, 3 ... of the kit are in /app, which is not there; file 0 is a C module. */
	for (int i = 0; i < 5; i++) {
		char path[32];

		snprintf(path, sizeof(path), "source?file=%d", i);
		kit_http_get(&server, path, &a);
		expect_status(a.status, 404, path);
		kit_answer_free(&a);
	}
}

Test(serve, source_that_can_be_read_is_given, .init = setup, .fini = teardown)
{
	char file[96], *arguments[] = { other, NULL };
	struct kit *kit = kit_new(0, 1);
	struct kit_server s;
	struct kit_answer a;
	uint8_t *p;
	size_t n;

	snprintf(file, sizeof(file), "%s/m.py", folder);
	save(file, "<b>pass", 7);
	vz_tracefile_function(kit->tf, 0, VZ_DEF_PYTHON, "f", 1, file, strlen(file), 1);
	kit_finish(kit);
	p = kit_bytes(kit, &n);
	save(other, p, n);
	free(p);
	kit_free(kit);
	cr_assert(kit_server_start(&s, arguments));
	kit_http_get(&s, "source?file=0", &a);
	expect_status(a.status, 200, "source");
	cr_expect_str_eq((char *)a.body, "<b>pass");
	cr_expect(!strncmp(kit_answer_header(&a, "X-Newer"), "1", 1));
	cr_expect(!strncmp(kit_answer_header(&a, "Content-Type"), "text/plain", 10));
	kit_answer_free(&a);
	cr_expect_eq(kit_server_end(&s, SIGTERM), 0);
}
