/* SPDX-License-Identifier: MIT */
/*
 * kit_child.h - children that are forked from the test, share a page with it, and
 * check by themselves that nobody disturbed them.
 */
#ifndef VZ_TESTS_KIT_CHILD_H
#define VZ_TESTS_KIT_CHILD_H

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Shared by both; each word has one writer. */
struct kit_page {
	volatile uint32_t ready;  /* child: it is about to wait, or has begun to work */
	volatile uint32_t stop;   /* test: come to an end */
	volatile uint64_t rounds; /* child: how often it has done its work */
	volatile int64_t wrong;   /* child: what it saw that must not be, 0: nothing */
	volatile uint32_t futex;
	volatile uint32_t signals; /* child: how many it has handled */
	uint64_t address[4];       /* whatever both need to know */
	int pipe[2];
};

struct kit_child {
	pid_t pid;
	struct kit_page *page;
};

/* BODY runs in the child, which then ends with 0 or, if .wrong is set, 1. */
static inline struct kit_child kit_child_start(void (*body)(struct kit_page *page))
{
	struct kit_child c;

	c.page = mmap(NULL, sizeof(*c.page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (c.page == MAP_FAILED || pipe(c.page->pipe) < 0)
		abort();
	c.pid = fork();
	if (c.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* if the test fails */
		body(c.page);
		_exit(c.page->wrong != 0);
	}
	while (c.pid > 0 && !c.page->ready)
		sched_yield();
	return c;
}

/* Tell it to end; its exit status, or 128 and the signal that killed it. */
static inline int kit_child_end(struct kit_child *c)
{
	int status = 0;

	c->page->stop = 1;
	if (write(c->page->pipe[1], "x", 1) != 1 || waitpid(c->pid, &status, 0) != c->pid)
		return -1;
	close(c->page->pipe[0]);
	close(c->page->pipe[1]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline void kit_child_kill(struct kit_child *c)
{
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	munmap(c->page, sizeof(*c->page));
}

/* Until it has gone through its work N times more. */
static inline void kit_child_works(const struct kit_child *c, uint64_t n)
{
	uint64_t until = c->page->rounds + n;

	while (c->page->rounds < until && !c->page->wrong && kill(c->pid, 0) == 0)
		sched_yield();
}

/* The state letter of /proc/PID/stat, 0 if it is gone. */
static inline char kit_child_state(pid_t pid)
{
	char path[64], text[512], *end;
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = '\0';
	end = strrchr(text, ')');
	return end ? end[2] : 0;
}

/* Until it is in STATE. */
static inline void kit_child_until(pid_t pid, char state)
{
	while (kit_child_state(pid) != state && kill(pid, 0) == 0)
		sched_yield();
}

#endif /* VZ_TESTS_KIT_CHILD_H */
