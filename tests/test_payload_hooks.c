/* SPDX-License-Identifier: MIT */
/* The hooks of the payload record what Python programs do, on each version. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/kit_python.h"
#include "tests/kit_story.h"

#include "payload/hook.h"
#include "payload/intern.h"

enum { LARGE = 32 << 20, SMALL = 1 << 19 };

static void each(unsigned min, unsigned max, void (*test)(struct kit_hooked *k))
{
	static char wrong[65536];

	if (!kit_python_each(min, max, test, wrong, sizeof(wrong)))
		cr_skip_test("no libpython 3.%u-3.%u here", min, max);
	cr_assert_str_empty(wrong, "%s", wrong);
}

/* Record PROGRAM from its start to its end; the story of all threads. */
static char *record(struct kit_hooked *k, const char *program)
{
	KIT_CHECK(kit_python_hook(k, LARGE) == VZ_AGENT_OK, "%s", vz_control->error_text);
	KIT_CHECK(k->run(program) == 0, "it raised");
	KIT_CHECK(kit_python_unhook(k) == 0, "hooks stayed");
	return kit_python_story(k, NULL);
}

static void expect(const char *story, const char *event, unsigned n)
{
	unsigned found = kit_story_count(story, event);

	KIT_CHECK(found == n, "%s: %u instead of %u in %.3000s", event, found, n, story);
}

/* ---- what is recorded -------------------------------------------------- */

static void calls(struct kit_hooked *k)
{
	char *story = record(k, "def g(x): return x\n"
				"def f(): return g(1) + g(2)\n"
				"f()\n"
				"class K:\n"
				"    def m(self): return 1\n"
				"K().m()\n");

	expect(story, "+f", 1);
	expect(story, "-f", 1);
	expect(story, "+g", 2);
	expect(story, "-g", 2);
	expect(story, k->minor >= 11 ? "+K.m" : "+m", 1);
	KIT_CHECK(strstr(story, " +f +g -g +g -g -f "), "%.3000s", story);
	KIT_CHECK(k->totals.lost == 0 && k->totals.unseen_exits == 0, "%llu",
		  (unsigned long long)k->totals.unseen_exits);
	KIT_CHECK(k->totals.threads == 1, "%u", k->totals.threads);
}

Test(payload_hooks, calls, .timeout = 100)
{
	each(8, 13, calls);
}

static void generators(struct kit_hooked *k)
{
	char *story = record(k, "def gen():\n"
				"    yield 1\n"
				"    yield 2\n"
				"def thrown():\n"
				"    try: yield\n"
				"    except KeyError: yield\n"
				"list(gen())\n"
				"t = thrown()\n"
				"next(t)\n"
				"t.throw(KeyError)\n");

	if (k->hook == VZ_HOOK_MONITORING) {
		expect(story, "+gen", 1);
		expect(story, "<gen", 2);
		expect(story, ">gen", 2);
		expect(story, "-gen", 1);
		expect(story, "!thrown", 1);
		expect(story, "<thrown", 2);
	} else { /* the profiler of these versions sees each entry as a call */
		expect(story, "+gen", 3);
		expect(story, "-gen", 3);
	}
	KIT_CHECK(k->totals.unseen_exits == 0 && k->totals.lost == 0, "%.3000s", story);
}

Test(payload_hooks, generators, .timeout = 100)
{
	each(8, 13, generators);
}

static void exceptions(struct kit_hooked *k)
{
	char *story = record(k, "def raises(): raise ValueError\n"
				"def passes(): raises()\n"
				"def catches():\n"
				"    try: passes()\n"
				"    except ValueError: return 1\n"
				"catches()\n"
				"try: ord('xx')\n"
				"except TypeError: pass\n");

	expect(story, "^raises", 1);
	expect(story, "^passes", 1);
	expect(story, "-catches", 1);
	expect(story, "+ord", 1);
	expect(story, "^ord", 1);
	KIT_CHECK(strstr(story, " +catches +passes +raises ^raises ^passes -catches"), "%.3000s",
		  story);
}

Test(payload_hooks, exceptions, .timeout = 100)
{
	each(8, 13, exceptions);
}

static void c_functions(struct kit_hooked *k)
{
	char *story = record(k, "import time\n"
				"len([])\n"
				"[].append(1)\n"
				"sorted([1], key=lambda x: x)\n"
				"dict.fromkeys('ab')\n"
				"time.monotonic()\n"
				"str.upper('x')\n");

	expect(story, "+len", 1);
	expect(story, "-len", 1);
	expect(story, "-append", 1);
	expect(story, "+fromkeys", 1);
	expect(story, "-monotonic", 1);
	expect(story, "+upper", 1);
	KIT_CHECK(strstr(story, " +sorted +<lambda> -<lambda> -sorted"), "%.3000s", story);
}

Test(payload_hooks, c_functions, .timeout = 100)
{
	each(8, 13, c_functions);
}

/* Which type or module a C function belongs to, which file a Python function is in. */
static void definitions(struct kit_hooked *k)
{
	char *story =
		record(k, "import time, collections\n"
			  "exec(compile('def ours(): pass\\nours()', '/a/b.py', 'exec'), {})\n"
			  "len([])\n"
			  "[].append(1)\n"
			  "collections.OrderedDict.fromkeys('a')\n"
			  "class L(list): pass\n"
			  "L().insert(0, 1)\n"
			  "time.monotonic()\n");
	struct vz_reader *r;
	uint8_t *bytes;
	static const char *const known[][2] = {
		{ "ours", "/a/b.py" }, { "len", "builtins" },   { "append", "list" },
		{ "insert", "list" },  { "monotonic", "time" },
	};
	unsigned found = 0;

	free(story);
	r = kit_open(k->fd, &bytes);
	for (uint32_t id = 1; id < vz_reader_nfunctions(r); id++) {
		const struct vz_function *f = vz_reader_function(r, id);

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			if (strcmp(f->name, known[i][0]) != 0)
				continue;
			KIT_CHECK(!strcmp(f->file, known[i][1]), "%s: %s", f->name, f->file);
			KIT_CHECK(f->kind == (i ? VZ_DEF_C : VZ_DEF_PYTHON), "%s", f->name);
			KIT_CHECK(i || f->line == 1, "%u", f->line);
			found++;
		}
	}
	KIT_CHECK(found == sizeof(known) / sizeof(known[0]), "%u", found);
}

Test(payload_hooks, definitions, .timeout = 100)
{
	each(8, 13, definitions);
}

/* Their addresses are used again by others: each call carries its own name. */
static void functions_that_die(struct kit_hooked *k)
{
	char *story = record(k, "for i in range(500):\n"
				"    exec('def d%d(): pass\\nd%d()' % (i, i), {})\n");

	for (unsigned i = 0; i < 500; i++) {
		char event[16];

		snprintf(event, sizeof(event), "+d%u", i);
		expect(story, event, 1);
		event[0] = '-';
		expect(story, event, 1);
	}
	KIT_CHECK(k->totals.functions >= 1000, "%u", k->totals.functions); /* and 500 <module> */
}

Test(payload_hooks, functions_that_die, .timeout = 100)
{
	each(8, 13, functions_that_die);
}

/* The dead leave their places: else each one made the next a little slower to find. */
static void functions_that_die_leave_no_graves(struct kit_hooked *k)
{
	free(record(k, "for i in range(6000):\n    eval('(lambda: 1)()')\n"));
	KIT_CHECK(vz_intern_room() < 6000, "%llu", (unsigned long long)vz_intern_room());
	KIT_CHECK(k->totals.functions >= 2 * 6000, "%u", k->totals.functions);
}

Test(payload_hooks, functions_that_die_leave_no_graves, .timeout = 100)
{
	each(8, 13, functions_that_die_leave_no_graves);
}

/* More than the table of functions first has room for. */
static void very_many_functions(struct kit_hooked *k)
{
	char *story = record(k, "keep = []\n"
				"for i in range(6000):\n"
				"    d = {}\n"
				"    exec('def m%d(): pass\\nm%d()' % (i, i), d)\n"
				"    keep.append(d)\n"
				"for d in keep:\n"
				"    [f() for n, f in d.items() if n[0] == 'm']\n");
	char event[16];

	for (unsigned i = 0; i < 6000; i += 371) {
		snprintf(event, sizeof(event), "+m%u", i);
		expect(story, event, 2);
	}
	KIT_CHECK(vz_control->functions_lost == 0, "%u", vz_control->functions_lost);
}

Test(payload_hooks, very_many_functions, .timeout = 100)
{
	each(8, 13, very_many_functions);
}

static void deep_recursion(struct kit_hooked *k)
{
	char *story = record(k, "def r(n): return n and r(n - 1)\n"
				"r(900)\n"
				"def endless(): endless()\n"
				"try: endless()\n"
				"except RecursionError: pass\n");

	KIT_CHECK(strncmp(story, "MainThread:", 11) == 0, "%.100s", story);
	expect(story, "+r", 901);
	expect(story, "-r", 901);
	KIT_CHECK(kit_story_count(story, "+endless") == kit_story_count(story, "^endless"),
		  "%u entries, %u exits", kit_story_count(story, "+endless"),
		  kit_story_count(story, "^endless"));
	KIT_CHECK(kit_story_count(story, "+endless") > 900, "few");
}

Test(payload_hooks, deep_recursion, .timeout = 100)
{
	each(8, 13, deep_recursion);
}

static void names(struct kit_hooked *k)
{
	char *story =
		record(k, "def fä(): pass\n"
			  "fä()\n"
			  "def call(name):\n"
			  "    def f(): pass\n"
			  "    kw = dict(co_name=name)\n"
			  "    if hasattr(f.__code__, 'co_qualname'): kw['co_qualname'] = name\n"
			  "    f.__code__ = f.__code__.replace(**kw)\n"
			  "    f()\n"
			  "call('\\ud800x')\n"
			  "call('\\u20ac')\n"
			  "call('\\U0001f600')\n"
			  "call('n' * 3000)\n"
			  "call('')\n");
	char *cut;

	expect(story, "+fä", 1);
	expect(story, "+\xef\xbf\xbdx", 1);
	expect(story, "+€", 1);
	expect(story, "+\xf0\x9f\x98\x80", 1);
	cut = strstr(story, "+nnn");
	KIT_CHECK(cut && strspn(cut + 1, "n") <= VZ_DEF_NAME_MAX && strspn(cut + 1, "n") > 1000,
		  "a long name is cut");
}

Test(payload_hooks, names, .timeout = 100)
{
	each(8, 13, names);
}

/* Timelines other than this, the main one, that carry its kernel thread id or none. */
static unsigned without_own_tid(struct kit_hooked *k)
{
	uint8_t *bytes;
	struct vz_reader *r = kit_open(k->fd, &bytes);
	unsigned n = 0;

	for (uint32_t i = 0; i < vz_reader_ntracks(r); i++) {
		uint32_t tid = vz_reader_track(r, i)->tid;

		n += tid == 0 || (tid == (uint32_t)getpid() && i > 0);
	}
	vz_reader_free(r);
	free(bytes);
	return n;
}

static void threads(struct kit_hooked *k)
{
	char *story =
		record(k, "import threading\n"
			  "def w(n):\n"
			  "    for i in range(n): v(i)\n"
			  "def v(i): pass\n"
			  "ts = [threading.Thread(target=w, args=(100,), name='worker-%d' % i)\n"
			  "      for i in range(4)]\n"
			  "for t in ts: t.start()\n"
			  "for t in ts: t.join()\n"
			  "for i in range(20):\n" /* one after the other: slots are used again */
			  "    t = threading.Thread(target=w, args=(30,), name='late')\n"
			  "    t.start()\n"
			  "    t.join()\n");
	unsigned late = 0, open = 0;

	expect(story, "+w", 24);
	expect(story, "-w", 24);
	expect(story, "+v", 1000);
	for (int i = 0; i < 4; i++) {
		char head[16], *line;

		snprintf(head, sizeof(head), "worker-%d:", i);
		line = strstr(story, head);
		KIT_CHECK(line, "%s %.500s", head, story);
		*strchr(line, '\n') = '\0';
		expect(line, "+v", 100);
		line[strlen(line)] = '\n';
	}
	for (char *at = story; (at = strstr(at, "\nlate:")); at++)
		late++;
	KIT_CHECK(late == 20, "%u", late);
	KIT_CHECK(k->totals.threads == 25, "%u", k->totals.threads);
	KIT_CHECK(without_own_tid(k) == 0, "%u have another's thread id", without_own_tid(k));
	for (uint32_t i = 1; i < k->arena.nslots; i++)
		open += ((struct vz_slot *)(k->arena.at + k->arena.slots_offset))[i].state ==
			VZ_SLOT_OPEN;
	KIT_CHECK(open <= 1, "%u slots are open", open);
	KIT_CHECK(vz_control->threads_late == 0, "%u", vz_control->threads_late);
}

Test(payload_hooks, threads, .timeout = 100)
{
	each(8, 13, threads);
}

/* Frames that were there before the hooks: one in Python, through a callback into this test. */
static struct kit_hooked *hooked;

static void hook_now(void)
{
	KIT_CHECK(kit_python_hook(hooked, LARGE) == VZ_AGENT_OK, "%s", vz_control->error_text);
}

static void open_frames(struct kit_hooked *k)
{
	char program[512], *story;

	hooked = k;
	snprintf(program, sizeof(program),
		 "import ctypes\n"
		 "hook = ctypes.PYFUNCTYPE(None)(%llu)\n"
		 "def outer(): inner(); after()\n"
		 "def inner(): hook()\n"
		 "def after(): pass\n"
		 "outer()\n",
		 (unsigned long long)(uintptr_t)hook_now);
	if (k->run("import ctypes") != 0)
		return;
	KIT_CHECK(k->run(program) == 0, "it raised");
	KIT_CHECK(kit_python_unhook(k) == 0, "hooks stayed");
	story = kit_python_story(k, NULL);
	KIT_CHECK(strstr(story, " (<module> (outer (inner"), "%.1000s", story);
	KIT_CHECK(strstr(story, "-inner +after -after -outer -<module>"), "%.1000s", story);
	KIT_CHECK(k->totals.open_frames == 3, "%llu", (unsigned long long)k->totals.open_frames);
}

Test(payload_hooks, open_frames, .timeout = 100)
{
	each(8, 13, open_frames);
}

/* ---- what does not fit ------------------------------------------------- */

static uint64_t told_lost(const char *story)
{
	uint64_t sum = 0;

	for (const char *at = story; (at = strstr(at, " L")); at++)
		sum += strtoull(at + 2, NULL, 10);
	return sum;
}

/* Nobody drains: what is missing is counted and told in its place, and the stack is right again. */
static void losses(struct kit_hooked *k)
{
	const unsigned n = 100000;
	char *story;
	uint64_t lost, events;

	KIT_CHECK(kit_python_hook(k, SMALL) == VZ_AGENT_OK, "%s", vz_control->error_text);
	KIT_CHECK(k->run("def f(): pass\n"
			 "def many(n):\n"
			 "    for i in range(n): f()\n"
			 "def outer(): many(100000)\n"
			 "outer()\n") == 0,
		  "it raised");
	lost = ((struct vz_slot *)(k->arena.at + k->arena.slots_offset))[1].lost;
	KIT_CHECK(lost > n / 2, "%llu", (unsigned long long)lost);
	kit_python_poll(k);
	KIT_CHECK(k->run("def last(): pass\nlast()\n") == 0, "it raised");
	KIT_CHECK(kit_python_unhook(k) == 0, "hooks stayed");
	story = kit_python_story(k, NULL);
	events = k->totals.events;
	KIT_CHECK(k->totals.lost == lost, "%llu", (unsigned long long)k->totals.lost);
	KIT_CHECK(told_lost(story) == lost, "%llu told, %llu lost",
		  (unsigned long long)told_lost(story), (unsigned long long)lost);
	KIT_CHECK(events + lost >= 2 * n + 4 && events + lost < 2 * n + 100, "%llu and %llu",
		  (unsigned long long)events, (unsigned long long)lost);
	/* the loss ended all frames that were open when it began */
	expect(story, "?many", 1);
	expect(story, "?outer", 1);
	expect(story, "+last", 1);
	expect(story, "-last", 1);
	expect(story, "=outer", 0);
}

Test(payload_hooks, losses, .timeout = 100)
{
	each(8, 13, losses);
}

/* Room comes while frames are open: the snapshot says which. */
static struct kit_hooked *drained;

static void drain_now(void)
{
	kit_python_poll(drained);
}

static void losses_end_inside(struct kit_hooked *k)
{
	char program[1024], *story;

	if (k->run("import ctypes") != 0)
		return;
	drained = k;
	snprintf(program, sizeof(program),
		 "import ctypes\n"
		 "drain = ctypes.PYFUNCTYPE(None)(%llu)\n"
		 "def f(): pass\n"
		 "def many(n):\n"
		 "    for i in range(n): f()\n"
		 "def hidden(): drain(); shown()\n"
		 "def shown(): pass\n"
		 "def outer():\n"
		 "    many(100000)\n"
		 "    hidden()\n"
		 "outer()\n",
		 (unsigned long long)(uintptr_t)drain_now);
	KIT_CHECK(kit_python_hook(k, SMALL) == VZ_AGENT_OK, "%s", vz_control->error_text);
	KIT_CHECK(k->run(program) == 0, "it raised");
	KIT_CHECK(kit_python_unhook(k) == 0, "hooks stayed");
	story = kit_python_story(k, NULL);
	expect(story, "(hidden", 1);
	expect(story, "-hidden", 1);
	expect(story, "+outer", 1);
	expect(story, "-outer", 1);
	expect(story, "(outer", 0);
	expect(story, "?many", 1);
	expect(story, "+shown", 1);
	KIT_CHECK(told_lost(story) == k->totals.lost, "%llu told",
		  (unsigned long long)told_lost(story));
}

Test(payload_hooks, losses_end_inside, .timeout = 100)
{
	each(8, 13, losses_end_inside);
}

/* ---- nothing to see ----------------------------------------------------- */

/* Profiling of its own: what was there before can be kept and set again. */
static void a_profiler(struct kit_hooked *k)
{
	char *story = record(k, "import sys\n"
				"seen = []\n"
				"def own(frame, event, arg): seen.append(event)\n"
				"def f(): pass\n"
				"before = sys.getprofile()\n"
				"assert before is None, before\n"
				"f()\n"
				"sys.setprofile(own)\n"
				"assert sys.getprofile() is own\n"
				"f()\n"
				"sys.setprofile(before)\n"
				"assert seen.count('call') == 1, seen\n"
				"f()\n"
				"assert sys.getprofile() is None\n");

	/* Two at least: on 3.11 nobody puts our hook back before the agent looks. */
	KIT_CHECK(kit_story_count(story, "+f") >= (k->minor == 11 ? 1 : 2), "%.3000s", story);
}

Test(payload_hooks, a_profiler, .timeout = 100)
{
	each(8, 13, a_profiler);
}

/* Who walks through all objects finds CPython's, and may keep them when we are gone. */
static void all_objects(struct kit_hooked *k)
{
	free(record(k, "import gc, os, threading\n"
		       "threading.local().x = []\n"
		       "os.register_at_fork(before=lambda: None, after_in_parent=lambda: None)\n"
		       "kept = [gc.get_objects()]\n"
		       "kept += [gc.get_referents(one) for one in kept[0]]\n"
		       "kept.append([type(one) for part in kept for one in part])\n"
		       "assert 'vizattach' not in [type(one).__name__ for part in kept\n"
		       "                           for one in part]\n"));
	KIT_CHECK(k->run("for part in kept:\n"
			 "    for one in part:\n"
			 "        if 'capsule' in type(one).__name__.lower(): repr(one)\n"
			 "        if 'builtin' in type(one).__name__: repr(one)\n"
			 "del kept, part, one\n"
			 "gc.collect()\n") == 0,
		  "it raised");
}

Test(payload_hooks, all_objects, .timeout = 100)
{
	each(8, 13, all_objects);
}

/* ---- in and out -------------------------------------------------------- */

static void nothing_stays(struct kit_hooked *k)
{
	uint64_t *watched =
		(uint64_t *)((uintptr_t)vz_boot.py[VZ_SYM_PyCode_Type] + VZ_TYPE_DEALLOC);
	uint64_t dealloc = *watched;

	free(record(k, "def f(): pass\nf()\n"));
	KIT_CHECK(*watched == dealloc, "the deallocator of code objects");
	KIT_CHECK(k->run("import sys, threading\n"
			 "assert sys.getprofile() is None\n"
			 "if hasattr(sys, 'monitoring'):\n"
			 "    assert [sys.monitoring.get_tool(i) for i in range(6)] == [None] * 6\n"
			 "def g(): pass\n"
			 "g()\n"
			 "t = threading.Thread(target=g)\n"
			 "t.start()\n"
			 "t.join()\n") == 0,
		  "something stayed");
	KIT_CHECK(vz_drain_poll(k->drain) == 0, "events after the end");
}

Test(payload_hooks, nothing_stays, .timeout = 100)
{
	each(8, 13, nothing_stays);
}

static void other_profiler(struct kit_hooked *k)
{
	KIT_CHECK(k->run("import sys\nseen = []\nsys.setprofile(lambda *a: seen.append(1))\n") == 0,
		  "-");
	KIT_CHECK(kit_python_hook(k, LARGE) == VZ_AGENT_PROFILER, "%s", vz_control->error_text);
	KIT_CHECK(vz_control->error == VZ_AGENT_PROFILER && vz_control->error_text[0], "-");
	KIT_CHECK(k->run("def f(): pass\nn = len(seen)\nf()\nassert len(seen) > n\n") == 0,
		  "it was disturbed");
}

Test(payload_hooks, another_profiler_is_left_alone, .timeout = 100)
{
	each(8, 11, other_profiler);
}

static void no_tool_id(struct kit_hooked *k)
{
	KIT_CHECK(k->run("import sys\n"
			 "for i in (2, 3, 4): sys.monitoring.use_tool_id(i, 'x')\n") == 0,
		  "-");
	KIT_CHECK(kit_python_hook(k, LARGE) == VZ_AGENT_NO_TOOL_ID, "%s", vz_control->error_text);
	KIT_CHECK(k->run("for i in (2, 3, 4): assert sys.monitoring.get_tool(i) == 'x'\n") == 0,
		  "-");
}

static void another_tool_id(struct kit_hooked *k)
{
	KIT_CHECK(k->run("import sys\nsys.monitoring.use_tool_id(4, 'x')\n") == 0, "-");
	free(record(k, "def f(): pass\nf()\n"));
	KIT_CHECK(vz_control->tool_id == 3, "%u", vz_control->tool_id);
	KIT_CHECK(k->run("assert sys.monitoring.get_tool(4) == 'x'\n") == 0, "-");
}

Test(payload_hooks, tool_ids_are_never_stolen, .timeout = 100)
{
	each(12, 13, no_tool_id);
	each(12, 13, another_tool_id);
}
