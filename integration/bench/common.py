"""What the benchmarks share.  They print figures and ratios and never judge them."""
import argparse
import math
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import child, pythons, target, tool, trace, where  # noqa: E402,F401 (for the benchmarks)

BENCH = pathlib.Path(__file__).resolve().parent


def options(description, **more):
    """--python, and one number for each keyword: runs=20 becomes --runs 20."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", action="append", default=[])
    for name, default in more.items():
        parser.add_argument("--" + name, type=type(default), default=default,
                            help=f"default {default}")
    return parser.parse_args()


def interpreters(wanted):
    return [python for python in pythons.supported()
            if not wanted or any(part in python.name for part in wanted)]


def quantiles(values, form="%.0f"):
    """"p50 .. p95 .. p99 .. max .." """
    ordered = sorted(values)
    if not ordered:
        return "nothing measured"

    def rank(share):
        return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * share) - 1)]
    return ", ".join(f"{name} {form % value}" for name, value in (
        ("p50", statistics.median(ordered)), ("p95", rank(0.95)), ("p99", rank(0.99)),
        ("max", ordered[-1])))


def geometric_mean(values):
    good = [value for value in values if value > 0]
    return math.exp(sum(map(math.log, good)) / len(good)) if good else float("nan")


def load_text():
    return "load %.1f, %d CPUs" % (os.getloadavg()[0], os.cpu_count())


def build_empty(python, folder):
    """Compile empty.c for PYTHON into FOLDER; False (with a word) if its headers are not there."""
    ask = "import sysconfig; print(sysconfig.get_paths()['include']); " \
          "print(sysconfig.get_config_var('EXT_SUFFIX'))"
    include, suffix = subprocess.run([python.path, "-c", ask], stdout=subprocess.PIPE, check=True,
                                     text=True).stdout.split()
    if not os.path.exists(include + "/Python.h"):
        print(f"{python.name}: no headers in {include}: no comparison with an empty hook")
        return False
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-I", include, "-o",
                    str(folder / ("empty" + suffix)), str(BENCH / "empty.c")], check=True)
    return True


class Loop(target.Target):
    """bench/loop.py running one workload; the driver says in which mode."""

    def __init__(self, python, folder, workload):
        self.log = folder / "log.json"
        super().__init__(python.path, "../bench/loop", folder, (self.log, workload, folder))

    def block(self, mode, iterations):
        """Switch to MODE and wait until ITERATIONS were done in it."""
        self.put("AUX", mode)
        self.advances(iterations + 2, 300)
