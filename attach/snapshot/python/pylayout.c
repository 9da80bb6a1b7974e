/* SPDX-License-Identifier: MIT */
/*
 * pylayout.c - the generated rows, and what a process says of its own structures, which is
 * only taken if it makes sense.
 */
#include "attach/snapshot/python/pylayout.h"

#include <errno.h>
#include <string.h>

#include "attach/util.h"

enum {
	OFFSET_MAX = 1 << 20,
	OFFSETS_BYTES = 1024, /* of _Py_DebugOffsets: 608 in 3.13, 936 at most so far */
	INTERP_SIZE_AT = 48,  /* in it, in all versions: interpreter_state.size */
	ASYNCIO_WORDS = 13,
	DATA_MAX = 16 << 20, /* of one mapping that is searched */
};

/* A field is what the words at FIRST and SECOND (VZ_NO_OFFSET: none) of the process's own table
 * add up to. */
struct told {
	uint32_t field; /* in struct vz_pylayout */
	uint32_t first, second;
};

struct telling {
	uint8_t minor;
	bool free_threaded;
	const struct told *told;
	size_t count;
};

#define TOLD(name, first, second)                                 \
	{                                                         \
		offsetof(struct vz_pylayout, name), first, second \
	}
#include "attach/snapshot/python/pylayout_table.inc"

/* _asyncio's own table, the same in 3.14 and 3.15: sizes, and these fields. */
static const struct told asyncio_told[] = {
	TOLD(ta_name, 8, NO),
	TOLD(fu_awaited_by, 16, NO),
	TOLD(fu_awaited_by_is_set, 32, NO),
	TOLD(ta_coro, 40, NO),
	TOLD(ta_node, 48, NO),
	TOLD(is_asyncio_tasks_head, 64, NO),
	TOLD(ts_asyncio_running_loop, 80, NO),
	TOLD(ts_asyncio_running_task, 88, NO),
	TOLD(ts_asyncio_tasks_head, 96, NO),
};

const struct vz_pylayout *vz_pylayout_row(unsigned index)
{
	return index < sizeof(rows) / sizeof(rows[0]) ? &rows[index] : NULL;
}

const struct vz_pylayout *vz_pylayout_find(unsigned minor, bool free_threaded)
{
	const struct vz_pylayout *row;

	for (unsigned i = 0; (row = vz_pylayout_row(i)); i++) {
		if (row->minor == minor && row->free_threaded == free_threaded)
			return row;
	}
	return NULL;
}

static const struct telling *find_telling(const struct vz_pylayout *row)
{
	for (size_t i = 0; i < sizeof(tellings) / sizeof(tellings[0]); i++) {
		if (tellings[i].minor == row->minor &&
		    tellings[i].free_threaded == row->free_threaded)
			return &tellings[i];
	}
	return NULL;
}

static bool word_at(const uint8_t *bytes, size_t size, uint32_t at, uint64_t *ret)
{
	if (at > size - sizeof(*ret))
		return false;
	memcpy(ret, bytes + at, sizeof(*ret));
	return *ret < OFFSET_MAX;
}

/* All or nothing. */
static int take(const struct told *told, size_t count, const uint8_t *bytes, size_t size,
		struct vz_pylayout *ret)
{
	struct vz_pylayout layout = *ret;

	for (size_t i = 0; i < count; i++) {
		uint64_t first, second = 0;
		uint32_t value;

		if (!word_at(bytes, size, told[i].first, &first) ||
		    (told[i].second != NO && !word_at(bytes, size, told[i].second, &second)))
			return -ENOTSUP;
		value = (uint32_t)(first + second);
		memcpy((char *)&layout + told[i].field, &value, sizeof(value));
	}
	*ret = layout;
	return 0;
}

/* The head of _Py_DebugOffsets. */
struct head {
	char cookie[8];
	uint64_t version; /* as sys.hexversion */
	uint64_t free_threaded;
};

static bool is_head(const uint8_t *bytes, unsigned minor, bool free_threaded)
{
	struct head head;

	memcpy(&head, bytes, sizeof(head));
	return memcmp(head.cookie, "xdebugpy", sizeof(head.cookie)) == 0 &&
	       head.version >> 16 == (0x300U | minor) && head.free_threaded == free_threaded;
}

static int read_told(const struct vz_target *target, uint64_t runtime,
		     const struct telling *telling, struct vz_pylayout *ret)
{
	uint8_t bytes[OFFSETS_BYTES];
	uint32_t threads_head = ret->is_threads_head;
	int rc;

	if (vz_target_read(target, runtime, bytes, sizeof(bytes)) < 0 ||
	    !is_head(bytes, ret->minor, ret->free_threaded))
		return -ENOTSUP;
	rc = take(telling->told, telling->count, bytes, sizeof(bytes), ret);
	/* What stands behind it, but is not told before 3.14, moves along. */
	if (rc == 0 && ret->minor == 13)
		ret->is_threads_main += ret->is_threads_head - threads_head;
	return rc;
}

static int read_asyncio(const struct vz_target *target, uint64_t raddr, struct vz_pylayout *ret)
{
	uint8_t bytes[ASYNCIO_WORDS * 8];

	if (vz_target_read(target, raddr, bytes, sizeof(bytes)) < 0)
		return -ENOTSUP;
	return take(asyncio_told, sizeof(asyncio_told) / sizeof(asyncio_told[0]), bytes,
		    sizeof(bytes), ret);
}

static uint64_t word_in(const struct vz_target *target, uint64_t raddr)
{
	uint64_t word = 0;

	return vz_target_read(target, raddr, &word, sizeof(word)) == 0 ? word : 0;
}

/*
 * A patched CPython, or a micro release that moved something: the first thread's interpreter is
 * elsewhere, then, and nothing is to be believed.  No interpreter, no thread: nothing is known yet.
 */
static bool fits(const struct vz_target *target, uint64_t runtime, const struct vz_pylayout *at)
{
	uint64_t interp = word_in(target, runtime + at->rt_interpreters_main);
	uint64_t thread = interp ? word_in(target, interp + at->is_threads_head) : 0;

	return !thread || word_in(target, thread + at->ts_interp) == interp;
}

int vz_pylayout_read(const struct vz_target *target, uint64_t runtime, uint64_t asyncio_debug,
		     unsigned minor, bool free_threaded, struct vz_pylayout *ret)
{
	const struct vz_pylayout *row = vz_pylayout_find(minor, free_threaded);
	const struct telling *telling;
	int rc;

	if (!row)
		return -ENOTSUP;
	*ret = *row;
	telling = find_telling(row);
	rc = telling ? read_told(target, runtime, telling, ret) : 0;
	if (rc == 0 && asyncio_debug && minor >= 14)
		rc = read_asyncio(target, asyncio_debug, ret);
	if (rc == 0 && !fits(target, runtime, ret))
		rc = -ENOTSUP;
	return rc;
}

/* ---- where _asyncio's table is ---- */

/* Sizes and offsets of a task, an interpreter and a thread; the second size is known. */
static bool is_asyncio(const uint64_t *words, uint64_t interp_bytes)
{
	static const uint8_t size_of[ASYNCIO_WORDS] = { 0, 0, 0, 0, 0, 0, 0, 7, 7, 9, 9, 9, 9 };

	if (words[7] != interp_bytes)
		return false;
	for (size_t i = 0; i < ASYNCIO_WORDS; i++) {
		uint64_t size = words[size_of[i]];

		if (size < 64 || size >= OFFSET_MAX || (i != size_of[i] && words[i] >= size))
			return false;
	}
	return true;
}

static uint64_t search_map(const struct vz_target *target, uint64_t start, uint64_t end,
			   uint64_t interp_bytes)
{
	size_t bytes = end - start < DATA_MAX ? end - start : DATA_MAX;
	_cleanup_free_ uint64_t *words = malloc(bytes ? bytes : 1);

	if (!words || vz_target_read(target, start, words, bytes) < 0)
		return 0;
	for (size_t i = 0; i + ASYNCIO_WORDS <= bytes / 8; i++) {
		if (is_asyncio(words + i, interp_bytes))
			return start + i * 8;
	}
	return 0;
}

static uint64_t search_object(const struct vz_target *target, const struct vz_maps *maps,
			      const struct vz_object *object, uint64_t interp_bytes)
{
	uint64_t start, end, found = 0;

	vz_object_range(object, &start, &end);
	for (size_t i = 0; i < maps->count && !found; i++) {
		const struct vz_map *map = &maps->items[i];

		if (map->writable && map->readable && map->start < end && map->end > start)
			found = search_map(target, map->start, map->end, interp_bytes);
	}
	return found;
}

uint64_t vz_pylayout_asyncio(const struct vz_target *target, const struct vz_maps *maps,
			     const struct vz_objects *objects, uint64_t runtime)
{
	uint64_t interp_bytes, found = 0;

	if (vz_target_read(target, runtime + INTERP_SIZE_AT, &interp_bytes, sizeof(interp_bytes)) <
	    0)
		return 0;
	for (size_t i = 0; i < objects->count && !found; i++) {
		const struct vz_object *object = objects->items[i];
		uint64_t start, end;

		vz_object_range(object, &start, &end);
		if (vz_starts_with(vz_basename(vz_object_path(object)), "_asyncio.") ||
		    (runtime >= start && runtime < end))
			found = search_object(target, maps, object, interp_bytes);
	}
	return found;
}
