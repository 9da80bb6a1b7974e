/* SPDX-License-Identifier: MIT */
#include "viewer/import/import.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "viewer/cache.h"
#include "viewer/import/import_async.h"

enum {
	HEAD_BYTES = 64,
	PATH_BYTES = PATH_MAX,
};

bool vz_import_wanted(const char *path)
{
	unsigned char head[HEAD_BYTES];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd >= 0 ? read(fd, head, sizeof(head)) : -1, i = 0;

	if (fd >= 0)
		close(fd);
	if (n >= 2 && head[0] == 0x1f && head[1] == 0x8b)
		return true;
	if (n >= 3 && !memcmp(head, "\xef\xbb\xbf", 3))
		i = 3;
	while (i < n && strchr(" \t\r\n", head[i]) && head[i])
		i++;
	return i < n && (head[i] == '{' || head[i] == '[');
}

/* ---- one import ---- */

static bool callees_first(void *ctx)
{
	struct vz_importer *im = ctx;

	im->callees_first = im->nested_before >= im->nested_after;
	return im->callees_first;
}

static int init(struct vz_importer *im, const char *viz)
{
	im->min_ns = UINT64_MAX;
	im->spill = vz_spill_new(viz);
	if (!im->spill)
		return -errno;
	im->sort = vz_sort_new(viz, im->options ? im->options->sort_records : 0);
	im->async = vz_async_new();
	if (!im->sort || !im->async)
		return -ENOMEM;
	vz_sort_order(im->sort, callees_first, im);
	return 0;
}

static void fini(struct vz_importer *im)
{
	vz_import_names_fini(&im->names);
	vz_import_tracks_fini(&im->tracks);
	vz_sort_free(im->sort);
	vz_spill_free(im->spill);
	vz_import_async_free(im->async);
	vz_text_fini(&im->facts_text);
	free(im->sources);
}

static int not_a_trace(struct vz_importer *im)
{
	int rc = vz_trouble_set(im->trouble, EINVAL, "cannot import %s", im->path);

	if (im->summary.cut)
		vz_trouble_why(im->trouble, "%s", im->summary.why);
	else
		vz_trouble_why(im->trouble, "it is JSON, but holds no list of traceEvents");
	vz_trouble_try(im->trouble, "a .viz file, or Chrome's JSON as VizTracer, Perfetto and "
				    "PyTorch write it");
	return rc;
}

static int run(struct vz_importer *im, int fd)
{
	int rc = vz_import_read(im);

	if (rc < 0)
		return rc;
	if (!im->saw_events || (im->summary.cut && !im->summary.events))
		return not_a_trace(im);
	rc = vz_import_close(im);
	if (rc == 0)
		rc = vz_sort_finish(im->sort);
	if (rc == 0)
		rc = vz_spill_error(im->spill);
	return rc < 0 ? rc : vz_import_emit(im, fd);
}

static int cannot(struct vz_trouble *trouble, int rc, const char *what, const char *path)
{
	vz_trouble_set(trouble, -rc, "cannot %s %s", what, path);
	vz_trouble_why(trouble, "%s", strerror(-rc));
	if (rc == -ENOSPC || rc == -EDQUOT)
		vz_trouble_try(trouble, "free some space, or name another place with -o");
	return rc;
}

/* A name beside VIZ under which the new one is written. */
static int open_part(const char *viz, char *part)
{
	int fd;

	if (snprintf(part, PATH_BYTES, "%s.part-XXXXXX", viz) >= PATH_BYTES)
		return -ENAMETOOLONG;
	fd = mkostemp(part, O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * As it shall be, under its name.  On disk first: an import that is kept is believed by its name,
 * so one that a failure of power made of zeros would be a trace that cannot be opened, for ever.
 */
static int finish(int fd, const char *part, const char *viz, mode_t mode)
{
	if (fchmod(fd, mode) < 0 || fdatasync(fd) < 0 || rename(part, viz) < 0)
		return -errno;
	return 0;
}

static int import_to(struct vz_importer *im, const char *viz, int fd, const char *part)
{
	mode_t mask = umask(077);
	int rc = init(im, viz);

	umask(mask);
	if (rc == 0)
		rc = run(im, fd);
	if (rc == 0)
		rc = finish(fd, part, viz, 0666 & ~mask);
	if (rc < 0)
		unlink(part);
	return rc;
}

/* RET is the file, in use until it is closed. */
static int import(const char *path, const char *viz, const struct vz_import_options *options,
		  struct vz_import_summary *summary, int *ret, struct vz_trouble *trouble)
{
	struct vz_importer im = { .path = path, .options = options, .trouble = trouble };
	char part[PATH_BYTES];
	int rc;

	vz_trouble_set(trouble, EIO, "%s", "");
	if (access(path, R_OK) < 0)
		return cannot(trouble, -errno, "read", path);
	*ret = open_part(viz, part);
	if (*ret < 0)
		return cannot(trouble, *ret, "write", viz);
	if (vz_cache_has(viz))
		(void)vz_cache_hold(*ret);
	rc = import_to(&im, viz, *ret, part);
	fini(&im);
	if (summary)
		*summary = im.summary;
	if (rc < 0)
		close(*ret);
	if (rc < 0 && !trouble->what[0])
		return cannot(trouble, rc, "import", path);
	return rc;
}

int vz_import(const char *path, const char *viz, const struct vz_import_options *options,
	      struct vz_import_summary *ret, struct vz_trouble *trouble)
{
	int fd, rc = import(path, viz, options, ret, &fd, trouble);

	if (rc == 0)
		close(fd);
	return rc;
}

/* ---- the cache ---- */

static int cache_path(const char *path, const struct stat *st, char *viz, size_t size)
{
	char folder[PATH_BYTES], real[PATH_BYTES], state[128];
	const char *base;
	int rc = vz_cache_folder(folder), n;

	if (rc < 0)
		return rc;
	if (!realpath(path, real))
		return -errno;
	base = strrchr(real, '/') + 1;
	n = snprintf(state, sizeof(state), VZ_VERSION " %jd %jd.%09ld", (intmax_t)st->st_size,
		     (intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	n = snprintf(viz, size, "%s%.100s-%08x-%08x.viz", folder, base,
		     vz_import_hash(real, strlen(real)), vz_import_hash(state, (size_t)n));
	return (size_t)n < size ? 0 : -ENAMETOOLONG;
}

int vz_import_cached(const char *path, const struct vz_import_options *options, char *viz,
		     size_t size, struct vz_trouble *trouble)
{
	struct stat st;
	int rc, fd;

	if (stat(path, &st) < 0)
		return cannot(trouble, -errno, "read", path);
	rc = cache_path(path, &st, viz, size);
	if (rc < 0) {
		cannot(trouble, rc, "keep the import of", path);
		vz_trouble_try(trouble, "vizview import %s -o OUT.viz, then vizview OUT.viz", path);
		return rc;
	}
	/* What is imported now stays in use, too: nobody closes FD before the end. */
	if (vz_cache_keep(viz) < 0)
		rc = import(path, viz, options, NULL, &fd, trouble);
	if (rc == 0)
		vz_cache_prune(VZ_CACHE_LIMIT);
	if (rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG)
		vz_trouble_try(trouble, "vizview import %s -o OUT.viz, then vizview OUT.viz", path);
	return rc;
}
