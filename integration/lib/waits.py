"""targets/waits.py and what its threads report, each for itself."""
import collections
import mmap
import os
import shutil
import struct
import subprocess

from . import board, child, procfs, target, where

SLOT = struct.Struct("<24sii6Q176s")  # struct slot of targets/waits.h
SLOTS = 64
# These block or unblock signals themselves while they wait: only they can tell their mask.
OWN_MASK = ("pselect", "sigtimedwait", "sigwaitinfo", "sigsuspend")
# After any stop, SIGSTOP's too, the kernel ends these with EINTR (signal(7)).
STOPPABLE = ("epoll_wait", "epoll_pwait2", "recv-rcvtimeo", "accept-rcvtimeo", "sigtimedwait",
             "sigwaitinfo", "semop", "semtimedop", "io_getevents", "epoll_wait-forever")

STORMS = ("dlopen-loop", "fork-storm", "thread-churn", "signal-storm")
COMES_AND_GOES = "/comes-and-goes.so"  # what the dlopen loop loads, beside the library

Slot = collections.namedtuple("Slot", "name tid limit rounds errors late latest_us interrupted ipc text")

_library = None


def library():
    """The C half, compiled once."""
    global _library
    compiler = shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc")
    if not compiler:
        raise board.Skip("no C compiler")
    if _library is None:
        path = where.scratch() / "waits.so"
        sources = [str(where.TARGETS / name) for name in ("waits.c", "waits_busy.c", "waits_storm.c")]
        subprocess.run([compiler, "-O2", "-g", "-Wall", "-fPIC", "-shared", "-pthread", "-D_GNU_SOURCE",
                        "-o", str(path)] + sources + ["-ldl"], check=True, timeout=300)
        _library = path
        subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-", "-o",
                        str(path.parent) + COMES_AND_GOES],
                       input=b"int comes_and_goes(int n) { return n + 1; }", check=True, timeout=300)
    return _library


class Waits(target.Target):
    """The running target; every thread has done some rounds before anything is done to it."""

    def __init__(self, python, folder, names=()):
        path = folder / "status"
        path.write_bytes(bytes(SLOT.size * SLOTS))
        with open(path, "r+b") as file:
            self._status = mmap.mmap(file.fileno(), 0)
        super().__init__(python, "waits", folder, (path, library(), ",".join(names)))
        # storms: threads come and go, and libc blocks signals while it makes one
        self.changing = any(name in STORMS for name in names)
        self.wait_rounds({}, 3)
        self.before = procfs.Snapshot(self.pid)

    def slots(self):
        found = []
        for index in range(SLOTS):
            fields = list(SLOT.unpack_from(self._status, index * SLOT.size))
            if not fields[0].strip(b"\0"):
                break
            fields[0], fields[-1] = (fields[at].partition(b"\0")[0].decode() for at in (0, -1))
            found.append(Slot(*fields))
        return found

    def rounds(self):
        return {slot.name: slot.rounds for slot in self.slots()}

    def behind(self, before, count):
        """Threads that have not done COUNT rounds since BEFORE."""
        return [slot.name for slot in self.slots() if slot.rounds < before.get(slot.name, 0) + count]

    def wait_rounds(self, before, count, seconds=60):
        """Every thread goes on; the names of those that do not (at once if one found an error)."""
        last = []

        def settled():
            # once: a count that is being written can look smaller for a moment
            last[:] = self.behind(before, count)
            return not last or not self.child.alive() or self.errors()

        try:
            child.wait_until(settled, "rounds", seconds)
        except child.Timeout:
            pass
        return last

    def errors(self):
        return [f"{slot.name}: {slot.text}" for slot in self.slots() if slot.errors]

    def end(self):
        """What System V gave it outlives it, if that was sudden."""
        self.child.end()
        for slot in self.slots():
            if slot.ipc and shutil.which("ipcrm"):
                option = "-q" if slot.ipc >> 32 == ord("m") else "-s"
                subprocess.run(["ipcrm", option, str(slot.ipc & 0xffffffff)], stderr=subprocess.DEVNULL)

    def __exit__(self, *exc):
        self.end()

    def late(self):
        return sum(slot.late for slot in self.slots())

    def interrupted(self):
        return sum(slot.interrupted for slot in self.slots())

    def differences(self):
        """From what it was at the beginning, its own doings aside."""
        own = {str(slot.tid) for slot in self.slots() if slot.name in OWN_MASK}
        found = procfs.differences(self.before, procfs.Snapshot(self.pid), sockets=False,
                                   threads=not self.changing)
        return [text for text in found
                if not (text.startswith("SigBlk") and (self.changing or text.split()[2].rstrip(":") in own))
                and not (text.startswith("maps") and text.endswith(COMES_AND_GOES))]
