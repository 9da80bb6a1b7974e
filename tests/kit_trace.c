/* SPDX-License-Identifier: MIT */
#include "tests/kit_trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "viewer/walk.h"

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "kit_trace: %s\n", what);
	abort();
}

static void *more(void *p, size_t bytes)
{
	p = realloc(p, bytes);
	must(p != NULL, "no memory");
	return p;
}

uint64_t kit_random(struct kit *kit, uint64_t below)
{
	uint64_t x = kit->seed += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) % below;
}

void kit_function_name(uint32_t id, char *buf, size_t size)
{
	snprintf(buf, size, "Klass_%u.métho\"d\\<%u>", id % 7, id);
}

struct kit *kit_new(uint32_t nfunctions, uint64_t seed)
{
	struct kit *kit = calloc(1, sizeof(*kit));
	struct vz_err err;
	char name[64], file[64];

	must(kit != NULL, "no memory");
	kit->seed = seed;
	kit->nfunctions = nfunctions;
	kit->end_ns = KIT_START_NS;
	kit->fd = memfd_create("kit", MFD_CLOEXEC);
	must(kit->fd >= 0, "no memfd");
	must(vz_tracefile_new(kit->fd, KIT_PID, KIT_START_NS, KIT_UNIX_NS, &kit->tf, &err) == 0,
	     "vz_tracefile_new");
	vz_tracefile_meta(kit->tf, "comm", "kit");
	vz_tracefile_meta(kit->tf, "empty", "");
	for (uint32_t i = 0; i < nfunctions; i++) {
		kit_function_name(i, name, sizeof(name));
		snprintf(file, sizeof(file), i % 3 ? "/app/mod%u.py" : "mod%u", i % 11);
		vz_tracefile_function(kit->tf, i, i % 3 ? VZ_DEF_PYTHON : VZ_DEF_C, name,
				      strlen(name), file, strlen(file), i);
	}
	return kit;
}

void kit_free(struct kit *kit)
{
	vz_tracefile_free(kit->tf);
	for (uint32_t i = 0; i < kit->ntracks; i++) {
		free(kit->tracks[i]->events);
		free(kit->tracks[i]->stack);
		free(kit->tracks[i]);
	}
	free(kit->tracks);
	close(kit->fd);
	free(kit);
}

struct kit_track *kit_track(struct kit *kit, uint32_t tid, uint64_t stack_key)
{
	struct kit_track *t = calloc(1, sizeof(*t));

	must(t != NULL, "no memory");
	t->kit = kit;
	t->ns = KIT_START_NS;
	t->track = vz_track_new(kit->tf, (pid_t)tid, stack_key, VZ_SLOT_AT_ATTACH, t->ns);
	must(t->track != NULL, "vz_track_new");
	kit->tracks = more(kit->tracks, (kit->ntracks + 1) * sizeof(struct kit_track *));
	kit->tracks[kit->ntracks++] = t;
	return t;
}

static void note(struct kit_track *t, const struct kit_event *event)
{
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->events = more(t->events, t->cap * sizeof(*t->events));
	}
	t->events[t->n++] = *event;
	t->ns = event->ns;
	if (t->ns > t->kit->end_ns)
		t->kit->end_ns = t->ns;
}

void kit_enter(struct kit_track *t, uint32_t function, enum vz_entry how, uint64_t ns)
{
	const struct kit_event event = { .kind = KIT_ENTER,
					 .how = (uint8_t)how,
					 .function = function,
					 .depth = t->depth + 1,
					 .begin_ns = ns,
					 .ns = ns };

	vz_track_enter(t->track, function, how, ns);
	note(t, &event);
	if (t->depth == t->stack_cap) {
		t->stack_cap = t->stack_cap ? t->stack_cap * 2 : 64;
		t->stack = more(t->stack, t->stack_cap * sizeof(*t->stack));
	}
	t->stack[t->depth++] = (struct kit_frame){ function, how, ns };
}

void kit_leave(struct kit_track *t, enum vz_leave how, uint64_t ns)
{
	const struct kit_frame *top = &t->stack[t->depth - 1];
	const struct kit_event event = { .kind = KIT_LEAVE,
					 .how = (uint8_t)how,
					 .function = top->function,
					 .depth = t->depth,
					 .begin_ns = top->begin_ns,
					 .ns = ns };

	vz_track_leave(t->track, how, ns);
	note(t, &event);
	t->depth--;
}

void kit_lost(struct kit_track *t, uint64_t n, uint64_t ns)
{
	const struct kit_event event = { .kind = KIT_LOST, .depth = t->depth, .ns = ns, .lost = n };

	vz_track_lost(t->track, n, ns);
	note(t, &event);
}

void kit_end(struct kit_track *t, uint64_t ns)
{
	vz_track_end(t->track, ns);
	t->track = NULL;
	t->ended = true;
	t->end_ns = ns;
	if (ns > t->kit->end_ns)
		t->kit->end_ns = ns;
}

/* Times always differ, so that an event is known by its time; now and then by hours. */
static uint64_t later(struct kit_track *t)
{
	switch (kit_random(t->kit, 1000)) {
	case 0:
		return t->ns + (UINT64_C(1) << 32) + kit_random(t->kit, UINT64_C(1) << 42);
	case 1 ... 20:
		return t->ns + 1 + kit_random(t->kit, 10000000);
	default:
		return t->ns + 1 + kit_random(t->kit, 300);
	}
}

static void recurse(struct kit_track *t, size_t n)
{
	uint32_t function = (uint32_t)kit_random(t->kit, t->kit->nfunctions);

	while (n--)
		kit_enter(t, function, VZ_ENTRY_CALL, later(t));
}

/* Callees depend on the caller, mostly, as in programs. */
static uint32_t callee(const struct kit_track *t)
{
	uint64_t base = t->depth ? t->stack[t->depth - 1].function * 7u : 3;
	uint64_t spread = kit_random(t->kit, 10) ? 5 : t->kit->nfunctions;

	return (uint32_t)((base + kit_random(t->kit, spread)) % t->kit->nfunctions);
}

void kit_steps(struct kit_track *t, size_t n)
{
	struct kit *kit = t->kit;

	while (n--) {
		uint64_t dice = kit_random(kit, 1000);

		if (dice == 0)
			kit_lost(t, 1 + kit_random(kit, UINT64_C(1) << 40), later(t));
		else if (dice == 1 && kit_random(kit, 4) == 0)
			recurse(t, kit_random(kit, 3000));
		else if (dice < 20 && t->depth)
			kit_leave(t, (enum vz_leave)kit_random(kit, 4), later(t));
		else if (t->depth && kit_random(kit, 100) < (t->depth > 30 ? 55 : 49))
			kit_leave(t,
				  t->stack[t->depth - 1].function % 4 == 1 ? VZ_LEAVE_YIELD
									   : VZ_LEAVE_RETURN,
				  later(t));
		else
			kit_enter(t, callee(t),
				  dice < 30 ? (enum vz_entry)kit_random(kit, 4) : VZ_ENTRY_CALL,
				  later(t));
	}
}

void kit_finish(struct kit *kit)
{
	struct vz_err err;

	must(vz_tracefile_finish(kit->tf, kit->end_ns, "pause_us=12\nodd=\n", &err) == 0,
	     "vz_tracefile_finish");
}

uint8_t *kit_bytes(const struct kit *kit, size_t *bytes)
{
	off_t size = lseek(kit->fd, 0, SEEK_END);
	uint8_t *p = more(NULL, (size_t)size + 1);

	must(pread(kit->fd, p, (size_t)size, 0) == size, "pread");
	*bytes = (size_t)size;
	return p;
}

/* ---- comparing ---- */

struct comparison {
	const struct kit *kit;
	size_t *next; /* for each track */
	bool partly;
	size_t seen;
	const char *wrong;
};

static int differ(struct comparison *c, const char *what)
{
	c->wrong = what;
	return -1;
}

/* The event that must be the next one (whole file), or the one of this time (part). */
static const struct kit_event *expected(struct comparison *c, const struct vz_visit *at)
{
	const struct kit_track *t = c->kit->tracks[at->place];
	size_t lo = 0, hi = t->n;

	if (!c->partly)
		return c->next[at->place] < t->n ? &t->events[c->next[at->place]++] : NULL;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->events[mid].ns < at->ns)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->n && t->events[lo].ns == at->ns ? &t->events[lo] : NULL;
}

static int on_enter(void *ctx, const struct vz_visit *at)
{
	struct comparison *c = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	const struct kit_event *e = expected(c, at);

	c->seen++;
	if (!e || e->kind != KIT_ENTER)
		return differ(c, "an entry that was not there");
	if (e->ns != at->ns || e->ns != frame->begin_ns)
		return differ(c, "time of an entry");
	if (e->function != frame->symbol >> VZ_SYMBOL_SHIFT)
		return differ(c, "function of an entry");
	if (e->how != (frame->symbol & 3))
		return differ(c, "kind of an entry");
	return e->depth == at->depth ? 0 : differ(c, "depth of an entry");
}

/* Frames that never ended, where the track ends. */
static int on_open(struct comparison *c, const struct vz_visit *at)
{
	const struct kit_track *t = c->kit->tracks[at->place];
	const struct kit_frame *f = &t->stack[at->depth - 1];

	if (c->partly)
		return 0;
	if (c->next[at->place] != t->n)
		return differ(c, "events are missing");
	if (at->depth > t->depth || f->function != at->stack[at->depth - 1].symbol >> 2 ||
	    f->begin_ns != at->stack[at->depth - 1].begin_ns)
		return differ(c, "frame that stays open");
	return at->ns == (t->ended ? t->end_ns : c->kit->end_ns) ? 0 : differ(c, "time of the end");
}

static int on_leave(void *ctx, const struct vz_visit *at)
{
	struct comparison *c = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	const struct kit_event *e;

	if (at->how == VZ_LEFT_OPEN)
		return on_open(c, at);
	if (at->how == VZ_LEFT_GAP)
		return c->partly ? 0 : differ(c, "a gap in a whole file");
	e = expected(c, at);
	c->seen++;
	if (!e || e->kind != KIT_LEAVE)
		return differ(c, "a leave that was not there");
	if (e->ns != at->ns || e->how != at->how)
		return differ(c, "time or kind of a leave");
	if (e->function != frame->symbol >> VZ_SYMBOL_SHIFT || e->begin_ns != frame->begin_ns)
		return differ(c, "frame of a leave");
	return e->depth == at->depth ? 0 : differ(c, "depth of a leave");
}

static int on_lost(void *ctx, const struct vz_visit *at)
{
	struct comparison *c = ctx;
	const struct kit_event *e;

	if (!at->lost)
		return c->partly ? 0 : differ(c, "a hole in a whole file");
	e = expected(c, at);
	c->seen++;
	if (!e || e->kind != KIT_LOST || e->ns != at->ns || e->lost != at->lost)
		return differ(c, "a loss that was not there");
	return 0;
}

static const char *compare(struct comparison *c, struct vz_reader *r)
{
	static const struct vz_visitor visitor = {
		.enter = on_enter,
		.leave = on_leave,
		.lost = on_lost,
	};

	if (vz_reader_ntracks(r) > c->kit->ntracks)
		return "a track that was not there";
	c->next = calloc(c->kit->ntracks + 1u, sizeof(*c->next));
	must(c->next != NULL, "no memory");
	if (vz_walk(r, NULL, &visitor, c) < 0 && !c->wrong)
		c->wrong = "the walk ended";
	for (uint32_t i = 0; i < c->kit->ntracks && !c->partly && !c->wrong; i++)
		if (c->next[i] != c->kit->tracks[i]->n)
			c->wrong = "events are missing";
	free(c->next);
	return c->wrong;
}

const char *kit_compare_all(const struct kit *kit, struct vz_reader *r)
{
	struct comparison c = { .kit = kit };

	return compare(&c, r);
}

const char *kit_compare_part(const struct kit *kit, struct vz_reader *r, size_t *seen)
{
	struct comparison c = { .kit = kit, .partly = true };
	const char *wrong = compare(&c, r);

	*seen = c.seen;
	return wrong;
}
