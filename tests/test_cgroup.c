/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "attach/cgroup.h"

/* ---- where ---- */

#define MOUNT_V1_MEMORY \
	"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
#define MOUNT_V1_BOTH "36 31 0:33 / /cg/both rw - cgroup cgroup rw,cpu,pids\n"
#define MOUNT_V2      "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_V2_PART "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
#define MOUNT_BLANK   "30 23 0:26 / /sys/fs/c\\040g rw - cgroup2 cgroup2 rw\n"
#define MOUNT_OTHER   "22 21 0:5 / /dev rw shared:2 - devtmpfs udev rw,size=1\n"

Test(cgroup, finds_the_directory_of_a_group)
{
	static const struct {
		const char *label, *groups, *mounts, *controller, *path;
		size_t top;
		bool v2, partial;
	} cases[] = {
		{ "version 1", "4:memory:/a/b\n", MOUNT_OTHER MOUNT_V1_MEMORY, "memory",
		  "/sys/fs/cgroup/memory/a/b", 21, false, false },
		{ "one of two controllers", "9:cpu,pids:/x\n4:memory:/a\n",
		  MOUNT_V1_MEMORY MOUNT_V1_BOTH, "pids", "/cg/both/x", 8, false, false },
		{ "version 2", "0::/user.slice/a\n", MOUNT_V2, "memory",
		  "/sys/fs/cgroup/user.slice/a", 14, true, false },
		{ "the root", "0::/\n", MOUNT_V2, "memory", "/sys/fs/cgroup", 14, true, false },
		{ "both: version 1 has it", "4:memory:/a\n0::/b\n", MOUNT_V2 MOUNT_V1_MEMORY,
		  "memory", "/sys/fs/cgroup/memory/a", 21, false, false },
		{ "both: version 2 has it", "4:memory:/a\n0::/b\n", MOUNT_V2 MOUNT_V1_MEMORY,
		  "pids", "/sys/fs/cgroup/b", 14, true, false },
		{ "a part of the tree", "0::/docker/abc/x\n", MOUNT_V2_PART, "memory",
		  "/sys/fs/cgroup/x", 14, true, true },
		{ "another part of the tree", "0::/docker/abcd\n", MOUNT_V2_PART, "memory", NULL, 0,
		  false, false },
		{ "outside of our namespace", "0::/../other\n", MOUNT_V2, "memory", NULL, 0, false,
		  false },
		{ "a blank in the path", "0::/a\n", MOUNT_BLANK, "memory", "/sys/fs/c g/a", 11,
		  true, false },
		{ "not mounted", "4:memory:/a\n", MOUNT_V2, "memory", NULL, 0, false, false },
		{ "a name that only begins so", "4:memory2:/a\n", MOUNT_V1_MEMORY, "memory", NULL,
		  0, false, false },
		{ "nothing", "", "", "memory", NULL, 0, false, false },
		{ "garbage", "::::\n0::\nx", "- - -\n - cgroup2 \n\n", "memory", NULL, 0, false,
		  false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vz_cgroup group;
		int rc = vz_cgroup_locate(cases[i].groups, cases[i].mounts, cases[i].controller,
					  &group);

		cr_assert_eq(rc, cases[i].path ? 0 : -ENOENT, "%s", cases[i].label);
		if (rc < 0)
			continue;
		cr_assert_str_eq(group.path, cases[i].path, "%s", cases[i].label);
		cr_assert_eq(group.top, cases[i].top, "%s", cases[i].label);
		cr_assert_eq(group.v2, cases[i].v2, "%s", cases[i].label);
		cr_assert_eq(group.partial, cases[i].partial, "%s", cases[i].label);
	}
}

/* ---- what is left ---- */

static char top[64];

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", top, name);
	file = fopen(path, "w");
	cr_assert_not_null(file, "%s", path);
	fputs(text, file);
	fclose(file);
}

/* A tree of our own: top, top/a, top/a/b. */
static void plant(struct vz_cgroup *group, bool v2)
{
	char path[128];

	strcpy(top, "/tmp/vz-cgroup-XXXXXX");
	cr_assert_not_null(mkdtemp(top));
	snprintf(path, sizeof(path), "%s/a", top);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/a/b", top);
	cr_assert_eq(mkdir(path, 0700), 0);
	memset(group, 0, sizeof(*group));
	snprintf(group->path, sizeof(group->path), "%s", path);
	group->top = strlen(top);
	group->v2 = v2;
}

static void uproot(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", top);
	cr_assert_eq(system(command), 0);
}

Test(cgroup, the_tightest_limit_of_all_above_counts)
{
	struct vz_cgroup group;
	struct vz_room room;

	plant(&group, true);
	put("a/b/memory.max", "max\n");
	put("a/b/memory.current", "500\n");
	cr_assert_eq(vz_cgroup_room(&group, VZ_RESOURCE_MEMORY, &room), 0);
	cr_assert_not(room.limited);
	put("a/memory.max", "10000\n");
	put("a/memory.current", "9000\n");
	cr_assert_eq(vz_cgroup_room(&group, VZ_RESOURCE_MEMORY, &room), 0);
	cr_assert(room.limited && room.limit == 10000 && room.left == 1000);
	cr_assert_str_eq(room.group, "/a");
	put("a/b/memory.max", "600\n");
	cr_assert_eq(vz_cgroup_room(&group, VZ_RESOURCE_MEMORY, &room), 0);
	cr_assert(room.limited && room.limit == 600 && room.left == 100);
	cr_assert_str_eq(room.group, "/a/b");
	uproot();
}

Test(cgroup, file_pages_can_be_taken_back)
{
	static const struct {
		bool v2;
		const char *limit, *use, *stat;
	} cases[] = {
		{ true, "memory.max", "memory.current",
		  "anon 1\ninactive_file 100\nactive_file 20\n" },
		{ false, "memory.limit_in_bytes", "memory.usage_in_bytes",
		  "inactive_file 7\nactive_file 7\ntotal_inactive_file 100\ntotal_active_file "
		  "20\n" },
	};

	for (size_t i = 0; i < 2; i++) {
		struct vz_cgroup group;
		struct vz_room room;
		char name[64];

		plant(&group, cases[i].v2);
		snprintf(name, sizeof(name), "a/b/%s", cases[i].limit);
		put(name, "1000\n");
		snprintf(name, sizeof(name), "a/b/%s", cases[i].use);
		put(name, "900\n");
		put("a/b/memory.stat", cases[i].stat);
		cr_assert_eq(vz_cgroup_room(&group, VZ_RESOURCE_MEMORY, &room), 0);
		cr_assert_eq(room.left, 220);
		uproot();
	}
}

Test(cgroup, version_1_has_a_number_for_no_limit)
{
	struct vz_cgroup group;
	struct vz_room room;

	plant(&group, false);
	put("a/b/memory.limit_in_bytes", "9223372036854771712\n");
	put("a/b/memory.usage_in_bytes", "1\n");
	cr_assert_eq(vz_cgroup_room(&group, VZ_RESOURCE_MEMORY, &room), 0);
	cr_assert_not(room.limited);
	uproot();
}

Test(cgroup, over_the_limit_is_nothing_left)
{
	struct vz_cgroup group;
	struct vz_room room;

	plant(&group, true);
	put("a/pids.max", "5\n");
	put("a/pids.current", "7\n");
	cr_assert_eq(vz_cgroup_room(&group, VZ_RESOURCE_PIDS, &room), 0);
	cr_assert(room.limited && room.limit == 5 && room.left == 0);
	uproot();
}

Test(cgroup, what_is_not_readable_is_not_unlimited)
{
	struct vz_cgroup group;
	struct vz_room room;

	plant(&group, true);
	put("a/pids.max", "5\n"); /* and no pids.current */
	cr_assert_eq(vz_cgroup_room(&group, VZ_RESOURCE_PIDS, &room), -ENODATA);
	uproot();
	cr_assert_eq(vz_cgroup_room(&group, VZ_RESOURCE_PIDS, &room), -ENODATA);
}

Test(cgroup, says)
{
	struct vz_cgroup group;

	plant(&group, true);
	put("a/b/cgroup.events", "populated 1\nfrozen 1\n");
	cr_assert(vz_cgroup_says(&group, "cgroup.events", "frozen 1"));
	cr_assert_not(vz_cgroup_says(&group, "cgroup.events", "frozen 0"));
	cr_assert_not(vz_cgroup_says(&group, "nothing", "frozen 1"));
	uproot();
}
