/* SPDX-License-Identifier: MIT */
/* pagecache.c - pages of a process, in a table without collisions' chains: the last one stays. */
#include "attach/snapshot/python/pagecache.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, PAGES = 4096 /* a power of two */, LONG_READ = 4 * PAGE };

struct page {
	uint64_t raddr; /* 0: none */
	uint8_t bytes[PAGE];
};

struct vz_pagecache {
	struct vz_bytes memory;
	const struct vz_target *process;
	struct vz_target target;
	struct page *pages; /* touched as they are needed */
};

static struct vz_pagecache *cache_of(const struct vz_bytes *memory)
{
	return (struct vz_pagecache *)((uintptr_t)memory - offsetof(struct vz_pagecache, memory));
}

/* NULL: not all of it can be read. */
static const struct page *find_page(struct vz_pagecache *cache, uint64_t raddr)
{
	struct page *page = &cache->pages[raddr / PAGE % PAGES];

	if (page->raddr == raddr)
		return page;
	page->raddr = 0;
	if (!raddr || vz_target_read(cache->process, raddr, page->bytes, PAGE) < 0)
		return NULL;
	page->raddr = raddr;
	return page;
}

static int read_cached(const struct vz_bytes *memory, uint64_t raddr, void *buf, size_t len)
{
	struct vz_pagecache *cache = cache_of(memory);
	uint8_t *out = buf;

	if (len > LONG_READ || raddr + len < raddr)
		return vz_target_read(cache->process, raddr, buf, len);
	for (size_t done = 0; done < len;) {
		uint64_t at = raddr + done, offset = at % PAGE;
		const struct page *page = find_page(cache, at - offset);
		size_t n = len - done < PAGE - offset ? len - done : (size_t)(PAGE - offset);

		if (!page)
			return vz_target_read(cache->process, raddr, buf, len);
		memcpy(out + done, page->bytes + offset, n);
		done += n;
	}
	return 0;
}

int vz_pagecache_new(const struct vz_target *target, struct vz_pagecache **ret)
{
	struct vz_pagecache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	cache->pages = calloc(PAGES, sizeof(*cache->pages));
	if (!cache->pages) {
		free(cache);
		return -ENOMEM;
	}
	cache->memory.read = read_cached;
	cache->process = target;
	cache->target = *target;
	cache->target.memory = &cache->memory;
	*ret = cache;
	return 0;
}

void vz_pagecache_free(struct vz_pagecache *cache)
{
	if (!cache)
		return;
	free(cache->pages);
	free(cache);
}

const struct vz_target *vz_pagecache_target(const struct vz_pagecache *cache)
{
	return &cache->target;
}
