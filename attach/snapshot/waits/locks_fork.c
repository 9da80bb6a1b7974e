/* SPDX-License-Identifier: MIT */
/*
 * locks_fork.c - locks that were held when this process was forked.  A Lock does not say
 * who has it; that it was a thread that was not forked follows from what is here: nobody
 * else is left who could have it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/waits/locks_priv.h"

enum { MAX_NAMES = 256, MAX_CODE_BYTES = 1 << 20, MANY = 1000 };

/* ---- what code says, without its caches being told from its instructions ---- */

/* Opcodes that look up an attribute, with their specialised forms: [first, last]. */
struct lookups {
	uint8_t minor;
	uint8_t with; /* that calls __enter__; 3.14+: LOAD_SPECIAL, just before it is called */
	uint8_t ranges[6][2];
};

static const struct lookups lookups[] = {
	{ 8, 143, { { 106, 106 }, { 160, 160 } } },
	{ 9, 143, { { 106, 106 }, { 160, 160 } } },
	{ 10, 143, { { 106, 106 }, { 160, 160 } } },
	{ 11, 53, { { 106, 106 }, { 160, 160 }, { 39, 43 }, { 56, 59 }, { 62, 63 } } },
	{ 12, 53, { { 106, 106 }, { 70, 70 }, { 72, 73 }, { 76, 82 } } },
	{ 13, 2, { { 82, 82 }, { 191, 202 } } },
	{ 14, 95, { { 80, 80 }, { 177, 189 } } },
};

struct bytecode {
	const struct lookups *lookups;
	uint8_t *bytes;
	size_t len;
};

int vz_lock_mentions(const struct vz_py *py, uint64_t code, const char *word)
{
	uint64_t tuple, items[MAX_NAMES];
	int64_t len;
	ssize_t n;

	if (vz_py_word(py, code + py->at.co_names, &tuple) < 0)
		return -1;
	len = vz_pyobj_len(py, tuple);
	if (len < 0 || len > MAX_NAMES)
		return -1;
	n = vz_pyobj_items(py, tuple, items, MAX_NAMES);
	if (n != len)
		return -1;
	for (ssize_t i = 0; i < n; i++) {
		if (vz_pyobj_text_is(py, items[i], word))
			return 1;
	}
	return 0;
}

static int read_bytecode(const struct vz_py *py, uint64_t code, struct bytecode *ret)
{
	uint64_t at = code + py->at.co_code_adaptive, units = 0;
	int64_t len;

	*ret = (struct bytecode){ 0 };
	for (size_t i = 0; i < sizeof(lookups) / sizeof(lookups[0]); i++) {
		if (lookups[i].minor == py->at.minor)
			ret->lookups = &lookups[i];
	}
	if (!ret->lookups)
		return -ENOTSUP;
	if (py->at.minor < 11) {
		if (vz_py_word(py, code + py->at.co_code, &at) < 0)
			return -EFAULT;
		len = vz_pyobj_len(py, at);
		at += py->at.by_data;
	} else {
		if (vz_py_word(py, code + py->at.ob_size, &units) < 0 || units > MAX_CODE_BYTES)
			return -EFAULT;
		len = 2 * (int64_t)units;
	}
	if (len <= 0 || len > MAX_CODE_BYTES)
		return -EINVAL;
	ret->bytes = malloc((size_t)len);
	ret->len = (size_t)len;
	return ret->bytes ? vz_target_read(py->target, at, ret->bytes, ret->len) : -ENOMEM;
}

static bool looks_up(const struct lookups *l, uint8_t opcode)
{
	for (size_t i = 0; i < sizeof(l->ranges) / sizeof(l->ranges[0]); i++) {
		if (l->ranges[i][0] && opcode >= l->ranges[i][0] && opcode <= l->ranges[i][1])
			return true;
	}
	return false;
}

static int index_of_name(const struct vz_py *py, uint64_t code, const char *word)
{
	uint64_t tuple, items[MAX_NAMES];
	ssize_t n;

	if (vz_py_word(py, code + py->at.co_names, &tuple) < 0)
		return -1;
	n = vz_pyobj_items(py, tuple, items, MAX_NAMES);
	for (ssize_t i = 0; i < n; i++) {
		if (vz_pyobj_text_is(py, items[i], word))
			return (int)i;
	}
	return -1;
}

unsigned vz_lock_calls(const struct vz_py *py, uint64_t code, const char *word)
{
	int mentions = vz_lock_mentions(py, code, word), index;
	struct bytecode b;
	unsigned n = 0;

	if (mentions <= 0)
		return mentions < 0 ? MANY : 0;
	index = index_of_name(py, code, word) << (py->at.minor >= 12);
	if (read_bytecode(py, code, &b) < 0 || index < 0 || index > 254) {
		free(b.bytes);
		return MANY;
	}
	/* What is in caches may look like an instruction: then it is one too many. */
	for (size_t i = 0; i + 1 < b.len; i += 2) {
		int arg = py->at.minor >= 12 ? b.bytes[i + 1] & ~1 : b.bytes[i + 1];

		n += arg == index && looks_up(b.lookups, b.bytes[i]);
	}
	free(b.bytes);
	return n ? n : MANY;
}

/* Does FRAME wait in the __enter__ of a "with"? */
static bool enters_with(const struct vz_py *py, const struct vz_pyframe *frame)
{
	struct bytecode b;
	bool enters = false;

	if (frame->instr >= 2 && read_bytecode(py, frame->code, &b) == 0) {
		size_t at = (size_t)frame->instr - (py->at.minor >= 14 ? 2 : 0);

		enters = at < b.len && b.bytes[at] == b.lookups->with;
	} else {
		return false;
	}
	free(b.bytes);
	return enters;
}

/* ---- who could have it ---- */

/* A thread that does not wait for this lock but has run Python could have taken it. */
static bool others_could_have_it(const struct vz_locks *l, size_t lock)
{
	const struct vz_snapshot *s = l->scene->snapshot;

	if (s->threads_left_out)
		return true;
	for (size_t i = 0; i < s->nthreads; i++) {
		if (s->threads[i].lock != (int)lock && s->threads[i].tstate)
			return true;
	}
	return false;
}

/*
 * Could a waiter have taken it itself before, in a function that it is still in?  One call of
 * acquire() may be where it waits; any other counts, whatever it is called on.
 */
static bool waiters_could_have_it(const struct vz_locks *l, size_t lock)
{
	const struct vz_snapshot *s = l->scene->snapshot;

	for (size_t i = 0; i < s->nthreads; i++) {
		const struct vz_raw_stack *raw = &l->scene->raw[i];

		if (s->threads[i].lock != (int)lock)
			continue;
		for (size_t j = 0; j < raw->count; j++) {
			bool here = j == 0 && !enters_with(l->scene->py, &raw->frames[0]);

			if (vz_lock_calls(l->scene->py, raw->frames[j].code, "acquire") > here)
				return true;
		}
	}
	return false;
}

void vz_lock_orphan(struct vz_locks *l, size_t i)
{
	const struct vz_snapshot *s = l->scene->snapshot;
	struct vz_snap_lock *lock = &l->locks[i];

	if (!s->process.forked || !lock->private_to_process || !l->more[i].raw.locked ||
	    l->held_cut || others_could_have_it(l, i) || waiters_could_have_it(l, i))
		return;
	lock->owned = VZ_OWNER_ORPHANED;
	lock->note = "held when this process was forked, by a thread that was not: nobody here "
		     "has it";
}
