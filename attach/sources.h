/* SPDX-License-Identifier: MIT */
/*
 * sources.h - the source text of what was recorded, for the trace (--with-source).
 *
 * Remembers the files of Python functions as they are defined and reads them at the
 * end, as the target sees them: below its root, by its own permissions.  Nothing is
 * done in the target, and what it says are names of files is believed only so far:
 * regular files, readable for its user, of a size that source text has.
 */
#ifndef VZ_ATTACH_SOURCES_H
#define VZ_ATTACH_SOURCES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct vz_sources;
struct vz_tracefile;

enum {
	VZ_SOURCES_FILES = 4096,
	VZ_SOURCES_FILE_BYTES = 1 << 20,
	VZ_SOURCES_BYTES = 32 << 20, /* of all files together */
};

struct vz_sources_done {
	uint32_t files, left_out; /* written; absent, unreadable, too large */
	uint64_t bytes;
};

/** NULL: no memory.  Free with vz_sources_free(). */
struct vz_sources *vz_sources_new(void);
void vz_sources_free(struct vz_sources *s);

/** Note the name of a file; one that is known, or no room is left for, is ignored. */
void vz_sources_add(struct vz_sources *s, const char *file, size_t len);

/**
 * Read the files of the process whose folder in /proc is open at PROC_FD, as its user
 * UID, GID may, and write them to TF.
 */
void vz_sources_write(const struct vz_sources *s, int proc_fd, uid_t uid, gid_t gid,
		      struct vz_tracefile *tf, struct vz_sources_done *done);

#endif /* VZ_ATTACH_SOURCES_H */
