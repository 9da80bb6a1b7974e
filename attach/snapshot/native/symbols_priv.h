/* SPDX-License-Identifier: MIT */
/*
 * symbols_priv.h - where names come from: files (symbols_file.c), for the lookup (symbols.c).
 */
#ifndef VZ_ATTACH_SNAPSHOT_SYMBOLS_PRIV_H
#define VZ_ATTACH_SNAPSHOT_SYMBOLS_PRIV_H

#include "attach/snapshot/native/symbols.h"
#include "attach/snapshot/native/symtab.h"
#include "attach/snapshot/proc/procstate_priv.h"

/* Which files may be read without the danger of a wait that does not end. */
struct vz_sources {
	const struct vz_target *target;
	const struct vz_maps *maps;
	struct vz_mount *mounts; /* of the target, and ours */
	size_t nmounts;
	char *text; /* that .mounts is made of */
	struct vz_mount *own;
	size_t nown;
	char *own_text;
	bool read;
};

void vz_sources_fini(struct vz_sources *sources);
/** .symtab of the file that OBJECT was loaded from, or of its debug file: addresses as linked. */
int vz_symbols_from_files(struct vz_sources *sources, const struct vz_object *object,
			  struct vz_symtab *ret);
/** The target's perf map. */
int vz_symbols_from_perf(const struct vz_target *target, struct vz_symtab *ret);

#endif /* VZ_ATTACH_SNAPSHOT_SYMBOLS_PRIV_H */
