/* SPDX-License-Identifier: MIT */
/*
 * Folded stacks, as flamegraph.pl and others read them: for each stack that was
 * seen a line with the thread, the frames from the outermost, and the nanoseconds
 * that the innermost one ran by itself.
 *
 * What ran on top of very deep stacks is summed up in one frame, as the size of
 * the text goes with the square of the depth.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/export/export.h"
#include "viewer/intern.h"

enum {
	MAX_DEPTH = 2048,
	TITLE_BYTES = 1024,
};

struct folded {
	struct vz_reader *reader;
	struct vz_out *out;
	struct vz_names names;
	struct vz_pairs stacks; /* stack below, row of the name */
	uint64_t *self_ns;      /* of each stack */
	uint32_t cap;
	uint32_t *tops; /* of each track */
};

/* The character between frames. */
static void unfold(char *text)
{
	for (; *text; text++)
		if (*text == ';')
			*text = ',';
}

static int make(const struct vz_function *f, struct vz_name *ret)
{
	int n = vz_export_name(f, NULL, 0);

	if (n < 0)
		return -ENOMEM;
	ret->file = strdup("");
	ret->text = malloc((size_t)n + 1);
	if (!ret->text)
		return -ENOMEM;
	vz_export_name(f, ret->text, (size_t)n + 1);
	unfold(ret->text);
	return 0;
}

/* The stack BELOW with one frame more. */
static int push(struct folded *f, uint32_t place, uint32_t below, uint32_t row)
{
	uint64_t *bigger;
	int rc = vz_pairs_row(&f->stacks, below, row, &f->tops[place]);

	if (rc < 0)
		return rc;
	bigger = vz_grow(f->self_ns, &f->cap, f->stacks.n, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	f->self_ns = bigger;
	return 0;
}

/* Below all frames of a track: its title. */
static int push_title(struct folded *f, uint32_t place)
{
	char title[TITLE_BYTES];
	uint32_t row;
	int rc;

	vz_reader_track_title(vz_reader_track(f->reader, place), title, sizeof(title));
	unfold(title);
	rc = vz_names_text(&f->names, title, &row);
	return rc < 0 ? rc : push(f, place, VZ_NO_ROW, row);
}

static int enter(void *ctx, const struct vz_visit *at)
{
	struct folded *f = ctx;
	uint32_t row, function = at->stack[at->depth - 1].symbol >> VZ_SYMBOL_SHIFT;
	int rc = 0;

	if (at->depth > MAX_DEPTH + 1)
		return 0;
	if (f->tops[at->place] == VZ_NO_ROW)
		rc = push_title(f, at->place);
	if (rc == 0 && at->depth > MAX_DEPTH)
		rc = vz_names_text(&f->names, "[deeper]", &row);
	else if (rc == 0)
		rc = vz_names_function(&f->names, f->reader, function, &row);
	return rc < 0 ? rc : push(f, at->place, f->tops[at->place], row);
}

static int leave(void *ctx, const struct vz_visit *at)
{
	struct folded *f = ctx;
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	uint32_t *top = &f->tops[at->place];
	uint64_t ns = at->ns - frame->begin_ns;

	f->self_ns[*top] += ns > frame->child_ns ? ns - frame->child_ns : 0;
	if (at->depth <= MAX_DEPTH + 1)
		*top = f->stacks.p[*top].a;
	return 0;
}

static void put_stack(const struct folded *f, uint32_t stack)
{
	uint32_t rows[MAX_DEPTH + 2], n = 0;
	uint64_t ns = f->self_ns[stack];

	for (; stack != VZ_NO_ROW; stack = f->stacks.p[stack].a)
		rows[n++] = f->stacks.p[stack].b;
	while (n-- > 0) {
		vz_out_text(f->out, f->names.p[rows[n]].text);
		vz_out_char(f->out, n ? ';' : ' ');
	}
	vz_out_number(f->out, ns);
	vz_out_char(f->out, '\n');
}

int vz_export_collapsed(struct vz_reader *r, const struct vz_export_options *options,
			struct vz_out *out)
{
	static const struct vz_visitor visitor = { .enter = enter, .leave = leave };
	const struct vz_walk_limits limits = {
		.place = VZ_ALL_TRACKS,
		.until_ns = vz_export_until(r, options->max_calls),
		.select = &options->select,
	};
	struct folded f = { .reader = r, .out = out, .names = { .make = make } };
	int rc = -ENOMEM;

	f.tops = malloc((vz_reader_ntracks(r) + 1u) * sizeof(*f.tops));
	if (f.tops) {
		memset(f.tops, 0xff, (vz_reader_ntracks(r) + 1u) * sizeof(*f.tops));
		rc = vz_walk(r, &limits, &visitor, &f);
	}
	for (uint32_t i = 0; rc == 0 && i < f.stacks.n && !out->error; i++)
		if (f.self_ns[i])
			put_stack(&f, i);
	vz_names_fini(&f.names);
	vz_pairs_fini(&f.stacks);
	free(f.self_ns);
	free(f.tops);
	return rc;
}
