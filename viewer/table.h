/* SPDX-License-Identifier: MIT */
/*
 * table.h - cells of the tables that the terminal shows: aligned, cut to fit, coloured.
 *
 * Whatever comes from a trace goes through here or vz_out_plain() before a terminal sees it.
 */
#ifndef VZ_VIEWER_TABLE_H
#define VZ_VIEWER_TABLE_H

#include <stdbool.h>

#include "viewer/out.h"
#include "viewer/reader.h"

enum vz_colour {
	VZ_BOLD,
	VZ_DIM,
	VZ_RED,
	VZ_GREEN,
};

/** TEXT to the right edge of WIDTH columns. */
void vz_put_right(struct vz_out *out, const char *text, unsigned width);
/** The end of TEXT in at most COLUMNS columns; 0: all of it. */
void vz_put_end(struct vz_out *out, const char *text, unsigned columns);
/** The begin of TEXT in at most COLUMNS columns; 0: all of it. */
void vz_put_begin(struct vz_out *out, const char *text, unsigned columns);
/**
 * "qualname (file:line)" in at most COLUMNS columns: of what does not fit, folders go
 * first, then the place, then the end of the name.
 */
void vz_put_function(struct vz_out *out, const struct vz_function *f, unsigned columns);

/** Begin a colour, if there are colours; end it with vz_put_plain(). */
void vz_put_colour(struct vz_out *out, bool colours, enum vz_colour colour);
void vz_put_plain(struct vz_out *out, bool colours);

/** "name":"..","file" or "module":"..","line":N - what JSON says of a function. */
void vz_put_json_function(struct vz_out *out, const struct vz_function *f);

#endif /* VZ_VIEWER_TABLE_H */
