/* SPDX-License-Identifier: MIT */
/*
 * query_sums.h - sums of what functions and paths did: from summaries, and from parts of blocks.
 */
#ifndef VZ_VIEWER_CORE_QUERY_SUMS_H
#define VZ_VIEWER_CORE_QUERY_SUMS_H

#include "viewer/core/query_core.h"
#include "viewer/core/query_tree.h"

enum {
	VZQ_OCTAVES = VZI_BUCKETS / 8,
	VZQ_OCTAVE = 8, /* buckets */
};

struct vzq_fsum {
	uint64_t calls, resumes;
	uint64_t self_ns, total_ns;
	uint64_t seen, sum_ns, max_ns;
	uint64_t raised, partial;
	uint64_t since;  /* .total_ns is counted up to here, if */
	uint32_t active; /* frames are on the stack of the block that is read */
	uint32_t spread; /* number + 1 of its octaves; 0: no stay was seen */
};

/* Sums by function, with durations seen; most functions use few of the octaves. */
struct vzq_table {
	struct vzq_fsum *f;
	uint32_t n;
	uint32_t (*octaves)[VZQ_OCTAVES]; /* number + 1 in .counts; 0: none */
	uint32_t noctaves, octaves_cap;
	uint64_t (*counts)[VZQ_OCTAVE];
	uint32_t ncounts, counts_cap;
};

void vzq_table_fini(struct vzq_table *t);
/** Make FN be there. */
int vzq_table_room(struct vzq_table *t, uint32_t fn);
int vzq_table_count(struct vzq_table *t, uint32_t fn, uint32_t bucket, uint64_t n);
uint64_t vzq_table_counted(const struct vzq_table *t, uint32_t fn, uint32_t bucket);
/** Add the rows of a FUNCS tile; all of it, or with -EBADMSG nothing. */
int vzq_table_add(struct vzq_table *t, const struct vzi_tile *tile, const uint8_t *p, size_t n);
/** What occurs of it. */
int vzq_table_rows(const struct vzq_table *t, struct vzq_rows *ret);

enum {
	VZQ_EDGE_CACHE = 1 << 11,
};

/* The node of a function above another, as found lately. */
struct vzq_edge_hit {
	uint32_t node, fn, above;
};

/* What is counted of a block of which a part is in the range, or that has no summary. */
struct vzq_edge {
	struct vzq *q;
	uint32_t track;
	uint64_t from, to;       /* of the range */
	struct vzq_table *table; /* NULL: not asked for */
	struct vzq_paths *paths; /* NULL: not asked for */
	/* of the block that is read */
	uint64_t now, end; /* time counted up to; until */
	uint32_t known;    /* frames that it began with, yet to be told */
	uint64_t limit;    /* those of them that began before are no entries */
	bool behind;       /* nothing in the range was told yet: .path is still to be made */
	uint32_t *path;    /* of each frame */
	uint32_t depth, path_cap;
	struct vzq_edge_hit *cache; /* VZQ_EDGE_CACHE of them, of track: */
	uint32_t cached;
	struct vz_line line; /* the stack */
	bool has_line;       /* it is that of the block before */
	bool lost_line;      /* which could not be read after all */
};

/* Tags of items; jobs have theirs from VZQ_TAG_OWN on. */
enum {
	VZQ_TAG_BEFORE = 0,     /* a block for its last stack */
	VZQ_TAG_EDGE = 1,       /* .more: the block within its track */
	VZQ_TAG_UNREADABLE = 2, /* the block before .more, which cannot be read */
	VZQ_TAG_OWN = 3,
};

void vzq_edge_fini(struct vzq_edge *e);
/**
 * Plan block I of TRACK, and before it what is needed to understand it; .arg is TRACK, .mode:
 * VZI_FUNCS, VZI_PATHS: to be counted instead of a summary of that kind; 0: instead of both.
 */
int vzq_edge_plan(struct vzq_job *job, uint32_t track, uint32_t i, uint32_t mode);
/** Take what was planned so: count it within the range.  .track must be set. */
int vzq_edge_take(struct vzq_edge *e, const struct vzq_item *item, const uint8_t *p, size_t n);

#endif /* VZ_VIEWER_CORE_QUERY_SUMS_H */
