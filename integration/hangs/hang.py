"""
What the programs of the zoo share.  Each hangs in one way, tells when it is sure to, goes on
when it is released (where that is possible) and then checks that nothing was lost.

By hand: python3 integration/hangs/abba.py with & vizattach snapshot --pid $!
"""
import ctypes
import os
import pathlib
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import warnings

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "targets"))
PR_SET_PDEATHSIG = 1
SECONDS = int(os.environ.get("HANG_SECONDS", "120"))

# from 3.12 on os.fork() warns of a second thread: here that is the point
warnings.simplefilter("ignore", DeprecationWarning)

if len(sys.argv) < 2 or not os.path.isfile(sys.argv[1]):
    # by hand, without the driver
    with tempfile.NamedTemporaryFile(delete=False) as _file:
        _file.write(bytes(4096))
    sys.argv.insert(1, _file.name)

import ctl  # noqa: E402

FOLDER = os.path.dirname(sys.argv[1])
ARGUMENTS = sys.argv[2:]


def guard():
    """This process ends when its parent does, and soon in any case; a fork needs that anew."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    signal.alarm(SECONDS)


def guard_by_clock():
    """The same for a process that was forked by a thread which may end before it."""
    parent = os.getppid()
    end = time.monotonic() + SECONDS

    def look(number, frame):
        if os.getppid() != parent or time.monotonic() > end:
            os._exit(1)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)


def fact(name, value):
    """Something that the answer should name."""
    sys.stdout.write(f"fact {name} {value}\n")
    sys.stdout.flush()


def on_release(function):
    """SIGUSR1 lets it go: FUNCTION runs in the main thread, wherever that is blocked."""
    signal.signal(signal.SIGUSR1, lambda number, frame: function())


def about(pid):
    """The one to look at is not this process but PID."""
    ctl.control.put(ctl.AUX, pid)


def ready():
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ctl.ready()


def thread(name, function, *args, daemon=True):
    one = threading.Thread(target=function, args=args, name=name, daemon=daemon)
    one.start()
    return one


def when(condition, then=ready):
    """Calls THEN once CONDITION() holds, from a thread that is gone soon after."""
    def watch():
        while not condition():
            time.sleep(0.005)
        then()
    return thread("watch", watch)


def finish(actual=None, expected=None):
    """The hang is over; what it came to must be right."""
    ctl.expect(actual == expected, f"{actual!r}, expected {expected!r}")
    ctl.finish()


def fork(function, *args):
    """FUNCTION in a child that does not outlive this process."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        guard()
        function(*args)
        status = 0
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def sleeper():
    """Arguments of a program that only waits, and ends with this process."""
    prefix = ["setpriv", "--pdeathsig", "KILL"] if os.path.exists("/usr/bin/setpriv") else []
    return prefix + ["sleep", str(SECONDS)]


def _serve_silently(listener, answer):
    """Accepts, reads and never answers, until told by a byte on ANSWER what to say."""
    links = []
    threading.Thread(target=lambda: links.append(listener.accept()[0]), daemon=True).start()
    text = os.read(answer, 4096)
    for link in links:
        link.sendall(text)
    time.sleep(SECONDS)


class SilentServer:
    """A process that listens on 127.0.0.1 or a path; speak() makes it answer after all."""

    def __init__(self, unix=False):
        listener = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        self.port, self.path = 0, os.path.join(FOLDER, "upstream.sock")
        listener.bind(self.path if unix else ("127.0.0.1", 0))
        listener.listen(8)
        if not unix:
            self.port = listener.getsockname()[1]
        answer, self._speak = os.pipe()
        self.pid = fork(_serve_silently, listener, answer)
        os.close(answer)
        listener.close()
        fact("peer", f"127.0.0.1:{self.port}")

    def speak(self, text):
        os.write(self._speak, text)


def library(bare=False):
    """The C part, that keeps the GIL (PyDLL) or lets it go (CDLL); BARE: without unwind tables."""
    path = os.environ.get("HANG_LIBRARY")
    if path is None:
        import subprocess
        path = os.path.join(tempfile.mkdtemp(), "libstall.so")
        subprocess.check_call(["cc", "-g", "-shared", "-fPIC", "-o", path, str(HERE / "stall.c")])
    if bare and os.path.exists(os.path.join(os.path.dirname(path), "libbare.so")):
        path = os.path.join(os.path.dirname(path), "libbare.so")
    return ctypes.PyDLL(path), ctypes.CDLL(path)


def task_state(tid):
    """One letter of the thread TID of this process."""
    with open(f"/proc/self/task/{tid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


guard()
