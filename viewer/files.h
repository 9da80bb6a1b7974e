/* SPDX-License-Identifier: MIT */
/*
 * files.h - numbers for the files that the functions of a trace are in.
 *
 * In order of first occurrence.  Of a C function, the "file" is its module or type, as
 * in struct vz_function: such a name is numbered too, but is never a file to open.
 */
#ifndef VZ_VIEWER_FILES_H
#define VZ_VIEWER_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "viewer/reader.h"

enum {
	VZ_NO_FILE = -1,
};

struct vz_files {
	const char **names; /* text of the reader, as recorded */
	bool *python;       /* a Python function is in it */
	uint32_t n, names_cap, python_cap;
	int32_t *of; /* function id to number, or VZ_NO_FILE */
	uint32_t nfunctions;
	uint32_t *slots, nslots;
};

/** 0 or -ENOMEM.  Free with vz_files_fini() in any case; must not outlive R. */
int vz_files_init(struct vz_files *files, const struct vz_reader *r);
void vz_files_fini(struct vz_files *files);

#endif /* VZ_VIEWER_FILES_H */
