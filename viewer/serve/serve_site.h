/* SPDX-License-Identifier: MIT */
/*
 * serve_site.h - what the server has to give, without HTTP.
 *
 * Owns the index, and the children that make it and the comparison while the page is
 * already there.
 */
#ifndef VZ_VIEWER_SERVE_SITE_H
#define VZ_VIEWER_SERVE_SITE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "viewer/files.h"
#include "viewer/index/index.h"
#include "viewer/reader.h"
#include "viewer/serve/serve.h"

enum vz_site_state {
	VZ_SITE_WORKING = 0,
	VZ_SITE_READY = 1,
	VZ_SITE_FAILED = 2,
};

struct vz_site {
	struct vz_reader *reader; /* the caller's */
	const struct vz_serve_options *options;
	struct vz_files files;

	enum vz_site_state index_state;
	struct vz_index_job *job;       /* WORKING */
	double done;                    /* 0 to 1 */
	struct vz_index *index;         /* READY */
	char trouble[VZ_TROUBLE_BYTES]; /* FAILED: lines for people */

	enum vz_site_state compare_state; /* FAILED: also if there is nothing to compare with */
	pid_t compare_pid;                /* WORKING */
	int compare_fd;                   /* what diff --json prints; -1: none */
};

/** Open the index, or begin to make it; begin to compare.  Call vz_site_fini() in any case. */
int vz_site_init(struct vz_site *site, struct vz_reader *r, const struct vz_serve_options *options,
		 struct vz_trouble *trouble);
void vz_site_fini(struct vz_site *site);

/** Take no more memory than is needed for waiting. */
void vz_site_rest(const struct vz_site *site);

/** See how far the children are.  True: look again soon. */
bool vz_site_poll(struct vz_site *site);

#endif /* VZ_VIEWER_SERVE_SITE_H */
