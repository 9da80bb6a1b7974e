/* SPDX-License-Identifier: MIT */
/*
 * Threads that stand still in all sorts of places, each of which is safe or has the
 * name that the user is told.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "attach/pyver_priv.h"
#include "attach/safepoint_priv.h"
#include "attach/tracee.h"
#include "tests/kit_child.h"

#define SECOND UINT64_C(1000000000)

static struct kit_page *page; /* of the child */

/* The innermost of all cases: blocked where nothing is held. */
static void block(void)
{
	char ch;

	page->ready = 1;
	while (read(page->pipe[0], &ch, 1) < 0)
		;
}

static void in_main(void)
{
	block();
}

static void *thread_main(void *unused)
{
	block();
	return unused;
}

/* The thread that is looked at is the last one; the first waits for it. */
static void in_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, thread_main, NULL);
	pthread_join(thread, NULL);
}

static int compare(const void *a, const void *b)
{
	(void)a, (void)b;
	if (!page->ready)
		block();
	return 0;
}

static void in_qsort(void)
{
	int numbers[] = { 1, 2, 3 };

	qsort(numbers, 3, sizeof(numbers[0]), compare);
}

static int visit(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)info, (void)size, (void)data;
	block();
	return 1;
}

static void in_loader(void)
{
	dl_iterate_phdr(visit, NULL);
}

static void in_exit(void)
{
	atexit(block);
	exit(0);
}

static void in_fork(void)
{
	pid_t pid;

	pthread_atfork(block, NULL, NULL);
	pid = fork();
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
}

static void handler(int sig)
{
	(void)sig;
	block();
}

static void in_handler(void)
{
	struct sigaction action = { .sa_handler = handler };

	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
}

static void on_other_stack(void)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
	/* Not of malloc: what is mapped after a fork need not be one mapping with what was before.
	 */
	stack_t stack = { .ss_sp = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
			  .ss_size = 1 << 16 };

	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
}

/* sub $8,%rsp; call *%rdi; add $8,%rsp; ret: nobody knows how to unwind it */
static void in_made_code(void)
{
	static const unsigned char code[] = { 0x48, 0x83, 0xec, 0x08, 0xff, 0xd7,
					      0x48, 0x83, 0xc4, 0x08, 0xc3 };
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	void (*made)(void (*what)(void));

	memcpy(at, code, sizeof(code));
	memcpy(&made, &at, sizeof(made));
	made(block);
}

static sem_t semaphore;

static void *post_later(void *unused)
{
	block();
	sem_post(&semaphore);
	return unused;
}

static void in_sem_wait(void)
{
	pthread_t thread;

	sem_init(&semaphore, 0, 0);
	pthread_create(&thread, NULL, post_later, NULL);
	while (sem_wait(&semaphore) < 0)
		;
	pthread_join(thread, NULL);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *lock_it(void *unused)
{
	pthread_mutex_lock(&mutex);
	block();
	pthread_mutex_unlock(&mutex);
	return unused;
}

static void in_mutex(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, lock_it, NULL);
	while (!page->ready)
		sched_yield();
	pthread_mutex_lock(&mutex);
	pthread_join(thread, NULL);
}

/* clang-format off */
static const struct place {
	const char *label;
	void (*go)(void);
	bool last;       /* look at the last thread, not at the first */
	const char *why; /* NULL: safe; part of what is said */
} places[] = {
	{ "main", in_main, false, NULL },
	{ "thread", in_thread, true, NULL },
	{ "a thread that waits for another", in_thread, false, NULL },
	{ "semaphore", in_sem_wait, false, NULL },
	{ "a function that libc calls back", in_qsort, false, NULL },
	{ "mutex", in_mutex, false, "a lock inside the C library" },
	{ "loader", in_loader, false, "dl_iterate_phdr" },
	{ "exit", in_exit, false, "exit" },
	{ "fork", in_fork, false, "fork" },
	{ "signal handler", in_handler, false, "a signal handler" },
	{ "alternate stack", on_other_stack, false, "a signal handler" },
	{ "made code", in_made_code, false, "unknown code" },
};
/* clang-format on */
static const struct place *place;

static void go(struct kit_page *p)
{
	page = p;
	place->go();
}

struct view {
	struct vz_target target;
	struct vz_maps maps;
	struct vz_objects objects;
	struct vz_python python;
	struct vz_safepoint *safepoint;
	struct vz_err err;
};

static void view_open(struct view *v, pid_t pid)
{
	memset(v, 0, sizeof(*v));
	cr_assert_eq(vz_target_open(pid, &v->target, &v->err), 0);
	if (vz_target_open_mem(&v->target) < 0)
		cr_skip_test("ptrace is not allowed here");
	cr_assert_eq(vz_maps_read(pid, &v->maps, &v->err), 0);
	cr_assert_eq(vz_objects_read(&v->target, &v->maps, &v->objects, &v->err), 0);
	cr_assert_eq(vz_pyver_libc(&v->target, &v->objects, &v->python, &v->err), 0);
	cr_assert_eq(vz_safepoint_new(&v->target, &v->objects, &v->maps, &v->python, &v->safepoint),
		     0);
}

static void view_close(struct view *v)
{
	vz_safepoint_free(v->safepoint);
	vz_objects_fini(&v->objects);
	vz_maps_fini(&v->maps);
	vz_target_close(&v->target);
}

/* The first or last thread of PID, once it sleeps. */
static pid_t find_thread(pid_t pid, bool last)
{
	for (;;) {
		struct vz_tasks tasks;
		struct vz_err err;
		struct vz_task task;

		cr_assert_eq(vz_tasks_read(pid, &tasks, &err), 0);
		task = tasks.items[last ? tasks.count - 1 : 0];
		vz_tasks_fini(&tasks);
		if (task.state == 'S' && task.syscall >= 0)
			return task.tid;
		sched_yield();
	}
}

static int check(struct view *v, pid_t tid, struct vz_cpu *cpu, char *why, size_t size)
{
	struct vz_tracee t;
	int rc;

	cr_assert_eq(vz_tracee_stop(&t, tid, 10 * SECOND), 0);
	cr_assert_eq(vz_tracee_get(&t, cpu), 0);
	rc = vz_safepoint_check(v->safepoint, cpu, vz_tracee_rseq(&t), why, size);
	vz_tracee_detach(&t);
	return rc;
}

Test(safepoint, each_place_has_its_verdict, .timeout = 60)
{
	static struct vz_cpu cpu;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct kit_child c;
		struct view v;
		char why[256] = "";
		int rc;

		place = &places[i];
		c = kit_child_start(go);
		find_thread(c.pid, place->last);
		view_open(&v, c.pid);
		rc = check(&v, find_thread(c.pid, place->last), &cpu, why, sizeof(why));
		cr_assert_eq(rc, place->why ? -EAGAIN : 0, "%s: %d %s", place->label, rc, why);
		if (place->why)
			cr_assert_not_null(strstr(why, place->why), "%s: %s", place->label, why);
		cr_assert_not(cpu.eintr_ok, "no Python is near");
		view_close(&v);
		kit_child_kill(&c);
	}
}

/* ---- the unwinder ------------------------------------------------------- */

enum { DEPTH = 3000 };

static __attribute__((noinline)) void down(int n)
{
	if (n > 0)
		down(n - 1);
	else
		block();
	__asm__ volatile("" ::: "memory"); /* no tail call */
}

static void go_down(struct kit_page *p)
{
	page = p;
	down(DEPTH);
}

/* How many frames in a row return to the same place. */
static size_t longest_run(const struct vz_native_stack *stack)
{
	size_t run = 1, longest = 1;

	for (size_t i = 1; i < stack->count; i++) {
		run = stack->frames[i].pc == stack->frames[i - 1].pc ? run + 1 : 1;
		longest = run > longest ? run : longest;
	}
	return longest;
}

static void unwind_child(pid_t pid, struct vz_native_stack *stack)
{
	static struct vz_cpu cpu;
	struct vz_unwinder *unwinder;
	struct vz_tracee t;
	struct view v;

	view_open(&v, pid);
	cr_assert_eq(vz_unwinder_new(&v.target, &v.maps, &v.objects, &unwinder), 0);
	cr_assert_eq(vz_tracee_stop(&t, find_thread(pid, false), 10 * SECOND), 0);
	cr_assert_eq(vz_tracee_get(&t, &cpu), 0);
	vz_unwind(unwinder, &cpu, stack);
	vz_tracee_detach(&t);
	vz_unwinder_free(unwinder);
	view_close(&v);
}

Test(unwind, every_frame_down_to_the_root, .timeout = 60)
{
	struct vz_native_stack *stack = malloc(sizeof(*stack));
	struct kit_child c = kit_child_start(go_down);

	unwind_child(c.pid, stack);
	cr_assert_eq(stack->end, VZ_UNWIND_ROOT, "%d after %zu", stack->end, stack->count);
	cr_assert_eq(longest_run(stack), DEPTH);
	cr_assert(stack->frames[0].exact);
	cr_assert_not(stack->frames[1].exact);
	kit_child_kill(&c);
	free(stack);
}

/* A stack that was overwritten ends somewhere, and never as a whole one. */
Test(unwind, a_broken_stack_is_no_whole_one, .timeout = 60)
{
	static struct vz_cpu cpu;
	struct vz_native_stack *stack = malloc(sizeof(*stack));
	struct kit_child c = kit_child_start(go_down);
	struct vz_unwinder *unwinder;
	struct vz_tracee t;
	struct view v;

	view_open(&v, c.pid);
	cr_assert_eq(vz_unwinder_new(&v.target, &v.maps, &v.objects, &unwinder), 0);
	cr_assert_eq(vz_tracee_stop(&t, find_thread(c.pid, false), 10 * SECOND), 0);
	cr_assert_eq(vz_tracee_get(&t, &cpu), 0);
	for (uint64_t shift = 8192; shift < 24576; shift += 8 * 61) {
		uint64_t nonsense = UINT64_C(0x1234567890) + shift;

		for (uint64_t at = shift; at < shift + 256; at += 8)
			cr_assert_eq(
				vz_target_write(&v.target, vz_arch_sp(&cpu) + at, &nonsense, 8), 0);
		vz_unwind(unwinder, &cpu, stack);
		cr_assert_neq(stack->end, VZ_UNWIND_ROOT, "%llu", (unsigned long long)shift);
	}
	vz_tracee_detach(&t);
	vz_unwinder_free(unwinder);
	view_close(&v);
	kit_child_kill(&c);
	free(stack);
}
