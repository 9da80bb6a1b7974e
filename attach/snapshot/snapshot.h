/* SPDX-License-Identifier: MIT */
/*
 * snapshot.h - what a process is doing, as data: threads, frames, waits, locks, tasks, and
 * the verdict.  Rooms fill in their part; the verdict and the printers read it.  Nothing of
 * the target's own is in here but copies.
 *
 * All that is pointed to lives in the snapshot's arena and is freed with it.  Texts are
 * UTF-8, cut where they were too long, may hold control characters, and are never NULL.
 */
#ifndef VZ_ATTACH_SNAPSHOT_SNAPSHOT_H
#define VZ_ATTACH_SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "attach/snapshot/arena.h"

enum vz_frame_kind {
	VZ_FRAME_PYTHON,
	VZ_FRAME_NATIVE,
	VZ_FRAME_SIGNAL, /* the way back from a signal handler; the handler is the frame before */
};

struct vz_snap_local {
	const char *name;
	const char *value; /* "3", "'text'", "list of 12", "<app.Order at 0x7f...>", "***" */
};

struct vz_snap_frame {
	enum vz_frame_kind kind;
	const char *function; /* qualified name, or symbol; "" unknown */
	const char *file;     /* source, or library; "" unknown */
	uint32_t line;        /* 0: unknown; native: always */
	uint64_t raddr;       /* native: program counter; Python: frame */
	uint64_t offset;      /* native: from the symbol's start, or from that of the library */
	bool interpreter; /* native: CPython's own evaluation loop, which the Python frames before
			     it stand for; printers leave it out unless asked */
	const struct vz_snap_local *locals;
	size_t nlocals;
	bool locals_cut; /* there were more */
};

/* How a thread's stack was copied. */
enum vz_copied {
	VZ_COPIED_NOT,     /* not at all: see .stack_note */
	VZ_COPIED_ASLEEP,  /* never stopped; it was asleep in the same call before and after */
	VZ_COPIED_STOPPED, /* stopped for .stopped_ns */
	VZ_COPIED_MOVING,  /* not stopped, and it may have run meanwhile: not to be relied on */
	VZ_COPIED_CORE,    /* from a core dump */
};

enum vz_wait_kind {
	VZ_WAIT_NONE,  /* in no system call, or unknown */
	VZ_WAIT_FUTEX, /* a lock, a condition; .futex */
	VZ_WAIT_FILE,
	VZ_WAIT_PIPE,
	VZ_WAIT_SOCKET,
	VZ_WAIT_TTY,
	VZ_WAIT_POLL, /* several files: .object tells of what can be told */
	VZ_WAIT_SLEEP,
	VZ_WAIT_CHILD,  /* wait4, waitid */
	VZ_WAIT_SIGNAL, /* pause, sigtimedwait */
	VZ_WAIT_FLOCK,  /* flock, fcntl lock */
	VZ_WAIT_OTHER,  /* .call tells */
};
enum vz_direction { VZ_DIR_NONE, VZ_DIR_IN, VZ_DIR_OUT, VZ_DIR_CONNECT, VZ_DIR_ACCEPT };

struct vz_wait {
	enum vz_wait_kind kind;
	long nr;          /* system call; -1: none (it runs, or was on its way), -2: not readable */
	const char *call; /* "recvfrom"; "" if none */
	enum vz_direction direction;
	int fd;             /* -1: none, or several */
	const char *object; /* for people: "tcp 127.0.0.1:40112 -> 127.0.0.1:5432, established",
			       "pipe 4711, read end; writers: 4242", "/srv/x.db (nfs on /srv)" */
	const char *peer;   /* "127.0.0.1:5432", path of a unix socket; "" */
	const char *socket_state; /* "ESTABLISHED", "LISTEN" ...; "" */
	bool accepted;            /* a client's connection: this process listens on its port */
	unsigned descriptors;     /* of a poll: how many; 0: one call, one descriptor, or unknown */
	bool dns;                 /* a name server's port */
	pid_t peer_pid;           /* who has the other end, or the child waited for; 0: unknown */
	uint64_t futex;           /* address of the futex word; 0 */
	int64_t timeout_ns;       /* as given to the call (of a moment: how far it was off); -1:
				     none, for ever; -2: unknown */
	const char *kernel;       /* wchan: "futex_wait_queue", "" */
	bool remote_fs;           /* file on nfs, cifs, fuse, 9p ... */
};

/* What was seen of a thread at one moment. */
struct vz_look {
	uint64_t at_ns;    /* CLOCK_MONOTONIC */
	char state;        /* R S D T t Z X */
	uint64_t cpu_ns;   /* user and system, so far */
	uint64_t switches; /* voluntary and not */
	uint64_t majflt;
	uint64_t pc;                /* 0: unknown */
	uint64_t py_frame, py_code; /* innermost Python frame; 0 none or unknown */
	int32_t py_instr;
	uint32_t py_depth; /* how many Python frames */
	bool holds_gil, collecting;
};
enum { VZ_LOOKS = 3 };

struct vz_snap_thread {
	pid_t tid;         /* as we number it */
	pid_t ns_tid;      /* as the target does */
	const char *name;  /* threading's name for it; "" unknown */
	const char *comm;  /* the kernel's */
	uint64_t ident;    /* pthread_self; 0 unknown */
	uint64_t tstate;   /* 0: it never ran Python, or is not known to */
	int64_t interp_id; /* -1 */
	bool main;         /* of the process */
	bool daemon, daemon_known;
	bool holds_gil, waits_gil, collecting;
	bool idle; /* waits where threads wait for work: pool worker, accept loop, selector */
	const char *idle_why; /* "selector waits for events", "pool worker waits for work" */
	struct vz_wait wait;
	uint64_t asleep_ns; /* for how long it has not run; 0: unknown, or it runs */
	uint64_t cpu_ns;    /* used so far */
	struct vz_look looks[VZ_LOOKS];
	size_t nlooks;
	int common; /* outermost Python frames that were the same at every look; -1 unknown */
	enum vz_copied copied;
	uint64_t stopped_ns;
	const char *stack_note; /* why the stack is not whole, or its order not known; "" */
	bool native_whole;      /* it was followed to its root */
	bool order_known;       /* Python and native frames are merged in the true order */
	const struct vz_snap_frame *frames; /* innermost first */
	size_t nframes;
	int lock;  /* index of the lock that it waits for, -1 */
	int joins; /* index of the thread whose end it waits for, -1 */
};

enum vz_owner {
	VZ_OWNER_UNKNOWN,
	VZ_OWNER_NONE,     /* free */
	VZ_OWNER_RECORDED, /* the lock itself says so */
	VZ_OWNER_INFERRED, /* a frame of that thread is inside "with lock:" */
	VZ_OWNER_GONE,     /* the lock names a thread that is not there */
	VZ_OWNER_ORPHANED, /* held when this process was forked, by a thread that was not: see .note
			    */
};

struct vz_snap_lock {
	uint64_t raddr;   /* object, or native lock */
	const char *kind; /* "threading.Lock", "threading.RLock", "import lock of module 'a'",
			     "pthread mutex", "asyncio.Lock", "multiprocessing.Lock" */
	const char *name; /* how the waiting code calls it: "self.lock", "logging handler"; "" */
	enum vz_owner owned;
	int owner;               /* index of the thread; -1 */
	const char *note;        /* how the owner is known; "" */
	bool private_to_process; /* only threads of this process can release it */
};

enum vz_task_state {
	VZ_TASK_RUNNING,
	VZ_TASK_WAITING,
	VZ_TASK_READY,
	VZ_TASK_DONE,
	VZ_TASK_UNKNOWN
};

/* A task of asyncio, or a greenlet that is parked. */
struct vz_snap_task {
	bool greenlet;
	uint64_t raddr;
	const char *name;      /* "Task-3"; greenlet: type name */
	const char *coroutine; /* "worker"; greenlet: outermost function */
	enum vz_task_state state;
	int thread;         /* index; -1 unknown */
	int loop;           /* index of the loop, -1 */
	const char *awaits; /* for people: "Task-4", "asyncio.Lock held by Task-2", "Future at
			       0x..", "sleep", "Queue.get", "socket" */
	int awaits_task; /* the one task it waits for (also as the inferred owner of a lock); -1 */
	bool awaits_inferred;
	int parent; /* the task that waits for this one, for the tree; -1: a root */
	const struct vz_snap_frame *frames; /* innermost first: the chain of awaits */
	size_t nframes;
};

struct vz_snap_loop {
	uint64_t raddr;
	const char *kind; /* "asyncio.unix_events._UnixSelectorEventLoop", "uvloop.Loop" */
	int thread;       /* that runs it; -1 */
	int running;      /* its running task; -1: none */
	bool selecting;   /* it waits for events */
};

/* Process-wide facts: kept apart for the verdict. */
struct vz_snap_process {
	char state;
	bool stopped; /* SIGSTOP or a debugger's stop */
	pid_t tracer;
	bool forked; /* it is a fork of its parent that did not exec: proven */
	pid_t parent;
	uint64_t rss_bytes, swap_bytes;
	uint64_t throttled_ns; /* cgroup: how long in the time of our looks */
	uint64_t throttled_periods, periods;
	bool throttle_known, frozen; /* freezer cgroup */
	double memory_pressure;      /* PSI some avg10 of its cgroup or the machine; -1 unknown */
	unsigned children_zombie;
	bool gil_known, gil_locked;
	int gil_holder;       /* index of the thread; -1 unknown or none */
	uint64_t gil_held_ns; /* how long we saw the same turn, or its holder asleep; 0 unknown */
	uint64_t gil_turns[VZ_LOOKS];
};

enum vz_verdict_kind {
	VZ_VERDICT_UNKNOWN,
	VZ_VERDICT_DEADLOCK,
	VZ_VERDICT_GIL_HELD,
	VZ_VERDICT_LOOP_BLOCKED,
	VZ_VERDICT_PEER,
	VZ_VERDICT_ORPHANED_LOCK,
	VZ_VERDICT_BUSY,
	VZ_VERDICT_DISK,
	VZ_VERDICT_THROTTLED,
	VZ_VERDICT_SWAPPED,
	VZ_VERDICT_STOPPED,
	VZ_VERDICT_CHILD, /* waits for a child process */
	VZ_VERDICT_LOCK,  /* waits for a lock or condition whose owner is known and does something
			     else */
	VZ_VERDICT_COLLECTING,
	VZ_VERDICT_IDLE,
	VZ_NVERDICTS,
};

struct vz_verdict {
	enum vz_verdict_kind kind;
	const char *sentence;
	const char *advice; /* what to look at or do next; "" */
	const char *evidence[12];
	size_t nevidence;
	int threads[16]; /* that it is about, the first one first */
	size_t nthreads;
};

struct vz_snapshot {
	struct vz_arena *arena;
	pid_t pid;                       /* 0: from a core dump */
	const char *comm, *exe, *python; /* "3.11.2" */
	bool free_threaded, debug_build, from_core, no_stop;
	const char *source; /* path of the core dump; "" */
	uint64_t unix_ns;   /* when */
	uint64_t took_ns;
	struct vz_snap_process process;
	struct vz_snap_thread *threads; /* main thread first, then by tid */
	size_t nthreads;
	size_t threads_left_out; /* beyond our bound */
	struct vz_snap_lock *locks;
	size_t nlocks;
	struct vz_snap_loop *loops;
	size_t nloops;
	struct vz_snap_task *tasks;
	size_t ntasks;
	size_t tasks_left_out;
	const char *notes[16]; /* what could not be read, and why: "unknown" beats a guess */
	size_t nnotes;
	struct vz_verdict verdict;
	struct vz_proc *proc; /* procstate's own, in the arena: what it read once for all threads */
};

/** Keep a note; the 17th and later are dropped, the last one then says so. */
void vz_snapshot_note(struct vz_snapshot *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** Index of the thread with this tid (ours), ident or thread state; -1. */
int vz_snapshot_by_tid(const struct vz_snapshot *s, pid_t tid);
int vz_snapshot_by_ident(const struct vz_snapshot *s, uint64_t ident);
int vz_snapshot_by_tstate(const struct vz_snapshot *s, uint64_t tstate);
/** Lower-case word for --json and tests: "deadlock", "gil-held", "loop-blocked", "peer",
 * "orphaned-lock", "busy", "disk", "throttled", "swapped", "stopped", "child", "lock",
 * "collecting", "idle", "unknown". */
const char *vz_verdict_name(enum vz_verdict_kind kind);

#endif /* VZ_ATTACH_SNAPSHOT_SNAPSHOT_H */
