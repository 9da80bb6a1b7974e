"""
The index of a trace: CPU time a call to make it, as a ratio of what decoding alone costs (vizview report,
which walks through the same events); memory; bytes a call of trace and index.  Best of --runs.

usage: viewer_index.py [--calls 1000000,10000000] [--threads 4] [--runs 3] [--trace FILE.viz]
"""
import json
import os
import subprocess

import common
from common import where

GEN, VIZVIEW = where.program("tests/gen_trace"), where.program("vizview")


def cost(runs, *command):
    """(least CPU seconds, greatest resident bytes) of COMMAND."""
    seconds, resident = float("inf"), 0
    for _ in range(runs):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(f"{command}: status {status}")
        seconds = min(seconds, used.ru_utime + used.ru_stime)
        resident = max(resident, used.ru_maxrss * 1024)
    return seconds, resident


def calls_in(path):
    text = subprocess.run([VIZVIEW, "info", path, "--json"], stdout=subprocess.PIPE, check=True).stdout
    info = json.loads(text)
    return info["calls"] + info["resumes"]


def one(label, path, runs):
    index = path.with_suffix(".vizi")
    calls = calls_in(path)
    walk, _ = cost(runs, VIZVIEW, "report", path)
    build, resident = cost(runs, VIZVIEW, "index", path, "-o", index, "--force")
    trace_bytes, index_bytes = path.stat().st_size / calls, index.stat().st_size / calls
    print(f"{label:24} {walk * 1e9 / calls:6.1f} {build * 1e9 / calls:6.1f} {build / walk:6.2f} "
          f"{calls / build / 1e6:6.1f} {resident / 1e6:7.0f} {trace_bytes:6.2f} {index_bytes:6.2f} "
          f"{trace_bytes + index_bytes:6.2f}", flush=True)
    index.unlink()


def main():
    options = common.options(__doc__, calls="1000000,10000000", threads=4, runs=3, trace="")
    folder = where.fresh("viewer_index")
    print("ns a call: walk, index, ratio; million calls a second and core; MB at most; "
          "bytes a call: trace, index, both;", common.load_text())
    for calls in options.calls.split(","):
        path = folder / "made-up.viz"
        subprocess.run([GEN, path, calls, str(options.threads)], stdout=subprocess.DEVNULL, check=True)
        one(f"{int(calls):,}", path, options.runs)
        path.unlink()
    if options.trace:
        link = folder / "real.viz"
        link.symlink_to(os.path.abspath(options.trace))
        one(os.path.basename(options.trace), link, options.runs)


main()
