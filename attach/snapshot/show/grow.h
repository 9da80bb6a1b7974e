/* SPDX-License-Identifier: MIT */
/*
 * grow.h - text that grows with what is added to it.  When memory runs out it stays as it
 * is and says so at the end; nothing in between needs to be checked.
 */
#ifndef VZ_ATTACH_SNAPSHOT_GROW_H
#define VZ_ATTACH_SNAPSHOT_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vz_grow {
	char *at; /* NUL-terminated; NULL until something was added */
	size_t used, size;
	bool failed;
};

/** Append; printf's rules.  For our own words: nothing is made harmless. */
void vz_grow_add(struct vz_grow *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vz_grow_bytes(struct vz_grow *g, const char *bytes, size_t len);
void vz_grow_fill(struct vz_grow *g, char c, size_t count);
/**
 * Append TEXT, which is the target's, so that it is one line and cannot steer a terminal:
 * control characters become \n, \x1b, what is no UTF-8 or turns the direction of writing '?'.
 * At most COLUMNS (0: all) are taken; what is left out shows as "..." at the end.
 */
void vz_grow_safe(struct vz_grow *g, const char *text, size_t columns);
/** The same, with "..." in the middle, at least 3 columns. */
void vz_grow_middle(struct vz_grow *g, const char *text, size_t columns);
/** Append a JSON string with its quotes; what is no UTF-8 becomes U+FFFD. */
void vz_grow_json(struct vz_grow *g, const char *text);
/** Forget the text, keep the memory. */
void vz_grow_clear(struct vz_grow *g);
void vz_grow_free(struct vz_grow *g);
/** The text, "" if there is none; the memory stays G's. */
const char *vz_grow_text(const struct vz_grow *g);
/** Hand the text over: free() it; NULL: memory ran out on the way. */
char *vz_grow_take(struct vz_grow *g, size_t *len);

/** Bytes of the character at C and its number; 0: it is no UTF-8 (or the end). */
size_t vz_utf8_char(const char *c, uint32_t *ret);
/** Columns that a character of that number takes on a terminal: 0, 1 or 2. */
unsigned vz_utf8_columns(uint32_t number);
/** Columns of a text that is harmless already. */
size_t vz_text_columns(const char *text);

#endif /* VZ_ATTACH_SNAPSHOT_GROW_H */
