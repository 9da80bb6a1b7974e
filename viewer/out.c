/* SPDX-License-Identifier: MIT */
#include "viewer/out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	OUT_BYTES = 1 << 16,
};

/* PATH NULL: standard output, of which nobody needs to be told where else. */
static int cannot_write(struct vz_trouble *trouble, int error, const char *path)
{
	int rc = vz_trouble_set(trouble, error, "cannot write %s", path ? path : "standard output");

	vz_trouble_why(trouble, "%s", strerror(error));
	if (path)
		vz_trouble_try(trouble, "another place: -o OUT");
	return rc;
}

int vz_out_open(struct vz_out *out, const char *path, struct vz_trouble *trouble)
{
	int rc;

	*out = (struct vz_out){ .fd = STDOUT_FILENO, .size = OUT_BYTES };
	out->buf = malloc(out->size);
	if (!out->buf)
		return vz_trouble_set(trouble, ENOMEM, "out of memory");
	if (!strcmp(path, "-"))
		return 0;
	out->path = path;
	/* What a trace tells is for its owner. */
	out->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out->fd >= 0)
		return 0;
	rc = cannot_write(trouble, errno, path);
	free(out->buf);
	return rc;
}

int vz_out_open_memory(struct vz_out *out, FILE *memory)
{
	*out = (struct vz_out){ .fd = -1, .memory = memory, .size = OUT_BYTES };
	out->buf = malloc(out->size);
	return out->buf && memory ? 0 : -ENOMEM;
}

static void write_out(struct vz_out *out, const char *p, size_t n)
{
	if (out->memory) {
		if (fwrite(p, 1, n, out->memory) != n)
			out->error = -ENOMEM;
		return;
	}
	while (n > 0 && !out->error) {
		ssize_t done = write(out->fd, p, n);

		if (done < 0 && errno != EINTR) {
			out->error = -errno;
		} else if (done > 0) {
			p += done;
			n -= (size_t)done;
		}
	}
}

static void flush(struct vz_out *out)
{
	write_out(out, out->buf, out->used);
	out->used = 0;
}

/* Never a device that somebody named as the output. */
static void discard(const struct vz_out *out)
{
	struct stat st;

	if (out->path && fstat(out->fd, &st) == 0 && S_ISREG(st.st_mode))
		unlink(out->path);
}

int vz_out_close(struct vz_out *out, struct vz_trouble *trouble)
{
	flush(out);
	if (out->error)
		discard(out);
	if (out->path && close(out->fd) < 0 && !out->error)
		out->error = -errno;
	free(out->buf);
	out->buf = NULL;
	if (!out->error)
		return 0;
	return cannot_write(trouble, -out->error, out->path);
}

void vz_out_abandon(struct vz_out *out)
{
	discard(out);
	if (out->path)
		close(out->fd);
	free(out->buf);
	out->buf = NULL;
}

void vz_out_bytes(struct vz_out *out, const void *p, size_t n)
{
	out->bytes += n;
	if (n > out->size - out->used)
		flush(out);
	if (n >= out->size) {
		write_out(out, p, n);
		return;
	}
	memcpy(out->buf + out->used, p, n);
	out->used += n;
}

void vz_out_text(struct vz_out *out, const char *s)
{
	vz_out_bytes(out, s, strlen(s));
}

void vz_out_char(struct vz_out *out, char c)
{
	vz_out_bytes(out, &c, 1);
}

void vz_out_number(struct vz_out *out, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	vz_out_bytes(out, digits + at, sizeof(digits) - at);
}

void vz_out_format(struct vz_out *out, const char *fmt, ...)
{
	char small[512], *text = small;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(small)) {
		text = NULL;
		va_start(ap, fmt);
		n = vasprintf(&text, fmt, ap);
		va_end(ap);
	}
	if (n < 0) {
		out->error = out->error ? out->error : -ENOMEM;
		return;
	}
	vz_out_bytes(out, text, (size_t)n);
	if (text != small)
		free(text);
}

/* Length of the UTF-8 sequence at S, 0 if it is none; not overlong, no surrogates. */
static size_t utf8_length(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* U+0080 to U+009F: terminals obey them as they obey ESC. */
static bool is_control(const unsigned char *s, size_t n)
{
	return *s < 0x20 || *s == 0x7f || (n == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

void vz_out_plain(char *text)
{
	while (*text) {
		const unsigned char *s = (const unsigned char *)text;
		size_t n = utf8_length(s);

		if (n == 0 || is_control(s, n)) {
			*text = '?';
			if (n == 2)
				text[1] = '?';
		}
		text += n ? n : 1;
	}
}

void vz_out_json(struct vz_out *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s) {
		size_t n = utf8_length(s);

		if (!n) {
			vz_out_text(out, "\\ufffd");
			n = 1;
		} else if (is_control(s, n) || *s == '<') {
			/* "<": the text may stand inside a script element */
			vz_out_format(out, "\\u%04x", n == 2 ? s[1] : *s);
		} else {
			if (*s == '"' || *s == '\\')
				vz_out_char(out, '\\');
			vz_out_bytes(out, s, n);
		}
		s += n;
	}
}
