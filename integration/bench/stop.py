"""
How long a thread stands still at an attach: by the receipt, and from inside,
by the longest gap that a spinning loop sees.

Then with 500 threads, which must not matter.

usage: stop.py [--python NAME-PART] [--runs 200] [--duration 20ms] [--threads 500]
"""
import statistics

import common
from common import child, target, tool, where


def attaches(subject, folder, runs, duration, gap=False):
    """[pause of the stopped thread in us], [longest gap inside in us]"""
    pauses, gaps = [], []
    for _ in range(runs):
        if gap:
            subject.put("AUX", 1)  # asks for a new measurement
            child.wait_until(lambda: subject.get("AUX") == 0, "a new measurement")
        run = tool.record(subject.pid, folder, duration, extra=("--force",))
        if run.status:
            raise SystemExit(run.messages())
        pauses.append(run.receipt()["pause_us"])
        if gap:
            gaps.append(subject.get("DONE") / 1000.0)
    return pauses, gaps


def control_gaps(subject, runs):
    """The same, without an attach: what the machine does by itself in a like time."""
    gaps = []
    for _ in range(runs):
        subject.put("AUX", 1)
        child.wait_until(lambda: subject.get("AUX") == 0, "a new measurement")
        child.wait_until(lambda start=subject.get("PROGRESS"): subject.get("PROGRESS") > start + 20,
                         "some time")
        gaps.append(subject.get("DONE") / 1000.0)
    return gaps


def crowd(python, count, runs, duration):
    """The stop among one thread and among COUNT that all wait, taken in turns: the machine changes."""
    pauses = {1: [], count: []}
    subjects = {}
    try:
        for threads in pauses:
            folder = where.fresh("stop")
            subjects[threads] = target.Target(python.path, "../bench/crowd", folder, (str(threads),)), folder
            subjects[threads][0].settle()
        for _ in range(max(runs // 20, 1)):
            for threads, (subject, folder) in subjects.items():
                pauses[threads] += attaches(subject, folder, min(runs, 20), duration)[0]
        for threads, (subject, _) in subjects.items():
            print(f"  {threads} threads: stopped one", common.quantiles(pauses[threads]), flush=True)
            print("  ", subject.quit() or "target well", flush=True)
    finally:
        for subject, _ in subjects.values():
            subject.child.end()
    print("  ratio of the medians: %.2f" % (statistics.median(pauses[count]) / statistics.median(pauses[1])),
          flush=True)


def main():
    options = common.options(__doc__, runs=200, duration="20ms", threads=500)
    for python in common.interpreters(options.python):
        print(f"{python.name} ({common.load_text()}), us, {options.runs} attaches", flush=True)
        folder = where.fresh("stop")
        with target.Target(python.path, "../bench/spin", folder) as subject:
            subject.settle()
            control = control_gaps(subject, options.runs)
            pauses, gaps = attaches(subject, folder, options.runs, options.duration, gap=True)
            print("  busy: stopped thread  ", common.quantiles(pauses), flush=True)
            print("  busy: gap seen inside ", common.quantiles(gaps),
                  "(without attach:", common.quantiles(control) + ")", flush=True)
            print("  ", subject.quit() or "target well", flush=True)
        folder = where.fresh("stop")
        with target.Target(python.path, "idle", folder, ("sleep",)) as subject:
            subject.settle()
            pauses, _ = attaches(subject, folder, options.runs, options.duration)
            print("  idle: stopped thread  ", common.quantiles(pauses), flush=True)
            print("  ", subject.quit() or "target well", flush=True)
        crowd(python, options.threads, options.runs, options.duration)


main()
