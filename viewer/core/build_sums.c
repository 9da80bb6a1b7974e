/* SPDX-License-Identifier: MIT */
/*
 * build_sums.c - counts what the events of a block say of functions and call paths.
 *
 * Time goes to what is on top of the stack from one event to the next, so that what a
 * block covers is exact also where calls reach beyond it.
 */
#include <errno.h>
#include <string.h>

#include "viewer/core/build_inl.h"

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

/* ---- where blocks end ---- */

/* Functions on the stack ran up to here. */
static void settle(struct vz_sums *s, const struct vz_line *line, uint64_t ns)
{
	vz_sums_advance(s, ns);
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
