/* SPDX-License-Identifier: MIT */
#include "viewer/open.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "viewer/cache.h"
#include "viewer/human.h"

enum {
	PERCENT = 100,
	MS = 1000000,
	QUIET_MS = 500, /* nothing is shown of what takes less */
};

struct progress {
	struct timespec begin;
	int shown; /* percent, -1: nothing yet */
};

static void show(void *ctx, double done)
{
	struct progress *p = ctx;
	struct timespec now;
	int percent = (int)(done * PERCENT);

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (percent == p->shown ||
	    (now.tv_sec - p->begin.tv_sec) * 1000 + (now.tv_nsec - p->begin.tv_nsec) / MS <
		    QUIET_MS)
		return;
	p->shown = percent;
	fprintf(stderr, "\rimporting %d %%", percent);
}

static struct vz_import_options begin(struct progress *p)
{
	*p = (struct progress){ .shown = -1 };
	clock_gettime(CLOCK_MONOTONIC, &p->begin);
	return (struct vz_import_options){
		.progress = isatty(STDERR_FILENO) ? show : NULL,
		.ctx = p,
	};
}

static void end(const struct progress *p)
{
	if (p->shown >= 0)
		fprintf(stderr, "\r\033[K");
}

int vz_open(const char *path, char *trace, struct vz_reader **ret, struct vz_trouble *trouble)
{
	struct progress p;
	struct vz_import_options options;
	int rc = 0;

	if (!vz_import_wanted(path)) {
		if (snprintf(trace, VZ_OPEN_PATH_BYTES, "%s", path) >= VZ_OPEN_PATH_BYTES)
			return vz_trouble_set(trouble, ENAMETOOLONG, "the name is too long");
		/* An import may be named like any trace. */
		if (vz_cache_has(path))
			(void)vz_cache_keep(path);
		return vz_reader_open(path, ret, trouble);
	}
	options = begin(&p);
	rc = vz_import_cached(path, &options, trace, VZ_OPEN_PATH_BYTES, trouble);
	end(&p);
	return rc < 0 ? rc : vz_reader_open(trace, ret, trouble);
}

/* FILE.json and FILE.json.gz as FILE.viz. */
static int beside(const char *path, char *out, struct vz_trouble *trouble)
{
	size_t n = strlen(path);
	int done;

	if (n > 3 && !strcmp(path + n - 3, ".gz"))
		n -= 3;
	if (n > 5 && !strncmp(path + n - 5, ".json", 5))
		n -= 5;
	done = snprintf(out, VZ_OPEN_PATH_BYTES, "%.*s.viz", (int)n, path);
	return done < VZ_OPEN_PATH_BYTES
		       ? 0
		       : vz_trouble_set(trouble, ENAMETOOLONG, "the name is too long");
}

static void tell(const char *out, const struct vz_import_summary *s, const struct progress *p)
{
	struct timespec now;
	struct stat st;
	double seconds;

	clock_gettime(CLOCK_MONOTONIC, &now);
	seconds = (double)(now.tv_sec - p->begin.tv_sec) +
		  (double)(now.tv_nsec - p->begin.tv_nsec) / 1e9;
	fprintf(stderr, "%s: %s events, %s in %.2f s\n", out, vz_human_count(s->events).s,
		vz_human_bytes(stat(out, &st) == 0 ? (uint64_t)st.st_size : 0).s, seconds);
	if (s->cut)
		fprintf(stderr, "the file was imported in part: %s\n", s->why);
	if (s->overlaps)
		fprintf(stderr,
			"%s calls do not nest in others of their thread: they are on tracks "
			"of their own\n",
			vz_human_count(s->overlaps).s);
	if (s->not_shown)
		fprintf(stderr, "%s events are not shown: vizview info says which\n",
			vz_human_count(s->not_shown).s);
}

int vz_open_import(const char *path, const char *out, bool force, struct vz_trouble *trouble)
{
	char made[VZ_OPEN_PATH_BYTES];
	struct vz_import_summary summary;
	struct vz_import_options options;
	struct progress p;
	int rc = out ? 0 : beside(path, made, trouble);

	if (rc < 0)
		return rc;
	out = out ? out : made;
	if (!force && access(out, F_OK) == 0) {
		rc = vz_trouble_set(trouble, EEXIST, "cannot write %s", out);
		vz_trouble_why(trouble, "it exists");
		vz_trouble_try(trouble, "--force to replace it, or another name with -o");
		return rc;
	}
	options = begin(&p);
	rc = vz_import(path, out, &options, &summary, trouble);
	end(&p);
	if (rc == 0)
		tell(out, &summary, &p);
	return rc;
}
