/* SPDX-License-Identifier: MIT */
/*
 * Whatever a target writes into the arena, and whenever: the drain does not
 * crash, does not loop, and the trace that it writes is whole.
 *
 * The input is a program for the hostile target: a byte, then records of eight
 * bytes.  If the byte is odd, a second thread runs the program over and over, so the
 * arena changes while it is read.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/drain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 1 << 19, SLOTS = 4, CHUNKS = 8, MAX_STEPS = 400 };

enum op {
	OP_POLL,
	OP_CONTROL, /* word of the control page */
	OP_SLOT,    /* field of a slot */
	OP_CHUNK,   /* field of a chunk's header */
	OP_WORD,    /* event word */
	OP_DEF,     /* half of a definition's header */
	OP_OPEN,    /* a plausible slot and chunk, so that the rest is reached */
	OP_EVENT,   /* a plausible event */
	OP_FOLLOW,  /* link a chunk to itself or another, in step with what was read */
	OPS,
};

struct step {
	uint8_t op, where;
	uint16_t at;
	uint32_t value;
};

struct stage {
	const uint8_t *program;
	size_t nsteps;
	bool stop; /* the second thread */
	struct vz_arena arena;
	struct vz_control *control;
	struct vz_slot *slots;
	struct vz_chunk *chunks;
};

static void open_slot(struct stage *s, const struct step *step)
{
	uint32_t i = step->where % SLOTS, c = step->at % CHUNKS;

	s->slots[i].state = VZ_SLOT_OPEN;
	s->slots[i].generation++;
	s->slots[i].first_chunk = c + 1;
	s->chunks[c].slot = i;
	s->chunks[c].seq = 0;
	s->chunks[c].next = 0;
	s->chunks[c].head = step->value % 64;
}

static void event(struct stage *s, const struct step *step)
{
	struct vz_chunk *c = &s->chunks[step->where % CHUNKS];

	if (c->head >= VZ_CHUNK_WORDS)
		return;
	c->words[c->head++] = (uint64_t)step->value << VZ_EV_TICK_SHIFT |
			      (uint64_t)(step->at >> 4) << VZ_EV_KIND_BITS | (step->at & 15);
}

static void follow(struct stage *s, const struct step *step)
{
	struct vz_chunk *c = &s->chunks[step->where % CHUNKS];

	c->next = 1 + step->at % CHUNKS;
	s->chunks[step->at % CHUNKS].slot = c->slot;
	s->chunks[step->at % CHUNKS].seq = s->control->returns_head + step->value % 4;
}

static void poll_bounded(const struct stage *s, struct vz_drain *drain)
{
	/* Each slot may follow as many links as there are chunks, and find each chunk new. */
	uint64_t most = (uint64_t)(s->arena.nchunks + 1) * VZ_CHUNK_WORDS * (SLOTS + 1);

	if (vz_drain_poll(drain) > most)
		abort();
}

/* DRAIN: NULL in the second thread, which does not read. */
static void play(struct stage *s, struct vz_drain *drain, const struct step *step)
{
	struct vz_chunk *c = &s->chunks[step->where % CHUNKS];
	uint64_t wide = (uint64_t)step->value << (step->at >> 12) * 4;

	switch ((enum op)(step->op % OPS)) {
	case OP_POLL:
		if (drain)
			poll_bounded(s, drain);
		break;
	case OP_CONTROL:
		((uint32_t *)s->control)[step->at % (sizeof(*s->control) / 4)] = step->value;
		break;
	case OP_SLOT:
		((uint32_t *)&s->slots[step->where % SLOTS])[step->at % 16] = step->value;
		break;
	case OP_CHUNK:
		((uint64_t *)c)[step->at % 3] = wide;
		break;
	case OP_WORD:
		c->words[step->at % 64] = wide | step->at;
		break;
	case OP_DEF:
		((uint32_t *)c->words)[step->at % 64] = step->value;
		break;
	case OP_OPEN:
		open_slot(s, step);
		break;
	case OP_EVENT:
		event(s, step);
		break;
	case OP_FOLLOW:
		follow(s, step);
		break;
	case OPS:
		break;
	}
}

static void play_all(struct stage *s, struct vz_drain *drain)
{
	for (size_t i = 0; i < s->nsteps; i++) {
		struct step step;

		memcpy(&step, s->program + i * sizeof(step), sizeof(step));
		play(s, drain, &step);
	}
}

static void *scribble(void *context)
{
	struct stage *s = context;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED))
		play_all(s, NULL);
	return NULL;
}

static void set_stage(struct stage *s, const uint8_t *data, size_t size)
{
	if (!s->arena.at) {
		if (vz_arena_plan(ARENA_BYTES, &s->arena) < 0)
			abort();
		s->arena.at = malloc(s->arena.bytes); /* its ends are watched */
		s->control = (struct vz_control *)s->arena.at;
		s->slots = (struct vz_slot *)(s->arena.at + s->arena.slots_offset);
		s->chunks = (struct vz_chunk *)(s->arena.at + s->arena.chunks_offset);
	}
	memset(s->control, 0, sizeof(*s->control));
	memset(s->slots, 0, SLOTS * sizeof(*s->slots));
	memset(s->chunks, 0, CHUNKS * sizeof(*s->chunks));
	s->control->nslots_used = SLOTS;
	s->slots[VZ_DICT_SLOT].state = VZ_SLOT_OPEN;
	s->program = data + 1;
	s->nsteps = (size - 1) / sizeof(struct step);
	if (s->nsteps > MAX_STEPS)
		s->nsteps = MAX_STEPS;
	s->stop = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct stage s;
	struct vz_clock_pair now = vz_clock_pair_now(true);
	struct vz_tracefile *tf;
	struct vz_clock_map clock;
	struct vz_drain *drain;
	pthread_t thread;
	struct vz_err err;
	bool live = size && data[0] % 2;
	int fd;

	if (!size)
		return 0;
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	set_stage(&s, data, size);
	vz_clock_init(&clock, true, now, now);
	if (vz_tracefile_new(fd, 1, now.ns, 1, &tf, &err) < 0 ||
	    vz_drain_new(&s.arena, tf, &clock, NULL, NULL, &drain) < 0 ||
	    (live && pthread_create(&thread, NULL, scribble, &s) != 0))
		abort();
	play_all(&s, drain);
	poll_bounded(&s, drain);
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	if (live)
		pthread_join(thread, NULL);
	vz_drain_finish(drain, vz_clock_pair_now(true).ns);
	if (vz_tracefile_finish(tf, vz_clock_pair_now(true).ns, "", &err) < 0)
		abort();
	vz_drain_free(drain);
	vz_tracefile_free(tf);
	close(fd);
	return 0;
}
