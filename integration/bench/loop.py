"""
Runs one workload over and over, in the mode that the driver asks for, and
writes down what each round cost in CPU time of its thread.

usage: loop.py CONTROL LOG WORKLOAD FOLDER-OF-EMPTY
The mode is in the control block's AUX: see MODES; 0, 1 and from 10 on: nothing
is done here (the driver may have attached something).
"""
import cProfile
import hashlib
import json
import os
import sys
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "targets"), sys.argv[4]]

import ctl  # noqa: E402
import workloads  # noqa: E402


def empty(c_calls):
    import empty as module
    return lambda: module.install(c_calls), module.remove


def cprofile(c_calls):
    profile = cProfile.Profile(builtins=c_calls)
    return profile.enable, profile.disable


# mode -> (kind, with C calls)
MODES = {2: (empty, True), 3: (empty, False), 4: (cprofile, True), 5: (cprofile, False)}


# From this mode on a round's cost is in units of a yardstick measured around it: work in C that no
# hook touches.  A machine whose speed swings by half would drown a difference of a hundredth.
RELATIVE = 11
YARDSTICK = b"x" * 300000


def yardstick():
    before = time.thread_time_ns()
    hashlib.sha256(YARDSTICK).digest()
    return time.thread_time_ns() - before


def count_events(function):
    """(all events, those of Python functions) of one round, by sys.setprofile."""
    counts = {}

    def profile(frame, event, argument):
        counts[event] = counts.get(event, 0) + 1
    sys.setprofile(profile)
    function()
    sys.setprofile(None)
    python = counts.get("call", 0) + counts.get("return", 0)
    return sum(counts.values()), python


def main():
    function = workloads.ALL[sys.argv[3]]
    expected = function()
    rounds, current, stop = [], 0, None
    counts = count_events(function)
    ctl.ready()
    while not ctl.quitting():
        mode = ctl.control.get(ctl.AUX)
        if mode != current:
            if stop:
                stop()
            stop = None
            if mode in MODES:
                kind, c_calls = MODES[mode]
                start, stop = kind(c_calls)
                start()
            current = mode
        unit = yardstick() if mode >= RELATIVE else 0
        before = time.thread_time_ns()
        right = function() == expected
        cost = time.thread_time_ns() - before
        if unit:
            cost /= (unit + yardstick()) / 2
        ctl.expect(right, "wrong result")
        # a round in which the mode changed belongs to none
        if ctl.control.get(ctl.AUX) == mode:
            rounds.append((mode, cost))
        ctl.tick()
    if stop:
        stop()
    with open(sys.argv[2], "w") as file:
        json.dump({"rounds": rounds, "events": counts[0], "python_events": counts[1]}, file)
    ctl.finish()


main()
