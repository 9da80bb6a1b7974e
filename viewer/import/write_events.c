/* SPDX-License-Identifier: MIT */
/* Events of tracks: their stacks, and what waits for a block. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/import/write_priv.h"

void vz_writer_free_events(struct vz_writer_track *t)
{
	t->w->held -= t->cap * sizeof(*t->events);
	free(t->events);
	t->events = NULL;
	t->cap = 0;
}

void vz_writer_flush_events(struct vz_writer_track *t)
{
	struct vz_writer *w = t->w;
	struct vz_block head = { .type = VZ_BLOCK_EVENTS, .track = t->id };
	const struct vz_pack_events in = { t->base, t->base_depth, t->events, t->n };
	const uint8_t *payload;
	int rc;

	if (!t->n)
		return;
	vz_writer_flush_records(w);
	rc = w->error ? w->error : vz_pack_events(w->pack, &in, &head, &payload);
	if (rc == 0)
		vz_writer_put_block(w, &head, payload);
	else
		vz_writer_fail(w, rc);
	t->n = 0;
	t->entries_here = 0;
}

static void flush_largest(struct vz_writer *w)
{
	struct vz_writer_track *largest = w->tracks;

	for (struct vz_writer_track *t = largest; t; t = t->next)
		if (t->cap > largest->cap)
			largest = t;
	vz_writer_flush_events(largest);
	vz_writer_free_events(largest);
}

static int grow_frames(struct vz_pack_frame **frames, uint32_t *cap, uint32_t want)
{
	uint32_t n = *cap ? *cap : FIRST;
	struct vz_pack_frame *bigger;

	if (want <= *cap)
		return 0;
	while (n < want)
		n *= 2;
	bigger = reallocarray(*frames, n, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	*frames = bigger;
	*cap = n;
	return 0;
}

static int grow_events(struct vz_writer_track *t)
{
	uint32_t cap = t->cap ? t->cap * 2 : FIRST;
	struct vz_pack_event *bigger;

	if (t->w->held > HELD_MAX) {
		flush_largest(t->w);
		cap = t->cap ? t->cap * 2 : FIRST;
	}
	bigger = reallocarray(t->events, cap, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	t->w->held += (cap - t->cap) * sizeof(*bigger);
	t->events = bigger;
	t->cap = cap;
	return 0;
}

/* Make the stack as it is now that on which the next block begins. */
static int begin_block(struct vz_writer_track *t)
{
	if (grow_frames(&t->base, &t->base_cap, t->depth) < 0)
		return -ENOMEM;
	if (t->depth)
		memcpy(t->base, t->stack, t->depth * sizeof(*t->base));
	t->base_depth = t->depth;
	return 0;
}

static int make_room(struct vz_writer_track *t)
{
	int rc = t->w->error;

	if (t->n + EVENTS_PER_PUT > MAX_EVENTS || t->entries_here == VZ_BLOCK_MAX_CALLS)
		vz_writer_flush_events(t);
	if (rc == 0 && t->n + EVENTS_PER_PUT > t->cap)
		rc = grow_events(t);
	if (rc == 0 && !t->n)
		rc = begin_block(t);
	if (rc < 0)
		vz_writer_fail(t->w, rc);
	return rc;
}

static inline int put(struct vz_writer_track *t, uint32_t what, uint64_t ns)
{
	if (!t->n || t->n + EVENTS_PER_PUT > t->cap || t->entries_here == VZ_BLOCK_MAX_CALLS) {
		int rc = make_room(t);

		if (rc < 0)
			return rc;
	}
	t->events[t->n++] = (struct vz_pack_event){ .ns = ns, .what = what };
	t->ns = ns;
	return 0;
}

void vz_writer_enter(struct vz_writer_track *t, uint32_t function, enum vz_entry how, uint64_t ns)
{
	if (t->depth == t->stack_cap && grow_frames(&t->stack, &t->stack_cap, t->depth + 1) < 0) {
		vz_writer_fail(t->w, -ENOMEM);
		return;
	}
	if (put(t, function << VZ_PACK_TAG_BITS | (VZ_PACK_ENTER + how), ns) < 0)
		return;
	t->stack[t->depth++] = (struct vz_pack_frame){
		.ns = ns,
		.symbol = function << VZ_SYMBOL_SHIFT | how,
	};
	t->entries++;
	t->entries_here++;
	t->w->calls += how != VZ_ENTRY_OPEN;
}

void vz_writer_leave(struct vz_writer_track *t, enum vz_leave how, uint64_t ns)
{
	if (t->depth && put(t, VZ_PACK_LEAVE + how, ns) == 0)
		t->depth--;
}

void vz_writer_lost(struct vz_writer_track *t, uint64_t records, uint64_t ns)
{
	if (put(t, VZ_PACK_LOST, ns) < 0)
		return;
	t->events[t->n++] = (struct vz_pack_event){ .ns = records };
	t->w->lost += records;
}
