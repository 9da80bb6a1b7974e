/* SPDX-License-Identifier: MIT */
/*
 * exports.c - what the page calls to ask about a trace; viewer/web/src/core.ts is the other side.
 *
 * Most of viewer/core/query.h is called by the page as it is.  Here is what that cannot do
 * by itself: where members of structures are, and the making of structures that are arguments.
 * The page allocates with malloc(); pointers are 32 bits, so each is a number to it.
 */
#include <stddef.h>

#include "viewer/core/query.h"
#include "viewer/core/wasm/exports.h"

/* In the order of LAYOUT in core.ts. */
VZX_EXPORT const uint32_t *vzx_layout(void)
{
#define AT(member) (uint32_t) offsetof(struct vzq_result, member)
	/* clang-format off */
	static const uint32_t layout[] = {
		AT(error), AT(bad),
		AT(rows.n), AT(rows.fn), AT(rows.calls), AT(rows.resumes), AT(rows.total), AT(rows.self),
		AT(rows.seen), AT(rows.mean), AT(rows.max), AT(rows.p50), AT(rows.p99), AT(rows.raised),
		AT(rows.partial),
		AT(tree), sizeof(struct vzq_tree),
		offsetof(struct vzq_tree, parent), offsetof(struct vzq_tree, fn),
		offsetof(struct vzq_tree, calls), offsetof(struct vzq_tree, resumes),
		offsetof(struct vzq_tree, self), offsetof(struct vzq_tree, total),
		offsetof(struct vzq_tree, other), offsetof(struct vzq_tree, pruned),
		AT(busy_ns), AT(lost), AT(nvalues), AT(keys), AT(values), AT(exact),
		AT(nslices), AT(slices), AT(self_ns), AT(children), AT(descendants),
		AT(entry),
		AT(callees.n), AT(callees.fn), AT(callees.calls), AT(callees.total), AT(callees.self),
		AT(records), AT(samples.n), AT(samples.t), AT(samples.min), AT(samples.max),
		AT(samples.last),
	};
	/* clang-format on */
#undef AT
	return layout;
}

VZX_EXPORT struct vzq *vzx_open(const uint8_t *directory, uint32_t bytes)
{
	struct vzq *q;

	return vzq_open(directory, bytes, &q) < 0 ? NULL : q;
}

VZX_EXPORT void vzx_close(struct vzq *q)
{
	vzq_free(q);
}

/* Columns of records; n, start, end, fn, count, depth, how as in struct vzt_records; NULL: none. */
VZX_EXPORT struct vzt_records *vzx_records(const struct vzq *q, uint32_t tile, const uint8_t *p,
					   uint32_t n)
{
	static struct vzt_records records;

	vzt_records_fini(&records);
	records = (struct vzt_records){ 0 };
	return vzq_records(q, tile, p, n, &records) < 0 ? NULL : &records;
}

VZX_EXPORT struct vzq_job *vzx_fine(struct vzq *q, uint32_t track, uint32_t window)
{
	return vzq_fine(q, track, window);
}

VZX_EXPORT struct vzq_job *vzx_gaps(struct vzq *q, uint32_t track)
{
	return vzq_gaps(q, track);
}

VZX_EXPORT struct vzq_job *vzx_samples(struct vzq *q, uint32_t track, double from, double to,
				       double resolution)
{
	return vzq_samples(q, track, from, to, resolution);
}

/* NTRACKS < 0: all. */
static struct vzq_range make_range(double from, double to, const uint32_t *tracks, int32_t ntracks)
{
	return (struct vzq_range){ from, to, ntracks < 0 ? NULL : tracks,
				   ntracks < 0 ? 0 : (uint32_t)ntracks };
}

VZX_EXPORT struct vzq_job *vzx_aggregate(struct vzq *q, double from, double to,
					 const uint32_t *tracks, int32_t ntracks, uint32_t tree)
{
	struct vzq_range range = make_range(from, to, tracks, ntracks);

	return vzq_aggregate(q, &range, tree != 0);
}

VZX_EXPORT struct vzq_job *vzx_butterfly(struct vzq *q, double from, double to,
					 const uint32_t *tracks, int32_t ntracks, uint32_t fn)
{
	struct vzq_range range = make_range(from, to, tracks, ntracks);

	return vzq_butterfly(q, &range, fn);
}

VZX_EXPORT struct vzq_job *vzx_histogram(struct vzq *q, double from, double to,
					 const uint32_t *tracks, int32_t ntracks, uint32_t fn)
{
	struct vzq_range range = make_range(from, to, tracks, ntracks);

	return vzq_histogram(q, &range, fn);
}

VZX_EXPORT struct vzq_job *vzx_slowest(struct vzq *q, double from, double to,
				       const uint32_t *tracks, int32_t ntracks, uint32_t fn,
				       uint32_t n, double least, double below)
{
	struct vzq_range range = make_range(from, to, tracks, ntracks);

	return vzq_slowest(q, &range, fn, n, least, below);
}

VZX_EXPORT struct vzq_job *vzx_next(struct vzq *q, const uint32_t *fns, uint32_t nfns, double from,
				    int32_t direction, const uint32_t *tracks, int32_t ntracks)
{
	struct vzq_range range = make_range(0, 0, tracks, ntracks);
	struct vzq_fns set = { fns, nfns };

	return vzq_next(q, &set, from, direction, range.tracks, range.ntracks);
}

VZX_EXPORT struct vzq_job *vzx_marks(struct vzq *q, const uint32_t *fns, uint32_t nfns,
				     uint32_t buckets)
{
	struct vzq_fns set = { fns, nfns };

	return vzq_marks(q, &set, buckets);
}

VZX_EXPORT struct vzq_job *vzx_at(struct vzq *q, uint32_t track, double time, uint32_t depth)
{
	return vzq_at(q, track, time, depth);
}

VZX_EXPORT struct vzq_job *vzx_relative(struct vzq *q, double start, uint32_t track, uint32_t depth,
					uint32_t fn, uint32_t which)
{
	struct vzq_ref ref = { start, track, depth, fn };

	return vzq_relative(q, &ref, (enum vzq_relation)which);
}

VZX_EXPORT struct vzq_job *vzx_details(struct vzq *q, double start, uint32_t track, uint32_t depth,
				       uint32_t fn)
{
	struct vzq_ref ref = { start, track, depth, fn };

	return vzq_details(q, &ref);
}

/* Pairs of enum vzq_want_kind and id. */
VZX_EXPORT uint32_t vzx_want(struct vzq_job *job, struct vzq_want *ret, uint32_t max)
{
	return vzq_job_want(job, ret, max);
}

VZX_EXPORT void vzx_give(struct vzq_job *job, const uint8_t *p, uint32_t n)
{
	vzq_job_give(job, p, n);
}

VZX_EXPORT const struct vzq_result *vzx_result(const struct vzq_job *job)
{
	return vzq_job_result(job);
}

VZX_EXPORT void vzx_free_job(struct vzq_job *job)
{
	vzq_job_free(job);
}
