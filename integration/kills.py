"""
The tool dies: at each operation on the target, and at any time.  The target must
not notice, and what had been brought in must go by itself.

usage: kills.py [--python NAME-PART] [--all] [--random N] [--every N] [--signal NAME] [--wait NAME]
  --all       each operation x each kind of wait (default: each operation, a wait each in turn)
  --random N  kills at random moments
  --every N   only each Nth operation
The program is vizattach-faults, see tests/faults.h.
"""
import argparse
import collections
import os
import random
import signal
import sys
import time

from lib import board, child, figures, procfs, pythons, tool, waits, where

DURATION = "30ms"
GONE_SECONDS = 30.0   # until what was brought in must be gone; the worst is reported
ENOUGH = 5            # failures of one row
ROWS = ("KILL", "TERM", "INT")

# step: the operation, 0: none; after_us: so long after it
Fault = collections.namedtuple("Fault", "signal step after_us wait")


class Tally:
    def __init__(self):
        self.tries = self.harmed = self.missed = self.refused = self.late = self.interrupted = 0
        self.gone_ms = 0.0

    def remarks(self):
        text = "worst time until all was gone %.0f ms, limits that came late %d" % (self.gone_ms, self.late)
        for count, what in ((self.interrupted, "EINTR as after any stop"),
                            (self.missed, "ended before the fault"), (self.refused, "not borrowed")):
            text += f", {what} {count}" if count else ""
        return text


class Row:
    """Fault after fault into one target, which is replaced when it was harmed."""

    def __init__(self, cell, python):
        self.cell, self.python = cell, python
        self.tally = Tally()
        self.subject = None

    def fresh(self):
        if self.subject:
            self.subject.end()
        self.folder = where.fresh("kills")
        self.subject = waits.Waits(self.python.path, self.folder)

    def run_tool(self, fault=None, more=None):
        env = dict(more or {})
        if fault:
            tid = next(slot.tid for slot in self.subject.slots() if slot.name == fault.wait)
            env.update(VZ_FAULT_THREAD=str(tid), VZ_FAULT_SIGNAL=fault.signal)
            env.update({name: str(value) for name, value in (
                ("VZ_FAULT_STEP", fault.step), ("VZ_FAULT_AFTER_US", fault.after_us)) if value})
        return tool.record(self.subject.pid, self.folder, DURATION, binary=where.program("vizattach-faults"),
                           extra=("--force", "--attach-timeout", "1s"), env=env)

    def operations(self):
        """How many there are in one attach and detach."""
        path = self.folder / "operations"
        run = self.run_tool(Fault("KILL", 0, 0, "nanosleep"), {"VZ_FAULT_COUNT": str(path)})
        self.cell.need(run.status == 0, f"without a fault: exit {run.status}: {run.messages()}")
        return len(path.read_text().split("\n")) - 1

    def one(self, fault):
        """True if the target is as well as before."""
        if not self.subject or not self.subject.child.alive():
            self.fresh()
        tally, subject = self.tally, self.subject
        late, interrupted = subject.late(), subject.interrupted()
        run = self.run_tool(fault)
        ended = time.monotonic()
        wrong = self.judge_status(fault, run)
        wrong += self.judge_target(subject, ended)
        tally.tries += 1
        tally.late += subject.late() - late
        interrupted = subject.interrupted() - interrupted
        tally.interrupted += interrupted
        if interrupted and (fault.signal != "KILL" or fault.wait not in waits.STOPPABLE):
            wrong.append(f"{interrupted} calls ended with EINTR")
        if wrong:
            tally.harmed += 1
            self.cell.check(False, f"{fault}: " + "; ".join(wrong))
            print("       harmed:", self.cell.failures[-1], flush=True)
            self.fresh()
        return not wrong

    def judge_status(self, fault, run):
        """The fault may come too late; all else is an error."""
        status = run.status
        if fault.signal == "KILL" and status == -signal.SIGKILL:
            return []
        if status == 0:
            self.tally.missed += fault.signal == "KILL"
            return []
        if status == 7 and ("before the recording began" in run.messages() and fault.signal != "KILL"):
            return []
        if status == 7 and "no safe moment" in run.messages():
            self.tally.refused += 1
            return []
        return [f"the tool ended with {status}: {run.messages().strip()[-300:]}"]

    def judge_target(self, subject, ended):
        wrong = []
        rounds = subject.rounds()
        left = self.wait_gone(subject)
        self.tally.gone_ms = max(self.tally.gone_ms, (time.monotonic() - ended) * 1000)
        if left:
            wrong.append("left behind: " + ", ".join(left))
        behind = subject.wait_rounds(rounds, 2)
        if not subject.child.alive():
            return [f"the target ended with {subject.child.popen.poll()}: {subject.child.stderr()[-300:]}"]
        wrong += subject.errors()
        if behind:
            wrong.append("do not go on: " + ", ".join(behind))
        state = procfs.state(subject.pid)
        if state not in "RSD":
            wrong.append(f"state {state}")
        return wrong

    @staticmethod
    def wait_gone(subject):
        """What is still there in the end."""
        left = []

        def gone():
            if subject.child.alive():
                left[:] = subject.differences()
            return not left or not subject.child.alive()

        try:
            child.wait_until(gone, "gone", GONE_SECONDS, 0.01)
        except (child.Timeout, OSError):
            pass
        return left

    def next_attach(self):
        run = self.run_tool()
        self.cell.equal(run.status, 0, "the next attach (" + run.messages().strip()[-300:] + ")")
        receipt = run.receipt()
        self.cell.equal(receipt.get("restored"), True, f"the next attach: restored ({receipt.get('left')})")

    def run(self, faults, title):
        try:
            for number, fault in enumerate(faults, 1):
                self.one(fault)
                if fault.signal == "KILL":
                    self.next_attach()
                if number % 100 == 0:
                    print(f"       {self.python.name}: {title}: {number} tries, "
                          f"{self.tally.harmed} harmed", flush=True)
                if len(self.cell.failures) >= ENOUGH:
                    break
            self.next_attach()
        finally:
            figures.note(title, self.python.name, self.tally.tries, self.tally.harmed, self.tally.remarks())
            if self.subject:
                wrong = self.subject.quit() if self.subject.child.alive() else ""
                self.cell.check(not wrong, wrong)
                self.subject.end()


def each_operation(cell, python, name, every, everywhere, wanted):
    row = Row(cell, python)
    row.fresh()
    count = row.operations()
    names = wanted or [slot.name for slot in row.subject.slots()]
    first = random.randrange(len(names))
    faults = []
    for index, step in enumerate(range(1, count + 1, every)):
        here = names if everywhere else [names[(first + index) % len(names)]]
        faults += [Fault(name, step, 0, wait) for wait in here]
    row.run(faults, f"SIG{name} at each of {count} operations" if every == 1 else
            f"SIG{name} at some of {count} operations")


def random_moments(cell, python, count, wanted):
    """Half of them soon after an operation, where it matters most; half at any time."""
    row = Row(cell, python)
    row.fresh()
    operations = row.operations()
    begin = time.monotonic()
    row.run_tool()
    whole_us = int((time.monotonic() - begin) * 1e6)
    names = wanted or [slot.name for slot in row.subject.slots()]
    faults = []
    for number in range(count):
        wait = names[number % len(names)]
        if number % 2:
            faults.append(Fault("KILL", 0, random.randint(1, whole_us), wait))
        else:
            faults.append(Fault("KILL", random.randint(1, operations), random.randint(1, 300), wait))
    row.run(faults, "SIGKILL at random moments")


def default_pythons():
    """The system's, and the newest: one of each kind of hook."""
    found = pythons.supported()
    return [python for python in found if python.debian or python is found[-1]]


def run(wanted=(), everywhere=False, count=20, every=None, signals=ROWS, names=()):
    result = board.Board("kills")
    chosen = [python for python in pythons.supported()
              if any(part in python.name for part in wanted)] if wanted else default_pythons()
    for python in chosen:
        for name in signals:
            # a signal that is caught is only a flag: some places are enough
            step = every or (1 if name == "KILL" or everywhere else 4)
            result.run(name + " at each operation", python.name, each_operation, python, name, step,
                       everywhere, list(names))
            child.end_all()
        if count:
            result.run("KILL at random", python.name, random_moments, python, count, list(names))
            child.end_all()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--random", type=int, default=20)
    parser.add_argument("--every", type=int)
    parser.add_argument("--signal", action="append", choices=ROWS)
    parser.add_argument("--wait", action="append", default=[])
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    options = parser.parse_args()
    random.seed(options.seed)
    print("seed", options.seed)
    return board.finish([run(options.python, options.all, options.random, options.every,
                             options.signal or ROWS, options.wait)])


if __name__ == "__main__":
    sys.exit(board.interruptible(main))
