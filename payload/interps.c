/* SPDX-License-Identifier: MIT */
#include "payload/hook.h"

struct vz_interp vz_interps[VZ_MAX_INTERPS];
uint8_t *vz_agent_ts;
uint64_t vz_agent_births;
uint64_t vz_agent_self;

static uint64_t interps_seen;
static uint32_t tid_offset; /* of the kernel's thread id behind the thread pointer; 0: unknown */

enum { PTHREAD_SEARCH_BYTES = 2048 };

static struct vz_interp *entry_for(uint8_t *is, uint64_t id)
{
	struct vz_interp *unused = NULL;

	for (int i = 0; i < VZ_MAX_INTERPS; i++) {
		struct vz_interp *in = &vz_interps[i];

		if (in->is == is && in->id == id)
			return in;
		if (!in->is && !unused)
			unused = in;
	}
	return unused;
}

static uint8_t *main_interp(void)
{
	uint8_t *is = VZ_PY(PyInterpreterState_Head, uint8_t *, void)();

	for (uint8_t *next = is; next;) { /* the oldest is last */
		is = next;
		next = VZ_PY(PyInterpreterState_Next, uint8_t *, void *)(is);
	}
	return is;
}

static uint64_t interp_id(uint8_t *is)
{
	return vz_load(is, vz_boot.off.is_id);
}

static void add(uint8_t *is, uint8_t *first)
{
	struct vz_interp *in = entry_for(is, interp_id(is));

	if (!in)
		return;
	if (in->is != is) {
		*in = (struct vz_interp){ .is = is, .id = interp_id(is) };
		in->births = (uint64_t *)(is + vz_boot.off.is_next_unique_id);
		if (vz_boot.off.is_gil != VZ_NO_OFFSET &&
		    vz_load_ptr(is, vz_boot.off.is_gil) != vz_load_ptr(first, vz_boot.off.is_gil)) {
			in->own_gil = 1;
			vz_control->interps_skipped++;
		}
	}
}

static void forget_dead(void)
{
	for (int i = 0; i < VZ_MAX_INTERPS; i++) {
		uint8_t *is = VZ_PY(PyInterpreterState_Head, uint8_t *, void)();

		while (is && (is != vz_interps[i].is || interp_id(is) != vz_interps[i].id))
			is = VZ_PY(PyInterpreterState_Next, uint8_t *, void *)(is);
		if (!is)
			vz_interps[i].is = NULL;
	}
}

static uint64_t *interps_born(void)
{
	return (uint64_t *)((uint8_t *)VZ_PY_DATA(_PyRuntime) +
			    vz_boot.off.rt_interpreters_next_id);
}

void vz_interps_refresh(void)
{
	uint8_t *first = main_interp();

	interps_seen = *interps_born();
	forget_dead();
	for (uint8_t *is = VZ_PY(PyInterpreterState_Head, uint8_t *, void)(); is;
	     is = VZ_PY(PyInterpreterState_Next, uint8_t *, void *)(is))
		add(is, first);
}

int vz_interps_changed(void)
{
	if (__atomic_load_n(interps_born(), __ATOMIC_RELAXED) != interps_seen)
		return 1;
	if (vz_boot.adopt == VZ_ADOPT_AUTOMATIC)
		return 0;
	for (int i = 0; i < VZ_MAX_INTERPS; i++) {
		struct vz_interp *in = &vz_interps[i];
		uint64_t births;

		/* An interpreter may end without us: read what may be gone in a way that cannot
		 * fault. */
		if (in->is && in->hooked && !in->sees_births &&
		    !vz_read_self((uint64_t)in->births, &births, 8) && births != in->seen)
			return 1;
	}
	return 0;
}

int vz_interp_ends(const struct vz_interp *in)
{
	return vz_boot.off.is_finalizing != VZ_NO_OFFSET &&
	       __atomic_load_n((uint64_t *)(in->is + vz_boot.off.is_finalizing), __ATOMIC_RELAXED);
}

int vz_interps_ending(void)
{
	for (int i = 0; i < VZ_MAX_INTERPS; i++)
		if (vz_interps[i].is && vz_interps[i].hooked && vz_interp_ends(&vz_interps[i]))
			return 1;
	return 0;
}

uint32_t vz_fail(uint32_t error, const char *text)
{
	uint32_t i = 0;

	vz_control->error = error;
	for (; text && text[i] && i + 1 < sizeof(vz_control->error_text); i++)
		vz_control->error_text[i] = text[i];
	vz_control->error_text[i] = '\0';
	return error;
}

int vz_ts_ready(const uint8_t *ts)
{
	if (vz_boot.py_minor != 11)
		return 1;
	/* One of the last fields to be set; x86 stores in order. */
	return *(void *const volatile *)(ts + vz_boot.off.ts_cframe) != NULL;
}

int vz_ts_is_agent(const uint8_t *ts)
{
	return ts == vz_agent_ts || vz_load(ts, vz_boot.off.ts_thread_id) == vz_agent_self;
}

/* Where glibc keeps the thread id is not public: look for our own, known one, once. */
static void learn_tid_offset(void)
{
	uint32_t tid = (uint32_t)vz_sys(VZ_SYS_GETTID, 0, 0, 0), word, found = 0;
	uint64_t self = vz_thread_pointer();

	for (uint32_t at = 64; at < PTHREAD_SEARCH_BYTES; at += 4) {
		if (vz_read_self(self + at, &word, 4))
			break;
		if (word == tid) {
			found = at;
			break;
		}
	}
	tid_offset = found;
}

uint32_t vz_ts_tid(const uint8_t *ts)
{
	uint64_t self = vz_load(ts, vz_boot.off.ts_thread_id);
	uint32_t tid = 0;

	if (vz_boot.off.ts_native_thread_id != VZ_NO_OFFSET)
		return (uint32_t)vz_load(ts, vz_boot.off.ts_native_thread_id);
	if (!tid_offset)
		learn_tid_offset();
	if (!self || !tid_offset || vz_read_self(self + tid_offset, &tid, 4))
		return 0;
	return tid;
}
