/* SPDX-License-Identifier: MIT */
/*
 * What cProfile saves and Python's pstats.Stats() loads: a marshalled dict
 *
 *   (file, line, name): (primitive calls, calls, self, cumulative, callers)
 *
 * with times in seconds; callers is a dict of the same keys with (calls, primitive
 * calls, self, cumulative).  As there, each entry of a generator is a call, and
 * time counts once however often a function is on the stack.  Only types that
 * every Python 3 reads are used, and no references.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/export/export.h"
#include "viewer/intern.h"

enum {
	MARSHAL_DIGIT = 15, /* bits of a digit of a long integer */
};

struct tally {
	uint64_t calls, primitive, self_ns, total_ns;
	uint32_t active; /* while counting: on the stack in question */
	uint32_t next;   /* of a pair: the next of the same function + 1 */
	uint32_t first, last;
};

struct pstats {
	struct vz_reader *reader;
	struct vz_out *out;
	struct vz_names names;
	struct vz_pairs pairs; /* caller, callee */
	struct tally *functions, *calls;
	uint32_t nfunctions, ncalls;
};

/* ---- counting ---- */

static int make(const struct vz_function *f, struct vz_name *ret)
{
	int n;

	if (f->kind != VZ_DEF_C) {
		ret->file = strdup(f->file);
		ret->text = strdup(f->name);
		ret->line = f->line;
		return 0;
	}
	/* What tools that read such files take as a sign of a C function. */
	ret->file = strdup("~");
	n = asprintf(&ret->text, "<built-in method %s%s%s>", f->file, f->file[0] ? "." : "",
		     f->name);
	if (n >= 0)
		return 0;
	ret->text = NULL;
	return -ENOMEM;
}

static int row_of(struct pstats *p, const struct vz_open_frame *frame, uint32_t *row)
{
	struct tally *bigger;
	int rc = vz_names_function(&p->names, p->reader, frame->symbol >> VZ_SYMBOL_SHIFT, row);

	if (rc < 0)
		return rc;
	bigger = vz_grow(p->functions, &p->nfunctions, p->names.n, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	p->functions = bigger;
	return 0;
}

/* Into the list of the callee. */
static void link_pair(struct pstats *p, uint32_t pair)
{
	struct tally *callee = &p->functions[p->pairs.p[pair].b];

	if (callee->last)
		p->calls[callee->last - 1].next = pair + 1;
	else
		callee->first = pair + 1;
	callee->last = pair + 1;
}

static int pair_of(struct pstats *p, uint32_t caller, uint32_t callee, uint32_t *pair)
{
	struct tally *bigger;
	uint32_t n = p->pairs.n;
	int rc = vz_pairs_row(&p->pairs, caller, callee, pair);

	if (rc < 0)
		return rc;
	bigger = vz_grow(p->calls, &p->ncalls, p->pairs.n, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	p->calls = bigger;
	if (p->pairs.n > n)
		link_pair(p, *pair);
	return 0;
}

/* The tallies of frame number I of the stack: its function's and, with a caller, the pair's. */
static int tallies_of(struct pstats *p, const struct vz_open_frame *stack, uint32_t i,
		      struct tally **function, struct tally **pair)
{
	uint32_t caller, callee, place;
	int rc = row_of(p, &stack[i], &callee);

	*pair = NULL;
	if (rc == 0 && i > 0)
		rc = row_of(p, &stack[i - 1], &caller);
	if (rc == 0 && i > 0)
		rc = pair_of(p, caller, callee, &place);
	if (rc < 0)
		return rc;
	*function = &p->functions[callee];
	if (i > 0)
		*pair = &p->calls[place];
	return 0;
}

static int add_active(struct pstats *p, const struct vz_visit *at, uint32_t from, uint32_t n)
{
	struct tally *function, *pair;

	for (uint32_t i = from; i < at->depth; i++) {
		int rc = tallies_of(p, at->stack, i, &function, &pair);

		if (rc < 0)
			return rc;
		function->active += n;
		if (pair)
			pair->active += n;
	}
	return 0;
}

static int begin(void *ctx, const struct vz_visit *at)
{
	return add_active(ctx, at, 0, 1);
}

static int end(void *ctx, const struct vz_visit *at)
{
	return add_active(ctx, at, 0, UINT32_MAX);
}

static int enter(void *ctx, const struct vz_visit *at)
{
	return add_active(ctx, at, at->depth - 1, 1);
}

static void count(struct tally *t, bool called, uint64_t ns, uint64_t self_ns)
{
	t->calls += called;
	t->self_ns += self_ns;
	if (--t->active > 0)
		return;
	t->primitive += called;
	t->total_ns += ns;
}

static int leave(void *ctx, const struct vz_visit *at)
{
	const struct vz_open_frame *frame = &at->stack[at->depth - 1];
	uint64_t ns = at->ns - frame->begin_ns;
	uint64_t self_ns = ns > frame->child_ns ? ns - frame->child_ns : 0;
	bool called = (frame->symbol & ((1u << VZ_SYMBOL_SHIFT) - 1)) != VZ_ENTRY_OPEN;
	struct tally *function, *pair;
	int rc = tallies_of(ctx, at->stack, at->depth - 1, &function, &pair);

	if (rc < 0)
		return rc;
	count(function, called, ns, self_ns);
	if (pair)
		count(pair, called, ns, self_ns);
	return 0;
}

/* ---- marshal ---- */

static void put_u32(struct vz_out *out, uint32_t v)
{
	const uint8_t bytes[] = { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
				  (uint8_t)(v >> 24) };

	vz_out_bytes(out, bytes, sizeof(bytes));
}

static void put_tuple(struct vz_out *out, uint32_t n)
{
	vz_out_char(out, '(');
	put_u32(out, n);
}

static void put_string(struct vz_out *out, const char *s)
{
	size_t n = strlen(s);

	vz_out_char(out, 'u');
	put_u32(out, (uint32_t)n);
	vz_out_bytes(out, s, n);
}

static void put_int(struct vz_out *out, uint64_t v)
{
	uint32_t digits = 0;

	if (v <= INT32_MAX) {
		vz_out_char(out, 'i');
		put_u32(out, (uint32_t)v);
		return;
	}
	for (uint64_t rest = v; rest; rest >>= MARSHAL_DIGIT)
		digits++;
	vz_out_char(out, 'l');
	put_u32(out, digits);
	for (; v; v >>= MARSHAL_DIGIT) {
		vz_out_char(out, (char)(v & 0xff));
		vz_out_char(out, (char)(v >> 8 & 0x7f));
	}
}

static void put_seconds(struct vz_out *out, uint64_t ns)
{
	double seconds = (double)ns / 1e9;
	uint64_t bits;

	memcpy(&bits, &seconds, sizeof(bits));
	vz_out_char(out, 'g');
	put_u32(out, (uint32_t)bits);
	put_u32(out, (uint32_t)(bits >> 32));
}

static void put_key(struct vz_out *out, const struct vz_name *name)
{
	put_tuple(out, 3);
	put_string(out, name->file);
	put_int(out, name->line);
	put_string(out, name->text);
}

static void put_callers(const struct pstats *p, const struct tally *t)
{
	vz_out_char(p->out, '{');
	for (uint32_t next = t->first; next; next = p->calls[next - 1].next) {
		const struct tally *call = &p->calls[next - 1];

		put_key(p->out, &p->names.p[p->pairs.p[next - 1].a]);
		put_tuple(p->out, 4);
		put_int(p->out, call->calls);
		put_int(p->out, call->primitive);
		put_seconds(p->out, call->self_ns);
		put_seconds(p->out, call->total_ns);
	}
	vz_out_char(p->out, '0');
}

static void put_function(const struct pstats *p, const struct vz_name *name, const struct tally *t)
{
	put_key(p->out, name);
	put_tuple(p->out, 5);
	put_int(p->out, t->primitive);
	put_int(p->out, t->calls);
	put_seconds(p->out, t->self_ns);
	put_seconds(p->out, t->total_ns);
	put_callers(p, t);
}

static void put_stats(const struct pstats *p)
{
	static char file[] = "~", text[] = "<nothing was recorded>";

	vz_out_char(p->out, '{');
	for (uint32_t i = 0; i < p->names.n; i++)
		put_function(p, &p->names.p[i], &p->functions[i]);
	/* pstats refuses to load an empty dict. */
	if (!p->names.n)
		put_function(p, &(struct vz_name){ file, text, 0 }, &(struct tally){ 0 });
	vz_out_char(p->out, '0');
}

int vz_export_pstats(struct vz_reader *r, const struct vz_export_options *options,
		     struct vz_out *out)
{
	static const struct vz_visitor visitor = {
		.begin = begin,
		.enter = enter,
		.leave = leave,
		.end = end,
	};
	const struct vz_walk_limits limits = {
		.place = VZ_ALL_TRACKS,
		.until_ns = vz_export_until(r, options->max_calls),
		.select = &options->select,
	};
	struct pstats p = { .reader = r, .out = out, .names = { .make = make } };
	int rc = vz_walk(r, &limits, &visitor, &p);

	if (rc == 0)
		put_stats(&p);
	vz_names_fini(&p.names);
	vz_pairs_fini(&p.pairs);
	free(p.functions);
	free(p.calls);
	return rc;
}
