/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/kit_arena.h"
#include "tests/kit_story.h"

enum { SMALL = 1 << 20 };

static void def(struct kit_arena *k, uint32_t id, const char *name)
{
	kit_def(k, (struct vz_def){ .id = id, .kind = VZ_DEF_PYTHON, .line = id }, name, "f.py");
}

/* Finish and compare. */
static void expect(struct kit_arena *k, const char *story, struct vz_drain_totals *totals)
{
	char *told = kit_arena_story(k, totals);

	cr_assert_str_eq(told, story);
	free(told);
	kit_arena_free(k);
}

static unsigned returned(const struct kit_arena *k)
{
	return k->control->returns_head - k->control->returns_tail;
}

/* ---- the plan ---------------------------------------------------------- */

Test(drain, plan)
{
	static const uint64_t sizes[] = { 1 << 19, 1 << 20, (1 << 20) + 1, 64 << 20,
					  UINT64_C(4) << 30 };
	struct vz_arena a;

	cr_assert_eq(vz_arena_plan(0, &a), -EINVAL);
	cr_assert_eq(vz_arena_plan((1 << 19) - 1, &a), -EINVAL);
	cr_assert_eq(vz_arena_plan(UINT64_MAX, &a), -EINVAL);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		cr_assert_eq(vz_arena_plan(sizes[i], &a), 0);
		cr_assert_eq(a.nchunks, sizes[i] / VZ_CHUNK_BYTES);
		cr_assert_geq(a.slots_offset, sizeof(struct vz_control));
		cr_assert_geq(a.returns_offset, a.slots_offset + a.nslots * sizeof(struct vz_slot));
		cr_assert_geq(a.chunks_offset, a.returns_offset + 4u * (uint64_t)a.nreturns);
		cr_assert_eq(a.bytes, a.chunks_offset + (uint64_t)a.nchunks * VZ_CHUNK_BYTES);
		/* the queue never overtakes itself: all chunks fit, and it is a power of two */
		cr_assert_gt(a.nreturns, a.nchunks);
		cr_assert_eq(a.nreturns & (a.nreturns - 1), 0);
		cr_assert_eq(a.chunks_offset % 4096, 0);
	}
}

/* ---- what a target writes ---------------------------------------------- */

Test(drain, events_of_threads_with_names)
{
	struct kit_arena *k = kit_arena_new(SMALL);
	struct vz_drain_totals totals;

	def(k, 1, "f");
	kit_def(k, (struct vz_def){ .id = 2, .kind = VZ_DEF_C }, "len", "builtins");
	kit_slot_open(k, 1, 11);
	kit_slot_open(k, 2, 0);
	kit_event(k, 1, VZ_EV_CALL, 1);
	kit_event(k, 1, VZ_EV_C_CALL, 2);
	kit_event(k, 2, VZ_EV_CALL, 1);
	cr_assert_eq(vz_drain_poll(k->drain), 3);
	cr_assert_eq(vz_drain_poll(k->drain), 0);
	kit_event(k, 1, VZ_EV_C_RETURN, 2);
	kit_event(k, 2, VZ_EV_UNWIND, 1);
	kit_def(k, (struct vz_def){ .id = 2, .kind = VZ_DEF_THREAD, .line = 1 }, "pool", "");
	kit_def(k, (struct vz_def){ .id = 2, .kind = VZ_DEF_THREAD, .line = 9 }, "of another", "");
	kit_def(k, (struct vz_def){ .id = 1 << 30, .kind = VZ_DEF_THREAD, .line = 1 }, "nobody",
		"");
	cr_assert_eq(vz_drain_poll(k->drain), 2);
	expect(k, "t11: +f +len -len =f\npool: +f ^f\n", &totals);
	cr_assert_eq(totals.events, 5);
	cr_assert_eq(totals.threads, 2);
	cr_assert_eq(totals.functions, 2);
	cr_assert_eq(totals.damaged + totals.lost + totals.unknown_functions, 0);
}

/* A definition that comes in the same moment as its first use, after the dictionary was read. */
Test(drain, a_definition_is_found_when_it_is_needed)
{
	struct kit_arena *k = kit_arena_new(SMALL);
	struct vz_drain_totals totals;

	kit_slot_open(k, 1, 11);
	def(k, 1, "f");
	cr_assert_eq(vz_drain_poll(k->drain), 0);
	def(k, 3, "g");
	kit_event(k, 1, VZ_EV_CALL, 3);
	kit_event(k, 1, VZ_EV_CALL, 2); /* never defined */
	kit_event(k, 1, VZ_EV_CALL, 0); /* the target's table was full */
	vz_drain_poll(k->drain);
	def(k, 2, "too late");
	vz_drain_poll(k->drain);
	expect(k, "t11: +g +<unknown> +<unknown> =<unknown> =<unknown> =g\n", &totals);
	cr_assert_eq(totals.unknown_functions, 1);
	cr_assert_eq(totals.functions, 2);
}

Test(drain, the_first_definition_counts)
{
	struct kit_arena *k = kit_arena_new(SMALL);
	struct vz_drain_totals totals;

	kit_slot_open(k, 1, 11);
	def(k, 1, "first");
	def(k, 1, "second");
	def(k, 0, "zero");
	def(k, VZ_MAX_FUNCTIONS, "outside");
	kit_def(k, (struct vz_def){ .id = 7, .kind = 77 }, "no such kind", "");
	kit_event(k, 1, VZ_EV_CALL, 1);
	vz_drain_poll(k->drain);
	expect(k, "t11: +first =first\n", &totals);
	cr_assert_eq(totals.functions, 1);
	cr_assert_eq(totals.damaged, 0);
}

/* Chunks are read in their order, each is given back once, and all of them come round. */
Test(drain, chunks_are_chained_and_given_back)
{
	struct kit_arena *k = kit_arena_new(SMALL);
	struct vz_drain_totals totals;
	const unsigned rounds = 3 * k->a.nchunks;
	char *story;

	def(k, 1, "f");
	kit_slot_open(k, 1, 11);
	for (unsigned i = 0; i < rounds; i++) {
		for (unsigned n = 0; n < VZ_CHUNK_WORDS; n += 2) {
			kit_event(k, 1, VZ_EV_CALL, 1);
			kit_event(k, 1, VZ_EV_RETURN, 1);
		}
		kit_new_chunk(k, 1);
		cr_assert_eq(vz_drain_poll(k->drain), VZ_CHUNK_WORDS);
	}
	cr_assert_eq(k->control->returns_head, rounds);
	story = kit_arena_story(k, &totals);
	cr_assert_eq(totals.events, (uint64_t)rounds * VZ_CHUNK_WORDS);
	cr_assert_eq(totals.damaged + totals.orphan_exits + totals.unseen_exits, 0);
	cr_assert_eq(kit_story_count(story, "-f"), rounds * VZ_CHUNK_WORDS / 2);
	free(story);
	kit_arena_free(k);
}

Test(drain, slots_are_used_again)
{
	struct kit_arena *k = kit_arena_new(SMALL);
	struct vz_drain_totals totals;

	def(k, 1, "f");
	def(k, 2, "g");
	kit_slot_open(k, 1, 11);
	kit_event(k, 1, VZ_EV_CALL, 1);
	kit_slot_close(k, 1);
	/* the name may come last */
	kit_def(k, (struct vz_def){ .id = 1, .kind = VZ_DEF_THREAD, .line = 1 }, "first", "");
	vz_drain_poll(k->drain);
	cr_assert_eq(k->slots[1].state, VZ_SLOT_FREE);
	cr_assert_eq(returned(k), 1);
	kit_slot_open(k, 1, 12);
	kit_event(k, 1, VZ_EV_CALL, 2);
	kit_event(k, 1, VZ_EV_RETURN, 2);
	kit_slot_close(k, 1);
	vz_drain_poll(k->drain);
	kit_slot_open(k, 1, 13); /* without events */
	kit_slot_close(k, 1);
	vz_drain_poll(k->drain);
	cr_assert_eq(k->slots[1].state, VZ_SLOT_FREE);
	cr_assert_eq(returned(k), 2);
	expect(k, "first: +f =f\nt12: +g -g\n", &totals);
	cr_assert_eq(totals.threads, 2, "a thread without events needs no timeline");
	cr_assert_eq(totals.damaged, 0);
}

Test(drain, losses_are_counted_once)
{
	struct kit_arena *k = kit_arena_new(SMALL);
	struct vz_drain_totals totals;

	def(k, 1, "f");
	kit_slot_open(k, 1, 11);
	kit_event(k, 1, VZ_EV_CALL, 1);
	k->slots[1].lost = 5;
	vz_drain_poll(k->drain);
	kit_pair(k, 1, VZ_EV_LOST, 0, 5);
	kit_pair(k, 1, VZ_EV_STACK, VZ_STACK_AFTER_LOSS, 1);
	kit_event(k, 1, VZ_EV_OPEN, 1);
	kit_event(k, 1, VZ_EV_RETURN, 1);
	vz_drain_poll(k->drain);
	k->slots[1].lost = 7; /* and no room to say so */
	vz_drain_poll(k->drain);
	vz_drain_poll(k->drain);
	k->control->lost_no_slot = 100;
	expect(k, "t11: +f L5 -f L2\n", &totals);
	cr_assert_eq(totals.lost, 107);
}

/* The low 40 bits of the counter wrap: the time is that of the last wrap before now. */
Test(drain, ticks_wrap)
{
	struct kit_arena *k = kit_arena_new(SMALL);
	const uint64_t now = k->ticks, wrap = UINT64_C(1) << VZ_EV_TICK_BITS;
	uint8_t *bytes;
	struct vz_reader *r;
	struct vz_drain_totals totals;
	const uint64_t times[] = { now - 20, now - 10, now };

	def(k, 1, "f");
	kit_slot_open(k, 1, 11);
	k->slots[1].start_ticks = now - 30;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		k->ticks = times[i] + (i == 1 ? 5 * wrap : 0); /* higher bits do not matter */
		kit_event(k, 1, VZ_EV_CALL, 1);
	}
	vz_drain_poll(k->drain);
	free(kit_arena_story(k, &totals));
	r = kit_open(k->fd, &bytes);
	cr_assert_eq(vz_reader_nblocks(r), 1);
	cr_assert_eq(vz_reader_track(r, 0)->begin_ns, now - 30);
	cr_assert_eq(vz_reader_block(r, 0)->t0_ns, now - 20);
	cr_assert_eq(vz_reader_block(r, 0)->t1_ns, now);
	vz_reader_free(r);
	free(bytes);
	kit_arena_free(k);
}

/* ---- what a target must not be able to do ------------------------------ */

/* A slot with two good events, then something bad. */
static struct kit_arena *two_events(void)
{
	struct kit_arena *k = kit_arena_new(SMALL);

	def(k, 1, "f");
	kit_slot_open(k, 1, 11);
	kit_slot_open(k, 2, 12);
	kit_event(k, 1, VZ_EV_CALL, 1);
	kit_event(k, 1, VZ_EV_RETURN, 1);
	kit_event(k, 2, VZ_EV_CALL, 1);
	return k;
}

static void head_too_large(struct kit_arena *k)
{
	k->producers[1].chunk->head = VZ_CHUNK_WORDS + 1;
}

static void head_huge(struct kit_arena *k)
{
	k->producers[1].chunk->head = UINT64_MAX;
}

static void head_runs_back(struct kit_arena *k)
{
	vz_drain_poll(k->drain);
	k->producers[1].chunk->head = 1;
}

static void a_kind_of_zero(struct kit_arena *k)
{
	kit_word(k, 1, 0);
}

static void a_kind_that_is_none(struct kit_arena *k)
{
	kit_word(k, 1, 15);
}

static void half_a_pair(struct kit_arena *k)
{
	kit_event(k, 1, VZ_EV_LOST, 0);
}

static void link_outside(struct kit_arena *k)
{
	k->producers[1].chunk->next = k->a.nchunks + 1;
}

static void link_to_itself(struct kit_arena *k)
{
	k->producers[1].chunk->next = k->slots[1].first_chunk;
}

static void link_to_anothers(struct kit_arena *k)
{
	k->producers[1].chunk->next = k->slots[2].first_chunk;
}

static void chunks_out_of_order(struct kit_arena *k)
{
	kit_new_chunk(k, 1);
	k->producers[1].chunk->seq = 7;
}

/* Damage of one thread is noticed, counted once, and does not touch what came before nor the
 * others. */
Test(drain, damage_stays_where_it_is)
{
	static const struct {
		const char *label;
		void (*harm)(struct kit_arena *k);
		bool first_is_lost; /* the chunk itself cannot be trusted */
	} harms[] = {
		{ "head too large", head_too_large, true },
		{ "head huge", head_huge, true },
		{ "head runs back", head_runs_back, false },
		{ "kind 0", a_kind_of_zero, false },
		{ "kind 15", a_kind_that_is_none, false },
		{ "half a pair", half_a_pair, false },
		{ "link outside", link_outside, false },
		{ "link to itself", link_to_itself, false },
		{ "link to another's", link_to_anothers, false },
		{ "out of order", chunks_out_of_order, false },
	};

	for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
		struct kit_arena *k = two_events();
		struct vz_drain_totals totals;
		char *story;

		harms[i].harm(k);
		for (int round = 0; round < 3; round++)
			vz_drain_poll(k->drain);
		kit_event(k, 2, VZ_EV_RETURN, 1);
		vz_drain_poll(k->drain);
		/* closing it and opening it again heals it */
		kit_slot_close(k, 1);
		vz_drain_poll(k->drain);
		cr_assert_eq(k->slots[1].state, VZ_SLOT_FREE, "%s", harms[i].label);
		kit_slot_open(k, 1, 13);
		kit_event(k, 1, VZ_EV_CALL, 1);
		vz_drain_poll(k->drain);
		story = kit_arena_story(k, &totals);
		cr_assert_str_eq(story,
				 harms[i].first_is_lost ? "t11:\nt12: +f -f\nt13: +f =f\n"
							: "t11: +f -f\nt12: +f -f\nt13: +f =f\n",
				 "%s: %s", harms[i].label, story);
		cr_assert_eq(totals.damaged, 1, "%s: %llu", harms[i].label,
			     (unsigned long long)totals.damaged);
		free(story);
		kit_arena_free(k);
	}
}

/* Bad definitions cost names, not events. */
Test(drain, a_damaged_dictionary)
{
	static const struct vz_def bad[] = {
		{ .id = 2, .kind = VZ_DEF_PYTHON, .words = 0 },
		{ .id = 2, .kind = VZ_DEF_PYTHON, .words = 1 },
		{ .id = 2, .kind = VZ_DEF_PYTHON, .words = UINT16_MAX },
		{ .id = 2, .kind = VZ_DEF_PYTHON, .words = 3, .name_len = 9 },
		{ .id = 2, .kind = VZ_DEF_PYTHON, .words = 3, .name_len = 5, .file_len = 4 },
		{ .id = 2,
		  .kind = VZ_DEF_PYTHON,
		  .words = 2,
		  .name_len = UINT16_MAX,
		  .file_len = UINT16_MAX },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kit_arena *k = kit_arena_new(SMALL);
		struct vz_drain_totals totals;
		uint64_t *at;

		kit_slot_open(k, 1, 11);
		def(k, 1, "f");
		def(k, 2, "aaaaaaaa");
		at = k->producers[VZ_DICT_SLOT].chunk->words;
		at += ((struct vz_def *)at)->words;
		memcpy(at, &bad[i], sizeof(bad[i]));
		kit_event(k, 1, VZ_EV_CALL, 1);
		kit_event(k, 1, VZ_EV_CALL, 2);
		vz_drain_poll(k->drain);
		vz_drain_poll(k->drain);
		expect(k, "t11: +f +<unknown> =<unknown> =f\n", &totals);
		cr_assert_eq(totals.damaged, 1, "%zu", i);
	}
}

/* Names are cut, whatever the dictionary says; those that come early are kept no longer than that.
 */
Test(drain, names_are_cut)
{
	static char text[8001];
	struct kit_arena *k = kit_arena_new(SMALL);
	struct vz_drain_totals totals;
	uint8_t *bytes;
	struct vz_reader *r;

	memset(text, 'x', sizeof(text) - 1);
	kit_def(k, (struct vz_def){ .id = 1, .kind = VZ_DEF_PYTHON }, text, text);
	kit_def(k, (struct vz_def){ .id = 1, .kind = VZ_DEF_THREAD, .line = 1 }, text, "");
	vz_drain_poll(k->drain);
	kit_slot_open(k, 1, 0);
	kit_event(k, 1, VZ_EV_CALL, 1);
	vz_drain_poll(k->drain);
	free(kit_arena_story(k, &totals));
	r = kit_open(k->fd, &bytes);
	cr_assert_eq(strlen(vz_reader_function(r, 1)->name), VZ_DEF_NAME_MAX);
	cr_assert_eq(strlen(vz_reader_function(r, 1)->file), VZ_DEF_FILE_MAX);
	cr_assert_leq(strlen(vz_reader_track(r, 0)->name), 256);
	vz_reader_free(r);
	free(bytes);
	kit_arena_free(k);
}

/* A thread that says it will begin tomorrow begins now. */
Test(drain, a_start_in_the_future)
{
	struct kit_arena *k = kit_arena_new(SMALL);
	struct vz_drain_totals totals;
	uint8_t *bytes;
	struct vz_reader *r;

	def(k, 1, "f");
	kit_slot_open(k, 1, 11);
	k->slots[1].start_ticks = UINT64_MAX - 5;
	kit_event(k, 1, VZ_EV_CALL, 1);
	vz_drain_poll(k->drain);
	free(kit_arena_story(k, &totals));
	r = kit_open(k->fd, &bytes);
	cr_assert_leq(vz_reader_track(r, 0)->begin_ns, vz_clock_pair_now(true).ns);
	cr_assert_eq(vz_reader_nblocks(r), 1);
	vz_reader_free(r);
	free(bytes);
	kit_arena_free(k);
}

/* A stack that is too deep costs this thread's events from there on, and no others. */
Test(drain, a_stack_without_end)
{
	struct kit_arena *k = kit_arena_new(SMALL);
	struct vz_drain_totals totals;

	def(k, 1, "f");
	kit_slot_open(k, 1, 11);
	kit_slot_open(k, 2, 12);
	for (uint32_t i = 0; i < VZ_TRACK_MAX_DEPTH + 5000u; i++) {
		kit_event(k, 1, VZ_EV_CALL, 1);
		if (i % 1000 == 0)
			vz_drain_poll(k->drain);
	}
	kit_event(k, 2, VZ_EV_CALL, 1);
	vz_drain_poll(k->drain);
	vz_drain_totals(k->drain, &totals);
	cr_assert_eq(totals.damaged, 1);
	cr_assert_eq(totals.events, VZ_TRACK_MAX_DEPTH + 2u);
	free(kit_arena_story(k, &totals));
	kit_arena_free(k);
}

/* The target may write what it likes over our own counter: chunks come back all the same. */
Test(drain, our_own_counter_is_ours)
{
	struct kit_arena *k = kit_arena_new(SMALL);
	struct vz_drain_totals totals;

	def(k, 1, "f");
	kit_slot_open(k, 1, 11);
	kit_event(k, 1, VZ_EV_CALL, 1);
	kit_new_chunk(k, 1);
	kit_event(k, 1, VZ_EV_RETURN, 1);
	k->control->returns_head = 0xdeadbeef;
	vz_drain_poll(k->drain);
	cr_assert_eq(k->control->returns_head, 1);
	free(kit_arena_story(k, &totals));
	kit_arena_free(k);
}

static uint64_t next(uint64_t *seed)
{
	uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Plausible more often than not: pure noise is refused at the first look. */
static uint64_t garbage(uint64_t *seed, uint64_t plausible)
{
	return next(seed) % 4 ? next(seed) % plausible : next(seed) >> next(seed) % 64;
}

static void scribble_slot(struct kit_arena *k, uint32_t i, uint64_t *seed)
{
	struct vz_slot *s = &k->slots[i];

	s->state = (uint32_t)garbage(seed, 3);
	s->tid = (uint32_t)garbage(seed, 10);
	s->first_chunk = (uint32_t)garbage(seed, k->a.nchunks + 2);
	s->flags = (uint32_t)next(seed);
	s->lost = garbage(seed, 5);
	s->generation = garbage(seed, 3);
	s->start_ticks = next(seed);
}

static void scribble_chunk(struct kit_arena *k, uint32_t i, uint64_t *seed)
{
	struct vz_chunk *c = &k->chunks[i];
	uint64_t words = garbage(seed, 64);

	c->head = words;
	c->next = (uint32_t)garbage(seed, k->a.nchunks + 2);
	c->slot = (uint32_t)garbage(seed, KIT_SLOTS);
	c->seq = garbage(seed, 3);
	for (uint64_t at = 0; at < words && at < VZ_CHUNK_WORDS; at++)
		c->words[at] = garbage(seed, VZ_EV_LOST + 1) | garbage(seed, 1 << 12) << 4 |
			       next(seed) << VZ_EV_TICK_SHIFT;
}

static void scribble(struct kit_arena *k, uint64_t *seed)
{
	for (uint32_t i = 0; i < KIT_SLOTS; i++)
		if (next(seed) % 2)
			scribble_slot(k, i, seed);
	for (uint32_t i = 0; i < k->a.nchunks; i++)
		if (next(seed) % 2)
			scribble_chunk(k, i, seed);
	k->control->nslots_used = (uint32_t)garbage(seed, KIT_SLOTS + 1);
	k->control->returns_head = (uint32_t)garbage(seed, 100);
	k->control->returns_tail = (uint32_t)next(seed);
	k->control->lost_no_slot = next(seed);
}

/* No crash, no more words than there can be, and the trace that comes of it is whole. */
Test(drain, garbage_in_every_field, .timeout = 100)
{
	uint64_t seed = 1;

	for (unsigned round = 0; round < 60; round++) {
		struct kit_arena *k = kit_arena_new(1 << 19);
		struct vz_drain_totals totals;

		for (unsigned poll = 0; poll < 20; poll++) {
			scribble(k, &seed);
			cr_assert_leq(vz_drain_poll(k->drain),
				      (uint64_t)k->a.nchunks * VZ_CHUNK_WORDS);
		}
		free(kit_arena_story(k, &totals));
		kit_arena_free(k);
	}
}

/* The same while we read: another process writes to the arena all the time. */
Test(drain, garbage_while_it_is_read, .timeout = 100)
{
	struct kit_arena *k = kit_arena_new(1 << 19);
	struct vz_drain_totals totals;
	uint64_t seed = 99;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			scribble(k, &seed);
	}
	cr_assert_gt(pid, 0);
	for (unsigned poll = 0; poll < 2000; poll++)
		vz_drain_poll(k->drain);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	free(kit_arena_story(k, &totals));
	kit_arena_free(k);
}

/* Leaving without an end, as after an error, gives everything back too. */
Test(drain, can_be_left_at_any_time)
{
	struct kit_arena *k = two_events();

	vz_drain_poll(k->drain);
	kit_arena_free(k);
	vz_drain_free(NULL);
}
