/* SPDX-License-Identifier: MIT */
/*
 * tracefile.h - writes a .viz file while it is recorded.
 *
 * Owns the encoder: per-track shadow stacks, chunks, compression, checksums,
 * the index at the end.  The layout is part 3 of payload/wire.h.  Nothing is
 * ever rewritten: a kill at any moment leaves a file that the viewer reads up
 * to the last whole block.  Memory is constant per track; tracks that ended
 * are freed.  Times are nanoseconds of one monotonic clock.
 */
#ifndef VZ_ATTACH_TRACEFILE_H
#define VZ_ATTACH_TRACEFILE_H

#include <stdint.h>
#include <sys/types.h>

#include "attach/err.h"
#include "payload/wire.h"

/*
 * What a target can make us keep: frames of one stack, and of all stacks together
 * (16 bytes each, twice).  No program gets there that does not mean to.
 */
enum { VZ_TRACK_MAX_DEPTH = 1 << 20, VZ_TRACK_MAX_FRAMES = 4 << 20 };

struct vz_sources;
struct vz_tracefile;
struct vz_track; /* one timeline: a thread, or one Python stack (greenlet) of a thread */

/** Write the header to FD, which stays the caller's.  Free with vz_tracefile_free(). */
int vz_tracefile_new(int fd, pid_t pid, uint64_t start_mono_ns, uint64_t start_unix_ns,
		     struct vz_tracefile **ret, struct vz_err *err);
/** Facts about the recording, "key" = "value", readable by vizview info: python, exe, comm, cwd, options ... */
int vz_tracefile_meta(struct vz_tracefile *tf, const char *key, const char *value);
/** Define function ID before its first use; KIND VZ_DEF_PYTHON or VZ_DEF_C; strings need not end with NUL. */
int vz_tracefile_function(struct vz_tracefile *tf, uint32_t id, unsigned kind, const char *name,
			  size_t name_len, const char *file, size_t file_len, uint32_t line);
/** From now on note the files of Python functions in SOURCES, which stays the caller's. */
void vz_tracefile_note_sources(struct vz_tracefile *tf, struct vz_sources *sources);
/** Write the text of a file: RAW is the payload of VZ_BLOCK_SOURCE. */
void vz_tracefile_source(struct vz_tracefile *tf, const uint8_t *raw, size_t bytes);
/** Begin a timeline.  TID: kernel thread; STACK_KEY 0, or the key of a greenlet's stack; FLAGS: vz_slot_flags. */
struct vz_track *vz_track_new(struct vz_tracefile *tf, pid_t tid, uint64_t stack_key, unsigned flags,
			      uint64_t ns);
/** Name a timeline; may come late and more than once, the last counts. */
void vz_track_name(struct vz_track *track, const char *name);
/** Write what is pending; the track is freed.  Frames still open stay open in the file: never guessed closed. */
void vz_track_end(struct vz_track *track, uint64_t ns);

/**
 * Push a frame (HOW: enum vz_entry of wire.h).  NS before the last NS of this track is raised to that.
 * -E2BIG: the stack is too deep to be followed, the frame was not kept; 0 otherwise.
 */
int vz_track_enter(struct vz_track *track, uint32_t function, enum vz_entry how, uint64_t ns);
/** Pop the top frame; ignored on an empty stack (the caller counts those). */
void vz_track_leave(struct vz_track *track, enum vz_leave how, uint64_t ns);
/** N records were dropped here. */
void vz_track_lost(struct vz_track *track, uint64_t n, uint64_t ns);
/** The shadow stack: depth, and the function I frames below the top (0: top). */
uint32_t vz_track_depth(const struct vz_track *track);
uint32_t vz_track_function(const struct vz_track *track, uint32_t i);

/** Push out blocks whose first event is older than MAX_AGE_NS before NOW_NS. */
int vz_tracefile_flush(struct vz_tracefile *tf, uint64_t now_ns, uint64_t max_age_ns);

struct vz_tracefile_totals {
	uint64_t calls, bytes, lost;
	uint64_t tracks, functions;
};
void vz_tracefile_totals(const struct vz_tracefile *tf, struct vz_tracefile_totals *ret);
/** 0, or the first write error (negative errno), which is sticky. */
int vz_tracefile_error(const struct vz_tracefile *tf);
/** End all tracks, write the end block with COUNTERS (a text "key=value\n..." for vizview info) and the index. */
int vz_tracefile_finish(struct vz_tracefile *tf, uint64_t end_ns, const char *counters,
			struct vz_err *err);
void vz_tracefile_free(struct vz_tracefile *tf);

#endif /* VZ_ATTACH_TRACEFILE_H */
