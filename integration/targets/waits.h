/* SPDX-License-Identifier: MIT */
/*
 * waits.h - one thread for each way to wait or to be busy, and what they report.
 *
 * The threads are made by Python (waits.py), each runs vz_wait(INDEX) with the GIL released.
 */
#ifndef WAITS_H
#define WAITS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What the driver reads; lib/waits.py knows the layout. */
struct slot {
	char name[24];
	int32_t tid;
	int32_t limit_ms; /* 0: waits for a feeder, or is busy */
	uint64_t rounds;
	uint64_t errors;
	uint64_t late; /* rounds that took half as long again, and 50 ms */
	uint64_t latest_us;   /* the worst */
	uint64_t interrupted; /* EINTR where the kernel gives it after any stop, like SIGSTOP's */
	uint64_t ipc; /* 'm' or 's' << 32 and the id of a queue or semaphore: they outlive us */
	char text[256 - 80];  /* the first error */
};

struct wait {
	struct slot *slot;
	const struct kind *kind;
	uint64_t fed, done; /* the feeder's and the waiter's count */
	int fd[4];
	uint64_t number; /* whatever a kind needs */
	void *memory;
	volatile int signals;
	volatile bool held;
	volatile pid_t child;
};

struct kind {
	const char *name;
	void (*wait)(struct wait *w);
	void (*prepare)(struct wait *w);
	/* Called again and again; FIRST the first time in a round.  Must not block. */
	void (*feed)(struct wait *w, bool first);
	int limit_ms;
	int early_us; /* by how much the kernel itself may round */
};

/* These run by default, those of storms only if asked for; both end with a NULL name. */
extern const struct kind vz_busy_kinds[], vz_storm_kinds[];

/** Note an error; the first one with its text. */
__attribute__((format(printf, 2, 3))) void vz_bad(struct wait *w, const char *format, ...);
/** A pause between rounds that must not be cut short either. */
void vz_rest(struct wait *w, long us);
uint64_t vz_now_us(void);
/** Some hundred of malloc, calloc, realloc and free, with everything checked. */
void vz_make_blocks(struct wait *w);
void vz_malloc_steps(struct wait *w);

/* Called from Python: */

/**
 * Bind the report and choose: NAMES is a list with commas, each entry a thread; "" is
 * each kind of waits.c and waits_busy.c once.  Returns the number of threads, or -1.
 */
int vz_bind(void *slots, const char *names);
/** Run one, feed all, end all. */
void vz_wait(int index);
void vz_feed(void);
void vz_end(void);

#endif /* WAITS_H */
