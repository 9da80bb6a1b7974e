/* SPDX-License-Identifier: MIT */
#include "payload/running.h"

enum { LOOKUP_SLOTS = 4 * VZ_MAX_SLOTS, NO_THREAD = 0 };

static const char SENTINEL_KEY[] = "vizattach";

struct vz_running vz_running;
static uint64_t floors[VZ_MAX_SLOTS];
/* Slot index by key, open addressing; deleting closes the gap. */
static uint16_t lookup[LOOKUP_SLOTS];

static uint32_t place(uint64_t key)
{
	return (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & (LOOKUP_SLOTS - 1);
}

void vz_running_add(struct vz_thread *t, uint64_t key)
{
	uint32_t i = place(key);

	t->key = key;
	while (lookup[i] != NO_THREAD)
		i = (i + 1) & (LOOKUP_SLOTS - 1);
	lookup[i] = (uint16_t)t->index;
}

/* Deleting in place: entries behind the hole move up if their place allows. */
static void lookup_remove(uint32_t index)
{
	uint32_t i = place(vz_private->threads[index].key), hole;

	while (lookup[i] != index) {
		if (lookup[i] == NO_THREAD)
			return;
		i = (i + 1) & (LOOKUP_SLOTS - 1);
	}
	hole = i;
	lookup[hole] = NO_THREAD;
	for (i = (i + 1) & (LOOKUP_SLOTS - 1); lookup[i] != NO_THREAD;
	     i = (i + 1) & (LOOKUP_SLOTS - 1)) {
		uint32_t want = place(vz_private->threads[lookup[i]].key);

		if (((i - want) & (LOOKUP_SLOTS - 1)) >= ((i - hole) & (LOOKUP_SLOTS - 1))) {
			lookup[hole] = lookup[i];
			lookup[i] = NO_THREAD;
			hole = i;
		}
	}
}

void vz_running_close(struct vz_thread *t)
{
	if (!vz_private->alive || !t->in_use)
		return;
	if (vz_running.thread == t)
		vz_running.key = 0;
	lookup_remove(t->index);
	vz_thread_close(t);
}

struct vz_thread *vz_running_find(uint64_t key)
{
	for (uint32_t i = place(key); lookup[i] != NO_THREAD; i = (i + 1) & (LOOKUP_SLOTS - 1))
		if (vz_private->threads[lookup[i]].key == key)
			return &vz_private->threads[lookup[i]];
	return NULL;
}

void vz_running_set(struct vz_thread *t, uint64_t key)
{
	vz_running.key = key;
	vz_running.thread = t;
	vz_running.floor = &floors[t->index];
}

static void on_end(void *capsule)
{
	struct vz_thread *t =
		VZ_PY(PyCapsule_GetPointer, void *, void *, const char *)(capsule, NULL);

	if (t)
		vz_running_close(t);
}

int vz_sentinel_put(struct vz_thread *t, void *dict)
{
	/* Without a name: that would be a string of ours. */
	void *capsule = dict ? VZ_PY(PyCapsule_New, void *, void *, const char *,
				     void (*)(void *))(t, NULL, NULL)
			     : NULL;

	floors[t->index] = UINT64_MAX;
	if (capsule && VZ_PY(PyDict_SetItemString, int, void *, const char *,
			     void *)(dict, SENTINEL_KEY, capsule) == 0)
		t->bound = !VZ_PY(PyCapsule_SetDestructor, int, void *, void (*)(void *))(capsule,
											  on_end);
	vz_xdecref(capsule);
	if (VZ_PY(PyErr_Occurred, void *, void)())
		VZ_PY(PyErr_Clear, void, void)();
	return t->bound;
}

void vz_sentinel_drop(uint8_t *ts)
{
	void *dict = vz_load_ptr(ts, vz_boot.off.ts_dict), *capsule;

	/* Deleting what is not there would make an exception, which may start a collection. */
	capsule =
		dict ? VZ_PY(PyDict_GetItemString, void *, void *, const char *)(dict, SENTINEL_KEY)
		     : NULL;
	if (!capsule)
		return;
	on_end(capsule);
	VZ_PY(PyCapsule_SetDestructor, int, void *, void (*)(void *))(capsule, NULL);
	if (VZ_PY(PyDict_DelItemString, int, void *, const char *)(dict, SENTINEL_KEY))
		VZ_PY(PyErr_Clear, void, void)();
}
