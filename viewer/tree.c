/* SPDX-License-Identifier: MIT */
#include "viewer/tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/calltree.h"
#include "viewer/export/export.h"
#include "viewer/human.h"
#include "viewer/table.h"

enum {
	NUMBERS = 6 + 9 + 9 + 10 + 3 + 1, /* columns before the names */
	MAX_BARS = 64,                    /* levels that are drawn */
	TITLE_BYTES = 1024,
};

/* Children of a node that are not shown one by one. */
struct fold {
	uint64_t count;
	uint64_t ns;
};

struct view {
	struct vz_reader *reader;
	const struct vz_tree_options *options;
	struct vz_out *out;
	struct vz_calltree tree;
	uint32_t *threads; /* places, busiest first */
	uint32_t nthreads;
	struct fold small; /* threads */
	uint64_t busy_ns;  /* of the thread in question */
	/* Lines of the branches, from the left; and for each depth how many are left of it. */
	bool *bars;
	uint32_t *indent;
	uint32_t cap;
	bool partial, incomplete, folded, recursive; /* legend */
};

static const struct vz_call_node *node_at(const struct view *v, uint32_t id)
{
	return &v->tree.nodes[id];
}

static bool is_shown(const struct view *v, uint32_t id)
{
	const struct vz_call_node *node = node_at(v, id);

	return (!v->options->depth || node->depth <= v->options->depth) &&
	       100.0 * (double)node->total_ns >= v->options->min_percent * (double)v->busy_ns;
}

static struct fold fold_of(const struct view *v, uint32_t id, uint32_t *shown)
{
	struct fold fold = { 0 };

	*shown = 0;
	for (uint32_t i = node_at(v, id)->first; i != VZ_NO_NODE; i = node_at(v, i)->next) {
		if (is_shown(v, i)) {
			++*shown;
			continue;
		}
		fold.count++;
		fold.ns += node_at(v, i)->total_ns;
	}
	return fold;
}

/* A fold gets a line where that tells something, else only a mark. */
static bool deserves_line(const struct view *v, const struct fold *fold, uint32_t shown)
{
	return fold->count && (shown || !v->options->depth) &&
	       100.0 * (double)fold->ns >= v->options->min_percent * (double)v->busy_ns;
}

/* ---- text ---- */

static int have_depth(struct view *v, uint32_t depth)
{
	uint32_t cap = v->cap ? v->cap : 64;
	uint32_t *indent;
	bool *bars;

	if (depth + 2 < v->cap)
		return 0;
	while (cap <= depth + 2)
		cap *= 2;
	bars = realloc(v->bars, cap * sizeof(*bars));
	if (bars)
		v->bars = bars;
	indent = realloc(v->indent, cap * sizeof(*indent));
	if (indent)
		v->indent = indent;
	if (!bars || !indent)
		return -ENOMEM;
	v->cap = cap;
	return 0;
}

/*
 * Branches left of a name, of half of the ROOM at most; returns the columns that they
 * took.  OWN: the last one leads to this row.
 */
static unsigned put_bars(const struct view *v, uint32_t level, bool own, unsigned room)
{
	unsigned most = room ? room / 4 : MAX_BARS;
	uint32_t from = level > most ? level - most : 0;

	for (uint32_t i = from; i < level; i++) {
		if (i == from && from)
			vz_out_text(v->out, "… ");
		else if (own && i + 1 == level)
			vz_out_text(v->out, v->bars[i] ? "├ " : "└ ");
		else
			vz_out_text(v->out, v->bars[i] ? "│ " : "  ");
	}
	return 2 * (level - from);
}

static unsigned room_of(const struct view *v)
{
	unsigned columns = v->options->columns;

	return columns ? (columns > NUMBERS + 20 ? columns - NUMBERS : 20) : 0;
}

static void put_marks(struct view *v, const struct vz_call_node *node, bool more)
{
	bool incomplete = node->lost || node->holes, partial = node->open || node->unseen;

	vz_out_char(v->out, ' ');
	vz_out_char(v->out, incomplete ? '!' : partial ? '~' : ' ');
	vz_out_char(v->out, more ? '+' : ' ');
	vz_out_char(v->out, ' ');
	v->incomplete |= incomplete;
	v->partial |= partial && !incomplete;
	v->folded |= more;
}

/* One more bar for the row itself unless it is the only one below its parent. */
static uint32_t begin_row(struct view *v, uint32_t depth, bool alone, bool more)
{
	uint32_t level = depth > 1 ? v->indent[depth - 1] : 0;

	if (!alone)
		v->bars[level++] = more;
	v->indent[depth] = level;
	return level;
}

static void put_nested(struct view *v, const struct vz_call_node *node, unsigned room)
{
	char text[64] = "";

	if (node->nested > 1)
		snprintf(text, sizeof(text), " ↻%s", vz_human_count(node->nested).s);
	if (room)
		room = room > vz_human_width(text) ? room - vz_human_width(text) : 1;
	vz_put_function(v->out, vz_reader_function(v->reader, node->function), room);
	vz_out_text(v->out, text);
	v->recursive |= node->nested > 1;
}

static void put_node(struct view *v, uint32_t id, uint32_t level, bool own, bool more)
{
	const struct vz_call_node *node = node_at(v, id);
	unsigned room = room_of(v), used;

	vz_out_format(v->out, "%5.1f%%",
		      v->busy_ns ? 100.0 * (double)node->total_ns / (double)v->busy_ns : 0.0);
	vz_put_right(v->out, vz_human_time(node->total_ns).s, 9);
	vz_put_right(v->out, vz_human_time(node->self_ns).s, 9);
	vz_put_right(v->out, vz_human_count(node->calls + node->resumes).s, 10);
	put_marks(v, node, more);
	used = put_bars(v, level, own, room);
	put_nested(v, node, room ? room - used : 0);
	vz_out_char(v->out, '\n');
}

static void put_fold(struct view *v, const struct fold *fold, uint32_t depth, bool alone)
{
	uint32_t level = begin_row(v, depth, alone, false);

	vz_out_format(v->out, "%*s", NUMBERS, "");
	put_bars(v, level, !alone, room_of(v));
	vz_put_colour(v->out, v->options->colours, VZ_DIM);
	vz_out_format(v->out, "... %s more, %s", vz_human_count(fold->count).s,
		      vz_human_time(fold->ns).s);
	vz_put_plain(v->out, v->options->colours);
	vz_out_char(v->out, '\n');
}

/* What is below ID and not shown; called when all that is shown has been. */
static void end_node(struct view *v, uint32_t id)
{
	uint32_t shown;
	struct fold fold = fold_of(v, id, &shown);

	if (deserves_line(v, &fold, shown))
		put_fold(v, &fold, node_at(v, id)->depth + 1, !shown);
}

static int put_one(struct view *v, uint32_t id)
{
	const struct vz_call_node *node = node_at(v, id);
	bool last = node->next == VZ_NO_NODE || !is_shown(v, node->next);
	bool line = false, alone;
	uint32_t shown;
	struct fold fold;
	int rc = have_depth(v, node->depth);

	if (rc < 0)
		return rc;
	if (last) {
		fold = fold_of(v, node->parent, &shown);
		line = deserves_line(v, &fold, shown);
	}
	alone = last && !line && node_at(v, node->parent)->first == id;
	fold = fold_of(v, id, &shown);
	put_node(v, id, begin_row(v, node->depth, alone, !last || line), !alone,
		 fold.count && !deserves_line(v, &fold, shown));
	return 0;
}

/* From the root down, each node before its children, without recursion. */
static int put_paths(struct view *v, uint32_t root, int (*put)(struct view *, uint32_t),
		     void (*end)(struct view *, uint32_t))
{
	uint32_t id = root, next = node_at(v, root)->first;
	int rc = 0;

	for (;;) {
		if (next != VZ_NO_NODE && is_shown(v, next)) {
			rc = put(v, next);
			if (rc < 0)
				return rc;
			id = next;
			next = node_at(v, id)->first;
			continue;
		}
		if (end)
			end(v, id);
		if (id == root)
			return 0;
		next = node_at(v, id)->next;
		id = node_at(v, id)->parent;
	}
}

static void put_thread_title(struct view *v, uint32_t place)
{
	const struct vz_thread_track *track = vz_reader_track(v->reader, place);
	const struct vz_call_track *t = &v->tree.tracks[place];
	char title[TITLE_BYTES];
	uint64_t t0_ns, t1_ns;

	vz_reader_range(v->reader, &t0_ns, &t1_ns);
	vz_reader_track_title(track, title, sizeof(title));
	vz_out_plain(title);
	vz_out_char(v->out, '\n');
	vz_put_colour(v->out, v->options->colours, VZ_BOLD);
	vz_put_begin(v->out, title, v->options->columns);
	vz_put_plain(v->out, v->options->colours);
	vz_out_format(v->out, "\n  tid %u, busy %s of %s, %s calls", track->tid,
		      vz_human_time(v->busy_ns).s, vz_human_time(t1_ns - t0_ns).s,
		      vz_human_count(t->calls + t->resumes).s);
	if (t->lost)
		vz_out_format(v->out, ", %s records lost", vz_human_count(t->lost).s);
	vz_out_text(v->out, "\n share    total     self     calls    function\n");
}

static int put_thread(struct view *v, uint32_t place)
{
	int rc;

	v->busy_ns = node_at(v, place)->total_ns;
	put_thread_title(v, place);
	rc = have_depth(v, 1);
	if (rc == 0)
		rc = put_paths(v, place, put_one, end_node);
	return rc;
}

static void put_legend(const struct view *v)
{
	if (v->incomplete)
		vz_out_text(v->out, "! records were lost or cannot be read here: calls are missing "
				    "below\n");
	if (v->partial)
		vz_out_text(v->out, "~ some of its calls began before, ended after, or were not "
				    "seen to end\n");
	if (v->folded)
		vz_out_text(v->out, "+ calls others that are not shown (--depth, --min-percent)\n");
	if (v->recursive)
		vz_out_text(v->out, "↻ calls itself, at most so deep; its time is counted once\n");
	if (v->tree.left_calls)
		vz_out_format(
			v->out,
			"%s calls (%s) are on more paths than are kept (%s):\ntheir time is in "
			"the total of their callers only\n",
			vz_human_count(v->tree.left_calls).s, vz_human_time(v->tree.left_ns).s,
			vz_human_count(v->tree.max - v->tree.ntracks).s);
}

static void put_damage(const struct view *v)
{
	struct vz_damage damage;

	vz_reader_damage(v->reader, &damage);
	if (damage.cut)
		vz_out_text(v->out,
			    "the recording was cut off: this is what it holds up to there\n");
	if (damage.damaged_blocks || damage.missing_blocks || damage.skipped_bytes)
		vz_out_text(v->out, "parts of the file cannot be read: see vizview info\n");
}

static int put_text(struct view *v)
{
	char process[TITLE_BYTES];
	uint64_t t0_ns, t1_ns;
	int rc = 0;

	vz_reader_range(v->reader, &t0_ns, &t1_ns);
	snprintf(process, sizeof(process), "%s", vz_export_process(v->reader));
	vz_out_plain(process);
	vz_out_format(v->out, "%s (pid %u), %s, %s thread%s\n", process,
		      vz_reader_header(v->reader)->pid, vz_human_time(t1_ns - t0_ns).s,
		      vz_human_count(v->tree.ntracks).s, v->tree.ntracks == 1 ? "" : "s");
	for (uint32_t i = 0; i < v->nthreads && rc == 0; i++)
		rc = put_thread(v, v->threads[i]);
	if (v->small.count)
		vz_out_format(v->out, "\n... %s more thread%s, %s\n",
			      vz_human_count(v->small.count).s, v->small.count == 1 ? "" : "s",
			      vz_human_time(v->small.ns).s);
	vz_out_char(v->out, '\n');
	put_legend(v);
	put_damage(v);
	return rc;
}

/* ---- JSON ---- */

static int put_json_node(struct view *v, uint32_t id)
{
	const struct vz_call_node *node = node_at(v, id);
	uint32_t shown;
	struct fold fold = fold_of(v, id, &shown);

	vz_out_text(v->out, node_at(v, node->parent)->first == id && node->depth == 1 ? "" : ",");
	vz_out_format(v->out, "{\"id\":%u,\"parent\":", id);
	if (node->depth == 1)
		vz_out_text(v->out, "null,");
	else
		vz_out_format(v->out, "%u,", node->parent);
	vz_put_json_function(v->out, vz_reader_function(v->reader, node->function));
	vz_out_format(v->out,
		      ",\"calls\":%" PRIu64 ",\"resumes\":%" PRIu64 ",\"total_ns\":%" PRIu64
		      ",\"self_ns\":%" PRIu64 ",\"other_ns\":%" PRIu64 ",\"nested\":%u"
		      ",\"open\":%" PRIu64 ",\"unseen\":%" PRIu64 ",\"lost\":%" PRIu64
		      ",\"holes\":%" PRIu64 ",\"folded\":%" PRIu64 ",\"folded_ns\":%" PRIu64 "}",
		      node->calls, node->resumes, node->total_ns, node->self_ns, node->other_ns,
		      node->nested, node->open, node->unseen, node->lost, node->holes, fold.count,
		      fold.ns);
	return 0;
}

static void put_json_thread(struct view *v, uint32_t place)
{
	const struct vz_thread_track *track = vz_reader_track(v->reader, place);
	const struct vz_call_track *t = &v->tree.tracks[place];
	char title[TITLE_BYTES];
	struct fold fold;
	uint32_t shown;

	v->busy_ns = node_at(v, place)->total_ns;
	fold = fold_of(v, place, &shown);
	vz_reader_track_title(track, title, sizeof(title));
	vz_out_text(v->out, "{\"name\":\"");
	vz_out_json(v->out, title);
	vz_out_format(v->out,
		      "\",\"tid\":%u,\"greenlet\":%" PRIu64 ",\"busy_ns\":%" PRIu64
		      ",\"calls\":%" PRIu64 ",\"resumes\":%" PRIu64 ",\"lost\":%" PRIu64
		      ",\"holes\":%" PRIu64 ",\"other_ns\":%" PRIu64 ",\"folded\":%" PRIu64
		      ",\"folded_ns\":%" PRIu64 ",\"nodes\":[",
		      track->tid, track->stack_key, v->busy_ns, t->calls, t->resumes, t->lost,
		      t->holes, node_at(v, place)->other_ns, fold.count, fold.ns);
	put_paths(v, place, put_json_node, NULL);
	vz_out_text(v->out, "]}");
}

static int put_json(struct view *v)
{
	struct vz_damage damage;
	uint64_t t0_ns, t1_ns;

	vz_reader_range(v->reader, &t0_ns, &t1_ns);
	vz_reader_damage(v->reader, &damage);
	vz_out_text(v->out, "{\"schema\":1,\"process\":\"");
	vz_out_json(v->out, vz_export_process(v->reader));
	vz_out_format(
		v->out,
		"\",\"pid\":%u,\"duration_ns\":%" PRIu64 ",\"complete\":%s"
		",\"damaged\":%s,\"depth\":%u,\"min_percent\":%.3f"
		",\"left_calls\":%" PRIu64 ",\"left_ns\":%" PRIu64 ",\"folded_threads\":%" PRIu64
		",\"folded_threads_ns\":%" PRIu64 ",\"threads\":[",
		vz_reader_header(v->reader)->pid, t1_ns - t0_ns, damage.cut ? "false" : "true",
		damage.damaged_blocks || damage.missing_blocks || damage.skipped_bytes ? "true"
										       : "false",
		v->options->depth, v->options->min_percent, v->tree.left_calls, v->tree.left_ns,
		v->small.count, v->small.ns);
	for (uint32_t i = 0; i < v->nthreads; i++) {
		vz_out_text(v->out, i ? "," : "");
		put_json_thread(v, v->threads[i]);
	}
	vz_out_text(v->out, "]}\n");
	return 0;
}

/* ---- which threads ---- */

static int compare_busy(const void *pa, const void *pb, void *ctx)
{
	uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
	const struct vz_calltree *t = ctx;

	if (t->nodes[a].total_ns != t->nodes[b].total_ns)
		return t->nodes[a].total_ns > t->nodes[b].total_ns ? -1 : 1;
	return (a > b) - (a < b);
}

static bool is_wanted(const struct view *v, uint32_t place)
{
	const struct vz_thread_track *track = vz_reader_track(v->reader, place);
	char title[TITLE_BYTES];

	if (!v->options->thread)
		return true;
	vz_reader_track_title(track, title, sizeof(title));
	return strstr(title, v->options->thread) != NULL;
}

/* Threads by time; without a name asked for, those with next to none are folded. */
static void choose(struct view *v)
{
	uint64_t all_ns = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < v->tree.ntracks; i++) {
		all_ns += node_at(v, i)->total_ns;
		if (is_wanted(v, i))
			v->threads[v->nthreads++] = i;
	}
	if (v->nthreads)
		qsort_r(v->threads, v->nthreads, sizeof(*v->threads), compare_busy, &v->tree);
	while (n < v->nthreads && (v->options->thread || !n ||
				   100.0 * (double)node_at(v, v->threads[n])->total_ns >=
					   v->options->min_percent * (double)all_ns))
		n++;
	for (uint32_t i = n; i < v->nthreads; i++) {
		v->small.count++;
		v->small.ns += node_at(v, v->threads[i])->total_ns;
	}
	v->nthreads = n;
}

static int no_thread(const struct view *v, struct vz_trouble *trouble)
{
	int rc = vz_trouble_set(trouble, ENOENT, "cannot show that thread");

	vz_trouble_why(trouble, "no thread has \"%s\" in its name", v->options->thread);
	vz_trouble_try(trouble, "vizview info, which names them; capitals matter");
	return rc;
}

int vz_tree(struct vz_reader *r, const struct vz_tree_options *options, struct vz_out *out,
	    struct vz_trouble *trouble)
{
	struct view v = { .reader = r, .options = options, .out = out };
	int rc = vz_calltree_init(&v.tree, r,
				  options->max_paths ? options->max_paths : VZ_CALLTREE_PATHS);

	if (rc == 0) {
		v.threads = calloc(v.tree.ntracks + 1u, sizeof(*v.threads));
		rc = v.threads ? 0 : -ENOMEM;
	}
	if (rc == 0) {
		choose(&v);
		if (options->thread && !v.nthreads)
			rc = no_thread(&v, trouble);
		else
			rc = options->json ? put_json(&v) : put_text(&v);
	}
	if (rc == -ENOMEM)
		vz_trouble_set(trouble, ENOMEM, "out of memory");
	free(v.threads);
	free(v.bars);
	free(v.indent);
	vz_calltree_fini(&v.tree);
	return rc;
}
