/* SPDX-License-Identifier: MIT */
/*
 * source.h - the text of a file that the functions of a trace are in.
 *
 * Owns the rules of what may be read.  Text that the trace carries is taken as it is.
 * Without it, the file system is asked: a trace may name anything, so only a regular
 * file is read that is Python by its name or its first line, not through a link, and
 * not a large one.  Relative names are looked for in the directory that the trace says
 * the program worked in (the fact "cwd"); if it does not say one, they are not.
 */
#ifndef VZ_VIEWER_SOURCE_H
#define VZ_VIEWER_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "viewer/files.h"
#include "viewer/reader.h"

enum {
	VZ_SOURCE_MAX_BYTES = 2 << 20,
};

struct vz_source {
	char *text; /* the caller's, without NUL behind */
	size_t bytes;
	bool recorded; /* the trace carries it */
	bool newer;    /* it was changed after the recording: lines may have moved */
};

/** Text of file number FILE.  -ENOENT: there is none that may be read; -ENOMEM. */
int vz_source_read(struct vz_reader *r, const struct vz_files *files, uint32_t file,
		   struct vz_source *ret);

/** The same from the trace only, by name. */
int vz_source_recorded(struct vz_reader *r, const char *name, struct vz_source *ret);

#endif /* VZ_VIEWER_SOURCE_H */
