/* SPDX-License-Identifier: MIT */
/* Where an index goes if a place is full, in the middle, or cannot be written at all. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/kit_index.h"
#include "viewer/index/index.h"

/* ---- disks that are full, before whoever may do everything too ---- */

enum {
	PLACES = 4, /* beside the trace, in the cache, in a temporary file, in memory */
	ROOM = 4096,
};

static int full;             /* so many files, in order of their first byte, take ROOM bytes */
static bool told_at_sync;    /* ... and their disk says so only then, as those of others do */
static struct stat files[8]; /* that were written to */
static int nfiles;
static ino_t synced;       /* the last one */
static bool renamed_early; /* a file that was not on disk got its name */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int place_of(int fd, struct stat *st)
{
	int i = 0;

	fstat(fd, st);
	pthread_mutex_lock(&lock);
	while (i < nfiles && (files[i].st_ino != st->st_ino || files[i].st_dev != st->st_dev))
		i++;
	if (i == nfiles) {
		files[nfiles++] = *st;
		(void)!dup(fd); /* no other gets its number */
	}
	pthread_mutex_unlock(&lock);
	return i;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	struct stat st;

	if (place_of(fd, &st) < full && !told_at_sync && at + (off_t)n > ROOM) {
		errno = ENOSPC;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, p, n, at);
}

int fdatasync(int fd)
{
	struct stat st;

	if (place_of(fd, &st) < full) {
		errno = ENOSPC;
		return -1;
	}
	synced = st.st_ino;
	return (int)syscall(SYS_fdatasync, fd);
}

int rename(const char *from, const char *to)
{
	struct stat st;

	renamed_early |= stat(from, &st) == 0 && st.st_ino != synced;
	return (int)syscall(SYS_rename, from, to);
}

/* ---- a trace ---- */

static char folder[64], path[80], index_path[80], cache[80];

static void save_trace(void)
{
	struct kit *kit = kit_new(40, 11);
	FILE *file = fopen(path, "wb");
	uint8_t *bytes;
	size_t n;

	for (uint32_t i = 0; i < 3; i++) {
		struct kit_track *t = kit_track(kit, i + 1, 0);

		for (int k = 0; k < 20; k++) {
			kit_steps(t, 400);
			vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
		}
	}
	kit_finish(kit);
	bytes = kit_bytes(kit, &n);
	cr_assert(file && fwrite(bytes, 1, n, file) == n);
	fclose(file);
	free(bytes);
	kit_free(kit);
}

static void setup(void)
{
	strcpy(folder, "/tmp/vz-places-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/a.viz", folder);
	snprintf(index_path, sizeof(index_path), "%s/a.vizi", folder);
	snprintf(cache, sizeof(cache), "%s/cache", folder);
	setenv("XDG_CACHE_HOME", cache, 1);
	setenv("TMPDIR", folder, 1);
	save_trace();
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	cr_assert_eq(system(command), 0);
}

static int files_in(const char *name)
{
	DIR *dir = opendir(name);
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return dir ? n - 2 : 0;
}

static int files_in_cache(void)
{
	char name[96];

	snprintf(name, sizeof(name), "%s/vizview", cache);
	return files_in(name);
}

/* In a child, as the server does. */
static int make(struct vz_index_job **job, struct vz_trouble *trouble)
{
	double done;
	int rc;

	cr_assert_eq(vz_index_job_new(path, job, trouble), 0);
	while ((rc = vz_index_job_poll(*job, &done, trouble)) == 1)
		usleep(1000);
	return rc;
}

/* All that was made, and the same as what is made without files. */
static void expect_whole(const struct vz_index_spare *spare)
{
	const struct vz_directory_view *view;
	struct kit_index naive;
	struct vz_trouble trouble;
	struct vz_reader *r;
	struct vz_index *x;

	cr_assert_eq(vz_reader_open(path, &r, &trouble), 0);
	cr_assert_eq(vz_index_open_made(path, spare, r, &x), 0);
	kit_index_build(r, &naive);
	view = vz_index_view(x);
	cr_assert_eq(view->head->ntiles, naive.ntiles);
	for (uint32_t i = 0; i < naive.ntiles; i++) {
		size_t bytes;
		const uint8_t *p = vz_index_tile(x, i, &bytes);

		cr_assert_eq(bytes, naive.tiles[i].row.bytes);
		cr_assert_eq(memcmp(p, naive.tiles[i].bytes, bytes), 0, "tile %u", i);
	}
	kit_index_fini(&naive);
	vz_index_free(x);
	vz_reader_free(r);
}

static void expect_place(int place)
{
	struct vz_trouble trouble;
	struct vz_index_job *job;
	const struct vz_index_spare *spare;

	full = place;
	cr_assert_eq(make(&job, &trouble), 0, "%d: %s", place, trouble.why);
	spare = vz_index_job_spare(job);
	cr_expect_eq(spare->used, place < 2 ? -1 : place - 2, "%d", spare->used);
	cr_expect_eq(access(index_path, F_OK) == 0, place == 0);
	cr_expect_eq(files_in_cache(), place == 1);
	cr_expect_eq(files_in(folder), place == 0   ? 2
				       : place == 1 ? 2
						    : 1 + (access(cache, F_OK) == 0));
	if (place >= 2)
		cr_expect_not_null(strstr(spare->why, "in the cache: No space left on device"));
	expect_whole(spare);
	vz_index_job_free(job);
}

Test(index_places, a_disk_that_is_full_in_the_middle, .init = setup, .fini = teardown)
{
	for (int place = PLACES - 1; place >= 0; place--) {
		char command[256];

		expect_place(place);
		snprintf(command, sizeof(command), "rm -rf %s %s", index_path, cache);
		cr_assert_eq(system(command), 0);
	}
}

Test(index_places, a_disk_that_says_late_that_it_is_full, .init = setup, .fini = teardown)
{
	told_at_sync = true;
	expect_place(1);
}

Test(index_places, all_disks_are_full, .init = setup, .fini = teardown)
{
	struct vz_trouble trouble;
	struct vz_index_job *job;

	full = PLACES;
	cr_expect_eq(make(&job, &trouble), -ENOSPC);
	vz_index_job_free(job);
	cr_expect_not_null(strstr(trouble.what, "cannot make the index of"));
	cr_expect_not_null(
		strstr(trouble.why, "beside the trace: No space left on device; in the"));
	cr_expect_not_null(strstr(trouble.why, "; in memory: No space left"), "%s", trouble.why);
	cr_expect_str_not_empty(trouble.hint);
	cr_expect_eq(files_in(folder), 2, "the trace, and the empty cache");
	cr_expect_eq(files_in_cache(), 0);
}

/* Who did not bring a spare file wants one with a name. */
Test(index_places, without_a_spare_it_is_an_error, .init = setup, .fini = teardown)
{
	struct vz_trouble trouble;

	full = 2;
	cr_expect_eq(vz_index_build(path, NULL, NULL, &trouble), -ENOSPC);
	cr_expect_not_null(strstr(trouble.hint, "-o OUT"));
	cr_expect_eq(files_in(folder), 2);
	cr_expect_eq(files_in_cache(), 0);
}

/* What has the name of the index is a folder; and of the cache, a device. */
Test(index_places, no_place_can_be_written, .init = setup, .fini = teardown)
{
	struct vz_trouble trouble;
	struct vz_index_job *job;

	cr_assert_eq(mkdir(index_path, 0700), 0);
	setenv("XDG_CACHE_HOME", "/dev/null", 1);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(make(&job, &trouble), 0, "%s", trouble.why);
		cr_expect_eq(vz_index_job_spare(job)->used, 0);
		expect_whole(vz_index_job_spare(job));
		vz_index_job_free(job);
		setenv("TMPDIR", "/dev/null", 1); /* then /tmp is good, too */
	}
	cr_expect_eq(files_in(folder), 2);
}

Test(index_places, it_gets_its_name_when_it_is_on_disk, .init = setup, .fini = teardown)
{
	struct vz_trouble trouble;

	cr_assert_eq(vz_index_build(path, NULL, NULL, &trouble), 0);
	cr_expect_neq(synced, 0);
	cr_expect_not(renamed_early);
}
