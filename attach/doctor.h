/* SPDX-License-Identifier: MIT */
/*
 * doctor.h - every check of preflight, to be read: by people as a list, by programs as
 * JSON.  Nothing is stopped or changed.
 */
#ifndef VZ_ATTACH_DOCTOR_H
#define VZ_ATTACH_DOCTOR_H

#include <stddef.h>

#include "attach/opts.h"
#include "attach/preflight.h"

/* What a look at one process, or at this machine, brought to light. */
struct vz_examination {
	pid_t pid; /* 0: the machine */
	char comm[32];
	char python[80]; /* version, "" if unknown */
	bool ns_known;   /* false: .container is not */
	bool container;  /* in another mount or pid namespace than we are */
	struct vz_findings findings;
};

/** All checks of one process.  WISH as for preflight.  The result is in RET->findings. */
void vz_examine_process(pid_t pid, const struct vz_wish *wish, struct vz_examination *ret);
/** What this machine allows this user. */
void vz_examine_machine(struct vz_findings *ret);

/** Exit status: 0, or that of the first refusal. */
enum vz_exit vz_examination_exit(const struct vz_examination *e);
/** A list for people; COLOUR: with escape sequences.  Returns its length, at most SIZE - 1. */
size_t vz_examination_text(const struct vz_examination *e, bool colour, char *buf, size_t size);
/**
 * One object on one line, schema 1: pid (or null), comm, python, attachable, exit, checks:
 * a list of name, verdict (ok, note, warn, unknown, refuse), text, and for a refusal exit
 * and try.
 */
size_t vz_examination_json(const struct vz_examination *e, char *buf, size_t size);

#endif /* VZ_ATTACH_DOCTOR_H */
