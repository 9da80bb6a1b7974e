/* SPDX-License-Identifier: MIT */
#include "viewer/export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	HTML_MAX_CALLS = 1000000,
};

const struct vz_export vz_exports[] = {
	{
		.name = "html",
		.extension = ".html",
		.about = "one page with timeline and table, opens offline",
		.max_calls = HTML_MAX_CALLS,
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
	{ 0 },
};

const struct vz_export *vz_export_find(const char *name)
{
	for (const struct vz_export *e = vz_exports; e->name; e++)
		if (!strcmp(e->name, name) || !strcmp(e->extension, name))
			return e;
	return NULL;
}

static int by_begin(const void *pa, const void *pb)
{
	const struct vz_index_entry *a = *(const struct vz_index_entry *const *)pa;
	const struct vz_index_entry *b = *(const struct vz_index_entry *const *)pb;

	return (a->t0_ns > b->t0_ns) - (a->t0_ns < b->t0_ns);
}

/* A block that begins before the limit is thought to hold its calls evenly. */
int vz_export_until(const struct vz_reader *r, uint64_t max_calls, uint64_t *until_ns)
{
	uint32_t n = vz_reader_nblocks(r);
	const struct vz_index_entry **blocks;
	struct vz_totals totals;

	*until_ns = 0;
	vz_reader_totals(r, &totals);
	if (!max_calls || totals.calls <= max_calls)
		return 0;
	blocks = calloc(n, sizeof(*blocks));
	if (!blocks)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		blocks[i] = vz_reader_block(r, i);
	qsort(blocks, n, sizeof(*blocks), by_begin);
	for (uint32_t i = 0; i < n; i++) {
		const struct vz_index_entry *b = blocks[i];

		if (b->count > max_calls) {
			double part = (double)max_calls / b->count;

			*until_ns = b->t0_ns + (uint64_t)(part * (double)(b->t1_ns - b->t0_ns));
			break;
		}
		max_calls -= b->count;
	}
	free(blocks);
	return 0;
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

const char *vz_export_process(const struct vz_reader *r)
{
	const char *comm = vz_reader_fact(r, "comm");

	return comm && comm[0] ? comm : "python";
}
