/* SPDX-License-Identifier: MIT */
#include "attach/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach/tracefile.h"
#include "attach/util.h"

enum { SLOTS = 2 * VZ_SOURCES_FILES, NAME_BYTES = 4096, VARINT_MAX = 10 };

struct vz_sources {
	char *files[SLOTS]; /* a hash table; NULL: free */
	uint32_t n;
};

struct vz_sources *vz_sources_new(void)
{
	return calloc(1, sizeof(struct vz_sources));
}

void vz_sources_free(struct vz_sources *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < SLOTS; i++)
		free(s->files[i]);
	free(s);
}

void vz_sources_add(struct vz_sources *s, const char *file, size_t len)
{
	uint32_t at = 0;

	if (!len || len >= NAME_BYTES || file[0] == '<' || s->n == VZ_SOURCES_FILES)
		return;
	for (size_t i = 0; i < len; i++)
		at = (at ^ (unsigned char)file[i]) * UINT32_C(16777619);
	for (;; at++) {
		char **slot = &s->files[at % SLOTS];

		if (!*slot) {
			*slot = strndup(file, len);
			s->n += *slot != NULL;
			return;
		}
		if (strlen(*slot) == len && !memcmp(*slot, file, len))
			return;
	}
}

/* Symbolic links of the target lead nowhere but below its own root. */
static int open_below(int dir, const char *path)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

/* We may be root, and the name is the target's word: what its user cannot read it does not get. */
static bool may_read(const struct stat *st, uid_t uid, gid_t gid)
{
	if (st->st_uid == uid)
		return st->st_mode & S_IRUSR;
	if (st->st_gid == gid)
		return st->st_mode & S_IRGRP;
	return uid == 0 || st->st_mode & S_IROTH;
}

/* TEXT gets the bytes, if they can be source text; 0: they cannot. */
static size_t read_file(int fd, uid_t uid, gid_t gid, uint8_t *text)
{
	struct stat st;
	size_t n = 0;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !may_read(&st, uid, gid) ||
	    st.st_size > VZ_SOURCES_FILE_BYTES)
		return 0;
	while (n < VZ_SOURCES_FILE_BYTES) {
		ssize_t got = read(fd, text + n, VZ_SOURCES_FILE_BYTES - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return memchr(text, '\0', n) ? 0 : n;
}

static uint8_t *put_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static int open_file(int root, int cwd, const char *name)
{
	return open_below(name[0] == '/' ? root : cwd, name);
}

static bool write_file(int fd, const char *name, uid_t uid, gid_t gid, uint8_t *room,
		       struct vz_tracefile *tf, struct vz_sources_done *done)
{
	size_t len = strlen(name), n;
	uint8_t *text = room + len + (size_t)2 * VARINT_MAX, *p;

	n = read_file(fd, uid, gid, text);
	if (!n || done->bytes + n > VZ_SOURCES_BYTES)
		return false;
	p = put_varint(room, len);
	memcpy(p, name, len);
	p = put_varint(p + len, n);
	memmove(p, text, n);
	vz_tracefile_source(tf, room, (size_t)(p - room) + n);
	done->files++;
	done->bytes += n;
	return true;
}

void vz_sources_write(const struct vz_sources *s, int proc_fd, uid_t uid, gid_t gid,
		      struct vz_tracefile *tf, struct vz_sources_done *done)
{
	_cleanup_close_ int root = openat(proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int cwd = openat(proc_fd, "cwd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	uint8_t *room = malloc(VZ_SOURCES_FILE_BYTES + NAME_BYTES + (size_t)2 * VARINT_MAX);

	*done = (struct vz_sources_done){ 0 };
	for (uint32_t i = 0; room && i < SLOTS; i++) {
		_cleanup_close_ int fd = -1;

		if (!s->files[i])
			continue;
		fd = open_file(root, cwd, s->files[i]);
		if (fd < 0 || !write_file(fd, s->files[i], uid, gid, room, tf, done))
			done->left_out++;
	}
	free(room);
}
