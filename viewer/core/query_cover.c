/* SPDX-License-Identifier: MIT */
#include "viewer/core/query_sums.h"

#include <errno.h>

static bool unreadable(const struct vzi_block *block)
{
	return block->flags & VZI_BLOCK_UNREADABLE;
}

uint64_t vzq_covered(const struct vzq *q, uint32_t track, uint32_t i)
{
	const struct vzi_track *t = &q->tracks[track];
	uint64_t from = vzq_block_of(q, track, i)->from_ns;

	if (i + 1 < t->nblocks)
		return vzq_block_of(q, track, i + 1)->from_ns;
	return t->end_ns > from ? t->end_ns : from;
}

uint64_t vzq_last_event(const struct vzq *q, uint32_t track, uint32_t i)
{
	const struct vzi_block *b = vzq_block_of(q, track, i);
	uint64_t covered = vzq_covered(q, track, i);

	if (unreadable(b) || b->t1_ns < b->from_ns)
		return b->from_ns;
	return b->t1_ns < covered ? b->t1_ns : covered;
}

uint32_t vzq_begun(const struct vzq *q, uint32_t track, uint64_t ns)
{
	uint32_t lo = 0, hi = q->tracks[track].nblocks;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (vzq_block_of(q, track, mid)->from_ns < ns)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t vzq_readable_before(const struct vzq *q, uint32_t track, uint32_t i)
{
	while (i-- > 0)
		if (!unreadable(vzq_block_of(q, track, i)))
			return i;
	return VZQ_NO_BLOCK;
}

uint32_t vzq_readable_from(const struct vzq *q, uint32_t track, uint32_t i)
{
	for (; i < q->tracks[track].nblocks; i++)
		if (!unreadable(vzq_block_of(q, track, i)))
			return i;
	return VZQ_NO_BLOCK;
}

uint32_t vzq_block_at(const struct vzq *q, uint32_t track, uint64_t ns)
{
	return vzq_readable_before(q, track, vzq_begun(q, track, ns + 1));
}

static bool is_within(const struct vzq *q, uint32_t track, uint32_t i, uint64_t from, uint64_t to)
{
	uint64_t covered = vzq_covered(q, track, i);

	if (vzq_block_of(q, track, i)->from_ns < from)
		return false;
	if (to == VZQ_NO_END)
		return true;
	/* What is open when the track ends ends at that time, so that belongs to the last block. */
	if (i + 1 == q->tracks[track].nblocks)
		return covered < to && vzq_last_event(q, track, i) < to;
	return covered <= to && vzq_last_event(q, track, i) < to;
}

void vzq_cover(const struct vzq *q, uint32_t track, uint64_t from, uint64_t whole_from, uint64_t to,
	       struct vzq_cover *ret)
{
	uint32_t n = q->tracks[track].nblocks;
	uint32_t first = vzq_begun(q, track, from);
	uint32_t end = to == VZQ_NO_END ? n : vzq_begun(q, track, to);

	/* Blocks before the first that begins in the range, as far as they reach into it. */
	while (first > 0 && (vzq_covered(q, track, first - 1) > from ||
			     vzq_last_event(q, track, first - 1) >= from ||
			     (first == n && vzq_covered(q, track, n - 1) >= from)))
		first--;
	if (first > end)
		first = end;
	*ret = (struct vzq_cover){ first, first, end, end };
	while (ret->lo < end && !is_within(q, track, ret->lo, whole_from, to))
		ret->lo++;
	if (ret->lo == end) {
		ret->hi = ret->lo;
		return;
	}
	while (ret->hi > ret->lo && !is_within(q, track, ret->hi - 1, whole_from, to))
		ret->hi--;
}

uint32_t vzq_summary(const struct vzq *q, uint32_t track, unsigned kind, unsigned level,
		     uint32_t first)
{
	struct vzq_group group = vzq_group(q, track, kind, level);
	uint32_t lo = group.first, hi = group.first + group.n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (q->tiles[mid].first < first)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < group.first + group.n && q->tiles[lo].first == first ? lo : VZQ_NO_BLOCK;
}

void vzq_summary_span(const struct vzq *q, const struct vzi_tile *tile, struct vzq_span *ret)
{
	uint32_t n = q->tracks[tile->track].nblocks;
	uint32_t size = 1u << VZI_FANOUT_SHIFT * tile->level;

	*ret = (struct vzq_span){ tile->track, tile->kind, tile->first, n };
	if (size < n - tile->first)
		ret->hi = tile->first + size;
}

/* The largest summary that begins with block LO and lies within SPAN. */
static uint32_t largest(const struct vzq *q, const struct vzq_span *span, uint32_t lo,
			int max_level)
{
	uint32_t found = VZQ_NO_BLOCK;
	struct vzq_span its;

	for (int k = 0; k <= max_level && k <= VZQ_SUMMARY_LEVELS; k++) {
		uint32_t tile;

		if (lo & ((1u << VZI_FANOUT_SHIFT * k) - 1))
			break;
		tile = vzq_summary(q, span->track, span->kind, (unsigned)k, lo);
		if (tile == VZQ_NO_BLOCK)
			continue;
		vzq_summary_span(q, &q->tiles[tile], &its);
		if (its.hi > span->hi)
			break;
		found = tile;
	}
	return found;
}

int vzq_plan_span(struct vzq_job *job, const struct vzq_span *span, int max_level, uint32_t tag)
{
	struct vzq_item item = { .kind = VZQ_WANT_TILE, .tag = tag, .arg = span->track };
	struct vzq_span its;
	int rc = 0;

	for (uint32_t i = span->lo; i < span->hi && rc == 0; i = its.hi) {
		item.id = largest(job->q, span, i, max_level);
		its.hi = i + 1;
		if (item.id == VZQ_NO_BLOCK) {
			rc = vzq_edge_plan(job, span->track, i, span->kind);
			continue;
		}
		vzq_summary_span(job->q, &job->q->tiles[item.id], &its);
		rc = vzq_job_plan(job, &item);
	}
	return rc;
}

int vzq_scan_open(struct vzq *q, const struct vzq_item *item, const uint8_t *p, size_t n,
		  const struct vzq_scan *scan)
{
	static const struct vz_visitor nobody;
	const struct vzi_block *b = &q->blocks[item->id];
	const struct vz_block head = {
		.raw_bytes = (uint32_t)n,
		.count = b->entries,
		.t0_ns = b->t0_ns + q->head->zero_ns,
		.t1_ns = b->t1_ns + q->head->zero_ns,
	};
	uint32_t depth;
	int rc;

	if (!p)
		return -EBADMSG;
	q->steps.visitor = scan->visitor ? scan->visitor : &nobody;
	q->steps.ctx = scan->ctx;
	rc = vz_steps_open(&q->steps, scan->line, &head, p);
	if (rc < 0)
		return rc;
	if (rc == VZ_STEPS_NONSENSE)
		return -EBADMSG;
	vz_decoder_stack(q->steps.decoder, &depth);
	if (scan->depth)
		*scan->depth = depth;
	return 0;
}

int vzq_scan(struct vzq *q, const struct vzq_item *item, const uint8_t *p, size_t n,
	     const struct vzq_scan *scan)
{
	int rc = vzq_scan_open(q, item, p, n, scan);

	if (rc == 0)
		rc = vz_steps_events(&q->steps);
	return rc == VZ_STEPS_NONSENSE ? -EBADMSG : rc;
}
