"""How one hang goes: see that it hangs, look at it, judge the answer, see that nothing changed, let it go."""
import collections

from . import cages, procfs, tool, where


# Said of a healthy program this is true, and of no help: whoever wakes it is not known.
NEUTRAL = "who would end the wait is not recorded"


def judge(case, verdict, facts):
    """("right" | "unknown" | "WRONG", why)"""
    kind, sentence = verdict.get("kind"), verdict.get("sentence") or ""
    if kind == "unknown":
        return "unknown", sentence
    if kind == "lock" and case.kinds[0] == "idle" and NEUTRAL in sentence:
        return "unknown", sentence
    if kind not in case.kinds:
        return "WRONG", f"{kind}, expected {' or '.join(case.kinds)}: {sentence}"
    for word in case.words:
        choice = [one.format(**facts) for one in (word if isinstance(word, tuple) else (word,))]
        if not any(one in sentence for one in choice):
            return "WRONG", f"no {' or '.join(choice)} in: {kind}: {sentence}"
    for word in case.forbid:
        if word in sentence:
            return "WRONG", f"{word!r} in: {kind}: {sentence}"
    return "right", sentence


class Look:
    """The process before snapshots; same() tells what they changed."""

    def __init__(self, subject):
        self.subject, self.pid = subject, subject.pid
        self.still = subject.case.motion == "still"
        self.stops = subject.case.stage == "stopped"
        self.before = procfs.Snapshot(self.pid)
        self.moves = cages.movement(self.pid)

    def traced(self):
        """Threads that were left stopped."""
        return [f"{tid} {state}" for tid, (state, _) in cages.movement(self.pid).items()
                if state in "tTZX" and not (self.stops and state == "T")]

    def check(self, cell, stopped):
        """STOPPED: threads that the tool itself says it stopped."""
        cell.none(self.traced(), "threads in a wrong state")
        cell.none(procfs.differences(self.before, procfs.Snapshot(self.pid), strict=self.still), "touched")
        if self.still:
            # one that sleeps is not to be woken, not for a moment, unless the answer says so
            now = cages.movement(self.pid)
            cell.none([f"{tid}: {self.moves.get(tid)} -> {now.get(tid)}"
                       for tid in sorted(set(now) | set(self.moves))
                       if now.get(tid) != self.moves.get(tid) and tid not in stopped],
                      "threads that were woken")


class Outcome:
    """What came of one cell, for the tables and the figures."""

    def __init__(self):
        self.mark, self.why, self.kinds, self.verdict = "-", "", [], {}
        self.stopped_ns, self.stopped_tids, self.marks = [], set(), collections.Counter()

    def settle_mark(self):
        """One wrong answer is enough; else what was said most often."""
        self.mark = ("WRONG" if self.marks["WRONG"] else
                     "right" if self.marks["right"] > self.marks["unknown"] else "unknown")

    def note_stops(self, data):
        for thread in data.get("threads", ()):
            if thread.get("copied") == "stopped":
                self.stopped_ns.append(thread.get("stopped_ns") or 0)
                self.stopped_tids.add(thread["tid"])


def look_once(cell, subject, outcome, extra=()):
    answer = tool.snapshot(subject.pid, extra)
    if not cell.equal(answer.status, 0, "exit status (" + answer.messages.strip()[-400:] + ")"):
        outcome.marks["WRONG"] += 1
        outcome.settle_mark()
        return
    data = answer.data
    mark, outcome.why = judge(subject.case, data.get("verdict", {}), subject.facts())
    outcome.verdict = data.get("verdict", {})
    outcome.kinds.append(outcome.verdict.get("kind"))
    outcome.note_stops(data)
    cell.check(mark != "WRONG", "verdict: " + outcome.why)
    outcome.marks[mark] += 1
    outcome.settle_mark()


def run_case(cell, python, case, outcome, times=1):
    """One cell: TIMES snapshots of one program.  Without the verb only the program itself is tried."""
    cages.check_possible(python, case)
    if python.name.endswith("t") and case.kinds == ("collecting",):
        case = case._replace(kinds=case.kinds + ("busy",))  # no GIL, so no holder of it who collects
    seconds = 120 + 2 * times
    with cages.cage(case)(python, case, where.fresh(case.name), seconds) as subject:
        cell.need(cages.settle(subject), "it does not hang: " + subject.child.stderr()[-1000:])
        look = Look(subject)
        if tool.has_snapshot():
            for number in range(times):
                look_once(cell, subject, outcome)
                cell.none(look.traced(), f"snapshot {number}: threads in a wrong state")
                cell.need(len(cell.failures) < 4, "too many failures")
        look.check(cell, outcome.stopped_tids)
        cell.need(subject.alive(), "it has ended: " + subject.child.stderr()[-1000:])
        if case.motion == "busy" and isinstance(subject, cages.Hang) and subject.get("PROGRESS"):
            cell.check(subject.advances(1), "it does not go on")
        if case.release:
            # a thread that was stopped a moment ago may not be the one that gets the signal
            cages.settle(subject)
            subject.release()
            wrong = subject.result()
            cell.check(not wrong, wrong)
