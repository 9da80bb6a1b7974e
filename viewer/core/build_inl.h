/* SPDX-License-Identifier: MIT */
/*
 * build_inl.h - what the builder does at each event, compiled into its loop; only for build*.c.
 */
#ifndef VZ_VIEWER_CORE_BUILD_INL_H
#define VZ_VIEWER_CORE_BUILD_INL_H

#include "viewer/core/build_priv.h"
#include "viewer/core/decode_inl.h"

enum {
	VZ_BUILD_KIND_MASK = (1 << VZ_SYMBOL_SHIFT) - 1,
};

/* ---- runs ---- */

/**
 * A call that ended: most are short and join the run of the calls before, see build_runs.c; the
 * same as vz_runs_add().
 */
static inline int vz_runs_call(struct vz_runs *runs, struct vz_tile_writer *w,
			       const struct vz_record *call)
{
	const struct vz_run_level *l = &runs->levels[0];
	uint64_t end = call->start + call->length;
	struct vz_run *run;

	if (call->length >= VZI_FINE_NS || call->depth >= l->cap ||
	    call->depth == VZ_BUILD_MAX_DEPTH || call->last >> VZI_HOW_LEAVE_SHIFT >= VZ_LEFT_GAP)
		return vz_runs_add(runs, w, call);
	run = &l->at[call->depth];
	if (!run->count || call->start - run->end >= VZI_FINE_NS ||
	    end - run->start > UINT64_C(4) * VZI_FINE_NS || run->count == UINT32_MAX)
		return vz_runs_add(runs, w, call);
	run->end = end;
	run->count++;
	if (call->length > run->longest) {
		run->longest = call->length;
		run->function = call->function;
	}
	return 0;
}

/* ---- sums ---- */

/* The time up to NS goes to what is on top. */
static inline void vz_sums_advance(struct vz_sums *s, uint64_t ns)
{
	uint64_t passed = ns - s->now;
	struct vz_path *node = &s->paths.nodes[s->current & ~VZ_PATH_LEFT];

	s->now = ns;
	if (s->top == VZ_BUILD_NONE || !passed)
		return;
	s->funcs.now[s->top].self += passed;
	if (s->current & VZ_PATH_LEFT)
		node->other += passed;
	else
		node->self += passed;
}

/*
 * Most calls are the same as the one before from the same place, or follow it as they did the
 * last time, so that they are found without the table.
 */
static inline int vz_sums_child(struct vz_paths *p, uint32_t from, uint32_t function, uint32_t *ret)
{
	struct vz_path *node = &p->nodes[from];
	uint32_t last = node->last, after;
	int rc;

	*ret = from;
	if (node->function == function)
		return 0;
	*ret = last;
	if (p->nodes[last].function == function && last)
		return 0;
	*ret = after = p->nodes[last].after;
	if (p->nodes[after].function != function || p->nodes[after].parent != from || !after) {
		rc = vz_paths_find(p, from, function, ret);
		if (rc < 0 || *ret & VZ_PATH_LEFT)
			return rc;
		if (last)
			p->nodes[last].after = *ret;
	}
	p->nodes[from].last = *ret;
	return 0;
}

static inline int vz_sums_enter_path(struct vz_sums *s, uint32_t function, unsigned kind)
{
	struct vz_paths *p = &s->paths;
	int rc =
		s->current & VZ_PATH_LEFT ? 0 : vz_sums_child(p, s->current, function, &s->current);

	if (rc == 0 && p->depth == p->stack_cap)
		rc = vz_paths_more_stack(p);
	if (rc < 0)
		return rc;
	p->stack[p->depth++] = s->current;
	/* The root is never entered itself, but may be the last that was kept. */
	vz_set_add(&p->set, s->current & ~VZ_PATH_LEFT);
	if (s->current & VZ_PATH_LEFT) {
		p->left_calls++;
		return 0;
	}
	p->nodes[s->current].calls += kind == VZ_ENTRY_CALL;
	p->nodes[s->current].resumes += kind == VZ_ENTRY_RESUME || kind == VZ_ENTRY_THROW;
	return 0;
}

static inline int vz_sums_enter(struct vz_sums *s, uint32_t symbol, uint64_t ns)
{
	uint32_t function = symbol >> VZ_SYMBOL_SHIFT;
	unsigned kind = symbol & VZ_BUILD_KIND_MASK;
	struct vz_func_now *f;
	int rc = function < s->funcs.cap ? 0 : vz_funcs_grow(&s->funcs, function);

	if (rc < 0)
		return rc;
	vz_sums_advance(s, ns);
	f = &s->funcs.now[function];
	if (!f->active++)
		f->since = ns;
	f->calls += kind == VZ_ENTRY_CALL;
	f->resumes += kind == VZ_ENTRY_RESUME || kind == VZ_ENTRY_THROW;
	vz_set_add(&s->funcs.set, function);
	s->top = function;
	return vz_sums_enter_path(s, function, kind);
}

static inline int vz_sums_stay(struct vz_funcs *funcs, uint32_t function, uint64_t ns)
{
	struct vz_func_now *f = &funcs->now[function];
	int rc = funcs->nstays < funcs->stays_cap ? 0 : vz_funcs_more_stays(funcs);

	if (rc < 0)
		return rc;
	f->seen++;
	f->sum += ns;
	f->max = ns > f->max ? ns : f->max;
	funcs->stays[funcs->nstays++] = (struct vz_stay){ function, vzi_bucket(ns) };
	return 0;
}

static inline int vz_sums_leave(struct vz_sums *s, const struct vz_open_frame *stack,
				uint32_t depth, unsigned how, uint64_t begin, uint64_t ns)
{
	uint32_t symbol = stack[depth - 1].symbol, function = symbol >> VZ_SYMBOL_SHIFT;
	struct vz_func_now *f = &s->funcs.now[function];
	struct vz_paths *p = &s->paths;
	int rc = 0;

	vz_sums_advance(s, ns);
	if (!--f->active)
		f->total += ns - f->since;
	f->raised += how == VZ_LEAVE_UNWIND;
	if (how < VZ_LEAVE_UNSEEN && (symbol & VZ_BUILD_KIND_MASK) != VZ_ENTRY_OPEN)
		rc = vz_sums_stay(&s->funcs, function, ns - begin);
	else
		f->partial++;
	p->depth--;
	s->current = p->depth ? p->stack[p->depth - 1] : VZI_NO_NODE;
	s->top = depth > 1 ? stack[depth - 2].symbol >> VZ_SYMBOL_SHIFT : VZ_BUILD_NONE;
	return rc;
}

#endif /* VZ_VIEWER_CORE_BUILD_INL_H */
