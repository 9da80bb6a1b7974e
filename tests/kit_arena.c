/* SPDX-License-Identifier: MIT */
#include "tests/kit_arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/kit_story.h"

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "kit_arena: %s\n", what);
	abort();
}

static void describe(void *context, uint32_t ns_tid, pid_t *tid, char *name, size_t size)
{
	(void)context;
	*tid = (pid_t)(ns_tid + 1000);
	if (ns_tid)
		snprintf(name, size, "t%u", ns_tid);
}

struct kit_arena *kit_arena_new(uint64_t bytes)
{
	struct kit_arena *k = calloc(1, sizeof(*k));
	struct vz_clock_pair now = vz_clock_pair_now(true);
	struct vz_err err;

	must(k && vz_arena_plan(bytes, &k->a) == 0, "plan");
	k->a.at = mmap(NULL, k->a.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(k->a.at != MAP_FAILED, "mmap");
	k->control = (struct vz_control *)k->a.at;
	k->slots = (struct vz_slot *)(k->a.at + k->a.slots_offset);
	k->chunks = (struct vz_chunk *)(k->a.at + k->a.chunks_offset);
	k->control->nslots_used = 1;
	k->slots[VZ_DICT_SLOT].state = VZ_SLOT_OPEN;
	k->ticks = now.ticks;
	vz_clock_init(&k->clock, true, now, now);
	k->fd = memfd_create("arena", MFD_CLOEXEC);
	must(vz_tracefile_new(k->fd, 1, now.ns, 1, &k->tf, &err) == 0, "tracefile");
	must(vz_drain_new(&k->a, k->tf, &k->clock, describe, NULL, &k->drain) == 0, "drain");
	return k;
}

static void link_chunk(struct kit_arena *k, uint32_t slot, uint32_t index)
{
	struct kit_producer *p = &k->producers[slot];
	struct vz_chunk *chunk = &k->chunks[index];

	chunk->next = 0;
	chunk->head = 0;
	chunk->slot = slot;
	chunk->seq = p->seq++;
	*(p->chunk ? &p->chunk->next : &k->slots[slot].first_chunk) = index + 1;
	p->chunk = chunk;
	p->used = 0;
}

/* From what the drain gave back, else one that was never used. */
void kit_new_chunk(struct kit_arena *k, uint32_t slot)
{
	uint32_t *queue = (uint32_t *)(k->a.at + k->a.returns_offset);
	struct vz_control *c = k->control;

	if (k->next_chunk < k->a.nchunks) {
		link_chunk(k, slot, k->next_chunk++);
		return;
	}
	must(c->returns_tail != c->returns_head, "no chunk was given back");
	link_chunk(k, slot, queue[c->returns_tail++ & (k->a.nreturns - 1)]);
}

void kit_slot_open(struct kit_arena *k, uint32_t slot, uint32_t tid)
{
	struct vz_slot *s = &k->slots[slot];

	must(s->state == VZ_SLOT_FREE, "slot in use");
	k->producers[slot] = (struct kit_producer){ 0 };
	*s = (struct vz_slot){ .state = VZ_SLOT_OPEN,
			       .tid = tid,
			       .generation = s->generation + 1,
			       .start_ticks = k->ticks };
	if (slot >= k->control->nslots_used)
		k->control->nslots_used = slot + 1;
}

void kit_slot_close(struct kit_arena *k, uint32_t slot)
{
	k->slots[slot].state = VZ_SLOT_CLOSED;
}

static uint64_t *room(struct kit_arena *k, uint32_t slot, uint32_t words)
{
	struct kit_producer *p = &k->producers[slot];

	if (!p->chunk || p->used + words > VZ_CHUNK_WORDS)
		kit_new_chunk(k, slot);
	return &p->chunk->words[p->used];
}

static void publish(struct kit_arena *k, uint32_t slot, uint32_t words)
{
	struct kit_producer *p = &k->producers[slot];

	p->used += words;
	p->chunk->head = p->used;
}

void kit_word(struct kit_arena *k, uint32_t slot, uint64_t word)
{
	*room(k, slot, 1) = word;
	publish(k, slot, 1);
}

static uint64_t event(struct kit_arena *k, unsigned kind, uint32_t id)
{
	return k->ticks++ << VZ_EV_TICK_SHIFT | (uint64_t)id << VZ_EV_KIND_BITS | kind;
}

void kit_event(struct kit_arena *k, uint32_t slot, unsigned kind, uint32_t id)
{
	kit_word(k, slot, event(k, kind, id));
}

void kit_pair(struct kit_arena *k, uint32_t slot, unsigned kind, uint32_t id, uint64_t extra)
{
	uint64_t *to = room(k, slot, 2);

	to[0] = event(k, kind, id);
	to[1] = extra;
	publish(k, slot, 2);
}

void kit_def(struct kit_arena *k, struct vz_def def, const char *name, const char *file)
{
	size_t name_len = strlen(name), file_len = strlen(file);
	uint32_t words = (uint32_t)(sizeof(def) + name_len + file_len + 7) / 8;
	uint64_t *to = room(k, VZ_DICT_SLOT, words);

	def.words = (uint16_t)words;
	def.name_len = (uint16_t)name_len;
	def.file_len = (uint16_t)file_len;
	memset(to, 0, words * 8);
	memcpy(to, &def, sizeof(def));
	memcpy((char *)to + sizeof(def), name, name_len);
	memcpy((char *)to + sizeof(def) + name_len, file, file_len);
	publish(k, VZ_DICT_SLOT, words);
}

char *kit_arena_story(struct kit_arena *k, struct vz_drain_totals *totals)
{
	struct vz_err err;
	uint64_t now = vz_clock_pair_now(true).ns;

	vz_drain_finish(k->drain, now);
	vz_drain_totals(k->drain, totals);
	must(vz_tracefile_finish(k->tf, now, "", &err) == 0, "finish");
	return kit_story(k->fd, NULL);
}

void kit_arena_free(struct kit_arena *k)
{
	vz_drain_free(k->drain);
	vz_tracefile_free(k->tf);
	munmap(k->a.at, k->a.bytes);
	close(k->fd);
	free(k);
}
