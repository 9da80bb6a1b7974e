/* SPDX-License-Identifier: MIT */
/*
 * running.h - which traced thread runs, and when it ends.
 *
 * Owns: the table from a key (the thread pointer on 3.12+, the thread state
 * before) to the thread, and a capsule in each thread state's dict, which CPython
 * drops when the thread state ends.  It is an object of CPython's, not one in our
 * memory: a program that walks through all objects may hold it when we are gone,
 * and then it is an empty one.  Needs the GIL.
 */
#ifndef VZ_PAYLOAD_RUNNING_H
#define VZ_PAYLOAD_RUNNING_H

#include "payload/pyapi.h"

/* The thread of the last event: most events come from the same thread as the one before. */
struct vz_running {
	uint64_t key; /* 0: nobody's */
	struct vz_thread *thread;
	uint64_t *floor; /* no evaluator may be used below it; 0: anywhere; UINT64_MAX: not known
			    yet */
};

#pragma GCC visibility push(hidden)
extern struct vz_running vz_running;
#pragma GCC visibility pop

/** The thread with this key, or NULL. */
struct vz_thread *vz_running_find(uint64_t key);
/** From now on KEY is T's. */
void vz_running_add(struct vz_thread *t, uint64_t key);
/** T is the one that runs; it has KEY. */
void vz_running_set(struct vz_thread *t, uint64_t key);
/** T has no more events: forget it. */
void vz_running_close(struct vz_thread *t);

/** Have CPython tell us when the thread state whose DICT this is ends; 1: it will.  Instead of an
 * earlier one, whose thread is closed. */
int vz_sentinel_put(struct vz_thread *t, void *dict);
/** Take it out of the dict of TS, and make it harmless for who holds it. */
void vz_sentinel_drop(uint8_t *ts);

#endif /* VZ_PAYLOAD_RUNNING_H */
