/* SPDX-License-Identifier: MIT */
#include "attach/ps.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "attach/doctor.h"
#include "attach/util.h"

enum {
	MAPS_MAX_BYTES = 64 << 20,
	SMALL_BYTES = 1 << 16,
	FILES = 256,           /* programs whose verdict is remembered */
	RING_BYTES = 64 << 20, /* the default of a recording */
};

/* ---- cheap looks ---- */

/* A program is looked into once, however many processes run it. */
struct file_seen {
	dev_t dev;
	ino_t ino;
	bool known, python;
};

struct scan {
	struct vz_processes *found;
	struct file_seen seen[FILES];
};

static bool names_python(const char *path)
{
	const char *name = vz_basename(path);

	return vz_starts_with(name, "python") || vz_starts_with(name, "pypy");
}

static bool program_has_python(struct scan *scan, const char *exe)
{
	struct file_seen *seen;
	struct stat st;

	if (stat(exe, &st) < 0)
		return false;
	seen = &scan->seen[(st.st_ino ^ st.st_dev) % FILES];
	if (!seen->known || seen->dev != st.st_dev || seen->ino != st.st_ino) {
		_cleanup_close_ int fd = open(exe, O_RDONLY | O_CLOEXEC);

		*seen = (struct file_seen){ st.st_dev, st.st_ino, true,
					    fd >= 0 && vz_ps_exports_python(fd) };
	}
	return seen->python;
}

/* Loaded by the program, or later, by a plug-in. */
static bool maps_have_python(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	return vz_slurp_proc(pid, 0, "maps", MAPS_MAX_BYTES, &text, &len) == 0 &&
	       (strstr(text, "/libpython") || strstr(text, "/libpypy"));
}

/* Of a process that lets us see no more than its name. */
static bool words_have_python(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	struct vz_status status;
	size_t len;

	if (vz_status_read(pid, 0, &status) == 0 && names_python(status.comm))
		return true;
	return vz_slurp_proc(pid, 0, "cmdline", SMALL_BYTES, &text, &len) == 0 &&
	       names_python(text);
}

static bool may_be_python(struct scan *scan, pid_t pid)
{
	char exe[64], path[4096];
	ssize_t n;

	snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)pid);
	n = readlink(exe, path, sizeof(path) - 1);
	if (n < 0) /* without a right to look, or a thread of the kernel, which has no program */
		return errno == EACCES && words_have_python(pid);
	path[n] = '\0';
	return names_python(path) || program_has_python(scan, exe) || maps_have_python(pid);
}

/* ---- one process ---- */

static void read_command(struct vz_process *p)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (vz_slurp_proc(p->pid, 0, "cmdline", SMALL_BYTES, &text, &len) < 0)
		return;
	while (len && text[len - 1] == '\0')
		len--;
	if (len >= sizeof(p->command))
		len = sizeof(p->command) - 1;
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\0' || isspace((unsigned char)text[i]))
			text[i] = ' ';
	memcpy(p->command, text, len);
	p->command[len] = '\0';
}

static void read_user(struct vz_process *p)
{
	struct vz_status status;

	if (vz_status_read(p->pid, 0, &status) < 0)
		return;
	p->uid = status.uid;
	if (!vz_user_name(p->uid, p->user, sizeof(p->user)))
		snprintf(p->user, sizeof(p->user), "%u", (unsigned)p->uid);
}

/* False: it ended, or has nothing to do with Python after all. */
static bool examine(pid_t pid, struct vz_process *p)
{
	static const struct vz_wish wish = { .hurry = true, .ring_bytes = RING_BYTES };
	static struct vz_examination e; /* large */
	const struct vz_finding *refusal;

	memset(p, 0, sizeof(*p));
	p->pid = pid;
	vz_examine_process(pid, &wish, &e);
	refusal = vz_findings_refusal(&e.findings);
	if (refusal && refusal->err.exit == VZ_EXIT_NO_PROCESS)
		return false;
	read_user(p);
	read_command(p);
	snprintf(p->python, sizeof(p->python), "%s", e.python);
	snprintf(p->where, sizeof(p->where), "%s",
		 !e.ns_known   ? "?"
		 : e.container ? "container"
			       : "here");
	if (refusal) {
		p->exit = refusal->err.exit;
		snprintf(p->why, sizeof(p->why), "%s",
			 refusal->err.why[0] ? refusal->err.why : refusal->err.what);
		snprintf(p->hint, sizeof(p->hint), "%s", refusal->err.hint);
	}
	return true;
}

static int append(struct vz_processes *all, const struct vz_process *p)
{
	if (!(all->count & (all->count - 1))) {
		size_t room = all->count ? all->count * 2 : 1;
		struct vz_process *items = realloc(all->items, room * sizeof(*items));

		if (!items)
			return -ENOMEM;
		all->items = items;
	}
	all->items[all->count++] = *p;
	return 0;
}

/* ---- all ---- */

static int by_pid(const void *a, const void *b)
{
	const struct vz_process *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static int walk(struct scan *scan, DIR *dir)
{
	const struct dirent *entry;
	int rc = 0;

	while (rc == 0 && (entry = readdir(dir))) {
		struct vz_process p;
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (isdigit((unsigned char)entry->d_name[0]) && pid != getpid() &&
		    may_be_python(scan, pid) && examine(pid, &p))
			rc = append(scan->found, &p);
	}
	return rc;
}

int vz_ps_read(struct vz_processes *ret, struct vz_err *err)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc");
	int rc = dir ? 0 : -errno;
	struct scan *scan = calloc(1, sizeof(*scan));

	memset(ret, 0, sizeof(*ret));
	if (rc == 0 && !scan)
		rc = -ENOMEM;
	if (rc == 0 && dir) {
		scan->found = ret;
		rc = walk(scan, dir);
	}
	free(scan);
	if (rc < 0) {
		vz_ps_free(ret);
		vz_err_set(err, VZ_EXIT_UNEXPECTED, -rc, "cannot list processes");
		vz_err_why(err, "/proc: %s", strerror(-rc));
		return rc;
	}
	if (ret->count)
		qsort(ret->items, ret->count, sizeof(*ret->items), by_pid);
	return 0;
}

void vz_ps_free(struct vz_processes *processes)
{
	free(processes->items);
	memset(processes, 0, sizeof(*processes));
}
