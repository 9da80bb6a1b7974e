"""How an attach to an awkward moment goes: one function for each value of Moment.drive."""
import os
import pathlib
import random
import re
import signal
import subprocess

from . import board, child, procfs, target, tool, trace

DURATION = "200ms"


def check_possible(python, moment):
    if moment.root and os.getuid() != 0:
        raise board.Skip("needs root")
    if moment.module and subprocess.run([python.path, "-c", "import " + moment.module],
                                        stderr=subprocess.DEVNULL).returncode:
        raise board.Skip("no " + moment.module)


class Try:
    """One target, attached to a few times."""

    def __init__(self, cell, python, moment, folder):
        self.cell, self.python, self.moment, self.folder = cell, python, moment, folder
        self.subject = None
        self.count = 0
        self.messages = ""
        self.names = set()
        self.comes_and_goes = []  # files that the target maps now and then

    def start(self, *more):
        self.subject = target.Target(self.python.path, self.moment.target, self.folder,
                                     tuple(self.moment.args) + more)
        return self.subject

    def begin(self, pid=None, duration=DURATION, options=None):
        self.count += 1
        return tool.Recording(pid or self.subject.pid, self.folder, duration,
                              extra=self.moment.options if options is None else options,
                              name="trace%d" % self.count)

    def end(self, recording, allowed=None):
        """Its exit status, what it said, and what its trace and receipt say."""
        status = recording.wait()
        self.messages += recording.messages()
        self.cell.check(status in (allowed or self.moment.status),
                        f"attach {self.count}: exit status {status} ({recording.messages().strip()[-400:]})")
        self.cell.check("failed to" not in recording.messages(), "message: " + recording.messages())
        receipt = recording.receipt()
        if status == 0:
            self.cell.equal(receipt.get("restored"), True, f"receipt.restored ({receipt.get('left')})")
        if recording.path.exists():
            self.names |= set(trace.report(recording.path))
            recording.path.unlink()  # storms make large ones
        elif status in (0, 8):
            self.cell.check(False, "no trace")
        return status

    def not_stopped(self):
        states = set(procfs.state(self.subject.pid, tid) for tid in procfs.tasks(self.subject.pid))
        self.cell.check(not states & {"T", "t"}, f"a thread is stopped: {states}")

    def complaints(self):
        """What the target said, each line once."""
        return "; ".join(list(dict.fromkeys(self.subject.child.stderr().splitlines()))[:5])

    def healthy(self, before):
        """As before, working, and ending well when told; and the messages and traces were right."""
        self.not_stopped()
        self.cell.check(self.subject.advances(), "target not healthy: " + self.complaints())
        if before:
            trace.wait_restored(self.cell, before, lambda: procfs.Snapshot(self.subject.pid),
                                self.compare)
        wrong = self.subject.quit()
        self.cell.check(not wrong, wrong[:200])
        self.cell.none([word for word in self.moment.words if word not in self.messages],
                       f"not in the messages ({self.messages[-600:]})")
        self.cell.none([name for name in self.moment.expect if name not in self.names],
                       "not in the traces")

    def compare(self, before, after):
        found = procfs.differences(before, after, False, self.moment.threads)
        return [one for one in found if (self.moment.fds or not one.startswith("fd "))
                and not any(path in one for path in self.comes_and_goes)]


def several(attempt):
    """Attach as often as the table says, at moments that nobody chose."""
    for _ in range(attempt.moment.times):
        attempt.end(attempt.begin())
        attempt.not_stopped()


def repeat(attempt, *more):
    with attempt.start(*more) as subject:
        before = subject.settle()
        several(attempt)
        attempt.healthy(before)


def forks(attempt):
    """Only children of the moments before the hooks are in and after they are out may keep our code."""
    with attempt.start() as subject:
        before = subject.settle()
        several(attempt)
        kept = subject.get("AUX")
        attempt.cell.check(kept <= 12 * attempt.moment.times, f"{kept} children kept our code")
        attempt.healthy(before)


def refused(attempt):
    """It says why, in three lines, and the target is as before: private memory, too."""
    with attempt.start() as subject:
        before = subject.settle()
        for _ in range(attempt.moment.times):
            recording = attempt.begin()
            attempt.end(recording)
            lines = [line for line in recording.messages().splitlines() if "warning:" not in line]
            attempt.cell.check(len(lines) in (2, 3) and lines[0].startswith("vizattach: ")
                               and lines[1].startswith("  why: "), f"message: {recording.messages()!r}")
            attempt.cell.check(not recording.path.exists(), "it left a file")
        images = [one for one in procfs.maps(subject.pid) if "x" in one.perms and not one.path]
        attempt.cell.none(images, "code of ours stayed")
        attempt.healthy(before)


def libraries(attempt):
    """Extension modules that the target does not use otherwise."""
    found = subprocess.run([attempt.python.path, "-c", "import sysconfig\n"
                            "print(sysconfig.get_path('platstdlib') + '/lib-dynload')"],
                           stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    names = sorted(path for path in pathlib.Path(found).glob("*.so")
                   if path.name.startswith(("_test", "_codecs_", "audioop", "_crypt", "xx")))[:4]
    if not names:
        raise board.Skip("no extension modules")
    attempt.comes_and_goes = [str(name) for name in names]
    repeat(attempt, *names)


def hunted(attempt):
    """A program that replaces itself: whichever of its lives is met, it goes on."""
    with attempt.start() as subject:
        subject.advances(2)
        for _ in range(attempt.moment.times):
            attempt.end(attempt.begin())
        attempt.healthy(None)
        attempt.cell.check(attempt.names, "nothing was ever recorded")


def dying(attempt):
    """A program that ends: before, while and after it is attached to."""
    dice = random.Random(1)
    for number in range(attempt.moment.times):
        args = attempt.moment.args[:-1] + ("%.3f" % (0.02 + 0.3 * dice.random()),)
        folder = attempt.folder / ("run%d" % number)
        folder.mkdir()
        with target.Target(attempt.python.path, attempt.moment.target, folder, args) as subject:
            attempt.end(attempt.begin(subject.pid))
            status = subject.child.wait()
            attempt.cell.equal((status, subject.child.stderr()), (0, ""), "end of the target")


def stopped(attempt):
    """SIGSTOP in the midst: nothing of ours makes it run again before it is told to."""
    with attempt.start() as subject:
        before = subject.settle()
        recording = attempt.begin()
        attempt.cell.need(recording.wait_begun(), "it did not record: " + recording.messages())
        os.kill(subject.pid, signal.SIGSTOP)
        child.wait_until(lambda: procfs.state(subject.pid) == "T", "stopped")
        child.wait_until(lambda: "stopped" in recording.messages(), "a word about it")
        attempt.cell.check(recording.child.alive(), "it went away: " + recording.messages())
        attempt.cell.equal(procfs.state(subject.pid), "T", "state")
        os.kill(subject.pid, signal.SIGCONT)
        attempt.end(recording)
        attempt.end(attempt.begin())
        attempt.healthy(before)


def memory_cgroup(attempt):
    """A memory limit with little room: it is not exceeded, and nothing is killed."""
    place = pathlib.Path("/sys/fs/cgroup/memory/vizattach-test-%d" % os.getpid())
    try:
        place.mkdir()
    except OSError as error:
        raise board.Skip(f"no memory cgroup: {error}") from None
    try:
        with attempt.start() as subject:
            (place / "memory.limit_in_bytes").write_text("%d" % (64 << 20))
            (place / "cgroup.procs").write_text("%d" % subject.pid)
            before = subject.settle()
            several(attempt)
            attempt.healthy(before)
            attempt.cell.equal(re.search(r"oom_kill (\d+)", (place / "memory.oom_control").read_text())
                               .group(1), "0", "killed for memory")
    finally:
        child.end_all()
        child.wait_until(lambda: not (place / "cgroup.procs").read_text(), "an empty cgroup")
        place.rmdir()


WAITING = (r"vizattach: waiting for the GIL of {pid}: thread (\d+) \([^)]+\) has held it for "
           r"[0-9.]+ s")


def gil_waits(attempt):
    """It says from the first second on who holds the GIL, and records in the end."""
    with attempt.start() as subject:
        before = subject.settle()
        for _ in range(4):  # until it comes in the midst of a long call
            attempt.end(attempt.begin(options=("--gil-timeout", "30s")))
            said = re.search(WAITING.format(pid=subject.pid), attempt.messages)
            if said:
                break
        if attempt.cell.check(said, "nobody is named: " + attempt.messages):
            tid = int(said.group(1))
            attempt.cell.check(tid != subject.pid and tid in procfs.tasks(subject.pid),
                               f"thread {tid} is not the one")
        attempt.healthy(before)


def gil_gives_up(attempt):
    """In time, naming the holder; the agent's thread goes when it has its turn, and the next attach works."""
    with attempt.start() as subject:
        before = subject.settle()
        holds = subject.get("AUX")
        child.wait_until(lambda: subject.get("AUX") > holds, "a call that held the GIL ends")
        for _ in range(4):
            status = attempt.end(attempt.begin(options=("--gil-timeout", "500ms")), (0, 7))
            if status == 7:
                break
        attempt.cell.equal(status, 7, "exit status")
        others = "|".join(str(tid) for tid in before.masks if tid != subject.pid)
        attempt.cell.check(re.search(r"why: thread (%s) " % others, attempt.messages),
                           "nobody is named: " + attempt.messages)
        attempt.cell.check("removes itself" in attempt.messages, attempt.messages)
        trace.wait_restored(attempt.cell, before, lambda: procfs.Snapshot(subject.pid),
                            attempt.compare)
        attempt.end(attempt.begin(options=("--gil-timeout", "60s")))
        attempt.healthy(before)
