/* SPDX-License-Identifier: MIT */
#include "tests/kit_python.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/link.h"
#include "tests/kit_story.h"
#include "tests/subject.h"

/* Last: they hide whatever is declared behind them. */
#include "payload/hook.h"
#include "payload/intern.h"

#ifdef VZ_COVERAGE /* _exit() would forget which lines ran */
void __gcov_dump(void);
#else
static void __gcov_dump(void)
{
}
#endif

static int report_fd = -1;
static const char *library;

static __attribute__((noreturn)) void end(int status)
{
	__gcov_dump();
	_exit(status);
}

void kit_python_wrong(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	dprintf(report_fd, "%s:%d, %s: ", file, line, library);
	vdprintf(report_fd, fmt, ap);
	va_end(ap);
	end(1);
}

/* The prefix of PREFIX/lib/libpython3.N.so.1.0, or PREFIX/lib/TRIPLET/... */
static void set_home(const char *path)
{
	char home[4096], *lib;

	snprintf(home, sizeof(home), "%s", path);
	lib = strstr(home, "/lib/");
	if (lib)
		*lib = '\0';
	setenv("PYTHONHOME", home, 1);
}

static const char *const py_names[VZ_NPYSYMS] = {
#define NAME(symbol) #symbol,
	VZ_PY_SYMBOLS(NAME)
#undef NAME
};

static void load(struct kit_hooked *k, const char *path)
{
	void *lib = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	void (*initialize)(int signals);

	KIT_CHECK(lib, "%s", dlerror());
	set_home(path);
	*(void **)&initialize = dlsym(lib, "Py_InitializeEx");
	*(void **)&k->run = dlsym(lib, "PyRun_SimpleString");
	*(void **)&k->save_thread = dlsym(lib, "PyEval_SaveThread");
	*(void **)&k->restore_thread = dlsym(lib, "PyEval_RestoreThread");
	initialize(0);
	memset(&vz_boot, 0, sizeof(vz_boot));
	for (unsigned i = 0; i < VZ_NPYSYMS; i++)
		vz_boot.py[i] = (uint64_t)(uintptr_t)dlsym(lib, py_names[i]);
}

static void in_child(const char *path, unsigned minor, void (*test)(struct kit_hooked *k))
{
	static struct kit_hooked k;

	k.minor = minor;
	k.hook = vz_pyver_find(minor)->hook;
	load(&k, path);
	KIT_CHECK(k.run("import threading") == 0, "no standard library");
	test(&k);
	end(0);
}

static void run_one(const char *path, unsigned minor, void (*test)(struct kit_hooked *k),
		    char *wrong, size_t size)
{
	int fds[2], status = 0;
	ssize_t n;
	pid_t pid;

	if (pipe(fds) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fds[0]);
		report_fd = fds[1];
		library = path;
		in_child(path, minor, test);
	}
	close(fds[1]);
	n = read(fds[0], wrong, size - 1);
	wrong[n > 0 ? n : 0] = '\0';
	close(fds[0]);
	waitpid(pid, &status, 0);
	if (status && !wrong[0])
		snprintf(wrong, size, "%s: ended with status %x", path, (unsigned)status);
}

unsigned kit_python_each(unsigned min, unsigned max, void (*test)(struct kit_hooked *k),
			 char *wrong, size_t size)
{
	static const char *const formats[] = { "lib/libpython3.*.so.1.0",
					       "lib/*/libpython3.*.so.1.0" };
	unsigned n = 0, minor;

	wrong[0] = '\0';
	for (size_t f = 0; f < 2; f++) {
		glob_t found;

		find_below_prefixes(formats[f], &found);
		for (size_t i = 0; i < found.gl_pathc && !wrong[0]; i++) {
			const char *path = found.gl_pathv[i];

			minor = 0;
			sscanf(strrchr(path, '/'), "/libpython3.%2u.so", &minor);
			if (minor < min || minor > max || !vz_pyver_find(minor))
				continue;
			n++;
			run_one(path, minor, test, wrong, size);
		}
		globfree(&found);
	}
	return n;
}

void kit_python_boot(struct kit_hooked *k, uint64_t bytes)
{
	static struct vz_python python;
	static struct vz_boot boot;

	KIT_CHECK(vz_arena_plan(bytes, &k->arena) == 0, "plan");
	python.ver = vz_pyver_find(k->minor);
	python.minor = k->minor;
	memcpy(python.py, vz_boot.py, sizeof(python.py));
	k->clock.is_ns = !vz_clock_tsc_usable();
	k->first = vz_clock_pair_now(k->clock.is_ns);
	vz_link_boot(&python, &k->arena, true, k->clock.is_ns, &boot);
	boot.magic = VZ_WIRE_MAGIC;
	boot.arena_fd = -1;
	memcpy(&vz_boot, &boot, sizeof(boot));
}

static void describe(void *context, uint32_t ns_tid, pid_t *tid, char *name, size_t size)
{
	(void)context, (void)name, (void)size;
	*tid = (pid_t)ns_tid;
}

static const struct vz_hook_ops *ops(const struct kit_hooked *k)
{
	return k->hook == VZ_HOOK_PROFILE ? &vz_hook_profile : &vz_hook_monitoring;
}

static void *map(uint64_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	KIT_CHECK(at != MAP_FAILED, "mmap");
	return at;
}

struct visit {
	struct kit_hooked *k;
	bool install;
	uint32_t result;
};

/* As the agent does it: on a thread of its own, with the GIL. */
static void *visit(void *argument)
{
	struct visit *v = argument;
	int state = VZ_PY(PyGILState_Ensure, int, void)();

	vz_agent_ts = vz_ts_current();
	v->result = v->install ? ops(v->k)->install() : ops(v->k)->remove();
	vz_agent_ts = NULL;
	VZ_PY(PyGILState_Release, void, int)(state);
	return NULL;
}

static uint32_t on_own_thread(struct kit_hooked *k, bool install)
{
	struct visit v = { k, install, 0 };
	void *state = k->save_thread();
	pthread_t thread;

	KIT_CHECK(pthread_create(&thread, NULL, visit, &v) == 0, "pthread_create");
	pthread_join(thread, NULL);
	k->restore_thread(state);
	return v.result;
}

uint32_t kit_python_hook(struct kit_hooked *k, uint64_t bytes)
{
	struct vz_err err;
	uint32_t rc;

	kit_python_boot(k, bytes);
	k->arena.at = map(k->arena.bytes);
	vz_ring_init(k->arena.at, map(sizeof(struct vz_private) + 4 * (uint64_t)k->arena.nchunks));
	KIT_CHECK(vz_intern_init() == 0, "intern");
	k->fd = memfd_create("trace", MFD_CLOEXEC);
	KIT_CHECK(vz_tracefile_new(k->fd, getpid(), k->first.ns, 1, &k->tf, &err) == 0, "file");
	vz_clock_init(&k->clock, k->clock.is_ns, k->first, vz_clock_pair_now(k->clock.is_ns));
	KIT_CHECK(vz_drain_new(&k->arena, k->tf, &k->clock, describe, NULL, &k->drain) == 0,
		  "drain");
	vz_intern_watch();
	rc = on_own_thread(k, true);
	if (rc)
		KIT_CHECK(vz_intern_unwatch() == 1, "unwatch");
	return rc;
}

unsigned kit_python_unhook(struct kit_hooked *k)
{
	unsigned left = on_own_thread(k, false);

	return left + !vz_intern_unwatch();
}

void kit_python_poll(struct kit_hooked *k)
{
	vz_clock_update(&k->clock, vz_clock_pair_now(k->clock.is_ns), 200000000);
	while (vz_drain_poll(k->drain))
		;
}

char *kit_python_story(struct kit_hooked *k, const char *name)
{
	struct vz_err err;
	uint64_t now;

	kit_python_poll(k);
	now = vz_clock_pair_now(k->clock.is_ns).ns;
	vz_drain_finish(k->drain, now);
	vz_drain_totals(k->drain, &k->totals);
	KIT_CHECK(vz_tracefile_finish(k->tf, now, "", &err) == 0, "finish");
	KIT_CHECK(k->totals.damaged == 0, "the payload wrote nonsense");
	return kit_story(k->fd, name);
}
