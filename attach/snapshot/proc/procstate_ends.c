/* SPDX-License-Identifier: MIT */
/*
 * procstate_ends.c - which processes have the other end of a pipe or of a socket.  All of
 * /proc is looked through once in a snapshot, for a bounded time.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "attach/snapshot/proc/procstate_priv.h"
#include "attach/util.h"

enum {
	ENDS_MAX = 1 << 16,
	ENDS_MAX_NS = 150 * 1000 * 1000,
	SAY_MAX = 4,
};

static uint64_t hash_of(const char *text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return hash;
}

/* Pipes, sockets, and paths, which a FIFO is; the null device is everyone's. */
static bool is_kept(const char *link)
{
	return (link[0] == '/' && strcmp(link, "/dev/null") != 0) ||
	       vz_starts_with(link, "pipe:[") || vz_starts_with(link, "socket:[");
}

static bool all_digits(const char *text)
{
	for (const char *p = text; *p; p++) {
		if (!isdigit((unsigned char)*p))
			return false;
	}
	return *text != '\0' && strlen(text) < 10;
}

static void look_into(struct vz_proc *proc, pid_t pid, uint64_t until)
{
	_cleanup_closedir_ DIR *dir = NULL;
	const struct dirent *entry;
	char path[64], link[4096];

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir) {
		/* Another user's; or it has just ended. */
		proc->ends_whole &= access(path, F_OK) < 0;
		return;
	}
	while ((entry = readdir(dir))) {
		ssize_t n;

		if (!all_digits(entry->d_name))
			continue;
		if (proc->nends == ENDS_MAX || vz_now_ns() > until) {
			proc->ends_whole = false;
			return;
		}
		n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		if (is_kept(link))
			proc->ends[proc->nends++] =
				(struct vz_end){ hash_of(link), pid,
						 (int)strtol(entry->d_name, NULL, 10) };
	}
}

static void read_ends(struct vz_snapshot *s, struct vz_proc *proc)
{
	uint64_t until = vz_now_ns() + ENDS_MAX_NS;
	_cleanup_closedir_ DIR *dir = opendir("/proc");
	const struct dirent *entry;

	proc->ends_read = true;
	proc->ends = vz_arena_alloc(s->arena, ENDS_MAX, sizeof(*proc->ends));
	if (!proc->ends || !dir)
		return;
	proc->ends_whole = true;
	look_into(proc, vz_proc_pid(s), until);
	while ((entry = readdir(dir))) {
		pid_t pid = all_digits(entry->d_name) ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;

		if (pid && pid != vz_proc_pid(s))
			look_into(proc, pid, until);
	}
}

/* It may have been closed, or opened for something else, since. */
static bool is_such(const struct vz_end *end, const char *link, unsigned access)
{
	char path[64], now[4096];
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)end->pid, end->fd);
	n = readlink(path, now, sizeof(now) - 1);
	if (n <= 0 || lstat(path, &st) < 0)
		return false;
	now[n] = '\0';
	/* The mode of the link is how the descriptor was opened. */
	return !strcmp(now, link) && (((access & VZ_END_READS) && (st.st_mode & S_IRUSR)) ||
				      ((access & VZ_END_WRITES) && (st.st_mode & S_IWUSR)));
}

static void say(struct vz_out *out, size_t said, pid_t pid, bool self)
{
	char comm[32];

	vz_proc_comm(pid, comm);
	vz_out_add(out, "%s%d (%s)", said ? ", " : "", (int)pid, self ? "itself" : comm);
}

pid_t vz_ends_say(struct vz_snapshot *s, const char *link, unsigned access, struct vz_out *out)
{
	struct vz_proc *proc = vz_proc_of(s);
	uint64_t hash = hash_of(link);
	pid_t last = 0, ret = 0;
	size_t said = 0;

	if (!proc || !vz_proc_pid(s))
		return 0;
	if (!proc->ends_read)
		read_ends(s, proc);
	for (size_t i = 0; i < proc->nends; i++) {
		const struct vz_end *end = &proc->ends[i];

		if (end->hash != hash || end->pid == last || !is_such(end, link, access))
			continue;
		last = end->pid;
		if (said < SAY_MAX)
			say(out, said, last, last == vz_proc_pid(s));
		else if (said == SAY_MAX)
			vz_out_add(out, ", more");
		said++;
		if (!ret || ret == vz_proc_pid(s))
			ret = last;
	}
	if (!said)
		vz_out_add(out, proc->ends_whole ? "none seen" : "unknown");
	return ret;
}
