/* SPDX-License-Identifier: MIT */
/* show.h - a snapshot for people and for programs. */
#ifndef VZ_ATTACH_SNAPSHOT_SHOW_H
#define VZ_ATTACH_SNAPSHOT_SHOW_H

#include "attach/snapshot/snapshot.h"

struct vz_show {
	unsigned width; /* columns; 0: as wide as need be */
	bool colour;
	bool native; /* the interpreter's own frames too */
	bool all;    /* idle threads with their stacks, equal stacks one by one */
};

/** Text for a terminal: the verdict first.  New text, free() it; NULL: out of memory. */
char *vz_snapshot_text(const struct vz_snapshot *s, const struct vz_show *show, size_t *len);
/** What changed since BEFORE, for --watch; "" if nothing did. */
char *vz_snapshot_changes(const struct vz_snapshot *before, const struct vz_snapshot *now,
			  const struct vz_show *show, size_t *len);
/** One JSON object on one line, schema 1, documented in docs/snapshot-schema.md. */
char *vz_snapshot_json(const struct vz_snapshot *s, size_t *len);

#endif /* VZ_ATTACH_SNAPSHOT_SHOW_H */
