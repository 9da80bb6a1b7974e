"""Four clients for the demo: ask 127.0.0.1:PORT until told to stop, at most SECONDS; check the answers.

usage: demo_load.py PORT SECONDS
"""
import json
import signal
import sys
import threading

from lib import child, load


def total(customer):
    """What the application must answer, worked out here."""
    fibonacci = [0, 1, 1, 2, 3, 5, 8, 13]
    return sum(fibonacci[item % 8] for item in range(20))


def connect(port):
    asking, close = load.http_client(port, None, "/customer/%d")()

    def ask(number):
        answer = json.loads(asking(number))
        return "" if answer["total"] == total(number) and answer["orders"] == 20 else str(answer)
    return ask, close


def main():
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *signals: stop.set())
    child.wait_until(lambda: load.answers(port), "the server", 60, 0.05)
    clients = load.Load(lambda: connect(port), threads=4, pause=0.004)
    clients.wait_busy()
    print("answering", flush=True)
    stop.wait(seconds)
    wrong = clients.stop()
    print(f"{clients.answered} requests answered, {len(wrong)} wrong", *wrong[:3])
    return 1 if wrong else 0


sys.exit(main())
