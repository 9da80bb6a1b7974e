/* SPDX-License-Identifier: MIT */
/*
 * residue_hooks.c - does anything still point to where our code was?
 *
 * Searched are the places that CPython and libc follow pointers from: their static data
 * (_PyRuntime, types, libc's list of threads), interpreters, thread states with their dicts,
 * the lists of at-fork functions.  Not searched are heap and stacks, where a stale word means
 * nothing.
 *
 * The program runs meanwhile, and may have got our addresses for its own data: only
 * pointers to unmapped memory count, and pointers to functions in memory that is no code.  What is
 * found must be found again some moments later, and a walk over threads must be confirmed by a
 * second one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach/residue_priv.h"
#include "attach/util.h"

enum {
	MAX_THREADS = 1 << 17,
	CHUNK_BYTES = 64 << 10,
	MAX_FOUND = 64,
	PASSES = 4, /* what is found must be found each time */
	TS_BYTES_MAX = 1024,
	LIST_ITEMS_MAX = 4096,
	DICT_MAX = 1 << 16,
	/* In every CPython without Py_TRACE_REFS: PyObject, PyTypeObject, PyListObject,
	   PyDictObject */
	OBJECT_TYPE = 8,
	OBJECT_BODY = 16,
	OBJECT_BYTES = 56,
	CAPSULE_BODY = 32,  /* pointer, name, context, destructor */
	FUNCTION_BODY = 40, /* PyMethodDef, self, module, weak references, vectorcall */
	TYPE_NAME = 24,
	TYPE_DEALLOC = 48,
	LIST_SIZE = 16,
	LIST_ITEM = 24,
	DICT_KEYS = 32,
};

/* Said twice each, and compared by address. */
static const char in_thread[] = "a thread state", in_dict[] = "the dict of a thread state",
		  in_lists[] = "the lists of at-fork functions";

struct found {
	uint64_t raddr, word;
	bool function; /* the word is one that is called */
	const char *where;
};

struct scan {
	const struct vz_hook_search *search;
	struct vz_maps maps;
	struct found found[MAX_FOUND];
	size_t nfound;
	uint8_t chunk[CHUNK_BYTES];
};

static int read_at(const struct scan *s, uint64_t raddr, void *buf, size_t len)
{
	return vz_target_read(s->search->target, raddr, buf, len);
}

static int read_word(const struct scan *s, uint64_t raddr, uint64_t *ret)
{
	return read_at(s, raddr, ret, sizeof(*ret));
}

static bool too_late(const struct scan *s)
{
	return vz_now_ns() >= s->search->deadline_ns;
}

/* ---- one word ---- */

static bool is_ours(const struct scan *s, uint64_t word, bool function)
{
	const struct vz_map *map;

	if (word < s->search->image.start || word >= s->search->image.end)
		return false;
	if (s->search->mapped)
		return true;
	map = vz_maps_find(&s->maps, word);
	return !map || (function && !map->executable);
}

static void note(struct scan *s, uint64_t raddr, uint64_t word, bool function, const char *where)
{
	if (!is_ours(s, word, function) || s->nfound == MAX_FOUND)
		return;
	for (size_t i = 0; i < s->nfound; i++) {
		if (s->found[i].raddr == raddr)
			return;
	}
	s->found[s->nfound++] = (struct found){ raddr, word, function, where };
}

static void look(struct scan *s, const uint8_t *bytes, size_t len, uint64_t raddr,
		 const char *where)
{
	for (size_t at = 0; at + 8 <= len; at += 8) {
		uint64_t word;

		memcpy(&word, bytes + at, 8);
		if (word >= s->search->image.start && word < s->search->image.end)
			note(s, raddr + at, word, false, where);
	}
}

/* A word that holds a function. */
static int look_at_slot(struct scan *s, uint64_t raddr, const char *where)
{
	uint64_t word;

	if (read_word(s, raddr, &word) < 0)
		return -EAGAIN;
	note(s, raddr, word, true, where);
	return 0;
}

/* At least LEAST of BYTES must be readable. */
static int look_through(struct scan *s, uint64_t raddr, uint64_t bytes, uint64_t least,
			const char *where)
{
	for (uint64_t at = 0; at < bytes; at += CHUNK_BYTES) {
		size_t len = bytes - at < CHUNK_BYTES ? (size_t)(bytes - at) : CHUNK_BYTES;

		if (too_late(s))
			return -EAGAIN;
		if (read_at(s, raddr + at, s->chunk, len) < 0)
			return at >= least ? 0 : -EAGAIN;
		look(s, s->chunk, len, raddr + at, where);
	}
	return 0;
}

/* ---- static data ---- */

static int look_at_object(struct scan *s, const struct vz_object *object, const char *where)
{
	uint64_t start, end;

	vz_object_range(object, &start, &end);
	for (size_t i = 0; i < s->maps.count; i++) {
		const struct vz_map *map = &s->maps.items[i];
		uint64_t from = map->start > start ? map->start : start;
		uint64_t to = map->end < end ? map->end : end;
		int rc;

		if (from >= to || !map->writable || map->shared)
			continue;
		rc = look_through(s, from, to - from, to - from, where);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int look_at_static_data(struct scan *s)
{
	const struct vz_python *python = s->search->python;
	const struct vz_objects *all = s->search->objects;
	const struct {
		const struct vz_object *object;
		const char *where;
	} places[] = {
		{ vz_objects_find(all, python->py[VZ_SYM__PyRuntime]), "CPython's data" },
		{ vz_objects_find(all, python->libc_start), "libc's data" },
		{ vz_objects_find(all, python->libc[VZ_LIBC_pthread_create]), "libpthread's data" },
		{ vz_objects_find(all, python->ld_start), "the loader's data" },
	};
	/* First what has a name of its own. */
	int rc = look_at_slot(s, python->py[VZ_SYM_PyCode_Type] + TYPE_DEALLOC,
			      "the type of code objects");

	for (size_t i = 0; rc == 0 && i < sizeof(places) / sizeof(places[0]); i++) {
		bool again = false;

		for (size_t k = 0; k < i; k++)
			again = again || places[k].object == places[i].object;
		if (places[i].object && !again)
			rc = look_at_object(s, places[i].object, places[i].where);
	}
	return rc;
}

/* ---- threads ---- */

struct node {
	uint64_t raddr, id;
};

struct walk {
	struct node *items;
	size_t count;
};

/* Into objects that lead to a function or to somebody's memory; others say nothing about us. */
static int look_into(struct scan *s, uint64_t object, const char *where)
{
	uint8_t bytes[OBJECT_BYTES];
	uint64_t type, name;
	char text[32];

	if (read_at(s, object, bytes, sizeof(bytes)) < 0)
		return -EAGAIN;
	memcpy(&type, bytes + OBJECT_TYPE, 8);
	if (read_word(s, type + TYPE_NAME, &name) < 0 ||
	    vz_target_read_string(s->search->target, name, text, sizeof(text)) < 0)
		return -EAGAIN;
	if (!strcmp(text, "PyCapsule"))
		look(s, bytes + OBJECT_BODY, CAPSULE_BODY, object + OBJECT_BODY, where);
	else if (!strcmp(text, "builtin_function_or_method"))
		look(s, bytes + OBJECT_BODY, FUNCTION_BODY, object + OBJECT_BODY, where);
	return 0;
}

/* A reference to an object at RADDR: the object may be in our memory, or lead there. */
static int follow(struct scan *s, uint64_t raddr, const char *where)
{
	uint64_t object;

	if (read_word(s, raddr, &object) < 0)
		return -EAGAIN;
	if (!object)
		return 0;
	if (is_ours(s, object, false)) {
		note(s, raddr, object, false, where);
		return 0;
	}
	return look_into(s, object, where);
}

struct entries {
	uint64_t raddr, count, stride; /* of references to the values */
};

/* PyDictKeysObject: indices of 1, 2 or 4 bytes, then the entries. */
static int find_entries(const struct scan *s, uint64_t dict, struct entries *ret)
{
	bool old = s->search->python->ver->minor < 11;
	uint64_t head[5], keys, size, index_bytes;
	const uint8_t *small = (const uint8_t *)head;

	if (read_word(s, dict + DICT_KEYS, &keys) < 0 || read_at(s, keys, head, sizeof(head)) < 0)
		return -EAGAIN;
	if (old) { /* refcnt, size, lookup, usable, entries */
		size = head[1];
		index_bytes = size <= 0xff ? size : size <= 0xffff ? 2 * size : 4 * size;
		*ret = (struct entries){ keys + 40 + index_bytes + 16, head[4], 24 };
	} else { /* refcnt; log2 of size, of index bytes, kind, version; usable; entries */
		size = small[9] < 32 ? UINT64_C(1) << small[9] : UINT64_MAX;
		ret->stride = small[10] == 0 ? 24 : 16; /* with or without a hash */
		ret->raddr = keys + 32 + size + ret->stride - 8;
		ret->count = head[3];
	}
	return size > DICT_MAX || ret->count > DICT_MAX ? -EAGAIN : 0;
}

/* The agent leaves a capsule in the dict of each thread state that it meets. */
static int look_at_dict(struct scan *s, uint64_t dict)
{
	struct entries entries;
	int rc = find_entries(s, dict, &entries);

	for (uint64_t i = 0; rc == 0 && i < entries.count; i++)
		rc = follow(s, entries.raddr + i * entries.stride, in_dict);
	return rc;
}

static int look_at_thread(struct scan *s, uint64_t tstate, const uint8_t *bytes, size_t len)
{
	const struct vz_py_offsets *off = &s->search->python->ver->off;
	uint64_t dict, word;

	look(s, bytes, len, tstate, in_thread);
	memcpy(&word, bytes + off->ts_c_profilefunc, 8);
	note(s, tstate + off->ts_c_profilefunc, word, true, in_thread);
	memcpy(&dict, bytes + off->ts_dict, 8);
	return dict ? look_at_dict(s, dict) : 0;
}

static int add_node(struct walk *walk, uint64_t raddr, uint64_t id)
{
	if (walk->count % 256 == 0) {
		struct node *items =
			realloc(walk->items, (walk->count + 256) * sizeof(*walk->items));

		if (!items)
			return -EAGAIN;
		walk->items = items;
	}
	walk->items[walk->count++] = (struct node){ raddr, id };
	return 0;
}

/* All thread states of INTERP, from the youngest to the oldest. */
static int walk_threads(struct scan *s, uint64_t interp, bool inside, struct walk *ret)
{
	const struct vz_pyver *ver = s->search->python->ver;
	uint8_t bytes[TS_BYTES_MAX];
	uint64_t tstate, owner, id;

	if (ver->ts_bytes > sizeof(bytes) ||
	    read_word(s, interp + ver->off.is_threads_head, &tstate) < 0)
		return -EAGAIN;
	while (tstate) {
		if (ret->count == MAX_THREADS || too_late(s) ||
		    read_at(s, tstate, bytes, ver->ts_bytes) < 0)
			return -EAGAIN;
		memcpy(&owner, bytes + ver->off.ts_interp, 8);
		memcpy(&id, bytes + ver->off.ts_id, 8);
		if (owner != interp || add_node(ret, tstate, id) < 0 ||
		    (inside && look_at_thread(s, tstate, bytes, ver->ts_bytes) < 0))
			return -EAGAIN;
		memcpy(&tstate, bytes + ver->off.ts_next, 8);
	}
	return 0;
}

/* Every thread of the second walk that was there at the first must have been met by it. */
static bool confirmed(const struct walk *first, const struct walk *second, uint64_t born)
{
	size_t k = 0;

	for (size_t i = 0; i < second->count; i++) {
		const struct node *node = &second->items[i];

		if (node->id >= born)
			continue;
		while (k < first->count && memcmp(&first->items[k], node, sizeof(*node)) != 0)
			k++;
		if (k == first->count)
			return false;
	}
	return true;
}

static int look_at_threads(struct scan *s, uint64_t interp)
{
	struct walk first = { 0 }, second = { 0 };
	uint64_t born;
	int rc = read_word(s, interp + s->search->python->ver->off.is_next_unique_id, &born);

	if (rc == 0)
		rc = walk_threads(s, interp, true, &first);
	if (rc == 0)
		rc = walk_threads(s, interp, false, &second);
	if (rc == 0 && !confirmed(&first, &second, born))
		rc = -EAGAIN;
	free(first.items);
	free(second.items);
	return rc < 0 ? -EAGAIN : 0;
}

/* ---- interpreters ---- */

static int look_at_list(struct scan *s, uint64_t interp, uint32_t offset)
{
	uint64_t list, size, items;

	if (offset == VZ_NO_OFFSET)
		return 0;
	if (read_word(s, interp + offset, &list) < 0)
		return -EAGAIN;
	if (!list)
		return 0;
	if (read_word(s, list + LIST_SIZE, &size) < 0 ||
	    read_word(s, list + LIST_ITEM, &items) < 0 || size > LIST_ITEMS_MAX)
		return -EAGAIN;
	for (uint64_t i = 0; i < size; i++) {
		if (follow(s, items + i * 8, in_lists) < 0)
			return -EAGAIN;
	}
	return 0;
}

static int look_at_interp(struct scan *s, uint64_t interp)
{
	const struct vz_python *python = s->search->python;
	const struct vz_pyver *ver = python->ver;
	uint64_t least = ver->off.is_eval_frame + 8;
	int rc;

	if (ver->is_tool_names != VZ_NO_OFFSET && least < ver->is_tool_names)
		least = ver->is_tool_names;
	rc = look_at_slot(s, interp + ver->off.is_eval_frame, "the frame evaluator");
	/* From 3.11 on the main one is static data, which is looked at anyway. */
	if (rc == 0 && !vz_objects_find(s->search->objects, interp))
		rc = look_through(s, interp, ver->is_bytes, least, "an interpreter");
	if (rc == 0)
		rc = look_at_list(s, interp, ver->off.is_before_forkers);
	if (rc == 0)
		rc = look_at_list(s, interp, ver->off.is_after_forkers_parent);
	return rc < 0 ? rc : look_at_threads(s, interp);
}

/* ---- all ---- */

/* What was found and still holds; -EAGAIN if some of it does not. */
static int confirm(struct scan *s)
{
	struct vz_err ignored;

	vz_maps_fini(&s->maps);
	if (vz_maps_read(s->search->target->pid, &s->maps, &ignored) < 0)
		return -EAGAIN;
	for (size_t i = 0; i < s->nfound; i++) {
		uint64_t word;

		if (read_word(s, s->found[i].raddr, &word) < 0 || word != s->found[i].word ||
		    !is_ours(s, word, s->found[i].function))
			return -EAGAIN;
	}
	return 0;
}

/* Once for each place. */
static void tell(const struct scan *s, struct vz_residue *ret)
{
	ret->looked[VZ_RESIDUE_HOOKS] = true;
	ret->ours[VZ_RESIDUE_HOOKS] = (unsigned)s->nfound;
	for (size_t i = 0; i < s->nfound; i++) {
		unsigned same = 0, before = 0;

		for (size_t k = 0; k < s->nfound; k++) {
			same += s->found[k].where == s->found[i].where;
			before += k < i && s->found[k].where == s->found[i].where;
		}
		if (!before)
			vz_residue_say(ret, "%u pointer%s to code of ours in %s", same,
				       same == 1 ? "" : "s", s->found[i].where);
	}
}

static int look_once(struct scan *s, const struct vz_interp_seen *interps, size_t count)
{
	struct vz_err ignored;
	int rc = vz_maps_read(s->search->target->pid, &s->maps, &ignored);

	s->nfound = 0;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = look_at_interp(s, interps[i].raddr);
	if (rc == 0)
		rc = look_at_static_data(s);
	if (rc == 0)
		rc = confirm(s);
	vz_maps_fini(&s->maps);
	return rc < 0 ? -EAGAIN : 0;
}

/* Forget what was not in EARLIER: the words of a thread state that was just being freed. */
static void keep_lasting(struct scan *s, const struct found *earlier, size_t nearlier)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->nfound; i++) {
		bool lasting = false;

		for (size_t k = 0; k < nearlier; k++)
			lasting = lasting || (earlier[k].raddr == s->found[i].raddr &&
					      earlier[k].word == s->found[i].word);
		if (lasting)
			s->found[kept++] = s->found[i];
	}
	s->nfound = kept;
}

int vz_residue_hooks(const struct vz_hook_search *search, const struct vz_interp_seen *interps,
		     size_t count, struct vz_residue *ret)
{
	static const struct timespec moment = { .tv_nsec = 2 * 1000 * 1000 };
	_cleanup_free_ struct scan *s = calloc(1, sizeof(*s));
	struct found earlier[MAX_FOUND];
	int rc;

	if (!s)
		return -EAGAIN;
	s->search = search;
	rc = look_once(s, interps, count);
	for (int pass = 1; rc == 0 && s->nfound && pass < PASSES; pass++) {
		size_t n = s->nfound;

		memcpy(earlier, s->found, n * sizeof(*earlier));
		nanosleep(&moment, NULL);
		rc = look_once(s, interps, count);
		keep_lasting(s, earlier, n);
	}
	if (rc == 0)
		tell(s, ret);
	return rc;
}
