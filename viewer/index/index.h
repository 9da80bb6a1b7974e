/* SPDX-License-Identifier: MIT */
/*
 * index.h - makes, finds, checks and opens the index of a trace.
 *
 * Owns the file beside the trace, FILE.vizi, or where that folder cannot be written or is
 * full HASH.vizi in the cache (viewer/cache.h), or where that cannot either a file without
 * a name that ends with the program.  An index is only believed if it belongs to this very
 * trace, was made by its owner or by us, and every number in its directory holds; else it is
 * made again.  One that is not finished is never seen: it has no name, or not this one.
 */
#ifndef VZ_VIEWER_INDEX_H
#define VZ_VIEWER_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "viewer/core/directory.h"
#include "viewer/reader.h"
#include "viewer/trouble.h"

/* ---- building ---- */

enum {
	VZ_INDEX_ON_DISK = 0,
	VZ_INDEX_IN_MEMORY = 1,
	VZ_INDEX_SPARES = 2,
};

/* Where an index is made that can be kept nowhere: files without a name on disk and in memory. */
struct vz_index_spare {
	int fds[VZ_INDEX_SPARES]; /* -1: there is none */
	int used;                 /* the one that it is in; -1: it is kept */
	char why[256];            /* it is not kept, for people */
};

/** They take no room before they are used. */
void vz_index_spare_init(struct vz_index_spare *spare);
/** An index that is open stays. */
void vz_index_spare_fini(struct vz_index_spare *spare);

struct vz_index_options {
	const char *out;              /* NULL: where it belongs */
	struct vz_index_spare *spare; /* NULL: it is an error if there is no such place */
	uint32_t threads;             /* 0: one for each processor */
	/** Told now and then, by one thread at a time; DONE from 0 to 1.  A result below 0 ends it.
	 */
	int (*progress)(void *ctx, double done);
	void *ctx;
};

struct vz_index_made {
	char path[4096]; /* "": it is in a spare file */
	uint64_t bytes;  /* of the index */
	uint64_t trace_bytes;
	uint64_t entries; /* calls that were gone through */
	double seconds;
};

/**
 * Build the index of the trace at PATH.  May run in a child process, so that its memory is
 * given back.  0 or a negative errno with TROUBLE.  MADE or NULL.
 */
int vz_index_build(const char *path, const struct vz_index_options *options,
		   struct vz_index_made *made, struct vz_trouble *trouble);

/*
 * The same in a child process, for a program that stays small.  The child ends when the
 * thread that started it does.  Not while other threads of the caller hold locks: start it first.
 */
struct vz_index_job;

/** 0 or a negative errno.  Free with vz_index_job_free(), which ends it if it is under way. */
int vz_index_job_new(const char *path, struct vz_index_job **ret, struct vz_trouble *trouble);
/** 1: still under way, *DONE from 0 to 1; 0: made; below 0: it could not, see TROUBLE. Any thread,
 * one at a time. */
int vz_index_job_poll(struct vz_index_job *job, double *done, struct vz_trouble *trouble);
/** What was used of it, once it is made. */
const struct vz_index_spare *vz_index_job_spare(const struct vz_index_job *job);
void vz_index_job_free(struct vz_index_job *job);

/* ---- using ---- */

struct vz_index;

/** Zero of the times in the index of R, on the clock of the trace, and the length of the trace. */
void vz_index_range(const struct vz_reader *r, uint64_t *zero_ns, uint64_t *duration_ns);

/**
 * Map the index of R, the trace at PATH, from where it belongs, or from INDEX if that is not NULL.
 * -ENOENT: there is none that can be believed, make one.
 */
int vz_index_open(const char *path, const char *index, const struct vz_reader *r,
		  struct vz_index **ret);
/** The same for one that was just made, which may be in SPARE. */
int vz_index_open_made(const char *path, const struct vz_index_spare *spare,
		       const struct vz_reader *r, struct vz_index **ret);
/** NULL is fine. */
void vz_index_free(struct vz_index *index);

/** Checked; valid as long as the index. */
const struct vz_directory_view *vz_index_view(const struct vz_index *index);
/** The directory as it goes to the page. */
const void *vz_index_directory(const struct vz_index *index, size_t *bytes);
/** Tile I of vz_index_view(); NULL: there is none. */
const uint8_t *vz_index_tile(const struct vz_index *index, uint32_t i, size_t *bytes);

/** Give back the pages that were read, for now. */
void vz_index_rest(const struct vz_index *index);

/**
 * A whole index file (header, tiles, directory; VZI_OVERVIEW) with just so many coarse tiles that
 * the whole trace can be drawn: about 100 KB when deflated, and all SAMPLES.  Free RET with free().
 */
int vz_index_overview(const struct vz_index *index, uint8_t **ret, size_t *bytes);

#endif /* VZ_VIEWER_INDEX_H */
