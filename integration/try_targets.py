"""Run every target without a tracer: what fails here is the target's fault.  usage: try_targets.py [NAME...]"""
import sys

import matrix
from lib import board, cases, procfs, pythons, target, where


def alone(cell, python, case):
    cases.check_possible(python, case)
    with target.Target(python.path, case.target, where.fresh(case.name), case.args) as subject:
        matrix.start_clients(case, subject)
        before = subject.settle()
        subject.begin()
        if case.drive in ("workload", "replaced"):
            subject.wait_done()
        if case.drive != "ends":
            cell.check(subject.advances(10), "no progress: " + subject.child.stderr()[-500:])
        if case.drive not in ("ends", "replaced"):
            after = procfs.Snapshot(subject.pid)
            cell.none(procfs.differences(before, after, case.strict, case.threads), "changed")
        wrong = subject.quit()
        cell.check(not wrong, wrong)


def main():
    found = board.Board("alone")
    for python in pythons.supported():
        for case in cases.CASES:
            if len(sys.argv) < 2 or case.name in sys.argv[1:]:
                found.run(case.name, python.name, alone, python, case)
    found.table()
    return board.finish([found])


if __name__ == "__main__":
    sys.exit(main())
