/* SPDX-License-Identifier: MIT */
/* index_priv.h - where the file of an index is, and to which trace it belongs; only for index*.c.
 */
#ifndef VZ_VIEWER_INDEX_PRIV_H
#define VZ_VIEWER_INDEX_PRIV_H

#include <stdbool.h>
#include <sys/types.h>

#include "viewer/index/index.h"

enum {
	VZ_INDEX_PATH = 4096,
	VZ_INDEX_PLACES = 2, /* beside the trace; in the cache */
};

/** Path of the index of the trace at PATH; PLACE below VZ_INDEX_PLACES.  0 or a negative errno. */
int vz_index_place(const char *path, int place, char ret[VZ_INDEX_PATH]);

/** Fill in what a header says of the trace.  0 or a negative errno. */
int vz_index_belong(const char *path, struct vzi_header *header, uid_t *owner, mode_t *mode);

/* A file that nobody sees until it is whole. */
struct vz_index_file {
	int fd;
	_Atomic int error; /* negative errno of the first thing that failed with it */
	uint64_t limit;    /* so many bytes at most; 0: as many as go in */
	bool lent;
	char path[VZ_INDEX_PATH];
	char temporary[VZ_INDEX_PATH + 16]; /* "": it has no name yet */
};

/** Make one that shall be called PATH; 0 or a negative errno. */
int vz_index_file_new(struct vz_index_file *f, const char *path, mode_t mode);
/** Take one that will never have a name: spare number I. */
int vz_index_file_lend(struct vz_index_file *f, const struct vz_index_spare *spare, int i);
/** Any thread. */
int vz_index_file_write(struct vz_index_file *f, const void *bytes, size_t n, uint64_t at);
/** All is written: give it its name, in place of whatever has it. */
int vz_index_file_publish(struct vz_index_file *f);
/** Close it; what was not published is gone. */
void vz_index_file_fini(struct vz_index_file *f);

#endif /* VZ_VIEWER_INDEX_PRIV_H */
