/* SPDX-License-Identifier: MIT */
/*
 * preflight_room.c - is there room for what we bring: the buffers, whose pages count for
 * the target as it touches them, and two threads.  The kernel kills a container that goes
 * over its limit, and it would not kill us.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach/cgroup.h"
#include "attach/drain.h"
#include "attach/preflight_priv.h"
#include "attach/util.h"

enum {
	/* the payload with its stack, what pthread_create touches, page tables */
	FIXED_BYTES = 3 << 20,
	THREADS = 2, /* the agent, and the last one that unmaps everything */
	SMALLEST_MIB = 1,
	CAP_ADMIN_BIT = 21,
	CAP_RESOURCE_BIT = 24,
};

#define MIB (UINT64_C(1) << 20)

/* ---- small readers ---- */

/* The number behind LABEL in TEXT; UINT64_MAX for "unlimited" and where there is none. */
static uint64_t number_behind(const char *text, const char *label, int base)
{
	const char *p = strstr(text, label);
	char *end;
	uint64_t value;

	if (!p)
		return UINT64_MAX;
	value = strtoull(p + strlen(label), &end, base);
	return end == p + strlen(label) ? UINT64_MAX : value;
}

static uint64_t number_in(const char *path, const char *label)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	return vz_slurp(path, VZ_SMALL_BYTES, &text, &len) < 0 ? UINT64_MAX
							       : number_behind(text, label, 10);
}

static uint64_t number_of(pid_t pid, const char *file, const char *label, int base)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (vz_slurp_proc(pid, 0, file, VZ_SMALL_BYTES, &text, &len) < 0)
		return UINT64_MAX;
	return number_behind(text, label, base);
}

/* "301 MiB", "14.2 GiB" */
static const char *amount(uint64_t bytes, char buf[32])
{
	if (bytes >= 10240 * MIB)
		snprintf(buf, 32, "%.0f GiB", (double)bytes / (double)(1024 * MIB));
	else if (bytes >= 10 * MIB)
		snprintf(buf, 32, "%llu MiB", (unsigned long long)(bytes / MIB));
	else
		snprintf(buf, 32, "%.1f MiB", (double)bytes / (double)MIB);
	return buf;
}

/* ---- memory ---- */

/* The largest power of two that still fits, "" if none does. */
static void suggest_ring(uint64_t left, char *buf, size_t size)
{
	uint64_t mib = SMALLEST_MIB, room = left > FIXED_BYTES ? (left - FIXED_BYTES) / MIB : 0;
	struct vz_arena arena;

	buf[0] = '\0';
	while (mib * 2 <= room && mib < 4096)
		mib *= 2;
	if (mib <= room && vz_arena_plan(mib * MIB, &arena) == 0 &&
	    arena.bytes + FIXED_BYTES <= left)
		snprintf(buf, size, "--ring-size %lluMiB, ", (unsigned long long)mib);
}

static void refuse_memory(struct vz_scene *s, struct vz_finding *f, const char *who, uint64_t need,
			  uint64_t left)
{
	char a[32], b[32], ring[48];
	struct vz_err err;

	if (s->wish->override_limits) {
		vz_finding_say(f, VZ_FOUND_WARN, "%s leaves %s, and %s may be needed", who,
			       amount(left, a), amount(need, b));
		return;
	}
	vz_refusal(s, VZ_EXIT_UNSAFE, &err);
	vz_err_why(&err, "%s leaves %s, and the recording may need %s", who, amount(left, a),
		   amount(need, b));
	suggest_ring(left, ring, sizeof(ring));
	vz_err_try(&err, "%sa higher limit, or --override-limits", ring);
	vz_finding_refuse(f, ENOMEM, &err);
}

/* Limit of address space: a program near it would get errors where it had none. */
static bool address_space_is_short(struct vz_scene *s, struct vz_finding *f, uint64_t need)
{
	uint64_t limit = number_of(s->target->pid, "limits", "Max address space", 10);
	uint64_t kib = number_of(s->target->pid, "status", "\nVmSize:", 10);
	uint64_t left;

	if (limit == UINT64_MAX || kib == UINT64_MAX)
		return false;
	left = limit > kib * 1024 ? limit - kib * 1024 : 0;
	/* The stack that libc makes for the agent's thread is only reserved. */
	need += number_of(s->target->pid, "limits", "Max stack size", 10) != UINT64_MAX
			? number_of(s->target->pid, "limits", "Max stack size", 10)
			: 8 * MIB;
	if (left >= need)
		return false;
	refuse_memory(s, f, "its limit of address space (RLIMIT_AS)", need, left);
	return true;
}

static bool group_is_short(struct vz_scene *s, struct vz_finding *f, uint64_t need)
{
	struct vz_cgroup group;
	struct vz_room room = { 0 };
	char who[320], a[32], b[32];
	int rc = vz_cgroup_find(s->target->pid, "memory", &group);

	if (rc == 0)
		rc = vz_cgroup_room(&group, VZ_RESOURCE_MEMORY, &room);
	if (rc < 0) {
		vz_finding_say(f, VZ_FOUND_UNKNOWN, "its control group is not visible here");
		return false;
	}
	if (room.limited && room.left < need) {
		snprintf(who, sizeof(who), "its control group %s (limit %s)",
			 room.group[0] ? room.group : "/", amount(room.limit, a));
		refuse_memory(s, f, who, need, room.left);
		return true;
	}
	if (room.limited)
		vz_finding_say(f, VZ_FOUND_OK, "%s of %s left in its control group",
			       amount(room.left, a), amount(room.limit, b));
	else
		vz_finding_say(f, VZ_FOUND_OK, "no limit%s; %s needed at most",
			       group.partial ? " that is visible here" : "", amount(need, a));
	return false;
}

void vz_check_memory(struct vz_scene *s, struct vz_finding *f)
{
	uint64_t kib = number_in("/proc/meminfo", "\nMemAvailable:"), need;
	struct vz_arena arena;

	if (vz_arena_plan(s->wish->ring_bytes, &arena) < 0) {
		vz_finding_say(f, VZ_FOUND_UNKNOWN, "the size of the buffers is not known");
		return;
	}
	need = arena.bytes + FIXED_BYTES;
	if (address_space_is_short(s, f, need) || group_is_short(s, f, need))
		return;
	if (kib != UINT64_MAX && kib * 1024 < need)
		refuse_memory(s, f, "this machine", need, kib * 1024);
}

/* ---- threads ---- */

static void refuse_threads(struct vz_scene *s, struct vz_finding *f, const char *who, uint64_t left,
			   uint64_t limit)
{
	struct vz_err err;

	if (s->wish->override_limits) {
		vz_finding_say(f, VZ_FOUND_WARN, "%s leaves %llu of %llu", who,
			       (unsigned long long)left, (unsigned long long)limit);
		return;
	}
	vz_refusal(s, VZ_EXIT_UNSAFE, &err);
	vz_err_why(&err, "%s leaves room for %llu more threads (limit %llu); %d are needed", who,
		   (unsigned long long)left, (unsigned long long)limit, THREADS);
	vz_err_try(&err, "a higher limit, or --override-limits");
	vz_finding_refuse(f, EAGAIN, &err);
}

/* Threads of all processes with that real user. */
static uint64_t threads_of_user(uid_t uid)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc");
	const struct dirent *entry;
	uint64_t n = 0;

	while (dir && (entry = readdir(dir))) {
		struct vz_status status;

		if (isdigit((unsigned char)entry->d_name[0]) &&
		    vz_status_read((pid_t)strtol(entry->d_name, NULL, 10), 0, &status) == 0 &&
		    status.uid == uid)
			n += status.threads;
	}
	return n;
}

static bool user_is_short(struct vz_scene *s, struct vz_finding *f)
{
	uint64_t limit = number_of(s->target->pid, "limits", "Max processes", 10);
	uint64_t caps = number_of(s->target->pid, "status", "\nCapEff:", 16);
	uint64_t all, mine;

	/* The kernel does not count root, nor who may go over limits. */
	if (limit == UINT64_MAX || s->status.uid == 0 ||
	    (caps != UINT64_MAX && (caps >> CAP_ADMIN_BIT & 1 || caps >> CAP_RESOURCE_BIT & 1)))
		return false;
	all = number_in("/proc/loadavg", "/"); /* "0.1 0.2 0.3 2/345 6789": 345 in all */
	if (all != UINT64_MAX && all + THREADS <= limit)
		return false;
	mine = threads_of_user(s->status.uid);
	if (mine + THREADS <= limit)
		return false;
	refuse_threads(s, f, "its user's limit of processes", limit > mine ? limit - mine : 0,
		       limit);
	return true;
}

void vz_check_threads(struct vz_scene *s, struct vz_finding *f)
{
	struct vz_cgroup group;
	struct vz_room room = { 0 };
	char who[320];
	int rc = vz_cgroup_find(s->target->pid, "pids", &group);

	if (rc == 0)
		rc = vz_cgroup_room(&group, VZ_RESOURCE_PIDS, &room);
	if (rc == 0 && room.limited && room.left < THREADS) {
		snprintf(who, sizeof(who), "its control group %s",
			 room.group[0] ? room.group : "/");
		refuse_threads(s, f, who, room.left, room.limit);
		return;
	}
	if (user_is_short(s, f))
		return;
	if (rc < 0)
		vz_finding_say(f, VZ_FOUND_UNKNOWN, "its control group is not visible here");
	else if (room.limited)
		vz_finding_say(f, VZ_FOUND_OK, "%llu of %llu left in its control group",
			       (unsigned long long)room.left, (unsigned long long)room.limit);
	else
		vz_finding_say(f, VZ_FOUND_OK, "no limit%s",
			       group.partial ? " that is visible here" : "");
}
