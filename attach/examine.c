/* SPDX-License-Identifier: MIT */
/* examine.c - all the checks of one process, in the order in which a recording makes them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "attach/doctor.h"
#include "attach/util.h"

/* ERR of something that is no row of a table. */
static void add_refusal(struct vz_examination *e, const char *name, int rc,
			const struct vz_err *err)
{
	struct vz_finding *f = vz_findings_add(&e->findings, name);

	if (f)
		vz_finding_refuse(f, rc < 0 ? -rc : rc, err);
}

/* 1: the same, 0: another, -1: cannot be told */
static int same_namespace(pid_t pid, const char *kind)
{
	char path[64];
	struct stat theirs, ours;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	if (stat(path, &theirs) < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	if (stat(path, &ours) < 0)
		return -1;
	return theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

static void look_around(struct vz_examination *e)
{
	struct vz_finding *f = vz_findings_add(&e->findings, "container");
	int mnt = same_namespace(e->pid, "mnt"), pid = same_namespace(e->pid, "pid");
	struct vz_status status;

	e->ns_known = mnt >= 0 && pid >= 0;
	e->container = mnt == 0 || pid == 0;
	/* The list of its numbers is open to all. */
	if (!e->container && vz_status_read(e->pid, 0, &status) == 0 && status.ns_depth > 1)
		e->container = e->ns_known = true;
	if (!f)
		return;
	if (e->container)
		vz_finding_say(f, VZ_FOUND_NOTE, "%s",
			       mnt == 0 && pid == 0 ? "it lives in a container: its files and "
						      "process ids are not ours"
			       : mnt == 0           ? "it sees other files (a mount namespace)"
						    : "it has other process ids (a pid namespace)");
	else if (e->ns_known)
		vz_finding_say(f, VZ_FOUND_OK, "same file system and processes as here");
	else
		vz_finding_say(f, VZ_FOUND_UNKNOWN, "its namespaces are not readable");
}

struct contents {
	struct vz_maps maps;
	struct vz_objects objects;
	struct vz_python python;
};

static void name_python(const struct vz_python *python, struct vz_examination *e)
{
	struct vz_finding *f = vz_findings_add(&e->findings, "python");

	snprintf(e->python, sizeof(e->python), "%s", python->version);
	if (f)
		vz_finding_say(f, VZ_FOUND_OK, "CPython %s, recorded by %s", python->version,
			       python->ver->hook == VZ_HOOK_PROFILE ? "its profile function"
								    : "sys.monitoring");
}

static void look_inside(const struct vz_target *target, const struct vz_wish *wish,
			struct contents *in, struct vz_examination *e)
{
	const struct vz_inside inside = { &in->maps, &in->objects, &in->python };
	struct vz_err err = { 0 };
	int rc = vz_maps_read(target->pid, &in->maps, &err);

	if (rc == 0)
		rc = vz_objects_read(target, &in->maps, &in->objects, &err);
	if (rc == 0) {
		rc = vz_python_find(target, &in->maps, &in->objects, &in->python, &err);
		snprintf(e->python, sizeof(e->python), "%s", in->python.version);
	}
	if (rc < 0) {
		add_refusal(e, "python", rc, &err);
		return;
	}
	name_python(&in->python, e);
	vz_preflight_python(target, &inside, wish, &e->findings, &err);
}

void vz_examine_process(pid_t pid, const struct vz_wish *wish, struct vz_examination *ret)
{
	struct vz_target target;
	struct contents in;
	struct vz_err err = { 0 };
	int rc;

	memset(ret, 0, sizeof(*ret));
	memset(&in, 0, sizeof(in));
	ret->pid = pid;
	ret->findings.go_on = true;
	rc = vz_target_open(pid, &target, &err);
	if (rc < 0) {
		add_refusal(ret, "process", rc, &err);
		return;
	}
	snprintf(ret->comm, sizeof(ret->comm), "%s", target.comm);
	vz_preflight_process(&target, wish, &ret->findings, &err);
	if (vz_target_alive(&target))
		look_around(ret);
	if (target.mem_fd >= 0)
		look_inside(&target, wish, &in, ret);
	vz_objects_fini(&in.objects);
	vz_maps_fini(&in.maps);
	vz_target_close(&target);
}
