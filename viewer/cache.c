/* SPDX-License-Identifier: MIT */
#include "viewer/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	NAME_BYTES = 160,
	MAX_STEM = 118,      /* 100 bytes of the name of an import, and two sums */
	LEFT_ALONE_S = 3600, /* what is not finished may have been begun just now */
};

/* ---- the folder ---- */

/* Without "/" behind. */
static int folder_name(char ret[VZ_CACHE_PATH])
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;

	if (cache && cache[0] == '/')
		n = snprintf(ret, VZ_CACHE_PATH, "%s/vizview", cache);
	else if (home && home[0] == '/')
		n = snprintf(ret, VZ_CACHE_PATH, "%s/.cache/vizview", home);
	else
		return -ENOENT;
	return n < VZ_CACHE_PATH - 1 ? 0 : -ENAMETOOLONG;
}

int vz_cache_folder(char ret[VZ_CACHE_PATH])
{
	int rc = folder_name(ret);

	if (rc < 0)
		return rc;
	strcat(ret, "/");
	for (char *p = ret + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		rc = mkdir(ret, 0700) < 0 && errno != EEXIST ? -errno : 0;
		*p = '/';
		if (rc < 0)
			return rc;
	}
	return 0;
}

bool vz_cache_has(const char *path)
{
	char folder[VZ_CACHE_PATH], its[VZ_CACHE_PATH];
	const char *slash = strrchr(path, '/');
	struct stat a, b;

	if (folder_name(folder) < 0 ||
	    snprintf(its, sizeof(its), "%.*s.", slash ? (int)(slash - path) + 1 : 0, path) >=
		    (int)sizeof(its))
		return false;
	return stat(folder, &a) == 0 && stat(its, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* ---- use ---- */

int vz_cache_hold(int fd)
{
	static const struct timespec now[2] = { { .tv_nsec = UTIME_NOW },
						{ .tv_nsec = UTIME_OMIT } };
	struct stat st;

	/* A file system that has no locks: then nobody can remove it either, see discard(). */
	if (flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return -ESTALE;
	(void)futimens(fd, now);
	return fstat(fd, &st) == 0 && st.st_nlink ? 0 : -ESTALE;
}

int vz_cache_keep(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;

	if (fd < 0)
		return -errno;
	rc = vz_cache_hold(fd);
	if (rc < 0)
		close(fd);
	return rc;
}

/* ---- names ---- */

enum kind {
	NOT_OURS,
	WHOLE,
	UNFINISHED,
};

static bool hex(const char *p, size_t n)
{
	return strspn(p, "0123456789abcdef") >= n;
}

static bool good_stem(const char *name, size_t n, bool index)
{
	if (index && n == 16 && hex(name, 16))
		return true;
	return n > 18 && n <= MAX_STEM && name[n - 18] == '-' && hex(name + n - 17, 8) &&
	       name[n - 9] == '-' && hex(name + n - 8, 8);
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* What is behind .viz or .vizi while the file is made: .part-XXXXXX, .PID */
static bool unfinished(const char *p, bool index)
{
	if (index)
		return p[0] == '.' && p[1] && !p[1 + strspn(p + 1, "0123456789")];
	return !strncmp(p, ".part-", 6) && strspn(p + 6, LETTERS) == 6 && !p[12];
}

/* NAME-SUM-SUM.viz of an import, .vizi of it, and SUM.vizi of a trace that lies elsewhere. */
static enum kind kind_of(const char *name)
{
	const char *end = NULL;
	bool index;

	for (const char *p = strstr(name, ".viz"); p; p = strstr(p + 1, ".viz"))
		end = p;
	if (!end)
		return NOT_OURS;
	index = end[4] == 'i';
	if (!good_stem(name, (size_t)(end - name), index))
		return NOT_OURS;
	end += 4 + index;
	if (!*end)
		return WHOLE;
	return unfinished(end, index) ? UNFINISHED : NOT_OURS;
}

/* ---- what has to go ---- */

struct file {
	char name[NAME_BYTES];
	enum kind kind;
	ino_t number;
	uint64_t bytes;
	struct timespec used;
};

struct list {
	struct file *files;
	size_t n, cap;
	uint64_t bytes;
};

static int earlier(const struct timespec *a, const struct timespec *b)
{
	if (a->tv_sec != b->tv_sec)
		return a->tv_sec < b->tv_sec ? -1 : 1;
	return (a->tv_nsec > b->tv_nsec) - (a->tv_nsec < b->tv_nsec);
}

static int by_use(const void *pa, const void *pb)
{
	const struct file *a = pa, *b = pb;

	return earlier(&a->used, &b->used);
}

static bool look(int dir, const char *name, struct file *ret)
{
	struct stat st;

	ret->kind = kind_of(name);
	if (ret->kind == NOT_OURS || strlen(name) >= sizeof(ret->name) ||
	    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_uid != geteuid() || st.st_nlink != 1)
		return false;
	strcpy(ret->name, name);
	ret->number = st.st_ino;
	ret->bytes = (uint64_t)st.st_size;
	ret->used = earlier(&st.st_atim, &st.st_mtim) < 0 ? st.st_mtim : st.st_atim;
	return true;
}

static void collect(int dir, struct list *list)
{
	int fd = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	struct file file;

	if (!d && fd >= 0)
		close(fd);
	while (d && (entry = readdir(d))) {
		if (!look(dir, entry->d_name, &file))
			continue;
		if (list->n == list->cap) {
			size_t cap = list->cap ? list->cap * 2 : 64;
			struct file *bigger = reallocarray(list->files, cap, sizeof(*bigger));

			if (!bigger)
				break;
			list->files = bigger;
			list->cap = cap;
		}
		list->files[list->n++] = file;
		list->bytes += file.bytes;
	}
	if (d)
		closedir(d);
}

/* Unless it is in use, or not any more what was seen. */
static bool discard(int dir, const struct file *seen)
{
	const int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = openat(dir, seen->name, O_RDWR | flags); /* NFS locks only what can be written */
	struct file now;
	bool done;

	if (fd < 0 && errno == EACCES)
		fd = openat(dir, seen->name, O_RDONLY | flags);
	if (fd < 0)
		return false;
	/* Whoever opens it now is told by vz_cache_hold() that it goes. */
	done = flock(fd, LOCK_EX | LOCK_NB) == 0 && look(dir, seen->name, &now) &&
	       now.number == seen->number && earlier(&now.used, &seen->used) == 0 &&
	       unlinkat(dir, seen->name, 0) == 0;
	close(fd);
	return done;
}

void vz_cache_prune(uint64_t limit)
{
	time_t old = time(NULL) - LEFT_ALONE_S;
	char folder[VZ_CACHE_PATH];
	struct list list = { 0 };
	int dir = -1;

	if (folder_name(folder) == 0)
		dir = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return;
	collect(dir, &list);
	if (list.n)
		qsort(list.files, list.n, sizeof(*list.files), by_use);
	for (size_t i = 0; i < list.n; i++) {
		const struct file *file = &list.files[i];
		bool go = file->kind == WHOLE ? list.bytes > limit : file->used.tv_sec < old;

		if (go && discard(dir, file))
			list.bytes -= file->bytes;
	}
	free(list.files);
	close(dir);
}

/* ---- files without a name ---- */

static int nameless_in(const char *folder)
{
	char path[VZ_CACHE_PATH];
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return -errno;
	/* A file system without such files. */
	if (snprintf(path, sizeof(path), "%s/.vizview-XXXXXX", folder) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

int vz_cache_nameless(void)
{
	const char *folder = getenv("TMPDIR");
	int fd = folder && *folder ? nameless_in(folder) : -ENOENT;

	return fd < 0 ? nameless_in("/tmp") : fd;
}
