/* SPDX-License-Identifier: MIT */
#include "viewer/core/decode.h"

#include <stdlib.h>
#include <string.h>

#include "viewer/core/decode_inl.h"

enum {
	MAX_DEPTH = 4 << 20, /* four times what a recorder follows */
	ROOT = 0,            /* node of the empty stack; function f has node f + 1 */
	SYMBOL_HOW = (1 << VZ_SYMBOL_SHIFT) - 1,
	LEAVE_HOW = (1 << VZ_LEAVE_SHIFT) - 1,
	FIRST_LIST = 4,
	FIRST_FRAMES = 64,
	FIRST_NODES = 1024,
};

/* Make node INDEX be there. */
static int have_node(struct vz_decoder *d, uint32_t index)
{
	uint32_t n = d->nnodes ? d->nnodes : FIRST_NODES;
	struct vz_decoder_node *bigger;

	if (index < d->nnodes)
		return 0;
	while (n <= index)
		n *= 2;
	bigger = realloc(d->nodes, n * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger + d->nnodes, 0, (n - d->nnodes) * sizeof(*bigger));
	d->nodes = bigger;
	d->nnodes = n;
	return 0;
}

struct vz_decoder *vz_decoder_new(void)
{
	struct vz_decoder *d = calloc(1, sizeof(*d));

	if (d && have_node(d, VZ_DECODER_ROOT) < 0) {
		free(d);
		return NULL;
	}
	return d;
}

void vz_decoder_free(struct vz_decoder *d)
{
	if (!d)
		return;
	free(d->nodes);
	free(d->lists);
	free(d->stack);
	free(d);
}

bool vz_decoder_long_varint(struct vz_column *c, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; c->p < c->end && shift < 64; shift += 7) {
		uint8_t byte = *c->p++;

		if (shift == 63 && byte > 1)
			return false;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret = v;
			return true;
		}
	}
	return false;
}

static inline bool get_u32(struct vz_column *c, uint32_t *ret)
{
	uint64_t v;

	if (!vz_decoder_long_varint(c, &v) || v > UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static int get_symbol(struct vz_decoder *d, struct vz_column *c, uint32_t *ret)
{
	if (!get_u32(c, ret) || *ret >> VZ_SYMBOL_SHIFT >= VZ_MAX_FUNCTIONS)
		return -EBADMSG;
	return have_node(d, (*ret >> VZ_SYMBOL_SHIFT) + 1);
}

int vz_decoder_more_stack(struct vz_decoder *d)
{
	uint32_t cap = d->stack_cap ? d->stack_cap * 2 : FIRST_FRAMES;
	struct vz_open_frame *bigger = realloc(d->stack, cap * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	d->stack = bigger;
	d->stack_cap = cap;
	return 0;
}

/* The guesses that hold until the next correction; none left: they all hold. */
bool vz_decoder_next_guess(struct vz_decoder *d)
{
	struct vz_column *c = &d->columns[VZ_COLUMN_LEAVES];
	uint64_t v;

	d->guesses_left = UINT64_MAX;
	if (c->p == c->end)
		return true;
	if (!vz_decoder_long_varint(c, &v))
		return false;
	d->guesses_left = v >> VZ_LEAVE_SHIFT;
	d->wrong_leave = v & LEAVE_HOW;
	return true;
}

static bool next_loss(struct vz_decoder *d)
{
	struct vz_column *c = &d->columns[VZ_COLUMN_LOSSES];
	uint64_t events;

	d->loss_ahead = c->p < c->end;
	if (!d->loss_ahead)
		return true;
	if (!vz_decoder_long_varint(c, &events) || events > UINT32_MAX)
		return false;
	d->loss_at += events;
	return true;
}

static int read_stack(struct vz_decoder *d, uint32_t depth, uint64_t t0_ns)
{
	struct vz_column *symbols = &d->columns[VZ_COLUMN_STACK];
	struct vz_column *begins = &d->columns[VZ_COLUMN_BEGIN];
	uint64_t ns = t0_ns;

	d->depth = 0;
	for (uint32_t i = 0; i < depth; i++) {
		uint32_t symbol;
		uint64_t delta;
		int rc = get_symbol(d, symbols, &symbol);

		if (rc < 0)
			return rc;
		if (!vz_decoder_long_varint(begins, &delta))
			return -EBADMSG;
		if (i == 0 ? delta > ns : delta > t0_ns - ns)
			return -EBADMSG;
		ns = i == 0 ? ns - delta : ns + delta;
		if (vz_decoder_push(d, symbol, ns) < 0)
			return -ENOMEM;
	}
	return symbols->p == symbols->end && begins->p == begins->end ? 0 : -EBADMSG;
}

/* Where each column is; they must fill the payload to the last byte. */
static bool read_fields(struct vz_decoder *d, struct vz_column all, uint32_t *depth)
{
	uint64_t fields[VZ_EVENTS_FIELDS];

	for (int i = 0; i < VZ_EVENTS_FIELDS; i++)
		if (!vz_decoder_long_varint(&all, &fields[i]) || fields[i] > VZ_BLOCK_MAX_BYTES)
			return false;
	for (int i = 0; i < VZ_NCOLUMNS; i++) {
		uint64_t bytes = fields[VZ_EVENTS_COLUMNS + i];

		if (bytes > (uint64_t)(all.end - all.p))
			return false;
		d->columns[i] = (struct vz_column){ all.p, all.p + bytes };
		all.p += bytes;
	}
	d->entries_left = (uint32_t)fields[VZ_EVENTS_ENTRIES];
	d->leaves_left = (uint32_t)fields[VZ_EVENTS_LEAVES];
	*depth = (uint32_t)fields[VZ_EVENTS_DEPTH];
	return all.p == all.end;
}

int vz_decoder_open(struct vz_decoder *d, const struct vz_block *head, const uint8_t *raw)
{
	uint32_t depth;
	int rc;

	if (!read_fields(d, (struct vz_column){ raw, raw + head->raw_bytes }, &depth) ||
	    d->entries_left != head->count || head->t1_ns < head->t0_ns ||
	    d->entries_left > VZ_BLOCK_MAX_CALLS || depth > MAX_DEPTH)
		return -EBADMSG;
	d->block++;
	d->nlists = 0;
	d->events = 0;
	d->loss_at = 0;
	d->ns = head->t0_ns;
	d->t1_ns = head->t1_ns;
	rc = read_stack(d, depth, head->t0_ns);
	if (rc < 0)
		return rc;
	return vz_decoder_pops(d) && vz_decoder_next_guess(d) && next_loss(d) ? 0 : -EBADMSG;
}

static int list_room(struct vz_decoder *d, struct vz_decoder_node *node)
{
	uint32_t cap = node->cap ? node->cap * 2u : FIRST_LIST;

	if (node->n < node->cap || node->cap == VZ_MTF_MAX)
		return 0;
	if (d->nlists + cap > d->lists_cap) {
		size_t want = (d->nlists + cap) * 2;
		uint32_t *bigger = realloc(d->lists, want * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		d->lists = bigger;
		d->lists_cap = want;
	}
	if (node->n)
		memcpy(d->lists + d->nlists, d->lists + node->list, node->n * sizeof(*d->lists));
	node->list = (uint32_t)d->nlists;
	node->cap = (uint8_t)cap;
	d->nlists += cap;
	return 0;
}

/* To the front of the list of the function with node INDEX; nodes may move meanwhile. */
int vz_decoder_new_symbol(struct vz_decoder *d, uint32_t index, uint32_t *symbol)
{
	int rc = get_symbol(d, &d->columns[VZ_COLUMN_NEW], symbol);
	struct vz_decoder_node *node;
	uint32_t *list;

	if (rc < 0)
		return rc;
	node = vz_decoder_touch(d, index);
	if (list_room(d, node) < 0)
		return -ENOMEM;
	list = d->lists + node->list;
	if (node->n < VZ_MTF_MAX)
		node->n++;
	memmove(list + 1, list, (node->n - 1u) * sizeof(*list));
	list[0] = *symbol;
	return 1;
}

int vz_decoder_loss(struct vz_decoder *d, struct vz_event *ret)
{
	struct vz_column *c = &d->columns[VZ_COLUMN_LOSSES];

	ret->kind = VZ_EVENT_LOST;
	if (!vz_decoder_long_varint(c, &ret->lost) || !vz_decoder_advance(d, c, &ret->ns) ||
	    !next_loss(d))
		return -EBADMSG;
	return 1;
}

/* Nothing may be left over, and the last event is where the header says. */
int vz_decoder_end(const struct vz_decoder *d)
{
	for (int i = 0; i < VZ_NCOLUMNS; i++)
		if (d->columns[i].p != d->columns[i].end)
			return -EBADMSG;
	return d->ns == d->t1_ns ? 0 : -EBADMSG;
}

int vz_decoder_next(struct vz_decoder *d, struct vz_event *ret)
{
	return vz_decoder_step(d, ret);
}

int vz_decoder_apply(struct vz_decoder *d, const struct vz_event *event)
{
	if (event->kind == VZ_EVENT_ENTER)
		return vz_decoder_push(d, event->symbol, event->ns);
	if (event->kind == VZ_EVENT_LEAVE)
		d->depth--;
	return 0;
}

struct vz_open_frame *vz_decoder_stack(const struct vz_decoder *d, uint32_t *depth)
{
	*depth = d->depth;
	return d->stack;
}
