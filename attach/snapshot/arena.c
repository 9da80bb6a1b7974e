/* SPDX-License-Identifier: MIT */
#include "attach/snapshot/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 << 10, ALIGNMENT = 16 };

struct block {
	struct block *next;
	size_t used, room;
	_Alignas(ALIGNMENT) char bytes[];
};

struct vz_arena {
	struct block *blocks; /* the newest first */
	size_t left;
};

struct vz_arena *vz_arena_new(size_t limit)
{
	struct vz_arena *arena = calloc(1, sizeof(*arena));

	if (arena)
		arena->left = limit;
	return arena;
}

void vz_arena_free(struct vz_arena *arena)
{
	if (!arena)
		return;
	while (arena->blocks) {
		struct block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
	free(arena);
}

static struct block *new_block(struct vz_arena *arena, size_t need)
{
	size_t room = need > BLOCK_BYTES / 4 ? need : BLOCK_BYTES;
	struct block *block = room <= arena->left ? calloc(1, sizeof(*block) + room) : NULL;

	if (!block)
		return NULL;
	arena->left -= room;
	block->room = room;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

void *vz_arena_alloc(struct vz_arena *arena, size_t count, size_t size)
{
	struct block *block = arena->blocks;
	size_t need;
	void *ret;

	if (__builtin_mul_overflow(count, size, &need) || need > (size_t)1 << 40)
		return NULL;
	need = (need + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (!block || need > block->room - block->used)
		block = new_block(arena, need);
	if (!block)
		return NULL;
	ret = block->bytes + block->used;
	block->used += need;
	return ret;
}

const char *vz_arena_text(struct vz_arena *arena, const char *text)
{
	size_t len = strlen(text) + 1;
	char *copy = len > 1 ? vz_arena_alloc(arena, len, 1) : NULL;

	return copy ? memcpy(copy, text, len) : "";
}

const char *vz_arena_format(struct vz_arena *arena, const char *fmt, ...)
{
	char text[2048];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return vz_arena_text(arena, text);
}
