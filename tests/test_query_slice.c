/* SPDX-License-Identifier: MIT */
/*
 * One call, its relatives and what it did, on random traces against the list of all calls.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kit_naive.h"
#include "viewer/walk.h"

enum {
	NONE = UINT32_MAX,
};

static bool is_call(const struct vzq_slice *s, const struct kit_call *c)
{
	return s->start == (double)c->start && s->end == (double)c->end && s->depth == c->depth &&
	       s->fn == c->function && s->how == c->how;
}

/* What JOB found must be call number WANT of the track, or nothing. */
static void check_found(struct kit_query *k, struct vzq_job *job, uint32_t track, uint32_t want,
			const char *what)
{
	const struct vzq_result *r = kit_query_run(k, job, 4);

	cr_assert_eq(r->error, 0);
	cr_assert_eq(r->bad, 0, "%s: %u bad", what, r->bad);
	cr_assert_eq(r->nslices, want != NONE, "%s: found %u", what, r->nslices);
	if (want != NONE) {
		const struct kit_call *c = &k->calls[track].p[want];

		cr_assert_eq(r->slices[0].track, track);
		cr_assert(
			is_call(&r->slices[0], c),
			"%s: %.0f to %.0f depth %u how %u instead of %llu to %llu depth %u how %u",
			what, r->slices[0].start, r->slices[0].end, r->slices[0].depth,
			r->slices[0].how, (unsigned long long)c->start, (unsigned long long)c->end,
			c->depth, c->how);
	}
	vzq_job_free(job);
}

/* ---- at ---- */

static void check_at(struct kit_query *k)
{
	uint32_t track = (uint32_t)kit_random(k->kit, k->index.ntracks), want = NONE;
	const struct kit_calls *c = &k->calls[track];
	const struct kit_call *some = &c->p[kit_random(k->kit, c->n)];
	uint64_t time = kit_random(k->kit, k->duration);
	uint32_t depth = (uint32_t)kit_random(k->kit, 12);

	if (kit_random(k->kit, 4)) {
		time = some->start + kit_random(k->kit, some->end - some->start + 1);
		depth = some->depth;
	}
	for (uint32_t i = 0; i < c->n && want == NONE; i++)
		if (c->p[i].depth == depth && c->p[i].start <= time && time < c->p[i].end)
			want = i;
	check_found(k, vzq_at(k->q, track, (double)time, depth), track, want, "at");
}

/* ---- relatives ---- */

static uint32_t naive_relative(const struct kit_calls *c, uint32_t self, enum vzq_relation which)
{
	const struct kit_call *own = &c->p[self];
	uint32_t found = NONE;

	if (which == VZQ_PARENT)
		return own->parent;
	for (uint32_t i = 0; i < c->n; i++) {
		const struct kit_call *other = &c->p[i];

		if (which == VZQ_CHILD && other->parent == self)
			return i;
		if (other->parent != own->parent)
			continue;
		if (which == VZQ_AFTER && other->start > own->start)
			return i;
		if (which == VZQ_BEFORE && other->start < own->start)
			found = i;
	}
	return found;
}

static struct vzq_ref ref_of(uint32_t track, const struct kit_call *c)
{
	return (struct vzq_ref){ (double)c->start, track, c->depth, c->function };
}

static void check_relatives(struct kit_query *k)
{
	static const char *const names[] = { "parent", "child", "before", "after" };
	uint32_t track = (uint32_t)kit_random(k->kit, k->index.ntracks);
	const struct kit_calls *c = &k->calls[track];
	uint32_t self = (uint32_t)kit_random(k->kit, c->n);
	struct vzq_ref ref = ref_of(track, &c->p[self]);

	for (enum vzq_relation which = VZQ_PARENT; which <= VZQ_AFTER; which++)
		check_found(k, vzq_relative(k->q, &ref, which), track,
			    naive_relative(c, self, which), names[which]);
}

/* ---- details ---- */

struct wanted {
	uint64_t self, children, descendants;
	bool recurses; /* calls itself directly */
	struct {
		uint64_t calls, folded, total, self;
	} callees[64];
};

/* Whether all calls from the direct callee up to I are of one function. */
static bool is_folded(const struct kit_calls *c, uint32_t self, uint32_t i)
{
	uint32_t fn = c->p[i].function;

	while (c->p[i].parent != self && c->p[i].function == fn)
		i = c->p[i].parent;
	return c->p[i].function == fn;
}

static uint64_t self_of(const struct kit_calls *c, uint32_t self)
{
	uint64_t ns = c->p[self].end - c->p[self].start;

	for (uint32_t i = self + 1; i < c->n && c->p[i].depth > c->p[self].depth; i++)
		if (c->p[i].parent == self)
			ns -= c->p[i].end - c->p[i].start;
	return ns;
}

static void naive_details(const struct kit_calls *c, uint32_t self, struct wanted *w)
{
	uint32_t depth = c->p[self].depth;

	*w = (struct wanted){ .self = self_of(c, self) };
	for (uint32_t i = self + 1; i < c->n && c->p[i].depth > depth; i++) {
		const struct kit_call *call = &c->p[i];
		bool direct = call->parent == self, counts = kit_call_entered(call);

		w->descendants += counts;
		w->children += direct && counts;
		w->callees[call->function].calls += direct && counts;
		if (direct)
			w->callees[call->function].total += call->end - call->start;
		if (direct || is_folded(c, self, i)) {
			w->callees[call->function].folded += counts;
			w->callees[call->function].self += self_of(c, i);
		}
	}
	w->recurses = w->callees[c->p[self].function].folded > 0;
}

static void check_callees(const struct kit_query *k, const struct vzq_result *r,
			  const struct wanted *w, bool exact)
{
	uint32_t n = 0;

	for (uint32_t fn = 0; fn < k->nfunctions; fn++) {
		if (!w->callees[fn].total && !w->callees[fn].folded)
			continue;
		cr_assert_lt(n, r->callees.n, "callees are missing");
		cr_assert_eq(r->callees.fn[n], fn);
		cr_assert_eq(r->callees.total[n], (double)w->callees[fn].total);
		cr_assert_eq(r->callees.self[n], (double)w->callees[fn].self);
		cr_assert_eq(r->callees.calls[n],
			     (double)(exact ? w->callees[fn].calls : w->callees[fn].folded));
		n++;
	}
	cr_assert_eq(n, r->callees.n);
}

static void check_stack(const struct kit_calls *c, uint32_t self, const struct vzq_result *r)
{
	uint32_t n = c->p[self].depth + 1;

	cr_assert_eq(r->nslices, n);
	for (uint32_t i = self; n-- > 0; i = c->p[i].parent)
		cr_assert(is_call(&r->slices[n], &c->p[i]), "frame %u of the stack", n);
}

/* EXACT: how many were known to the call, of how many. */
static void check_details(struct kit_query *k, uint32_t track, uint32_t self, bool whole,
			  uint32_t *exact)
{
	const struct kit_calls *c = &k->calls[track];
	struct vzq_ref ref = ref_of(track, &c->p[self]);
	struct vzq_job *job = vzq_details(k->q, &ref);
	const struct vzq_result *r = kit_query_run(k, job, 16);
	struct wanted w;

	cr_assert_eq(r->error, 0);
	cr_assert_eq(r->bad, 0);
	naive_details(c, self, &w);
	check_stack(c, self, r);
	if (whole)
		cr_assert_eq(r->entry, self, "call %.0f instead of %u", r->entry, self);
	else
		cr_assert(r->entry < 0 || r->entry == self);
	if (whole)
		cr_assert_eq(r->descendants, (double)w.descendants);
	if (r->self_ns >= 0) {
		cr_assert_eq(r->self_ns, (double)w.self, "self %.0f instead of %llu", r->self_ns,
			     (unsigned long long)w.self);
		check_callees(k, r, &w, r->children >= 0);
	} else if (whole) {
		cr_assert(w.recurses, "unknown without a reason");
	}
	if (r->children >= 0) {
		cr_assert_eq(r->children, (double)w.children);
		++*exact;
	}
	vzq_job_free(job);
}

/* ---- all of it ---- */

static void check_story(const struct kit_story_options *options, int n)
{
	bool whole = !(options->flags & (KIT_DAMAGED | KIT_CUT));
	uint32_t exact = 0;
	struct kit_query k;

	kit_query_random(&k, options);
	for (int i = 0; i < n; i++) {
		uint32_t track = (uint32_t)kit_random(k.kit, k.index.ntracks);

		if (!k.calls[track].n)
			continue;
		check_at(&k);
		check_relatives(&k);
		check_details(&k, track, (uint32_t)kit_random(k.kit, k.calls[track].n), whole,
			      &exact);
	}
	cr_assert_gt(exact, n / 4);
	kit_query_fini(&k);
}

Test(query_slice, whole_traces)
{
	for (uint64_t seed = 1; seed < 6; seed++)
		check_story(&(struct kit_story_options){ seed, 2, 2000, 0 }, 60);
}

Test(query_slice, small_blocks)
{
	for (uint64_t seed = 20; seed < 26; seed++)
		check_story(&(struct kit_story_options){ seed, 2, 3000, KIT_MANY_BLOCKS }, 80);
}

Test(query_slice, damaged_and_missing_blocks)
{
	for (uint64_t seed = 40; seed < 44; seed++) {
		check_story(
			&(struct kit_story_options){ seed, 2, 2000, KIT_MANY_BLOCKS | KIT_DAMAGED },
			60);
		check_story(&(struct kit_story_options){ seed, 2, 2000, KIT_MANY_BLOCKS | KIT_CUT },
			    60);
	}
}

Test(query_slice, long_calls_are_summed_up)
{
	struct kit_query k;
	uint32_t exact = 0, n = 0;

	kit_query_random(&k, &(struct kit_story_options){ 50, 2, 3000, KIT_MANY_BLOCKS });
	for (uint32_t t = 0; t < 2; t++)
		for (uint32_t i = 0; i < k.calls[t].n; i++)
			if (k.calls[t].p[i].end - k.calls[t].p[i].start > k.duration / 8) {
				check_details(&k, t, i, true, &exact);
				n++;
			}
	cr_assert_gt(n, exact, "no call was long enough");
	kit_query_fini(&k);
}

Test(query_slice, what_is_not_there_is_not_found)
{
	struct kit_query k;
	struct vzq_job *job;

	kit_query_random(&k, &(struct kit_story_options){ 60, 1, 500, 0 });
	for (int i = 0; i < 3; i++) {
		const struct kit_call *c = &k.calls[0].p[10];
		struct vzq_ref ref = ref_of(i == 0 ? 7 : 0, c);

		ref.depth += i == 1;
		ref.start += i == 2 ? 0.5 : 0;
		job = vzq_details(k.q, &ref);
		cr_assert_eq(kit_query_run(&k, job, 4)->nslices, 0);
		vzq_job_free(job);
		job = vzq_relative(k.q, &ref, VZQ_AFTER);
		cr_assert_eq(kit_query_run(&k, job, 4)->nslices, 0);
		vzq_job_free(job);
	}
	kit_query_fini(&k);
}
