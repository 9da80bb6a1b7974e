/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "viewer/export/export.h"
#include "viewer/human.h"
#include "viewer/report.h"
#include "viewer/walk.h"

enum {
	MAX_THREADS = 20, /* named one by one; people count the others */
};

static void put_line(struct vz_out *out, const char *key, const char *value)
{
	char line[8192];

	snprintf(line, sizeof(line), "%-12s %s", key, value);
	vz_out_plain(line);
	vz_out_text(out, line);
	vz_out_char(out, '\n');
}

static void put_recording(struct vz_out *out, const struct vz_reader *r, const struct vz_stats *s)
{
	const struct vz_file_header *h = vz_reader_header(r);
	const struct vz_track_stats *all = &s->all;
	uint64_t calls = all->calls + all->resumes, t0_ns, t1_ns;
	struct vz_totals totals;
	char process[1024];

	vz_reader_range(r, &t0_ns, &t1_ns);
	vz_reader_totals(r, &totals);
	snprintf(process, sizeof(process), "%s (pid %u)", vz_export_process(r), h->pid);
	put_line(out, "process", process);
	put_line(out, "recorded", h->start_unix_ns ? vz_human_date(h->start_unix_ns).s : "unknown");
	put_line(out, "duration", vz_human_time(t1_ns - t0_ns).s);
	vz_out_format(out, "%-12s %s", "calls", vz_human_count(calls).s);
	if (all->resumes)
		vz_out_format(out, " (of these %s resumes of generators and coroutines)",
			      vz_human_count(all->resumes).s);
	vz_out_format(out, "\n%-12s %s records\n", "lost", vz_human_count(all->lost).s);
	vz_out_format(out, "%-12s %s called, %s known\n", "functions",
		      vz_human_count(s->nfunctions).s, vz_human_count(totals.functions).s);
	vz_out_format(out, "%-12s %s, %s blocks", "size", vz_human_bytes(totals.file_bytes).s,
		      vz_human_count(totals.blocks).s);
	if (calls)
		vz_out_format(out, ", %.2f bytes a call",
			      (double)totals.file_bytes / (double)calls);
	vz_out_char(out, '\n');
}

static void put_state(struct vz_out *out, const struct vz_reader *r, const struct vz_stats *s)
{
	const struct vz_file_end *end = vz_reader_end(r);
	struct vz_damage d;
	bool sound;

	vz_reader_damage(r, &d);
	sound = !d.damaged_blocks && !d.missing_blocks && !d.skipped_bytes;
	if (d.cut)
		put_line(out, "state", "cut: the recorder did not finish it; all before is here");
	else
		put_line(out, "state", sound ? "complete" : "finished, but damaged since");
	if (d.damaged_blocks)
		vz_out_format(out, "%-12s %s blocks are there but cannot be read\n", "damage",
			      vz_human_count(d.damaged_blocks).s);
	if (d.missing_blocks)
		vz_out_format(out, "%-12s %s blocks are gone\n", "damage",
			      vz_human_count(d.missing_blocks).s);
	if (d.skipped_bytes)
		vz_out_format(out, "%-12s %s belong to no block\n", "damage",
			      vz_human_bytes(d.skipped_bytes).s);
	if (end && end->calls > s->all.calls + s->all.resumes)
		vz_out_format(out, "%-12s %s of the calls recorded are not here any more\n",
			      "damage",
			      vz_human_count(end->calls - s->all.calls - s->all.resumes).s);
}

static void put_threads(struct vz_out *out, const struct vz_reader *r, const struct vz_stats *s)
{
	uint32_t n = vz_reader_ntracks(r);
	char title[1024];

	vz_out_format(out, "%-12s %s\n", "threads", vz_human_count(n).s);
	for (uint32_t i = 0; i < n && i < MAX_THREADS; i++) {
		const struct vz_thread_track *track = vz_reader_track(r, i);
		const struct vz_track_stats *t = &s->tracks[i];

		vz_reader_track_title(track, title, sizeof(title));
		vz_out_plain(title);
		vz_out_format(out, "  %-24s tid %u, %s calls, busy %s, depth %u", title, track->tid,
			      vz_human_count(t->calls + t->resumes).s, vz_human_time(t->busy_ns).s,
			      t->max_depth);
		if (t->lost)
			vz_out_format(out, ", %s records lost", vz_human_count(t->lost).s);
		vz_out_char(out, '\n');
	}
	if (n > MAX_THREADS)
		vz_out_format(out, "  and %s more\n", vz_human_count(n - MAX_THREADS).s);
}

static void put_json_threads(struct vz_out *out, const struct vz_reader *r,
			     const struct vz_stats *s)
{
	char title[1024];

	vz_out_text(out, ",\"threads\":[");
	for (uint32_t i = 0; i < vz_reader_ntracks(r); i++) {
		const struct vz_thread_track *track = vz_reader_track(r, i);
		const struct vz_track_stats *t = &s->tracks[i];

		vz_reader_track_title(track, title, sizeof(title));
		vz_out_format(out, "%s{\"tid\":%u,\"name\":\"", i ? "," : "", track->tid);
		vz_out_json(out, title);
		vz_out_format(out,
			      "\",\"calls\":%" PRIu64 ",\"resumes\":%" PRIu64 ",\"lost\":%" PRIu64
			      ",\"busy_ns\":%" PRIu64 ",\"max_depth\":%u}",
			      t->calls, t->resumes, t->lost, t->busy_ns, t->max_depth);
	}
	vz_out_char(out, ']');
}

static void put_json_facts(struct vz_out *out, const struct vz_reader *r)
{
	const char *key, *value;

	vz_out_text(out, ",\"facts\":{");
	for (uint32_t i = 0; vz_reader_fact_at(r, i, &key, &value); i++) {
		vz_out_text(out, i ? ",\"" : "\"");
		vz_out_json(out, key);
		vz_out_text(out, "\":\"");
		vz_out_json(out, value);
		vz_out_char(out, '"');
	}
	vz_out_char(out, '}');
}

static void put_json(struct vz_out *out, const struct vz_reader *r, const struct vz_stats *s)
{
	const struct vz_file_header *h = vz_reader_header(r);
	uint64_t t0_ns, t1_ns;
	struct vz_totals totals;
	struct vz_damage d;

	vz_reader_range(r, &t0_ns, &t1_ns);
	vz_reader_totals(r, &totals);
	vz_reader_damage(r, &d);
	vz_out_format(out, "{\"schema\":1,\"pid\":%u,\"process\":\"", h->pid);
	vz_out_json(out, vz_export_process(r));
	vz_out_format(out,
		      "\",\"duration_ns\":%" PRIu64 ",\"calls\":%" PRIu64 ",\"resumes\":%" PRIu64
		      ",\"lost\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"functions\":%" PRIu64,
		      t1_ns - t0_ns, s->all.calls, s->all.resumes, s->all.lost,
		      (uint64_t)totals.file_bytes, (uint64_t)totals.functions);
	vz_out_format(out,
		      ",\"complete\":%s,\"damaged_blocks\":%" PRIu64 ",\"missing_blocks\":%" PRIu64
		      ",\"skipped_bytes\":%" PRIu64,
		      d.cut ? "false" : "true", (uint64_t)d.damaged_blocks,
		      (uint64_t)d.missing_blocks, (uint64_t)d.skipped_bytes);
	put_json_threads(out, r, s);
	put_json_facts(out, r);
	vz_out_text(out, "}\n");
}

int vz_info(struct vz_reader *r, bool json, struct vz_out *out)
{
	const char *key, *value;
	struct vz_stats s;
	int rc = vz_stats_init(&s, r, VZ_ALL_TRACKS);

	if (rc < 0)
		return rc;
	if (json) {
		put_json(out, r, &s);
		vz_stats_fini(&s);
		return 0;
	}
	put_recording(out, r, &s);
	put_state(out, r, &s);
	put_threads(out, r, &s);
	for (uint32_t i = 0; vz_reader_fact_at(r, i, &key, &value); i++)
		put_line(out, key, value);
	vz_stats_fini(&s);
	return 0;
}
