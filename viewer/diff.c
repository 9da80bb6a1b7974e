/* SPDX-License-Identifier: MIT */
#include "viewer/diff.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viewer/export/export.h"
#include "viewer/human.h"
#include "viewer/match.h"
#include "viewer/table.h"

enum {
	TEXT_BYTES = 1024,
	MEANS_FROM = 120,  /* columns: calls and means have room */
	TOTALS_FROM = 140, /* totals too */
	NUMBERS = 9 + 9 + 10 + 8 + 2 + 11 + 1,
	MEANS = 4 * 10,
	TOTALS = 2 * 9,
};

static const double odd_median = 0.1; /* half of all functions are off by that */

static const char *const verdicts[VZ_VERDICTS] = {
	[VZ_SAME] = "same",
	[VZ_NOISE] = "noise",
	[VZ_TOO_FEW] = "too few",
	[VZ_SLOWER] = "slower",
	[VZ_FASTER] = "faster",
	[VZ_MORE_CALLS] = "more calls",
	[VZ_FEWER_CALLS] = "fewer calls",
	[VZ_ONLY_A] = "only in A",
	[VZ_ONLY_B] = "only in B",
};

struct view {
	struct vz_reader *readers[2];
	const struct vz_diff_options *options;
	struct vz_out *out;
	struct vz_matches all;
	uint64_t folded;
};

/* What is compared of a count or time. */
static uint64_t scaled(const struct view *v, int side, uint64_t value)
{
	return (uint64_t)llround((double)value * v->all.scale[side]);
}

/* By the difference, or by what slower and faster calls make of it. */
static bool is_shown(const struct view *v, const struct vz_match *m)
{
	const struct vz_match_side *b = &m->side[1];
	double least = v->options->min_percent / 100 * fmax(v->all.self_ns[0], v->all.self_ns[1]);
	double slower = m->side[0].spread.mean * (m->ratio - 1);

	if (m->verdict == VZ_SAME)
		return false;
	if (m->verdict == VZ_SLOWER || m->verdict == VZ_FASTER)
		slower *= (double)(b->calls + b->resumes) * v->all.scale[1];
	else
		slower = 0;
	return fabs(m->difference) >= least || fabs(slower) >= least;
}

static const struct vz_function *function_of(const struct vz_match *m)
{
	return m->side[1].function ? m->side[1].function : m->side[0].function;
}

/* ---- text ---- */

static void put_trace(const struct view *v, int side)
{
	struct vz_reader *r = v->readers[side];
	const struct vz_track_stats *all = &v->all.stats[side].all;
	char process[TEXT_BYTES], line[2 * TEXT_BYTES];
	struct vz_damage damage;
	uint64_t t0_ns, t1_ns;

	vz_reader_range(r, &t0_ns, &t1_ns);
	vz_reader_damage(r, &damage);
	snprintf(process, sizeof(process), "%.200s", vz_export_process(r));
	snprintf(line, sizeof(line), "%c  %s, %s calls, %s (pid %u)  %s", 'A' + side,
		 vz_human_time(t1_ns - t0_ns).s, vz_human_count(all->calls + all->resumes).s,
		 process, vz_reader_header(r)->pid, v->options->file[side]);
	vz_out_plain(line);
	vz_put_begin(v->out, line, v->options->columns);
	vz_out_char(v->out, '\n');
	if (all->lost)
		vz_out_format(v->out, "   %s records were lost: counts are lower bounds\n",
			      vz_human_count(all->lost).s);
	if (damage.cut)
		vz_out_text(v->out, "   it was cut off: this is what it holds up to there\n");
	if (damage.damaged_blocks || damage.missing_blocks || damage.skipped_bytes)
		vz_out_text(v->out, "   parts of it cannot be read: see vizview info\n");
}

static void put_summary(const struct view *v)
{
	const uint64_t *n = v->all.count;

	vz_out_format(
		v->out,
		"\nper call: %s slower, %s faster, %s within noise, %s called too seldom to "
		"tell\n",
		vz_human_count(n[VZ_SLOWER]).s, vz_human_count(n[VZ_FASTER]).s,
		vz_human_count(n[VZ_NOISE] + n[VZ_MORE_CALLS] + n[VZ_FEWER_CALLS] + n[VZ_SAME]).s,
		vz_human_count(n[VZ_TOO_FEW]).s);
	vz_out_format(v->out, "functions only in A: %s, only in B: %s\n",
		      vz_human_count(n[VZ_ONLY_A]).s, vz_human_count(n[VZ_ONLY_B]).s);
	vz_out_text(v->out,
		    v->all.per_second
			    ? "their lengths differ: times and calls below are per second\n"
			    : "about as long as each other: times and calls are as recorded\n");
	if (fabs(v->all.machine - 1) > odd_median)
		vz_out_format(v->out,
			      "the median function takes x%.2f per call in B (another load or "
			      "machine?):\n%s means: beyond that\n",
			      v->all.machine, v->all.machine > 1 ? "slower" : "faster");
}

static void put_head(const struct view *v)
{
	vz_put_colour(v->out, v->options->colours, VZ_BOLD);
	vz_out_text(v->out, "\n   self A   self B difference");
	if (v->options->columns >= TOTALS_FROM)
		vz_out_text(v->out, "  total A  total B");
	if (v->options->columns >= MEANS_FROM)
		vz_out_text(v->out, "   calls A   calls B    call A    call B");
	vz_out_text(v->out, "    call  verdict     function");
	vz_put_plain(v->out, v->options->colours);
	vz_out_char(v->out, '\n');
}

static void put_difference(const struct view *v, double difference)
{
	char text[64];

	difference = round(difference);
	snprintf(text, sizeof(text), "%s%s",
		 difference > 0   ? "+"
		 : difference < 0 ? "-"
				  : "",
		 vz_human_time((uint64_t)llround(fabs(difference))).s);
	vz_put_right(v->out, text, 11);
}

static void put_time(const struct view *v, const struct vz_match_side *side, uint64_t ns,
		     unsigned width)
{
	vz_put_right(v->out, side->function ? vz_human_time(ns).s : "-", width);
}

static void put_wide(const struct view *v, const struct vz_match *m)
{
	const struct vz_match_side *side = m->side;

	for (int i = 0; i < 2 && v->options->columns >= TOTALS_FROM; i++)
		put_time(v, &side[i], scaled(v, i, side[i].total_ns), 9);
	for (int i = 0; i < 2 && v->options->columns >= MEANS_FROM; i++)
		vz_put_right(v->out,
			     vz_human_count(scaled(v, i, side[i].calls + side[i].resumes)).s, 10);
	for (int i = 0; i < 2 && v->options->columns >= MEANS_FROM; i++)
		vz_put_right(v->out,
			     side[i].spread.n
				     ? vz_human_time((uint64_t)llround(side[i].spread.mean)).s
				     : "-",
			     10);
}

static unsigned room_of(const struct view *v)
{
	unsigned columns = v->options->columns, used = NUMBERS;

	used += columns >= MEANS_FROM ? MEANS : 0;
	used += columns >= TOTALS_FROM ? TOTALS : 0;
	return columns ? (columns > used + 20 ? columns - used - 1 : 20) : 0;
}

static void put_ratio(const struct view *v, const struct vz_match *m)
{
	bool sure = m->verdict == VZ_SLOWER || m->verdict == VZ_FASTER;
	double ratio = m->ratio;
	char text[32] = "-";

	if (ratio > 0)
		snprintf(text, sizeof(text), ratio < 100 ? "%sx%.2f" : "%sx%.3g", sure ? "" : "~",
			 ratio);
	vz_put_right(v->out, text, 8);
}

static void begin_colour(const struct view *v, enum vz_verdict verdict)
{
	if (verdict == VZ_SLOWER)
		vz_put_colour(v->out, v->options->colours, VZ_RED);
	else if (verdict == VZ_FASTER)
		vz_put_colour(v->out, v->options->colours, VZ_GREEN);
	else if (verdict == VZ_NOISE || verdict == VZ_TOO_FEW)
		vz_put_colour(v->out, v->options->colours, VZ_DIM);
}

static void put_row(const struct view *v, const struct vz_match *m)
{
	for (int i = 0; i < 2; i++)
		put_time(v, &m->side[i], scaled(v, i, m->side[i].self_ns), 9);
	put_difference(v, m->difference);
	put_wide(v, m);
	put_ratio(v, m);
	begin_colour(v, m->verdict);
	vz_out_format(v->out, "  %-11s", verdicts[m->verdict]);
	vz_put_plain(v->out, v->options->colours);
	vz_out_char(v->out, ' ');
	vz_put_function(v->out, function_of(m), room_of(v));
	vz_out_char(v->out, '\n');
}

static void put_legend(const struct view *v)
{
	vz_out_format(
		v->out,
		"\ncall: self time of a call in B by that in A, the typical or the mean one.\n"
		"slower, faster: it differs by more than 4 standard errors, 10 ns, and %.0f %%\n"
		"(most functions differ by less); noise, and a ratio behind ~: it does not.\n"
		"too few: less than 8 calls were seen whole in one of them.\n",
		100 * v->all.relevant);
	if (v->options->columns && v->options->columns < TOTALS_FROM)
		vz_out_format(v->out, "%s %u columns on; --json has all.\n",
			      v->options->columns < MEANS_FROM
				      ? "Calls and means are shown from 120, totals from"
				      : "Totals are shown from",
			      TOTALS_FROM);
}

static void put_text(struct view *v)
{
	size_t shown = 0;

	put_trace(v, 0);
	put_trace(v, 1);
	if (v->all.count[VZ_SAME] == v->all.n) {
		vz_out_text(v->out, v->all.n ? "\nnothing differs\n"
					     : "\nno function was called in either\n");
		return;
	}
	put_summary(v);
	for (size_t i = 0; i < v->all.n; i++) {
		if (!is_shown(v, &v->all.p[i]))
			continue;
		if (!shown++)
			put_head(v);
		put_row(v, &v->all.p[i]);
	}
	if (v->folded)
		vz_out_format(v->out,
			      "%s... %s functions %sdiffer by less than %.3g %% of the time\n",
			      shown ? "" : "\n", vz_human_count(v->folded).s, shown ? "more " : "",
			      v->options->min_percent);
	if (shown)
		put_legend(v);
}

/* ---- JSON ---- */

static void put_json_trace(const struct view *v, int side)
{
	struct vz_reader *r = v->readers[side];
	const struct vz_track_stats *all = &v->all.stats[side].all;
	struct vz_damage damage;
	uint64_t t0_ns, t1_ns;

	vz_reader_range(r, &t0_ns, &t1_ns);
	vz_reader_damage(r, &damage);
	vz_out_format(v->out, ",\"%c\":{\"path\":\"", 'a' + side);
	vz_out_json(v->out, v->options->file[side]);
	vz_out_text(v->out, "\",\"process\":\"");
	vz_out_json(v->out, vz_export_process(r));
	vz_out_format(
		v->out,
		"\",\"pid\":%u,\"duration_ns\":%" PRIu64 ",\"calls\":%" PRIu64
		",\"resumes\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"complete\":%s,\"damaged\":%s}",
		vz_reader_header(r)->pid, t1_ns - t0_ns, all->calls, all->resumes, all->lost,
		damage.cut ? "false" : "true",
		damage.damaged_blocks || damage.missing_blocks || damage.skipped_bytes ? "true"
										       : "false");
}

static void put_json_side(const struct view *v, const struct vz_match *m, int side)
{
	const struct vz_match_side *s = &m->side[side];

	vz_out_format(v->out, ",\"%c\":", 'a' + side);
	if (!s->function) {
		vz_out_text(v->out, "null");
		return;
	}
	vz_out_format(
		v->out,
		"{\"line\":%u,\"calls\":%" PRIu64 ",\"resumes\":%" PRIu64 ",\"total_ns\":%" PRIu64
		",\"self_ns\":%" PRIu64 ",\"partial\":%" PRIu64 ",\"whole\":%" PRIu64
		",\"mean_ns\":%.3f,\"error_ns\":%.3f,\"typical_ns\":%.3f}",
		s->function->line, s->calls, s->resumes, s->total_ns, s->self_ns, s->partial,
		s->spread.n, s->spread.mean, vz_spread_error(&s->spread), vz_match_typical(s));
}

static void put_json_match(const struct view *v, const struct vz_match *m)
{
	double ratio = m->ratio;

	vz_out_char(v->out, '{');
	vz_put_json_function(v->out, function_of(m));
	vz_out_format(v->out, ",\"verdict\":\"%s\",\"difference_ns\":%.0f,\"doubt_ns\":%.3f,",
		      verdicts[m->verdict], m->difference, m->doubt);
	if (ratio > 0)
		vz_out_format(v->out, "\"ratio\":%.6g", ratio);
	else
		vz_out_text(v->out, "\"ratio\":null");
	put_json_side(v, m, 0);
	put_json_side(v, m, 1);
	vz_out_char(v->out, '}');
}

static void put_json(const struct view *v)
{
	size_t shown = 0;

	vz_out_format(v->out, "{\"schema\":1,\"compared\":\"%s\",\"min_percent\":%.3f",
		      v->all.per_second ? "per second" : "as recorded", v->options->min_percent);
	put_json_trace(v, 0);
	put_json_trace(v, 1);
	if (v->all.median > 0)
		vz_out_format(v->out, ",\"median_ratio\":%.6g", v->all.median);
	else
		vz_out_text(v->out, ",\"median_ratio\":null");
	vz_out_format(v->out, ",\"relevant\":%.6g,\"verdicts\":{", v->all.relevant);
	for (int i = 0; i < VZ_VERDICTS; i++)
		vz_out_format(v->out, "%s\"%s\":%" PRIu64, i ? "," : "", verdicts[i],
			      v->all.count[i]);
	vz_out_format(v->out, "},\"folded\":%" PRIu64 ",\"functions\":[", v->folded);
	for (size_t i = 0; i < v->all.n; i++) {
		if (!is_shown(v, &v->all.p[i]))
			continue;
		vz_out_text(v->out, shown++ ? "," : "");
		put_json_match(v, &v->all.p[i]);
	}
	vz_out_text(v->out, "]}\n");
}

int vz_diff(struct vz_reader *a, struct vz_reader *b, const struct vz_diff_options *options,
	    struct vz_out *out)
{
	struct view v = { .readers = { a, b }, .options = options, .out = out };
	int rc = vz_matches_init(&v.all, a, b);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < v.all.n; i++)
		v.folded += v.all.p[i].verdict != VZ_SAME && !is_shown(&v, &v.all.p[i]);
	if (options->json)
		put_json(&v);
	else
		put_text(&v);
	vz_matches_fini(&v.all);
	return 0;
}
