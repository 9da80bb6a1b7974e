/* SPDX-License-Identifier: MIT */
/*
 * intern.h - code objects and C functions become small numbers.
 *
 * Owns: the table from address to id.  The first sight of a function writes
 * its definition into the dictionary.  Code objects die and their addresses
 * are used again: while we record, PyCode_Type's deallocator forgets them here,
 * so a new object gets a new id.  PyMethodDefs are taken to live on.  Needs the
 * GIL.  Grows by mapping memory, at most once for each doubling.
 */
#ifndef VZ_PAYLOAD_INTERN_H
#define VZ_PAYLOAD_INTERN_H

#include "payload/ring.h"

enum { VZ_CACHE_SLOTS = 4096 };

struct vz_intern_cache {
	uint64_t key;
	uint64_t id;
};

extern struct vz_intern_cache vz_intern_cache[VZ_CACHE_SLOTS];

/** Map the first table; 0 or -1. */
int vz_intern_init(void);
/** Give the memory back. */
void vz_intern_fini(void);
/** Put our deallocator in front of that of code objects, or take it away again (0 if another came between). */
void vz_intern_watch(void);
int vz_intern_unwatch(void);

/* The slow paths: look up, or define. */
uint32_t vz_intern_code_slow(void *code);
uint32_t vz_intern_c_slow(uint64_t method_def, void *callable);

static inline struct vz_intern_cache *vz_intern_slot(uint64_t key)
{
	return &vz_intern_cache[(key >> 4 ^ key >> 13) & (VZ_CACHE_SLOTS - 1)];
}

/** Id of a code object; 0: unknown. */
static inline uint32_t vz_intern_code(void *code)
{
	struct vz_intern_cache *c = vz_intern_slot((uint64_t)code);

	if (VZ_LIKELY(c->key == (uint64_t)code))
		return (uint32_t)c->id;
	return vz_intern_code_slow(code);
}

/** Id of a C function by its PyMethodDef; CALLABLE tells its name at first sight. */
static inline uint32_t vz_intern_c(uint64_t method_def, void *callable)
{
	struct vz_intern_cache *c = vz_intern_slot(method_def);

	if (VZ_LIKELY(c->key == method_def))
		return (uint32_t)c->id;
	return vz_intern_c_slow(method_def, callable);
}

#endif /* VZ_PAYLOAD_INTERN_H */
