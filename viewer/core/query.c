/* SPDX-License-Identifier: MIT */
#include "viewer/core/query_core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/directory.h"
#include "viewer/core/query_sums.h"
#include "viewer/core/query_tree.h"

/* ---- the directory ---- */

static bool is_summary(const struct vzi_tile *tile)
{
	return tile->kind == VZI_FUNCS || tile->kind == VZI_PATHS;
}

/* Summaries are found by their first block, also nodes by their number. */
static bool check_tile(const struct vzq *q, uint32_t i)
{
	const struct vzi_tile *tile = &q->tiles[i], *before = i ? tile - 1 : tile;
	const struct vzi_track *track = &q->tracks[tile->track];

	if (!is_summary(tile) && tile->kind != VZI_NODES)
		return true;
	if (i > track->first_tile && before->kind == tile->kind && before->level == tile->level &&
	    before->first >= tile->first)
		return false;
	return !is_summary(tile) ||
	       (tile->first < track->nblocks && tile->level <= VZQ_SUMMARY_LEVELS &&
		!(tile->first & ((1u << VZI_FANOUT_SHIFT * tile->level) - 1)));
}

static void note_tile(struct vzq *q, uint32_t i)
{
	const struct vzi_tile *tile = &q->tiles[i];
	struct vzq_group *group = &q->groups[tile->track][tile->kind][tile->level];

	q->reach[i] = tile->t1_ns;
	if (!group->n++)
		group->first = i;
	else if (q->reach[i - 1] > q->reach[i])
		q->reach[i] = q->reach[i - 1];
}

static int take_directory(struct vzq *q, size_t bytes)
{
	struct vz_directory_view view;

	if (vz_directory_check(q->blob, bytes, UINT64_MAX, &view) < 0)
		return -EBADMSG;
	q->head = view.head;
	q->tracks = view.tracks;
	q->tiles = view.tiles;
	q->blocks = view.blocks;
	q->density = view.density;
	q->groups = calloc(q->head->ntracks + 1u, sizeof(*q->groups));
	q->reach = calloc(q->head->ntiles + 1u, sizeof(*q->reach));
	q->forest = vzq_forest_new(q->tracks, q->head->ntracks);
	if (!q->groups || !q->reach || !q->forest || vz_steps_init(&q->steps, NULL, NULL) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < q->head->ntiles; i++) {
		if (!check_tile(q, i))
			return -EBADMSG;
		note_tile(q, i);
	}
	return 0;
}

int vzq_open(const uint8_t *directory, size_t bytes, struct vzq **ret)
{
	struct vzq *q = calloc(1, sizeof(*q));
	int rc = -ENOMEM;

	if (q)
		q->blob = malloc(bytes ? bytes : 1);
	if (q && q->blob) {
		if (bytes)
			memcpy(q->blob, directory, bytes);
		rc = take_directory(q, bytes);
	}
	if (rc < 0) {
		vzq_free(q);
		return rc;
	}
	*ret = q;
	return 0;
}

void vzq_free(struct vzq *q)
{
	if (!q)
		return;
	vzq_last_fini(&q->last);
	vzq_forest_free(q->forest);
	vz_steps_fini(&q->steps);
	free(q->groups);
	free(q->reach);
	free(q->blob);
	free(q);
}

const struct vzi_directory *vzq_directory(const struct vzq *q)
{
	return q->head;
}

const struct vzi_track *vzq_track(const struct vzq *q, uint32_t track)
{
	return track < q->head->ntracks ? &q->tracks[track] : NULL;
}

const struct vzi_tile *vzq_tile(const struct vzq *q, uint32_t tile)
{
	return tile < q->head->ntiles ? &q->tiles[tile] : NULL;
}

const struct vzi_block *vzq_block(const struct vzq *q, uint32_t block)
{
	return block < q->head->nblocks ? &q->blocks[block] : NULL;
}

const uint32_t *vzq_density(const struct vzq *q)
{
	return q->density;
}

/* ---- times and tracks ---- */

uint64_t vzq_ns(double t)
{
	uint64_t ns;

	if (!(t > 0))
		return 0;
	if (t >= (double)VZQ_MAX_NS)
		return VZQ_MAX_NS;
	ns = (uint64_t)t;
	return ns + ((double)ns < t);
}

uint64_t vzq_end_ns(const struct vzq *q, double t)
{
	uint64_t ns = vzq_ns(t);

	return ns >= q->head->duration_ns ? VZQ_NO_END : ns;
}

int vzq_tracks_init(const struct vzq *q, struct vzq_tracks *t, const uint32_t *tracks,
		    uint32_t ntracks)
{
	uint32_t all = q->head->ntracks;
	uint8_t *meant = calloc(all + 1u, 1);

	*t = (struct vzq_tracks){ .p = malloc((all + 1u) * sizeof(*t->p)) };
	if (!meant || !t->p) {
		free(meant);
		vzq_tracks_fini(t);
		return -ENOMEM;
	}
	for (uint32_t i = 0; tracks && i < ntracks; i++)
		if (tracks[i] < all)
			meant[tracks[i]] = 1;
	for (uint32_t i = 0; i < all; i++)
		if (!tracks || meant[i])
			t->p[t->n++] = i;
	free(meant);
	return 0;
}

void vzq_tracks_fini(struct vzq_tracks *t)
{
	free(t->p);
	*t = (struct vzq_tracks){ 0 };
}

/* ---- the plan of a view ---- */

struct plan {
	const struct vzq *q;
	const struct vzq_view *view;
	uint64_t from, to;
	struct vzq_view_tile *ret;
	uint32_t n, max;
};

uint32_t vzq_first_reaching(const struct vzq *q, struct vzq_group group, uint64_t from)
{
	uint32_t lo = group.first, hi = group.first + group.n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (q->reach[mid] < from)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void plan_group(struct plan *p, uint32_t track, unsigned kind, unsigned level)
{
	struct vzq_group group = vzq_group(p->q, track, kind, level);
	uint32_t end = group.first + group.n;

	for (uint32_t i = vzq_first_reaching(p->q, group, p->from); i < end; i++) {
		const struct vzi_tile *tile = &p->q->tiles[i];

		if (tile->t0_ns >= p->to)
			break;
		if (tile->t1_ns < p->from)
			continue;
		if (p->n < p->max)
			p->ret[p->n] = (struct vzq_view_tile){
				.id = i,
				.t0 = (double)tile->t0_ns,
				.t1 = (double)tile->t1_ns,
				.track = track,
				.kind = kind == VZI_SLICES ? VZQ_SLICES : VZQ_RUNS,
				.level = level,
			};
		p->n++;
	}
}

static void plan_windows(struct plan *p, uint32_t track)
{
	const struct vzi_track *t = &p->q->tracks[track];
	double each = (double)(p->q->head->duration_ns >> VZQ_WINDOW_SHIFT) + 1;
	uint64_t from = p->from > t->begin_ns ? p->from : t->begin_ns;
	uint64_t to = p->to <= t->end_ns ? p->to : t->end_ns + 1;
	uint64_t w = from >> VZQ_WINDOW_SHIFT;
	uint64_t end = (to + (1u << VZQ_WINDOW_SHIFT) - 1) >> VZQ_WINDOW_SHIFT;

	if (from >= to || !t->nblocks)
		return;
	for (uint64_t i = w; i < end && p->n + (i - w) < p->max; i++)
		p->ret[p->n + (i - w)] = (struct vzq_view_tile){
			.id = p->q->head->ntiles + track * each + (double)i,
			.t0 = (double)(i << VZQ_WINDOW_SHIFT),
			.t1 = (double)((i + 1) << VZQ_WINDOW_SHIFT),
			.track = track,
			.kind = VZQ_FINE,
		};
	p->n += (uint32_t)(end - w);
}

/* There are no runs of levels whose resolution is longer than the trace. */
static unsigned level_of(const struct vzq *q, double resolution)
{
	unsigned level = 0;

	while (level < VZI_LEVELS - 1) {
		uint64_t next = (uint64_t)VZI_FINE_NS << 2 * (level + 1);

		if (!((double)next <= resolution) || next > q->head->duration_ns)
			break;
		level++;
	}
	return level;
}

uint32_t vzq_plan(const struct vzq *q, const struct vzq_view *view, struct vzq_view_tile *ret,
		  uint32_t max)
{
	struct plan p = {
		.q = q,
		.view = view,
		.from = vzq_ns(view->from),
		.to = vzq_end_ns(q, view->to),
		.ret = ret,
		.max = max,
	};
	bool fine = !(view->resolution >= VZI_FINE_NS);
	unsigned level = level_of(q, view->resolution);

	for (uint32_t i = 0; i < view->ntracks && p.from < p.to; i++) {
		uint32_t track = view->tracks[i];

		if (track >= q->head->ntracks)
			continue;
		for (unsigned k = level; k < VZI_LEVELS; k++)
			plan_group(&p, track, VZI_SLICES, k);
		if (fine)
			plan_windows(&p, track);
		else
			plan_group(&p, track, VZI_RUNS, level);
	}
	return p.n;
}

int vzq_records(const struct vzq *q, uint32_t tile, const uint8_t *p, size_t n,
		struct vzt_records *ret)
{
	*ret = (struct vzt_records){ 0 };
	if (tile >= q->head->ntiles || n != q->tiles[tile].bytes)
		return -EBADMSG;
	return vzt_decode(&q->tiles[tile], p, n, ret);
}
