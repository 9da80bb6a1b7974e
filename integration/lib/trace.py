"""Reading traces with vizview."""
import json
import subprocess

from . import child, where

BOUND = 120


def _run(arguments):
    result = subprocess.run([where.program("vizview")] + [str(one) for one in arguments],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            timeout=BOUND)
    if result.returncode:
        raise RuntimeError(f"vizview {arguments[0]}: exit {result.returncode}: "
                           + result.stderr.decode(errors="replace")[-500:])
    return result.stdout


def info(path):
    """vizview info --json"""
    return json.loads(_run(["info", path, "--json"]))


def report(path):
    """Function name (last part of the qualified name) -> list of rows of vizview report --json."""
    found = {}
    for row in json.loads(_run(["report", path, "--json", "--top", "1000000"]))["functions"]:
        found.setdefault(row["name"].rpartition(".")[2], []).append(row)
    return found


def export(path, form, output):
    _run(["export", path, "--format", form, "-o", output])
    return output


def check(cell, path, case):
    """The trace is readable, names what ran, and does not name what did not."""
    if not cell.check(path.exists(), f"no trace file {path.name}"):
        return
    try:
        info(path)
        names = report(path)
    except (RuntimeError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        cell.check(False, f"trace not readable: {error!r}")
        return
    cell.none([name for name in case.expect if name not in names], "not in the trace")
    cell.none([name for name in case.forbid if name in names], "must not be in the trace")


def wait_restored(cell, before, snapshot, compare, seconds=20):
    """Wait until nothing differs any more; what still does is a failure."""
    last = []

    def same():
        last[:] = compare(before, snapshot())
        return not last

    try:
        child.wait_until(same, "restored", seconds, 0.05)
    except child.Timeout:
        cell.none(last, "left behind")
