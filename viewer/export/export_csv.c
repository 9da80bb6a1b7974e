/* SPDX-License-Identifier: MIT */
/*
 * A row for each function, as in "vizview report", for spreadsheets: RFC 4180.
 *
 * Text that a spreadsheet would take for a formula gets an apostrophe in front.
 * min_ns and max_ns are empty if no call was seen from begin to end.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/export/export.h"
#include "viewer/stats.h"

static int put_field(struct vz_out *out, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	vz_out_plain(copy);
	vz_out_char(out, '"');
	if (*copy && strchr("=+-@", *copy))
		vz_out_char(out, '\'');
	for (const char *s = copy; *s; s++) {
		if (*s == '"')
			vz_out_char(out, '"');
		vz_out_char(out, *s);
	}
	vz_out_char(out, '"');
	free(copy);
	return 0;
}

static int put_row(struct vz_out *out, const struct vz_function *f,
		   const struct vz_function_stats *s)
{
	uint64_t stays = s->calls + s->resumes + s->open;
	int rc;

	vz_out_format(out, "%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",", s->calls,
		      s->resumes, s->total_ns, s->self_ns, stays ? s->total_ns / stays : 0);
	if (s->min_ns <= s->max_ns)
		vz_out_format(out, "%" PRIu64 ",%" PRIu64, s->min_ns, s->max_ns);
	else
		vz_out_char(out, ',');
	vz_out_format(out, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%s,", s->raised, s->open,
		      s->unseen, f->kind == VZ_DEF_C ? "c" : "python");
	rc = put_field(out, f->file);
	vz_out_format(out, ",%u,", f->line);
	if (rc == 0)
		rc = put_field(out, f->name);
	vz_out_text(out, "\r\n");
	return rc;
}

int vz_export_csv(struct vz_reader *r, const struct vz_export_options *options, struct vz_out *out)
{
	const struct vz_walk_limits limits = {
		.place = VZ_ALL_TRACKS,
		.until_ns = vz_export_until(r, options->max_calls),
		.select = &options->select,
	};
	struct vz_stats s;
	int rc = vz_stats_within(&s, r, &limits);

	if (rc < 0)
		return rc;
	vz_stats_sort(&s, r, VZ_ORDER_SELF);
	vz_out_text(out, "calls,resumes,total_ns,self_ns,mean_ns,min_ns,max_ns,raised,open,unseen,"
			 "kind,file,line,name\r\n");
	for (uint32_t i = 0; rc == 0 && i < s.nfunctions; i++)
		rc = put_row(out, vz_reader_function(r, s.functions[i].function), &s.functions[i]);
	vz_stats_fini(&s);
	return rc;
}
