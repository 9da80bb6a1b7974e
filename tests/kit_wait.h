/* SPDX-License-Identifier: MIT */
/*
 * kit_wait.h - children that wait in the ways in which programs wait, and say
 * so if a wait ended too early or with an error.
 */
#ifndef VZ_TESTS_KIT_WAIT_H
#define VZ_TESTS_KIT_WAIT_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "tests/kit_child.h"

enum { KIT_NAP_NS = 20 * 1000 * 1000 };

static inline uint64_t kit_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* clang-format off */
static inline long kit_do_read(struct kit_page *p) { char c; return read(p->pipe[0], &c, 1); }
static inline long kit_do_poll(struct kit_page *p)
{
	struct pollfd fd = { p->pipe[0], POLLIN, 0 };
	return poll(&fd, 1, -1);
}
static inline long kit_do_ppoll(struct kit_page *p)
{
	struct pollfd fd = { p->pipe[0], POLLIN, 0 };
	return ppoll(&fd, 1, NULL, NULL);
}
static inline long kit_do_select(struct kit_page *p)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(p->pipe[0], &set);
	return select(p->pipe[0] + 1, &set, NULL, NULL, NULL);
}
static inline long kit_do_epoll(struct kit_page *p)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = epoll_create1(0);
	epoll_ctl(fd, EPOLL_CTL_ADD, p->pipe[0], &event);
	return epoll_wait(fd, &event, 1, -1);
}
static inline long kit_do_futex(struct kit_page *p)
{
	long rc = syscall(SYS_futex, &p->futex, FUTEX_WAIT, 0, NULL, NULL, 0);
	return rc < 0 && errno == EAGAIN && p->futex ? 0 : rc; /* it was on its way back into the wait */
}
static inline long kit_do_nanosleep(struct kit_page *p)
{
	(void)p;
	return nanosleep(&(struct timespec){ 0, KIT_NAP_NS }, NULL);
}
static inline long kit_do_poll_timed(struct kit_page *p)
{
	(void)p;
	return poll(NULL, 0, KIT_NAP_NS / 1000000);
}
static inline long kit_do_select_timed(struct kit_page *p)
{
	struct timeval tv = { 0, KIT_NAP_NS / 1000 };
	(void)p;
	return select(0, NULL, NULL, NULL, &tv);
}
static inline long kit_do_futex_relative(struct kit_page *p)
{
	struct timespec ts = { 0, KIT_NAP_NS };
	return syscall(SYS_futex, &p->futex, FUTEX_WAIT, 0, &ts, NULL, 0) < 0 && errno == ETIMEDOUT ? 0 : -1;
}
static inline long kit_do_futex_absolute(struct kit_page *p)
{
	uint64_t until = kit_now_ns() + KIT_NAP_NS;
	struct timespec ts = { (time_t)(until / 1000000000u), (long)(until % 1000000000u) };
	return syscall(SYS_futex, &p->futex, FUTEX_WAIT_BITSET, 0, &ts, NULL, FUTEX_BITSET_MATCH_ANY) < 0 &&
	       errno == ETIMEDOUT ? 0 : -1;
}
/* clang-format on */

struct kit_wait {
	const char *label;
	long (*wait)(struct kit_page *page);
	long nr;    /* where it is found */
	bool timed; /* naps again and again, each at least KIT_NAP_NS long; else: one wait for the
		       test */
	bool bare;  /* a bare stop does not disturb it either; else it is mended */
};

static const struct kit_wait kit_waits[] = {
	{ "read", kit_do_read, SYS_read, false, true },
	{ "poll", kit_do_poll, SYS_poll, false, true },
	{ "ppoll", kit_do_ppoll, SYS_ppoll, false, true },
	{ "select", kit_do_select, -1, false, true },
	{ "epoll_wait", kit_do_epoll, SYS_epoll_wait, false, false },
	{ "futex", kit_do_futex, SYS_futex, false, true },
	{ "nanosleep", kit_do_nanosleep, SYS_clock_nanosleep, true, true },
	{ "poll with a limit", kit_do_poll_timed, SYS_poll, true, true },
	{ "select with a limit", kit_do_select_timed, -1, true, true },
	{ "futex with a limit", kit_do_futex_relative, SYS_futex, true, true },
	{ "futex until", kit_do_futex_absolute, SYS_futex, true, true },
};

enum { KIT_NWAITS = sizeof(kit_waits) / sizeof(kit_waits[0]) };

static const struct kit_wait *kit_waiting;

static inline void kit_wait_body(struct kit_page *page)
{
	const struct kit_wait *w = kit_waiting;

	do {
		uint64_t begin = kit_now_ns(), took;
		long rc;

		page->ready = 1;
		errno = 0;
		rc = w->wait(page);
		took = kit_now_ns() - begin;
		if (w->timed ? rc != 0 : rc < 0 || (rc == 0 && w->nr != SYS_futex))
			page->wrong = errno ? errno : INT_MAX;
		else if (w->timed ? took < KIT_NAP_NS : !page->stop)
			page->wrong = -1; /* too early */
		page->rounds++;
	} while (w->timed && !page->stop && !page->wrong);
}

/* A child in this wait; when this returns it is asleep in it, or takes one nap after the other. */
static inline struct kit_child kit_wait_start(const struct kit_wait *w)
{
	struct kit_child c;

	kit_waiting = w;
	c = kit_child_start(kit_wait_body);
	if (!w->timed)
		kit_child_until(c.pid, 'S');
	return c;
}

/* Its exit status after the wait has come to its end: 0 if nothing disturbed it. */
static inline int kit_wait_end(struct kit_child *c)
{
	c->page->stop = 1;
	if (!kit_waiting->timed) {
		c->page->futex = 1;
		syscall(SYS_futex, &c->page->futex, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	}
	return kit_child_end(c);
}

#endif /* VZ_TESTS_KIT_WAIT_H */
