"""
Speed after a detach / speed before the attach: thread CPU time of each
workload, in units of C work measured around each round (see loop.py).

usage: after.py [--python NAME-PART] [--runs 3] [--rounds 15]
"""
import json
import statistics

import common
from common import tool, where
from workloads import ALL

BEFORE, TRACED, AFTER, CONTROL = 11, 12, 13, 14


def one(python, name, rounds):
    """(after / before, control / before): the control has one more block between and no attach."""
    folder = where.fresh("after")
    with common.Loop(python, folder, name) as loop:
        loop.block(0, rounds)
        loop.block(CONTROL, rounds)
        loop.block(BEFORE, rounds)
        loop.put("AUX", TRACED)
        run = tool.record(loop.pid, folder, "300ms")
        if run.status:
            raise SystemExit(run.messages())
        loop.block(0, 3)
        loop.block(AFTER, rounds)
        wrong = loop.quit()
        if wrong:
            raise SystemExit(wrong)
    costs = {}
    for mode, cost in json.loads(loop.log.read_text())["rounds"]:
        costs.setdefault(mode, []).append(cost)
    base = statistics.median(costs[BEFORE])
    return base / statistics.median(costs[AFTER]), base / statistics.median(costs[CONTROL])


def main():
    options = common.options(__doc__, runs=3, rounds=15)
    print("speed after / before (control: without an attach between),", common.load_text())
    for python in common.interpreters(options.python):
        line = f"{python.name:12}"
        for name in ALL:
            pairs = [one(python, name, options.rounds) for _ in range(options.runs)]
            after, control = (statistics.median(values) for values in zip(*pairs))
            line += f"  {name} {after:.3f} ({control:.3f})"
        print(line, flush=True)


main()
