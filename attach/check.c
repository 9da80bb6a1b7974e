/* SPDX-License-Identifier: MIT */
#include "attach/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "attach/util.h"

struct vz_finding *vz_findings_add(struct vz_findings *all, const char *name)
{
	struct vz_finding *f;

	if (all->count >= VZ_FINDINGS_MAX)
		return NULL;
	f = &all->items[all->count++];
	memset(f, 0, sizeof(*f));
	f->name = name;
	f->verdict = VZ_FOUND_UNKNOWN;
	return f;
}

const struct vz_finding *vz_findings_refusal(const struct vz_findings *all)
{
	for (unsigned i = 0; i < all->count; i++) {
		if (all->items[i].verdict == VZ_FOUND_REFUSE)
			return &all->items[i];
	}
	return NULL;
}

void vz_finding_say(struct vz_finding *f, enum vz_found verdict, const char *fmt, ...)
{
	va_list ap;

	f->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	vz_plain(f->text);
}

void vz_finding_refuse(struct vz_finding *f, int rc, const struct vz_err *err)
{
	f->verdict = VZ_FOUND_REFUSE;
	f->text[0] = '\0';
	f->rc = -rc;
	f->err = *err;
}

const char *vz_found_name(enum vz_found verdict)
{
	static const char *const names[] = { "ok", "note", "warn", "unknown", "refuse" };

	return names[verdict];
}
