/* SPDX-License-Identifier: MIT */
/*
 * safepoint_stack.c - the rules on the native stack: no frame in a function that
 * may hold what pthread_create needs.
 *
 * A stripped libc names only what it exports.  What lies between two exported
 * functions belongs to none of them, so an unnamed piece of libc is judged by the
 * named function that called it, and refused if there is none.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/safepoint_priv.h"
#include "attach/util.h"

/*
 * Whole names, or beginnings where a star ends them.  malloc and its like hold
 * the arena's lock; the thread functions that of the list of stacks, as set*id
 * does while it waits for all threads; fork all of them; exit and abort never return.
 */
static const char *const refused_in_libc[] = {
	"malloc*",
	"__libc_malloc*",
	"calloc",
	"__libc_calloc",
	"realloc*",
	"__libc_realloc",
	"free",
	"cfree",
	"__libc_free",
	"memalign",
	"__libc_memalign",
	"aligned_alloc",
	"posix_memalign",
	"valloc",
	"pvalloc",
	"__libc_valloc",
	"__libc_pvalloc",
	"mallopt",
	"mallinfo*",
	"mtrace",
	"muntrace",
	"mcheck*",
	"__libc_freeres",
	"__malloc_*",
	"pthread_create",
	"pthread_exit",
	"pthread_detach",
	"pthread_attr_*",
	"pthread_getattr_*",
	"pthread_atfork",
	"__pthread_atfork",
	"__register_atfork",
	"pthread_key_*",
	"__pthread_key_*",
	"pthread_setname_np",
	"pthread_getname_np",
	"pthread_cancel",
	"__call_tls_dtors",
	"__nptl_*",
	"__pthread_unwind*",
	"pthread_setattr_default_np",
	"fork",
	"__fork",
	"__libc_fork",
	"_Fork",
	"vfork",
	"__vfork",
	"clone",
	"__clone",
	"clone3",
	"__clone2",
	"posix_spawn*",
	"system",
	"__libc_system",
	"popen",
	"_IO_popen",
	"_IO_proc_open",
	"exit",
	"_exit",
	"_Exit",
	"quick_exit",
	"abort",
	"__cxa_*",
	"on_exit",
	"atexit",
	"__assert*",
	"__libc_fatal",
	"__stack_chk_fail",
	"__fortify_fail",
	"__chk_fail",
	"dl*",
	"__libc_dl*",
	"_dl_*",
	"__tls_get_addr*",
	"setuid",
	"seteuid",
	"setreuid",
	"setresuid",
	"setgid",
	"setegid",
	"setregid",
	"setresgid",
	"setgroups",
	"initgroups",
	"setns",
	"iconv_open",
	"__gconv_*",
	"longjmp",
	"_longjmp",
	"siglongjmp",
	"__longjmp_chk",
	"setcontext",
	"swapcontext",
	"makecontext",
};

/* What another allocator may export under the names of libc's. */
static const char *const malloc_family[] = {
	"malloc",        "calloc", "realloc", "free",  "memalign",           "posix_memalign",
	"aligned_alloc", "valloc", "pvalloc", "cfree", "malloc_usable_size", "_Znwm",
	"_Znam",         "_ZdlPv", "_ZdaPv",
};

static const char *const other_mallocs[] = { "jemalloc", "tcmalloc", "mimalloc" };

/*
 * Where a thread or the process begins: clone is on the bottom of every stack of
 * a thread, so it must be told from a clone that is under way.  That one is in the
 * system call, which safepoint.c refuses.
 */
static const char *const roots[] = {
	"clone", "__clone", "clone3", "__clone3", "__libc_start_main", "_start",
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool matches(const char *pattern, const char *name)
{
	size_t len = strlen(pattern);

	if (pattern[len - 1] == '*')
		return strncmp(pattern, name, len - 1) == 0;
	return !strcmp(pattern, name);
}

static bool listed(const char *const *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (matches(list[i], name))
			return true;
	return false;
}

/* ---- what is learned before the stop ---- */

static int add_function(struct vz_safepoint *s, const char *name, uint64_t start, uint64_t size,
			bool refused)
{
	if (s->nfunctions == s->room) {
		size_t room = s->room * 2 + 1024;
		struct vz_function *more = realloc(s->functions, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->functions = more;
		s->room = room;
	}
	s->functions[s->nfunctions++] = (struct vz_function){ start, start + size, name, refused };
	return 0;
}

static int learn_libc(struct vz_safepoint *s, const struct vz_object *object)
{
	uint64_t raddr, size;
	size_t cursor = 0;
	const char *name;
	int rc = 0;

	while (rc == 0 && (name = vz_object_next_function(object, &cursor, &raddr, &size)))
		rc = add_function(s, name, raddr, size,
				  listed(refused_in_libc, COUNT(refused_in_libc), name));
	return rc;
}

static int learn_allocator(struct vz_safepoint *s, const struct vz_object *object)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < COUNT(malloc_family); i++) {
		uint64_t size = 0, raddr = vz_object_symbol(object, malloc_family[i], &size);

		if (raddr && size)
			rc = add_function(s, malloc_family[i], raddr, size, true);
	}
	return rc;
}

/* By start; of several names for one place a refused one comes first. */
static int by_address(const void *a, const void *b)
{
	const struct vz_function *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (int)y->refused - (int)x->refused;
}

int vz_safepoint_learn(struct vz_safepoint *s)
{
	int rc = 0;

	s->libc = vz_objects_find(s->objects, s->python->libc_start);
	s->libpthread = vz_objects_find(s->objects, s->python->libc[VZ_LIBC_pthread_create]);
	if (s->libpthread == s->libc)
		s->libpthread = NULL;
	for (size_t i = 0; rc == 0 && i < s->objects->count; i++) {
		const struct vz_object *object = s->objects->items[i];

		if (object == s->libc || object == s->libpthread)
			rc = learn_libc(s, object);
		else if (vz_objects_find(s->objects, s->python->ld_start) != object)
			rc = learn_allocator(s, object);
	}
	if (s->nfunctions)
		qsort(s->functions, s->nfunctions, sizeof(*s->functions), by_address);
	return rc;
}

static const struct vz_function *find_function(const struct vz_safepoint *s, uint64_t pc)
{
	size_t low = 0, high = s->nfunctions;

	while (low < high) { /* the last that starts at or before PC */
		size_t mid = low + (high - low) / 2;

		if (s->functions[mid].start <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	/* several may start there, or an inner one have ended already */
	for (size_t back = 0; low > 0 && back < 8; back++) {
		const struct vz_function *f = &s->functions[--low];

		if (pc < f->end) {
			while (low > 0 && s->functions[low - 1].start == f->start)
				f = &s->functions[--low];
			return f;
		}
	}
	return NULL;
}

/* ---- the rules ---- */

/* Of which code an instruction is: a return address may lie behind its function's end. */
static uint64_t code_of(const struct vz_native_frame *frame)
{
	return frame->exact ? frame->pc : frame->pc - 1;
}

static const char *object_name(const struct vz_object *object)
{
	return object ? vz_basename(vz_object_path(object)) : "no file";
}

/* The greenlet library switches C stacks: what lies above its frames belongs to others, who wait.
 */
static bool is_stack_switch(const struct vz_object *object)
{
	return strstr(object_name(object), "_greenlet.") != NULL;
}

static int refuse_at(char *why, size_t size, const char *function, const struct vz_object *object,
		     uint64_t pc)
{
	uint64_t start = 0, end;

	if (object)
		vz_object_range(object, &start, &end);
	if (function)
		snprintf(why, size, "%s (%s)", function, object_name(object));
	else
		snprintf(why, size, "unknown code (%s+0x%llx)", object_name(object),
			 (unsigned long long)(pc - start));
	return -EAGAIN;
}

static bool in_libc(const struct vz_safepoint *s, const struct vz_object *object)
{
	return object && (object == s->libc || object == s->libpthread);
}

/* The frame is in libc.  *UNNAMED: the innermost unnamed one that nobody vouches for yet, 0: none.
 */
static int check_libc_frame(const struct vz_safepoint *s, const struct vz_object *object, size_t i,
			    uint64_t pc, uint64_t *unnamed, char *why, size_t size)
{
	const struct vz_function *function = find_function(s, pc);
	bool last = i + 1 == s->stack->count;

	if (function && last && listed(roots, COUNT(roots), function->name))
		function = NULL; /* the bottom: as good as unnamed */
	if (function && function->refused)
		return refuse_at(why, size, function->name, object, pc);
	if (function)
		*unnamed = 0;
	else if (!*unnamed)
		*unnamed = pc;
	return 0;
}

static int check_frame(const struct vz_safepoint *s, const struct vz_object *object, uint64_t pc,
		       char *why, size_t size)
{
	const struct vz_function *function;

	if (!object)
		return refuse_at(why, size, NULL, NULL, pc);
	if (object == vz_objects_find(s->objects, s->python->ld_start))
		return refuse_at(why, size, "the dynamic loader", object, pc);
	for (size_t k = 0; k < COUNT(other_mallocs); k++)
		if (strstr(object_name(object), other_mallocs[k]))
			return refuse_at(why, size, other_mallocs[k], object, pc);
	function = find_function(s, pc);
	return function && function->refused ? refuse_at(why, size, function->name, object, pc) : 0;
}

/*
 * Frames from the innermost on.  BLOCKED: the thread waits in a system call that
 * safepoint.c allows, so unnamed code of libc around that call is known to be a wait.
 */
static int check_frames(const struct vz_safepoint *s, bool blocked, size_t *end, char *why,
			size_t size)
{
	uint64_t unnamed = 0;
	bool innermost = blocked;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->stack->count; i++) {
		const struct vz_native_frame *frame = &s->stack->frames[i];
		uint64_t pc = code_of(frame);
		const struct vz_object *object = vz_objects_find(s->objects, pc);

		*end = i + 1;
		if (frame->trampoline)
			return vz_safepoint_refuse(why, size, "a signal handler");
		if (in_libc(s, object)) {
			rc = check_libc_frame(s, object, i, pc, &unnamed, why, size);
			continue;
		}
		/* code of others: libc's unnamed functions on top of it had no named caller */
		if (unnamed && !innermost)
			return refuse_at(why, size, NULL, s->libc, unnamed);
		unnamed = 0;
		innermost = false;
		if (is_stack_switch(object))
			return 0;
		rc = check_frame(s, object, pc, why, size);
	}
	return rc; /* unnamed ones at the bottom are the root */
}

/* CPython itself, or a module of its standard library: the innermost code outside of libc. */
static bool called_by_python(const struct vz_safepoint *s)
{
	for (size_t i = 0; i < s->stack->count; i++) {
		const struct vz_object *object =
			vz_objects_find(s->objects, code_of(&s->stack->frames[i]));

		if (in_libc(s, object))
			continue;
		return object && (!strcmp(vz_object_path(object), s->python->path) ||
				  strstr(vz_object_path(object), "/lib-dynload/"));
	}
	return false;
}

static int check_end(const struct vz_safepoint *s, size_t judged, char *why, size_t size)
{
	const struct vz_native_frame *last = &s->stack->frames[s->stack->count - 1];
	const struct vz_object *object = vz_objects_find(s->objects, code_of(last));

	if (s->stack->end == VZ_UNWIND_ROOT || judged < s->stack->count)
		return 0;
	if (is_stack_switch(object))
		return 0;
	if (s->stack->end == VZ_UNWIND_UNKNOWN)
		return refuse_at(why, size, NULL, object, code_of(last));
	if (s->stack->end == VZ_UNWIND_DEEP)
		return vz_safepoint_refuse(why, size, "a stack too deep to be followed");
	snprintf(why, size, "a stack that cannot be followed behind %s", object_name(object));
	return -EAGAIN;
}

int vz_safepoint_check_stack(struct vz_safepoint *s, struct vz_cpu *cpu, char *why, size_t size)
{
	const struct vz_object *object = vz_objects_find(s->objects, vz_arch_pc(cpu));
	bool blocked = vz_arch_syscall(cpu) >= 0;
	size_t judged = 0;
	int rc;

	/* Without a call to tell what it does, libc's innermost code is not told apart. */
	if (!blocked && in_libc(s, object)) {
		const struct vz_function *function = find_function(s, vz_arch_pc(cpu));

		return refuse_at(why, size, function ? function->name : NULL, object,
				 vz_arch_pc(cpu));
	}
	vz_unwind(s->unwinder, cpu, s->stack);
	rc = check_frames(s, blocked, &judged, why, size);
	if (rc == 0)
		rc = check_end(s, judged, why, size);
	cpu->eintr_ok = rc == 0 && blocked && called_by_python(s);
	return rc;
}

void vz_safepoint_warm(struct vz_safepoint *s, const struct vz_cpu *cpu)
{
	vz_unwind(s->unwinder, cpu, s->stack);
}

int vz_safepoint_new(const struct vz_target *target, const struct vz_objects *objects,
		     const struct vz_maps *maps, const struct vz_python *python,
		     struct vz_safepoint **ret)
{
	struct vz_safepoint *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	if (!s)
		return rc;
	*s = (struct vz_safepoint){
		.target = target, .objects = objects, .maps = maps, .python = python
	};
	s->stack = malloc(sizeof(*s->stack));
	if (s->stack)
		rc = vz_unwinder_new(target, maps, objects, &s->unwinder);
	if (rc == 0)
		rc = vz_safepoint_learn(s);
	if (rc < 0)
		vz_safepoint_free(s);
	else
		*ret = s;
	return rc;
}

void vz_safepoint_free(struct vz_safepoint *s)
{
	if (!s)
		return;
	vz_unwinder_free(s->unwinder);
	free(s->stack);
	free(s->functions);
	free(s);
}
