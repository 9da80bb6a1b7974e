/* SPDX-License-Identifier: MIT */
/*
 * cgroup.h - where a process stands in the control groups, and what the limits of its
 * group and of every group above it leave.  Versions 1 and 2, alone or side by side.
 */
#ifndef VZ_ATTACH_CGROUP_H
#define VZ_ATTACH_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct vz_cgroup {
	char path[4096]; /* its directory, as we see it */
	size_t top;      /* this much of .path is the mount point */
	bool v2;
	bool partial; /* only a part of the tree is mounted here: limits above are not seen */
};

/** The group of process PID for CONTROLLER ("memory").  -ENOENT: none, or not mounted here. */
int vz_cgroup_find(pid_t pid, const char *controller, struct vz_cgroup *ret);
/** The same from the texts of /proc/PID/cgroup and /proc/self/mountinfo. */
int vz_cgroup_locate(const char *groups, const char *mounts, const char *controller,
		     struct vz_cgroup *ret);
/** Does FILE of the group hold WORD? */
bool vz_cgroup_says(const struct vz_cgroup *group, const char *file, const char *word);

/** Is process PID kept from running by a freezer of either version?  Both may be there. */
bool vz_cgroup_frozen(pid_t pid);

enum vz_resource { VZ_RESOURCE_MEMORY, VZ_RESOURCE_PIDS };

struct vz_room {
	bool limited;         /* false: no limit anywhere, the rest is 0 */
	uint64_t limit, left; /* of the group that leaves least */
	char group[256];      /* its name, the end of it if long */
};

/**
 * What is left of RESOURCE for the group.  File pages count as left: the kernel takes
 * them before it kills.  -ENODATA: limits or use cannot be read.
 */
int vz_cgroup_room(const struct vz_cgroup *group, enum vz_resource resource, struct vz_room *ret);

#endif /* VZ_ATTACH_CGROUP_H */
