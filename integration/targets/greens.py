"""Greenlets: plain ones and gevent's, with stacks that interleave on one thread."""
import sys
import time

import ctl


def green_leaf(number):
    return number + 1


def plain():
    import greenlet

    def green_pong(value):
        while True:
            value = main.switch(green_leaf(value))

    main = greenlet.getcurrent()
    number = 0
    ctl.ready()
    while not ctl.quitting():
        # new ones each time: a recorder sees some begin, and finds others suspended
        workers = [greenlet.greenlet(green_pong) for _ in range(4)]
        for _ in range(100):
            for worker in workers:
                number += 1
                ctl.expect(worker.switch(number) == number + 1, "switch")
        time.sleep(0.002)
        ctl.tick()


def with_gevent():
    import gevent
    import gevent.pool

    def green_nested(number, depth):
        if depth:
            return green_nested(number, depth - 1)
        gevent.sleep(0.001 * (number % 3))
        return green_leaf(number)

    def green_task(number):
        return green_nested(number, number % 5)

    pool = gevent.pool.Pool(20)
    ctl.ready()
    while not ctl.quitting():
        ctl.expect(pool.map(green_task, range(60)) == list(range(1, 61)), "pool")
        ctl.tick()


def main():
    {"greenlet": plain, "gevent": with_gevent}[sys.argv[2]]()
    ctl.finish()


main()
