/* SPDX-License-Identifier: MIT */
/*
 * index_spare.c - where an index is made that can be kept nowhere.
 *
 * Made before the child that builds: then both have them.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "viewer/cache.h"
#include "viewer/index/index_priv.h"

enum {
	MEMORY_PART = 8, /* an index takes no more of it than one of so many parts */
};

void vz_index_spare_init(struct vz_index_spare *spare)
{
	*spare = (struct vz_index_spare){
		.fds = { [VZ_INDEX_ON_DISK] = vz_cache_nameless(),
			 [VZ_INDEX_IN_MEMORY] = memfd_create("vizview index", MFD_CLOEXEC) },
		.used = -1,
	};
}

void vz_index_spare_fini(struct vz_index_spare *spare)
{
	for (int i = 0; i < VZ_INDEX_SPARES; i++) {
		if (spare->fds[i] >= 0)
			close(spare->fds[i]);
		spare->fds[i] = -1;
	}
}

static uint64_t memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);

	return pages > 0 && bytes > 0 ? (uint64_t)pages * (uint64_t)bytes : 0;
}

int vz_index_file_lend(struct vz_index_file *f, const struct vz_index_spare *spare, int i)
{
	*f = (struct vz_index_file){ .fd = spare->fds[i], .lent = true };
	if (f->fd < 0)
		return -ENOENT;
	if (i == VZ_INDEX_IN_MEMORY)
		f->limit = memory() / MEMORY_PART;
	return 0;
}
