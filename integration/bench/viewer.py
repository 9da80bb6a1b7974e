"""
The viewer's figures: opening, memory, moving about, questions, the HTML file.

usage: viewer.py [--calls N]... [--real SECONDS] [--trace FILE]... [--no-html] [--runs N]
--calls   sizes of the made-up traces (default: 1e6 and 1e7; 1e8 needs 2 GB of disk and minutes)
--real    a threaded HTTP service of the standard library under load, recorded that long (default: 20; 0: none)
--trace   any other recording
An event is a call.  Each figure stands beside the one it should reach; those of time are of the next larger made-up trace.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import load, pythons, target, tool, trace, where  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
# seconds from asking for the page until all of the first view is drawn
OPEN = {1_000_000: 0.3, 10_000_000: 0.4, 100_000_000: 0.6}
HTML_OPEN = {1_000_000: 0.7, 10_000_000: 2.0, 100_000_000: 20.0}
HTML_MEMORY = 2000  # MB, at 1e8; a file holds all of its trace
APP_BYTES = 150 * 1024


def goal(limits, calls):
    """That of the next larger size."""
    return next((limits[size] for size in sorted(limits) if calls <= size), None)


class Table:
    def __init__(self, title):
        print(f"\n{title}")

    @staticmethod
    def row(what, value, form, limit=None):
        text = form % value
        goal = "" if limit is None else "   goal " + form % limit + ("" if value <= limit else "   NOT REACHED")
        print(f"  {what:50} {text:>12}{goal}", flush=True)


def generate(folder, calls):
    path = folder / f"{calls}.viz"
    maker = pathlib.Path(where.program("vizview")).parent / "tests" / "gen_trace"
    subprocess.run([maker, path, str(calls)], check=True, stdout=subprocess.DEVNULL)
    return path


def record(folder, seconds):
    """A recording of something real."""
    expected = target.function("wsgi_app", "app_compute")
    with target.Target(pythons.debian_python(), "service", folder) as subject:
        subject.clients = load.Load(load.http_client(subject.get("AUX"), lambda number: b"%d" % expected(number)),
                                    threads=4, pause=0)
        subject.clients.wait_busy()
        recording = tool.record(subject.pid, folder, f"{seconds}s")
        wrong = subject.quit()
    if recording.status or wrong:
        raise SystemExit(wrong or recording.messages())
    return recording.path


def index(table, path, calls):
    before, begin = os.times(), time.monotonic()
    subprocess.run([where.program("vizview"), "index", path], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    table.row("index: CPU ns an event", cpu * 1e9 / calls, "%.0f", 100)
    table.row("index: seconds on the clock", time.monotonic() - begin, "%.2f")
    sizes = sum(one.stat().st_size for one in path.parent.glob(path.name + "*") if one != path)
    table.row("trace: bytes an event", path.stat().st_size / calls, "%.2f", 4)
    table.row("trace and index: bytes an event", (path.stat().st_size + sizes) / calls, "%.2f", 11)


def page(mode, target, runs):
    """What browser/bench.mjs measured."""
    done = subprocess.run(["node", HERE.parent / "browser" / "bench.mjs", mode, where.program("vizview"), target,
                           str(runs)], stdout=subprocess.PIPE, check=True, timeout=900)
    return json.loads(done.stdout)


def served(table, path, calls, runs):
    got = page("serve", path, runs)
    table.row("open: all of the first view drawn, s", statistics.median(got["open"]), "%.2f", goal(OPEN, calls))
    table.row("server: private memory, MB", got["server"] / 1e6, "%.1f", 10)
    table.row("renderer: peak memory of opening, MB", got["opened"] / 1e6, "%.0f", 260)
    table.row("renderer: peak memory with zoom and pan, MB", got["renderer"] / 1e6, "%.0f", 260)
    table.row("renderer: and with the questions below, MB", got["rendererAsked"] / 1e6, "%.0f", 260)
    moving(table, got)
    table.row("range of a tenth: sums of functions, ms", statistics.median(got["table"]), "%.0f", 100)
    table.row("range of a tenth: and of call paths, ms", statistics.median(got["range"]), "%.0f", 100)
    table.row("the first of these, which reads the paths, ms", got["range"][0], "%.0f")
    table.row("whole trace: sums, ms", statistics.median(got["whole"]), "%.0f", 100)
    table.row("next call of a rare function, ms", statistics.median(got["rare"]), "%.0f", 100)
    table.row("next call of a common function, ms", statistics.median(got["common"]), "%.0f", 100)
    table.row("find as you type, ms", statistics.median(got["find"]), "%.0f", 50)


def moving(table, got):
    for name in ("zoom", "pan"):
        table.row(f"{name}: frame p50, ms", got[name]["p50"], "%.1f", 16.8)
        table.row(f"{name}: frame p95, ms", got[name]["p95"], "%.1f", 33)
    table.row("drawing: JS p95, ms", got["draw"], "%.1f", 10)


def html(table, path, calls, runs):
    out = path.with_suffix(".html")
    begin = time.monotonic()
    subprocess.run([where.program("vizview"), "export", path, "--format", "html", "--limit", "0", "--force", "-o", out],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    table.row("HTML: written in, s", time.monotonic() - begin, "%.2f")
    table.row("HTML: bytes an event", out.stat().st_size / calls, "%.2f", 5 + APP_BYTES / calls)
    got = page("file", out, runs)
    table.row("HTML: first picture, s", statistics.median(got["first"]), "%.2f", 0.4)
    table.row("HTML: complete, s", statistics.median(got["open"]), "%.2f", goal(HTML_OPEN, calls))
    table.row("HTML: renderer, peak memory, MB", got["renderer"] / 1e6, "%.0f", HTML_MEMORY)
    moving(table, got)
    out.unlink()


def one(path, options):
    info = trace.info(path)
    calls = info["calls"] + info["resumes"]
    table = Table(f"{path.name}: {calls:,} calls")
    index(table, path, calls)
    served(table, path, calls, options.runs)
    if not options.no_html:
        html(table, path, calls, options.runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", action="append", default=[])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--real", type=int, default=20)
    parser.add_argument("--trace", action="append", default=[], type=pathlib.Path)
    parser.add_argument("--no-html", action="store_true")
    options = parser.parse_args()
    if not (HERE.parent / "browser" / "node_modules" / "puppeteer-core").is_dir():
        sys.exit("viewer.py: cannot drive a browser\n  why: no npm packages in integration/browser\n  try: scripts/setup")
    print("load %.1f, %d CPUs" % (os.getloadavg()[0], os.cpu_count()))
    for calls in [int(float(text)) for text in options.calls or ("1e6", "1e7")]:
        folder = where.fresh("viewer")
        path = generate(folder, calls)
        one(path, options)
        path.unlink()
    if options.real:
        one(record(where.fresh("viewer"), options.real), options)
    for path in options.trace:
        link = where.fresh("viewer") / path.name
        link.symlink_to(path.resolve())
        one(link, options)


main()
