/* SPDX-License-Identifier: MIT */
/*
 * show_changes.c - what is different from the snapshot before, for --watch: only that.  Times
 * that merely grew are no difference.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attach/snapshot/show/show_priv.h"
#include "attach/util.h"

enum {
	MOST = 40, /* threads, locks, tasks of one kind that are told of */
	DEEP = 12, /* frames of a change */
	INDENT = 2,
	STACK_INDENT = 6,
};

struct news {
	const struct vz_snapshot *before, *now;
	const struct vz_show *show;
	struct vz_page page;
	size_t told; /* of what is being gone through */
};

/* One line; after MOST of them they are only counted. */
static bool room_for_more(struct news *n)
{
	return n->told++ < MOST || n->show->all;
}

static void tell_rest(struct news *n, const char *what)
{
	if (n->told > MOST && !n->show->all) {
		vz_grow_add(&n->page.line, "... %zu more %s changed", n->told - MOST, what);
		vz_page_wrap_line(&n->page, INDENT, INDENT + 2, VZ_STYLE_DIM, SIZE_MAX);
	}
	n->told = 0;
}

/* ---- the verdict ---- */

/* Equal but for numbers: those are mostly times. */
static bool same_but_numbers(const char *a, const char *b)
{
	while (*a && *b) {
		bool digits = isdigit((unsigned char)*a) && isdigit((unsigned char)*b);

		if (!digits && *a != *b)
			return false;
		a += digits ? strspn(a, "0123456789.") : 1;
		b += digits ? strspn(b, "0123456789.") : 1;
	}
	return *a == *b;
}

static bool same_verdict(const struct vz_snapshot *a, const struct vz_snapshot *b)
{
	if (a->verdict.kind != b->verdict.kind || a->verdict.nthreads != b->verdict.nthreads)
		return false;
	for (size_t i = 0; i < a->verdict.nthreads; i++) {
		int x = a->verdict.threads[i], y = b->verdict.threads[i];
		bool known = x >= 0 && (size_t)x < a->nthreads && y >= 0 && (size_t)y < b->nthreads;

		if (known && a->threads[x].tid != b->threads[y].tid)
			return false;
	}
	return same_but_numbers(a->verdict.sentence, b->verdict.sentence);
}

/* ---- what is in both: by a key, sorted ---- */

struct keyed {
	uint64_t key, more;
	size_t index;
};

static int by_key(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	if (x->more != y->more)
		return x->more < y->more ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static uint64_t name_hash(const char *name)
{
	uint64_t hash = 5381;

	for (; *name; name++)
		hash = hash * 33 + (unsigned char)*name;
	return hash;
}

enum what { THREADS, LOCKS, TASKS };

static size_t how_many(const struct vz_snapshot *s, enum what what)
{
	return what == THREADS ? s->nthreads : what == LOCKS ? s->nlocks : s->ntasks;
}

static struct keyed key_of(const struct vz_snapshot *s, enum what what, size_t i)
{
	struct keyed ret = { .index = i };

	if (what == THREADS) {
		/* Numbers are used again. */
		ret.key = (uint64_t)s->threads[i].tid;
		ret.more = s->threads[i].tstate;
	} else if (what == LOCKS) {
		ret.key = s->locks[i].raddr;
		ret.more = name_hash(s->locks[i].kind);
	} else {
		ret.key = s->tasks[i].raddr;
		ret.more = name_hash(s->tasks[i].name);
	}
	return ret;
}

static struct keyed *sorted(const struct vz_snapshot *s, enum what what)
{
	size_t count = how_many(s, what);
	struct keyed *ret = calloc(count + 1, sizeof(*ret));

	for (size_t i = 0; ret && i < count; i++)
		ret[i] = key_of(s, what, i);
	if (ret)
		qsort(ret, count, sizeof(*ret), by_key);
	return ret;
}

/* For each of NOW the index in BEFORE or -1, and for each of BEFORE whether it is gone. */
struct pairs {
	int *was;
	bool *gone;
};

static void pair(const struct keyed *a, size_t na, const struct keyed *b, size_t nb,
		 struct pairs *ret)
{
	size_t i = 0, k = 0;

	while (i < na || k < nb) {
		int order = i == na ? 1 : k == nb ? -1 : 0;

		if (!order && (a[i].key != b[k].key || a[i].more != b[k].more))
			order = a[i].key < b[k].key ||
						(a[i].key == b[k].key && a[i].more < b[k].more)
					? -1
					: 1;
		if (order < 0)
			ret->gone[a[i++].index] = true;
		else if (order > 0)
			ret->was[b[k++].index] = -1;
		else
			ret->was[b[k++].index] = (int)a[i++].index;
	}
}

static bool find_pairs(struct news *n, enum what what, struct pairs *ret)
{
	_cleanup_free_ struct keyed *a = sorted(n->before, what), *b = sorted(n->now, what);
	size_t na = how_many(n->before, what), nb = how_many(n->now, what);

	ret->was = calloc(nb + 1, sizeof(*ret->was));
	ret->gone = calloc(na + 1, sizeof(*ret->gone));
	if (!a || !b || !ret->was || !ret->gone) {
		n->page.out.failed = true;
		return false;
	}
	pair(a, na, b, nb, ret);
	return true;
}

static void free_pairs(struct pairs *pairs)
{
	free(pairs->was);
	free(pairs->gone);
}

/* ---- threads ---- */

/* How many of the outermost frames are as before. */
static size_t common(const struct vz_snap_frame *a, size_t na, const struct vz_snap_frame *b,
		     size_t nb)
{
	size_t ret = 0;

	while (ret < na && ret < nb && vz_frame_same(&a[na - 1 - ret], &b[nb - 1 - ret]))
		ret++;
	return ret;
}

static bool same_frames(const struct vz_snap_frame *a, size_t na, const struct vz_snap_frame *b,
			size_t nb)
{
	return na == nb && common(a, na, b, nb) == na;
}

static void show_new_frames(struct news *n, const struct vz_snap_frame *a, size_t na,
			    const struct vz_snap_frame *b, size_t nb)
{
	size_t same = common(a, na, b, nb), fresh = nb - same;
	size_t most = fresh > DEEP && !n->show->all ? DEEP : fresh;

	vz_show_frames(&n->page, n->show, STACK_INDENT, b, most);
	if (most < fresh)
		vz_grow_add(&n->page.line, "... %zu more frames", fresh - most);
	if (most < fresh && same)
		vz_grow_add(&n->page.line, ", ");
	if (same)
		vz_grow_add(&n->page.line, "... %s%zu outer frames as before",
			    most || !na ? "" : "back in the ", same);
	if (n->page.line.used)
		vz_page_wrap_line(&n->page, STACK_INDENT, STACK_INDENT + 2, VZ_STYLE_DIM, SIZE_MAX);
}

static void thread_line(struct news *n, const struct vz_snapshot *s, size_t index, const char *mark)
{
	struct vz_grow *g = &n->page.line, since = { 0 };
	size_t head;

	vz_grow_add(g, "%s ", mark);
	vz_words_who(g, s, (int)index);
	head = vz_text_columns(vz_grow_text(g));
	if (s == n->now) {
		vz_grow_add(g, ": ");
		vz_words_since(&since, s->threads[index].asleep_ns, 0);
		vz_words_state(g, s, &s->threads[index], vz_grow_text(&since));
	} else {
		vz_grow_add(g, " has ended");
	}
	vz_page_wrap_line(&n->page, INDENT, INDENT + 4, VZ_STYLE_NAME, head);
	vz_grow_free(&since);
}

static bool same_state(const struct news *n, size_t was, size_t is)
{
	struct vz_grow a = { 0 }, b = { 0 };
	bool ret;

	vz_words_state(&a, n->before, &n->before->threads[was], NULL);
	vz_words_state(&b, n->now, &n->now->threads[is], NULL);
	ret = !strcmp(vz_grow_text(&a), vz_grow_text(&b));
	vz_grow_free(&a);
	vz_grow_free(&b);
	return ret;
}

static void thread_news(struct news *n, int was, size_t is)
{
	const struct vz_snap_thread *b = &n->now->threads[is], *a;

	if (was < 0) {
		if (!room_for_more(n))
			return;
		thread_line(n, n->now, is, "+");
		show_new_frames(n, NULL, 0, b->frames, b->nframes);
		return;
	}
	a = &n->before->threads[was];
	if (same_frames(a->frames, a->nframes, b->frames, b->nframes) &&
	    same_state(n, (size_t)was, is))
		return;
	if (!room_for_more(n))
		return;
	thread_line(n, n->now, is, "*");
	if (!same_frames(a->frames, a->nframes, b->frames, b->nframes))
		show_new_frames(n, a->frames, a->nframes, b->frames, b->nframes);
}

static void threads_news(struct news *n)
{
	struct pairs pairs;

	if (find_pairs(n, THREADS, &pairs)) {
		for (size_t i = 0; i < n->now->nthreads; i++)
			thread_news(n, pairs.was[i], i);
		for (size_t i = 0; i < n->before->nthreads; i++) {
			if (pairs.gone[i] && room_for_more(n))
				thread_line(n, n->before, i, "-");
		}
	}
	tell_rest(n, "threads");
	free_pairs(&pairs);
}

/* ---- locks ---- */

static pid_t owner(const struct vz_snapshot *s, const struct vz_snap_lock *l)
{
	return l->owner >= 0 && (size_t)l->owner < s->nthreads ? s->threads[l->owner].tid : 0;
}

static void lock_line(struct news *n, const struct vz_snapshot *s, size_t index, const char *mark)
{
	const struct vz_snap_lock *l = &s->locks[index];
	struct vz_grow *g = &n->page.line;

	vz_grow_add(g, "%s lock ", mark);
	vz_words_lock(g, s, (int)index);
	if (s == n->before) {
		vz_grow_add(g, ": nobody waits for it any more");
	} else {
		vz_grow_add(g, ": ");
		vz_words_owner(g, s, l);
	}
	vz_page_wrap_line(&n->page, INDENT, INDENT + 4, VZ_STYLE_PLAIN, 0);
}

static void locks_news(struct news *n)
{
	struct pairs pairs;

	if (find_pairs(n, LOCKS, &pairs)) {
		for (size_t i = 0; i < n->now->nlocks; i++) {
			const struct vz_snap_lock *b = &n->now->locks[i], *a;

			a = pairs.was[i] < 0 ? NULL : &n->before->locks[pairs.was[i]];
			if (a && a->owned == b->owned && owner(n->before, a) == owner(n->now, b))
				continue;
			if (room_for_more(n))
				lock_line(n, n->now, i, a ? "*" : "+");
		}
		for (size_t i = 0; i < n->before->nlocks; i++) {
			if (pairs.gone[i] && room_for_more(n))
				lock_line(n, n->before, i, "-");
		}
	}
	tell_rest(n, "locks");
	free_pairs(&pairs);
}

/* ---- tasks ---- */

static void task_line(struct news *n, const struct vz_snapshot *s, size_t index, const char *mark)
{
	struct vz_grow *g = &n->page.line;

	vz_grow_add(g, "%s %s ", mark, s->tasks[index].greenlet ? "greenlet" : "task");
	if (s == n->before) {
		vz_grow_safe(g, s->tasks[index].name, VZ_NAME_COLUMNS);
		vz_grow_add(g, " is gone");
	} else {
		vz_words_task(g, &s->tasks[index]);
	}
	vz_page_wrap_line(&n->page, INDENT, INDENT + 4, VZ_STYLE_PLAIN, 0);
}

static void tasks_news(struct news *n)
{
	struct pairs pairs;

	if (find_pairs(n, TASKS, &pairs)) {
		for (size_t i = 0; i < n->now->ntasks; i++) {
			const struct vz_snap_task *b = &n->now->tasks[i], *a;

			a = pairs.was[i] < 0 ? NULL : &n->before->tasks[pairs.was[i]];
			if (a && a->state == b->state && same_but_numbers(a->awaits, b->awaits) &&
			    same_frames(a->frames, a->nframes, b->frames, b->nframes))
				continue;
			if (!room_for_more(n))
				continue;
			task_line(n, n->now, i, a ? "*" : "+");
			show_new_frames(n, a ? a->frames : NULL, a ? a->nframes : 0, b->frames,
					b->nframes);
		}
		for (size_t i = 0; i < n->before->ntasks; i++) {
			if (pairs.gone[i] && room_for_more(n))
				task_line(n, n->before, i, "-");
		}
	}
	tell_rest(n, "tasks");
	free_pairs(&pairs);
}

/* ---- notes, and all of it ---- */

static void notes_news(struct news *n)
{
	for (size_t i = 0; i < n->now->nnotes; i++) {
		bool old = false;

		for (size_t k = 0; k < n->before->nnotes; k++)
			old = old || same_but_numbers(n->now->notes[i], n->before->notes[k]);
		if (old)
			continue;
		vz_grow_add(&n->page.line, "+ could not be read: ");
		vz_grow_safe(&n->page.line, n->now->notes[i], 0);
		vz_page_wrap_line(&n->page, INDENT, INDENT + 4, VZ_STYLE_PLAIN, 0);
	}
}

static void heading(struct vz_grow *g, const struct vz_snapshot *before,
		    const struct vz_snapshot *now)
{
	time_t seconds = (time_t)(now->unix_ns / 1000000000u);
	char when[16] = "";
	struct tm utc;

	if (gmtime_r(&seconds, &utc))
		strftime(when, sizeof(when), "%H:%M:%S", &utc);
	vz_grow_add(g, "--- %s UTC", when);
	if (now->unix_ns > before->unix_ns) {
		vz_grow_add(g, ", ");
		vz_words_time(g, now->unix_ns - before->unix_ns);
		vz_grow_add(g, " later");
	}
	vz_grow_add(g, ": + new, * changed, - gone");
}

char *vz_snapshot_changes(const struct vz_snapshot *before, const struct vz_snapshot *now,
			  const struct vz_show *show, size_t *len)
{
	struct news n = { .before = before,
			  .now = now,
			  .show = show,
			  .page = { .width = show->width, .colour = show->colour } };
	size_t empty;

	heading(&n.page.line, before, now);
	vz_page_wrap_line(&n.page, 0, 4, VZ_STYLE_BOLD, SIZE_MAX);
	empty = n.page.out.used;
	if (!same_verdict(before, now))
		vz_show_verdict(&n.page, now);
	threads_news(&n);
	locks_news(&n);
	tasks_news(&n);
	notes_news(&n);
	if (n.page.out.used == empty)
		vz_grow_clear(&n.page.out);
	return vz_page_take(&n.page, len);
}
