"""
The main thread waits for a lock, and the thread that holds it waits for something else, or runs.

usage: chains.py CONTROL peer|sleep|busy
"""
import socket
import threading
import time

import hang

HOW = (hang.ARGUMENTS or ["peer"])[0]
rates_lock = threading.Lock()
held = threading.Event()
rates = []


def refresh_peer():
    with rates_lock, socket.create_connection(("127.0.0.1", server.port)) as link:
        held.set()
        rates.append(link.recv(10))


def refresh_sleep():
    """Tries again later, with the lock in its hands."""
    with rates_lock:
        held.set()
        time.sleep(hang.SECONDS)


def refresh_busy():
    with rates_lock:
        held.set()
        total, command = 0, hang.ctl.control.block
        while not command[0]:
            total = (total + 7) % 1000003
            if total % 5003 == 0:
                hang.ctl.tick()
        rates.append(b"late")


def show_rates():
    with rates_lock:
        return rates[:]


if HOW == "peer":
    server = hang.SilentServer()
    hang.on_release(lambda: server.speak(b"late"))
hang.thread("refresher", {"peer": refresh_peer, "sleep": refresh_sleep, "busy": refresh_busy}[HOW])
held.wait()
hang.ready()
hang.finish(show_rates(), [b"late"])
