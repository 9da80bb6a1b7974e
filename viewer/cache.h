/* SPDX-License-Identifier: MIT */
/*
 * cache.h - the user's folder for what can be made again: imports, and indexes.
 *
 * Owns $XDG_CACHE_HOME/vizview (~/.cache/vizview without it): where it is, which names in it
 * are ours, who uses what, and what has to go.  A file is in use while somebody has a shared
 * flock(2) on it, which ends with its process, however that ends.  The last use is the time
 * of access, set by hand: the time of change of an import tells which index belongs to it.
 */
#ifndef VZ_VIEWER_CACHE_H
#define VZ_VIEWER_CACHE_H

#include <stdbool.h>
#include <stdint.h>

enum { VZ_CACHE_PATH = 4096 };

/* Bytes of all files in it. */
#define VZ_CACHE_LIMIT (UINT64_C(2) << 30)

/** The folder, "/" behind, made for this user alone if it is not there.  0 or a negative errno. */
int vz_cache_folder(char ret[VZ_CACHE_PATH]);

/** Is the folder of PATH that one? */
bool vz_cache_has(const char *path);

/**
 * FD, a file in it, is used now, and stays until FD is closed.  0, or -ESTALE: it is removed by
 * somebody, or has no name (then it is in use nevertheless).
 */
int vz_cache_hold(int fd);
/** The same for the file at PATH, until this process ends.  0 or a negative errno. */
int vz_cache_keep(const char *path);

/**
 * Remove what has not been used for longest until LIMIT bytes are left, and what an import or a
 * build left behind when it was killed.  Only files that have a name of ours, belong to this
 * user, and are not in use; no link is followed, not even to the folder.
 */
void vz_cache_prune(uint64_t limit);

/** A file without a name in $TMPDIR, or else /tmp; or a negative errno. */
int vz_cache_nameless(void);

#endif /* VZ_VIEWER_CACHE_H */
