/* SPDX-License-Identifier: MIT */
/*
 * pycode.c - code objects from outside: names, and the three formats that CPython had for
 * which instruction belongs to which line.
 */
#include "attach/snapshot/python/pystack_priv.h"

#include <errno.h>
#include <limits.h>

enum {
	MAX_SLOTS = 1 << 16,
	MAX_TABLE_BYTES = 1 << 24,
	/* Kinds of entries of the location table, 3.11+. */
	LOC_ONE_LINE_0 = 10,
	LOC_ONE_LINE_2 = 12,
	LOC_NO_COLUMNS = 13,
	LOC_LONG = 14,
	LOC_NONE = 15,
	/* Before it: an instruction range without a line (3.10). */
	NO_LINE = -128,
};

/* ---- spans ---- */

uint32_t vz_pyspan_len(const uint32_t *offsets, size_t count)
{
	uint32_t ret = 0;

	for (size_t i = 0; i < count; i++) {
		if (offsets[i] != VZ_NO_OFFSET && offsets[i] <= VZ_PYSPAN_MAX - 8 &&
		    offsets[i] + 8 > ret)
			ret = offsets[i] + 8;
	}
	return ret;
}

int vz_pyspan_read(const struct vz_py *py, uint64_t raddr, uint32_t len, struct vz_pyspan *ret)
{
	if (!len || len > VZ_PYSPAN_MAX)
		return -ENOTSUP;
	ret->raddr = raddr;
	ret->len = len;
	return vz_target_read(py->target, raddr, ret->bytes, len);
}

/* ---- code objects ---- */

static bool code_is_sane(const struct vz_py *py, const struct vz_pycode *code)
{
	return code->filename && code->name && code->stacksize >= 0 &&
	       code->stacksize <= MAX_SLOTS && code->nslots >= 0 && code->nslots <= MAX_SLOTS &&
	       code->nlocals >= 0 && code->nlocals <= MAX_SLOTS &&
	       (py->at.minor < 11 || code->units <= INT32_MAX / 2);
}

int vz_pycode_read(const struct vz_py *py, uint64_t raddr, struct vz_pycode *ret)
{
	const struct vz_pylayout *at = &py->at;
	const uint32_t offsets[] = {
		at->ob_type,           at->ob_size,
		at->co_name,           at->co_qualname,
		at->co_filename,       at->co_firstlineno,
		at->co_lines,          at->co_flags,
		at->co_nlocals,        at->co_nlocalsplus,
		at->co_stacksize,      at->co_varnames,
		at->co_cellvars,       at->co_freevars,
		at->co_code,           at->co_localsplusnames,
		at->co_tlbc,           at->co_localspluskinds,
		at->co_firsttraceable,
	};
	struct vz_pyspan span;
	int rc = vz_pyspan_read(
		py, raddr, vz_pyspan_len(offsets, sizeof(offsets) / sizeof(offsets[0])), &span);

	if (rc < 0)
		return rc;
	*ret = (struct vz_pycode){
		.raddr = raddr,
		.name = vz_pyspan_word(&span, at->co_name),
		.qualname = vz_pyspan_word(&span, at->co_qualname),
		.filename = vz_pyspan_word(&span, at->co_filename),
		.lines = vz_pyspan_word(&span, at->co_lines),
		.bytecode = vz_pyspan_word(&span, at->co_code),
		.tlbc = vz_pyspan_word(&span, at->co_tlbc),
		.units = vz_pyspan_word(&span, at->ob_size),
		.varnames = vz_pyspan_word(&span, at->co_varnames),
		.cellvars = vz_pyspan_word(&span, at->co_cellvars),
		.freevars = vz_pyspan_word(&span, at->co_freevars),
		.slot_names = vz_pyspan_word(&span, at->co_localsplusnames),
		.slot_kinds = vz_pyspan_word(&span, at->co_localspluskinds),
		.first_line = vz_pyspan_int(&span, at->co_firstlineno),
		.first_traceable = vz_pyspan_int(&span, at->co_firsttraceable),
		.flags = vz_pyspan_int(&span, at->co_flags),
		.nlocals = vz_pyspan_int(&span, at->co_nlocals),
		.nslots = vz_pyspan_int(&span, at->co_nlocalsplus),
		.stacksize = vz_pyspan_int(&span, at->co_stacksize),
	};
	if (at->co_code_adaptive != VZ_NO_OFFSET)
		ret->bytecode = raddr + at->co_code_adaptive;
	return code_is_sane(py, ret) ? 0 : -EINVAL;
}

int vz_pybytes(const struct vz_py *py, uint64_t bytes, uint64_t *ret_raddr, uint64_t *ret_len)
{
	int rc = vz_py_word(py, bytes + py->at.ob_size, ret_len);

	if (rc < 0)
		return rc;
	if (*ret_len > MAX_TABLE_BYTES)
		return -EINVAL;
	*ret_raddr = bytes + py->at.by_data;
	return 0;
}

/* ---- tables ---- */

/* The bytes of a table, read piece by piece. */
struct cursor {
	const struct vz_py *py;
	uint64_t raddr, left; /* of what was not read yet */
	size_t pos, len;
	uint8_t bytes[1024];
};

static int cursor_open(const struct vz_py *py, uint64_t bytes, struct cursor *ret)
{
	ret->py = py;
	ret->pos = ret->len = 0;
	return vz_pybytes(py, bytes, &ret->raddr, &ret->left);
}

static bool cursor_fill(struct cursor *c)
{
	if (c->pos < c->len)
		return true;
	c->pos = 0;
	c->len = c->left < sizeof(c->bytes) ? (size_t)c->left : sizeof(c->bytes);
	if (!c->len || vz_target_read(c->py->target, c->raddr, c->bytes, c->len) < 0) {
		c->len = 0;
		c->left = 0;
		return false;
	}
	c->raddr += c->len;
	c->left -= c->len;
	return true;
}

/* -1: that was all. */
static int cursor_next(struct cursor *c)
{
	return cursor_fill(c) ? c->bytes[c->pos++] : -1;
}

/* 3.8, 3.9: pairs of steps, forward in instructions and up or down in lines. */
static int64_t line_by_steps(struct cursor *c, int64_t line, int32_t instr)
{
	int64_t address = 0;

	for (;;) {
		int step = cursor_next(c), lines = cursor_next(c);

		if (lines < 0)
			return line;
		address += step;
		if (address > instr)
			return line;
		line += (int8_t)lines;
	}
}

/* 3.10: pairs too, but a pair tells of the instructions that it steps over. */
static int64_t line_by_ranges(struct cursor *c, int64_t line, int32_t instr)
{
	int64_t end = 0;

	for (;;) {
		int step = cursor_next(c), lines = cursor_next(c);

		if (lines < 0)
			return 0;
		end += step;
		if ((int8_t)lines != NO_LINE)
			line += (int8_t)lines;
		if (end > instr)
			return (int8_t)lines == NO_LINE ? 0 : line;
	}
}

static int64_t signed_varint(struct cursor *c)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 36; shift += 6) {
		int byte = cursor_next(c);

		if (byte < 0)
			break;
		value |= (uint64_t)(byte & 63) << shift;
		if (!(byte & 64))
			break;
	}
	return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

/* Bytes that begin an entry are the only ones with the highest bit set. */
static void skip_entry(struct cursor *c)
{
	while (cursor_fill(c) && !(c->bytes[c->pos] & 0x80))
		c->pos++;
}

/* 3.11+: entries of their own length, most of them about columns. */
static int64_t line_by_locations(struct cursor *c, int64_t line, int32_t instr)
{
	int64_t end = 0;

	for (;;) {
		int first = cursor_next(c), kind;

		if (first < 0)
			return 0;
		kind = first >> 3 & 15;
		if (kind >= LOC_ONE_LINE_0 && kind <= LOC_ONE_LINE_2)
			line += kind - LOC_ONE_LINE_0;
		else if (kind == LOC_NO_COLUMNS || kind == LOC_LONG)
			line += signed_varint(c);
		skip_entry(c);
		end += (int64_t)((first & 7) + 1) * 2;
		if (end > instr)
			return kind == LOC_NONE ? 0 : line;
	}
}

uint32_t vz_pycode_line(const struct vz_py *py, const struct vz_pycode *code, int32_t instr)
{
	struct cursor cursor;
	int64_t line;

	if (instr == -1)
		return code->first_line > 0 ? (uint32_t)code->first_line : 0;
	if (instr < 0 || cursor_open(py, code->lines, &cursor) < 0)
		return 0;
	if (py->at.minor >= 11)
		line = line_by_locations(&cursor, code->first_line, instr);
	else if (py->at.minor == 10)
		line = line_by_ranges(&cursor, code->first_line, instr);
	else
		line = line_by_steps(&cursor, code->first_line, instr);
	return line > 0 && line <= INT32_MAX ? (uint32_t)line : 0;
}

/* ---- for people ---- */

static void text_of(const struct vz_py *py, uint64_t str, char *buf, size_t size)
{
	if (!str || vz_pyobj_text(py, str, buf, size) < 0)
		buf[0] = '\0';
}

int vz_pyframe_place(const struct vz_py *py, const struct vz_pyframe *frame, struct vz_pyplace *ret)
{
	struct vz_pycode code;
	char type[16];
	int rc;

	memset(ret, 0, sizeof(*ret));
	vz_pyobj_type_name(py, frame->code, type, sizeof(type));
	if (strcmp(type, "code") != 0)
		return -EINVAL;
	rc = vz_pycode_read(py, frame->code, &code);
	if (rc < 0)
		return rc;
	text_of(py, code.qualname, ret->name, sizeof(ret->name));
	if (!ret->name[0])
		text_of(py, code.name, ret->name, sizeof(ret->name));
	text_of(py, code.filename, ret->file, sizeof(ret->file));
	ret->first_line = code.first_line > 0 ? (uint32_t)code.first_line : 0;
	ret->line = vz_pycode_line(py, &code, frame->instr);
	return 0;
}
