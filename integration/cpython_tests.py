"""
CPython's own tests, alone and while vizattach attaches, records 200 ms and
leaves, over and over: no result of any test may differ.

usage: cpython_tests.py [--python NAME-PART] [--all] [--keep-going] [MODULE...]
  --all    every module of the suite (hours); default: a few that take a minute
Debian has the suite in libpython3.11-testsuite; it need not be installed: $VZ_TESTSUITE may name
a folder that holds it as "test".  Each module runs in a process of its own, twice.  What differs
runs again both ways: a test that differs from itself without us proves nothing and is counted apart.
"""
import argparse
import collections
import os
import pathlib
import subprocess
import sys
import time
import xml.etree.ElementTree

from lib import board, child, figures, procfs, pythons, tool, where

SOME = ["test_grammar", "test_generators", "test_coroutines", "test_exceptions", "test_gc"]
# They run nothing of CPython, need a screen, or look at the whole machine.
NOT = ["test_idle", "test_tk", "test_ttk_guionly", "test_ttk_textonly", "test_tcl", "test_gdb",
       "test_tools", "test_distutils", "test_lib2to3", "test_peg_generator", "test_ensurepip", "test_venv"]
ALONE_SECONDS = 300      # a module that takes longer without us is left out
ATTACHED_SECONDS = 1200
RECORD = "200ms"


def environment(python):
    """Others bring their own suite."""
    if not python.debian:
        return {}
    folder = os.environ.get("VZ_TESTSUITE") or str(where.ROOT / "build" / "testsuite")
    return {"PYTHONPATH": folder} if pathlib.Path(folder, "test", "test_grammar.py").exists() else {}


def modules(python, env):
    """Every module of the suite; [] if it is not here."""
    ask = ("import test.test_grammar\nfrom test.libregrtest import runtest\n"
           "print(*runtest.findtests())")
    newer = ("import test.test_grammar\nfrom test.libregrtest import findtests\n"
             "print(*findtests.findtests())")
    for code in (ask, newer):
        result = subprocess.run([python.path, "-c", code], env=dict(os.environ, **env), timeout=120,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if result.returncode == 0:
            return [name for name in result.stdout.split() if name not in NOT]
    return []


def outcomes(path):
    """Name of the test -> passed, failure, error, skipped ...; {} without a readable file."""
    found = {}
    try:
        cases = xml.etree.ElementTree.parse(path).iter("testcase")
        for case in cases:
            parts = [part.tag for part in case if not part.tag.startswith("system-")]
            found[case.get("name") or "?"] = parts[0] if parts else case.get("result", "completed")
    except (OSError, xml.etree.ElementTree.ParseError):
        pass
    return found


class Suite:
    def __init__(self, cell, python):
        self.cell, self.python, self.env = cell, python, environment(python)
        self.attaches = collections.Counter()
        self.tests = self.unstable = 0
        self.differing, self.left_out = [], []

    def module(self, name, attached):
        """Run one; returns its exit status and outcomes."""
        folder = where.fresh(name.replace(".", "-") + ("-attached" if attached else ""))
        path = folder / "results.xml"
        with child.Child([self.python.path, "-m", "test", "--junit-xml", path, name], folder, name="suite",
                         env=dict(self.env, TMPDIR=str(folder), HOME=str(folder)), cwd=str(folder)) as suite:
            if attached:
                self.attach(suite, folder)
            status = suite.wait(ATTACHED_SECONDS if attached else ALONE_SECONDS)
        found = outcomes(path)
        found["(the whole module)"] = f"exit {status}"
        return found

    def attach(self, suite, folder):
        """Until it ends."""
        # setpriv comes first, then the interpreter has to begin
        child.wait_until(lambda: not suite.alive() or "python" in procfs.status(suite.pid).get("Name", ""),
                         "python")
        end = time.monotonic() + ATTACHED_SECONDS
        while suite.alive() and time.monotonic() < end:
            run = tool.record(suite.pid, folder, RECORD, extra=("--force",))
            self.attaches[run.status] += 1
            # an interpreter that is ending cannot be put back any more, and need not
            if run.status == 1 and not self.ends(suite):
                self.cell.check(False, f"{folder.name}: {run.messages().strip()[:500]}")

    @staticmethod
    def ends(suite):
        try:
            return child.wait_until(lambda: not suite.alive(), "the end", 5)
        except child.Timeout:
            return False

    def compare(self, name):
        try:
            alone = self.module(name, False)
        except child.Timeout as late:
            self.left_out.append(name)
            print(f"       left out, without us: {late}", flush=True)
            return
        attached = self.module(name, True)
        self.tests += len(alone) - 1
        suspects = [test for test in sorted(set(alone) | set(attached))
                    if alone.get(test) != attached.get(test)]
        if not suspects:
            return
        again, attached_again = self.module(name, False), self.module(name, True)
        for test in suspects:
            text = f"{test}: {alone.get(test)}; attached: {attached.get(test)}, again {attached_again.get(test)}"
            if again.get(test) != alone.get(test):
                self.unstable += 1
                print(f"       not stable without us: {text}", flush=True)
            elif attached_again.get(test) == alone.get(test):
                self.unstable += 1
                print(f"       differed once: {text}", flush=True)
            else:
                self.differing.append(test)
                self.cell.check(False, text)

    def run(self, names):
        try:
            for number, name in enumerate(names, 1):
                try:
                    self.compare(name)
                except child.Timeout as late:
                    self.cell.check(False, f"{name}: {late}")
                child.end_all()
                if number % 10 == 0:
                    print(f"       {self.python.name}: {number} of {len(names)} modules, {self.tests} tests, "
                          f"{len(self.differing)} differ", flush=True)
        finally:
            recorded = self.attaches[0] + self.attaches[8]
            figures.note("CPython's own tests, attached over and over", self.python.name, self.tests,
                         len(self.differing), f"{len(names)} modules, {recorded} recordings of "
                         f"{sum(self.attaches.values())} tries, {self.unstable} tests not stable"
                         + "".join(f", {name} does not end by itself" for name in self.left_out))


def suite(cell, python, names, everything):
    one = Suite(cell, python)
    there = modules(python, one.env)
    if not there:
        raise board.Skip("its test suite is not here (libpython3.11-testsuite)")
    one.run(names or (there if everything else [name for name in SOME if name in there]))


def default_python():
    """The system's if it has the suite, else the newest that does, else the system's."""
    found = pythons.supported()
    order = [python for python in found if python.debian] + found[::-1]
    return next((python for python in order if modules(python, environment(python))), order[0])


def run(wanted=(), names=(), everything=False):
    result = board.Board("cpython")
    default = default_python()
    for python in pythons.supported():
        if any(part in python.name for part in wanted) if wanted else python == default:
            result.run("same results", python.name, suite, python, list(names), everything)
            child.end_all()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--all", action="store_true")
    parser.add_argument("modules", nargs="*")
    options = parser.parse_args()
    return board.finish([run(options.python, options.modules, options.all)])


if __name__ == "__main__":
    sys.exit(board.interruptible(main))
