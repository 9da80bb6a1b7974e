/* SPDX-License-Identifier: MIT */
/*
 * serve_body.h - what is in the answers of the server.
 *
 * Each function makes one, or says with which status there is none.  What can be large is
 * made while it is sent: memory does not grow with the trace.
 */
#ifndef VZ_VIEWER_SERVE_BODY_H
#define VZ_VIEWER_SERVE_BODY_H

#include <microhttpd.h>
#include <stddef.h>
#include <stdint.h>

#include "viewer/serve/serve_site.h"

struct vz_http;

struct vz_request {
	struct MHD_Connection *connection;
	const struct vz_http *http;
	uint8_t *body; /* of a POST; a function that keeps it sets it to NULL */
	size_t bytes, cap;
	unsigned status; /* of the answer */
	const char *why; /* if it is not 200: for people */
	bool newer;      /* a file is newer than the recording */
};

typedef struct MHD_Response *vz_body(struct vz_site *site, struct vz_request *request);

/* NULL: see .status and .why; or no memory. */
vz_body vz_body_trace, vz_body_functions, vz_body_directory, vz_body_progress, vz_body_tiles,
	vz_body_events, vz_body_args, vz_body_source, vz_body_compare;

#endif /* VZ_VIEWER_SERVE_BODY_H */
