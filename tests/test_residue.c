/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/residue.h"

/*
 * The test looks at itself; taking a snapshot may itself move the heap, so only
 * what a case provokes is asked for.
 */
static struct vz_inventory *take(void)
{
	struct vz_target target = { .pid = getpid(), .pidfd = -1, .mem_fd = -1 };
	struct vz_inventory *snapshot = NULL;
	struct vz_err err;

	cr_assert_eq(vz_inventory_take(&target, &snapshot, &err), 0);
	return snapshot;
}

static void *map_pages(size_t pages)
{
	void *at = mmap(NULL, pages * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(at, MAP_FAILED);
	return at;
}

static void compare_deed(const struct vz_inventory *before, const struct vz_deed *deed,
			 struct vz_residue *ret)
{
	struct vz_inventory *after = take();

	vz_inventory_compare(before, after, deed, ret);
	vz_inventory_free(after);
}

static void compare(const struct vz_inventory *before, const struct vz_range *range, pid_t agent,
		    struct vz_residue *ret)
{
	struct vz_deed deed = { .agent_tid = agent };

	if (range)
		deed.ranges[deed.nranges++] = *range;
	compare_deed(before, &deed, ret);
}

Test(residue, a_snapshot_equals_itself)
{
	struct vz_inventory *snapshot = take();
	struct vz_deed deed = { 0 };
	struct vz_residue residue;

	vz_inventory_compare(snapshot, snapshot, &deed, &residue);
	for (int i = 0; i < VZ_NRESIDUE; i++) {
		cr_assert(!residue.ours[i] && !residue.possible[i] && !residue.other[i], "%s",
			  vz_residue_name((enum vz_residue_kind)i));
		/* nobody has looked at CPython */
		cr_assert_eq(vz_residue_verdict(&residue, (enum vz_residue_kind)i),
			     i == VZ_RESIDUE_HOOKS || i == VZ_RESIDUE_TOOL_IDS ? VZ_CLEAN_UNKNOWN
									       : VZ_CLEAN_OK,
			     "%s", vz_residue_name((enum vz_residue_kind)i));
	}
	cr_assert_str_empty(residue.text);
	cr_assert_not(vz_residue_clean(&residue));
	residue.looked[VZ_RESIDUE_HOOKS] = residue.no_tool_ids = true;
	cr_assert(vz_residue_clean(&residue));
	residue.ours[VZ_RESIDUE_HOOKS] = 1;
	cr_assert_not(vz_residue_clean(&residue));
	vz_inventory_free(snapshot);
	vz_inventory_free(NULL);
}

Test(residue, memory_in_our_ranges_is_ours)
{
	struct vz_inventory *before = take();
	struct vz_residue residue;
	struct vz_range range;

	range.start = (uintptr_t)map_pages(4);
	range.end = range.start + 4 * 4096;
	compare(before, &range, 0, &residue);
	cr_assert_eq(residue.ours[VZ_RESIDUE_MAPS], 1);
	cr_assert_not_null(strstr(residue.text, "still mapped"));
	munmap((void *)(uintptr_t)range.start, 4 * 4096);
	compare(before, &range, 0, &residue);
	cr_assert_eq(residue.ours[VZ_RESIDUE_MAPS], 0, "%s", residue.text);
	vz_inventory_free(before);
}

Test(residue, memory_elsewhere_is_the_programs)
{
	struct vz_inventory *before = take();
	struct vz_residue residue;
	struct vz_range range = { 0x10000, 0x20000 };

	map_pages(4);
	compare(before, &range, 0, &residue);
	cr_assert_eq(residue.ours[VZ_RESIDUE_MAPS], 0);
	cr_assert_geq(residue.other[VZ_RESIDUE_MAPS], 1);
	vz_inventory_free(before);
}

/* rw-p from a 64 MiB boundary, the rest reserved: what a new thread's first malloc leaves. */
Test(residue, an_arena_of_libc_is_known)
{
	const uint64_t size = UINT64_C(64) << 20, used = UINT64_C(132) << 10;
	struct vz_residue residue;
	struct vz_inventory *before;
	uint64_t at;
	char *place =
		mmap(NULL, 3 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	cr_assert_neq(place, MAP_FAILED);
	munmap(place, 3 * size);
	at = ((uintptr_t)place + 2 * size - 1) & ~(size - 1);
	before = take();
	place = mmap((void *)(uintptr_t)at, size, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	cr_assert_eq((uintptr_t)place, at);
	mprotect(place, used, PROT_READ | PROT_WRITE);
	compare(before, NULL, 0, &residue);
	cr_assert_geq(residue.possible[VZ_RESIDUE_MAPS], 1);
	cr_assert_geq(residue.possible_bytes, used);
	cr_assert_not_null(strstr(residue.text, "malloc arena of 132 KiB"), "%s", residue.text);
	cr_assert_eq(residue.ours[VZ_RESIDUE_MAPS], 0);
	vz_inventory_free(before);
}

Test(residue, our_memfd_is_ours_and_other_files_are_not)
{
	struct vz_inventory *before = take();
	struct vz_residue residue;
	int ours = memfd_create("vizattach", MFD_CLOEXEC), other = memfd_create("x", MFD_CLOEXEC);

	cr_assert(ours >= 0 && other >= 0);
	compare(before, NULL, 0, &residue);
	cr_assert_eq(residue.ours[VZ_RESIDUE_FDS], 1);
	/* the directory that is read for it is open too, and may have moved */
	cr_assert_geq(residue.other[VZ_RESIDUE_FDS], 1);
	close(ours);
	close(other);
	compare(before, NULL, 0, &residue);
	cr_assert_eq(residue.ours[VZ_RESIDUE_FDS], 0);
	vz_inventory_free(before);
}

struct guest {
	pthread_barrier_t barrier;
	pid_t tid;
};

static void *be_guest(void *argument)
{
	struct guest *guest = argument;

	guest->tid = (pid_t)syscall(SYS_gettid);
	pthread_barrier_wait(&guest->barrier);
	pthread_barrier_wait(&guest->barrier);
	return NULL;
}

Test(residue, the_agents_thread_is_ours)
{
	struct vz_inventory *before = take();
	struct vz_residue residue;
	struct guest guest = { .tid = 0 };
	pthread_t thread;

	pthread_barrier_init(&guest.barrier, NULL, 2);
	cr_assert_eq(pthread_create(&thread, NULL, be_guest, &guest), 0);
	pthread_barrier_wait(&guest.barrier);
	compare(before, NULL, guest.tid, &residue);
	cr_assert_eq(residue.ours[VZ_RESIDUE_THREADS], 1);
	compare(before, NULL, 0, &residue);
	cr_assert_eq(residue.ours[VZ_RESIDUE_THREADS], 0);
	cr_assert_geq(residue.other[VZ_RESIDUE_THREADS], 1);
	pthread_barrier_wait(&guest.barrier);
	pthread_join(thread, NULL);
	vz_inventory_free(before);
}

Test(residue, signal_masks_are_compared)
{
	struct vz_inventory *before = take();
	struct vz_residue residue;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	compare(before, NULL, 0, &residue);
	cr_assert_eq(residue.other[VZ_RESIDUE_SIGNALS], 1);
	sigfillset(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	compare(before, NULL, 0, &residue);
	cr_assert_eq(residue.possible[VZ_RESIDUE_SIGNALS], 1);
	cr_assert_not_null(strstr(residue.text, "all signals blocked"));
	cr_assert_eq(residue.ours[VZ_RESIDUE_SIGNALS], 0);
	/* of the thread that we borrowed there is no doubt */
	compare_deed(before, &(struct vz_deed){ .borrowed_tid = getpid() }, &residue);
	cr_assert_eq(residue.ours[VZ_RESIDUE_SIGNALS], 1);
	vz_inventory_free(before);
}

static void ignore(int signal)
{
	(void)signal;
}

Test(residue, handlers_are_compared)
{
	struct vz_inventory *before = take();
	struct vz_residue residue;

	signal(SIGUSR2, ignore);
	compare(before, NULL, 0, &residue);
	cr_assert_eq(residue.other[VZ_RESIDUE_SIGNALS], 1);
	cr_assert_eq(residue.ours[VZ_RESIDUE_SIGNALS], 0);
	vz_inventory_free(before);
}

Test(residue, more_memory_is_measured)
{
	const size_t size = 8 << 20;
	struct vz_inventory *before = take();
	struct vz_residue residue;
	char *at;

	compare(before, NULL, 0, &residue);
	cr_assert_eq(vz_residue_verdict(&residue, VZ_RESIDUE_MEMORY), VZ_CLEAN_OK, "%s",
		     residue.text);
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(at, MAP_FAILED);
	memset(at, 1, size);
	compare(before, NULL, 0, &residue);
	cr_assert_eq(vz_residue_verdict(&residue, VZ_RESIDUE_MEMORY), VZ_CLEAN_GREW);
	cr_assert_geq(residue.after.anon_bytes, residue.before.anon_bytes + size - (1 << 20));
	cr_assert_geq(residue.after.data_bytes, residue.before.data_bytes + size);
	cr_assert_not_null(strstr(residue.text, "more memory is in use"), "%s", residue.text);
	cr_assert_eq(residue.ours[VZ_RESIDUE_MEMORY], 0);
	vz_inventory_free(before);
}

/* A child that is stopped: by job control, which stops all threads, or by a tracer. */
Test(residue, a_borrowed_thread_that_stands_still_is_ours)
{
	struct vz_target target = { .pidfd = -1, .mem_fd = -1 };
	struct vz_inventory *before = NULL, *after = NULL;
	struct vz_deed deed = { 0 };
	struct vz_residue residue;
	struct vz_err err;
	pid_t child = fork();
	int status;

	if (child == 0)
		for (;;)
			pause();
	target.pid = deed.borrowed_tid = child;
	cr_assert_eq(vz_inventory_take(&target, &before, &err), 0);
	kill(child, SIGSTOP);
	cr_assert_eq(waitpid(child, &status, WUNTRACED), child);
	cr_assert_eq(vz_inventory_take(&target, &after, &err), 0);
	vz_inventory_compare(before, after, &deed, &residue);
	cr_assert_eq(residue.ours[VZ_RESIDUE_THREADS], 0, "%s", residue.text);
	vz_inventory_free(after);
	kill(child, SIGCONT);
	if (ptrace(PTRACE_SEIZE, child, 0, 0) == 0) {
		cr_assert_eq(vz_inventory_take(&target, &after, &err), 0);
		vz_inventory_compare(before, after, &deed, &residue);
		cr_assert_eq(residue.ours[VZ_RESIDUE_THREADS], 1);
		cr_assert_not_null(strstr(residue.text, "still traced by us"), "%s", residue.text);
		vz_inventory_free(after);
	}
	vz_inventory_free(before);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}
