/* SPDX-License-Identifier: MIT */
/*
 * format.h - the index of a trace: what is drawn at each scale, and sums of it.
 *
 * Owns layouts and constants, shared by the builder, the queries, the server and
 * the page.  The events themselves stay in the trace: its blocks decode alone,
 * so the index holds only what a view cannot get from a few of them.
 *
 *   struct vzi_header
 *   tiles, each at a multiple of 8
 *   directory: struct vzi_directory, vzi_track[], vzi_tile[], vzi_block[], density
 *
 * Everything is little-endian; "varint" is LEB128 as in payload/wire.h.  Times are
 * nanoseconds since .zero_ns, so that they are exact in a double.  A reader trusts
 * nothing: an index may be cut, old, of another trace, or made by somebody else.
 *
 * Scales.  A call of VZI_FINE_NS or more is stored once, in SLICES of its class k:
 * VZI_FINE_NS * 4^k <= duration < VZI_FINE_NS * 4^(k+1) (the last class has no end).  At level l
 * (resolution r = VZI_FINE_NS * 4^l) what is shorter than r is merged, for each depth, into RUNS.
 * So a view at p ns for a pixel needs SLICES of all classes >= l and RUNS of level l,
 * where r(l) <= p < r(l + 1); below VZI_FINE_NS it needs all SLICES, and the shorter
 * calls from the blocks of events themselves.
 * RUNS of levels whose resolution is longer than the whole trace are left out, but level 0.
 * Perfetto's slice mipmaps and Trace Compass' history tree have the same aim.
 */
#ifndef VZ_VIEWER_CORE_FORMAT_H
#define VZ_VIEWER_CORE_FORMAT_H

#include <stdint.h>

#define VZI_MAGIC   UINT64_C(0x0a58444e495a5689) /* "\x89VZINDX\n" */
#define VZI_VERSION 1

enum {
	VZI_FINE_SHIFT = 14,
	VZI_FINE_NS = 1 << VZI_FINE_SHIFT,
	VZI_LEVELS = 16, /* classes and levels; the last resolution is 4.8 hours */
	VZI_TILE_RECORDS = 4096,
	VZI_FANOUT_SHIFT = 4,    /* a summary of level k + 1 is that of 16 of level k */
	VZI_DENSITY = 2048,      /* buckets of the whole range */
	VZI_MAX_NODES = 1 << 18, /* call paths kept for a track */
	VZI_NODES_TILE = 1 << 16,
	VZI_BUCKETS = 496, /* of durations, see vzi_bucket() */
	VZI_NO_NODE = 0,   /* node 0 of each track is its root, without a function */
};

struct vzi_header {
	uint64_t magic;
	uint32_t version;
	uint32_t bytes;                       /* of this header */
	uint64_t trace_bytes, trace_mtime_ns; /* of the trace that it belongs to */
	uint64_t trace_check;                 /* hash of its header, its footer, its last block */
	uint64_t directory_offset, directory_bytes;
	uint32_t directory_crc; /* crc32 */
	uint32_t crc;           /* crc32 of all bytes before */
};
_Static_assert(sizeof(struct vzi_header) == 64, "index format changed");

/* Sent to the page as it is. */
struct vzi_directory {
	uint32_t version;
	uint32_t ntracks, ntiles, nblocks;
	uint64_t zero_ns;     /* of the clock of the trace */
	uint64_t duration_ns; /* end of the last thing that is known */
	uint64_t entries;     /* calls, all tracks */
	uint32_t nfunctions;
	uint32_t flags; /* enum vzi_flags */
};
_Static_assert(sizeof(struct vzi_directory) == 48, "index format changed");

enum vzi_flags {
	VZI_OVERVIEW = 1, /* holds only the coarse levels, for a first picture */
};

struct vzi_track {
	uint32_t place;     /* see vz_reader_track() */
	uint32_t flags;     /* enum vz_slot_flags, enum vz_track_flags */
	uint32_t max_depth; /* rows */
	uint32_t first_tile, ntiles;
	uint32_t first_block, nblocks;
	uint32_t nnodes; /* call paths, the root included */
	uint64_t begin_ns, end_ns;
	uint64_t entries;
	uint64_t lost;  /* records dropped while recording */
	uint32_t holes; /* places where blocks are missing or unreadable */
	uint32_t pad;
	uint64_t left_calls; /* entries whose path was not kept */
};
_Static_assert(sizeof(struct vzi_track) == 80, "index format changed");

enum vzi_kind {
	VZI_SLICES = 1,
	VZI_RUNS = 2,
	VZI_FUNCS = 3,
	VZI_PATHS = 4,
	VZI_NODES = 5,
	VZI_GAPS = 6,
	VZI_SAMPLES = 7, /* of a counter */
};

/* Sorted by track, kind, level, t0_ns, then .first.  Those of one kind and level may overlap. */
struct vzi_tile {
	uint64_t t0_ns;  /* first start */
	uint64_t t1_ns;  /* last end */
	uint64_t offset; /* in the index */
	uint32_t bytes;
	uint32_t count; /* records */
	uint32_t track; /* number in the directory */
	uint8_t kind, level;
	uint16_t pad;
	uint16_t min_depth, max_depth; /* SLICES, RUNS: from 0; 65535 and deeper is 65535 */
	uint32_t first; /* FUNCS, PATHS: first block, counted in its track; NODES: first node */
};
_Static_assert(sizeof(struct vzi_tile) == 48, "index format changed");

/*
 * A block of events of the trace, by track, then time.  It covers the time from its .from_ns to
 * that of the next one of its track, the last one to the end of the track, included; the first
 * one begins with the track.  What it tells lies in this time; after a hole it also tells what was
 * entered there and is still on its stack.  A block that cannot be read covers the time in which it
 * was, as far as nothing else is known of that.
 */
struct vzi_block {
	uint64_t from_ns;
	uint64_t t0_ns, t1_ns; /* first, last event */
	uint32_t number;       /* of vz_reader_block() */
	uint32_t raw_bytes;
	uint32_t entries;
	uint32_t flags; /* enum vzi_block_flags */
};
_Static_assert(sizeof(struct vzi_block) == 40, "index format changed");

enum vzi_block_flags {
	VZI_BLOCK_UNREADABLE = 1,
	VZI_BLOCK_AFTER_HOLE = 2, /* what was between it and the one before is not known */
};

/* Density: uint32_t[VZI_DENSITY], entries of all tracks in each part of the range. */

/*
 * A tile of columns: uint32_t bytes of each, then the columns.
 *
 * SLICES  start, duration, depth, function, how    sorted by start, then depth
 *   A call that ended in a way that one block does not tell (VZ_LEFT_GAP, VZ_LEFT_OPEN)
 *   is in class 0 at least, however short.
 * RUNS    start, length, depth, function, count    sorted by start, then depth
 *   function: the one with the longest call; count: calls.  What is merged is said in build_runs.c.
 * GAPS    start, length, records                   records: 0: unreadable
 *   From the last event before to that after which nothing is missing.
 * SAMPLES start, min, max, last
 *   level 0 holds each sample, level k what 4^k that follow one another have in common; there is a
 *   level above one with more than 256 records
 *
 * start: varint, since the start before (first: since t0_ns); how: one byte, enum vz_entry |
 * leave << 2 (enum vz_leave or VZ_LEFT_); all others varints, but of SAMPLES raw doubles.
 */
enum {
	VZI_SLICE_COLUMNS = 5,
	VZI_RUN_COLUMNS = 5,
	VZI_GAP_COLUMNS = 3,
	VZI_SAMPLE_COLUMNS = 4,
	VZI_HOW_LEAVE_SHIFT = 2,
};

/*
 * Summaries of level k are of blocks n * 16^k to (n + 1) * 16^k - 1 of the track; the last one is
 * of what is left.  Each group has its tile, be it empty, up to the level at which one tile is of
 * all blocks.  Rows that would say nothing are left out.  t0_ns, t1_ns: the time covered.
 *
 * FUNCS: what each function did in 16^level blocks, VARINTS in rows, sorted by function:
 *
 *   function      since the row before + 1 (first: + 0)
 *   calls         entries in the time covered, resumes not counted
 *   resumes       entries of generators and coroutines after the first
 *   self          ns on top of the stack in the time covered
 *   total         ns with at least one frame on the stack in the time covered
 *   seen          stays that ended in the time covered and were seen from begin to end
 *   sum, max      ns, durations of those
 *   raised        left by an exception
 *   partial       stays that ended there but were not seen whole
 *   nbuckets, then pairs: bucket since the one before, stays seen with such a duration
 *
 * PATHS: the same for call paths, varints in rows, sorted by node; a function that calls itself
 * directly stays in its node:
 *
 *   node          since the row before + 1 (first: + 0)
 *   calls, resumes, self
 *   other         ns in calls above it whose path was not kept
 *
 * NODES: call paths of a track in order of their first occurrence, varints in rows:
 *
 *   up            its own number - that of its parent; of node 0: 0
 *   function      of node 0: 0
 */

/** Bucket of a duration: 8 for each power of two, so that it is known to 12.5 %. */
static inline uint32_t vzi_bucket(uint64_t ns)
{
	unsigned log2;

	if (ns < 8)
		return (uint32_t)ns;
	log2 = 63u - (unsigned)__builtin_clzll(ns);
	return (log2 - 2) * 8 + (uint32_t)(ns >> (log2 - 3) & 7);
}

/** Least duration of a bucket, ns. */
static inline uint64_t vzi_bucket_ns(uint32_t bucket)
{
	return bucket < 8 ? bucket : (uint64_t)(8 | (bucket & 7)) << (bucket / 8 - 1);
}

/** Class of a duration of VZI_FINE_NS or more. */
static inline unsigned vzi_class(uint64_t ns)
{
	unsigned k = (63u - (unsigned)__builtin_clzll(ns | 1));

	k = k < VZI_FINE_SHIFT ? 0 : (k - VZI_FINE_SHIFT) / 2;
	return k < VZI_LEVELS ? k : VZI_LEVELS - 1;
}

#endif /* VZ_VIEWER_CORE_FORMAT_H */
