/* SPDX-License-Identifier: MIT */
/*
 * The page, read as viewer/web/EMBED.md says, by a reader of its own: every block of events
 * that is in the file of the trace is in the page, as it was before it was compressed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/kit_spans.h"
#include "viewer/core/decode.h"
#include "viewer/core/format.h"
#include "viewer/export/export.h"
#include "viewer/import/write.h"

/* ---- the page ---- */

struct element {
	char tag[256];
	uint8_t *raw;
	size_t bytes;
};

struct page {
	struct element *p;
	size_t n;
};

static uint8_t *inflated(const char *text, size_t n, size_t *ret)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t *packed = malloc(n + 1), *raw = malloc(8 << 20);
	z_stream z = { 0 };
	size_t used = 0;
	uint32_t v = 0;

	cr_assert_eq(n % 4, 0);
	for (size_t i = 0; i < n && text[i] != '='; i++) {
		const char *digit = strchr(digits, text[i]);

		cr_assert(digit && *digit);
		v = v << 6 | (uint32_t)(digit - digits);
		if (i % 4)
			packed[used++] = (uint8_t)(v >> (6 - 2 * (i % 4)));
	}
	cr_assert_eq(inflateInit2(&z, -15), Z_OK);
	z.next_in = packed;
	z.avail_in = (uInt)used;
	z.next_out = raw;
	z.avail_out = 8 << 20;
	cr_assert_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	cr_assert_eq(z.avail_in, 0);
	*ret = z.total_out;
	inflateEnd(&z);
	free(packed);
	return raw;
}

/* All elements of the export, in order; not those of the page itself. */
static void read_page(const char *text, struct page *ret)
{
	static const char begin[] = "<script type=\"text/plain\" ", end[] = "</script>\n";

	*ret = (struct page){ .p = calloc(1000, sizeof(*ret->p)) };
	while ((text = strstr(text, begin)) != NULL) {
		struct element *e = &ret->p[ret->n];
		const char *close = strchr(text, '>'), *last;

		text += sizeof(begin) - 1;
		snprintf(e->tag, sizeof(e->tag), "%.*s", (int)(close - text), text);
		last = strstr(close, "</script>");
		cr_assert_not_null(last);
		if (!strcmp(e->tag, "id=\"vz-app\"") || !strcmp(e->tag, "id=\"vz-core\""))
			continue;
		cr_assert(!strncmp(last, end, sizeof(end) - 1), "%s", e->tag);
		cr_assert_lt(++ret->n, 1000);
		if (last > close + 1)
			e->raw = inflated(close + 1, (size_t)(last - close - 1), &e->bytes);
		text = last;
	}
}

static void free_page(struct page *page)
{
	for (size_t i = 0; i < page->n; i++)
		free(page->p[i].raw);
	free(page->p);
}

static const struct element *find(const struct page *page, const char *tag)
{
	for (size_t i = 0; i < page->n; i++)
		if (!strncmp(page->p[i].tag, tag, strlen(tag)))
			return &page->p[i];
	return NULL;
}

static uint32_t u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* ---- the trace, from its file: payloads of the blocks of events, by number ---- */

struct block {
	struct vz_block head;
	uint8_t *raw;
	unsigned found;
};

struct blocks {
	struct block *p;
	size_t n;
};

static void read_blocks(const uint8_t *file, size_t n, struct blocks *ret)
{
	struct vz_block head;

	*ret = (struct blocks){ .p = calloc(2000, sizeof(*ret->p)) };
	for (size_t at = sizeof(struct vz_file_header); at + sizeof(head) <= n;) {
		struct block *b = &ret->p[ret->n];

		memcpy(&head, file + at, sizeof(head));
		if (head.magic != VZ_BLOCK_MAGIC)
			break;
		at += sizeof(head);
		if (head.type == VZ_BLOCK_EVENTS) {
			b->head = head;
			b->raw = malloc(head.raw_bytes + 1u);
			if (head.codec == VZ_CODEC_ZSTD)
				cr_assert_eq(ZSTD_decompress(b->raw, head.raw_bytes, file + at,
							     head.stored_bytes),
					     head.raw_bytes);
			else
				memcpy(b->raw, file + at, head.raw_bytes);
			cr_assert_lt(++ret->n, 2000);
		}
		at += (head.stored_bytes + 7u) & ~7u;
	}
}

static void free_blocks(struct blocks *blocks)
{
	for (size_t i = 0; i < blocks->n; i++)
		free(blocks->p[i].raw);
	free(blocks->p);
}

/* Each block that the page has must be that of the file, in order of time for each track. */
static void compare_events(const struct page *page, struct blocks *blocks)
{
	uint32_t last[16];

	memset(last, 0xff, sizeof(last));
	for (size_t i = 0; i < page->n; i++) {
		const struct element *e = &page->p[i];
		unsigned track, count, n = 0;
		size_t bytes, at = 0;

		if (sscanf(e->tag,
			   "class=\"vz-events\" data-track=\"%u\" data-blocks=\"%u\" "
			   "data-bytes=\"%zu\"",
			   &track, &count, &bytes) != 3)
			continue;
		cr_assert_eq(bytes, e->bytes);
		for (; at < e->bytes; n++) {
			uint32_t number = u32(e->raw + at), raw = u32(e->raw + at + 4);
			struct block *b = &blocks->p[number];

			cr_assert_lt(number, blocks->n);
			cr_assert_eq(b->head.track, track);
			cr_assert(last[track] == UINT32_MAX || last[track] < number);
			last[track] = number;
			cr_assert_eq(raw, b->head.raw_bytes);
			cr_assert_arr_eq(e->raw + at + 8, b->raw, raw);
			b->found++;
			at += 8 + raw;
		}
		cr_assert_eq(at, e->bytes);
		cr_assert_eq(n, count);
		cr_assert(e->bytes <= 1 << 20 || count == 1);
	}
}

Test(export_html, holds_every_block_of_events)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct kit *kit = kit_recorded(seed);
		struct blocks blocks;
		struct page page;
		size_t n, bytes;
		uint8_t *file = kit_bytes(kit, &bytes);
		char *p = kit_export(kit, "html", 0, &n);

		cr_assert_not_null(p);
		read_blocks(file, bytes, &blocks);
		cr_assert_gt(blocks.n, 8);
		read_page(p, &page);
		compare_events(&page, &blocks);
		for (size_t i = 0; i < blocks.n; i++)
			cr_expect_eq(blocks.p[i].found, 1, "block %zu", i);
		free_blocks(&blocks);
		free_page(&page);
		free(file);
		free(p);
		kit_free(kit);
	}
}

Test(export_html, what_comes_first_comes_first)
{
	static const char *const first[] = { "id=\"vz-trace\" data-embed=\"1\"",
					     "id=\"vz-functions\"", "id=\"vz-overview\"" };
	struct kit *kit = kit_recorded(1);
	struct page page;
	size_t n;
	char *p = kit_export(kit, "html", 0, &n);
	const struct element *e;
	struct vzi_header head;

	read_page(p, &page);
	for (int i = 0; i < 3; i++)
		cr_expect_str_eq(page.p[i].tag, first[i]);
	cr_expect_str_eq(page.p[page.n - 1].tag, "id=\"vz-end\"");
	cr_expect_eq(page.p[page.n - 1].bytes, 0);
	e = find(&page, "id=\"vz-trace\"");
	cr_expect_not_null(memmem(e->raw, e->bytes, "\"file\":\"kit.viz\"", 16));
	cr_expect_not_null(memmem(e->raw, e->bytes, "\"hasSource\":false", 17));
	e = find(&page, "id=\"vz-functions\"");
	cr_expect_not_null(memmem(e->raw, e->bytes, "Klass_1.m", 9));
	e = find(&page, "id=\"vz-overview\"");
	memcpy(&head, e->raw, sizeof(head));
	cr_expect_eq(head.magic, VZI_MAGIC);
	cr_expect_eq(head.directory_offset + head.directory_bytes, e->bytes);
	cr_expect_null(find(&page, "class=\"vz-source\""));
	cr_expect_null(find(&page, "id=\"vz-compare\""));
	free_page(&page);
	free(p);
	kit_free(kit);
}

Test(export_html, asks_for_nothing)
{
	struct kit *kit = kit_recorded(1);
	size_t n;
	char *p = kit_export(kit, "html", 0, &n);

	cr_assert_not_null(strstr(p, "default-src 'none'"));
	cr_assert_not_null(strstr(p, "connect-src 'none'"));
	cr_assert_null(strstr(p, "connect-src 'self'"));
	cr_assert_null(strstr(p, "http://"));
	cr_assert_null(strstr(p, "https://"));
	cr_assert_null(strstr(p, "<!--VZ-"));
	cr_assert_not_null(strstr(p + n - 32, "</html>"));
	free(p);
	kit_free(kit);
}

/* ---- parts ---- */

/* Where each block of events begins and ends, from the directory of the overview. */
static const struct vzi_block *find_block(const struct element *overview, uint32_t number,
					  uint64_t *zero_ns)
{
	const uint8_t *p =
		overview->raw +
		((const struct vzi_header *)(const void *)overview->raw)->directory_offset;
	const struct vzi_directory *d = (const void *)p;
	const struct vzi_block *blocks =
		(const void *)(p + sizeof(*d) + d->ntracks * sizeof(struct vzi_track) +
			       d->ntiles * sizeof(struct vzi_tile));

	*zero_ns = d->zero_ns;
	for (uint32_t i = 0; i < d->nblocks; i++)
		if (blocks[i].number == number)
			return &blocks[i];
	return NULL;
}

static uint64_t name_of(uint32_t id)
{
	char name[64], text[256];

	kit_function_name(id, name, sizeof(name));
	if (id % 3)
		snprintf(text, sizeof(text), "%s (/app/mod%u.py:%u)", name, id % 11, id);
	else
		snprintf(text, sizeof(text), "mod%u.%s", id % 11, name);
	return kit_hash(text, strlen(text));
}

struct state {
	struct kit_span stack[8192];
	uint32_t depth;
	uint64_t last_ns;
};

/* Spans that end in the blocks of E. */
static void read_spans(const struct element *e, const struct element *overview, struct state *t,
		       uint32_t track, struct kit_spans *out)
{
	struct vz_decoder *d = vz_decoder_new();

	for (size_t at = 0; at < e->bytes; at += 8 + u32(e->raw + at + 4)) {
		uint64_t zero_ns;
		const struct vzi_block *b = find_block(overview, u32(e->raw + at), &zero_ns);
		struct vz_block head = { .type = VZ_BLOCK_EVENTS };
		struct vz_event event;

		cr_assert_not_null(b);
		head.raw_bytes = b->raw_bytes;
		head.count = b->entries;
		head.t0_ns = zero_ns + b->t0_ns;
		head.t1_ns = zero_ns + b->t1_ns;
		cr_assert_eq(b->raw_bytes, u32(e->raw + at + 4));
		cr_assert_eq(vz_decoder_open(d, &head, e->raw + at + 8), 0);
		while (vz_decoder_next(d, &event) > 0) {
			cr_assert_eq(vz_decoder_apply(d, &event), 0);
			t->last_ns = event.ns;
			if (event.kind == VZ_EVENT_ENTER) {
				t->stack[t->depth++] = (struct kit_span){
					track + 1, event.ns, 0,
					name_of(event.symbol >> VZ_SYMBOL_SHIFT)
				};
			} else if (event.kind == VZ_EVENT_LEAVE) {
				t->stack[--t->depth].end = event.ns;
				kit_span_add(out, t->stack[t->depth]);
			}
		}
	}
	vz_decoder_free(d);
}

static int by_all(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct kit_span));
}

/* What is in the part is what happened, and all that ended before its last event is in it. */
Test(export_html, a_limit_leaves_out_what_is_later)
{
	struct kit *kit = kit_recorded(2);
	struct state *states = calloc(16, sizeof(*states));
	struct kit_spans got = { 0 }, want = { 0 };
	uint64_t until = UINT64_MAX;
	const struct element *e;
	struct page page;
	size_t n, missing = 0;
	char *p = kit_export(kit, "html", 2000, &n);

	cr_assert_not_null(p);
	read_page(p, &page);
	e = find(&page, "id=\"vz-overview\"");
	for (size_t i = 0; i < page.n; i++) {
		unsigned track;

		if (sscanf(page.p[i].tag, "class=\"vz-events\" data-track=\"%u\"", &track) == 1)
			read_spans(&page.p[i], e, &states[track], track, &got);
	}
	for (int i = 0; i < 4; i++)
		until = states[i].last_ns && states[i].last_ns < until ? states[i].last_ns : until;
	kit_spans_expect(kit, &want);
	qsort(got.p, got.n, sizeof(*got.p), by_all);
	qsort(want.p, want.n, sizeof(*want.p), by_all);
	cr_expect_lt(got.n, want.n * 2 / 3);
	cr_expect_gt(got.n, 500);
	for (size_t i = 0; i < got.n; i++)
		cr_expect_not_null(bsearch(&got.p[i], want.p, want.n, sizeof(*want.p), by_all));
	for (size_t i = 0; i < want.n; i++)
		missing += want.p[i].end < until &&
			   !bsearch(&want.p[i], got.p, got.n, sizeof(*got.p), by_all);
	cr_expect_eq(missing, 0);
	e = find(&page, "id=\"vz-trace\"");
	cr_expect_not_null(memmem(e->raw, e->bytes, "calls are in this file", 22));
	free(states);
	free(got.p);
	free(want.p);
	free_page(&page);
	free(p);
	kit_free(kit);
}

/* An export of these BYTES by these options but for paths; free() it. */
static char *export_bytes(const uint8_t *p, size_t bytes, struct vz_export_options *options,
			  size_t *n)
{
	char path[] = "/tmp/vz-html-XXXXXX", index[64];
	struct vz_trouble trouble;
	struct vz_out out;
	struct vz_reader *r;
	FILE *file = fdopen(mkstemp(path), "w"), *memory;
	char *text = NULL;

	cr_assert_eq(fwrite(p, 1, bytes, file), bytes);
	fclose(file);
	cr_assert_eq(vz_reader_open(path, &r, &trouble), 0);
	options->path = path;
	options->name = "a.viz";
	options->trouble = &trouble;
	if (options->other_name)
		options->other = r;
	memory = open_memstream(&text, n);
	cr_assert_eq(vz_out_open_memory(&out, memory), 0);
	cr_assert_eq(vz_export_html(r, options, &out), 0, "%s", trouble.what);
	cr_assert_eq(vz_out_close(&out, &trouble), 0);
	fclose(memory);
	vz_reader_free(r);
	snprintf(index, sizeof(index), "%s.vizi", path);
	remove(index);
	remove(path);
	return text;
}

static char *export_with(struct kit *kit, struct vz_export_options *options, size_t *n)
{
	size_t bytes;
	uint8_t *p = kit_bytes(kit, &bytes);
	char *text = export_bytes(p, bytes, options, n);

	free(p);
	return text;
}

Test(export_html, a_comparison_is_in_it_if_wanted)
{
	struct vz_export_options options = { .other_name = "b.viz" };
	struct kit *kit = kit_recorded(4);
	const struct element *e;
	struct page page;
	size_t n;
	char *p = export_with(kit, &options, &n);

	read_page(p, &page);
	e = find(&page, "id=\"vz-compare\"");
	cr_assert_not_null(e);
	cr_expect_not_null(memmem(e->raw, e->bytes, "\"schema\":1", 10));
	cr_expect_not_null(memmem(e->raw, e->bytes, "b.viz", 5));
	e = find(&page, "id=\"vz-trace\"");
	cr_expect_not_null(memmem(e->raw, e->bytes, "\"compare\":\"b.viz\"", 17));
	free_page(&page);
	free(p);
	kit_free(kit);
}

Test(export_html, source_is_in_it_if_wanted)
{
	static const char text[] = "def f():\n    return '</script>'\n";
	char path[] = "/tmp/vz-html-source-XXXXXX.py";
	struct vz_export_options options = { .with_source = true };
	struct kit *kit = kit_new(10, 1);
	const struct element *e;
	struct page page;
	int fd = mkstemps(path, 3);
	size_t n;
	char *p;

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	vz_tracefile_function(kit->tf, 10, VZ_DEF_PYTHON, "f", 1, path, strlen(path), 1);
	kit_steps(kit_track(kit, 1, 0), 100);
	kit_finish(kit);
	p = export_with(kit, &options, &n);
	read_page(p, &page);
	e = find(&page, "class=\"vz-source\"");
	cr_assert_not_null(e);
	cr_expect_not_null(strstr(e->tag, "data-newer=\"1\""), "written after the recording");
	cr_expect_eq(e->bytes, strlen(text));
	cr_expect_arr_eq(e->raw, text, strlen(text));
	remove(path);
	free_page(&page);
	free(p);
	kit_free(kit);
}

/* ---- what stands beside the events ---- */

enum {
	CALLS = 60000,
};

static void write_with_args(int fd)
{
	const struct vz_file_header header = { .pid = 1 };
	const struct vz_file_function function = { .kind = VZ_DEF_PYTHON };
	const struct vz_file_track record = { .tid = 1 };
	struct vz_writer *w = vz_writer_new(fd, &header);
	struct vz_writer_track *t;
	char json[64];

	vz_writer_function(w, &function, "f", "/app/f.py");
	t = vz_writer_track(w, &record, "main");
	for (uint64_t i = 0; i < CALLS; i++) {
		vz_writer_enter(t, 0, VZ_ENTRY_CALL, 1000 * i);
		snprintf(json, sizeof(json), "{\"number of the call\":%lu}", (unsigned long)i);
		if (i % 3)
			vz_writer_args(t, json, strlen(json));
		vz_writer_leave(t, VZ_LEAVE_RETURN, 1000 * i + 500);
	}
	vz_writer_end_track(t, 1000 * CALLS);
	cr_assert_eq(vz_writer_finish(w, 1000 * CALLS, ""), 0);
	vz_writer_free(w);
}

/* Each call that has arguments, once, by its number; no element is too long. */
Test(export_html, arguments_are_in_it)
{
	struct vz_export_options options = { 0 };
	int fd = memfd_create("args", MFD_CLOEXEC);
	unsigned elements = 0;
	uint64_t next = 1;
	struct page page;
	struct stat st;
	char json[64];
	uint8_t *p;
	size_t n;
	char *text;

	write_with_args(fd);
	cr_assert_eq(fstat(fd, &st), 0);
	p = malloc((size_t)st.st_size);
	cr_assert_eq(pread(fd, p, (size_t)st.st_size, 0), st.st_size);
	close(fd);
	text = export_bytes(p, (size_t)st.st_size, &options, &n);
	read_page(text, &page);
	for (size_t i = 0; i < page.n; i++) {
		const struct element *e = &page.p[i];
		uint64_t first, last, entry = 0;
		unsigned track;

		if (sscanf(e->tag,
			   "class=\"vz-args\" data-track=\"%u\" data-first=\"%lu\" "
			   "data-last=\"%lu\"",
			   &track, &first, &last) != 3)
			continue;
		elements++;
		cr_assert_leq(e->bytes, 1 << 20);
		cr_assert_eq(first, next);
		for (size_t at = 0; at < e->bytes; at += 8 + u32(e->raw + at + 4)) {
			entry = u32(e->raw + at);
			cr_assert_eq(entry, next);
			snprintf(json, sizeof(json), "{\"number of the call\":%lu}",
				 (unsigned long)entry);
			cr_assert_eq(u32(e->raw + at + 4), strlen(json));
			cr_assert_arr_eq(e->raw + at + 8, json, strlen(json));
			next += next % 3 == 2 ? 2 : 1;
		}
		cr_assert_eq(entry, last);
	}
	cr_expect_gt(elements, 1);
	cr_expect_eq(next, CALLS + 1);
	free_page(&page);
	free(text);
	free(p);
}
