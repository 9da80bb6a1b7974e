"""A process in an unusual state: limits, masks, small or other stacks, another user, a GIL that is held."""
import asyncio
import ctypes
import faulthandler
import os
import re
import resource
import signal
import sys
import threading
import time

import ctl

ROOT, NOBODY = 0, 65534
stop = threading.Event()


def corner_leaf(number):
    return number * number % 7


def corner_work():
    ctl.expect(sum(corner_leaf(number) for number in range(100)) == 197, "checksum")


def loop(pause=0.005, step=corner_work):
    ctl.ready()
    while not ctl.quitting():
        step()
        time.sleep(pause)
        ctl.tick()


def beside(count, function=corner_work):
    """Threads that work beside the main thread until the end."""
    def run():
        while not stop.is_set():
            function()
            stop.wait(0.01)
    threads = [threading.Thread(target=run, name="beside-%d" % number) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def many():
    beside(int(sys.argv[3]))
    loop(0.02)


def euid():
    """libc sends a signal to every thread for each change, and waits for all of them."""
    def step():
        os.seteuid(NOBODY)
        ctl.expect(os.geteuid() == NOBODY, "euid")
        os.seteuid(ROOT)
        ctl.expect(os.geteuid() == ROOT, "euid")
        corner_work()
    beside(4)
    loop(step=step)


def dropped():
    """Started as root, then another user for good: not dumpable any more."""
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    loop()


def hold_sleep(seconds):
    library = ctypes.PyDLL(None)  # PyDLL: calls keep the GIL
    library.usleep(int(seconds * 1e6))


def hold_power(seconds):
    """Until enough time has passed, in one call each."""
    size = 1 << 16
    while True:
        since = time.monotonic()
        pow(3, size)
        if time.monotonic() - since >= seconds:
            break
        size *= 2


def hold_regex(seconds):
    length = 16
    while True:
        since = time.monotonic()
        re.match(r"(a+)+$", "a" * length + "b")
        if time.monotonic() - since >= seconds:
            break
        length += 1


def holds():
    """The GIL is held in C most of the time, by a thread that is not the first one."""
    function, seconds = globals()["hold_" + sys.argv[3]], float(sys.argv[4])

    def run():
        while not stop.is_set():
            function(seconds)
            ctl.control.put(ctl.AUX, ctl.control.get(ctl.AUX) + 1)
            time.sleep(0.02)
    thread = threading.Thread(target=run, name="holder")
    thread.start()
    loop()


def small_stacks():
    threading.stack_size(int(sys.argv[3]))
    beside(8)
    loop()


def alternate_stack():
    """SIGHUP is number 1, so that sleep() as its handler sleeps for a second, on another stack."""
    faulthandler.enable()
    libc = ctypes.CDLL(None)
    stack = ctypes.create_string_buffer(65536)

    class Stack(ctypes.Structure):
        _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

    class Action(ctypes.Structure):
        _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_ulong * 16), ("flags", ctypes.c_int),
                    ("restorer", ctypes.c_void_p)]

    on_stack = 0x08000000
    handler = ctypes.cast(libc.sleep, ctypes.c_void_p).value
    ctl.expect(libc.sigaltstack(ctypes.byref(Stack(ctypes.addressof(stack), 0, 65536)), None) == 0, "-")
    ctl.expect(libc.sigaction(signal.SIGHUP, ctypes.byref(Action(handler, flags=on_stack)), None) == 0,
               "sigaction")

    def step():
        end = time.monotonic() + 0.4
        while time.monotonic() < end:
            corner_work()
        os.kill(os.getpid(), signal.SIGHUP)
    loop(step=step)


def masked():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    beside(2)

    def step():
        corner_work()
        ctl.expect(signal.pthread_sigmask(signal.SIG_BLOCK, []) == blocked, "signal mask")
    loop(step=step)


def deep(depth):
    try:
        return deep(depth + 1)
    except RecursionError:
        return depth


def recursion():
    """As deep as without a recorder, each time."""
    depths = []

    def step():
        depths.append(deep(0))
        ctl.expect(len(set(depths)) == 1, "depths %r" % set(depths))
    loop(step=step)


async def aio_part(number):
    await asyncio.sleep(0.001 * (number % 3))
    return corner_leaf(number)


async def aio_parts():
    return sum(await asyncio.gather(*[aio_part(number) for number in range(100)]))


def aio():
    runner = asyncio.new_event_loop()

    def step():
        ctl.expect(runner.run_until_complete(aio_parts()) == 197, "tasks")
    loop(step=step)


def no_memory():
    """No room for more address space than a few pages."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    limit = pages * 4096 + int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    loop()


def no_files():
    """Every number for a file is taken."""
    files = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True:
            files.append(os.dup(0))
    except OSError:
        pass
    loop()


def no_threads():
    """As a user who may have no more processes."""
    os.setgid(NOBODY - 1)
    os.setuid(NOBODY - 1)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    loop()


class Last:
    """Destroyed when the interpreter is shutting down already."""

    def __del__(self):
        ctl.control.put(ctl.AUX, 1)
        while not ctl.quitting():
            time.sleep(0.01)
            ctl.tick()


def finalizing():
    ctl.ready()
    sys.stdout.write("finished\n")
    # of builtins' dict, which goes late
    sys.modules["builtins"].last = Last()


def short():
    """Ends after a while, whatever anybody does meanwhile."""
    end = time.monotonic() + float(sys.argv[3])
    ctl.ready()
    while time.monotonic() < end:
        corner_work()
    ctl.finish()


def execs():
    """Becomes itself again, all the time."""
    ctl.ready()
    end = time.monotonic() + float(sys.argv[3])
    while time.monotonic() < end:
        corner_work()
        ctl.tick()
    if ctl.quitting():
        ctl.finish()
    os.execv(sys.executable, [sys.executable] + sys.argv)


def main():
    how = sys.argv[2]
    globals()[how]()
    if how == "finalizing":
        return
    stop.set()
    ctl.finish()


main()
