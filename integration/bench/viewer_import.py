"""
Imports of JSON in VizTracer's layout: events a second of processor time, and the most memory,
at several sizes: memory must not grow with the file.

usage: viewer_import.py [--events 1000000] [--sizes 3]

The JSON comes from a made-up trace (tests/gen_trace) by our own export, which writes as
VizTracer does: callees before callers, threads mixed.  Each size is four times the one before.
"""
import os
import subprocess

import common
from common import where


def run(args):
    """Seconds of processor time and greatest KiB of memory of a command."""
    process = subprocess.Popen(args, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{args[0]} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def main():
    options = common.options(__doc__, events=1000000, sizes=3)
    folder = where.fresh("viewer_import")
    vizview, gen = where.program("vizview"), where.program("tests/gen_trace")
    trace = str(folder / "made-up.viz")
    print("million events   MB of JSON   events/s of CPU   peak MiB   bytes/event")
    for i in range(options.sizes):
        events = options.events * 4 ** i
        json, out = str(folder / "made-up.json"), str(folder / "imported.viz")
        run([gen, trace, str(events), "4"])
        run([vizview, "export", trace, "--format", "json", "-o", json, "--force"])
        seconds, memory = run([vizview, "import", json, "-o", out, "--force"])
        print(f"{events / 1e6:14.1f} {os.path.getsize(json) / 1e6:12.0f} {events / seconds:17.0f} "
              f"{memory / 1024:10.1f} {os.path.getsize(out) / events:13.2f}", flush=True)
        for path in (trace, json, out):
            os.unlink(path)


main()
