/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "viewer/cache.h"
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

int vz_index_place(const char *path, int place, char ret[VZ_INDEX_PATH])
{
	char *whole;
	size_t len;
	int n, rc;

	if (place == 0) {
		len = strlen(path);
		if (len > 4 && !strcmp(path + len - 4, ".viz"))
			len -= 4;
		n = snprintf(ret, VZ_INDEX_PATH, "%.*s.vizi", (int)len, path);
		return n < VZ_INDEX_PATH ? 0 : -ENAMETOOLONG;
	}
	rc = vz_cache_folder(ret);
	if (rc < 0)
		return rc;
	whole = realpath(path, NULL);
	if (!whole)
		return -errno;
	len = strlen(ret);
	n = snprintf(ret + len, VZ_INDEX_PATH - len, "%016" PRIx64 ".vizi",
		     hash(HASH_BEGIN, whole, strlen(whole)));
	free(whole);
	return n < (int)(VZ_INDEX_PATH - len) ? 0 : -ENAMETOOLONG;
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
	/* Nobody shall take it for one that was left behind. */
	if (rc == 0 && vz_cache_has(path))
		(void)vz_cache_hold(f->fd);
	return rc;
}

/* ---- writing ---- */

static int write_all(int fd, const uint8_t *p, size_t n, uint64_t at)
{
	while (n) {
		ssize_t done = pwrite(fd, p, n, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		p += done;
		at += (uint64_t)done;
		n -= (size_t)done;
	}
	return 0;
}

int vz_index_file_write(struct vz_index_file *f, const void *bytes, size_t n, uint64_t at)
{
	int rc = f->limit && at + n > f->limit ? -ENOSPC : write_all(f->fd, bytes, n, at);

	if (rc < 0)
		f->error = rc;
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

/*
 * Sums guard the header and the directory but not the tiles, so after a failure of power a name
 * could stand for tiles of zeros that are believed.  And some file systems tell only here
 * that they are full.  Ten million calls took 460 ms without and 10 to 25 ms more with it.
 */
static int publish(struct vz_index_file *f)
{
	int rc;

	if (fdatasync(f->fd) < 0)
		return -errno;
	rc = f->temporary[0] ? 0 : give_name(f);
	if (rc == 0 && rename(f->temporary, f->path) < 0)
		rc = -errno;
	return rc;
}

int vz_index_file_publish(struct vz_index_file *f)
{
	int rc = f->lent ? 0 : publish(f);

	if (rc < 0)
		f->error = rc;
	else
		f->temporary[0] = '\0';
	return rc;
}

void vz_index_file_fini(struct vz_index_file *f)
{
	if (f->temporary[0])
		unlink(f->temporary);
	if (f->fd >= 0 && f->lent && f->error)
		(void)ftruncate(f->fd, 0); /* it may be the one thing that fills the disk */
	if (f->fd >= 0 && !f->lent)
		close(f->fd);
	f->temporary[0] = '\0';
	f->fd = -1;
}
