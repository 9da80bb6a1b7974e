/* SPDX-License-Identifier: MIT */
/*
 * import_json.h - the pieces of JSON that YAJL calls for, as members of events.
 */
#ifndef VZ_VIEWER_IMPORT_JSON_H
#define VZ_VIEWER_IMPORT_JSON_H

#include <yajl/yajl_parse.h>

#include "viewer/import/import_priv.h"

struct vz_import_json {
	struct vz_importer *im;
	struct vz_import_event *e;
	uint8_t places[VZ_IMPORT_DEPTH_MAX]; /* what each open brace belongs to */
	bool objects[VZ_IMPORT_DEPTH_MAX];   /* false: an array */
	uint32_t depth, args_depth;
	uint8_t member; /* of the event, of which the value comes next */
	char key[4096]; /* of objects other than events */
	uint32_t key_len;
	bool first;       /* no comma before the next member of the arguments */
	uint32_t name_at; /* where the name of the member of args stands in them */
	uint32_t name_len;
	bool muted;      /* while a parser is brought to where another one stopped */
	uint64_t pieces; /* called back so often */
	uint64_t sources_bytes;
	const char *why; /* nothing more is read */
};

extern const yajl_callbacks vz_import_callbacks;

/** Begin; -ENOMEM.  Free with vz_import_json_fini() in any case. */
int vz_import_json_init(struct vz_import_json *j, struct vz_importer *im);
void vz_import_json_fini(struct vz_import_json *j);

/** Nothing is open but the list of events. */
bool vz_import_json_in_events(const struct vz_import_json *j);

#endif /* VZ_VIEWER_IMPORT_JSON_H */
