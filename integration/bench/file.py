"""
Bytes of trace per call, and CPU time of vizattach per million events.

usage: file.py [--python NAME-PART] [--duration 3s]
"""
import os

import common
from common import tool, trace, where
from workloads import ALL


def one(python, name, duration):
    folder = where.fresh("file")
    with common.Loop(python, folder, name) as loop:
        loop.block(0, 5)
        path = folder / "trace.viz"
        before = os.times()
        run = tool.record(loop.pid, folder, duration)
        after = os.times()
        if run.status:
            raise SystemExit(run.messages())
        cpu = (after.children_user - before.children_user
               + after.children_system - before.children_system)
        receipt, size = run.receipt(), path.stat().st_size
        calls = sum(row["calls"] + row["resumes"] for rows in trace.report(path).values() for row in rows)
        loop.quit()
    return size / max(calls, 1), 1e6 * cpu / max(receipt["events"], 1), receipt


def main():
    options = common.options(__doc__, duration="3s")
    print("bytes per call; CPU seconds of vizattach per million events;", common.load_text())
    for python in common.interpreters(options.python):
        for name in ALL:
            size, cpu, receipt = one(python, name, options.duration)
            print(f"{python.name:12} {name:11} {size:6.2f} {cpu:8.3f}   {receipt['events']} events, "
                  f"{receipt['lost']} lost", flush=True)


main()
