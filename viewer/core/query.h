/* SPDX-License-Identifier: MIT */
/*
 * query.h - answers what a page asks about a trace, from its index and a few of its blocks.
 *
 * Owns the directory, the plan of a view, and one job for each question.  It never
 * reads or fetches anything itself: a job says which tiles and blocks it needs, the
 * host gets them in its own time and gives them to the job, which consumes them
 * at once.  The same code runs in the page (WebAssembly) and in tests.
 *
 *	job = vzq_next(q, ...);
 *	while ((n = vzq_job_want(job, want, MAX)))
 *		for (i = 0; i < n; i++)
 *			vzq_job_give(job, bytes of want[i], their number);
 *	use vzq_job_result(job);
 *	vzq_job_free(job);
 *
 * Rules
 *   - times are ns since the begin of the trace, whole numbers below 2^53, as doubles; a
 *     time that falls between two is rounded up, NaN and what is negative is 0;
 *   - an event at time t is in [from, to) if from <= t < to; a range that reaches the end of the
 *     trace (to >= its duration) includes what happens at that very time;
 *   - all bytes are untrusted: what makes no sense is left out and counted in .bad, also
 *     what the host could not get; the answer then lacks what was in it;
 *   - "seen": the stay was neither found open nor did it end unseen, in a gap, or not at all;
 *   - a job holds what it has added up, not what it was given; jobs may be run in turns and
 *     freed at any time; all are freed before vzq_free();
 *   - not thread-safe; one struct vzq for each thread;
 *   - freestanding: malloc, calloc, realloc, free, memcpy, memmove, memset, memcmp.
 */
#ifndef VZ_VIEWER_CORE_QUERY_H
#define VZ_VIEWER_CORE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "viewer/core/format.h"
#include "viewer/core/tile.h"

struct vzq;
struct vzq_job;

/**
 * Take the directory of an index (from .directory_offset on), which is copied.  RET must be
 * freed with vzq_free().  -EBADMSG: it is none that can be trusted; -ENOMEM.
 * When it is replaced (overview, then complete) open another one.
 */
int vzq_open(const uint8_t *directory, size_t bytes, struct vzq **ret);
void vzq_free(struct vzq *q);

/* Parts of the directory, checked; valid until vzq_free(). */
const struct vzi_directory *vzq_directory(const struct vzq *q);
const struct vzi_track *vzq_track(const struct vzq *q, uint32_t track); /* NULL: no such */
const struct vzi_tile *vzq_tile(const struct vzq *q, uint32_t tile);
const struct vzi_block *vzq_block(const struct vzq *q, uint32_t block);
const uint32_t *vzq_density(const struct vzq *q); /* VZI_DENSITY */

/* ---- what a view needs: at once, without waiting ---- */

enum vzq_view_kind {
	VZQ_SLICES = 0,
	VZQ_RUNS = 1,
	VZQ_FINE = 2, /* calls shorter than VZI_FINE_NS, from events */
};

/* 40 bytes, without padding. */
struct vzq_view_tile {
	double id;     /* SLICES, RUNS: number of the tile; FINE: ntiles + a number of its own */
	double t0, t1; /* first start, last end; FINE: the window, [t0, t1) */
	uint32_t track;
	uint32_t kind; /* enum vzq_view_kind */
	uint32_t level;
	uint32_t pad;
};

/* The answer to an empty rectangle is no tiles. */
struct vzq_view {
	double from, to;
	double resolution; /* ns for a pixel */
	const uint32_t *tracks;
	uint32_t ntracks;
};

enum {
	VZQ_WINDOW_SHIFT = 24, /* a FINE window is 2^24 ns, at a multiple of it */
};

/**
 * Tiles that VIEW needs, at most MAX of them, track by track; returns how many
 * there are, which may be more than MAX.
 *
 * The algorithm, small enough to be mirrored elsewhere.  Tiles of a track, kind and level are
 * consecutive in the directory and sorted by t0_ns; let reach[i] be the greatest t1_ns of those
 * up to i.
 *
 *   level = 0; while (level < VZI_LEVELS - 1 and
 *		VZI_FINE_NS * 4^(level + 1) <= resolution and <= duration) level++
 *   fine = resolution < VZI_FINE_NS
 *   for SLICES of each class >= level, and unless fine RUNS of that level:
 *     binary search for the first i with reach[i] >= from;
 *     take each from there on with t0_ns < to, if its t1_ns >= from
 *   if fine: each window w with w << 24 < to and (w + 1) << 24 > from, within the track
 */
uint32_t vzq_plan(const struct vzq *q, const struct vzq_view *view, struct vzq_view_tile *ret,
		  uint32_t max);

/**
 * Decode tile TILE (SLICES, RUNS) of N bytes at P.  0: free RET with vzt_records_fini();
 * -EBADMSG: it makes no sense; -ENOMEM.
 */
int vzq_records(const struct vzq *q, uint32_t tile, const uint8_t *p, size_t n,
		struct vzt_records *ret);

/* ---- jobs ---- */

enum vzq_want_kind {
	VZQ_WANT_TILE = 0,  /* .id: number of a struct vzi_tile */
	VZQ_WANT_BLOCK = 1, /* .id: number of a struct vzi_block; its events, raw */
};

struct vzq_want {
	uint32_t kind, id;
};

/* [from, to) on TRACKS, or on all if that is NULL. */
struct vzq_range {
	double from, to;
	const uint32_t *tracks;
	uint32_t ntracks;
};

struct vzq_slice {
	double start, end;
	uint32_t track, depth, fn;
	uint32_t how; /* enum vz_entry | leave << VZI_HOW_LEAVE_SHIFT */
};

/* Columns, sorted by fn; only functions that occur.  Durations in ns. */
struct vzq_rows {
	uint32_t n;
	uint32_t *fn;
	double *calls, *resumes;
	double *total, *self; /* within the range; recursion counted once */
	double *seen;         /* stays seen whole that ended in the range; these have: */
	double *mean, *max;
	double *p50, *p99; /* upper bound: last ns of the bucket, see vzi_bucket(); <= max */
	double *raised;    /* all that ended in the range and were left by an exception */
	double *partial;   /* that ended in the range and were not seen whole */
};

/* Columns; parents before children; node 0 is the root (all tracks, or the function in question).
 */
struct vzq_tree {
	uint32_t n;
	uint32_t *parent; /* of node 0: 0 */
	uint32_t *fn;     /* of node 0: not used, or the function in question */
	double *calls;    /* entries of functions, resumes not counted */
	double *resumes;
	double *self, *total;
	double *other; /* ns in calls above it whose path is not known */
	double pruned; /* nodes left out because they are too small to see */
};

struct vzq_callees {
	uint32_t n;
	uint32_t *fn;
	double *calls, *total, *self; /* calls: resumes too */
};

/* What a job found; which members are set is said at each question.  The others are 0. */
struct vzq_result {
	int32_t error; /* 0 or -ENOMEM: there is no answer */
	uint32_t bad;  /* tiles and blocks that could not be had or made no sense */
	uint32_t
		left_out; /* calls that there was no room for: only a trace made to hurt has such */
	struct vzq_rows rows;
	struct vzq_tree tree[2];
	double busy_ns; /* with a frame on the stack, summed over tracks */
	double lost;    /* records dropped while recording, within the range */
	uint32_t nvalues;
	double *keys, *values;
	bool exact;
	uint32_t nslices;
	struct vzq_slice *slices;
	double self_ns, children, descendants; /* -1: unknown */
	double entry; /* number of the call in its track, see VZ_BLOCK_ARGS; -1: unknown */
	struct vzq_callees callees;
	struct vzt_records records;
	struct vzt_samples samples;
};

/* Indices of vzq_result.tree. */
enum {
	VZQ_TREE = 0,
	VZQ_CALLERS = 0,
	VZQ_CALLEES = 1,
};

/**
 * Up to MAX things that JOB needs now, which must be given in this order; 0: it is done.
 * Give all of them before the next call.
 */
uint32_t vzq_job_want(struct vzq_job *job, struct vzq_want *ret, uint32_t max);
/** The next wanted thing: N bytes at P, used only during the call; P NULL: it cannot be had. */
void vzq_job_give(struct vzq_job *job, const uint8_t *p, size_t n);
/** NULL until it is done; valid until vzq_job_free(). */
const struct vzq_result *vzq_job_result(const struct vzq_job *job);
void vzq_job_free(struct vzq_job *job);

/* Each of these returns NULL without memory.  Arguments are copied. */

/** .records of a FINE window: calls shorter than VZI_FINE_NS that begin in it, by start.
 * WINDOW: its number, t0 >> VZQ_WINDOW_SHIFT. */
struct vzq_job *vzq_fine(struct vzq *q, uint32_t track, uint32_t window);
/** .records of all gaps of a track: start, end, count (records lost; 0: unreadable). */
struct vzq_job *vzq_gaps(struct vzq *q, uint32_t track);
/** .samples of a counter, at the coarsest level that still shows each pixel. */
struct vzq_job *vzq_samples(struct vzq *q, uint32_t track, double from, double to,
			    double resolution);

/** .rows, .busy_ns, .lost of a range, and if TREE .tree[VZQ_TREE], for which much more is read. */
struct vzq_job *vzq_aggregate(struct vzq *q, const struct vzq_range *range, bool tree);
/**
 * .tree[VZQ_CALLERS] (root: FN; children: who called it) and .tree[VZQ_CALLEES].  Of FN within
 * FN only .calls, .resumes and .self count among callers; callees begin at the outermost.
 * Quick if the range is that of the last vzq_aggregate() with a tree that was done.
 */
struct vzq_job *vzq_butterfly(struct vzq *q, const struct vzq_range *range, uint32_t fn);
/** .nvalues, .keys (least duration of each bucket that is not empty), .values (stays seen). */
struct vzq_job *vzq_histogram(struct vzq *q, const struct vzq_range *range, uint32_t fn);
/**
 * .slices: the N slowest calls of FN that were seen and end in the range, longest first, then by
 * start, then by track; only those with LEAST <= duration < BELOW (0 and INFINITY: all).
 */
struct vzq_job *vzq_slowest(struct vzq *q, const struct vzq_range *range, uint32_t fn, uint32_t n,
			    double least, double below);

/* A set of functions, copied. */
struct vzq_fns {
	const uint32_t *fn;
	uint32_t n;
};

/**
 * .slices: the first call or resume of FNS that begins after FROM (direction 1), or the last that
 * begins before (-1); of several at the same time one on the lowest track.
 * What was found open did not begin there and is not found.
 */
struct vzq_job *vzq_next(struct vzq *q, const struct vzq_fns *fns, double from, int direction,
			 const uint32_t *tracks, uint32_t ntracks);
/**
 * .values: calls and resumes of FNS in each of BUCKETS equal parts of the trace; .exact: to the
 * call; else they are spread evenly over the time of the blocks that hold them.
 */
struct vzq_job *vzq_marks(struct vzq *q, const struct vzq_fns *fns, uint32_t buckets);

/** .slices: the call on TRACK at this time and depth (from 0), or none. */
struct vzq_job *vzq_at(struct vzq *q, uint32_t track, double time, uint32_t depth);

/* Which call is meant; of several that agree in all of it the first. */
struct vzq_ref {
	double start;
	uint32_t track, depth, fn;
};

enum vzq_relation {
	VZQ_PARENT = 0,
	VZQ_CHILD = 1,  /* the first */
	VZQ_BEFORE = 2, /* sibling that begins before; after: that begins later */
	VZQ_AFTER = 3,
};

/** .slices: the relative, or none. */
struct vzq_job *vzq_relative(struct vzq *q, const struct vzq_ref *ref, enum vzq_relation which);
/**
 * .slices: the stack, bottom first, the call itself last; .self_ns, .children (direct calls),
 * .descendants, .callees (direct ones, by function).  No slices: there is no such call.
 */
struct vzq_job *vzq_details(struct vzq *q, const struct vzq_ref *ref);

#endif /* VZ_VIEWER_CORE_QUERY_H */
