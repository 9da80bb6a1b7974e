/* SPDX-License-Identifier: MIT */
/*
 * decode_inl.h - the inner loop of the decoder, for who goes through millions of events.
 *
 * The same as vz_decoder_next() and vz_decoder_apply(), to be compiled into a caller's own
 * loop; what is rare is in decode.c.  The structs are the decoder's own.
 */
#ifndef VZ_VIEWER_CORE_DECODE_INL_H
#define VZ_VIEWER_CORE_DECODE_INL_H

#include <errno.h>
#include <stdbool.h>

#include "viewer/core/decode.h"

#define VZ_LIKELY(x)   __builtin_expect(!!(x), 1)
#define VZ_UNLIKELY(x) __builtin_expect(!!(x), 0)

enum {
	VZ_DECODER_ROOT = 0, /* node of the empty stack; function f has node f + 1 */
	VZ_DECODER_VARINT = 10,
};

/* See attach/encode.c. */
struct vz_decoder_node {
	uint64_t block;
	uint32_t list;
	uint8_t n, cap, leave, pad;
};

struct vz_column {
	const uint8_t *p, *end;
};

struct vz_decoder {
	struct vz_decoder_node *nodes;
	uint32_t nnodes;
	uint64_t block;
	uint32_t *lists;
	size_t nlists, lists_cap;
	struct vz_open_frame *stack;
	uint32_t depth, stack_cap;
	struct vz_column columns[VZ_NCOLUMNS];
	uint64_t ns, t1_ns;
	uint32_t entries_left, leaves_left, pops_left;
	uint32_t events;
	uint64_t guesses_left; /* leaves until the wrongly guessed one; its kind: */
	uint8_t wrong_leave;
	uint64_t loss_at; /* number of events before it */
	bool loss_ahead;
};

/* ---- decode.c: what is rare ---- */

bool vz_decoder_long_varint(struct vz_column *c, uint64_t *ret);
int vz_decoder_loss(struct vz_decoder *d, struct vz_event *ret);
int vz_decoder_end(const struct vz_decoder *d);
int vz_decoder_new_symbol(struct vz_decoder *d, uint32_t index, uint32_t *symbol);
bool vz_decoder_next_guess(struct vz_decoder *d);
int vz_decoder_more_stack(struct vz_decoder *d);

/* ---- one event ---- */

static inline bool vz_decoder_varint(struct vz_column *c, uint64_t *ret)
{
	const uint8_t *p = c->p;

	if (VZ_UNLIKELY(c->end - p < VZ_DECODER_VARINT))
		return vz_decoder_long_varint(c, ret);
	if (p[0] < 0x80) {
		*ret = p[0];
		c->p = p + 1;
		return true;
	}
	if (VZ_LIKELY(p[1] < 0x80)) {
		*ret = (p[0] & 0x7fu) | (uint32_t)p[1] << 7;
		c->p = p + 2;
		return true;
	}
	return vz_decoder_long_varint(c, ret);
}

static inline bool vz_decoder_advance(struct vz_decoder *d, struct vz_column *c, uint64_t *ns)
{
	uint64_t delta;

	if (!vz_decoder_varint(c, &delta) || delta > d->t1_ns - d->ns)
		return false;
	d->ns += delta;
	*ns = d->ns;
	return true;
}

static inline bool vz_decoder_pops(struct vz_decoder *d)
{
	uint64_t pops;

	if (VZ_UNLIKELY(!d->entries_left)) {
		d->pops_left = d->leaves_left;
		return true;
	}
	if (!vz_decoder_varint(&d->columns[VZ_COLUMN_POPS], &pops) || pops > d->leaves_left)
		return false;
	d->pops_left = (uint32_t)pops;
	return true;
}

/* Node of the function on top of the stack. */
static inline uint32_t vz_decoder_top(const struct vz_decoder *d)
{
	return d->depth ? (d->stack[d->depth - 1].symbol >> VZ_SYMBOL_SHIFT) + 1 : VZ_DECODER_ROOT;
}

static inline struct vz_decoder_node *vz_decoder_touch(struct vz_decoder *d, uint32_t index)
{
	struct vz_decoder_node *node = &d->nodes[index];

	if (VZ_UNLIKELY(node->block != d->block))
		*node = (struct vz_decoder_node){ .block = d->block };
	return node;
}

static inline int vz_decoder_enter(struct vz_decoder *d, uint32_t *symbol)
{
	struct vz_column *ranks = &d->columns[VZ_COLUMN_RANKS];
	uint32_t index = vz_decoder_top(d), rank, *list;
	struct vz_decoder_node *node;

	if (ranks->p == ranks->end)
		return -EBADMSG;
	d->entries_left--;
	rank = *ranks->p++;
	if (VZ_UNLIKELY(rank == VZ_RANK_NEW))
		return vz_decoder_new_symbol(d, index, symbol);
	node = vz_decoder_touch(d, index);
	if (rank >= node->n)
		return -EBADMSG;
	list = d->lists + node->list;
	*symbol = list[rank];
	for (; rank > 0; rank--)
		list[rank] = list[rank - 1];
	list[0] = *symbol;
	return 1;
}

static inline int vz_decoder_leave(struct vz_decoder *d, uint8_t *leave)
{
	struct vz_decoder_node *node;

	if (!d->depth)
		return -EBADMSG;
	node = vz_decoder_touch(d, vz_decoder_top(d));
	d->pops_left--;
	d->leaves_left--;
	if (VZ_LIKELY(d->guesses_left)) {
		d->guesses_left--;
	} else {
		node->leave = d->wrong_leave;
		if (!vz_decoder_next_guess(d))
			return -EBADMSG;
	}
	*leave = node->leave;
	return 1;
}

/** See vz_decoder_next(). */
static inline int vz_decoder_step(struct vz_decoder *d, struct vz_event *ret)
{
	int rc;

	if (VZ_UNLIKELY(d->loss_ahead) && d->loss_at == d->events)
		return vz_decoder_loss(d, ret);
	if (VZ_UNLIKELY(!d->pops_left && !d->entries_left))
		return vz_decoder_end(d);
	if (!vz_decoder_advance(d, &d->columns[VZ_COLUMN_TIMES], &ret->ns))
		return -EBADMSG;
	d->events++;
	if (d->pops_left) {
		ret->kind = VZ_EVENT_LEAVE;
		return vz_decoder_leave(d, &ret->leave);
	}
	ret->kind = VZ_EVENT_ENTER;
	rc = vz_decoder_enter(d, &ret->symbol);
	if (rc == 1 && !vz_decoder_pops(d))
		return -EBADMSG;
	return rc;
}

static inline int vz_decoder_push(struct vz_decoder *d, uint32_t symbol, uint64_t begin_ns)
{
	if (VZ_UNLIKELY(d->depth == d->stack_cap)) {
		int rc = vz_decoder_more_stack(d);

		if (rc < 0)
			return rc;
	}
	d->stack[d->depth++] = (struct vz_open_frame){ .begin_ns = begin_ns, .symbol = symbol };
	return 0;
}

#endif /* VZ_VIEWER_CORE_DECODE_INL_H */
