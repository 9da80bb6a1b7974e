/* SPDX-License-Identifier: MIT */
/*
 * opts.h - one table of options: parsing, --help, VIZATTACH_* variables.
 */
#ifndef VZ_ATTACH_OPTS_H
#define VZ_ATTACH_OPTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "attach/err.h"

enum vz_verb {
	VZ_VERB_RECORD,
	VZ_VERB_DOCTOR,
	VZ_VERB_PS,
	VZ_VERB_SNAPSHOT,
	VZ_VERB_HELP,
	VZ_VERB_VERSION,
};

struct vz_opts {
	enum vz_verb verb;
	enum vz_verb topic;         /* of VZ_VERB_HELP: the verb that is to be explained */
	pid_t pid;                  /* 0: none, which doctor, ps and snapshot --core accept */
	uint64_t duration_ns;       /* 0: until Ctrl-C */
	uint64_t attach_timeout_ns; /* default 5 s: find a safe moment */
	uint64_t gil_timeout_ns;    /* default 10 s: wait for the GIL */
	uint64_t ring_bytes;        /* default 64 MiB, 1 MiB to 4 GiB */
	const char *output_given; /* as on the command line, not ours to free; NULL: the default */
	char output[4096];        /* expanded; "" until vz_opts_output() */
	bool force, quiet, json, strict, c_calls, override_opt_out, override_limits;
	bool with_source;
	int verbose;
	/* snapshot */
	bool no_stop, locals, native, all;
	uint64_t watch_ns; /* 0: once */
	const char *core;  /* not ours to free; NULL: a process */
};

/** Parse ARGV (and VIZATTACH_* of the environment, weaker).  Exit 2 with what is wrong and a near
 * match. */
int vz_opts_parse(int argc, char **argv, struct vz_opts *ret, struct vz_err *err);
/**
 * Fill RET->output: the default "vizattach-COMM-PID-YYYYmmddTHHMMSS.viz", or the given name
 * with %p, %t and %% expanded; a directory gets the default name inside it.
 */
int vz_opts_output(struct vz_opts *opts, const char *comm, struct vz_err *err);
/** The text of --help for VERB: at most 40 lines of 80, ends with two examples.  Static. */
const char *vz_opts_help(enum vz_verb verb);
/** Long name of the option of VERB with INDEX from 0, without dashes; NULL behind the last (for
 * tests). */
const char *vz_opts_name(enum vz_verb verb, unsigned index);
/** "10s", "250ms", "1m30s", "2h", or a bare number of seconds; -EINVAL or -ERANGE. */
int vz_parse_duration(const char *text, uint64_t *ret_ns);
/** "64MiB", "64M", "512KiB", or a bare number of bytes; -EINVAL or -ERANGE. */
int vz_parse_size(const char *text, uint64_t *ret_bytes);

#endif /* VZ_ATTACH_OPTS_H */
