/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/drain.h"
#include "attach/lane.h"
#include "tests/kit_story.h"

enum { FIRST_C = 90, FUNCTIONS = 100, MAX_EVENTS = 16, T0 = 1000 };

/* Functions 1 .. 89 are in Python, 90 .. 99 in C; each is named by its number. */
struct stage {
	int fd;
	struct vz_tracefile *tf;
	struct vz_drain_totals totals;
	struct vz_lanes lanes;
	uint64_t ns;
};

static void stage_open(struct stage *s)
{
	struct vz_err err;

	memset(s, 0, sizeof(*s));
	s->fd = memfd_create("lane", MFD_CLOEXEC);
	cr_assert_eq(vz_tracefile_new(s->fd, 1, T0, T0, &s->tf, &err), 0);
	s->lanes = (struct vz_lanes){ .tf = s->tf,
				      .totals = &s->totals,
				      .is_c = calloc(1, VZ_MAX_FUNCTIONS / 8) };
	s->ns = T0;
	for (uint32_t id = 1; id < FUNCTIONS; id++) {
		char name[8];
		int len = snprintf(name, sizeof(name), "%u", id);

		vz_tracefile_function(s->tf, id, id < FIRST_C ? VZ_DEF_PYTHON : VZ_DEF_C, name,
				      (size_t)len, "", 0, 0);
		if (id >= FIRST_C)
			s->lanes.is_c[id / 8] |= (uint8_t)(1u << (id % 8));
	}
}

/* What is in the file; free() it. */
static char *stage_close(struct stage *s)
{
	struct vz_err err;
	char *story;

	cr_assert_eq(vz_tracefile_finish(s->tf, s->ns + 1, "", &err), 0);
	vz_tracefile_free(s->tf);
	story = kit_story(s->fd, NULL);
	free(s->lanes.is_c);
	close(s->fd);
	return story;
}

struct event {
	uint8_t kind;
	uint32_t id;
	uint64_t extra;
};

static void play(struct stage *s, struct vz_lane *lane, const struct event *events)
{
	for (unsigned i = 0; i < MAX_EVENTS && events[i].kind; i++)
		vz_lane_event(lane, events[i].kind, events[i].id, events[i].extra, ++s->ns);
}

/* clang-format off */
#define CALL     VZ_EV_CALL
#define RETURN   VZ_EV_RETURN
#define C_CALL   VZ_EV_C_CALL
#define C_RETURN VZ_EV_C_RETURN
#define OPEN     VZ_EV_OPEN
#define STACK    VZ_EV_STACK
#define LOST     VZ_EV_LOST
#define ATTACH   VZ_STACK_AT_ATTACH
#define LOSS     VZ_STACK_AFTER_LOSS

static const struct {
	const char *label;
	struct event events[MAX_EVENTS];
	const char *story;
	struct vz_drain_totals totals;
} cases[] = {
	{ "calls nest",
	  { { CALL, 1, 0 }, { CALL, 2, 0 }, { RETURN, 2, 0 }, { RETURN, 1, 0 } },
	  " +1 +2 -2 -1", { .events = 4 } },
	{ "recursion ends from the top",
	  { { CALL, 1, 0 }, { CALL, 1, 0 }, { RETURN, 1, 0 } },
	  " +1 +1 -1 =1", { .events = 3 } },
	{ "generators and exceptions",
	  { { CALL, 1, 0 }, { VZ_EV_YIELD, 1, 0 }, { VZ_EV_RESUME, 1, 0 }, { VZ_EV_YIELD, 1, 0 },
	    { VZ_EV_THROW, 1, 0 }, { VZ_EV_UNWIND, 1, 0 } },
	  " +1 <1 >1 <1 !1 ^1", { .events = 6 } },
	{ "C functions",
	  { { C_CALL, 90, 0 }, { C_RETURN, 90, 0 }, { C_CALL, 91, 0 }, { VZ_EV_C_RAISE, 91, 0 } },
	  " +90 -90 +91 ^91", { .events = 4 } },
	{ "an exit without its entry is counted, not invented",
	  { { RETURN, 5, 0 }, { CALL, 1, 0 }, { C_RETURN, 90, 0 }, { RETURN, 1, 0 } },
	  " +1 -1", { .events = 4, .orphan_exits = 2 } },
	{ "frames without their exit are closed as unseen",
	  { { CALL, 1, 0 }, { CALL, 2, 0 }, { CALL, 3, 0 }, { RETURN, 1, 0 } },
	  " +1 +2 +3 ?3 ?2 -1", { .events = 4, .unseen_exits = 2 } },
	{ "the frames at the attach",
	  { { STACK, ATTACH, 2 }, { OPEN, 1, 0 }, { OPEN, 2, 0 }, { RETURN, 2, 0 }, { CALL, 3, 0 } },
	  " (1 (2 -2 +3 =3 =1", { .events = 2, .open_frames = 2 } },
	{ "none at the attach",
	  { { STACK, ATTACH, 0 }, { CALL, 3, 0 }, { RETURN, 3, 0 } },
	  " +3 -3", { .events = 2 } },
	{ "after a loss: what agrees stays, the rest is replaced",
	  { { CALL, 1, 0 }, { CALL, 2, 0 }, { CALL, 3, 0 }, { LOST, 0, 7 }, { STACK, LOSS, 3 },
	    { OPEN, 1, 0 }, { OPEN, 2, 0 }, { OPEN, 4, 0 }, { RETURN, 4, 0 } },
	  " +1 +2 +3 L7 ?3 (4 -4 =2 =1", { .events = 4, .unseen_exits = 1 } },
	{ "after a loss: C functions between agreeing frames stay",
	  { { CALL, 1, 0 }, { C_CALL, 90, 0 }, { CALL, 2, 0 }, { LOST, 0, 7 }, { STACK, LOSS, 3 },
	    { OPEN, 1, 0 }, { OPEN, 2, 0 }, { OPEN, 3, 0 }, { RETURN, 3, 0 }, { RETURN, 2, 0 },
	    { C_RETURN, 90, 0 }, { RETURN, 1, 0 } },
	  " +1 +90 +2 L7 (3 -3 -2 -90 -1", { .events = 7 } },
	{ "after a loss: C functions above the last agreeing frame cannot be known",
	  { { CALL, 1, 0 }, { C_CALL, 90, 0 }, { LOST, 0, 7 }, { STACK, LOSS, 1 }, { OPEN, 1, 0 },
	    { C_RETURN, 90, 0 }, { RETURN, 1, 0 } },
	  " +1 +90 L7 ?90 -1", { .events = 4, .unseen_exits = 1, .orphan_exits = 1 } },
	{ "after a loss: another stack altogether",
	  { { CALL, 1, 0 }, { CALL, 2, 0 }, { LOST, 0, 1 }, { STACK, LOSS, 1 }, { OPEN, 9, 0 } },
	  " +1 +2 L1 ?2 ?1 (9 =9", { .events = 2, .unseen_exits = 2 } },
	{ "after a loss: nothing runs any more",
	  { { CALL, 1, 0 }, { LOST, 0, 1 }, { STACK, LOSS, 0 }, { CALL, 2, 0 } },
	  " +1 L1 ?1 +2 =2", { .events = 2, .unseen_exits = 1 } },
	{ "a snapshot that was cut is true as far as it came",
	  { { STACK, ATTACH, 5 }, { OPEN, 1, 0 }, { OPEN, 2, 0 }, { LOST, 0, 3 }, { CALL, 3, 0 } },
	  " (1 (2 L3 +3 =3 =2 =1", { .events = 1, .open_frames = 2 } },
	{ "... also at the end",
	  { { STACK, ATTACH, UINT64_C(1) << 60 }, { OPEN, 1, 0 } },
	  " (1 =1", { .open_frames = 1 } },
	{ "a frame of no snapshot is nothing",
	  { { OPEN, 1, 0 }, { CALL, 2, 0 }, { RETURN, 2, 0 } },
	  " +2 -2", { .events = 2 } },
	{ "a kind that does not exist is nothing",
	  { { 15, 1, 0 }, { CALL, 2, 0 }, { RETURN, 2, 0 } },
	  " +2 -2", { .events = 2 } },
};
/* clang-format on */

Test(lane, pairing)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stage s;
		struct vz_lane *lane;
		char *story, expected[256];

		stage_open(&s);
		lane = vz_lane_new(&s.lanes, 7, 0, T0);
		vz_lane_name(lane, "T", 1);
		play(&s, lane, cases[i].events);
		vz_lane_end(lane, s.ns + 1, 0);
		story = stage_close(&s);
		snprintf(expected, sizeof(expected), "T:%s\n", cases[i].story);
		cr_assert_str_eq(story, expected, "%s: %s", cases[i].label, story);
		cr_assert_eq(memcmp(&s.totals, &cases[i].totals, sizeof(s.totals)), 0,
			     "%s: %llu orphans, %llu unseen, %llu open", cases[i].label,
			     (unsigned long long)s.totals.orphan_exits,
			     (unsigned long long)s.totals.unseen_exits,
			     (unsigned long long)s.totals.open_frames);
		free(story);
	}
}

/* Each greenlet has a timeline of its own; the first key is that of the stack that ran so far. */
Test(lane, greenlets)
{
	static const struct event events[] = {
		{ CALL, 1, 0 },
		{ VZ_EV_SWITCH, VZ_SWITCH_FROM, 0xa },
		{ VZ_EV_SWITCH, VZ_SWITCH_TO, 0xb },
		{ CALL, 2, 0 },
		{ VZ_EV_SWITCH, VZ_SWITCH_TO, 0xc },
		{ CALL, 3, 0 },
		{ VZ_EV_SWITCH, VZ_SWITCH_TO, 0xa },
		{ RETURN, 1, 0 },
		{ VZ_EV_SWITCH, VZ_SWITCH_TO, 0xb },
		{ RETURN, 2, 0 },
		{ RETURN, 3, 0 },
		{ 0, 0, 0 },
	};
	struct stage s;
	struct vz_lane *lane;
	char *story;

	stage_open(&s);
	lane = vz_lane_new(&s.lanes, 7, 0, T0);
	vz_lane_name(lane, "hub", 3);
	play(&s, lane, events);
	vz_lane_end(lane, s.ns + 1, 0);
	story = stage_close(&s);
	cr_assert_str_eq(story, "hub: +1 -1\nhub / greenlet 1: +2 -2\nhub / greenlet 2: +3 =3\n");
	cr_assert_eq(s.totals.stacks, 2);
	cr_assert_eq(s.totals.orphan_exits, 1);
	free(story);
}

/* More greenlets than are kept: the one that rested longest makes room, the running one never. */
Test(lane, greenlets_without_end)
{
	const struct event from[] = { { VZ_EV_SWITCH, VZ_SWITCH_FROM, 1 },
				      { CALL, 1, 0 },
				      { 0, 0, 0 } };
	struct stage s;
	struct vz_lane *lane;
	char *story;

	stage_open(&s);
	lane = vz_lane_new(&s.lanes, 7, 0, T0);
	play(&s, lane, from);
	for (uint64_t key = 2; key < 6000; key++) {
		const struct event round[] = {
			{ VZ_EV_SWITCH, VZ_SWITCH_TO, key },
			{ CALL, 2, 0 },
			{ VZ_EV_SWITCH, VZ_SWITCH_TO, 2 },
			{ CALL, 3, 0 },
			{ RETURN, 3, 0 },
			{ 0, 0, 0 },
		};

		play(&s, lane, round);
	}
	vz_lane_event(lane, VZ_EV_SWITCH, VZ_SWITCH_TO, 1, ++s.ns);
	vz_lane_event(lane, RETURN, 1, 0, ++s.ns);
	vz_lane_end(lane, s.ns + 1, 0);
	story = stage_close(&s);
	cr_assert_eq(s.totals.orphan_exits, 0);
	cr_assert_eq(s.totals.stacks, 5998);
	cr_assert_eq(kit_story_count(story, "+2"), 5998);
	cr_assert_eq(kit_story_count(story, "-3"), 5998);
	cr_assert_eq(kit_story_count(story, "-1"),
		     1); /* the thread's own stack is never given up */
	free(story);
}

Test(lane, losses_that_were_never_written_are_told_at_the_end)
{
	struct stage s;
	struct vz_lane *lane;
	char *story;

	stage_open(&s);
	lane = vz_lane_new(&s.lanes, 7, 0, T0);
	vz_lane_name(lane, "T", 1);
	vz_lane_event(lane, CALL, 1, 0, ++s.ns);
	vz_lane_event(lane, LOST, 0, 3, ++s.ns);
	vz_lane_end(lane, ++s.ns, 10);
	vz_lane_end(NULL, s.ns, 10);
	story = stage_close(&s);
	cr_assert_str_eq(story, "T: +1 L3 L7 =1\n");
	free(story);
}

Test(lane, names_come_late_and_long)
{
	char name[1000];
	struct stage s;
	struct vz_lane *lane;
	char *story;

	memset(name, 'n', sizeof(name));
	stage_open(&s);
	lane = vz_lane_new(&s.lanes, 7, 0, T0);
	vz_lane_event(lane, VZ_EV_SWITCH, VZ_SWITCH_TO, 5, ++s.ns);
	vz_lane_event(lane, CALL, 1, 0, ++s.ns);
	vz_lane_name(lane, "first", 5);
	vz_lane_name(lane, name, sizeof(name));
	vz_lane_end(lane, ++s.ns, 0);
	story = stage_close(&s);
	cr_assert_eq(strspn(story, "n"), 255);
	cr_assert_not_null(strstr(story, "n / greenlet 1: +1 =1\n"));
	cr_assert_null(strstr(story, "first"));
	free(story);
}

/* ---- what a target must not be able to make us do ---------------------- */

/* A stack deeper than is followed is given up; what was kept can be read. */
Test(lane, too_deep)
{
	struct stage s;
	struct vz_lane *lane;
	uint64_t n = 0;

	stage_open(&s);
	lane = vz_lane_new(&s.lanes, 1, 0, T0);
	while (vz_lane_event(lane, VZ_EV_CALL, 1, 0, T0 + n) == 0)
		cr_assert_leq(++n, (uint64_t)VZ_TRACK_MAX_DEPTH);
	cr_assert_eq(n, VZ_TRACK_MAX_DEPTH);
	cr_assert_eq(vz_lane_event(lane, VZ_EV_CALL, 1, 0, T0 + n), -E2BIG);
	vz_lane_end(lane, T0 + n, 0);
	s.ns = T0 + n;
	free(stage_close(&s));
}

/* All stacks together are bounded too, and give back their room when they end. */
Test(lane, too_deep_together)
{
	struct vz_lane *lanes[8];
	struct stage s;
	uint64_t kept = 0;

	stage_open(&s);
	for (int round = 0; round < 2; round++) {
		kept = 0;
		for (int i = 0; i < 8; i++) {
			lanes[i] = vz_lane_new(&s.lanes, i + 1, 0, T0);
			while (vz_lane_event(lanes[i], VZ_EV_CALL, 1, 0, T0) == 0)
				kept++;
		}
		for (int i = 0; i < 8; i++)
			vz_lane_end(lanes[i], T0, 0);
		cr_assert_leq(kept, (uint64_t)VZ_TRACK_MAX_FRAMES);
		cr_assert_gt(kept, (uint64_t)VZ_TRACK_MAX_FRAMES / 2);
	}
	free(stage_close(&s));
}

/* Exits that fit nothing do not make us look through a deep stack each time. */
Test(lane, a_flood_of_orphans, .timeout = 60)
{
	enum { DEPTH = VZ_TRACK_MAX_DEPTH - 1, ORPHANS = 1 << 20 };
	struct stage s;
	struct vz_lane *lane;

	stage_open(&s);
	lane = vz_lane_new(&s.lanes, 1, 0, T0);
	for (int i = 0; i < DEPTH; i++)
		vz_lane_event(lane, VZ_EV_CALL, 1, 0, T0);
	for (int i = 0; i < ORPHANS; i++)
		vz_lane_event(lane, VZ_EV_RETURN, 2, 0, T0);
	cr_assert_eq(s.totals.orphan_exits, ORPHANS);
	cr_assert_eq(s.totals.unseen_exits, 0);
	for (int i = 0; i < DEPTH; i++)
		vz_lane_event(lane, VZ_EV_RETURN, 1, 0, T0);
	cr_assert_eq(s.totals.orphan_exits, ORPHANS);
	vz_lane_end(lane, T0, 0);
	free(stage_close(&s));
}

/* Memory for a snapshot is taken as it comes, not as it is announced; and only so much. */
Test(lane, snapshots_that_are_announced)
{
	enum { LANES = 40, EACH = 1 << 20, BOUND = 16 << 20 };
	struct vz_lane *lanes[LANES];
	struct stage s;

	stage_open(&s);
	for (int i = 0; i < LANES; i++) {
		lanes[i] = vz_lane_new(&s.lanes, i + 1, 0, T0);
		vz_lane_event(lanes[i], VZ_EV_STACK, VZ_STACK_AT_ATTACH, UINT64_MAX, T0);
	}
	cr_assert_eq(s.lanes.snapshots_words, 0);
	for (int i = 0; i < LANES; i++) {
		for (int k = 0; k < EACH - 1; k++)
			vz_lane_event(lanes[i], VZ_EV_OPEN, 1, 0, T0);
		cr_assert_leq(s.lanes.snapshots_words, (size_t)BOUND);
	}
	for (int i = 0; i < LANES; i++)
		vz_lane_end(lanes[i], T0, 0);
	cr_assert_eq(s.lanes.snapshots_words, 0);
	free(stage_close(&s));
}

/* A lane that is renamed all the time is renamed a few times. */
Test(lane, endless_names)
{
	struct vz_tracefile_totals totals;
	struct stage s;
	struct vz_lane *lane;

	stage_open(&s);
	lane = vz_lane_new(&s.lanes, 1, 0, T0);
	for (uint64_t key = 1; key < 4000; key++)
		vz_lane_event(lane, VZ_EV_SWITCH, VZ_SWITCH_TO, key, T0);
	for (int i = 0; i < 100000; i++)
		vz_lane_name(lane, i % 2 ? "one" : "two", 3);
	vz_lane_end(lane, T0, 0);
	vz_tracefile_totals(s.tf, &totals);
	cr_assert_leq(totals.bytes, 1000000u, "%llu", (unsigned long long)totals.bytes);
	free(stage_close(&s));
}
