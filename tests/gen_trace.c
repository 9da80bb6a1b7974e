/* SPDX-License-Identifier: MIT */
/*
 * gen_trace - writes a large made-up trace through attach/tracefile.h and says
 * what that cost: bytes for each call, processor time for each event.
 *
 *   gen_trace OUT [CALLS [THREADS]]
 *
 * Threads call down a random tree of functions; how long a call takes depends on
 * its function and is log-normal, as in programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attach/tracefile.h"

enum {
	FUNCTIONS = 1200,
	CALLEES = 6,
	MAX_DEPTH = 40,
	MAX_THREADS = 256,
	TURN = 5000, /* calls of one thread before the next one's: the GIL */
	FLUSH_NS = 1000000000,
};

struct function {
	uint32_t callees[CALLEES];
	uint32_t ncallees;
	double self_ns;
	bool generator;
};

struct thread {
	struct vz_track *track;
	uint32_t left; /* calls of this turn */
};

struct world {
	struct vz_tracefile *tf;
	struct function functions[FUNCTIONS];
	struct thread threads[MAX_THREADS];
	double spread[4096]; /* log-normal factors */
	uint64_t seed, ns, calls;
};

static uint64_t roll(struct world *w, uint64_t below)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed % below;
}

static double unit(struct world *w)
{
	return ((double)roll(w, 1u << 30) + 1) / ((1u << 30) + 1.0);
}

static double normal(struct world *w)
{
	return sqrt(-2 * log(unit(w))) * cos(2 * M_PI * unit(w));
}

static void wait_ns(struct world *w, double ns)
{
	w->ns += 25 + (uint64_t)(ns * w->spread[roll(w, 4096)]);
}

static void make_function(struct world *w, uint32_t id)
{
	static const char *const verbs[] = { "get", "load", "parse", "build", "fetch", "render" };
	static const char *const nouns[] = { "item", "query", "session", "token", "row", "frame" };
	static const char *const files[] = { "/app/orders.py", "/app/views.py", "/app/cache.py",
					     "/usr/lib/python3/json/decoder.py",
					     "/usr/lib/python3/asyncio/base_events.py" };
	struct function *f = &w->functions[id];
	char name[64];
	int len =
		snprintf(name, sizeof(name), "%s_%s_%u", verbs[roll(w, 6)], nouns[roll(w, 6)], id);
	const char *file = files[roll(w, 5)];

	f->self_ns = exp(log(250) + normal(w) * 0.8);
	f->ncallees = id > FUNCTIONS / 2 ? 0 : 1 + (uint32_t)roll(w, CALLEES);
	f->generator = roll(w, 12) == 0;
	for (uint32_t i = 0; i < f->ncallees; i++)
		f->callees[i] = id + 1 + (uint32_t)(pow(unit(w), 3) * 0.9 * (FUNCTIONS - id - 1));
	vz_tracefile_function(w->tf, id, id % 5 == 4 ? VZ_DEF_C : VZ_DEF_PYTHON, name, (size_t)len,
			      id % 5 == 4 ? "builtins" : file,
			      strlen(id % 5 == 4 ? "builtins" : file), id);
}

static void call(struct world *w, struct thread *t, uint32_t id, int depth)
{
	const struct function *f = &w->functions[id];
	bool again = f->generator && roll(w, 4);

	vz_track_enter(t->track, id, again ? VZ_ENTRY_RESUME : VZ_ENTRY_CALL, w->ns);
	w->calls++;
	t->left -= t->left > 0;
	wait_ns(w, f->self_ns / 2);
	for (uint32_t i = 0; i < f->ncallees && depth < MAX_DEPTH && t->left; i++) {
		uint64_t times = roll(w, 100) < 80 - (uint64_t)depth * 2 ? 1 : 0;

		if (times && roll(w, 8) == 0)
			times += roll(w, 20);
		while (times-- && t->left) {
			call(w, t, f->callees[i], depth + 1);
			wait_ns(w, 30);
		}
	}
	wait_ns(w, f->self_ns / 2);
	vz_track_leave(t->track,
		       again               ? VZ_LEAVE_YIELD
		       : roll(w, 500) == 0 ? VZ_LEAVE_UNWIND
					   : VZ_LEAVE_RETURN,
		       w->ns);
}

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Threads take turns, as the GIL makes them. */
static void play(struct world *w, uint64_t calls, uint32_t threads)
{
	uint64_t flushed = w->ns;

	for (uint32_t i = 0; w->calls < calls; i = (i + 1) % threads) {
		struct thread *t = &w->threads[i];

		t->left = TURN;
		while (t->left)
			call(w, t, (uint32_t)roll(w, 30), 1);
		if (w->ns - flushed > FLUSH_NS / 4) {
			vz_tracefile_flush(w->tf, w->ns, FLUSH_NS);
			flushed = w->ns;
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t calls = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
	uint32_t threads = argc > 3 ? (uint32_t)atoi(argv[3]) : 4;
	struct vz_tracefile_totals totals;
	struct world *w = calloc(1, sizeof(*w));
	struct vz_err err;
	double before;
	int fd, rc;

	if (argc < 2 || !threads || threads > MAX_THREADS || !w) {
		fprintf(stderr, "usage: gen_trace OUT [CALLS [THREADS]]\n");
		return 2;
	}
	fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	w->seed = 88172645463325252u;
	w->ns = 1000000000;
	if (fd < 0 || vz_tracefile_new(fd, 4242, w->ns, 1700000000000000000u, &w->tf, &err) < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	vz_tracefile_meta(w->tf, "comm", "made-up");
	for (int i = 0; i < 4096; i++)
		w->spread[i] = exp(normal(w) * 0.25);
	for (uint32_t i = 0; i < FUNCTIONS; i++)
		make_function(w, i);
	for (uint32_t i = 0; i < threads; i++) {
		char name[32];

		snprintf(name, sizeof(name), i ? "Thread-%u" : "MainThread", i);
		w->threads[i].track = vz_track_new(w->tf, 4242 + (pid_t)i, 0, 0, w->ns);
		vz_track_name(w->threads[i].track, name);
	}
	before = cpu_seconds();
	play(w, calls, threads);
	rc = vz_tracefile_finish(w->tf, w->ns, "", &err);
	vz_tracefile_totals(w->tf, &totals);
	printf("%llu calls, %.2f bytes a call, %.1f ns an event (the generator's own work "
	       "included)\n",
	       (unsigned long long)totals.calls, (double)totals.bytes / (double)totals.calls,
	       (cpu_seconds() - before) * 1e9 / (2 * (double)totals.calls));
	vz_tracefile_free(w->tf);
	free(w);
	return rc < 0;
}
