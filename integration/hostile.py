#!/usr/bin/env python3
"""
A target that writes what it likes into the memory that it shares with vizattach,
takes that memory away, fills the dictionary, and calls itself things.  vizattach
must end in time with a code that is documented, within its memory, with nothing on
the terminal that moves the cursor, and with a trace that can be read, or none.

With the sanitizers where there is such a build: $VZ_ASAN_DIR, or build/asan.

usage: hostile.py [--python NAME-PART] [--kind KIND]
"""
import argparse
import os
import pathlib
import signal
import subprocess
import sys
import time

from lib import board, child, pythons, target, where

KINDS = ("noise", "control", "slots", "links", "events", "dictionary", "everything", "unmap", "steal",
         "functions", "names", "deep")
DOCUMENTED = (0, 1, 3, 6, 7, 8)
# The shared memory (64 MiB) and 448 MiB: attach/drain.h says of what.  The sanitizers' own
# memory comes on top.
MEMORY_MIB = 512
SANITIZERS_MIB = 384
SANITIZER_EXIT = 99
PATIENCE = 120


def programs():
    """(vizattach, vizview, have they sanitizers)"""
    folder = pathlib.Path(os.environ.get("VZ_ASAN_DIR") or where.ROOT / "build" / "asan")
    paths = [folder / name for name in ("vizattach", "vizview")]
    if all(path.is_file() for path in paths):
        return str(paths[0]), str(paths[1]), True
    return where.program("vizattach"), where.program("vizview"), False


def environment():
    common = f"detect_leaks=0:quarantine_size_mb=16:exitcode={SANITIZER_EXIT}"
    return {"ASAN_OPTIONS": common, "UBSAN_OPTIONS": f"print_stacktrace=1:exitcode={SANITIZER_EXIT}"}


def peak_kib(pid):
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def watch(tool, subject, until_done):
    """Wait for the end of TOOL; returns the most memory that it ever had, in KiB."""
    most, end = 0, time.monotonic() + PATIENCE
    while tool.alive():
        most = max(most, peak_kib(tool.pid))
        if until_done and (subject.get("DONE") or not subject.child.alive()):
            tool.signal(signal.SIGINT)
            until_done = False
        if time.monotonic() > end:
            raise child.Timeout(f"vizattach did not end within {PATIENCE} s")
        time.sleep(0.01)
    return most


def raw_bytes(output):
    """What would do something to a terminal: control characters, and what is no UTF-8."""
    text = output.decode("utf-8", "surrogateescape")
    return sorted({hex(ord(one)) for one in text if (one < " " and one != "\n") or "\x7f" <= one < "\xa0"
                   or "\ud800" <= one < "\ue000"})


def check_trace(cell, view, path):
    for arguments in (["info", path], ["info", path, "--json"], ["report", path]):
        result = subprocess.run([view] + [str(one) for one in arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE,
                                env=dict(os.environ, **environment()))
        cell.equal(result.returncode, 0, f"vizview {arguments[0]} ({result.stderr[-600:]!r})")
        cell.none(raw_bytes(result.stdout), f"raw bytes in vizview {arguments[0]}")


def hostile(cell, python, kind):
    attach, view, sanitized = programs()
    folder, out = where.fresh("hostile"), where.fresh("hostile-out")
    until_done = kind == "functions"
    with target.Target(python.path, "scribble", folder, args=(kind,)) as subject:
        argv = [attach, "--pid", subject.pid] + ([] if until_done else ["--duration", "800ms"])
        with child.Child(argv, folder, name="vizattach", env=environment(), cwd=out) as tool:
            most = watch(tool, subject, until_done)
            status = tool.wait(5)
            said = tool.err_path.read_bytes()
        complaint = subject.child.stderr()
    cell.check("Traceback" not in complaint, f"the target itself is wrong: {complaint[-600:]}")
    cell.check(status in DOCUMENTED, f"exit status {status}: {said[-3000:]!r}")
    cell.check(b"Sanitizer" not in said and b"runtime error" not in said, repr(said[-3000:]))
    cell.none(raw_bytes(said), f"raw bytes on the terminal: {said[-400:]!r}")
    cell.check(status == 0 or b"vizattach: " in said, "no message")
    limit = MEMORY_MIB + SANITIZERS_MIB * sanitized
    cell.check(most < limit << 10, f"{most >> 10} MiB of memory, more than {limit}")
    found = sorted(out.iterdir())
    cell.none([path.name for path in found if not path.name.startswith("vizattach-")
               or not path.name.endswith((".viz", ".viz.part"))], "files that are no trace")
    for path in found:
        check_trace(cell, view, path)
    print(f"       {kind}, {python.name}: exit {status}, {most >> 10} MiB, "
          f"{sum(path.stat().st_size for path in found) >> 10} KiB of trace", flush=True)


def chosen():
    """The system's interpreter, and one with the other hook."""
    found = [python for python in pythons.supported() if python.debian][:1]
    found += [python for python in pythons.supported() if python.minor[1] >= 12][-1:]
    return found or pythons.supported()[:1]


def run(wanted=(), kinds=KINDS):
    result = board.Board("hostile")
    for python in pythons.supported() if wanted else chosen():
        if not wanted or any(part in python.name for part in wanted):
            for kind in kinds:
                result.run(kind, python.name, hostile, python, kind)
                child.end_all()
    result.table()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--kind", action="append", default=[], choices=KINDS)
    options = parser.parse_args()
    return board.finish([run(options.python, options.kind or KINDS)])


if __name__ == "__main__":
    sys.exit(main())
