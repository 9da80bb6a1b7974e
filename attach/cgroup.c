/* SPDX-License-Identifier: MIT */
#include "attach/cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach/util.h"

enum {
	SMALL_MAX_BYTES = 1 << 16,
	MOUNTS_MAX_BYTES = 4 << 20,
};

/* Version 1 writes "no limit" as the largest number of whole pages. */
#define NO_LIMIT (UINT64_C(1) << 60)

/* ---- where ---- */

/* The next line of *TEXT, cut into RET; false behind the last. */
static bool next_line(const char **text, char *ret, size_t size)
{
	size_t len = strcspn(*text, "\n");

	if (!**text)
		return false;
	snprintf(ret, size, "%.*s", (int)(len < size ? len : size - 1), *text);
	*text += len + ((*text)[len] != '\0');
	return true;
}

/* Is WORD one of the words of LIST, which commas separate and one of ENDS ends? */
static bool listed(const char *list, const char *word, const char *ends)
{
	size_t len = strlen(word);

	for (;;) {
		size_t n = strcspn(list, ",:\n \t");

		if (n == len && !strncmp(list, word, len))
			return true;
		list += n;
		if (*list != ',' || strchr(ends, *list))
			return false;
		list++;
	}
}

/* Path of the group in the tree of CONTROLLER: "4:cpu,memory:/a/b", else "0::/a/b". */
static bool find_group(const char *groups, const char *controller, bool *v2, char *ret, size_t size)
{
	char line[4096];
	bool found = false;

	while (next_line(&groups, line, sizeof(line))) {
		const char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
		bool unified = vz_starts_with(line, "0::");

		if (!path || (!unified && !listed(list + 1, controller, ":")))
			continue;
		/* A controller of version 1 is not in the unified tree at the same time. */
		if (unified && found)
			continue;
		snprintf(ret, size, "%s", path + 1);
		*v2 = unified;
		found = true;
	}
	return found;
}

/* mountinfo writes blanks and such as \040. */
static void unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
			*to++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + text[3] - '0');
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

/* One line of mountinfo: is it the tree that is asked for, what part of it is mounted, where? */
static bool read_mount(char *line, const char *controller, bool v2, char **root, char **place)
{
	char *tail = strstr(line, " - "), *save = NULL, *options;

	if (!tail)
		return false;
	*tail = '\0';
	tail += 3;
	if (!vz_starts_with(tail, v2 ? "cgroup2 " : "cgroup "))
		return false;
	options = strrchr(tail, ' ');
	if (!v2 && (!options || !listed(options + 1, controller, "")))
		return false;
	for (int i = 0; i < 3; i++) {
		if (!strtok_r(i ? NULL : line, " ", &save))
			return false;
	}
	*root = strtok_r(NULL, " ", &save);
	*place = strtok_r(NULL, " ", &save);
	if (!*root || !*place)
		return false;
	unescape(*root);
	unescape(*place);
	return true;
}

/* GROUP below the mounted part ROOT, or NULL if it is elsewhere. */
static const char *below(const char *group, const char *root)
{
	size_t len = strcmp(root, "/") ? strlen(root) : 0;

	if (strstr(group, "/..") || strncmp(group, root, len) != 0 ||
	    (group[len] != '\0' && group[len] != '/'))
		return NULL;
	return strcmp(group + len, "/") ? group + len : "";
}

int vz_cgroup_locate(const char *groups, const char *mounts, const char *controller,
		     struct vz_cgroup *ret)
{
	char group[4096], line[4096], *root, *place;

	memset(ret, 0, sizeof(*ret));
	if (!find_group(groups, controller, &ret->v2, group, sizeof(group)))
		return -ENOENT;
	while (next_line(&mounts, line, sizeof(line))) {
		const char *rest;
		int n;

		if (!read_mount(line, controller, ret->v2, &root, &place))
			continue;
		rest = below(group, root);
		if (!rest)
			continue;
		n = snprintf(ret->path, sizeof(ret->path), "%s%s", place, rest);
		if (n < 0 || (size_t)n >= sizeof(ret->path))
			return -ENOENT;
		ret->top = strlen(place);
		ret->partial = strcmp(root, "/") != 0;
		return 0;
	}
	return -ENOENT;
}

int vz_cgroup_find(pid_t pid, const char *controller, struct vz_cgroup *ret)
{
	_cleanup_free_ char *groups = NULL;
	_cleanup_free_ char *mounts = NULL;
	size_t len;
	int rc = vz_slurp_proc(pid, 0, "cgroup", SMALL_MAX_BYTES, &groups, &len);

	memset(ret, 0, sizeof(*ret));
	if (rc == 0)
		rc = vz_slurp("/proc/self/mountinfo", MOUNTS_MAX_BYTES, &mounts, &len);
	if (rc < 0 || !groups || !mounts)
		return rc < 0 ? rc : -ENOENT;
	return vz_cgroup_locate(groups, mounts, controller, ret);
}

/* ---- what its files say ---- */

static int slurp_file(const struct vz_cgroup *group, size_t path_len, const char *file, char **ret)
{
	char path[4096 + 64];
	size_t len;

	snprintf(path, sizeof(path), "%.*s/%s", (int)path_len, group->path, file);
	return vz_slurp(path, SMALL_MAX_BYTES, ret, &len);
}

bool vz_cgroup_says(const struct vz_cgroup *group, const char *file, const char *word)
{
	_cleanup_free_ char *text = NULL;

	return slurp_file(group, strlen(group->path), file, &text) == 0 && strstr(text, word);
}

bool vz_cgroup_frozen(pid_t pid)
{
	struct vz_cgroup group;

	if (vz_cgroup_find(pid, "freezer", &group) == 0 && !group.v2 &&
	    vz_cgroup_says(&group, "freezer.state", "FROZEN"))
		return true;
	/* The freezer of version 2 is no controller: it is in each group of the unified tree. */
	return vz_cgroup_find(pid, "core", &group) == 0 && group.v2 &&
	       vz_cgroup_says(&group, "cgroup.events", "frozen 1");
}

static int read_number(const struct vz_cgroup *group, size_t path_len, const char *file,
		       uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	int rc = slurp_file(group, path_len, file, &text);

	if (rc < 0)
		return rc;
	*ret = vz_starts_with(text, "max") ? UINT64_MAX : strtoull(text, NULL, 10);
	return 0;
}

static uint64_t file_pages(const struct vz_cgroup *group, size_t path_len)
{
	static const char *const labels[2][2] = { { "total_inactive_file ", "total_active_file " },
						  { "inactive_file ", "active_file " } };
	_cleanup_free_ char *text = NULL;
	const char *rest;
	char line[256];
	uint64_t sum = 0;

	if (slurp_file(group, path_len, "memory.stat", &text) < 0 || !text)
		return 0;
	rest = text;
	while (next_line(&rest, line, sizeof(line))) {
		for (int i = 0; i < 2; i++) {
			const char *label = labels[group->v2][i];

			if (vz_starts_with(line, label))
				sum += strtoull(line + strlen(label), NULL, 10);
		}
	}
	return sum;
}

static const struct {
	const char *limit, *use;
} files[2][2] = {
	[VZ_RESOURCE_MEMORY] = { { "memory.limit_in_bytes", "memory.usage_in_bytes" },
				 { "memory.max", "memory.current" } },
	[VZ_RESOURCE_PIDS] = { { "pids.max", "pids.current" }, { "pids.max", "pids.current" } },
};

static int look_at(const struct vz_cgroup *group, size_t path_len, enum vz_resource resource,
		   struct vz_room *room)
{
	uint64_t limit, use, left;
	const char *name = group->path + group->top;
	int len = (int)(path_len - group->top), skip;
	int rc = read_number(group, path_len, files[resource][group->v2].limit, &limit);

	/* The root has no limit, nor has a group for which the controller is not switched on. */
	if (rc == -ENOENT || (rc == 0 && limit >= NO_LIMIT))
		return 0;
	if (rc < 0 || read_number(group, path_len, files[resource][group->v2].use, &use) < 0)
		return -ENODATA;
	left = limit > use ? limit - use : 0;
	if (resource == VZ_RESOURCE_MEMORY)
		left += file_pages(group, path_len);
	if (left > limit)
		left = limit;
	if (room->limited && left >= room->left)
		return 0;
	skip = len >= (int)sizeof(room->group) ? len - (int)sizeof(room->group) + 1 : 0;
	room->limited = true;
	room->limit = limit;
	room->left = left;
	snprintf(room->group, sizeof(room->group), "%.*s", len - skip, name + skip);
	return 0;
}

int vz_cgroup_room(const struct vz_cgroup *group, enum vz_resource resource, struct vz_room *ret)
{
	size_t len = strlen(group->path);

	memset(ret, 0, sizeof(*ret));
	if (access(group->path, R_OK | X_OK) < 0)
		return -ENODATA;
	for (;;) {
		int rc = look_at(group, len, resource, ret);

		if (rc < 0)
			return rc;
		if (len <= group->top)
			return 0;
		while (len > group->top && group->path[--len] != '/')
			;
	}
}
