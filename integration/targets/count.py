"""
Counts its own calls.  Each worker walks a call tree that its seed determines,
between two marker functions, and notes every entry and exit; at the end the
notes are written to a file, for comparison with the trace.

usage: count.py CONTROL NOTES THREADS ROUNDS
"""
import json
import sys
import threading
import time

import ctl


def marker_start():
    pass


def marker_stop():
    pass


class Unwound(Exception):
    pass


class Walker(object):
    """One thread's deterministic walk."""

    def __init__(self, seed, rounds):
        self.state, self.rounds, self.notes = seed * 7919 + 1, rounds, []

    def dice(self, sides):
        self.state = (self.state * 1103515245 + 12345) % (1 << 31)
        return (self.state >> 8) % sides

    def walk(self):
        marker_start()
        for _ in range(self.rounds):
            node_root(self, 4)
        marker_stop()


# every node notes "+name" when it begins and "-name" when it ends, however it ends
def node_root(walker, depth):
    walker.notes.append("+node_root")
    try:
        for _ in range(2):
            NODES[walker.dice(len(NODES))](walker, depth - 1)
    finally:
        walker.notes.append("-node_root")


def node_plain(walker, depth):
    walker.notes.append("+node_plain")
    if depth:
        NODES[walker.dice(len(NODES))](walker, depth - 1)
        NODES[walker.dice(len(NODES))](walker, depth - 1)
    walker.notes.append("-node_plain")


def node_raising(walker, depth):
    walker.notes.append("+node_raising")
    try:
        if depth:
            NODES[walker.dice(len(NODES))](walker, depth - 1)
        raise Unwound()
    finally:
        walker.notes.append("-node_raising")


def node_catching(walker, depth):
    walker.notes.append("+node_catching")
    try:
        node_raising(walker, depth)
    except Unwound:
        pass
    walker.notes.append("-node_catching")


class Node(object):
    def node_method(self, walker, depth):
        walker.notes.append("+node_method")
        if depth:
            NODES[walker.dice(len(NODES))](walker, depth - 1)
        walker.notes.append("-node_method")


def node_leaf(walker, depth):
    walker.notes.append("+node_leaf")
    walker.notes.append("-node_leaf")


NODES = [node_plain, node_catching, Node().node_method, node_leaf]


def main():
    threads, rounds = int(sys.argv[3]), int(sys.argv[4])
    walkers = [Walker(seed, rounds) for seed in range(threads)]
    go = threading.Event()

    def work(walker):
        go.wait()
        walker.walk()

    # half of the threads are there before the attach, the others start inside the window
    early = [threading.Thread(target=work, args=(walker,)) for walker in walkers[::2]]
    for thread in early:
        thread.start()
    ctl.ready()
    while not ctl.begun():
        go.wait(0.02)
        ctl.tick()
    late = [threading.Thread(target=work, args=(walker,)) for walker in walkers[1::2]]
    for thread in late:
        thread.start()
    go.set()
    for thread in early + late:
        thread.join()
    ctl.done()
    while not ctl.quitting():
        go.wait(0.02)
        time.sleep(0.01)
        ctl.tick()
    # only now, so that no time of the recording goes into it
    with open(sys.argv[2], "w") as file:
        json.dump([walker.notes for walker in walkers], file)
    ctl.finish()


main()
