/* SPDX-License-Identifier: MIT */
#include "tests/faults.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "attach/inject.h"
#include "attach/util.h"

enum { NAMES = 1 << 16 };

/* Shared with forked helpers: they count on where we are. */
static struct counted {
	unsigned long count;
	const char *names[NAMES]; /* string constants: at the same address after a fork */
} * counted;

static unsigned long fault_step;
static long after_us;
static int fault_signal;
static pid_t owner;

static unsigned long number(const char *name)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : 0;
}

static int signal_number(void)
{
	const char *name = getenv("VZ_FAULT_SIGNAL");

	if (name && !strcmp(name, "TERM"))
		return SIGTERM;
	if (name && !strcmp(name, "INT"))
		return SIGINT;
	return SIGKILL;
}

/* The kernel sends it: no thread and no process of ours takes part. */
static void later(long us)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = fault_signal };
	struct itimerspec when = { .it_value = { us / 1000000, us % 1000000 * 1000 } };
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 ||
	    timer_settime(timer, 0, &when, NULL) < 0)
		abort();
}

static void on_step(const char *operation)
{
	unsigned long step = __atomic_add_fetch(&counted->count, 1, __ATOMIC_RELAXED);

	if (step <= NAMES)
		counted->names[step - 1] = operation;
	if (step != fault_step)
		return;
	if (after_us)
		later(after_us);
	else
		kill(getpid(), fault_signal);
}

__attribute__((constructor)) void vz_faults_arm(void)
{
	counted = mmap(NULL, sizeof(*counted), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (counted == MAP_FAILED)
		abort();
	owner = getpid();
	fault_step = number("VZ_FAULT_STEP");
	after_us = (long)number("VZ_FAULT_AFTER_US");
	fault_signal = signal_number();
	vz_inject_only = (pid_t)number("VZ_FAULT_THREAD");
	vz_step_hook = on_step;
	if (after_us && !fault_step)
		later(after_us);
}

__attribute__((destructor)) void vz_faults_report(void)
{
	const char *path = getenv("VZ_FAULT_COUNT");
	FILE *file = path && getpid() == owner ? fopen(path, "w") : NULL;

	if (!file)
		return;
	for (unsigned long i = 0; i < counted->count && i < NAMES; i++)
		fprintf(file, "%s\n", counted->names[i]);
	fclose(file);
}
