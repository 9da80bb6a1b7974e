/* SPDX-License-Identifier: MIT */
/*
 * write.h - writes a .viz file from events that are known in order of time.
 *
 * Owns blocks, checksums, index and footer, and for each track its stack and what
 * waits for a block.  Memory is bounded: a track that waits for too much is written
 * early.  The first error sticks and is returned by vz_writer_finish(); until then
 * nobody needs to ask.  The layout is part 3 of payload/wire.h.
 */
#ifndef VZ_VIEWER_WRITE_H
#define VZ_VIEWER_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "payload/wire.h"

struct vz_writer;
struct vz_writer_track;

/** Write the header, which needs .pid and times, to FD, which stays the caller's.  NULL: no memory.
 */
struct vz_writer *vz_writer_new(int fd, const struct vz_file_header *header);
void vz_writer_free(struct vz_writer *w);

void vz_writer_fact(struct vz_writer *w, const char *key, const char *value);
/** Define a function before its first use; texts beyond 65,535 bytes are cut. */
void vz_writer_function(struct vz_writer *w, const struct vz_file_function *f, const char *name,
			const char *file);
/** A block of another type, as it is: SOURCE. */
void vz_writer_block(struct vz_writer *w, struct vz_block *head, const uint8_t *raw, size_t bytes);

/** Begin a track; .track is filled, .kind and lengths too.  It lives until vz_writer_end_track().
 */
struct vz_writer_track *vz_writer_track(struct vz_writer *w, const struct vz_file_track *record,
					const char *name);
void vz_writer_process(struct vz_writer_track *t, uint32_t pid, const char *name);
/** Write what waits.  NS: when the track ended, 0: not before the trace.  Frames stay open. */
void vz_writer_end_track(struct vz_writer_track *t, uint64_t ns);

/* Times of a track must not run back. */
void vz_writer_enter(struct vz_writer_track *t, uint32_t function, enum vz_entry how, uint64_t ns);
/** The top frame ends; there must be one. */
void vz_writer_leave(struct vz_writer_track *t, enum vz_leave how, uint64_t ns);
void vz_writer_lost(struct vz_writer_track *t, uint64_t records, uint64_t ns);
/** The JSON object belongs to the entry made last; at most 64 MiB. */
void vz_writer_args(struct vz_writer_track *t, const void *json, size_t bytes);
/** One value of a counter. */
void vz_writer_sample(struct vz_writer_track *t, double value, uint64_t ns);
/** Entries so far. */
uint64_t vz_writer_entries(const struct vz_writer_track *t);

/** Entries of all tracks so far. */
uint64_t vz_writer_calls(const struct vz_writer *w);
/** Written so far. */
uint64_t vz_writer_bytes(const struct vz_writer *w);
/** 0, or the first error: negative errno. */
int vz_writer_error(const struct vz_writer *w);
/** Write the end and the index; all tracks must have ended.  COUNTERS: "key=value\n" repeated. */
int vz_writer_finish(struct vz_writer *w, uint64_t end_ns, const char *counters);

#endif /* VZ_VIEWER_WRITE_H */
