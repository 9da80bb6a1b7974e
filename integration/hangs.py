#!/usr/bin/env python3
"""
The hang zoo: programs that were built to hang in one way each (and some that do not hang).
`vizattach snapshot` must say which, or "unknown", and must change nothing.

usage: hangs.py [--python NAME-PART] [--case NAME] [--full] [--times N] [--list]
--full     every case on every interpreter; else each on the system's and on one other
--times N  N snapshots of each case, and of a busy service under load; else 10 on the system's
           interpreter and one on others
"""
import argparse
import collections
import concurrent.futures
import json
import os
import sys
import time

from lib import board, cages, child, figures, load, procfs, pythons, target, tool, where, zoo, zookills
from lib.zoocases import CASES

AT_ONCE = 6         # cases that do nothing; those that run take turns
RIGHT_SHARE = 0.9
TIMES = 10          # snapshots of each case on the system's interpreter, and of the service
NOT_HERE = ("swapped",)  # kinds that no case can bring about


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def stops(values):
    """How long threads were stopped, in words."""
    if not values:
        return "no thread was stopped"
    return "%d stops, p50 %.2f ms, p99 %.2f ms, longest %.2f ms" % (
        len(values), percentile(values, 0.5) / 1e6, percentile(values, 0.99) / 1e6, max(values) / 1e6)


def accepted(python, wanted):
    return not wanted or any(part in python.name for part in wanted)


def others(index, found):
    """The interpreter that case number INDEX runs on beside the system's: they take turns."""
    rest = [python for python in found if not python.debian]
    return rest[index % len(rest):][:1] if rest else []


def plan(wanted_pythons, wanted, full):
    """[(case, python)]"""
    found = pythons.readable()
    cells = []
    for index, case in enumerate(CASES):
        if wanted and case.name not in wanted:
            continue
        for python in found:
            here = python.debian or full or wanted_pythons or python in others(index, found)
            if here and accepted(python, wanted_pythons) and (python.debian or not case.debian):
                cells.append((case, python))
    return cells


def attempt(case, python, times):
    """(Cell, Outcome, what went wrong): run in a thread, told by the main one."""
    cell, outcome, error = board.Cell(case.name, python.name), zoo.Outcome(), None
    begin = time.monotonic()
    try:
        zoo.run_case(cell, python, case, outcome, times)
    except Exception as failure:
        error = failure
    cell.seconds = time.monotonic() - begin
    return cell, outcome, error


def tell(cell, case, times, future):
    """What came of it, into CELL."""
    done, outcome, error = future.result()
    cell.failures += done.failures
    cell.seconds = done.seconds
    if outcome.mark != "-":
        cell.mark = outcome.mark
    if error:
        raise error
    tally = collections.Counter(outcome.kinds)
    if len(tally) > 1:
        print(f"     {case.name}, {cell.column}: not always the same: "
              + ", ".join(f"{kind} {count}" for kind, count in tally.most_common()), flush=True)
    if outcome.mark == "unknown" or os.environ.get("VZ_VERDICTS"):
        print(f"     {outcome.mark}: {case.name}, {cell.column}: {outcome.why}", flush=True)
    if times > 1:
        figures.note("snapshot of a hang: " + case.name, cell.column, times, len(cell.failures),
                     ", ".join(f"{kind} {count}" for kind, count in tally.most_common())
                     + "; " + stops(outcome.stopped_ns))


def service(cell, python, times, outcome):
    """A service that answers all the time: no request may fail, none may take notice."""
    if not tool.has_snapshot():
        raise board.Skip("this vizattach has no snapshot")
    expected = target.function("wsgi_app", "app_compute")
    with target.Target(python.path, "service", where.fresh("service")) as subject:
        subject.clients = load.Load(load.http_client(subject.get("AUX"), lambda number:
                                                     b"%d" % expected(number)), threads=4)
        subject.clients.wait_busy()
        before, begin = subject.settle(), subject.clients.answered
        for number in range(times):
            answer = tool.snapshot(subject.pid)
            cell.equal(answer.status, 0, f"snapshot {number}: exit status ({answer.messages.strip()[-300:]})")
            kind = answer.data.get("verdict", {}).get("kind")
            outcome.kinds.append(kind)
            outcome.note_stops(answer.data)
            cell.check(kind in ("idle", "busy", "unknown"), f"a healthy service is called {kind}: "
                       + str(answer.data.get("verdict", {}).get("sentence")))
            cell.none([f"{tid} {state}" for tid, (state, _) in cages.movement(subject.pid).items()
                       if state in "tT"], f"snapshot {number}: threads that are stopped")
            cell.need(len(cell.failures) < 4, "too many failures")
        answered = subject.clients.answered
        child.wait_until(lambda: subject.clients.answered > answered + 20 or subject.clients.wrong,
                         "answers after", 60)
        cell.none(procfs.differences(before, procfs.Snapshot(subject.pid)), "touched")
        total = subject.clients.answered - begin
        wrong = subject.quit()
        cell.check(not wrong, wrong)
        figures.note("snapshot of a busy service", python.name, times, len(cell.failures),
                     f"{total} requests answered meanwhile; " + ", ".join(
                         f"{kind} {count}" for kind, count in collections.Counter(outcome.kinds).most_common())
                     + "; " + stops(outcome.stopped_ns))


def summary(result, outcomes, whole):
    """The share of right answers, and the kinds that were met."""
    marks = collections.Counter(outcome.mark for outcome in outcomes.values())
    judged = marks["right"] + marks["unknown"] + marks["WRONG"]
    if not judged:
        print("no verdict was judged", flush=True)
        return
    kinds = collections.Counter(outcome.verdict.get("kind") for outcome in outcomes.values()
                                if outcome.mark == "right")
    print("right %d, unknown %d, WRONG %d of %d: %.1f %% right" % (
        marks["right"], marks["unknown"], marks["WRONG"], judged, 100 * marks["right"] / judged))
    print("kinds:", ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    print("stops:", stops([one for outcome in outcomes.values() for one in outcome.stopped_ns]), flush=True)

    def share(cell):
        cell.check(marks["right"] >= RIGHT_SHARE * judged, f"{marks['right']} of {judged} are right")
        possible = {kind for case, name in outcomes if outcomes[case, name].mark != "-"
                    for kind in case.kinds[:1]} - set(NOT_HERE)
        cell.none(sorted(possible - set(kinds)), "kinds that were never told")

    if whole:
        result.run("share of right answers", "all", share)


def keep(outcomes):
    """$VZ_ZOO_JSON: each verdict with its evidence, a line each."""
    path = os.environ.get("VZ_ZOO_JSON")
    if path:
        with open(path, "w") as file:
            for (case, name), outcome in outcomes.items():
                file.write(json.dumps({"case": case.name, "python": name, "mark": outcome.mark,
                                       "expected": case.kinds, "verdict": outcome.verdict}) + "\n")


def run_cells(result, cells, times):
    """The cells that rest, several at once; then those that run, one after the other."""
    outcomes = {}
    for quiet in (True, False):
        part = [(case, python) for case, python in cells if (case.motion == "still") == quiet]
        outcomes.update(run_at_once(result, part, times, AT_ONCE if quiet else 1))
    return outcomes


def how_often(python, times):
    """TIMES, or if nothing was said a few on the system's interpreter and one on others."""
    return times or (TIMES if python.debian else 1)


def run_at_once(result, cells, times, at_once):
    outcomes = {}
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        futures = [(case, python, pool.submit(attempt, case, python, how_often(python, times)))
                   for case, python in cells]
        try:
            for case, python, future in futures:
                future.result()
                result.run(case.name, python.name, tell, case, times or 1, future)
                outcome = outcomes[case, python.name] = future.result()[1]
                if outcome.mark == "WRONG":
                    result.results[case.name, python.name] = "WRONG"
        except BaseException:
            for _, _, future in futures:
                future.cancel()
            child.end_all()
            raise
    return outcomes


def run(wanted_pythons=(), wanted=(), full=False, times=None):
    result = board.Board("hangs")
    cells = plan(wanted_pythons, wanted, full)
    outcomes = run_cells(result, cells, times)
    if not wanted or "service" in wanted:
        for python in pythons.readable():
            if accepted(python, wanted_pythons) and (python.debian or wanted_pythons or full):
                result.run("service", python.name, service, python, times or TIMES, zoo.Outcome())
                child.end_all()
    if not wanted or "killed" in wanted:
        for python in pythons.supported():
            if accepted(python, wanted_pythons) and (python.debian or wanted_pythons or full):
                for name in zookills.CASES:
                    result.run("killed: " + name, python.name, zookills.run_case, python, name)
    result.table()
    summary(result, outcomes, not wanted)
    keep(outcomes)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", "--pythons", action="append", default=[])
    parser.add_argument("--case", "--cases", action="append", default=[])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--times", type=int)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("pythons:", *[python.name for python in pythons.readable()])
        print("cases:", *[case.name for case in CASES])
        return 0
    wanted = [name for text in options.case for name in text.split(",")]
    versions = [name for text in options.python for name in text.split(",")]
    unknown = set(wanted) - {case.name for case in CASES} - {"service", "killed"}
    if unknown:
        parser.error("no such case: " + ", ".join(sorted(unknown)))
    return board.finish([run(versions, wanted, options.full, options.times)])


if __name__ == "__main__":
    sys.exit(board.interruptible(main))
