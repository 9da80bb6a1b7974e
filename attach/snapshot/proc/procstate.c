/* SPDX-License-Identifier: MIT */
/*
 * procstate.c - looks at one thread: its state, what it used, since when it sleeps.
 */
#include "attach/snapshot/proc/procstate.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "attach/snapshot/proc/procstate_priv.h"
#include "attach/util.h"

enum {
	PROC_MAX_BYTES = 1 << 16,
	MAX_CPUS = 4096,
	STAT_MAJFLT = 12,
	STAT_UTIME = 14,
	STAT_STIME = 15,
	STAT_CPU = 39,
	PROBE_MAX_NS = 20 * 1000 * 1000,
	PROBE_ROUNDS = 5,
	PROBE_STACK_BYTES = 256 << 10,
	NS_PER_S = 1000000000,
};
#define PROBE_FRESH_NS (UINT64_C(2) * NS_PER_S)

struct vz_proc *vz_proc_of(struct vz_snapshot *s)
{
	if (!s->proc)
		s->proc = vz_arena_alloc(s->arena, 1, sizeof(*s->proc));
	return s->proc;
}

/* ---- text ---- */

void vz_out_add(struct vz_out *out, const char *fmt, ...)
{
	size_t room = sizeof(out->text) - out->used;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(out->text + out->used, room, fmt, args);
	va_end(args);
	if (n > 0)
		out->used += (size_t)n < room ? (size_t)n : room - 1;
}

bool vz_proc_number(const char *text, const char *label, int base, uint64_t *ret)
{
	size_t len = strlen(label);

	while (*text) {
		if (!strncmp(text, label, len)) {
			char *end;

			text += len;
			*ret = strtoull(text, &end, base);
			return end != text;
		}
		text = strchrnul(text, '\n');
		text += *text != '\0';
	}
	return false;
}

void vz_proc_comm(pid_t pid, char ret[32])
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	snprintf(ret, 32, "?");
	if (vz_slurp_proc(pid, 0, "comm", PROC_MAX_BYTES, &text, &len) < 0)
		return;
	snprintf(ret, 32, "%.*s", (int)strcspn(text, "\n") % 32, text);
	vz_plain(ret);
}

/* ---- looks ---- */

/* The fields of stat behind the name, which may hold blanks and brackets; 0: the file is cut. */
static uint64_t stat_field(const char *text, int field, char *state)
{
	const char *p = strrchr(text, ')');

	if (!p || p[1] != ' ')
		return 0;
	p += 2;
	if (state)
		*state = *p;
	for (int i = 3; i < field; i++) {
		p = strchr(p, ' ');
		if (!p)
			return 0;
		p++;
	}
	return strtoull(p, NULL, 10);
}

static uint64_t ticks_to_ns(uint64_t ticks)
{
	long hz = sysconf(_SC_CLK_TCK);

	return hz > 0 && ticks < UINT64_MAX / NS_PER_S ? ticks * NS_PER_S / (uint64_t)hz : 0;
}

/* To the nanosecond where the scheduler keeps it, else to the tick. */
static uint64_t cpu_time(pid_t pid, pid_t tid, const char *stat)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	uint64_t ns;

	if (vz_slurp_proc(pid, tid, "schedstat", PROC_MAX_BYTES, &text, &len) == 0) {
		ns = strtoull(text, NULL, 10);
		if (ns)
			return ns;
	}
	return ticks_to_ns(stat_field(stat, STAT_UTIME, NULL) + stat_field(stat, STAT_STIME, NULL));
}

int vz_procstate_look(pid_t pid, pid_t tid, struct vz_look *ret)
{
	_cleanup_free_ char *stat = NULL;
	struct vz_status status;
	size_t len;
	int rc = vz_slurp_proc(pid, tid, "stat", PROC_MAX_BYTES, &stat, &len);

	if (rc == 0)
		rc = vz_status_read(pid, tid, &status);
	if (rc < 0)
		return rc == -ENOENT ? -ESRCH : rc;
	ret->at_ns = vz_now_ns();
	ret->majflt = stat_field(stat, STAT_MAJFLT, &ret->state);
	ret->cpu_ns = cpu_time(pid, tid, stat);
	ret->switches = status.switches[0] + status.switches[1];
	return 0;
}

/* ---- since when ---- */

/* se.exec_start, milliseconds and six digits: when it was last seen on its CPU. */
static bool exec_start(const char *sched, uint64_t *ret)
{
	const char *p = strstr(sched, "se.exec_start");
	uint64_t ms, ns;
	char *end;

	p = p ? strchr(p, ':') : NULL;
	if (!p)
		return false;
	ms = strtoull(p + 1, &end, 10);
	if (*end != '.' || ms > UINT64_MAX / NS_PER_S)
		return false;
	ns = strtoull(end + 1, NULL, 10);
	*ret = ms * 1000000 + ns % 1000000;
	return true;
}

/*
 * The scheduler's clock is another for each CPU: time that interrupts or the hypervisor took
 * is left out of it.  So a thread of ours goes to that CPU and compares.  It may have to wait
 * there, for longer than we want to: then it is left behind.
 */
struct probe {
	_Atomic int users;
	unsigned cpu;
	sem_t done;
	bool good;
	int64_t ahead_ns; /* of CLOCK_MONOTONIC before the scheduler's clock */
};

static void probe_release(struct probe *probe)
{
	if (atomic_fetch_sub_explicit(&probe->users, 1, memory_order_acq_rel) != 1)
		return;
	sem_destroy(&probe->done);
	free(probe);
}

/* It is the nap's end that sets our own record; what comes between that and our look is error. */
static bool compare_clocks(int64_t *ahead_ns)
{
	static const struct timespec nap = { .tv_nsec = 1000 };
	_cleanup_free_ char *text = NULL;
	uint64_t start;
	size_t len;

	if (nanosleep(&nap, NULL) < 0 ||
	    vz_slurp("/proc/thread-self/sched", PROC_MAX_BYTES, &text, &len) < 0 ||
	    !exec_start(text, &start))
		return false;
	*ahead_ns = (int64_t)(vz_now_ns() - start);
	return true;
}

static void *probe_run(void *arg)
{
	struct probe *probe = arg;
	size_t size = CPU_ALLOC_SIZE(MAX_CPUS);
	cpu_set_t *set = CPU_ALLOC(MAX_CPUS);
	int64_t ahead;

	if (set) {
		CPU_ZERO_S(size, set);
		CPU_SET_S(probe->cpu, size, set);
	}
	if (set && sched_setaffinity(0, size, set) == 0) {
		for (int i = 0; i < PROBE_ROUNDS && compare_clocks(&ahead); i++) {
			if (!probe->good || ahead < probe->ahead_ns)
				probe->ahead_ns = ahead;
			probe->good = true;
		}
	}
	CPU_FREE(set);
	sem_post(&probe->done);
	probe_release(probe);
	return NULL;
}

static bool probe_start(struct probe *probe)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, PROBE_STACK_BYTES);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, &attr, probe_run, probe);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return rc == 0;
}

static bool probe_cpu(unsigned cpu, int64_t *ahead_ns)
{
	struct probe *probe = calloc(1, sizeof(*probe));
	struct timespec until;
	bool good = false;

	if (!probe)
		return false;
	probe->users = 2;
	probe->cpu = cpu;
	sem_init(&probe->done, 0, 0);
	if (!probe_start(probe)) {
		probe_release(probe);
		probe_release(probe);
		return false;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += PROBE_MAX_NS;
	until.tv_sec += until.tv_nsec / NS_PER_S;
	until.tv_nsec %= NS_PER_S;
	if (sem_clockwait(&probe->done, CLOCK_MONOTONIC, &until) == 0) {
		good = probe->good;
		*ahead_ns = probe->ahead_ns;
	}
	probe_release(probe);
	return good;
}

static bool clock_of(unsigned cpu, int64_t *ahead_ns)
{
	static struct {
		uint64_t at_ns; /* 0: never */
		int64_t ahead_ns;
		bool good;
	} known[MAX_CPUS];
	uint64_t now = vz_now_ns();

	if (cpu >= MAX_CPUS)
		return false;
	if (!known[cpu].at_ns || now - known[cpu].at_ns > PROBE_FRESH_NS) {
		known[cpu].good = probe_cpu(cpu, &known[cpu].ahead_ns);
		known[cpu].at_ns = now;
	}
	*ahead_ns = known[cpu].ahead_ns;
	return known[cpu].good;
}

uint64_t vz_procstate_asleep(pid_t pid, pid_t tid)
{
	_cleanup_free_ char *stat = NULL;
	_cleanup_free_ char *sched = NULL;
	uint64_t start, cpu;
	int64_t ahead, slept;
	char state = 0;
	size_t len;

	if (vz_slurp_proc(pid, tid, "stat", PROC_MAX_BYTES, &stat, &len) < 0 ||
	    vz_slurp_proc(pid, tid, "sched", PROC_MAX_BYTES, &sched, &len) < 0)
		return 0;
	cpu = stat_field(stat, STAT_CPU, &state);
	if (!state || !strchr("SDTt", state) || !exec_start(sched, &start) ||
	    !clock_of(cpu < MAX_CPUS ? (unsigned)cpu : MAX_CPUS, &ahead))
		return 0;
	slept = (int64_t)vz_now_ns() - ahead - (int64_t)start;
	return slept > 0 ? (uint64_t)slept : 0;
}
