/* SPDX-License-Identifier: MIT */
#include "viewer/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/export/export.h"

enum {
	DEFAULT_TOP = 30,
};

static const char help[] =
	"vizview - look at a trace that vizattach recorded\n"
	"\n"
	"  vizview FILE [FILE_B]            show it in the browser, compared with FILE_B\n"
	"      --port N                     port on 127.0.0.1 (default: one that is free)\n"
	"      --no-open                    only print the address\n"
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
	"                                   collapsed (flamegraph.pl), pstats, csv, viz\n"
	"  -o, --output OUT                 where to; - for standard output\n"
	"                                   (default: FILE with the format's extension)\n"
	"      --limit N                    leave out what is later than about N calls,\n"
	"                                   0: nothing (default: 1,000,000 in speedscope;\n"
	"                                   html asks for it above 10,000,000)\n"
	"      --range FROM-TO              only this part of the time: 1.2s-3s, 500ms-\n"
	"      --thread, --function NAME-PART   only these threads; these and all below\n"
	"      --with-source                in html: the source files, as far as there\n"
	"      --compare B                  in html: what is slower in the trace B\n"
	"      --force                      replace OUT if it exists\n"
	"  vizview import FILE [-o OUT]     make a trace of Chrome's JSON (VizTracer);\n"
	"                                   the verbs above take it as it is, too\n"
	"  vizview index FILE [-o OUT]      make what a large one needs to open at once\n"
	"  -h, --help   --version\n"
	"\n"
	"Exit status: 0 done, 1 could not, 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  vizview app.viz\n"
	"  vizview export app.viz --format html -o app.html\n";

static const struct option long_options[] = {
	{ "sort", required_argument, NULL, 's' },        { "top", required_argument, NULL, 'n' },
	{ "threads", no_argument, NULL, 't' },           { "json", no_argument, NULL, 'j' },
	{ "format", required_argument, NULL, 'f' },      { "output", required_argument, NULL, 'o' },
	{ "limit", required_argument, NULL, 'l' },       { "force", no_argument, NULL, 'F' },
	{ "thread", required_argument, NULL, 'T' },      { "depth", required_argument, NULL, 'd' },
	{ "min-percent", required_argument, NULL, 'm' }, { "port", required_argument, NULL, 'p' },
	{ "no-open", no_argument, NULL, 'O' },           { "with-source", no_argument, NULL, 'S' },
	{ "compare", required_argument, NULL, 'C' },     { "range", required_argument, NULL, 'r' },
	{ "function", required_argument, NULL, 'N' },    { "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },           { 0 },
};

struct verb {
	const char *name;
	const char *allowed; /* short names of its options, see long_options */
};

static const struct verb verbs[VZ_VERBS] = {
	[VZ_VERB_LOOK] = { "", "pO" },           [VZ_VERB_INFO] = { "info", "j" },
	[VZ_VERB_REPORT] = { "report", "sntj" }, [VZ_VERB_TREE] = { "tree", "Tdmj" },
	[VZ_VERB_DIFF] = { "diff", "mj" },       [VZ_VERB_EXPORT] = { "export", "folFSCrTN" },
	[VZ_VERB_INDEX] = { "index", "oF" },     [VZ_VERB_IMPORT] = { "import", "oF" },
};

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

/* "1.2s", "500ms", "3" (seconds); the end of it is at REST. */
static bool parse_time(const char *s, const char **rest, uint64_t *ns)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = { { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 60e9 } };
	size_t digits = strspn(s, "0123456789.");
	char number[32];
	double v, scale = 1e9;

	if (!digits || digits >= sizeof(number))
		return false;
	snprintf(number, sizeof(number), "%.*s", (int)digits, s);
	v = strtod(number, NULL);
	*rest = s + digits;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t n = strlen(units[i].name);

		if (!strncmp(*rest, units[i].name, n) && ((*rest)[n] == '-' || !(*rest)[n])) {
			scale = units[i].ns;
			*rest += n;
			break;
		}
	}
	if (v * scale > 1e18)
		return false;
	*ns = (uint64_t)(v * scale + 0.5);
	return true;
}

static bool parse_range(const char *s, struct vz_options *o)
{
	o->range_from_ns = o->range_to_ns = 0;
	if (*s != '-' && !parse_time(s, &s, &o->range_from_ns))
		return false;
	if (*s++ != '-')
		return false;
	if (*s && (!parse_time(s, &s, &o->range_to_ns) || *s))
		return false;
	return !o->range_to_ns || o->range_to_ns > o->range_from_ns;
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

static int take_option(int c, struct vz_options *o, struct vz_trouble *trouble)
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
	case 'r':
		if (!parse_range(optarg, o))
			return usage(trouble, "--range takes two times as 1.2s-3s, not %s", optarg);
		return 0;
	case 'N':
		o->function = optarg;
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
	case 'p':
		if (!parse_number(optarg, &n) || n > UINT16_MAX)
			return usage(trouble, "--port takes 0 to 65535, not %s", optarg);
		o->port = (uint16_t)n;
		return 0;
	case 'S':
		o->with_source = true;
		return 0;
	case 'C':
		o->other = optarg;
		return 0;
	case 'O':
		o->no_open = true;
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

static enum vz_verb find_verb(const char *name)
{
	for (int i = VZ_VERB_LOOK + 1; name && i < VZ_VERBS; i++)
		if (!strcmp(name, verbs[i].name))
			return (enum vz_verb)i;
	return VZ_VERB_LOOK;
}

int vz_options_parse(int argc, char **argv, struct vz_options *o, struct vz_trouble *trouble)
{
	int c, rc = 0;

	*o = (struct vz_options){ .report = { .top = DEFAULT_TOP }, .tree = { .min_percent = 1 } };
	o->verb = find_verb(argv[1]);
	if (o->verb != VZ_VERB_LOOK) {
		argc--;
		argv++;
	}
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
		if (!strchr(verbs[o->verb].allowed, c))
			return usage(trouble, "%s does not belong to this verb", argv[optind - 1]);
		rc = take_option(c, o, trouble);
	}
	if (rc < 0)
		return rc;
	if (optind == argc)
		return usage(trouble, "no trace is named");
	if ((o->verb == VZ_VERB_DIFF || o->verb == VZ_VERB_LOOK) && optind + 2 == argc)
		o->other = argv[--argc];
	else if (o->verb == VZ_VERB_DIFF)
		return usage(trouble, "diff compares two traces");
	if (optind + 1 < argc)
		return usage(trouble, "one trace at a time; %s is too many", argv[optind + 1]);
	o->file = argv[optind];
	if ((o->with_source || (o->verb == VZ_VERB_EXPORT && o->other)) && o->format &&
	    strcmp(o->format, "html") != 0)
		return usage(trouble,
			     "only a page has source text and a comparison: --format html");
	if (o->verb == VZ_VERB_EXPORT && !o->format)
		return usage(trouble, "--format is missing: html, perfetto, json, speedscope, "
				      "collapsed, pstats, csv or viz");
	return 0;
}
