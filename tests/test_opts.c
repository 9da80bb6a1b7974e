/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/opts.h"

enum { MAX_WORDS = 16 };

/* Split LINE at blanks and parse it. */
static int parse(const char *line, struct vz_opts *opts, struct vz_err *err)
{
	static char text[512];
	char program[] = "vizattach", *argv[MAX_WORDS + 1] = { program }, *save = NULL;
	int argc = 1;

	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok_r(text, " ", &save); word && argc < MAX_WORDS;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	return vz_opts_parse(argc, argv, opts, err);
}

/* ---- units ---- */

Test(opts, durations)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t ns;
	} cases[] = {
		{ "10", 0, 10000000000 },
		{ "0", 0, 0 },
		{ "0.5", 0, 500000000 },
		{ "10s", 0, 10000000000 },
		{ "250ms", 0, 250000000 },
		{ "7us", 0, 7000 },
		{ "9ns", 0, 9 },
		{ "1m30s", 0, 90000000000 },
		{ "2h", 0, 7200000000000 },
		{ "1.5h", 0, 5400000000000 },
		{ "1d2h3m4s5ms6us7ns", 0, 93784005006007 },
		{ "0.0000000019s", 0, 1 },
		{ "", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "-1s", -EINVAL, 0 },
		{ "+1s", -EINVAL, 0 },
		{ " 1s", -EINVAL, 0 },
		{ "1 s", -EINVAL, 0 },
		{ "1x", -EINVAL, 0 },
		{ "1.", -EINVAL, 0 },
		{ ".5", -EINVAL, 0 },
		{ "1s2m", -EINVAL, 0 },
		{ "1s1s", -EINVAL, 0 },
		{ "1m30", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "18446744073709551615ns", 0, UINT64_MAX },
		{ "18446744073709551616ns", -ERANGE, 0 },
		{ "18446744073709551615", -ERANGE, 0 },
		{ "213503d18446744073709551615ns", -ERANGE, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ns = 0;

		cr_assert_eq(vz_parse_duration(cases[i].text, &ns), cases[i].rc, "'%s'",
			     cases[i].text);
		cr_assert_eq(ns, cases[i].ns, "'%s'", cases[i].text);
	}
}

Test(opts, sizes)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t bytes;
	} cases[] = {
		{ "0", 0, 0 },
		{ "4096", 0, 4096 },
		{ "4096B", 0, 4096 },
		{ "512KiB", 0, 512 << 10 },
		{ "64M", 0, 64 << 20 },
		{ "64MiB", 0, 64 << 20 },
		{ "64MB", 0, 64000000 },
		{ "1.5G", 0, UINT64_C(3) << 29 },
		{ "", -EINVAL, 0 },
		{ "M", -EINVAL, 0 },
		{ "64m", -EINVAL, 0 },
		{ "64 MiB", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "18446744073709551615G", -ERANGE, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bytes = 0;

		cr_assert_eq(vz_parse_size(cases[i].text, &bytes), cases[i].rc, "'%s'",
			     cases[i].text);
		cr_assert_eq(bytes, cases[i].bytes, "'%s'", cases[i].text);
	}
}

/* ---- command line ---- */

Test(opts, defaults)
{
	struct vz_opts opts;
	struct vz_err err;

	cr_assert_eq(parse("--pid 42", &opts, &err), 0);
	cr_assert_eq(opts.verb, VZ_VERB_RECORD);
	cr_assert_eq(opts.pid, 42);
	cr_assert_eq(opts.duration_ns, 0);
	cr_assert_eq(opts.attach_timeout_ns, 5000000000);
	cr_assert_eq(opts.gil_timeout_ns, 10000000000);
	cr_assert_eq(opts.ring_bytes, 64 << 20);
	cr_assert(opts.c_calls);
	cr_assert_not(opts.force || opts.quiet || opts.json || opts.strict);
	cr_assert_not(opts.override_opt_out || opts.override_limits);
	cr_assert_eq(opts.verbose, 0);
	cr_assert_str_empty(opts.output);
}

Test(opts, every_option)
{
	struct vz_opts opts;
	struct vz_err err;

	cr_assert_eq(parse("record -p7 -d 1m -o x.viz --force --no-c-calls --ring-size=1MiB", &opts,
			   &err),
		     0);
	cr_assert(opts.pid == 7 && opts.force && !opts.c_calls);
	cr_assert_eq(opts.duration_ns, 60000000000);
	cr_assert_eq(opts.ring_bytes, 1 << 20);
	cr_assert_str_eq(opts.output_given, "x.viz");
	cr_assert_eq(parse("--pid=7 --strict --json -qvv --verbose --override-opt-out "
			   "--attach-timeout 1s --gil-timeout=250ms --override-limits",
			   &opts, &err),
		     0);
	cr_assert(opts.strict && opts.json && opts.quiet && opts.override_opt_out &&
		  opts.override_limits);
	cr_assert_eq(opts.verbose, 3);
	cr_assert_eq(opts.attach_timeout_ns, 1000000000);
	cr_assert_eq(opts.gil_timeout_ns, 250000000);
}

Test(opts, help_and_version_win)
{
	static const struct {
		const char *line;
		enum vz_verb verb;
	} cases[] = {
		{ "--help", VZ_VERB_HELP },
		{ "-h", VZ_VERB_HELP },
		{ "record -p 1 -qh --nonsense", VZ_VERB_HELP },
		{ "--version", VZ_VERB_VERSION },
	};

	setenv("VIZATTACH_DURATION", "nonsense", 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vz_opts opts;
		struct vz_err err;

		cr_assert_eq(parse(cases[i].line, &opts, &err), 0, "%s", cases[i].line);
		cr_assert_eq(opts.verb, cases[i].verb, "%s", cases[i].line);
	}
}

Test(opts, mistakes)
{
	static const struct {
		const char *line, *what, *hint;
	} cases[] = {
		{ "", "no process is given", "--pid" },
		{ "4242", "'4242' is not understood", "did you mean --pid 4242?" },
		{ "record 4242", "'4242'", "--pid 4242" },
		{ "snapshots", "'snapshots'", "snapshot" },
		{ "snapshot", "no process is given", "snapshot --pid" },
		{ "snapshot -p 1 --core c", "--core and --pid", "--core c" },
		{ "snapshot --core c --watch 1s", "--core and --watch", "--core c" },
		{ "snapshot -p 1 --duration 1s", "no option '--duration' for snapshot", "" },
		{ "doktor", "'doktor'", "vizattach doctor" },
		{ "doctor --durration 3", "for doctor", "vizattach doctor --help" },
		{ "--pid", "--pid needs a value", "--pid PID" },
		{ "-p", "--pid needs a value", "--pid PID" },
		{ "--durration 3", "'--durration'", "--duration" },
		{ "--dur=3", "'--dur=3'", "--duration" },
		{ "--xyzzy", "'--xyzzy'", "--help" },
		{ "-x", "'-x'", "--help" },
		{ "-qx", "'-qx'", "--help" },
		{ "--", "'--'", "--help" },
		{ "-", "'-'", "--help" },
		{ "--json=yes", "--json takes no value", "--json" },
		{ "-p 0", "'0'", "" },
		{ "-p -5", "'-5'", "" },
		{ "-p 12x", "'12x'", "" },
		{ "-p 99999999999", "'99999999999'", "" },
		{ "-p 2147483648", "'2147483648'", "" },
		{ "-p 1 -p 2", "--pid is given twice", "" },
		{ "-p 1 -d soon", "--duration: 'soon'", "" },
		{ "-p 1 --gil-timeout 0", "--gil-timeout: '0'", "" },
		{ "-p 1 --ring-size 1", "--ring-size: '1'", "" },
		{ "-p 1 --ring-size 5GiB", "--ring-size: '5GiB'", "" },
		{ "-p 1 --output=", "--output: ''", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vz_opts opts;
		struct vz_err err;

		cr_assert_eq(parse(cases[i].line, &opts, &err) < 0, 1, "%s", cases[i].line);
		cr_assert_eq(err.exit, VZ_EXIT_USAGE, "%s", cases[i].line);
		cr_assert_not_null(strstr(err.what, cases[i].what), "%s: %s", cases[i].line,
				   err.what);
		cr_assert_not_null(strstr(err.hint, cases[i].hint), "%s: %s", cases[i].line,
				   err.hint);
	}
}

/* ---- environment ---- */

Test(opts, environment_is_weaker)
{
	struct vz_opts opts;
	struct vz_err err;

	setenv("VIZATTACH_PID", "7", 1);
	setenv("VIZATTACH_DURATION", "5", 1);
	setenv("VIZATTACH_RING_SIZE", "2MiB", 1);
	setenv("VIZATTACH_NO_C_CALLS", "yes", 1);
	setenv("VIZATTACH_QUIET", "0", 1);
	setenv("VIZATTACH_VERBOSE", "2", 1);
	setenv("VIZATTACH_OUTPUT", "", 1);
	cr_assert_eq(parse("-d 6", &opts, &err), 0);
	cr_assert_eq(opts.pid, 7);
	cr_assert_eq(opts.duration_ns, 6000000000);
	cr_assert_eq(opts.ring_bytes, 2 << 20);
	cr_assert(!opts.c_calls && !opts.quiet);
	cr_assert_eq(opts.verbose, 2);
	cr_assert_null(opts.output_given);
	setenv("VIZATTACH_QUIET", "maybe", 1);
	cr_assert_lt(parse("-d 6", &opts, &err), 0);
	cr_assert_eq(err.exit, VZ_EXIT_USAGE);
	cr_assert_str_eq(err.hint, "unset VIZATTACH_QUIET");
}

/* ---- output ---- */

Test(opts, output_names)
{
	static const struct {
		const char *line, *comm, *start, *end;
	} cases[] = {
		{ "-p 42", "python3.11", "vizattach-python3.11-42-2", ".viz" },
		{ "-p 42", "../a b/c", "vizattach-_._a_b_c-42-2", ".viz" },
		{ "-p 42", "", "vizattach--42-2", ".viz" },
		{ "-p 42 -o x.viz", "c", "x.viz", "x.viz" },
		{ "-p 42 -o %p-%%-%t.json", "c", "42-%-2", ".json" },
		{ "-p 42 -o /", "c", "/vizattach-c-42-2", ".viz" },
		{ "-p 42 -o /.", "c", "/./vizattach-c-42-2", ".viz" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vz_opts opts;
		struct vz_err err;
		size_t len;

		cr_assert_eq(parse(cases[i].line, &opts, &err), 0);
		cr_assert_eq(vz_opts_output(&opts, cases[i].comm, &err), 0);
		len = strlen(opts.output);
		cr_assert_eq(strncmp(opts.output, cases[i].start, strlen(cases[i].start)), 0, "%s",
			     opts.output);
		cr_assert_str_eq(opts.output + len - strlen(cases[i].end), cases[i].end);
	}
}

Test(opts, bad_output_names)
{
	static char big[5000];
	struct vz_opts opts;
	struct vz_err err;

	cr_assert_eq(parse("-p 42 -o %x", &opts, &err), 0);
	cr_assert_eq(vz_opts_output(&opts, "c", &err), -EINVAL);
	cr_assert_eq(err.exit, VZ_EXIT_USAGE);
	cr_assert_eq(parse("-p 42 -o a%", &opts, &err), 0);
	cr_assert_eq(vz_opts_output(&opts, "c", &err), -EINVAL);
	memset(big, 'a', sizeof(big) - 1);
	opts.output_given = big;
	cr_assert_eq(vz_opts_output(&opts, "c", &err), -ENAMETOOLONG);
}

/* ---- help ---- */

static void check_help(enum vz_verb verb, int max_lines)
{
	const char *help = vz_opts_help(verb);
	int lines = 0, examples = 0;

	for (unsigned i = 0; vz_opts_name(verb, i); i++) {
		char name[64];

		snprintf(name, sizeof(name), "--%s", vz_opts_name(verb, i));
		cr_assert_not_null(strstr(help, name), "%s", name);
	}
	cr_assert_not_null(strstr(help, "examples:"));
	for (const char *line = strstr(help, "examples:"); line;
	     line = strstr(line, "\n  vizattach ")) {
		line++;
		examples++;
	}
	for (const char *line = help; *line; lines++) {
		size_t len = strcspn(line, "\n");

		cr_assert_leq(len, 80, "%.*s", (int)len, line);
		line += len + (line[len] != '\0');
	}
	cr_assert_leq(lines, max_lines);
	cr_assert_eq(examples - 1, 2);
}

Test(opts, help_fits_a_screen_and_names_everything)
{
	check_help(VZ_VERB_RECORD, 40);
	check_help(VZ_VERB_DOCTOR, 24);
	check_help(VZ_VERB_PS, 24);
	check_help(VZ_VERB_SNAPSHOT, 24);
}

/* ---- verbs ---- */

Test(opts, verbs_take_their_own_options)
{
	static const struct {
		const char *line;
		int rc;
		enum vz_verb verb, topic;
	} cases[] = {
		{ "doctor", 0, VZ_VERB_DOCTOR, 0 },
		{ "doctor --pid 7 --json --ring-size 1MiB --override-limits --override-opt-out", 0,
		  VZ_VERB_DOCTOR, 0 },
		{ "doctor -p7", 0, VZ_VERB_DOCTOR, 0 },
		{ "doctor --duration 1s", -EINVAL, VZ_VERB_DOCTOR, 0 },
		{ "doctor -d 1s", -EINVAL, VZ_VERB_DOCTOR, 0 },
		{ "doctor 7", -EINVAL, VZ_VERB_DOCTOR, 0 },
		{ "doctor --help", 0, VZ_VERB_HELP, VZ_VERB_DOCTOR },
		{ "ps", 0, VZ_VERB_PS, 0 },
		{ "snapshot -p 7 --locals", 0, VZ_VERB_SNAPSHOT, 0 },
		{ "snapshot --core c --native", 0, VZ_VERB_SNAPSHOT, 0 },
		{ "snapshot -h", 0, VZ_VERB_HELP, VZ_VERB_SNAPSHOT },
		{ "ps --json", 0, VZ_VERB_PS, 0 },
		{ "ps --pid 7", -EINVAL, VZ_VERB_PS, 0 },
		{ "ps -h", 0, VZ_VERB_HELP, VZ_VERB_PS },
		{ "ps --version", 0, VZ_VERB_VERSION, 0 },
		{ "--help", 0, VZ_VERB_HELP, VZ_VERB_RECORD },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vz_opts opts;
		struct vz_err err;

		cr_assert_eq(parse(cases[i].line, &opts, &err), cases[i].rc, "%s", cases[i].line);
		cr_assert_eq(opts.verb, cases[i].verb, "%s", cases[i].line);
		cr_assert_eq(opts.topic, cases[i].topic, "%s", cases[i].line);
	}
}

Test(opts, variables_of_other_verbs_do_not_count)
{
	struct vz_opts opts;
	struct vz_err err;

	setenv("VIZATTACH_DURATION", "nonsense", 1);
	setenv("VIZATTACH_JSON", "1", 1);
	cr_assert_eq(parse("ps", &opts, &err), 0);
	cr_assert(opts.json);
}
