/* SPDX-License-Identifier: MIT */
/*
 * ps.h - the processes here that run Python, and whether they can be recorded.  Cheap
 * looks sort out the many that do not; only the rest is examined.  Nothing is stopped.
 */
#ifndef VZ_ATTACH_PS_H
#define VZ_ATTACH_PS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "attach/err.h"

struct vz_process {
	pid_t pid;
	uid_t uid;
	char user[64];
	char python[80];   /* version, "" if unknown */
	char where[16];    /* "here", "container", "?" */
	char command[256]; /* its command line, shortened; any bytes */
	enum vz_exit exit; /* VZ_EXIT_OK: it can be recorded */
	char why[512], hint[512];
};

struct vz_processes {
	struct vz_process *items; /* by pid */
	size_t count;
};

/** Look through /proc; without ourselves.  Free with vz_ps_free().  -errno. */
int vz_ps_read(struct vz_processes *ret, struct vz_err *err);
void vz_ps_free(struct vz_processes *processes);
/** Does the file behind FD, a 64-bit ELF file, name the API of CPython as its own? */
bool vz_ps_exports_python(int fd);

/**
 * A table, WIDTH columns wide (0: as wide as need be), and under each process that cannot be
 * recorded why.  New text, free() it; NULL: out of memory.
 */
char *vz_ps_text(const struct vz_processes *processes, unsigned width, bool colour, size_t *len);
/**
 * One object on one line, schema 1: "processes", a list of pid, uid, user, python ("" if
 * unknown), where, command, attachable, exit, and, if that is not 0, why and try.
 */
char *vz_ps_json(const struct vz_processes *processes, size_t *len);

#endif /* VZ_ATTACH_PS_H */
