/* SPDX-License-Identifier: MIT */
/* merge.c - one stack out of two: native frames, and the Python frames that some of them run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/rooms.h"
#include "attach/util.h"

enum { SHOWN_MAX = 1 << 14 }; /* frames of one thread; what is in the middle of more is left out */

struct merge {
	const struct vz_scene_snapshot *scene;
	const struct vz_native_stack *native;
	const struct vz_raw_stack *python;
	struct vz_snap_frame *frames;
	size_t count, room;
	size_t next; /* Python frame */
};

static void add(struct merge *m, const struct vz_snap_frame *frame)
{
	if (m->count < m->room)
		m->frames[m->count++] = *frame;
}

/* The Python frames of one call of the evaluator. */
static void add_run(struct merge *m)
{
	while (m->next < m->python->count) {
		const struct vz_pyframe *raw = &m->python->frames[m->next++];
		struct vz_snap_frame frame;

		vz_snapshot_python_frame(m->scene, raw, &frame);
		add(m, &frame);
		if (raw->entry)
			return;
	}
}

/* A return address belongs to the call before it. */
static uint64_t lookup_pc(const struct vz_native_frame *frame)
{
	return frame->exact || !frame->pc ? frame->pc : frame->pc - 1;
}

static void native_frame(const struct merge *m, size_t i, struct vz_snap_frame *ret)
{
	const struct vz_native_frame *frame = &m->native->frames[i];

	vz_snapshot_native_frame(m->scene, lookup_pc(frame), frame->pc, ret);
	if (frame->trampoline)
		ret->kind = VZ_FRAME_SIGNAL;
}

static bool is_evaluator(const struct merge *m, size_t i)
{
	struct vz_snap_frame frame;

	native_frame(m, i, &frame);
	return vz_starts_with(frame.function, "_PyEval_EvalFrameDefault");
}

/* ---- which native frame runs the next Python frames ---- */

/* The address on the C stack that belongs to the run that begins at NEXT; 0: unknown. */
static uint64_t run_address(const struct vz_raw_stack *python, size_t next)
{
	while (next < python->count && !python->frames[next].entry)
		next++;
	return next < python->count ? python->frames[next].c_stack : 0;
}

static size_t count_runs(const struct vz_raw_stack *python, size_t *without_address)
{
	size_t runs = 0;

	*without_address = 0;
	for (size_t i = 0; i < python->count; i++) {
		if (python->frames[i].entry || i + 1 == python->count) {
			runs++;
			*without_address += !python->frames[i].c_stack;
		}
	}
	return runs;
}

static bool holds(const struct vz_native_stack *native, size_t i, uint64_t address)
{
	return native->frames[i].sp <= address &&
	       (i + 1 == native->count || address < native->frames[i + 1].sp);
}

/* Each run has its native frame, and they come in the same order. */
static bool addresses_fit(const struct merge *m)
{
	size_t next = 0, missing, runs = count_runs(m->python, &missing);

	if (missing)
		return false;
	for (size_t i = 0; i < m->native->count && runs; i++) {
		if (!holds(m->native, i, run_address(m->python, next)))
			continue;
		while (next < m->python->count && !m->python->frames[next++].entry)
			;
		runs--;
		/* One native frame runs one entry frame; its own stack holds no second. */
	}
	return runs == 0;
}

static bool names_fit(const struct merge *m)
{
	size_t missing, evaluators = 0, runs = count_runs(m->python, &missing);

	for (size_t i = 0; i < m->native->count; i++)
		evaluators += is_evaluator(m, i);
	return evaluators == runs;
}

static void merge_known(struct merge *m, bool by_address)
{
	for (size_t i = 0; i < m->native->count; i++) {
		struct vz_snap_frame frame;
		bool runs = by_address ? holds(m->native, i, run_address(m->python, m->next))
				       : is_evaluator(m, i);

		native_frame(m, i, &frame);
		if (runs && m->next < m->python->count) {
			add_run(m);
			frame.interpreter = true;
		}
		add(m, &frame);
	}
}

static void merge_unknown(struct merge *m)
{
	while (m->next < m->python->count)
		add_run(m);
	for (size_t i = 0; m->native && i < m->native->count; i++) {
		struct vz_snap_frame frame;

		native_frame(m, i, &frame);
		add(m, &frame);
	}
}

static void leave_out_middle(struct merge *m, struct vz_snap_thread *t)
{
	struct vz_arena *arena = m->scene->snapshot->arena;

	if (m->count <= SHOWN_MAX)
		return;
	memmove(m->frames + SHOWN_MAX / 2, m->frames + m->count - SHOWN_MAX / 2,
		sizeof(*m->frames) * (SHOWN_MAX / 2));
	t->stack_note = vz_arena_format(arena, "%zu frames in the middle are left out",
					m->count - SHOWN_MAX);
	m->count = SHOWN_MAX;
}

static void explain(const struct merge *m, struct vz_snap_thread *t)
{
	static const char *const ends[] = {
		[VZ_UNWIND_ROOT] = "",
		[VZ_UNWIND_UNKNOWN] = "its native stack leads through code without unwind tables",
		[VZ_UNWIND_BROKEN] = "its native stack could not be followed to its root",
		[VZ_UNWIND_DEEP] = "its native stack is deeper than can be shown",
	};

	t->native_whole = m->native && m->native->end == VZ_UNWIND_ROOT;
	if (m->native && !t->native_whole && !t->stack_note[0])
		t->stack_note = ends[m->native->end];
	else if (m->native && !t->order_known && !t->stack_note[0])
		t->stack_note = "which native frame runs which Python frame is not known: they are "
				"shown one after the other";
}

void vz_snapshot_merge(const struct vz_scene_snapshot *scene, const struct vz_native_stack *native,
		       const struct vz_raw_stack *python, struct vz_snap_thread *t)
{
	struct merge m = { .scene = scene, .native = native, .python = python };
	_cleanup_free_ struct vz_snap_frame *frames = NULL;
	struct vz_snap_frame *kept;

	m.room = python->count + (native ? native->count : 0);
	frames = calloc(m.room ? m.room : 1, sizeof(*frames));
	if (!frames)
		return;
	m.frames = frames;
	t->order_known = !python->count || !native;
	if (native && python->count && addresses_fit(&m)) {
		t->order_known = true;
		merge_known(&m, true);
	} else if (native && python->count && names_fit(&m)) {
		t->order_known = true;
		merge_known(&m, false);
	} else {
		merge_unknown(&m);
	}
	leave_out_middle(&m, t);
	explain(&m, t);
	kept = vz_arena_alloc(scene->snapshot->arena, m.count, sizeof(*kept));
	if (!kept)
		return;
	memcpy(kept, frames, m.count * sizeof(*kept));
	t->frames = kept;
	t->nframes = m.count;
}
