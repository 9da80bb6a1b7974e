"""
Attach and detach over and over to one process that answers requests all the
time: nothing may pile up, nothing may be lost, every request is answered.

usage: cycles.py [--python NAME-PART] [--count 200]
"""
import argparse
import sys

from lib import board, child, load, procfs, pythons, target, tool, trace, where

COUNT = 200
# Every interpreter gets some cycles; the long run is for one of each hook.
SHORT = 25


def one_cycle(cell, subject, folder, number):
    run = tool.record(subject.pid, folder, "100ms", name="cycle", extra=("--force",))
    receipt = run.receipt()
    good = cell.equal(run.status, 0, f"cycle {number}: exit status ({run.messages().strip()[-300:]})")
    good = good and cell.equal(receipt.get("lost"), 0, f"cycle {number}: lost")
    good = good and cell.equal(receipt.get("restored"), True, f"cycle {number}: restored ({receipt.get('left')})")
    return good, run


def service_cycles(cell, python, count):
    folder = where.fresh("cycles")
    expected = target.function("wsgi_app", "app_compute")
    with target.Target(python.path, "service", folder) as subject:
        subject.clients = load.Load(load.http_client(subject.get("AUX"), lambda number:
                                                     b"%d" % expected(number)), threads=2)
        subject.clients.wait_busy()
        before = subject.settle()
        for number in range(count):
            good, run = one_cycle(cell, subject, folder, number)
            # one that did not work may repeat itself two hundred times: enough is enough
            cell.need(good or len(cell.failures) < 3, "too many failures")
            if number % 50 == 49:
                print(f"       {python.name}: {number + 1} cycles, "
                      f"{subject.clients.answered} answers", flush=True)
        cell.check("app_compute" in trace.report(run.path), "app_compute is not in the last trace")
        cell.check(subject.advances(), "target not healthy")
        trace.wait_restored(cell, before, lambda: procfs.Snapshot(subject.pid), procfs.differences)
        wrong = subject.quit()
        cell.check(not wrong, wrong)


def long_ones():
    """The newest interpreter with each kind of hook, and the system's."""
    found = [python.name for python in pythons.supported() if python.debian]
    for minors in (range(8, 12), range(12, 14)):
        names = [python.name for python in pythons.supported()
                 if python.minor[1] in minors and not python.debian]
        found += names[-1:]
    return found


def run(wanted=(), count=COUNT):
    result = board.Board("cycles")
    for python in pythons.supported():
        if not wanted or any(part in python.name for part in wanted):
            times = count if wanted or python.name in long_ones() else min(SHORT, count)
            result.run(f"{times} cycles", python.name, service_cycles, python, times)
            child.end_all()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--count", type=int, default=COUNT)
    options = parser.parse_args()
    return board.finish([run(options.python, options.count)])


if __name__ == "__main__":
    sys.exit(main())
