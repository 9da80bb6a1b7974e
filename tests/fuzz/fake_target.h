/* SPDX-License-Identifier: MIT */
/*
 * fake_target.h - a target whose memory is a file: vz_target_read() works on it
 * as on /proc/PID/mem, and every byte of it can be made up.
 */
#ifndef VZ_TESTS_FUZZ_FAKE_TARGET_H
#define VZ_TESTS_FUZZ_FAKE_TARGET_H

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/target.h"

/** One for the life of the process; no process has its number, 0. */
static inline struct vz_target *fake_target(void)
{
	static struct vz_target target = { .pidfd = -1, .mem_fd = -1, .comm = "fake" };

	if (target.mem_fd < 0)
		target.mem_fd = memfd_create("fake", MFD_CLOEXEC);
	if (target.mem_fd < 0)
		abort();
	return &target;
}

/** Forget what was there. */
static inline void fake_target_clear(struct vz_target *target)
{
	if (ftruncate(target->mem_fd, 0) < 0)
		abort();
}

/** Put LEN bytes at RADDR; the memory ends with the last byte that was put. */
static inline void fake_target_put(struct vz_target *target, uint64_t raddr, const void *p,
				   size_t len)
{
	if (len && pwrite(target->mem_fd, p, len, (off_t)raddr) != (ssize_t)len)
		abort();
}

#endif /* VZ_TESTS_FUZZ_FAKE_TARGET_H */
