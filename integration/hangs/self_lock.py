"""
A thread waits for the lock that it holds itself.

usage: self_lock.py CONTROL with|acquire
"""
import threading

import hang

KIND = (hang.ARGUMENTS or ["with"])[0]
cache_lock = threading.Lock()
done = []


def lookup():
    with cache_lock:
        done.append("lookup")


def update():
    with cache_lock:
        hang.ready()
        lookup()


def lookup_by_hand():
    cache_lock.acquire()
    done.append("lookup")


def update_by_hand():
    cache_lock.acquire()
    hang.ready()
    lookup_by_hand()


hang.on_release(cache_lock.release)
try:
    update() if KIND == "with" else update_by_hand()
except RuntimeError:
    pass  # released for it
hang.finish(done, ["lookup"])
