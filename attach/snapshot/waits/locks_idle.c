/* SPDX-License-Identifier: MIT */
/*
 * locks_idle.c - threads that wait where threads wait for work.  Only functions that are
 * known to do nothing else: a queue.get() of the program's own may be a hang.
 */
#include <string.h>

#include "attach/snapshot/waits/locks_priv.h"
#include "attach/snapshot/waits/sight.h"

enum { IDLE_FRAMES = 12 };

/* Where FUNCTION of FILE stands, and directly or further inside of it INNER of INNER_FILE. */
struct idle {
	const char *file, *function;
	const char *inner_file, *inner; /* NULL: it is the innermost frame itself */
	const char *why;
};

#define LOOP   "event loop waits for events"
#define POOL   "pool worker waits for work"
#define ACCEPT "server waits for connections"

static const struct idle idles[] = {
	{ "asyncio/base_events.py", "_run_once", "selectors.py", "select", LOOP },
	{ "uvloop/loop.pyx", "run_forever", NULL, NULL, LOOP },
	{ "concurrent/futures/thread.py", "_worker", NULL, NULL, POOL }, /* SimpleQueue.get */
	{ "concurrent/futures/thread.py", "_worker", "queue.py", "get", POOL },
	{ "concurrent/futures/process.py", "wait_result_broken_or_wakeup",
	  "multiprocessing/connection.py", "wait", "process pool's manager waits for results" },
	{ "concurrent/futures/process.py", "_queue_management_worker",
	  "multiprocessing/connection.py", "wait", "process pool's manager waits for results" },
	{ "concurrent/futures/process.py", "_process_worker", "multiprocessing/queues.py", "get",
	  POOL },
	{ "multiprocessing/pool.py", "worker", "queue.py", "get", POOL },
	{ "multiprocessing/pool.py", "worker", "multiprocessing/queues.py", "get", POOL },
	{ "multiprocessing/pool.py", "worker", NULL, NULL, POOL },
	{ "multiprocessing/pool.py", "_handle_tasks", "queue.py", "get",
	  "pool's task handler waits for work" },
	{ "multiprocessing/pool.py", "_handle_tasks", NULL, NULL,
	  "pool's task handler waits for work" },
	{ "multiprocessing/pool.py", "_handle_results", "multiprocessing/connection.py", "_recv",
	  "pool's result handler waits for results" },
	{ "multiprocessing/pool.py", "_wait_for_updates", "multiprocessing/connection.py", "wait",
	  "pool's worker handler waits for changes" },
	{ "multiprocessing/queues.py", "_feed", "threading.py", "wait",
	  "queue's feeder waits for items" },
	{ "multiprocessing/forkserver.py", "main", "selectors.py", "select",
	  "fork server waits for requests" },
	{ "multiprocessing/resource_tracker.py", "main", NULL, NULL,
	  "resource tracker waits for requests" },
	{ "multiprocessing/managers.py", "accepter", "socket.py", "accept", ACCEPT },
	{ "multiprocessing/managers.py", "serve_forever", "threading.py", "wait", ACCEPT },
	{ "logging/handlers.py", "_monitor", "queue.py", "get", "log listener waits for records" },
	{ "logging/handlers.py", "dequeue", "queue.py", "get", "log listener waits for records" },
	{ "threading.py", "run", "threading.py", "wait", NULL }, /* a Timer: see below */
	{ "socketserver.py", "serve_forever", "selectors.py", "select", ACCEPT },
	{ "wsgiref/simple_server.py", "serve_forever", "selectors.py", "select", ACCEPT },
	{ "gunicorn/arbiter.py", "sleep", NULL, NULL, "arbiter waits for signals" },
	{ "gunicorn/workers/sync.py", "wait", NULL, NULL, ACCEPT },
	{ "gunicorn/workers/gthread.py", "run", "selectors.py", "select", ACCEPT },
	{ "apscheduler/schedulers/blocking.py", "_main_loop", "threading.py", "wait",
	  "scheduler waits for its time" },
	{ "apscheduler/schedulers/background.py", "_main_loop", "threading.py", "wait",
	  "scheduler waits for its time" },
	{ "waitress/task.py", "handler_thread", "threading.py", "wait", POOL },
	{ "waitress/wasyncore.py", "poll", NULL, NULL, LOOP },
	{ "asyncore.py", "poll", NULL, NULL, LOOP },
	{ "tornado/platform/select.py", "poll", NULL, NULL, LOOP },
	{ "gevent/hub.py", "run", NULL, NULL, LOOP },
	{ "cheroot/workers/threadpool.py", "run", "queue.py", "get", POOL },
	{ "code.py", "raw_input", NULL, NULL, "interactive console waits for input" },
};

static bool sleeps(const struct vz_snap_thread *t)
{
	return t->wait.kind != VZ_WAIT_NONE && !t->holds_gil && !t->waits_gil;
}

/* Waiting in one of the calls in which nothing is done but waiting. */
static bool waits_for_others(const struct vz_snap_thread *t)
{
	switch (t->wait.kind) {
	case VZ_WAIT_FUTEX:
	case VZ_WAIT_POLL:
	case VZ_WAIT_SOCKET:
	case VZ_WAIT_PIPE:
	case VZ_WAIT_SIGNAL:
		return true;
	case VZ_WAIT_OTHER:
		return strcmp(t->wait.call, "restart_syscall") == 0;
	case VZ_WAIT_FILE:
		return strstr(t->wait.call, "epoll") != NULL;
	default:
		return false;
	}
}

/* Is INNER among the frames inside of frame I, with nothing but the standard library there? */
static bool inside(const struct vz_snap_frame *frames, size_t i, const struct idle *idle)
{
	if (!idle->inner)
		return i == 0;
	for (size_t j = 0; j < i; j++) {
		if (vz_sight_is(&frames[j], idle->inner_file, idle->inner))
			return true;
	}
	return false;
}

static const char *by_frames(const struct vz_scene_snapshot *scene, size_t thread)
{
	struct vz_snap_frame frames[IDLE_FRAMES];
	size_t n = 0;

	while (n < IDLE_FRAMES && vz_sight_frame(scene, thread, n, &frames[n]))
		n++;
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < sizeof(idles) / sizeof(idles[0]); j++) {
			if (idles[j].why &&
			    vz_sight_is(&frames[i], idles[j].file, idles[j].function) &&
			    inside(frames, i, &idles[j]))
				return idles[j].why;
		}
	}
	return NULL;
}

/* A call that waits for connections, or for signals, made by any code. */
static const char *by_call(const struct vz_snap_thread *t)
{
	if (t->wait.kind == VZ_WAIT_SOCKET && t->wait.direction == VZ_DIR_ACCEPT)
		return ACCEPT;
	if (t->wait.kind == VZ_WAIT_SIGNAL)
		return "waits for a signal";
	return NULL;
}

const char *vz_idle_why(const struct vz_scene_snapshot *scene, size_t thread)
{
	const struct vz_snap_thread *t = &scene->snapshot->threads[thread];
	const char *why;

	if (!sleeps(t))
		return NULL;
	why = by_call(t);
	if (why || !waits_for_others(t))
		return why;
	return by_frames(scene, thread);
}
