/* SPDX-License-Identifier: MIT */
/* asyncio_priv.h - what the files that read asyncio's tasks share. */
#ifndef VZ_ATTACH_SNAPSHOT_ASYNCIO_PRIV_H
#define VZ_ATTACH_SNAPSHOT_ASYNCIO_PRIV_H

#include "attach/snapshot/rooms.h"

enum {
	VZ_AIO_TASKS = 10000,
	VZ_AIO_CHAIN = 64, /* coroutines that await each other, of one task */
	VZ_AIO_LOOPS = 256,
	VZ_AIO_TYPES = 32,
	VZ_AIO_CHILDREN = 100000, /* of all tasks together */
};

enum vz_aio_class {
	VZ_AIO_OTHER,
	VZ_AIO_TASK,   /* _asyncio.Task and its subclasses */
	VZ_AIO_FUTURE, /* _asyncio.Future and its subclasses */
	VZ_AIO_PYTASK, /* the implementations in Python */
	VZ_AIO_PYFUTURE,
	VZ_AIO_GENERATOR, /* coroutine, generator, asynchronous generator */
	VZ_AIO_ITER,      /* _asyncio.FutureIter */
	VZ_AIO_WRAPPER,   /* coroutine_wrapper */
	VZ_AIO_AGEN_STEP, /* async_generator_asend, _athrow */
};

/* A frame of a thread that belongs to a generator or coroutine. */
struct vz_aio_running {
	uint64_t raddr;
	size_t thread, index;
};

/* More than the snapshot says of a task; in the same order. */
struct vz_aio_task {
	uint64_t raddr, loop, coro, waiter;
	bool current;   /* of its loop */
	int thread;     /* whose frames its coroutine's is among, -1 */
	size_t index;   /* at which place */
	int64_t number; /* of its name, to sort by */
	char name[128];
};

struct vz_aio {
	const struct vz_scene_snapshot *scene;
	uint64_t interp;
	uint64_t type[VZ_AIO_TYPES];
	uint8_t what[VZ_AIO_TYPES];
	size_t next_type;
	struct vz_aio_running *running;
	size_t nrunning;
	struct vz_aio_task *tasks;
	size_t ntasks;
	struct vz_aio_place {
		uint64_t raddr;
		int task;
	} * places;               /* of all tasks, by address */
	size_t children_left;     /* of gather() and the like, that are still looked at */
	struct vz_snap_task *out; /* of the snapshot: as many */
	/* asyncio.Locks that a task is inside "async with" of; read when first asked for */
	struct vz_aio_held {
		uint64_t lock;
		size_t task;
		bool doubtful;
	} * held;
	size_t nheld, held_room;
	bool held_read;
};

/* ---- asyncio_tasks.c ---- */

enum vz_aio_class vz_aio_class(struct vz_aio *a, uint64_t obj);
/** All tasks that are not done, sorted, into A->tasks; returns how many were left out. */
size_t vz_aio_collect(struct vz_aio *a);
/** Is this future or task pending?  False also if it cannot be told. */
bool vz_aio_pending(struct vz_aio *a, uint64_t future);
/** Index of the task at RADDR, -1. */
int vz_aio_find(const struct vz_aio *a, uint64_t raddr);
/** The frames of a task, innermost first, at most MAX: those of its thread while it runs,
 * else its chain of awaits. */
size_t vz_aio_frames(struct vz_aio *a, const struct vz_aio_task *task, struct vz_pyframe *frames,
		     size_t max);

/* ---- asyncio_awaits.c ---- */

/** What task I awaits: .awaits, .awaits_task, .awaits_inferred; and .parent of what it awaits. */
void vz_aio_awaits(struct vz_aio *a, size_t i);

#endif /* VZ_ATTACH_SNAPSHOT_ASYNCIO_PRIV_H */
