/* SPDX-License-Identifier: MIT */
/*
 * The whole life of the agent, in the process of the test: started as from the
 * borrowed thread, spoken to through attach/link.c, until its memory is gone.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach/link.h"
#include "tests/kit_python.h"
#include "tests/kit_story.h"

#include "payload/agent.h"
#include "payload/hook.h"

enum { BYTES = 4 << 20, PAGE = 4096 };
#define SECOND UINT64_C(1000000000)

uint64_t vz_start(struct vz_home *home); /* what vz_entry calls */

static struct vz_link link_to_agent;
static struct vz_target self;

static void each(void (*test)(struct kit_hooked *k))
{
	static char wrong[65536];

	if (!kit_python_each(8, 13, test, wrong, sizeof(wrong)))
		cr_skip_test("no libpython here");
	cr_assert_str_empty(wrong, "%s", wrong);
}

static void prepare(struct kit_hooked *k)
{
	struct vz_err err = { 0 };

	kit_python_boot(k, BYTES);
	KIT_CHECK(vz_target_open(getpid(), &self, &err) == 0, "%s", err.what);
	vz_boot.libc[VZ_LIBC_pthread_create] = (uint64_t)(uintptr_t)pthread_create;
	vz_boot.libc[VZ_LIBC_pthread_attr_init] = (uint64_t)(uintptr_t)pthread_attr_init;
	vz_boot.libc[VZ_LIBC_pthread_attr_setstack] = (uint64_t)(uintptr_t)pthread_attr_setstack;
	vz_boot.libc[VZ_LIBC_pthread_attr_setdetachstate] =
		(uint64_t)(uintptr_t)pthread_attr_setdetachstate;
	vz_boot.libc[VZ_LIBC_pthread_attr_destroy] = (uint64_t)(uintptr_t)pthread_attr_destroy;
	vz_boot.libc[VZ_LIBC_munmap] = (uint64_t)(uintptr_t)munmap;
	/* A page stands for the image, whose code is in the test. */
	vz_boot.image_base = (uint64_t)(uintptr_t)mmap(NULL, PAGE, PROT_READ,
						       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	vz_boot.image_bytes = PAGE;
	vz_boot.writable_base = vz_boot.image_base;
	vz_boot.writable_bytes = PAGE;
	link_to_agent = (struct vz_link){ .target = &self,
					  .boot_raddr = (uint64_t)(uintptr_t)&vz_boot,
					  .nonce = vz_boot.nonce,
					  .arena = k->arena };
}

static void start(struct kit_hooked *k)
{
	struct vz_home home = { .magic = VZ_HOME_MAGIC };

	prepare(k);
	/* As the tracer leaves it. */
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &(uint64_t){ UINT64_MAX }, NULL, 8);
	KIT_CHECK(vz_start(&home) == 0, "home by itself");
	KIT_CHECK(vz_boot.home_done == 1, "home");
	KIT_CHECK(vz_boot.create_result == 0, "%lld", (long long)vz_boot.create_result);
}

/* Until the agent is in STATE; we do not hold the GIL. */
static void until(enum vz_state state)
{
	for (;;) {
		enum vz_state now = vz_link_state(&link_to_agent);

		if (now == state)
			return;
		KIT_CHECK(now != VZ_STATE_FAILED && now < state, "state %d: %s", now,
			  link_to_agent.control->error_text);
		vz_link_renew(&link_to_agent);
		usleep(200);
	}
}

static void open_link(void)
{
	struct vz_err err = { 0 };

	KIT_CHECK(vz_link_open(&link_to_agent, 20 * SECOND, &err) == 0, "%s %s", err.what, err.why);
	KIT_CHECK(vz_link_alive(&link_to_agent), "alive");
}

/* A memfd of ours among our files? */
static bool memory_is_mapped(void)
{
	struct vz_maps maps;
	struct vz_err err;
	unsigned n = 0;

	KIT_CHECK(vz_maps_read(getpid(), &maps, &err) == 0, "maps");
	for (size_t i = 0; i < maps.count; i++)
		n += strstr(maps.items[i].path, "memfd:vizattach") != NULL;
	vz_maps_fini(&maps);
	return n != 0;
}

static void until_unmapped(void)
{
	while (memory_is_mapped())
		usleep(500);
}

/* No signal of the program is for the agent, but those with which libc's setuid asks every thread.
 */
static void check_mask(void)
{
	struct vz_status status;
	uint64_t libc = UINT64_C(3) << 31;

	KIT_CHECK(vz_status_read(getpid(), (pid_t)vz_boot.agent_tid, &status) == 0, "status");
	KIT_CHECK((status.signals.blocked & libc) == 0, "%llx",
		  (unsigned long long)status.signals.blocked);
}

static void a_life(struct kit_hooked *k)
{
	struct vz_err err;
	void *state;
	char *story;

	start(k);
	state = k->save_thread();
	open_link();
	k->arena.at = link_to_agent.arena.at;
	k->fd = memfd_create("trace", MFD_CLOEXEC);
	KIT_CHECK(vz_tracefile_new(k->fd, getpid(), k->first.ns, 1, &k->tf, &err) == 0, "file");
	vz_clock_init(&k->clock, k->clock.is_ns, k->first, vz_clock_pair_now(k->clock.is_ns));
	KIT_CHECK(vz_drain_new(&k->arena, k->tf, &k->clock, NULL, NULL, &k->drain) == 0, "drain");
	until(VZ_STATE_RUNNING);
	check_mask();
	KIT_CHECK(link_to_agent.control->threads_at_attach == 1, "threads");
	KIT_CHECK(link_to_agent.control->interps_hooked == 1, "interpreters");
	k->restore_thread(state);
	KIT_CHECK(k->run("import threading, time\n"
			 "def w(): pass\n"
			 "def f():\n"
			 "    t = threading.Thread(target=w)\n"
			 "    t.start()\n"
			 "    t.join()\n"
			 "f()\n"
			 "time.sleep(0.01)\n") == 0,
		  "it raised");
	state = k->save_thread();
	vz_link_stop(&link_to_agent);
	until(VZ_STATE_GONE);
	KIT_CHECK(link_to_agent.control->left_hooks == 0, "hooks stayed");
	story = kit_python_story(k, NULL);
	KIT_CHECK(kit_story_count(story, "+f") == 1, "%.1000s", story);
	KIT_CHECK(kit_story_count(story, "+w") == 1, "%.1000s", story);
	vz_link_close(&link_to_agent);
	until_unmapped();
	k->restore_thread(state);
	KIT_CHECK(k->run("import sys\nassert sys.getprofile() is None\ndef g(): pass\ng()\n") == 0,
		  "-");
}

Test(payload_agent, a_life, .timeout = 100)
{
	each(a_life);
}

/* A child of the program gets rid of us by itself, and the parent is recorded on. */
static void a_fork(struct kit_hooked *k)
{
	void *state;

	start(k);
	state = k->save_thread();
	open_link();
	until(VZ_STATE_RUNNING);
	k->restore_thread(state);
	KIT_CHECK(k->run("import os, sys\n"
			 "def f(): pass\n"
			 "pid = os.fork()\n"
			 "if pid == 0:\n"
			 "    for i in range(1000): f()\n"
			 "    clean = sys.getprofile() is None\n"
			 "    if hasattr(sys, 'monitoring'):\n"
			 "        clean = not any(map(sys.monitoring.get_tool, range(6)))\n"
			 "    os._exit(0 if clean else 9)\n"
			 "status = os.waitpid(pid, 0)[1]\n"
			 "assert status == 0, status\n"
			 "f()\n") == 0,
		  "it raised");
	state = k->save_thread();
	vz_link_stop(&link_to_agent);
	until(VZ_STATE_GONE);
	vz_link_close(&link_to_agent);
	until_unmapped();
	k->restore_thread(state);
}

Test(payload_agent, a_fork, .timeout = 100)
{
	each(a_fork);
}

/* Told to stop while somebody else holds the GIL: it does so as soon as it has it, unseen. */
static void cancelled(struct kit_hooked *k)
{
	void *state;

	start(k);
	open_link();
	vz_link_stop(&link_to_agent);
	state = k->save_thread();
	while (vz_link_state(&link_to_agent) != VZ_STATE_FAILED)
		usleep(200);
	KIT_CHECK(link_to_agent.control->error == VZ_AGENT_CANCELLED, "%u",
		  link_to_agent.control->error);
	vz_link_close(&link_to_agent);
	until_unmapped();
	k->restore_thread(state);
}

Test(payload_agent, cancelled_before_the_gil, .timeout = 100)
{
	each(cancelled);
}

/* The kernel marks the word when the tool dies; the agent goes by itself. */
static void tool_dies(struct kit_hooked *k)
{
	void *state;

	start(k);
	state = k->save_thread();
	open_link();
	until(VZ_STATE_RUNNING);
	__atomic_or_fetch(&link_to_agent.control->tool_lock, 1u << 30, __ATOMIC_RELEASE);
	while (vz_link_state(&link_to_agent) != VZ_STATE_GONE)
		usleep(200);
	KIT_CHECK(link_to_agent.control->error == VZ_AGENT_TOOL_DEAD, "%u",
		  link_to_agent.control->error);
	vz_link_close(&link_to_agent);
	until_unmapped();
	k->restore_thread(state);
	KIT_CHECK(k->run("import sys\nassert sys.getprofile() is None\n") == 0, "-");
}

Test(payload_agent, the_tool_dies, .timeout = 100)
{
	each(tool_dies);
}

/* A tool that hangs is as good as dead. */
static void silence(struct kit_hooked *k)
{
	void *state;

	start(k);
	vz_boot.lease_ns = SECOND / 20;
	state = k->save_thread();
	open_link();
	for (;;) {
		enum vz_state now = vz_link_state(&link_to_agent);

		if (now == VZ_STATE_GONE || now == VZ_STATE_FAILED)
			break;
		usleep(200);
	}
	KIT_CHECK(link_to_agent.control->error == VZ_AGENT_LEASE ||
			  link_to_agent.control->error == VZ_AGENT_CANCELLED,
		  "%u", link_to_agent.control->error);
	vz_link_close(&link_to_agent);
	until_unmapped();
	k->restore_thread(state);
}

Test(payload_agent, the_tool_is_silent, .timeout = 100)
{
	each(silence);
}

static int no_thread(void)
{
	return EAGAIN;
}

/* pthread_create refused: the borrowed thread goes home all the same, and the tool says why. */
static void refused(struct kit_hooked *k)
{
	struct vz_home home = { .magic = VZ_HOME_MAGIC };
	struct vz_err err = { 0 };
	int rc;

	prepare(k);
	vz_boot.libc[VZ_LIBC_pthread_create] = (uint64_t)(uintptr_t)no_thread;
	KIT_CHECK(vz_start(&home) == 0, "home by itself");
	KIT_CHECK(vz_boot.home_done == 1 && vz_boot.create_result == EAGAIN, "home");
	rc = vz_link_open(&link_to_agent, SECOND, &err);
	KIT_CHECK(rc == -ECANCELED, "%d, status %u", rc, vz_boot.status);
	KIT_CHECK(err.exit == VZ_EXIT_UNSAFE && strstr(err.why, "pthread_create"), "%s", err.why);
}

Test(payload_agent, no_thread_for_it, .timeout = 100)
{
	each(refused);
}

/* The agent ended for a fork, and there is no thread for it any more: the program itself removes
 * us. */
static void not_reborn(struct kit_hooked *k)
{
	void *state;

	start(k);
	state = k->save_thread();
	open_link();
	until(VZ_STATE_RUNNING);
	vz_boot.libc[VZ_LIBC_pthread_create] = (uint64_t)(uintptr_t)no_thread;
	k->restore_thread(state);
	KIT_CHECK(k->run("import os, sys\n"
			 "def f(): pass\n"
			 "pid = os.fork()\n"
			 "if pid == 0: os._exit(0)\n"
			 "assert os.waitpid(pid, 0)[1] == 0\n"
			 "for i in range(1000): f()\n"
			 "assert not any(map(sys.monitoring.get_tool, range(6)))\n") == 0,
		  "it raised");
	KIT_CHECK(vz_link_state(&link_to_agent) == VZ_STATE_GONE, "%d",
		  vz_link_state(&link_to_agent));
	KIT_CHECK(link_to_agent.control->error == VZ_AGENT_NO_THREAD, "%u",
		  link_to_agent.control->error);
	vz_link_close(&link_to_agent);
	KIT_CHECK(!memory_is_mapped(), "memory stayed");
}

Test(payload_agent, not_reborn_after_a_fork, .timeout = 100)
{
	static char wrong[65536];

	if (!kit_python_each(12, 13, not_reborn, wrong, sizeof(wrong)))
		cr_skip_test("no libpython 3.12 here");
	cr_assert_str_empty(wrong, "%s", wrong);
}
