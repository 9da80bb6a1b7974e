/* SPDX-License-Identifier: MIT */
#include "attach/snapshot/show/grow.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 256, ELLIPSIS = 3 };

/* Room for LEN more bytes and a NUL. */
static bool reserve(struct vz_grow *g, size_t len)
{
	size_t size = g->size ? g->size : FIRST_BYTES;
	char *at;

	if (g->failed || len >= SIZE_MAX / 4 - g->used)
		return false;
	while (size <= g->used + len)
		size *= 2;
	if (size == g->size)
		return true;
	at = realloc(g->at, size);
	g->failed = !at;
	if (!at)
		return false;
	g->at = at;
	g->size = size;
	return true;
}

void vz_grow_bytes(struct vz_grow *g, const char *bytes, size_t len)
{
	if (!reserve(g, len))
		return;
	memcpy(g->at + g->used, bytes, len);
	g->used += len;
	g->at[g->used] = '\0';
}

void vz_grow_fill(struct vz_grow *g, char c, size_t count)
{
	if (!reserve(g, count))
		return;
	memset(g->at + g->used, c, count);
	g->used += count;
	g->at[g->used] = '\0';
}

void vz_grow_add(struct vz_grow *g, const char *fmt, ...)
{
	va_list args, again;
	size_t room;
	int len;

	if (!reserve(g, 0))
		return;
	room = g->size - g->used;
	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(g->at + g->used, room, fmt, args);
	if (len > 0 && (size_t)len >= room && reserve(g, (size_t)len))
		vsnprintf(g->at + g->used, (size_t)len + 1, fmt, again);
	else if (len < 0 || (size_t)len >= room)
		len = 0;
	va_end(again);
	va_end(args);
	g->used += (size_t)len;
	g->at[g->used] = '\0';
}

void vz_grow_clear(struct vz_grow *g)
{
	g->used = 0;
	if (g->at)
		g->at[0] = '\0';
}

void vz_grow_free(struct vz_grow *g)
{
	free(g->at);
	memset(g, 0, sizeof(*g));
}

const char *vz_grow_text(const struct vz_grow *g)
{
	return g->at ? g->at : "";
}

char *vz_grow_take(struct vz_grow *g, size_t *len)
{
	char *ret;

	vz_grow_bytes(g, "", 0);
	ret = g->failed ? NULL : g->at;
	*len = ret ? g->used : 0;
	if (!ret)
		free(g->at);
	memset(g, 0, sizeof(*g));
	return ret;
}

/* ---- characters ---- */

size_t vz_utf8_char(const char *text, uint32_t *ret)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t len = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t number = len < 2 ? c[0] : c[0] & (0x7fu >> len);

	if (!len || !c[0] || c[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
		number = number << 6 | (c[i] & 0x3f);
	}
	if (number < least[len] || number > 0x10ffff || (number >= 0xd800 && number < 0xe000))
		return 0;
	*ret = number;
	return len;
}

static bool within(uint32_t number, const uint32_t (*ranges)[2], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (number >= ranges[i][0] && number <= ranges[i][1])
			return true;
	}
	return false;
}
#define WITHIN(number, ranges) within(number, ranges, sizeof(ranges) / sizeof(*(ranges)))

unsigned vz_utf8_columns(uint32_t number)
{
	static const uint32_t none[][2] = { { 0x300, 0x36f },   { 0x483, 0x489 },
					    { 0x591, 0x5bd },   { 0x64b, 0x65f },
					    { 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff },
					    { 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f },
					    { 0xfe20, 0xfe2f }, { 0xe0100, 0xe01ef } };
	static const uint32_t two[][2] = { { 0x1100, 0x115f },   { 0x2e80, 0xa4cf },
					   { 0xac00, 0xd7a3 },   { 0xf900, 0xfaff },
					   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },
					   { 0xffe0, 0xffe6 },   { 0x1f300, 0x1f64f },
					   { 0x1f680, 0x1faff }, { 0x20000, 0x3fffd } };

	return number < 0x300 ? 1 : WITHIN(number, none) ? 0 : WITHIN(number, two) ? 2 : 1;
}

/* Characters that end a line, turn the direction of writing or are not seen. */
static bool deceptive(uint32_t number)
{
	static const uint32_t ranges[][2] = { { 0xad, 0xad },     { 0x61c, 0x61c },
					      { 0x200b, 0x200f }, { 0x2028, 0x202e },
					      { 0x2060, 0x206f }, { 0xfeff, 0xfeff },
					      { 0xfff9, 0xfffb }, { 0xe0000, 0xe007f } };

	return WITHIN(number, ranges);
}

/* One character of the target's text made harmless: its bytes (at most 4) and columns. */
struct piece {
	char bytes[8];
	size_t len, columns, taken;
};

static void control_piece(uint32_t number, struct piece *ret)
{
	if (number == '\n' || number == '\t' || number == '\r')
		ret->len = (size_t)sprintf(ret->bytes, "\\%c",
					   number == '\n'   ? 'n'
					   : number == '\t' ? 't'
							    : 'r');
	else
		ret->len = (size_t)sprintf(ret->bytes, "\\x%02x", (unsigned)number & 0xff);
	ret->columns = ret->len;
}

static void next_piece(const char *text, struct piece *ret)
{
	uint32_t number = 0;
	size_t len;

	if (*text >= ' ' && *text < 0x7f) {
		*ret = (struct piece){ .bytes = { *text }, .len = 1, .columns = 1, .taken = 1 };
		return;
	}
	len = vz_utf8_char(text, &number);
	ret->taken = len ? len : 1;
	if (len && (number < ' ' || (number >= 0x7f && number < 0xa0))) {
		control_piece(number, ret);
	} else if (!len || deceptive(number)) {
		ret->bytes[0] = '?';
		ret->len = ret->columns = 1;
	} else {
		memcpy(ret->bytes, text, len);
		ret->len = len;
		ret->columns = vz_utf8_columns(number);
	}
}

static size_t safe_columns(const char *text)
{
	size_t ret = 0;
	struct piece p;

	for (; *text; text += p.taken) {
		next_piece(text, &p);
		ret += p.columns;
	}
	return ret;
}

/* Append what of TEXT lies in the columns from FROM up to TO. */
static void add_columns(struct vz_grow *g, const char *text, size_t from, size_t to)
{
	size_t at = 0;
	struct piece p;

	for (; *text; text += p.taken) {
		next_piece(text, &p);
		if (at >= from && at + p.columns <= to)
			vz_grow_bytes(g, p.bytes, p.len);
		at += p.columns;
		if (at > to)
			return;
	}
}

void vz_grow_safe(struct vz_grow *g, const char *text, size_t columns)
{
	size_t all = columns ? safe_columns(text) : 0;

	if (all <= columns)
		return add_columns(g, text, 0, SIZE_MAX);
	if (columns > ELLIPSIS)
		add_columns(g, text, 0, columns - ELLIPSIS);
	vz_grow_fill(g, '.', columns < ELLIPSIS ? columns : ELLIPSIS);
}

/* What of TEXT begins in COLUMN or behind it. */
static const char *at_column(const char *text, size_t column)
{
	size_t at = 0;
	struct piece p;

	for (; *text && at < column; text += p.taken) {
		next_piece(text, &p);
		at += p.columns;
	}
	return text;
}

/* From the next slash on, if much is left: half of a name tells nobody anything. */
static const char *whole_part(const char *text, size_t columns)
{
	const char *slash = strchr(text, '/');

	return slash && safe_columns(slash) * 2 >= columns ? slash : text;
}

void vz_grow_middle(struct vz_grow *g, const char *text, size_t columns)
{
	size_t all = safe_columns(text), head, tail;

	if (columns < ELLIPSIS)
		columns = ELLIPSIS;
	if (all <= columns)
		return add_columns(g, text, 0, SIZE_MAX);
	/* The end of a path tells more than its beginning. */
	head = (columns - ELLIPSIS) / 3;
	tail = columns - ELLIPSIS - head;
	add_columns(g, text, 0, head);
	vz_grow_bytes(g, "...", ELLIPSIS);
	add_columns(g, whole_part(at_column(text, all - tail), tail), 0, SIZE_MAX);
}

size_t vz_text_columns(const char *text)
{
	return safe_columns(text);
}

/* ---- JSON ---- */

static void json_escape(struct vz_grow *g, uint32_t number)
{
	if (number > 0xffff)
		vz_grow_add(g, "\\u%04x\\u%04x", 0xd800 + ((number - 0x10000) >> 10),
			    0xdc00 + ((number - 0x10000) & 0x3ff));
	else
		vz_grow_add(g, "\\u%04x", number);
}

void vz_grow_json(struct vz_grow *g, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "/_.-<> ";
	uint32_t number = 0;
	size_t len;

	vz_grow_bytes(g, "\"", 1);
	for (; *text; text += len ? len : 1) {
		len = strspn(text, plain);
		if (len) {
			vz_grow_bytes(g, text, len);
			continue;
		}
		len = vz_utf8_char(text, &number);
		if (!len)
			vz_grow_add(g, "\\ufffd");
		else if (number == '"' || number == '\\')
			vz_grow_add(g, "\\%c", (char)number);
		else if (number < ' ' || (number >= 0x7f && number < 0xa0) || deceptive(number))
			json_escape(g, number);
		else
			vz_grow_bytes(g, text, len);
	}
	vz_grow_bytes(g, "\"", 1);
}
