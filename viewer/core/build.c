/* SPDX-License-Identifier: MIT */
#include "viewer/core/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/build_inl.h"
#include "viewer/core/steps_inl.h"

enum {
	FIRST = 16,
	GAPS_TILE = VZI_TILE_RECORDS,
};

/* ---- density ---- */

/* Bucket i holds what is at t with i = t * VZI_DENSITY / duration, rounded down. */
static uint64_t bucket_end(const struct vz_build *b)
{
	if (b->bucket == VZI_DENSITY - 1)
		return UINT64_MAX;
	return ((b->bucket + 1) * b->options.duration_ns + VZI_DENSITY - 1) / VZI_DENSITY;
}

static inline void note_entry(struct vz_build *b, uint64_t ns)
{
	while (ns >= b->bucket_end) {
		b->bucket++;
		b->bucket_end = bucket_end(b);
	}
	b->density[b->bucket]++;
	b->track.entries++;
}

/* ---- gaps ---- */

static int write_gaps(struct vz_build *b)
{
	struct vzi_tile tile = { .kind = VZI_GAPS, .count = b->ngaps };
	struct vz_bytes *bytes = &b->writer.bytes;
	size_t head = VZI_GAP_COLUMNS * sizeof(uint32_t);
	uint8_t *p;
	int rc;

	if (!b->ngaps)
		return 0;
	rc = vz_bytes_room(bytes, head + (size_t)b->ngaps * VZI_GAP_COLUMNS * VZ_VARINT_MAX);
	if (rc < 0)
		return rc;
	tile.t0_ns = b->gaps[0].start;
	p = bytes->p + head;
	for (uint32_t column = 0; column < VZI_GAP_COLUMNS; column++) {
		uint8_t *begin = p;
		uint64_t last = tile.t0_ns;
		uint32_t n;

		for (uint32_t i = 0; i < b->ngaps; i++) {
			const struct vz_gap *gap = &b->gaps[i];

			p = vz_put_varint(p, column == 0   ? gap->start - last
					     : column == 1 ? gap->length
							   : gap->records);
			last = gap->start;
			if (gap->start + gap->length > tile.t1_ns)
				tile.t1_ns = gap->start + gap->length;
		}
		n = (uint32_t)(p - begin);
		memcpy(bytes->p + column * sizeof(n), &n, sizeof(n));
	}
	bytes->n = (size_t)(p - bytes->p);
	b->ngaps = 0;
	return vz_tile_send(&b->writer, &tile);
}

/* It may be said to have begun after its end: a track that is said to. */
static int add_gap(struct vz_build *b, uint64_t start, uint64_t end, uint64_t records)
{
	start = start < end ? start : end;
	if (b->ngaps == b->gaps_cap) {
		uint32_t cap = b->gaps_cap ? b->gaps_cap * 2 : FIRST;
		struct vz_gap *bigger = realloc(b->gaps, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		b->gaps = bigger;
		b->gaps_cap = cap;
	}
	b->gaps[b->ngaps++] = (struct vz_gap){
		.start = start,
		.length = end - start,
		.records = records,
	};
	return b->ngaps == GAPS_TILE ? write_gaps(b) : 0;
}

/* ---- what the steps tell ---- */

static inline __attribute__((always_inline)) int on_enter(void *ctx, const struct vz_visit *at)
{
	struct vz_build *b = ctx;
	uint64_t ns = vz_build_time(b, at->ns);

	if (at->depth > b->track.max_depth)
		b->track.max_depth = at->depth;
	note_entry(b, ns);
	b->event_ns = ns;
	return vz_sums_enter(&b->sums, at->stack[at->depth - 1].symbol, ns);
}

static inline __attribute__((always_inline)) int on_leave(void *ctx, const struct vz_visit *at)
{
	struct vz_build *b = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	uint64_t begin = vz_build_time(b, frame->begin_ns), ns = vz_build_time(b, at->ns);
	uint32_t depth = at->depth - 1;
	const struct vz_record call = {
		.start = begin,
		.length = ns - begin,
		.depth = depth < VZ_BUILD_MAX_DEPTH ? depth : VZ_BUILD_MAX_DEPTH,
		.function = frame->symbol >> VZ_SYMBOL_SHIFT,
		.last = (frame->symbol & ((1u << VZ_SYMBOL_SHIFT) - 1)) |
			(uint32_t)at->how << VZI_HOW_LEAVE_SHIFT,
	};
	int rc = 0;

	b->event_ns = ns;
	if (ns >= b->runs.sweep_ns)
		rc = vz_runs_sweep(&b->runs, &b->writer, ns);
	if (rc == 0)
		rc = vz_runs_call(&b->runs, &b->writer, &call);
	return rc < 0 ? rc : vz_sums_leave(&b->sums, at->stack, at->depth, at->how, begin, ns);
}

/* What is not known is what followed the last event, or the begin of the track. */
static int on_lost(void *ctx, const struct vz_visit *at)
{
	struct vz_build *b = ctx;
	uint64_t ns = vz_build_time(b, at->ns), start = b->event_ns;

	if (at->lost) {
		b->track.lost += at->lost;
		b->event_ns = ns;
		return add_gap(b, start, ns, at->lost);
	}
	b->track.holes++;
	return add_gap(b, start, b->hole_end, 0);
}

static const struct vz_visitor visitor = {
	.enter = on_enter,
	.leave = on_leave,
	.lost = on_lost,
};

/* ---- blocks ---- */

/*
 * Blocks that could not be read had to wait for what follows, as they cannot cover time
 * that does.  All up to number N - 1 begin now; the last one at NS, if it is not one of them.
 */
static int start_blocks(struct vz_build *b, uint32_t n, uint64_t ns)
{
	uint64_t least = vz_build_time(b, b->line.ns);
	int rc = 0;

	for (; b->nstarted < n && rc == 0; b->nstarted++) {
		struct vzi_block *block = &b->blocks[b->nstarted];
		bool unreadable = block->flags & VZI_BLOCK_UNREADABLE;
		uint64_t from = unreadable ? block->t0_ns : ns;

		from = from > ns ? ns : from;
		from = from < least ? least : from;
		if (b->nstarted)
			rc = vz_sums_cut(&b->sums, &b->writer, &b->line, from, b->blocks,
					 b->nstarted - 1);
		else if (from > b->track.begin_ns)
			from = b->track.begin_ns;
		block->from_ns = least = from;
	}
	return rc;
}

static struct vzi_block *new_block(struct vz_build *b)
{
	if (b->nblocks == b->blocks_cap) {
		uint32_t cap = b->blocks_cap ? b->blocks_cap * 2 : FIRST;
		struct vzi_block *bigger = realloc(b->blocks, cap * sizeof(*bigger));

		if (!bigger)
			return NULL;
		b->blocks = bigger;
		b->blocks_cap = cap;
	}
	return &b->blocks[b->nblocks++];
}

int vz_build_block(struct vz_build *b, uint32_t number, const struct vz_block *head,
		   const uint8_t *raw)
{
	struct vzi_block *block = new_block(b);
	uint32_t holes = b->track.holes;
	int rc = VZ_STEPS_NONSENSE;

	if (!block)
		return -ENOMEM;
	*block = (struct vzi_block){
		.t0_ns = vz_build_time(b, head->t0_ns),
		.t1_ns = vz_build_time(b, head->t1_ns > head->t0_ns ? head->t1_ns : head->t0_ns),
		.number = number,
		.raw_bytes = head->raw_bytes,
		.entries = head->count,
	};
	if (raw)
		rc = vz_steps_open(&b->steps, &b->line, head, raw);
	if (rc == VZ_STEPS_NONSENSE) {
		b->line.holed = true;
		block->flags |= VZI_BLOCK_UNREADABLE;
		return 0;
	}
	if (rc == 0)
		rc = start_blocks(b, b->nblocks, vz_build_time(b, b->steps.from_ns));
	b->hole_end = block->t0_ns;
	if (rc == 0)
		rc = vz_steps_play(&b->steps, &visitor);
	if (b->track.holes > holes)
		block->flags |= VZI_BLOCK_AFTER_HOLE;
	return rc < 0 ? rc : 0;
}

/* ---- begin and end ---- */

int vz_build_new(const struct vz_build_options *options, struct vz_build **ret)
{
	struct vz_build *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return -ENOMEM;
	b->options = *options;
	if (b->options.duration_ns > VZ_BUILD_MAX_NS)
		b->options.duration_ns = VZ_BUILD_MAX_NS;
	b->writer.sink = options->sink;
	b->writer.track = options->track;
	b->track.place = options->place;
	b->track.flags = options->flags;
	b->track.begin_ns = vz_build_time(b, options->begin_ns);
	b->track.end_ns = vz_build_time(b, options->end_ns);
	b->line.place = options->place;
	b->event_ns = b->track.begin_ns;
	b->bucket_end = bucket_end(b);
	vz_runs_init(&b->runs, b->options.duration_ns);
	rc = vz_steps_init(&b->steps, &visitor, b);
	if (rc == 0)
		rc = vz_sums_init(&b->sums);
	if (rc < 0)
		vz_build_free(b);
	else
		*ret = b;
	return rc;
}

void vz_build_free(struct vz_build *b)
{
	if (!b)
		return;
	vz_line_fini(&b->steps, &b->line);
	vz_steps_fini(&b->steps);
	vz_tile_writer_fini(&b->writer);
	vz_runs_fini(&b->runs);
	vz_sums_fini(&b->sums);
	vz_samples_fini(&b->samples);
	free(b->blocks);
	free(b->gaps);
	free(b);
}

int vz_build_end(struct vz_build *b)
{
	uint64_t end_ns = b->options.end_ns > b->line.ns ? b->options.end_ns : b->line.ns;
	struct vzi_track *track = &b->track;
	int rc;

	if (vz_build_time(b, end_ns) > track->end_ns)
		track->end_ns = vz_build_time(b, end_ns);
	rc = start_blocks(b, b->nblocks, track->end_ns);
	b->hole_end = track->end_ns;
	if (rc == 0)
		rc = vz_steps_close(&b->steps, &b->line, end_ns);
	if (rc == 0 && b->nblocks)
		rc = vz_sums_cut(&b->sums, &b->writer, &b->line, track->end_ns, b->blocks,
				 b->nblocks - 1);
	if (rc == 0 && b->nblocks)
		rc = vz_sums_end(&b->sums, &b->writer, track->end_ns, b->blocks, b->nblocks);
	if (rc == 0)
		rc = vz_runs_end(&b->runs, &b->writer);
	if (rc == 0)
		rc = write_gaps(b);
	if (rc == 0)
		rc = vz_samples_end(&b->samples, &b->writer);
	track->nblocks = b->nblocks;
	track->nnodes = b->sums.paths.nnodes;
	track->left_calls = b->sums.paths.left_calls;
	if (track->begin_ns > track->end_ns)
		track->begin_ns = track->end_ns;
	return rc;
}

const struct vzi_track *vz_build_track(const struct vz_build *b)
{
	return &b->track;
}

const struct vzi_block *vz_build_blocks(const struct vz_build *b, uint32_t *n)
{
	*n = b->nblocks;
	return b->blocks;
}

const uint32_t *vz_build_density(const struct vz_build *b)
{
	return b->density;
}
