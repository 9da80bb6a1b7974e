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
	uint64_t low; /* the id where events have it: shifted by VZ_EV_KIND_BITS */
};

extern struct vz_intern_cache vz_intern_cache[VZ_CACHE_SLOTS];

/** Map the first table; 0 or -1. */
int vz_intern_init(void);
/** Give the memory back. */
void vz_intern_fini(void);
/** How many functions the table has room for. */
uint64_t vz_intern_room(void);
/** Whether a forked child has the table, too. */
void vz_intern_keep(int keep);
/** Put our deallocator in front of that of code objects, or take it away again (0 if another came
 * between). */
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
		return (uint32_t)(c->low >> VZ_EV_KIND_BITS);
	return vz_intern_code_slow(code);
}

/** Id of a C function by its PyMethodDef; CALLABLE tells its name at first sight. */
static inline uint32_t vz_intern_c(uint64_t method_def, void *callable)
{
	struct vz_intern_cache *c = vz_intern_slot(method_def);

	if (VZ_LIKELY(c->key == method_def))
		return (uint32_t)(c->low >> VZ_EV_KIND_BITS);
	return vz_intern_c_slow(method_def, callable);
}

/*
 * Record an event of a function.  Each is a few loads, two comparisons and two
 * stores; whatever is not on that path is one jump away, so that the callers need
 * no stack.
 */
void vz_record_code_slow(struct vz_thread *t, unsigned kind, void *code);
void vz_record_c_slow(struct vz_thread *t, unsigned kind, uint64_t method_def, void *callable);

static inline int vz_record_fast(struct vz_thread *t, unsigned kind, uint64_t key)
{
	struct vz_intern_cache *c = vz_intern_slot(key);

	if (VZ_UNLIKELY(c->key != key) || VZ_UNLIKELY(!vz_ring_ready(t)) ||
	    VZ_UNLIKELY(vz_boot.clock != VZ_CLOCK_TSC))
		return 0;
	vz_put_tsc(t, c->low | kind);
	return 1;
}

#endif /* VZ_PAYLOAD_INTERN_H */
