/* SPDX-License-Identifier: MIT */
/* The user's folder for what can be made again: what is removed from it, and what never is. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/kit_http.h"
#include "viewer/cache.h"
#include "viewer/import/import.h"
#include "viewer/index/index.h"

enum { HOUR = 3600 };

static char base[64];
static char folder[128];

static void setup(void)
{
	strcpy(base, "/tmp/vz-cache-XXXXXX");
	cr_assert_not_null(mkdtemp(base));
	setenv("XDG_CACHE_HOME", base, 1);
	cr_assert_eq(vz_cache_folder((char[VZ_CACHE_PATH]){ 0 }), 0);
	snprintf(folder, sizeof(folder), "%s/vizview", base);
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", base);
	cr_assert_eq(system(command), 0);
}

static const char *at(const char *name)
{
	static char paths[8][512];
	static int i;
	char *path = paths[i++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static bool there(const char *name)
{
	struct stat st;

	return lstat(at(name), &st) == 0;
}

/* Last read and last changed so many seconds ago. */
static void make_file(const char *name, off_t bytes, time_t read, time_t changed)
{
	const struct timespec times[2] = { { time(NULL) - read, 0 }, { time(NULL) - changed, 0 } };
	int fd = open(at(name), O_WRONLY | O_CREAT | O_EXCL, 0600);

	cr_assert_geq(fd, 0, "%s", name);
	cr_assert_eq(ftruncate(fd, bytes), 0);
	cr_assert_eq(futimens(fd, times), 0);
	close(fd);
}

/* ---- what has to go ---- */

static const char *const ours[] = {
	"result.json-01234567-89abcdef.viz",
	"result.json-01234567-89abcdef.vizi",
	"a-b.viz-1-00000000-ffffffff.viz",
	"-01234567-89abcdef.viz-01234567-89abcdef.viz",
	"0123456789abcdef.vizi",
};

static const char *const others[] = {
	"notes.txt",
	"app.viz",
	"app.vizi",
	"0123456789abcdef.viz",
	"0123456789abcde.vizi",
	"0123456789ABCDEF.vizi",
	"0123456789abcdef0.vizi",
	"-01234567-89abcdef.viz",
	"app-0123456-89abcdef.viz",
	"app-01234567-89abcdeg.viz",
	"app-01234567_89abcdef.viz",
	"app-01234567-89abcdef.viz.bak",
	"app-01234567-89abcdef.vizit",
	"app-01234567-89abcdef.json",
	"app-01234567-89abcdef.viz.part-12345",
	"app-01234567-89abcdef.viz.part-1234567",
	"app-01234567-89abcdef.viz.part-12.456",
	"app-01234567-89abcdef.viz.7",
	"0123456789abcdef.vizi.",
	"0123456789abcdef.vizi.7a",
	"0123456789abcdef.vizi.part-123456",
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

Test(cache, only_what_has_a_name_of_ours_goes, .init = setup, .fini = teardown)
{
	char long_name[200];

	snprintf(long_name, sizeof(long_name), "%0101d-01234567-89abcdef.viz", 0);
	for (size_t i = 0; i < N(ours); i++)
		make_file(ours[i], 100, 9 * HOUR, 9 * HOUR);
	for (size_t i = 0; i < N(others); i++)
		make_file(others[i], 100, 9 * HOUR, 9 * HOUR);
	make_file(long_name, 100, 9 * HOUR, 9 * HOUR);
	vz_cache_prune(100 * N(ours));
	for (size_t i = 0; i < N(ours); i++)
		cr_expect(there(ours[i]), "%s", ours[i]);
	vz_cache_prune(0);
	for (size_t i = 0; i < N(ours); i++)
		cr_expect_not(there(ours[i]), "%s", ours[i]);
	for (size_t i = 0; i < N(others); i++)
		cr_expect(there(others[i]), "%s", others[i]);
	cr_expect(there(long_name));
}

/* Each has a name of ours. */
Test(cache, nothing_that_is_no_file_of_this_user_goes, .init = setup, .fini = teardown)
{
	static const char *const names[] = { "link-01234567-89abcdef.viz",
					     "fold-01234567-89abcdef.viz",
					     "fifo-01234567-89abcdef.viz",
					     "hard-01234567-89abcdef.viz",
					     "else-01234567-89abcdef.viz" };

	make_file("aim", 100, 9 * HOUR, 9 * HOUR);
	make_file("mate", 100, 9 * HOUR, 9 * HOUR);
	cr_assert_eq(symlink(at("aim"), at(names[0])), 0);
	cr_assert_eq(mkdir(at(names[1]), 0700), 0);
	cr_assert_eq(mkfifo(at(names[2]), 0600), 0);
	cr_assert_eq(link(at("mate"), at(names[3])), 0);
	make_file(names[4], 100, 9 * HOUR, 9 * HOUR);
	if (geteuid() == 0)
		cr_assert_eq(chown(at(names[4]), 65534, 65534), 0);
	vz_cache_prune(0);
	for (size_t i = 0; i < (geteuid() == 0 ? N(names) : N(names) - 1); i++)
		cr_expect(there(names[i]), "%s", names[i]);
	cr_expect(there("aim") && there("mate"));
}

Test(cache, a_folder_that_is_a_link_is_left_alone, .init = setup, .fini = teardown)
{
	char real[160];

	make_file(ours[0], 100, 9 * HOUR, 9 * HOUR);
	snprintf(real, sizeof(real), "%s/real", base);
	cr_assert_eq(rename(folder, real), 0);
	cr_assert_eq(symlink("real", folder), 0);
	vz_cache_prune(0);
	cr_expect(there(ours[0]));
	cr_assert_eq(unlink(folder), 0);
	cr_assert_eq(rename(real, folder), 0);
	vz_cache_prune(0);
	cr_expect_not(there(ours[0]));
}

Test(cache, what_was_not_used_for_longest_goes_first, .init = setup, .fini = teardown)
{
	int fd;

	make_file("a-00000000-00000000.viz", 100, 50 * HOUR, 50 * HOUR);
	make_file("b-00000000-00000000.viz", 100, 30 * HOUR, 40 * HOUR);
	make_file("c-00000000-00000000.viz", 100, 90 * HOUR, 20 * HOUR);
	make_file("d-00000000-00000000.viz", 100, 60 * HOUR, 80 * HOUR);
	vz_cache_prune(300);
	cr_expect(!there("d-00000000-00000000.viz") && there("a-00000000-00000000.viz"));
	/* To be used is what counts. */
	fd = open(at("a-00000000-00000000.viz"), O_RDONLY);
	cr_assert_eq(vz_cache_hold(fd), 0);
	close(fd);
	vz_cache_prune(299);
	cr_expect(there("a-00000000-00000000.viz") && !there("b-00000000-00000000.viz"));
	vz_cache_prune(100);
	cr_expect(there("a-00000000-00000000.viz") && !there("c-00000000-00000000.viz"));
}

/* Somebody else who uses the file NAME until he is killed. */
static pid_t start_user(const char *name)
{
	int pipe_fds[2];
	char c;
	pid_t pid;

	cr_assert_eq(pipe(pipe_fds), 0);
	pid = fork();
	if (pid == 0) {
		if (vz_cache_keep(at(name)) == 0 && write(pipe_fds[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(pipe_fds[1]);
	cr_assert_eq(read(pipe_fds[0], &c, 1), 1);
	close(pipe_fds[0]);
	return pid;
}

static void kill_user(pid_t pid)
{
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(cache, what_is_in_use_stays_until_its_user_is_killed, .init = setup, .fini = teardown)
{
	pid_t pid;

	make_file(ours[0], 100, 9 * HOUR, 9 * HOUR);
	make_file(ours[1], 100, 1 * HOUR, 1 * HOUR);
	pid = start_user(ours[0]);
	vz_cache_prune(0);
	cr_expect(there(ours[0]) && !there(ours[1]));
	kill_user(pid);
	vz_cache_prune(0);
	cr_expect_not(there(ours[0]));
}

Test(cache, what_is_being_removed_cannot_be_used, .init = setup, .fini = teardown)
{
	int fd;

	make_file(ours[0], 100, 0, 0);
	fd = open(at(ours[0]), O_RDONLY);
	cr_assert_eq(flock(fd, LOCK_EX), 0);
	cr_expect_eq(vz_cache_keep(at(ours[0])), -ESTALE);
	cr_assert_eq(flock(fd, LOCK_UN), 0);
	cr_expect_eq(vz_cache_keep(at(ours[0])), 0);
	unlink(at(ours[0]));
	cr_expect_eq(vz_cache_hold(fd), -ESTALE);
	close(fd);
}

Test(cache, what_a_killed_one_left_behind_goes, .init = setup, .fini = teardown)
{
	static const char *const names[] = { "a-00000000-00000000.viz.part-aZ09bY",
					     "b-00000000-00000000.viz.part-aZ09bY",
					     "c-00000000-00000000.viz.part-aZ09bY",
					     "00000000deadbeef.vizi.4711" };
	pid_t pid;

	for (int i = 0; i < 4; i++)
		make_file(names[i], 100, i == 1 ? 10 : 2 * HOUR, i == 1 ? 10 : 2 * HOUR);
	pid = start_user(names[2]);
	vz_cache_prune(UINT64_MAX);
	cr_expect_not(there(names[0]));
	cr_expect(there(names[1]), "it was begun just now");
	cr_expect(there(names[2]), "it is being made");
	cr_expect_not(there(names[3]));
	kill_user(pid);
}

/* ---- imports ---- */

static const char json[] = "[{\"ph\":\"X\",\"pid\":5,\"tid\":7,\"ts\":2,\"dur\":1,\"name\":\"a\"}]";

static const char *save_json(const char *name)
{
	static char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", base, name);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	cr_assert_eq(fputs(json, file) < 0, 0);
	fclose(file);
	return path;
}

/* In a child: what it uses is free when it has ended. */
static void import(const char *path, char *viz, size_t size)
{
	int pipe_fds[2], status;
	struct vz_trouble trouble;
	pid_t pid;

	cr_assert_eq(pipe(pipe_fds), 0);
	pid = fork();
	if (pid == 0) {
		if (vz_import_cached(path, NULL, viz, size, &trouble) < 0 ||
		    write(pipe_fds[1], viz, strlen(viz) + 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(pipe_fds[1]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	cr_assert_gt(read(pipe_fds[0], viz, size), 0);
	close(pipe_fds[0]);
}

Test(cache, an_import_that_is_used_again_is_not_made_again, .init = setup, .fini = teardown)
{
	const struct timespec old[2] = { { 1000, 0 }, { 2000, 0 } };
	const char *path = save_json("x.json");
	char viz[4096], again[4096];
	struct stat before, after;

	import(path, viz, sizeof(viz));
	cr_assert_eq(utimensat(AT_FDCWD, viz, old, 0), 0);
	cr_assert_eq(stat(viz, &before), 0);
	import(path, again, sizeof(again));
	cr_assert_eq(stat(viz, &after), 0);
	cr_expect_str_eq(viz, again);
	cr_expect_eq(before.st_ino, after.st_ino);
	cr_expect_eq(after.st_mtim.tv_sec, 2000, "an index belongs to this time");
	cr_expect_geq(after.st_atim.tv_sec, time(NULL) - HOUR);
	/* And is one of those that may go. */
	vz_cache_prune(0);
	cr_expect_neq(access(viz, F_OK), 0);
	import(path, again, sizeof(again));
	cr_expect_eq(access(viz, F_OK), 0);
}

/* Of more than the limit, only on paper. */
Test(cache, an_import_makes_room, .init = setup, .fini = teardown)
{
	const char *path = save_json("x.json");
	char viz[4096];

	make_file(ours[0], (off_t)VZ_CACHE_LIMIT, 9 * HOUR, 9 * HOUR);
	make_file(ours[1], 100, 8 * HOUR, 8 * HOUR);
	make_file("notes.txt", (off_t)VZ_CACHE_LIMIT, 9 * HOUR, 9 * HOUR);
	import(path, viz, sizeof(viz));
	cr_expect(!there(ours[0]) && there(ours[1]) && there("notes.txt"));
	cr_expect_eq(access(viz, F_OK), 0);
	/* What is used now stays, even if it is all. */
	make_file(ours[0], (off_t)VZ_CACHE_LIMIT, 0, 0);
	cr_assert_eq(truncate(viz, (off_t)VZ_CACHE_LIMIT + 1), 0);
	import(path, viz, sizeof(viz));
	cr_expect(!there(ours[0]) && !there(ours[1]));
	cr_expect_eq(access(viz, F_OK), 0);
}

/* Of a trace beside which a folder has its name. */
Test(cache, an_index_makes_room, .init = setup, .fini = teardown)
{
	struct vz_index_made made;
	struct vz_trouble trouble;
	char viz[128], taken[128];

	snprintf(viz, sizeof(viz), "%s/x.viz", base);
	snprintf(taken, sizeof(taken), "%s/x.vizi", base);
	cr_assert_eq(vz_import(save_json("x.json"), viz, NULL, NULL, &trouble), 0);
	cr_assert_eq(mkdir(taken, 0700), 0);
	make_file(ours[0], (off_t)VZ_CACHE_LIMIT, 9 * HOUR, 9 * HOUR);
	cr_assert_eq(vz_index_build(viz, NULL, &made, &trouble), 0, "%s", trouble.why);
	cr_expect_not(there(ours[0]));
	cr_expect_eq(strncmp(made.path, folder, strlen(folder)), 0, "%s", made.path);
	cr_expect_eq(access(made.path, F_OK), 0);
	vz_cache_prune(0);
	cr_expect_neq(access(made.path, F_OK), 0, "its name is one of ours");
}

static void wait_for_index(const struct kit_server *s)
{
	struct kit_answer a;

	for (bool complete = false; !complete; usleep(complete ? 0 : 20000)) {
		kit_http_get(s, "progress", &a);
		cr_assert_eq(a.status, 200, "%s", (char *)a.body);
		complete = strstr((char *)a.body, "\"complete\":true") != NULL;
		kit_answer_free(&a);
	}
}

/* Both by way of the JSON, and by the name of the import. */
Test(cache, a_server_keeps_what_it_shows, .init = setup, .fini = teardown)
{
	char viz[4096], vizi[4200];
	char *path = strdup(save_json("x.json"));
	char *arguments[2][2] = { { path, NULL }, { viz, NULL } };
	struct kit_server s;

	import(path, viz, sizeof(viz));
	snprintf(vizi, sizeof(vizi), "%si", viz);
	for (int i = 0; i < 2; i++) {
		import(path, viz, sizeof(viz));
		cr_assert(kit_server_start(&s, arguments[i]));
		wait_for_index(&s);
		vz_cache_prune(0);
		cr_expect_eq(access(viz, F_OK), 0);
		cr_expect_eq(access(vizi, F_OK), 0);
		cr_expect_eq(kit_server_end(&s, SIGKILL), 128 + SIGKILL);
		vz_cache_prune(0);
		cr_expect_neq(access(viz, F_OK), 0);
		cr_expect_neq(access(vizi, F_OK), 0);
	}
	free(path);
}
