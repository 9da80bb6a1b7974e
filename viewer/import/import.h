/* SPDX-License-Identifier: MIT */
/*
 * import.h - traces of other tools, as .viz files.
 *
 * Owns the reading of Chrome's JSON (VizTracer, Perfetto, catapult, PyTorch and Node
 * write it), plain or gzipped.  Memory does not grow with the number of events: they
 * are sorted in a buffer of bounded size and in a temporary file without a name.
 * Events may come in any order.  What has no place in a trace of ours is counted
 * by kind and said in the facts of the file that is written.
 */
#ifndef VZ_VIEWER_IMPORT_H
#define VZ_VIEWER_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "viewer/trouble.h"

struct vz_import_options {
	/** Called now and then with the part done, 0 to 1; may be NULL. */
	void (*progress)(void *ctx, double done);
	void *ctx;
	uint32_t sort_records; /* kept in memory at a time; 0: 524,288 */
};

struct vz_import_summary {
	uint64_t events;    /* read, of any kind */
	uint64_t calls;     /* written */
	uint64_t not_shown; /* of kinds that have no place here, or without sense */
	uint64_t overlaps;  /* calls that got a track of their own because they do not nest */
	bool cut;           /* the file ends, or stops making sense, before its end; see .why */
	char why[160];
};

/** Should PATH be imported?  By its first bytes; false too where it cannot be read. */
bool vz_import_wanted(const char *path);

/**
 * Read the JSON at PATH and write the trace to VIZ, which is replaced once the new one is whole.
 * OPTIONS and RET may be NULL.  A file that is cut is imported up to there: 0, and RET->cut.
 */
int vz_import(const char *path, const char *viz, const struct vz_import_options *options,
	      struct vz_import_summary *ret, struct vz_trouble *trouble);

/**
 * The same into the user's cache (viewer/cache.h), unless it is there: the name, size and time
 * of the last change of PATH say which.  VIZ gets the path of the file, which stays in use until
 * this process ends; what was not used for long makes room.
 */
int vz_import_cached(const char *path, const struct vz_import_options *options, char *viz,
		     size_t size, struct vz_trouble *trouble);

#endif /* VZ_VIEWER_IMPORT_H */
