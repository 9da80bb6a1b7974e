/* SPDX-License-Identifier: MIT */
#include "attach/json.h"

#include <stdarg.h>
#include <stdio.h>

void vz_text_add(struct vz_text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->used + 1 >= t->size)
		return;
	va_start(ap, fmt);
	n = vsnprintf(t->at + t->used, t->size - t->used, fmt, ap);
	va_end(ap);
	t->used += n < 0 ? 0 : (size_t)n < t->size - t->used ? (size_t)n : t->size - t->used - 1;
}

/* Bytes of the UTF-8 sequence that begins here, 0 if there is none. */
static int utf8_len(const unsigned char *c)
{
	int len = c[0] < 0x80                   ? 1
		  : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
		  : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
		  : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
						: 0;

	for (int i = 1; i < len; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
	    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return len;
}

/* Names of processes and files are bytes; what is no UTF-8 becomes U+FFFD. */
void vz_json_string(struct vz_text *t, const char *key, const char *value)
{
	const unsigned char *c = (const unsigned char *)value;

	vz_text_add(t, "\"%s\":\"", key);
	while (*c) {
		int len = utf8_len(c);

		if (*c == '"' || *c == '\\')
			vz_text_add(t, "\\%c", *c);
		else if (*c < ' ' || *c == 0x7f)
			vz_text_add(t, "\\u%04x", *c);
		else if (len == 2 && c[0] == 0xc2 && c[1] < 0xa0) /* control characters too */
			vz_text_add(t, "\\u%04x", c[1]);
		else if (len == 0)
			vz_text_add(t, "\\ufffd");
		else
			vz_text_add(t, "%.*s", len, (const char *)c);
		c += len ? len : 1;
	}
	vz_text_add(t, "\"");
}

void vz_json_number(struct vz_text *t, const char *key, uint64_t value)
{
	vz_text_add(t, ",\"%s\":%llu", key, (unsigned long long)value);
}
