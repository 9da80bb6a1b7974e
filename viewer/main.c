/* SPDX-License-Identifier: MIT */
/* vizview - looks at traces.  Options to functions to exit status. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "viewer/diff.h"
#include "viewer/export/export.h"
#include "viewer/human.h"
#include "viewer/index/index.h"
#include "viewer/open.h"
#include "viewer/options.h"
#include "viewer/report.h"
#include "viewer/serve/serve.h"
#include "viewer/tree.h"

enum {
	EXIT_USAGE = 2,
	PATH_BYTES = 4096,
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

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path;
}

static int no_memory(struct vz_trouble *trouble)
{
	return vz_trouble_set(trouble, ENOMEM, "out of memory");
}

static int run_report(struct vz_reader *r, const struct vz_options *options,
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

static int run_info(struct vz_reader *r, const struct vz_options *options,
		    struct vz_trouble *trouble)
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

static int run_tree(struct vz_reader *r, const struct vz_options *options,
		    struct vz_trouble *trouble)
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

static int run_diff(struct vz_reader *r, const struct vz_options *options,
		    struct vz_trouble *trouble)
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

static int run_look(struct vz_reader *r, const struct vz_options *options,
		    struct vz_trouble *trouble)
{
	char other[VZ_OPEN_PATH_BYTES];
	const struct vz_serve_options serve = {
		.path = options->trace,
		.name = base_name(options->file),
		.other = options->other ? other : NULL,
		.other_name = base_name(options->other),
		.port = options->port,
		.no_open = options->no_open,
	};
	struct vz_reader *second;
	int rc;

	/* It is read by a child later, but what is wrong with it is told now. */
	if (options->other) {
		rc = vz_open(options->other, other, &second, trouble);
		if (rc < 0)
			return rc;
		vz_reader_free(second);
	}
	return vz_serve(r, &serve, trouble);
}

/* Where to write: OUTPUT, or FILE with another extension. */
static int output_path(const struct vz_options *options, const struct vz_export *e, char *path,
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

static int check_output(const char *path, const struct vz_options *options,
			struct vz_trouble *trouble)
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

/* A page of everything may be more than a browser opens; who wants that says so. */
static int check_size(const struct vz_reader *r, const struct vz_export *e,
		      const struct vz_options *options, struct vz_trouble *trouble)
{
	struct vz_totals totals;
	int rc;

	vz_reader_totals(r, &totals);
	if (!e->asks || options->has_limit || totals.calls <= e->max_calls)
		return 0;
	rc = vz_trouble_set(trouble, EFBIG, "%s would be a page of about %s", options->file,
			    vz_human_bytes(totals.calls * e->call_bytes_x10 / 10).s);
	vz_trouble_why(trouble, "it has %s calls; browsers open %s quickly",
		       vz_human_count(totals.calls).s, vz_human_count(e->max_calls).s);
	vz_trouble_try(trouble, "--limit %llu for the first calls, --limit 0 for all of them",
		       (unsigned long long)e->max_calls);
	return rc;
}

static int show_progress(void *ctx, double done)
{
	int *percent = ctx, now = (int)(done * 100);

	if (now != *percent)
		fprintf(stderr, "\rmaking the index: %d %%", now);
	*percent = now;
	return 0;
}

static int no_export(int rc, const char *path, struct vz_trouble *trouble)
{
	vz_trouble_set(trouble, -rc, "cannot write %s", path);
	vz_trouble_why(trouble, "%s", strerror(-rc));
	return rc;
}

/* Write it to PATH; BYTES: how long it became. */
static int write_export(struct vz_reader *r, const struct vz_export *e,
			struct vz_export_options *how, const char *path, uint64_t *bytes)
{
	struct vz_out out;
	int rc = vz_out_open(&out, path, how->trouble), percent = -1;

	if (rc < 0)
		return rc;
	if (isatty(STDERR_FILENO)) {
		how->progress = show_progress;
		how->ctx = &percent;
	}
	rc = e->write(r, how, &out);
	if (percent >= 0)
		fprintf(stderr, "\r\033[K");
	*bytes = out.bytes;
	if (rc < 0 && !out.error) {
		vz_out_abandon(&out);
		if (rc == -ENOMEM)
			return no_memory(how->trouble);
		return how->trouble->what[0] ? rc : no_export(rc, path, how->trouble);
	}
	return vz_out_close(&out, how->trouble);
}

static struct vz_select select_of(const struct vz_reader *r, const struct vz_options *options)
{
	struct vz_select select = { .thread = options->tree.thread, .function = options->function };
	uint64_t t0_ns, t1_ns;

	vz_reader_range(r, &t0_ns, &t1_ns);
	if (options->range_from_ns)
		select.from_ns = t0_ns + options->range_from_ns;
	if (options->range_to_ns)
		select.until_ns = t0_ns + options->range_to_ns;
	return select;
}

static int run_export(struct vz_reader *r, const struct vz_options *options,
		      struct vz_trouble *trouble)
{
	const struct vz_export *e = vz_export_find(options->format);
	struct vz_export_options how = {
		.select = select_of(r, options),
		.max_calls = options->has_limit ? options->limit : e->max_calls,
		.path = options->trace,
		.name = base_name(options->file),
		.with_source = options->with_source,
		.other_name = base_name(options->other),
		.trouble = trouble,
	};
	char path[PATH_BYTES], other[VZ_OPEN_PATH_BYTES];
	uint64_t bytes;
	int rc = output_path(options, e, path, trouble);

	if (rc == 0)
		rc = check_output(path, options, trouble);
	if (rc == 0)
		rc = vz_select_check(&how.select, r, trouble);
	if (rc == 0)
		rc = vz_select_any(&how.select) ? 0 : check_size(r, e, options, trouble);
	if (rc == 0 && options->other)
		rc = vz_open(options->other, other, &how.other, trouble);
	if (rc == 0)
		rc = write_export(r, e, &how, path, &bytes);
	if (rc == 0)
		tell_export(r, path, bytes, how.max_calls);
	vz_reader_free(how.other);
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

static int run_index(struct vz_reader *r, const struct vz_options *options,
		     struct vz_trouble *trouble)
{
	const struct vz_index_options index = { .out = options->output };
	struct vz_index_made made;
	int rc = 0;

	(void)r;
	if (options->output && !strcmp(options->output, "-"))
		return vz_trouble_set(trouble, EINVAL, "an index cannot go to standard output");
	if (options->output)
		rc = check_output(options->output, options, trouble);
	if (rc == 0)
		rc = vz_index_build(options->trace, &index, &made, trouble);
	if (rc == 0)
		tell_index(&made);
	return rc;
}

/* Begins without a trace. */
static int run_import(struct vz_reader *r, const struct vz_options *options,
		      struct vz_trouble *trouble)
{
	(void)r;
	return vz_open_import(options->file, options->output, options->force, trouble);
}

typedef int run_verb(struct vz_reader *r, const struct vz_options *options,
		     struct vz_trouble *trouble);

static run_verb *const verbs[VZ_VERBS] = {
	[VZ_VERB_LOOK] = run_look,   [VZ_VERB_INFO] = run_info,     [VZ_VERB_REPORT] = run_report,
	[VZ_VERB_TREE] = run_tree,   [VZ_VERB_DIFF] = run_diff,     [VZ_VERB_EXPORT] = run_export,
	[VZ_VERB_INDEX] = run_index, [VZ_VERB_IMPORT] = run_import,
};

int main(int argc, char **argv)
{
	struct vz_options options;
	struct vz_trouble trouble = { 0 };
	struct vz_reader *reader = NULL;
	char trace[VZ_OPEN_PATH_BYTES];
	int rc;

	/* A reader that goes away shows up as EPIPE, where the output can be tidied up. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* and a file that may not grow as EFBIG */
	rc = vz_options_parse(argc, argv, &options, &trouble);
	if (rc < 0)
		vz_trouble_print(&trouble);
	if (rc != 0)
		return rc < 0 ? EXIT_USAGE : 0;
	options.trace = trace;
	rc = options.verb == VZ_VERB_IMPORT ? 0 : vz_open(options.file, trace, &reader, &trouble);
	if (rc == 0) {
		rc = verbs[options.verb](reader, &options, &trouble);
		vz_reader_free(reader);
	}
	if (rc == -EPIPE)
		return 0; /* whoever read our output has seen enough */
	if (rc < 0)
		vz_trouble_print(&trouble);
	return rc < 0 ? 1 : 0;
}
