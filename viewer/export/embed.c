/* SPDX-License-Identifier: MIT */
#include "viewer/export/embed.h"

#include <errno.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PIECES = 8, /* compressed together */
	MAX_THREADS = 8,
	ATTRIBUTES_BYTES = 160,
	PADDING = 64,
};

struct piece {
	char attributes[ATTRIBUTES_BYTES];
	uint8_t *raw;
	size_t bytes, cap;
	char *text; /* base64; NULL: no memory */
	size_t text_bytes;
};

struct vz_embed {
	struct vz_out *out;
	int error;
	struct piece pieces[PIECES];
	unsigned n;
	struct libdeflate_compressor *compressors[MAX_THREADS];
	unsigned nthreads;
	atomic_uint next; /* piece that nobody has taken yet */
};

struct vz_embed *vz_embed_new(struct vz_out *out, int level)
{
	struct vz_embed *e = calloc(1, sizeof(*e));
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (!e)
		return NULL;
	e->out = out;
	while (e->nthreads < MAX_THREADS && (long)e->nthreads < (processors < 1 ? 1 : processors)) {
		e->compressors[e->nthreads] = libdeflate_alloc_compressor(level);
		if (!e->compressors[e->nthreads])
			break;
		e->nthreads++;
	}
	if (e->nthreads)
		return e;
	vz_embed_free(e);
	return NULL;
}

void vz_embed_free(struct vz_embed *e)
{
	if (!e)
		return;
	for (unsigned i = 0; i < e->nthreads; i++)
		libdeflate_free_compressor(e->compressors[i]);
	for (unsigned i = 0; i < PIECES; i++) {
		free(e->pieces[i].raw);
		free(e->pieces[i].text);
	}
	free(e);
}

/* ---- one element ---- */

void vz_embed_begin(struct vz_embed *e, const char *fmt, ...)
{
	struct piece *p;
	va_list ap;

	if (e->n == PIECES)
		vz_embed_flush(e);
	p = &e->pieces[e->n];
	p->bytes = 0;
	va_start(ap, fmt);
	vsnprintf(p->attributes, sizeof(p->attributes), fmt, ap);
	va_end(ap);
}

void vz_embed_rename(struct vz_embed *e, const char *fmt, ...)
{
	struct piece *p = &e->pieces[e->n];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->attributes, sizeof(p->attributes), fmt, ap);
	va_end(ap);
}

void vz_embed_bytes(struct vz_embed *e, const void *from, size_t n)
{
	struct piece *p = &e->pieces[e->n];

	if (p->bytes + n > p->cap) {
		size_t cap = p->cap ? p->cap : 1 << 16;
		uint8_t *bigger;

		while (cap < p->bytes + n)
			cap *= 2;
		bigger = realloc(p->raw, cap);
		if (!bigger) {
			e->error = -ENOMEM;
			return;
		}
		p->raw = bigger;
		p->cap = cap;
	}
	if (n)
		memcpy(p->raw + p->bytes, from, n);
	p->bytes += n;
}

size_t vz_embed_size(const struct vz_embed *e)
{
	return e->pieces[e->n].bytes;
}

void vz_embed_end(struct vz_embed *e)
{
	e->n++;
}

/* ---- all that wait ---- */

static size_t to_base64(const uint8_t *p, size_t n, char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
	char *at = text;

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
			     (left > 2 ? p[i + 2] : 0);

		*at++ = digits[v >> 18];
		*at++ = digits[v >> 12 & 63];
		*at++ = digits[left > 1 ? v >> 6 & 63 : PADDING];
		*at++ = digits[left > 2 ? v & 63 : PADDING];
	}
	return (size_t)(at - text);
}

static void pack(struct piece *p, struct libdeflate_compressor *compressor)
{
	size_t bound = libdeflate_deflate_compress_bound(compressor, p->bytes);
	uint8_t *packed = malloc(bound);
	size_t n = packed ? libdeflate_deflate_compress(compressor, p->raw ? p->raw : packed,
							p->bytes, packed, bound)
			  : 0;

	p->text = n ? malloc((n + 2) / 3 * 4) : NULL;
	if (p->text)
		p->text_bytes = to_base64(packed, n, p->text);
	free(packed);
}

struct worker {
	struct vz_embed *e;
	struct libdeflate_compressor *compressor;
	pthread_t thread;
};

static void *work(void *ctx)
{
	struct worker *w = ctx;
	unsigned i;

	/* Relaxed: creating and joining the thread orders everything else. */
	while ((i = atomic_fetch_add_explicit(&w->e->next, 1, memory_order_relaxed)) < w->e->n)
		pack(&w->e->pieces[i], w->compressor);
	return NULL;
}

/* A thread that cannot be had leaves its share to the others. */
static void pack_all(struct vz_embed *e)
{
	struct worker workers[MAX_THREADS];
	unsigned started = 1;

	atomic_store_explicit(&e->next, 0, memory_order_relaxed);
	for (unsigned i = 0; i < e->nthreads; i++)
		workers[i] = (struct worker){ .e = e, .compressor = e->compressors[i] };
	while (started < e->nthreads && started < e->n &&
	       pthread_create(&workers[started].thread, NULL, work, &workers[started]) == 0)
		started++;
	work(&workers[0]);
	for (unsigned i = 1; i < started; i++)
		pthread_join(workers[i].thread, NULL);
}

int vz_embed_flush(struct vz_embed *e)
{
	if (!e->error)
		pack_all(e);
	for (unsigned i = 0; i < e->n; i++) {
		struct piece *p = &e->pieces[i];

		if (!e->error && !p->text)
			e->error = -ENOMEM;
		if (!e->error) {
			vz_out_format(e->out, "<script type=\"text/plain\" %s>", p->attributes);
			vz_out_bytes(e->out, p->text, p->text_bytes);
			vz_out_text(e->out, "</script>\n");
		}
		free(p->text);
		p->text = NULL;
		p->bytes = 0;
	}
	e->n = 0;
	return e->error ? e->error : e->out->error;
}
