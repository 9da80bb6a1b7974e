/* SPDX-License-Identifier: MIT */
/* vizview - looks at traces.  Verbs to options to functions to exit status. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "viewer/diff.h"
#include "viewer/export.h"
#include "viewer/human.h"
#include "viewer/index.h"
#include "viewer/open.h"
#include "viewer/report.h"
#include "viewer/tree.h"

enum {
	EXIT_USAGE = 2,
	DEFAULT_TOP = 30,
	PATH_BYTES = 4096,
};

static const char help[] =
	"vizview - look at a trace that vizattach recorded\n"
	"\n"
	"  vizview FILE                     what it is, and how to look at it\n"
	"  vizview info FILE [--json]       duration, threads, calls, losses, damage\n"
	"  vizview report FILE [options]    which functions took the time\n"
	"      --sort self|total|calls      order of the rows (default: self)\n"
	"      --top N                      rows, 0 for all (default: 30)\n"
	"      --threads                    a table for each thread\n"
	"      --json                       for programs\n"
	"  vizview tree FILE [options]      who called whom, for how long\n"
	"      --thread NAME-PART           only threads with this in their name\n"
	"      --depth N                    so many levels, 0 for all (default: 0)\n"
	"      --min-percent P              fold what took less (default: 1); --json\n"
	"  vizview diff A B [options]       which functions are slower in B, beyond noise\n"
	"      --min-percent P              as in tree; --json\n"
	"  vizview export FILE --format F   write it in another format: html (a page),\n"
	"                                   perfetto, json (as VizTracer's), speedscope,\n"
	"                                   collapsed (for flamegraph.pl), pstats, csv\n"
	"  -o, --output OUT                 where to; - for standard output\n"
	"                                   (default: FILE with the format's extension)\n"
	"      --limit N                    leave out what is later than about N calls,\n"
	"                                   0: nothing (default: 1,000,000 in html and\n"
	"                                   speedscope)\n"
	"      --force                      replace OUT if it exists\n"
	"  vizview import FILE [-o OUT]     make a trace of Chrome's JSON (VizTracer);\n"
	"                                   the verbs above take it as it is, too\n"
	"  vizview index FILE [-o OUT]      make what a large one needs to open at once\n"
	"  -h, --help   --version\n"
	"\n"
	"Exit status: 0 done, 1 could not, 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  vizview report app.viz --sort total --top 10\n"
	"  vizview export app.viz --format html -o app.html\n";

struct options {
	const char *file;
	const char *trace; /* the same, or where the import of it is kept */
	const char *other; /* second trace, of verbs that compare */
	const char *format;
	const char *output;
	bool force;
	bool has_limit;
	uint64_t limit;
	struct vz_report_options report;
	struct vz_tree_options tree;
};

struct verb {
	const char *name;
	const char *allowed; /* short names of its options, see long_options */
	int (*run)(struct vz_reader *r, const struct options *options, struct vz_trouble *trouble);
};

static const struct option long_options[] = {
	{ "sort", required_argument, NULL, 's' },        { "top", required_argument, NULL, 'n' },
	{ "threads", no_argument, NULL, 't' },           { "json", no_argument, NULL, 'j' },
	{ "format", required_argument, NULL, 'f' },      { "output", required_argument, NULL, 'o' },
	{ "limit", required_argument, NULL, 'l' },       { "force", no_argument, NULL, 'F' },
	{ "thread", required_argument, NULL, 'T' },      { "depth", required_argument, NULL, 'd' },
	{ "min-percent", required_argument, NULL, 'm' }, { "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },           { 0 },
};

/* ---- verbs ---- */

enum {
	COLUMNS_UNKNOWN = 80,
};

static bool colours_wanted(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

static uint32_t terminal_columns(void)
{
	struct winsize size;

	return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col
										     : 0;
}

static int no_memory(struct vz_trouble *trouble)
{
	return vz_trouble_set(trouble, ENOMEM, "out of memory");
}

static int run_report(struct vz_reader *r, const struct options *options,
		      struct vz_trouble *trouble)
{
	struct vz_report_options report = options->report;
	struct vz_out out;
	int rc = vz_out_open(&out, "-", trouble);

	if (rc < 0)
		return rc;
	report.columns = terminal_columns();
	rc = vz_report(r, &report, &out);
	if (rc < 0) {
		vz_out_abandon(&out);
		return no_memory(trouble);
	}
	return vz_out_close(&out, trouble);
}

static int run_info(struct vz_reader *r, const struct options *options, struct vz_trouble *trouble)
{
	struct vz_out out;
	int rc = vz_out_open(&out, "-", trouble);

	if (rc < 0)
		return rc;
	rc = vz_info(r, options->report.json, &out);
	if (rc < 0) {
		vz_out_abandon(&out);
		return no_memory(trouble);
	}
	return vz_out_close(&out, trouble);
}

static int run_tree(struct vz_reader *r, const struct options *options, struct vz_trouble *trouble)
{
	struct vz_tree_options tree = options->tree;
	struct vz_out out;
	int rc = vz_out_open(&out, "-", trouble);

	if (rc < 0)
		return rc;
	tree.columns = terminal_columns();
	tree.columns = tree.columns ? tree.columns : COLUMNS_UNKNOWN;
	tree.colours = colours_wanted();
	tree.json = options->report.json;
	rc = vz_tree(r, &tree, &out, trouble);
	if (rc < 0) {
		vz_out_abandon(&out);
		return rc;
	}
	return vz_out_close(&out, trouble);
}

static int run_diff(struct vz_reader *r, const struct options *options, struct vz_trouble *trouble)
{
	struct vz_diff_options diff = {
		.file = { options->file, options->other },
		.min_percent = options->tree.min_percent,
		.columns = terminal_columns(),
		.colours = colours_wanted(),
		.json = options->report.json,
	};
	struct vz_reader *other;
	struct vz_out out;
	char trace[VZ_OPEN_PATH_BYTES];
	int rc = vz_open(options->other, trace, &other, trouble);

	if (rc < 0)
		return rc;
	diff.columns = diff.columns ? diff.columns : COLUMNS_UNKNOWN;
	rc = vz_out_open(&out, "-", trouble);
	if (rc == 0) {
		rc = vz_diff(r, other, &diff, &out);
		if (rc < 0) {
			vz_out_abandon(&out);
			no_memory(trouble);
		} else {
			rc = vz_out_close(&out, trouble);
		}
	}
	vz_reader_free(other);
	return rc;
}

/* There is no server yet; say so, and what works instead. */
static int run_look(struct vz_reader *r, const struct options *options, struct vz_trouble *trouble)
{
	int rc = run_info(r, options, trouble);

	if (rc < 0)
		return rc;
	fprintf(stderr,
		"\nvizview cannot serve the timeline itself yet. To see it:\n"
		"  vizview export %s --format html       then open the page in a browser\n"
		"  vizview report %s                     the table of functions, here\n",
		options->file, options->file);
	return 0;
}

/* Where to write: OUTPUT, or FILE with another extension. */
static int output_path(const struct options *options, const struct vz_export *e, char *path,
		       struct vz_trouble *trouble)
{
	size_t len = strlen(options->file);
	int n;

	if (len > 4 && !strcmp(options->file + len - 4, ".viz"))
		len -= 4;
	n = options->output
		    ? snprintf(path, PATH_BYTES, "%s", options->output)
		    : snprintf(path, PATH_BYTES, "%.*s%s", (int)len, options->file, e->extension);
	return n < PATH_BYTES ? 0 : vz_trouble_set(trouble, ENAMETOOLONG, "the name is too long");
}

static int check_output(const char *path, const struct options *options, struct vz_trouble *trouble)
{
	struct stat in, out;
	int rc;

	if (!strcmp(path, "-") || stat(path, &out) < 0 || !S_ISREG(out.st_mode))
		return 0;
	if (stat(options->file, &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino) {
		rc = vz_trouble_set(trouble, EEXIST, "cannot write %s", path);
		vz_trouble_why(trouble, "it is the trace itself");
		return rc;
	}
	if (options->force)
		return 0;
	rc = vz_trouble_set(trouble, EEXIST, "cannot write %s", path);
	vz_trouble_why(trouble, "it exists");
	vz_trouble_try(trouble, "--force to replace it, or another name with -o");
	return rc;
}

/* Not every format has a place for this. */
static void tell_losses(const struct vz_reader *r)
{
	const struct vz_file_end *end = vz_reader_end(r);
	struct vz_damage damage;

	vz_reader_damage(r, &damage);
	if (end && end->lost)
		fprintf(stderr, "%s records were lost while recording: counts are lower bounds\n",
			vz_human_count(end->lost).s);
	if (damage.cut)
		fprintf(stderr, "the recording was cut off: this is what it holds up to there\n");
	if (damage.damaged_blocks || damage.missing_blocks || damage.skipped_bytes)
		fprintf(stderr, "parts of the file cannot be read: see vizview info\n");
}

static void tell_export(const struct vz_reader *r, const char *path, uint64_t bytes, uint64_t limit)
{
	const struct vz_file_end *end = vz_reader_end(r);
	struct vz_totals totals;

	vz_reader_totals(r, &totals);
	fprintf(stderr, "%s: %s\n", path, vz_human_bytes(bytes).s);
	if (vz_export_until(r, limit))
		fprintf(stderr,
			"only about the first %llu of %llu calls are in it; --limit 0 takes all\n",
			(unsigned long long)limit,
			(unsigned long long)(end ? end->calls : totals.calls));
	tell_losses(r);
}

static int run_export(struct vz_reader *r, const struct options *options,
		      struct vz_trouble *trouble)
{
	const struct vz_export *e = vz_export_find(options->format);
	const struct vz_export_options limits = {
		.max_calls = options->has_limit ? options->limit : e->max_calls,
	};
	char path[PATH_BYTES];
	struct vz_out out;
	uint64_t bytes;
	int rc = output_path(options, e, path, trouble);

	if (rc == 0)
		rc = check_output(path, options, trouble);
	if (rc == 0)
		rc = vz_out_open(&out, path, trouble);
	if (rc < 0)
		return rc;
	rc = e->write(r, &limits, &out);
	bytes = out.bytes;
	if (rc < 0 && !out.error) {
		vz_out_abandon(&out);
		return no_memory(trouble);
	}
	rc = vz_out_close(&out, trouble);
	if (rc == 0)
		tell_export(r, path, bytes, limits.max_calls);
	return rc;
}

/* What it cost, on standard error: there is no data to print. */
static void tell_index(const struct vz_index_made *made)
{
	double calls = made->entries ? (double)made->entries : 1;

	fprintf(stderr, "%s: %s for %s calls, made in %.2f s\n", made->path,
		vz_human_bytes(made->bytes).s, vz_human_count(made->entries).s, made->seconds);
	fprintf(stderr, "bytes a call: trace %.2f, index %.2f, both %.2f\n",
		(double)made->trace_bytes / calls, (double)made->bytes / calls,
		(double)(made->trace_bytes + made->bytes) / calls);
}

static int run_index(struct vz_reader *r, const struct options *options, struct vz_trouble *trouble)
{
	const struct vz_index_options index = { .out = options->output };
	struct vz_index_made made;
	int rc = vz_index_build(options->trace, &index, &made, trouble);

	(void)r;
	if (rc == 0)
		tell_index(&made);
	return rc;
}

/* Begins without a trace. */
static int run_import(struct vz_reader *r, const struct options *options,
		      struct vz_trouble *trouble)
{
	(void)r;
	return vz_open_import(options->file, options->output, options->force, trouble);
}

static const struct verb verbs[] = {
	{ "info", "j", run_info },  { "report", "sntj", run_report }, { "tree", "Tdmj", run_tree },
	{ "diff", "mj", run_diff }, { "export", "folF", run_export }, { "index", "o", run_index },
	{ "import", "oF", run_import }, { 0 },
};

static const struct verb look = { "", "", run_look };

/* ---- options ---- */

static int usage(struct vz_trouble *trouble, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int usage(struct vz_trouble *trouble, const char *fmt, ...)
{
	va_list ap;

	vz_trouble_set(trouble, EINVAL, "cannot do this");
	va_start(ap, fmt);
	vsnprintf(trouble->why, sizeof(trouble->why), fmt, ap);
	va_end(ap);
	vz_trouble_try(trouble, "vizview --help");
	return -EINVAL;
}

static bool parse_number(const char *s, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(s, &end, 10);
	return *s >= '0' && *s <= '9' && !*end && !errno;
}

static bool parse_percent(const char *s, double *ret)
{
	char *end;

	*ret = strtod(s, &end);
	return *s >= '0' && *s <= '9' && !*end && *ret >= 0 && *ret <= 100;
}

static int parse_order(const char *s, enum vz_stats_order *ret)
{
	static const char *const names[] = {
		[VZ_ORDER_SELF] = "self",
		[VZ_ORDER_TOTAL] = "total",
		[VZ_ORDER_CALLS] = "calls",
	};

	for (int i = 0; i < 3; i++) {
		if (!strcmp(s, names[i])) {
			*ret = (enum vz_stats_order)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int take_option(int c, struct options *o, struct vz_trouble *trouble)
{
	uint64_t n;

	switch (c) {
	case 's':
		if (parse_order(optarg, &o->report.order) < 0)
			return usage(trouble, "--sort takes self, total or calls, not %s", optarg);
		return 0;
	case 'n':
		if (!parse_number(optarg, &n) || n > UINT32_MAX)
			return usage(trouble, "--top takes a number, not %s", optarg);
		o->report.top = (uint32_t)n;
		return 0;
	case 'l':
		o->has_limit = true;
		if (!parse_number(optarg, &o->limit))
			return usage(trouble, "--limit takes a number, not %s", optarg);
		return 0;
	case 'f':
		if (!vz_export_find(optarg))
			return usage(trouble, "there is no format %s", optarg);
		o->format = optarg;
		return 0;
	case 'T':
		o->tree.thread = optarg;
		return 0;
	case 'd':
		if (!parse_number(optarg, &n) || n > UINT32_MAX)
			return usage(trouble, "--depth takes a number, not %s", optarg);
		o->tree.depth = (uint32_t)n;
		return 0;
	case 'm':
		if (!parse_percent(optarg, &o->tree.min_percent))
			return usage(trouble, "--min-percent takes 0 to 100, not %s", optarg);
		return 0;
	case 'o':
		o->output = optarg;
		return 0;
	case 't':
		o->report.threads = true;
		return 0;
	case 'j':
		o->report.json = true;
		return 0;
	default:
		o->force = true;
		return 0;
	}
}

/* 0; 1: help or version was all that was wanted; below 0: wrong usage. */
static int parse(int argc, char **argv, const struct verb *verb, struct options *o,
		 struct vz_trouble *trouble)
{
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":o:h", long_options, NULL)) != -1) {
		if (c == 'h' || c == 'V') {
			fputs(c == 'h' ? help : "vizview " VZ_VERSION "\n", stdout);
			return 1;
		}
		if (c == ':')
			return usage(trouble, "%s needs a value", argv[optind - 1]);
		if (c == '?')
			return usage(trouble, "there is no option %s", argv[optind - 1]);
		if (!strchr(verb->allowed, c))
			return usage(trouble, "%s does not belong to this verb", argv[optind - 1]);
		rc = take_option(c, o, trouble);
	}
	if (rc < 0)
		return rc;
	if (optind == argc)
		return usage(trouble, "no trace is named");
	if (verb->run == run_diff && optind + 2 == argc)
		o->other = argv[--argc];
	else if (verb->run == run_diff)
		return usage(trouble, "diff compares two traces");
	if (optind + 1 < argc)
		return usage(trouble, "one trace at a time; %s is too many", argv[optind + 1]);
	o->file = argv[optind];
	if (verb->run == run_export && !o->format)
		return usage(trouble, "--format is missing: html, perfetto, json, speedscope, "
				      "collapsed, pstats or csv");
	return 0;
}

static const struct verb *find_verb(int *argc, char ***argv)
{
	for (const struct verb *v = verbs; v->name && *argc > 1; v++) {
		if (!strcmp((*argv)[1], v->name)) {
			--*argc;
			++*argv;
			return v;
		}
	}
	return &look;
}

int main(int argc, char **argv)
{
	struct options options = { .report = { .top = DEFAULT_TOP }, .tree = { .min_percent = 1 } };
	struct vz_trouble trouble;
	struct vz_reader *reader = NULL;
	char trace[VZ_OPEN_PATH_BYTES];
	const struct verb *verb;
	int rc;

	/* A reader that goes away shows up as EPIPE, where the output can be tidied up. */
	signal(SIGPIPE, SIG_IGN);
	verb = find_verb(&argc, &argv);
	rc = parse(argc, argv, verb, &options, &trouble);
	if (rc < 0)
		vz_trouble_print(&trouble);
	if (rc != 0)
		return rc < 0 ? EXIT_USAGE : 0;
	options.trace = trace;
	rc = verb->run == run_import ? 0 : vz_open(options.file, trace, &reader, &trouble);
	if (rc == 0) {
		rc = verb->run(reader, &options, &trouble);
		vz_reader_free(reader);
	}
	if (rc == -EPIPE)
		return 0; /* whoever read our output has seen enough */
	if (rc < 0)
		vz_trouble_print(&trouble);
	return rc < 0 ? 1 : 0;
}
