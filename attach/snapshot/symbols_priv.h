/* SPDX-License-Identifier: MIT */
/*
 * symbols_priv.h - where names come from: files (symbols_file.c), for the lookup (symbols.c).
 */
#ifndef VZ_ATTACH_SNAPSHOT_SYMBOLS_PRIV_H
#define VZ_ATTACH_SNAPSHOT_SYMBOLS_PRIV_H

#include "attach/snapshot/symbols.h"
#include "attach/snapshot/symtab.h"

/** .symtab of the file that OBJECT was loaded from, or of its debug file: addresses as linked. */
int vz_symbols_from_files(const struct vz_target *target, const struct vz_maps *maps,
			  const struct vz_object *object, struct vz_symtab *ret);
/** The target's perf map. */
int vz_symbols_from_perf(const struct vz_target *target, struct vz_symtab *ret);

#endif /* VZ_ATTACH_SNAPSHOT_SYMBOLS_PRIV_H */
