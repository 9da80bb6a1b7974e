"""
Pipes: one that nobody empties, one that nobody fills.

usage: pipe_ends.py CONTROL full|silent|own
full    a child has the other end and does not read
silent  a child has the other end and does not write
own     written to, and to be read by, the same thread
"""
import os

import hang

HOW = (hang.ARGUMENTS or ["full"])[0]
reader, writer = os.pipe()
MUCH = b"x" * 300000


def idle():
    os.close(writer if HOW == "full" else reader)
    hang.time.sleep(hang.SECONDS)


def write_report():
    hang.ready()
    left = memoryview(MUCH)
    while left:
        left = left[os.write(writer, left):]
    return len(MUCH)


def read_report():
    hang.ready()
    return os.read(reader, 10)


def drain():
    """A thread that reads after all."""
    hang.thread("drain", lambda: [os.read(reader, 65536) for _ in range(2 * len(MUCH) // 65536)])


if HOW != "own":
    hang.fact("child", hang.fork(idle))
if HOW == "silent":
    hang.on_release(lambda: os.write(writer, b"late"))
    hang.finish(read_report(), b"late")
hang.on_release(drain)
hang.finish(write_report(), len(MUCH))
