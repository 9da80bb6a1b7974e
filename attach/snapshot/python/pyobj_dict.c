/* SPDX-License-Identifier: MIT */
/*
 * pyobj_dict.c - dicts: keys in a table of their own, values beside them or apart (split
 * dicts, and attributes kept inside an instance).  Hashes are not used: the one of a text is
 * seeded and could not be computed here, so a key is found by comparing.
 */
#include <errno.h>
#include <string.h>

#include "attach/snapshot/python/pyobj_priv.h"

enum {
	HEAD_BYTES = 64,    /* of the keys: 40 at most so far */
	LOG2_MAX = 40,      /* of the hash table's size */
	SCAN_MAX = 1 << 17, /* entries that are looked at */
	CHUNK = 128,        /* entries that are copied at once */
	GENERAL = 24,       /* hash, key, value */
	UNICODE = 16,       /* key, value: 3.11+ */
};

/* ---- the keys ---- */

static uint64_t word_of(const uint8_t *bytes, uint32_t at)
{
	uint64_t word;

	memcpy(&word, bytes + at, sizeof(word));
	return word;
}

/* To 3.10: the size tells how wide an index is. */
static int parse_old(const struct vz_pylayout *at, const uint8_t *head, uint64_t *size,
		     uint64_t *index_bytes, uint32_t *stride)
{
	*size = word_of(head, at->dk_size);
	if (!*size || *size & (*size - 1) || *size >> LOG2_MAX)
		return -EINVAL;
	*index_bytes = *size * (*size <= 0xff         ? 1
				: *size <= 0xffff     ? 2
				: *size <= 0xffffffff ? 4
						      : 8);
	*stride = GENERAL;
	return 0;
}

static int parse_new(const struct vz_pylayout *at, const uint8_t *head, uint64_t *size,
		     uint64_t *index_bytes, uint32_t *stride)
{
	uint8_t log2 = head[at->dk_log2_size], log2_index = head[at->dk_log2_index_bytes];
	uint8_t kind = head[at->dk_kind];

	if (log2 > LOG2_MAX || log2_index > LOG2_MAX + 3 || kind > 2)
		return -EINVAL;
	*size = UINT64_C(1) << log2;
	*index_bytes = UINT64_C(1) << log2_index;
	*stride = kind == 0 ? GENERAL : UNICODE;
	return 0;
}

int vz_pykeys_read(const struct vz_py *py, uint64_t raddr, struct vz_pykeys *ret)
{
	const struct vz_pylayout *at = &py->at;
	uint64_t size, index_bytes;
	uint8_t head[HEAD_BYTES];
	int rc;

	if (raddr % 8 || at->dk_indices > sizeof(head) || at->dk_nentries + 8 > at->dk_indices)
		return -EINVAL;
	if (vz_target_read(py->target, raddr, head, at->dk_indices) < 0)
		return -EFAULT;
	rc = at->dk_size != VZ_NO_OFFSET ? parse_old(at, head, &size, &index_bytes, &ret->stride)
					 : parse_new(at, head, &size, &index_bytes, &ret->stride);
	if (rc < 0)
		return rc;
	ret->count = word_of(head, at->dk_nentries);
	if (ret->count > size)
		return -EINVAL;
	ret->entries = raddr + at->dk_indices + index_bytes;
	ret->key_at = ret->stride == GENERAL ? 8 : 0;
	return 0;
}

/* ---- a walk over the entries ---- */

struct walk {
	const struct vz_py *py;
	struct vz_pykeys keys;
	uint64_t values; /* address of the first, 0: beside the keys */
	bool cut;        /* there are more entries than are looked at */
	uint64_t next;
	uint64_t begin, end; /* entries that are in the copies */
	uint8_t entries[CHUNK * GENERAL];
	uint64_t apart[CHUNK];
};

/* A walk is 5 KiB: nothing but this is set, the copies are written before they are read. */
static void walk_begin(struct walk *walk, const struct vz_py *py, const struct vz_pykeys *keys,
		       uint64_t values, uint64_t nvalues)
{
	walk->py = py;
	walk->keys = *keys;
	walk->values = values;
	walk->next = walk->begin = walk->end = 0;
	if (values && walk->keys.count > nvalues)
		walk->keys.count = nvalues;
	walk->cut = false;
}

static void walk_limit(struct walk *walk, uint64_t max)
{
	walk->cut = walk->keys.count > max;
	if (walk->cut)
		walk->keys.count = max;
}

static int walk_fill(struct walk *walk)
{
	const struct vz_target *target = walk->py->target;
	uint64_t count = walk->keys.count - walk->next;

	if (count > CHUNK)
		count = CHUNK;
	if (vz_target_read(target, walk->keys.entries + walk->next * walk->keys.stride,
			   walk->entries, count * walk->keys.stride) < 0)
		return -EFAULT;
	if (walk->values &&
	    vz_target_read(target, walk->values + walk->next * 8, walk->apart, count * 8) < 0)
		return -EFAULT;
	walk->begin = walk->next;
	walk->end = walk->next + count;
	return 0;
}

/* 1: an entry; 0: there are no more; negative errno. */
static int walk_next(struct walk *walk, uint64_t *key, uint64_t *value)
{
	while (walk->next < walk->keys.count) {
		const uint8_t *entry;
		uint64_t i;

		if (walk->next == walk->end) {
			int rc = walk_fill(walk);

			if (rc < 0)
				return rc;
		}
		i = walk->next++ - walk->begin;
		entry = walk->entries + i * walk->keys.stride + walk->keys.key_at;
		*key = word_of(entry, 0);
		*value = walk->values ? walk->apart[i] : word_of(entry, 8);
		if (*key && *value)
			return 1;
	}
	return 0;
}

/* ---- dicts ---- */

uint64_t vz_pyvalues_count(const struct vz_py *py, uint64_t values, bool in_object)
{
	uint8_t count, valid;

	if (py->at.dv_capacity == VZ_NO_OFFSET) /* as many as there are keys */
		return SCAN_MAX;
	if (vz_py_u8(py, values + py->at.dv_capacity, &count) < 0 ||
	    vz_py_u8(py, values + py->at.dv_valid, &valid) < 0)
		return 0;
	return in_object && valid != 1 ? 0 : count;
}

/* Keys and values of OBJ, which is a dict. */
static int begin(struct walk *walk, const struct vz_py *py, uint64_t dict)
{
	struct vz_pykeys keys;
	uint64_t raddr, values, nvalues = 0;
	int rc = vz_pyobj_expect(py, dict, VZ_TP_DICT);

	if (rc < 0)
		return rc;
	if (vz_py_word(py, dict + py->at.di_keys, &raddr) < 0 ||
	    vz_py_word(py, dict + py->at.di_values, &values) < 0)
		return -EFAULT;
	rc = vz_pykeys_read(py, raddr, &keys);
	if (rc < 0)
		return rc;
	if (values) {
		nvalues = vz_pyvalues_count(py, values, false);
		values += py->at.dv_values;
	}
	walk_begin(walk, py, &keys, values, nvalues);
	return 0;
}

ssize_t vz_pydict_items(const struct vz_py *py, uint64_t dict, uint64_t *keys, uint64_t *values,
			size_t max)
{
	struct walk walk;
	size_t n = 0;
	int rc = begin(&walk, py, dict);

	if (rc < 0)
		return rc;
	walk_limit(&walk, SCAN_MAX);
	while (n < max && (rc = walk_next(&walk, &keys[n], &values[n])) == 1)
		n++;
	return rc < 0 ? rc : (ssize_t)n;
}

static int find(struct walk *walk, const char *key, uint64_t *ret)
{
	size_t len = strlen(key);
	uint64_t found, value;
	int rc;

	while ((rc = walk_next(walk, &found, &value)) == 1) {
		if (vz_pystr_is(walk->py, found, key, len)) {
			*ret = value;
			return 0;
		}
	}
	if (rc < 0)
		return rc;
	return walk->cut ? -E2BIG : -ENOENT;
}

int vz_pykeys_get(const struct vz_py *py, const struct vz_pykeys *keys, uint64_t values,
		  uint64_t nvalues, const char *key, uint64_t *ret)
{
	struct walk walk;

	walk_begin(&walk, py, keys, values, nvalues);
	walk_limit(&walk, SCAN_MAX);
	return find(&walk, key, ret);
}

int vz_pydict_get_within(const struct vz_py *py, uint64_t dict, const char *key, uint64_t max,
			 uint64_t *ret)
{
	struct walk walk;
	int rc = begin(&walk, py, dict);

	if (rc < 0)
		return rc;
	walk_limit(&walk, max);
	return find(&walk, key, ret);
}

int vz_pydict_get(const struct vz_py *py, uint64_t dict, const char *key, uint64_t *ret)
{
	return vz_pydict_get_within(py, dict, key, SCAN_MAX, ret);
}
