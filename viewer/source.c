/* SPDX-License-Identifier: MIT */
#include "viewer/source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

/* ---- in the trace ---- */

struct cursor {
	const uint8_t *p, *end;
};

static bool take_varint(struct cursor *c, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; shift < 64 && c->p < c->end; shift += 7) {
		uint8_t byte = *c->p++;

		*ret |= (uint64_t)(byte & 127) << shift;
		if (byte < 128)
			return true;
	}
	return false;
}

static bool take_text(struct cursor *c, const uint8_t **p, size_t *bytes)
{
	uint64_t n;

	if (!take_varint(c, &n) || n > (uint64_t)(c->end - c->p))
		return false;
	*p = c->p;
	*bytes = (size_t)n;
	c->p += n;
	return true;
}

static int copy(const uint8_t *p, size_t bytes, struct vz_source *ret)
{
	ret->text = malloc(bytes + 1);
	if (!ret->text)
		return -ENOMEM;
	memcpy(ret->text, p, bytes);
	ret->bytes = bytes;
	return 0;
}

static int find_in_block(struct cursor c, const char *name, struct vz_source *ret)
{
	const uint8_t *key, *text;
	size_t key_bytes, bytes;

	while (take_text(&c, &key, &key_bytes) && take_text(&c, &text, &bytes))
		if (key_bytes == strlen(name) && !memcmp(key, name, key_bytes))
			return copy(text, bytes, ret);
	return -ENOENT;
}

int vz_source_recorded(struct vz_reader *r, const char *name, struct vz_source *ret)
{
	int rc = -ENOENT;

	*ret = (struct vz_source){ 0 };
	for (uint32_t i = 0; i < vz_reader_nextras(r) && rc == -ENOENT; i++) {
		struct vz_block head;
		const uint8_t *raw;

		if (vz_reader_extra(r, i)->type != VZ_BLOCK_SOURCE)
			continue;
		rc = vz_reader_load_extra(r, i, &head, &raw);
		if (rc == 0)
			rc = find_in_block((struct cursor){ raw, raw + head.raw_bytes }, name, ret);
		if (rc == -EBADMSG)
			rc = -ENOENT;
	}
	ret->recorded = rc == 0;
	return rc;
}

/* ---- in the file system ---- */

static bool has_python_name(const char *path)
{
	static const char *const endings[] = { ".py", ".pyw", ".pyi", ".pyx", ".pxd", ".pxi" };
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && i < sizeof(endings) / sizeof(endings[0]); i++)
		if (!strcmp(dot, endings[i]))
			return true;
	return false;
}

/* A script: "#!/usr/bin/env python3" */
static bool has_python_line(const struct vz_source *s)
{
	const char *end = memchr(s->text, '\n', s->bytes);
	size_t n = end ? (size_t)(end - s->text) : s->bytes;

	return n > 2 && !memcmp(s->text, "#!", 2) && memmem(s->text, n, "python", 6);
}

static int read_all(int fd, struct vz_source *s)
{
	size_t used = 0;

	while (used < s->bytes) {
		ssize_t n = read(fd, s->text + used, s->bytes - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	s->bytes = used;
	return used ? 0 : -ENOENT;
}

/* Not even opened in a way that a device, a pipe or a terminal could notice. */
static int open_regular(const char *path, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return -ENOENT;
	if (fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_size > 0 &&
	    st->st_size <= VZ_SOURCE_MAX_BYTES)
		return fd;
	close(fd);
	return -ENOENT;
}

/*
 * PATH gets where NAME is; false: nowhere.  A relative name is below the directory that the
 * program worked in, never below ours.  Both are the word of the trace, and together they can
 * name no more than an absolute name could.
 */
static bool find_path(const struct vz_reader *r, const char *name, char path[PATH_MAX])
{
	const char *cwd = "", *between = "";
	int n;

	if (name[0] == '<') /* "<string>" is no file, whatever is there */
		return false;
	if (name[0] != '/') {
		cwd = vz_reader_fact(r, "cwd");
		between = "/";
		if (!cwd || cwd[0] != '/')
			return false;
	}
	n = snprintf(path, PATH_MAX, "%s%s%s", cwd, between, name);
	return n > 0 && n < PATH_MAX;
}

/* Changed after the recording ended? */
static bool is_newer(const struct vz_reader *r, const struct stat *st)
{
	uint64_t t0_ns, t1_ns, end_ns;

	vz_reader_range(r, &t0_ns, &t1_ns);
	end_ns = vz_reader_header(r)->start_unix_ns + (t1_ns - t0_ns);
	return (uint64_t)st->st_mtim.tv_sec * NS_PER_S + (uint64_t)st->st_mtim.tv_nsec > end_ns;
}

static int read_local(const struct vz_reader *r, const char *name, struct vz_source *ret)
{
	char path[PATH_MAX];
	struct stat st;
	int fd, rc;

	if (!find_path(r, name, path))
		return -ENOENT;
	fd = open_regular(path, &st);
	if (fd < 0)
		return fd;
	ret->bytes = (size_t)st.st_size;
	ret->text = malloc(ret->bytes);
	rc = ret->text ? read_all(fd, ret) : -ENOMEM;
	close(fd);
	if (rc == 0 && !has_python_name(path) && !has_python_line(ret))
		rc = -ENOENT;
	if (rc < 0) {
		free(ret->text);
		ret->text = NULL;
		return rc;
	}
	ret->newer = is_newer(r, &st);
	return 0;
}

int vz_source_read(struct vz_reader *r, const struct vz_files *files, uint32_t file,
		   struct vz_source *ret)
{
	int rc;

	*ret = (struct vz_source){ 0 };
	if (file >= files->n || !files->python[file])
		return -ENOENT;
	rc = vz_source_recorded(r, files->names[file], ret);
	return rc == -ENOENT ? read_local(r, files->names[file], ret) : rc;
}
