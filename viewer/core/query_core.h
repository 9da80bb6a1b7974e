/* SPDX-License-Identifier: MIT */
/*
 * query_core.h - what the jobs of query.h have in common; private to viewer/core/query*.c.
 *
 * A job plans items (tiles, blocks), takes each when it comes, and is asked to plan
 * more when all of them came; when it plans none it is done.
 */
#ifndef VZ_VIEWER_CORE_QUERY_CORE_H
#define VZ_VIEWER_CORE_QUERY_CORE_H

#include "viewer/core/query.h"
#include "viewer/core/query_paths.h"
#include "viewer/core/steps.h"

enum {
	VZQ_KINDS = VZI_SAMPLES + 1,
	VZQ_SUMMARY_LEVELS = 7, /* the last one; 16^8 blocks are more than there can be */
};

/* The last time that is exact in a double. */
#define VZQ_MAX_NS (UINT64_C(1) << 53)
/* End of a range that has none. */
#define VZQ_NO_END UINT64_MAX

/* Tiles of one track, kind and level: consecutive in the directory. */
struct vzq_group {
	uint32_t first, n;
};

struct vzq_forest;

/* Sums over the tree of the last range that was asked for. */
struct vzq_last {
	uint64_t from, to;
	uint32_t *tracks, ntracks;
	struct vzq_paths paths; /* .p NULL: there is none */
	uint32_t bad;
};

struct vzq {
	void *blob;
	const struct vzi_directory *head;
	const struct vzi_track *tracks;
	const struct vzi_tile *tiles;
	const struct vzi_block *blocks;
	const uint32_t *density;
	struct vzq_group (*groups)[VZQ_KINDS][VZI_LEVELS]; /* of each track */
	uint64_t *reach; /* of each tile: last end of those of its group up to it */
	struct vz_steps steps;
	struct vzq_forest *forest;
	struct vzq_last last;
};

struct vzq_item {
	uint32_t kind, id;             /* as struct vzq_want */
	uint32_t tag, arg, more, mode; /* the job's own */
};

struct vzq_job {
	struct vzq *q;
	struct vzq_result result;
	bool done;
	struct vzq_item *items;
	uint32_t nitems, items_cap, asked, given;
	/** All that was planned came: plan more, or nothing: it is done. 0 or -ENOMEM. */
	int (*next)(struct vzq_job *job);
	/** 0; -EBADMSG: it makes no sense, which is counted; -ENOMEM. */
	int (*take)(struct vzq_job *job, const struct vzq_item *item, const uint8_t *p, size_t n);
	/** Free what the job has beyond its result; or NULL. */
	void (*fini)(struct vzq_job *job);
};

/** A job of SIZE bytes that begins with a struct vzq_job. */
void *vzq_job_new(struct vzq *q, size_t size);
/** Plan an item; -ENOMEM. */
int vzq_job_plan(struct vzq_job *job, const struct vzq_item *item);
/** Plan all tiles of a group. */
int vzq_job_plan_group(struct vzq_job *job, struct vzq_group group, uint32_t tag, uint32_t arg);

/** Whole ns, rounded up. */
uint64_t vzq_ns(double t);
/** The same for the end of a range: VZQ_NO_END where the trace ends, or later. */
uint64_t vzq_end_ns(const struct vzq *q, double t);
/** Time of the trace's clock as ns since its begin. */
static inline uint64_t vzq_since(const struct vzq *q, uint64_t ns)
{
	return ns > q->head->zero_ns ? ns - q->head->zero_ns : 0;
}

static inline struct vzq_group vzq_group(const struct vzq *q, uint32_t track, unsigned kind,
					 unsigned level)
{
	return q->groups[track][kind][level];
}

/** First tile of GROUP that reaches FROM; GROUP's end if none does. */
uint32_t vzq_first_reaching(const struct vzq *q, struct vzq_group group, uint64_t from);

/* Tracks that are meant: numbers that are in the directory, without doubles, sorted. */
struct vzq_tracks {
	uint32_t *p, n;
};

int vzq_tracks_init(const struct vzq *q, struct vzq_tracks *t, const uint32_t *tracks,
		    uint32_t ntracks);
void vzq_tracks_fini(struct vzq_tracks *t);

/* ---- query_cover.c: blocks of a track, counted within it ---- */

enum {
	VZQ_NO_BLOCK = UINT32_MAX,
};

static inline const struct vzi_block *vzq_block_of(const struct vzq *q, uint32_t track, uint32_t i)
{
	return &q->blocks[q->tracks[track].first_block + i];
}

/** End of the time that block I covers. */
uint64_t vzq_covered(const struct vzq *q, uint32_t track, uint32_t i);
/** Time of its last event, not after that. */
uint64_t vzq_last_event(const struct vzq *q, uint32_t track, uint32_t i);
/** Number of blocks that begin before NS. */
uint32_t vzq_begun(const struct vzq *q, uint32_t track, uint64_t ns);
/** The block that can be read before I, or VZQ_NO_BLOCK. */
uint32_t vzq_readable_before(const struct vzq *q, uint32_t track, uint32_t i);
/** Block I, or the first that can be read after it, or VZQ_NO_BLOCK. */
uint32_t vzq_readable_from(const struct vzq *q, uint32_t track, uint32_t i);
/** The block in whose time NS is, or the last before that which can be read; or VZQ_NO_BLOCK. */
uint32_t vzq_block_at(const struct vzq *q, uint32_t track, uint64_t ns);

/* [from, to) of a track: [first, lo) and [hi, end) are touched, [lo, hi) are wholly in it. */
struct vzq_cover {
	uint32_t first, lo, hi, end;
};

/** WHOLE_FROM: blocks that begin before it are not wholly in it; usually FROM. */
void vzq_cover(const struct vzq *q, uint32_t track, uint64_t from, uint64_t whole_from, uint64_t to,
	       struct vzq_cover *ret);

struct vzq_span {
	uint32_t track, kind, lo, hi; /* blocks [lo, hi) */
};

/**
 * Plan summaries of SPAN, none of a level above MAX_LEVEL: their tag is TAG, and .arg the track.
 * A block that has none is planned itself, see vzq_edge_plan(), for the sums of .kind only.
 */
int vzq_plan_span(struct vzq_job *job, const struct vzq_span *span, int max_level, uint32_t tag);
/** Blocks of its track that a summary is of. */
void vzq_summary_span(const struct vzq *q, const struct vzi_tile *tile, struct vzq_span *ret);
/** The summary of KIND and LEVEL that begins with block FIRST, or VZQ_NO_BLOCK. */
uint32_t vzq_summary(const struct vzq *q, uint32_t track, unsigned kind, unsigned level,
		     uint32_t first);

struct vzq_scan {
	struct vz_line *line;
	const struct vz_visitor *visitor;
	void *ctx;
	uint32_t *depth; /* may be NULL */
};

/**
 * Go through the events of the block ITEM after those that made .line; with an empty line the
 * first frames that .visitor sees entered are those that the block began with: *.depth of
 * them.  Times are of the clock of the trace.  0, -EBADMSG: some or all of it made no sense,
 * -ENOMEM, or what the visitor returned.
 */
int vzq_scan(struct vzq *q, const struct vzq_item *item, const uint8_t *p, size_t n,
	     const struct vzq_scan *scan);
/** The same up to the first event: vz_steps_events() or vz_steps_play() of .steps follows. */
int vzq_scan_open(struct vzq *q, const struct vzq_item *item, const uint8_t *p, size_t n,
		  const struct vzq_scan *scan);

#endif /* VZ_VIEWER_CORE_QUERY_CORE_H */
