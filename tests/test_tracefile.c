/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/kit_trace.h"

/* What is in the file now must be all that happened so far: as if vizattach were killed here. */
static void check_now(const struct kit *kit)
{
	struct vz_trouble trouble;
	struct vz_reader *r;
	const char *wrong;
	size_t n, seen, all = 0;
	uint8_t *p = kit_bytes(kit, &n);

	cr_assert_eq(vz_reader_open_memory(p, n, &r, &trouble), 0);
	wrong = kit_compare_part(kit, r, &seen);
	cr_assert_null(wrong, "%s", wrong);
	for (uint32_t i = 0; i < kit->ntracks; i++)
		all += kit->tracks[i]->n;
	cr_assert_eq(seen, all, "%zu of %zu events", seen, all);
	vz_reader_free(r);
	free(p);
}

Test(tracefile, an_empty_recording_is_a_trace)
{
	struct kit *kit = kit_new(0, 1);
	struct vz_trouble trouble;
	struct vz_reader *r;
	uint64_t t0, t1;
	uint8_t *p;
	size_t n;

	kit_finish(kit);
	p = kit_bytes(kit, &n);
	cr_assert_eq(vz_reader_open_memory(p, n, &r, &trouble), 0);
	cr_assert_eq(vz_reader_nblocks(r), 0);
	cr_assert_not_null(vz_reader_end(r));
	vz_reader_range(r, &t0, &t1);
	cr_assert(t0 == KIT_START_NS && t1 == KIT_START_NS);
	vz_reader_free(r);
	kit_free(kit);
	free(p);
}

Test(tracefile, a_flush_makes_everything_readable)
{
	struct kit *kit = kit_new(50, 2);

	for (uint32_t i = 0; i < 5; i++)
		kit_track(kit, 10 + i, 0);
	for (int round = 0; round < 30; round++) {
		for (uint32_t i = 0; i < 5; i++)
			kit_steps(kit->tracks[i], kit_random(kit, 400));
		cr_assert_eq(vz_tracefile_flush(kit->tf, UINT64_MAX, 0), 0);
		check_now(kit);
	}
	kit_free(kit);
}

Test(tracefile, only_what_is_old_enough_is_flushed)
{
	struct kit *kit = kit_new(5, 3);
	struct vz_tracefile_totals before, after;
	struct kit_track *t = kit_track(kit, 1, 0);

	vz_tracefile_flush(kit->tf, KIT_START_NS, 0);
	vz_tracefile_totals(kit->tf, &before);
	kit_enter(t, 1, VZ_ENTRY_CALL, KIT_START_NS + 100);
	vz_tracefile_flush(kit->tf, KIT_START_NS + 150, 51);
	vz_tracefile_totals(kit->tf, &after);
	cr_assert_eq(before.bytes, after.bytes);
	vz_tracefile_flush(kit->tf, KIT_START_NS + 151, 51);
	vz_tracefile_totals(kit->tf, &after);
	cr_assert_gt(after.bytes, before.bytes);
	kit_free(kit);
}

Test(tracefile, many_short_threads)
{
	struct kit *kit = kit_new(50, 4);
	struct vz_trouble trouble;
	struct vz_reader *r;
	const char *wrong;
	uint8_t *p;
	size_t n;

	for (uint32_t i = 0; i < 3000; i++) {
		struct kit_track *t = kit_track(kit, 1000 + i % 100, 0);

		kit_steps(t, kit_random(kit, 60));
		if (i >= 20)
			kit_end(kit->tracks[i - 20], kit->tracks[i - 20]->ns + 1);
	}
	kit_finish(kit);
	p = kit_bytes(kit, &n);
	cr_assert_eq(vz_reader_open_memory(p, n, &r, &trouble), 0);
	wrong = kit_compare_all(kit, r);
	cr_assert_null(wrong, "%s", wrong);
	cr_assert_eq(vz_reader_ntracks(r), 3000);
	cr_assert_eq(vz_reader_track(r, 7)->end_ns, kit->tracks[7]->end_ns);
	vz_reader_free(r);
	kit_free(kit);
	free(p);
}

/* More tracks at once than the encoder may hold in full: the largest are written early. */
Test(tracefile, memory_is_bounded)
{
	struct kit *kit = kit_new(50, 5);
	struct vz_tracefile_totals before, totals;

	for (uint32_t i = 0; i < 60; i++)
		kit_track(kit, 1 + i, 0);
	vz_tracefile_flush(kit->tf, KIT_START_NS, 0);
	vz_tracefile_totals(kit->tf, &before);
	for (int round = 0; round < 60000; round++) {
		for (uint32_t i = 0; i < 60; i++) {
			struct vz_track *t = kit->tracks[i]->track;

			vz_track_enter(t, 1, VZ_ENTRY_CALL, KIT_START_NS + (uint64_t)round);
			vz_track_leave(t, VZ_LEAVE_RETURN, KIT_START_NS + (uint64_t)round);
		}
	}
	/* 60 buffers of 60,000 calls would be 60 MiB. None is full or old: what was written made
	 * room. */
	vz_tracefile_totals(kit->tf, &totals);
	cr_assert_eq(totals.calls, 60 * 60000);
	cr_assert_gt(totals.bytes, before.bytes);
	kit_free(kit);
}

Test(tracefile, shadow_stack)
{
	struct kit *kit = kit_new(5, 6);
	struct vz_track *t = kit_track(kit, 1, 0)->track;

	cr_assert_eq(vz_track_depth(t), 0);
	vz_track_leave(t, VZ_LEAVE_RETURN, KIT_START_NS + 1); /* nothing there: ignored */
	vz_track_enter(t, 3, VZ_ENTRY_CALL, KIT_START_NS + 2);
	vz_track_enter(t, 4, VZ_ENTRY_RESUME, KIT_START_NS + 3);
	cr_assert_eq(vz_track_depth(t), 2);
	cr_assert_eq(vz_track_function(t, 0), 4);
	cr_assert_eq(vz_track_function(t, 1), 3);
	cr_assert_eq(vz_track_function(t, 2), 0);
	vz_track_leave(t, VZ_LEAVE_RETURN, KIT_START_NS + 4);
	cr_assert_eq(vz_track_function(t, 0), 3);
	/* An id that cannot be is unknown, not somebody else's. */
	vz_track_enter(t, UINT32_MAX, VZ_ENTRY_CALL, KIT_START_NS + 5);
	cr_assert_eq(vz_track_function(t, 0), 0);
	kit_free(kit);
}

Test(tracefile, time_that_runs_back_is_raised)
{
	struct kit *kit = kit_new(5, 7);
	struct vz_track *t = kit_track(kit, 1, 0)->track;
	struct vz_trouble trouble;
	struct vz_reader *r;
	uint8_t *p;
	size_t n;

	vz_track_enter(t, 1, VZ_ENTRY_CALL, KIT_START_NS + 100);
	vz_track_leave(t, VZ_LEAVE_RETURN, KIT_START_NS + 50);
	vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	vz_track_enter(t, 1, VZ_ENTRY_CALL, KIT_START_NS + 20);
	kit->end_ns = KIT_START_NS + 200;
	kit_finish(kit);
	p = kit_bytes(kit, &n);
	cr_assert_eq(vz_reader_open_memory(p, n, &r, &trouble), 0);
	cr_assert_eq(vz_reader_block(r, 0)->t1_ns, KIT_START_NS + 100);
	cr_assert_eq(vz_reader_block(r, 1)->t0_ns, KIT_START_NS + 100);
	vz_reader_free(r);
	kit_free(kit);
	free(p);
}

Test(tracefile, a_full_disk_is_said_once_and_stays)
{
	int fd = open("/dev/full", O_RDWR);
	struct vz_tracefile *tf;
	struct vz_err err;
	int rc = vz_tracefile_new(fd, 1, 1, 1, &tf, &err);

	cr_assert_eq(rc, -ENOSPC);
	cr_assert_str_eq(err.what, "cannot write the trace");
	cr_assert(err.why[0] && err.hint[0]);
	close(fd);
}

/* The disk fills up in the middle: a pipe whose other end goes away stands for it. */
Test(tracefile, an_error_in_the_middle_is_sticky)
{
	struct vz_tracefile *tf;
	struct vz_track *t;
	struct vz_err err;
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(vz_tracefile_new(fds[1], 1, 1, 1, &tf, &err), 0);
	t = vz_track_new(tf, 1, 0, 0, 1);
	vz_track_enter(t, 1, VZ_ENTRY_CALL, 2);
	close(fds[0]);
	cr_assert_eq(vz_tracefile_error(tf), 0);
	cr_assert_eq(vz_tracefile_flush(tf, UINT64_MAX, 0), -EPIPE);
	for (uint64_t i = 0; i < 300000; i++) {
		vz_track_enter(t, 1, VZ_ENTRY_CALL, 3 + i);
		vz_track_leave(t, VZ_LEAVE_RETURN, 3 + i);
	}
	cr_assert_eq(vz_track_depth(t), 1);
	cr_assert_eq(vz_tracefile_error(tf), -EPIPE);
	cr_assert_eq(vz_tracefile_finish(tf, 400000, "", &err), -EPIPE);
	cr_assert_eq(err.exit, VZ_EXIT_UNEXPECTED);
	vz_tracefile_free(tf);
	close(fds[1]);
}
