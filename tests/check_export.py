#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Read an export back with what the format is for, and compare it with the JSON export and the report.

usage: check_export.py VIZVIEW TRACE FORMAT [LIMIT]

Speedscope's spans go to standard output, one a line: track + 1, begin, end, name.
"""
import collections
import csv
import io
import json
import os
import pstats
import subprocess
import sys
import tempfile

Span = collections.namedtuple("Span", "begin end name called")


def vizview(*args):
    pipe = subprocess.PIPE
    done = subprocess.run([sys.argv[1], *args], stdout=pipe, stderr=pipe, check=True)
    return done.stdout


def exported(form):
    limit = sys.argv[4] if len(sys.argv) > 4 else "0"
    args = ("export", sys.argv[2], "--format", form, "--limit", limit, "-o", "-")
    data = vizview(*args)
    assert data == vizview(*args), "two exports differ"
    return data


def plain(text):
    """As the table-like formats write it: no controls, one mark for each byte that is no UTF-8."""
    out = []
    for c in text:
        if ord(c) < 32 or c in "\x7f\ufffd":
            out.append("?")
        else:
            out.append("??" if 0x80 <= ord(c) < 0xA0 else c)
    return "".join(out)


class Function:
    def __init__(self):
        self.calls = self.primitive = self.self_ns = self.total_ns = self.active = 0
        self.callers = {}

    def count(self, span, self_ns):
        self.calls += span.called
        self.self_ns += self_ns
        self.active -= 1
        if self.active == 0:
            self.primitive += span.called
            self.total_ns += span.end - span.begin

    def numbers(self):
        return self.calls, self.primitive, self.self_ns, self.total_ns


class Expected:
    """What the spans of the JSON export come to, by the rules of cProfile."""

    def __init__(self):
        self.functions = {}
        self.stacks = collections.Counter()
        self.deepest = 0
        titles, tracks = {}, collections.defaultdict(list)
        for e in json.loads(exported("json"))["traceEvents"]:
            if e["ph"] == "M" and e["name"] == "thread_name":
                titles[e["tid"]] = plain(e["args"]["name"])
            if e["ph"] == "X":
                begin = round(e["ts"] * 1000)
                note = e.get("args", {}).get("note", "")
                called = "began before" not in note
                end = begin + round(e["dur"] * 1000)
                tracks[e["tid"]].append(Span(begin, end, plain(e["name"]), called))
        for tid, spans in tracks.items():
            self.run(titles[tid], sorted(reversed(spans), key=lambda s: (s.begin, -s.end)))

    def run(self, title, spans):
        stack = []  # span, ns in children, functions
        for span in spans:
            # What begins where others end is in them only if it is without length: all are open.
            while stack and stack[-1][0].end < span.begin + (span.end > span.begin):
                self.leave(title, stack)
            function = self.functions.setdefault(span.name, Function())
            touched = [function]
            if stack:
                touched.append(function.callers.setdefault(stack[-1][0].name, Function()))
            for t in touched:
                t.active += 1
            stack.append([span, 0, touched])
            self.deepest = max(self.deepest, len(stack))
        while stack:
            self.leave(title, stack)

    def leave(self, title, stack):
        names = [title] + [s[0].name for s in stack] if len(stack) < 300 else None
        span, children, touched = stack.pop()
        ns = span.end - span.begin
        assert 0 <= children <= ns
        if names and ns > children:
            self.stacks[";".join(n.replace(";", ",") for n in names)] += ns - children
        for t in touched:
            t.count(span, ns - children)
        if stack:
            stack[-1][1] += ns


def label(file, line, name):
    if file == "~" and line == 0:
        assert name.startswith("<built-in method ") and name.endswith(">"), name
        return name[len("<built-in method "):-1]
    return "%s (%s:%d)" % (name, file, line) if file else name


def check_pstats():
    with tempfile.NamedTemporaryFile() as f:
        f.write(exported("pstats"))
        f.flush()
        stats = pstats.Stats(f.name, stream=io.StringIO())
    stats.sort_stats("cumulative").print_stats(5).print_callers(5).print_callees(5)
    want = Expected().functions
    if not want:
        assert list(stats.stats.values()) == [(0, 0, 0.0, 0.0, {})]
        return
    got = {label(*key): value for key, value in stats.stats.items()}
    assert len(got) == len(stats.stats), "keys that read the same"
    assert set(got) == set(want), set(got) ^ set(want)
    for name, (cc, nc, tt, ct, callers) in got.items():
        assert (nc, cc, round(tt * 1e9), round(ct * 1e9)) == want[name].numbers(), name
        called = {
            label(*key): (nc, cc, round(tt * 1e9), round(ct * 1e9))
            for key, (nc, cc, tt, ct) in callers.items()
        }
        expected = {k: v.numbers() for k, v in want[name].callers.items()}
        assert called == expected, (name, set(called.items()) ^ set(expected.items()))


def reported():
    """By name: calls and resumes, self and total of the report; total is None where several share a name."""
    ret = {}
    for f in json.loads(vizview("report", sys.argv[2], "--json", "--top", "0"))["functions"]:
        if "module" in f:
            name = f["module"] + "." + f["name"] if f["module"] else f["name"]
        else:
            name = label(f["file"], f["line"], f["name"])
        before = ret.get(plain(name))
        calls, self_ns, total_ns = f["calls"] + f["resumes"], f["self_ns"], f["total_ns"]
        if before:
            calls, self_ns, total_ns = calls + before[0], self_ns + before[1], None
        ret[plain(name)] = (calls, self_ns, total_ns)
    return ret


def check_report():
    """The report tells what the others are compared with."""
    want = Expected().functions
    got = reported()
    assert set(got) == set(want), set(got) ^ set(want)
    for name, (calls, self_ns, total_ns) in got.items():
        f = want[name]
        assert (calls, self_ns) == (f.calls, f.self_ns), name
        assert total_ns in (None, f.total_ns), name


def check_csv():
    text = exported("csv").decode()
    assert text.endswith("\r\n")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    got = collections.Counter()
    calls = collections.Counter()
    for row in rows:
        assert None not in row and None not in row.values(), row
        file, name = (row[k][row[k].startswith("'"):] for k in ("file", "name"))
        if row["kind"] == "c":
            key = file + "." + name if file else name
        else:
            key = label(file, int(row["line"]), name)
        got[key] += int(row["self_ns"])
        calls[key] += int(row["calls"]) + int(row["resumes"])
        if row["min_ns"]:
            assert int(row["min_ns"]) <= int(row["max_ns"]) <= int(row["total_ns"]), row
        stays = int(row["calls"]) + int(row["resumes"]) + int(row["open"])
        assert int(row["mean_ns"]) == int(row["total_ns"]) // stays
    want = Expected().functions
    assert set(got) == set(want), set(got) ^ set(want)
    for name, f in want.items():
        assert (calls[name], got[name]) == (f.calls, f.self_ns), name
    assert rows == sorted(rows, key=lambda r: -int(r["self_ns"]))


def check_collapsed():
    got = collections.Counter()
    selfs = collections.Counter()
    for line in exported("collapsed").decode().split("\n")[:-1]:
        stack, ns = line.rsplit(" ", 1)
        frames = stack.split(";")
        assert ns.isdigit() and int(ns) > 0 and len(frames) > 1 and all(frames), line
        assert stack not in got, "a stack is there twice"
        got[stack] = int(ns)
        selfs[frames[-1]] += int(ns)
    want = Expected()
    assert sum(got.values()) == sum(f.self_ns for f in want.functions.values())
    for stack, ns in want.stacks.items():
        assert got[stack] == ns, stack
    if want.deepest > 2048:
        assert selfs.pop("[deeper]") > 0
        return
    sums = collections.Counter()
    for name, f in want.functions.items():
        sums[name.replace(";", ",")] += f.self_ns
    assert +selfs == +sums


def check_speedscope():
    file = json.loads(exported("speedscope"))
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames, profiles = file["shared"]["frames"], file["profiles"]
    assert profiles
    for f in frames:
        assert isinstance(f["name"], str) and set(f) <= {"name", "file", "line"}
    for track, p in enumerate(profiles, 1):
        assert p["type"] == "evented" and p["unit"] == "nanoseconds" and isinstance(p["name"], str)
        stack, last = [], p["startValue"]
        for e in p["events"]:
            assert last <= e["at"] <= p["endValue"], e
            last = e["at"]
            if e["type"] == "O":
                stack.append((e["frame"], last))
                continue
            frame, begin = stack.pop()
            assert e["type"] == "C" and frame == e["frame"], e
            f = frames[frame]
            name = label(f.get("file", ""), f.get("line", 0), f["name"])
            print(track, begin, last, name, sep="\t")
        assert not stack, "frames without an end"


def main():
    os.environ["PYTHONHASHSEED"] = "0"
    sys.stdout.reconfigure(encoding="utf-8")
    globals()["check_" + sys.argv[3]]()


main()
