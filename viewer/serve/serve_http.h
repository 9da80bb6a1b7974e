/* SPDX-License-Identifier: MIT */
/*
 * serve_http.h - who gets an answer, and which.
 *
 * Owns the gate and the table of what can be asked.  A request is answered only if its
 * path has the token, its Host is ours (a name that somebody made to point at 127.0.0.1
 * is not), and it does not come from a page of another origin.  There are no CORS
 * headers, and nothing is kept in a cache.
 */
#ifndef VZ_VIEWER_SERVE_HTTP_H
#define VZ_VIEWER_SERVE_HTTP_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "viewer/serve/plain_page.h"
#include "viewer/serve/serve_site.h"

enum {
	VZ_TOKEN_DIGITS = 32,
	VZ_POLICY_BYTES = 1024,
	VZ_HTTP_CONNECTIONS = 64,
};

struct vz_http {
	struct vz_site *site;
	unsigned port;
	char token[VZ_TOKEN_DIGITS + 1];
	/* Path that leads to the page once: the address that others see in a list of processes. */
	char once[VZ_TOKEN_DIGITS + 1];
	char policy[VZ_POLICY_BYTES]; /* Content-Security-Policy of the page */
	struct vz_plain_page plain;   /* .html NULL: the page goes as it is */
	struct MHD_Daemon *daemon;
	/* Suspended until the comparison is there. */
	struct MHD_Connection *waiting[VZ_HTTP_CONNECTIONS];
	unsigned nwaiting;
	bool ending; /* nobody waits any more */
};

/** Begin to answer on SOCKET, which it then owns; .site and .port are set.  0 or a negative errno.
 */
int vz_http_init(struct vz_http *http, int sock);
/** Do what can be done without waiting.  TIMEOUT_MS: when to call again at the latest, -1: any
 * time. */
int vz_http_run(struct vz_http *http, int *timeout_ms);
void vz_http_fini(struct vz_http *http);

#endif /* VZ_VIEWER_SERVE_HTTP_H */
