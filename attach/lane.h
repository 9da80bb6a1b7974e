/* SPDX-License-Identifier: MIT */
/*
 * lane.h - one traced thread on its way into the file.
 *
 * Owns: which Python stack of the thread runs (greenlets have their own
 * timelines), and the pairing of exits with entries.  An exit that fits no
 * frame is counted, a frame that went without an exit is closed as "unseen":
 * nothing is guessed.  What a hostile target writes costs a bounded time for each
 * record, and bounded memory in all.
 */
#ifndef VZ_ATTACH_LANE_H
#define VZ_ATTACH_LANE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct vz_tracefile;
struct vz_drain_totals;
struct vz_lane;

/* What all lanes share. */
struct vz_lanes {
	struct vz_tracefile *tf;
	struct vz_drain_totals *totals;
	uint8_t *is_c;          /* bit map: function ids that are C functions */
	size_t nstacks;         /* of all lanes */
	size_t snapshots_words; /* room for snapshots that are being received */
};

/** Begin a thread at NS; SHARED must live longer.  NULL if there is no memory. */
struct vz_lane *vz_lane_new(struct vz_lanes *shared, pid_t tid, unsigned flags, uint64_t ns);
void vz_lane_name(struct vz_lane *lane, const char *name, size_t len);
/**
 * One record of the arena (enum vz_ev_kind); EXTRA: its second word.  -E2BIG: the stack
 * is deeper than we follow, so no later record of this lane can be trusted.
 */
int vz_lane_event(struct vz_lane *lane, unsigned kind, uint32_t id, uint64_t extra, uint64_t ns);
/** The thread has ended, or we leave it.  LOST_IN_ALL: what its slot counted.  NULL is allowed. */
void vz_lane_end(struct vz_lane *lane, uint64_t ns, uint64_t lost_in_all);

#endif /* VZ_ATTACH_LANE_H */
