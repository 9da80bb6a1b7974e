/* SPDX-License-Identifier: MIT */
#include "payload/intern.h"

#include "payload/names.h"
#include "payload/pyapi.h"

struct vz_intern_cache vz_intern_cache[VZ_CACHE_SLOTS];

/*
 * Open addressing.  A dead key keeps its place in the probe sequence until another
 * one takes it: programs that make and drop code get the same addresses again and again.
 */
enum { FIRST_SLOTS = 4096, DEAD = 1 };

struct entry {
	uint64_t key, id;
};

static struct entry *table;
static uint64_t nslots, nfilled;
static uint32_t next_id = 1;

static void (*code_dealloc)(void *);

static uint64_t place(uint64_t key, uint64_t size)
{
	return (key * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & (size - 1);
}

int vz_intern_init(void)
{
	table = vz_map_anonymous(FIRST_SLOTS * sizeof(*table));
	if (!table)
		return -1;
	nslots = FIRST_SLOTS;
	return 0;
}

void vz_intern_fini(void)
{
	if (table)
		vz_sys(VZ_SYS_MUNMAP, (long)table, (long)(nslots * sizeof(*table)), 0);
	table = NULL;
}

uint64_t vz_intern_room(void)
{
	return nslots;
}

void vz_intern_keep(int keep)
{
	if (table)
		vz_sys(VZ_SYS_MADVISE, (long)table, (long)(nslots * sizeof(*table)),
		       keep ? VZ_MADV_DOFORK : VZ_MADV_DONTFORK);
}

/* The entry of KEY, or the one that it would get. */
static struct entry *find(uint64_t key)
{
	struct entry *grave = NULL;
	uint64_t i = place(key, nslots);

	while (table[i].key && table[i].key != key) {
		if (table[i].key == DEAD && !grave)
			grave = &table[i];
		i = (i + 1) & (nslots - 1);
	}
	return table[i].key == key || !grave ? &table[i] : grave;
}

static int grow(void)
{
	struct entry *old = table;
	uint64_t n = nslots;

	table = vz_map_anonymous(2 * n * sizeof(*table));
	if (!table) {
		table = old;
		return nfilled + 1 < n;
	}
	nslots = 2 * n;
	nfilled = 0;
	for (uint64_t i = 0; i < n; i++) {
		if (old[i].key > DEAD) {
			*find(old[i].key) = old[i];
			nfilled++;
		}
	}
	vz_sys(VZ_SYS_MUNMAP, (long)old, (long)(n * sizeof(*old)), 0);
	return 1;
}

static void cache(uint64_t key, uint32_t id)
{
	*vz_intern_slot(key) = (struct vz_intern_cache){ key, (uint64_t)id << VZ_EV_KIND_BITS };
}

static uint32_t intern(uint64_t key, void *object, int (*define)(uint32_t, void *))
{
	struct entry *e;

	if (!vz_private->alive) /* a child: the table is ours, the dictionary is not */
		return 0;
	e = find(key);
	if (e->key != key) {
		if (nfilled * 4 >= nslots * 3 && !grow())
			return 0;
		if (next_id >= VZ_MAX_FUNCTIONS || !define(next_id, object)) {
			vz_control->functions_lost++;
			return 0; /* not cached: tried again next time */
		}
		e = find(key);
		nfilled += e->key != DEAD; /* a grave is counted already */
		*e = (struct entry){ key, next_id++ };
		vz_control->functions = next_id - 1;
	}
	cache(key, (uint32_t)e->id);
	return (uint32_t)e->id;
}

uint32_t vz_intern_code_slow(void *code)
{
	return intern((uint64_t)code, code, vz_name_code);
}

uint32_t vz_intern_c_slow(uint64_t method_def, void *callable)
{
	return intern(method_def, callable, vz_name_c);
}

void vz_record_code_slow(struct vz_thread *t, unsigned kind, void *code)
{
	vz_put_slow(t, kind, vz_intern_code(code));
}

void vz_record_c_slow(struct vz_thread *t, unsigned kind, uint64_t method_def, void *callable)
{
	vz_put_slow(t, kind, vz_intern_c(method_def, callable));
}

static void forget(uint64_t key)
{
	struct vz_intern_cache *c = vz_intern_slot(key);
	struct entry *e = find(key);

	if (c->key == key)
		c->key = 0;
	if (e->key == key)
		e->key = DEAD;
}

static void on_code_dealloc(void *code)
{
	forget((uint64_t)code);
	code_dealloc(code);
}

static void **dealloc_slot(void)
{
	return (void **)((uint8_t *)VZ_PY_DATA(PyCode_Type) + VZ_TYPE_DEALLOC);
}

void vz_intern_watch(void)
{
	code_dealloc = (void (*)(void *)) * dealloc_slot();
	*dealloc_slot() = (void *)on_code_dealloc;
}

int vz_intern_unwatch(void)
{
	if (!code_dealloc)
		return 1;
	if (*dealloc_slot() != (void *)on_code_dealloc)
		return 0;
	*dealloc_slot() = (void *)code_dealloc;
	code_dealloc = NULL;
	return 1;
}
