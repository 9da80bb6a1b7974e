/* SPDX-License-Identifier: MIT */
/*
 * util.h - scope-bound clean-up, the reading of small files whole, and the
 * numbered steps at which test builds kill the tool.
 */
#ifndef VZ_ATTACH_UTIL_H
#define VZ_ATTACH_UTIL_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/** CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t vz_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline void vz_cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void vz_cleanup_free(void *slot)
{
	free(*(void **)slot);
}

static inline void vz_cleanup_closedir(DIR *const *dir)
{
	if (*dir)
		closedir(*dir);
}

#define _cleanup_close_    __attribute__((cleanup(vz_cleanup_close)))
#define _cleanup_free_     __attribute__((cleanup(vz_cleanup_free)))
#define _cleanup_closedir_ __attribute__((cleanup(vz_cleanup_closedir)))

/**
 * Read PATH, at most MAX bytes, into a new buffer that ends with a NUL which LEN
 * does not count; free() it.  -EFBIG if there is more.  For files of /proc too.
 */
int vz_slurp(const char *path, size_t max, char **ret, size_t *len);

/** The same below /proc/PID, or below /proc/PID/task/TID if TID is not 0. */
int vz_slurp_proc(pid_t pid, pid_t tid, const char *name, size_t max, char **ret, size_t *len);

/**
 * Make TEXT, which comes from a target, fit for a terminal and a message of one line: what is
 * neither printable nor UTF-8 becomes '?'.
 */
void vz_plain(char *text);
/** Does TEXT begin with PREFIX? */
int vz_starts_with(const char *text, const char *prefix);
/**
 * Every operation that touches the target (ptrace, its memory, the arena's control
 * words) says its name here first.  NULL, so nothing, outside of tests, which count
 * the operations and end the tool at the K-th.
 */
extern void (*vz_step_hook)(const char *operation);

static inline void vz_step(const char *operation)
{
	if (vz_step_hook)
		vz_step_hook(operation);
}

/**
 * The name of a user in /etc/passwd; false: not there.  No name service is asked: it may
 * hang, and is made of libraries that a static program in a foreign root must not load.
 */
bool vz_user_name(uid_t uid, char *buf, size_t size);

/** The part of PATH behind the last slash. */
const char *vz_basename(const char *path);

#endif /* VZ_ATTACH_UTIL_H */
