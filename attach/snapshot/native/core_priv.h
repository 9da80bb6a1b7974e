/* SPDX-License-Identifier: MIT */
/*
 * core_priv.h - a core dump in the making: its bytes and segments (core.c), its notes
 * (core_notes.c), the files that it names (core_files.c).
 */
#ifndef VZ_ATTACH_SNAPSHOT_CORE_PRIV_H
#define VZ_ATTACH_SNAPSHOT_CORE_PRIV_H

#include <elf.h>

#include "attach/elfsym.h"
#include "attach/snapshot/native/core.h"
#include "attach/snapshot/native/elffile.h"

enum {
	VZ_CORE_MAX_SEGMENTS = 1 << 20,
	VZ_CORE_MAX_THREADS = 1 << 14,
	VZ_CORE_MAX_NAMES = 64 << 20, /* bytes of NT_FILE */
};

/* A file that is mapped as an ELF object: opened when something is first read from it. */
struct vz_core_object {
	uint64_t start, end;
	const char *path;
	struct vz_build_id id;
	bool tried;
	struct vz_elffile file; /* .fd -1: not the same one, or gone */
};

struct vz_core_file {
	struct vz_bytes memory; /* first: what vz_target_read() is given */
	int fd;
	uint64_t size;
	Elf64_Phdr *phdrs; /* PT_LOAD only, by address: one for each of the maps */
	size_t nphdrs;
	const struct vz_maps *maps;
	struct vz_core_object *objects; /* by address */
	size_t nobjects;
	/* of the notes */
	uint64_t page_bytes;
	uint64_t vdso, entry, random; /* of NT_AUXV: addresses, 0 unknown */
};

/* Exactly LEN bytes of the dump; 0 or -EFAULT. */
int vz_core_bytes(const struct vz_core_file *file, uint64_t offset, void *buf, size_t len);

/* One line of NT_FILE. */
struct vz_core_mapping {
	uint64_t start, end, offset;
	const char *path; /* in .names */
};

struct vz_core_names {
	struct vz_core_mapping *items;
	size_t count;
	char *names;
};

/* Read all notes of the dump: CORE's threads, names and signal, and what is mapped. */
int vz_core_notes(struct vz_core *core, struct vz_core_file *file, const Elf64_Phdr *notes,
		  size_t count, struct vz_core_names *ret);
/* Parse what NT_FILE holds, LEN bytes and a NUL; takes BYTES over. */
int vz_core_names_parse(char *bytes, size_t len, struct vz_core_names *ret);
void vz_core_names_fini(struct vz_core_names *names);

/* Find the objects that are mapped in CORE, whose files can then be read from. */
int vz_core_find_files(struct vz_core *core, struct vz_core_file *file);
/* LEN bytes of the file behind RADDR, if that is the one that was mapped; 0 or -EFAULT. */
int vz_core_from_file(const struct vz_core_file *file, const struct vz_map *map, uint64_t raddr,
		      void *buf, size_t len);

#endif /* VZ_ATTACH_SNAPSHOT_CORE_PRIV_H */
