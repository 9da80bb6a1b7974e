"""
Every exit code, by causing it; each time the target must be as before.

usage: errors.py [--python NAME-PART] [CASE...]
"""
import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys

from lib import board, child, procfs, pythons, target, tool, trace, where


def refused(cell, run, status, *words):
    """It ended with STATUS and said what, why and what to do, in three lines, in words."""
    cell.equal(run.status, status, "exit status (" + run.messages().strip()[-400:] + ")")
    message, _, _ = run.messages().partition("\n\n")  # a snapshot may follow
    lines = [line for line in message.rstrip("\n").split("\n")
             if not line.startswith("vizattach: warning: ")]
    if lines[0].startswith("vizattach: recording"):  # the failure came later: it is at the end
        lines = lines[-3:]
    cell.check(len(lines) == 3 and lines[0].startswith("vizattach: ")
               and lines[1].startswith("  why: ") and lines[2].startswith("  try: "),
               f"not what, why, try: {run.messages()!r}")
    for word in words:
        cell.check(word in run.messages(), f"{word!r} is not in the message: {run.messages()!r}")
    for text in ("failed to", "Traceback", "(null)"):
        cell.check(text not in run.messages(), f"{text!r} is in the message: {run.messages()!r}")
    if status in (2, 3, 4, 5, 6):
        cell.check(run.existed or not run.path.exists(), "it left an output file")
        cell.none([str(path) for path in run.path.parent.iterdir()
                   if path.name.startswith(run.path.name) and path != run.path], "left files")


def attempt(pid, folder, duration="300ms", **options):
    path = options.get("output") or folder / "trace.viz"
    existed = path.exists()
    run = tool.record(pid, folder, duration, **options)
    run.existed = existed
    return run


@contextlib.contextmanager
def untouched(cell, python, folder, *arguments, user=None):
    """A target that must be the same, and healthy, afterwards."""
    with target.Target(python.path, "plain", folder, arguments, user=user) as subject:
        before = subject.settle()
        yield subject
        cell.none(procfs.differences(before, procfs.Snapshot(subject.pid)), "touched")
        cell.check(subject.advances(), "target not healthy: " + subject.child.stderr()[-500:])
        wrong = subject.quit()
        cell.check(not wrong, wrong)


def no_process(cell, python, folder):
    """A pid that was in use a moment ago."""
    with child.Child([python.path, "-c", "pass"], folder) as gone:
        gone.wait()
        refused(cell, attempt(gone.pid, folder), 3, str(gone.pid))


def thread_id(cell, python, folder):
    """The id of a thread is not the id of a process."""
    with target.Target(python.path, "threads", folder, ("crowd",)) as subject:
        subject.settle()
        tid = max(procfs.tasks(subject.pid) - {subject.pid})
        refused(cell, attempt(tid, folder), 3, str(subject.pid))


def zombie(cell, python, folder):
    with child.Child([python.path, "-c", "pass"], folder) as dead:
        # not waited for, so it stays a zombie
        child.wait_until(lambda: procfs.state(dead.pid) == "Z", "zombie")
        refused(cell, attempt(dead.pid, folder), 3, "zombie")


def stopped(cell, python, folder):
    with untouched(cell, python, folder, "loop") as subject:
        os.kill(subject.pid, signal.SIGSTOP)
        child.wait_until(lambda: procfs.state(subject.pid) == "T", "stopped")
        refused(cell, attempt(subject.pid, folder), 7, "stopped")
        cell.equal(procfs.state(subject.pid), "T", "state after")
        os.kill(subject.pid, signal.SIGCONT)


def other_user(cell, python, folder):
    """Tool as nobody, target as root."""
    if os.getuid() != 0 or not shutil.which("setpriv"):
        raise board.Skip("needs root and setpriv")
    binary = folder / "vizattach"
    shutil.copy(where.program("vizattach"), binary)
    binary.chmod(0o755)
    place = folder / "nobody"
    place.mkdir()
    place.chmod(0o777)
    with untouched(cell, python, folder, "loop") as subject:
        run = attempt(subject.pid, place, binary=str(binary), user="nobody")
        refused(cell, run, 4)


def opted_out(cell, python, folder):
    """PYTHON_DISABLE_REMOTE_DEBUG in the target's environment."""
    with target.Target(python.path, "plain", folder, ("loop",),
                       env={"PYTHON_DISABLE_REMOTE_DEBUG": "1"}) as subject:
        before = subject.settle()
        refused(cell, attempt(subject.pid, folder), 4, "PYTHON_DISABLE_REMOTE_DEBUG")
        cell.none(procfs.differences(before, procfs.Snapshot(subject.pid)), "touched")
        run = attempt(subject.pid, folder, extra=("--override-opt-out",), name="over")
        cell.equal(run.status, 0, "with --override-opt-out: " + run.messages()[-300:])
        wrong = subject.quit()
        cell.check(not wrong, wrong)


def traced(cell, python, folder):
    if not shutil.which("strace"):
        raise board.Skip("no strace")
    with untouched(cell, python, folder, "loop") as subject:
        with child.Child(["strace", "-f", "-o", "/dev/null", "-p", str(subject.pid)], folder,
                         name="strace") as strace:
            child.wait_until(lambda: procfs.status(subject.pid).get("TracerPid") == str(strace.pid),
                             "strace attaches")
            refused(cell, attempt(subject.pid, folder), 6, "strace")
            strace.signal(signal.SIGTERM)
            strace.wait()
        child.wait_until(lambda: procfs.status(subject.pid).get("TracerPid") == "0", "strace left")


def not_python(cell, python, folder):
    with child.Child(["/bin/sleep", "1000"], folder) as sleep:
        # Past its start: it maps the files of its locale after exec, and those would look like our doing.
        child.wait_until(lambda: "nanosleep" in procfs.read(f"/proc/{sleep.pid}/wchan"), "sleep")
        before = procfs.Snapshot(sleep.pid)
        refused(cell, attempt(sleep.pid, folder), 5, "sleep")
        cell.none(procfs.differences(before, procfs.Snapshot(sleep.pid), strict=True), "touched")


def other_language(cell, python, folder):
    """A busy interpreter of another language, where there is one."""
    if not shutil.which("perl"):
        raise board.Skip("no perl")
    with child.Child(["perl", "-e", "1 while 1"], folder) as perl:
        child.wait_until(lambda: procfs.status(perl.pid).get("Name") == "perl", "exec")
        refused(cell, attempt(perl.pid, folder), 5)
        cell.check(perl.alive(), "perl is dead")


def unsupported(cell, python, folder):
    with untouched(cell, python, folder, "loop") as subject:
        words = [".".join(str(part) for part in python.minor)]
        refused(cell, attempt(subject.pid, folder), 5, *words)


def held_gil(cell, python, folder):
    """C code holds the GIL all the time; once it lets go, the agent has nothing more to do and leaves."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    with target.Target(python.path, "plain", folder, ("gil", pipe)) as subject:
        child.wait_until(lambda: subject.get("AUX") == 1 and procfs.state(subject.pid) == "S", "held")
        before = procfs.Snapshot(subject.pid)
        run = attempt(subject.pid, folder, extra=("--gil-timeout", "1s"))
        refused(cell, run, 7, "GIL")
        cell.check(f"warning: gil: thread {subject.pid} " in run.messages()
                   and "holds the GIL while it waits in read" in run.messages(),
                   f"it was not told early: {run.messages()!r}")
        cell.check("the GIL is held by native code: " in run.messages() and "asleep in read" in run.messages()
                   and "innermost frame first" in run.messages(), f"no snapshot: {run.messages()!r}")
        cell.equal(subject.get("AUX"), 1, "the read returned early: AUX")
        with open(pipe, "wb", buffering=0) as file:
            file.write(b"x")
        cell.check(subject.advances(5), "target not healthy: " + subject.child.stderr()[-500:])
        trace.wait_restored(cell, before, lambda: procfs.Snapshot(subject.pid), procfs.differences)
        again = attempt(subject.pid, folder, name="again")
        cell.equal(again.status, 0, "the next attach (" + again.messages()[-300:] + ")")
        wrong = subject.quit()
        cell.check(not wrong, wrong)


@contextlib.contextmanager
def small_disk(folder):
    """A file system of 128 KiB."""
    place = folder / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)],
                      stderr=subprocess.DEVNULL).returncode:
        raise board.Skip("cannot mount a small file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def disk_full(cell, python, folder):
    with small_disk(folder) as disk, target.Target(python.path, "busy", folder) as subject:
        before = subject.settle()
        run = attempt(subject.pid, folder, duration="30s", output=disk / "trace.viz")
        refused(cell, run, 1, "No space left on device")
        cell.check(subject.advances(), "target not healthy")
        trace.wait_restored(cell, before, lambda: procfs.Snapshot(subject.pid), procfs.differences)
        wrong = subject.quit()
        cell.check(not wrong, wrong)


def output_exists(cell, python, folder):
    with untouched(cell, python, folder, "loop") as subject:
        path = folder / "mine.viz"
        path.write_text("precious")
        refused(cell, attempt(subject.pid, folder, output=path), 2, "mine.viz", "--force")
        cell.equal(path.read_text(), "precious", "the file")


def output_nowhere(cell, python, folder):
    with untouched(cell, python, folder, "loop") as subject:
        run = tool.Recording(subject.pid, folder, "1s", output=folder / "no" / "where.viz")
        run.status, run.existed = run.wait(), True
        cell.check(run.status in (1, 2), f"exit status {run.status}")
        cell.check(run.messages().startswith("vizattach: ") and "  why: " in run.messages(),
                   f"message: {run.messages()!r}")


def usage(cell, python, folder):
    for arguments in (["--pid", "1", "--durration", "1s"], ["--pid", "x"], [], ["--pid", "1", "-d", "1y"],
                      ["--pid", "1", "--ring-size", "1"], ["--pid", "-5"]):
        result = subprocess.run([where.program("vizattach")] + arguments, stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=60)
        cell.equal(result.returncode, 2, f"exit status of {arguments}")
        cell.check(result.stderr.startswith(b"vizattach: "), f"message: {result.stderr!r}")
        cell.equal(result.stdout, b"", f"stdout of {arguments}")


def help_and_version(cell, python, folder):
    for option in ("--help", "--version"):
        result = subprocess.run([where.program("vizattach"), option], stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=60)
        cell.equal((result.returncode, result.stderr), (0, b""), option)
        cell.check(result.stdout.strip(), option + " says nothing")


def foreign_profiler(how, word):
    def function(cell, python, folder):
        with untouched(cell, python, folder, how) as subject:
            if python.minor[1] >= 12:
                # sys.monitoring has room for several: it must work, and leave the other one alone
                run = attempt(subject.pid, folder)
                cell.equal(run.status, 0, "beside it (" + run.messages()[-300:] + ")")
                cell.check("plain_step" in trace.report(run.path), "plain_step is not in the trace")
            else:
                refused(cell, attempt(subject.pid, folder), 6, word)
    return function


def no_tool_id(cell, python, folder):
    if python.minor[1] < 12:
        raise board.Skip("no sys.monitoring")
    with untouched(cell, python, folder, "tools") as subject:
        refused(cell, attempt(subject.pid, folder), 6, "monitoring")


def left_behind(cell, python, folder):
    """The program keeps us from giving our monitoring id back: seen from outside, named, exit 1."""
    if python.minor[1] < 12:
        raise board.Skip("no sys.monitoring")
    with target.Target(python.path, "plain", folder, ("kept-tool",)) as subject:
        subject.settle()
        run = attempt(subject.pid, folder)
        receipt = run.receipt()
        refused(cell, run, 1, "something of ours is left", "of sys.monitoring is still ours")
        cell.equal(receipt.get("restored"), False, "receipt.restored")
        residue = receipt.get("residue", {})
        cell.equal(residue.get("monitoring_ids"), "left", "receipt.residue.monitoring_ids")
        cell.equal(residue.get("hooks"), "ok", "receipt.residue.hooks")
        cell.check(run.path.exists(), "no trace")
        cell.check(subject.advances(), "target not healthy: " + subject.child.stderr()[-500:])
        wrong = subject.quit()
        cell.check(not wrong, wrong)


def twice(cell, python, folder):
    """While one vizattach records, another one is refused, and the first goes on."""
    with target.Target(python.path, "plain", folder, ("loop",)) as subject:
        subject.settle()
        first = tool.Recording(subject.pid, folder, "10m", name="first")
        cell.need(first.wait_begun(), "it did not record: " + first.messages())
        refused(cell, attempt(subject.pid, folder), 6)
        first.child.signal(signal.SIGINT)
        cell.equal(first.wait(), 0, "the first one's exit status (" + first.messages()[-300:] + ")")
        wrong = subject.quit()
        cell.check(not wrong, wrong)


ONCE = [("no-process", no_process), ("thread-id", thread_id), ("zombie", zombie),
        ("other-user", other_user), ("not-python", not_python), ("other-language", other_language),
        ("usage", usage), ("help-version", help_and_version), ("output-exists", output_exists),
        ("output-nowhere", output_nowhere), ("opted-out", opted_out)]
EACH = [("stopped", stopped), ("traced", traced), ("twice", twice), ("held-gil", held_gil),
        ("disk-full", disk_full), ("cprofile", foreign_profiler("cprofile", "profil")),
        ("setprofile", foreign_profiler("setprofile", "profil")), ("no-tool-id", no_tool_id),
        ("left-behind", left_behind)]


def run(wanted_pythons=(), wanted=()):
    result = board.Board("errors")
    system = pythons.system() or pythons.supported()[0]

    def accepted(python):
        return not wanted_pythons or any(part in python.name for part in wanted_pythons)

    plan = [(name, system, function) for name, function in ONCE]
    plan += [(name, python, function) for python in pythons.supported() if accepted(python)
             for name, function in EACH]
    plan += [("unsupported", python, unsupported) for python in pythons.unsupported()
             if accepted(python)]
    for name, python, function in plan:
        if not wanted or name in wanted:
            result.run(name, python.name, function, python, where.fresh(name))
            child.end_all()
    result.table()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    return board.finish([run(options.python, options.cases)])


if __name__ == "__main__":
    sys.exit(main())
