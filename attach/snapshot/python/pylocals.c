/* SPDX-License-Identifier: MIT */
/*
 * pylocals.c - what a frame holds: its variables, and the values that it works with.
 */
#include "attach/snapshot/python/pystack_priv.h"

#include <errno.h>

enum {
	MAX_LOCALS = 1024, /* more than that are not looked at */
	MAX_STACK = 1024,
	/* Kinds of slots, 3.11+. */
	SLOT_CELL = 0x40,
	SLOT_FREE = 0x80,
};

/* The variables of a frame as the code numbers them. */
struct slots {
	size_t count;
	uint64_t names[MAX_LOCALS];
	uint64_t values[MAX_LOCALS]; /* as in the frame: may be cells */
	bool cells[MAX_LOCALS];
};

static uint64_t slots_raddr(const struct vz_py *py, const struct vz_pyframe *frame)
{
	return frame->raddr + (py->at.minor <= 10 ? py->at.fr_localsplus : py->at.if_localsplus);
}

static int read_values(const struct vz_py *py, const struct vz_pyframe *frame, struct slots *s)
{
	int rc = vz_target_read(py->target, slots_raddr(py, frame), s->values, s->count * 8);

	for (size_t i = 0; rc == 0 && i < s->count; i++)
		s->values[i] = vz_pyref(py, s->values[i]);
	return rc;
}

/* To 3.10: variables, then cells that others see, then cells of others. */
static int read_slots_old(const struct vz_py *py, const struct vz_pycode *code, struct slots *s)
{
	const uint64_t tuples[] = { code->varnames, code->cellvars, code->freevars };

	for (size_t i = 0; i < 3; i++) {
		ssize_t n =
			vz_pyobj_items(py, tuples[i], s->names + s->count, MAX_LOCALS - s->count);

		if (n < 0)
			return (int)n;
		for (size_t end = s->count + (size_t)n; s->count < end; s->count++)
			s->cells[s->count] = i > 0;
	}
	return 0;
}

static int read_slots_new(const struct vz_py *py, const struct vz_pycode *code, struct slots *s)
{
	uint8_t kinds[MAX_LOCALS];
	uint64_t raddr, len;
	ssize_t n = vz_pyobj_items(py, code->slot_names, s->names, MAX_LOCALS);

	if (n < 0)
		return (int)n;
	if (vz_pybytes(py, code->slot_kinds, &raddr, &len) < 0 || len < (uint64_t)n ||
	    code->nslots < n || vz_target_read(py->target, raddr, kinds, (size_t)n) < 0)
		return -EINVAL;
	s->count = (size_t)n;
	for (size_t i = 0; i < s->count; i++)
		s->cells[i] = (kinds[i] & (SLOT_CELL | SLOT_FREE)) != 0;
	return 0;
}

static int read_slots(const struct vz_py *py, const struct vz_pyframe *frame,
		      struct vz_pycode *code, struct slots *s)
{
	int rc = vz_pycode_read(py, frame->code, code);

	s->count = 0;
	if (rc < 0)
		return rc;
	rc = py->at.minor <= 10 ? read_slots_old(py, code, s) : read_slots_new(py, code, s);
	return rc < 0 ? rc : read_values(py, frame, s);
}

/* A variable that others see too is in a cell, but only once the frame has put it there. */
static uint64_t slot_value(const struct vz_py *py, const struct slots *s, size_t i)
{
	uint64_t ret = s->values[i];
	char type[16];

	if (!ret || !s->cells[i])
		return ret;
	vz_pyobj_type_name(py, ret, type, sizeof(type));
	if (strcmp(type, "cell") != 0)
		return ret;
	return vz_pyobj_cell(py, s->values[i], &ret) == 0 ? ret : 0;
}

/* Code of a module or class has no slots, but a dict. */
static int find_in_dict(const struct vz_py *py, const struct vz_pyframe *frame, const char *name,
			uint64_t *ret)
{
	uint32_t offset = py->at.minor <= 10 ? py->at.fr_locals : py->at.if_locals;
	uint64_t dict;

	if (offset == VZ_NO_OFFSET)
		return -ENOENT;
	if (vz_py_word(py, frame->raddr + offset, &dict) < 0)
		return -EFAULT;
	return dict ? vz_pydict_get(py, dict, name, ret) : -ENOENT;
}

int vz_pyframe_local(const struct vz_py *py, const struct vz_pyframe *frame, const char *name,
		     uint64_t *ret)
{
	struct vz_pycode code;
	struct slots slots;
	int rc = read_slots(py, frame, &code, &slots);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < slots.count; i++) {
		if (!slots.values[i] || !vz_pyobj_text_is(py, slots.names[i], name))
			continue;
		*ret = slot_value(py, &slots, i);
		if (*ret)
			return 0;
	}
	return code.flags & VZ_PYCODE_OPTIMIZED ? -ENOENT : find_in_dict(py, frame, name, ret);
}

/* To 3.10 an argument that others see has a slot of its own, then empty, and a cell. */
static bool is_moved(const struct vz_py *py, const struct slots *s, size_t i)
{
	char name[VZ_PYNAME_MAX];

	if (py->at.minor > 10 || s->values[i] || s->cells[i] ||
	    vz_pyobj_text(py, s->names[i], name, sizeof(name)) < 0)
		return false;
	for (size_t k = i + 1; k < s->count; k++) {
		if (s->cells[k] && vz_pyobj_text_is(py, s->names[k], name))
			return true;
	}
	return false;
}

ssize_t vz_pyframe_locals(const struct vz_py *py, const struct vz_pyframe *frame,
			  struct vz_pylocal *locals, size_t max)
{
	struct vz_pycode code;
	struct slots slots;
	size_t count = 0;
	int rc = read_slots(py, frame, &code, &slots);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < slots.count && count < max; i++) {
		if (is_moved(py, &slots, i) || vz_pyobj_text(py, slots.names[i], locals[count].name,
							     sizeof(locals[count].name)) < 0)
			continue;
		locals[count++].value = slot_value(py, &slots, i);
	}
	return (ssize_t)count;
}

static int stack_raddr(const struct vz_py *py, const struct vz_pyframe *frame,
		       const struct vz_pycode *code, uint64_t *ret)
{
	if (py->at.minor <= 10)
		return vz_py_word(py, frame->raddr + py->at.fr_valuestack, ret);
	*ret = slots_raddr(py, frame) + (uint64_t)code->nslots * 8;
	return 0;
}

ssize_t vz_pyframe_stack(const struct vz_py *py, const struct vz_pyframe *frame, uint64_t *values,
			 size_t max)
{
	uint64_t slots[MAX_STACK], raddr = 0, type;
	struct vz_pycode code;
	size_t n, count = 0;
	int rc = vz_pycode_read(py, frame->code, &code);

	if (rc == 0)
		rc = stack_raddr(py, frame, &code, &raddr);
	if (rc < 0)
		return rc;
	n = code.stacksize < MAX_STACK ? (size_t)code.stacksize : MAX_STACK;
	rc = vz_target_read(py->target, raddr, slots, n * 8);
	for (size_t i = 0; rc == 0 && i < n && count < max; i++) {
		uint64_t value = vz_pyref(py, slots[i]);

		if (value && vz_pyobj_type(py, value, &type) == 0)
			values[count++] = value;
	}
	return rc < 0 ? rc : (ssize_t)count;
}
