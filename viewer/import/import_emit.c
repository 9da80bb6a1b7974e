/* SPDX-License-Identifier: MIT */
/*
 * Records in order, as a trace.
 *
 * One track of the file after the other.  Its calls go to lanes, each a track of the
 * trace: a call goes to the first lane where it nests, and a lane of asynchronous
 * events holds one group of them at a time.  So nothing is ever put into what does
 * not hold it, and nothing is left out.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/human.h"
#include "viewer/import/encode.h"
#include "viewer/import/import_priv.h"

enum {
	FIRST = 16,
	LANES_MAX = 1 << 14,
	DEPTH_MAX = 1 << 20,
	WAITING_MAX = 4096,
	TITLE_BYTES = 1200,
};

struct frame {
	uint64_t end, seq;
	uint8_t how;
};

struct lane {
	struct vz_writer_track *track;
	struct frame *stack;
	uint32_t depth, cap;
	uint64_t group; /* of the frames on the stack, if asynchronous */
};

struct emit {
	struct vz_importer *im;
	struct vz_writer *w;
	const struct vz_import_track *track;
	struct lane *lanes;
	uint32_t nlanes, lanes_cap;
	/* Those without length that may belong into a call which begins at the same time. */
	struct vz_rec waiting[WAITING_MAX];
	uint32_t nwaiting;
	uint64_t shift; /* from biased ns to those of the trace */
};

static uint64_t ns_of(const struct emit *e, uint64_t biased)
{
	return biased - e->shift;
}

/* ---- lanes ---- */

static void thread_title(const struct vz_import_track *t, char *title)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%u", t->tid);
	if (t->name)
		snprintf(title, TITLE_BYTES, "%s", t->name);
	else if (!strcmp(t->label, digits))
		snprintf(title, TITLE_BYTES, "thread %s", digits);
	else
		snprintf(title, TITLE_BYTES, "%s", t->label[0] ? t->label : "thread");
}

/* Name of the thread whose instants these are. */
static void instants_title(const struct emit *e, char *title)
{
	const struct vz_import_track *t = e->track;
	char thread[TITLE_BYTES - 32] = "process";

	for (uint32_t i = 0; t->label[0] && i < e->im->tracks.n; i++) {
		const struct vz_import_track *other = &e->im->tracks.p[i];

		if (other->kind == VZ_IMPORT_THREAD && other->process == t->process &&
		    !strcmp(other->label, t->label) && other->name)
			snprintf(thread, sizeof(thread), "%s", other->name);
	}
	if (t->label[0] && !strcmp(thread, "process"))
		snprintf(thread, sizeof(thread), "thread %s", t->label);
	snprintf(title, TITLE_BYTES, "instants of %s", thread);
}

static void title_of(const struct emit *e, char *title)
{
	const struct vz_import_track *t = e->track;

	if (t->kind == VZ_IMPORT_THREAD)
		thread_title(t, title);
	else if (t->kind == VZ_IMPORT_INSTANTS)
		instants_title(e, title);
	else
		snprintf(title, TITLE_BYTES, "%s", t->label[0] ? t->label : "async");
	if (e->nlanes)
		snprintf(title + strlen(title), 16, " (%u)", e->nlanes + 1);
}

static const char *process_name(const struct vz_import_process *p, char *buf, size_t size)
{
	char digits[16];

	if (p->name)
		return p->name;
	snprintf(digits, sizeof(digits), "%u", p->pid);
	if (!strcmp(p->key, digits))
		return "";
	snprintf(buf, size, "%s", p->key);
	return buf;
}

static struct lane *new_lane(struct emit *e, uint64_t ns)
{
	static const uint32_t flags[] = {
		[VZ_IMPORT_THREAD] = 0,
		[VZ_IMPORT_INSTANTS] = VZ_TRACK_INSTANTS,
		[VZ_IMPORT_ASYNC] = VZ_TRACK_ASYNC,
		[VZ_IMPORT_COUNTER] = VZ_TRACK_COUNTER,
	};
	const struct vz_import_process *p = &e->im->tracks.processes[e->track->process];
	struct vz_file_track record = {
		.tid = e->track->tid,
		.flags = flags[e->track->kind],
		.ns = ns,
	};
	char title[TITLE_BYTES + 16], buf[64];
	struct lane *lane;

	if (e->nlanes == e->lanes_cap) {
		uint32_t cap = e->lanes_cap ? e->lanes_cap * 2 : FIRST;
		struct lane *bigger = reallocarray(e->lanes, cap, sizeof(*bigger));

		if (!bigger)
			return NULL;
		e->lanes = bigger;
		e->lanes_cap = cap;
	}
	title_of(e, title);
	lane = &e->lanes[e->nlanes];
	*lane = (struct lane){ .track = vz_writer_track(e->w, &record, title) };
	if (!lane->track)
		return NULL;
	e->nlanes++;
	vz_writer_process(lane->track, p->pid, process_name(p, buf, sizeof(buf)));
	return lane;
}

static void leave(const struct emit *e, struct lane *lane)
{
	const struct frame *top = &lane->stack[--lane->depth];

	vz_writer_leave(lane->track, (enum vz_leave)top->how, ns_of(e, top->end));
}

/*
 * End what is over when REC begins.  Where it ends just then, what takes no time belongs into it
 * if the file says so by its order.
 */
static void pop_until(const struct emit *e, struct lane *lane, const struct vz_rec *rec)
{
	bool point = rec->end == rec->start || (rec->what & VZ_REC_KIND) != VZ_REC_CALL;

	while (lane->depth) {
		const struct frame *top = &lane->stack[lane->depth - 1];

		if (top->end > rec->start)
			return;
		if (top->end == rec->start && point && e->im->callees_first && rec->seq < top->seq)
			return;
		leave(e, lane);
	}
}

static int push(struct lane *lane, const struct frame *frame)
{
	if (lane->depth == lane->cap) {
		uint32_t cap = lane->cap ? lane->cap * 2 : FIRST;
		struct frame *bigger = reallocarray(lane->stack, cap, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		lane->stack = bigger;
		lane->cap = cap;
	}
	lane->stack[lane->depth++] = *frame;
	return 0;
}

static bool fits(const struct lane *lane, const struct vz_rec *rec, uint64_t group)
{
	if (!lane->depth)
		return true;
	return lane->group == group && lane->depth < DEPTH_MAX &&
	       lane->stack[lane->depth - 1].end >= rec->end;
}

/* The first lane where REC nests; NULL: no memory, or too many. */
static struct lane *lane_for(struct emit *e, const struct vz_rec *rec, uint64_t group)
{
	for (uint32_t i = 0; i < e->nlanes; i++) {
		pop_until(e, &e->lanes[i], rec);
		if (fits(&e->lanes[i], rec, group)) {
			e->im->summary.overlaps += i > 0 && e->track->kind == VZ_IMPORT_THREAD;
			return &e->lanes[i];
		}
	}
	if (e->nlanes == LANES_MAX)
		return NULL;
	e->im->summary.overlaps += e->nlanes > 0 && e->track->kind == VZ_IMPORT_THREAD;
	return new_lane(e, ns_of(e, rec->start));
}

/* ---- records ---- */

static int group_and_args(const struct emit *e, const struct vz_rec *rec, uint64_t *group,
			  uint64_t *args)
{
	*group = 0;
	*args = rec->extra;
	if (e->track->kind != VZ_IMPORT_ASYNC || !rec->extra)
		return 0;
	*args += sizeof(*group);
	return vz_spill_get(e->im->spill, rec->extra - 1, group, sizeof(*group));
}

static int put_args(const struct emit *e, struct lane *lane, uint64_t args)
{
	uint32_t n = 0;
	char *text;
	int rc = args ? vz_spill_text(e->im->spill, args - 1, &text, &n) : 0;

	if (rc == 0 && n)
		vz_writer_args(lane->track, text, n);
	return rc;
}

static int emit_call(struct emit *e, const struct vz_rec *rec)
{
	struct frame frame = {
		.end = rec->end,
		.seq = rec->seq,
		.how = rec->what >> VZ_REC_LEAVE_SHIFT & VZ_REC_HOW,
	};
	uint64_t group, args;
	struct lane *lane;
	int rc = group_and_args(e, rec, &group, &args);

	if (rc < 0)
		return rc;
	lane = lane_for(e, rec, group);
	if (!lane && e->nlanes == LANES_MAX) {
		e->im->left_out[VZ_OUT_MANY]++;
		e->im->summary.not_shown++;
		return 0;
	}
	if (!lane)
		return -ENOMEM;
	lane->group = group;
	vz_writer_enter(lane->track, rec->what >> VZ_REC_FUNCTION_SHIFT,
			(enum vz_entry)(rec->what >> VZ_REC_ENTRY_SHIFT & VZ_REC_HOW),
			ns_of(e, rec->start));
	rc = push(lane, &frame);
	return rc < 0 ? rc : put_args(e, lane, args);
}

static int emit_waiting(struct emit *e)
{
	int rc = 0;

	for (uint32_t i = 0; i < e->nwaiting && rc == 0; i++)
		rc = emit_call(e, &e->waiting[i]);
	e->nwaiting = 0;
	return rc;
}

/* Does REC take no time and still lie, by the order of the file, in what ends just now? */
static bool in_what_ends(const struct emit *e, const struct vz_rec *rec)
{
	const struct lane *lane = e->lanes;
	const struct frame *top;

	if (!e->nlanes || !lane->depth || !e->im->callees_first)
		return false;
	top = &lane->stack[lane->depth - 1];
	return top->end == rec->start && rec->seq < top->seq;
}

/* A point that waits may find that a call begins with it, which then holds it. */
static int take_call(struct emit *e, const struct vz_rec *rec)
{
	int rc = 0;

	if (e->nwaiting && (e->waiting[0].start != rec->start || e->nwaiting == WAITING_MAX))
		rc = emit_waiting(e);
	if (rc < 0)
		return rc;
	if (rec->end != rec->start || e->track->kind != VZ_IMPORT_THREAD)
		return emit_call(e, rec);
	if (e->nlanes)
		pop_until(e, &e->lanes[0], rec);
	if (in_what_ends(e, rec))
		return emit_call(e, rec);
	e->waiting[e->nwaiting++] = *rec;
	return 0;
}

static struct lane *first_lane(struct emit *e, uint64_t ns)
{
	return e->nlanes ? e->lanes : new_lane(e, ns);
}

static int take_other(struct emit *e, const struct vz_rec *rec)
{
	struct lane *lane;
	uint64_t ns = ns_of(e, rec->start);
	double value;
	int rc = emit_waiting(e);

	lane = first_lane(e, ns);
	if (rc < 0 || !lane)
		return rc < 0 ? rc : -ENOMEM;
	switch (rec->what & VZ_REC_KIND) {
	case VZ_REC_POINT:
		vz_writer_enter(lane->track, rec->what >> VZ_REC_FUNCTION_SHIFT, VZ_ENTRY_CALL, ns);
		rc = put_args(e, lane, rec->extra);
		vz_writer_leave(lane->track, VZ_LEAVE_RETURN, ns);
		return rc;
	case VZ_REC_LOST:
		pop_until(e, lane, rec);
		vz_writer_lost(lane->track, rec->end, ns);
		return 0;
	default:
		memcpy(&value, &rec->end, sizeof(value));
		vz_writer_sample(lane->track, value, ns);
		return 0;
	}
}

/* Frames that have not ended stay open, if they are all that is left. */
static void end_lane(const struct emit *e, struct lane *lane)
{
	uint64_t end = e->track->open_end;

	while (lane->depth && lane->stack[lane->depth - 1].end != VZ_IMPORT_NO_END)
		leave(e, lane);
	vz_writer_end_track(lane->track, lane->depth && end ? ns_of(e, end) : 0);
	free(lane->stack);
}

static int emit_track(struct emit *e, uint32_t number)
{
	struct vz_rec rec;
	int rc = vz_sort_track(e->im->sort, number);

	e->track = &e->im->tracks.p[number];
	e->nlanes = 0;
	if (rc == 0 && !e->track->records && e->track->name &&
	    !new_lane(e, ns_of(e, e->im->min_ns)))
		rc = -ENOMEM;
	while (rc == 0 && (rc = vz_sort_next(e->im->sort, &rec)) == 1)
		rc = (rec.what & VZ_REC_KIND) == VZ_REC_CALL ? take_call(e, &rec)
							     : take_other(e, &rec);
	if (rc == 0)
		rc = emit_waiting(e);
	for (uint32_t i = 0; i < e->nlanes; i++)
		end_lane(e, &e->lanes[i]);
	return rc < 0 ? rc : vz_writer_error(e->w);
}

/* ---- facts ---- */

static const char *const left_out_words[VZ_OUT_KINDS] = {
	[VZ_OUT_FLOW] = "arrows between events (phases s, t, f)",
	[VZ_OUT_OBJECT] = "snapshots of objects (phases N, O, D)",
	[VZ_OUT_SAMPLE] = "samples of stacks (phase P)",
	[VZ_OUT_MEMORY] = "memory dumps (phases v, V)",
	[VZ_OUT_META] = "metadata other than names and order",
	[VZ_OUT_PHASE] = "events of an unknown phase",
	[VZ_OUT_NO_TIME] = "events without a time that can be read",
	[VZ_OUT_NEGATIVE] = "calls that end before they begin",
	[VZ_OUT_END] = "ends of what had not begun",
	[VZ_OUT_VALUE] = "counter values that are no numbers",
	[VZ_OUT_MANY] = "events beyond what can be kept apart or open",
	[VZ_OUT_NO_EVENT] = "entries that are no events",
	[VZ_OUT_ARGS] = "arguments that are too long",
};

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void put_facts(struct emit *e)
{
	struct vz_importer *im = e->im;
	const struct vz_import_process *first = im->tracks.processes;
	char text[1024];

	snprintf(text, sizeof(text), "%s by vizview " VZ_VERSION, file_name(im->path));
	vz_writer_fact(e->w, "imported from", text);
	vz_writer_fact(e->w, "comm",
		       im->tracks.nprocesses && first->name ? first->name : file_name(im->path));
	for (uint32_t i = 0; i < im->nfacts; i++) {
		snprintf(text, sizeof(text), "of the file: %s", im->facts[i].key);
		vz_writer_fact(e->w, text, im->facts[i].value);
	}
	if (im->summary.cut)
		vz_writer_fact(e->w, "imported in part", im->summary.why);
}

static void put_counter(FILE *f, uint64_t n, const char *words)
{
	if (n)
		fprintf(f, "not shown=%s %s\n", vz_human_count(n).s, words);
}

/* What is known only now; NULL: no memory. */
static char *counters(const struct emit *e)
{
	const struct vz_importer *im = e->im;
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return NULL;
	fprintf(f, "imported events=%s\n", vz_human_count(im->summary.events).s);
	for (int i = 0; i < VZ_OUT_KINDS; i++)
		put_counter(f, im->left_out[i], left_out_words[i]);
	if (im->other_names)
		fprintf(f, "not shown=%s names, of too many different ones\n",
			vz_human_count(im->other_names).s);
	if (im->summary.overlaps)
		fprintf(f,
			"overlaps=%s calls do not nest in others of their thread; they are on "
			"tracks of their own\n",
			vz_human_count(im->summary.overlaps).s);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int put_sources(struct emit *e)
{
	struct vz_importer *im = e->im;
	uint8_t varint[10], *raw;
	int rc = 0;

	for (uint32_t i = 0; i < im->nsources && rc == 0; i++) {
		struct vz_block head = { .type = VZ_BLOCK_SOURCE, .count = 1 };
		size_t name = strlen(im->sources[i].file), at = 0;
		uint32_t n;
		char *text;

		rc = vz_spill_text(im->spill, im->sources[i].text, &text, &n);
		raw = rc == 0 ? malloc(name + n + 2 * sizeof(varint)) : NULL;
		if (!raw)
			return rc < 0 ? rc : -ENOMEM;
		at = (size_t)(vz_pack_varint(raw, name) - raw);
		memcpy(raw + at, im->sources[i].file, name);
		at = (size_t)(vz_pack_varint(raw + at + name, n) - raw);
		memcpy(raw + at, text, n);
		vz_writer_block(e->w, &head, raw, at + n);
		free(raw);
	}
	return rc;
}

/* ---- the whole ---- */

static struct vz_file_header header_of(const struct vz_importer *im, uint64_t *shift)
{
	struct vz_file_header h = { .pid = im->tracks.nprocesses ? im->tracks.processes[0].pid
								 : 0 };
	uint64_t min = im->min_ns <= im->max_ns ? im->min_ns : VZ_IMPORT_BIAS;

	/* Times stay as they are in the file, unless they are negative. */
	*shift = min < VZ_IMPORT_BIAS ? min : VZ_IMPORT_BIAS;
	h.start_mono_ns = min - *shift;
	if (im->unix_offset)
		h.start_unix_ns = (uint64_t)im->unix_offset + (min - VZ_IMPORT_BIAS);
	return h;
}

static int emit_all(struct emit *e)
{
	struct vz_importer *im = e->im;
	uint32_t *order = vz_import_tracks_order(&im->tracks);
	uint64_t end = im->min_ns <= im->max_ns ? ns_of(e, im->max_ns) : 0;
	char *text;
	int rc = order ? 0 : -ENOMEM;

	put_facts(e);
	vz_import_names_write(&im->names, e->w);
	if (rc == 0)
		rc = put_sources(e);
	for (uint32_t i = 0; i < im->tracks.n && rc == 0; i++)
		rc = emit_track(e, order[i]);
	free(order);
	if (rc < 0)
		return rc;
	text = counters(e);
	rc = text ? vz_writer_finish(e->w, end, text) : -ENOMEM;
	im->summary.calls = vz_writer_calls(e->w);
	free(text);
	return rc;
}

int vz_import_emit(struct vz_importer *im, int fd)
{
	struct emit *e = calloc(1, sizeof(*e));
	struct vz_file_header header;
	int rc;

	if (!e)
		return -ENOMEM;
	e->im = im;
	header = header_of(im, &e->shift);
	e->w = vz_writer_new(fd, &header);
	rc = e->w ? emit_all(e) : -ENOMEM;
	vz_writer_free(e->w);
	free(e->lanes);
	free(e);
	return rc;
}
