/* SPDX-License-Identifier: MIT */
/* Bytes that wait on disk: appended, then read in an order of their own, mostly near each other. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/import/import_priv.h"

enum {
	BUFFER_BYTES = 1 << 18,
	WINDOW_SHIFT = 16,
	WINDOW_BYTES = 1 << WINDOW_SHIFT,
	WINDOWS = 32,
};

struct window {
	uint64_t number; /* + 1; 0: empty */
	uint8_t *p;
};

struct vz_spill {
	int fd, error;
	uint8_t *buffer;
	size_t used;
	uint64_t written; /* bytes in the file */
	struct window windows[WINDOWS];
	char *text;
	size_t text_cap;
};

int vz_spill_file(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) + 1 : 0;
	int fd;

	if (snprintf(folder, sizeof(folder), "%.*s.", (int)n, path) >= (int)sizeof(folder) - 16)
		return -ENAMETOOLONG;
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
		return -errno;
	/* A file system without such files. */
	snprintf(folder, sizeof(folder), "%.*s.vizview-XXXXXX", (int)n, path);
	fd = mkostemp(folder, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(folder);
	return fd;
}

struct vz_spill *vz_spill_new(const char *path)
{
	struct vz_spill *s = calloc(1, sizeof(*s));
	int fd = s ? vz_spill_file(path) : -ENOMEM;

	if (fd >= 0)
		s->buffer = malloc(BUFFER_BYTES);
	if (fd >= 0 && s->buffer) {
		s->fd = fd;
		return s;
	}
	if (fd >= 0)
		close(fd);
	free(s);
	errno = fd < 0 ? -fd : ENOMEM;
	return NULL;
}

void vz_spill_free(struct vz_spill *s)
{
	if (!s)
		return;
	for (int i = 0; i < WINDOWS; i++)
		free(s->windows[i].p);
	close(s->fd);
	free(s->buffer);
	free(s->text);
	free(s);
}

static void write_out(struct vz_spill *s, const uint8_t *p, size_t n)
{
	/* The window of what was at the end is out of date. */
	s->windows[(s->written >> WINDOW_SHIFT) % WINDOWS].number = 0;
	while (n && !s->error) {
		ssize_t done = pwrite(s->fd, p, n, (off_t)s->written);

		if (done < 0 && errno != EINTR)
			s->error = -errno;
		if (done > 0) {
			p += done;
			n -= (size_t)done;
			s->written += (uint64_t)done;
		}
	}
}

static void flush(struct vz_spill *s)
{
	write_out(s, s->buffer, s->used);
	s->used = 0;
}

uint64_t vz_spill_put(struct vz_spill *s, const void *p, size_t n)
{
	uint64_t at;

	if (s->used + n > BUFFER_BYTES)
		flush(s);
	at = s->written + s->used;
	if (n > BUFFER_BYTES) {
		write_out(s, p, n);
		return at;
	}
	memcpy(s->buffer + s->used, p, n);
	s->used += n;
	return at;
}

static int load(struct vz_spill *s, struct window *w, uint64_t number)
{
	ssize_t n;

	if (!w->p)
		w->p = malloc(WINDOW_BYTES);
	if (!w->p)
		return -ENOMEM;
	do
		n = pread(s->fd, w->p, WINDOW_BYTES, (off_t)(number << WINDOW_SHIFT));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	w->number = number + 1;
	return 0;
}

int vz_spill_get(struct vz_spill *s, uint64_t offset, void *p, size_t n)
{
	uint8_t *to = p;

	if (s->used)
		flush(s);
	if (!s->error && (offset > s->written || n > s->written - offset))
		s->error = -EIO;
	while (n && !s->error) {
		uint64_t number = offset >> WINDOW_SHIFT;
		struct window *w = &s->windows[number % WINDOWS];
		size_t at = offset & (WINDOW_BYTES - 1);
		size_t here = WINDOW_BYTES - at < n ? WINDOW_BYTES - at : n;

		if (w->number != number + 1)
			s->error = load(s, w, number);
		if (!s->error)
			memcpy(to, w->p + at, here);
		to += here;
		offset += here;
		n -= here;
	}
	return s->error;
}

int vz_spill_text(struct vz_spill *s, uint64_t offset, char **text, uint32_t *n)
{
	int rc = vz_spill_get(s, offset, n, sizeof(*n));

	if (rc == 0 && *n >= s->text_cap) {
		char *bigger = realloc(s->text, (size_t)*n + 1);

		if (!bigger)
			return -ENOMEM;
		s->text = bigger;
		s->text_cap = (size_t)*n + 1;
	}
	if (rc == 0)
		rc = vz_spill_get(s, offset + sizeof(*n), s->text, *n);
	if (rc == 0) {
		s->text[*n] = '\0';
		*text = s->text;
	}
	return rc;
}

int vz_spill_error(const struct vz_spill *s)
{
	return s->error;
}
