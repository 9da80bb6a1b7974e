"""One thread that waits in a system call; notices when a wait ends early or with a wrong answer."""
import os
import select
import socket
import sys
import threading
import time

import ctl

WAIT = 0.15
LEEWAY = 0.002  # clocks and timers round


def waited(seconds, since, what):
    ctl.expect(time.monotonic() - since >= seconds - LEEWAY, what + " returned early")


def idle_sleep():
    since = time.monotonic()
    time.sleep(WAIT)
    waited(WAIT, since, "sleep")


reader, writer = os.pipe()


def idle_select():
    since = time.monotonic()
    ctl.expect(select.select([reader], [], [], WAIT) == ([], [], []), "select")
    waited(WAIT, since, "select")


def idle_poll():
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    since = time.monotonic()
    ctl.expect(poll.poll(WAIT * 1000) == [], "poll")
    waited(WAIT, since, "poll")


epoll = select.epoll()
epoll.register(reader, select.EPOLLIN)


def idle_epoll():
    since = time.monotonic()
    ctl.expect(epoll.poll(WAIT) == [], "epoll")
    waited(WAIT, since, "epoll")


held = threading.Lock()
held.acquire()


def idle_lock():
    since = time.monotonic()
    ctl.expect(not held.acquire(timeout=WAIT), "lock was free")
    waited(WAIT, since, "lock")


near, far = socket.socketpair()
near.settimeout(WAIT)


def idle_recv():
    since = time.monotonic()
    try:
        near.recv(1)
        ctl.expect(False, "recv had data")
    except socket.timeout:
        waited(WAIT, since, "recv")


def idle_forever():
    """No timeout: a thread that reads what nobody sends until the end, beside one that ticks."""
    ctl.expect(os.read(reader, 1) == b"x", "read")


def main():
    which = sys.argv[2]
    function = globals()["idle_" + which]
    ctl.ready()
    if which == "forever":
        thread = threading.Thread(target=idle_forever)
        thread.start()
        function = idle_sleep
    while not ctl.quitting():
        function()
        ctl.tick()
    if which == "forever":
        ctl.expect(thread.is_alive(), "read returned early")
        os.write(writer, b"x")
        thread.join()
    ctl.finish()


main()
