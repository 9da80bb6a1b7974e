/* SPDX-License-Identifier: MIT */
/* waits_storm.c - threads that are nearly always where nobody may be borrowed.  No pause between rounds. */
#include "waits.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* comes-and-goes.so lies beside the library that this is in. */
static void make_path(struct wait *w)
{
	char path[4096];
	Dl_info info;

	if (!dladdr((void *)make_path, &info)) {
		vz_bad(w, "dladdr: %s", dlerror());
		return;
	}
	snprintf(path, sizeof(path), "%.*s/comes-and-goes.so",
		 (int)(strrchr(info.dli_fname, '/') - info.dli_fname), info.dli_fname);
	w->memory = strdup(path);
}

static void storm_dlopen(struct wait *w)
{
	void *handle = dlopen(w->memory, RTLD_NOW);
	int (*function)(int) = handle ? (int (*)(int))dlsym(handle, "comes_and_goes") : NULL;

	if (!function || function(41) != 42)
		vz_bad(w, "dlopen: %s", dlerror());
	if (handle)
		dlclose(handle);
}

static void storm_fork(struct wait *w)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		free(malloc(100)); /* what fork promises */
		_exit(7);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 7)
		vz_bad(w, "a child: %s, status %x", strerror(errno), status);
}

static void *short_life(void *argument)
{
	uint64_t *number = argument;

	*number += 1;
	return argument;
}

static void storm_threads(struct wait *w)
{
	uint64_t number = w->slot->rounds;
	pthread_t thread;

	if (pthread_create(&thread, NULL, short_life, &number) || pthread_join(thread, NULL) ||
	    number != w->slot->rounds + 1)
		vz_bad(w, "a thread: %s", strerror(errno));
}

const struct kind vz_storm_kinds[] = {
	{ "malloc-storm", vz_malloc_steps, vz_make_blocks, NULL, 0, 0 },
	{ "dlopen-loop", storm_dlopen, make_path, NULL, 0, 0 },
	{ "fork-storm", storm_fork, NULL, NULL, 0, 0 },
	{ "thread-churn", storm_threads, NULL, NULL, 0, 0 },
	{ NULL, NULL, NULL, NULL, 0, 0 },
};
