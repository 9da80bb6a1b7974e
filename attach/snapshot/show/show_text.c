/* SPDX-License-Identifier: MIT */
/*
 * show_text.c - a snapshot for whoever was woken by it: what is wrong and what to do, why we
 * think so, the threads it is about, and then everything else.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attach/snapshot/show/show_priv.h"
#include "attach/util.h"

enum { KEY_INDENT = 2, KEY_COLUMNS = 13, LOCKS_MOST = 40, WAITERS_MOST = 6 };

/* ---- the verdict ---- */

static enum vz_style verdict_style(enum vz_verdict_kind kind)
{
	return kind == VZ_VERDICT_IDLE      ? VZ_STYLE_GOOD
	       : kind == VZ_VERDICT_UNKNOWN ? VZ_STYLE_DOUBT
					    : VZ_STYLE_BAD;
}

/* "  do         look at ..." */
static void field(struct vz_page *page, const char *name, const char *text)
{
	struct vz_grow g = { 0 };

	vz_grow_fill(&g, ' ', KEY_INDENT);
	vz_grow_add(&g, "%-*s", KEY_COLUMNS - KEY_INDENT, name);
	/* Spaces at the beginning are kept by the wrapping: the first break is behind them. */
	vz_grow_add(&g, "%s", text);
	vz_page_wrap(page, 0, KEY_COLUMNS, vz_grow_text(&g), VZ_STYLE_BOLD, KEY_COLUMNS);
	vz_grow_free(&g);
}

static void safe_field(struct vz_page *page, const char *name, const char *text)
{
	struct vz_grow g = { 0 };

	vz_grow_safe(&g, text, 0);
	field(page, name, vz_grow_text(&g));
	vz_grow_free(&g);
}

/* "gil-held" in capitals, which the eye finds first; said once if the sentence begins with it. */
static size_t add_kind(struct vz_grow *g, const struct vz_verdict *v)
{
	const char *name = vz_verdict_name(v->kind), *sentence = v->sentence;
	size_t len = 0;

	for (const char *c = name; *c; c++) {
		char letter = *c == '-' ? ' ' : *c;

		if (tolower((unsigned char)sentence[len]) == letter)
			len++;
		vz_grow_add(g, "%c", toupper((unsigned char)letter));
	}
	if (len == strlen(name) && (sentence[len] == ':' || sentence[len] == ' '))
		return len;
	vz_grow_add(g, ": ");
	return 0;
}

void vz_show_verdict(struct vz_page *page, const struct vz_snapshot *s)
{
	const struct vz_verdict *v = &s->verdict;
	struct vz_grow *g = &page->line;
	size_t said = add_kind(g, v), head = strlen(vz_verdict_name(v->kind)) + 1;

	vz_grow_safe(g, v->sentence + said, 0);
	vz_page_wrap_line(page, 0, 2, verdict_style(v->kind), head);
	if (v->advice[0])
		safe_field(page, "next", v->advice);
	for (size_t i = 0; i < v->nevidence; i++)
		safe_field(page, i ? "" : "evidence", v->evidence[i]);
}

/* ---- the process ---- */

static void add_when(struct vz_grow *g, const struct vz_snapshot *s)
{
	time_t seconds = (time_t)(s->unix_ns / 1000000000u);
	char when[40];
	struct tm utc;

	if (!s->from_core && s->unix_ns && gmtime_r(&seconds, &utc) &&
	    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &utc))
		vz_grow_add(g, ", %s", when);
	vz_grow_add(g, s->from_core ? ", read in " : ", taken in ");
	vz_words_time(g, s->took_ns);
}

static void show_process(struct vz_page *page, const struct vz_snapshot *s)
{
	struct vz_grow g = { 0 };

	if (s->from_core)
		vz_grow_add(&g, "core dump ");
	else
		vz_grow_add(&g, "%d (", (int)s->pid);
	vz_grow_safe(&g, s->from_core ? s->source : s->comm, 0);
	vz_grow_add(&g, s->from_core ? ", CPython " : "), CPython ");
	vz_grow_safe(&g, s->python[0] ? s->python : "?", VZ_NAME_COLUMNS);
	vz_grow_add(&g, "%s%s", s->free_threaded ? ", free-threaded" : "",
		    s->debug_build ? ", debug build" : "");
	vz_grow_add(&g, ", %zu thread%s", s->nthreads, s->nthreads == 1 ? "" : "s");
	if (s->threads_left_out)
		vz_grow_add(&g, " and %zu that were left out", s->threads_left_out);
	add_when(&g, s);
	field(page, "process", vz_grow_text(&g));
	vz_grow_free(&g);
}

static void show_gil(struct vz_page *page, const struct vz_snapshot *s)
{
	const struct vz_snap_process *p = &s->process;
	struct vz_grow g = { 0 };
	size_t waiting = 0;

	if (!p->gil_known || s->free_threaded)
		return;
	for (size_t i = 0; i < s->nthreads; i++)
		waiting += s->threads[i].waits_gil;
	if (!p->gil_locked) {
		vz_grow_add(&g, "free");
	} else if (p->gil_holder >= 0) {
		vz_grow_add(&g, "held by ");
		vz_words_who(&g, s, p->gil_holder);
	} else {
		vz_grow_add(&g, "held, its holder is not known");
	}
	if (p->gil_locked && p->gil_held_ns) {
		vz_grow_add(&g, " for ");
		vz_words_time(&g, p->gil_held_ns);
	}
	if (waiting)
		vz_grow_add(&g, ", %zu thread%s wait%s for it", waiting, waiting == 1 ? "" : "s",
			    waiting == 1 ? "s" : "");
	field(page, "GIL", vz_grow_text(&g));
	vz_grow_free(&g);
}

static void show_stops(struct vz_page *page, const struct vz_snapshot *s)
{
	struct vz_grow g = { 0 };
	uint64_t longest = 0;
	size_t stopped = 0, moving = 0;

	for (size_t i = 0; i < s->nthreads; i++) {
		const struct vz_snap_thread *t = &s->threads[i];

		stopped += t->copied == VZ_COPIED_STOPPED;
		moving += t->copied == VZ_COPIED_MOVING;
		longest = t->stopped_ns > longest ? t->stopped_ns : longest;
	}
	if (s->from_core)
		return;
	if (stopped) {
		vz_grow_add(&g, "%zu thread%s, one at a time, ", stopped, stopped == 1 ? "" : "s");
		vz_words_time(&g, longest);
		vz_grow_add(&g, " at the longest");
	} else {
		vz_grow_add(&g, "no thread");
	}
	if (moving)
		vz_grow_add(&g, "; stacks of %zu that ran may be torn", moving);
	field(page, "stopped", vz_grow_text(&g));
	vz_grow_free(&g);
}

/* ---- threads ---- */

struct part {
	const char *heading;
	int *indexes;
	size_t count;
	bool stacks;
};

static bool in_verdict(const struct vz_snapshot *s, size_t thread)
{
	for (size_t i = 0; i < s->verdict.nthreads; i++) {
		if (s->verdict.threads[i] == (int)thread)
			return true;
	}
	return false;
}

static void show_part(struct vz_page *page, const struct vz_snapshot *s, const struct vz_show *show,
		      const struct part *part)
{
	struct vz_groups groups;

	if (!part->count)
		return;
	if (vz_groups_find(s, show, part->indexes, part->count, part->stacks, &groups) < 0) {
		page->out.failed = true;
		return;
	}
	vz_page_empty(page);
	vz_page_wrap(page, 0, 2, part->heading, VZ_STYLE_BOLD, SIZE_MAX);
	for (size_t i = 0; i < groups.count; i++) {
		if (i && part->stacks)
			vz_page_empty(page);
		vz_show_group(page, s, show, groups.members + groups.groups[i].start,
			      groups.groups[i].count, part->stacks);
	}
	vz_groups_free(&groups);
}

static void show_threads(struct vz_page *page, const struct vz_snapshot *s,
			 const struct vz_show *show)
{
	_cleanup_free_ int *indexes = calloc(3 * (s->nthreads + 1), sizeof(*indexes));
	struct part about = { "The threads that it is about, innermost frame first:", indexes, 0,
			      true };
	struct part others = { "Other threads, innermost frame first:", indexes + s->nthreads + 1,
			       0, true };
	struct part quiet = { "Threads that wait for work, or never run Python:",
			      indexes + 2 * (s->nthreads + 1), 0, false };

	if (!indexes) {
		page->out.failed = true;
		return;
	}
	for (size_t i = 0; i < s->verdict.nthreads; i++) {
		int thread = s->verdict.threads[i];

		if (thread >= 0 && (size_t)thread < s->nthreads && about.count < s->nthreads)
			about.indexes[about.count++] = thread;
	}
	if (!about.count)
		others.heading = "Threads, innermost frame first:";
	for (size_t i = 0; i < s->nthreads; i++) {
		struct part *part = !show->all && vz_words_quiet(&s->threads[i]) ? &quiet : &others;

		if (!in_verdict(s, i))
			part->indexes[part->count++] = (int)i;
	}
	show_part(page, s, show, &about);
	show_part(page, s, show, &others);
	show_part(page, s, show, &quiet);
}

/* ---- locks ---- */

static size_t add_waiters(struct vz_grow *g, const struct vz_snapshot *s, size_t lock)
{
	size_t count = 0;

	for (size_t i = 0; i < s->nthreads; i++) {
		if (s->threads[i].lock != (int)lock)
			continue;
		if (count < WAITERS_MOST) {
			vz_grow_add(g, count ? ", " : "; waited for by ");
			vz_words_who(g, s, (int)i);
		}
		count++;
	}
	if (count > WAITERS_MOST)
		vz_grow_add(g, " and %zu more", count - WAITERS_MOST);
	return count;
}

static void show_lock(struct vz_page *page, const struct vz_snapshot *s, size_t index)
{
	const struct vz_snap_lock *l = &s->locks[index];
	struct vz_grow *g = &page->line;
	size_t head;

	vz_words_lock(g, s, (int)index);
	head = vz_text_columns(vz_grow_text(g));
	if (l->raddr)
		vz_grow_add(g, " at 0x%llx", (unsigned long long)l->raddr);
	vz_grow_add(g, ": ");
	vz_words_owner(g, s, l);
	add_waiters(g, s, index);
	vz_page_wrap_line(page, 2, 4, VZ_STYLE_NAME, head);
}

/* Locks that only idle workers wait for are no news. */
static bool worth_showing(const struct vz_snapshot *s, size_t lock)
{
	const struct vz_snap_lock *l = &s->locks[lock];
	bool waited = false;

	for (size_t i = 0; i < s->nthreads; i++) {
		if (s->threads[i].lock == (int)lock && !s->threads[i].idle)
			return true;
		waited = waited || s->threads[i].lock == (int)lock;
	}
	return !waited || (l->owned != VZ_OWNER_NONE && l->owned != VZ_OWNER_UNKNOWN);
}

static void show_locks(struct vz_page *page, const struct vz_snapshot *s,
		       const struct vz_show *show)
{
	size_t shown = 0;

	for (size_t i = 0; i < s->nlocks; i++) {
		if (!show->all && !worth_showing(s, i))
			continue;
		if (shown == 0) {
			vz_page_empty(page);
			vz_page_wrap(page, 0, 2, "Locks:", VZ_STYLE_BOLD, SIZE_MAX);
		}
		if (shown++ < LOCKS_MOST || show->all)
			show_lock(page, s, i);
	}
	if (shown > LOCKS_MOST && !show->all) {
		vz_grow_add(&page->line, "... %zu more locks (--all shows them)",
			    shown - LOCKS_MOST);
		vz_page_wrap_line(page, 2, 4, VZ_STYLE_DIM, SIZE_MAX);
	}
}

static void show_notes(struct vz_page *page, const struct vz_snapshot *s)
{
	if (!s->nnotes)
		return;
	vz_page_empty(page);
	vz_page_wrap(page, 0, 2, "What could not be read:", VZ_STYLE_BOLD, SIZE_MAX);
	for (size_t i = 0; i < s->nnotes; i++) {
		vz_grow_safe(&page->line, s->notes[i], 0);
		vz_page_wrap_line(page, 2, 4, VZ_STYLE_PLAIN, 0);
	}
}

char *vz_snapshot_text(const struct vz_snapshot *s, const struct vz_show *show, size_t *len)
{
	struct vz_page page = { .width = show->width, .colour = show->colour };

	vz_show_verdict(&page, s);
	show_process(&page, s);
	show_gil(&page, s);
	show_stops(&page, s);
	show_threads(&page, s, show);
	show_locks(&page, s, show);
	vz_show_tasks(&page, s, show);
	show_notes(&page, s);
	return vz_page_take(&page, len);
}
