"""
A thread for every way to wait or to be busy: those of waits.c, and some of Python's own.

usage: waits.py CONTROL STATUS LIBRARY [NAME,...]
Each thread checks its own results and writes to its slot of STATUS; lib/waits.py reads it.
"""
import ctypes
import hashlib
import mmap
import os
import struct
import sys
import threading
import time
import zlib

import ctl

SLOT = struct.Struct("<24sii6Q176s")
LIMIT = 0.06

library = ctypes.CDLL(sys.argv[3])
with open(sys.argv[2], "r+b") as file:
    status = mmap.mmap(file.fileno(), 0)
base = ctypes.c_char.from_buffer(status)


class Slot:
    """What waits.c does for its own threads."""

    def __init__(self, index, name, limit_ms=0):
        self.at = index * SLOT.size
        self.rounds = self.errors = 0
        struct.pack_into("<24si", status, self.at, name.encode(), 0)
        struct.pack_into("<i", status, self.at + 28, limit_ms)

    def started(self):
        struct.pack_into("<i", status, self.at + 24, threading.get_native_id())
        self.advance()

    def advance(self):
        self.rounds += 1
        struct.pack_into("<Q", status, self.at + 32, self.rounds)

    def expect(self, condition, what):
        if condition:
            return
        self.errors += 1
        struct.pack_into("<Q", status, self.at + 40, self.errors)
        if self.errors == 1:
            struct.pack_into("<176s", status, self.at + 80, what.encode()[:175])


def waited(slot, since):
    slot.expect(time.monotonic() - since >= LIMIT, "returned early")


def py_sleep(slot):
    since = time.monotonic()
    time.sleep(LIMIT)
    waited(slot, since)


held = threading.Lock()
held.acquire()


def py_lock(slot):
    since = time.monotonic()
    slot.expect(not held.acquire(timeout=LIMIT), "the lock was free")
    waited(slot, since)


DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()


def py_hash(slot):
    slot.expect(hashlib.sha256(DATA).hexdigest() == DIGEST, "sha256")
    slot.expect(zlib.decompress(zlib.compress(DATA)) == DATA, "zlib")
    time.sleep(0.005)


def series():
    return sum(1.0 / (number * number) for number in range(1, 500))


SERIES = series()


def py_float(slot):
    slot.expect(series() == SERIES, "float")
    time.sleep(0.005)


PYTHON = [("py-sleep", py_sleep), ("py-lock", py_lock), ("py-hash", py_hash), ("py-float", py_float)]


def run_python(index, name, function):
    slot = Slot(index, name, int(LIMIT * 1000) if function in (py_sleep, py_lock) else 0)
    slot.started()
    while not ctl.quitting():
        function(slot)
        slot.advance()


def feed():
    while not ctl.quitting():
        library.vz_feed()


def start(target, *args):
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()


def main():
    names = sys.argv[4] if len(sys.argv) > 4 else ""
    count = library.vz_bind(ctypes.byref(base), names.encode())
    ctl.expect(count > 0, "no such kind in " + names)
    for index in range(count):
        start(library.vz_wait, index)
    for index, (name, function) in enumerate(PYTHON, count):
        start(run_python, index, name, function)
    start(feed)
    ctl.ready()
    while not ctl.quitting():
        time.sleep(0.02)
        ctl.tick()
    library.vz_end()
    # some threads wait for what nobody will send any more: nothing but the end of the process helps
    sys.stdout.write("finished\n")
    sys.stdout.flush()
    os._exit(0)


main()
