/* SPDX-License-Identifier: MIT */
/*
 * index_job.c - builds an index in a child process, whose memory goes with it.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "viewer/index/index.h"

/* What the child tells; it is the only one that writes. */
struct news {
	_Atomic uint32_t done; /* millionths */
	int rc;
	struct vz_trouble trouble;
	struct vz_index_spare spare; /* its files have the same numbers in both */
};

struct vz_index_job {
	pid_t pid; /* 0: it has ended */
	struct news *news;
};

#define MILLION 1000000

static int tell(void *ctx, double done)
{
	struct news *news = ctx;

	atomic_store_explicit(&news->done, (uint32_t)(done * MILLION), memory_order_relaxed);
	return 0;
}

static void work(const char *path, struct news *news, pid_t parent)
{
	const struct vz_index_options options = {
		.spare = &news->spare,
		.progress = tell,
		.ctx = news,
	};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (getppid() == parent)
		news->rc = vz_index_build(path, &options, NULL, &news->trouble);
	_exit(0);
}

int vz_index_job_new(const char *path, struct vz_index_job **ret, struct vz_trouble *trouble)
{
	struct vz_index_job *job = calloc(1, sizeof(*job));
	pid_t parent = getpid();
	int rc;

	if (!job)
		return vz_trouble_set(trouble, ENOMEM, "out of memory");
	job->news = mmap(NULL, sizeof(*job->news), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (job->news == MAP_FAILED) {
		free(job);
		return vz_trouble_set(trouble, ENOMEM, "out of memory");
	}
	vz_index_spare_init(&job->news->spare);
	/* If it ends without a word. */
	vz_trouble_set(&job->news->trouble, ECHILD, "cannot make the index of %s", path);
	vz_trouble_why(&job->news->trouble, "the process that made it was ended");
	job->news->rc = -ECHILD;
	job->pid = fork();
	if (job->pid == 0)
		work(path, job->news, parent);
	if (job->pid > 0) {
		*ret = job;
		return 0;
	}
	rc = vz_trouble_set(trouble, errno, "cannot make the index of %s", path);
	vz_trouble_why(trouble, "fork: %s", strerror(-rc));
	job->pid = 0;
	vz_index_job_free(job);
	return rc;
}

int vz_index_job_poll(struct vz_index_job *job, double *done, struct vz_trouble *trouble)
{
	pid_t pid = job->pid ? waitpid(job->pid, NULL, WNOHANG) : 0;

	*done = atomic_load_explicit(&job->news->done, memory_order_relaxed) / (double)MILLION;
	if (job->pid && pid == 0)
		return 1;
	job->pid = 0;
	if (job->news->rc < 0)
		*trouble = job->news->trouble;
	else
		*done = 1;
	return job->news->rc;
}

const struct vz_index_spare *vz_index_job_spare(const struct vz_index_job *job)
{
	return &job->news->spare;
}

void vz_index_job_free(struct vz_index_job *job)
{
	if (!job)
		return;
	if (job->pid) {
		kill(job->pid, SIGKILL);
		waitpid(job->pid, NULL, 0);
	}
	vz_index_spare_fini(&job->news->spare);
	munmap(job->news, sizeof(*job->news));
	free(job);
}
