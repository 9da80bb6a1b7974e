"""Processes that a test starts: found again, waited for with a bound, and always ended, by pid."""
import atexit
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import time

_live = []


class Timeout(Exception):
    """A condition did not come true in the (generous) time that it had."""


def wait_until(condition, what, seconds=20.0, every=0.01):
    """Wait until CONDITION() is true and return its value.  Tests wait for facts, never for time to pass."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Timeout(f"{what}: not within {seconds:g} s")
        time.sleep(every)


def _dies_with_us():
    """A prefix that ends the child if the driver is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


class Child:
    """A process in a session of its own, with its output in files."""

    def __init__(self, argv, folder, name="child", user=None, env=None, stdin=subprocess.DEVNULL,
                 cwd=None):
        self.name = name
        self.out_path = folder / (name + ".out")
        self.err_path = folder / (name + ".err")
        prefix = _dies_with_us()
        if user:
            # --reuid clears the death signal, so it comes from a second setpriv
            who = pwd.getpwnam(user)
            prefix = ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}",
                      "--clear-groups"] + prefix
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1")
        for key in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"):
            environment.pop(key, None)
        environment.update(env or {})
        # its number may be another's once it has ended: this tells what is still of it
        self.mark = f"VZ_TEST_CHILD={os.getpid()}.{time.monotonic_ns()}"
        environment["VZ_TEST_CHILD"] = self.mark.partition("=")[2]
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(prefix + [str(arg) for arg in argv], stdin=stdin,
                                          stdout=out, stderr=err, env=environment, cwd=cwd,
                                          start_new_session=True)
        self.pid = self.popen.pid
        _live.append(self)

    def stdout(self):
        return self.out_path.read_text(errors="replace")

    def stderr(self):
        return self.err_path.read_text(errors="replace")

    def alive(self):
        return self.popen.poll() is None

    def wait(self, seconds=30.0):
        """Exit status (negative: signal).  Timeout if it does not end."""
        try:
            status = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Timeout(f"{self.name} ({self.pid}) did not end within {seconds:g} s") from None
        return status

    def signal(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def signal_orphans(self, number):
        """It has ended itself and been collected; what it left in its session bears our mark."""
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                pid = int(entry.name)
                if os.getsid(pid) == self.pid and self.mark.encode() in \
                        pathlib.Path(entry.path, "environ").read_bytes().split(b"\0"):
                    os.kill(pid, number)
            except OSError:
                pass

    def end(self, gently=0.0):
        """End it and everything in its session's process group."""
        if self in _live:
            _live.remove(self)
        if gently and self.alive():
            self.signal(signal.SIGTERM)
            try:
                self.popen.wait(gently)
            except subprocess.TimeoutExpired:
                pass
        for number in (signal.SIGKILL, signal.SIGCONT):
            try:
                if self.popen.returncode is None:
                    os.killpg(self.pid, number)
                else:
                    self.signal_orphans(number)
            except (ProcessLookupError, PermissionError):
                pass
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.end()


def end_all():
    """End what is left; registered at exit and called when a run is interrupted."""
    for child in list(_live):
        child.end()


atexit.register(end_all)
for _number in (signal.SIGTERM, signal.SIGHUP):
    # turns them into SystemExit, so that clean-up runs
    signal.signal(_number, lambda number, frame: exit(128 + number))
