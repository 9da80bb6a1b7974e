"""
Waits for a child process.

usage: children.py CONTROL wait|communicate|waitpid|vfork
"""
import os
import subprocess

import hang

HOW = (hang.ARGUMENTS or ["wait"])[0]


def start(**options):
    child = subprocess.Popen(hang.sleeper(), **options)
    hang.fact("child", child.pid)
    hang.on_release(child.terminate)
    return child


def run_backup():
    child = start()
    hang.ready()
    return child.wait()


def ask_backup():
    """Its output, which never ends."""
    child = start(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    hang.ready()
    return child.communicate()


def wait_for_fork():
    reader, writer = os.pipe()
    pid = hang.fork(os.read, reader, 1)
    hang.fact("child", pid)
    hang.on_release(lambda: os.write(writer, b"x"))
    hang.ready()
    return os.waitpid(pid, 0) == (pid, 0)


def start_helper():
    """vfork, whose child goes on with the memory of its parent, which cannot even be killed meanwhile."""
    _, releasing = hang.library()
    end = os.open(os.path.join(hang.FOLDER, "feed"), os.O_RDWR)
    hang.ready()
    return releasing.stall_vfork(end, hang.SECONDS)


WAYS = {"wait": (run_backup, -15), "communicate": (ask_backup, (b"", b"")),
        "waitpid": (wait_for_fork, True), "vfork": (start_helper, 0)}
function, expected = WAYS[HOW]
hang.finish(function(), expected)
