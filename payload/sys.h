/* SPDX-License-Identifier: MIT */
/*
 * sys.h - the kernel, without a C library.  Results are negative errno on failure.
 */
#ifndef VZ_PAYLOAD_SYS_H
#define VZ_PAYLOAD_SYS_H

#include <stddef.h>

#include "payload/cpu_x86_64.h"

enum {
	VZ_SYS_READ = 0,
	VZ_SYS_CLOSE = 3,
	VZ_SYS_MMAP = 9,
	VZ_SYS_MPROTECT = 10,
	VZ_SYS_MUNMAP = 11,
	VZ_SYS_RT_SIGACTION = 13,
	VZ_SYS_RT_SIGPROCMASK = 14,
	VZ_SYS_MADVISE = 28,
	VZ_SYS_NANOSLEEP = 35,
	VZ_SYS_GETPID = 39,
	VZ_SYS_FTRUNCATE = 77,
	VZ_SYS_GETRLIMIT = 97,
	VZ_SYS_RT_SIGPENDING = 127,
	VZ_SYS_GETTID = 186,
	VZ_SYS_FUTEX = 202,
	VZ_SYS_CLOCK_GETTIME = 228,
	VZ_SYS_TGKILL = 234,
	VZ_SYS_OPENAT = 257,
	VZ_SYS_PROCESS_VM_READV = 310,
	VZ_SYS_MEMFD_CREATE = 319,
};

enum {
	VZ_PROT_READ = 1,
	VZ_PROT_WRITE = 2,
	VZ_MAP_SHARED = 1,
	VZ_MAP_PRIVATE = 2,
	VZ_MAP_ANONYMOUS = 0x20,
	VZ_MAP_NORESERVE = 0x4000,
	VZ_MADV_DONTFORK = 10,
	VZ_MADV_DOFORK = 11,
	VZ_MADV_WIPEONFORK = 18,
	VZ_MADV_POPULATE_WRITE = 23,
	VZ_MFD_CLOEXEC = 1,
	VZ_MFD_ALLOW_SEALING = 2,
	VZ_MFD_NOEXEC_SEAL = 8,
	VZ_FUTEX_WAIT = 0,
	VZ_FUTEX_WAKE = 1,
	VZ_RLIMIT_STACK = 3,
	VZ_EINTR = 4,
	VZ_ESRCH = 3,
	VZ_EAGAIN = 11,
};

struct vz_timespec {
	int64_t sec, nsec;
};

static inline long vz_sys(long nr, long a, long b, long c)
{
	return vz_sys6(nr, a, b, c, 0, 0, 0);
}

static inline uint64_t vz_monotonic_ns(void)
{
	struct vz_timespec ts = { 0, 0 };

	vz_sys(VZ_SYS_CLOCK_GETTIME, 1, (long)&ts, 0);
	return (uint64_t)ts.sec * 1000000000u + (uint64_t)ts.nsec;
}

static inline void vz_sleep_ns(uint64_t ns)
{
	struct vz_timespec ts = { (int64_t)(ns / 1000000000u), (int64_t)(ns % 1000000000u) };

	vz_sys(VZ_SYS_NANOSLEEP, (long)&ts, 0, 0);
}

/* NULL on failure. */
static inline void *vz_map_anonymous(size_t bytes)
{
	long at = vz_sys6(VZ_SYS_MMAP, 0, (long)bytes, VZ_PROT_READ | VZ_PROT_WRITE,
			  VZ_MAP_PRIVATE | VZ_MAP_ANONYMOUS | VZ_MAP_NORESERVE, -1, 0);

	return at < 0 && at > -4096 ? NULL : (void *)at;
}

/* Copy from an address that may not be there: 0 or negative errno, never a fault. */
static inline int vz_read_self(uint64_t from, void *to, size_t bytes)
{
	struct {
		void *base;
		size_t len;
	} local = { to, bytes }, remote = { (void *)from, bytes };
	long pid = vz_sys(VZ_SYS_GETPID, 0, 0, 0);
	long n = vz_sys6(VZ_SYS_PROCESS_VM_READV, pid, (long)&local, 1, (long)&remote, 1, 0);

	return n == (long)bytes ? 0 : n < 0 ? (int)n : -14;
}

#endif /* VZ_PAYLOAD_SYS_H */
