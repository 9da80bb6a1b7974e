/* SPDX-License-Identifier: MIT */
/*
 * cpu_x86_64.h - all that the payload knows about x86-64: raw system calls,
 * the time-stamp counter, the thread pointer.  Everything else is plain C.
 */
#ifndef VZ_PAYLOAD_CPU_X86_64_H
#define VZ_PAYLOAD_CPU_X86_64_H

#include <stdint.h>

static inline long vz_sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* Not serialising: an event's own cost is smaller than what lfence would add. */
static inline uint64_t vz_tsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

/* The thread control block points to itself at its start; it is also pthread_self(). */
static inline uint64_t vz_thread_pointer(void)
{
	uint64_t self;

	__asm__ volatile("mov %%fs:0, %0" : "=r"(self));
	return self;
}

#endif /* VZ_PAYLOAD_CPU_X86_64_H */
