/* SPDX-License-Identifier: MIT */
/* verdict_words.c - facts about threads, and words for them. */
#include <string.h>

#include "attach/snapshot/verdict/verdict_priv.h"
#include "attach/util.h"

#define SEC UINT64_C(1000000000)

void vz_words_begin(struct vz_words *w)
{
	w->room[0] = '\0';
	w->text = (struct vz_text){ w->room, 0, sizeof(w->room) };
}

/* ---- words ---- */

const char *vz_say_thread(const struct vz_snapshot *s, int thread)
{
	const struct vz_snap_thread *t = &s->threads[thread];
	const char *name = t->name[0] ? t->name : t->main ? "MainThread" : t->comm;

	return vz_arena_format(s->arena, "%s (%d)", name[0] ? name : "thread", (int)t->tid);
}

/* Code that comes with CPython is seldom what a person looks for. */
static bool is_standard_library(const char *file)
{
	const char *lib = strstr(file, "/lib/python3");

	return vz_starts_with(file, "<frozen ") ||
	       (lib && !strstr(lib, "/site-packages/") && !strstr(lib, "/dist-packages/"));
}

/* Without the SKIP innermost Python frames. */
static const char *say_place(const struct vz_snapshot *s, int thread, unsigned skip)
{
	const struct vz_snap_thread *t = &s->threads[thread];
	const struct vz_snap_frame *found = NULL;

	for (size_t i = 0; i < t->nframes; i++) {
		const struct vz_snap_frame *f = &t->frames[i];

		if (f->kind != VZ_FRAME_PYTHON)
			continue;
		if (skip) {
			skip--;
			continue;
		}
		if (!found)
			found = f;
		if (!is_standard_library(f->file)) {
			found = f;
			break;
		}
	}
	if (!found)
		return "code that is not Python";
	return vz_arena_format(s->arena, "%s (%s:%u)", found->function, vz_basename(found->file),
			       found->line);
}

const char *vz_say_place(const struct vz_snapshot *s, int thread)
{
	return say_place(s, thread, 0);
}

const char *vz_say_common_place(const struct vz_snapshot *s, int thread)
{
	const struct vz_snap_thread *t = &s->threads[thread];
	uint32_t depth = t->looks[0].py_depth;

	return say_place(s, thread,
			 t->common > 0 && depth > (unsigned)t->common ? depth - (unsigned)t->common
								      : 0);
}

const char *vz_say_time(const struct vz_snapshot *s, uint64_t ns)
{
	if (ns < SEC)
		return vz_arena_format(s->arena, "%u ms", (unsigned)(ns / 1000000));
	if (ns < 10 * SEC)
		return vz_arena_format(s->arena, "%.1f s", (double)ns / 1e9);
	if (ns < 120 * SEC)
		return vz_arena_format(s->arena, "%u s", (unsigned)(ns / SEC));
	if (ns < 7200 * SEC)
		return vz_arena_format(s->arena, "%u min", (unsigned)(ns / SEC / 60));
	return vz_arena_format(s->arena, "%u h", (unsigned)(ns / SEC / 3600));
}

const char *vz_say_since(const struct vz_snapshot *s, int thread)
{
	const struct vz_snap_thread *t = &s->threads[thread];

	if (!t->asleep_ns)
		return "";
	return vz_arena_format(s->arena, " for %s", vz_say_time(s, t->asleep_ns));
}

const char *vz_say_lock(const struct vz_snapshot *s, int lock)
{
	const struct vz_snap_lock *l = &s->locks[lock];

	/* "threading.Event.wait" says what "threading.Event" would. */
	if (strstr(l->name, l->kind))
		return l->name;
	if (!l->name[0] || vz_starts_with(l->kind, "import lock of"))
		return l->kind;
	return vz_arena_format(s->arena, "%s %s", l->kind, l->name);
}

const char *vz_say_wait(const struct vz_snapshot *s, int thread)
{
	const struct vz_snap_thread *t = &s->threads[thread];

	if (t->waits_gil)
		return "waits for the GIL";
	if (t->lock >= 0)
		return vz_arena_format(s->arena, "waits for %s", vz_say_lock(s, t->lock));
	if (t->joins >= 0)
		return vz_arena_format(s->arena, "waits for the end of %s",
				       vz_say_thread(s, t->joins));
	if (!t->wait.call[0])
		return "runs";
	return vz_arena_format(s->arena, "is in %s%s%s", t->wait.call,
			       t->wait.object[0] ? ", " : "", t->wait.object);
}

/* What calls native code on behalf of Python code, and is not what was called. */
static bool is_go_between(const struct vz_snap_frame *f)
{
	const char *library = vz_basename(f->file);

	return f->interpreter || !f->function[0] || vz_starts_with(library, "libffi") ||
	       vz_starts_with(library, "_ctypes") || vz_starts_with(library, "_greenlet") ||
	       vz_starts_with(f->function, "ffi_call");
}

const char *vz_say_native(const struct vz_snapshot *s, int thread)
{
	const struct vz_snap_thread *t = &s->threads[thread];
	const struct vz_snap_frame *found = NULL;

	if (!t->order_known)
		return "";
	for (size_t i = 0; i < t->nframes && t->frames[i].kind != VZ_FRAME_PYTHON; i++) {
		if (t->frames[i].kind == VZ_FRAME_NATIVE && !is_go_between(&t->frames[i]))
			found = &t->frames[i]; /* the outermost: what Python called */
	}
	if (!found)
		return "";
	return vz_arena_format(s->arena, "%s (%s)", found->function, vz_basename(found->file));
}

/* ---- facts ---- */

bool vz_is_still(const struct vz_snapshot *s, int thread)
{
	const struct vz_snap_thread *t = &s->threads[thread];

	if (s->from_core)
		return t->wait.nr >= 0;
	if (t->nlooks != VZ_LOOKS)
		return false;
	for (size_t i = 0; i < VZ_LOOKS; i++) {
		if (t->looks[i].state == 'R' || t->looks[i].switches != t->looks[0].switches)
			return false;
	}
	return true;
}

bool vz_is_running(const struct vz_snapshot *s, int thread)
{
	const struct vz_snap_thread *t = &s->threads[thread];
	const struct vz_look *first = &t->looks[0], *last = &t->looks[VZ_LOOKS - 1];

	bool runnable = true;

	if (s->from_core || t->nlooks != VZ_LOOKS || last->at_ns <= first->at_ns)
		return false;
	for (size_t i = 0; i < VZ_LOOKS; i++)
		runnable = runnable && t->looks[i].state == 'R';
	/* On a machine with other work to do it may get less than it would take. */
	return (runnable && last->cpu_ns > first->cpu_ns) ||
	       (last->cpu_ns - first->cpu_ns) * 10 > (last->at_ns - first->at_ns) * 6;
}

bool vz_is_same_frames(const struct vz_snapshot *s, int thread, unsigned slack)
{
	const struct vz_snap_thread *t = &s->threads[thread];

	if (t->nlooks != VZ_LOOKS || t->common <= 0)
		return false;
	for (size_t i = 0; i < VZ_LOOKS; i++) {
		if (t->looks[i].py_depth > (unsigned)t->common + slack)
			return false;
	}
	return true;
}

bool vz_is_in_native(const struct vz_snapshot *s, int thread)
{
	const struct vz_snap_thread *t = &s->threads[thread];

	/* Without known places nothing tells C code from the evaluation of bytecode. */
	if (!t->order_known || !t->nframes || t->frames[0].kind != VZ_FRAME_NATIVE)
		return false;
	for (size_t i = 0; i < t->nframes && t->frames[i].kind != VZ_FRAME_PYTHON; i++) {
		if (!t->frames[i].interpreter)
			return true;
	}
	return false;
}

/* ---- who waits for whom ---- */

int vz_waits_for(const struct vz_snapshot *s, int thread)
{
	const struct vz_snap_thread *t = &s->threads[thread];
	const struct vz_snap_lock *l = t->lock >= 0 ? &s->locks[t->lock] : NULL;

	if (l && l->owner >= 0 && (l->owned == VZ_OWNER_RECORDED || l->owned == VZ_OWNER_INFERRED))
		return l->owner;
	if (t->joins >= 0)
		return t->joins;
	return t->waits_gil && s->process.gil_holder != thread ? s->process.gil_holder : -1;
}

int vz_root_of(const struct vz_snapshot *s, int thread)
{
	for (size_t i = 0; i < s->nthreads; i++) {
		int next = vz_waits_for(s, thread);

		if (next < 0)
			break;
		thread = next;
	}
	return thread;
}

const char *vz_say_link(const struct vz_snapshot *s, int thread)
{
	const struct vz_snap_thread *t = &s->threads[thread];
	int next = vz_waits_for(s, thread);
	const char *name = next >= 0 ? vz_say_thread(s, next) : "";

	if (t->lock >= 0 && next >= 0 && s->locks[t->lock].owner == next)
		return vz_arena_format(s->arena, "waits for %s held by %s", vz_say_lock(s, t->lock),
				       next == thread ? "itself" : name);
	if (next >= 0 && t->joins == next)
		return vz_arena_format(s->arena, "waits for the end of %s", name);
	if (next >= 0)
		return vz_arena_format(s->arena, "waits for the GIL held by %s", name);
	return vz_say_wait(s, thread);
}
