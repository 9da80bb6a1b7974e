/* SPDX-License-Identifier: MIT */
#include "viewer/select.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/export/export.h"

enum {
	TITLE_BYTES = 1024,
	NAME_BYTES = 6144,
	FIRST = 16,
};

/* A track as the visitor sees it. */
struct line {
	struct vz_open_frame *stack;
	uint32_t depth, cap;
	bool begun; /* something in the range was told */
};

struct selecting {
	const struct vz_visitor *visitor;
	void *ctx;
	uint64_t from_ns;
	const uint8_t *wanted; /* by function id; NULL: all */
	uint32_t nwanted;
	struct line *lines; /* by place */
};

bool vz_select_any(const struct vz_select *select)
{
	return select &&
	       (select->from_ns || select->until_ns || select->thread || select->function);
}

bool vz_select_track(const struct vz_select *select, const struct vz_reader *r, uint32_t place)
{
	char title[TITLE_BYTES];

	if (!select || !select->thread)
		return true;
	vz_reader_track_title(vz_reader_track(r, place), title, sizeof(title));
	return strstr(title, select->thread) != NULL;
}

bool vz_select_function(const struct vz_select *select, const struct vz_reader *r, uint32_t id)
{
	char name[NAME_BYTES];

	if (!select || !select->function)
		return true;
	vz_export_name(vz_reader_function(r, id), name, sizeof(name));
	return strstr(name, select->function) != NULL;
}

static bool any_track(const struct vz_select *select, const struct vz_reader *r)
{
	for (uint32_t i = 0; i < vz_reader_ntracks(r); i++)
		if (vz_select_track(select, r, i))
			return true;
	return false;
}

static bool any_function(const struct vz_select *select, const struct vz_reader *r)
{
	for (uint32_t i = 0; i < vz_reader_nfunctions(r); i++)
		if (vz_reader_function(r, i)->kind && vz_select_function(select, r, i))
			return true;
	return false;
}

int vz_select_check(const struct vz_select *select, const struct vz_reader *r,
		    struct vz_trouble *trouble)
{
	uint64_t t0_ns, t1_ns;
	int rc = 0;

	vz_reader_range(r, &t0_ns, &t1_ns);
	if (select->thread && !any_track(select, r)) {
		rc = vz_trouble_set(trouble, EINVAL, "nothing is left to export");
		vz_trouble_why(trouble, "no thread has \"%s\" in its name", select->thread);
		vz_trouble_try(trouble, "vizview info names the threads");
	} else if (select->function && !any_function(select, r)) {
		rc = vz_trouble_set(trouble, EINVAL, "nothing is left to export");
		vz_trouble_why(trouble, "no function has \"%s\" in its name", select->function);
		vz_trouble_try(trouble, "vizview report --top 0 names the functions");
	} else if (select->from_ns > t1_ns) {
		rc = vz_trouble_set(trouble, EINVAL, "nothing is left to export");
		vz_trouble_why(trouble, "the trace ends before the range begins");
		vz_trouble_try(trouble, "vizview info says how long it is");
	}
	return rc;
}

/* A block is needed if its track's next one begins in the range: the stack may last into it. */
uint8_t *vz_select_blocks(const struct vz_select *select, const struct vz_reader *r)
{
	uint32_t n = vz_reader_nblocks(r), ntracks = vz_reader_ntracks(r);
	uint8_t *needed = calloc(n + 1u, 1), *tracks = calloc(ntracks + 1u, 1);
	uint64_t *next = malloc((ntracks + 1u) * sizeof(*next)); /* begin of the block behind */

	if (next)
		memset(next, 0xff, (ntracks + 1u) * sizeof(*next));
	for (uint32_t i = 0; tracks && i < ntracks; i++)
		tracks[i] = vz_select_track(select, r, i);
	for (uint32_t i = n; needed && tracks && next && i-- > 0;) {
		const struct vz_index_entry *block = vz_reader_block(r, i);
		uint32_t place = vz_reader_track_place(r, block->track);

		needed[i] = tracks[place] && next[place] > select->from_ns &&
			    (!select->until_ns || block->t0_ns <= select->until_ns);
		next[place] = block->t0_ns;
	}
	if (!tracks || !next) {
		free(needed);
		needed = NULL;
	}
	free(tracks);
	free(next);
	return needed;
}

/* ---- what the visitor sees ---- */

static int tell(int (*what)(void *, const struct vz_visit *), const struct selecting *s,
		const struct vz_visit *at)
{
	return what ? what(s->ctx, at) : 0;
}

static struct vz_visit seen(const struct selecting *s, const struct line *line,
			    const struct vz_visit *at)
{
	struct vz_visit v = *at;

	v.stack = line->stack;
	v.depth = line->depth;
	if (v.ns < s->from_ns)
		v.ns = s->from_ns;
	return v;
}

static bool is_wanted(const struct selecting *s, const struct vz_open_frame *frame)
{
	uint32_t function = frame->symbol >> VZ_SYMBOL_SHIFT;

	return !s->wanted || (function < s->nwanted && s->wanted[function]);
}

static int push(const struct selecting *s, struct line *line, const struct vz_open_frame *frame,
		const struct vz_visit *at)
{
	struct vz_open_frame mine = *frame;
	struct vz_visit v;

	if (!line->depth && !is_wanted(s, frame))
		return 0;
	if (line->depth == line->cap) {
		uint32_t cap = line->cap ? line->cap * 2 : FIRST;
		struct vz_open_frame *bigger = reallocarray(line->stack, cap, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		line->stack = bigger;
		line->cap = cap;
	}
	mine.child_ns = 0;
	if (mine.begin_ns < s->from_ns) {
		mine.begin_ns = s->from_ns;
		mine.symbol = (mine.symbol >> VZ_SYMBOL_SHIFT) << VZ_SYMBOL_SHIFT | VZ_ENTRY_OPEN;
	}
	line->stack[line->depth++] = mine;
	v = seen(s, line, at);
	v.ns = mine.begin_ns;
	return tell(s->visitor->enter, s, &v);
}

/* The range begins with the lowest DEPTH frames of the stack. */
static int start(const struct selecting *s, struct line *line, const struct vz_visit *at,
		 uint32_t depth)
{
	struct vz_visit v = *at;
	int rc = 0;

	if (line->begun)
		return 0;
	line->begun = true;
	v.entry = VZ_NO_ENTRY;
	for (uint32_t i = 0; i < depth && rc == 0; i++)
		rc = push(s, line, &at->stack[i], &v);
	return rc;
}

static int begin(void *ctx, const struct vz_visit *at)
{
	const struct selecting *s = ctx;
	struct vz_visit v = seen(s, &s->lines[at->place], at);

	return tell(s->visitor->begin, s, &v);
}

static int end(void *ctx, const struct vz_visit *at)
{
	const struct selecting *s = ctx;
	struct vz_visit v = seen(s, &s->lines[at->place], at);

	return tell(s->visitor->end, s, &v);
}

static int enter(void *ctx, const struct vz_visit *at)
{
	const struct selecting *s = ctx;
	struct line *line = &s->lines[at->place];
	int rc;

	if (at->ns < s->from_ns)
		return 0;
	rc = start(s, line, at, at->depth - 1);
	return rc < 0 ? rc : push(s, line, &at->stack[at->depth - 1], at);
}

static int leave(void *ctx, const struct vz_visit *at)
{
	const struct selecting *s = ctx;
	struct line *line = &s->lines[at->place];
	struct vz_visit v;
	int rc;

	if (at->ns < s->from_ns)
		return 0;
	rc = start(s, line, at, at->depth);
	if (rc < 0 || !line->depth)
		return rc;
	v = seen(s, line, at);
	rc = tell(s->visitor->leave, s, &v);
	line->depth--;
	if (line->depth)
		line->stack[line->depth - 1].child_ns += v.ns - line->stack[line->depth].begin_ns;
	return rc;
}

static int lost(void *ctx, const struct vz_visit *at)
{
	const struct selecting *s = ctx;
	struct line *line = &s->lines[at->place];
	struct vz_visit v;
	int rc;

	if (at->ns < s->from_ns)
		return 0;
	rc = start(s, line, at, at->depth);
	v = seen(s, line, at);
	return rc < 0 ? rc : tell(s->visitor->lost, s, &v);
}

/* ---- the walk ---- */

static uint8_t *wanted_functions(const struct vz_select *select, const struct vz_reader *r)
{
	uint32_t n = vz_reader_nfunctions(r);
	uint8_t *wanted = calloc(n + 1u, 1);

	for (uint32_t i = 0; wanted && i < n; i++)
		wanted[i] = vz_select_function(select, r, i);
	return wanted;
}

/* Those of LIMITS that are needed; NULL: no memory. */
static uint32_t *needed_blocks(const struct vz_reader *r, const struct vz_walk_limits *limits,
			       uint32_t *count)
{
	uint32_t n = limits->blocks ? limits->nblocks : vz_reader_nblocks(r);
	uint8_t *needed = vz_select_blocks(limits->select, r);
	uint32_t *blocks = malloc((n + 1u) * sizeof(*blocks));

	*count = 0;
	for (uint32_t k = 0; needed && blocks && k < n; k++) {
		uint32_t i = limits->blocks ? limits->blocks[k] : k;
		uint32_t track = vz_reader_block(r, i)->track;

		if (needed[i] && (limits->place == VZ_ALL_TRACKS ||
				  vz_reader_track_place(r, track) == limits->place))
			blocks[(*count)++] = i;
	}
	if (!needed) {
		free(blocks);
		blocks = NULL;
	}
	free(needed);
	return blocks;
}

static void fini(struct selecting *s, uint32_t ntracks, uint32_t *blocks, uint8_t *wanted)
{
	for (uint32_t i = 0; s->lines && i < ntracks; i++)
		free(s->lines[i].stack);
	free(s->lines);
	free(blocks);
	free(wanted);
}

int vz_select_walk(struct vz_reader *r, const struct vz_walk_limits *limits,
		   const struct vz_visitor *visitor, void *ctx)
{
	static const struct vz_visitor mine = { begin, enter, leave, lost, end };
	const struct vz_select *select = limits->select;
	uint32_t ntracks = vz_reader_ntracks(r);
	uint8_t *wanted = select->function ? wanted_functions(select, r) : NULL;
	struct selecting s = {
		.visitor = visitor,
		.ctx = ctx,
		.from_ns = select->from_ns,
		.wanted = wanted,
		.nwanted = vz_reader_nfunctions(r),
		.lines = calloc(ntracks + 1u, sizeof(*s.lines)),
	};
	struct vz_walk_limits part = *limits;
	uint32_t *blocks = needed_blocks(r, limits, &part.nblocks);
	int rc = -ENOMEM;

	part.select = NULL;
	part.blocks = blocks;
	if (select->until_ns && (!part.until_ns || select->until_ns < part.until_ns))
		part.until_ns = select->until_ns;
	if (s.lines && blocks && (wanted || !select->function))
		rc = vz_walk(r, &part, &mine, &s);
	fini(&s, ntracks, blocks, wanted);
	return rc;
}
