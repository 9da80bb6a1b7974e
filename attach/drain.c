/* SPDX-License-Identifier: MIT */
#include "attach/drain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/lane.h"
#include "attach/util.h"

enum {
	PAGE = 4096,
	MIN_CHUNKS = 32,
	/* Clocks of two CPUs may differ by a few ticks: an event "from the future" is not from 2^40
	   ticks ago. */
	FUTURE_TICKS = 1 << 20,
	EARLY_NAME_MAX = 256,
	DICT_CHUNKS_AT_ONCE = 1 << 12, /* more than could be new since the last look */
	RECORD_KIND_MASK = (1 << VZ_EV_KIND_BITS) - 1,
	RECORD_ID_MASK = (1 << VZ_EV_ID_BITS) - 1,
};

#define TICK_MASK   ((UINT64_C(1) << VZ_EV_TICK_BITS) - 1)
#define POLL_MAX_NS (UINT64_C(100) * 1000000u)

/* One slot of the arena as we follow it. */
struct source {
	struct vz_lane *lane; /* NULL: not open */
	uint64_t generation;
	uint64_t lost_seen;
	uint64_t seq;
	uint32_t chunk; /* index + 1 of the chunk being read, 0: none yet */
	uint32_t pos;
	bool damaged;              /* until the slot is opened again */
	char *early_name;          /* came before we saw the slot open; */
	uint32_t early_generation; /* for which of its lives */
};

struct vz_drain {
	struct vz_arena arena;
	const struct vz_clock_map *clock;
	vz_drain_thread_fn describe;
	void *context;
	struct source *sources;
	uint8_t *defined; /* bit map of function ids */
	struct vz_lanes lanes;
	struct vz_drain_totals totals;
	uint64_t now_ticks; /* not before any event of the chunk that is being read */
	uint64_t poll_end_ns;
	uint32_t returns_head; /* what the target makes of ours does not matter */
	uint32_t first_slot;   /* where a poll begins: where the one before ran out of time */
	uint64_t def_words[VZ_CHUNK_WORDS];
};

int vz_arena_plan(uint64_t bytes, struct vz_arena *ret)
{
	uint64_t fixed = PAGE + (uint64_t)VZ_MAX_SLOTS * sizeof(struct vz_slot);
	uint64_t nchunks = bytes / VZ_CHUNK_BYTES;

	memset(ret, 0, sizeof(*ret));
	if (nchunks < MIN_CHUNKS || nchunks > UINT32_MAX / 4)
		return -EINVAL;
	ret->nslots = VZ_MAX_SLOTS;
	ret->nchunks = (uint32_t)nchunks;
	for (ret->nreturns = 1; ret->nreturns <= ret->nchunks;)
		ret->nreturns *= 2;
	ret->slots_offset = PAGE;
	ret->returns_offset = fixed;
	ret->chunks_offset =
		(fixed + (uint64_t)ret->nreturns * 4 + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	ret->bytes = ret->chunks_offset + nchunks * VZ_CHUNK_BYTES;
	return 0;
}

static struct vz_control *control(const struct vz_drain *d)
{
	return (struct vz_control *)d->arena.at;
}

static struct vz_slot *slot(const struct vz_drain *d, uint32_t i)
{
	return (struct vz_slot *)(d->arena.at + d->arena.slots_offset) + i;
}

static struct vz_chunk *chunk(const struct vz_drain *d, uint32_t index_plus_1)
{
	return (struct vz_chunk *)(d->arena.at + d->arena.chunks_offset) + (index_plus_1 - 1);
}

int vz_drain_new(const struct vz_arena *arena, struct vz_tracefile *tf,
		 const struct vz_clock_map *clock, vz_drain_thread_fn describe, void *context,
		 struct vz_drain **ret)
{
	struct vz_drain *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->arena = *arena;
	d->lanes.tf = tf;
	d->lanes.totals = &d->totals;
	d->clock = clock;
	d->describe = describe;
	d->context = context;
	d->sources = calloc(arena->nslots, sizeof(*d->sources));
	d->defined = calloc(1, VZ_MAX_FUNCTIONS / 8);
	d->lanes.is_c = calloc(1, VZ_MAX_FUNCTIONS / 8);
	if (!d->sources || !d->defined || !d->lanes.is_c) {
		vz_drain_free(d);
		return -ENOMEM;
	}
	*ret = d;
	return 0;
}

/* The chunk is ours no more. */
static void give_back(struct vz_drain *d, uint32_t index_plus_1)
{
	uint32_t *queue = (uint32_t *)(d->arena.at + d->arena.returns_offset);

	queue[d->returns_head++ & (d->arena.nreturns - 1)] = index_plus_1 - 1;
	/* Pairs with the acquire load in payload/ring.c. */
	__atomic_store_n(&control(d)->returns_head, d->returns_head, __ATOMIC_RELEASE);
}

static void damage(struct vz_drain *d, struct source *s)
{
	s->damaged = true;
	d->totals.damaged++;
}

/* Move S to the chunk with this index; false if that is not a chunk of its own. */
static bool enter_chunk(struct vz_drain *d, struct source *s, uint32_t slot_index, uint32_t next)
{
	struct vz_chunk *c;

	if (next > d->arena.nchunks) {
		damage(d, s);
		return false;
	}
	c = chunk(d, next);
	if (c->slot != slot_index || c->seq != s->seq) {
		damage(d, s);
		return false;
	}
	s->seq++;
	s->chunk = next;
	s->pos = 0;
	return true;
}

/* ---- definitions ------------------------------------------------------- */

static void define_thread(struct vz_drain *d, const struct vz_def *def, const char *name)
{
	size_t len = def->name_len < EARLY_NAME_MAX ? def->name_len : EARLY_NAME_MAX;
	struct source *s;

	if (def->id >= d->arena.nslots)
		return;
	s = &d->sources[def->id];
	if (s->lane && (uint32_t)s->generation == def->line) {
		vz_lane_name(s->lane, name, len);
		return;
	}
	free(s->early_name);
	s->early_name = strndup(name, len);
	s->early_generation = def->line;
}

static void use_early_name(struct source *s)
{
	if (s->early_name && s->early_generation == (uint32_t)s->generation)
		vz_lane_name(s->lane, s->early_name, strlen(s->early_name));
	free(s->early_name);
	s->early_name = NULL;
}

static void define(struct vz_drain *d, const struct vz_def *def, const char *text)
{
	if (def->kind == VZ_DEF_THREAD) {
		define_thread(d, def, text);
		return;
	}
	if ((def->kind != VZ_DEF_PYTHON && def->kind != VZ_DEF_C) || def->id >= VZ_MAX_FUNCTIONS ||
	    def->id == 0)
		return;
	if (d->defined[def->id / 8] >> (def->id % 8) & 1)
		return; /* the first definition counts */
	d->defined[def->id / 8] |= (uint8_t)(1u << (def->id % 8));
	if (def->kind == VZ_DEF_C)
		d->lanes.is_c[def->id / 8] |= (uint8_t)(1u << (def->id % 8));
	d->totals.functions++;
	vz_tracefile_function(d->lanes.tf, def->id, def->kind, text,
			      def->name_len < VZ_DEF_NAME_MAX ? def->name_len : VZ_DEF_NAME_MAX,
			      text + def->name_len,
			      def->file_len < VZ_DEF_FILE_MAX ? def->file_len : VZ_DEF_FILE_MAX,
			      def->line);
}

/* The records of one dictionary chunk from POS on; the words were copied, so they no longer change.
 */
static uint32_t take_definitions(struct vz_drain *d, uint32_t pos, uint32_t head)
{
	while (pos + sizeof(struct vz_def) / 8 <= head) {
		struct vz_def def;
		uint64_t text;

		memcpy(&def, &d->def_words[pos], sizeof(def));
		text = (uint64_t)def.words * 8 - sizeof(def);
		if (def.words < sizeof(def) / 8 || def.words > head - pos ||
		    (uint64_t)def.name_len + def.file_len > text)
			return VZ_CHUNK_WORDS + 1;
		define(d, &def, (const char *)&d->def_words[pos] + sizeof(def));
		pos += def.words;
	}
	return pos;
}

static void copy_words(const struct vz_chunk *c, uint64_t *to, uint32_t from, uint32_t end)
{
	for (uint32_t i = from; i < end; i++)
		to[i] = __atomic_load_n(&c->words[i], __ATOMIC_RELAXED);
}

/* Returns words taken from the current chunk. */
static uint64_t take_dict_chunk(struct vz_drain *d, struct source *s, uint32_t head)
{
	uint32_t begin = s->pos, end;

	copy_words(chunk(d, s->chunk), d->def_words, begin, head);
	end = take_definitions(d, begin, head);
	if (end > VZ_CHUNK_WORDS) {
		damage(d, s);
		return 0;
	}
	s->pos = end;
	return end - begin;
}

/* ---- events ------------------------------------------------------------ */

static uint64_t event_ns(const struct vz_drain *d, uint64_t word)
{
	uint64_t limit = d->now_ticks + FUTURE_TICKS;

	return vz_clock_ns(d->clock, limit - ((limit - (word >> VZ_EV_TICK_SHIFT)) & TICK_MASK));
}

static bool late(const struct vz_drain *d)
{
	return vz_now_ns() >= d->poll_end_ns;
}

static void take_dict(struct vz_drain *d);

static bool defined(const struct vz_drain *d, uint32_t id)
{
	return d->defined[id / 8] >> (id % 8) & 1;
}

/*
 * A definition is published before the first event that uses it, but the
 * dictionary may have been read before either: read on, and only then give up.
 */
static void find_definition(struct vz_drain *d, uint32_t id)
{
	static const char name[] = "<unknown>";

	if (id)
		take_dict(d);
	if (defined(d, id))
		return;
	d->defined[id / 8] |= (uint8_t)(1u << (id % 8));
	vz_tracefile_function(d->lanes.tf, id, VZ_DEF_PYTHON, name, sizeof(name) - 1, "", 0, 0);
}

static uint64_t take_event_chunk(struct vz_drain *d, struct source *s, uint32_t head)
{
	const struct vz_chunk *c = chunk(d, s->chunk);
	uint32_t begin = s->pos;

	while (s->pos < head) {
		uint64_t word = __atomic_load_n(&c->words[s->pos], __ATOMIC_RELAXED), extra = 0;
		unsigned kind = (unsigned)word & RECORD_KIND_MASK;
		uint32_t id = (uint32_t)(word >> VZ_EV_KIND_BITS) & RECORD_ID_MASK;
		bool pair = kind == VZ_EV_STACK || kind == VZ_EV_SWITCH || kind == VZ_EV_LOST;

		if (kind == VZ_EV_NONE || kind > VZ_EV_LOST || (pair && s->pos + 1 >= head)) {
			damage(d, s);
			break;
		}
		if (pair)
			extra = __atomic_load_n(&c->words[s->pos + 1], __ATOMIC_RELAXED);
		else if (!defined(d, id))
			find_definition(d, id);
		d->totals.unknown_functions += !pair && !id;
		if (vz_lane_event(s->lane, kind, id, extra, event_ns(d, word)) < 0) {
			damage(d, s);
			break;
		}
		s->pos += 1 + pair;
	}
	return s->pos - begin;
}

/* One chunk; *NEXT: 0, or the one that follows this one, which is done. */
static uint64_t take_chunk(struct vz_drain *d, uint32_t index, uint32_t *next)
{
	struct source *s = &d->sources[index];
	struct vz_chunk *c = chunk(d, s->chunk);
	uint64_t head;

	/* The link first: once it is there, the head is final. */
	*next = __atomic_load_n(&c->next, __ATOMIC_ACQUIRE);
	head = __atomic_load_n(&c->head, __ATOMIC_ACQUIRE);
	/* After the head: what it covers is older than now. */
	d->now_ticks = vz_clock_ticks(d->clock->is_ns);
	if (head > VZ_CHUNK_WORDS || head < s->pos) {
		damage(d, s);
		return 0;
	}
	return index == VZ_DICT_SLOT ? take_dict_chunk(d, s, (uint32_t)head)
				     : take_event_chunk(d, s, (uint32_t)head);
}

/* Has S a chunk to read, perhaps its first? */
static bool has_chunk(struct vz_drain *d, struct source *s, uint32_t index)
{
	uint32_t first;

	if (s->damaged || s->chunk)
		return !s->damaged;
	first = __atomic_load_n(&slot(d, index)->first_chunk, __ATOMIC_ACQUIRE);
	return first && enter_chunk(d, s, index, first);
}

/*
 * What is published in this slot's chunks, following the links.  *DONE: that was all.  Both the
 * time and the number of chunks are bounded: a target that writes as fast as we read, or links
 * its chunks in a circle, has to wait for the next poll.
 */
static uint64_t take_slot(struct vz_drain *d, uint32_t index, bool *done)
{
	struct source *s = &d->sources[index];
	uint64_t words = 0;

	*done = true;
	if (!has_chunk(d, s, index))
		return 0;
	for (uint32_t chunks = 0;; chunks++) {
		uint32_t next, taken = s->chunk;

		words += take_chunk(d, index, &next);
		if (!next || s->damaged || !enter_chunk(d, s, index, next))
			return words;
		give_back(d, taken);
		if (chunks == d->arena.nchunks || late(d))
			break;
	}
	*done = false;
	return words;
}

/* All of the dictionary, however late it is: events wait for it. */
static void take_dict(struct vz_drain *d)
{
	struct source *s = &d->sources[VZ_DICT_SLOT];
	uint64_t end = d->poll_end_ns;
	bool done = false;

	d->poll_end_ns = UINT64_MAX;
	for (uint32_t chunks = 0; !done; chunks += d->arena.nchunks) {
		take_slot(d, VZ_DICT_SLOT, &done);
		if (!done && chunks > DICT_CHUNKS_AT_ONCE) {
			damage(d, s);
			break;
		}
	}
	d->poll_end_ns = end;
}

/* ---- slots ------------------------------------------------------------- */

static void open_source(struct vz_drain *d, uint32_t index, uint64_t generation)
{
	struct source *s = &d->sources[index];
	struct vz_slot *sl = slot(d, index);
	char name[64] = "";
	uint32_t ns_tid = __atomic_load_n(&sl->tid, __ATOMIC_RELAXED);
	uint64_t start = __atomic_load_n(&sl->start_ticks, __ATOMIC_RELAXED), ns, now;
	pid_t tid = (pid_t)ns_tid;

	if (d->describe)
		d->describe(d->context, ns_tid, &tid, name, sizeof(name));
	*s = (struct source){ .generation = generation,
			      .early_name = s->early_name,
			      .early_generation = s->early_generation };
	ns = vz_clock_ns(d->clock, start);
	now = vz_clock_ns(d->clock, d->now_ticks);
	if (start > d->now_ticks || ns > now) /* also where the map would go below 0 */
		ns = now;
	s->lane = vz_lane_new(&d->lanes, tid, sl->flags, ns);
	if (!s->lane)
		return;
	d->totals.threads++;
	if (name[0])
		vz_lane_name(s->lane, name, strlen(name));
	use_early_name(s);
}

static void count_lost(struct vz_drain *d, uint32_t index)
{
	struct source *s = &d->sources[index];
	uint64_t lost = __atomic_load_n(&slot(d, index)->lost, __ATOMIC_RELAXED);

	if (lost > s->lost_seen)
		d->totals.lost += lost - s->lost_seen;
	s->lost_seen = lost;
}

static void close_source(struct vz_drain *d, uint32_t index, uint64_t ns)
{
	struct source *s = &d->sources[index];

	if (!s->lane)
		return;
	count_lost(d, index);
	vz_lane_end(s->lane, ns, s->lost_seen);
	s->lane = NULL;
}

/* The slot was closed and all of it was read. */
static void retire(struct vz_drain *d, uint32_t index)
{
	struct source *s = &d->sources[index];
	uint32_t last = s->damaged ? 0 : s->chunk;

	take_dict(d); /* its name may have come last */
	close_source(d, index, vz_clock_ns(d->clock, d->now_ticks));
	s->chunk = 0;
	if (last)
		give_back(d, last);
}

static void free_slot(struct vz_slot *sl)
{
	/* Pairs with the acquire load in payload/ring.c: the slot may be used again. */
	__atomic_store_n(&sl->state, VZ_SLOT_FREE, __ATOMIC_RELEASE);
}

/* Is there something to read in a slot in this STATE?  Begins to follow it if it is new. */
static bool follow(struct vz_drain *d, uint32_t index, uint32_t state)
{
	struct source *s = &d->sources[index];
	struct vz_slot *sl = slot(d, index);
	uint64_t generation = __atomic_load_n(&sl->generation, __ATOMIC_RELAXED);

	if (s->lane)
		return true;
	if (s->damaged && s->generation == generation)
		return false;
	/* Until its first event a thread may not know its own number. */
	if (!__atomic_load_n(&sl->first_chunk, __ATOMIC_ACQUIRE)) {
		if (state == VZ_SLOT_CLOSED)
			free_slot(sl);
		return false;
	}
	open_source(d, index, generation);
	return s->lane;
}

static uint64_t poll_slot(struct vz_drain *d, uint32_t index)
{
	struct vz_slot *sl = slot(d, index);
	/* Before the heads: what was published when it was closed is all that comes. */
	uint32_t state = __atomic_load_n(&sl->state, __ATOMIC_ACQUIRE);
	uint64_t words;
	bool done;

	if ((state != VZ_SLOT_OPEN && state != VZ_SLOT_CLOSED) || !follow(d, index, state))
		return 0;
	words = take_slot(d, index, &done);
	count_lost(d, index);
	if (state == VZ_SLOT_CLOSED && done) {
		retire(d, index);
		free_slot(sl);
	}
	return words;
}

uint64_t vz_drain_poll(struct vz_drain *d)
{
	uint32_t used = __atomic_load_n(&control(d)->nslots_used, __ATOMIC_ACQUIRE);
	uint64_t words = 0;

	if (used > d->arena.nslots)
		used = d->arena.nslots;
	d->now_ticks = vz_clock_ticks(d->clock->is_ns);
	d->poll_end_ns = vz_now_ns() + POLL_MAX_NS;
	for (uint32_t i = 1; i < used; i++) {
		/* Where there is too much to read, each slot gets its turn to be first. */
		uint32_t index = 1 + (d->first_slot + i - 1) % (used - 1);

		words += poll_slot(d, index);
		if (late(d)) {
			d->first_slot = index; /* one less than the next, as they count from 1 */
			break;
		}
	}
	/* Last, since names of threads want their slot to be open. */
	take_dict(d);
	return words;
}

void vz_drain_finish(struct vz_drain *d, uint64_t ns)
{
	for (uint32_t i = 1; i < d->arena.nslots; i++)
		close_source(d, i, ns);
	d->totals.lost += control(d)->lost_no_slot;
}

void vz_drain_totals(const struct vz_drain *d, struct vz_drain_totals *ret)
{
	*ret = d->totals;
}

void vz_drain_free(struct vz_drain *d)
{
	if (!d)
		return;
	for (uint32_t i = 0; d->sources && i < d->arena.nslots; i++) {
		vz_lane_end(d->sources[i].lane, 0, 0);
		free(d->sources[i].early_name);
	}
	free(d->sources);
	free(d->defined);
	free(d->lanes.is_c);
	free(d);
}
