/* SPDX-License-Identifier: MIT */
#include "viewer/import/encode.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum {
	VARINT_MAX = 10,
	SYMBOL_MAX = 5, /* bytes of a varint of 32 bits */
	LEVEL = 1,
	FRAME_MIN = 4096,  /* a column of this size gets Huffman tables of its own */
	COMPRESS_MIN = 64, /* below, zstd's own header eats what it saves */
	ROOT = 0,          /* node of the empty stack; function f has node f + 1 */
	FIRST_LIST = 4,
	TAG_MASK = (1 << VZ_PACK_TAG_BITS) - 1,
};

/* What is known about one function within this block. */
struct node {
	uint64_t block; /* valid if this is the number of the block */
	uint32_t list;  /* where its move-to-front list starts in .lists */
	uint8_t n, cap;
	uint8_t leave; /* how it was left last */
	uint8_t pad;
};

struct vz_pack {
	struct node *nodes;
	uint64_t block;
	uint32_t *lists;
	size_t nlists, lists_cap;
	uint32_t *path; /* nodes of the frames on the stack */
	size_t path_cap;
	uint8_t *column[VZ_NCOLUMNS], *p[VZ_NCOLUMNS]; /* start and end, all in .scratch */
	uint8_t *scratch, *raw, *packed;
	size_t scratch_cap, raw_cap, packed_cap;
	ZSTD_CCtx *zstd;
};

/* What the walk counts. */
struct walk {
	uint32_t top; /* of .path, 0: empty stack */
	uint32_t entries, leaves, pops, guessed, events_at_loss;
	uint64_t ns;
};

static int room(uint8_t **p, size_t *cap, size_t want)
{
	uint8_t *bigger;

	if (want <= *cap)
		return 0;
	want += want / 2;
	bigger = realloc(*p, want);
	if (!bigger)
		return -ENOMEM;
	*p = bigger;
	*cap = want;
	return 0;
}

static int room32(uint32_t **p, size_t *cap, size_t want)
{
	uint32_t *bigger;

	if (want <= *cap)
		return 0;
	want += want / 2 + FIRST_LIST;
	bigger = reallocarray(*p, want, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	*p = bigger;
	*cap = want;
	return 0;
}

struct vz_pack *vz_pack_new(void)
{
	struct vz_pack *pack = calloc(1, sizeof(*pack));

	if (!pack)
		return NULL;
	/* Sparse: only the pages of functions that are used ever become memory. */
	pack->nodes = calloc(VZ_MAX_FUNCTIONS + 1, sizeof(*pack->nodes));
	pack->zstd = ZSTD_createCCtx();
	if (!pack->nodes || !pack->zstd || room32(&pack->lists, &pack->lists_cap, 1) < 0 ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(pack->zstd, ZSTD_c_compressionLevel, LEVEL))) {
		vz_pack_free(pack);
		return NULL;
	}
	return pack;
}

void vz_pack_free(struct vz_pack *pack)
{
	if (!pack)
		return;
	ZSTD_freeCCtx(pack->zstd);
	free(pack->nodes);
	free(pack->lists);
	free(pack->path);
	free(pack->scratch);
	free(pack->raw);
	free(pack->packed);
	free(pack);
}

/* Widest case of each column; the number of events bounds entries, leaves and losses alike. */
static int reserve(struct vz_pack *pack, const struct vz_pack_events *in)
{
	const size_t widest[VZ_NCOLUMNS] = {
		[VZ_COLUMN_STACK] = (size_t)in->depth * SYMBOL_MAX,
		[VZ_COLUMN_BEGIN] = (size_t)in->depth * VARINT_MAX,
		[VZ_COLUMN_POPS] = in->n * SYMBOL_MAX,
		[VZ_COLUMN_RANKS] = in->n,
		[VZ_COLUMN_NEW] = in->n * SYMBOL_MAX,
		[VZ_COLUMN_TIMES] = in->n * VARINT_MAX,
		[VZ_COLUMN_LEAVES] = in->n * SYMBOL_MAX,
		[VZ_COLUMN_LOSSES] = in->n * 2 * VARINT_MAX,
	};
	size_t total = 0, at = 0;

	for (int i = 0; i < VZ_NCOLUMNS; i++)
		total += widest[i];
	if (room(&pack->scratch, &pack->scratch_cap, total + 1) < 0 ||
	    room32(&pack->path, &pack->path_cap, in->depth + in->n + 1) < 0)
		return -ENOMEM;
	for (int i = 0; i < VZ_NCOLUMNS; i++) {
		pack->column[i] = pack->p[i] = pack->scratch + at;
		at += widest[i];
	}
	return 0;
}

static inline void put(struct vz_pack *pack, enum vz_events_column column, uint64_t v)
{
	pack->p[column] = vz_pack_varint(pack->p[column], v);
}

static inline void touch(struct vz_pack *pack, uint32_t i)
{
	if (pack->nodes[i].block != pack->block)
		pack->nodes[i] = (struct node){ .block = pack->block };
}

/* A list that is full moves to twice the room; the old room is lost until the block ends. */
static int list_room(struct vz_pack *pack, struct node *node)
{
	uint32_t cap = node->cap ? node->cap * 2u : FIRST_LIST;

	if (node->n < node->cap || node->cap == VZ_MTF_MAX)
		return 0;
	if (room32(&pack->lists, &pack->lists_cap, pack->nlists + cap) < 0)
		return -ENOMEM;
	if (node->n)
		memcpy(pack->lists + pack->nlists, pack->lists + node->list,
		       node->n * sizeof(*pack->lists));
	node->list = (uint32_t)pack->nlists;
	node->cap = (uint8_t)cap;
	pack->nlists += cap;
	return 0;
}

static int put_new(struct vz_pack *pack, struct node *node, uint32_t symbol)
{
	uint32_t *list;

	if (list_room(pack, node) < 0)
		return -ENOMEM;
	list = pack->lists + node->list;
	if (node->n < VZ_MTF_MAX)
		node->n++;
	memmove(list + 1, list, (node->n - 1u) * sizeof(*list));
	list[0] = symbol;
	put(pack, VZ_COLUMN_NEW, symbol);
	*pack->p[VZ_COLUMN_RANKS]++ = VZ_RANK_NEW;
	return 0;
}

static inline int put_rank(struct vz_pack *pack, struct node *node, uint32_t symbol)
{
	uint32_t *list = pack->lists ? pack->lists + node->list : NULL;
	uint32_t rank = 0;

	while (rank < node->n && list[rank] != symbol)
		rank++;
	if (rank == node->n)
		return put_new(pack, node, symbol);
	*pack->p[VZ_COLUMN_RANKS]++ = (uint8_t)rank;
	for (; rank > 0; rank--)
		list[rank] = list[rank - 1];
	list[0] = symbol;
	return 0;
}

static void put_stack(struct vz_pack *pack, const struct vz_pack_events *in)
{
	pack->path[0] = ROOT;
	touch(pack, ROOT);
	for (uint32_t i = 0; i < in->depth; i++) {
		const struct vz_pack_frame *frame = &in->stack[i];
		uint64_t since = i ? frame->ns - frame[-1].ns : in->events[0].ns - frame->ns;

		put(pack, VZ_COLUMN_STACK, frame->symbol);
		put(pack, VZ_COLUMN_BEGIN, since);
		pack->path[i + 1] = (frame->symbol >> VZ_SYMBOL_SHIFT) + 1;
		touch(pack, pack->path[i + 1]);
	}
}

static int enter(struct vz_pack *pack, struct walk *w, uint32_t what)
{
	uint32_t function = what >> VZ_PACK_TAG_BITS;
	uint32_t symbol = function << VZ_SYMBOL_SHIFT | (what & 3);
	int rc = put_rank(pack, &pack->nodes[pack->path[w->top]], symbol);

	put(pack, VZ_COLUMN_POPS, w->pops);
	w->pops = 0;
	w->entries++;
	pack->path[++w->top] = function + 1;
	touch(pack, function + 1);
	return rc;
}

static void leave(struct vz_pack *pack, struct walk *w, uint32_t what)
{
	struct node *node = &pack->nodes[pack->path[w->top--]];
	uint8_t how = what & 3;

	w->pops++;
	w->leaves++;
	if (node->leave == how) {
		w->guessed++;
		return;
	}
	node->leave = how;
	put(pack, VZ_COLUMN_LEAVES, (uint64_t)w->guessed << VZ_LEAVE_SHIFT | how);
	w->guessed = 0;
}

static void lost(struct vz_pack *pack, struct walk *w, uint64_t records, uint64_t since)
{
	uint32_t events = w->entries + w->leaves;

	put(pack, VZ_COLUMN_LOSSES, events - w->events_at_loss);
	put(pack, VZ_COLUMN_LOSSES, records);
	put(pack, VZ_COLUMN_LOSSES, since);
	w->events_at_loss = events;
}

static int walk(struct vz_pack *pack, struct walk *w, const struct vz_pack_events *in)
{
	int rc = 0;

	w->top = in->depth;
	w->ns = in->events[0].ns;
	for (size_t i = 0; i < in->n && rc == 0; i++) {
		const struct vz_pack_event *e = &in->events[i];
		uint32_t tag = e->what & TAG_MASK;
		uint64_t since = e->ns - w->ns;

		w->ns = e->ns;
		if (tag == VZ_PACK_LOST) {
			lost(pack, w, in->events[++i].ns, since);
			continue;
		}
		put(pack, VZ_COLUMN_TIMES, since);
		if (tag < VZ_PACK_LEAVE)
			rc = enter(pack, w, e->what);
		else
			leave(pack, w, e->what);
	}
	return rc;
}

/* Fields, then the columns back to back, into .raw; BOUNDS gets where each column ends. */
static int join(struct vz_pack *pack, const struct walk *w, uint32_t depth,
		size_t bounds[VZ_NCOLUMNS + 1])
{
	size_t total = (size_t)VZ_EVENTS_FIELDS * VARINT_MAX;
	uint8_t *p;

	for (int i = 0; i < VZ_NCOLUMNS; i++)
		total += (size_t)(pack->p[i] - pack->column[i]);
	if (room(&pack->raw, &pack->raw_cap, total) < 0)
		return -ENOMEM;
	p = vz_pack_varint(pack->raw, w->entries);
	p = vz_pack_varint(p, w->leaves);
	p = vz_pack_varint(p, depth);
	for (int i = 0; i < VZ_NCOLUMNS; i++)
		p = vz_pack_varint(p, (size_t)(pack->p[i] - pack->column[i]));
	bounds[0] = (size_t)(p - pack->raw);
	for (int i = 0; i < VZ_NCOLUMNS; i++) {
		size_t n = (size_t)(pack->p[i] - pack->column[i]);

		memcpy(p, pack->column[i], n);
		p += n;
		bounds[i + 1] = (size_t)(p - pack->raw);
	}
	return 0;
}

static int squeeze(struct vz_pack *pack, const uint8_t *raw, size_t n, size_t *used)
{
	size_t done =
		ZSTD_compress2(pack->zstd, pack->packed + *used, pack->packed_cap - *used, raw, n);

	if (ZSTD_isError(done))
		return -ENOMEM;
	*used += done;
	return 0;
}

/* A long column is a zstd frame of its own, short neighbours share one; readers see one stream. */
static int squeeze_columns(struct vz_pack *pack, const size_t bounds[VZ_NCOLUMNS + 1], size_t *used)
{
	size_t from = 0;
	int rc = 0;

	for (int i = 0; i < VZ_NCOLUMNS && rc == 0; i++) {
		size_t end = bounds[i + 1];

		if (end - bounds[i] >= FRAME_MIN && bounds[i] > from) {
			rc = squeeze(pack, pack->raw + from, bounds[i] - from, used);
			from = bounds[i];
		}
		if (rc == 0 && (i == VZ_NCOLUMNS - 1 || end - from >= FRAME_MIN)) {
			rc = squeeze(pack, pack->raw + from, end - from, used);
			from = end;
		}
	}
	return rc;
}

static int reserve_packed(struct vz_pack *pack, size_t raw)
{
	return room(&pack->packed, &pack->packed_cap,
		    ZSTD_compressBound(raw) + (size_t)VZ_NCOLUMNS * ZSTD_compressBound(FRAME_MIN));
}

static void choose(struct vz_pack *pack, const uint8_t *raw, size_t bytes, size_t packed,
		   struct vz_block *head, const uint8_t **payload)
{
	bool smaller = packed > 0 && packed < bytes;

	head->codec = smaller ? VZ_CODEC_ZSTD : VZ_CODEC_NONE;
	head->raw_bytes = (uint32_t)bytes;
	head->stored_bytes = (uint32_t)(smaller ? packed : bytes);
	*payload = smaller ? pack->packed : raw;
}

int vz_pack_events(struct vz_pack *pack, const struct vz_pack_events *in, struct vz_block *head,
		   const uint8_t **payload)
{
	size_t bounds[VZ_NCOLUMNS + 1] = { 0 }, packed = 0;
	struct walk w = { 0 };
	int rc = reserve(pack, in);

	if (rc < 0)
		return rc;
	pack->nlists = 0;
	pack->block++;
	put_stack(pack, in);
	rc = walk(pack, &w, in);
	if (rc == 0)
		rc = join(pack, &w, in->depth, bounds);
	if (rc == 0)
		rc = reserve_packed(pack, bounds[VZ_NCOLUMNS]);
	if (rc == 0 && bounds[VZ_NCOLUMNS] >= COMPRESS_MIN)
		rc = squeeze_columns(pack, bounds, &packed);
	if (rc != 0)
		return rc;
	head->count = w.entries;
	head->t0_ns = in->events[0].ns;
	head->t1_ns = w.ns;
	choose(pack, pack->raw, bounds[VZ_NCOLUMNS], packed, head, payload);
	return 0;
}

int vz_pack_plain(struct vz_pack *pack, const uint8_t *raw, size_t bytes, struct vz_block *head,
		  const uint8_t **payload)
{
	size_t packed = 0;

	if (reserve_packed(pack, bytes) < 0)
		return -ENOMEM;
	if (bytes >= COMPRESS_MIN && squeeze(pack, raw, bytes, &packed) < 0)
		return -ENOMEM;
	choose(pack, raw, bytes, packed, head, payload);
	return 0;
}
