/* SPDX-License-Identifier: MIT */
/*
 * test_capture.c - copies of threads: a sleeper is not stopped and not woken, one that
 * runs is stopped and goes on, and what is copied is what was there.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>

#include "attach/snapshot/capture.h"
#include "tests/kit_child.h"

static struct vz_target target;
static struct vz_maps maps;
static struct vz_capture *capture;
static const struct vz_py no_python = { .target = &target };

static void look_at(pid_t pid)
{
	struct vz_err err;

	target = (struct vz_target){ .pid = pid, .pidfd = -1, .mem_fd = -1 };
	cr_assert_eq(vz_maps_read(pid, &maps, &err), 0);
	cr_assert_eq(vz_capture_new(&target, &capture), 0);
}

static void done(void)
{
	vz_capture_free(capture);
	vz_maps_fini(&maps);
}

static int take(pid_t tid, unsigned what, bool no_stop)
{
	const struct vz_capture_wish wish = { .what = what, .no_stop = no_stop };

	return vz_capture_thread(capture, &no_python, &maps, tid, &wish);
}

static uint64_t switches(pid_t pid)
{
	char path[64], line[256];
	unsigned long long n, sum = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "r");
	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1 ||
		    sscanf(line, "nonvoluntary_ctxt_switches: %llu", &n) == 1)
			sum += n;
	}
	fclose(file);
	return sum;
}

/* A word that only its stack has, at an address that it tells. */
static void sleep_with_a_mark(struct kit_page *page)
{
	volatile uint64_t mark[4] = { 0x6d61726b, 1, 2, 3 };
	struct pollfd fd = { page->pipe[0], POLLIN, 0 };

	page->address[0] = (uint64_t)(uintptr_t)mark;
	page->ready = 1;
	if (poll(&fd, 1, -1) != 1)
		page->wrong = errno;
	page->wrong |= mark[0] != 0x6d61726b;
}

static void spin(struct kit_page *page)
{
	volatile uint64_t mark = 0x7370696e;

	page->address[0] = (uint64_t)(uintptr_t)&mark;
	page->ready = 1;
	while (!page->stop)
		page->rounds++;
	page->wrong = mark != 0x7370696e;
}

Test(capture, a_sleeper_is_neither_stopped_nor_woken, .timeout = 60)
{
	struct kit_child c = kit_child_start(sleep_with_a_mark);
	uint64_t before, mark[4] = { 0 };

	kit_child_until(c.pid, 'S');
	look_at(c.pid);
	before = switches(c.pid);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(take(c.pid, VZ_CAPTURE_STACK, false), 0);
	cr_assert_eq(switches(c.pid), before, "it ran");
	cr_assert_eq(capture->copied, VZ_COPIED_ASLEEP);
	cr_assert_eq(capture->stopped_ns, 0);
	cr_assert(capture->has_cpu && !capture->registers_known);
	cr_assert_eq(vz_target_read(&capture->view, c.page->address[0], mark, sizeof(mark)), 0);
	cr_assert_eq(mark[0], 0x6d61726b);
	cr_assert_eq(mark[3], 3);
	cr_assert(c.page->address[0] >= capture->stack_start &&
			  c.page->address[0] < capture->stack_start + capture->stack_len,
		  "the mark is not in the copy");
	done();
	cr_assert_eq(kit_child_end(&c), 0);
}

Test(capture, one_that_runs_is_stopped_and_goes_on, .timeout = 60)
{
	struct kit_child c = kit_child_start(spin);
	uint64_t mark = 0;

	look_at(c.pid);
	cr_assert_eq(take(c.pid, VZ_CAPTURE_STACK, false), 0);
	if (capture->copied != VZ_COPIED_STOPPED && strstr(capture->note, "ptrace"))
		cr_skip_test("ptrace is not allowed here");
	cr_assert_eq(capture->copied, VZ_COPIED_STOPPED);
	cr_assert_gt(capture->stopped_ns, 0);
	cr_assert(capture->registers_known);
	cr_assert_eq(vz_target_read(&capture->view, c.page->address[0], &mark, sizeof(mark)), 0);
	cr_assert_eq(mark, 0x7370696e);
	kit_child_works(&c, 1000);
	cr_assert_eq(kit_child_state(c.pid), 'R');
	done();
	cr_assert_eq(kit_child_end(&c), 0);
}

Test(capture, no_stop_stops_nobody, .timeout = 60)
{
	struct kit_child c = kit_child_start(spin);

	look_at(c.pid);
	cr_assert_eq(take(c.pid, VZ_CAPTURE_STACK, true), 0);
	cr_assert_neq(capture->copied, VZ_COPIED_STOPPED);
	cr_assert_neq(capture->copied, VZ_COPIED_ASLEEP);
	cr_assert_eq(capture->stopped_ns, 0);
	cr_assert(!capture->has_cpu, "nothing can be known of its registers");
	cr_assert_str_not_empty(capture->note);
	done();
	cr_assert_eq(kit_child_end(&c), 0);
}

Test(capture, job_control_is_left_alone, .timeout = 60)
{
	struct kit_child c = kit_child_start(spin);

	look_at(c.pid);
	kill(c.pid, SIGSTOP);
	kit_child_until(c.pid, 'T');
	cr_assert_eq(take(c.pid, VZ_CAPTURE_STACK, false), 0);
	cr_assert_eq(capture->copied, VZ_COPIED_ASLEEP);
	cr_assert_eq(kit_child_state(c.pid), 'T');
	kill(c.pid, SIGCONT);
	kit_child_works(&c, 1000);
	done();
	cr_assert_eq(kit_child_end(&c), 0);
}

Test(capture, a_sleeper_whose_registers_are_wanted_sleeps_on, .timeout = 60)
{
	struct kit_child c = kit_child_start(sleep_with_a_mark);
	const struct vz_capture_wish wish = { .what = VZ_CAPTURE_STACK, .stop_sleeper = true };

	kit_child_until(c.pid, 'S');
	look_at(c.pid);
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(vz_capture_thread(capture, &no_python, &maps, c.pid, &wish), 0);
		kit_child_until(c.pid, 'S');
	}
	cr_assert(capture->copied == VZ_COPIED_STOPPED || capture->copied == VZ_COPIED_ASLEEP);
	cr_assert_eq(c.page->wrong, 0);
	done();
	cr_assert_eq(kit_child_end(&c), 0, "its poll ended early");
}

Test(capture, who_has_ended_is_told, .timeout = 60)
{
	struct kit_child c = kit_child_start(spin);

	look_at(c.pid);
	kit_child_kill(&c);
	cr_assert_eq(take(c.pid, VZ_CAPTURE_STACK, false), -ESRCH);
	done();
}
