/* SPDX-License-Identifier: MIT */
/* tree.h - the call tree of each thread, from the top down, for the terminal and as JSON. */
#ifndef VZ_VIEWER_TREE_H
#define VZ_VIEWER_TREE_H

#include "viewer/out.h"
#include "viewer/reader.h"

struct vz_tree_options {
	const char *thread; /* only threads whose title holds this; NULL: all */
	uint32_t depth;     /* levels; 0: all */
	double min_percent; /* of the thread's time; what has less is folded */
	uint32_t columns;   /* width of the terminal; 0: do not cut lines */
	uint32_t max_paths; /* 0: VZ_CALLTREE_PATHS */
	bool colours;
	bool json;
};

/** 0, or a negative errno with TROUBLE. */
int vz_tree(struct vz_reader *r, const struct vz_tree_options *options, struct vz_out *out,
	    struct vz_trouble *trouble);

#endif /* VZ_VIEWER_TREE_H */
