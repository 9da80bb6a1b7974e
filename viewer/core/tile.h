/* SPDX-License-Identifier: MIT */
/*
 * tile.h - reads the tiles of an index, see format.h.
 *
 * Takes bytes that nobody has checked: each length, number and sum is, before
 * it is used.  What is decoded is in flat arrays that a page can use as they are.
 */
#ifndef VZ_VIEWER_CORE_TILE_H
#define VZ_VIEWER_CORE_TILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "viewer/core/format.h"

enum {
	VZT_MAX_RECORDS = 1 << 20, /* in one tile, of any kind */
};

/* Columns of SLICES, RUNS, GAPS; one allocation, which .start begins. */
struct vzt_records {
	uint32_t n;
	double *start, *end; /* ns since the begin of the trace */
	uint32_t *fn;
	uint32_t *count; /* SLICES: 1; RUNS: calls; GAPS: records lost, at most UINT32_MAX */
	uint16_t *depth;
	uint8_t *how; /* SLICES: enum vz_entry | leave << VZI_HOW_LEAVE_SHIFT; else 0 */
};

/* One allocation, which .t begins. */
struct vzt_samples {
	uint32_t n;
	double *t, *min, *max, *last;
};

/** Room for N records, not set.  -ENOMEM. */
int vzt_records_init(struct vzt_records *r, uint32_t n);
void vzt_records_fini(struct vzt_records *r);
int vzt_samples_init(struct vzt_samples *s, uint32_t n);
void vzt_samples_fini(struct vzt_samples *s);
/** All of FROM to TO, from number AT on. */
void vzt_samples_copy(struct vzt_samples *to, uint32_t at, const struct vzt_samples *from);

/** SLICES, RUNS, GAPS: N bytes at P, described by TILE.  0: finish RET; -EBADMSG; -ENOMEM. */
int vzt_decode(const struct vzi_tile *tile, const uint8_t *p, size_t n, struct vzt_records *ret);
/** SAMPLES. */
int vzt_decode_samples(const struct vzi_tile *tile, const uint8_t *p, size_t n,
		       struct vzt_samples *ret);

/* Rows of FUNCS, PATHS, NODES, read one at a time. */
struct vzt_cursor {
	const uint8_t *p, *end;
	uint32_t left; /* rows */
	uint32_t key;  /* of the next row at least */
};

struct vzt_function {
	uint32_t function;
	uint32_t nbuckets;
	uint64_t calls, resumes;
	uint64_t self_ns, total_ns;
	uint64_t seen, sum_ns, max_ns;
	uint64_t raised, partial;
};

struct vzt_path {
	uint32_t node;
	uint64_t calls, resumes;
	uint64_t self_ns, other_ns;
};

void vzt_rows(struct vzt_cursor *c, const struct vzi_tile *tile, const uint8_t *p, size_t n);
/**
 * 1: RET is the next row, and .nbuckets calls of vzt_bucket() must follow; 0: it was the last,
 * and nothing is behind it; -EBADMSG.
 */
int vzt_next_function(struct vzt_cursor *c, struct vzt_function *ret);
/** -EBADMSG: no bucket, or not in order; BUCKET is the one before, at first UINT32_MAX. */
int vzt_bucket(struct vzt_cursor *c, uint32_t *bucket, uint64_t *count);
int vzt_next_path(struct vzt_cursor *c, struct vzt_path *ret);
/** UP: its own number - that of its parent; 0 only for the root. */
int vzt_next_node(struct vzt_cursor *c, uint32_t *up, uint32_t *function);

#endif /* VZ_VIEWER_CORE_TILE_H */
