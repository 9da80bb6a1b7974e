/* SPDX-License-Identifier: MIT */
#include "payload/ring.h"

#include "payload/agent.h"
#include "payload/names.h"
#include "payload/pyapi.h"
#include "payload/stack.h"

struct vz_private *vz_private;
struct vz_control *vz_control;

/* The chunks that can be taken: a stack, so that a small working set stays in the cache. */
static uint32_t *free_chunks;
static uint32_t nfree;
static uint32_t free_slot_hint = 1;

enum {
	/* Kept back for definitions: without them events are numbers. */
	DICT_RESERVE = 16,
	/* An event count after which a thread has had time to get its name. */
	FIRST_PROBE_WORDS = 48,
	MAX_PROBES = 3,
	KNOWN_STACKS = 1024,
};

static struct vz_slot *slots(void)
{
	return (struct vz_slot *)((uint8_t *)vz_control + vz_boot.slots_offset);
}

static struct vz_chunk *chunk_at(uint32_t index)
{
	return (struct vz_chunk *)((uint8_t *)vz_control + vz_boot.chunks_offset) + index;
}

void vz_ring_init(void *arena, void *private_memory)
{
	struct vz_thread *dict;

	vz_control = arena;
	vz_private = private_memory;
	free_chunks = (uint32_t *)(vz_private + 1);
	nfree = 0;
	for (uint32_t i = vz_boot.nchunks; i > 0; i--)
		free_chunks[nfree++] = i - 1;
	vz_control->magic = VZ_WIRE_MAGIC;
	vz_control->version = VZ_WIRE_VERSION;
	vz_control->size = sizeof(*vz_control);
	vz_control->nslots_used = 1;
	vz_private->alive = VZ_WIRE_MAGIC;
	dict = &vz_private->threads[VZ_DICT_SLOT];
	dict->slot = &slots()[VZ_DICT_SLOT];
	dict->slot->state = VZ_SLOT_OPEN;
	dict->watch = &dict->nothing;
	dict->in_use = 1;
}

/* Collect what the drain gave back. */
static void take_returns(void)
{
	uint32_t *queue = (uint32_t *)((uint8_t *)vz_control + vz_boot.returns_offset);
	/* Pairs with the release store in attach/drain.c: the chunk is no longer read. */
	uint32_t head = __atomic_load_n(&vz_control->returns_head, __ATOMIC_ACQUIRE);
	uint32_t tail = vz_control->returns_tail;

	for (; tail != head && nfree < vz_boot.nchunks; tail++) {
		uint32_t index = queue[tail & (vz_boot.nreturns - 1)];

		if (index < vz_boot.nchunks)
			free_chunks[nfree++] = index;
	}
	__atomic_store_n(&vz_control->returns_tail, tail, __ATOMIC_RELEASE);
}

/* Give T a new chunk behind its last one; 0 if the pool is empty. */
static int next_chunk(struct vz_thread *t, uint32_t keep)
{
	struct vz_chunk *chunk;
	uint32_t index;

	/* Every time: what was used before is warm, and keeps the rest of the pool untouched. */
	take_returns();
	if (nfree <= keep)
		return 0;
	index = free_chunks[--nfree];
	chunk = chunk_at(index);
	chunk->next = 0;
	chunk->slot = t->index;
	chunk->seq = t->seq++;
	__atomic_store_n(&chunk->head, 0, __ATOMIC_RELAXED);
	/* The chunk is empty and unlinked before the drain can follow the link. */
	if (t->chunk)
		__atomic_store_n(&t->chunk->next, index + 1, __ATOMIC_RELEASE);
	else
		__atomic_store_n(&t->slot->first_chunk, index + 1, __ATOMIC_RELEASE);
	t->chunk = chunk;
	t->chunk_index = index;
	t->used = 0;
	return 1;
}

static uint32_t find_free_slot(void)
{
	uint32_t used = vz_control->nslots_used;

	for (uint32_t i = 0; i + 1 < used; i++) {
		uint32_t at = 1 + (free_slot_hint - 1 + i) % (used - 1);

		/* Pairs with the release store of the drain: it is done with the slot. */
		if (!vz_private->threads[at].in_use &&
		    __atomic_load_n(&slots()[at].state, __ATOMIC_ACQUIRE) == VZ_SLOT_FREE) {
			free_slot_hint = at + 1 < used ? at + 1 : 1;
			return at;
		}
	}
	return used < vz_boot.nslots ? used : 0;
}

struct vz_thread *vz_thread_open(uint8_t *ts, uint64_t self, uint32_t tid, unsigned flags)
{
	uint32_t at = find_free_slot();
	struct vz_thread *t = &vz_private->threads[at];
	struct vz_slot *slot = &slots()[at];

	if (!at) {
		vz_control->threads_refused++;
		return NULL;
	}
	*t = (struct vz_thread){ .slot = slot, .index = at, .ts = ts, .self = self, .in_use = 1 };
	t->ts_id = vz_boot.off.ts_id != VZ_NO_OFFSET ? vz_load(ts, vz_boot.off.ts_id) : 0;
	t->watch = vz_boot.off.ts_datastack_chunk != VZ_NO_OFFSET
			   ? (uint64_t *)(ts + vz_boot.off.ts_datastack_chunk)
			   : &t->nothing;
	t->watched = *t->watch;
	t->stack_key = vz_stack_key(ts);
	slot->tid = tid;
	slot->flags = flags;
	slot->first_chunk = 0;
	slot->lost = 0;
	slot->generation++;
	slot->start_ticks = vz_now();
	slot->interp = 0;
	if (at == vz_control->nslots_used)
		__atomic_store_n(&vz_control->nslots_used, at + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->state, VZ_SLOT_OPEN, __ATOMIC_RELEASE);
	return t;
}

void vz_thread_close(struct vz_thread *t)
{
	if (!vz_private->alive || !t->in_use)
		return;
	t->in_use = 0;
	t->bound = 0;
	t->limit = 0;
	__atomic_store_n(&t->slot->state, VZ_SLOT_CLOSED, __ATOMIC_RELEASE);
}

static int64_t drop(struct vz_thread *t)
{
	t->lost++;
	t->limit = t->used; /* ask again for each record */
	__atomic_store_n(&t->slot->lost, t->slot->lost + 1, __ATOMIC_RELAXED);
	return -1;
}

/* A record of two words, which must not be torn across chunks. */
static int put_pair(struct vz_thread *t, unsigned kind, uint32_t id, uint64_t word)
{
	if ((!t->chunk || t->used + 2 > VZ_CHUNK_WORDS) && !next_chunk(t, DICT_RESERVE))
		return 0;
	t->chunk->words[t->used] = vz_event(kind, id);
	t->chunk->words[t->used + 1] = word;
	vz_publish(t, t->used + 2);
	return 1;
}

static int put_one(struct vz_thread *t, unsigned kind, uint32_t id)
{
	if ((!t->chunk || t->used == VZ_CHUNK_WORDS) && !next_chunk(t, DICT_RESERVE))
		return 0;
	t->chunk->words[t->used] = vz_event(kind, id);
	vz_publish(t, t->used + 1);
	return 1;
}

uint32_t vz_ring_stack(struct vz_thread *t, unsigned why, unsigned skip)
{
	uint32_t depth, n = vz_stack_walk(t->ts, skip, &depth);

	if (!depth && why != VZ_STACK_AFTER_LOSS)
		return 0;
	if (!put_pair(t, VZ_EV_STACK, why, depth)) {
		drop(t);
		return depth;
	}
	for (uint32_t i = n; i > 0; i--) {
		if (!put_one(t, VZ_EV_OPEN, vz_stack_ids[i - 1])) {
			drop(t);
			break;
		}
	}
	return depth;
}

static unsigned entering(unsigned kind)
{
	return kind == VZ_EV_CALL || kind == VZ_EV_RESUME || kind == VZ_EV_THROW;
}

/* First room after a loss: say how much is missing and what the stack looks like now. */
static int resume_after_loss(struct vz_thread *t, unsigned kind)
{
	uint64_t lost = t->lost;

	if (!put_pair(t, VZ_EV_LOST, 0, lost))
		return 0;
	t->lost -= lost;
	/* The frame that is being entered is on the stack already; its event follows. */
	vz_ring_stack(t, VZ_STACK_AFTER_LOSS, entering(kind));
	return !t->lost;
}

static void set_limit(struct vz_thread *t)
{
	t->limit = VZ_CHUNK_WORDS;
	if (t->probes < MAX_PROBES && t->used + FIRST_PROBE_WORDS < VZ_CHUNK_WORDS)
		t->limit = t->used + FIRST_PROBE_WORDS;
}

static int64_t switch_stack(struct vz_thread *t, unsigned kind);

/*
 * Make room for one word of an event of KIND.  Returns its index in t->chunk, or
 * -1: dropped (counted), or we are a child.
 */
static int64_t make_room(struct vz_thread *t, unsigned kind)
{
	if (!vz_private->alive) {
		vz_agent_in_child();
		return -1;
	}
	if (!t->in_use)
		return -1;
	if (!t->slot->tid) { /* before the first chunk, by which the drain learns of us */
		t->slot->tid = (uint32_t)vz_sys(VZ_SYS_GETTID, 0, 0, 0);
		t->self = vz_thread_pointer();
	}
	if (t->probes < MAX_PROBES && t->seq) {
		t->probes = vz_name_thread(t) ? MAX_PROBES : t->probes + 1;
	}
	if ((!t->chunk || t->used >= VZ_CHUNK_WORDS) && !next_chunk(t, DICT_RESERVE))
		return drop(t);
	if (t->lost && !resume_after_loss(t, kind))
		return drop(t);
	if (t->used >= VZ_CHUNK_WORDS && !next_chunk(t, DICT_RESERVE))
		return drop(t);
	set_limit(t);
	if (*t->watch != t->watched)
		return switch_stack(t, kind);
	return t->used;
}

/* A cache: forgetting costs a snapshot that the drain finds to agree with what it knows. */
static unsigned first_seen(const struct vz_thread *t, uint64_t key)
{
	static uint64_t seen[KNOWN_STACKS];
	uint64_t mark = key ^ t->slot->generation << 1 ^ (uint64_t)t->index << 52;
	uint64_t *at = &seen[(key >> 12 ^ t->index) % KNOWN_STACKS];

	if (*at == mark)
		return 0;
	*at = mark;
	return 1;
}

/* The Python stack under this thread changed; same result. */
static int64_t switch_stack(struct vz_thread *t, unsigned kind)
{
	uint64_t key = vz_stack_key(t->ts);

	t->watched = *t->watch;
	if (!t->stack_key)
		t->stack_key = key;
	if (key == t->stack_key || !key)
		return t->used < t->limit ? (int64_t)t->used : make_room(t, kind);
	if (!t->switched && !put_pair(t, VZ_EV_SWITCH, VZ_SWITCH_FROM, t->stack_key))
		return drop(t);
	t->switched = 1;
	if (!put_pair(t, VZ_EV_SWITCH, VZ_SWITCH_TO, key))
		return drop(t);
	t->stack_key = key;
	if (first_seen(t, key))
		vz_ring_stack(t, VZ_STACK_FIRST_SEEN, entering(kind));
	if (t->used >= VZ_CHUNK_WORDS && !next_chunk(t, DICT_RESERVE))
		return drop(t);
	set_limit(t);
	return t->used;
}

void vz_put_slow(struct vz_thread *t, unsigned kind, uint32_t id)
{
	int64_t at = t->used;

	if (t->used >= t->limit)
		at = make_room(t, kind);
	else if (*t->watch != t->watched)
		at = switch_stack(t, kind);
	if (at < 0)
		return;
	t->chunk->words[at] = vz_event(kind, id);
	vz_publish(t, (uint32_t)at + 1);
}

struct vz_def *vz_dict_reserve(uint32_t words)
{
	struct vz_thread *dict = &vz_private->threads[VZ_DICT_SLOT];

	if ((!dict->chunk || dict->used + words > VZ_CHUNK_WORDS) && !next_chunk(dict, 0))
		return NULL;
	return (struct vz_def *)&dict->chunk->words[dict->used];
}

void vz_dict_commit(uint32_t words)
{
	struct vz_thread *dict = &vz_private->threads[VZ_DICT_SLOT];

	vz_publish(dict, dict->used + words);
}
