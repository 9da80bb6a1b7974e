/* SPDX-License-Identifier: MIT */
/* asyncio's tasks in every CPython: who runs, who waits for what, and the tree of them. */
#include <criterion/criterion.h>

#include "tests/kit_look.h"

#define BEGIN                                                  \
	"import asyncio, os, sys, threading, time\n"           \
	"keep = []\n"                                          \
	"async def say():\n"                                   \
	"    await asyncio.sleep(0.05)\n"                      \
	"    os.write(1, b'x')\n"                              \
	"def named(coro, name):\n"                             \
	"    t = asyncio.get_event_loop().create_task(coro)\n" \
	"    t.set_name(name)\n"                               \
	"    keep.append(t)\n"                                 \
	"    return t\n"                                       \
	"async def forever():\n"                               \
	"    await asyncio.get_event_loop().create_future()\n"

#define LOOP "L asyncio.unix_events._UnixSelectorEventLoop on MainThread runs - selecting"

static const struct kit_case cases[] = {
	{ .label = "gather and sleep",
	  .program = BEGIN "async def child():\n"
			   "    await asyncio.sleep(1000)\n"
			   "async def middle():\n"
			   "    await child()\n"
			   "async def main():\n"
			   "    named(say(), 'say')\n"
			   "    a, b = named(middle(), 'a'), named(forever(), 'b')\n"
			   "    asyncio.current_task().set_name('top')\n"
			   "    await asyncio.gather(a, b)\n"
			   "asyncio.run(main())\n",
	  .expect = { LOOP,
		      "K top main waits: 'gather: 2 of 2' -> - below - on MainThread; in main:",
		      "K a middle waits: 'sleep(1000)' -> - below top on MainThread; in sleep:",
		      " child:", " middle:", "K b forever waits: '_asyncio.Future at " } },
	{ .label = "a task that waits for a task",
	  .program = BEGIN "async def outer(t):\n"
			   "    await t\n"
			   "async def main():\n"
			   "    named(say(), 'say')\n"
			   "    asyncio.current_task().set_name('top')\n"
			   "    a = named(forever(), 'a')\n"
			   "    b = named(outer(a), 'b')\n"
			   "    await b\n"
			   "asyncio.run(main())\n",
	  .expect = { LOOP, "K top main waits: 'b' -> b below -",
		      "K b outer waits: 'a' -> a below top", "below b on MainThread" } },
	{ .label = "a circle",
	  .program = BEGIN "async def outer(name):\n"
			   "    await tasks[name]\n"
			   "async def main():\n"
			   "    named(say(), 'say')\n"
			   "    global tasks\n"
			   "    tasks = {}\n"
			   "    tasks['a'] = named(outer('b'), 'a')\n"
			   "    tasks['b'] = named(outer('a'), 'b')\n"
			   "    await forever()\n"
			   "asyncio.run(main())\n",
	  .expect = { LOOP, "K a outer waits: 'b' -> b below",
		      "K b outer waits: 'a' -> a below" } },
	{ .label = "locks",
	  .program = BEGIN "async def one(x, y, first, second):\n"
			   "    async with x:\n"
			   "        first.set()\n"
			   "        await second.wait()\n"
			   "        async with y:\n"
			   "            pass\n"
			   "async def left(x):\n"
			   "    async with x:\n"
			   "        pass\n"
			   "    await forever()\n"
			   "async def main():\n"
			   "    named(say(), 'say')\n"
			   "    a, b = asyncio.Lock(), asyncio.Lock()\n"
			   "    named(left(a), 'left')\n"
			   "    await asyncio.sleep(0)\n"
			   "    e, f = asyncio.Event(), asyncio.Event()\n"
			   "    named(one(a, b, e, f), 'ab')\n"
			   "    named(one(b, a, f, e), 'ba')\n"
			   "    await forever()\n"
			   "asyncio.run(main())\n",
	  .expect = { LOOP, "K ab one waits: 'asyncio.Lock held by ba' -> ?ba",
		      "K ba one waits: 'asyncio.Lock held by ab' -> ?ab" },
	  .reject = { "held by left" } },
	{ .label = "a lock that was acquired",
	  .program = BEGIN "async def owner(x):\n"
			   "    await x.acquire()\n"
			   "    await forever()\n"
			   "async def waiter(x):\n"
			   "    async with x: pass\n"
			   "async def main():\n"
			   "    named(say(), 'say')\n"
			   "    a = asyncio.Lock()\n"
			   "    named(owner(a), 'owner')\n"
			   "    named(waiter(a), 'waiter')\n"
			   "    await forever()\n"
			   "asyncio.run(main())\n",
	  .expect = { LOOP, "K waiter waiter waits: 'asyncio.Lock' -> -" },
	  .reject = { "held by" } },
	{ .label = "queues, events, conditions",
	  .program = BEGIN
	  "async def condition(c):\n"
	  "    async with c: await c.wait()\n"
	  "async def main():\n"
	  "    named(say(), 'say')\n"
	  "    named(asyncio.Queue().get(), 'q')\n"
	  "    named(asyncio.Event().wait(), 'e')\n"
	  "    named(asyncio.Semaphore(0).acquire(), 's')\n"
	  "    c = asyncio.Condition()\n"
	  "    named(condition(c), 'c')\n"
	  "    await asyncio.sleep(0)\n"
	  "    named(condition(c), 'd')\n"
	  "    loop = asyncio.get_event_loop()\n"
	  "    async def executor(): await loop.run_in_executor(None, time.sleep, 1000)\n"
	  "    named(executor(), 'x')\n"
	  "    await forever()\n"
	  "asyncio.run(main())\n",
	  .expect = { LOOP, "K q Queue.get waits: 'asyncio.Queue.get'",
		      "K e Event.wait waits: 'asyncio.Event'", "waits: 'asyncio.Semaphore'",
		      "K c condition waits: 'asyncio.Condition'",
		      "K d condition waits: 'asyncio.Condition'",
		      "waits: 'a function in another thread (executor)'" } },
	{ .label = "wait and wait_for",
	  .program = BEGIN "async def waits(a, b):\n"
			   "    await asyncio.wait([a, b])\n"
			   "async def limited(a):\n"
			   "    await asyncio.wait_for(a, 1000)\n"
			   "async def main():\n"
			   "    named(say(), 'say')\n"
			   "    a, b, c = [named(forever(), n) for n in 'abc']\n"
			   "    named(waits(a, b), 'w')\n"
			   "    named(limited(c), 'f')\n"
			   "    await forever()\n"
			   "asyncio.run(main())\n",
	  .expect = { LOOP, "K w waits waits: 'asyncio.wait: 2 of 2' -> -", "K f limited waits: 'c",
		      "-> c below", "below w on MainThread", "below f on MainThread" } },
	{ .label = "TaskGroup",
	  .min = 11,
	  .program = BEGIN "async def main():\n"
			   "    named(say(), 'say')\n"
			   "    async with asyncio.TaskGroup() as g:\n"
			   "        g.create_task(forever(), name='a')\n"
			   "        g.create_task(forever(), name='b')\n"
			   "        asyncio.current_task().set_name('top')\n"
			   "asyncio.run(main())\n",
	  .expect = { LOOP, "K top main waits: 'TaskGroup: 2 of 2'", "K a forever waits",
		      "below top on" } },
	{ .label = "blocked",
	  .program = BEGIN "async def inner():\n"
			   "    os.write(1, b'x')\n"
			   "    time.sleep(1000)\n"
			   "async def bad():\n"
			   "    await inner()\n"
			   "async def main():\n"
			   "    named(forever(), 'w')\n"
			   "    await asyncio.sleep(0.05)\n"
			   "    t = named(bad(), 'bad')\n"
			   "    await asyncio.sleep(1)\n"
			   "asyncio.run(main())\n",
	  .expect = { "L asyncio.unix_events._UnixSelectorEventLoop on MainThread runs bad\n",
		      "K bad bad runs: '' -> - below - on MainThread; in inner:",
		      "K w forever waits" } },
	{ .label = "tasks in Python, a loop in a thread",
	  .program = BEGIN "asyncio.Task = asyncio.tasks.Task = asyncio.tasks._PyTask\n"
			   "asyncio.Future = asyncio.futures.Future = asyncio.futures._PyFuture\n"
			   "async def gen():\n"
			   "    await forever()\n"
			   "    yield 1\n"
			   "async def steps():\n"
			   "    async for i in gen(): pass\n"
			   "async def main():\n"
			   "    named(say(), 'say')\n"
			   "    named(steps(), 'steps')\n"
			   "    await asyncio.sleep(1000)\n"
			   "def run(): asyncio.run(main())\n"
			   "threading.Thread(target=run, name='looper', daemon=True).start()\n"
			   "sys.stdin.read()\n",
	  .expect = { "L asyncio.unix_events._UnixSelectorEventLoop on looper runs - selecting",
		      "K steps steps waits: '", " gen:", " steps:", "main waits: 'sleep(1000)'" } },
};

/* Side by side: they mostly wait. */
Test(asyncio, tasks_and_what_they_await_in_3_8_to_3_10)
{
	cr_assert_eq(kit_look_all(cases, sizeof(cases) / sizeof(cases[0]), 8, 10), 0);
}

Test(asyncio, tasks_and_what_they_await_in_3_11_to_3_12)
{
	cr_assert_eq(kit_look_all(cases, sizeof(cases) / sizeof(cases[0]), 11, 12), 0);
}

Test(asyncio, tasks_and_what_they_await_in_3_13_to_3_15)
{
	cr_assert_eq(kit_look_all(cases, sizeof(cases) / sizeof(cases[0]), 13, 15), 0);
}
