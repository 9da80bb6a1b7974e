"""
The control block that a target shares with the driver: a mapped file of a few
numbers.  It needs no thread, no open file and no signal of the target's own,
so a target with one thread stays one.  Runs on every Python from 2.7 on.
"""
import mmap
import os
import struct
import sys

COMMAND, READY, PROGRESS, ERRORS, DONE, AUX = range(6)
WAIT, BEGIN, QUIT = range(3)
SIZE = 4096


class Control(object):
    def __init__(self, path):
        fd = os.open(path, os.O_RDWR)
        self.block = mmap.mmap(fd, SIZE)
        os.close(fd)

    def get(self, index):
        return struct.unpack_from("<q", self.block, 8 * index)[0]

    def put(self, index, value):
        struct.pack_into("<q", self.block, 8 * index, value)


control = Control(sys.argv[1])


def ready():
    control.put(READY, 1)


def quitting():
    return control.get(COMMAND) == QUIT


def begun():
    return control.get(COMMAND) >= BEGIN


def tick():
    """Something was done, and its result was right."""
    control.put(PROGRESS, control.get(PROGRESS) + 1)


def expect(condition, what):
    """Checks its own work: what the tracer breaks must show."""
    if not condition:
        control.put(ERRORS, control.get(ERRORS) + 1)
        sys.stderr.write("target: %s\n" % what)
        sys.stderr.flush()


def done():
    """The workload that the driver asked for is complete."""
    control.put(DONE, 1)


def finish():
    """The exit status says whether all was well."""
    sys.stdout.write("finished\n")
    sys.stdout.flush()
    sys.exit(1 if control.get(ERRORS) else 0)
