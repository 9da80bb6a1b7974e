"""
Runs and runs.

usage: busy.py CONTROL loop|threads|regex|collect|json|pickle
"""
import gc
import json
import pickle
import re
import threading

import hang

HOW = (hang.ARGUMENTS or ["loop"])[0]
tick, quitting = hang.ctl.tick, hang.ctl.quitting


def settle_accounts():
    total = 0
    while True:
        total = (total + 7) % 1000003
        if total % 5003 == 0:
            if quitting():
                return "done"
            tick()


def many():
    threads = [hang.thread(f"worker-{number}", settle_accounts) for number in range(8)]
    hang.ready()
    for one in threads:
        one.join()
    return "done"


def match_header(text):
    return re.match(r"(x+x+)+y", text)


def catastrophe():
    """No end in sight, and nothing else runs meanwhile."""
    hang.thread("server", hang.time.sleep, hang.SECONDS)
    hang.ready()
    match_header("x" * 60)


def collect_much():
    heap = [[number] for number in range(1500000)]
    hang.ready()
    while not quitting():
        gc.collect()
        tick()
    return "done" if len(heap) == 1500000 else "lost"


def export_json():
    data = [{"number": number, "text": "x" * 20} for number in range(300000)]
    hang.ready()
    while not quitting():
        json.dumps(data)
        tick()
    return "done"


def export_pickle():
    data = [{"number": number, "text": "x%d" % number} for number in range(400000)]
    hang.ready()
    while not quitting():
        pickle.dumps(data)
        tick()
    return "done"


def loop():
    hang.ready()
    return settle_accounts()


threading.current_thread()
hang.finish({"loop": loop, "threads": many, "regex": catastrophe, "collect": collect_much,
             "json": export_json, "pickle": export_pickle}[HOW](), "done")
