"""One kind of event, all the time: forks, programs, signals, threads, collections, imports."""
import _ctypes
import ctypes
import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import ctl


def storm_leaf(number):
    return number * number % 7


def storm_work():
    ctl.expect(sum(storm_leaf(number) for number in range(100)) == 197, "checksum")


def residue():
    """What of a recorder can be seen from inside this process; "" if nothing."""
    with open("/proc/self/maps") as file:
        lines = [(line, line.split()) for line in file]
    shared = [line for line, _ in lines if "memfd:vizattach" in line]
    if any("x" in fields[1] and len(fields) == 5 for _, fields in lines):
        # Made before the hooks were in, or after: code that nobody there will ever run.  In the
        # microseconds before the kernel is told not to hand it on, with the shared memory.
        ctl.control.put(ctl.AUX, ctl.control.get(ctl.AUX) + 1)
    elif shared:
        return shared[0]
    if sys.getprofile() is not None:
        return "sys.getprofile() is %r" % (sys.getprofile(),)
    if hasattr(sys, "monitoring") and any(map(sys.monitoring.get_tool, range(6))):
        return "a tool of sys.monitoring"
    return "" if threading.active_count() == 1 else "threads"


def fork():
    pid = os.fork()
    if pid == 0:
        good = all(storm_leaf(number) < 7 for number in range(300))
        left = residue()
        sys.stderr.write(left)
        os._exit(0 if good and not left else 9)
    status = os.waitpid(pid, 0)[1]
    ctl.expect(status == 0, "status of the child %d" % status)


def fork_exec():
    pid = os.fork()
    if pid == 0:
        os.execv("/bin/sh", ["sh", "-c", "exit 5"])
    ctl.expect(os.waitpid(pid, 0) == (pid, 5 << 8), "status of the program")


def spawn():
    """Both run on vfork where the version has it."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 6"], {})
    ctl.expect(os.waitpid(pid, 0) == (pid, 6 << 8), "status of the program")
    ctl.expect(subprocess.run(["/bin/echo", "x"], stdout=subprocess.PIPE).stdout == b"x\n", "output")


class Cycle:
    alive = 0

    def __init__(self):
        self.me = self
        Cycle.alive += 1

    def __del__(self):
        Cycle.alive -= 1
        ctl.expect(threading.current_thread() is threading.main_thread(), "thread of a finalizer")
        storm_leaf(3)


def collect():
    gc.set_threshold(20, 2, 2)
    for _ in range(50):
        Cycle()
        [[] for _ in range(30)]
    gc.collect()
    ctl.expect(Cycle.alive == 0, "%d objects without finalizer" % Cycle.alive)


MODULES = ["json.decoder", "json.encoder", "textwrap", "string", "bisect", "heapq", "keyword", "colorsys"]


def reload():
    for name in MODULES:
        module = importlib.import_module(name)
        ctl.expect(importlib.reload(module) is module, "reload")
    sys.modules.pop("this_is_not", None)
    try:
        importlib.import_module("this_is_not")
        ctl.expect(False, "import")
    except ImportError:
        pass


def libraries():
    """Shared objects that no one else uses, so that each is loaded and unloaded for real."""
    found = [path for path in sys.argv[3:] if os.path.exists(path)]
    ctl.expect(found, "no libraries")
    return found


def dlopen():
    for path in libraries():
        handle = _ctypes.dlopen(path, os.RTLD_NOW)
        ctl.expect(handle, "dlopen")
        _ctypes.dlclose(handle)


counts = {}


def on_signal(number, frame):
    counts[number] = counts.get(number, 0) + 1


def signals():
    """Timers of a millisecond, ended children, and work that must come out right all the same."""
    if not counts:
        for number in (signal.SIGPROF, signal.SIGALRM, signal.SIGCHLD):
            counts[number] = 0
            signal.signal(number, on_signal)
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    before = dict(counts)
    for _ in range(20):
        storm_work()
    since = time.monotonic()
    time.sleep(0.01)
    ctl.expect(time.monotonic() - since >= 0.008, "sleep returned early")
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    ctl.expect(os.waitpid(pid, 0) == (pid, 3 << 8), "status of the child")
    while any(counts[number] == before[number] for number in counts):
        storm_work()  # the last of them may be on its way


def c_signals():
    """A handler that Python knows nothing of: a function of libc that does nothing."""
    libc = ctypes.CDLL(None)
    if not counts:
        counts[0] = 1
        libc.signal(signal.SIGALRM, libc.abs)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    storm_work()
    since = time.monotonic()
    time.sleep(0.005)
    ctl.expect(time.monotonic() - since >= 0.004, "sleep returned early")


def ignored_children():
    """Nobody waits for them: the kernel does."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    try:
        os.waitpid(pid, 0)
        ctl.expect(False, "waitpid")
    except ChildProcessError:
        pass


def thread_churn():
    done = []
    threads = [threading.Thread(target=done.append, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ctl.expect(sorted(done) == list(range(50)), "what the threads did")
    ctl.expect(threading.active_count() == 1, "threads %r" % threading.enumerate())


def main():
    # from 3.12 on os.fork() warns of any second thread
    warnings.simplefilter("error" if len(sys.argv) > 3 and sys.argv[3] == "strict" else "ignore",
                          DeprecationWarning)
    storm = globals()[sys.argv[2]]
    storm()
    ctl.ready()
    while not ctl.quitting():
        storm()
        storm_work()
        ctl.tick()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.setitimer(signal.ITIMER_PROF, 0)
    ctl.finish()


main()
