/* SPDX-License-Identifier: MIT */
/* What an index must hold, from the list of all calls, by the definitions in viewer/core/format.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kit_index.h"
#include "viewer/walk.h"

enum {
	NONE = UINT32_MAX,
	LEAVE_SHIFT = VZI_HOW_LEAVE_SHIFT,
};

static void *must(void *p)
{
	if (p)
		return p;
	fprintf(stderr, "kit_index: no memory\n");
	abort();
}

/* ---- calls ---- */

struct listing {
	struct kit_calls *calls;
	uint64_t zero_ns;
	uint32_t *stack;
	uint32_t depth;
	uint64_t last_ns;
};

static int on_enter(void *ctx, const struct vz_visit *at)
{
	struct listing *l = ctx;
	struct kit_calls *c = l->calls;
	uint32_t symbol = at->stack[at->depth - 1].symbol;

	if (c->n == c->cap) {
		c->cap = c->cap ? c->cap * 2 : 1024;
		c->p = must(realloc(c->p, c->cap * sizeof(*c->p)));
		l->stack = must(realloc(l->stack, c->cap * sizeof(*l->stack)));
	}
	c->p[c->n] = (struct kit_call){
		.start = at->ns - l->zero_ns,
		.depth = at->depth - 1,
		.function = symbol >> VZ_SYMBOL_SHIFT,
		.how = symbol & 3,
		.parent = l->depth ? l->stack[l->depth - 1] : NONE,
		.count = 1,
	};
	l->stack[l->depth++] = c->n++;
	l->last_ns = at->ns;
	return 0;
}

static int on_leave(void *ctx, const struct vz_visit *at)
{
	struct listing *l = ctx;
	struct kit_call *call = &l->calls->p[l->stack[--l->depth]];

	call->end = at->ns - l->zero_ns;
	call->longest = call->end - call->start;
	call->how |= (uint32_t)at->how << LEAVE_SHIFT;
	l->last_ns = at->ns;
	return 0;
}

static int on_lost(void *ctx, const struct vz_visit *at)
{
	struct listing *l = ctx;
	const struct kit_record gap = { .start = l->last_ns - l->zero_ns,
					.end = at->ns - l->zero_ns,
					.last = at->lost };

	kit_records_add(&l->calls->gaps, &gap);
	l->last_ns = at->ns;
	return 0;
}

void kit_calls_init(struct kit_calls *c, struct vz_reader *r, uint32_t place, uint64_t zero_ns)
{
	static const struct vz_visitor visitor = {
		.enter = on_enter,
		.leave = on_leave,
		.lost = on_lost,
	};
	const struct vz_walk_limits limits = { .place = place };
	struct listing l = {
		.calls = c,
		.zero_ns = zero_ns,
		.last_ns = vz_reader_track(r, place)->begin_ns,
	};

	*c = (struct kit_calls){ 0 };
	if (vz_walk(r, &limits, &visitor, &l) < 0)
		must(NULL);
	free(l.stack);
}

void kit_calls_fini(struct kit_calls *c)
{
	free(c->p);
	free(c->gaps.p);
}

bool kit_call_fine(const struct kit_call *c)
{
	uint32_t leave = c->how >> LEAVE_SHIFT;

	return c->end - c->start < VZI_FINE_NS && leave != VZ_LEFT_GAP && leave != VZ_LEFT_OPEN;
}

/* ---- runs ---- */

/* Class of a call; -1: it is not in SLICES. */
static int class_of(const struct kit_call *c)
{
	return kit_call_fine(c) ? -1 : (int)vzi_class(c->end - c->start);
}

static int by_depth(const void *pa, const void *pb)
{
	const struct kit_call *a = pa, *b = pb;

	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	return (a->start > b->start) - (a->start < b->start);
}

/*
 * One level: LIST has what was merged on the level below, and all other calls; in order of depth,
 * then time.  .count 0 marks what is left over.
 */
static uint32_t merge(struct kit_call *list, uint32_t n, const int *classes, int *merged, int level)
{
	uint64_t r = (uint64_t)VZI_FINE_NS << (2 * level);
	struct kit_call *run = NULL;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct kit_call item = list[i];
		bool mergeable = classes[i] < level;

		if (run && mergeable && run->depth == item.depth && item.start - run->end < r &&
		    item.end - run->start <= 4 * r) {
			run->end = item.end;
			run->count += item.count;
			if (item.longest > run->longest) {
				run->longest = item.longest;
				run->function = item.function;
			}
			continue;
		}
		list[kept] = item;
		merged[kept] = mergeable ? -1 : classes[i];
		run = mergeable ? &list[kept] : NULL;
		kept++;
	}
	return kept;
}

void kit_naive_runs(const struct kit_calls *c, unsigned level, struct kit_records *ret)
{
	struct kit_call *list = must(malloc((c->n + 1u) * sizeof(*list)));
	int *classes = must(malloc((c->n + 1u) * sizeof(*classes)));
	uint32_t n = c->n;

	*ret = (struct kit_records){ 0 };
	if (n)
		memcpy(list, c->p, n * sizeof(*list));
	qsort(list, n, sizeof(*list), by_depth);
	for (uint32_t i = 0; i < n; i++)
		classes[i] = class_of(&list[i]);
	for (unsigned k = 0; k <= level; k++)
		n = merge(list, n, classes, classes, (int)k);
	for (uint32_t i = 0; i < n; i++) {
		const struct kit_record run = { list[i].start, list[i].end, list[i].depth,
						list[i].function, list[i].count };

		if (classes[i] < 0)
			kit_records_add(ret, &run);
	}
	kit_records_sort(ret);
	free(list);
	free(classes);
}

/* ---- sums ---- */

static void put(struct kit_varints *v, uint64_t value)
{
	if (v->n % 1024 == 0)
		v->p = must(realloc(v->p, (v->n + 1024) * sizeof(*v->p)));
	v->p[v->n++] = value;
}

struct range {
	uint64_t from, to;
	bool last;
};

static bool within(const struct range *r, uint64_t ns)
{
	return ns >= r->from && (ns < r->to || (r->last && ns == r->to));
}

static uint64_t overlap(const struct range *r, const struct kit_call *c)
{
	uint64_t from = c->start > r->from ? c->start : r->from;
	uint64_t to = c->end < r->to ? c->end : r->to;

	return from < to ? to - from : 0;
}

/* Time on top of the stack, of each call. */
static uint64_t *selves(const struct kit_calls *c, const struct range *r)
{
	uint64_t *self = must(calloc(c->n + 1u, sizeof(*self)));

	for (uint32_t i = 0; i < c->n; i++) {
		uint64_t ns = overlap(r, &c->p[i]);

		self[i] += ns;
		if (c->p[i].parent != NONE)
			self[c->p[i].parent] -= ns;
	}
	return self;
}

static bool called_by_itself(const struct kit_calls *c, const struct kit_call *call)
{
	for (uint32_t up = call->parent; up != NONE; up = c->p[up].parent)
		if (c->p[up].function == call->function)
			return true;
	return false;
}

struct sums {
	uint64_t calls, resumes, self, total, seen, sum, max, raised, partial;
	uint64_t buckets[VZI_BUCKETS];
};

static void add_call(const struct kit_calls *c, const struct kit_call *call, const struct range *r,
		     struct sums *s)
{
	uint32_t entry = call->how & 3, leave = call->how >> LEAVE_SHIFT;
	uint64_t ns = call->end - call->start;

	if (within(r, call->start)) {
		s->calls += entry == VZ_ENTRY_CALL;
		s->resumes += entry == VZ_ENTRY_RESUME || entry == VZ_ENTRY_THROW;
	}
	if (!called_by_itself(c, call))
		s->total += overlap(r, call);
	if (!within(r, call->end))
		return;
	s->raised += leave == VZ_LEAVE_UNWIND;
	if (entry == VZ_ENTRY_OPEN || leave >= VZ_LEAVE_UNSEEN) {
		s->partial++;
		return;
	}
	s->seen++;
	s->sum += ns;
	s->max = ns > s->max ? ns : s->max;
	s->buckets[vzi_bucket(ns)]++;
}

static void put_sums(struct kit_varints *v, uint32_t delta, const struct sums *s)
{
	const uint64_t row[] = { delta,   s->calls, s->resumes, s->self,   s->total,
				 s->seen, s->sum,   s->max,     s->raised, s->partial };
	uint32_t nbuckets = 0, last = 0;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		put(v, row[i]);
	for (uint32_t i = 0; i < VZI_BUCKETS; i++)
		nbuckets += s->buckets[i] != 0;
	put(v, nbuckets);
	for (uint32_t i = 0; i < VZI_BUCKETS; i++) {
		if (!s->buckets[i])
			continue;
		put(v, i - last);
		put(v, s->buckets[i]);
		last = i;
	}
}

static bool is_nothing(const struct sums *s)
{
	return !s->calls && !s->resumes && !s->self && !s->total && !s->seen && !s->raised &&
	       !s->partial;
}

struct kit_varints kit_naive_funcs(const struct kit_calls *c, uint64_t from, uint64_t to, bool last)
{
	const struct range r = { from, to, last };
	uint64_t *self = selves(c, &r);
	uint32_t functions = 0, next = 0;
	struct kit_varints v = { 0 };

	for (uint32_t i = 0; i < c->n; i++)
		if (c->p[i].function >= functions)
			functions = c->p[i].function + 1;
	for (uint32_t f = 0; f < functions; f++) {
		struct sums s = { 0 };

		for (uint32_t i = 0; i < c->n; i++) {
			if (c->p[i].function != f)
				continue;
			s.self += self[i];
			add_call(c, &c->p[i], &r, &s);
		}
		if (!is_nothing(&s)) {
			put_sums(&v, f - next, &s);
			next = f + 1;
		}
	}
	free(self);
	return v;
}

struct kit_varints kit_naive_nodes(const struct kit_calls *c, uint32_t *nodes)
{
	struct kit_varints v = { 0 };
	uint32_t *functions = must(calloc(c->n + 1u, sizeof(*functions)));
	uint32_t *parents = must(calloc(c->n + 1u, sizeof(*parents)));
	uint32_t n = 1;

	put(&v, 0);
	put(&v, 0);
	for (uint32_t i = 0; i < c->n; i++) {
		const struct kit_call *call = &c->p[i];
		uint32_t parent = call->parent == NONE ? 0 : nodes[call->parent], at;

		if (parent && functions[parent] == call->function) {
			nodes[i] = parent;
			continue;
		}
		for (at = 1; at < n; at++)
			if (parents[at] == parent && functions[at] == call->function)
				break;
		if (at == n) {
			parents[n] = parent;
			functions[n++] = call->function;
			put(&v, at - parent);
			put(&v, call->function);
		}
		nodes[i] = at;
	}
	free(functions);
	free(parents);
	return v;
}

struct kit_varints kit_naive_paths(const struct kit_calls *c, const uint32_t *nodes, uint64_t from,
				   uint64_t to, bool last)
{
	const struct range r = { from, to, last };
	struct {
		uint64_t calls, resumes, self;
	} *sums = must(calloc(c->n + 2u, sizeof(*sums)));
	uint64_t *self = selves(c, &r);
	struct kit_varints v = { 0 };
	uint32_t next = 0;

	for (uint32_t i = 0; i < c->n; i++) {
		uint32_t entry = c->p[i].how & 3;

		sums[nodes[i]].self += self[i];
		if (!within(&r, c->p[i].start))
			continue;
		sums[nodes[i]].calls += entry == VZ_ENTRY_CALL;
		sums[nodes[i]].resumes += entry == VZ_ENTRY_RESUME || entry == VZ_ENTRY_THROW;
	}
	for (uint32_t i = 0; i <= c->n; i++) {
		if (!sums[i].calls && !sums[i].resumes && !sums[i].self)
			continue;
		put(&v, i - next);
		put(&v, sums[i].calls);
		put(&v, sums[i].resumes);
		put(&v, sums[i].self);
		put(&v, 0);
		next = i + 1;
	}
	free(sums);
	free(self);
	return v;
}
