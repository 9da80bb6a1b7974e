/* SPDX-License-Identifier: MIT */
/*
 * part.h - a part of a trace as a trace of its own, with its index.
 *
 * It is written to files that have no name any more when it is open: nothing of it stays.
 * Functions keep their numbers; tracks of which nothing is left are not in it.
 */
#ifndef VZ_VIEWER_PART_H
#define VZ_VIEWER_PART_H

#include "viewer/index/index.h"
#include "viewer/reader.h"
#include "viewer/walk.h"

struct vz_part {
	struct vz_reader *reader;
	struct vz_index *index;
};

/**
 * What vz_walk() finds in R within the end and the selection of LIMITS, and what belongs to it.  0
 * or a negative errno with TROUBLE.  Close with vz_part_close().
 */
int vz_part_open(struct vz_reader *r, const struct vz_walk_limits *limits,
		 const struct vz_index_options *options, struct vz_part *ret,
		 struct vz_trouble *trouble);
void vz_part_close(struct vz_part *part);

#endif /* VZ_VIEWER_PART_H */
