/* SPDX-License-Identifier: MIT */
/*
 * session.h - one recording, as ordered steps each with its undo.
 *
 * Whatever ends it (time, a signal, an error, the death of the target), the
 * steps that were done are undone in reverse, and the trace is finished.
 */
#ifndef VZ_ATTACH_SESSION_H
#define VZ_ATTACH_SESSION_H

#include <signal.h>

#include "attach/drain.h"
#include "attach/opts.h"
#include "attach/residue.h"

enum vz_end {
	VZ_END_TIME,   /* the duration is over */
	VZ_END_SIGNAL, /* Ctrl-C, SIGTERM, SIGHUP */
	VZ_END_TARGET, /* the target ended, or replaced itself by exec */
	VZ_END_AGENT,  /* the agent left by itself */
	VZ_END_ERROR,  /* the trace cannot be written */
};

/* What happened, for the receipt. */
struct vz_snapshot;

struct vz_report {
	pid_t pid;
	char comm[32];
	char python[80];
	char output[4096];
	enum vz_end end;
	bool recorded; /* hooks were in */
	bool exec;     /* the target replaced itself */
	bool restored; /* before and after agree, or differ only in the program's own doing */
	bool compared;
	double pause_us;  /* the borrowed thread: from the request to stop until it was let go */
	double home_us;   /* ... until it was back where it had been; 0: unknown */
	double attach_ms; /* from the start of the program to the first possible event */
	double gil_wait_us, install_us, remove_us;
	unsigned attempts;
	pid_t borrowed_tid;
	long borrowed_syscall; /* that it was blocked in; -1: none, or unknown */
	bool long_wait;
	uint64_t duration_ns;
	struct vz_drain_totals totals;
	struct vz_tracefile_totals file;
	uint32_t threads_at_attach, threads_adopted, threads_late, threads_refused, threads_missed;
	uint32_t interps_hooked, interps_skipped;
	uint64_t cpu_ns; /* of vizattach, while recording */
	struct vz_residue residue;
	/* What kept us from the GIL; NULL if nothing did.  vz_snapshot_free() it. */
	struct vz_snapshot *snapshot;
};

struct vz_payload_bytes {
	const void *elf;
	size_t len;
};

/**
 * Record.  STOP becomes non-zero when the user wants an end.  Returns the exit
 * code; ERR is set where that is not 0.  REPORT is filled as far as it went.
 */
enum vz_exit vz_session_run(struct vz_opts *opts, const struct vz_payload_bytes *payload,
			    const volatile sig_atomic_t *stop, struct vz_report *report,
			    struct vz_err *err);

#endif /* VZ_ATTACH_SESSION_H */
