/* SPDX-License-Identifier: MIT */
/*
 * elfsym.h - ELF objects of the target: which are loaded, where, and the
 * addresses of their dynamic symbols.
 *
 * Bytes come from the target's memory first (.dynamic through the program
 * headers), so deleted and replaced files and other roots do not matter; only
 * if memory does not tell does the file count, and then only with the same
 * device, inode and build id.  Offsets of the tool's own libraries are never
 * used.  All sizes that the target states are checked before use.
 */
#ifndef VZ_ATTACH_ELFSYM_H
#define VZ_ATTACH_ELFSYM_H

#include "attach/target.h"

struct vz_object;

/**
 * Read the object whose ELF header is mapped in MAP (its offset-0 mapping).
 * Copies the program headers and .dynamic at once; hash tables, .dynsym and .dynstr
 * when a name is first looked up that its Bloom filter does not rule out.  So TARGET
 * must stay open and in its place, and one thread at a time may use an object.
 * -ENOEXEC: no ELF, or not loaded as a program (no executable segment where it says);
 * -ENOTSUP: 32-bit or another machine.  Free with vz_object_free().
 */
int vz_object_read(const struct vz_target *target, const struct vz_maps *maps,
		   const struct vz_map *map, struct vz_object **ret);
void vz_object_free(struct vz_object *object);

/**
 * Address in the target of a defined dynamic symbol, 0 if there is none.
 * Default versions win over others.  IFUNCs (STT_GNU_IFUNC) are not resolved: 0.
 */
uint64_t vz_object_symbol(const struct vz_object *object, const char *name, uint64_t *size);
/** Name of the function that holds RADDR, size-bounded; NULL if unknown. */
const char *vz_object_function_at(const struct vz_object *object, uint64_t raddr);
/**
 * Its functions, in no order: *CURSOR starts at 0 and is moved on; NULL behind the
 * last.  Several names may stand for one place.
 */
const char *vz_object_next_function(const struct vz_object *object, size_t *cursor, uint64_t *raddr,
				    uint64_t *size);
/** Load bias, e_machine, ELF type, path, [start, end) of all PT_LOAD. */
uint64_t vz_object_bias(const struct vz_object *object);
const char *vz_object_path(const struct vz_object *object);
void vz_object_range(const struct vz_object *object, uint64_t *start, uint64_t *end);
/** Address and size of .eh_frame_hdr in the target; -ENOENT if there is none. */
int vz_object_eh_frame_hdr(const struct vz_object *object, uint64_t *raddr, uint64_t *size);
/** Executable segments, one after the other; index from 0; -ENOENT behind the last. */
int vz_object_text(const struct vz_object *object, unsigned index, uint64_t *start, uint64_t *end);
/** DT_SONAME or "" */
const char *vz_object_soname(const struct vz_object *object);

struct vz_build_id {
	size_t len; /* 0: none */
	uint8_t bytes[64];
};

/** Its build id, from memory; -ENOENT: it has none. */
int vz_object_build_id(const struct vz_object *object, struct vz_build_id *ret);
/** The same out of LEN bytes of notes that are aligned to ALIGN bytes (of a file, for tests). */
int vz_build_id_parse(const void *notes, size_t len, uint64_t align, struct vz_build_id *ret);
bool vz_build_id_equal(const struct vz_build_id *a, const struct vz_build_id *b);
/** Does it name a program interpreter?  True for programs, also position-independent ones. */
bool vz_object_has_interp(const struct vz_object *object);

struct vz_objects {
	struct vz_object **items;
	size_t count;
};

/**
 * Read every ELF object mapped from a file and the vdso ("[vdso]"), main program first, the
 * others by address.  Objects that cannot be read are left out.
 */
int vz_objects_read(const struct vz_target *target, const struct vz_maps *maps,
		    struct vz_objects *ret, struct vz_err *err);
void vz_objects_fini(struct vz_objects *objects);
/** The object whose PT_LOAD range holds RADDR, or NULL. */
const struct vz_object *vz_objects_find(const struct vz_objects *objects, uint64_t raddr);

#endif /* VZ_ATTACH_ELFSYM_H */
