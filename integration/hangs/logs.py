"""
Logging: the handler's lock is held by a thread that waits for one that wants to log.
"""
import logging
import threading

import hang

cache_lock = threading.Lock()
inside, near = threading.Event(), []
written = []


class CacheHandler(logging.Handler):
    """Looks into a cache for each record, while the handler's lock is held."""

    def emit(self, record):
        if record.getMessage() == "started":
            inside.set()
            near.append(1)
            with cache_lock:
                written.append("first")
        else:
            written.append("second")


def evict():
    with cache_lock:
        inside.wait()
        near.append(1)
        logging.warning("evicted")


def report():
    while not cache_lock.locked():
        hang.time.sleep(0.001)
    try:
        logging.warning("started")
    except RuntimeError:
        pass


def release():
    cache_lock.release()


logging.getLogger().addHandler(CacheHandler())
logging.raiseExceptions = False
hang.on_release(release)


def run(function):
    try:
        function()
    except RuntimeError:
        pass  # the lock was released for it


threads = [hang.thread("evictor", run, evict), hang.thread("reporter", run, report)]
while len(near) < 2:
    hang.time.sleep(0.001)
hang.ready()
for one in threads:
    one.join()
hang.finish(sorted(written), ["first", "second"])
