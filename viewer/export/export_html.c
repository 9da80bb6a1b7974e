/* SPDX-License-Identifier: MIT */
/*
 * One page that needs nothing else: the page of the server with the data in it.
 *
 * viewer/web/EMBED.md is the contract with the page: what stands where, and in which
 * order.  The index is not in it but for its coarse tiles; the page makes the rest from
 * the blocks of events, which are those of the trace, deflated instead of zstd'ed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/args.h"
#include "viewer/diff.h"
#include "viewer/export/embed.h"
#include "viewer/export/export.h"
#include "viewer/export/part.h"
#include "viewer/index/index.h"
#include "viewer/serve/describe.h"
#include "viewer/source.h"

extern const char vz_page[], vz_page_end[];

enum {
	LEVEL = 10,              /* 12 takes a quarter longer for 0.3 % */
	ELEMENT_BYTES = 1 << 20, /* raw, of events or arguments */
	HEAD_BYTES = 8,          /* number and length, before each block or object */
	TAG_BYTES = 160,
	EMBED_VERSION = 1,
};

struct html {
	struct vz_reader *whole;  /* what was asked for, or more: */
	struct vz_reader *reader; /* what is in the page */
	struct vz_part part;      /* .reader and .index, if it is less */
	const struct vz_export_options *options;
	struct vz_index *index;
	const struct vz_directory_view *view;
	struct vz_files files;
	struct vz_embed *embed;
	struct vz_out *out;
};

static void put_u32(struct vz_embed *e, uint32_t v)
{
	vz_embed_bytes(e, &v, sizeof(v));
}

/* ---- documents ---- */

/* An element of the text that WRITE makes. */
static int put_text(struct html *h, const char *attributes,
		    int (*write)(struct html *h, struct vz_out *out))
{
	struct vz_trouble trouble;
	struct vz_out text;
	char *p = NULL;
	size_t n = 0;
	FILE *memory = open_memstream(&p, &n);
	int rc = vz_out_open_memory(&text, memory);

	if (rc == 0)
		rc = write(h, &text);
	if (rc == 0)
		rc = vz_out_close(&text, &trouble);
	else
		vz_out_abandon(&text);
	if (memory && fclose(memory) != 0)
		rc = -ENOMEM;
	if (rc == 0) {
		vz_embed_begin(h->embed, "%s", attributes);
		vz_embed_bytes(h->embed, p, n);
		vz_embed_end(h->embed);
	}
	free(p);
	return rc;
}

static int write_trace(struct html *h, struct vz_out *out)
{
	struct vz_damage damage;
	struct vz_totals all;
	struct vz_describe d = {
		.file = h->options->name,
		.compare = h->options->other ? h->options->other_name : NULL,
		.has_source = h->options->with_source,
		.directory = h->view->head,
		.tracks = h->view->tracks,
		.damage = &damage,
	};

	vz_reader_damage(h->whole, &damage);
	vz_reader_totals(h->whole, &all);
	d.calls = h->part.reader ? all.calls : 0;
	return vz_describe_trace(h->reader, &d, out);
}

static int write_functions(struct html *h, struct vz_out *out)
{
	struct vz_describe_place place = { 0 };

	while (vz_describe_functions(h->reader, &h->files, &place, out))
		;
	return 0;
}

static int write_comparison(struct html *h, struct vz_out *out)
{
	const struct vz_diff_options diff = {
		.file = { h->options->name, h->options->other_name },
		.json = true,
	};

	return vz_diff(h->whole, h->options->other, &diff, out);
}

static int put_head(struct html *h)
{
	char tag[TAG_BYTES];
	uint8_t *overview;
	size_t n;
	int rc;

	snprintf(tag, sizeof(tag), "id=\"vz-trace\" data-embed=\"%d\"", EMBED_VERSION);
	rc = put_text(h, tag, write_trace);
	if (rc == 0)
		rc = put_text(h, "id=\"vz-functions\"", write_functions);
	if (rc == 0)
		rc = vz_index_overview(h->index, &overview, &n);
	if (rc < 0)
		return rc;
	vz_embed_begin(h->embed, "id=\"vz-overview\"");
	vz_embed_bytes(h->embed, overview, n);
	vz_embed_end(h->embed);
	free(overview);
	return vz_embed_flush(h->embed);
}

/* ---- events ---- */

struct pack {
	uint32_t track, blocks;
};

static void end_pack(struct html *h, struct pack *pack)
{
	if (!pack->blocks)
		return;
	vz_embed_rename(h->embed,
			"class=\"vz-events\" data-track=\"%u\" data-blocks=\"%u\" "
			"data-bytes=\"%zu\"",
			pack->track, pack->blocks, vz_embed_size(h->embed));
	vz_embed_end(h->embed);
	pack->blocks = 0;
}

static int put_block(struct html *h, struct pack *pack, const struct vzi_block *block)
{
	struct vz_block head;
	const uint8_t *raw;
	int rc;

	if (block->flags & VZI_BLOCK_UNREADABLE)
		return 0;
	rc = vz_reader_load(h->reader, block->number, &head, &raw);
	if (rc < 0)
		return rc == -EBADMSG ? 0 : rc;
	if (pack->blocks && vz_embed_size(h->embed) + HEAD_BYTES + head.raw_bytes > ELEMENT_BYTES)
		end_pack(h, pack);
	if (!pack->blocks++)
		vz_embed_begin(h->embed, "class=\"vz-events\"");
	put_u32(h->embed, block->number);
	put_u32(h->embed, head.raw_bytes);
	vz_embed_bytes(h->embed, raw, head.raw_bytes);
	return h->out->error;
}

static int put_events_of(struct html *h, uint32_t track)
{
	const struct vzi_track *t = &h->view->tracks[track];
	struct pack pack = { .track = track };
	int rc = 0;

	for (uint32_t i = 0; i < t->nblocks && rc == 0; i++)
		rc = put_block(h, &pack, &h->view->blocks[t->first_block + i]);
	end_pack(h, &pack);
	return rc;
}

struct order {
	uint32_t track;
	uint64_t entries;
};

static int most_first(const void *a, const void *b)
{
	const struct order *x = a, *y = b;

	if (x->entries != y->entries)
		return x->entries < y->entries ? 1 : -1;
	return x->track < y->track ? -1 : 1;
}

/* The workers of the page share the tracks: the longest one must not come last. */
static int put_events(struct html *h)
{
	uint32_t n = h->view->head->ntracks;
	struct order *order = calloc(n + (size_t)1, sizeof(*order));
	int rc = order ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < n && order; i++)
		order[i] = (struct order){ i, h->view->tracks[i].entries };
	if (order)
		qsort(order, n, sizeof(*order), most_first);
	for (uint32_t i = 0; i < n && rc == 0; i++)
		rc = put_events_of(h, order[i].track);
	free(order);
	return rc;
}

/* ---- what stands beside the events ---- */

/* Number of the track in the directory. */
static bool find_track(const struct html *h, uint32_t id, uint32_t *ret)
{
	uint32_t place = vz_reader_track_place(h->reader, id);

	for (*ret = 0; *ret < h->view->head->ntracks; ++*ret)
		if (h->view->tracks[*ret].place == place)
			return true;
	return false;
}

static void end_args(struct html *h, uint32_t track, uint64_t first, uint64_t last)
{
	vz_embed_rename(h->embed,
			"class=\"vz-args\" data-track=\"%u\" data-first=\"%" PRIu64
			"\" data-last=\"%" PRIu64 "\"",
			track, first, last);
	vz_embed_end(h->embed);
}

static void put_args_of(struct html *h, uint32_t track, struct vz_args *args)
{
	uint64_t entry, first = 0, last = 0;
	const uint8_t *json;
	bool open = false;
	size_t bytes;

	while (vz_args_next(args, &entry, &json, &bytes) > 0 && entry <= UINT32_MAX) {
		if (open && vz_embed_size(h->embed) + HEAD_BYTES + bytes > ELEMENT_BYTES) {
			end_args(h, track, first, last);
			open = false;
		}
		if (!open) {
			vz_embed_begin(h->embed, "class=\"vz-args\"");
			first = entry;
			open = true;
		}
		put_u32(h->embed, (uint32_t)entry);
		put_u32(h->embed, (uint32_t)bytes);
		vz_embed_bytes(h->embed, json, bytes);
		last = entry;
	}
	if (open)
		end_args(h, track, first, last);
}

static int put_args(struct html *h)
{
	int rc = 0;

	for (uint32_t i = 0; i < vz_reader_nextras(h->reader) && rc == 0; i++) {
		const struct vz_index_entry *e = vz_reader_extra(h->reader, i);
		struct vz_block head;
		struct vz_args args;
		const uint8_t *raw;
		uint32_t track;

		if (e->type != VZ_BLOCK_ARGS || !find_track(h, e->track, &track))
			continue;
		rc = vz_reader_load_extra(h->reader, i, &head, &raw);
		if (rc == 0) {
			vz_args_init(&args, &head, raw);
			put_args_of(h, track, &args);
		}
		if (rc == -EBADMSG)
			rc = 0;
	}
	return rc;
}

static int put_sources(struct html *h)
{
	struct vz_source source;
	int rc = 0;

	for (uint32_t i = 0; i < h->files.n && rc == 0; i++) {
		rc = vz_source_read(h->reader, &h->files, i, &source);
		if (rc == 0) {
			vz_embed_begin(h->embed,
				       "class=\"vz-source\" data-file=\"%u\" data-newer=\"%d\"", i,
				       source.newer);
			vz_embed_bytes(h->embed, source.text, source.bytes);
			vz_embed_end(h->embed);
			free(source.text);
		} else if (rc == -ENOENT) {
			rc = 0;
		}
	}
	return rc;
}

static int put_data(struct html *h)
{
	int rc = put_events(h);

	if (rc == 0)
		rc = put_args(h);
	if (rc == 0 && h->options->with_source)
		rc = put_sources(h);
	if (rc == 0 && h->options->other)
		rc = put_text(h, "id=\"vz-compare\"", write_comparison);
	if (rc == 0)
		rc = vz_embed_flush(h->embed);
	if (rc == 0)
		vz_out_text(h->out, "<script type=\"text/plain\" id=\"vz-end\"></script>\n");
	return rc;
}

/* ---- the page ---- */

/* Writes the page up to MARK and returns what is behind it; NULL: it is not there. */
static const char *put_until(struct vz_out *out, const char *p, const char *mark)
{
	const char *at = memmem(p, (size_t)(vz_page_end - p), mark, strlen(mark));

	if (at)
		vz_out_bytes(out, p, (size_t)(at - p));
	return at ? at + strlen(mark) : NULL;
}

static int put_page(struct html *h)
{
	const char *p = put_until(h->out, vz_page, "connect-src 'self'");
	int rc;

	if (!p)
		return -EINVAL;
	vz_out_text(h->out, "connect-src 'none'");
	p = put_until(h->out, p, "<!--VZ-HEAD-->");
	rc = p ? put_head(h) : -EINVAL;
	if (rc < 0)
		return rc;
	p = put_until(h->out, p, "<!--VZ-DATA-->");
	rc = p ? put_data(h) : -EINVAL;
	if (rc == 0)
		vz_out_bytes(h->out, p, (size_t)(vz_page_end - p));
	return rc;
}

/* The index is made if there is none, where it is found the next time if that can be. */
static int open_whole(struct html *h, const struct vz_index_options *options)
{
	const char *path = h->options->path;
	struct vz_index_options with = *options;
	struct vz_index_spare spare;
	int rc = vz_index_open(path, NULL, h->whole, &h->index);

	h->reader = h->whole;
	if (rc == 0)
		return 0;
	vz_index_spare_init(&spare);
	with.spare = &spare;
	rc = vz_index_build(path, &with, NULL, h->options->trouble);
	if (rc == 0)
		rc = vz_index_open_made(path, &spare, h->whole, &h->index);
	vz_index_spare_fini(&spare);
	return rc;
}

static int open_all(struct html *h)
{
	const struct vz_index_options options = { .progress = h->options->progress,
						  .ctx = h->options->ctx };
	const struct vz_walk_limits limits = {
		.place = VZ_ALL_TRACKS,
		.until_ns = vz_export_until(h->whole, h->options->max_calls),
		.select = &h->options->select,
	};
	int rc;

	if (limits.until_ns || vz_select_any(limits.select)) {
		rc = vz_part_open(h->whole, &limits, &options, &h->part, h->options->trouble);
		h->reader = h->part.reader;
		h->index = h->part.index;
	} else {
		rc = open_whole(h, &options);
	}
	if (rc == 0)
		h->view = vz_index_view(h->index);
	return rc < 0 ? rc : vz_files_init(&h->files, h->reader);
}

int vz_export_html(struct vz_reader *r, const struct vz_export_options *options, struct vz_out *out)
{
	struct html h = { .whole = r, .options = options, .out = out };
	int rc = open_all(&h);

	if (rc == 0) {
		h.embed = vz_embed_new(out, LEVEL);
		rc = h.embed ? put_page(&h) : -ENOMEM;
	}
	vz_embed_free(h.embed);
	vz_files_fini(&h.files);
	if (!h.part.reader)
		vz_index_free(h.index);
	vz_part_close(&h.part);
	return rc;
}
