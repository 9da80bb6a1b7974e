/* SPDX-License-Identifier: MIT */
/*
 * pywith.c - "with" leaves the bound __exit__ on the value stack and sets up a block whose
 * handler is entered with that many values below.  So a block, or an entry of the exception
 * table that covers the current instruction, says that the value just below its depth is
 * there; and if it is a bound __exit__, the frame is in the body of that "with".
 */
#include "attach/snapshot/python/pywith.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/util.h"

enum {
	MAX_BLOCKS = 20,     /* CO_MAXBLOCKS */
	SETUP_FINALLY = 122, /* 3.8 - 3.10: what SETUP_WITH sets up too */
	MAX_SLOTS = 1024,
	MAX_EXCTABLE = 1 << 16,
	MAX_DESCENT = 32,
};

/* The lowest slots of a frame's value stack, and how many of them are sure to be in use. */
struct slots {
	uint64_t at[MAX_SLOTS];
	size_t live;
};

/* ---- what is in a slot ---- */

static bool is_exit(const char *name, bool *async)
{
	*async = strcmp(name, "__aexit__") == 0;
	return *async || strcmp(name, "__exit__") == 0;
}

static bool name_of_function(const struct vz_py *py, uint64_t function, char *buf, size_t size)
{
	uint64_t code, name;

	return vz_py_word(py, function + py->at.fn_code, &code) == 0 &&
	       vz_py_word(py, code + py->at.co_name, &name) == 0 &&
	       vz_pyobj_text(py, name, buf, size) == 0;
}

static bool name_of_builtin(const struct vz_py *py, uint64_t method, char *buf, size_t size)
{
	uint64_t ml, name;

	return vz_py_word(py, method + py->at.cm_ml, &ml) == 0 &&
	       vz_py_word(py, ml, &name) == 0 && /* PyMethodDef.ml_name */
	       vz_target_read_string(py->target, name, buf, size) == 0;
}

/* A bound __exit__. */
static bool bound_exit(const struct vz_py *py, uint64_t value, const char *type,
		       struct vz_pywith *ret)
{
	uint64_t function;
	char name[32];

	if (strcmp(type, "builtin_function_or_method") == 0) {
		if (!name_of_builtin(py, value, name, sizeof(name)))
			return false;
	} else if (strcmp(type, "method") == 0) {
		if (vz_py_word(py, value + py->at.me_func, &function) < 0 ||
		    !name_of_function(py, function, name, sizeof(name)))
			return false;
	} else {
		return false;
	}
	return is_exit(name, &ret->async) && vz_pyobj_self(py, value, &ret->manager) == 0 &&
	       ret->manager;
}

/* 3.14+: the function, and self in the slot above it. */
static bool unbound_exit(const struct vz_py *py, uint64_t value, const char *type, uint64_t self,
			 struct vz_pywith *ret)
{
	uint64_t text;
	char name[32];

	if (strcmp(type, "method_descriptor") == 0) {
		if (vz_py_word(py, value + py->at.de_name, &text) < 0 ||
		    vz_pyobj_text(py, text, name, sizeof(name)) != 0)
			return false;
	} else if (strcmp(type, "function") != 0 ||
		   !name_of_function(py, value, name, sizeof(name))) {
		return false;
	}
	ret->manager = self;
	return self && is_exit(name, &ret->async);
}

/* Does a handler of DEPTH have a bound __exit__ below it? */
static bool with_below(const struct vz_py *py, const struct slots *slots, size_t depth,
		       struct vz_pywith *ret)
{
	char type[64];

	if (depth == 0 || depth > slots->live)
		return false;
	if (slots->at[depth - 1]) {
		vz_pyobj_type_name(py, slots->at[depth - 1], type, sizeof(type));
		if (bound_exit(py, slots->at[depth - 1], type, ret))
			return true;
	}
	if (py->at.minor < 14 || depth < 2 || !slots->at[depth - 2])
		return false;
	vz_pyobj_type_name(py, slots->at[depth - 2], type, sizeof(type));
	if (!slots->at[depth - 1]) /* what __exit__ was is no method */
		return bound_exit(py, slots->at[depth - 2], type, ret);
	return unbound_exit(py, slots->at[depth - 2], type, slots->at[depth - 1], ret);
}

static int read_slots(const struct vz_py *py, uint64_t base, size_t live, struct slots *ret)
{
	ret->live = live;
	if (live > MAX_SLOTS)
		return -E2BIG;
	if (live && vz_target_read(py->target, base, ret->at, live * sizeof(ret->at[0])) < 0)
		return -EFAULT;
	for (size_t i = 0; i < live; i++)
		ret->at[i] &= ~py->at.ref_mask;
	return 0;
}

/* ---- 3.8 - 3.10: the block stack ---- */

struct block {
	int32_t type, handler, level;
};

static ssize_t withs_of_blocks(const struct vz_py *py, const struct vz_pyframe *frame,
			       struct vz_pywith *ret, size_t max)
{
	struct block blocks[MAX_BLOCKS];
	struct slots slots;
	uint32_t nblocks;
	uint64_t base;
	size_t n = 0, live = 0;

	if (py->at.fr_iblock == VZ_NO_OFFSET || py->at.fr_blockstack == VZ_NO_OFFSET)
		return -ENOTSUP;
	if (vz_py_u32(py, frame->raddr + py->at.fr_iblock, &nblocks) < 0 ||
	    vz_py_word(py, frame->raddr + py->at.fr_valuestack, &base) < 0)
		return -EFAULT;
	if (nblocks == 0)
		return 0;
	if (nblocks > MAX_BLOCKS || vz_target_read(py->target, frame->raddr + py->at.fr_blockstack,
						   blocks, nblocks * sizeof(blocks[0])) < 0)
		return -EINVAL;
	for (size_t i = 0; i < nblocks; i++) {
		if (blocks[i].level < (int32_t)live || blocks[i].level > MAX_SLOTS)
			return -EINVAL;
		live = (size_t)blocks[i].level;
	}
	if (read_slots(py, base, live, &slots) < 0)
		return -EFAULT;
	for (size_t i = 0; i < nblocks && n < max; i++) {
		if (blocks[i].type == SETUP_FINALLY &&
		    with_below(py, &slots, (size_t)blocks[i].level, &ret[n]))
			n++;
	}
	return (ssize_t)n;
}

/* ---- 3.11+: the exception table ---- */

struct entry {
	uint32_t start, end, target, depth; /* in code units; depth in values */
	bool lasti;
};

struct table {
	uint8_t *bytes;
	size_t len, at;
};

/* Six bits a byte, the highest first; bit 6: more follow; bit 7: an entry begins. */
static bool next_number(struct table *t, uint32_t *ret)
{
	uint32_t value = 0;

	for (int i = 0; i < 5 && t->at < t->len; i++) {
		uint8_t byte = t->bytes[t->at++];

		value = value << 6 | (byte & 63);
		if (!(byte & 64)) {
			*ret = value;
			return true;
		}
	}
	return false;
}

static bool next_entry(struct table *t, struct entry *ret)
{
	uint32_t length, depth;

	if (!next_number(t, &ret->start) || !next_number(t, &length) ||
	    !next_number(t, &ret->target) || !next_number(t, &depth))
		return false;
	ret->end = ret->start + length;
	ret->depth = depth >> 1;
	ret->lasti = depth & 1;
	return true;
}

static bool covering(struct table *t, uint32_t unit, struct entry *ret)
{
	t->at = 0;
	while (next_entry(t, ret)) {
		if (unit >= ret->start && unit < ret->end)
			return true;
	}
	return false;
}

/*
 * From the current instruction to its handler, from there to the handler of that one, and so
 * on outwards.  Only what the first one says to be on the stack is there now; handlers of
 * "with" keep the place of the instruction (lasti), as those of other cleaning up do, whose
 * slot however holds no bound __exit__.
 */
static size_t descend(const struct vz_py *py, struct table *t, uint32_t unit, struct slots *slots,
		      uint64_t base, struct vz_pywith *ret, size_t max)
{
	struct entry entry;
	uint32_t below = UINT32_MAX;
	size_t n = 0;

	for (int i = 0; i < MAX_DESCENT && n < max && covering(t, unit, &entry); i++) {
		if (i == 0 && read_slots(py, base, entry.depth, slots) < 0)
			return 0;
		if (entry.lasti && entry.depth < below &&
		    with_below(py, slots, entry.depth, &ret[n])) {
			below = entry.depth;
			n++;
		}
		unit = entry.target;
	}
	return n;
}

static void turn_round(struct vz_pywith *withs, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct vz_pywith other = withs[i];

		withs[i] = withs[n - 1 - i];
		withs[n - 1 - i] = other;
	}
}

static int read_table(const struct vz_py *py, uint64_t code, struct table *ret)
{
	uint64_t bytes;
	int64_t len;

	if (vz_py_word(py, code + py->at.co_exctable, &bytes) < 0)
		return -EFAULT;
	len = vz_pyobj_len(py, bytes);
	if (vz_pyobj_kind(py, bytes) != VZ_PYKIND_BYTES || len < 0 || len > MAX_EXCTABLE)
		return -EINVAL;
	*ret = (struct table){ .len = (size_t)len };
	if (!len)
		return 0;
	ret->bytes = malloc((size_t)len);
	if (!ret->bytes)
		return -ENOMEM;
	return vz_target_read(py->target, bytes + py->at.by_data, ret->bytes, (size_t)len);
}

static ssize_t withs_of_table(const struct vz_py *py, const struct vz_pyframe *frame,
			      struct vz_pywith *ret, size_t max)
{
	struct table table = { 0 };
	struct slots slots = { .live = 0 };
	uint32_t nlocals;
	ssize_t n = -EFAULT;

	if (py->at.co_exctable == VZ_NO_OFFSET)
		return -ENOTSUP;
	if (frame->instr < 0)
		return 0;
	if (vz_py_u32(py, frame->code + py->at.co_nlocalsplus, &nlocals) == 0 &&
	    nlocals < (1 << 20) && read_table(py, frame->code, &table) == 0) {
		uint64_t base = frame->raddr + py->at.if_localsplus + 8 * (uint64_t)nlocals;

		n = (ssize_t)descend(py, &table, (uint32_t)frame->instr / 2, &slots, base, ret,
				     max);
		turn_round(ret, (size_t)n);
	}
	free(table.bytes);
	return n;
}

ssize_t vz_pyframe_withs(const struct vz_py *py, const struct vz_pyframe *frame,
			 struct vz_pywith *ret, size_t max)
{
	return py->at.minor < 11 ? withs_of_blocks(py, frame, ret, max)
				 : withs_of_table(py, frame, ret, max);
}
