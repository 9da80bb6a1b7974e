/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "attach/target.h"
#include "tests/subject.h"

/* ---- maps ---- */

static const char maps_text[] =
	"00400000-0041f000 r--p 00000000 08:01 1234                       /usr/bin/python3.11\n"
	"0041f000-006d2000 r-xp 0001f000 08:01 1234                       /usr/bin/python3.11\n"
	"00b00000-00c00000 rw-p 00000000 00:00 0                          [heap]\n"
	"7f0000000000-7f0000001000 rw-s 00000000 00:01 99                 /memfd:x y (deleted)\n"
	"7f0000001000-7f0000002000 ---p 00000000 00:00 0 \n"
	"7f0000002000-7f0000003000 r--p 00000000 fd:1a 7                  /a (deleted) b\n"
	"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0          [vsyscall]\n";

static struct vz_maps parsed(const char *text)
{
	struct vz_maps maps;

	cr_assert_eq(vz_maps_parse(text, strlen(text), &maps), 0);
	return maps;
}

Test(target, maps_are_parsed)
{
	struct vz_maps maps = parsed(maps_text);

	cr_assert_eq(maps.count, 7);
	cr_assert_eq(maps.items[1].start, 0x41f000);
	cr_assert_eq(maps.items[1].end, 0x6d2000);
	cr_assert_eq(maps.items[1].offset, 0x1f000);
	cr_assert_eq(maps.items[1].inode, 1234);
	cr_assert_eq(maps.items[1].dev_major, 8);
	cr_assert_eq(maps.items[1].dev_minor, 1);
	cr_assert(maps.items[1].readable && !maps.items[1].writable && maps.items[1].executable);
	cr_assert_str_eq(maps.items[1].path, "/usr/bin/python3.11");
	cr_assert_str_eq(maps.items[2].path, "[heap]");
	cr_assert(maps.items[3].shared && maps.items[3].deleted);
	cr_assert_str_eq(maps.items[3].path, "/memfd:x y");
	cr_assert_str_eq(maps.items[4].path, "");
	cr_assert_str_eq(maps.items[5].path, "/a (deleted) b");
	cr_assert_not(maps.items[5].deleted);
	vz_maps_fini(&maps);
}

Test(target, maps_are_found_by_address)
{
	struct vz_maps maps = parsed(maps_text);

	cr_assert_null(vz_maps_find(&maps, 0x3fffff));
	cr_assert_eq(vz_maps_find(&maps, 0x400000), &maps.items[0]);
	cr_assert_eq(vz_maps_find(&maps, 0x41efff), &maps.items[0]);
	cr_assert_eq(vz_maps_find(&maps, 0x41f000), &maps.items[1]);
	cr_assert_null(vz_maps_find(&maps, 0x6d2000));
	cr_assert_null(vz_maps_find(&maps, UINT64_MAX));
	cr_assert_eq(vz_maps_find(&maps, 0xffffffffff600000), &maps.items[6]);
	vz_maps_fini(&maps);
	cr_assert_null(vz_maps_find(&maps, 0x400000));
}

Test(target, bad_maps_lines_are_skipped)
{
	static const char *const bad[] = {
		"",
		"\n\n\n",
		"garbage",
		"1000",
		"1000-",
		"2000-1000 r--p 0 0:0 0 /x",
		"1000-2000 r-zp 0 0:0 0 /x",
		"1000-2000 r--",
		"1000-2000 r--p",
		"1000-2000 r--p 0 0",
		"11111111111111111-2000 r--p 0 0:0 0",
		"1000-2000 r--p 0 0:0 99999999999999999999999",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vz_maps maps = parsed(bad[i]);

		cr_assert_eq(maps.count, 0, "'%s'", bad[i]);
		vz_maps_fini(&maps);
	}
}

Test(target, overlapping_maps_are_skipped)
{
	struct vz_maps maps = parsed("1000-3000 r--p 0 0:0 0 /a\n"
				     "2000-4000 r--p 0 0:0 0 /b\n"
				     "1000-2000 r--p 0 0:0 0 /c\n"
				     "3000-4000 r--p 0 0:0 0 /d");

	cr_assert_eq(maps.count, 2);
	cr_assert_str_eq(maps.items[1].path, "/d");
	vz_maps_fini(&maps);
}

Test(target, many_maps_are_kept)
{
	enum { COUNT = 1000 };
	char *text = malloc(COUNT * 64);
	size_t used = 0;
	struct vz_maps maps;

	for (unsigned i = 0; i < COUNT; i++)
		used += (size_t)sprintf(text + used, "%x000-%x000 rw-p 0 0:0 0\n", i + 1, i + 2);
	cr_assert_eq(vz_maps_parse(text, used, &maps), 0);
	cr_assert_eq(maps.count, COUNT);
	cr_assert_eq(maps.items[COUNT - 1].end, (uint64_t)(COUNT + 1) << 12);
	vz_maps_fini(&maps);
	free(text);
}

Test(target, own_maps_hold_own_code)
{
	struct vz_maps maps;
	struct vz_err err;
	const struct vz_map *map;

	cr_assert_eq(vz_maps_read(getpid(), &maps, &err), 0);
	map = vz_maps_find(&maps, (uintptr_t)parsed);
	cr_assert_not_null(map);
	cr_assert(map->executable);
	vz_maps_fini(&maps);
}

/* ---- status, stat, syscall ---- */

Test(target, status_is_parsed)
{
	static const char text[] = "Name:\tpython3.11\nUmask:\t0022\nState:\tS (sleeping)\n"
				   "Tgid:\t100\nNgid:\t0\nPid:\t101\nPPid:\t7\nTracerPid:\t33\n"
				   "Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nNStgid:\t100\t3\n"
				   "NSpid:\t101\t20\t4\nVmRSS:\t   12 kB\nThreads:\t9\n"
				   "SigPnd:\t0000000000000001\nShdPnd:\t0000000000000002\n"
				   "SigBlk:\tfffffffe7ffbfeff\nSigIgn:\t0000000001001000\n"
				   "SigCgt:\t0000000100000002\nNoNewPrivs:\t1\nSeccomp:\t2\n"
				   "x86_Thread_features:\tshstk \n";
	struct vz_status status;

	cr_assert_eq(vz_status_parse(text, &status), 0);
	cr_assert_str_eq(status.comm, "python3.11");
	cr_assert_eq(status.state, 'S');
	cr_assert_eq(status.tgid, 100);
	cr_assert_eq(status.ppid, 7);
	cr_assert_eq(status.tracer_pid, 33);
	cr_assert(status.uid == 1 && status.euid == 2 && status.fsuid == 4 && status.gid == 5);
	cr_assert_eq(status.ns_pid, 4);
	cr_assert_eq(status.ns_depth, 3);
	cr_assert_eq(status.rss_bytes, 12 * 1024);
	cr_assert_eq(status.threads, 9);
	cr_assert_eq(status.seccomp, 2);
	cr_assert_eq(status.no_new_privs, 1);
	cr_assert(status.shadow_stack);
	cr_assert_eq(status.signals.blocked, 0xfffffffe7ffbfeff);
	cr_assert_eq(status.signals.caught, 0x100000002);
	cr_assert_eq(status.signals.ignored, 0x1001000);
	cr_assert_eq(status.signals.pending, 1);
	cr_assert_eq(status.signals.shared_pending, 2);
}

Test(target, strange_status_is_survived)
{
	static const struct {
		const char *label, *text;
		int rc;
	} cases[] = {
		{ "empty", "", -EINVAL },
		{ "no state", "Name:\tx\n", -EINVAL },
		{ "state without value", "State:", -EINVAL },
		{ "no line end", "State:\tR", 0 },
		{ "huge numbers",
		  "State:\tR\nUid:\t99999999999999999999\nVmRSS:\t18446744073709551615", 0 },
		{ "long name",
		  "Name:\taaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nState:\tR",
		  0 },
		{ "a number of many digits",
		  "NSpid:\t1 277777777777777777777777777777777777777777777 3\nState:\tR\n", 0 },
		{ "name that looks like a field", "Name:\tState:\\nT\nState:\tR\n", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vz_status status;

		cr_assert_eq(vz_status_parse(cases[i].text, &status), cases[i].rc, "%s",
			     cases[i].label);
		cr_assert(cases[i].rc < 0 || status.state == 'R', "%s", cases[i].label);
		cr_assert_lt(strlen(status.comm), sizeof(status.comm));
	}
}

Test(target, start_time_is_field_22)
{
	cr_assert_eq(vz_stat_start_time("12 (a b) c) R 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 "
					"0 777 8 9\n"),
		     777);
	cr_assert_eq(vz_stat_start_time(""), 0);
	cr_assert_eq(vz_stat_start_time("12 (x)"), 0);
	cr_assert_eq(vz_stat_start_time("12 (x) R 1"), 0);
}

Test(target, syscall_file_is_parsed)
{
	static const struct {
		const char *label, *text;
		long number;
		uint64_t arg5, sp, pc;
	} cases[] = {
		{ "running", "running\n", -1, 0, 0, 0 },
		{ "no call", "-1 0x7ffc 0x401000\n", -1, 0, 0x7ffc, 0x401000 },
		{ "read", "0 0x3 0x1 0x2 0x3 0x4 0xff 0x7ffc 0x401000\n", 0, 0xff, 0x7ffc,
		  0x401000 },
		{ "futex", "202 0x3 0x1 0x2 0x3 0x4 0x5 0x10 0x20", 202, 5, 0x10, 0x20 },
		{ "empty", "", -2, 0, 0, 0 },
		{ "garbage", "hello", -2, 0, 0, 0 },
		{ "cut", "202 0x3 0x1", -1, 0, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vz_task task = { 0 };

		vz_syscall_parse(cases[i].text, &task);
		cr_assert_eq(task.syscall, cases[i].number, "%s", cases[i].label);
		cr_assert_eq(task.args[5], cases[i].arg5, "%s", cases[i].label);
		cr_assert_eq(task.sp, cases[i].sp, "%s", cases[i].label);
		cr_assert_eq(task.pc, cases[i].pc, "%s", cases[i].label);
	}
}

/* ---- tasks ---- */

static void *wait_at(void *barrier)
{
	pthread_barrier_wait(barrier);
	pthread_barrier_wait(barrier);
	return NULL;
}

Test(target, tasks_are_listed_by_number)
{
	pthread_barrier_t barrier;
	pthread_t threads[3];
	struct vz_tasks tasks;
	struct vz_task task;
	struct vz_err err;

	pthread_barrier_init(&barrier, NULL, 4);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, wait_at, &barrier);
	pthread_barrier_wait(&barrier);
	cr_assert_eq(vz_tasks_read(getpid(), &tasks, &err), 0);
	cr_assert_geq(tasks.count, 4);
	for (size_t i = 1; i < tasks.count; i++)
		cr_assert_lt(tasks.items[i - 1].tid, tasks.items[i].tid);
	cr_assert_eq(vz_task_read(getpid(), (pid_t)syscall(SYS_gettid), &task), 0);
	cr_assert_eq(task.state, 'R');
	cr_assert_eq(vz_task_read(getpid(), INT32_MAX, &task), -ESRCH);
	vz_tasks_fini(&tasks);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

/* ---- a process ---- */

Test(target, opens_reads_and_writes_a_child)
{
	static const char secret[] = "what is written here";
	char buf[64], *page;
	struct subject s = { 0 };
	struct vz_target target;
	struct vz_err err;

	page = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(page, secret, sizeof(secret));
	memset(page + 4096 - 8, 'x', 8);
	mprotect(page, 4096, PROT_READ);
	munmap(page + 4096, 4096);
	s.pid = fork();
	if (s.pid == 0) {
		pause();
		_exit(0);
	}
	cr_assert_eq(vz_target_open(s.pid, &target, &err), 0);
	cr_assert_neq(target.start_time, 0);
	cr_assert_neq(target.exe[0], '\0');
	cr_assert(vz_target_alive(&target));
	/* before and after its memory is open: by two ways */
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(vz_target_read(&target, (uintptr_t)page, buf, sizeof(secret)), 0);
		cr_assert_str_eq(buf, secret);
		cr_assert_eq(vz_target_read_string(&target, (uintptr_t)page, buf, 5), 0);
		cr_assert_str_eq(buf, "what");
		cr_assert_eq(vz_target_read(&target, (uintptr_t)page + 4090, buf, 16), -EFAULT);
		cr_assert_eq(vz_target_read(&target, UINT64_MAX - 4, buf, 16), -EFAULT);
		cr_assert_eq(vz_target_read(&target, 8, buf, 8), -EFAULT);
		cr_assert_lt(vz_target_read_string(&target, (uintptr_t)page + 4090, buf, 20), 0);
		cr_assert_str_eq(buf, "xxxxxx");
		if (i == 0) {
			cr_assert_eq(vz_target_write(&target, (uintptr_t)page, "W", 1), -EPERM);
			cr_assert_eq(vz_target_open_mem(&target), 0);
		}
	}
	cr_assert_eq(vz_target_write(&target, (uintptr_t)page, "W", 1), 0);
	cr_assert_eq(vz_target_read(&target, (uintptr_t)page, buf, 2), 0);
	cr_assert_eq(buf[0], 'W');
	cr_assert_eq(page[0], 'w');
	cr_assert_eq(vz_target_write(&target, 8, "W", 1), -EFAULT);
	kill(s.pid, SIGKILL);
	waitpid(s.pid, NULL, 0);
	cr_assert_not(vz_target_alive(&target));
	cr_assert_lt(vz_target_read(&target, (uintptr_t)page, buf, 2), 0);
	vz_target_close(&target);
	vz_target_close(&target);
}

Test(target, refuses_what_is_no_process)
{
	struct vz_target target;
	struct vz_err err;
	pid_t pid = fork();
	siginfo_t info;

	if (pid == 0)
		_exit(0);
	/* a zombie */
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	cr_assert_eq(vz_target_open(pid, &target, &err), -ESRCH);
	cr_assert_eq(err.exit, VZ_EXIT_NO_PROCESS);
	cr_assert_not_null(strstr(err.why, "zombie"));
	/* a number that is free now */
	waitpid(pid, NULL, 0);
	cr_assert_eq(vz_target_open(pid, &target, &err), -ESRCH);
	cr_assert_eq(err.exit, VZ_EXIT_NO_PROCESS);
	cr_assert_eq(vz_target_open(0, &target, &err), -ESRCH);
	cr_assert_eq(vz_target_open(-1, &target, &err), -ESRCH);
}

/* The directory of a child that works in PATH, below ROOT if that is not NULL. */
static bool cwd_of_child(const char *root, const char *path, bool gone,
			 char ret[VZ_TARGET_PATH_BYTES])
{
	char ended[VZ_TARGET_PATH_BYTES];
	struct vz_target target;
	struct vz_err err;
	int fds[2];
	pid_t pid;
	char c;
	bool told;

	cr_assert_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (chdir(path) == 0 && (!root || chroot(root) == 0) &&
		    (!gone || rmdir(path) == 0) && write(fds[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(fds[1]);
	cr_assert_eq(read(fds[0], &c, 1), 1, "%s", path);
	close(fds[0]);
	cr_assert_eq(vz_target_open(pid, &target, &err), 0);
	told = vz_target_cwd(&target, ret);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cr_expect_not(vz_target_cwd(&target, ended), "it is gone");
	vz_target_close(&target);
	return told;
}

Test(target, tells_where_it_works)
{
	char dir[] = "/tmp/vz-cwd-XXXXXX", sub[64], beside[64], cwd[VZ_TARGET_PATH_BYTES];

	cr_assert_not_null(mkdtemp(dir));
	snprintf(sub, sizeof(sub), "%s/a b", dir);
	snprintf(beside, sizeof(beside), "%s-beside", dir);
	cr_assert(mkdir(sub, 0700) == 0 && mkdir(beside, 0700) == 0);
	cr_expect(cwd_of_child(NULL, "/", false, cwd));
	cr_expect_str_eq(cwd, "/");
	cr_expect(cwd_of_child(NULL, sub, false, cwd));
	cr_expect_str_eq(cwd, sub);
	if (geteuid() == 0) { /* it may choose a root */
		cr_expect(cwd_of_child(dir, sub, false, cwd));
		cr_expect_str_eq(cwd, "/a b");
		cr_expect(cwd_of_child(dir, dir, false, cwd));
		cr_expect_str_eq(cwd, "/");
		cr_expect_not(cwd_of_child(dir, beside, false, cwd), "%s", cwd);
		cr_expect_not(cwd_of_child(dir, "/", false, cwd), "%s", cwd);
	}
	cr_expect_not(cwd_of_child(NULL, sub, true, cwd), "%s", cwd);
	cr_assert(rmdir(beside) == 0 && rmdir(dir) == 0);
}

static void *tell_tid(void *slot)
{
	*(pid_t *)slot = (pid_t)syscall(SYS_gettid);
	pause();
	return NULL;
}

Test(target, names_the_process_of_a_thread)
{
	volatile pid_t tid = 0;
	char expected[64];
	struct vz_target target;
	struct vz_err err;
	pthread_t thread;
	pid_t *slot = (pid_t *)(uintptr_t)&tid;

	pthread_create(&thread, NULL, tell_tid, slot);
	while (!tid)
		sched_yield();
	cr_assert_eq(vz_target_open(tid, &target, &err), -ESRCH);
	cr_assert_eq(err.exit, VZ_EXIT_NO_PROCESS);
	snprintf(expected, sizeof(expected), "--pid %d", (int)getpid());
	cr_assert_str_eq(err.hint, expected);
}
