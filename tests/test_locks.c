/* SPDX-License-Identifier: MIT */
/* Programs that wait for locks, in every CPython: which lock, and whose it is. */
#include <criterion/criterion.h>

#include "tests/kit_look.h"

#define BEGIN                               \
	"import os, sys, threading, time\n" \
	"def say():\n"                      \
	"    os.write(1, b'x')\n"           \
	"def begin(*fs):\n"                 \
	"    for f in fs:\n"                \
	"        threading.Thread(target=f, name=f.__name__, daemon=True).start()\n"

static const struct kit_case cases[] = {
	{ .label = "two locks, two orders",
	  .program =
		  BEGIN "a = threading.Lock(); b = threading.Lock(); here = threading.Barrier(2)\n"
			"def one():\n"
			"    with a:\n"
			"        here.wait()\n"
			"        with b:\n"
			"            pass\n"
			"def two():\n"
			"    with b:\n"
			"        here.wait()\n"
			"        with a:\n"
			"            pass\n"
			"begin(one, two)\n"
			"say()\n"
			"sys.stdin.read()\n",
	  .expect = { "T one: wants threading.Lock 'b' inferred two (two (<string>:",
		      "T two: wants threading.Lock 'a' inferred one (one (<string>:" } },
	{ .label = "attributes, called",
	  .program = BEGIN "class Box:\n"
			   "    def __init__(self):\n"
			   "        self.lock = threading.Lock()\n"
			   "    def owner(self):\n"
			   "        with self.lock:\n"
			   "            self.inner()\n"
			   "    def inner(self):\n"
			   "        say()\n"
			   "        time.sleep(1000)\n"
			   "    def waiter(self):\n"
			   "        while not self.lock.locked():\n"
			   "            pass\n"
			   "        self.lock.acquire()\n"
			   "box = Box()\n"
			   "begin(box.owner, box.waiter)\n"
			   "sys.stdin.read()\n",
	  .expect = { "T waiter: wants threading.Lock 'self.lock' inferred owner" } },
	{ .label = "nested with",
	  .program = BEGIN "a, b, c = [threading.Lock() for i in range(3)]\n"
			   "held = threading.Event()\n"
			   "def owner():\n"
			   "    with a:\n"
			   "        try:\n"
			   "            with b, c:\n"
			   "                for i in range(1):\n"
			   "                    try:\n"
			   "                        held.set()\n"
			   "                        time.sleep(1000)\n"
			   "                    except ValueError:\n"
			   "                        pass\n"
			   "        finally:\n"
			   "            pass\n"
			   "def wants_a():\n"
			   "    held.wait()\n"
			   "    with a: pass\n"
			   "def wants_b():\n"
			   "    held.wait()\n"
			   "    with b: pass\n"
			   "def wants_c():\n"
			   "    held.wait()\n"
			   "    with c: pass\n"
			   "begin(owner, wants_a, wants_b, wants_c)\n"
			   "held.wait()\n"
			   "say()\n"
			   "sys.stdin.read()\n",
	  .expect = { "T wants_a: wants threading.Lock 'a' inferred owner",
		      "T wants_b: wants threading.Lock 'b' inferred owner",
		      "T wants_c: wants threading.Lock 'c' inferred owner" } },
	{ .label = "within except and a comprehension",
	  .program = BEGIN "a = threading.Lock()\n"
			   "held = threading.Event()\n"
			   "def stay(i):\n"
			   "    held.set()\n"
			   "    time.sleep(1000)\n"
			   "def owner():\n"
			   "    try:\n"
			   "        raise ValueError\n"
			   "    except ValueError:\n"
			   "        with a:\n"
			   "            [stay(i) for i in range(3)]\n"
			   "def waiter():\n"
			   "    held.wait()\n"
			   "    a.acquire()\n"
			   "begin(owner, waiter)\n"
			   "held.wait()\n"
			   "say()\n"
			   "sys.stdin.read()\n",
	  .expect = { "T waiter: wants threading.Lock 'a' inferred owner" } },
	{ .label = "a slot that is stale",
	  .program = BEGIN "a = threading.Lock()\n"
			   "held = threading.Event(); taken = threading.Event()\n"
			   "def left():\n"
			   "    with a:\n"
			   "        pass\n"
			   "    held.set()\n"
			   "    time.sleep(1000)\n"
			   "def owner():\n"
			   "    held.wait()\n"
			   "    a.acquire()\n"
			   "    taken.set()\n"
			   "    time.sleep(1000)\n"
			   "def waiter():\n"
			   "    taken.wait()\n"
			   "    with a: pass\n"
			   "begin(left, owner, waiter)\n"
			   "taken.wait()\n"
			   "say()\n"
			   "sys.stdin.read()\n",
	  .expect = { "T waiter: wants threading.Lock 'a' unknown -" },
	  .reject = { "inferred left", "inferred waiter" } },
	{ .label = "released within",
	  .program = BEGIN "a = threading.Lock()\n"
			   "free = threading.Event(); taken = threading.Event()\n"
			   "def lender():\n"
			   "    with a:\n"
			   "        a.release()\n"
			   "        free.set()\n"
			   "        time.sleep(1000)\n"
			   "def owner():\n"
			   "    free.wait()\n"
			   "    a.acquire()\n"
			   "    taken.set()\n"
			   "    time.sleep(1000)\n"
			   "def waiter():\n"
			   "    taken.wait()\n"
			   "    with a: pass\n"
			   "begin(lender, owner, waiter)\n"
			   "taken.wait()\n"
			   "say()\n"
			   "sys.stdin.read()\n",
	  .expect = { "T waiter: wants threading.Lock 'a' unknown -" },
	  .reject = { "inferred lender" } },
	{ .label = "of itself",
	  .program = BEGIN "a = threading.Lock()\n"
			   "def one():\n"
			   "    with a:\n"
			   "        inner()\n"
			   "def inner():\n"
			   "    say()\n"
			   "    with a: pass\n"
			   "begin(one)\n"
			   "sys.stdin.read()\n",
	  .expect = { "T one: wants threading.Lock 'a' inferred one" } },
	{ .label = "RLock",
	  .program = BEGIN "a = threading.RLock()\n"
			   "held = threading.Event()\n"
			   "def owner():\n"
			   "    a.acquire(); a.acquire()\n"
			   "    held.set()\n"
			   "    time.sleep(1000)\n"
			   "def waiter():\n"
			   "    held.wait()\n"
			   "    with a: pass\n"
			   "def other():\n"
			   "    held.wait()\n"
			   "    a.acquire()\n"
			   "begin(owner, waiter, other)\n"
			   "held.wait()\n"
			   "say()\n"
			   "sys.stdin.read()\n",
	  .expect = { "T waiter: wants threading.RLock 'a' recorded owner",
		      "T other: wants threading.RLock 'a' recorded owner" } },
	{ .label = "RLock of a thread that ended",
	  .program = BEGIN "a = threading.RLock()\n"
			   "def owner():\n"
			   "    a.acquire()\n"
			   "t = threading.Thread(target=owner); t.start(); t.join()\n"
			   "say()\n"
			   "a.acquire()\n",
	  .expect = { "T MainThread: wants threading.RLock 'a' gone -" } },
	{ .label = "RLock in Python",
	  .program = BEGIN "a = threading._PyRLock()\n"
			   "held = threading.Event()\n"
			   "def owner():\n"
			   "    a.acquire()\n"
			   "    held.set()\n"
			   "    time.sleep(1000)\n"
			   "def waiter():\n"
			   "    held.wait()\n"
			   "    with a: pass\n"
			   "begin(owner, waiter)\n"
			   "held.wait()\n"
			   "say()\n"
			   "sys.stdin.read()\n",
	  .expect = { "T waiter: wants threading.RLock 'a' recorded owner" } },
	{ .label = "conditions",
	  .program = BEGIN "import queue\n"
			   "c = threading.Condition(); e = threading.Event(); q = queue.Queue()\n"
			   "s = threading.Semaphore(0); b = threading.Barrier(2)\n"
			   "m = queue.SimpleQueue()\n"
			   "def condition():\n"
			   "    with c: c.wait()\n"
			   "def event(): e.wait()\n"
			   "def timed(): e.wait(1000)\n"
			   "def get(): q.get()\n"
			   "def semaphore(): s.acquire()\n"
			   "def barrier(): b.wait()\n"
			   "def simple(): m.get()\n"
			   "begin(condition, event, timed, get, semaphore, barrier, simple)\n"
			   "say()\n"
			   "sys.stdin.read()\n",
	  .expect = { "T condition: wants threading.Condition 'threading.Condition.wait' unknown -",
		      "T event: wants threading.Event 'threading.Event.wait' unknown -",
		      "T timed: wants threading.Event 'threading.Event.wait' unknown -",
		      "T get: wants threading.Condition 'queue.Queue.get' unknown -",
		      "T semaphore: wants threading.Semaphore 'threading.Semaphore.acquire' "
		      "unknown -",
		      "T barrier: wants threading.Barrier 'threading.Barrier.wait' unknown -",
		      "T simple: wants queue.SimpleQueue 'queue.SimpleQueue.get' unknown -" } },
	{ .label = "a condition gives its lock away",
	  .program = BEGIN "import queue\n"
			   "q = queue.Queue()\n"
			   "taken = threading.Event()\n"
			   "def consumer(): q.get()\n"
			   "def owner():\n"
			   "    with q.not_empty:\n"
			   "        taken.set()\n"
			   "        time.sleep(1000)\n"
			   "def producer():\n"
			   "    taken.wait()\n"
			   "    q.put(1)\n"
			   "begin(consumer)\n"
			   "while not q.not_empty._waiters: time.sleep(0.01)\n"
			   "begin(owner, producer)\n"
			   "taken.wait()\n"
			   "say()\n"
			   "sys.stdin.read()\n",
	  .expect = { "T producer: wants threading.Lock 'self.not_full' inferred owner",
		      "T consumer: wants threading.Condition 'queue.Queue.get' unknown -" },
	  .reject = { "inferred consumer" } },
	{ .label = "join",
	  .program = BEGIN "def sleeper(): time.sleep(1000)\n"
			   "t = threading.Thread(target=sleeper, name='sleeper'); t.start()\n"
			   "def joiner(): t.join()\n"
			   "def timed(): t.join(1000)\n"
			   "begin(joiner, timed)\n"
			   "say()\n"
			   "t.join()\n",
	  .expect = { "T MainThread: joins sleeper", "T joiner: joins sleeper",
		      "T timed: joins sleeper" } },
	{ .label = "import lock",
	  .program = BEGIN "import importlib, tempfile\n"
			   "d = tempfile.mkdtemp()\n"
			   "with open(d + '/slow_module.py', 'w') as f:\n"
			   "    f.write('import time, os; os.write(1, b\"x\"); time.sleep(1000)')\n"
			   "sys.path.insert(0, d)\n"
			   "def owner(): import slow_module\n"
			   "def waiter():\n"
			   "    while not hasattr(sys.modules.get('slow_module'), 'os'):\n"
			   "        time.sleep(0.01)\n" /* now its file has been read */
			   "    import shutil; shutil.rmtree(d)\n"
			   "    import slow_module\n"
			   "begin(owner, waiter)\n"
			   "sys.stdin.read()\n",
	  .expect = { "T waiter: wants import lock of module 'slow_module' 'import' recorded "
		      "owner" } },
	{ .label = "logging",
	  .program = BEGIN "import logging\n"
			   "class Slow(logging.Handler):\n"
			   "    def emit(self, record):\n"
			   "        say()\n"
			   "        time.sleep(1000)\n"
			   "logging.getLogger().addHandler(Slow())\n"
			   "def owner(): logging.warning('x')\n"
			   "def waiter():\n"
			   "    time.sleep(0.3)\n"
			   "    logging.warning('y')\n"
			   "begin(owner, waiter)\n"
			   "sys.stdin.read()\n",
	  .expect = { "T waiter: wants threading.RLock 'lock of a logging handler (Slow)' recorded "
		      "owner" } },
	{ .label = "futures and pools",
	  .program = BEGIN "from concurrent.futures import ThreadPoolExecutor\n"
			   "pool = ThreadPoolExecutor(2, thread_name_prefix='pool')\n"
			   "f = pool.submit(time.sleep, 1000)\n"
			   "pool.submit(time.time)\n"
			   "def waiter(): f.result()\n"
			   "begin(waiter)\n"
			   "say()\n"
			   "sys.stdin.read()\n",
	  .expect = { "T waiter: wants threading.Condition 'concurrent.futures.Future.result' "
		      "unknown -",
		      "idle: pool worker waits for work" } },
	{ .label = "multiprocessing",
	  .program = BEGIN "import multiprocessing\n"
			   "a = multiprocessing.Lock()\n"
			   "a.acquire()\n"
			   "def waiter():\n"
			   "    with a: pass\n"
			   "begin(waiter)\n"
			   "say()\n"
			   "sys.stdin.read()\n",
	  .expect = { "T waiter: wants multiprocessing.Lock 'a' unknown - shared" } },
	{ .label = "a mutex of the C library",
	  .program = BEGIN "import ctypes\n"
			   "c = ctypes.CDLL(None)\n"
			   "m = ctypes.create_string_buffer(64)\n"
			   "c.pthread_mutex_init(m, None)\n"
			   "held = threading.Event()\n"
			   "def owner():\n"
			   "    c.pthread_mutex_lock(m)\n"
			   "    held.set()\n"
			   "    time.sleep(1000)\n"
			   "def waiter():\n"
			   "    held.wait()\n"
			   "    c.pthread_mutex_lock(m)\n"
			   "begin(owner, waiter)\n"
			   "held.wait()\n"
			   "say()\n"
			   "sys.stdin.read()\n",
	  .expect = { "T waiter: wants pthread mutex '' recorded owner" } },
	{ .label = "a file that another thread writes",
	  .max = 14, /* later its lock is of another kind */
	  .program = BEGIN "r, w = os.pipe()\n"
			   "f = open(w, 'wb')\n"
			   "def owner():\n"
			   "    f.write(b'x' * 1000000)\n"
			   "def waiter():\n"
			   "    time.sleep(0.3)\n"
			   "    f.write(b'y')\n"
			   "begin(owner, waiter)\n"
			   "say()\n"
			   "sys.stdin.read()\n",
	  .expect = { "T waiter: wants lock of _io.BufferedWriter 'f' recorded owner" } },
	{ .label = "the GIL",
	  .program = BEGIN "import ctypes\n"
			   "p = ctypes.PyDLL(None)\n"
			   "def owner():\n"
			   "    say()\n"
			   "    p.sleep(1000)\n"
			   "begin(owner)\n"
			   "while True: pass\n",
	  .expect = { "T MainThread: waits for the GIL" },
	  .reject = { "wants" } },
	{ .label = "orphaned by fork, with",
	  .child = true,
	  .program = BEGIN "a = threading.Lock(); held = threading.Event()\n"
			   "def owner():\n"
			   "    with a:\n"
			   "        held.set()\n"
			   "        time.sleep(1000)\n"
			   "begin(owner)\n"
			   "held.wait()\n"
			   "pid = os.fork()\n"
			   "if pid == 0:\n"
			   "    with a: pass\n"
			   "os.write(1, b'x%d\\n' % pid)\n"
			   "sys.stdin.read()\n",
	  .expect = { "T MainThread: wants threading.Lock 'a' orphaned -" } },
	{ .label = "orphaned by fork, RLock",
	  .child = true,
	  .program = BEGIN "a = threading.Lock(); r = threading.RLock(); held = threading.Event()\n"
			   "def owner():\n"
			   "    with a, r:\n"
			   "        held.set()\n"
			   "        time.sleep(1000)\n"
			   "def child():\n"
			   "    r.acquire()\n"
			   "begin(owner)\n"
			   "held.wait()\n"
			   "pid = os.fork()\n"
			   "if pid == 0:\n"
			   "    child()\n"
			   "os.write(1, b'x%d\\n' % pid)\n"
			   "sys.stdin.read()\n",
	  .expect = { "T MainThread: wants threading.RLock 'r' orphaned -" } },
	{ .label = "orphaned by fork, acquire",
	  .max = 14, /* whose code is known well enough to count the calls */
	  .child = true,
	  .program = BEGIN "a = threading.Lock(); held = threading.Event()\n"
			   "def owner():\n"
			   "    a.acquire()\n"
			   "    held.set()\n"
			   "    time.sleep(1000)\n"
			   "def child():\n"
			   "    a.acquire()\n"
			   "begin(owner)\n"
			   "held.wait()\n"
			   "pid = os.fork()\n"
			   "if pid == 0:\n"
			   "    child()\n"
			   "os.write(1, b'x%d\\n' % pid)\n"
			   "sys.stdin.read()\n",
	  .expect = { "T MainThread: wants threading.Lock 'a' orphaned -" } },
	{ .label = "forked, but its own fault",
	  .child = true,
	  .program = BEGIN "a = threading.Lock()\n"
			   "pid = os.fork()\n"
			   "if pid == 0:\n"
			   "    a.acquire()\n"
			   "    a.acquire()\n"
			   "os.write(1, b'x%d\\n' % pid)\n"
			   "sys.stdin.read()\n",
	  .expect = { "T MainThread: wants threading.Lock 'a' unknown -" },
	  .reject = { "orphaned" } },
};

/* Side by side: they mostly wait. */
Test(locks, are_found_with_their_owners_in_3_8_to_3_10)
{
	cr_assert_eq(kit_look_all(cases, sizeof(cases) / sizeof(cases[0]), 8, 10), 0);
}

Test(locks, are_found_with_their_owners_in_3_11_to_3_12)
{
	cr_assert_eq(kit_look_all(cases, sizeof(cases) / sizeof(cases[0]), 11, 12), 0);
}

Test(locks, are_found_with_their_owners_in_3_13_to_3_15)
{
	cr_assert_eq(kit_look_all(cases, sizeof(cases) / sizeof(cases[0]), 13, 15), 0);
}
