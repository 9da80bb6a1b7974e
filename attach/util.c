/* SPDX-License-Identifier: MIT */
#include "attach/util.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

void (*vz_step_hook)(const char *operation);

static int read_all(int fd, size_t max, char **ret, size_t *len)
{
	size_t size = 4096, used = 0;
	char *buf = malloc(size);

	for (;;) {
		ssize_t n;

		if (!buf)
			return -ENOMEM;
		n = read(fd, buf + used, size - 1 - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			n = -errno;
			free(buf);
			return (int)n;
		}
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > max) {
			free(buf);
			return -EFBIG;
		}
		if (used == size - 1) {
			char *bigger = realloc(buf, size * 2);

			if (!bigger)
				free(buf);
			buf = bigger;
			size *= 2;
		}
	}
	buf[used] = '\0';
	*ret = buf;
	*len = used;
	return 0;
}

int vz_slurp(const char *path, size_t max, char **ret, size_t *len)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return read_all(fd, max, ret, len);
}

int vz_slurp_proc(pid_t pid, pid_t tid, const char *name, size_t max, char **ret, size_t *len)
{
	char path[128];

	if (tid)
		snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)pid, (int)tid, name);
	else
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return vz_slurp(path, max, ret, len);
}

/* Bytes of the printable UTF-8 sequence that begins here, 0 if there is none. */
static size_t printable(const unsigned char *c)
{
	size_t len = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : c[0] >= 0xc2 ? 2 : 1;

	if (c[0] < 0x80)
		return c[0] >= ' ' && c[0] != 0x7f;
	if (len == 1 || c[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	/* overlong, surrogates, too large; U+0080 to U+009F are control characters */
	if ((c[0] == 0xc2 && c[1] < 0xa0) || (c[0] == 0xe0 && c[1] < 0xa0) ||
	    (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf0 && c[1] < 0x90) ||
	    (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return len;
}

void vz_plain(char *text)
{
	while (*text) {
		size_t len = printable((const unsigned char *)text);

		if (len == 0)
			*text = '?';
		text += len ? len : 1;
	}
}

int vz_starts_with(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

const char *vz_basename(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool vz_user_name(uid_t uid, char *buf, size_t size)
{
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *entry = NULL;

	while (file && (entry = fgetpwent(file)) && entry->pw_uid != uid)
		;
	if (entry)
		snprintf(buf, size, "%s", entry->pw_name);
	if (file)
		fclose(file);
	return entry;
}
