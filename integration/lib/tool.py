"""Running vizattach."""
import functools
import json
import os
import subprocess
import threading

from . import child, where

PATIENCE = 60.0  # bound for everything that should take a moment


class Recording:
    """One run of vizattach: begins at once; wait_begun() returns when it certainly records."""

    def __init__(self, pid, folder, duration="1s", extra=(), name="trace", output=None, binary=None,
                 user=None, prefix=(), env=None):
        self.path = output or folder / (name + ".viz")
        argv = list(prefix) + [binary or where.program("vizattach"), "--pid", pid]
        if duration:
            argv += ["--duration", duration]
        argv += ["-o", self.path, "--json"] + list(extra)
        self._begun = threading.Event()
        self._ended = threading.Event()
        self.child = child.Child(argv, folder, name="vizattach-" + name, user=user, env=env)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self):
        """Reads the messages as they come, until the tool has ended."""
        with open(self.child.err_path, errors="replace") as file:
            text = ""
            while True:
                ended = not self.child.alive()
                text += file.read()
                if any(line.startswith("vizattach: recording") for line in text.splitlines()):
                    self._begun.set()
                if ended:
                    break
                self._ended.wait(0.01)
        self._ended.set()

    @property
    def pid(self):
        return self.child.pid

    def wait_begun(self, seconds=PATIENCE):
        """True when recording; False if the tool ended before."""
        child.wait_until(lambda: self._begun.is_set() or self._ended.is_set(),
                         "vizattach: recording", seconds, 0.002)
        return self._begun.is_set()

    def wait(self, seconds=PATIENCE):
        status = self.child.wait(seconds)
        self._watcher.join(10)
        return status

    def messages(self):
        return self.child.stderr()

    def receipt(self):
        """The JSON object on stdout; {} if there is none."""
        lines = [line for line in self.child.stdout().splitlines() if line.startswith("{")]
        return json.loads(lines[-1]) if lines else {}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.child.end()


def record(pid, folder, duration="1s", **options):
    """Run vizattach to its end; returns the Recording with .status."""
    recording = Recording(pid, folder, duration, **options)
    recording.status = recording.wait()
    return recording


class Answer:
    """What `vizattach snapshot --json` said."""

    def __init__(self, run):
        self.status, self.messages = run.returncode, run.stderr.decode(errors="replace")
        try:
            self.data = json.loads(run.stdout.decode())
        except ValueError as error:
            self.data = {}
            self.status = self.status or f"0, but no JSON: {error}: {run.stdout[-200:]!r}"


@functools.lru_cache()
def has_snapshot():
    """Whether this vizattach has that verb: it is tried on the driver."""
    return bool(snapshot(os.getpid()).data)


def snapshot(pid, extra=()):
    """One `vizattach snapshot --json` of the process PID."""
    argv = [where.program("vizattach"), "snapshot", "--pid", str(pid), "--json", *extra]
    return Answer(subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, timeout=PATIENCE))
