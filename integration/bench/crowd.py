"""
COUNT threads that wait, the main one among them.

usage: crowd.py CONTROL COUNT
"""
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "targets"))

import ctl  # noqa: E402

stop = threading.Event()
threading.stack_size(256 << 10)
threads = [threading.Thread(target=stop.wait) for _ in range(int(sys.argv[2]) - 1)]
for thread in threads:
    thread.start()
ctl.ready()
while not ctl.quitting():
    time.sleep(0.02)
    ctl.tick()
stop.set()
for thread in threads:
    thread.join()
ctl.finish()
