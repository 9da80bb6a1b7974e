"""
What `vizattach snapshot` costs: how long it stops a thread (of 200, busy or idle), and how
long the whole takes for 50 threads that are 50 frames deep, and for 500 threads.

usage: snapshot.py [--python NAME-PART] [--runs 20] [--threads 200] [--many 500]
"""
import time

import common
from common import child, target, tool, where

GOALS = "goals: a stop 2 ms at the median, 10 ms at the p99; 50 threads of depth 50 in 300 ms, 500 in 2 s"


def looks(subject, runs):
    """[stops in ms], [the whole as the shell sees it], [as it says itself], threads without frames, threads"""
    stops, wall, own, missing = [], [], [], 0
    for _ in range(runs):
        begin = time.monotonic()
        answer = tool.snapshot(subject.pid)
        wall.append((time.monotonic() - begin) * 1e3)
        if answer.status:
            raise SystemExit(f"{answer.status}: {answer.messages}")
        threads = answer.data["threads"]
        stops += [one["stopped_ns"] / 1e6 for one in threads if one["copied"] == "stopped"]
        missing += sum(not one["frames"] for one in threads)
        own.append((answer.data.get("took_ns") or 0) / 1e6)
    return stops, wall, own, missing, len(threads)


def measure(python, name, runs, *args):
    with target.Target(python.path, "../bench/crowd", where.fresh("snapshot"), args) as subject:
        subject.settle()
        stops, wall, own, missing, threads = looks(subject, runs)
        print(f"  {name} ({threads} threads)", flush=True)
        print("    a stopped thread, ms:", common.quantiles(stops, "%.2f"),
              f"({len(stops)} stops, {threads * runs} threads seen)", flush=True)
        print("    the whole, ms:       ", common.quantiles(wall, "%.0f"), flush=True)
        if any(own):
            print("    by its own clock, ms:", common.quantiles(own, "%.0f"), flush=True)
        if missing:
            print(f"    {missing} threads without a frame", flush=True)
        print("   ", subject.quit() or "target well", flush=True)
    child.end_all()


def main():
    options = common.options(__doc__, runs=20, threads=200, many=500)
    print(GOALS, flush=True)
    for python in common.interpreters(options.python):
        print(f"{python.name} ({common.load_text()}), {options.runs} snapshots", flush=True)
        measure(python, "idle", options.runs, str(options.threads))
        measure(python, "busy", options.runs, str(options.threads), "1", "busy")
        measure(python, "50 frames deep", options.runs, "50", "50")
        measure(python, "many", options.runs, str(options.many))


main()
