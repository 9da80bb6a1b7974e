"""Nine threads, each with its own kind of work and wait, a timer signal and a child: all checked."""
import hashlib
import math
import os
import queue
import random
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib

import ctl

stop = False
LEEWAY = 0.002
DATA = bytes(range(256)) * 64


def mix_digest():
    return hashlib.sha256(DATA).hexdigest() + str(zlib.crc32(DATA)) + \
        str(sum(number * number % 7 for number in range(500)))


def mix_float():
    value = 0.5
    for _ in range(500):
        value = math.sin(value) * 1.0001 + math.exp(-value) * 0.3
    return value


def steady(function):
    expected = function()

    def run():
        while not stop:
            ctl.expect(function() == expected, function.__name__)
    return run


def wait_sleep():
    while not stop:
        since = time.monotonic()
        time.sleep(0.02)
        ctl.expect(time.monotonic() - since >= 0.02 - LEEWAY, "sleep returned early")


near, far = socket.socketpair()


def echo():
    while True:
        data = far.recv(100)
        if not data:
            break
        far.sendall(data)


def wait_epoll():
    selector = selectors.DefaultSelector()
    selector.register(near, selectors.EVENT_READ)
    number = 0
    while not stop:
        since = time.monotonic()
        ready = selector.select(0.01)
        ctl.expect(not ready, "unexpected data")
        ctl.expect(time.monotonic() - since >= 0.01 - LEEWAY, "select returned early")
        number += 1
        message = b"%d" % number
        near.sendall(message)
        ctl.expect(selector.select(60) and near.recv(100) == message, "echo")
    near.shutdown(socket.SHUT_RDWR)


def churn_memory():
    dice = random.Random(1)
    slots = [None] * 200
    while not stop:
        for _ in range(100):
            number = dice.randrange(200)
            old = slots[number]
            ctl.expect(old is None or old.count(number) == len(old), "memory is corrupt")
            slots[number] = bytes([number]) * dice.randrange(600, 20000)
        time.sleep(0.002)


def wait_lock():
    lock = threading.Lock()
    lock.acquire()
    while not stop:
        since = time.monotonic()
        ctl.expect(not lock.acquire(timeout=0.02), "lock")
        ctl.expect(time.monotonic() - since >= 0.02 - LEEWAY, "lock returned early")


def read_pipe():
    code = "import time\ni = 0\nwhile 1: print(i, flush=True); i += 1; time.sleep(0.005)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    number = 0
    while not stop:
        ctl.expect(process.stdout.readline().strip() == str(number), "line of the child")
        number += 1
    process.kill()
    process.wait()


def wait_queue():
    empty = queue.Queue()
    while not stop:
        try:
            empty.get(timeout=0.02)
            ctl.expect(False, "queue had an item")
        except queue.Empty:
            pass


alarms = 0


def on_alarm(number, frame):
    global alarms
    alarms += 1


def main():
    global stop
    work = [steady(mix_digest), steady(mix_float), wait_sleep, wait_epoll, echo, churn_memory,
            wait_lock, read_pipe, wait_queue]
    threads = [threading.Thread(target=function, daemon=True) for function in work]
    signal.signal(signal.SIGALRM, on_alarm)
    for thread in threads:
        thread.start()
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    ctl.ready()
    while not ctl.quitting():
        before = alarms
        time.sleep(0.05)
        ctl.expect(all(thread.is_alive() for thread in threads), "a thread died")
        if alarms > before:
            ctl.tick()
    signal.setitimer(signal.ITIMER_REAL, 0)
    stop = True
    for thread in threads:
        thread.join(60)
        ctl.expect(not thread.is_alive(), "a thread hangs")
    ctl.finish()


main()
