/* SPDX-License-Identifier: MIT */
/* Parked greenlets, in every CPython of the machine that has the greenlet module. */
#include <criterion/criterion.h>

#include "tests/kit_look.h"

/* Without the module it says so, and what is expected is there for all to see. */
#define BEGIN                                                                       \
	"import os, sys, threading, time\n"                                         \
	"def say():\n"                                                              \
	"    os.write(1, b'x')\n"                                                   \
	"try:\n"                                                                    \
	"    import greenlet\n"                                                     \
	"except ImportError:\n"                                                     \
	"    sys.stderr.write('SKIPPED: %s has no greenlet\\n' % sys.executable)\n" \
	"    os._exit(77)\n"

static const struct kit_case cases[] = {
	{ .label = "parked",
	  .optional = true,
	  .program = BEGIN "def inner(name):\n"
			   "    main.switch(name)\n"
			   "def outer(name):\n"
			   "    inner(name)\n"
			   "main = greenlet.getcurrent()\n"
			   "a, b = greenlet.greenlet(outer), greenlet.greenlet(inner)\n"
			   "c = greenlet.greenlet(outer)\n"
			   "d = greenlet.greenlet(lambda: 1)\n"
			   "a.switch('a'); b.switch('b'); d.switch()\n"
			   "say()\n"
			   "time.sleep(1000)\n",
	  .expect = { "G greenlet.greenlet outer waits: 'a switch to it' -> - below - on "
		      "MainThread; in inner:10 outer:12\n",
		      "G greenlet.greenlet inner waits: 'a switch to it' -> - below - on "
		      "MainThread; in inner:10\n" },
	  .reject = { "<lambda>", "time.sleep" } },
	{ .label = "in a thread, one of them runs",
	  .optional = true,
	  .program = BEGIN "def worker():\n"
			   "    say()\n"
			   "    time.sleep(1000)\n"
			   "def thread():\n"
			   "    greenlet.greenlet(worker).switch()\n"
			   "threading.Thread(target=thread, name='t', daemon=True).start()\n"
			   "sys.stdin.read()\n",
	  .expect = { " thread:", " on t; in " },
	  .reject = { "G greenlet.greenlet worker" } },
};

Test(greenlets, that_are_parked_are_found)
{
	cr_assert_eq(kit_look_all(cases, sizeof(cases) / sizeof(cases[0]), 8, 15), 0);
}
