/* SPDX-License-Identifier: MIT */
/*
 * export.h - writes a trace in formats of other tools, and as a page of its own.
 *
 * Each format is one export_*.c and one row of the table.  All of them stream:
 * memory does not grow with the length of the trace.
 */
#ifndef VZ_VIEWER_EXPORT_H
#define VZ_VIEWER_EXPORT_H

#include "viewer/out.h"
#include "viewer/reader.h"
#include "viewer/select.h"
#include "viewer/walk.h"

struct vz_export_options {
	uint64_t max_calls; /* leave out what is later than about so many calls; 0: nothing */
	struct vz_select select;

	/* What only the page asks for. */
	const char *path;        /* of the trace */
	const char *name;        /* of it, for people */
	bool with_source;        /* put in the text of files that can be read */
	struct vz_reader *other; /* trace to compare with, or NULL */
	const char *other_name;
	/* As in struct vz_index_options; may be NULL. */
	int (*progress)(void *ctx, double done);
	void *ctx;
	struct vz_trouble *trouble; /* says what was wrong if the result is below 0 */
};

struct vz_export {
	const char *name;
	const char *extension;
	const char *about;
	uint64_t max_calls; /* default */
	bool asks; /* more than that only if --limit says so; else what is later is left out */
	unsigned call_bytes_x10; /* about, of a call */
	int (*write)(struct vz_reader *r, const struct vz_export_options *options,
		     struct vz_out *out);
};

/** Ends with a row without a name. */
extern const struct vz_export vz_exports[];

/** The format of this name or extension, or NULL. */
const struct vz_export *vz_export_find(const char *name);

/** Time until which the trace holds about MAX_CALLS calls, in all tracks together; 0: to its end.
 */
uint64_t vz_export_until(const struct vz_reader *r, uint64_t max_calls);

/** What a reader should know about this frame, or NULL: it was seen from begin to end. */
const char *vz_export_note(uint32_t symbol, unsigned how);

/** "qualname (file:line)"; C functions "module.name".  Returns what snprintf does. */
int vz_export_name(const struct vz_function *f, char *buf, size_t size);

/** Name of the process, for people. */
const char *vz_export_process(const struct vz_reader *r);

int vz_export_json(struct vz_reader *r, const struct vz_export_options *options,
		   struct vz_out *out);
int vz_export_perfetto(struct vz_reader *r, const struct vz_export_options *options,
		       struct vz_out *out);
int vz_export_html(struct vz_reader *r, const struct vz_export_options *options,
		   struct vz_out *out);

/** A trace of ours again, of what OPTIONS leave of it; not into memory. */
int vz_export_viz(struct vz_reader *r, const struct vz_export_options *options, struct vz_out *out);

int vz_export_speedscope(struct vz_reader *r, const struct vz_export_options *options,
			 struct vz_out *out);
int vz_export_collapsed(struct vz_reader *r, const struct vz_export_options *options,
			struct vz_out *out);
int vz_export_pstats(struct vz_reader *r, const struct vz_export_options *options,
		     struct vz_out *out);
int vz_export_csv(struct vz_reader *r, const struct vz_export_options *options, struct vz_out *out);

#endif /* VZ_VIEWER_EXPORT_H */
