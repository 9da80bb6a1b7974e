/* SPDX-License-Identifier: MIT */
/*
 * show_frames.c - one stack on a page.  What repeats is said once, what is deep is cut in the
 * middle, and what CPython does on its own behalf takes one line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/show/show_priv.h"
#include "attach/util.h"

enum {
	ROWS_MOST = 60, /* that a stack takes */
	ROWS_INNER = 38,
	ROWS_OUTER = 16,
	PERIOD_MOST = 6, /* functions that call each other in turn */
	WORTH_FOLDING = 3,
	LOCALS_INDENT = 4,
	GAP = 2,
	FUNCTION_COLUMNS = 80,
};

struct row {
	const struct vz_snap_frame *frame;
	size_t hidden;        /* native frames that this one stands for */
	size_t period, times; /* the last PERIOD rows come TIMES times more */
};

bool vz_frame_of_interpreter(const struct vz_snap_frame *f)
{
	const char *name = vz_basename(f->file);

	return f->kind == VZ_FRAME_NATIVE &&
	       (vz_starts_with(name, "libpython") || vz_starts_with(name, "python"));
}

static bool of_libc(const struct vz_snap_frame *f)
{
	const char *name = vz_basename(f->file);

	return f->kind == VZ_FRAME_NATIVE &&
	       (vz_starts_with(name, "libc.so") || vz_starts_with(name, "libc-") ||
		vz_starts_with(name, "libpthread") || vz_starts_with(name, "ld-") ||
		vz_starts_with(name, "[vdso"));
}

bool vz_frame_same(const struct vz_snap_frame *a, const struct vz_snap_frame *b)
{
	return a->kind == b->kind && a->line == b->line && !strcmp(a->function, b->function) &&
	       !strcmp(a->file, b->file) && (a->function[0] || a->offset == b->offset);
}

/* ---- which rows ---- */

/* How many of the outermost frames only got the thread going. */
static size_t beginning(const struct vz_snap_frame *frames, size_t count)
{
	size_t python = count, ret = 0;

	while (python && frames[python - 1].kind != VZ_FRAME_PYTHON)
		python--;
	if (!python)
		return 0;
	for (size_t i = count; i > python; i--) {
		const struct vz_snap_frame *f = &frames[i - 1];

		if (!vz_frame_of_interpreter(f) && !of_libc(f) && f->function[0])
			return ret;
		ret++;
	}
	return ret;
}

/* Frames in a row of which one stands for all: of CPython the innermost, which says what was
 * asked of it; of libc the outermost, which is the function that was called; of others one that
 * has a name; and CPython's locks for what libc does for them. */
static bool joins_row(const struct vz_snap_frame *f, struct row *before)
{
	const struct vz_snap_frame *last = before->frame;
	bool libc = of_libc(f) && of_libc(last);
	bool nameless = f->kind == VZ_FRAME_NATIVE && last->kind == VZ_FRAME_NATIVE &&
			!last->function[0] && f->file[0] && !strcmp(f->file, last->file);

	bool thread = of_libc(last) && vz_frame_of_interpreter(f) &&
		      vz_starts_with(f->function, "PyThread_");

	if (!libc && !nameless && !thread &&
	    !(vz_frame_of_interpreter(f) && vz_frame_of_interpreter(last)))
		return false;
	before->hidden++;
	if ((libc || nameless || thread) && f->function[0])
		before->frame = f;
	return true;
}

static size_t choose(const struct vz_snap_frame *frames, size_t count, bool native,
		     struct row *rows)
{
	size_t n = 0;

	if (!native)
		count -= beginning(frames, count);
	for (size_t i = 0; i < count; i++) {
		if (!native && frames[i].kind == VZ_FRAME_NATIVE && frames[i].interpreter)
			continue;
		if (native || !n || !joins_row(&frames[i], &rows[n - 1]))
			rows[n++] = (struct row){ .frame = &frames[i] };
	}
	return n;
}

static size_t repeats(const struct row *rows, size_t count, size_t period)
{
	size_t at = period;

	while (at < count && vz_frame_same(rows[at].frame, rows[at - period].frame))
		at++;
	return at / period - 1;
}

/* Say once what comes again and again. */
static size_t fold(struct row *rows, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count;) {
		size_t best = 1, times = 0;

		for (size_t period = 1; period <= PERIOD_MOST && period <= count - i; period++) {
			size_t more = repeats(rows + i, count - i, period);

			if (more * period > times * best) {
				best = period;
				times = more;
			}
		}
		if (times * best < WORTH_FOLDING) {
			rows[n++] = rows[i++];
			continue;
		}
		memmove(rows + n, rows + i, best * sizeof(*rows));
		n += best;
		rows[n - 1].period = best;
		rows[n - 1].times = times;
		i += best * (times + 1);
	}
	return n;
}

/* ---- on the page ---- */

/* "_ssl.cpython-311-x86_64-linux-gnu.so" is "_ssl.so" to everybody. */
static void add_library(struct vz_grow *g, const char *path, size_t columns)
{
	const char *name = vz_basename(path), *tag = strstr(name, ".cpython-");
	struct vz_grow plain = { 0 };

	if (tag) {
		vz_grow_bytes(&plain, name, (size_t)(tag - name));
		vz_grow_add(&plain, ".so");
		name = vz_grow_text(&plain);
	}
	vz_grow_middle(g, name, columns);
	vz_grow_free(&plain);
}

/* "app.py:44", cut in the middle of the path. */
static void add_place(struct vz_grow *g, const struct vz_snap_frame *f, size_t columns)
{
	char line[16] = "";
	size_t len;

	if (f->kind != VZ_FRAME_PYTHON)
		return add_library(g, f->file[0] ? f->file : "?", columns);
	len = (size_t)snprintf(line, sizeof(line), f->line ? ":%u" : ":?", (unsigned)f->line);
	if (columns != SIZE_MAX)
		columns = columns > len + 3 ? columns - len : 3;
	vz_grow_middle(g, f->file[0] ? f->file : "?", columns);
	vz_grow_add(g, "%s", line);
}

static void add_function(struct vz_grow *g, const struct row *row, bool native, size_t columns)
{
	const struct vz_snap_frame *f = row->frame;
	size_t name = strlen(f->function);
	struct vz_grow tail = { 0 };

	if (f->kind == VZ_FRAME_NATIVE && (native || !f->function[0]))
		vz_grow_add(&tail, "+0x%llx", (unsigned long long)f->offset);
	if (row->hidden)
		vz_grow_add(&tail, " (and %zu more)", row->hidden);
	if (columns < tail.used + (name < 3 ? name : 3))
		vz_grow_clear(&tail);
	if (f->kind == VZ_FRAME_SIGNAL)
		vz_grow_add(g, "(a signal handler was called here)");
	else if (f->kind == VZ_FRAME_NATIVE && f->function[0] && !native)
		vz_show_symbol(g, f->function, columns - tail.used);
	else if (f->function[0])
		vz_grow_safe(g, f->function, columns - tail.used);
	else if (!tail.used)
		vz_grow_add(g, "?");
	vz_grow_add(g, "%s", vz_grow_text(&tail));
	vz_grow_free(&tail);
}

struct widths {
	size_t place, function;
};

/* Widen W for these rows. */
static void measure(struct widths *w, bool native, const struct row *rows, size_t count)
{
	struct vz_grow g = { 0 };

	for (size_t i = 0; i < count; i++) {
		size_t columns;

		vz_grow_clear(&g);
		add_place(&g, rows[i].frame, SIZE_MAX);
		columns = vz_text_columns(vz_grow_text(&g));
		w->place = columns > w->place ? columns : w->place;
		vz_grow_clear(&g);
		add_function(&g, &rows[i], native, FUNCTION_COLUMNS);
		columns = vz_text_columns(vz_grow_text(&g));
		w->function = columns > w->function ? columns : w->function;
	}
	vz_grow_free(&g);
}

/* Places give way first, but functions get no more than half. */
static void fit(struct widths *w, size_t room)
{
	size_t least = w->function < room / 2 ? w->function : room / 2;

	if (room == SIZE_MAX || w->place + GAP + w->function <= room)
		return;
	if (w->place > room - GAP - least)
		w->place = room - GAP - least;
	w->function = room - GAP - w->place;
}

static void show_locals(struct vz_page *page, size_t indent, const struct vz_snap_frame *f)
{
	size_t room = vz_page_room(page, indent);

	for (size_t i = 0; i < f->nlocals; i++) {
		struct vz_grow *g = &page->line;
		size_t used;

		vz_grow_safe(g, f->locals[i].name,
			     room < 2 * VZ_NAME_COLUMNS ? room / 2 : VZ_NAME_COLUMNS);
		vz_grow_add(g, " = ");
		used = vz_text_columns(vz_grow_text(g));
		vz_grow_safe(g, f->locals[i].value,
			     room == SIZE_MAX  ? 0
			     : room > used + 3 ? room - used
					       : 3);
		vz_page_line(page, indent, vz_grow_text(g), VZ_STYLE_PLAIN);
		vz_grow_clear(g);
	}
	if (f->locals_cut)
		vz_page_line(page, indent, "... more locals", VZ_STYLE_DIM);
}

static void show_row(struct vz_page *page, const struct vz_show *show, size_t indent,
		     struct widths w, const struct row *row)
{
	struct vz_grow *g = &page->line;
	bool native = row->frame->kind != VZ_FRAME_PYTHON;
	size_t used;

	add_place(g, row->frame, w.place);
	used = vz_text_columns(vz_grow_text(g));
	vz_grow_fill(g, ' ', (used < w.place ? w.place - used : 0) + GAP);
	add_function(g, row, show->native, w.function);
	vz_page_line(page, indent, vz_grow_text(g), native ? VZ_STYLE_DIM : VZ_STYLE_PLAIN);
	vz_grow_clear(g);
	show_locals(page, indent + LOCALS_INDENT, row->frame);
	if (!row->times)
		return;
	if (row->period == 1)
		vz_grow_add(g, "... the same %zu more times", row->times);
	else
		vz_grow_add(g, "... these %zu frames %zu more times", row->period, row->times);
	vz_page_wrap_line(page, indent, indent + LOCALS_INDENT, VZ_STYLE_DIM, SIZE_MAX);
}

/* The function that more than half of the rows are in, or NULL: found by vote. */
static const struct vz_snap_frame *most(const struct row *rows, size_t count)
{
	const struct vz_snap_frame *ret = NULL;
	size_t votes = 0;

	for (size_t i = 0; i < count; i++) {
		if (!votes)
			ret = rows[i].frame;
		votes += ret && !strcmp(ret->function, rows[i].frame->function) ? 1 : -1;
	}
	votes = 0;
	for (size_t i = 0; i < count; i++)
		votes += !strcmp(ret->function, rows[i].frame->function);
	return votes > count / 2 && ret->function[0] ? ret : NULL;
}

static void show_gap(struct vz_page *page, size_t indent, const struct row *rows, size_t count)
{
	const struct vz_snap_frame *f = most(rows, count);
	size_t frames = 0;

	for (size_t i = 0; i < count; i++)
		frames += 1 + rows[i].hidden + rows[i].period * rows[i].times;
	vz_grow_add(&page->line, "... %zu more frames", frames);
	if (f) {
		vz_grow_add(&page->line, ", most of them of ");
		vz_grow_safe(&page->line, f->function, VZ_NAME_COLUMNS);
	}
	vz_grow_add(&page->line, " ...");
	vz_page_wrap_line(page, indent, indent + LOCALS_INDENT, VZ_STYLE_DIM, SIZE_MAX);
}

void vz_show_frames(struct vz_page *page, const struct vz_show *show, size_t indent,
		    const struct vz_snap_frame *frames, size_t count)
{
	_cleanup_free_ struct row *rows = calloc(count ? count : 1, sizeof(*rows));
	size_t n, inner, outer;
	struct widths w = { 0, 0 };

	if (!rows) {
		page->out.failed = true;
		return;
	}
	n = fold(rows, choose(frames, count, show->native, rows));
	inner = n > ROWS_MOST && !show->all ? ROWS_INNER : n;
	outer = n - inner > ROWS_OUTER ? n - ROWS_OUTER : inner;
	measure(&w, show->native, rows, inner);
	measure(&w, show->native, rows + outer, n - outer);
	fit(&w, vz_page_room(page, indent));
	for (size_t i = 0; i < inner; i++)
		show_row(page, show, indent, w, &rows[i]);
	if (outer > inner)
		show_gap(page, indent, rows + inner, outer - inner);
	for (size_t i = outer; i < n; i++)
		show_row(page, show, indent, w, &rows[i]);
}

void vz_show_library(struct vz_grow *g, const struct vz_snap_thread *t)
{
	for (size_t i = 0; i < t->nframes; i++) {
		const struct vz_snap_frame *f = &t->frames[i];

		if (f->kind == VZ_FRAME_PYTHON)
			return;
		if (!f->file[0] || of_libc(f) || vz_frame_of_interpreter(f))
			continue;
		vz_grow_add(g, " (in ");
		vz_grow_safe(g, vz_basename(f->file), VZ_NAME_COLUMNS);
		vz_grow_add(g, ")");
		return;
	}
}
