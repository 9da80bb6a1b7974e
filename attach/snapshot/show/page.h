/* SPDX-License-Identifier: MIT */
/*
 * page.h - lines for a terminal: how wide, in which colour.  What is printed here is harmless
 * already (vz_grow_safe).
 */
#ifndef VZ_ATTACH_SNAPSHOT_PAGE_H
#define VZ_ATTACH_SNAPSHOT_PAGE_H

#include "attach/snapshot/show/grow.h"

enum vz_style {
	VZ_STYLE_PLAIN,
	VZ_STYLE_BOLD,
	VZ_STYLE_DIM,
	VZ_STYLE_BAD,
	VZ_STYLE_GOOD,
	VZ_STYLE_DOUBT,
	VZ_STYLE_NAME,
};

struct vz_page {
	struct vz_grow out;
	struct vz_grow line; /* what is being put together */
	size_t width;        /* columns; 0: as wide as need be */
	bool colour;
};

/** Columns that are left behind INDENT, at least 20; SIZE_MAX: any number. */
size_t vz_page_room(const struct vz_page *page, size_t indent);
/**
 * Print TEXT broken at spaces, FIRST columns from the left, further lines REST from there.
 * The first HEAD columns have the style, or all with SIZE_MAX.
 */
void vz_page_wrap(struct vz_page *page, size_t first, size_t rest, const char *text,
		  enum vz_style style, size_t head);
/** Print what is in PAGE->line in that way, and clear it. */
void vz_page_wrap_line(struct vz_page *page, size_t first, size_t rest, enum vz_style style,
		       size_t head);
/** Print TEXT on one line; it is short enough. */
void vz_page_line(struct vz_page *page, size_t indent, const char *text, enum vz_style style);
void vz_page_empty(struct vz_page *page);
/** The page's text, to be freed; NULL: out of memory.  PAGE is freed. */
char *vz_page_take(struct vz_page *page, size_t *len);

#endif /* VZ_ATTACH_SNAPSHOT_PAGE_H */
