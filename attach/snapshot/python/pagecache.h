/* SPDX-License-Identifier: MIT */
/*
 * pagecache.h - memory of a live process read a page at a time and kept for a while: objects
 * lie close together, and a system call for each word of each is what takes the time.  What is
 * kept is as old as when it was first asked for.
 */
#ifndef VZ_ATTACH_SNAPSHOT_PAGECACHE_H
#define VZ_ATTACH_SNAPSHOT_PAGECACHE_H

#include "attach/target.h"

struct vz_pagecache;

/** -ENOMEM.  TARGET must outlive it. */
int vz_pagecache_new(const struct vz_target *target, struct vz_pagecache **ret);
/** NULL is fine. */
void vz_pagecache_free(struct vz_pagecache *cache);
/** The same target, through the cache. */
const struct vz_target *vz_pagecache_target(const struct vz_pagecache *cache);

#endif /* VZ_ATTACH_SNAPSHOT_PAGECACHE_H */
