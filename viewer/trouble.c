/* SPDX-License-Identifier: MIT */
#include "viewer/trouble.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int vz_trouble_set(struct vz_trouble *trouble, int rc, const char *what, ...)
{
	va_list ap;

	trouble->why[0] = '\0';
	trouble->hint[0] = '\0';
	va_start(ap, what);
	vsnprintf(trouble->what, sizeof(trouble->what), what, ap);
	va_end(ap);
	return -rc;
}

void vz_trouble_why(struct vz_trouble *trouble, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(trouble->why, sizeof(trouble->why), fmt, ap);
	va_end(ap);
}

void vz_trouble_try(struct vz_trouble *trouble, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(trouble->hint, sizeof(trouble->hint), fmt, ap);
	va_end(ap);
}

void vz_trouble_text(const struct vz_trouble *trouble, char *buf)
{
	snprintf(buf, VZ_TROUBLE_BYTES, "vizview: %s%s%s%s%s", trouble->what,
		 trouble->why[0] ? "\n  why: " : "", trouble->why,
		 trouble->hint[0] ? "\n  try: " : "", trouble->hint);
}

void vz_trouble_print(const struct vz_trouble *trouble)
{
	char text[VZ_TROUBLE_BYTES + 1];
	size_t n;

	vz_trouble_text(trouble, text);
	n = strlen(text);
	text[n] = '\n';
	/* Nobody is left to tell if this does not work. */
	if (write(STDERR_FILENO, text, n + 1) < 0)
		return;
}
