"""
Spins on the clock and keeps the longest gap between two readings, in ns, in
the control block's DONE; AUX = 1 asks for a new measurement.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "targets"))

import ctl  # noqa: E402


def main():
    clock, longest, ticks = time.perf_counter_ns, 0, 0
    get, put = ctl.control.get, ctl.control.put
    ctl.ready()
    last = clock()
    while not ctl.quitting():
        ticks += 1
        if get(ctl.AUX) == 1:
            longest = 0
            put(ctl.DONE, 0)
            put(ctl.AUX, 0)
            last = clock()
        for _ in range(200):
            now = clock()
            if now - last > longest:
                longest = now - last
                put(ctl.DONE, longest)
            last = now
        if ticks % 20 == 0:
            ctl.tick()
        last = clock()
    ctl.finish()


main()
