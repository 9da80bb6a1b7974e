/* SPDX-License-Identifier: MIT */
/*
 * The file of an index: where it is, when it is believed, what becomes of it when the
 * build is ended, and the part of it that draws the whole trace.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/kit_index.h"
#include "viewer/index/index.h"

static char folder[64];

static void setup(void)
{
	strcpy(folder, "/tmp/vz-index-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	setenv("XDG_CACHE_HOME", folder, 1);
}

static void teardown(void)
{
	char command[256];

	snprintf(command, sizeof(command), "chmod -R u+w %s; rm -rf %s", folder, folder);
	cr_assert_eq(system(command), 0);
}

static const char *at(const char *name)
{
	static char paths[8][128];
	static int i;
	char *path = paths[i++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void write_file(const char *path, const uint8_t *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, p, n), (ssize_t)n);
	close(fd);
}

static uint8_t *read_file(const char *path, size_t *n)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	uint8_t *p;

	cr_assert_geq(fd, 0, "%s", path);
	fstat(fd, &st);
	*n = (size_t)st.st_size;
	p = malloc(*n + 1);
	cr_assert_eq(read(fd, p, *n), st.st_size);
	close(fd);
	return p;
}

static void make_trace(const char *path, uint64_t seed, uint32_t tracks)
{
	struct kit *kit = kit_new(40, seed);
	uint8_t *bytes;
	size_t n;

	for (uint32_t i = 0; i < tracks; i++) {
		struct kit_track *t = kit_track(kit, i + 1, 0);

		for (int k = 0; k < 20; k++) {
			kit_steps(t, 200);
			vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
		}
	}
	kit_finish(kit);
	bytes = kit_bytes(kit, &n);
	write_file(path, bytes, n);
	free(bytes);
	kit_free(kit);
}

static struct vz_reader *open_trace(const char *path)
{
	struct vz_trouble trouble;
	struct vz_reader *r;

	cr_assert_eq(vz_reader_open(path, &r, &trouble), 0, "%s: %s", trouble.what, trouble.why);
	return r;
}

static void build(const char *path, const char *out)
{
	const struct vz_index_options options = { .out = out };
	struct vz_trouble trouble;

	cr_assert_eq(vz_index_build(path, &options, NULL, &trouble), 0, "%s: %s", trouble.what,
		     trouble.why);
}

/* Whether there is an index for the trace that is believed. */
static bool believed(const char *path, const char *index)
{
	struct vz_reader *r = open_trace(path);
	struct vz_index *x = NULL;
	int rc = vz_index_open(path, index, r, &x);

	cr_assert(rc == 0 || rc == -ENOENT);
	vz_index_free(x);
	vz_reader_free(r);
	return rc == 0;
}

static int files_in(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

Test(index_file, holds_the_same_as_one_made_in_memory, .init = setup, .fini = teardown)
{
	const char *path = at("a.viz");
	const struct vz_directory_view *view;
	struct kit_index naive;
	struct vz_reader *r;
	struct vz_index *x;

	make_trace(path, 1, 5);
	build(path, NULL);
	r = open_trace(path);
	kit_index_build(r, &naive);
	cr_assert_eq(vz_index_open(path, NULL, r, &x), 0);
	view = vz_index_view(x);
	cr_assert_eq(view->head->ntiles, naive.ntiles);
	cr_assert_eq(view->head->duration_ns, naive.duration_ns);
	cr_assert_eq(view->head->nfunctions, 40);
	for (uint32_t i = 0; i < naive.ntiles; i++) {
		struct vzi_tile row = view->tiles[i];
		size_t bytes;
		const uint8_t *p = vz_index_tile(x, i, &bytes);

		row.offset = 0;
		cr_assert_eq(memcmp(&row, &naive.tiles[i].row, sizeof(row)), 0, "tile %u", i);
		cr_assert_eq(bytes, row.bytes);
		cr_assert_eq(memcmp(p, naive.tiles[i].bytes, bytes), 0, "tile %u", i);
	}
	for (uint32_t i = 0; i < naive.ntracks; i++)
		cr_assert_eq(memcmp(view->blocks + view->tracks[i].first_block, naive.blocks[i],
				    view->tracks[i].nblocks * sizeof(struct vzi_block)),
			     0);
	cr_assert_eq(memcmp(view->density, naive.density, sizeof(naive.density)), 0);
	cr_assert_null(vz_index_tile(x, naive.ntiles, NULL));
	vz_index_free(x);
	kit_index_fini(&naive);
	vz_reader_free(r);
}

Test(index_file, of_another_trace_is_not_believed, .init = setup, .fini = teardown)
{
	const char *a = at("a.viz"), *b = at("b.viz"), *x = at("a.vizi");
	const struct timeval times[2] = { { 1, 0 }, { 1, 0 } };

	make_trace(a, 2, 2);
	make_trace(b, 3, 2);
	cr_assert_not(believed(a, NULL));
	build(a, NULL);
	cr_assert(believed(a, NULL));
	cr_assert_not(believed(b, x));
	/* Neither after the trace was changed, be it only in its time. */
	cr_assert_eq(utimes(a, times), 0);
	cr_assert_not(believed(a, NULL));
	build(a, NULL);
	cr_assert(believed(a, NULL));
	/* Nor by way of a symbolic link, which anybody could put there. */
	cr_assert_eq(rename(x, at("real")), 0);
	cr_assert_eq(symlink("real", x), 0);
	cr_assert_not(believed(a, NULL));
	cr_assert_eq(unlink(x), 0);
	cr_assert_eq(mkfifo(x, 0600), 0);
	cr_assert_not(believed(a, NULL));
}

/* Every byte of the header and the directory is under a sum; cut it is never believed. */
Test(index_file, a_damaged_one_is_not_believed, .init = setup, .fini = teardown)
{
	const char *path = at("a.viz"), *other = at("other");
	struct vzi_header header;
	uint8_t *p;
	size_t n;

	make_trace(path, 4, 2);
	build(path, NULL);
	p = read_file(at("a.vizi"), &n);
	memcpy(&header, p, sizeof(header));
	for (int i = 0; i < 150; i++) {
		size_t where =
			i < 64 ? (size_t)i
			       : header.directory_offset + (size_t)rand() % header.directory_bytes;

		p[where] ^= (uint8_t)(1 << i % 8);
		write_file(other, p, n);
		cr_assert_not(believed(path, other), "byte %zu", where);
		p[where] ^= (uint8_t)(1 << i % 8);
	}
	for (int i = 0; i < 40; i++) {
		write_file(other, p, i < 20 ? (size_t)i * 8 : n - (size_t)(i - 19));
		cr_assert_not(believed(path, other));
	}
	write_file(other, p, n);
	cr_assert(believed(path, other));
	free(p);
}

/* Somebody may make the sums hold; then rows must. */
Test(index_file, rows_that_lie_are_not_believed, .init = setup, .fini = teardown)
{
	const char *path = at("a.viz"), *other = at("other");
	struct vz_directory_view view;
	struct vzi_header header;
	uint8_t *p;
	size_t n;
	int lies = 0;

	make_trace(path, 5, 2);
	build(path, NULL);
	p = read_file(at("a.vizi"), &n);
	memcpy(&header, p, sizeof(header));
	cr_assert_eq(vz_directory_check(p + header.directory_offset, header.directory_bytes,
					header.directory_offset, &view),
		     0);
	for (int i = 0; i < 400; i++) {
		size_t where = header.directory_offset +
			       (size_t)rand() % (header.directory_bytes -
						 sizeof(view.density[0]) * VZI_DENSITY);
		uint8_t was = p[where];
		struct vz_index *x = NULL;
		struct vz_reader *r = open_trace(path);
		size_t bytes;

		p[where] = (uint8_t)rand();
		header.directory_crc =
			(uint32_t)crc32_z(0, p + header.directory_offset, header.directory_bytes);
		header.crc =
			(uint32_t)crc32_z(0, (uint8_t *)&header, offsetof(struct vzi_header, crc));
		memcpy(p, &header, sizeof(header));
		write_file(other, p, n);
		if (vz_index_open(path, other, r, &x) < 0)
			lies++;
		/* Whatever is believed can be read; the sanitizers see to it. */
		for (uint32_t k = 0; x && k < vz_index_view(x)->head->ntiles; k++) {
			const uint8_t *tile = vz_index_tile(x, k, &bytes);

			cr_assert(bytes == 0 || tile[0] + tile[bytes - 1] >= 0);
		}
		vz_index_free(x);
		vz_reader_free(r);
		p[where] = was;
	}
	cr_assert_gt(lies, 50);
	free(p);
}

Test(index_file, goes_to_the_cache_if_the_folder_cannot_be_written, .init = setup, .fini = teardown)
{
	const char *path = at("ro/a.viz");

	cr_assert_eq(mkdir(at("ro"), 0755), 0);
	cr_assert_eq(mkdir(at("cache"), 0777), 0);
	setenv("XDG_CACHE_HOME", at("cache"), 1);
	make_trace(path, 6, 1);
	cr_assert_eq(chmod(at("cache"), 0777) | chmod(folder, 0755) | chmod(path, 0644), 0);
	/* Nothing is forbidden to root, so be somebody else. */
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	else
		cr_assert_eq(chmod(at("ro"), 0555), 0);
	build(path, NULL);
	cr_assert_eq(files_in(at("ro")), 1);
	cr_assert_eq(files_in(at("cache/vizview")), 1);
	cr_assert(believed(path, NULL));
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
}

static int end_it(void *ctx, double done)
{
	double *last = ctx;

	cr_assert(done >= *last && done <= 1);
	*last = done;
	return done > 0.3 ? -ECANCELED : 0;
}

Test(index_file, one_that_was_not_finished_leaves_nothing, .init = setup, .fini = teardown)
{
	const char *path = at("a.viz");
	double last = 0;
	const struct vz_index_options options = { .progress = end_it, .ctx = &last };
	struct vz_trouble trouble;
	struct vz_index_job *job;
	double done;

	make_trace(path, 7, 3);
	cr_assert_eq(vz_index_build(path, &options, NULL, &trouble), -ECANCELED);
	cr_assert_gt(last, 0);
	cr_assert_eq(files_in(folder), 1);
	cr_assert_eq(vz_index_job_new(path, &job, &trouble), 0);
	vz_index_job_free(job); /* kills it */
	cr_assert_leq(files_in(folder), 2);
	unlink(at("a.vizi"));
	cr_assert_eq(vz_index_job_new(path, &job, &trouble), 0);
	while (vz_index_job_poll(job, &done, &trouble) == 1)
		usleep(1000);
	cr_assert_eq(vz_index_job_poll(job, &done, &trouble), 0);
	cr_assert_eq(done, 1);
	vz_index_job_free(job);
	cr_assert(believed(path, NULL));
	cr_assert_eq(files_in(folder), 2);
}

Test(index_file, says_what_went_wrong, .init = setup, .fini = teardown)
{
	const struct vz_index_options options = { .out = "/nonexistent/x" };
	struct vz_trouble trouble;
	struct vz_index_job *job;
	double done;
	int rc;

	make_trace(at("a.viz"), 8, 1);
	cr_assert_eq(vz_index_build(at("a.viz"), &options, NULL, &trouble), -ENOENT);
	cr_assert_not_null(strstr(trouble.what, "cannot make the index of"));
	cr_assert_str_not_empty(trouble.hint);
	cr_assert_eq(vz_index_job_new(at("none.viz"), &job, &trouble), 0);
	while ((rc = vz_index_job_poll(job, &done, &trouble)) == 1)
		usleep(1000);
	cr_assert_eq(rc, -ENOENT);
	cr_assert_not_null(strstr(trouble.what, "cannot read"));
	vz_index_job_free(job);
}

/* Calls of each class; long ones must be in the overview, and drawn at the right place. */
Test(index_file, an_overview_is_small_and_has_all_that_is_long, .init = setup, .fini = teardown)
{
	const char *path = at("a.viz");
	const struct vz_directory_view *view;
	struct vz_directory_view small;
	struct vzi_header header;
	struct vz_reader *r;
	struct vz_index *x;
	uint8_t *p, level = VZI_LEVELS;
	uint64_t calls = 0;
	size_t n;

	make_trace(path, 9, 6);
	build(path, NULL);
	r = open_trace(path);
	cr_assert_eq(vz_index_open(path, NULL, r, &x), 0);
	view = vz_index_view(x);
	cr_assert_eq(vz_index_overview(x, &p, &n), 0);
	cr_assert_lt(n, (size_t)256 << 10);
	memcpy(&header, p, sizeof(header));
	cr_assert_eq(header.directory_offset + header.directory_bytes, n);
	cr_assert_eq(header.crc, crc32_z(0, p, offsetof(struct vzi_header, crc)));
	cr_assert_eq(vz_directory_check(p + header.directory_offset, header.directory_bytes,
					header.directory_offset, &small),
		     0);
	cr_assert(small.head->flags & VZI_OVERVIEW);
	cr_assert_eq(small.head->duration_ns, view->head->duration_ns);
	cr_assert_eq(small.head->nblocks, view->head->nblocks);
	cr_assert_eq(memcmp(small.density, view->density, VZI_DENSITY * sizeof(uint32_t)), 0);
	for (uint32_t i = 0; i < small.head->ntiles; i++)
		if (small.tiles[i].level < level)
			level = small.tiles[i].level;
	for (uint32_t i = 0; i < view->head->ntiles; i++)
		if ((view->tiles[i].kind == VZI_SLICES && view->tiles[i].level >= level) ||
		    (view->tiles[i].kind == VZI_RUNS && view->tiles[i].level == level))
			calls++;
	cr_assert_eq(calls, small.head->ntiles);
	free(p);
	vz_index_free(x);
	vz_reader_free(r);
}
