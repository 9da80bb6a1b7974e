"""
What tracing costs the traced program: thread CPU time of six workloads, each
traced block between two untraced ones, compared with an empty hook of the
same mechanism and with cProfile.

usage: overhead.py [--python NAME-PART] [--runs 5] [--rounds 8]
"""
import json
import statistics

import common
from common import tool, where
from workloads import ALL

# mode number in the target -> name; 1 and 10 are vizattach with and without C calls
MODES = {1: "viz+C", 2: "empty+C", 4: "cProfile+C", 10: "viz", 3: "empty", 5: "cProfile"}


def traced_block(loop, folder, mode, rounds):
    """Attach, let it run, detach: the mode number is only set while it certainly records."""
    extra = ("--force", "--ring-size", "256MiB") + (() if mode == 1 else ("--no-c-calls",))
    recording = tool.Recording(loop.pid, folder, "10m", extra=extra, name="bench")
    if not recording.wait_begun():
        raise SystemExit(recording.messages())
    loop.block(mode, rounds)
    loop.put("AUX", 0)
    recording.child.signal(2)
    if recording.wait() != 0:
        raise SystemExit(recording.messages())
    return recording.receipt().get("lost", 0)


def one_workload(python, name, runs, rounds, with_empty):
    folder = where.fresh("bench-" + name)
    if with_empty:
        common.build_empty(python, folder)
    modes = [mode for mode in MODES if with_empty or mode not in (2, 3)]
    sequence, lost = [], 0
    with common.Loop(python, folder, name) as loop:
        loop.block(0, 10)
        for run in range(runs):
            # another order each time, so that no mode always follows the same one
            for mode in modes[run % len(modes):] + modes[:run % len(modes)]:
                loop.block(0, rounds)
                if mode in (1, 10):
                    lost += traced_block(loop, folder, mode, rounds)
                else:
                    loop.block(mode, rounds)
        loop.block(0, rounds)
        wrong = loop.quit()
        if wrong:
            raise SystemExit(wrong)
    return json.loads(loop.log.read_text()), lost


def blocks(rounds):
    """[(mode, median cost)] of each block, in order."""
    found = []
    for mode, cost in rounds:
        if not found or found[-1][0] != mode:
            found.append((mode, []))
        found[-1][1].append(cost)
    return [(mode, statistics.median(costs)) for mode, costs in found if len(costs) > 1]


def added(rounds):
    """mode -> median over its blocks of (traced - mean of the untraced neighbours); and the untraced time."""
    result, order = {}, blocks(rounds)
    for before, (mode, cost), after in zip(order, order[1:], order[2:]):
        if mode and before[0] == 0 and after[0] == 0:
            result.setdefault(mode, []).append(cost - (before[1] + after[1]) / 2)
    plain = statistics.median([cost for mode, cost in order if mode == 0])
    return {mode: statistics.median(costs) for mode, costs in result.items()}, plain


def one_python(python, runs, rounds):
    with_empty = common.build_empty(python, where.fresh("try"))
    print(f"\n{python.name} ({common.load_text()}): added ns per event; slow-down", flush=True)
    print(f"{'':11}" + "".join(f"{name:>18}" for name in MODES.values()) + "   viz above empty +C / -")
    ratios = {4: [], 5: []}
    for name in ALL:
        log, lost = one_workload(python, name, runs, rounds, with_empty)
        extra, plain = added(log["rounds"])
        line = f"{name:11}"
        for mode in MODES:
            events = log["events"] if mode in (1, 2, 4) else log["python_events"]
            if mode in extra and events < 1000:  # nothing to speak of to divide by
                line += f"{'few events':>11} {(plain + extra[mode]) / plain:5.2f}x"
            elif mode in extra:
                line += f"{extra[mode] / max(events, 1):11.1f} {(plain + extra[mode]) / plain:5.2f}x"
            else:
                line += f"{'-':>18}"
        for viz, empty, events in ((1, 2, log["events"]), (10, 3, log["python_events"])):
            if viz in extra and empty in extra and events >= 1000:
                line += f"  {(extra[viz] - extra[empty]) / max(events, 1):6.1f}"
        print(line + (f"  lost {lost}" if lost else ""), flush=True)
        for viz, other in ((1, 4), (10, 5)):
            if viz in extra and extra.get(other, 0) > 0:
                ratios[other].append(max(extra[viz], 1) / extra[other])
    for mode, text in ((4, "with C calls"), (5, "without C calls")):
        print(f"added time / cProfile's, {text}: geometric mean "
              f"{common.geometric_mean(ratios[mode]):.2f}", flush=True)


def main():
    options = common.options(__doc__, runs=5, rounds=8)
    for python in common.interpreters(options.python):
        one_python(python, options.runs, options.rounds)


main()
