"""
How long a thread stands still at an attach: by the receipt, and from inside,
by the longest gap that a spinning loop sees.

usage: stop.py [--python NAME-PART] [--runs 200] [--duration 20ms]
"""
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


def main():
    options = common.options(__doc__, runs=200, duration="20ms")
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


main()
