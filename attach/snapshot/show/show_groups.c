/* SPDX-License-Identifier: MIT */
/* show_groups.c - threads that do the same thing at the same place, shown once. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/show/show_priv.h"
#include "attach/util.h"

enum {
	MEMBERS_NAMED = 6, /* of a group whose names have no order */
	STACK_INDENT = 6,
	HEAD_INDENT = 2,
	NOTE_INDENT = 6,
};

/* ---- equals ---- */

struct keyed {
	uint64_t hash;
	size_t order; /* in the list that was given */
	int thread;
};

static uint64_t mix(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
	return (hash ^ 0xff) * UINT64_C(1099511628211);
}

static uint64_t number(uint64_t hash, uint64_t value)
{
	return (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

/* The first frame from AT on that tells threads apart; CPython's own C code does not. */
static size_t telling(const struct vz_snap_thread *t, size_t at, bool native)
{
	while (at < t->nframes && !native && vz_frame_of_interpreter(&t->frames[at]))
		at++;
	return at;
}

static uint64_t hash_stack(uint64_t hash, const struct vz_snap_thread *t, bool native)
{
	for (size_t i = telling(t, 0, native); i < t->nframes; i = telling(t, i + 1, native)) {
		const struct vz_snap_frame *f = &t->frames[i];

		hash = mix(mix(number(hash, f->line), f->function), f->file);
		for (size_t k = 0; k < f->nlocals; k++)
			hash = mix(mix(hash, f->locals[k].name), f->locals[k].value);
	}
	return number(mix(hash, t->stack_note), t->copied);
}

static bool same_locals(const struct vz_snap_frame *a, const struct vz_snap_frame *b)
{
	if (a->nlocals != b->nlocals)
		return false;
	for (size_t i = 0; i < a->nlocals; i++) {
		if (strcmp(a->locals[i].name, b->locals[i].name) ||
		    strcmp(a->locals[i].value, b->locals[i].value))
			return false;
	}
	return true;
}

static bool same_stack(const struct vz_snap_thread *a, const struct vz_snap_thread *b, bool native)
{
	size_t i = telling(a, 0, native), k = telling(b, 0, native);

	while (i < a->nframes && k < b->nframes) {
		if (!vz_frame_same(&a->frames[i], &b->frames[k]) ||
		    !same_locals(&a->frames[i], &b->frames[k]))
			return false;
		i = telling(a, i + 1, native);
		k = telling(b, k + 1, native);
	}
	return i == a->nframes && k == b->nframes && a->copied == b->copied &&
	       !strcmp(a->stack_note, b->stack_note);
}

/* Beyond what is in the words for it. */
static bool same_thread(const struct vz_snap_thread *a, const struct vz_snap_thread *b)
{
	return a->lock == b->lock && a->joins == b->joins && a->holds_gil == b->holds_gil &&
	       a->main == b->main && !a->tstate == !b->tstate;
}

static int by_hash(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static int by_order(const void *a, const void *b)
{
	const struct vz_group *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

struct grouping {
	const struct vz_snapshot *s;
	const struct vz_show *show;
	bool stacks;
};

/* States are compared as they are printed, without their times. */
static void hash_all(const struct grouping *how, const int *indexes, size_t count,
		     struct keyed *ret)
{
	struct vz_grow state = { 0 };

	for (size_t i = 0; i < count; i++) {
		const struct vz_snap_thread *t = &how->s->threads[indexes[i]];
		uint64_t hash;

		vz_grow_clear(&state);
		vz_words_state(&state, how->s, t, NULL);
		hash = mix(UINT64_C(14695981039346656037), vz_grow_text(&state));
		if (how->stacks)
			hash = hash_stack(hash, t, how->show->native);
		ret[i] = (struct keyed){ how->show->all ? i : hash, i, indexes[i] };
	}
	vz_grow_free(&state);
}

static bool same_group(const struct grouping *how, const struct keyed *a, const struct keyed *b)
{
	const struct vz_snap_thread *x = &how->s->threads[a->thread],
				    *y = &how->s->threads[b->thread];

	return a->hash == b->hash && same_thread(x, y) &&
	       (!how->stacks || same_stack(x, y, how->show->native));
}

static void split(const struct grouping *how, const struct keyed *sorted, size_t count,
		  struct vz_groups *ret)
{
	for (size_t i = 0; i < count; i++) {
		if (!i || !same_group(how, &sorted[i], &sorted[i - 1]))
			ret->groups[ret->count++] = (struct vz_group){ (int)sorted[i].order, i, 0 };
		ret->groups[ret->count - 1].count++;
		ret->members[i] = sorted[i].thread;
	}
	qsort(ret->groups, ret->count, sizeof(*ret->groups), by_order);
}

int vz_groups_find(const struct vz_snapshot *s, const struct vz_show *show, const int *indexes,
		   size_t count, bool stacks, struct vz_groups *ret)
{
	_cleanup_free_ struct keyed *sorted = calloc(count + 1, sizeof(*sorted));
	const struct grouping how = { s, show, stacks };

	ret->count = 0;
	ret->groups = calloc(count + 1, sizeof(*ret->groups));
	ret->members = calloc(count + 1, sizeof(*ret->members));
	if (!sorted || !ret->groups || !ret->members) {
		vz_groups_free(ret);
		return -ENOMEM;
	}
	hash_all(&how, indexes, count, sorted);
	qsort(sorted, count, sizeof(*sorted), by_hash);
	split(&how, sorted, count, ret);
	return 0;
}

void vz_groups_free(struct vz_groups *groups)
{
	free(groups->groups);
	free(groups->members);
	memset(groups, 0, sizeof(*groups));
}

/* ---- names ---- */

static const char *name_of(const struct vz_snap_thread *t)
{
	return t->name[0] ? t->name : t->comm;
}

/* Where the number at the end of a name begins. */
static size_t stem(const char *name)
{
	size_t len = strlen(name);

	while (len && isdigit((unsigned char)name[len - 1]))
		len--;
	return len;
}

/* All of one name but for the number at its end: the smallest and the largest. */
static bool numbered(const struct vz_snapshot *s, const int *members, size_t count, int ends[2])
{
	const char *first = name_of(&s->threads[members[0]]);
	size_t len = stem(first);
	unsigned long least = ULONG_MAX, largest = 0;

	for (size_t i = 0; i < count; i++) {
		const char *name = name_of(&s->threads[members[i]]);
		unsigned long value;

		if (!name[len] || stem(name) != len || strncmp(name, first, len))
			return false;
		value = strtoul(name + len, NULL, 10);
		if (value <= least)
			ends[0] = members[i];
		if (value >= largest)
			ends[1] = members[i];
		least = value < least ? value : least;
		largest = value > largest ? value : largest;
	}
	/* "0 ... 7" is said of all of them or not at all. */
	return len > 0 && largest - least == count - 1;
}

static bool one_name(const struct vz_snapshot *s, const int *members, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		if (strcmp(name_of(&s->threads[members[i]]), name_of(&s->threads[members[0]])))
			return false;
	}
	return true;
}

static void add_tids(struct vz_grow *g, const struct vz_snapshot *s, const int *members,
		     size_t count)
{
	for (size_t i = 0; i < count && i < MEMBERS_NAMED; i++)
		vz_grow_add(g, "%s%d", i ? " " : "", (int)s->threads[members[i]].tid);
	if (count > MEMBERS_NAMED)
		vz_grow_add(g, " ...");
}

void vz_groups_names(struct vz_grow *g, const struct vz_snapshot *s, const int *members,
		     size_t count)
{
	int ends[2] = { members[0], members[0] };

	if (count == 1)
		return vz_words_who(g, s, members[0]);
	vz_grow_add(g, "%zu threads, ", count);
	if (one_name(s, members, count)) {
		vz_words_name(g, &s->threads[members[0]]);
	} else if (numbered(s, members, count, ends)) {
		const char *last = name_of(&s->threads[ends[1]]);

		vz_words_name(g, &s->threads[ends[0]]);
		/* "pool-0_0 ... 11" */
		vz_grow_add(g, " ... ");
		vz_grow_safe(g, last + stem(last), VZ_NAME_COLUMNS);
	} else {
		for (size_t i = 0; i < count && i < MEMBERS_NAMED; i++) {
			vz_grow_add(g, "%s", i ? ", " : "");
			vz_words_name(g, &s->threads[members[i]]);
		}
		vz_grow_add(g, count > MEMBERS_NAMED ? ", ..." : "");
	}
	vz_grow_add(g, " (");
	add_tids(g, s, members, count);
	vz_grow_add(g, ")");
}

/* ---- on the page ---- */

static void head_words(struct vz_grow *g, const struct vz_snap_thread *t, size_t count)
{
	if (t->main)
		vz_grow_add(g, ", main thread");
	if (t->daemon_known && t->daemon && count == 1)
		vz_grow_add(g, ", daemon");
	if (!t->tstate && t->nframes)
		vz_grow_add(g, ", no Python");
}

static void show_notes(struct vz_page *page, const struct vz_snap_thread *t)
{
	struct vz_grow *g = &page->line;

	if (t->copied == VZ_COPIED_MOVING)
		vz_grow_add(g, "(it ran while its stack was copied: may be torn)");
	else if (!t->nframes && !t->stack_note[0])
		vz_grow_add(g, "(no stack was copied)");
	if (g->used)
		vz_page_wrap_line(page, NOTE_INDENT, NOTE_INDENT, VZ_STYLE_DOUBT, SIZE_MAX);
	if (!t->stack_note[0])
		return;
	vz_grow_add(g, "(");
	vz_grow_safe(g, t->stack_note, 0);
	vz_grow_add(g, ")");
	vz_page_wrap_line(page, NOTE_INDENT, NOTE_INDENT, VZ_STYLE_DOUBT, SIZE_MAX);
}

static void add_state(struct vz_grow *g, const struct vz_snapshot *s, const int *members,
		      size_t count)
{
	uint64_t least = UINT64_MAX, most = 0;
	struct vz_grow since = { 0 };

	for (size_t i = 0; i < count; i++) {
		uint64_t ns = s->threads[members[i]].asleep_ns;

		least = ns < least ? ns : least;
		most = ns > most ? ns : most;
	}
	vz_words_since(&since, least, most);
	vz_words_state(g, s, &s->threads[members[0]], vz_grow_text(&since));
	vz_grow_free(&since);
}

void vz_show_group(struct vz_page *page, const struct vz_snapshot *s, const struct vz_show *show,
		   const int *members, size_t count, bool stack)
{
	const struct vz_snap_thread *t = &s->threads[members[0]];
	struct vz_grow *g = &page->line;
	size_t head;

	vz_groups_names(g, s, members, count);
	head = vz_text_columns(vz_grow_text(g));
	head_words(g, t, count);
	vz_grow_add(g, ": ");
	add_state(g, s, members, count);
	if (!t->tstate)
		vz_show_library(g, t);
	vz_page_wrap_line(page, HEAD_INDENT, HEAD_INDENT + 2, VZ_STYLE_NAME, head);
	if (!stack)
		return;
	show_notes(page, t);
	vz_show_frames(page, show, STACK_INDENT, t->frames, t->nframes);
}
