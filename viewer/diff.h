/* SPDX-License-Identifier: MIT */
/* diff.h - two traces, function by function, for the terminal and as JSON. */
#ifndef VZ_VIEWER_DIFF_H
#define VZ_VIEWER_DIFF_H

#include "viewer/out.h"
#include "viewer/reader.h"

struct vz_diff_options {
	const char *file[2]; /* names of A and B, for people */
	double min_percent; /* of the time of the trace with more; what differs by less is folded */
	uint32_t columns;   /* width of the terminal */
	bool colours;
	bool json;
};

/** 0 or -ENOMEM. */
int vz_diff(struct vz_reader *a, struct vz_reader *b, const struct vz_diff_options *options,
	    struct vz_out *out);

#endif /* VZ_VIEWER_DIFF_H */
