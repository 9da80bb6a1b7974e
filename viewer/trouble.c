/* SPDX-License-Identifier: MIT */
#include "viewer/trouble.h"

#include <stdarg.h>
#include <stdio.h>
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

void vz_trouble_print(const struct vz_trouble *trouble)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "vizview: %s\n%s%s%s%s%s%s", trouble->what,
			 trouble->why[0] ? "  why: " : "", trouble->why,
			 trouble->why[0] ? "\n" : "", trouble->hint[0] ? "  try: " : "",
			 trouble->hint, trouble->hint[0] ? "\n" : "");

	/* Nobody is left to tell if this does not work. */
	if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
		return;
}
