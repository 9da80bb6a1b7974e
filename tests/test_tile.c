/* SPDX-License-Identifier: MIT */
/*
 * Tiles made by hand: what is read of them, and that each way to be wrong is noticed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/tile.h"

enum {
	MAX_BYTES = 256,
};

struct made {
	struct vzi_tile tile;
	uint8_t bytes[MAX_BYTES];
	size_t n;
};

static void put(struct made *m, const void *p, size_t n)
{
	cr_assert_leq(m->n + n, MAX_BYTES);
	memcpy(m->bytes + m->n, p, n);
	m->n += n;
}

/* Columns of bytes, each a string that may hold zeros: length, then bytes. */
static struct made columns(enum vzi_kind kind, uint32_t count, const char *const *columns,
			   const uint32_t *lengths, unsigned n)
{
	struct made m = { .tile = { .kind = (uint8_t)kind, .count = count, .t0_ns = 1000 } };

	put(&m, lengths, n * sizeof(*lengths));
	for (unsigned i = 0; i < n; i++)
		put(&m, columns[i], lengths[i]);
	m.tile.bytes = (uint32_t)m.n;
	return m;
}

static struct made slices(void)
{
	static const char *const parts[] = { "\x00\x05\x80\x01", "\x0a\x80\x80\x04\x07",
					     "\x00\x01\x02", "\x03\x04\x85\x01", "\x00\x15\x08" };
	static const uint32_t lengths[] = { 4, 5, 3, 4, 3 };

	return columns(VZI_SLICES, 3, parts, lengths, 5);
}

/* From a place of its own, so that a byte too many is noticed. */
static int decode(const struct made *m, struct vzt_records *ret)
{
	uint8_t *copy = malloc(m->n ? m->n : 1);
	int rc;

	memcpy(copy, m->bytes, m->n);
	rc = vzt_decode(&m->tile, copy, m->n, ret);
	free(copy);
	return rc;
}

Test(tile, slices)
{
	struct made m = slices();
	struct vzt_records r;

	cr_assert_eq(decode(&m, &r), 0);
	cr_assert_eq(r.n, 3);
	cr_assert_eq(r.start[0], 1000);
	cr_assert_eq(r.start[1], 1005);
	cr_assert_eq(r.start[2], 1133);
	cr_assert_eq(r.end[0], 1010);
	cr_assert_eq(r.end[1], 1005 + 65536);
	cr_assert_eq(r.end[2], 1140);
	cr_assert_eq(r.depth[2], 2);
	cr_assert_eq(r.fn[2], 133);
	cr_assert_eq(r.count[1], 1);
	cr_assert_eq(r.how[1], 0x15);
	vzt_records_fini(&r);
}

Test(tile, runs_and_gaps)
{
	static const char *const run[] = { "\x01", "\x02", "\xff\xff\x07", "\x05",
					   "\x80\x80\x80\x80\x20" };
	static const uint32_t run_lengths[] = { 1, 1, 3, 1, 5 };
	static const char *const gap[] = { "\x01\x01", "\x02\x00", "\x00\x07" };
	static const uint32_t gap_lengths[] = { 2, 2, 2 };
	struct made m = columns(VZI_RUNS, 1, run, run_lengths, 5);
	struct vzt_records r;

	cr_assert_eq(decode(&m, &r), 0);
	cr_assert_eq(r.depth[0], UINT16_MAX, "deeper than can be told");
	cr_assert_eq(r.count[0], UINT32_MAX, "more than can be told");
	cr_assert_eq(r.how[0], 0);
	vzt_records_fini(&r);
	m = columns(VZI_GAPS, 2, gap, gap_lengths, 3);
	cr_assert_eq(decode(&m, &r), 0);
	cr_assert_eq(r.start[1], 1002);
	cr_assert_eq(r.count[0], 0);
	cr_assert_eq(r.count[1], 7);
	vzt_records_fini(&r);
}

Test(tile, each_cut_and_each_length_is_noticed)
{
	struct made m = slices();
	struct vzt_records r;

	for (size_t n = 0; n < m.n; n++) {
		struct made cut = m;

		cut.n = n;
		cr_assert_eq(decode(&cut, &r), -EBADMSG, "cut to %zu", n);
	}
	for (uint32_t count = 0; count < 9; count++) {
		struct made other = m;

		other.tile.count = count;
		cr_assert_eq(decode(&other, &r), count == 3 ? 0 : -EBADMSG, "%u records", count);
		if (count == 3)
			vzt_records_fini(&r);
	}
	for (unsigned i = 0; i < 5; i++) {
		struct made other = m;

		other.bytes[i * 4]++;
		cr_assert_eq(decode(&other, &r), -EBADMSG, "length of column %u", i);
	}
	cr_assert_eq(vzt_decode(&m.tile, NULL, 0, &r), -EBADMSG);
}

Test(tile, numbers_out_of_range)
{
	/* clang-format off */
	static const struct {
		const char *label;
		unsigned column;
		const char *bytes;
		uint32_t length;
	} cases[] = {
		{ "start beyond 2^53", 0, "\x80\x80\x80\x80\x80\x80\x80\x20", 8 },
		{ "end beyond 2^53",   1, "\x80\x80\x80\x80\x80\x80\x80\x10", 8 },
		{ "start of 2^64",     0, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10 },
		{ "more than 64 bits", 1, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10 },
		{ "varint without end", 2, "\x80", 1 },
		{ "function 2^20",     3, "\x80\x80\x40", 3 },
	};
	/* clang-format on */

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *parts[] = { "\x00", "\x05", "\x00", "\x00", "\x00" };
		uint32_t lengths[] = { 1, 1, 1, 1, 1 };
		struct vzt_records r;
		struct made m;

		parts[cases[i].column] = cases[i].bytes;
		lengths[cases[i].column] = cases[i].length;
		m = columns(VZI_SLICES, 1, parts, lengths, 5);
		cr_assert_eq(decode(&m, &r), -EBADMSG, "%s", cases[i].label);
	}
}

Test(tile, samples)
{
	static const double values[] = { 1.5, -2, 1e300, 0, 7, -0.25 };
	static const uint32_t lengths[] = { 2, 16, 16, 16 };
	struct made m = { .tile = { .kind = VZI_SAMPLES, .count = 2, .t0_ns = 10 } };
	struct vzt_samples s;

	put(&m, lengths, sizeof(lengths));
	put(&m, "\x00\x64", 2);
	put(&m, values, sizeof(values));
	cr_assert_eq(vzt_decode_samples(&m.tile, m.bytes, m.n, &s), 0);
	cr_assert_eq(s.n, 2);
	cr_assert_eq(s.t[1], 110);
	cr_assert_eq(s.min[0], 1.5);
	cr_assert_eq(s.max[0], 1e300);
	cr_assert_eq(s.last[1], -0.25);
	vzt_samples_fini(&s);
	for (size_t n = 0; n < m.n; n++)
		cr_assert_eq(vzt_decode_samples(&m.tile, m.bytes, n, &s), -EBADMSG);
	m.tile.count = 3;
	cr_assert_eq(vzt_decode_samples(&m.tile, m.bytes, m.n, &s), -EBADMSG);
}

/* ---- rows ---- */

static const uint8_t functions[] = {
	/* function, calls, resumes, self, total, seen, sum, max, raised, partial, pairs */
	2, 5, 1, 100, 120, 4, 90, 40, 1, 2, 2, 3, 1, 9, 3, /* buckets 3 and 12 */
	0, 1, 0, 0,   0,   0, 0,  0,  0, 1, 0,             /* function 3 */
};

Test(tile, rows_of_functions)
{
	const struct vzi_tile tile = { .kind = VZI_FUNCS, .count = 2 };
	uint32_t bucket = UINT32_MAX;
	struct vzt_function row;
	struct vzt_cursor c;
	uint64_t count;

	vzt_rows(&c, &tile, functions, sizeof(functions));
	cr_assert_eq(vzt_next_function(&c, &row), 1);
	cr_assert_eq(row.function, 2);
	cr_assert_eq(row.total_ns, 120);
	cr_assert_eq(row.nbuckets, 2);
	cr_assert_eq(vzt_bucket(&c, &bucket, &count), 0);
	cr_assert_eq(bucket, 3);
	cr_assert_eq(count, 1);
	cr_assert_eq(vzt_bucket(&c, &bucket, &count), 0);
	cr_assert_eq(bucket, 12);
	cr_assert_eq(vzt_next_function(&c, &row), 1);
	cr_assert_eq(row.function, 3);
	cr_assert_eq(row.partial, 1);
	cr_assert_eq(vzt_next_function(&c, &row), 0);
}

Test(tile, rows_that_make_no_sense)
{
	static const uint8_t same_bucket[] = { 3, 1, 0, 1 }, large_bucket[] = { 0xf0, 3, 1 };
	static const uint8_t paths[] = { 1, 2, 3, 4, 5 }, node[] = { 0, 0, 1, 7 };
	struct vzi_tile tile = { .kind = VZI_FUNCS, .count = 3 };
	struct vzt_function row;
	struct vzt_path path;
	struct vzt_cursor c;
	uint32_t bucket = UINT32_MAX, up, fn;
	uint64_t count;

	vzt_rows(&c, &tile, functions + 15, sizeof(functions) - 15);
	cr_assert_eq(vzt_next_function(&c, &row), 1);
	cr_assert_eq(vzt_next_function(&c, &row), -EBADMSG, "fewer rows than there should be");
	tile.count = 0;
	vzt_rows(&c, &tile, functions, sizeof(functions));
	cr_assert_eq(vzt_next_function(&c, &row), -EBADMSG, "more bytes than rows");
	vzt_rows(&c, &tile, NULL, 0);
	cr_assert_eq(vzt_next_function(&c, &row), -EBADMSG, "nothing is not an empty tile");
	vzt_rows(&c, &tile, same_bucket, sizeof(same_bucket));
	cr_assert_eq(vzt_bucket(&c, &bucket, &count), 0);
	cr_assert_eq(vzt_bucket(&c, &bucket, &count), -EBADMSG, "the same bucket twice");
	bucket = UINT32_MAX;
	vzt_rows(&c, &tile, large_bucket, sizeof(large_bucket));
	cr_assert_eq(vzt_bucket(&c, &bucket, &count), -EBADMSG, "a bucket that there is not");
	tile.count = 1;
	for (size_t n = 0; n < sizeof(paths); n++) {
		vzt_rows(&c, &tile, paths, n);
		cr_assert_eq(vzt_next_path(&c, &path), -EBADMSG);
	}
	tile.count = 2;
	vzt_rows(&c, &tile, node, sizeof(node));
	cr_assert_eq(vzt_next_node(&c, &up, &fn), 1);
	cr_assert_eq(vzt_next_node(&c, &up, &fn), 1);
	cr_assert_eq(up, 1);
	cr_assert_eq(fn, 7);
	cr_assert_eq(vzt_next_node(&c, &up, &fn), 0);
}
