/* SPDX-License-Identifier: MIT */
/*
 * frames.c - frames as they are shown.  Hundreds of threads stand in the same few places,
 * so each place is looked up once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/rooms.h"
#include "attach/util.h"

enum { SLOTS_START = 1 << 10, SLOTS_MAX = 1 << 20 };

struct slot {
	uint64_t place; /* code object, or program counter; 0: free */
	int32_t instr;  /* -2: native */
	struct vz_snap_frame frame;
};

enum { NATIVE = -2 };

struct vz_frame_cache {
	struct slot *slots;
	size_t count, room; /* room: a power of two */
};

int vz_frame_cache_new(struct vz_frame_cache **ret)
{
	struct vz_frame_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	cache->room = SLOTS_START;
	cache->slots = calloc(cache->room, sizeof(*cache->slots));
	if (!cache->slots) {
		free(cache);
		return -ENOMEM;
	}
	*ret = cache;
	return 0;
}

void vz_frame_cache_free(struct vz_frame_cache *cache)
{
	if (!cache)
		return;
	free(cache->slots);
	free(cache);
}

static struct slot *find_slot(struct slot *slots, size_t room, uint64_t place, int32_t instr)
{
	uint64_t hash = (place ^ (uint64_t)(uint32_t)instr << 32) * UINT64_C(0x9e3779b97f4a7c15);
	size_t at = (size_t)(hash >> 32) & (room - 1);

	while (slots[at].place && (slots[at].place != place || slots[at].instr != instr))
		at = (at + 1) & (room - 1);
	return &slots[at];
}

/* Keeps a quarter free; once it may not grow it is emptied instead. */
static void make_room(struct vz_frame_cache *cache)
{
	struct slot *slots;

	if (cache->count < cache->room / 4 * 3)
		return;
	slots = cache->room < SLOTS_MAX ? calloc(cache->room * 2, sizeof(*slots)) : NULL;
	if (!slots) {
		memset(cache->slots, 0, cache->room * sizeof(*cache->slots));
		cache->count = 0;
		return;
	}
	for (size_t i = 0; i < cache->room; i++) {
		const struct slot *old = &cache->slots[i];

		if (old->place)
			*find_slot(slots, cache->room * 2, old->place, old->instr) = *old;
	}
	free(cache->slots);
	cache->slots = slots;
	cache->room *= 2;
}

/* The slot of a place; .place is 0 if it has to be looked up. */
static struct slot *enter(const struct vz_scene_snapshot *scene, uint64_t place, int32_t instr)
{
	make_room(scene->cache);
	return find_slot(scene->cache->slots, scene->cache->room, place, instr);
}

static void keep(const struct vz_scene_snapshot *scene, struct slot *slot, uint64_t place,
		 int32_t instr, const struct vz_snap_frame *frame)
{
	slot->place = place;
	slot->instr = instr;
	slot->frame = *frame;
	scene->cache->count++;
}

void vz_snapshot_python_frame(const struct vz_scene_snapshot *scene, const struct vz_pyframe *raw,
			      struct vz_snap_frame *ret)
{
	struct slot *slot = enter(scene, raw->code, raw->instr);
	struct vz_pyplace place;

	if (!slot->place) {
		struct vz_snap_frame frame = { .kind = VZ_FRAME_PYTHON,
					       .function = "",
					       .file = "" };

		if (vz_pyframe_place(scene->py, raw, &place) == 0) {
			frame.function = vz_arena_text(scene->snapshot->arena, place.name);
			frame.file = vz_arena_text(scene->snapshot->arena, place.file);
			frame.line = place.line;
		}
		if (raw->code)
			keep(scene, slot, raw->code, raw->instr, &frame);
		*ret = frame;
	} else {
		*ret = slot->frame;
	}
	ret->raddr = raw->raddr;
}

/*
 * What stands between two Python frames in every program: how CPython calls and runs
 * code.  It tells nothing to a person who looks for a hang.
 */
static bool is_machinery(const char *name)
{
	static const char *const beginnings[] = {
		"_PyEval_",
		"PyEval_",
		"PyObject_Call",
		"PyObject_Vectorcall",
		"_PyObject_Call",
		"_PyObject_MakeTpCall",
		"_PyObject_Vectorcall",
		"_PyFunction_",
		"_PyVectorcall",
		"PyVectorcall",
		"_PyRun_",
		"PyRun_",
		"Py_RunMain",
		"Py_BytesMain",
		"Py_Main",
		"_Py_RunMain",
		"pymain_",
		"run_mod",
		"run_eval_code",
		"pyrun_",
		"vectorcall_",
		"method_vectorcall",
		"slot_tp_call",
		"function_code_fastcall",
		"_PyMethodDef_RawFastCall",
		"_PyMethodDescr_",
		"cfunction_",
		"cfunction",
		"builtin_exec",
		"object_vacall",
		"call_function",
		"do_call_core",
		"gen_send_ex",
		"PyObject_CallMethod",
		"_PyObject_FastCall",
		"thread_run",
		"t_bootstrap",
		"pythread_wrapper",
		"_start",
		"__libc_start",
		"start_thread",
		"__clone",
		"clone3",
		"main",
		"_PyCFunction",
		"PyCFunction_Call",
		"_Py_CallInterpreter",
	};

	for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
		if (vz_starts_with(name, beginnings[i]))
			return true;
	}
	return false;
}

static bool is_in_python(const struct vz_scene_snapshot *scene, const char *object)
{
	return scene->python && !strcmp(object, scene->python->path);
}

void vz_snapshot_native_frame(const struct vz_scene_snapshot *scene, uint64_t pc, uint64_t at,
			      struct vz_snap_frame *ret)
{
	struct slot *slot = enter(scene, pc, NATIVE);
	struct vz_symbol symbol;

	if (!slot->place) {
		struct vz_snap_frame frame = { .kind = VZ_FRAME_NATIVE };

		vz_symbols_find(scene->symbols, pc, &symbol);
		frame.function = vz_arena_text(scene->snapshot->arena, symbol.name);
		frame.file = vz_arena_text(scene->snapshot->arena, symbol.object);
		frame.offset = symbol.offset + (at - pc);
		/* Static functions of a stripped CPython have no names: as good as machinery. */
		frame.interpreter = is_machinery(symbol.name) ||
				    (!symbol.name[0] && is_in_python(scene, symbol.object));
		if (pc)
			keep(scene, slot, pc, NATIVE, &frame);
		*ret = frame;
	} else {
		*ret = slot->frame;
	}
	ret->raddr = at;
}
