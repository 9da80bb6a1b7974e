"""
What a viewer has to show, in one program: frames that were there before the recorder,
threads with names, an event loop, generators, exceptions, deep recursion, one call that
is slow among many that are not.  It notes how often it called what.

usage: scenes.py CONTROL NOTES
"""
import asyncio
import json
import sys
import threading
import time

import ctl

WORKERS, REQUESTS, ROWS, DEPTH, TASKS = 4, 25, 12, 400, 6
notes = {}
guard = threading.Lock()


def note(name, times=1):
    with guard:
        notes[name] = notes.get(name, 0) + times


class Denied(Exception):
    pass


def check_user(number):
    note("check_user")
    if number % 5 == 4:
        raise Denied(number)


def scan_rows(count):
    for number in range(count):
        yield number * number


def load_rows(number):
    note("load_rows")
    return sum(scan_rows(ROWS)) + number


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def render(value):
    note("render")
    return str(fibonacci(7) + value)


def slow_query():
    note("slow_query")
    time.sleep(0.03)


def handle_request(number):
    note("handle_request")
    try:
        check_user(number)
    except Denied:
        return "denied"
    if number == 13:
        slow_query()
    return render(load_rows(number))


def serve():
    for number in range(REQUESTS):
        handle_request(number)
        time.sleep(0.0005)


def descend(depth):
    return descend(depth - 1) + 1 if depth else 0


async def fetch(number):
    note("fetch")
    await asyncio.sleep(0.002 * (number + 1))
    return number


async def gather():
    note("gather")
    total, tasks = 0, []
    for number in range(TASKS):
        tasks.append(asyncio.ensure_future(fetch(number)))
    for task in tasks:
        total += await task
    return total


def run_loop():
    ctl.expect(asyncio.run(gather()) == sum(range(TASKS)), "tasks")


def play():
    threads = [threading.Thread(target=serve, name="web-%d" % number) for number in range(WORKERS)]
    threads.append(threading.Thread(target=run_loop, name="loop"))
    for thread in threads:
        thread.start()
    ctl.expect(descend(DEPTH) == DEPTH, "depth")
    for thread in threads:
        thread.join()


def open_before():
    """It and its caller are on the stack when the recorder comes, and when it goes."""
    ctl.ready()
    while not ctl.begun():
        time.sleep(0.002)
        ctl.tick()
    play()
    with open(sys.argv[2], "w") as file:
        json.dump(notes, file)
    ctl.done()
    while not ctl.quitting():
        time.sleep(0.01)


def main():
    open_before()
    ctl.finish()


main()
