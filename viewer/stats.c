/* SPDX-License-Identifier: MIT */
#include "viewer/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct counting {
	struct vz_stats *stats;
	uint32_t functions_cap;
	const struct vz_stats_hook *hook; /* or NULL */
};

static uint32_t function_of(const struct vz_open_frame *frame)
{
	return frame->symbol >> VZ_SYMBOL_SHIFT;
}

/* Until vz_stats_init() is done, .functions is indexed by id. */
static int have_function(struct counting *c, uint32_t id)
{
	struct vz_function_stats *bigger;
	uint32_t cap = c->functions_cap ? c->functions_cap : 64;

	if (id < c->functions_cap)
		return 0;
	while (cap <= id)
		cap *= 2;
	bigger = realloc(c->stats->functions, cap * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	for (uint32_t i = c->functions_cap; i < cap; i++)
		bigger[i] = (struct vz_function_stats){ .function = i, .min_ns = UINT64_MAX };
	c->stats->functions = bigger;
	c->functions_cap = cap;
	return 0;
}

static int begin(void *ctx, const struct vz_visit *at)
{
	struct counting *c = ctx;

	for (uint32_t i = 0; i < at->depth; i++)
		c->stats->functions[function_of(&at->stack[i])].active++;
	return 0;
}

static int end(void *ctx, const struct vz_visit *at)
{
	struct counting *c = ctx;

	for (uint32_t i = 0; i < at->depth; i++)
		c->stats->functions[function_of(&at->stack[i])].active--;
	return 0;
}

static int enter(void *ctx, const struct vz_visit *at)
{
	struct counting *c = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	struct vz_track_stats *track = &c->stats->tracks[at->place];
	struct vz_function_stats *f;
	int rc = have_function(c, function_of(frame));

	if (rc < 0)
		return rc;
	f = &c->stats->functions[function_of(frame)];
	f->active++;
	if (at->depth > track->max_depth)
		track->max_depth = at->depth;
	switch (frame->symbol & ((1u << VZ_SYMBOL_SHIFT) - 1)) {
	case VZ_ENTRY_CALL:
		f->calls++;
		track->calls++;
		break;
	case VZ_ENTRY_OPEN:
		f->open++;
		break;
	default:
		f->resumes++;
		track->resumes++;
	}
	return 0;
}

/* Of a stay that was seen from begin to end. */
static void note_extremes(struct vz_function_stats *f, uint64_t ns)
{
	if (ns < f->min_ns)
		f->min_ns = ns;
	if (ns > f->max_ns)
		f->max_ns = ns;
}

static int leave(void *ctx, const struct vz_visit *at)
{
	struct counting *c = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	struct vz_function_stats *f = &c->stats->functions[function_of(frame)];
	unsigned how = frame->symbol & ((1u << VZ_SYMBOL_SHIFT) - 1);
	uint64_t ns = at->ns - frame->begin_ns;
	uint64_t self_ns = ns > frame->child_ns ? ns - frame->child_ns : 0;

	f->self_ns += self_ns;
	if (--f->active == 0)
		f->total_ns += ns;
	if (at->depth == 1)
		c->stats->tracks[at->place].busy_ns += ns;
	if (at->how == VZ_LEAVE_UNWIND)
		f->raised++;
	if (at->how == VZ_LEFT_OPEN && how != VZ_ENTRY_OPEN)
		f->open++;
	if (at->how == VZ_LEAVE_UNSEEN || at->how == VZ_LEFT_GAP) {
		f->unseen++;
	} else if (at->how != VZ_LEFT_OPEN && how != VZ_ENTRY_OPEN) {
		note_extremes(f, ns);
		if (c->hook)
			return c->hook->stay(c->hook->ctx, function_of(frame), self_ns);
	}
	return 0;
}

static int lost(void *ctx, const struct vz_visit *at)
{
	struct counting *c = ctx;
	struct vz_track_stats *track = &c->stats->tracks[at->place];

	if (at->lost)
		track->lost += at->lost;
	else
		track->holes++;
	return 0;
}

static void add_up(struct vz_stats *s, uint32_t nfunctions)
{
	for (uint32_t i = 0; i < s->ntracks; i++) {
		const struct vz_track_stats *t = &s->tracks[i];

		s->all.calls += t->calls;
		s->all.resumes += t->resumes;
		s->all.lost += t->lost;
		s->all.holes += t->holes;
		s->all.busy_ns += t->busy_ns;
		if (t->max_depth > s->all.max_depth)
			s->all.max_depth = t->max_depth;
	}
	for (uint32_t i = 0; i < nfunctions; i++) {
		const struct vz_function_stats *f = &s->functions[i];

		if (f->calls || f->resumes || f->open)
			s->functions[s->nfunctions++] = *f;
	}
}

static int count(struct vz_stats *s, struct vz_reader *r, const struct vz_walk_limits *limits,
		 const struct vz_stats_hook *hook)
{
	static const struct vz_visitor visitor = {
		.begin = begin,
		.enter = enter,
		.leave = leave,
		.lost = lost,
		.end = end,
	};
	struct counting c = { .stats = s, .hook = hook };
	int rc = 0;

	*s = (struct vz_stats){ .ntracks = vz_reader_ntracks(r) };
	s->tracks = calloc(s->ntracks + 1u, sizeof(*s->tracks));
	if (!s->tracks)
		rc = -ENOMEM;
	if (rc == 0)
		rc = vz_walk(r, limits, &visitor, &c);
	if (rc < 0)
		vz_stats_fini(s);
	else
		add_up(s, c.functions_cap);
	return rc;
}

int vz_stats_within(struct vz_stats *s, struct vz_reader *r, const struct vz_walk_limits *limits)
{
	return count(s, r, limits, NULL);
}

int vz_stats_init(struct vz_stats *s, struct vz_reader *r, uint32_t place)
{
	const struct vz_walk_limits limits = { .place = place };

	return count(s, r, &limits, NULL);
}

int vz_stats_init_hooked(struct vz_stats *s, struct vz_reader *r, uint32_t place,
			 const struct vz_stats_hook *hook)
{
	const struct vz_walk_limits limits = { .place = place };

	return count(s, r, &limits, hook);
}

void vz_stats_fini(struct vz_stats *s)
{
	free(s->functions);
	free(s->tracks);
	*s = (struct vz_stats){ 0 };
}

struct order {
	const struct vz_reader *reader;
	enum vz_stats_order by;
};

static uint64_t key_of(const struct vz_function_stats *f, enum vz_stats_order by)
{
	switch (by) {
	case VZ_ORDER_TOTAL:
		return f->total_ns;
	case VZ_ORDER_CALLS:
		return f->calls + f->resumes;
	default:
		return f->self_ns;
	}
}

static int compare(const void *pa, const void *pb, void *ctx)
{
	const struct vz_function_stats *a = pa, *b = pb;
	const struct order *order = ctx;
	uint64_t ka = key_of(a, order->by), kb = key_of(b, order->by);
	int names;

	if (ka != kb)
		return ka > kb ? -1 : 1;
	names = strcmp(vz_reader_function(order->reader, a->function)->name,
		       vz_reader_function(order->reader, b->function)->name);
	return names ? names : (a->function > b->function) - (a->function < b->function);
}

void vz_stats_sort(struct vz_stats *s, const struct vz_reader *r, enum vz_stats_order order)
{
	struct order ctx = { r, order };

	if (s->nfunctions)
		qsort_r(s->functions, s->nfunctions, sizeof(*s->functions), compare, &ctx);
}
