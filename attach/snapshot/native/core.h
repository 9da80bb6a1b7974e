/* SPDX-License-Identifier: MIT */
/*
 * core.h - an ELF core dump as a target: its memory, maps and threads.  What the dump left
 * out (text, mapped files) is read from the files that it names, if they are the same ones
 * (build id).  The file is untrusted.
 */
#ifndef VZ_ATTACH_SNAPSHOT_CORE_H
#define VZ_ATTACH_SNAPSHOT_CORE_H

#include "attach/arch.h"
#include "attach/target.h"

struct vz_core_thread {
	pid_t tid;
	char comm[32];
	struct vz_cpu cpu; /* .regs only */
};

struct vz_core {
	struct vz_target target;        /* .pid 0, .memory set, .comm, .exe */
	pid_t pid;                      /* of the process that was dumped */
	struct vz_maps maps;            /* from its segments and NT_FILE */
	struct vz_core_thread *threads; /* the one that caused the dump first */
	size_t nthreads;
	int signal;             /* that caused it; 0: unknown */
	uint64_t missing_bytes; /* of segments: the file was cut */
	void *file;             /* the mapped file and what belongs to it */
};

/** Open a core dump.  Exit 2 (not there, no core dump), 5 (another machine); free with
 * vz_core_close(). */
int vz_core_open(const char *path, struct vz_core **ret, struct vz_err *err);
void vz_core_close(struct vz_core *core);

#endif /* VZ_ATTACH_SNAPSHOT_CORE_H */
