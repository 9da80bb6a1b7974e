"""
Every interpreter x every scenario.

usage: matrix.py [--python NAME-PART] [--case NAME] [--list]
Both options can be given more than once.  $VZ_KEEP keeps the files of the run.
"""
import argparse
import sys

from lib import board, cases, child, drive, load, pythons, target, where


def start_clients(case, subject):
    """Cases whose target is a server have clients all the time."""
    if case.drive == "loaded":
        expected = target.function("aserver", "aio_compute")
        subject.clients = load.Load(load.line_client(subject.get("AUX"), expected))
        subject.clients.wait_busy()


def run_case(cell, python, case):
    cases.check_possible(python, case)
    folder = where.fresh(case.name)
    with target.Target(python.path, case.target, folder, case.args) as subject:
        start_clients(case, subject)
        getattr(drive, case.drive)(drive.Attempt(cell, case, subject, folder))


def chosen(wanted_pythons, wanted_cases):
    for python in pythons.supported():
        if wanted_pythons and not any(part in python.name for part in wanted_pythons):
            continue
        for case in cases.CASES:
            if not wanted_cases or case.name in wanted_cases:
                yield python, case


def run(wanted_pythons=(), wanted_cases=()):
    result = board.Board("matrix")
    for python, case in chosen(wanted_pythons, wanted_cases):
        result.run(case.name, python.name, run_case, python, case)
        child.end_all()
    result.table()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("pythons:", *[python.name for python in pythons.supported()])
        print("cases:", *[case.name for case in cases.CASES])
        return 0
    return board.finish([run(options.python, options.case)])


if __name__ == "__main__":
    sys.exit(main())
