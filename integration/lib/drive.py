"""How a recording goes: one function for each value of Case.drive."""
import os
import signal

from . import child, procfs, tool, trace


class Attempt:
    """One target and what was seen of it."""

    def __init__(self, cell, case, subject, folder):
        self.cell, self.case, self.subject, self.folder = cell, case, subject, folder
        self.before = subject.settle()

    def record(self, duration=None, options=None):
        return tool.Recording(self.subject.pid, self.folder, duration or self.case.duration,
                              extra=self.case.options if options is None else options)

    def begun(self, recording):
        self.cell.need(recording.wait_begun(), "it did not record: " + recording.messages())

    def finish(self, recording):
        """The tool's end, its receipt and the trace."""
        status = recording.wait()
        self.cell.equal(status, self.case.status,
                        "exit status (" + recording.messages().strip()[-400:] + ")")
        receipt = recording.receipt()
        self.cell.equal(receipt.get("exit"), status, "receipt.exit")
        if status == 0:
            self.cell.equal(receipt.get("restored"), True,
                            f"receipt.restored ({receipt.get('left')})")
            self.cell.none([f"{what} {verdict}" for what, verdict in receipt.get("residue", {}).items()
                            if verdict not in ("ok", "none", "grew")], "receipt.residue")
            self.cell.equal(receipt.get("lost"), 0, "receipt.lost")
        trace.check(self.cell, recording.path, self.case)

    def compare(self, before, after):
        return procfs.differences(before, after, self.case.strict, self.case.threads)

    def healthy(self):
        """As before, working, and ending well when told."""
        self.cell.check(self.subject.advances(), "target not healthy: "
                        + self.subject.child.stderr()[-500:])
        trace.wait_restored(self.cell, self.before, lambda: procfs.Snapshot(self.subject.pid),
                            self.compare)
        wrong = self.subject.quit()
        self.cell.check(not wrong, wrong)


def window(attempt):
    """Record for a while."""
    recording = attempt.record()
    attempt.finish(recording)
    attempt.healthy()


def workload(attempt):
    """The target does something once, inside the window, however long that takes."""
    recording = attempt.record("10m")
    attempt.begun(recording)
    attempt.subject.begin()
    attempt.subject.wait_done()
    recording.child.signal(signal.SIGINT)
    attempt.finish(recording)
    attempt.healthy()


def interrupted(attempt):
    """No duration: ended by a signal, which is named in the options."""
    recording = attempt.record("", options=())
    attempt.begun(recording)
    attempt.subject.advances(20)
    recording.child.signal(getattr(signal, attempt.case.options[0]))
    attempt.finish(recording)
    attempt.healthy()


def replaced(attempt):
    """The target becomes another program."""
    recording = attempt.record("10m")
    attempt.begun(recording)
    attempt.subject.advances(5)
    attempt.subject.begin()
    attempt.finish(recording)
    attempt.subject.wait_done()
    attempt.cell.check(attempt.subject.advances(), "the new program is not healthy")
    wrong = attempt.subject.quit()
    attempt.cell.check(not wrong, wrong)


def ends(attempt):
    """The target ends by itself."""
    recording = attempt.record("10m")
    attempt.begun(recording)
    attempt.subject.advances(5)
    attempt.subject.begin()
    wrong = attempt.subject.quit()
    attempt.cell.check(not wrong, wrong)
    attempt.finish(recording)


def killed(attempt):
    recording = attempt.record("10m")
    attempt.begun(recording)
    attempt.subject.advances(20)
    # one flush of the trace must have happened for names to be in it
    child.wait_until(lambda: os.path.getsize(recording.path) > 4096 if recording.path.exists()
                     else part_size(recording) > 4096, "the trace grows", 60)
    attempt.subject.child.signal(signal.SIGKILL)
    attempt.finish(recording)
    attempt.subject.child.wait()


def part_size(recording):
    """Size of the trace while it still has its temporary name."""
    return sum(path.stat().st_size for path in parts(recording))


def parts(recording):
    return [path for path in recording.path.parent.iterdir()
            if path.name != recording.path.name and recording.path.name in path.name]


def tool_killed(attempt):
    """kill -9 of vizattach: the target restores itself, and the trace is readable."""
    recording = attempt.record("10m")
    attempt.begun(recording)
    attempt.subject.advances(10)
    child.wait_until(lambda: part_size(recording) > 1024 or recording.path.exists(),
                     "the trace grows", 60)
    child.wait_until(lambda: flushed(recording, attempt.case.expect), "the trace grows", 60)
    recording.child.signal(signal.SIGKILL)
    recording.wait()
    path = recording.path if recording.path.exists() else (parts(recording) or [recording.path])[0]
    trace.check(attempt.cell, path, attempt.case)
    attempt.healthy()


def flushed(recording, names):
    """NAMES can be read already from the growing file."""
    for path in [recording.path] + parts(recording):
        try:
            if trace.report(path).keys() >= set(names):
                return True
        except (RuntimeError, ValueError, KeyError, OSError):
            pass
    return False


def loaded(attempt):
    """A server with clients all the time; subject.clients checks their answers at the end."""
    window(attempt)
