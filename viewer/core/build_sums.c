/* SPDX-License-Identifier: MIT */
/*
 * build_sums.c - counts what the events of a block say of functions and call paths.
 *
 * Time goes to what is on top of the stack from one event to the next, so that what a
 * block covers is exact also where calls reach beyond it.
 */
#include <errno.h>
#include <string.h>

#include "viewer/core/build_priv.h"

enum {
	KIND_MASK = (1 << VZ_SYMBOL_SHIFT) - 1,
};

int vz_sums_init(struct vz_sums *s)
{
	*s = (struct vz_sums){ .top = VZ_BUILD_NONE };
	return vz_paths_init(&s->paths);
}

void vz_sums_fini(struct vz_sums *s)
{
	vz_funcs_fini(&s->funcs);
	vz_paths_fini(&s->paths);
}

/* The time up to NS goes to what is on top. */
static inline void advance(struct vz_sums *s, uint64_t ns)
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
static inline int child_of(struct vz_paths *p, uint32_t from, uint32_t function, uint32_t *ret)
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

static inline int enter_path(struct vz_sums *s, uint32_t function, unsigned kind)
{
	struct vz_paths *p = &s->paths;
	int rc = s->current & VZ_PATH_LEFT ? 0 : child_of(p, s->current, function, &s->current);

	if (rc == 0 && p->depth == p->stack_cap)
		rc = vz_paths_more_stack(p);
	if (rc < 0)
		return rc;
	p->stack[p->depth++] = s->current;
	if (s->current & VZ_PATH_LEFT) {
		p->left_calls++;
		return 0;
	}
	p->nodes[s->current].calls += kind == VZ_ENTRY_CALL;
	p->nodes[s->current].resumes += kind == VZ_ENTRY_RESUME || kind == VZ_ENTRY_THROW;
	vz_set_add(&p->set, s->current);
	return 0;
}

int vz_sums_enter(struct vz_sums *s, uint32_t symbol, uint64_t ns)
{
	uint32_t function = symbol >> VZ_SYMBOL_SHIFT;
	unsigned kind = symbol & KIND_MASK;
	struct vz_func_now *f;
	int rc = function < s->funcs.cap ? 0 : vz_funcs_grow(&s->funcs, function);

	if (rc < 0)
		return rc;
	advance(s, ns);
	f = &s->funcs.now[function];
	if (!f->active++)
		f->since = ns;
	f->calls += kind == VZ_ENTRY_CALL;
	f->resumes += kind == VZ_ENTRY_RESUME || kind == VZ_ENTRY_THROW;
	vz_set_add(&s->funcs.set, function);
	s->top = function;
	return enter_path(s, function, kind);
}

static inline int note_stay(struct vz_funcs *funcs, uint32_t function, uint64_t ns)
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

int vz_sums_leave(struct vz_sums *s, const struct vz_open_frame *stack, uint32_t depth,
		  unsigned how, uint64_t begin, uint64_t ns)
{
	uint32_t symbol = stack[depth - 1].symbol, function = symbol >> VZ_SYMBOL_SHIFT;
	struct vz_func_now *f = &s->funcs.now[function];
	struct vz_paths *p = &s->paths;
	int rc = 0;

	advance(s, ns);
	if (!--f->active)
		f->total += ns - f->since;
	f->raised += how == VZ_LEAVE_UNWIND;
	if (how < VZ_LEAVE_UNSEEN && (symbol & KIND_MASK) != VZ_ENTRY_OPEN)
		rc = note_stay(&s->funcs, function, ns - begin);
	else
		f->partial++;
	p->depth--;
	s->current = p->depth ? p->stack[p->depth - 1] : VZI_NO_NODE;
	s->top = depth > 1 ? stack[depth - 2].symbol >> VZ_SYMBOL_SHIFT : VZ_BUILD_NONE;
	return rc;
}

/* ---- where blocks end ---- */

/* Functions on the stack ran up to here. */
static void settle(struct vz_sums *s, const struct vz_line *line, uint64_t ns)
{
	advance(s, ns);
	for (uint32_t i = 0; i < line->depth; i++) {
		uint32_t function = line->stack[i].symbol >> VZ_SYMBOL_SHIFT;
		struct vz_func_now *f = &s->funcs.now[function];

		f->total += ns - f->since;
		f->since = ns;
	}
}

/* What is on the stack may get time in the block that begins, as may what is entered. */
static void carry_over(struct vz_sums *s, const struct vz_line *line)
{
	for (uint32_t i = 0; i < line->depth; i++) {
		vz_set_add(&s->funcs.set, line->stack[i].symbol >> VZ_SYMBOL_SHIFT);
		vz_set_add(&s->paths.set, s->paths.stack[i] & ~VZ_PATH_LEFT);
	}
}

static int write_block(struct vz_sums *s, struct vz_tile_writer *w, uint64_t t0, uint64_t t1,
		       uint32_t i)
{
	struct vzi_tile funcs = { .t0_ns = t0, .t1_ns = t1, .kind = VZI_FUNCS, .first = i };
	struct vzi_tile paths = { .t0_ns = t0, .t1_ns = t1, .kind = VZI_PATHS, .first = i };
	int rc = vz_funcs_block(&s->funcs, w, &funcs);

	return rc < 0 ? rc : vz_paths_block(&s->paths, w, &paths);
}

static int write_level(struct vz_sums *s, struct vz_tile_writer *w, uint64_t t0, uint64_t t1,
		       uint32_t first, unsigned level)
{
	struct vzi_tile funcs = {
		.t0_ns = t0, .t1_ns = t1, .kind = VZI_FUNCS, .level = (uint8_t)level, .first = first
	};
	struct vzi_tile paths = funcs;
	int rc = vz_funcs_flush(&s->funcs, w, &funcs);

	paths.kind = VZI_PATHS;
	return rc < 0 ? rc : vz_paths_flush(&s->paths, w, &paths);
}

int vz_sums_cut(struct vz_sums *s, struct vz_tile_writer *w, const struct vz_line *line,
		uint64_t ns, const struct vzi_block *blocks, uint32_t i)
{
	uint32_t n = i + 1;
	int rc;

	settle(s, line, ns);
	rc = write_block(s, w, blocks[i].from_ns, ns, i);
	carry_over(s, line);
	for (unsigned level = 1; level < VZ_BUILD_LEVELS && rc == 0; level++) {
		uint64_t fanout = UINT64_C(1) << (VZI_FANOUT_SHIFT * level);

		if (n % fanout)
			break;
		rc = write_level(s, w, blocks[n - fanout].from_ns, ns, (uint32_t)(n - fanout),
				 level);
	}
	return rc;
}

int vz_sums_end(struct vz_sums *s, struct vz_tile_writer *w, uint64_t ns,
		const struct vzi_block *blocks, uint32_t n)
{
	uint64_t below = 1; /* blocks that one tile of the level below stands for */
	int rc = 0;

	for (unsigned level = 1; level < VZ_BUILD_LEVELS && below < n && rc == 0; level++) {
		uint64_t fanout = below << VZI_FANOUT_SHIFT, first = n / fanout * fanout;

		if (first < n)
			rc = write_level(s, w, blocks[first].from_ns, ns, (uint32_t)first, level);
		below = fanout;
	}
	return rc < 0 ? rc : vz_paths_nodes(&s->paths, w);
}
