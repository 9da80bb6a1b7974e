/* SPDX-License-Identifier: MIT */
/* take_open.c - what has to be there before the first look. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/take_priv.h"
#include "attach/util.h"

static int refuse_permission(const struct vz_target *target, struct vz_err *err)
{
	struct vz_status status;
	char user[64];

	vz_err_set(err, VZ_EXIT_PERMISSION, EPERM, "the memory of %d (%s) may not be read",
		   (int)target->pid, target->comm);
	if (vz_status_read(target->pid, 0, &status) < 0 || status.uid == geteuid())
		vz_err_why(err, "it is protected: by Yama, by itself (not dumpable), or it has "
				"rights that you have not");
	else if (vz_user_name(status.uid, user, sizeof(user)))
		vz_err_why(err, "it belongs to %s", user);
	else
		vz_err_why(err, "it belongs to user %u", (unsigned)status.uid);
	vz_err_try(err, "sudo vizattach snapshot --pid %d", (int)target->pid);
	return -EPERM;
}

/* /proc lets some things be seen that memory does not. */
static int check_readable(struct vz_taking *k, struct vz_err *err)
{
	uint64_t word;
	int rc = -EFAULT;

	for (size_t i = 0; i < k->maps->count && rc == -EFAULT; i++) {
		if (k->maps->items[i].readable)
			rc = vz_target_read(k->target, k->maps->items[i].start, &word,
					    sizeof(word));
	}
	return rc == -EPERM ? refuse_permission(k->target, err) : 0;
}

static int open_process(struct vz_taking *k, struct vz_err *err)
{
	int rc = vz_target_open(k->take->pid, &k->process, err);

	if (rc < 0) {
		k->process.pidfd = k->process.mem_fd = -1;
		return rc;
	}
	k->target = &k->process;
	rc = vz_maps_read(k->take->pid, &k->own_maps, err);
	if (rc == -EACCES || rc == -EPERM) {
		*err = (struct vz_err){ 0 };
		return refuse_permission(k->target, err);
	}
	if (rc < 0)
		return rc;
	k->maps = &k->own_maps;
	return check_readable(k, err);
}

static int open_core(struct vz_taking *k, struct vz_err *err)
{
	int rc = vz_core_open(k->take->core, &k->core, err);

	if (rc < 0)
		return rc;
	k->target = &k->core->target;
	k->maps = &k->core->maps;
	if (k->core->missing_bytes)
		vz_snapshot_note(k->snapshot, "the core dump is cut: %llu bytes are missing",
				 (unsigned long long)k->core->missing_bytes);
	return 0;
}

static void describe(struct vz_taking *k)
{
	struct vz_snapshot *s = k->snapshot;

	s->pid = k->core ? k->core->pid : k->take->pid;
	s->from_core = k->core != NULL;
	s->no_stop = k->take->no_stop;
	s->source = k->core ? vz_arena_text(s->arena, k->take->core) : "";
	s->comm = vz_arena_text(s->arena, k->target->comm);
	s->exe = vz_arena_text(s->arena, k->target->exe);
	s->python = vz_arena_text(s->arena, k->python.version);
	s->free_threaded = k->python.free_threaded;
	s->debug_build = k->python.debug_build;
}

static int find_python(struct vz_taking *k, struct vz_err *err)
{
	int rc = vz_objects_read(k->target, k->maps, &k->objects, err);
	uint64_t asyncio = 0;

	if (rc == 0)
		rc = vz_python_look(k->target, &k->objects, &k->python, err);
	if (rc < 0)
		return rc;
	k->py = (struct vz_py){ .target = k->target,
				.maps = k->maps,
				.runtime = k->python.py[VZ_SYM__PyRuntime],
				.debug_build = k->python.debug_build };
	if (k->python.minor >= 14)
		asyncio = vz_pylayout_asyncio(k->target, k->maps, &k->objects, k->py.runtime);
	rc = vz_pylayout_read(k->target, k->py.runtime, asyncio, k->python.minor,
			      k->python.free_threaded, &k->py.at);
	if (rc < 0) {
		vz_err_set(err, VZ_EXIT_UNSUPPORTED, -rc, "%d (%s) runs CPython %s",
			   (int)k->take->pid, k->target->comm, k->python.version);
		vz_err_why(err, "where things are in its structures is not known");
		vz_err_try(err, "a newer vizattach");
	}
	return rc;
}

int vz_taking_open(struct vz_taking *k, struct vz_err *err)
{
	int rc;

	k->process.pidfd = k->process.mem_fd = -1;
	rc = k->take->core ? open_core(k, err) : open_process(k, err);
	if (rc == 0)
		rc = find_python(k, err);
	if (rc == 0)
		describe(k);
	return rc;
}

int vz_taking_prepare(struct vz_taking *k, struct vz_err *err)
{
	size_t n = k->snapshot->nthreads + 1;
	int rc = 0;

	k->native = calloc(n, sizeof(struct vz_native_stack *));
	k->raw = calloc(n, sizeof(*k->raw));
	k->tasks = calloc(n, sizeof(*k->tasks));
	k->unwound = malloc(sizeof(*k->unwound));
	if (!k->native || !k->raw || !k->tasks || !k->unwound)
		rc = -ENOMEM;
	if (rc == 0)
		rc = vz_capture_new(k->target, &k->capture);
	if (rc == 0)
		rc = vz_unwinder_new(&k->capture->view, k->maps, &k->objects, &k->unwinder);
	if (rc == 0)
		rc = vz_symbols_new(k->target, k->maps, &k->objects, &k->symbols);
	k->scene = (struct vz_scene_snapshot){ .target = k->target,
					       .maps = k->maps,
					       .objects = &k->objects,
					       .python = &k->python,
					       .py = &k->py,
					       .symbols = k->symbols,
					       .raw = k->raw,
					       .snapshot = k->snapshot };
	if (rc == 0)
		rc = vz_frame_cache_new(&k->scene.cache);
	if (rc < 0)
		vz_err_set(err, VZ_EXIT_UNEXPECTED, -rc, "out of memory");
	return rc;
}

void vz_taking_close(struct vz_taking *k)
{
	for (size_t i = 0; i < k->snapshot->nthreads; i++) {
		if (k->native)
			free(k->native[i]);
		if (k->raw)
			free(k->raw[i].frames);
	}
	free(k->native);
	free(k->raw);
	free(k->tasks);
	free(k->unwound);
	vz_frame_cache_free(k->scene.cache);
	vz_symbols_free(k->symbols);
	vz_unwinder_free(k->unwinder);
	vz_capture_free(k->capture);
	vz_objects_fini(&k->objects);
	vz_maps_fini(&k->own_maps);
	if (k->core)
		vz_core_close(k->core);
	else if (k->target)
		vz_target_close(&k->process);
}

const struct vz_core_thread *vz_taking_core_thread(const struct vz_taking *k, size_t i)
{
	pid_t tid = k->snapshot->threads[i].tid;

	for (size_t c = 0; c < k->core->nthreads; c++) {
		if (k->core->threads[c].tid == tid)
			return &k->core->threads[c];
	}
	return &k->core->threads[0];
}
