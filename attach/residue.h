/* SPDX-License-Identifier: MIT */
/*
 * residue.h - the process before and after, compared: memory maps, memory in use, open
 * files, the file system, threads, signal masks and handlers, CPython's hooks and
 * monitoring ids.  What stayed is named and measured; what could not be told is unknown.
 */
#ifndef VZ_ATTACH_RESIDUE_H
#define VZ_ATTACH_RESIDUE_H

#include "attach/pyver.h"

struct vz_inventory;

/** Everything that can be compared; free with vz_inventory_free(). */
int vz_inventory_take(const struct vz_target *target, struct vz_inventory **ret,
		      struct vz_err *err);
void vz_inventory_free(struct vz_inventory *snapshot);

enum vz_residue_kind {
	VZ_RESIDUE_MAPS,
	VZ_RESIDUE_MEMORY,
	VZ_RESIDUE_FDS,
	VZ_RESIDUE_FILE_SYSTEM,
	VZ_RESIDUE_THREADS,
	VZ_RESIDUE_SIGNALS,
	VZ_RESIDUE_HOOKS,
	VZ_RESIDUE_TOOL_IDS, /* of sys.monitoring */
	VZ_NRESIDUE
};

enum vz_cleanness {
	VZ_CLEAN_UNKNOWN, /* not looked at, or it did not hold still */
	VZ_CLEAN_OK,
	VZ_CLEAN_LEFT, /* something of ours */
	VZ_CLEAN_GREW, /* memory only: more than before, which need not be ours */
	VZ_CLEAN_NONE, /* this CPython has no such thing */
};

struct vz_memory {
	uint64_t rss_bytes, anon_bytes, data_bytes;
};

/*
 * A program goes on living while it is traced: it may map memory, open files
 * and start threads by itself.  So a difference is "ours" only if it carries our mark
 * (a mapping in one of the ranges that the session used, a memfd of ours, the agent's thread id,
 * the borrowed thread stopped or with all signals blocked, a pointer to where our code was),
 * and "possibly ours" if its kind is known to follow from an attach: growth of
 * [heap], a malloc arena of libc (rw-p of at least 132 KiB, followed by ---p up to a
 * 64 MiB boundary), libc's handler for signal 33.  The rest is the program's own.
 */
struct vz_residue {
	bool looked[VZ_NRESIDUE];       /* it was compared, as a whole */
	bool no_tool_ids;               /* before 3.12 */
	unsigned ours[VZ_NRESIDUE];     /* differences that are ours: must be 0 */
	unsigned possible[VZ_NRESIDUE]; /* known side effects of an attach */
	unsigned other[VZ_NRESIDUE];    /* the program's own doing */
	uint64_t possible_bytes;
	struct vz_memory before, after;
	char text[1024]; /* names what is left, one clause after another; "" if nothing */
};

struct vz_range {
	uint64_t start, end;
};

/* What the session did, for telling ours from the program's. */
struct vz_deed {
	struct vz_range ranges[3]; /* still mapped, and ours */
	size_t nranges;
	struct vz_range image; /* where our code was */
	bool mapped;           /* it still is */
	pid_t agent_tid;
	pid_t borrowed_tid;
};

/** Compare what the kernel tells. */
void vz_inventory_compare(const struct vz_inventory *before, const struct vz_inventory *after,
			  const struct vz_deed *deed, struct vz_residue *ret);

enum vz_cleanness vz_residue_verdict(const struct vz_residue *residue, enum vz_residue_kind kind);
/** "maps", "file system", ... */
const char *vz_residue_name(enum vz_residue_kind kind);
/** Nothing of ours is left and nothing is unknown. */
bool vz_residue_clean(const struct vz_residue *residue);

/* ---- CPython, read from outside (residue_python.c) ---- */

struct vz_pystate;

/** Interpreters, their monitoring ids, libc's mode; never fails: what could not be read is unknown
 * later. */
struct vz_pystate *vz_pystate_take(const struct vz_target *target, const struct vz_objects *objects,
				   const struct vz_python *python);
/**
 * While the hooks are in: see our name among the tools' names, which proves that they are where
 * the table says.  TOOL is our id.
 */
void vz_pystate_witness(struct vz_pystate *before, const struct vz_target *target,
			const struct vz_python *python, unsigned tool);
/**
 * Is there a pointer to where our code was in the static data of CPython and libc, an
 * interpreter, a thread state?  And are all tool ids as before?
 */
void vz_pystate_compare(const struct vz_pystate *before, const struct vz_target *target,
			const struct vz_objects *objects, const struct vz_python *python,
			const struct vz_deed *deed, struct vz_residue *ret);
void vz_pystate_free(struct vz_pystate *state);

#endif /* VZ_ATTACH_RESIDUE_H */
