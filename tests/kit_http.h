/* SPDX-License-Identifier: MIT */
/*
 * kit_http.h - vizview as a server, and a client that sends exactly what it is told.
 */
#ifndef VZ_TESTS_KIT_HTTP_H
#define VZ_TESTS_KIT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct kit_server {
	pid_t pid;
	unsigned port;
	char token[33];
	char said[4096]; /* on standard output, up to the last line that it says at first */
	int out;
};

/** Start "vizview ARGUMENTS --no-open" and wait until it listens.  False: it ended instead. */
bool kit_server_start(struct kit_server *s, char *const *arguments);
/** The same without --no-open. */
bool kit_server_start_open(struct kit_server *s, char *const *arguments);
/** Ask it to end by SIG; its exit status, or 128 and the signal that killed it. */
int kit_server_end(struct kit_server *s, int sig);
/** Bytes of memory that nobody else has mapped, pages of files included. */
uint64_t kit_server_memory(const struct kit_server *s);

/** A connection; -1: refused. */
int kit_http_connect(const struct kit_server *s);

struct kit_answer {
	int status;    /* 0: none came */
	char *head;    /* status line and headers */
	uint8_t *body; /* without the frames of chunks; NUL behind */
	size_t bytes;
};

/**
 * Send N bytes and read the answer up to the end of the connection, which the request must ask
 * for.  Free RET with kit_answer_free().
 */
void kit_http_raw(const struct kit_server *s, const void *request, size_t n,
		  struct kit_answer *ret);
/** GET of what is below the token. */
void kit_http_get(const struct kit_server *s, const char *path, struct kit_answer *ret);
void kit_http_post(const struct kit_server *s, const char *path, const void *body, size_t n,
		   struct kit_answer *ret);
/** The same with HEADERS, each with CR LF behind, instead of those of a browser. */
void kit_http_ask(const struct kit_server *s, const char *method, const char *path,
		  const char *headers, struct kit_answer *ret);
/** Value of a header, up to its line end, or NULL. */
const char *kit_answer_header(const struct kit_answer *a, const char *name);
void kit_answer_free(struct kit_answer *a);

#endif /* VZ_TESTS_KIT_HTTP_H */
