"""Many threads, and threads that come and go: from threading, _thread and C."""
import _thread
import ctypes
import sys
import threading
import time

import ctl

COUNT = 100
stop = threading.Event()


def crowd_step(number):
    return sum(range(number % 13 + 3))


def crowd_work(number):
    expected = crowd_step(number)
    while not stop.is_set():
        ctl.expect(crowd_step(number) == expected, "checksum")
        stop.wait(0.02)


def crowd():
    threads = [threading.Thread(target=crowd_work, args=(number,)) for number in range(COUNT)]
    for thread in threads:
        thread.start()
    ctl.ready()
    while not ctl.quitting():
        ctl.expect(all(thread.is_alive() for thread in threads), "a thread died")
        time.sleep(0.05)
        ctl.tick()
    stop.set()
    for thread in threads:
        thread.join()


finished = []


def churn_leaf(number):
    return number + 1


def churn_threading(number):
    finished.append(churn_leaf(number))


def churn_thread(number, lock):
    finished.append(churn_leaf(number))
    lock.release()


libc = ctypes.CDLL(None)
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)


@CALLBACK
def churn_c(argument):
    """Runs on a thread that C made: it has no Python thread state before."""
    finished.append(churn_leaf(argument or 0))
    return 0


def one_round(number):
    del finished[:]
    thread = threading.Thread(target=churn_threading, args=(number,))
    thread.start()
    thread.join()
    lock = _thread.allocate_lock()
    lock.acquire()
    _thread.start_new_thread(churn_thread, (number, lock))
    lock.acquire()
    handle = ctypes.c_ulong()
    made = libc.pthread_create(ctypes.byref(handle), None, churn_c, ctypes.c_void_p(number))
    ctl.expect(made == 0, "pthread_create")
    libc.pthread_join(handle, None)
    ctl.expect(finished == [number + 1] * 3, "threads computed %r" % finished)


def churn():
    number = 1
    one_round(number)
    ctl.ready()
    while not ctl.quitting():
        number += 1
        one_round(number)
        time.sleep(0.002)
        ctl.tick()


def main():
    {"crowd": crowd, "churn": churn}[sys.argv[2]]()
    ctl.finish()


main()
