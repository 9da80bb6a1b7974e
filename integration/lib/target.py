"""A target program with its control block, as the driver sees it."""
import ast
import mmap
import struct

from . import child, procfs, where


def _layout():
    """The constants of targets/ctl.py without running it (it opens its block when imported)."""
    names = {}
    source = (where.TARGETS / "ctl.py").read_text()
    for line in source.splitlines():
        if " = range(" in line or line.startswith("SIZE"):
            exec(line, names)  # our own file
    return names


_CTL = _layout()
WAIT, BEGIN, QUIT = _CTL["WAIT"], _CTL["BEGIN"], _CTL["QUIT"]


def function(name, wanted):
    """One function of a target, for expected results: taken out of its source, so nothing else runs."""
    tree = ast.parse((where.TARGETS / (name + ".py")).read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)
                 and node.name in (wanted, wanted.rpartition("_")[0] + "_leaf")]
    space = {}
    exec(compile(tree, name, "exec"), space)
    return space[wanted]


class Target:
    """Runs `PYTHON targets/NAME.py CONTROL ARGS...` and waits until it is ready."""

    def __init__(self, python, name, folder, args=(), env=None, user=None, wait=True):
        path = folder / "control"
        path.write_bytes(bytes(_CTL["SIZE"]))
        path.chmod(0o666)
        with open(path, "r+b") as file:
            self._block = mmap.mmap(file.fileno(), _CTL["SIZE"])
        self.child = self.launch(python, name, path, args, folder, env, user)
        self.pid = self.child.pid
        self.clients = None  # a load that ends before the target does
        if wait:
            self.wait_ready()

    def launch(self, python, name, control, args, folder, env, user):
        return child.Child([python, where.TARGETS / (name + ".py"), control] + list(args), folder,
                           name="target", env=env, user=user)

    def wait_ready(self):
        child.wait_until(lambda: self.get("READY") or not self.child.alive(), "target ready", 60)
        if not self.get("READY"):
            raise RuntimeError("the target ended before it was ready: " + self.child.stderr()[-2000:])

    def get(self, name):
        return struct.unpack_from("<q", self._block, 8 * _CTL[name])[0]

    def put(self, name, value):
        struct.pack_into("<q", self._block, 8 * _CTL[name], value)

    def command(self, value):
        self.put("COMMAND", value)

    def begin(self):
        self.command(BEGIN)

    def wait_done(self, seconds=60):
        child.wait_until(lambda: self.get("DONE") or not self.child.alive(), "the workload", seconds)

    def advances(self, steps=2, seconds=60):
        """It goes on working: STEPS more results, all of them right."""
        start = self.get("PROGRESS")
        child.wait_until(lambda: self.get("PROGRESS") >= start + steps or not self.child.alive(),
                         "progress of the target", seconds)
        return self.child.alive() and self.get("ERRORS") == 0

    def settle(self):
        """Let it warm up, so that before and after are comparable."""
        self.advances(3)
        return procfs.Snapshot(self.pid)

    def quit(self, seconds=60):
        """Ask it to end; returns what was wrong with its end, "" if nothing."""
        if self.clients:
            wrong = self.clients.stop()
            if wrong:
                return f"{len(wrong)} wrong answers: {wrong[:3]}"
        self.command(QUIT)
        status = self.child.wait(seconds)
        if status != 0:
            return f"target ended with {status}: {self.child.stderr()[-1000:]}"
        if self.child.stderr() or "finished" not in self.child.stdout():
            return f"target said: {self.child.stderr()[-1000:]!r}, {self.child.stdout()[-200:]!r}"
        return ""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.child.end()
