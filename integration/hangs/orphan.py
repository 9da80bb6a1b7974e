"""
A lock that was held when the process forked: in the child nobody is left to release it.

usage: orphan.py CONTROL lock|rlock|queue
"""
import os
import queue
import threading

import hang

HOW = (hang.ARGUMENTS or ["lock"])[0]
held, go_on = threading.Event(), threading.Event()
jobs = queue.Queue()
registry_lock = threading.RLock() if HOW == "rlock" else threading.Lock()


def refresh():
    with registry_lock:
        held.set()
        go_on.wait()


def refresh_jobs():
    """As a thread in the midst of jobs.put() would."""
    with jobs.mutex:
        held.set()
        go_on.wait()


def register():
    with registry_lock:
        return "registered"


def child():
    hang.about(os.getpid())
    if HOW != "rlock":
        hang.on_release(jobs.mutex.release if HOW == "queue" else registry_lock.release)
    hang.ready()
    if HOW == "queue":
        jobs.put("job")
        result = jobs.get()
    else:
        result = register()
    hang.finish(result, "job" if HOW == "queue" else "registered")


hang.thread("refresh", refresh_jobs if HOW == "queue" else refresh)
held.wait()
pid = hang.fork(child)
_, status = os.waitpid(pid, 0)
os._exit(status >> 8 if status & 0xff == 0 else 1)
