/* SPDX-License-Identifier: MIT */
/*
 * One page that needs nothing else: viewer/web/page.html with the data in it.
 *
 * The data are script elements of type text/plain, each the base64 of a
 * deflate-raw stream (what every browser can inflate by itself):
 *
 *   class "facts"   one JSON object
 *   class "events"  segments, each: varints place of the track, ns of its begin
 *                   since the trace's, bytes of codes, bytes of times; codes; times
 *
 * A code is a varint: 0 to 5 a frame ends, as in struct vz_visit; 6 a loss, its
 * records follow (0: unreadable part); from 8 a frame begins: row of the function
 * in the facts << 2 | enum vz_entry, + 8.  A time is the varint of ns since the
 * event before.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "viewer/export.h"
#include "viewer/stats.h"

extern const char vz_old_page[], vz_old_page_end[];

enum {
	CHUNK_BYTES = 4 << 20, /* raw; far below what makes a browser refuse a string */
	DEFLATE_LEVEL = 6,
	DEFLATE_RAW = -15,
	DEFLATE_MEMORY = 9,
	BASE64_GROUPS = 1024,
	PADDING = 64,
	CODE_LOST = 6,
	CODE_ENTER = 8,
};

struct buffer {
	uint8_t *p;
	size_t n, cap;
};

struct html {
	struct vz_reader *reader;
	struct vz_out *out;
	struct vz_stats stats;
	uint32_t *rows; /* function id to row in the facts */
	uint32_t nrows;
	uint64_t t0_ns, until_ns, shown_calls;
	struct buffer chunk, codes, times;
	uint32_t place;
	uint64_t begin_ns, ns;
};

/* ---- chunks ---- */

static int room(struct buffer *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 4096;
	uint8_t *bigger;

	if (b->n + more <= b->cap)
		return 0;
	while (cap < b->n + more)
		cap *= 2;
	bigger = realloc(b->p, cap);
	if (!bigger)
		return -ENOMEM;
	b->p = bigger;
	b->cap = cap;
	return 0;
}

static int put_varint(struct buffer *b, uint64_t v)
{
	if (room(b, 10) < 0)
		return -ENOMEM;
	for (; v >= 0x80; v >>= 7)
		b->p[b->n++] = (uint8_t)(v | 0x80);
	b->p[b->n++] = (uint8_t)v;
	return 0;
}

static int put_bytes(struct buffer *b, const uint8_t *p, size_t n)
{
	if (room(b, n) < 0)
		return -ENOMEM;
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

static void put_base64(struct vz_out *out, const uint8_t *p, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
	char text[BASE64_GROUPS * 4];
	size_t used = 0;

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? p[i + 1] << 8 : 0) |
			     (left > 2 ? p[i + 2] : 0);

		text[used++] = digits[v >> 18];
		text[used++] = digits[v >> 12 & 63];
		text[used++] = digits[left > 1 ? v >> 6 & 63 : PADDING];
		text[used++] = digits[left > 2 ? v & 63 : PADDING];
		if (used == sizeof(text)) {
			vz_out_bytes(out, text, used);
			used = 0;
		}
	}
	vz_out_bytes(out, text, used);
}

static int put_chunk(struct vz_out *out, const char *class, const uint8_t *p, size_t n)
{
	z_stream z = { 0 };
	uint8_t *packed;
	uLong bound;
	int rc;

	if (deflateInit2(&z, DEFLATE_LEVEL, Z_DEFLATED, DEFLATE_RAW, DEFLATE_MEMORY,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	bound = deflateBound(&z, n);
	packed = malloc(bound);
	if (packed) {
		z.next_in = (Bytef *)(uintptr_t)p;
		z.avail_in = (uInt)n;
		z.next_out = packed;
		z.avail_out = (uInt)bound;
	}
	rc = packed && deflate(&z, Z_FINISH) == Z_STREAM_END ? 0 : -ENOMEM;
	if (rc == 0) {
		vz_out_format(out, "<script type=\"text/plain\" class=\"%s\">", class);
		put_base64(out, packed, z.total_out);
		vz_out_text(out, "</script>\n");
	}
	deflateEnd(&z);
	free(packed);
	return rc;
}

static int flush_chunk(struct html *h)
{
	int rc = h->chunk.n ? put_chunk(h->out, "events", h->chunk.p, h->chunk.n) : 0;

	h->chunk.n = 0;
	return rc;
}

/* ---- events ---- */

static int begin(void *ctx, const struct vz_visit *at)
{
	struct html *h = ctx;

	h->codes.n = 0;
	h->times.n = 0;
	h->place = at->place;
	h->begin_ns = h->ns = at->ns;
	return 0;
}

static int put_event(struct html *h, uint64_t code, uint64_t ns)
{
	int rc = put_varint(&h->codes, code);

	if (rc == 0)
		rc = put_varint(&h->times, ns - h->ns);
	h->ns = ns;
	return rc;
}

static int enter(void *ctx, const struct vz_visit *at)
{
	struct html *h = ctx;
	uint32_t symbol = at->stack[at->depth - 1].symbol;
	uint32_t function = symbol >> VZ_SYMBOL_SHIFT;
	uint64_t row = function < h->nrows ? h->rows[function] : 0;
	uint64_t how = symbol & ((1u << VZ_SYMBOL_SHIFT) - 1);

	if (how != VZ_ENTRY_OPEN)
		h->shown_calls++;
	return put_event(h, (row << VZ_SYMBOL_SHIFT | how) + CODE_ENTER, at->ns);
}

static int leave(void *ctx, const struct vz_visit *at)
{
	return put_event(ctx, at->how, at->ns);
}

static int lost(void *ctx, const struct vz_visit *at)
{
	struct html *h = ctx;
	int rc = put_event(h, CODE_LOST, at->ns);

	return rc < 0 ? rc : put_varint(&h->codes, at->lost);
}

static int end(void *ctx, const struct vz_visit *at)
{
	struct html *h = ctx;
	struct buffer *c = &h->chunk;
	uint64_t since = h->begin_ns > h->t0_ns ? h->begin_ns - h->t0_ns : 0;

	(void)at;
	if (!h->codes.n)
		return h->out->error;
	if (put_varint(c, h->place) < 0 || put_varint(c, since) < 0 ||
	    put_varint(c, h->codes.n) < 0 || put_varint(c, h->times.n) < 0 ||
	    put_bytes(c, h->codes.p, h->codes.n) < 0 || put_bytes(c, h->times.p, h->times.n) < 0)
		return -ENOMEM;
	if (c->n >= CHUNK_BYTES && flush_chunk(h) < 0)
		return -ENOMEM;
	return h->out->error;
}

/* ---- facts ---- */

static void put_string(struct vz_out *out, const char *s)
{
	vz_out_char(out, '"');
	vz_out_json(out, s);
	vz_out_char(out, '"');
}

static void put_functions(const struct html *h, struct vz_out *out)
{
	vz_out_text(out, "\"functions\":[");
	for (uint32_t i = 0; i < h->stats.nfunctions; i++) {
		const struct vz_function_stats *s = &h->stats.functions[i];
		const struct vz_function *f = vz_reader_function(h->reader, s->function);

		vz_out_text(out, i ? ",\n[" : "\n[");
		put_string(out, f->name);
		vz_out_char(out, ',');
		put_string(out, f->file);
		vz_out_format(out,
			      ",%u,%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
			      ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]",
			      f->line, f->kind, s->calls, s->resumes, s->total_ns, s->self_ns,
			      s->min_ns <= s->max_ns ? s->min_ns : 0, s->max_ns, s->raised, s->open,
			      s->unseen);
	}
	vz_out_text(out, "]");
}

static void put_tracks(const struct html *h, struct vz_out *out)
{
	char title[1024];

	vz_out_text(out, "\"tracks\":[");
	for (uint32_t i = 0; i < h->stats.ntracks; i++) {
		const struct vz_thread_track *t = vz_reader_track(h->reader, i);
		const struct vz_track_stats *s = &h->stats.tracks[i];

		vz_reader_track_title(t, title, sizeof(title));
		vz_out_text(out, i ? ",\n[" : "\n[");
		put_string(out, title);
		vz_out_format(out, ",%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%u]", t->tid,
			      s->calls + s->resumes, s->lost, s->busy_ns, s->max_depth);
	}
	vz_out_text(out, "]");
}

static void put_meta(const struct html *h, struct vz_out *out)
{
	const char *key, *value;

	vz_out_text(out, "\"meta\":[");
	for (uint32_t i = 0; vz_reader_fact_at(h->reader, i, &key, &value); i++) {
		vz_out_text(out, i ? ",[" : "[");
		put_string(out, key);
		vz_out_char(out, ',');
		put_string(out, value);
		vz_out_char(out, ']');
	}
	vz_out_text(out, "]");
}

static void put_summary(const struct html *h, struct vz_out *out)
{
	const struct vz_file_header *head = vz_reader_header(h->reader);
	const struct vz_track_stats *all = &h->stats.all;
	struct vz_damage damage;
	uint64_t t0_ns, t1_ns;

	vz_reader_range(h->reader, &t0_ns, &t1_ns);
	vz_reader_damage(h->reader, &damage);
	vz_out_text(out, "{\"process\":");
	put_string(out, vz_export_process(h->reader));
	vz_out_format(out,
		      ",\"version\":\"" VZ_VERSION "\",\"pid\":%u,\"unix_ms\":%" PRIu64
		      ",\"duration\":%" PRIu64 ",\"shown\":%" PRIu64 ",\"calls\":%" PRIu64
		      ",\"resumes\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"holes\":%" PRIu64
		      ",\"cut\":%s,\"until\":%" PRIu64 ",",
		      head->pid, head->start_unix_ns / 1000000, t1_ns - t0_ns, h->shown_calls,
		      all->calls, all->resumes, all->lost, all->holes,
		      damage.cut ? "true" : "false", h->until_ns ? h->until_ns - t0_ns : 0);
}

/* The facts are written into memory first: their size is that of the function table. */
static int put_facts(const struct html *h)
{
	struct vz_trouble trouble;
	struct vz_out text;
	char *p = NULL;
	size_t n = 0;
	FILE *memory = open_memstream(&p, &n);
	int rc = vz_out_open_memory(&text, memory);

	if (rc == 0) {
		put_summary(h, &text);
		put_meta(h, &text);
		vz_out_char(&text, ',');
		put_tracks(h, &text);
		vz_out_char(&text, ',');
		put_functions(h, &text);
		vz_out_char(&text, '}');
		rc = vz_out_close(&text, &trouble);
	} else {
		vz_out_abandon(&text);
	}
	if (memory && fclose(memory) != 0)
		rc = -ENOMEM;
	if (rc == 0)
		rc = put_chunk(h->out, "facts", (const uint8_t *)p, n);
	free(p);
	return rc;
}

/* ---- the page ---- */

static int count(struct html *h)
{
	uint32_t greatest = 0;
	int rc = vz_stats_init(&h->stats, h->reader, VZ_ALL_TRACKS);

	if (rc < 0)
		return rc;
	vz_stats_sort(&h->stats, h->reader, VZ_ORDER_SELF);
	for (uint32_t i = 0; i < h->stats.nfunctions; i++)
		if (h->stats.functions[i].function > greatest)
			greatest = h->stats.functions[i].function;
	h->nrows = greatest + 1;
	h->rows = calloc(h->nrows, sizeof(*h->rows));
	if (!h->rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < h->stats.nfunctions; i++)
		h->rows[h->stats.functions[i].function] = i;
	return 0;
}

static int put_events(struct html *h)
{
	static const struct vz_visitor visitor = {
		.begin = begin,
		.enter = enter,
		.leave = leave,
		.lost = lost,
		.end = end,
	};
	const struct vz_walk_limits limits = {
		.place = VZ_ALL_TRACKS,
		.until_ns = h->until_ns,
	};
	int rc = vz_walk(h->reader, &limits, &visitor, h);

	return rc < 0 ? rc : flush_chunk(h);
}

int vz_export_html(struct vz_reader *r, const struct vz_export_options *options, struct vz_out *out)
{
	static const char marker[] = "<!--DATA-->";
	struct html h = { .reader = r, .out = out };
	const char *middle =
		memmem(vz_old_page, (size_t)(vz_old_page_end - vz_old_page), marker, sizeof(marker) - 1);
	uint64_t t1_ns;
	int rc = count(&h);

	h.until_ns = vz_export_until(r, options->max_calls);
	vz_reader_range(r, &h.t0_ns, &t1_ns);
	if (rc == 0) {
		vz_out_bytes(out, vz_old_page, (size_t)(middle - vz_old_page));
		rc = put_events(&h);
	}
	if (rc == 0)
		rc = put_facts(&h);
	middle += sizeof(marker) - 1;
	if (rc == 0)
		vz_out_bytes(out, middle, (size_t)(vz_old_page_end - middle));
	vz_stats_fini(&h.stats);
	free(h.rows);
	free(h.chunk.p);
	free(h.codes.p);
	free(h.times.p);
	return rc;
}
