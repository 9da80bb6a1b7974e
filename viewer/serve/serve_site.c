/* SPDX-License-Identifier: MIT */
#include "viewer/serve/serve_site.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "viewer/cache.h"
#include "viewer/diff.h"

/* ---- the comparison ---- */

static int write_comparison(struct vz_site *site, int fd)
{
	const struct vz_diff_options diff = {
		.file = { site->options->name, site->options->other_name },
		.json = true,
	};
	struct vz_trouble trouble;
	struct vz_reader *other;
	struct vz_out out;
	FILE *file = fdopen(fd, "w");
	int rc = vz_reader_open(site->options->other, &other, &trouble);

	if (rc < 0 || !file)
		return rc < 0 ? rc : -ENOMEM;
	rc = vz_out_open_memory(&out, file);
	if (rc == 0)
		rc = vz_diff(site->reader, other, &diff, &out);
	if (rc == 0)
		rc = vz_out_close(&out, &trouble);
	if (fclose(file) != 0 && rc == 0)
		rc = -EIO;
	return rc;
}

/* Goes through both traces, which takes long and memory: in a child. */
static void begin_comparison(struct vz_site *site)
{
	pid_t parent = getpid();

	site->compare_state = VZ_SITE_FAILED;
	if (!site->options->other)
		return;
	site->compare_fd = vz_cache_nameless();
	if (site->compare_fd < 0)
		return;
	site->compare_pid = fork();
	if (site->compare_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		_exit(write_comparison(site, site->compare_fd) < 0);
	}
	if (site->compare_pid > 0)
		site->compare_state = VZ_SITE_WORKING;
}

static void poll_comparison(struct vz_site *site)
{
	int status;

	if (site->compare_state != VZ_SITE_WORKING ||
	    waitpid(site->compare_pid, &status, WNOHANG) != site->compare_pid)
		return;
	site->compare_pid = 0;
	site->compare_state =
		WIFEXITED(status) && WEXITSTATUS(status) == 0 ? VZ_SITE_READY : VZ_SITE_FAILED;
}

/* ---- the index ---- */

static void index_failed(struct vz_site *site, const struct vz_trouble *trouble)
{
	site->index_state = VZ_SITE_FAILED;
	vz_trouble_text(trouble, site->trouble);
}

/* It works, but the next start will take as long. */
static void tell_spare(const struct vz_index_spare *spare)
{
	struct vz_trouble told;

	vz_trouble_set(&told, EROFS, "the index cannot be kept: it is in %s until this ends",
		       spare->used == VZ_INDEX_IN_MEMORY ? "memory" : "a temporary file");
	vz_trouble_why(&told, "%s", spare->why);
	vz_trouble_try(&told, "XDG_CACHE_HOME=a folder with room, or it is made again each time");
	vz_trouble_print(&told);
}

/* The child has made it. */
static int take_index(struct vz_site *site, struct vz_trouble *trouble)
{
	const struct vz_index_spare *spare = vz_index_job_spare(site->job);
	int rc = vz_index_open_made(site->options->path, spare, site->reader, &site->index);

	if (rc < 0) {
		rc = vz_trouble_set(trouble, ESTALE, "the index cannot be used");
		vz_trouble_why(trouble, "it was made, but the trace has changed since");
		vz_trouble_try(trouble, "vizview again");
		return rc;
	}
	site->index_state = VZ_SITE_READY;
	if (spare->used >= 0)
		tell_spare(spare);
	return 0;
}

static void poll_index(struct vz_site *site)
{
	struct vz_trouble trouble = { 0 };
	int rc;

	if (site->index_state != VZ_SITE_WORKING)
		return;
	rc = vz_index_job_poll(site->job, &site->done, &trouble);
	if (rc > 0)
		return;
	if (rc == 0)
		rc = take_index(site, &trouble);
	if (rc < 0)
		index_failed(site, &trouble);
	vz_index_job_free(site->job);
	site->job = NULL;
}

/* ---- both ---- */

int vz_site_init(struct vz_site *site, struct vz_reader *r, const struct vz_serve_options *options,
		 struct vz_trouble *trouble)
{
	int rc;

	*site = (struct vz_site){ .reader = r, .options = options, .compare_fd = -1 };
	rc = vz_files_init(&site->files, r);
	if (rc < 0)
		return vz_trouble_set(trouble, -rc, "out of memory");
	if (vz_index_open(options->path, NULL, r, &site->index) == 0)
		site->index_state = VZ_SITE_READY;
	else
		rc = vz_index_job_new(options->path, &site->job, trouble);
	if (rc < 0)
		return rc;
	begin_comparison(site);
	return 0;
}

void vz_site_fini(struct vz_site *site)
{
	if (site->compare_pid > 0) {
		kill(site->compare_pid, SIGKILL);
		waitpid(site->compare_pid, NULL, 0);
	}
	if (site->compare_fd >= 0)
		close(site->compare_fd);
	vz_index_job_free(site->job);
	vz_index_free(site->index);
	vz_files_fini(&site->files);
}

bool vz_site_poll(struct vz_site *site)
{
	poll_index(site);
	poll_comparison(site);
	return site->index_state == VZ_SITE_WORKING || site->compare_state == VZ_SITE_WORKING;
}

/* What was read stays in the page cache, which is not ours to fill. */
void vz_site_rest(const struct vz_site *site)
{
	vz_reader_rest(site->reader);
	if (site->index)
		vz_index_rest(site->index);
}
