/* SPDX-License-Identifier: MIT */
/*
 * describe.h - what a trace is, as the two JSON documents that the page begins with.
 *
 * trace.json is TraceInfo of viewer/web/src/engine.ts, with the same member names;
 * functions.json holds columns by function id: files, name, file, line, kind.  Both
 * are the same in the server's answers and in an HTML file.
 */
#ifndef VZ_VIEWER_DESCRIBE_H
#define VZ_VIEWER_DESCRIBE_H

#include <stdbool.h>
#include <stdint.h>

#include "viewer/core/format.h"
#include "viewer/files.h"
#include "viewer/out.h"
#include "viewer/reader.h"

struct vz_describe {
	const char *file;    /* name of the trace, for people */
	const char *compare; /* name of the trace that it is compared with, or NULL */
	bool has_source;     /* the page may ask for the text of files */
	/* Of the index, which knows depths, losses and holes; NULL: there is none yet. */
	const struct vzi_directory *directory;
	const struct vzi_track *tracks;
	const struct vz_damage *damage; /* NULL: what the reader says */
	uint64_t calls; /* of the trace, if the directory holds only a part of them; else 0 */
};

/** Write trace.json.  Errors are in OUT; -ENOMEM. */
int vz_describe_trace(const struct vz_reader *r, const struct vz_describe *d, struct vz_out *out);

/* Where functions.json is to be continued.  Begin with zeros. */
struct vz_describe_place {
	unsigned column;
	uint32_t row;
};

/** Write the next part of functions.json, some KB.  False: that was the last one. */
bool vz_describe_functions(const struct vz_reader *r, const struct vz_files *files,
			   struct vz_describe_place *place, struct vz_out *out);

#endif /* VZ_VIEWER_DESCRIBE_H */
