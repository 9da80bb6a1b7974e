/* SPDX-License-Identifier: MIT */
/* waits_busy.c - threads that compute, and notice when a register or a byte is not what it was. */
#include "waits.h"

#include <cpuid.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPIN = 300 * 1000, RED_ZONE = 128, FLAGS = 0xcd5, REST_US = 3000 };

/* Offsets are used below. */
struct registers {
	uint8_t vector[32][64];
	uint64_t mask[8];
	uint64_t general[14]; /* 2112: rax rbx rdx rbp rsi rdi r8..r15; rcx counts */
	uint64_t flags;       /* 2224 */
	uint32_t mxcsr, fcw;  /* 2232, 2236 */
	uint8_t x87[8][16];   /* 2240 */
	uint8_t red_zone[RED_ZONE]; /* 2368 */
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct registers, red_zone) == 2368, "the assembly knows");

/* Load everything, count down, store everything: what differs was changed by somebody else. */
void hold_sse(const struct registers *in, struct registers *out, long spin);
void hold_avx(const struct registers *in, struct registers *out, long spin);
void hold_avx512(const struct registers *in, struct registers *out, long spin);

__asm__(".text\n"
	".macro each_vector insn reg count dir\n"
	".set n, 0\n"
	".rept \\count\n"
	"each_one \\insn, \\reg, %n, \\dir\n"
	".set n, n + 1\n"
	".endr\n"
	".endm\n"
	".altmacro\n"
	".macro each_one insn reg n dir\n"
	".ifc \\dir, load\n"
	"\\insn \\n * 64(%rdi), %\\reg\\n\n"
	".else\n"
	"\\insn %\\reg\\n, \\n * 64(%rdi)\n"
	".endif\n"
	".endm\n"
	".macro mask_one n dir\n"
	".ifc \\dir, load\n"
	"kmovq 2048 + \\n * 8(%rdi), %k\\n\n"
	".else\n"
	"kmovq %k\\n, 2048 + \\n * 8(%rdi)\n"
	".endif\n"
	".endm\n"
	".macro masks dir\n"
	".set n, 0\n"
	".rept 8\n"
	"mask_one %n, \\dir\n"
	".set n, n + 1\n"
	".endr\n"
	".endm\n"
	".macro hold name insn reg count wide\n"
	".globl \\name\n"
	".type \\name, @function\n"
	"\\name:\n"
	".cfi_startproc\n"
	"push %rbx; .cfi_adjust_cfa_offset 8\n"
	"push %rbp; .cfi_adjust_cfa_offset 8\n"
	"push %r12; .cfi_adjust_cfa_offset 8\n"
	"push %r13; .cfi_adjust_cfa_offset 8\n"
	"push %r14; .cfi_adjust_cfa_offset 8\n"
	"push %r15; .cfi_adjust_cfa_offset 8\n"
	"sub $40, %rsp; .cfi_adjust_cfa_offset 40\n"
	"mov %rsi, (%rsp)\n"
	"stmxcsr 16(%rsp)\n"
	"fnstcw 20(%rsp)\n"
	"mov %rdx, %rcx\n"
	"each_vector \\insn, \\reg, \\count, load\n"
	".if \\wide\n"
	"masks load\n"
	".endif\n"
	"fninit\n"
	"fldcw 2236(%rdi)\n"
	".irp i, 7, 6, 5, 4, 3, 2, 1, 0\n"
	"fldt 2240 + \\i * 16(%rdi)\n"
	".endr\n"
	"ldmxcsr 2232(%rdi)\n"
	"push 2224(%rdi)\n"
	"popf\n"
	".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"mov 2368 + \\i * 8(%rdi), %rax\n"
	"mov %rax, -128 + \\i * 8(%rsp)\n"
	".endr\n"
	"mov 2112(%rdi), %rax\n"
	"mov 2120(%rdi), %rbx\n"
	"mov 2128(%rdi), %rdx\n"
	"mov 2136(%rdi), %rbp\n"
	"mov 2144(%rdi), %rsi\n"
	".irp i, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"mov 2112 + (\\i - 2) * 8(%rdi), %r\\i\n"
	".endr\n"
	"mov 2152(%rdi), %rdi\n"
	"1: loop 1b\n" /* changes no flag */
	"mov %rdi, 8(%rsp)\n"
	"mov (%rsp), %rdi\n"
	"mov %rax, 2112(%rdi)\n"
	"mov %rbx, 2120(%rdi)\n"
	"mov %rdx, 2128(%rdi)\n"
	"mov %rbp, 2136(%rdi)\n"
	"mov %rsi, 2144(%rdi)\n"
	"mov 8(%rsp), %rax\n"
	"mov %rax, 2152(%rdi)\n"
	".irp i, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"mov %r\\i, 2112 + (\\i - 2) * 8(%rdi)\n"
	".endr\n"
	".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"mov -128 + \\i * 8(%rsp), %rax\n"
	"mov %rax, 2368 + \\i * 8(%rdi)\n"
	".endr\n"
	"pushf\n"
	"pop 2224(%rdi)\n"
	"cld\n"
	"stmxcsr 2232(%rdi)\n"
	"fnstcw 2236(%rdi)\n"
	".irp i, 0, 1, 2, 3, 4, 5, 6, 7\n"
	"fstpt 2240 + \\i * 16(%rdi)\n"
	".endr\n"
	"each_vector \\insn, \\reg, \\count, store\n"
	".if \\wide\n"
	"masks store\n"
	".endif\n"
	".ifnc \\reg, xmm\n"
	"vzeroupper\n"
	".endif\n"
	"fninit\n"
	"fldcw 20(%rsp)\n"
	"ldmxcsr 16(%rsp)\n"
	"add $40, %rsp; .cfi_adjust_cfa_offset -40\n"
	"pop %r15; .cfi_adjust_cfa_offset -8\n"
	"pop %r14; .cfi_adjust_cfa_offset -8\n"
	"pop %r13; .cfi_adjust_cfa_offset -8\n"
	"pop %r12; .cfi_adjust_cfa_offset -8\n"
	"pop %rbp; .cfi_adjust_cfa_offset -8\n"
	"pop %rbx; .cfi_adjust_cfa_offset -8\n"
	"ret\n"
	".cfi_endproc\n"
	".size \\name, . - \\name\n"
	".endm\n"
	"hold hold_sse, movdqu, xmm, 16, 0\n"
	"hold hold_avx, vmovdqu, ymm, 16, 0\n"
	"hold hold_avx512, vmovdqu64, zmm, 32, 1\n"
	".noaltmacro\n");

static uint64_t random_word(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* How many vector registers of how many bytes. */
static int vectors(size_t *bytes)
{
	*bytes = __builtin_cpu_supports("avx512bw") ? 64 : __builtin_cpu_supports("avx") ? 32 : 16;
	return *bytes == 64 ? 32 : 16;
}

static void fill(struct registers *r, uint64_t *state)
{
	for (size_t i = 0; i < sizeof(*r); i += 8) {
		uint64_t word = random_word(state);

		memcpy((uint8_t *)r + i, &word, 8);
	}
	r->flags = (r->flags & FLAGS) | 0x202;
	r->mxcsr = 0x1f80 | (r->mxcsr & 0xe03f); /* masked; rounding, sticky flags */
	r->fcw = 0x37f ^ (r->fcw & 0xc00);
	for (int i = 0; i < 8; i++) { /* finite numbers */
		r->x87[i][7] |= 0x80;
		r->x87[i][8] = (uint8_t)(i + 1);
		r->x87[i][9] = 0x3f;
	}
}

static void compare(struct wait *w, const struct registers *in, const struct registers *out)
{
	size_t bytes;
	int count = vectors(&bytes);

	for (int i = 0; i < count; i++)
		if (memcmp(in->vector[i], out->vector[i], bytes))
			vz_bad(w, "vector register %d changed", i);
	if (bytes == 64 && memcmp(in->mask, out->mask, sizeof(in->mask)))
		vz_bad(w, "a mask register changed");
	for (int i = 0; i < 14; i++)
		if (in->general[i] != out->general[i])
			vz_bad(w, "general register %d: %lx, expected %lx", i,
			       (unsigned long)out->general[i], (unsigned long)in->general[i]);
	if ((in->flags ^ out->flags) & FLAGS)
		vz_bad(w, "flags %lx, expected %lx", (unsigned long)out->flags,
		       (unsigned long)in->flags);
	if (in->mxcsr != out->mxcsr || (in->fcw ^ out->fcw) & 0xffff)
		vz_bad(w, "MXCSR %x, x87 control %x, expected %x, %x", out->mxcsr, out->fcw,
		       in->mxcsr, in->fcw);
	for (int i = 0; i < 8; i++)
		if (memcmp(in->x87[i], out->x87[i], 10))
			vz_bad(w, "x87 register %d changed", i);
	if (memcmp(in->red_zone, out->red_zone, RED_ZONE))
		vz_bad(w, "the red zone changed");
}

static void hold(struct wait *w, long spin)
{
	struct registers in, out;
	size_t bytes;

	fill(&in, &w->number);
	memset(&out, 0, sizeof(out));
	vectors(&bytes);
	(bytes == 64 ? hold_avx512 : bytes == 32 ? hold_avx : hold_sse)(&in, &out, spin);
	compare(w, &in, &out);
}

static void seed(struct wait *w)
{
	w->number = vz_now_us() | 1;
}

static void wait_registers(struct wait *w)
{
	hold(w, SPIN);
	vz_rest(w, REST_US);
}

/* ---- AMX: eight tiles, where CPU and kernel have them ------------------- */

enum { TILES = 8, TILE_BYTES = 1024, XTILEDATA = 18, REQUEST_PERMISSION = 0x1023 };

struct tiles {
	struct {
		uint8_t palette, start_row, reserved[14];
		uint16_t column_bytes[16];
		uint8_t rows[16];
	} config;
	uint8_t in[TILES][TILE_BYTES], out[TILES][TILE_BYTES];
} __attribute__((aligned(64)));

static bool has_amx(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 24 & 1) &&
	       syscall(SYS_arch_prctl, REQUEST_PERMISSION, XTILEDATA) == 0;
}

static void make_tiles(struct wait *w)
{
	struct tiles *t = has_amx() ? aligned_alloc(64, sizeof(*t)) : NULL;

	seed(w);
	w->memory = t;
	if (!t)
		return;
	memset(t, 0, sizeof(*t));
	t->config.palette = 1;
	for (int i = 0; i < TILES; i++) {
		t->config.column_bytes[i] = 64;
		t->config.rows[i] = 16;
	}
}

#define TILE_LOAD(n)                                                                          \
	__asm__ volatile("tileloadd (%0,%1,1), %%tmm" #n ::"r"(t->in[n]), "r"(64L) : "memory");
#define TILE_STORE(n)                                                                          \
	__asm__ volatile("tilestored %%tmm" #n ", (%0,%1,1)" ::"r"(t->out[n]), "r"(64L) : "memory");
#define EACH_TILE(what) what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7)

static void wait_tiles(struct wait *w)
{
	struct tiles *t = w->memory;

	if (!t) {
		vz_rest(w, 50 * 1000);
		return;
	}
	for (size_t i = 0; i < sizeof(t->in); i += 8) {
		uint64_t word = random_word(&w->number);

		memcpy((uint8_t *)t->in + i, &word, 8);
	}
	__asm__ volatile("ldtilecfg %0" ::"m"(t->config));
	EACH_TILE(TILE_LOAD)
	hold(w, SPIN);
	EACH_TILE(TILE_STORE)
	__asm__ volatile("tilerelease");
	if (memcmp(t->in, t->out, sizeof(t->in)))
		vz_bad(w, "a tile changed");
	vz_rest(w, REST_US);
}

/* ---- malloc ------------------------------------------------------------- */

enum { BLOCKS = 64, STEPS = 400 };

struct blocks {
	struct {
		uint8_t *at;
		size_t len;
		uint8_t fill;
	} block[BLOCKS];
};

void vz_make_blocks(struct wait *w)
{
	seed(w);
	w->memory = calloc(1, sizeof(struct blocks));
}

static bool filled(const uint8_t *at, size_t len, uint8_t fill)
{
	for (size_t i = 0; i < len; i++)
		if (at[i] != fill)
			return false;
	return true;
}

/* Sizes of every kind: cached, binned, and now and then mapped. */
static size_t any_size(uint64_t *state)
{
	uint64_t word = random_word(state);

	return word % 100 == 0 ? 150000 + word % 100000 : 1 + word % (16u << (word >> 32) % 10);
}

static void malloc_step(struct wait *w)
{
	struct blocks *all = w->memory;
	uint64_t word = random_word(&w->number);
	size_t len = any_size(&w->number), kept;
	int i = (int)(word % BLOCKS);
	uint8_t *at;

	if (!filled(all->block[i].at, all->block[i].len, all->block[i].fill))
		vz_bad(w, "a block of %zu bytes changed", all->block[i].len);
	if (word >> 62) {
		free(all->block[i].at);
		at = word >> 62 == 1 ? calloc(1, len) : malloc(len);
	} else {
		at = realloc(all->block[i].at, len);
		kept = len < all->block[i].len ? len : all->block[i].len;
		if (at && !filled(at, kept, all->block[i].fill))
			vz_bad(w, "realloc lost bytes");
	}
	if (!at) {
		vz_bad(w, "out of memory");
		len = 0;
	}
	memset(at, i + 1, len);
	all->block[i].at = at;
	all->block[i].len = len;
	all->block[i].fill = (uint8_t)(i + 1);
}

void vz_malloc_steps(struct wait *w)
{
	for (int i = 0; i < STEPS; i++)
		malloc_step(w);
}

static void wait_malloc(struct wait *w)
{
	vz_malloc_steps(w);
	vz_rest(w, REST_US);
}

const struct kind vz_busy_kinds[] = {
	{ "registers", wait_registers, seed, NULL, 0, 0 },
	{ "tiles", wait_tiles, make_tiles, NULL, 0, 0 },
	{ "malloc", wait_malloc, vz_make_blocks, NULL, 0, 0 },
	{ NULL, NULL, NULL, NULL, 0, 0 },
};
