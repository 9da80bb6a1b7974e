/* SPDX-License-Identifier: MIT */
/*
 * procstate_process.c - what concerns the whole process: stopped, swapped, throttled, and is
 * it a fork that did not exec.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach/cgroup.h"
#include "attach/snapshot/proc/procstate.h"
#include "attach/snapshot/proc/procstate_priv.h"
#include "attach/util.h"

enum {
	PROCESS_MAX_BYTES = 1 << 16,
	MAX_CHILDREN = 4096,
	MAX_PROCESSES = 1 << 16,
	MAX_TASKS = 4096,
	CHILDREN_MAX_BYTES = 1 << 16,
	MAX_LEVELS = 64,              /* of control groups */
	NO_RANDOM_PLACES = 0x0040000, /* ADDR_NO_RANDOMIZE */
};

/* ---- children ---- */

static pid_t parent_of(pid_t pid, char *state)
{
	_cleanup_free_ char *text = NULL;
	const char *p;
	size_t len;

	if (vz_slurp_proc(pid, 0, "stat", PROCESS_MAX_BYTES, &text, &len) < 0)
		return 0;
	p = strrchr(text, ')');
	if (!p || p[1] != ' ' || !p[2])
		return 0;
	if (state)
		*state = p[2];
	return (pid_t)strtol(p + 3, NULL, 10);
}

/* What /proc/PID/task/TID/children lists for each thread; false: this kernel has no such file. */
static bool listed_children(pid_t pid, pid_t *ret, size_t *count)
{
	_cleanup_closedir_ DIR *dir = NULL;
	const struct dirent *entry;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	for (int i = 0; dir && i < MAX_TASKS && (entry = readdir(dir));) {
		_cleanup_free_ char *text = NULL;
		char *p, *end;
		size_t len;
		int rc;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		i++;
		rc = vz_slurp_proc(pid, (pid_t)strtol(entry->d_name, NULL, 10), "children",
				   CHILDREN_MAX_BYTES, &text, &len);
		if (rc == -ENOENT && i == 1)
			return false;
		for (p = text; p && *count < MAX_CHILDREN; p = end) {
			long child = strtol(p, &end, 10);

			if (end == p)
				break;
			ret[(*count)++] = (pid_t)child;
		}
	}
	return dir != NULL;
}

/* Without that file every process is asked for its parent. */
static void asked_children(pid_t pid, pid_t *ret, size_t *count)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc");
	const struct dirent *entry;
	size_t seen = 0;

	while (dir && (entry = readdir(dir)) && *count < MAX_CHILDREN && seen < MAX_PROCESSES) {
		pid_t child;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		child = (pid_t)strtol(entry->d_name, NULL, 10);
		seen++;
		if (parent_of(child, NULL) == pid)
			ret[(*count)++] = child;
	}
}

const pid_t *vz_children(struct vz_snapshot *s, size_t *count)
{
	struct vz_proc *proc = vz_proc_of(s);
	pid_t pid = vz_proc_pid(s);

	*count = 0;
	if (!proc || !pid)
		return NULL;
	if (!proc->children_read) {
		proc->children_read = true;
		proc->children = vz_arena_alloc(s->arena, MAX_CHILDREN, sizeof(*proc->children));
		if (proc->children && !listed_children(pid, proc->children, &proc->nchildren))
			asked_children(pid, proc->children, &proc->nchildren);
	}
	*count = proc->nchildren;
	return proc->children;
}

static unsigned count_zombies(struct vz_snapshot *s)
{
	size_t count;
	const pid_t *children = vz_children(s, &count);
	unsigned zombies = 0;

	for (size_t i = 0; i < count; i++) {
		char state = 0;

		zombies += parent_of(children[i], &state) == vz_proc_pid(s) && state == 'Z';
	}
	return zombies;
}

/* ---- fork ---- */

struct places {
	uint64_t program, heap, stack, vdso;
	uint64_t inode;
	uint32_t dev_major, dev_minor;
};

static bool read_places(pid_t pid, struct places *ret)
{
	char path[64], exe[4096];
	struct vz_maps maps;
	struct vz_err err;
	ssize_t n;

	memset(ret, 0, sizeof(*ret));
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n <= 0 || vz_maps_read(pid, &maps, &err) < 0)
		return false;
	exe[n] = '\0';
	for (size_t i = 0; i < maps.count; i++) {
		const struct vz_map *map = &maps.items[i];

		if (!ret->program && map->offset == 0 && map->inode && map->path[0] == '/' &&
		    vz_starts_with(exe, map->path)) { /* which may have " (deleted)" behind it */
			ret->program = map->start;
			ret->inode = map->inode;
			ret->dev_major = map->dev_major;
			ret->dev_minor = map->dev_minor;
		} else if (!strcmp(map->path, "[heap]") && !ret->heap) {
			ret->heap = map->start;
		} else if (!strcmp(map->path, "[stack]")) {
			ret->stack = map->end;
		} else if (!strcmp(map->path, "[vdso]")) {
			ret->vdso = map->start;
		}
	}
	vz_maps_fini(&maps);
	/* A program need not have a heap: then its parent has none either. */
	return ret->program && ret->stack && ret->vdso;
}

/* Two programs in the same places prove something only if places are chosen at random. */
static bool places_random(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *personality = NULL;
	size_t len;

	return vz_slurp("/proc/sys/kernel/randomize_va_space", 64, &text, &len) == 0 &&
	       text[0] == '2' &&
	       vz_slurp_proc(pid, 0, "personality", 64, &personality, &len) == 0 &&
	       !(strtoul(personality, NULL, 16) & NO_RANDOM_PLACES);
}

static bool is_fork(pid_t pid, pid_t parent)
{
	struct places own, other;

	return parent > 1 && places_random(pid) && places_random(parent) &&
	       read_places(pid, &own) && read_places(parent, &other) &&
	       !memcmp(&own, &other, sizeof(own));
}

/* ---- control groups ---- */

static bool slurp_of(const char *path, size_t len, const char *file, char **ret)
{
	char name[4096 + 64];
	size_t bytes;

	snprintf(name, sizeof(name), "%.*s/%s", (int)len, path, file);
	return vz_slurp(name, PROCESS_MAX_BYTES, ret, &bytes) == 0;
}

/* Every group above can throttle it too. */
static bool read_throttle(pid_t pid, struct vz_proc *ret)
{
	struct vz_cgroup group;
	bool known = false;
	size_t len;

	if (vz_cgroup_find(pid, "cpu", &group) < 0)
		return false;
	len = strlen(group.path);
	for (int level = 0; level < MAX_LEVELS; level++) {
		_cleanup_free_ char *text = NULL;
		uint64_t spent = 0, hit = 0, periods = 0;

		if (slurp_of(group.path, len, "cpu.stat", &text) &&
		    vz_proc_number(text, "nr_periods ", 10, &periods)) {
			vz_proc_number(text, "nr_throttled ", 10, &hit);
			if (vz_proc_number(text, "throttled_usec ", 10, &spent))
				spent *= 1000;
			else
				vz_proc_number(text, "throttled_time ", 10, &spent);
			ret->throttled_ns += spent;
			ret->throttled_periods += hit;
			ret->periods += periods;
			known = true;
		}
		if (len <= group.top)
			break;
		while (len > group.top && group.path[--len] != '/')
			;
	}
	return known;
}

static uint64_t grown(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static void look_at_throttle(struct vz_snapshot *s, struct vz_proc *proc, bool last)
{
	struct vz_snap_process *p = &s->process;
	struct vz_proc now = { 0 };

	now.throttle_known = read_throttle(vz_proc_pid(s), &now);
	if (!last) {
		proc->throttle_known = now.throttle_known;
		proc->throttled_ns = now.throttled_ns;
		proc->throttled_periods = now.throttled_periods;
		proc->periods = now.periods;
		return;
	}
	p->throttle_known = now.throttle_known && proc->throttle_known;
	if (!p->throttle_known)
		return;
	p->throttled_ns = grown(now.throttled_ns, proc->throttled_ns);
	p->throttled_periods = grown(now.throttled_periods, proc->throttled_periods);
	p->periods = grown(now.periods, proc->periods);
}

/* "some avg10=1.23 avg60=..." of its group, else of the machine; -1: unknown. */
static double memory_pressure(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	struct vz_cgroup group;
	const char *p;
	size_t len;
	double ret;
	char *end;

	if (vz_cgroup_find(pid, "memory", &group) < 0 || !group.v2 ||
	    !slurp_of(group.path, strlen(group.path), "memory.pressure", &text)) {
		if (vz_slurp("/proc/pressure/memory", PROCESS_MAX_BYTES, &text, &len) < 0)
			return -1;
	}
	p = strstr(text, "some avg10=");
	if (!p)
		return -1;
	p += strlen("some avg10=");
	ret = strtod(p, &end);
	return end != p && ret >= 0 && ret <= 100 ? ret : -1;
}

/* ---- all of it ---- */

void vz_procstate_process(const struct vz_target *target, bool last, struct vz_snapshot *s)
{
	struct vz_snap_process *p = &s->process;
	struct vz_proc *proc = vz_proc_of(s);
	struct vz_status status;

	if (!last)
		p->memory_pressure = -1;
	if (!target->pid || !proc || vz_status_read(target->pid, 0, &status) < 0)
		return;
	p->state = status.state;
	p->tracer = status.tracer_pid;
	if (p->tracer == getpid()) { /* a stop of ours that came late */
		p->tracer = 0;
		p->state = p->state == 't' ? 'R' : p->state;
	}
	p->stopped = p->state == 'T' || p->state == 't';
	p->parent = status.ppid;
	p->rss_bytes = status.rss_bytes;
	p->swap_bytes = status.swap_bytes;
	p->frozen = vz_cgroup_frozen(target->pid);
	look_at_throttle(s, proc, last);
	if (last)
		return;
	p->forked = is_fork(target->pid, status.ppid);
	p->memory_pressure = memory_pressure(target->pid);
	p->children_zombie = count_zombies(s);
}
