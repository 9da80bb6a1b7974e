/* SPDX-License-Identifier: MIT */
/*
 * procstate_time.c - the time limits of system calls.
 */
#include <linux/futex.h>
#include <time.h>

#include "attach/snapshot/proc/procstate_priv.h"
#include "attach/snapshot/proc/procstate_wait.h"
#include "attach/util.h"

enum { NONE = -1, UNREADABLE = -2, NS_PER_S = 1000000000, NS_PER_MS = 1000000, NS_PER_US = 1000 };
#define ROUGH_NS (INT64_C(10) * NS_PER_S)

static int64_t to_ns(int64_t seconds, int64_t fraction, int64_t unit)
{
	if (seconds < 0 || fraction < 0 || fraction > NS_PER_S)
		return UNREADABLE;
	if (seconds >= INT64_MAX / NS_PER_S - NS_PER_US)
		return INT64_MAX; /* 292 years */
	return seconds * NS_PER_S + fraction * unit;
}

/* A timespec, or with UNIT 1000 a timeval, at RADDR: seconds and a fraction. */
static int64_t span(const struct vz_waiting *w, uint64_t raddr, int64_t unit)
{
	int64_t pair[2];

	if (!raddr)
		return NONE;
	if (vz_target_read(w->target, raddr, pair, sizeof(pair)) < 0)
		return UNREADABLE;
	return to_ns(pair[0], pair[1], unit);
}

/*
 * How far a moment was off when the call was made: from now, and for as long as it has been
 * asleep.
 */
static int64_t moment(const struct vz_waiting *w, uint64_t raddr, clockid_t clock)
{
	int64_t until = span(w, raddr, 1), now, step;
	struct timespec ts;

	if (until < 0 || until == INT64_MAX)
		return until == INT64_MAX ? INT64_MAX : until;
	/* Of a core dump the time is not known; clocks of processes (negative) are the target's. */
	if (!vz_proc_pid(w->s) || (int)clock < 0 || clock_gettime(clock, &ts) < 0)
		return UNREADABLE;
	now = (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec - (int64_t)w->t->asleep_ns;
	if (until <= now)
		return 0;
	/* For how long it sleeps is known to some hundredths of a second only. */
	until -= now;
	step = until > ROUGH_NS ? ROUGH_NS / 100 : ROUGH_NS / 1000;
	return (until + step / 2) / step * step;
}

static int64_t futex(const struct vz_waiting *w, uint64_t raddr)
{
	unsigned op = (unsigned)w->task->args[w->call->at + 1];
	clockid_t clock = op & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC;

	switch (op & FUTEX_CMD_MASK) {
	case FUTEX_WAIT:
		return span(w, raddr, 1);
	case FUTEX_LOCK_PI: /* always of that clock */
		return moment(w, raddr, CLOCK_REALTIME);
	case FUTEX_WAIT_BITSET:
	case FUTEX_WAIT_REQUEUE_PI:
	case FUTEX_LOCK_PI2:
		return moment(w, raddr, clock);
	default: /* the argument is something else */
		return NONE;
	}
}

int64_t vz_waiting_limit(const struct vz_waiting *w)
{
	enum { ABSOLUTE = 1 };
	const uint64_t *args = w->task->args;
	uint64_t value = w->call->timeout >= 0 ? args[w->call->timeout] : 0;

	switch (w->call->time) {
	case VZ_CALL_TIME_NONE:
		return NONE;
	case VZ_CALL_TIME_MS:
		return (int)value < 0 ? NONE : (int64_t)(int)value * NS_PER_MS;
	case VZ_CALL_TIME_SPEC:
		return span(w, value, 1);
	case VZ_CALL_TIME_VAL:
		return span(w, value, NS_PER_US);
	case VZ_CALL_TIME_DATE:
		return moment(w, value, CLOCK_REALTIME);
	case VZ_CALL_TIME_CLOCK4:
		return moment(w, value, (clockid_t)args[4]);
	case VZ_CALL_TIME_CLOCK5:
		return moment(w, value, (clockid_t)args[5]);
	case VZ_CALL_TIME_FUTEX:
		return futex(w, value);
	case VZ_CALL_TIME_SLEEP:
		if (args[1] & ABSOLUTE)
			return moment(w, value, (clockid_t)args[0]);
		return span(w, value, 1);
	}
	return NONE;
}
