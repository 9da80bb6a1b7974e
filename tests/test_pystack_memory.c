/* SPDX-License-Identifier: MIT */
/* Python's stacks in memory that is made up: whole, in circles, torn, rubbish. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "attach/snapshot/python/pystack.h"

enum { MEMORY = 0x10000, BYTES = 1 << 16, FRAME = 0x2000, STEP = 0x400, CODE = 0x800 };

/* Memory with one thread state, at its beginning, and frames; pointers are addresses. */
struct fake {
	struct vz_bytes memory; /* first */
	struct vz_target target;
	struct vz_py py;
	uint8_t bytes[BYTES];
	unsigned reads;
};

static int fake_read(const struct vz_bytes *memory, uint64_t raddr, void *buf, size_t len)
{
	struct fake *f = (struct fake *)(uintptr_t)memory;

	f->reads++;
	if (raddr < MEMORY || raddr >= MEMORY + BYTES || len > MEMORY + BYTES - raddr)
		return -EFAULT;
	memcpy(buf, f->bytes + (raddr - MEMORY), len);
	return 0;
}

static void put(struct fake *f, uint64_t at, uint32_t offset, uint64_t value, size_t size)
{
	cr_assert_neq(offset, VZ_NO_OFFSET);
	cr_assert(at + offset + size <= BYTES);
	memcpy(f->bytes + at + offset, &value, size);
}

static void put_word(struct fake *f, uint64_t at, uint32_t offset, uint64_t value)
{
	put(f, at, offset, value, 8);
}

/* A code object that the walk takes for one; of some instructions. */
static void put_code(struct fake *f, uint64_t at)
{
	const struct vz_pylayout *row = &f->py.at;

	put_word(f, at, row->co_name, 1);
	put_word(f, at, row->co_filename, 1);
	if (row->minor >= 11)
		put_word(f, at, row->ob_size, 100);
}

static uint64_t frame_raddr(unsigned i)
{
	return MEMORY + FRAME + (uint64_t)i * STEP;
}

/* Frame I, called by that at PREVIOUS. */
static void put_frame(struct fake *f, unsigned i, uint64_t previous)
{
	const struct vz_pylayout *row = &f->py.at;
	uint64_t at = frame_raddr(i) - MEMORY;

	if (row->minor <= 10) {
		put_word(f, at, row->fr_back, previous);
		put_word(f, at, row->fr_code, MEMORY + CODE);
		return;
	}
	put_word(f, at, row->if_previous, previous);
	put_word(f, at, row->if_code, MEMORY + CODE);
	put_word(f, at, row->if_instr, MEMORY + CODE + row->co_code_adaptive + 20);
}

static void fake_init(struct fake *f, const struct vz_pylayout *row)
{
	memset(f, 0, sizeof(*f));
	f->memory.read = fake_read;
	f->target = (struct vz_target){ .memory = &f->memory, .pidfd = -1, .mem_fd = -1 };
	f->py = (struct vz_py){ .target = &f->target, .at = *row, .runtime = MEMORY };
	put_code(f, CODE);
	if (row->minor <= 10) {
		put_word(f, 0, row->ts_frame, frame_raddr(0));
	} else if (row->minor <= 12) {
		put_word(f, 0, row->ts_cframe, MEMORY + 0x700);
		put_word(f, 0x700, row->cf_current_frame, frame_raddr(0));
	} else {
		put_word(f, 0, row->ts_current_frame, frame_raddr(0));
	}
}

/* Also with a tstate at MEMORY that is read at once with more than what was put. */
#define EACH_ROW(f, row)           \
	for (unsigned row##_i = 0; \
	     (row = vz_pylayout_row(row##_i)) != NULL && (fake_init(f, row), true); row##_i++)

Test(pystack_memory, walks_what_is_whole)
{
	static struct fake f;
	const struct vz_pylayout *row;
	struct vz_pyframe frames[8];
	unsigned rows = 0;

	EACH_ROW(&f, row)
	{
		if (row->if_tlbc_index != VZ_NO_OFFSET)
			continue; /* its instructions are somewhere else */
		for (unsigned i = 0; i < 5; i++)
			put_frame(&f, i, i < 4 ? frame_raddr(i + 1) : 0);
		cr_assert_eq(vz_pystack_walk(&f.py, MEMORY, frames, 8), 5, "3.%u", row->minor);
		for (unsigned i = 0; i < 5; i++) {
			cr_assert_eq(frames[i].raddr, frame_raddr(i));
			cr_assert_eq(frames[i].code, MEMORY + CODE);
			cr_assert_eq(frames[i].instr, row->minor <= 10 ? 0 : 20);
		}
		cr_assert_eq(vz_pystack_walk(&f.py, MEMORY, frames, 5), 5);
		cr_assert_eq(vz_pystack_walk(&f.py, MEMORY, frames, 4), -E2BIG);
		rows++;
	}
	cr_assert(rows >= 6);
}

/* ---- records of evaluators on the C stack ---- */

enum { RECORDS = 0xa000, RECORD_STEP = 0x100 };

static uint64_t record_raddr(unsigned i)
{
	return MEMORY + RECORDS + (uint64_t)i * RECORD_STEP;
}

/* N records, and the last one that is part of the thread state; each of three frames is an entry.
 */
static void put_records(struct fake *f, unsigned n)
{
	const struct vz_pylayout *row = &f->py.at;
	const uint64_t root = MEMORY + 0x200;

	for (unsigned i = 0; i < 3; i++) {
		put_frame(f, i, i < 2 ? frame_raddr(i + 1) : 0);
		if (row->minor == 11)
			put(f, frame_raddr(i) - MEMORY, row->if_is_entry, 1, 1);
	}
	put_word(f, 0, row->ts_cframe, record_raddr(0));
	for (unsigned i = 0; i < n; i++)
		put_word(f, record_raddr(i) - MEMORY, row->cf_previous,
			 i + 1 < n ? record_raddr(i + 1) : root);
}

static void check_addresses(struct fake *f, const uint64_t expected[3])
{
	struct vz_pyframe frames[4];

	cr_assert_eq(vz_pystack_walk(&f->py, MEMORY, frames, 4), 3);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(frames[i].entry);
		cr_assert_eq(frames[i].c_stack, expected[i], "3.%u, frame %u: %lx, expected %lx",
			     f->py.at.minor, i, frames[i].c_stack, expected[i]);
	}
}

Test(pystack_memory, records_that_do_not_say_whose_they_are)
{
	static const uint64_t unknown[3];
	static struct fake f;

	fake_init(&f, vz_pylayout_find(10, false));
	put_records(&f, 3);
	check_addresses(&f, (uint64_t[]){ record_raddr(0), record_raddr(1), record_raddr(2) });
	/* An evaluator has just ended, and its frame not yet. */
	put_records(&f, 2);
	check_addresses(&f, (uint64_t[]){ 0, record_raddr(0), record_raddr(1) });
	put_records(&f, 1);
	check_addresses(&f, unknown);
	/* One that begins, or that of a greenlet. */
	put_records(&f, 4);
	check_addresses(&f, unknown);
}

Test(pystack_memory, records_that_say_whose_they_are)
{
	static struct fake f;
	const struct vz_pylayout *row = vz_pylayout_find(11, false);

	fake_init(&f, row);
	put_records(&f, 5);
	put_word(&f, record_raddr(0) - MEMORY, row->cf_current_frame, frame_raddr(0));
	put_word(&f, record_raddr(1) - MEMORY, row->cf_current_frame,
		 frame_raddr(0)); /* greenlet's */
	put_word(&f, record_raddr(2) - MEMORY, row->cf_current_frame, frame_raddr(1));
	put_word(&f, record_raddr(3) - MEMORY, row->cf_current_frame, 77);
	put_word(&f, record_raddr(4) - MEMORY, row->cf_current_frame, frame_raddr(2));
	check_addresses(&f, (uint64_t[]){ record_raddr(0), record_raddr(2), record_raddr(4) });
	/* One that has not said yet what it runs: its caller has. */
	put_word(&f, record_raddr(5) - MEMORY, row->cf_current_frame, 77);
	put_word(&f, record_raddr(5) - MEMORY, row->cf_previous, record_raddr(0));
	put_word(&f, 0, row->ts_cframe, record_raddr(5));
	check_addresses(&f, (uint64_t[]){ record_raddr(0), record_raddr(2), record_raddr(4) });
}

/* ---- not whole ---- */

Test(pystack_memory, circles_end)
{
	static struct fake f;
	const struct vz_pylayout *row;
	static struct vz_pyframe frames[100000];

	EACH_ROW(&f, row)
	{
		for (unsigned tail = 0; tail < 12; tail++) {
			for (unsigned i = 0; i < 12; i++)
				put_frame(&f, i, frame_raddr(i < 11 ? i + 1 : tail));
			cr_assert_eq(vz_pystack_walk(&f.py, MEMORY, frames, 100000), -ELOOP, "3.%u",
				     row->minor);
			cr_assert_eq(vz_pystack_walk(&f.py, MEMORY, frames, 3), -E2BIG);
		}
	}
}

Test(pystack_memory, circles_of_threads_end)
{
	static struct fake f;
	const struct vz_pylayout *row;
	struct vz_pythread threads[4];

	EACH_ROW(&f, row)
	{
		/* The runtime, the interpreter and the thread: anything fits anywhere. */
		memset(f.bytes, 0, sizeof(f.bytes));
		f.py.at.rt_interpreters_head = 0;
		f.py.at.is_next = 8;
		f.py.at.is_id = 16;
		f.py.at.is_threads_head = 24;
		put_word(&f, 0, 0, MEMORY + 0x1000);
		put_word(&f, 0x1000, 24, MEMORY + 0x2000);
		put_word(&f, 0x2000, row->ts_interp, MEMORY + 0x1000);
		cr_assert_eq(vz_pythreads_read(&f.py, threads, 4), 1);
		cr_assert_eq(vz_pythreads_read(&f.py, NULL, 0), 1);
		put_word(&f, 0x2000, row->ts_next, MEMORY + 0x2000);
		cr_assert_eq(vz_pythreads_read(&f.py, threads, 4), -ELOOP);
		put_word(&f, 0x2000, row->ts_next, 0);
		put_word(&f, 0x1000, 8, MEMORY + 0x1000);
		cr_assert_eq(vz_pythreads_read(&f.py, threads, 4), -ELOOP);
		put_word(&f, 0x2000, row->ts_interp, 1); /* freed and used again */
		cr_assert_eq(vz_pythreads_read(&f.py, threads, 4), -EINVAL);
		put_word(&f, 0x1000, 24, 77);
		cr_assert_eq(vz_pythreads_read(&f.py, threads, 4), -EFAULT);
	}
}

Test(pystack_memory, wild_pointers_are_errors)
{
	static const uint64_t wild[] = { 1,          MEMORY + BYTES - 4,
					 UINT64_MAX, UINT64_MAX - 600,
					 INT64_MAX,  0x7fffffffffff };
	static struct fake f;
	const struct vz_pylayout *row;
	struct vz_pyframe frames[8];
	uint64_t ret;

	EACH_ROW(&f, row)
	{
		for (unsigned i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
			put_frame(&f, 0, wild[i]);
			cr_assert(vz_pystack_walk(&f.py, MEMORY, frames, 8) < 0);
			cr_assert(vz_pystack_walk(&f.py, wild[i], frames, 8) < 0);
			cr_assert(vz_pygen_frame(&f.py, wild[i], frames) < 0);
			cr_assert(vz_pygen_awaits(&f.py, wild[i], &ret) < 0);
		}
	}
}

/* Bytes that mean something everywhere: small numbers, and addresses of each other. */
static void fill(struct fake *f, unsigned *seed)
{
	for (size_t i = 0; i < BYTES; i += 8) {
		uint64_t word;

		*seed = *seed * 1103515245 + 12345;
		word = *seed >> 8;
		switch (*seed >> 28) {
		case 0:
			word = ~(uint64_t)0 - word % 4096;
			break;
		case 1:
		case 2:
			word %= 16;
			break;
		case 3:
			word <<= 40;
			break;
		default:
			word = MEMORY + (word % BYTES & ~UINT64_C(7));
		}
		memcpy(f->bytes + i, &word, 8);
	}
}

Test(pystack_memory, rubbish_is_survived, .timeout = 60)
{
	static struct fake f;
	static struct vz_pyframe frames[256];
	static struct vz_pylocal locals[64];
	struct vz_pythread threads[8];
	struct vz_pyplace place;
	uint64_t values[64], ret;
	const struct vz_pylayout *row;
	unsigned seed = 1, survived = 0;

	for (int round = 0; round < 60; round++) {
		EACH_ROW(&f, row)
		{
			ssize_t n;

			fill(&f, &seed);
			vz_pythreads_read(&f.py, threads, 8);
			n = vz_pystack_walk(&f.py, MEMORY, frames, 256);
			frames[0] = (struct vz_pyframe){ .raddr = MEMORY + 0x3000,
							 .code = MEMORY + CODE,
							 .instr = (int32_t)seed };
			for (ssize_t i = 0; i < n || i == 0; i++) {
				vz_pyframe_place(&f.py, &frames[i], &place);
				vz_pyframe_local(&f.py, &frames[i], "name", &ret);
				cr_assert(vz_pyframe_locals(&f.py, &frames[i], locals, 64) <= 64);
				cr_assert(vz_pyframe_stack(&f.py, &frames[i], values, 64) <= 64);
			}
			vz_pygen_frame(&f.py, MEMORY + 0x4000, frames);
			vz_pygen_awaits(&f.py, MEMORY + 0x4000, &ret);
			survived++;
		}
	}
	cr_assert(survived > 0);
}

/* ---- tables of lines ---- */

enum { TABLE = 0x6000, TYPE = 0x5000, TYPE_NAME = 0x5800 };

/* Ready, and a type of types. */
static const uint64_t type_flags = 1u << 12 | 1u << 31;

/* The line at byte INSTR by a table of LEN bytes of a code that begins at line 10. */
static uint32_t line_at(unsigned minor, const void *table, size_t len, int32_t instr)
{
	static struct fake f;
	struct vz_pyframe frame = { .code = MEMORY + CODE, .instr = instr };
	struct vz_pyplace place;
	const struct vz_pylayout *row = vz_pylayout_find(minor, false);

	cr_assert_not_null(row);
	fake_init(&f, row);
	put_word(&f, CODE, row->ob_type, MEMORY + TYPE);
	put_word(&f, TYPE, row->tp_name, MEMORY + TYPE_NAME);
	put_word(&f, TYPE, row->ob_type, MEMORY + TYPE); /* as the type of types */
	put_word(&f, TYPE, row->tp_flags, type_flags);
	put_word(&f, TYPE, row->tp_basicsize, 200);
	memcpy(f.bytes + TYPE_NAME, "code", 5);
	put(&f, CODE, row->co_firstlineno, 10, 4);
	put_word(&f, CODE, row->co_lines, MEMORY + TABLE);
	put_word(&f, TABLE, row->ob_size, len);
	memcpy(f.bytes + TABLE + row->by_data, table, len);
	cr_assert_eq(vz_pyframe_place(&f.py, &frame, &place), 0, "3.%u", minor);
	cr_assert_eq(place.first_line, 10);
	return place.line;
}

Test(pystack_memory, lines_of_each_format)
{
	static const struct {
		unsigned minor;
		uint8_t table[16];
		size_t len;
		int32_t instr;
		uint32_t line;
	} cases[] = {
		/* clang-format off */
		{  8, { 4, 1, 6, 0xff, 2, 5 }, 6,  0, 10 },
		{  8, { 4, 1, 6, 0xff, 2, 5 }, 6,  3, 10 },
		{  8, { 4, 1, 6, 0xff, 2, 5 }, 6,  4, 11 },
		{  8, { 4, 1, 6, 0xff, 2, 5 }, 6, 10, 10 },
		{  9, { 4, 1, 6, 0xff, 2, 5 }, 6, 99, 15 },
		{  9, { 0, 127, 0, 3, 2 },     5,  0, 140 }, /* half a pair at the end */
		{  9, { 0 },                   0,  5, 10 },
		{ 10, { 4, 1, 6, 0xff },       4,  0, 11 },
		{ 10, { 4, 1, 6, 0xff },       4,  4, 10 },
		{ 10, { 4, 1, 6, 0xff },       4, 10, 0 }, /* behind the end */
		{ 10, { 4, 1, 2, 0x80, 2, 1 }, 6,  4, 0 }, /* has none */
		{ 10, { 4, 1, 2, 0x80, 2, 1 }, 6,  6, 12 },
		{ 10, { 0, 127, 2, 1 },        4,  0, 138 },
		{ 11, { 0x80, 0, 0xd1, 1, 2 }, 5,  0, 10 }, /* same line, columns */
		{ 11, { 0x80, 0, 0xd1, 1, 2 }, 5,  2, 10 }, /* line of its own: + 0 */
		{ 11, { 0xd8, 1, 2, 0xe1, 1, 2 }, 6, 2, 13 }, /* + 1, + 2 */
		{ 11, { 0xe8, 0x0a, 0x80, 1 }, 4,  0, 15 }, /* no columns, + 5 */
		{ 11, { 0xe8, 0x0b },          2,  0, 5 },  /* - 5 */
		{ 12, { 0xf0, 0x42, 1, 0, 0, 0 }, 6, 0, 43 }, /* long: 66 is + 33 */
		{ 12, { 0xf9, 0x80, 0 },       3,  2, 0 },  /* none at all for two units */
		{ 13, { 0xf9, 0x80, 0 },       3,  4, 10 },
		{ 13, { 0xf9, 0x80, 0 },       3,  6, 0 },
		{ 14, { 0xf0, 0x7f, 0x7f },    3,  0, 0 },  /* cut in a number that is too large */
		{ 14, { 0xe8 },                1, -1, 10 },
		{ 14, { 0xe8 },                1, -2, 0 },
		/* clang-format on */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t line =
			line_at(cases[i].minor, cases[i].table, cases[i].len, cases[i].instr);

		if (vz_pylayout_find(cases[i].minor, false))
			cr_expect_eq(line, cases[i].line, "case %zu: %u, expected %u", i, line,
				     cases[i].line);
	}
}
