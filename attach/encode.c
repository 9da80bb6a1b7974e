/* SPDX-License-Identifier: MIT */
#include "attach/encode.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum {
	VARINT_MAX = 10,
	LEVEL_COLUMN = 1,
	LEVEL_PLAIN = 3,
	FRAME_MIN = 4096,  /* a column of this size gets Huffman tables of its own */
	COMPRESS_MIN = 64, /* below, zstd's own header eats what it saves */
	ROOT = 0,          /* node of the empty stack; function f has node f + 1 */
	FIRST_LIST = 4,
};

/* What the encoder knows in this block about one function. */
struct node {
	uint64_t block; /* valid if this is the number of the block */
	uint32_t list;  /* where its move-to-front list starts in .lists */
	uint8_t n, cap;
	uint8_t leave; /* how it was left last */
	uint8_t pad;
};

struct column {
	uint8_t *start, *p;
};

struct vz_encoder {
	struct node *nodes;
	uint64_t block;
	uint32_t *lists;
	size_t nlists, lists_cap;
	uint32_t *path; /* nodes of the frames on the stack while a block is walked */
	size_t path_cap;
	struct vz_frame *stack;
	uint32_t depth, stack_cap;
	struct column columns[VZ_NCOLUMNS];
	uint8_t *scratch, *raw, *packed;
	size_t scratch_cap, raw_cap, packed_cap;
	ZSTD_CCtx *zstd;
};

/* Make the array that the pointer at PP points to hold WANT items. */
static int grow(void *pp, size_t *cap, size_t want, size_t item)
{
	size_t n = *cap ? *cap : 256;
	void *array;

	if (want <= *cap)
		return 0;
	while (n < want)
		n *= 2;
	memcpy(&array, pp, sizeof(array)); /* whatever it points to: no aliasing of pointer types */
	array = realloc(array, n * item);
	if (!array)
		return -ENOMEM;
	memcpy(pp, &array, sizeof(array));
	*cap = n;
	return 0;
}

static inline uint8_t *put_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

struct vz_encoder *vz_encoder_new(void)
{
	struct vz_encoder *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	/* Sparse: only the pages of functions that are used ever become memory. */
	e->nodes = calloc(VZ_MAX_FUNCTIONS + 1, sizeof(*e->nodes));
	e->zstd = ZSTD_createCCtx();
	if (!e->nodes || !e->zstd || grow(&e->lists, &e->lists_cap, 1, sizeof(*e->lists)) < 0) {
		vz_encoder_free(e);
		return NULL;
	}
	return e;
}

void vz_encoder_free(struct vz_encoder *e)
{
	if (!e)
		return;
	ZSTD_freeCCtx(e->zstd);
	free(e->nodes);
	free(e->lists);
	free(e->path);
	free(e->stack);
	free(e->scratch);
	free(e->raw);
	free(e->packed);
	free(e);
}

struct vz_frame *vz_encoder_stack(struct vz_encoder *e, uint32_t depth)
{
	size_t cap = e->stack_cap;

	if (grow(&e->stack, &cap, (size_t)depth + 1, sizeof(*e->stack)) < 0)
		return NULL;
	e->stack_cap = (uint32_t)cap;
	e->depth = depth;
	return e->stack;
}

/* Widest case of each column; NWORDS bounds entries, leaves and losses alike. */
static int reserve(struct vz_encoder *e, size_t nwords)
{
	const size_t widest[VZ_NCOLUMNS] = {
		[VZ_COLUMN_STACK] = (size_t)e->depth * VARINT_MAX,
		[VZ_COLUMN_BEGIN] = (size_t)e->depth * VARINT_MAX,
		[VZ_COLUMN_POPS] = nwords * 5,
		[VZ_COLUMN_RANKS] = nwords,
		[VZ_COLUMN_NEW] = nwords * 5,
		[VZ_COLUMN_TIMES] = nwords * VARINT_MAX,
		[VZ_COLUMN_LEAVES] = nwords * 5,
		[VZ_COLUMN_LOSSES] = nwords * 3 * VARINT_MAX,
	};
	size_t total = 0, at = 0;

	for (int i = 0; i < VZ_NCOLUMNS; i++)
		total += widest[i];
	if (grow(&e->scratch, &e->scratch_cap, total, 1) < 0 ||
	    grow(&e->path, &e->path_cap, e->depth + nwords + 1, sizeof(*e->path)) < 0)
		return -ENOMEM;
	for (int i = 0; i < VZ_NCOLUMNS; i++) {
		e->columns[i].start = e->columns[i].p = e->scratch + at;
		at += widest[i];
	}
	return 0;
}

static inline struct node *touch(struct vz_encoder *e, uint32_t index)
{
	struct node *node = &e->nodes[index];

	if (node->block != e->block)
		*node = (struct node){ .block = e->block };
	return node;
}

/* A list that is full moves to twice the room; the old room is lost until the block ends. */
static int list_room(struct vz_encoder *e, struct node *node)
{
	uint32_t cap = node->cap ? node->cap * 2u : FIRST_LIST;

	if (node->n < node->cap || node->cap == VZ_MTF_MAX)
		return 0;
	if (grow(&e->lists, &e->lists_cap, e->nlists + cap, sizeof(*e->lists)) < 0)
		return -ENOMEM;
	if (node->n)
		memcpy(e->lists + e->nlists, e->lists + node->list, node->n * sizeof(*e->lists));
	node->list = (uint32_t)e->nlists;
	node->cap = (uint8_t)cap;
	e->nlists += cap;
	return 0;
}

static int put_new(struct vz_encoder *e, struct node *node, uint32_t symbol)
{
	struct column *new = &e->columns[VZ_COLUMN_NEW];
	uint32_t *list;

	if (list_room(e, node) < 0)
		return -ENOMEM;
	list = e->lists + node->list;
	if (node->n < VZ_MTF_MAX)
		node->n++;
	memmove(list + 1, list, (node->n - 1u) * sizeof(*list));
	list[0] = symbol;
	new->p = put_varint(new->p, symbol);
	*e->columns[VZ_COLUMN_RANKS].p++ = VZ_RANK_NEW;
	return 0;
}

static inline int put_rank(struct vz_encoder *e, struct node *node, uint32_t symbol)
{
	uint32_t *list = e->lists + node->list;
	uint32_t rank = 0;

	while (rank < node->n && list[rank] != symbol)
		rank++;
	if (rank == node->n)
		return put_new(e, node, symbol);
	*e->columns[VZ_COLUMN_RANKS].p++ = (uint8_t)rank;
	for (; rank > 0; rank--)
		list[rank] = list[rank - 1];
	list[0] = symbol;
	return 0;
}

static void put_stack(struct vz_encoder *e, uint64_t t0_ns)
{
	struct column *stack = &e->columns[VZ_COLUMN_STACK], *begin = &e->columns[VZ_COLUMN_BEGIN];

	e->path[0] = ROOT;
	touch(e, ROOT);
	for (uint32_t i = 0; i < e->depth; i++) {
		const struct vz_frame *frame = &e->stack[i];

		stack->p = put_varint(stack->p, frame->symbol);
		begin->p = put_varint(begin->p, i ? frame->ns - frame[-1].ns : t0_ns - frame->ns);
		e->path[i + 1] = (frame->symbol >> VZ_SYMBOL_SHIFT) + 1;
		touch(e, e->path[i + 1]);
	}
}

/* What the walk counts. */
struct walk {
	uint32_t entries, leaves, pops, guessed;
	uint32_t events_at_loss;
	uint64_t gap;
	uint32_t top; /* index of the top frame in .path, 0: empty stack */
};

static int walk_enter(struct vz_encoder *e, struct walk *w, uint64_t word)
{
	uint32_t function = (uint32_t)word >> VZ_WORD_TAG_BITS;
	uint32_t symbol = function << VZ_SYMBOL_SHIFT | (word & 3);
	struct column *pops = &e->columns[VZ_COLUMN_POPS];
	int rc = put_rank(e, &e->nodes[e->path[w->top]], symbol);

	pops->p = put_varint(pops->p, w->pops);
	w->pops = 0;
	w->entries++;
	e->path[++w->top] = function + 1;
	touch(e, function + 1);
	return rc;
}

static void walk_leave(struct vz_encoder *e, struct walk *w, uint64_t word)
{
	struct node *node = &e->nodes[e->path[w->top--]];
	uint8_t how = word & 3;

	w->pops++;
	w->leaves++;
	if (node->leave == how) {
		w->guessed++;
		return;
	}
	node->leave = how;
	e->columns[VZ_COLUMN_LEAVES].p = put_varint(e->columns[VZ_COLUMN_LEAVES].p,
						    (uint64_t)w->guessed << VZ_LEAVE_SHIFT | how);
	w->guessed = 0;
}

static void walk_lost(struct vz_encoder *e, struct walk *w, uint64_t n, uint64_t ns)
{
	struct column *losses = &e->columns[VZ_COLUMN_LOSSES];
	uint32_t events = w->entries + w->leaves;

	losses->p = put_varint(losses->p, events - w->events_at_loss);
	losses->p = put_varint(losses->p, n);
	losses->p = put_varint(losses->p, ns);
	w->events_at_loss = events;
}

static int walk(struct vz_encoder *e, struct walk *w, const uint64_t *words, size_t nwords)
{
	uint8_t *times = e->columns[VZ_COLUMN_TIMES].p;
	int rc = 0;

	for (size_t i = 0; i < nwords && rc == 0; i++) {
		uint64_t word = words[i];
		unsigned tag = word & ((1u << VZ_WORD_TAG_BITS) - 1);
		uint64_t ns = (word >> VZ_WORD_NS_SHIFT) + w->gap;

		if (tag == VZ_WORD_GAP) {
			w->gap += word >> VZ_WORD_TAG_BITS;
			continue;
		}
		w->gap = 0;
		if (tag == VZ_WORD_LOST) {
			walk_lost(e, w, words[++i], ns);
			continue;
		}
		times = put_varint(times, ns);
		if (tag < VZ_WORD_LEAVE)
			rc = walk_enter(e, w, word);
		else
			walk_leave(e, w, word);
	}
	e->columns[VZ_COLUMN_TIMES].p = times;
	return rc;
}

static size_t column_bytes(const struct column *c)
{
	return (size_t)(c->p - c->start);
}

/* Fields, then the columns back to back, into .raw; BOUNDS gets where each column ends. */
static int join(struct vz_encoder *e, const struct walk *w, size_t bounds[VZ_NCOLUMNS + 1])
{
	size_t total = (size_t)VZ_EVENTS_FIELDS * VARINT_MAX;
	uint8_t *p;

	for (int i = 0; i < VZ_NCOLUMNS; i++)
		total += column_bytes(&e->columns[i]);
	if (grow(&e->raw, &e->raw_cap, total, 1) < 0)
		return -ENOMEM;
	p = put_varint(e->raw, w->entries);
	p = put_varint(p, w->leaves);
	p = put_varint(p, e->depth);
	for (int i = 0; i < VZ_NCOLUMNS; i++)
		p = put_varint(p, column_bytes(&e->columns[i]));
	bounds[0] = (size_t)(p - e->raw);
	for (int i = 0; i < VZ_NCOLUMNS; i++) {
		size_t n = column_bytes(&e->columns[i]);

		memcpy(p, e->columns[i].start, n);
		p += n;
		bounds[i + 1] = (size_t)(p - e->raw);
	}
	return 0;
}

static int pack(struct vz_encoder *e, size_t *used, size_t from, size_t to, int level)
{
	size_t n;

	ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_compressionLevel, level);
	n = ZSTD_compress2(e->zstd, e->packed + *used, e->packed_cap - *used, e->raw + from,
			   to - from);
	if (ZSTD_isError(n))
		return -ENOMEM;
	*used += n;
	return 0;
}

/* A long column is a zstd frame of its own, short neighbours share one; readers see one stream. */
static int pack_columns(struct vz_encoder *e, const size_t bounds[VZ_NCOLUMNS + 1], size_t *used)
{
	size_t from = 0;
	int rc = 0;

	for (int i = 0; i < VZ_NCOLUMNS && rc == 0; i++) {
		bool last = i == VZ_NCOLUMNS - 1;

		if (bounds[i + 1] - bounds[i] >= FRAME_MIN && bounds[i] > from) {
			rc = pack(e, used, from, bounds[i], LEVEL_COLUMN);
			from = bounds[i];
		}
		if (rc == 0 && (last || bounds[i + 1] - from >= FRAME_MIN)) {
			rc = pack(e, used, from, bounds[i + 1], LEVEL_COLUMN);
			from = bounds[i + 1];
		}
	}
	return rc;
}

static int reserve_packed(struct vz_encoder *e, size_t raw)
{
	return grow(&e->packed, &e->packed_cap,
		    ZSTD_compressBound(raw) + (size_t)VZ_NCOLUMNS * ZSTD_compressBound(FRAME_MIN),
		    1);
}

static void choose(struct vz_encoder *e, const uint8_t *raw, size_t bytes, size_t packed,
		   struct vz_block *head, const uint8_t **payload)
{
	bool smaller = packed > 0 && packed < bytes;

	head->codec = smaller ? VZ_CODEC_ZSTD : VZ_CODEC_NONE;
	head->raw_bytes = (uint32_t)bytes;
	head->stored_bytes = (uint32_t)(smaller ? packed : bytes);
	*payload = smaller ? e->packed : raw;
}

int vz_encode_events(struct vz_encoder *e, const uint64_t *words, size_t nwords, uint64_t t0_ns,
		     struct vz_block *head, const uint8_t **payload)
{
	size_t bounds[VZ_NCOLUMNS + 1] = { 0 }, packed = 0;
	struct walk w = { .top = e->depth };
	int rc = reserve(e, nwords);

	if (rc < 0)
		return rc;
	e->nlists = 0;
	e->block++;
	put_stack(e, t0_ns);
	rc = walk(e, &w, words, nwords);
	if (rc == 0)
		rc = join(e, &w, bounds);
	if (rc == 0)
		rc = reserve_packed(e, bounds[VZ_NCOLUMNS]);
	if (rc == 0 && bounds[VZ_NCOLUMNS] >= COMPRESS_MIN)
		rc = pack_columns(e, bounds, &packed);
	if (rc != 0)
		return rc;
	head->count = w.entries;
	choose(e, e->raw, bounds[VZ_NCOLUMNS], packed, head, payload);
	return 0;
}

int vz_encode_plain(struct vz_encoder *e, const uint8_t *raw, size_t bytes, struct vz_block *head,
		    const uint8_t **payload)
{
	size_t packed = 0;

	if (reserve_packed(e, bytes) < 0)
		return -ENOMEM;
	if (bytes >= COMPRESS_MIN) {
		ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_compressionLevel, LEVEL_PLAIN);
		packed = ZSTD_compress2(e->zstd, e->packed, e->packed_cap, raw, bytes);
		if (ZSTD_isError(packed))
			return -ENOMEM;
	}
	choose(e, raw, bytes, packed, head, payload);
	return 0;
}
