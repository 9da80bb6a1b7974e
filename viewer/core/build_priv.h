/* SPDX-License-Identifier: MIT */
/*
 * build_priv.h - the parts of the builder of an index; only for build*.c.
 *
 * All times here are those of the index: since its zero, see vz_build_time().
 */
#ifndef VZ_VIEWER_CORE_BUILD_PRIV_H
#define VZ_VIEWER_CORE_BUILD_PRIV_H

#include <stdbool.h>

#include "viewer/core/build.h"
#include "viewer/core/steps.h"
#include "viewer/core/tile_write.h"

#define VZ_BUILD_MAX_NS ((UINT64_C(1) << 53) - 1) /* exact in a double */

enum {
	VZ_BUILD_LEVELS = 9,        /* of summaries: 16^8 is more than there can be blocks */
	VZ_BUILD_MAX_DEPTH = 65535, /* what is deeper is drawn there */
	VZ_BUILD_NONE = UINT32_MAX,
};

/* A set of small numbers. */
struct vz_set {
	uint64_t *words;
	uint32_t nwords;
};

/** Make room for numbers below N; 0 or -ENOMEM. */
int vz_set_room(struct vz_set *set, uint32_t n);

static inline void vz_set_add(struct vz_set *set, uint32_t i)
{
	set->words[i / 64] |= UINT64_C(1) << i % 64;
}

static inline void vz_set_clear(struct vz_set *set)
{
	for (uint32_t i = 0; i < set->nwords; i++)
		set->words[i] = 0;
}

/* The least number in SET that is not below FROM, or VZ_BUILD_NONE. */
static inline uint32_t vz_set_next(const struct vz_set *set, uint32_t from)
{
	uint32_t word = from / 64;
	uint64_t bits;

	if (word >= set->nwords)
		return VZ_BUILD_NONE;
	bits = set->words[word] & UINT64_MAX << from % 64;
	while (!bits && ++word < set->nwords)
		bits = set->words[word];
	return bits ? word * 64 + (uint32_t)__builtin_ctzll(bits) : VZ_BUILD_NONE;
}

/* ---- build_runs.c ---- */

/* Calls that are merged.  One is open for each level and depth at most. */
struct vz_run {
	uint64_t start, end;
	uint64_t longest; /* call in it, of: */
	uint32_t function;
	uint32_t count;          /* calls; 0: it is not open */
	uint32_t previous, next; /* depths of others that are open on this level */
};

struct vz_run_level {
	struct vz_run *at; /* by depth */
	uint32_t cap;
	uint32_t first, last; /* depths of those that are open */
	struct vz_records records;
};

struct vz_runs {
	struct vz_run_level levels[VZI_LEVELS];
	struct vz_records slices[VZI_LEVELS];
	unsigned nlevels;    /* those that are used: coarser ones would show nothing */
	uint64_t sweep_ns;   /* when old runs are looked for next, */
	uint64_t last_sweep; /* and how often the time for that has come */
};

void vz_runs_init(struct vz_runs *runs, uint64_t duration_ns);
void vz_runs_fini(struct vz_runs *runs);
/** A call ended: 0, -ENOMEM, or what the sink returned, as all below. */
int vz_runs_add(struct vz_runs *runs, struct vz_tile_writer *w, const struct vz_record *call);
/** Close what nothing that ends at NOW or later can be merged with. */
int vz_runs_sweep(struct vz_runs *runs, struct vz_tile_writer *w, uint64_t now);
int vz_runs_end(struct vz_runs *runs, struct vz_tile_writer *w);

/* ---- build_funcs.c ---- */

/* What a function did in the block under way. */
struct vz_func_now {
	uint32_t calls, resumes, seen, raised, partial;
	uint32_t active; /* frames on the stack */
	uint64_t self, total, sum, max;
	uint64_t since; /* up to when .total is counted, if active */
};

/* The same of several blocks. */
struct vz_func_sum {
	uint64_t calls, resumes, seen, raised, partial;
	uint64_t self, total, sum, max;
	uint32_t spread; /* first of its .spreads, by bucket */
};

struct vz_spread {
	uint64_t count;
	uint32_t bucket, next;
};

struct vz_func_level {
	struct vz_func_sum *sums; /* by function */
	uint32_t cap;
	struct vz_set set;
	struct vz_spread *spreads;
	uint32_t nspreads, spreads_cap;
};

struct vz_stay {
	uint32_t function;
	uint32_t bucket;
};

struct vz_funcs {
	struct vz_func_now *now; /* by function */
	uint32_t cap;
	uint32_t *starts; /* by function: its first of .buckets, then the end of its last */
	struct vz_set set;
	struct vz_stay *stays; /* seen in this block, in order of their end */
	uint32_t nstays, stays_cap;
	uint16_t *buckets; /* the same, to be put in order by function */
	uint32_t buckets_cap;
	struct vz_func_level
		levels[VZ_BUILD_LEVELS + 1]; /* [0] is not used, the last not written */
};

/* ---- build_paths.c ---- */

struct vz_path {
	uint32_t function, parent;
	uint32_t last;  /* the child that was called last, */
	uint32_t after; /* and what its parent called after this one the last time; 0: nothing */
	uint32_t calls, resumes; /* in the block under way, and ns: */
	uint64_t self, other;
};

struct vz_path_sum {
	uint64_t calls, resumes, self, other;
};

struct vz_path_level {
	struct vz_path_sum *sums; /* by node */
	uint32_t cap;
	struct vz_set set;
};

enum {
	VZ_PATH_LEFT = 1u << 31, /* above this node, in a call whose path is not kept */
};

struct vz_paths {
	struct vz_path *nodes;
	uint32_t nnodes, cap;
	uint32_t *slots; /* hash table by parent and function; 0: free */
	uint32_t nslots;
	struct vz_set set;
	uint32_t *stack; /* node of each frame, may be with VZ_PATH_LEFT */
	uint32_t depth, stack_cap;
	uint64_t left_calls;
	struct vz_path_level
		levels[VZ_BUILD_LEVELS + 1]; /* [0] is not used, the last not written */
};

void vz_funcs_fini(struct vz_funcs *f);
/* Make room for FUNCTION, and for one more stay. */
int vz_funcs_grow(struct vz_funcs *f, uint32_t function);
int vz_funcs_more_stays(struct vz_funcs *f);
/* Write what is known of the block as TILE of level 0, or of more of them as of .level, and begin
 * again. */
int vz_funcs_block(struct vz_funcs *f, struct vz_tile_writer *w, struct vzi_tile *tile);
int vz_funcs_flush(struct vz_funcs *f, struct vz_tile_writer *w, struct vzi_tile *tile);

int vz_paths_init(struct vz_paths *p);
void vz_paths_fini(struct vz_paths *p);
/* FUNCTION was called from node FROM: its node, or FROM with VZ_PATH_LEFT. */
int vz_paths_find(struct vz_paths *p, uint32_t from, uint32_t function, uint32_t *ret);
int vz_paths_more_stack(struct vz_paths *p);
int vz_paths_block(struct vz_paths *p, struct vz_tile_writer *w, struct vzi_tile *tile);
int vz_paths_flush(struct vz_paths *p, struct vz_tile_writer *w, struct vzi_tile *tile);
int vz_paths_nodes(struct vz_paths *p, struct vz_tile_writer *w);

/* ---- build_sums.c: both of them ---- */

struct vz_sums {
	struct vz_funcs funcs;
	struct vz_paths paths;
	uint64_t now;     /* up to when .self is counted */
	uint32_t top;     /* function on top of the stack, if there is one */
	uint32_t current; /* path of the stack */
};

int vz_sums_init(struct vz_sums *s);
void vz_sums_fini(struct vz_sums *s);
/* At NS a block ends: its number on the track, and of the last one. */
int vz_sums_cut(struct vz_sums *s, struct vz_tile_writer *w, const struct vz_line *line,
		uint64_t ns, const struct vzi_block *blocks, uint32_t i);
/* The same for the last one of N; and write what is left. */
int vz_sums_end(struct vz_sums *s, struct vz_tile_writer *w, uint64_t ns,
		const struct vzi_block *blocks, uint32_t n);

/* ---- build_samples.c ---- */

struct vz_sample {
	uint64_t start, end;
	double min, max, last;
};

struct vz_sample_level {
	struct vz_sample *records;
	uint32_t n, cap;
	uint64_t all;         /* also those that are written */
	struct vz_sample now; /* under way, of so many records of the level below: */
	uint32_t parts;
};

struct vz_samples {
	struct vz_sample_level levels[VZI_LEVELS];
	uint64_t now; /* of the last one */
};

void vz_samples_fini(struct vz_samples *s);
int vz_samples_end(struct vz_samples *s, struct vz_tile_writer *w);

/* ---- build.c ---- */

struct vz_gap {
	uint64_t start, length, records;
};

struct vz_build {
	struct vz_build_options options;
	struct vz_steps steps;
	struct vz_line line;
	struct vz_tile_writer writer;
	struct vz_runs runs;
	struct vz_sums sums;
	struct vz_samples samples;
	struct vzi_track track;
	struct vzi_block *blocks;
	uint32_t nblocks, blocks_cap;
	uint32_t nstarted; /* blocks whose .from_ns is settled */
	struct vz_gap *gaps;
	uint32_t ngaps, gaps_cap;
	uint64_t event_ns; /* last event */
	uint64_t hole_end; /* of a hole that is told now */
	uint32_t density[VZI_DENSITY];
	uint32_t bucket;     /* of the density, for now, */
	uint64_t bucket_end; /* and where it ends */
};

static inline uint64_t vz_build_time(const struct vz_build *b, uint64_t ns)
{
	ns = ns > b->options.zero_ns ? ns - b->options.zero_ns : 0;
	return ns < VZ_BUILD_MAX_NS ? ns : VZ_BUILD_MAX_NS;
}

#endif /* VZ_VIEWER_CORE_BUILD_PRIV_H */
