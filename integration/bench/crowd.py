"""
COUNT threads that wait (or, with "busy", run), the main one among them, each DEPTH calls deep.

usage: crowd.py CONTROL COUNT [DEPTH [busy]]
"""
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "targets"))

import ctl  # noqa: E402

COUNT = int(sys.argv[2])
DEPTH = int((sys.argv[3:] or ["1"])[0])
BUSY = sys.argv[4:] == ["busy"]

stop, go = threading.Event(), threading.Event()


def spin():
    go.wait()  # threads that run keep new ones from starting
    while not stop.is_set():
        sum(range(200))


def deeper(depth, function):
    return deeper(depth - 1, function) if depth > 1 else function()


def watch():
    while not ctl.quitting():
        time.sleep(0.02)
        ctl.tick()
    stop.set()


threading.stack_size(256 << 10)
threads = [threading.Thread(target=deeper, args=(DEPTH, spin if BUSY else stop.wait))
           for _ in range(COUNT - 1)]
for thread in threads:
    thread.start()
ctl.ready()
go.set()
deeper(DEPTH, watch)
for thread in threads:
    thread.join()
ctl.finish()
