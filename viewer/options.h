/* SPDX-License-Identifier: MIT */
/*
 * options.h - what the command line of vizview says.
 *
 * Owns the help, the table of verbs and which options belong to each.
 */
#ifndef VZ_VIEWER_OPTIONS_H
#define VZ_VIEWER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "viewer/report.h"
#include "viewer/tree.h"
#include "viewer/trouble.h"

enum vz_verb {
	VZ_VERB_LOOK, /* none is named */
	VZ_VERB_INFO,
	VZ_VERB_REPORT,
	VZ_VERB_TREE,
	VZ_VERB_DIFF,
	VZ_VERB_EXPORT,
	VZ_VERB_INDEX,
	VZ_VERB_IMPORT,
	VZ_VERBS,
};

struct vz_options {
	enum vz_verb verb;
	const char *file;
	const char *trace; /* the same, or where the import of it is kept */
	const char *other; /* second trace, of verbs that compare */
	const char *format;
	const char *output;
	bool force;
	bool has_limit;
	uint64_t limit;
	uint64_t range_from_ns, range_to_ns; /* since the begin of the trace; to 0: its end */
	const char *function;
	struct vz_report_options report;
	struct vz_tree_options tree;
	uint16_t port;
	bool no_open;
	bool with_source;
};

/**
 * 0; 1: help or version was all that was wanted, and was printed; below 0: wrong usage.
 * The strings are those of ARGV.
 */
int vz_options_parse(int argc, char **argv, struct vz_options *ret, struct vz_trouble *trouble);

#endif /* VZ_VIEWER_OPTIONS_H */
