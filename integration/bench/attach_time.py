"""
From exec of vizattach to the moment when it records, and to its end.

usage: attach_time.py [--python NAME-PART] [--runs 20]
"""
import time

import common
from common import target, tool, where


def one(subject, folder):
    begin = time.monotonic()
    recording = tool.Recording(subject.pid, folder, "10m", extra=("--force",))
    if not recording.wait_begun():
        raise SystemExit(recording.messages())
    begun = time.monotonic()
    recording.child.signal(2)
    if recording.wait():
        raise SystemExit(recording.messages())
    return 1000 * (begun - begin), 1000 * (time.monotonic() - begun)


def main():
    options = common.options(__doc__, runs=20)
    print("ms from exec to recording; from Ctrl-C to the end (each read some ms late at most);",
          common.load_text())
    for python in common.interpreters(options.python):
        for name, arguments in (("busy", ()), ("idle", ("sleep",)), ("threads", ("crowd",))):
            folder = where.fresh("attach-time")
            with target.Target(python.path, name, folder, arguments) as subject:
                subject.settle()
                times = [one(subject, folder) for _ in range(options.runs)]
                print(f"{python.name:12} {name:8} {common.quantiles([t[0] for t in times])};  "
                      f"{common.quantiles([t[1] for t in times])}", flush=True)
                subject.quit()


main()
