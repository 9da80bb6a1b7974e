/* SPDX-License-Identifier: MIT */
/*
 * take.h - a snapshot of a process or a core dump, from the first look to the verdict.
 * Nothing is injected, nothing is written, no code runs in the target.
 */
#ifndef VZ_ATTACH_SNAPSHOT_TAKE_H
#define VZ_ATTACH_SNAPSHOT_TAKE_H

#include "attach/err.h"
#include "attach/snapshot/snapshot.h"

struct vz_take {
	pid_t pid;        /* 0: a core dump */
	const char *core; /* its path */
	bool no_stop;     /* never stop any thread, also those that run */
	bool locals;      /* values of local variables, secrets masked */
	pid_t without;    /* our own thread in the target, as that numbers it; 0: none */
};

enum { VZ_SNAPSHOT_THREADS = 8192 };

/**
 * Take a snapshot; free it with vz_snapshot_free().  It looks three times, about 0.1 s
 * in all beyond what reading takes.  Exit 2 (core dump), 3 (no process), 4 (its memory may not be
 * read), 5 (no CPython that is known: then only what the kernel tells would be left).
 */
int vz_snapshot_take(const struct vz_take *take, struct vz_snapshot **ret, struct vz_err *err);
void vz_snapshot_free(struct vz_snapshot *s);

#endif /* VZ_ATTACH_SNAPSHOT_TAKE_H */
