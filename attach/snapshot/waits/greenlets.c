/* SPDX-License-Identifier: MIT */
/*
 * greenlets.c - greenlets that are parked.  They are found in the lists of the garbage
 * collector, whose place is taken only if the lists hold together there.  Each version of
 * greenlet is laid out differently, but all keep a reference to the frame object where a
 * parked greenlet goes on, in the object or in what it points to.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/rooms.h"
#include "attach/snapshot/waits/sight.h"
#include "attach/util.h"

enum {
	MAX_OBJECTS = 300000, /* of the collector's lists that are looked at */
	MAX_GREENLETS = 10000,
	MAX_FRAMES = 64,
	MAX_BASES = 16,
	GENERATIONS = 3,
	GENERATION = 24, /* struct gc_generation: list head, two ints */
	/* From the first one to "collecting": four of them, a pointer to 3.13, three
	   statistics; in 3.13 packed to 4 bytes */
	TO_COLLECTING_MIN = 4 * GENERATION + 3 * 24,
	TO_COLLECTING_MAX = TO_COLLECTING_MIN + 16,
	GC_HEAD = 16,
	TYPES = 256, /* a power of two */
	LOOK_WORDS = 32,
	PIMPL = 16, /* behind the head: list of weak references, dict */
};

struct greenlets {
	const struct vz_scene_snapshot *scene;
	uint64_t interp;
	uint64_t type;       /* greenlet.greenlet */
	uint64_t frame_type; /* types.FrameType */
	uint64_t known[TYPES];
	bool is_greenlet[TYPES];
	size_t objects;
	struct vz_snap_task *out;
	size_t count, room;
	bool cut;
	size_t without_frame; /* not begun, ended, or the one that runs */
};

/* ---- types ---- */

static bool has_base(const struct vz_py *py, uint64_t type, uint64_t base)
{
	for (int i = 0; i < MAX_BASES && type; i++) {
		if (type == base)
			return true;
		if (vz_py_word(py, type + py->at.tp_base, &type) < 0)
			return false;
	}
	return false;
}

static bool is_greenlet_type(struct greenlets *g, uint64_t type)
{
	size_t at = (size_t)(type >> 4) % TYPES;

	if (g->known[at] != type) {
		g->known[at] = type;
		g->is_greenlet[at] = has_base(g->scene->py, type, g->type);
	}
	return g->is_greenlet[at];
}

static bool find_types(struct greenlets *g)
{
	const struct vz_py *py = g->scene->py;

	return vz_py_word(py, py->runtime + py->at.rt_interpreters_main, &g->interp) == 0 &&
	       vz_py_module_attr(py, g->interp, "greenlet", "greenlet", &g->type) == 0 &&
	       vz_pyobj_kind(py, g->type) == VZ_PYKIND_TYPE &&
	       vz_py_module_attr(py, g->interp, "types", "FrameType", &g->frame_type) == 0;
}

/* ---- one greenlet ---- */

/* The thread whose stack ADDRESS is in: below its struct pthread, in the same mapping. */
static int thread_of_stack(const struct vz_scene_snapshot *scene, uint64_t address)
{
	const struct vz_map *map = vz_maps_find(scene->maps, address);
	const struct vz_snapshot *s = scene->snapshot;
	int found = -1;

	if (!map || !map->writable)
		return -1;
	if (strcmp(map->path, "[stack]") == 0)
		return s->nthreads && s->threads[0].main ? 0 : -1;
	if (map->path[0])
		return -1;
	for (size_t i = 0; i < s->nthreads; i++) {
		uint64_t top = s->threads[i].ident;

		if (!s->threads[i].main && top > address && top < map->end &&
		    (found < 0 || top < s->threads[found].ident))
			found = (int)i;
	}
	return found;
}

/* The first reference to a frame object among the words at RADDR; the thread from the first
 * address of a stack. */
static uint64_t find_frame(struct greenlets *g, uint64_t raddr, size_t first, int *thread)
{
	const struct vz_py *py = g->scene->py;
	uint64_t words[LOOK_WORDS], type, frame = 0;

	if (vz_target_read(py->target, raddr, words, sizeof(words)) < 0)
		return 0;
	for (size_t i = first; i < LOOK_WORDS; i++) {
		if (words[i] < 4096 || (words[i] & 7))
			continue;
		if (*thread < 0)
			*thread = thread_of_stack(g->scene, words[i]);
		if (!frame && vz_py_word(py, words[i] + py->at.ob_type, &type) == 0 &&
		    type == g->frame_type)
			frame = words[i];
	}
	return frame;
}

static uint64_t parked_frame(struct greenlets *g, uint64_t obj, int *thread)
{
	const struct vz_py *py = g->scene->py;
	uint64_t head = py->at.ob_type + 8, pimpl, frame = 0;

	*thread = -1;
	if (vz_py_word(py, obj + head + PIMPL, &pimpl) == 0 && pimpl && !(pimpl & 7))
		frame = find_frame(g, pimpl, 0, thread);
	if (!frame) /* to 1.x all of it was in the object */
		frame = find_frame(g, obj, head / 8, thread);
	if (frame && py->at.minor >= 11 && vz_py_word(py, frame + py->at.fr_frame, &frame) < 0)
		return 0;
	return frame;
}

/* A frame that a thread runs is not parked. */
static bool runs(const struct vz_scene_snapshot *scene, uint64_t raddr)
{
	for (size_t i = 0; i < scene->snapshot->nthreads; i++) {
		for (size_t j = 0; j < scene->raw[i].count; j++) {
			if (scene->raw[i].frames[j].raddr == raddr)
				return true;
		}
	}
	return false;
}

/* What gevent calls what it waits for is the function of its own that it is in. */
static const char *awaits(struct greenlets *g, const struct vz_snap_frame *frame)
{
	const char *package = strstr(frame->file, "/gevent/");
	const char *file = vz_basename(frame->file);
	size_t len = strlen(file);

	if (!package)
		return "a switch to it";
	if (vz_sight_is(frame, "gevent/hub.py", "run")) /* the loop itself */
		return "";
	return vz_arena_format(g->scene->snapshot->arena, "gevent.%.*s.%s",
			       len > 3 ? (int)(len - 3) : (int)len, file, frame->function);
}

static void fill(struct greenlets *g, struct vz_snap_task *out, const struct vz_pyframe *raw,
		 size_t n)
{
	struct vz_arena *arena = g->scene->snapshot->arena;
	struct vz_snap_frame *frames = vz_arena_alloc(arena, n, sizeof(*frames));
	char type[VZ_PYNAME_MAX];

	vz_sight_type(g->scene, out->raddr, type, sizeof(type));
	out->name = vz_arena_text(arena, type);
	out->coroutine = out->awaits = "";
	if (!frames)
		return;
	for (size_t i = 0; i < n; i++)
		vz_snapshot_python_frame(g->scene, &raw[i], &frames[i]);
	out->frames = frames;
	out->nframes = n;
	out->coroutine = frames[n - 1].function;
	out->awaits = awaits(g, &frames[0]);
}

static bool make_room(struct greenlets *g)
{
	size_t room = g->room ? 2 * g->room : 64;
	struct vz_snap_task *grown;

	if (g->count < g->room)
		return true;
	grown = g->count < MAX_GREENLETS ? realloc(g->out, room * sizeof(*grown)) : NULL;
	if (!grown)
		return false;
	g->out = grown;
	g->room = room;
	return true;
}

static void add(struct greenlets *g, uint64_t obj)
{
	struct vz_pyframe raw[MAX_FRAMES];
	int thread;
	uint64_t frame = parked_frame(g, obj, &thread);
	ssize_t n = frame ? vz_pystack_follow(g->scene->py, frame, raw, MAX_FRAMES) : 0;

	if (n == -E2BIG)
		n = MAX_FRAMES;
	if (n <= 0 || runs(g->scene, frame)) {
		g->without_frame++;
		return;
	}
	if (!make_room(g)) {
		g->scene->snapshot->tasks_left_out++;
		return;
	}
	g->out[g->count] = (struct vz_snap_task){ .greenlet = true,
						  .raddr = obj,
						  .state = VZ_TASK_WAITING,
						  .thread = thread,
						  .loop = -1,
						  .awaits_task = -1,
						  .parent = -1 };
	fill(g, &g->out[g->count++], raw, (size_t)n);
}

/* ---- the collector's lists ---- */

struct node {
	uint64_t next, prev, refcnt, type;
};

static uint64_t link_of(uint64_t word)
{
	return word & ~UINT64_C(3); /* flags */
}

/* Does a list begin here? */
static bool is_head(const struct vz_py *py, uint64_t head)
{
	uint64_t next, prev, back;

	return vz_py_word(py, head, &next) == 0 && vz_py_word(py, head + 8, &prev) == 0 &&
	       link_of(next) && vz_py_word(py, link_of(next) + 8, &back) == 0 &&
	       link_of(back) == head && link_of(prev) &&
	       vz_py_word(py, link_of(prev), &back) == 0 && link_of(back) == head;
}

static bool are_heads(const struct vz_py *py, uint64_t first)
{
	for (uint64_t i = 0; i < GENERATIONS; i++) {
		if (!is_head(py, first + i * GENERATION))
			return false;
	}
	return true;
}

/* 0: not where they are known to be, or the collector is at work. */
static uint64_t find_heads(const struct greenlets *g)
{
	const struct vz_py *py = g->scene->py;
	bool in_runtime = py->at.rt_gc_collecting != VZ_NO_OFFSET;
	uint64_t collecting = in_runtime ? py->runtime + py->at.rt_gc_collecting
					 : g->interp + py->at.is_gc_collecting;
	uint32_t busy;

	if (py->at.free_threaded || vz_py_u32(py, collecting, &busy) < 0 || busy)
		return 0;
	for (uint64_t i = TO_COLLECTING_MIN; i <= TO_COLLECTING_MAX; i += 4) {
		if (are_heads(py, collecting - i))
			return collecting - i;
	}
	return 0;
}

static void walk(struct greenlets *g, uint64_t head)
{
	const struct vz_py *py = g->scene->py;
	uint64_t at;
	struct node node;

	if (vz_py_word(py, head, &at) < 0)
		return;
	for (at = link_of(at); at && at != head; at = link_of(node.next)) {
		if (g->objects++ == MAX_OBJECTS ||
		    vz_target_read(py->target, at, &node, sizeof(node)) < 0) {
			g->cut = true;
			return;
		}
		if (is_greenlet_type(g, node.type))
			add(g, at + GC_HEAD);
	}
}

static void keep(struct greenlets *g)
{
	struct vz_snapshot *s = g->scene->snapshot;
	struct vz_snap_task *all;

	if (g->count == 0)
		return;
	all = vz_arena_alloc(s->arena, s->ntasks + g->count, sizeof(*all));
	if (!all)
		return;
	if (s->ntasks)
		memcpy(all, s->tasks, s->ntasks * sizeof(*all));
	memcpy(all + s->ntasks, g->out, g->count * sizeof(*all));
	s->tasks = all;
	s->ntasks += g->count;
}

void vz_snapshot_greenlets(const struct vz_scene_snapshot *scene)
{
	struct greenlets *g = calloc(1, sizeof(*g));
	uint64_t heads;

	if (!g)
		return;
	g->scene = scene;
	if (find_types(g)) {
		heads = find_heads(g);
		for (uint64_t i = GENERATIONS; heads && i-- > 0 && !g->cut;)
			walk(g, heads + i * GENERATION);
		if (!heads)
			vz_snapshot_note(scene->snapshot,
					 "greenlets: the lists of Python's objects cannot be read "
					 "now");
		else if (g->cut)
			vz_snapshot_note(scene->snapshot,
					 "greenlets: only those among the first %zu objects",
					 g->objects);
		keep(g);
	}
	free(g->out);
	free(g);
}
