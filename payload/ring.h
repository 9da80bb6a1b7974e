/* SPDX-License-Identifier: MIT */
/*
 * ring.h - the producer's side of the arena: slots, chunks, events.
 *
 * Owns: the per-thread state of the payload, the pool of free chunks, the
 * definition stream.  Everything here needs the GIL, which makes all producers
 * one.  Nothing blocks, allocates or calls libc; a record that does not fit is
 * counted and gone.
 *
 * Fork: the per-thread state lives in memory that the kernel wipes in a child
 * and the arena is not there at all.  A wiped thread has limit 0, so the one
 * comparison that finds a full chunk also finds out that we are a child.
 */
#ifndef VZ_PAYLOAD_RING_H
#define VZ_PAYLOAD_RING_H

#include "payload/sys.h"
#include "payload/wire.h"

#define VZ_LIKELY(x)   __builtin_expect(!!(x), 1)
#define VZ_UNLIKELY(x) __builtin_expect(!!(x), 0)

extern struct vz_boot vz_boot;

/* From here on: nothing is reached through a table. */
#pragma GCC visibility push(hidden)

struct vz_interp;

struct vz_thread {
	struct vz_chunk *chunk;
	uint32_t used;    /* words of the chunk */
	uint32_t limit;   /* the slow path runs when used reaches it; 0: not yet, or wiped */
	uint64_t *watch;  /* changes when the thread switches to another Python stack */
	uint64_t watched; /* its value when we last looked */
	struct vz_interp *interp;
	struct vz_slot *slot;
	uint8_t *ts; /* PyThreadState; valid while .bound */
	uint64_t ts_id;
	uint64_t self; /* pthread_self() */
	uint64_t key;  /* by which it is found, see running.h */
	uint64_t stack_key;
	uint64_t lost;    /* since the last record */
	uint64_t nothing; /* what .watch points to when there is nothing to watch */
	uint32_t index;   /* of the slot */
	uint8_t bound;    /* CPython tells us when this thread state dies */
	uint8_t probes;   /* how often we tried to learn its name */
	uint8_t in_use;
	uint8_t switched; /* it has run more than one Python stack */
	uint32_t chunk_index;
	uint32_t pad2;
	uint64_t seq;
};

/* Lives at the start of the memory that is wiped in a child. */
struct vz_private {
	uint64_t alive; /* VZ_WIRE_MAGIC; 0 in a child */
	uint64_t pad[7];
	struct vz_thread threads[VZ_MAX_SLOTS];
};

extern struct vz_private *vz_private;
extern struct vz_control *vz_control;

/** Lay the arena out and fill the pool; the memory is there and zero. */
void vz_ring_init(void *arena, void *private_memory);

/** Take a slot for a thread; NULL and counted if there is none. */
struct vz_thread *vz_thread_open(uint8_t *ts, uint64_t self, uint32_t tid, unsigned flags);
/** The thread will have no more events. */
void vz_thread_close(struct vz_thread *t);

/**
 * Append the frames of TS, bottom first, behind a STACK record.  SKIP: leave out
 * so many from the top.  Returns how many there are.
 */
uint32_t vz_ring_stack(struct vz_thread *t, unsigned why, unsigned skip);

/** Room for a definition of WORDS words in the dictionary, or NULL.  Publish it with
 * vz_dict_commit(). */
struct vz_def *vz_dict_reserve(uint32_t words);
void vz_dict_commit(uint32_t words);

static inline uint64_t vz_now(void)
{
	if (VZ_LIKELY(vz_boot.clock == VZ_CLOCK_TSC))
		return vz_tsc();
	return vz_monotonic_ns();
}

static inline uint64_t vz_event(unsigned kind, uint32_t id)
{
	return vz_now() << VZ_EV_TICK_SHIFT | (uint64_t)id << VZ_EV_KIND_BITS | kind;
}

static inline void vz_publish(struct vz_thread *t, uint32_t used)
{
	t->used = used;
	/* Pairs with the acquire load in attach/drain.c. */
	__atomic_store_n(&t->chunk->head, used, __ATOMIC_RELEASE);
}

/*
 * Is there room for one word on the common path?  The limit comes first: where
 * it is 0, as in a forked child, the rest is not there.
 */
static inline int vz_ring_ready(const struct vz_thread *t)
{
	return VZ_LIKELY(t->used < t->limit) && VZ_LIKELY(*t->watch == t->watched);
}

/* Put a word with a time-stamp; only if vz_ring_ready() and the clock is the TSC.  LOW: id and kind
 * in place. */
static inline void vz_put_tsc(struct vz_thread *t, uint64_t low)
{
	uint32_t at = t->used;

	t->chunk->words[at] = vz_tsc() << VZ_EV_TICK_SHIFT | low;
	vz_publish(t, at + 1);
}

/** Record one event on the slow path: new chunk, switch of stacks, loss, child. */
void vz_put_slow(struct vz_thread *t, unsigned kind, uint32_t id);

#endif /* VZ_PAYLOAD_RING_H */
