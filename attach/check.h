/* SPDX-License-Identifier: MIT */
/*
 * check.h - one check and what it found.  Recording stops at the first refusal,
 * doctor and ps show them all: both walk the same tables of checks.
 */
#ifndef VZ_ATTACH_CHECK_H
#define VZ_ATTACH_CHECK_H

#include <stdbool.h>

#include "attach/err.h"

enum vz_found {
	VZ_FOUND_OK,
	VZ_FOUND_NOTE,    /* harmless, but worth knowing */
	VZ_FOUND_WARN,    /* it may work; the user should know before */
	VZ_FOUND_UNKNOWN, /* the check could not be made: never the same as OK */
	VZ_FOUND_REFUSE,
};

struct vz_finding {
	const char *name; /* of the check; static */
	enum vz_found verdict;
	char text[320];    /* one line; empty for a refusal */
	struct vz_err err; /* of a refusal */
	int rc;            /* of a refusal: negative errno */
};

enum { VZ_FINDINGS_MAX = 40 };

struct vz_findings {
	bool go_on; /* run the checks behind a refusal too */
	unsigned count;
	struct vz_finding items[VZ_FINDINGS_MAX];
};

/** A new, empty finding; NULL if there is no more room. */
struct vz_finding *vz_findings_add(struct vz_findings *all, const char *name);
/** The first refusal, or NULL. */
const struct vz_finding *vz_findings_refusal(const struct vz_findings *all);
/** Anything but a refusal. */
void vz_finding_say(struct vz_finding *f, enum vz_found verdict, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** A refusal as ERR says, with the errno RC > 0. */
void vz_finding_refuse(struct vz_finding *f, int rc, const struct vz_err *err);
/** "ok", "note", "warn", "unknown", "refuse": the words of --json. */
const char *vz_found_name(enum vz_found verdict);

#endif /* VZ_ATTACH_CHECK_H */
