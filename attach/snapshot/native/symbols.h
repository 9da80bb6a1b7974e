/* SPDX-License-Identifier: MIT */
/*
 * symbols.h - names for native code: .symtab, separate debug files by build id or debug
 * link, .dynsym (from memory if the file is gone), and /tmp/perf-PID.map for generated code.
 * Files are taken only if their build id (or, without one, device and inode) is that of what
 * is mapped; they are opened as the target sees them (map_files, its root).
 */
#ifndef VZ_ATTACH_SNAPSHOT_SYMBOLS_H
#define VZ_ATTACH_SNAPSHOT_SYMBOLS_H

#include "attach/elfsym.h"

struct vz_symbols;

struct vz_symbol {
	char name[256];   /* "" unknown */
	char object[256]; /* path as the target sees it, "[vdso]", "perf map"; "" unknown */
	uint64_t
		offset; /* from the start of the function; without a name from that of the object */
};

/** What is given must outlive it.  Tables are read when first needed.  -ENOMEM. */
int vz_symbols_new(const struct vz_target *target, const struct vz_maps *maps,
		   const struct vz_objects *objects, struct vz_symbols **ret);
void vz_symbols_free(struct vz_symbols *symbols);
/** PC: the address itself; a return address minus 1.  Never fails: what is unknown is "". */
void vz_symbols_find(struct vz_symbols *symbols, uint64_t pc, struct vz_symbol *ret);

#endif /* VZ_ATTACH_SNAPSHOT_SYMBOLS_H */
