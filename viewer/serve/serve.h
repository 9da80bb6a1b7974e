/* SPDX-License-Identifier: MIT */
/*
 * serve.h - shows a trace in the browser: a server for one user of this machine.
 *
 * Owns the socket, the address, and the loop that everything runs in: there is one
 * thread, so that nothing is locked and little memory is taken.  It listens on
 * 127.0.0.1 only; the address has a random token, so that others on the machine do not
 * find it.  viewer/serve/serve_http.h says who gets an answer.
 */
#ifndef VZ_VIEWER_SERVE_H
#define VZ_VIEWER_SERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "viewer/reader.h"
#include "viewer/trouble.h"

struct vz_serve_options {
	const char *path;  /* of the trace that is open */
	const char *name;  /* of it, for people; it may have been imported */
	const char *other; /* trace to compare it with, or NULL */
	const char *other_name;
	uint16_t port; /* 0: any that is free */
	bool no_open;  /* do not open the browser */
};

/**
 * Serve until SIGINT, SIGTERM or SIGHUP.  0, or a negative errno with TROUBLE.  Says the
 * address on standard output.
 */
int vz_serve(struct vz_reader *r, const struct vz_serve_options *options,
	     struct vz_trouble *trouble);

#endif /* VZ_VIEWER_SERVE_H */
