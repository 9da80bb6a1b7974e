/* SPDX-License-Identifier: MIT */
/*
 * session_priv.h - what the two halves of a session share: session.c goes in and
 * records, session_end.c comes out and judges.
 */
#ifndef VZ_ATTACH_SESSION_PRIV_H
#define VZ_ATTACH_SESSION_PRIV_H

#include "attach/link.h"
#include "attach/session.h"

enum { VZ_MS = 1000 * 1000 };
#define VZ_SEC UINT64_C(1000000000)

struct session {
	struct vz_opts *opts;
	const volatile sig_atomic_t *stop;
	struct vz_report *report;
	struct vz_err *err;
	uint64_t begin_ns;
	struct vz_clock_pair first_pair;
	bool clock_is_ns;

	struct vz_target target;
	struct vz_maps maps;
	struct vz_objects objects;
	struct vz_python python;
	struct vz_image image;
	struct vz_inventory *before;
	struct vz_pystate *python_before;
	struct vz_injection injection;
	struct vz_link link;
	struct vz_clock_map clock;
	struct vz_tracefile *tf;
	struct vz_sources *sources; /* NULL: not asked for */
	struct vz_drain *drain;
	int out_fd;
	char part[4096 + 8]; /* name until the trace is complete */
	uint64_t record_ns;  /* when the hooks were in */
	uint64_t next_pair_ns, next_check_ns, next_progress_ns;
	bool injected, opened;
};

void vz_session_sleep_ms(long ms);
/** Describe why the output cannot be used; returns -ERROR. */
int vz_session_fail_output(struct session *s, const char *what, int error);
/** Wait until the agent has the GIL and the hooks are in. */
int vz_session_hook(struct session *s);
/** Say what keeps us waiting; HELD_NS: since when the GIL's holder has it. */
void vz_session_say_waiting(struct session *s, uint64_t held_ns);
/** The target is stopped (SIGSTOP): nothing in it runs. */
bool vz_session_is_stopped(const struct session *s);
/**
 * Unmap what the agent could not unmap by itself, because the target may have no more threads:
 * once nobody runs in it.  Needs a fresh s->link.boot; false: not now, or not needed.
 */
bool vz_session_sweep(struct session *s);
/** Undo what was done, finish the trace, and say how it went; RC is what stopped the steps, 0:
 * nothing. */
enum vz_exit vz_session_finish(struct session *s, int rc);

#endif /* VZ_ATTACH_SESSION_PRIV_H */
