/* SPDX-License-Identifier: MIT */
#include "tests/kit_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	ARGUMENTS = 16,
	PATIENCE_S = 20,
};

static void become(int out, bool no_open, char *const *arguments)
{
	char path[4096], *argv[ARGUMENTS + 3] = { path };
	int n = 1;

	snprintf(path, sizeof(path), "%s/vizview", getenv("VZ_BUILD_DIR"));
	while (*arguments && n < ARGUMENTS)
		argv[n++] = *arguments++;
	argv[n] = no_open ? (char[]){ "--no-open" } : NULL;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(out, STDOUT_FILENO);
	execv(path, argv);
	_exit(127);
}

static bool start(struct kit_server *s, bool no_open, char *const *arguments)
{
	int ends[2];
	size_t n = 0;
	char *at;

	memset(s, 0, sizeof(*s));
	if (pipe(ends) < 0)
		abort();
	s->out = ends[0];
	s->pid = fork();
	if (s->pid == 0)
		become(ends[1], no_open, arguments);
	close(ends[1]);
	while (!strstr(s->said, "Ctrl-C") && n < sizeof(s->said) - 1) {
		ssize_t got = read(s->out, s->said + n, sizeof(s->said) - 1 - n);

		if (got <= 0)
			return false;
		n += (size_t)got;
	}
	at = strstr(s->said, "http://127.0.0.1:");
	return at && sscanf(at, "http://127.0.0.1:%u/%32[0-9a-f]/", &s->port, s->token) == 2 &&
	       strlen(s->token) == 32;
}

bool kit_server_start(struct kit_server *s, char *const *arguments)
{
	return start(s, true, arguments);
}

bool kit_server_start_open(struct kit_server *s, char *const *arguments)
{
	return start(s, false, arguments);
}

int kit_server_end(struct kit_server *s, int sig)
{
	int status = 0;

	if (s->pid <= 0)
		return -1;
	if (sig)
		kill(s->pid, sig);
	if (waitpid(s->pid, &status, 0) != s->pid)
		return -1;
	close(s->out);
	s->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

uint64_t kit_server_memory(const struct kit_server *s)
{
	char path[64], line[256];
	uint64_t kib = 0, n;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)s->pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Private_Dirty: %lu", &n) == 1 ||
		    sscanf(line, "Private_Clean: %lu", &n) == 1)
			kib += n;
	if (file)
		fclose(file);
	return kib * 1024;
}

/* ---- the client ---- */

int kit_http_connect(const struct kit_server *s)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)s->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(sock, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return sock;
	close(sock);
	return -1;
}

static void send_all(int sock, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = send(sock, p, n, MSG_NOSIGNAL);

		if (done <= 0)
			return; /* it was refused early */
		p += done;
		n -= (size_t)done;
	}
}

static char *read_to_end(int sock, size_t *bytes)
{
	size_t cap = 1 << 16;
	char *p = malloc(cap);
	ssize_t n;

	*bytes = 0;
	while (p && (n = recv(sock, p + *bytes, cap - *bytes - 1, 0)) > 0) {
		*bytes += (size_t)n;
		if (cap - *bytes < 4096)
			p = realloc(p, cap *= 2);
	}
	if (!p)
		abort();
	p[*bytes] = '\0';
	return p;
}

/* In place: bytes in hexadecimal, CR LF, bytes, CR LF, and so on up to 0. */
static size_t join_chunks(uint8_t *p, size_t n)
{
	size_t at = 0, used = 0;

	while (at < n) {
		char *end;
		size_t bytes = strtoul((const char *)p + at, &end, 16);

		at = (size_t)(end + 2 - (char *)p);
		if (!bytes || at + bytes > n)
			break;
		memmove(p + used, p + at, bytes);
		used += bytes;
		at += bytes + 2;
	}
	p[used] = '\0';
	return used;
}

static void take_apart(char *text, size_t n, struct kit_answer *ret)
{
	char *end = strstr(text, "\r\n\r\n");
	const char *coding;

	*ret = (struct kit_answer){ .head = text };
	if (!end || sscanf(text, "HTTP/1.1 %d ", &ret->status) != 1)
		return;
	end[2] = '\0';
	ret->body = (uint8_t *)end + 4;
	ret->bytes = n - (size_t)(end + 4 - text);
	coding = kit_answer_header(ret, "Transfer-Encoding");
	if (coding && !strncmp(coding, "chunked", 7))
		ret->bytes = join_chunks(ret->body, ret->bytes);
}

void kit_http_raw(const struct kit_server *s, const void *request, size_t n, struct kit_answer *ret)
{
	int sock = kit_http_connect(s);
	char *text;
	size_t bytes;

	*ret = (struct kit_answer){ 0 };
	if (sock < 0)
		return;
	send_all(sock, request, n);
	text = read_to_end(sock, &bytes);
	close(sock);
	take_apart(text, bytes, ret);
}

static void ask(const struct kit_server *s, const char *start, const void *body, size_t n,
		struct kit_answer *ret)
{
	size_t bytes = strlen(start) + n;
	char *request = malloc(bytes + 1);

	if (!request)
		abort();
	strcpy(request, start);
	if (n)
		memcpy(request + strlen(start), body, n);
	kit_http_raw(s, request, bytes, ret);
	free(request);
}

void kit_http_ask(const struct kit_server *s, const char *method, const char *path,
		  const char *headers, struct kit_answer *ret)
{
	char start[4096];

	snprintf(start, sizeof(start), "%s /%s/%s HTTP/1.1\r\n%sConnection: close\r\n\r\n", method,
		 s->token, path, headers);
	ask(s, start, NULL, 0, ret);
}

void kit_http_get(const struct kit_server *s, const char *path, struct kit_answer *ret)
{
	char headers[128];

	snprintf(headers, sizeof(headers), "Host: 127.0.0.1:%u\r\nSec-Fetch-Site: same-origin\r\n",
		 s->port);
	kit_http_ask(s, "GET", path, headers, ret);
}

void kit_http_post(const struct kit_server *s, const char *path, const void *body, size_t n,
		   struct kit_answer *ret)
{
	char start[512];

	snprintf(start, sizeof(start),
		 "POST /%s/%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nOrigin: http://127.0.0.1:%u\r\n"
		 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
		 s->token, path, s->port, s->port, n);
	ask(s, start, body, n, ret);
}

const char *kit_answer_header(const struct kit_answer *a, const char *name)
{
	char line[128];
	const char *at;

	snprintf(line, sizeof(line), "\r\n%s: ", name);
	at = a->head ? strstr(a->head, line) : NULL;
	return at ? at + strlen(line) : NULL;
}

void kit_answer_free(struct kit_answer *a)
{
	free(a->head);
	*a = (struct kit_answer){ 0 };
}
