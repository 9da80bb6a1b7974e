/* SPDX-License-Identifier: MIT */
/*
 * pyobj_value.c - texts, numbers, and what sequences and sets hold.
 */
#include <errno.h>
#include <string.h>

#include "attach/snapshot/python/pyobj_priv.h"

enum {
	HEAD_BYTES = 128, /* of a str: 80 at most so far */
	CHUNK = 4096,
	SET_SCAN_MAX = 1 << 17, /* slots of a set that are looked at */
	SET_CHUNK = 128,
	DIGIT_BITS = 30,
};

/* Lengths above are no lengths. */
#define LENGTH_MAX (INT64_C(1) << 48)

/* ---- text ---- */

struct text {
	uint64_t data; /* address of the first character */
	uint64_t length;
	unsigned kind; /* bytes of a character: 1, 2, 4 */
	bool ascii;
};

static bool parse_head(const struct vz_pylayout *at, uint64_t obj, const uint8_t *head,
		       struct text *ret)
{
	uint64_t length, pointer;
	uint32_t state;
	bool compact;

	memcpy(&length, head + at->us_length, sizeof(length));
	memcpy(&state, head + at->us_state, sizeof(state));
	memcpy(&pointer, head + at->us_compact, sizeof(pointer));
	state >>= at->us_kind_shift % 32;
	ret->kind = state & 7;
	compact = state >> 3 & 1;
	ret->ascii = state >> 4 & 1;
	ret->length = length;
	/* Behind a str that is ASCII, POINTER is text or somebody else's. */
	ret->data = !compact ? pointer : obj + (ret->ascii ? at->us_ascii : at->us_compact);
	return (ret->kind == 1 || ret->kind == 2 || ret->kind == 4) && length < LENGTH_MAX &&
	       !(ret->ascii && ret->kind != 1);
}

static int read_head(const struct vz_py *py, uint64_t obj, struct text *ret)
{
	const struct vz_pylayout *at = &py->at;
	uint8_t head[HEAD_BYTES] = { 0 };

	if (at->us_compact + 8 > sizeof(head) || at->us_length + 8 > sizeof(head) ||
	    at->us_state + 4 > sizeof(head))
		return -EINVAL;
	/* A short ASCII one may be the last thing in its mapping. */
	if (vz_target_read(py->target, obj, head, at->us_compact + 8) < 0 &&
	    (at->us_ascii > sizeof(head) ||
	     vz_target_read(py->target, obj, head, at->us_ascii) < 0))
		return -EFAULT;
	return parse_head(at, obj, head, ret) ? 0 : -EINVAL;
}

/* One character as UTF-8; what is none (NUL too, it would end the text) is U+FFFD. */
static size_t encode(uint32_t c, char out[4])
{
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		c = 0xfffd;
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static uint32_t character(const uint8_t *data, unsigned kind)
{
	uint32_t c = 0;

	memcpy(&c, data, kind); /* little-endian, as the CPUs that we know */
	return c;
}

/* Append the characters of a chunk; false: the buffer is full. */
static bool append(const uint8_t *data, size_t count, unsigned kind, char *buf, size_t size,
		   size_t *used)
{
	for (size_t i = 0; i < count; i++) {
		char out[4];
		size_t n = encode(character(data + i * kind, kind), out);

		if (n > size - 1 - *used)
			return false;
		memcpy(buf + *used, out, n);
		*used += n;
	}
	return true;
}

static int copy_text(const struct vz_py *py, const struct text *text, char *buf, size_t size)
{
	/* A character is a byte at least. */
	uint64_t left = text->length < size ? text->length : size;
	uint64_t raddr = text->data;
	uint8_t chunk[CHUNK];
	size_t used = 0;

	while (left) {
		size_t count = left < CHUNK / 4 ? left : CHUNK / 4;

		if (vz_target_read(py->target, raddr, chunk, count * text->kind) < 0)
			return -EFAULT;
		if (!append(chunk, count, text->kind, buf, size, &used))
			break;
		raddr += count * text->kind;
		left -= count;
	}
	buf[used] = '\0';
	return left ? 1 : 0;
}

int vz_pyobj_text(const struct vz_py *py, uint64_t obj, char *buf, size_t size)
{
	struct text text;
	int rc;

	if (size == 0)
		return -EINVAL;
	buf[0] = '\0';
	rc = vz_pyobj_expect(py, obj, VZ_TP_UNICODE);
	if (rc == 0)
		rc = read_head(py, obj, &text);
	if (rc == 0)
		rc = copy_text(py, &text, buf, size);
	if (rc < 0)
		buf[0] = '\0';
	return rc;
}

bool vz_pystr_is(const struct vz_py *py, uint64_t obj, const char *text, size_t len)
{
	const struct vz_pylayout *at = &py->at;
	uint8_t copy[HEAD_BYTES + 256] = { 0 };
	struct text head;

	if (len > 256 || at->us_ascii > HEAD_BYTES || at->us_compact + 8 > HEAD_BYTES ||
	    at->us_state + 4 > at->us_ascii || at->us_length + 8 > at->us_ascii || obj % 8 ||
	    vz_target_read(py->target, obj, copy, at->us_ascii + len) < 0)
		return false;
	if (!parse_head(at, obj, copy, &head) || head.length != len || !head.ascii)
		return false;
	/* One of a subclass: its text is elsewhere. */
	if (head.data != obj + at->us_ascii &&
	    (read_head(py, obj, &head) < 0 ||
	     vz_target_read(py->target, head.data, copy + at->us_ascii, len) < 0))
		return false;
	return memcmp(copy + at->us_ascii, text, len) == 0 &&
	       vz_pyobj_expect(py, obj, VZ_TP_UNICODE) == 0;
}

bool vz_pyobj_text_is(const struct vz_py *py, uint64_t obj, const char *text)
{
	return vz_pystr_is(py, obj, text, strlen(text));
}

/* ---- numbers ---- */

/* Sign and number of digits. */
static int int_size(const struct vz_py *py, uint64_t obj, bool *negative, uint64_t *digits)
{
	uint64_t word;

	if (vz_py_word(py, obj + (py->at.in_tag == VZ_NO_OFFSET ? py->at.ob_size : py->at.in_tag),
		       &word) < 0)
		return -EFAULT;
	if (py->at.in_tag != VZ_NO_OFFSET) { /* 0: positive, 1: zero, 2: negative */
		*digits = word >> 3;
		*negative = (word & 3) == 2;
		if ((word & 3) == 1)
			*digits = 0;
		return (word & 3) == 3 ? -EINVAL : 0;
	}
	*negative = (int64_t)word < 0;
	*digits = *negative ? 0 - word : word;
	return 0;
}

static int int_value(bool negative, const uint32_t *digits, uint64_t count, int64_t *ret)
{
	unsigned __int128 value = 0;
	const uint64_t limit = (uint64_t)INT64_MAX + negative;

	for (uint64_t i = count; i-- > 0;) {
		if (digits[i] >> DIGIT_BITS)
			return -EINVAL;
		value = value << DIGIT_BITS | digits[i];
	}
	if (value > limit)
		return -ERANGE;
	*ret = negative ? (int64_t)(0 - (uint64_t)value) : (int64_t)value;
	return 0;
}

int vz_pyobj_int(const struct vz_py *py, uint64_t obj, int64_t *ret)
{
	uint32_t digits[3] = { 0 };
	uint64_t count = 0;
	bool negative = false;
	int rc = vz_pyobj_expect(py, obj, VZ_TP_LONG);

	if (rc == 0)
		rc = int_size(py, obj, &negative, &count);
	if (rc < 0)
		return rc;
	if (count > sizeof(digits) / sizeof(digits[0]))
		return -ERANGE;
	if (count && vz_target_read(py->target, obj + py->at.in_digits, digits,
				    count * sizeof(digits[0])) < 0)
		return -EFAULT;
	return int_value(negative, digits, count, ret);
}

int vz_pyobj_float(const struct vz_py *py, uint64_t obj, double *ret)
{
	if (vz_pyobj_kind(py, obj) != VZ_PYKIND_FLOAT)
		return -EINVAL;
	return vz_target_read(py->target, obj + py->at.fl_value, ret, sizeof(*ret));
}

/* ---- lengths and items ---- */

static int64_t length_at(const struct vz_py *py, uint64_t raddr)
{
	uint64_t word;

	if (vz_py_word(py, raddr, &word) < 0)
		return -EFAULT;
	return word < LENGTH_MAX ? (int64_t)word : -EINVAL;
}

int64_t vz_pyobj_len(const struct vz_py *py, uint64_t obj)
{
	switch (vz_pyobj_kind(py, obj)) {
	case VZ_PYKIND_STR:
		return length_at(py, obj + py->at.us_length);
	case VZ_PYKIND_BYTES:
	case VZ_PYKIND_TUPLE:
	case VZ_PYKIND_LIST:
		return length_at(py, obj + py->at.ob_size);
	case VZ_PYKIND_DICT:
		return length_at(py, obj + py->at.di_used);
	case VZ_PYKIND_SET:
		return length_at(py, obj + py->at.se_used);
	default:
		return -EINVAL;
	}
}

static ssize_t sequence_items(const struct vz_py *py, uint64_t obj, bool list, uint64_t *items,
			      size_t max)
{
	uint64_t raddr = obj + py->at.tu_items;
	int64_t length = length_at(py, obj + py->at.ob_size);
	size_t n;

	if (length < 0)
		return (ssize_t)length;
	n = (uint64_t)length < max ? (size_t)length : max;
	if (n == 0)
		return 0;
	if (list && vz_py_word(py, obj + py->at.li_items, &raddr) < 0)
		return -EFAULT;
	if (vz_target_read(py->target, raddr, items, n * sizeof(*items)) < 0)
		return -EFAULT;
	return (ssize_t)n;
}

/* A slot of a set; a deleted one has a key that is no element, and no hash is -1. */
struct slot {
	uint64_t key;
	int64_t hash;
};

static ssize_t set_items(const struct vz_py *py, uint64_t obj, uint64_t *items, size_t max)
{
	struct slot slots[SET_CHUNK];
	uint64_t mask, table;
	ssize_t n = 0;

	if (vz_py_word(py, obj + py->at.se_mask, &mask) < 0 ||
	    vz_py_word(py, obj + py->at.se_table, &table) < 0)
		return -EFAULT;
	if (mask & (mask + 1) || mask >= LENGTH_MAX)
		return -EINVAL;
	if (mask >= SET_SCAN_MAX)
		mask = SET_SCAN_MAX - 1;
	for (uint64_t i = 0; i <= mask; i += SET_CHUNK) {
		uint64_t count = mask + 1 - i < SET_CHUNK ? mask + 1 - i : SET_CHUNK;

		if (vz_target_read(py->target, table + i * sizeof(slots[0]), slots,
				   count * sizeof(slots[0])) < 0)
			return -EFAULT;
		for (uint64_t k = 0; k < count; k++) {
			if ((size_t)n == max)
				return n;
			if (slots[k].key && slots[k].hash != -1)
				items[n++] = slots[k].key;
		}
	}
	return n;
}

ssize_t vz_pyobj_items(const struct vz_py *py, uint64_t obj, uint64_t *items, size_t max)
{
	enum vz_pykind kind = vz_pyobj_kind(py, obj);

	switch (kind) {
	case VZ_PYKIND_TUPLE:
	case VZ_PYKIND_LIST:
		return sequence_items(py, obj, kind == VZ_PYKIND_LIST, items, max);
	case VZ_PYKIND_SET:
		return set_items(py, obj, items, max);
	default:
		return -EINVAL;
	}
}
