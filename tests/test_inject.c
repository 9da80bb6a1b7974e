/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/resource.h>

#include "attach/image.h"
#include "attach/inject.h"
#include "attach/pyver_priv.h"
#include "attach/tracee.h"
#include "attach/util.h"
#include "tests/kit_child.h"
#include "tests/kit_wait.h"

enum { PAGES = 64, PAGE = 4096, STOPS = 50 };

/* A process that is no Python, seen as far as injection needs it. */
struct view {
	struct vz_target target;
	struct vz_maps maps;
	struct vz_objects objects;
	struct vz_python python;
	struct vz_image image;
	struct vz_boot boot;
	struct vz_inject_context context;
	struct vz_injection injection;
	struct vz_err err;
	char *payload;
};

static void view_open(struct view *v, pid_t pid)
{
	char path[4096];
	size_t len;

	memset(v, 0, sizeof(*v));
	snprintf(path, sizeof(path), "%s/payload/libvzpayload.so", getenv("VZ_BUILD_DIR"));
	cr_assert_eq(vz_slurp(path, 16 << 20, &v->payload, &len), 0, "%s", path);
	cr_assert_eq(vz_image_init(v->payload, len, &v->image, &v->err), 0);
	cr_assert_eq(vz_target_open(pid, &v->target, &v->err), 0);
	if (vz_target_open_mem(&v->target) < 0)
		cr_skip_test("ptrace is not allowed here");
	cr_assert_eq(vz_maps_read(pid, &v->maps, &v->err), 0);
	cr_assert_eq(vz_objects_read(&v->target, &v->maps, &v->objects, &v->err), 0);
	cr_assert_eq(vz_pyver_libc(&v->target, &v->objects, &v->python, &v->err), 0);
	v->context = (struct vz_inject_context){
		.target = &v->target,
		.maps = &v->maps,
		.objects = &v->objects,
		.python = &v->python,
		.image = &v->image,
		.boot = &v->boot,
		.timeout_ns = 20 * 1000 * 1000,
	};
}

static void view_close(struct view *v)
{
	vz_image_fini(&v->image);
	vz_objects_fini(&v->objects);
	vz_maps_fini(&v->maps);
	vz_target_close(&v->target);
	free(v->payload);
}

/* Stop and let go STOPS times: no place is safe in a program that is all loader. */
static void look_often(struct view *v)
{
	unsigned stops = 0;

	v->python.ld_start = 0;
	v->python.ld_end = UINT64_MAX;
	while (stops < STOPS) {
		cr_assert_eq(vz_inject(&v->context, &v->injection, &v->err), -EAGAIN, "%s",
			     v->err.why);
		cr_assert_eq(v->err.exit, VZ_EXIT_UNSAFE);
		cr_assert_not_null(strstr(v->err.why, "the dynamic loader"), "%s", v->err.why);
		stops += v->injection.attempts;
	}
}

Test(inject, a_wait_that_is_only_looked_at_goes_on, .timeout = 100)
{
	for (size_t i = 0; i < KIT_NWAITS; i++) {
		struct kit_child c = kit_wait_start(&kit_waits[i]);
		struct view v;
		int status;

		view_open(&v, c.pid);
		look_often(&v);
		status = kit_wait_end(&c);
		cr_assert_eq(status, 0, "%s: %lld", kit_waits[i].label, (long long)c.page->wrong);
		view_close(&v);
	}
}

static char *own_pages;

static bool mapped(pid_t pid, const char *at)
{
	struct vz_maps maps;
	struct vz_err err;
	bool yes;

	cr_assert_eq(vz_maps_read(pid, &maps, &err), 0);
	yes = vz_maps_find(&maps, (uint64_t)(uintptr_t)at) != NULL;
	vz_maps_fini(&maps);
	return yes;
}

/* Before the fork, so that the child has them at a place that we know. */
static void map_own_pages(void)
{
	own_pages = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(own_pages, MAP_FAILED);
}

/* A call of ours in the middle of a wait of theirs: the page is gone and the wait goes on. */
Test(inject, a_wait_goes_on_after_a_call_of_ours, .timeout = 100)
{
	map_own_pages();
	for (size_t i = 0; i < KIT_NWAITS; i++) {
		struct kit_child c = kit_wait_start(&kit_waits[i]);
		struct view v;
		int status;

		view_open(&v, c.pid);
		for (int k = 0; k < STOPS; k++) {
			char *page = own_pages + (ptrdiff_t)k * PAGE;

			cr_assert(mapped(c.pid, page));
			cr_assert_eq(vz_inject_munmap(&v.target, &v.python,
						      (uint64_t)(uintptr_t)page, PAGE, &v.err),
				     0, "%s %d", kit_waits[i].label, k);
			cr_assert_not(mapped(c.pid, page));
		}
		status = kit_wait_end(&c);
		cr_assert_eq(status, 0, "%s: %lld", kit_waits[i].label, (long long)c.page->wrong);
		view_close(&v);
	}
}

/* Vector registers and a checksum, outside of libc. */
static void sum(struct kit_page *page)
{
	uint64_t expected = 0;

	page->address[0] = (uint64_t)(uintptr_t)sum;
	while (!page->stop && !page->wrong) {
		uint64_t x = 1;
		double d[4] = { 1, 2, 3, 4 };

		for (unsigned i = 1; i < 5000; i++) {
			x = x * UINT64_C(6364136223846793005) + i;
			for (unsigned k = 0; k < 4; k++)
				d[k] = d[k] * 1.0000001 + (double)(x >> 60);
		}
		x ^= (uint64_t)(d[0] + d[1] + d[2] + d[3]);
		if (!expected)
			expected = x;
		page->wrong = x != expected;
		page->rounds++;
		page->ready = 1;
	}
}

Test(inject, munmap_in_a_working_thread, .timeout = 60)
{
	struct kit_child c;
	struct view v;

	map_own_pages();
	c = kit_child_start(sum);
	view_open(&v, c.pid);
	for (int k = 0; k < PAGES; k++) {
		uint64_t page = (uint64_t)(uintptr_t)own_pages + (uint64_t)k * PAGE;

		cr_assert_eq(vz_inject_munmap(&v.target, &v.python, page, PAGE, &v.err), 0);
		cr_assert_not(mapped(c.pid, own_pages + (ptrdiff_t)k * PAGE));
		kit_child_works(&c, 1);
	}
	/* what the kernel says is passed on: not on a page */
	cr_assert_eq(vz_inject_munmap(&v.target, &v.python, 1, PAGE, &v.err), -EINVAL);
	/* never the ground under its feet */
	cr_assert_eq(vz_inject_munmap(&v.target, &v.python, 0, UINT64_C(1) << 47, &v.err), -EBUSY);
	kit_child_works(&c, 1);
	cr_assert_eq(kit_child_end(&c), 0);
	cr_assert_lt(vz_inject_munmap(&v.target, &v.python, 0, PAGE, &v.err), 0);
	view_close(&v);
}

/* ---- what ends an attach ----------------------------------------------- */

Test(inject, a_stopped_process_stays_stopped, .timeout = 60)
{
	struct kit_child c = kit_wait_start(&kit_waits[0]);
	struct view v;

	view_open(&v, c.pid);
	kill(c.pid, SIGSTOP);
	kit_child_until(c.pid, 'T');
	cr_assert_eq(vz_inject(&v.context, &v.injection, &v.err), -EAGAIN);
	cr_assert_eq(v.err.exit, VZ_EXIT_UNSAFE);
	cr_assert_not_null(strstr(v.err.why, "a stopped or uninterruptible state"), "%s",
			   v.err.why);
	cr_assert_eq(kit_child_state(c.pid), 'T');
	cr_assert_lt(vz_inject_munmap(&v.target, &v.python, 0, PAGE, &v.err), 0);
	cr_assert_eq(kit_child_state(c.pid), 'T');
	kill(c.pid, SIGCONT);
	cr_assert_eq(kit_wait_end(&c), 0);
	view_close(&v);
}

Test(inject, a_process_that_ended)
{
	struct kit_child c = kit_wait_start(&kit_waits[0]);
	struct view v;

	view_open(&v, c.pid);
	cr_assert_eq(kit_wait_end(&c), 0);
	cr_assert_eq(vz_inject(&v.context, &v.injection, &v.err), -ESRCH);
	cr_assert_eq(v.err.exit, VZ_EXIT_NO_PROCESS);
	view_close(&v);
}

static pid_t victim;

static void hold_victim(struct kit_page *page)
{
	char ch;

	page->wrong = ptrace(PTRACE_SEIZE, victim, 0, 0) < 0 ? errno : 0;
	page->ready = 1;
	if (read(page->pipe[0], &ch, 1) != 1)
		page->wrong = -1;
}

Test(inject, a_process_that_another_one_traces, .timeout = 60)
{
	struct kit_child c = kit_wait_start(&kit_waits[0]), tracer;
	struct view v;

	view_open(&v, c.pid);
	victim = c.pid;
	tracer = kit_child_start(hold_victim);
	if (tracer.page->wrong)
		cr_skip_test("ptrace is not allowed here");
	cr_assert_eq(vz_inject(&v.context, &v.injection, &v.err), -EPERM);
	cr_assert_eq(v.err.exit, VZ_EXIT_PERMISSION);
	cr_assert_eq(kit_child_end(&tracer), 0);
	cr_assert_eq(kit_wait_end(&c), 0);
	view_close(&v);
}

static void no_more_memory(struct kit_page *page)
{
	struct rlimit limit = { 4096, 4096 };

	setrlimit(RLIMIT_AS, &limit);
	sum(page);
}

/* The kernel refuses the mapping: the thread is put back and goes on. */
Test(inject, no_memory_in_the_target, .timeout = 60)
{
	struct kit_child c = kit_child_start(no_more_memory);
	struct view v;

	view_open(&v, c.pid);
	v.context.timeout_ns = 10 * UINT64_C(1000000000);
	cr_assert_eq(vz_inject(&v.context, &v.injection, &v.err), -ENOMEM, "%s", v.err.why);
	cr_assert_eq(v.err.exit, VZ_EXIT_UNEXPECTED);
	cr_assert_not_null(strstr(v.err.why, "put back"), "%s", v.err.why);
	kit_child_works(&c, 3);
	cr_assert_eq(kit_child_end(&c), 0);
	view_close(&v);
}

/* ---- our own death ----------------------------------------------------- */

static struct view *dying_view;
static unsigned long last_step;

static void die_at_last(const char *operation)
{
	(void)operation;
	if (last_step-- == 1)
		_exit(77);
}

/* Run by a process of its own, which dies at one operation after the other. */
static int munmap_and_die(unsigned long step)
{
	struct view *v = dying_view;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		last_step = step;
		vz_step_hook = die_at_last;
		_exit(vz_inject_munmap(&v->target, &v->python, (uint64_t)(uintptr_t)own_pages, PAGE,
				       &v->err) != 0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(inject, the_tool_may_die_at_any_operation, .timeout = 100)
{
	struct kit_child c;
	struct view v;
	int status = 77;

	map_own_pages();
	c = kit_child_start(sum);
	view_open(&v, c.pid);
	dying_view = &v;
	for (unsigned long step = 1; status == 77; step++) {
		status = munmap_and_die(step);
		kit_child_works(&c, 2);
		cr_assert_eq(c.page->wrong, 0, "after operation %lu", step);
		cr_assert_neq(kit_child_state(c.pid), 't');
	}
	cr_assert_eq(status, 0);
	cr_assert_not(mapped(c.pid, own_pages), "the next one does it");
	cr_assert_eq(kit_child_end(&c), 0);
	view_close(&v);
}
