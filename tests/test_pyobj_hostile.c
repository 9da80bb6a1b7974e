/* SPDX-License-Identifier: MIT */
/* Whatever is in the memory, the readers of pyobj.h come to an end and write what they may. */
#include <criterion/criterion.h>
#include <stddef.h>

#include "tests/kit_view.h"
#include "tests/pyobj_calls.h"
#include "tests/subject.h"

/* ---- one lie in a live process ---- */

enum { READS_MAX = 1 << 20, LIES_AT = 12, WORDS = 80 };

/* The memory of a process, but for one word of one read. */
struct liar {
	struct vz_bytes bytes;
	const struct vz_target *real;
	unsigned reads;
	size_t lengths[LIES_AT]; /* of the first reads */
	unsigned lie_read;
	size_t lie_word;
	uint64_t lie;
};

/* The process waits: its pages are read once. */
enum { PAGE = 4096, PAGES = 1024 };
static struct {
	uint64_t page; /* + 1; 0: none */
	uint8_t bytes[PAGE];
} pages[PAGES];

static int cached_read(const struct vz_target *real, uint64_t raddr, void *buf, size_t len)
{
	while (len) {
		uint64_t page = raddr / PAGE, at = raddr % PAGE;
		size_t step = PAGE - at < len ? PAGE - at : len, slot = page % PAGES;

		if (pages[slot].page != page + 1) {
			pages[slot].page = 0;
			if (page > UINT64_MAX / PAGE - 1 ||
			    vz_target_read(real, page * PAGE, pages[slot].bytes, PAGE) < 0)
				return -EFAULT;
			pages[slot].page = page + 1;
		}
		memcpy(buf, pages[slot].bytes + at, step);
		buf = (char *)buf + step;
		raddr += step;
		len -= step;
	}
	return 0;
}

static int lying_read(const struct vz_bytes *memory, uint64_t raddr, void *buf, size_t len)
{
	struct liar *liar = (struct liar *)(uintptr_t)memory;
	unsigned read = liar->reads++;
	int rc = cached_read(liar->real, raddr, buf, len);
	size_t at = liar->lie_word * 8;

	cr_assert_lt(liar->reads, READS_MAX);
	if (read < LIES_AT)
		liar->lengths[read] = rc == 0 ? len : 0;
	if (rc == 0 && read == liar->lie_read && at < len)
		memcpy((char *)buf + at, &liar->lie, len - at < 8 ? len - at : 8);
	return rc;
}

static void lie_about(const struct kit_view *v, uint64_t obj, unsigned call)
{
	const uint64_t lies[] = { 0,
				  1,
				  UINT64_MAX,
				  obj,
				  obj + 1,
				  (uint64_t)INT64_MAX,
				  UINT64_C(1) << 40,
				  UINT64_C(0x0101010101010101),
				  v->py.runtime };
	struct liar liar = { .bytes.read = lying_read, .real = &v->target, .lie_read = UINT32_MAX };
	struct vz_target target = { .pidfd = -1, .mem_fd = -1, .memory = &liar.bytes };
	struct vz_py py = v->py;
	struct liar truth;

	py.target = &target;
	pyobj_call(&py, obj, call);
	truth = liar;
	for (unsigned read = 0; read < truth.reads && read < LIES_AT; read++) {
		for (size_t word = 0; word * 8 < truth.lengths[read] && word < WORDS; word++) {
			for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
				liar.reads = 0;
				liar.lie_read = read;
				liar.lie_word = word;
				liar.lie = lies[i];
				pyobj_call(&py, obj, call);
			}
		}
	}
}

static void lie_to(const char *path)
{
	static const char program[] =
		"class Plain:\n"
		"    def __init__(self): self.right = 1; self.left = self\n"
		"class Slots:\n"
		"    __slots__ = ('right', 'left')\n"
		"import struct, types\n"
		"s = Slots(); s.left = s\n"
		"l = type('L', (tuple,), {})((1, 2)); l.left = 1\n"
		"m = Plain().__init__\n"
		"all = ['text', '\\u20ac' * 20, type('T', (str,), {})('text'),\n"
		"       10 ** 15, 2.5, (1, 2), [1, 2], {1, 2}, Plain(), s, l, m,\n"
		"       {'right': 1, 'left': 2}, {1: 2, 'left': 3}]\n"
		"os.write(1, struct.pack('=c20Q', b'x', len(all),\n"
		"         *(list(map(id, all)) + 20 * [0])[:19]))\n"
		"sys.stdin.read()\n";
	struct kit_view view;
	uint64_t told[20];
	struct subject s;

	if (!subject_python(&s, path, program))
		return;
	cr_assert_eq(read(s.out, told, sizeof(told)), sizeof(told), "%s", path);
	memset(pages, 0, sizeof(pages));
	kit_view_open(&view, s.pid, path);
	cr_assert_lt(told[0], 20);
	for (uint64_t i = 1; i <= told[0]; i++) {
		for (unsigned call = 0; call < PYOBJ_CALLS; call++)
			lie_about(&view, told[i], call);
	}
	kit_view_close(&view);
	subject_end(&s);
}

Test(pyobj_hostile, every_single_lie_is_survived, .timeout = 110)
{
	unsigned seen = 0, n = 0;
	glob_t found;

	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		unsigned minor = python_minor(found.gl_pathv[i]);

		if (!vz_pylayout_find(minor, false) || seen >> minor & 1)
			continue;
		seen |= 1U << minor;
		lie_to(found.gl_pathv[i]);
		n++;
	}
	globfree(&found);
	if (!n)
		cr_skip_test("no CPython here");
}

/* ---- memory that never was a process ---- */

enum { WORLD = 0x10000, WORLD_BYTES = 0x1000 };

struct world {
	struct vz_bytes bytes;
	uint64_t seed;
	unsigned reads;
};

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x9e3779b97f4a7c15);
	x ^= x >> 29;
	return x * UINT64_C(0xbf58476d1ce4e5b9);
}

/* Pointers that lead back in, flags of everything, small numbers, or anything. */
static uint64_t made_up(uint64_t raddr, uint64_t seed)
{
	uint64_t x = mix(raddr / 8 ^ seed);

	switch (seed == 0 ? 0 : x >> 56 & 7) {
	case 0: /* seed 0: rings of one everywhere */
		return raddr & ~UINT64_C(7);
	case 1:
	case 2:
	case 3:
		return WORLD + (x % (WORLD_BYTES / 8)) * 8;
	case 4:
	case 5:
		return UINT64_MAX;
	case 6:
		return x % 64;
	default:
		return x;
	}
}

static int made_up_read(const struct vz_bytes *memory, uint64_t raddr, void *buf, size_t len)
{
	struct world *world = (struct world *)(uintptr_t)memory;
	uint8_t *out = buf;

	cr_assert_lt(++world->reads, READS_MAX);
	if (world->seed % 2 && (raddr < WORLD || raddr + len > WORLD + WORLD_BYTES))
		return -EFAULT;
	for (size_t i = 0; i < len; i++) {
		uint64_t word = made_up(raddr + i, world->seed);

		out[i] = (uint8_t)(word >> (raddr + i) % 8 * 8);
	}
	return 0;
}

Test(pyobj_hostile, made_up_memory_is_survived, .timeout = 100)
{
	const struct vz_pylayout *row;

	for (unsigned r = 0; (row = vz_pylayout_row(r)); r++) {
		for (uint64_t seed = 0; seed < 200; seed++) {
			struct world world = { .bytes.read = made_up_read, .seed = seed };
			struct vz_target target = { .pidfd = -1,
						    .mem_fd = -1,
						    .memory = &world.bytes };
			struct vz_py py = { .target = &target, .at = *row, .runtime = WORLD };

			for (unsigned call = 0; call < PYOBJ_CALLS; call++) {
				world.reads = 0;
				pyobj_call(&py, WORLD + mix(seed) % 64 * 8, call);
				pyobj_call(&py, mix(seed ^ call), call);
			}
		}
	}
}

Test(pyobj_hostile, a_layout_out_of_bounds_is_refused)
{
	struct world world = { .bytes.read = made_up_read, .seed = 4 };
	struct vz_target target = { .pidfd = -1, .mem_fd = -1, .memory = &world.bytes };

	/* Offsets that a process told of, up to 1 MiB, do not lead out of our own copies. */
	for (uint32_t bad = 8; bad < 1 << 20; bad = bad * 3 + 1) {
		struct vz_py py = { .target = &target, .at = *vz_pylayout_find(12, false) };
		uint32_t *fields = (uint32_t *)&py.at.rt_interpreters_head;
		size_t count =
			(sizeof(py.at) - offsetof(struct vz_pylayout, rt_interpreters_head)) / 4;

		for (size_t i = 0; i < count; i++) {
			uint32_t old = fields[i];

			fields[i] = bad;
			for (unsigned call = 0; call < PYOBJ_CALLS; call++) {
				world.reads = 0;
				pyobj_call(&py, WORLD + call * 8, call);
			}
			fields[i] = old;
		}
	}
}
