/* SPDX-License-Identifier: MIT */
/* gil.c - who has the GIL, who waits for it, and whether it moves. */
#include <string.h>

#include "attach/snapshot/rooms.h"

/* Address of struct _gil_runtime_state; 0: there is none, or it is not known. */
static uint64_t find_gil(const struct vz_py *py)
{
	uint64_t interp, gil;

	if (py->at.free_threaded)
		return 0;
	if (py->at.rt_gil != VZ_NO_OFFSET)
		return py->runtime + py->at.rt_gil;
	if (py->at.is_gil == VZ_NO_OFFSET || py->at.rt_interpreters_main == VZ_NO_OFFSET ||
	    vz_py_word(py, py->runtime + py->at.rt_interpreters_main, &interp) < 0 ||
	    vz_py_word(py, interp + py->at.is_gil, &gil) < 0)
		return 0;
	return gil;
}

struct gil {
	uint64_t raddr, holder, turns;
	bool locked;
};

/* Three words that belong together: read until the number of turns stays. */
static bool read_gil(const struct vz_py *py, struct gil *ret)
{
	uint64_t again = 0;
	uint32_t locked;

	ret->raddr = find_gil(py);
	for (int i = 0; ret->raddr && i < 5; i++) {
		if (vz_py_word(py, ret->raddr + py->at.gil_switch_number, &ret->turns) < 0 ||
		    vz_py_word(py, ret->raddr + py->at.gil_last_holder, &ret->holder) < 0 ||
		    vz_py_u32(py, ret->raddr + py->at.gil_locked, &locked) < 0 ||
		    vz_py_word(py, ret->raddr + py->at.gil_switch_number, &again) < 0)
			return false;
		ret->locked = locked == 1;
		if (again == ret->turns)
			return true;
	}
	return false;
}

static void find_waiters(const struct vz_py *py, const struct gil *gil, struct vz_snapshot *s)
{
	for (size_t i = 0; i < s->nthreads; i++) {
		struct vz_snap_thread *t = &s->threads[i];

		t->waits_gil = t->wait.futex >= gil->raddr &&
			       t->wait.futex < gil->raddr + py->at.gil_bytes;
	}
}

static bool read_collecting(const struct vz_py *py)
{
	uint32_t collecting = 0;
	uint64_t interp;

	if (py->at.rt_gc_collecting != VZ_NO_OFFSET)
		return vz_py_u32(py, py->runtime + py->at.rt_gc_collecting, &collecting) == 0 &&
		       collecting == 1;
	return py->at.is_gc_collecting != VZ_NO_OFFSET &&
	       vz_py_word(py, py->runtime + py->at.rt_interpreters_main, &interp) == 0 &&
	       vz_py_u32(py, interp + py->at.is_gc_collecting, &collecting) == 0 && collecting == 1;
}

/* A wait for the GIL is made of short ones: between two of them its futex is not seen. */
static bool is_taking(const struct vz_snap_thread *t)
{
	static const char *const names[] = { "take_gil", "_PyEval_AcquireLock",
					     "PyEval_RestoreThread", "PyEval_AcquireThread",
					     "PyGILState_Ensure" };

	for (size_t i = 0; i < t->nframes && t->frames[i].kind == VZ_FRAME_NATIVE; i++) {
		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
			if (!strcmp(t->frames[i].function, names[k]))
				return true;
		}
	}
	return false;
}

void vz_snapshot_gil_names(struct vz_snapshot *s)
{
	const struct vz_snap_process *p = &s->process;

	for (size_t i = 0; i < s->nthreads; i++) {
		struct vz_snap_thread *t = &s->threads[i];

		if (p->gil_known && p->gil_locked && p->gil_holder >= 0 &&
		    (int)i != p->gil_holder && t->order_known && is_taking(t))
			t->waits_gil = true;
	}
}

void vz_snapshot_gil(const struct vz_scene_snapshot *scene, unsigned look)
{
	struct vz_snapshot *s = scene->snapshot;
	struct vz_snap_process *p = &s->process;
	struct gil gil = { 0 };
	int holder;

	if (!scene->py || !read_gil(scene->py, &gil)) {
		p->gil_known = false;
		p->gil_holder = -1;
		return;
	}
	holder = gil.locked ? vz_snapshot_by_tstate(s, gil.holder) : -1;
	if (look == 0) {
		p->gil_known = true;
		p->gil_locked = gil.locked;
		p->gil_holder = holder;
		find_waiters(scene->py, &gil, s);
	}
	p->gil_turns[look] = gil.turns;
	if (holder < 0)
		return;
	s->threads[holder].looks[look].holds_gil = true;
	s->threads[holder].holds_gil |= look == 0;
	s->threads[holder].looks[look].collecting = read_collecting(scene->py);
	s->threads[holder].collecting |= look == 0 && s->threads[holder].looks[0].collecting;
}
