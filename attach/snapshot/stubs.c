/* SPDX-License-Identifier: MIT */
/* stubs.c - rooms that are not built yet. */
#include <errno.h>

#include "attach/snapshot/core.h"
#include "attach/snapshot/procstate.h"
#include "attach/snapshot/rooms.h"
#include "attach/snapshot/show.h"

#if !__has_include("names.c")
void vz_snapshot_names(const struct vz_scene_snapshot *scene)
{
	(void)scene;
}
#endif
#if !__has_include("locks.c")
void vz_snapshot_locks(const struct vz_scene_snapshot *scene)
{
	(void)scene;
}
#endif
#if !__has_include("asyncio.c")
void vz_snapshot_asyncio(const struct vz_scene_snapshot *scene)
{
	(void)scene;
}
#endif
#if !__has_include("greenlets.c")
void vz_snapshot_greenlets(const struct vz_scene_snapshot *scene)
{
	(void)scene;
}
#endif
#if !__has_include("locals.c")
void vz_snapshot_locals(const struct vz_scene_snapshot *scene)
{
	(void)scene;
}
#endif
#if !__has_include("verdict.c")
void vz_verdict_find(struct vz_snapshot *s)
{
	s->verdict.sentence = s->verdict.advice = "";
}
#endif
#if !__has_include("symbols.c")
int vz_symbols_new(const struct vz_target *target, const struct vz_maps *maps,
		   const struct vz_objects *objects, struct vz_symbols **ret)
{
	(void)target, (void)maps, (void)objects, (void)ret;
	return 0;
}
void vz_symbols_free(struct vz_symbols *symbols)
{
	(void)symbols;
}
void vz_symbols_find(struct vz_symbols *symbols, uint64_t pc, struct vz_symbol *ret)
{
	(void)symbols, (void)pc;
	*ret = (struct vz_symbol){ 0 };
}
#endif
#if !__has_include("procstate.c")
int vz_procstate_look(pid_t pid, pid_t tid, struct vz_look *ret)
{
	(void)pid, (void)tid, (void)ret;
	return 0;
}
uint64_t vz_procstate_asleep(pid_t pid, pid_t tid)
{
	(void)pid, (void)tid;
	return 0;
}
void vz_procstate_wait(const struct vz_target *target, const struct vz_task *task,
		       struct vz_snapshot *s, struct vz_snap_thread *t)
{
	(void)target, (void)task, (void)s, (void)t;
}
void vz_procstate_process(const struct vz_target *target, bool last, struct vz_snapshot *s)
{
	(void)target, (void)last, (void)s;
}
#endif
#if !__has_include("core.c")
int vz_core_open(const char *path, struct vz_core **ret, struct vz_err *err)
{
	(void)path, (void)ret;
	return vz_err_set(err, VZ_EXIT_UNSUPPORTED, ENOSYS, "core dumps cannot be read yet");
}
void vz_core_close(struct vz_core *core)
{
	(void)core;
}
#endif
#if !__has_include("show_text.c")
char *vz_snapshot_text(const struct vz_snapshot *s, const struct vz_show *show, size_t *len)
{
	(void)s, (void)show, (void)len;
	return NULL;
}
char *vz_snapshot_changes(const struct vz_snapshot *before, const struct vz_snapshot *now,
			  const struct vz_show *show, size_t *len)
{
	(void)before, (void)now, (void)show, (void)len;
	return NULL;
}
#endif
#if !__has_include("show_json.c")
char *vz_snapshot_json(const struct vz_snapshot *s, size_t *len)
{
	(void)s, (void)len;
	return NULL;
}
#endif
#if !__has_include("pystack.c")
ssize_t vz_pythreads_read(const struct vz_py *py, struct vz_pythread *ret, size_t max)
{
	(void)py, (void)ret, (void)max;
	return 0;
}
ssize_t vz_pystack_walk(const struct vz_py *py, uint64_t tstate, struct vz_pyframe *frames,
			size_t max)
{
	(void)py, (void)tstate, (void)frames, (void)max;
	return 0;
}
int vz_pyframe_place(const struct vz_py *py, const struct vz_pyframe *frame, struct vz_pyplace *ret)
{
	(void)py, (void)frame, (void)ret;
	return -ENOSYS;
}
#endif
#if !__has_include("pylayout.c")
int vz_pylayout_read(const struct vz_target *target, uint64_t runtime, uint64_t asyncio_debug,
		     unsigned minor, bool free_threaded, struct vz_pylayout *ret)
{
	(void)target, (void)runtime, (void)asyncio_debug, (void)minor, (void)free_threaded,
		(void)ret;
	return 0;
}
#endif
#if !__has_include("pyobj.c")
int vz_py_word(const struct vz_py *py, uint64_t raddr, uint64_t *ret)
{
	return vz_target_read(py->target, raddr, ret, sizeof(*ret));
}
int vz_py_u32(const struct vz_py *py, uint64_t raddr, uint32_t *ret)
{
	return vz_target_read(py->target, raddr, ret, sizeof(*ret));
}
int vz_py_u8(const struct vz_py *py, uint64_t raddr, uint8_t *ret)
{
	return vz_target_read(py->target, raddr, ret, sizeof(*ret));
}
#define STUB(type, name, ...)   \
	type name(__VA_ARGS__)  \
	{                       \
		return -ENOSYS; \
	}
#pragma GCC diagnostic ignored "-Wunused-parameter"
STUB(int, vz_pyobj_type, const struct vz_py *py, uint64_t obj, uint64_t *ret_type)
void vz_pyobj_type_name(const struct vz_py *py, uint64_t obj, char *buf, size_t size)
{
	buf[0] = 0;
}
bool vz_pyobj_is(const struct vz_py *py, uint64_t obj, const char *tp_name)
{
	return false;
}
enum vz_pykind vz_pyobj_kind(const struct vz_py *py, uint64_t obj)
{
	return 0;
}
STUB(int, vz_pyobj_text, const struct vz_py *py, uint64_t obj, char *buf, size_t size)
bool vz_pyobj_text_is(const struct vz_py *py, uint64_t obj, const char *text)
{
	return false;
}
STUB(int, vz_pyobj_int, const struct vz_py *py, uint64_t obj, int64_t *ret)
STUB(int, vz_pyobj_float, const struct vz_py *py, uint64_t obj, double *ret)
STUB(int64_t, vz_pyobj_len, const struct vz_py *py, uint64_t obj)
STUB(ssize_t, vz_pyobj_items, const struct vz_py *py, uint64_t obj, uint64_t *items, size_t max)
STUB(ssize_t, vz_pydict_items, const struct vz_py *py, uint64_t dict, uint64_t *keys,
     uint64_t *values, size_t max)
STUB(int, vz_pydict_get, const struct vz_py *py, uint64_t dict, const char *key, uint64_t *ret)
STUB(int, vz_pyobj_attr, const struct vz_py *py, uint64_t obj, const char *name, uint64_t *ret)
STUB(int, vz_pyobj_weakref, const struct vz_py *py, uint64_t obj, uint64_t *ret)
STUB(int, vz_pyobj_cell, const struct vz_py *py, uint64_t obj, uint64_t *ret)
STUB(int, vz_pyobj_self, const struct vz_py *py, uint64_t obj, uint64_t *ret)
STUB(int, vz_py_module_attr, const struct vz_py *py, uint64_t interp, const char *name,
     const char *attr, uint64_t *ret)
#endif
