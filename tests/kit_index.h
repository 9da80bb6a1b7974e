/* SPDX-License-Identifier: MIT */
/*
 * kit_index.h - for tests of the index: builds one in memory, reads its tiles, and makes the
 * same from the calls of a trace in the plainest way.
 *
 * Nothing here is fast or careful with memory, and nothing is shared with the code under test
 * but the layouts of viewer/core/format.h and the walk, which has tests of its own.
 */
#ifndef VZ_TESTS_KIT_INDEX_H
#define VZ_TESTS_KIT_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/kit_trace.h"
#include "viewer/core/build.h"

/* ---- an index in memory ---- */

struct kit_tile {
	struct vzi_tile row;
	uint8_t *bytes;
};

struct kit_index {
	uint64_t zero_ns, duration_ns;
	uint32_t ntracks, ntiles;
	struct kit_tile *tiles; /* sorted as in a directory */
	struct vzi_track *tracks;
	struct vzi_block **blocks; /* of each track */
	uint32_t density[VZI_DENSITY];
};

void kit_index_build(struct vz_reader *r, struct kit_index *ret);
/** Of one block of samples; B is freed by the caller. */
void kit_index_samples(const struct vz_build_options *options, const struct vz_block *head,
		       const uint8_t *raw, struct kit_index *ret, struct vz_build **b);
void kit_index_fini(struct kit_index *x);

/* A record of SLICES, RUNS, GAPS (.last: records) */
struct kit_record {
	uint64_t start, end;
	uint32_t depth, function;
	uint64_t last; /* how, count, records */
};

struct kit_records {
	struct kit_record *p;
	size_t n, cap;
};

/** All records of the track, kind and level, in order of tiles; NULL or what is wrong with a tile.
 */
const char *kit_index_records(const struct kit_index *x, uint32_t track, enum vzi_kind kind,
			      unsigned level, struct kit_records *ret);
void kit_records_add(struct kit_records *r, const struct kit_record *record);
/** By start, then depth. */
void kit_records_sort(struct kit_records *r);

/* Varints of a FUNCS, PATHS or NODES tile, one after the other. */
struct kit_varints {
	uint64_t *p;
	size_t n;
};

const struct kit_tile *kit_index_tile(const struct kit_index *x, uint32_t track, enum vzi_kind kind,
				      unsigned level, uint32_t first);
struct kit_varints kit_index_varints(const struct kit_tile *tile);

/* ---- the plainest way ---- */

/* A call, as a walk sees it; times as in the index. */
struct kit_call {
	uint64_t start, end;
	uint32_t depth, function;
	uint32_t how;     /* as in SLICES */
	uint32_t parent;  /* number of the call below; UINT32_MAX: none */
	uint64_t longest; /* of a run that stands for calls */
	uint64_t count;
};

struct kit_calls {
	struct kit_call *p; /* in order of entry */
	uint32_t n, cap;
	struct kit_records gaps; /* .end of a hole: not known, its .start */
};

/** Calls of the track at PLACE. */
void kit_calls_init(struct kit_calls *c, struct vz_reader *r, uint32_t place, uint64_t zero_ns);
void kit_calls_fini(struct kit_calls *c);
bool kit_call_fine(const struct kit_call *c); /* not in SLICES */

/** RUNS of LEVEL, sorted. */
void kit_naive_runs(const struct kit_calls *c, unsigned level, struct kit_records *ret);
/** FUNCS of what is in [from, to), or [from, to] if LAST, as varints of a tile. */
struct kit_varints kit_naive_funcs(const struct kit_calls *c, uint64_t from, uint64_t to,
				   bool last);
/** Call paths in order of first occurrence: their varints, and the node of each call. */
struct kit_varints kit_naive_nodes(const struct kit_calls *c, uint32_t *nodes);
struct kit_varints kit_naive_paths(const struct kit_calls *c, const uint32_t *nodes, uint64_t from,
				   uint64_t to, bool last);

#endif /* VZ_TESTS_KIT_INDEX_H */
