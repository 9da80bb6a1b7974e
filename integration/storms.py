"""
Attach again and again to a process that is nearly always inside malloc, the
loader, fork or pthread_create: no deadlock, and nothing that the target notices.
Every second time the thread that is borrowed is one of those.

usage: storms.py [--python NAME-PART] [--storm NAME] [--count 30]
"""
import argparse
import collections
import sys

import kills
from lib import board, child, figures, pythons, tool, waits, where

COUNT = 30
# What runs besides a Python thread that computes.
STORMS = {
    "malloc": ("malloc-storm",) * 6,
    "dlopen": ("dlopen-loop",) * 2,
    "fork": ("fork-storm",) * 2,
    "threads": ("thread-churn",) * 2,
    "all": ("malloc-storm", "malloc-storm", "dlopen-loop", "fork-storm", "thread-churn"),
}


class Storm:
    def __init__(self, cell, python, title):
        self.cell, self.python, self.title = cell, python, title
        self.tries = self.harmed = 0
        self.statuses, self.attempts, self.told = collections.Counter(), [], set()

    def one(self, subject, folder):
        """Recorded, or refused for want of a safe moment; either way the target goes on."""
        rounds = subject.rounds()
        env = {}
        if self.tries % 2:
            # left to itself it takes a thread that sleeps: it must also be right about the others
            stormy = [slot.tid for slot in subject.slots() if not slot.name.startswith("py-")]
            env["VZ_FAULT_THREAD"] = str(stormy[self.tries // 2 % len(stormy)])
        run = tool.record(subject.pid, folder, "20ms", extra=("--force", "--attach-timeout", "2s"),
                          binary=where.program("vizattach-faults"), env=env)
        self.tries += 1
        self.statuses[run.status] += 1
        wrong = []
        if run.status == 0:
            receipt = run.receipt()
            self.attempts.append(receipt.get("attempts", 1))
            if not receipt.get("restored"):
                wrong.append(f"not restored: {receipt.get('left')}")
        elif run.status == 7:  # no safe moment, or our own thread got no turn: put back, and told
            self.told.add(run.messages().partition("\n")[0].partition(": ")[2].partition(str(subject.pid))[0])
        else:
            wrong.append(f"exit {run.status}: {run.messages().strip()[:600]}")
        behind = subject.wait_rounds(rounds, 3)
        if not subject.child.alive():
            wrong.append(f"the target ended with {subject.child.popen.poll()}: {subject.child.stderr()[-300:]}")
        wrong += subject.errors() + [f"does not go on: {name}" for name in behind]
        if wrong:
            self.harmed += 1
            self.cell.check(False, f"attach {self.tries}: " + "; ".join(wrong))
        return not wrong

    def remarks(self):
        text = ", ".join(f"exit {status}: {count}" for status, count in sorted(self.statuses.items()))
        if self.told:
            text += " (%s)" % "; ".join(sorted(text.strip() for text in self.told))
        if self.attempts:
            text += f"; tries for a safe moment: at most {max(self.attempts)}"
        return text

    def run(self, count, names):
        folder = where.fresh("storm")
        with waits.Waits(self.python.path, folder, names) as subject:
            try:
                for number in range(count):
                    if not self.one(subject, folder):
                        break  # what is broken stays so
                    if number % 100 == 99:
                        print(f"       {self.python.name}: {self.title}: {number + 1} attaches", flush=True)
                left = kills.Row.wait_gone(subject)
                self.cell.check(not left, "left behind: " + ", ".join(left))
            finally:
                figures.note("attach during: " + self.title, self.python.name, self.tries, self.harmed,
                             self.remarks())
            if not self.harmed:
                wrong = subject.quit()
                self.cell.check(not wrong, wrong)


def storm(cell, python, name, count):
    Storm(cell, python, {"all": "all at once"}.get(name, name + " storm")).run(count, STORMS[name])


def run(wanted=(), names=tuple(STORMS), count=COUNT):
    result = board.Board("storms")
    chosen = [python for python in pythons.supported()
              if any(part in python.name for part in wanted)] if wanted else kills.default_pythons()
    for python in chosen:
        for name in names:
            result.run(f"{name}, {count} attaches", python.name, storm, python, name, count)
            child.end_all()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--storm", action="append", choices=list(STORMS))
    parser.add_argument("--count", type=int, default=COUNT)
    options = parser.parse_args()
    return board.finish([run(options.python, options.storm or tuple(STORMS), options.count)])


if __name__ == "__main__":
    sys.exit(board.interruptible(main))
