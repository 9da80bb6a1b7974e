/* SPDX-License-Identifier: MIT */
/*
 * json.h - text in a buffer of fixed size, and JSON in it.  What does not fit is cut,
 * never written behind the end.
 */
#ifndef VZ_ATTACH_JSON_H
#define VZ_ATTACH_JSON_H

#include <stddef.h>
#include <stdint.h>

struct vz_text {
	char *at; /* NUL-terminated once something was added */
	size_t used, size;
};

/** Append; printf's rules. */
void vz_text_add(struct vz_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Append "KEY":"VALUE"; what is no UTF-8 in VALUE becomes U+FFFD. */
void vz_json_string(struct vz_text *t, const char *key, const char *value);
/** Append ,"KEY":VALUE */
void vz_json_number(struct vz_text *t, const char *key, uint64_t value);

#endif /* VZ_ATTACH_JSON_H */
