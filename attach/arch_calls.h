/* SPDX-License-Identifier: MIT */
/*
 * arch_calls.h - the system calls of a CPU by number: names, and what a thread that is in one
 * of them may wait for.  One file for each CPU.
 */
#ifndef VZ_ATTACH_ARCH_CALLS_H
#define VZ_ATTACH_ARCH_CALLS_H

#include "attach/arch.h"
#include "attach/snapshot/snapshot.h"

/* What a call may wait for, and so what its arguments are. */
enum vz_call_class {
	VZ_CALL_PLAIN,   /* nothing that we tell */
	VZ_CALL_FILE,    /* .fd: whatever that is */
	VZ_CALL_CONNECT, /* .fd; .at: sockaddr, the next argument its size */
	VZ_CALL_POLL,    /* .at: array of pollfd, the next argument how many */
	VZ_CALL_SELECT,  /* argument 0: how many bits, 1 to 3: the sets */
	VZ_CALL_EPOLL,   /* .fd */
	VZ_CALL_FUTEX,   /* .at, the next argument the operation */
	VZ_CALL_FUTEX2,  /* .at */
	VZ_CALL_FUTEXES, /* .at: array of struct futex_waitv */
	VZ_CALL_SLEEP,
	VZ_CALL_WAIT4,  /* argument 0 */
	VZ_CALL_WAITID, /* arguments 0 and 1 */
	VZ_CALL_SIGNAL,
	VZ_CALL_LOCK,      /* .fd */
	VZ_CALL_FCNTL,     /* .fd, the next argument the command */
	VZ_CALL_OPEN,      /* .at: path, the next argument the flags */
	VZ_CALL_OPENAT,    /* the same, and argument 0 the folder's descriptor */
	VZ_CALL_PATH,      /* .at: path */
	VZ_CALL_PATHAT,    /* the same, and argument 0 the folder's descriptor */
	VZ_CALL_SEMAPHORE, /* argument 0: System V's number of it */
	VZ_CALL_MESSAGES,  /* the same of a queue */
	VZ_CALL_RESTART,   /* one of the others, which was interrupted */
};

/* How a time limit is given. */
enum vz_call_time {
	VZ_CALL_TIME_NONE,
	VZ_CALL_TIME_MS,     /* a number; negative: for ever */
	VZ_CALL_TIME_SPEC,   /* address of a timespec, a span */
	VZ_CALL_TIME_VAL,    /* address of a timeval, a span */
	VZ_CALL_TIME_DATE,   /* address of a timespec, a moment of CLOCK_REALTIME */
	VZ_CALL_TIME_CLOCK4, /* the same of the clock that argument 4 says */
	VZ_CALL_TIME_CLOCK5, /* ... argument 5 says */
	VZ_CALL_TIME_FUTEX,  /* a span or a moment, as the operation says */
	VZ_CALL_TIME_SLEEP,  /* as arguments 0, the clock, and 1, the flags, say */
};

struct vz_call {
	const char *name;
	enum vz_call_class class;
	enum vz_call_time time;
	enum vz_direction direction;
	int8_t fd, at, timeout; /* numbers of arguments; -1: none */
};

/** What is known of system call NR; NULL: nothing. */
const struct vz_call *vz_arch_call_find(long nr);
/** The number that the code before a program counter puts in place for its call; -1: unknown. */
long vz_arch_call_issued(const uint8_t code[VZ_ARCH_CODE_BEFORE]);

#endif /* VZ_ATTACH_ARCH_CALLS_H */
