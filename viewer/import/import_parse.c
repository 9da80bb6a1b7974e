/* SPDX-License-Identifier: MIT */
/*
 * The file, through zlib where it is gzipped, into YAJL.
 *
 * What is read besides JSON as it should be: an array that is never closed, as Chrome
 * allows, and NaN and Infinity, as Python writes them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "viewer/import/import_json.h"

enum {
	CHUNK_BYTES = 1 << 18,
	TOKEN_MAX = 64 << 20, /* bytes of one string */
	WORD_MAX = 10,
	GZIP_HEAD = 15 + 16,
};

struct input {
	int fd;
	bool gzip, ended;
	uint64_t bytes, taken; /* of the file */
	z_stream z;
	uint8_t *packed, *p;
	size_t n;        /* bytes of .p that wait */
	const char *why; /* why there is no more, if that is no end */
};

static ssize_t read_some(struct input *in, uint8_t *p, size_t n)
{
	ssize_t done;

	do
		done = read(in->fd, p, n);
	while (done < 0 && errno == EINTR);
	if (done > 0)
		in->taken += (uint64_t)done;
	return done;
}

/* More of a gzip stream, or of the next one behind it, into P; 0: the end. */
static ssize_t inflate_some(struct input *in, uint8_t *p, size_t room)
{
	in->z.next_out = p;
	in->z.avail_out = (uInt)room;
	while (in->z.avail_out == room) {
		ssize_t got = 0;
		int rc;

		if (!in->z.avail_in) {
			got = read_some(in, in->packed, CHUNK_BYTES);
			if (got < 0)
				return got;
			in->z.next_in = in->packed;
			in->z.avail_in = (uInt)got;
			if (!got) {
				in->why = in->z.total_in ? "the compressed file ends too early"
							 : NULL;
				return 0;
			}
		}
		rc = inflate(&in->z, Z_NO_FLUSH);
		if (rc == Z_STREAM_END) {
			inflateReset(&in->z);
		} else if (rc != Z_OK && rc != Z_BUF_ERROR) {
			in->why = "the compressed file is damaged";
			return 0;
		}
	}
	return (ssize_t)(room - in->z.avail_out);
}

/* Append to what waits; false: nothing came. */
static bool more(struct vz_importer *im, struct input *in)
{
	ssize_t got = 0;

	if (in->ended)
		return false;
	got = in->gzip ? inflate_some(in, in->p + in->n, CHUNK_BYTES - in->n)
		       : read_some(in, in->p + in->n, CHUNK_BYTES - in->n);
	if (got < 0)
		im->error = -errno;
	in->ended = got <= 0;
	in->n += got > 0 ? (size_t)got : 0;
	return got > 0;
}

static void drop(struct input *in, size_t n)
{
	memmove(in->p, in->p + n, in->n - n);
	in->n -= n;
}

/* ---- the parser ---- */

struct parser {
	struct vz_import_json *j;
	yajl_handle h;
	uint64_t quiet; /* bytes since something was called back */
};

static bool parse(struct parser *p, const char *s, size_t n)
{
	return yajl_parse(p->h, (const unsigned char *)s, n) == yajl_status_ok;
}

/* A new parser, in the middle of as many braces as the one that stopped. */
static bool reopen(struct parser *p)
{
	struct vz_import_json *j = p->j;
	bool good = true;

	yajl_free(p->h);
	p->h = yajl_alloc(&vz_import_callbacks, NULL, j);
	if (!p->h)
		return false;
	j->muted = true;
	for (uint32_t i = 0; i < j->depth && good; i++)
		good = j->objects[i] ? parse(p, "{\"\":", 4) : parse(p, "[", 1);
	j->muted = false;
	return good;
}

/* Bytes of "NaN" and the like that IN begins with, 0: none.  Python writes them. */
static size_t odd_word(const struct input *in)
{
	static const char *const words[] = { "NaN", "Infinity", "-Infinity", "-NaN", "nan" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t n = strlen(words[i]);

		if (in->n >= n && !memcmp(in->p, words[i], n))
			return n;
	}
	return 0;
}

/* The parser stopped at byte AT; is it one of those words, where a value may stand? */
static bool pass_word(struct vz_importer *im, struct parser *p, struct input *in, size_t at)
{
	unsigned tries = 0;
	size_t n;

	if (p->j->depth == 0)
		return false;
	while (at > 0 && (at >= in->n || !strchr("NI-n", in->p[at])) && tries++ < 2)
		at--;
	at -= at > 0 && at < in->n && in->p[at] != '-' && in->p[at - 1] == '-';
	drop(in, at < in->n ? at : in->n);
	while (in->n < WORD_MAX && more(im, in))
		;
	n = odd_word(in);
	if (!n || !reopen(p) || !parse(p, "null", 4))
		return false;
	drop(in, n);
	return true;
}

static void tell_syntax(struct vz_importer *im, struct parser *p, uint64_t at)
{
	unsigned char *text = yajl_get_error(p->h, 0, NULL, 0);
	const char *colon = text ? strstr((const char *)text, ": ") : NULL;
	size_t n = colon ? strcspn(colon + 2, "\n") : 0;

	snprintf(im->summary.why, sizeof(im->summary.why), "it is no JSON at byte %llu: %.*s",
		 (unsigned long long)at, n < 80 ? (int)n : 80, colon ? colon + 2 : "");
	yajl_free_error(p->h, text);
}

/* Feed what waits; false: no more can be read. */
static bool feed(struct vz_importer *im, struct parser *p, struct input *in, uint64_t *fed)
{
	uint64_t pieces = p->j->pieces;
	bool good = parse(p, (const char *)in->p, in->n);
	size_t at = yajl_get_bytes_consumed(p->h);

	p->quiet = p->j->pieces == pieces ? p->quiet + in->n : 0;
	if (p->quiet > TOKEN_MAX)
		p->j->why = "a text in it is longer than 64 MiB";
	if (good && !p->j->why) {
		*fed += in->n;
		in->n = 0;
		return true;
	}
	if (im->error)
		return false;
	if (p->j->why)
		snprintf(im->summary.why, sizeof(im->summary.why), "%s", p->j->why);
	else if (pass_word(im, p, in, at))
		return true;
	else
		tell_syntax(im, p, *fed + at);
	return false;
}

static void tell_end(struct vz_importer *im, const struct vz_import_json *j, const struct input *in)
{
	/* An array that is never closed is what Chrome writes when it is stopped. */
	bool open_array = vz_import_json_in_events(j);

	if (in->why)
		snprintf(im->summary.why, sizeof(im->summary.why), "%s", in->why);
	else if (j->depth && !open_array)
		snprintf(im->summary.why, sizeof(im->summary.why), "its end is missing");
}

static void read_all(struct vz_importer *im, struct parser *p, struct input *in)
{
	const struct vz_import_options *o = im->options;
	uint64_t fed = 0;

	while (!im->error && (in->n || more(im, in))) {
		if (!feed(im, p, in, &fed))
			break;
		if (o && o->progress && in->bytes)
			o->progress(o->ctx, (double)in->taken / (double)in->bytes);
	}
	if (!im->error && !im->summary.why[0])
		tell_end(im, p->j, in);
	im->summary.cut = im->summary.why[0] != '\0';
}

/* YAJL takes a mark of the order of bytes for an error. */
static void begin_input(struct vz_importer *im, struct input *in)
{
	while (in->n < 3 && more(im, in))
		;
	if (in->n >= 2 && in->p[0] == 0x1f && in->p[1] == 0x8b) {
		memcpy(in->packed, in->p, in->n);
		in->z.next_in = in->packed;
		in->z.avail_in = (uInt)in->n;
		in->n = 0;
		in->gzip = inflateInit2(&in->z, GZIP_HEAD) == Z_OK;
		in->ended = !in->gzip;
		while (in->n < 3 && more(im, in))
			;
	}
	if (in->n >= 3 && !memcmp(in->p, "\xef\xbb\xbf", 3))
		drop(in, 3);
}

static int read_file(struct vz_importer *im, struct input *in)
{
	struct vz_import_json j;
	struct parser p = { .j = &j, .h = yajl_alloc(&vz_import_callbacks, NULL, &j) };

	in->packed = malloc(CHUNK_BYTES);
	in->p = malloc(CHUNK_BYTES);
	if (vz_import_json_init(&j, im) < 0 || !p.h || !in->packed || !in->p)
		im->error = -ENOMEM;
	if (!im->error) {
		begin_input(im, in);
		read_all(im, &p, in);
	}
	if (p.h)
		yajl_free(p.h);
	vz_import_json_fini(&j);
	return im->error;
}

int vz_import_read(struct vz_importer *im)
{
	struct input in = { .fd = open(im->path, O_RDONLY | O_CLOEXEC) };
	struct stat st;
	int rc;

	if (in.fd < 0)
		return -errno;
	if (fstat(in.fd, &st) == 0)
		in.bytes = (uint64_t)st.st_size;
	rc = read_file(im, &in);
	if (in.gzip)
		inflateEnd(&in.z);
	free(in.packed);
	free(in.p);
	close(in.fd);
	return rc;
}
