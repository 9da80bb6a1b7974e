#!/usr/bin/env python3
"""
Python's stacks as they are read from outside against what the program says of itself.

Each interpreter runs targets/stacks.py: threads go through random kinds of calls and stop at a
barrier.  There every thread's stack, frame by frame, is compared with traceback's and with
faulthandler's; now and then also what "vizattach snapshot" makes of it, with the native frames.
A comparison is one thread at one barrier.

usage: integration/stacks.py [--python NAME]... [--count COMPARISONS] [--seed N]
"""
import argparse
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import time

from lib import board, child, pythons, rooms, where

MINORS = range(8, 16)
SECONDS = 13.0  # of rounds without --count, all interpreters together; starting them takes as long
THREADS, DEPTH = 8, 12
WHOLE_EVERY = 10  # rounds
# Without a file of its own in the root that it runs in.
LOADER = "import os; exec(compile(os.fdopen(%d).read(), 'stacks.py', 'exec'))"
NAME_MAX = 255  # bytes of a name that are shown


class Interpreter:
    def __init__(self, name, argv, minor):
        self.name, self.argv, self.minor = name, argv, minor


def interpreters():
    """Those here, also the one of scripts/freethreaded, then those of the roots, which are newer."""
    found = [Interpreter(python.name, [python.path], python.minor[1]) for python in pythons.everything()
             if python.minor[0] == 3 and python.minor[1] in MINORS]
    found += [Interpreter(path.name[6:], [path], int(path.name[8:-1]))
              for path in where.ROOT.glob("build/freethreaded/bin/python3.*t")]
    found.sort(key=lambda one: one.minor)
    if os.geteuid() == 0 and shutil.which("chroot"):
        for path in sorted(rooms.ROOTS.glob("*/usr/bin/python3.*")):
            suffix = path.name.partition("3.")[2]
            if suffix.rstrip("dt").isdigit():
                root = path.parents[2]
                found.append(Interpreter(f"{root.name}-{path.name[6:]}", ["chroot", root, "/usr/bin/" + path.name],
                                         int(suffix.rstrip("dt"))))
    return found


def tool(name):
    """A program of the tests, built beside vizattach."""
    path = pathlib.Path(where.program("vizattach")).parent / "tests" / name
    if not path.is_file():
        raise board.Skip(f"no {name}: the tests are not built")
    return path


class Talk:
    """A process that answers a line with a line."""

    def __init__(self, argv, fds=(), limit=60):
        self.limit, self.rest = limit, b""
        setpriv = shutil.which("setpriv")
        prefix = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
        self.err = open(where.fresh("stacks") / "err", "w+b")
        self.process = subprocess.Popen(prefix + [str(arg) for arg in argv], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.err, pass_fds=fds,
                                        cwd="/")
        self.pid = self.process.pid

    def say(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def hear(self):
        end = time.monotonic() + self.limit
        pieces = [self.rest]
        while b"\n" not in pieces[-1]:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise child.Timeout(f"no answer from process {self.pid}")
            pieces.append(os.read(self.process.stdout.fileno(), 1 << 20))
            if not pieces[-1]:
                self.err.seek(0)
                raise RuntimeError("it ended: " + self.err.read()[-1000:].decode(errors="replace"))
        line, _, self.rest = b"".join(pieces).partition(b"\n")
        return line.decode()

    def ask(self, text):
        self.say(text)
        return self.hear()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.err.close()


def start_target(interpreter):
    with open(where.TARGETS / "stacks.py", "rb") as script:
        os.set_inheritable(script.fileno(), True)
        return Talk(interpreter.argv + ["-c", LOADER % script.fileno()], fds=[script.fileno()])


def cut(name):
    return name.encode("utf-8", "replace")[:NAME_MAX].decode("utf-8", "ignore")


def shown(frame):
    return "%s:%s %s" % tuple(frame)


def first_difference(actual, expected):
    for number, (a, b) in enumerate(zip(actual, expected)):
        if a != b:
            return f"frame {number}: {shown(a)}, expected {shown(b)}"
    return f"{len(actual)} frames, expected {len(expected)}" if len(actual) != len(expected) else ""


def fault_difference(actual, fault):
    """faulthandler shows a hundred frames, in ASCII, without qualified names."""
    plain = [[file, line, name.rpartition(".")[2]] for file, line, name in actual]
    fault = [frame for frame in fault if frame[1] or frame[0] != "__init__"]  # 3.13: a frame of its own for calls
    for number, (frame, (file, line, name)) in enumerate(zip(plain, fault)):
        escaped = frame[0].encode("ascii", "backslashreplace").decode()
        if [escaped, frame[1] or None, frame[2]] != [file, line, name]:
            return f"faulthandler's frame {number}: {shown(frame)}, expected {shown((file, line, name))}"
    return ""


def chain_difference(interpreter, frames):
    """Each call of the evaluator lies further out on the stack of C than what it called."""
    addresses = [frame["c_stack"] for frame in frames if frame["entry"]]
    if interpreter.minor < 10:
        return "addresses on the C stack" if any(addresses) else ""
    if not all(addresses):
        return "an evaluator without an address on the C stack"
    if any(inner >= outer for inner, outer in zip(addresses, addresses[1:])):
        return "addresses on the C stack out of order"
    return ""


def compare(interpreter, tid, found, told):
    """What is different in one thread, "" if nothing."""
    if tid not in found:
        return "thread not found"
    thread = found[tid]
    if thread["error"]:
        return "error %d" % thread["error"]
    qualified = interpreter.minor >= 11
    expected = [[file, line or 0, cut(full if qualified else name)]
                for file, line, name, full in told["threads"][tid]]
    actual = [[frame["file"], frame["line"], frame["function"]] for frame in thread["frames"]]
    return (first_difference(actual, expected) or fault_difference(actual, told["fault"].get(tid, []))
            or chain_difference(interpreter, thread["frames"]))


def merged_difference(thread, dumped):
    """The snapshot's frames of a thread: the same Python frames, each evaluator below those it runs."""
    frames = thread["frames"]
    python = [[frame["file"], frame["line"], frame["function"]] for frame in frames if frame["kind"] == "python"]
    difference = first_difference(python, [[frame["file"], frame["line"], frame["function"]]
                                           for frame in dumped["frames"]])
    if difference or not thread["native_whole"]:  # code without unwind tables is not our matter
        return difference
    if not thread["order_known"]:
        return "the order of native and Python frames is not known"
    evaluators = [number for number, frame in enumerate(frames)
                  if frame["kind"] == "native" and (frame["function"] or "").startswith("_PyEval_EvalFrameDefault")]
    if any(number == 0 or frames[number - 1]["kind"] != "python" for number in evaluators):
        return "an evaluator without a Python frame"
    return entry_difference(frames, dumped) if evaluators else ""


def entry_difference(frames, dumped):
    """Below each Python frame that C code entered is the evaluator that runs it, and below no other.

    In a stripped program a part of it that compilers put elsewhere (.cold) has no name.
    """
    at = [number for number, frame in enumerate(frames) if frame["kind"] == "python"]
    for number, frame in zip(at, dumped["frames"]):
        below = frames[number + 1] if number + 1 < len(frames) else {"kind": "nothing", "function": None}
        name = below["function"] or ""
        runs = below["kind"] == "native" and (not name or name.startswith("_PyEval_EvalFrameDefault"))
        if frame["entry"] and not runs:
            return f"{below['kind']} {name} runs the entry frame {frame['function']}"
        if not frame["entry"] and below["kind"] != "python":
            return f"{below['kind']} {name} runs {frame['function']}, which is no entry frame"
    return ""


def whole(cell, pid, seed, found, told):
    """The same moment through the command."""
    answer = subprocess.run([where.program("vizattach"), "snapshot", "--pid", str(pid), "--json", "--native"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
    cell.need(answer.returncode == 0, f"vizattach snapshot: {answer.stderr.decode(errors='replace')}")
    threads = {str(thread["tid"]): thread for thread in json.loads(answer.stdout)["threads"]}
    for tid in told["threads"]:
        difference = merged_difference(threads[tid], found[tid]) if tid in threads else "not in the snapshot"
        cell.check(not difference, f"seed {seed}, snapshot: {difference}")


def one_round(cell, interpreter, subject, dumper, seed, threads, depth):
    told = json.loads(subject.ask(f"{seed} {threads} {depth}"))
    cell.need(not told["failures"], "the target: " + "".join(told["failures"])[-600:])
    answer = json.loads(dumper.ask("again"))
    cell.equal(answer["error"], 0, f"seed {seed}: error")
    found = {str(thread["tid"]): thread for thread in answer["threads"]}
    for tid in told["threads"]:
        difference = compare(interpreter, tid, found, told)
        plan = " ".join(told["plans"][tid]) if depth else "all kinds"
        cell.check(not difference, f"seed {seed}, {plan}: {difference}")
    if not depth or seed % WHOLE_EVERY == 0:
        whole(cell, subject.pid, seed, found, told)
    subject.ask("go")
    cell.need(len(cell.failures) < 5, "too many differences")
    return len(told["threads"]), sum(len(frames) for frames in told["threads"].values())


def stacks(cell, interpreter, count, seconds, seed):
    """At least one round of all kinds of calls, then until COUNT comparisons, or for SECONDS."""
    comparisons = frames = 0
    subject = start_target(interpreter)
    dumper = None
    try:
        subject.ask(f"{seed} 1 0")  # it has begun
        dumper = Talk([tool("stackdump"), subject.pid])
        subject.ask("go")
        end = time.monotonic() + seconds
        while comparisons < count and (count < 1 << 30 or time.monotonic() < end or not comparisons):
            first = comparisons == 0
            done = one_round(cell, interpreter, subject, dumper, seed, 1 if first else THREADS, 0 if first else DEPTH)
            comparisons, frames, seed = comparisons + done[0], frames + done[1], seed + 1
    finally:
        subject.end()
        if dumper:
            dumper.end()
        print(f"       {interpreter.name}: {comparisons} stacks, {frames} frames, "
              f"{len(cell.failures)} differences", flush=True)


def run(wanted=(), count=0, seed=None):
    result = board.Board("stacks")
    found = [one for one in interpreters() if not wanted or any(part in one.name for part in wanted)]
    seed = int(time.time()) % 100000 if seed is None else seed
    print(f"       seed {seed}", flush=True)
    for one in found:
        each = -(-count // len(found)) if count else 1 << 30
        result.run("stacks", one.name, stacks, one, each, SECONDS / len(found), seed)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--count", type=int, default=0, help="comparisons, all interpreters together")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    return board.finish([run(options.python, options.count, options.seed)])


if __name__ == "__main__":
    sys.exit(board.interruptible(main))
