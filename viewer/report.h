/* SPDX-License-Identifier: MIT */
/*
 * report.h - what the terminal shows of a trace: facts, and the table of functions.
 */
#ifndef VZ_VIEWER_REPORT_H
#define VZ_VIEWER_REPORT_H

#include "viewer/out.h"
#include "viewer/stats.h"

struct vz_report_options {
	enum vz_stats_order order;
	uint32_t top;     /* rows; 0: all */
	uint32_t columns; /* width of the terminal; 0: do not cut lines */
	bool threads;     /* one table for each track */
	bool json;
};

/** Table of functions; 0 or -ENOMEM. */
int vz_report(struct vz_reader *r, const struct vz_report_options *options, struct vz_out *out);
/** Facts about the recording.  Reads the whole file, so that what it says of damage is true. */
int vz_info(struct vz_reader *r, bool json, struct vz_out *out);

#endif /* VZ_VIEWER_REPORT_H */
