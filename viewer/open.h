/* SPDX-License-Identifier: MIT */
/*
 * open.h - opens what a user names: a trace, or a file of another tool, which is imported first.
 */
#ifndef VZ_VIEWER_OPEN_H
#define VZ_VIEWER_OPEN_H

#include "viewer/import/import.h"
#include "viewer/reader.h"

enum { VZ_OPEN_PATH_BYTES = 4096 };

/**
 * Open PATH.  TRACE, of VZ_OPEN_PATH_BYTES, gets the path of the trace: PATH, or where its import
 * is kept.  An import that takes long is shown on standard error, if that is a terminal.
 */
int vz_open(const char *path, char *trace, struct vz_reader **ret, struct vz_trouble *trouble);

/** Import PATH to OUT, or where OUT is NULL beside it; says on standard error what came of it. */
int vz_open_import(const char *path, const char *out, bool force, struct vz_trouble *trouble);

#endif /* VZ_VIEWER_OPEN_H */
