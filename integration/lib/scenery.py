"""The traces that the browser tests open: recorded from real programs, made up, imported, damaged."""
import json
import pathlib
import signal
import struct
import subprocess
import zlib

from . import pythons, target, tool, trace, where

CALLS = {"small": 100_000, "large": 1_000_000}


def generated(folder, name):
    """A made-up trace of CALLS[name] calls, the same each time."""
    path = folder / (name + ".viz")
    maker = pathlib.Path(where.program("vizview")).parent / "tests" / "gen_trace"
    subprocess.run([maker, path, str(CALLS[name])], check=True, stdout=subprocess.DEVNULL, timeout=120)
    return path


def _recorded(folder, name, program, arguments, options=(), stopped=False):
    """A real recording of one of the targets, from before its workload to after it."""
    place = folder / name
    place.mkdir()
    with target.Target(pythons.debian_python(), program, place, arguments) as subject:
        subject.settle()
        recording = tool.Recording(subject.pid, place, "10m", extra=options, output=folder / (name + ".viz"))
        if not recording.wait_begun():
            raise RuntimeError("it did not record: " + recording.messages())
        if stopped:
            recording.child.signal(signal.SIGSTOP)  # nobody drains: events are certainly lost
        subject.begin()
        subject.wait_done(120)
        recording.child.signal(signal.SIGCONT)
        recording.child.signal(signal.SIGINT)
        if recording.wait(120):
            raise RuntimeError("vizattach: " + recording.messages()[-400:])
        wrong = subject.quit()
        if wrong:
            raise RuntimeError(wrong)
    return recording.path


def scenes(folder):
    """targets/scenes.py; what it called is in scenes.notes beside it."""
    return _recorded(folder, "scenes", "scenes", (folder / "scenes.notes",))


def lossy(folder):
    """A recording whose buffer was too small."""
    return _recorded(folder, "lossy", "count", (folder / "lossy.notes", 4, 3000), ("--ring-size", "1MiB"),
                     stopped=True)


def damaged(folder, whole):
    """Copies of the trace WHOLE with something wrong; name -> path."""
    data = whole.read_bytes()
    header = bytearray(data[:64])  # struct vz_file_header
    struct.pack_into("<H", header, 8, 99)
    struct.pack_into("<I", header, 60, zlib.crc32(header[:60]))
    middle = len(data) // 2
    made = {
        "cut": data[:len(data) * 6 // 10],
        "scribbled": data[:middle] + bytes(255 - byte for byte in data[middle:middle + 3000]) +
        data[middle + 3000:],
        "newer": bytes(header) + data[64:],
        "text": b"This is a letter, not a trace.\n" * 40,
        "empty": b"",
    }
    paths = {}
    for name, content in made.items():
        paths[name] = folder / (name + ".viz")
        paths[name].write_bytes(content)
    return paths


# ---- a trace by hand: two processes, all that Chrome's format has that vizattach does not record ----

class Dice:
    """The same numbers everywhere and forever."""

    def __init__(self, seed):
        self.state = seed

    def roll(self, sides):
        self.state = (self.state * 1103515245 + 12345) % (1 << 31)
        return (self.state >> 8) % sides


def _calls(dice, where_, at, end, depth, events):
    """Calls in [at, end) us, nested; times are whole microseconds."""
    names = ["parse (/srv/http/server.py:%d)" % (10 + depth), "query (/srv/shop/db.py:%d)" % (40 + depth),
             "render (/srv/pages/views.py:%d)" % (70 + depth),
             "encode (/usr/lib/python3.11/json/encoder.py:%d)" % (100 + depth)]
    while end - at > 20:
        duration = min(20 + dice.roll(1 + (end - at) * 2 // 3), end - at)
        events.append(dict(where_, ph="X", cat="FEE", ts=at, dur=duration, name=names[dice.roll(4)]))
        if depth < 6 and duration > 60:
            _calls(dice, where_, at + 5, at + duration - 5, depth + 1, events)
        at += duration + 5 + dice.roll(30)


def by_hand():
    """Events as VizTracer and others write them."""
    dice = Dice(42)
    events = []
    for pid, process in ((100, "server"), (200, "worker")):
        events.append(dict(ph="M", name="process_name", pid=pid, tid=pid, args={"name": process}))
        for tid, thread in ((pid, "MainThread"), (pid + 1, "pool-1"), (pid + 2, "pool-2")):
            here = dict(pid=pid, tid=tid)
            events.append(dict(here, ph="M", name="thread_name", args={"name": thread}))
            _calls(dice, here, 1000 + 500 * (tid - pid), 100000, 0, events)
        for number in range(100):
            events.append(dict(pid=pid, tid=pid, ph="C", ts=1000 + number * 990, name="queue",
                               args={"length": dice.roll(40)}))
    for number in range(12):
        events.append(dict(pid=100, tid=100, ph="i", s="t", ts=3000 + number * 8000, name="cache cleared"))
    for number in range(8):
        task = dict(pid=200, tid=200, cat="task", id=str(number), name="download %d" % number)
        events.append(dict(task, ph="b", ts=2000 + number * 11000))
        events.append(dict(task, ph="e", ts=2000 + number * 11000 + 9000 + dice.roll(9000)))
    events.append(dict(pid=100, tid=100, ph="X", cat="FEE", ts=101000, dur=2000, name="pay (/srv/shop/pay.py:7)",
                       args={"func_args": {"amount": "250", "to": "<b>Ann & Bob</b>"},
                             "return_value": "'ok'"}))
    # what a page must show as text
    for number, name in enumerate(("<img src=x onerror=\"window.bitten=1\">", "</script><script>bitten=1",
                                   "\u202eright-to-left", "naïve_函数_🐍", "x" * 3000)):
        events.append(dict(pid=200, tid=202, ph="X", cat="FEE", ts=101000 + number * 1000, dur=900,
                           name=name))
    return events


def imported(folder):
    """The trace by hand as Chrome JSON, and what `vizview import` makes of it: (json, viz or None)."""
    text = folder / "hand.json"
    text.write_text(json.dumps({"traceEvents": by_hand(), "viztracer_metadata": {"version": "1.0.0"}}))
    path = folder / "hand.viz"
    done = subprocess.run([where.program("vizview"), "import", text, "-o", path], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return text, (path if done.returncode == 0 else None)


def html(path, output):
    """The HTML export of PATH."""
    trace.export(path, "html", output)
    return output
