/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "viewer/index/index_priv.h"

enum {
	CHECKED_TAIL = 1 << 16, /* bytes at the end of a trace: its footer, its last blocks */
};

/* FNV-1a */
#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

static uint64_t hash(uint64_t h, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (n--)
		h = (h ^ *p++) * UINT64_C(0x100000001b3);
	return h;
}

/* ---- places ---- */

/* The folder for caches, made if it is not there. */
static int cache_folder(char ret[VZ_INDEX_PATH])
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n = -1;

	if (cache && *cache == '/')
		n = snprintf(ret, VZ_INDEX_PATH, "%s", cache);
	else if (home && *home == '/')
		n = snprintf(ret, VZ_INDEX_PATH, "%s/.cache", home);
	if (n < 0 || n >= VZ_INDEX_PATH - 32)
		return -ENOENT;
	(void)mkdir(ret, 0700);
	memcpy(ret + n, "/vizview", sizeof("/vizview"));
	if (mkdir(ret, 0700) < 0 && errno != EEXIST)
		return -ENOENT;
	return 0;
}

int vz_index_place(const char *path, int place, char ret[VZ_INDEX_PATH])
{
	char *whole;
	size_t len;
	int n;

	if (place == 0) {
		len = strlen(path);
		if (len > 4 && !strcmp(path + len - 4, ".viz"))
			len -= 4;
		n = snprintf(ret, VZ_INDEX_PATH, "%.*s.vizi", (int)len, path);
		return n < VZ_INDEX_PATH ? 0 : -ENOENT;
	}
	if (cache_folder(ret) < 0)
		return -ENOENT;
	whole = realpath(path, NULL);
	if (!whole)
		return -ENOENT;
	len = strlen(ret);
	snprintf(ret + len, VZ_INDEX_PATH - len, "/%016" PRIx64 ".vizi",
		 hash(HASH_BEGIN, whole, strlen(whole)));
	free(whole);
	return 0;
}

/* ---- the trace ---- */

static int hash_part(int fd, off_t at, size_t n, uint64_t *h)
{
	uint8_t *p = malloc(n + 1);
	ssize_t got = -1;

	if (!p)
		return -ENOMEM;
	got = pread(fd, p, n, at);
	if (got > 0)
		*h = hash(*h, p, (size_t)got);
	free(p);
	return got < 0 ? -errno : 0;
}

int vz_index_belong(const char *path, struct vzi_header *header, uid_t *owner, mode_t *mode)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
	uint64_t h = HASH_BEGIN;
	struct stat st;
	off_t tail;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		rc = -errno;
	tail = rc == 0 && st.st_size > CHECKED_TAIL ? st.st_size - CHECKED_TAIL : 0;
	if (rc == 0)
		rc = hash_part(fd, 0, sizeof(struct vz_file_header), &h);
	if (rc == 0)
		rc = hash_part(fd, tail, CHECKED_TAIL, &h);
	close(fd);
	if (rc < 0)
		return rc;
	header->trace_bytes = (uint64_t)st.st_size;
	header->trace_mtime_ns =
		(uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
	header->trace_check = h;
	*owner = st.st_uid;
	*mode = st.st_mode & 0666;
	return 0;
}

/* ---- a file that nobody sees ---- */

static int open_nameless(struct vz_index_file *f, mode_t mode)
{
	char folder[VZ_INDEX_PATH];
	char *slash;

	memcpy(folder, f->path, strlen(f->path) + 1);
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = '\0';
	f->fd = open(slash ? folder : ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
	return f->fd < 0 ? -errno : 0;
}

/* Not every file system knows nameless files; if we are killed then, one with this name is left. */
static int open_named(struct vz_index_file *f, mode_t mode)
{
	snprintf(f->temporary, sizeof(f->temporary), "%s.%d", f->path, (int)getpid());
	f->fd = open(f->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	return f->fd < 0 ? -errno : 0;
}

/* Only a file is ever replaced: no device, no link to somewhere else. */
static bool may_replace(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 || S_ISREG(st.st_mode);
}

int vz_index_file_new(struct vz_index_file *f, const char *path, mode_t mode)
{
	int rc;

	*f = (struct vz_index_file){ .fd = -1 };
	if (strlen(path) >= sizeof(f->path))
		return -ENAMETOOLONG;
	memcpy(f->path, path, strlen(path) + 1);
	if (!may_replace(path))
		return -EEXIST;
	rc = open_nameless(f, mode);
	if (rc == -EOPNOTSUPP || rc == -EISDIR || rc == -EINVAL)
		rc = open_named(f, mode);
	return rc;
}

/* A name beside the right one: only rename(2) takes the place of another file. */
static int give_name(struct vz_index_file *f)
{
	char nameless[64];

	snprintf(f->temporary, sizeof(f->temporary), "%s.%d", f->path, (int)getpid());
	snprintf(nameless, sizeof(nameless), "/proc/self/fd/%d", f->fd);
	if (linkat(AT_FDCWD, nameless, AT_FDCWD, f->temporary, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	f->temporary[0] = '\0';
	return -errno;
}

int vz_index_file_publish(struct vz_index_file *f)
{
	int rc = f->temporary[0] ? 0 : give_name(f);

	if (rc < 0)
		return rc;
	if (rename(f->temporary, f->path) < 0)
		return -errno;
	f->temporary[0] = '\0';
	return 0;
}

void vz_index_file_fini(struct vz_index_file *f)
{
	if (f->temporary[0])
		unlink(f->temporary);
	if (f->fd >= 0)
		close(f->fd);
	f->temporary[0] = '\0';
	f->fd = -1;
}
