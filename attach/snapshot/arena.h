/* SPDX-License-Identifier: MIT */
/*
 * arena.h - memory that is freed all at once, with a limit, so that a hostile target
 * cannot make us eat the machine's memory.
 */
#ifndef VZ_ATTACH_SNAPSHOT_ARENA_H
#define VZ_ATTACH_SNAPSHOT_ARENA_H

#include <stddef.h>

struct vz_arena;

/** LIMIT bytes at most; NULL: out of memory. */
struct vz_arena *vz_arena_new(size_t limit);
void vz_arena_free(struct vz_arena *arena);
/** Zeroed, aligned for anything; NULL: out of memory or over the limit. */
void *vz_arena_alloc(struct vz_arena *arena, size_t count, size_t size);
/** Copy of TEXT; "" when there is no room: never NULL. */
const char *vz_arena_text(struct vz_arena *arena, const char *text);
const char *vz_arena_format(struct vz_arena *arena, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif /* VZ_ATTACH_SNAPSHOT_ARENA_H */
