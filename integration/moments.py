"""
Awkward moments: targets that do, all the time, what an attach should not meet, and
that check their own results.  Each is attached to several times.

usage: moments.py [--python NAME-PART] [--case NAME] [--list]
Without --python each case runs on the interpreters where it differs.
"""
import argparse
import sys

from lib import board, child, moment, pythons, where
from lib.momentcases import MOMENTS


def run_moment(cell, python, one):
    moment.check_possible(python, one)
    getattr(moment, one.drive)(moment.Try(cell, python, one, where.fresh(one.name)))


def wanted_on(one, python, named):
    """Named on the command line, or one of the interpreters that the case is about."""
    if python.minor[1] not in one.minors:
        return False
    if named:
        return any(part in python.name for part in named)
    return python.debian or python.minor[1] != 11


def run(wanted_pythons=(), wanted=()):
    result = board.Board("moments")
    for one in MOMENTS:
        for python in pythons.supported():
            if (not wanted or one.name in wanted) and wanted_on(one, python, wanted_pythons):
                result.run(one.name, python.name, run_moment, python, one)
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
        print("cases:", *[one.name for one in MOMENTS])
        return 0
    return board.finish([run(options.python, options.case)])


if __name__ == "__main__":
    sys.exit(main())
