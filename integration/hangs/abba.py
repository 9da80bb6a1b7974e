"""
AB-BA: each of two (or three) threads holds what the next one wants.

usage: abba.py CONTROL with|acquire|rlock [2|3]
"""
import threading

import hang

KIND = (hang.ARGUMENTS or ["with"])[0]
COUNT = int((hang.ARGUMENTS[1:] or ["2"])[0])
NAMES = ("billing", "shipping", "refunds")[:COUNT]

make = threading.RLock if KIND == "rlock" else threading.Lock
orders_lock, stock_lock, ledger_lock = make(), make(), make()
both = threading.Barrier(COUNT)
done, near = [], []


def meet():
    """All hold their first lock; from here on there is no way out."""
    both.wait()
    near.append(1)


def bill():
    with orders_lock:
        meet()
        with stock_lock:
            done.append("billing")


def ship():
    with stock_lock:
        meet()
        with (ledger_lock if COUNT == 3 else orders_lock):
            done.append("shipping")


def refund():
    with ledger_lock:
        meet()
        with orders_lock:
            done.append("refunds")


def bill_by_hand():
    orders_lock.acquire()
    meet()
    stock_lock.acquire()
    done.append("billing")
    stock_lock.release()
    orders_lock.release()


def ship_by_hand():
    stock_lock.acquire()
    meet()
    orders_lock.acquire()
    done.append("shipping")
    orders_lock.release()
    stock_lock.release()


def run(function):
    try:
        function()
    except RuntimeError:
        pass  # the lock that was released for it


FUNCTIONS = (bill_by_hand, ship_by_hand) if KIND == "acquire" else (bill, ship, refund)[:COUNT]
if KIND != "rlock":
    hang.on_release(orders_lock.release)
threads = [hang.thread(name, run, function) for name, function in zip(NAMES, FUNCTIONS)]
while len(near) < COUNT:
    hang.time.sleep(0.001)
hang.ready()
for one in threads:
    one.join()
hang.finish(sorted(done), sorted(NAMES))
