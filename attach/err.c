/* SPDX-License-Identifier: MIT */
#include "attach/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "attach/util.h"

int vz_err_set(struct vz_err *err, enum vz_exit exit, int rc, const char *what, ...)
{
	va_list ap;

	err->exit = exit;
	err->why[0] = '\0';
	err->hint[0] = '\0';
	va_start(ap, what);
	vsnprintf(err->what, sizeof(err->what), what, ap);
	va_end(ap);
	vz_plain(err->what);
	return -rc;
}

void vz_err_why(struct vz_err *err, const char *fmt, ...)
{
	va_list ap;

	if (err->why[0])
		return;
	va_start(ap, fmt);
	vsnprintf(err->why, sizeof(err->why), fmt, ap);
	va_end(ap);
	vz_plain(err->why);
}

void vz_err_try(struct vz_err *err, const char *fmt, ...)
{
	va_list ap;

	if (err->hint[0])
		return;
	va_start(ap, fmt);
	vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
	vz_plain(err->hint);
}

static size_t append(char *buf, size_t size, size_t used, const char *head, const char *text)
{
	int n;

	if (!text[0] || used >= size)
		return used;
	n = snprintf(buf + used, size - used, "%s%s\n", head, text);
	return n < 0 || (size_t)n >= size - used ? size - 1 : used + (size_t)n;
}

size_t vz_err_format(const struct vz_err *err, const char *program, char *buf, size_t size)
{
	char head[64];
	size_t used;

	buf[0] = '\0';
	snprintf(head, sizeof(head), "%s: ", program);
	used = append(buf, size, 0, head, err->what[0] ? err->what : "stopped without saying why");
	used = append(buf, size, used, "  why: ", err->why);
	return append(buf, size, used, "  try: ", err->hint);
}
