"""
gevent: one greenlet that does not give way, and others that starve.

usage: greens.py CONTROL sleep|cpu
"""
import time

import gevent

import hang

HOW = (hang.ARGUMENTS or ["sleep"])[0]
beats = []


class Stop(Exception):
    pass


def beat():
    while True:
        beats.append(1)
        gevent.sleep(0.01)


def handle_order():
    if HOW == "sleep":
        try:
            time.sleep(hang.SECONDS)
        except Stop:
            pass
    else:
        total, command = 0, hang.ctl.control.block
        while not command[0]:
            total += 1
            if total % 10000 == 0:
                hang.ctl.tick()
    return "done"


def release():
    raise Stop


def main():
    others = [gevent.spawn(beat) for _ in range(3)]
    while len(beats) < 6:
        gevent.sleep(0.01)
    if HOW == "sleep":
        hang.on_release(release)
    order = gevent.spawn(handle_order)
    hang.ready()
    result = order.get()
    gevent.killall(others)
    hang.finish(result, "done")


main()
