/* SPDX-License-Identifier: MIT */
#include "viewer/export/export.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "viewer/export/slice.h"

enum {
	PAGE_MAX_CALLS = 10000000,
	SPEEDSCOPE_MAX_CALLS = 1000000, /* what a browser has to hold at once */
	TOLERANCE = 8, /* one part in so many above a limit is not worth leaving out */
};

const struct vz_export vz_exports[] = {
	{
		.name = "html",
		.extension = ".html",
		.about = "one page with timeline and table, opens offline",
		.max_calls = PAGE_MAX_CALLS,
		.asks = true,
		.call_bytes_x10 = 45,
		.write = vz_export_html,
	},
	{
		.name = "perfetto",
		.extension = ".pftrace",
		.about = "for ui.perfetto.dev and trace_processor",
		.write = vz_export_perfetto,
	},
	{
		.name = "json",
		.extension = ".json",
		.about = "Chrome trace events as VizTracer writes them",
		.write = vz_export_json,
	},
	{
		.name = "speedscope",
		.extension = ".speedscope.json",
		.about = "for speedscope.app, a profile for each thread",
		.max_calls = SPEEDSCOPE_MAX_CALLS,
		.write = vz_export_speedscope,
	},
	{
		.name = "collapsed",
		.extension = ".collapsed",
		.about = "folded stacks with ns, for flamegraph.pl",
		.write = vz_export_collapsed,
	},
	{
		.name = "pstats",
		.extension = ".pstats",
		.about = "for Python's pstats and what reads cProfile's files",
		.write = vz_export_pstats,
	},
	{
		.name = "csv",
		.extension = ".csv",
		.about = "a row for each function",
		.write = vz_export_csv,
	},
	{
		.name = "viz",
		.extension = ".part.viz",
		.about = "a part of the trace as a trace",
		.write = vz_export_viz,
	},
	{ 0 },
};

const struct vz_export *vz_export_find(const char *name)
{
	for (const struct vz_export *e = vz_exports; e->name; e++)
		if (!strcmp(e->name, name) || !strcmp(e->extension, name))
			return e;
	return NULL;
}

/* Calls before NS, if each block holds its calls evenly. */
static double calls_before(const struct vz_reader *r, uint64_t ns)
{
	double calls = 0;

	for (uint32_t i = 0; i < vz_reader_nblocks(r); i++) {
		const struct vz_index_entry *b = vz_reader_block(r, i);

		if (ns >= b->t1_ns)
			calls += b->count;
		else if (ns > b->t0_ns)
			calls += b->count * (double)(ns - b->t0_ns) / (double)(b->t1_ns - b->t0_ns);
	}
	return calls;
}

uint64_t vz_export_until(const struct vz_reader *r, uint64_t max_calls)
{
	struct vz_totals totals;
	uint64_t lo, hi;

	vz_reader_totals(r, &totals);
	if (!max_calls || totals.calls <= max_calls + max_calls / TOLERANCE)
		return 0;
	vz_reader_range(r, &lo, &hi);
	while (hi - lo > 1) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (calls_before(r, mid) <= (double)max_calls)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

const char *vz_export_note(uint32_t symbol, unsigned how)
{
	unsigned entry = symbol & ((1u << VZ_SYMBOL_SHIFT) - 1);

	if (entry == VZ_ENTRY_OPEN && how == VZ_LEFT_OPEN)
		return "ran during the whole recording; began before it, ended after it";
	if (entry == VZ_ENTRY_OPEN)
		return "began before it was seen here";
	if (how == VZ_LEFT_OPEN)
		return "had not ended when the recording did";
	if (how == VZ_LEAVE_UNSEEN)
		return "its end was not seen; it ended here at the latest";
	if (how == VZ_LEFT_GAP)
		return "its end is in a part of the trace that cannot be read";
	return NULL;
}

int vz_export_name(const struct vz_function *f, char *buf, size_t size)
{
	if (f->kind == VZ_DEF_C)
		return snprintf(buf, size, "%s%s%s", f->file, f->file[0] ? "." : "", f->name);
	if (!f->file[0])
		return snprintf(buf, size, "%s", f->name);
	return snprintf(buf, size, "%s (%s:%u)", f->name, f->file, f->line);
}

int vz_export_viz(struct vz_reader *r, const struct vz_export_options *options, struct vz_out *out)
{
	uint64_t bytes = 0;
	int rc = out->memory ? -ENOTSUP
			     : vz_slice(r, &options->select, vz_export_until(r, options->max_calls),
					out->fd, &bytes);

	/* Nothing waits in the buffer: this format has no part that goes through it. */
	out->bytes += bytes;
	if (rc < 0 && rc != -ENOMEM && !out->error)
		out->error = rc;
	return rc;
}

const char *vz_export_process(const struct vz_reader *r)
{
	const char *comm = vz_reader_fact(r, "comm");

	return comm && comm[0] ? comm : "python";
}
