/* SPDX-License-Identifier: MIT */
/*
 * residue.h - the process before and after, compared: memory maps, open files,
 * threads, signal masks and handlers.  What stayed is named and measured.
 */
#ifndef VZ_ATTACH_RESIDUE_H
#define VZ_ATTACH_RESIDUE_H

#include "attach/target.h"

struct vz_snapshot;

/** Everything that can be compared; free with vz_snapshot_free(). */
int vz_snapshot_take(const struct vz_target *target, struct vz_snapshot **ret, struct vz_err *err);
void vz_snapshot_free(struct vz_snapshot *snapshot);

enum vz_residue_kind {
	VZ_RESIDUE_MAPS,
	VZ_RESIDUE_FDS,
	VZ_RESIDUE_THREADS,
	VZ_RESIDUE_SIGNALS,
	VZ_NRESIDUE
};

/*
 * A program goes on living while it is traced: it may map memory, open files
 * and start threads by itself.  So a difference is "ours" only if it carries our mark
 * (a mapping in one of the ranges that the session used, a memfd of ours, the agent's thread id),
 * and "possibly ours" if its kind is known to follow from an attach: growth of
 * [heap], a malloc arena of libc (rw-p of at least 132 KiB, followed by ---p up to a
 * 64 MiB boundary), libc's handler for signal 33.  The rest is the program's own.
 */
struct vz_residue {
	unsigned ours[VZ_NRESIDUE];     /* differences that are ours: must be 0 */
	unsigned possible[VZ_NRESIDUE]; /* known side effects of an attach */
	unsigned other[VZ_NRESIDUE];    /* the program's own doing */
	uint64_t possible_bytes;
	char text[1024]; /* names what is left, one clause after another; "" if nothing */
};

struct vz_range {
	uint64_t start, end;
};

/** Compare; RANGES are the address ranges that the session used in the target. */
void vz_snapshot_compare(const struct vz_snapshot *before, const struct vz_snapshot *after,
			 const struct vz_range *ranges, size_t nranges, pid_t agent_tid,
			 struct vz_residue *ret);

#endif /* VZ_ATTACH_RESIDUE_H */
