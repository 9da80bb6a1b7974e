/* SPDX-License-Identifier: MIT */
#include "tests/kit_index.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/index/index.h"

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "kit_index: %s\n", what);
	abort();
}

/* ---- building ---- */

static int take_tile(void *ctx, const struct vzi_tile *tile, const uint8_t *bytes)
{
	struct kit_index *x = ctx;
	struct kit_tile *t;

	x->tiles = realloc(x->tiles, (x->ntiles + 1) * sizeof(*x->tiles));
	must(x->tiles != NULL, "no memory");
	t = &x->tiles[x->ntiles++];
	t->row = *tile;
	t->bytes = malloc(tile->bytes + 1u);
	must(t->bytes != NULL, "no memory");
	memcpy(t->bytes, bytes, tile->bytes);
	return 0;
}

static void feed(struct vz_reader *r, struct vz_build *b, uint32_t i)
{
	const struct vz_index_entry *entry = vz_reader_block(r, i);
	struct vz_block head;
	const uint8_t *raw;

	if (vz_reader_load(r, i, &head, &raw) < 0) {
		raw = NULL;
		head = (struct vz_block){
			.count = entry->count,
			.t0_ns = entry->t0_ns,
			.t1_ns = entry->t1_ns,
		};
	}
	must(vz_build_block(b, i, &head, raw) == 0, "vz_build_block");
}

static void build_track(struct vz_reader *r, uint32_t place, struct kit_index *x)
{
	const struct vz_thread_track *track = vz_reader_track(r, place);
	uint64_t t0_ns, t1_ns;
	struct vz_build_options options = {
		.track = place,
		.place = place,
		.zero_ns = x->zero_ns,
		.duration_ns = x->duration_ns,
		.begin_ns = track->begin_ns,
		.sink = { take_tile, x },
	};
	struct vz_build *b;
	uint32_t n;

	vz_reader_range(r, &t0_ns, &t1_ns);
	options.end_ns = track->end_ns ? track->end_ns : t1_ns;
	must(vz_build_new(&options, &b) == 0, "vz_build_new");
	for (uint32_t i = 0; i < vz_reader_nblocks(r); i++)
		if (vz_reader_track_place(r, vz_reader_block(r, i)->track) == place)
			feed(r, b, i);
	must(vz_build_end(b) == 0, "vz_build_end");
	x->tracks[place] = *vz_build_track(b);
	x->blocks[place] = malloc((x->tracks[place].nblocks + 1u) * sizeof(struct vzi_block));
	memcpy(x->blocks[place], vz_build_blocks(b, &n),
	       x->tracks[place].nblocks * sizeof(struct vzi_block));
	for (int i = 0; i < VZI_DENSITY; i++)
		x->density[i] += vz_build_density(b)[i];
	vz_build_free(b);
}

static int by_order(const void *pa, const void *pb)
{
	const struct vzi_tile *a = &((const struct kit_tile *)pa)->row;
	const struct vzi_tile *b = &((const struct kit_tile *)pb)->row;

	if (a->track != b->track)
		return a->track < b->track ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->level != b->level)
		return a->level < b->level ? -1 : 1;
	if (a->t0_ns != b->t0_ns)
		return a->t0_ns < b->t0_ns ? -1 : 1;
	return (a->first > b->first) - (a->first < b->first);
}

void kit_index_build(struct vz_reader *r, struct kit_index *ret)
{
	*ret = (struct kit_index){ .ntracks = vz_reader_ntracks(r) };
	vz_index_range(r, &ret->zero_ns, &ret->duration_ns);
	ret->tracks = calloc(ret->ntracks + 1u, sizeof(*ret->tracks));
	ret->blocks = calloc(ret->ntracks + 1u, sizeof(*ret->blocks));
	must(ret->tracks && ret->blocks, "no memory");
	for (uint32_t i = 0; i < ret->ntracks; i++)
		build_track(r, i, ret);
	if (ret->ntiles)
		qsort(ret->tiles, ret->ntiles, sizeof(*ret->tiles), by_order);
}

void kit_index_samples(const struct vz_build_options *options, const struct vz_block *head,
		       const uint8_t *raw, struct kit_index *ret, struct vz_build **b)
{
	struct vz_build_options o = *options;

	*ret = (struct kit_index){ 0 };
	o.sink = (struct vz_build_sink){ take_tile, ret };
	must(vz_build_new(&o, b) == 0, "vz_build_new");
	must(vz_build_samples(*b, head, raw) == 0, "vz_build_samples");
	must(vz_build_end(*b) == 0, "vz_build_end");
}

void kit_index_fini(struct kit_index *x)
{
	for (uint32_t i = 0; i < x->ntiles; i++)
		free(x->tiles[i].bytes);
	for (uint32_t i = 0; i < x->ntracks; i++)
		free(x->blocks[i]);
	free(x->tiles);
	free(x->tracks);
	free(x->blocks);
}

/* ---- reading ---- */

static uint64_t varint(const uint8_t **p)
{
	uint64_t v = 0;

	for (unsigned shift = 0;; shift += 7) {
		v |= (uint64_t)(**p & 0x7f) << shift;
		if (*(*p)++ < 0x80)
			return v;
	}
}

void kit_records_add(struct kit_records *r, const struct kit_record *record)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 64;
		r->p = realloc(r->p, r->cap * sizeof(*r->p));
		must(r->p != NULL, "no memory");
	}
	r->p[r->n++] = *record;
}

static int by_start(const void *pa, const void *pb)
{
	const struct kit_record *a = pa, *b = pb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return (a->depth > b->depth) - (a->depth < b->depth);
}

void kit_records_sort(struct kit_records *r)
{
	if (r->n)
		qsort(r->p, r->n, sizeof(*r->p), by_start);
}

/* Reads columns; each must be as long as it says, and hold a value for each record. */
static const char *read_tile(const struct kit_tile *t, struct kit_records *ret)
{
	bool gaps = t->row.kind == VZI_GAPS;
	uint32_t columns = gaps ? VZI_GAP_COLUMNS : VZI_SLICE_COLUMNS, lengths[5];
	const uint8_t *p[5], *ends[5], *at = t->bytes + columns * sizeof(uint32_t);
	uint64_t last = t->row.t0_ns;

	memcpy(lengths, t->bytes, columns * sizeof(uint32_t));
	for (uint32_t i = 0; i < columns; i++) {
		p[i] = at;
		ends[i] = at += lengths[i];
	}
	if (at != t->bytes + t->row.bytes)
		return "columns do not fill the tile";
	for (uint32_t i = 0; i < t->row.count; i++) {
		struct kit_record record = { .start = last += varint(&p[0]) };

		record.end = record.start + varint(&p[1]);
		if (!gaps) {
			record.depth = (uint32_t)varint(&p[2]);
			record.function = (uint32_t)varint(&p[3]);
		}
		record.last = t->row.kind == VZI_SLICES ? *p[4]++ : varint(&p[gaps ? 2 : 4]);
		kit_records_add(ret, &record);
	}
	for (uint32_t i = 0; i < columns; i++)
		if (p[i] != ends[i])
			return "a column has a wrong length";
	return NULL;
}

static const char *check_row(const struct kit_tile *t, const struct kit_records *r, size_t from)
{
	uint64_t last_end = 0;
	uint32_t least = UINT32_MAX, most = 0;

	if (t->row.count > VZI_TILE_RECORDS || !t->row.count)
		return "number of records in a tile";
	for (size_t i = from; i < r->n; i++) {
		if (i > from && by_start(&r->p[i - 1], &r->p[i]) > 0)
			return "records are not in order";
		last_end = r->p[i].end > last_end ? r->p[i].end : last_end;
		least = r->p[i].depth < least ? r->p[i].depth : least;
		most = r->p[i].depth > most ? r->p[i].depth : most;
	}
	if (t->row.t0_ns != r->p[from].start || t->row.t1_ns != last_end)
		return "range of a tile";
	if (t->row.min_depth != least || t->row.max_depth != most)
		return "depths of a tile";
	return NULL;
}

const char *kit_index_records(const struct kit_index *x, uint32_t track, enum vzi_kind kind,
			      unsigned level, struct kit_records *ret)
{
	const char *wrong = NULL;

	*ret = (struct kit_records){ 0 };
	for (uint32_t i = 0; i < x->ntiles && !wrong; i++) {
		const struct kit_tile *t = &x->tiles[i];
		size_t from = ret->n;

		if (t->row.track != track || t->row.kind != kind || t->row.level != level)
			continue;
		wrong = read_tile(t, ret);
		if (!wrong)
			wrong = check_row(t, ret, from);
	}
	return wrong;
}

const struct kit_tile *kit_index_tile(const struct kit_index *x, uint32_t track, enum vzi_kind kind,
				      unsigned level, uint32_t first)
{
	for (uint32_t i = 0; i < x->ntiles; i++) {
		const struct vzi_tile *t = &x->tiles[i].row;

		if (t->track == track && t->kind == kind && t->level == level && t->first == first)
			return &x->tiles[i];
	}
	return NULL;
}

struct kit_varints kit_index_varints(const struct kit_tile *tile)
{
	struct kit_varints v = { malloc((tile->row.bytes + 1u) * sizeof(uint64_t)), 0 };
	const uint8_t *p = tile->bytes;

	must(v.p != NULL, "no memory");
	while (p < tile->bytes + tile->row.bytes)
		v.p[v.n++] = varint(&p);
	return v;
}
