/* SPDX-License-Identifier: MIT */
/*
 * tracks.h - the tracks of a trace and the processes that they belong to.
 *
 * Owns the two tables.  Filled by viewer/reader.c from blocks in any order; who
 * looks at a trace asks viewer/reader.h.
 */
#ifndef VZ_VIEWER_TRACKS_H
#define VZ_VIEWER_TRACKS_H

#include "viewer/intern.h"
#include "viewer/reader.h"
#include "viewer/text.h"

/* Begin with zeros. */
struct vz_tracks {
	struct vz_thread_track *p; /* ascending by id */
	uint32_t n, cap;
	uint64_t shuffled; /* bytes moved to put them in order */
	struct vz_process *processes;
	uint32_t nprocesses, processes_cap;
	struct vz_pairs pids; /* { pid, 0 }; rows are those of .processes */
};

/** Make process 0, to which tracks belong that name no other; 0 or -ENOMEM. */
int vz_tracks_init(struct vz_tracks *t, uint32_t pid);
void vz_tracks_fini(struct vz_tracks *t);

/** The track with this id, made if it is not there.  -EBADMSG at a limit; -ENOMEM. */
int vz_tracks_have(struct vz_tracks *t, uint32_t id, struct vz_thread_track **ret);
/** Place of the first track whose id is not below ID. */
uint32_t vz_tracks_place(const struct vz_tracks *t, uint32_t id);

/** Take what a block of VZ_BLOCK_TRACKS says.  -EBADMSG, -ENOMEM. */
int vz_tracks_read(struct vz_tracks *t, struct vz_text *text, const uint8_t *p, size_t left);

#endif /* VZ_VIEWER_TRACKS_H */
