/* SPDX-License-Identifier: MIT */
/*
 * query_tree.h - call paths of all tracks as one tree, and sums over it.
 *
 * Owns the merged tree, which grows as tracks are asked for, and for each track which of its
 * nodes is which.  Node 0 is the root; parents come before children.
 */
#ifndef VZ_VIEWER_CORE_QUERY_TREE_H
#define VZ_VIEWER_CORE_QUERY_TREE_H

#include "viewer/core/query_core.h"

enum {
	VZQ_NO_PATH = UINT32_MAX,
};

/** That of no track yet; TRACKS say how many nodes there may be. */
struct vzq_forest *vzq_forest_new(const struct vzi_track *tracks, uint32_t ntracks);
void vzq_forest_free(struct vzq_forest *f);

/** Plan the NODES of TRACK unless they are there; after it there is a root. */
int vzq_plan_nodes(struct vzq_job *job, uint32_t track, uint32_t tag);
/** Take them; as vzq_job.take(). */
int vzq_take_nodes(struct vzq *q, const struct vzq_item *item, const uint8_t *p, size_t n);

/** Whether those of TRACK are there and make sense. */
bool vzq_has_nodes(const struct vzq_forest *f, uint32_t track);

/** Number of nodes so far, the root included. */
uint32_t vzq_forest_size(const struct vzq_forest *f);
/** Of each node: its parent, its function; valid until a track is added. */
const uint32_t *vzq_forest_parents(const struct vzq_forest *f);
const uint32_t *vzq_forest_fns(const struct vzq_forest *f);
/** The node of FN called from PARENT as far as TRACK kept it, or VZQ_NO_PATH. */
uint32_t vzq_forest_child(const struct vzq_forest *f, uint32_t track, uint32_t parent, uint32_t fn);

/** Add the rows of a PATHS tile; all of it or, with -EBADMSG, nothing. */
int vzq_add_paths(struct vzq *q, const struct vzq_item *item, const uint8_t *p, size_t n,
		  struct vzq_paths *paths);

/* ---- trees for the page ---- */

enum {
	VZQ_TREE_PARTS = 5000, /* a node that is less than this part of the whole is left out */
	VZQ_TREE_NODES = 20000,
};

/** Room for N nodes, all 0; -ENOMEM. */
int vzq_tree_init(struct vzq_tree *t, uint32_t n);
/** The tree of these sums, which are as before afterwards; 0 or -ENOMEM. */
int vzq_tree_make(const struct vzq_forest *f, struct vzq_paths *paths, struct vzq_tree *ret);
/** Callers and callees of FN. */
int vzq_butterfly_make(const struct vzq_forest *f, const struct vzq_paths *paths, uint32_t fn,
		       struct vzq_tree ret[2]);
/** Time in each node with all above it; free() it; NULL without memory. */
uint64_t *vzq_tree_totals(const struct vzq_forest *f, const struct vzq_paths *paths);
/** Whether anything happened in each node or above it; the same. */
uint8_t *vzq_tree_occurs(const struct vzq_forest *f, const struct vzq_paths *paths);

void vzq_last_fini(struct vzq_last *last);

#endif /* VZ_VIEWER_CORE_QUERY_TREE_H */
