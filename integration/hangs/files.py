"""
Files that are locked, or whose disk does not answer.

usage: files.py CONTROL flock|sqlite|fuse|mplock
"""
import fcntl
import multiprocessing
import os
import signal
import sqlite3

import hang
import silent_fs

HOW = (hang.ARGUMENTS or ["flock"])[0]
reader, writer = os.pipe()  # the child has done its part
stop, stopper = os.pipe()   # it may let go


def hold_flock(path):
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.write(writer, b"x")
        os.read(stop, 1)


def wait_flock():
    path = os.path.join(hang.FOLDER, "spool.lock")
    hang.fact("child", hang.fork(hold_flock, path))
    os.read(reader, 1)
    hang.on_release(lambda: os.write(stopper, b"x"))
    with open(path, "w") as file:
        hang.ready()
        fcntl.flock(file, fcntl.LOCK_EX)
    return "done"


def hold_database(path):
    link = sqlite3.connect(path, isolation_level=None)
    link.execute("begin exclusive")
    os.write(writer, b"x")
    # in sqlite's own wait, this program hears no signal
    with open(os.path.join(hang.FOLDER, "feed"), "rb") as file:
        file.read(1)
    link.execute("commit")


def wait_database():
    path = os.path.join(hang.FOLDER, "orders.db")
    first = sqlite3.connect(path)
    first.execute("create table orders(id)")
    first.close()
    hang.fact("child", hang.fork(hold_database, path))
    os.read(reader, 1)
    link = sqlite3.connect(path, timeout=1000)
    hang.ready()
    link.execute("insert into orders values (1)")
    link.commit()
    return "done"


def die_with(lock):
    lock.acquire()
    os.write(writer, b"x")
    os.kill(os.getpid(), signal.SIGKILL)


def wait_mplock():
    """A lock between processes; the one that held it was killed."""
    lock = multiprocessing.Lock()
    pid = hang.fork(die_with, lock)
    os.read(reader, 1)
    os.waitpid(pid, 0)
    hang.on_release(lock.release)
    hang.ready()
    with lock:
        return "done"


def read_share():
    """A file system in user space whose server answers no more."""
    place = os.path.join(hang.FOLDER, "share")
    server = silent_fs.mount(place)
    hang.fact("child", server)
    hang.on_release(lambda: None)
    hang.ready()
    try:
        with open(os.path.join(place, "rates.csv")) as file:
            return file.read()
    except OSError:
        return "done"


hang.finish({"flock": wait_flock, "sqlite": wait_database, "mplock": wait_mplock,
             "fuse": read_share}[HOW](), "done")
