/* SPDX-License-Identifier: MIT */
#include "viewer/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "viewer/export/export.h"
#include "viewer/human.h"
#include "viewer/table.h"
#include "viewer/walk.h"

enum {
	NAME_BYTES = 6144,
	COLUMN = 10,
};

static void put_row(struct vz_out *out, const struct vz_reader *r,
		    const struct vz_function_stats *s, uint64_t all_ns, unsigned columns)
{
	uint64_t stays = s->calls + s->resumes + s->open;
	const unsigned used = 5 * (COLUMN + 1) + 1;
	char name[NAME_BYTES];

	vz_put_right(out, vz_human_time(s->self_ns).s, COLUMN);
	vz_out_format(out, " %9.1f%%", all_ns ? 100.0 * (double)s->self_ns / (double)all_ns : 0.0);
	vz_put_right(out, vz_human_time(s->total_ns).s, COLUMN + 1);
	vz_put_right(out, vz_human_count(s->calls + s->resumes).s, COLUMN + 1);
	vz_put_right(out, vz_human_time(stays ? s->total_ns / stays : 0).s, COLUMN + 1);
	vz_out_text(out, s->open || s->unseen ? " ~" : "  ");
	vz_export_name(vz_reader_function(r, s->function), name, sizeof(name));
	vz_out_plain(name);
	vz_put_end(out, name, columns > used + COLUMN ? columns - used - 1 : 0);
	vz_out_char(out, '\n');
}

static void put_table(struct vz_out *out, const struct vz_reader *r, const struct vz_stats *s,
		      const struct vz_report_options *options)
{
	uint32_t rows = options->top && options->top < s->nfunctions ? options->top : s->nfunctions;
	bool partly = false;
	uint64_t all_ns = 0;

	for (uint32_t i = 0; i < s->nfunctions; i++)
		all_ns += s->functions[i].self_ns;
	vz_out_text(out, "      self      self      total      calls  mean call  function\n");
	for (uint32_t i = 0; i < rows; i++) {
		put_row(out, r, &s->functions[i], all_ns, options->columns);
		partly |= s->functions[i].open || s->functions[i].unseen;
	}
	if (rows < s->nfunctions)
		vz_out_format(out, "and %s functions more (--top 0 shows all)\n",
			      vz_human_count(s->nfunctions - rows).s);
	if (partly)
		vz_out_text(out,
			    "~ some of its calls began before, ended after, or were not seen to "
			    "end: their time is a part\n");
}

static void put_losses(struct vz_out *out, const struct vz_reader *r, const struct vz_stats *s)
{
	struct vz_damage damage;

	vz_reader_damage(r, &damage);
	if (s->all.lost)
		vz_out_format(out,
			      "%s records were lost while recording: counts are lower bounds\n",
			      vz_human_count(s->all.lost).s);
	if (damage.cut)
		vz_out_text(out, "the recording was cut off: this is what it holds up to there\n");
	if (damage.damaged_blocks || damage.missing_blocks || damage.skipped_bytes)
		vz_out_text(out, "parts of the file cannot be read: see vizview info\n");
}

static void put_title(struct vz_out *out, const struct vz_reader *r, const struct vz_stats *s)
{
	char process[1024];
	uint64_t t0_ns, t1_ns;

	vz_reader_range(r, &t0_ns, &t1_ns);
	snprintf(process, sizeof(process), "%s", vz_export_process(r));
	vz_out_plain(process);
	vz_out_format(out, "%s (pid %u), %s, %s thread%s, %s calls\n\n", process,
		      vz_reader_header(r)->pid, vz_human_time(t1_ns - t0_ns).s,
		      vz_human_count(vz_reader_ntracks(r)).s, vz_reader_ntracks(r) == 1 ? "" : "s",
		      vz_human_count(s->all.calls + s->all.resumes).s);
}

static int put_threads(struct vz_out *out, struct vz_reader *r,
		       const struct vz_report_options *options)
{
	char title[1024];

	for (uint32_t i = 0; i < vz_reader_ntracks(r); i++) {
		const struct vz_thread_track *track = vz_reader_track(r, i);
		struct vz_stats s;
		int rc = vz_stats_init(&s, r, i);

		if (rc < 0)
			return rc;
		vz_stats_sort(&s, r, options->order);
		vz_reader_track_title(track, title, sizeof(title));
		vz_out_plain(title);
		vz_out_format(out, "\n%s (tid %u): %s calls, busy %s, depth %u%s\n", title,
			      track->tid, vz_human_count(s.all.calls + s.all.resumes).s,
			      vz_human_time(s.all.busy_ns).s, s.all.max_depth,
			      s.all.lost ? ", records lost" : "");
		put_table(out, r, &s, options);
		vz_stats_fini(&s);
	}
	return 0;
}

/* ---- JSON ---- */

static void put_json_function(struct vz_out *out, const struct vz_reader *r,
			      const struct vz_function_stats *s)
{
	const struct vz_function *f = vz_reader_function(r, s->function);

	vz_out_char(out, '{');
	vz_put_json_function(out, f);
	vz_out_format(out,
		      ",\"calls\":%" PRIu64 ",\"resumes\":%" PRIu64 ",\"self_ns\":%" PRIu64
		      ",\"total_ns\":%" PRIu64 ",\"min_ns\":%" PRIu64 ",\"max_ns\":%" PRIu64
		      ",\"raised\":%" PRIu64 ",\"open\":%" PRIu64 ",\"unseen\":%" PRIu64 "}",
		      s->calls, s->resumes, s->self_ns, s->total_ns,
		      s->min_ns <= s->max_ns ? s->min_ns : 0, s->max_ns, s->raised, s->open,
		      s->unseen);
}

static void put_json_functions(struct vz_out *out, const struct vz_reader *r,
			       const struct vz_stats *s, uint32_t top)
{
	vz_out_text(out, "\"functions\":[");
	for (uint32_t i = 0; i < s->nfunctions && (!top || i < top); i++) {
		vz_out_text(out, i ? "," : "");
		put_json_function(out, r, &s->functions[i]);
	}
	vz_out_text(out, "]");
}

static int put_json_threads(struct vz_out *out, struct vz_reader *r,
			    const struct vz_report_options *options)
{
	char title[1024];

	vz_out_text(out, ",\"threads\":[");
	for (uint32_t i = 0; i < vz_reader_ntracks(r); i++) {
		const struct vz_thread_track *track = vz_reader_track(r, i);
		struct vz_stats s;
		int rc = vz_stats_init(&s, r, i);

		if (rc < 0)
			return rc;
		vz_stats_sort(&s, r, options->order);
		vz_reader_track_title(track, title, sizeof(title));
		vz_out_text(out, i ? ",{\"name\":\"" : "{\"name\":\"");
		vz_out_json(out, title);
		vz_out_format(out,
			      "\",\"tid\":%u,\"greenlet\":%" PRIu64 ",\"calls\":%" PRIu64
			      ",\"resumes\":%" PRIu64 ",\"busy_ns\":%" PRIu64
			      ",\"max_depth\":%u,\"lost\":%" PRIu64 ",",
			      track->tid, track->stack_key, s.all.calls, s.all.resumes,
			      s.all.busy_ns, s.all.max_depth, s.all.lost);
		put_json_functions(out, r, &s, options->top);
		vz_out_text(out, "}");
		vz_stats_fini(&s);
	}
	vz_out_text(out, "]");
	return 0;
}

static int put_json(struct vz_out *out, struct vz_reader *r, const struct vz_stats *s,
		    const struct vz_report_options *options)
{
	struct vz_damage damage;
	uint64_t t0_ns, t1_ns;
	int rc = 0;

	vz_reader_range(r, &t0_ns, &t1_ns);
	vz_reader_damage(r, &damage);
	vz_out_text(out, "{\"schema\":1,\"process\":\"");
	vz_out_json(out, vz_export_process(r));
	vz_out_format(out,
		      "\",\"pid\":%u,\"duration_ns\":%" PRIu64 ",\"calls\":%" PRIu64
		      ",\"resumes\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"complete\":%s,",
		      vz_reader_header(r)->pid, t1_ns - t0_ns, s->all.calls, s->all.resumes,
		      s->all.lost, damage.cut ? "false" : "true");
	put_json_functions(out, r, s, options->top);
	if (options->threads)
		rc = put_json_threads(out, r, options);
	vz_out_text(out, "}\n");
	return rc;
}

int vz_report(struct vz_reader *r, const struct vz_report_options *options, struct vz_out *out)
{
	struct vz_stats s;
	int rc = vz_stats_init(&s, r, VZ_ALL_TRACKS);

	if (rc < 0)
		return rc;
	vz_stats_sort(&s, r, options->order);
	if (options->json) {
		rc = put_json(out, r, &s, options);
	} else {
		put_title(out, r, &s);
		if (options->threads)
			rc = put_threads(out, r, options);
		else
			put_table(out, r, &s, options);
		put_losses(out, r, &s);
	}
	vz_stats_fini(&s);
	return rc;
}
