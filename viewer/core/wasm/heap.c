/* SPDX-License-Identifier: MIT */
/*
 * heap.c - malloc() for one thread in a memory that can only grow.
 *
 * Owns everything from __heap_base up.  Chunks lie side by side and know their own
 * size and that of the one before (Knuth's boundary tags), so that free ones merge; free ones
 * are in a list for each power of two.  The last chunk grows where it is, which is what
 * the growing arrays of the core mostly are.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	ALIGN = 16,
	HEAD = 16, /* of a chunk, before its bytes */
	LEAST = 32,
	LISTS = 32,
	PAGE = 65536,
	GROW = 16, /* pages at a time, at least */
	TRIES = 16, /* chunks looked at in a list before a larger one is taken */
};

struct chunk {
	uint32_t bytes;  /* head included; a multiple of ALIGN */
	uint32_t before; /* of the chunk that lies before, 0: this is the first */
	uint32_t used;
	uint32_t pad;
	/* of a free one */
	struct chunk *next, *previous;
};

extern uint8_t __heap_base;

static struct chunk *lists[LISTS];
static struct chunk *last; /* the one at the end of memory; always free or NULL at first */
static uint32_t end;

static unsigned list_of(uint32_t bytes)
{
	return 31u - (unsigned)__builtin_clz(bytes);
}

static struct chunk *after(const struct chunk *c)
{
	return (struct chunk *)((uintptr_t)c + c->bytes);
}

static struct chunk *before(const struct chunk *c)
{
	return (struct chunk *)((uintptr_t)c - c->before);
}

static bool is_last(const struct chunk *c)
{
	return (uintptr_t)c + c->bytes == end;
}

static void take(struct chunk *c)
{
	if (c->previous)
		c->previous->next = c->next;
	else
		lists[list_of(c->bytes)] = c->next;
	if (c->next)
		c->next->previous = c->previous;
	c->used = 1;
}

static void put(struct chunk *c)
{
	struct chunk **list = &lists[list_of(c->bytes)];

	c->used = 0;
	c->previous = NULL;
	c->next = *list;
	if (*list)
		(*list)->previous = c;
	*list = c;
}

static void set_bytes(struct chunk *c, uint32_t bytes)
{
	c->bytes = bytes;
	if (is_last(c))
		last = c;
	else
		after(c)->before = bytes;
}

/* A used chunk gives back what it has more than BYTES. */
static void trim(struct chunk *c, uint32_t bytes)
{
	uint32_t rest = c->bytes - bytes;
	struct chunk *other;

	if (rest < LEAST)
		return;
	c->bytes = bytes;
	other = after(c);
	other->before = bytes;
	other->used = 1;
	set_bytes(other, rest);
	free((uint8_t *)other + HEAD);
}

/* The end of memory moves up by BYTES at least; the new last chunk is free. */
static bool grow(uint32_t bytes)
{
	uint32_t pages = (bytes + PAGE - 1) / PAGE, was;
	struct chunk *c;

	if (!end) {
		end = ((uint32_t)(uintptr_t)&__heap_base + ALIGN - 1) & ~(uint32_t)(ALIGN - 1);
		pages++;
	}
	if (pages < GROW)
		pages = GROW;
	was = (uint32_t)__builtin_wasm_memory_grow(0, pages);
	if (was == UINT32_MAX)
		return false;
	c = (struct chunk *)(uintptr_t)end;
	c->before = last ? last->bytes : 0;
	c->used = 1;
	end = (was + pages) * PAGE;
	if (!end) /* all 4 GiB: the last byte would have no address after it */
		end = UINT32_MAX & ~(uint32_t)(ALIGN - 1);
	set_bytes(c, end - (uint32_t)(uintptr_t)c);
	free((uint8_t *)c + HEAD);
	return true;
}

static struct chunk *find(uint32_t bytes)
{
	struct chunk *c = lists[list_of(bytes)];

	for (int i = 0; c && i < TRIES; i++, c = c->next)
		if (c->bytes >= bytes)
			return c;
	for (unsigned i = list_of(bytes) + 1; i < LISTS; i++)
		if (lists[i])
			return lists[i];
	return NULL;
}

static uint32_t chunk_bytes(size_t bytes)
{
	uint32_t all = ((uint32_t)bytes + HEAD + ALIGN - 1) & ~(uint32_t)(ALIGN - 1);

	return all < LEAST ? LEAST : all;
}

void *malloc(size_t bytes)
{
	struct chunk *c;
	uint32_t want;

	if (bytes > UINT32_MAX / 2)
		return NULL;
	want = chunk_bytes(bytes);
	c = find(want);
	if (!c) {
		/* What is free at the end counts. */
		uint32_t there = last && !last->used ? last->bytes : 0;

		if (!grow(want > there ? want - there : want))
			return NULL;
		c = last;
	}
	take(c);
	trim(c, want);
	return (uint8_t *)c + HEAD;
}

void free(void *p)
{
	struct chunk *c = p ? (struct chunk *)((uint8_t *)p - HEAD) : NULL;

	if (!c)
		return;
	if (!is_last(c) && !after(c)->used) {
		take(after(c));
		set_bytes(c, c->bytes + after(c)->bytes);
	}
	if (c->before && !before(c)->used) {
		struct chunk *other = before(c);

		take(other);
		set_bytes(other, other->bytes + c->bytes);
		c = other;
	}
	put(c);
}

void *calloc(size_t n, size_t bytes)
{
	uint64_t all = (uint64_t)n * bytes;
	void *p = all > UINT32_MAX / 2 ? NULL : malloc((size_t)all);

	return p ? memset(p, 0, (size_t)all) : NULL;
}

/* Make the used chunk larger where it is, if what follows is free. */
static bool widen(struct chunk *c, uint32_t want)
{
	struct chunk *next;

	if (is_last(c) ? !grow(want - c->bytes) :
			 (is_last(after(c)) && !after(c)->used &&
			  c->bytes + after(c)->bytes < want &&
			  !grow(want - c->bytes - after(c)->bytes)))
		return false;
	next = after(c);
	if (next->used || c->bytes + next->bytes < want)
		return false;
	take(next);
	set_bytes(c, c->bytes + next->bytes);
	return true;
}

void *realloc(void *p, size_t bytes)
{
	struct chunk *c = p ? (struct chunk *)((uint8_t *)p - HEAD) : NULL;
	uint32_t want;
	void *other;

	if (!c)
		return malloc(bytes);
	if (bytes > UINT32_MAX / 2)
		return NULL;
	want = chunk_bytes(bytes);
	if (c->bytes >= want || widen(c, want)) {
		trim(c, want);
		return p;
	}
	other = malloc(bytes);
	if (other) {
		memcpy(other, p, c->bytes - HEAD);
		free(p);
	}
	return other;
}
