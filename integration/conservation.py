"""
No call is lost, doubled, out of order or wrongly nested.

The target counts its own calls (targets/count.py); what it noted between its
markers must be exactly what the trace holds, thread by thread.  Where the ring
was too small, the losses that the tool reports must account for the difference.

usage: conservation.py [--python NAME-PART] [CASE...]
"""
import argparse
import collections
import json
import signal
import subprocess
import sys

from lib import board, child, pythons, target, timeline, tool, trace, where

Case = collections.namedtuple("Case", "name threads rounds options lossy")

CASES = [
    Case("one-thread", 1, 2000, (), False),
    Case("no-c-calls", 1, 2000, ("--no-c-calls",), False),
    Case("eight-threads", 8, 400, (), False),
    Case("small-ring", 4, 3000, ("--ring-size", "1MiB"), True),
]


def record(cell, subject, folder, case):
    recording = tool.Recording(subject.pid, folder, "10m", extra=case.options)
    cell.need(recording.wait_begun(), "it did not record: " + recording.messages())
    if case.lossy:
        recording.child.signal(signal.SIGSTOP)  # nobody drains: the ring certainly overflows
    subject.begin()
    subject.wait_done(300)
    recording.child.signal(signal.SIGCONT)
    recording.child.signal(signal.SIGINT)
    cell.equal(recording.wait(300), 0, "exit status (" + recording.messages()[-400:] + ")")
    return recording


def between_markers(sequence):
    """The part of a thread's entries and exits between marker_start and marker_stop."""
    try:
        begin = sequence.index("-marker_start") + 1
        return sequence[begin:sequence.index("+marker_stop", begin)]
    except ValueError:
        return None


def exact(cell, noted, seen):
    """SEEN holds one sequence for each thread that passed the markers; any order of threads."""
    wanted = collections.Counter(tuple(notes) for notes in noted)
    found = collections.Counter(tuple(one) for one in seen)
    missing, extra = list((wanted - found).elements()), list((found - wanted).elements())
    cell.equal(len(seen), len(noted), "threads in the trace")
    for want, have in zip(missing, extra):
        at = next((i for i, pair in enumerate(zip(want, have)) if pair[0] != pair[1]),
                  min(len(want), len(have)))
        cell.check(False, f"{len(want)} entries and exits noted, {len(have)} in the trace; first "
                   f"difference at {at}: {want[at:at + 4]} noted, {have[at:at + 4]} in the trace")
    cell.none([f"a thread with {len(one)} entries and exits" for one in missing[len(extra):]], "missing")


def accounted(cell, noted, events, receipt):
    """Never more than was done; what is missing was reported as lost."""
    made = sum(len(notes) for notes in noted)
    seen = sum(1 for one in events if one[1:].startswith("node_"))
    lost = receipt.get("lost", 0)
    cell.check(seen <= made, f"{seen} in the trace, only {made} were made")
    cell.check(lost > 0, "the ring was too large for this case: nothing was lost")
    cell.check(made - seen <= lost, f"{made} made, {seen} in the trace, {lost} reported lost")
    print(f"       {made} made, {seen} in the trace, {lost} reported lost", flush=True)


def readable(cell, path):
    """What others read agrees with the JSON export, by their own readers."""
    checker = where.ROOT / "tests" / "check_export.py"
    for form in ("report", "pstats", "csv", "collapsed", "speedscope"):
        done = subprocess.run([sys.executable, checker, where.program("vizview"), path, form],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=300)
        cell.equal(done.returncode, 0, form + ": " + done.stderr.decode(errors="replace")[-400:])


def run_case(cell, python, case):
    folder = where.fresh("count-" + case.name)
    notes = folder / "notes.json"
    arguments = (notes, case.threads, case.rounds)
    with target.Target(python.path, "count", folder, arguments) as subject:
        subject.settle()
        recording = record(cell, subject, folder, case)
        exported = trace.export(recording.path, "json", folder / "trace.json")
        wrong = subject.quit()
        cell.check(not wrong, wrong)
        noted = json.loads(notes.read_text())
        threads = timeline.read(exported, lambda name: name.startswith(("node_", "marker_")))
        if case.lossy:
            accounted(cell, noted, [one for thread in threads for one in thread],
                      recording.receipt())
        else:
            cell.equal(recording.receipt().get("lost"), 0, "receipt.lost")
            parts = [between_markers(thread) for thread in threads]
            exact(cell, noted, [part for part in parts if part is not None])
            # a trace does not depend on the interpreter but for the kind of hook
            if python.debian or python == pythons.supported()[-1]:
                readable(cell, recording.path)


def run(wanted_pythons=(), wanted=()):
    result = board.Board("conservation")
    for python in pythons.supported():
        if wanted_pythons and not any(part in python.name for part in wanted_pythons):
            continue
        for case in CASES:
            if not wanted or case.name in wanted:
                result.run(case.name, python.name, run_case, python, case)
                child.end_all()
    result.table()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    return board.finish([run(options.python, options.cases)])


if __name__ == "__main__":
    sys.exit(main())
