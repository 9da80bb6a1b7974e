"""Where the programs of the zoo live: how each is started, what is around it, and that it hangs."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

from . import board, child, load, procfs, target, where

HANGS = where.ROOT / "integration" / "hangs"
SETTLE_SECONDS = 0.06   # so long nothing must have moved in a program that hangs
PATIENCE = 60.0

_library, _library_lock = [], threading.Lock()


def library():
    """The C part, compiled once per run; "" where there is no compiler."""
    with _library_lock:
        if not _library:
            cc = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
            path = where.fresh("stall") / "libstall.so"
            if cc:
                common = [cc, "-shared", "-fPIC", str(HANGS / "stall.c"), "-o"]
                subprocess.run(common + [str(path), "-g", "-O1"], check=True)
                # the same, without what leads from one frame to the next
                subprocess.run(common + [str(path.with_name("libbare.so")), "-O2", "-fomit-frame-pointer",
                                         "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"],
                               check=True)
            _library.append(str(path) if cc else "")
    return _library[0]


class Hang(target.Target):
    """A program of the zoo.  .pid is the process to look at: itself or a child of it."""

    def __init__(self, python, case, folder, prefix=(), stdin=subprocess.DEVNULL, seconds=120):
        self._prefix, self._stdin, self._seconds = list(prefix), stdin, seconds
        self.case, self.folder = case, folder
        if case.release == "feed":
            os.mkfifo(folder / "feed")
        super().__init__(python.path, case.program, folder, case.args)
        self.pid = self.get("AUX") or self.child.pid

    def launch(self, python, name, control, args, folder, env, user):
        return child.Child(self._prefix + [python, HANGS / (name + ".py"), control] + list(args), folder,
                           name="target", stdin=self._stdin,
                           env={"HANG_LIBRARY": library(), "HANG_SECONDS": str(self._seconds)})

    def facts(self):
        """What the program told of itself."""
        lines = [line.split(" ", 2) for line in self.child.stdout().splitlines() if line.startswith("fact ")]
        return {name: value for _, name, value in lines}

    def alive(self):
        return self.child.alive()

    def release(self):
        """Let it go on."""
        how = self.case.release
        if how == "signal":
            os.kill(self.pid, signal.SIGUSR1)
        elif how == "quit":
            self.command(target.QUIT)
        elif how == "feed":
            with open(self.folder / "feed", "wb", buffering=0) as file:
                file.write(b"x")

    def result(self):
        """How it ended; "" if its own checks were content."""
        status = self.child.wait(PATIENCE)
        if status or "finished" not in self.child.stdout():
            return f"it ended with {status}: {self.child.stderr()[-1000:]}"
        return ""


def movement(pid):
    """Of each thread: its state, and how often it was put on a CPU."""
    found = {}
    for tid in procfs.tasks(pid):
        fields = procfs.status(pid, tid)
        if fields:
            found[tid] = (fields["State"][:1], int(fields["voluntary_ctxt_switches"])
                          + int(fields["nonvoluntary_ctxt_switches"]))
    return found


def cpu_ns(pid):
    with open(f"/proc/{pid}/schedstat") as file:
        main = int(file.read().split()[0])
    return main + sum(int(procfs.read(f"/proc/{pid}/task/{tid}/schedstat").split()[0])
                      for tid in procfs.tasks(pid) - {pid})


def settle(subject):
    """It hangs: nothing of it moves any more, or it runs all the time; by /proc, not by its word."""
    last = [movement(subject.pid)]

    def still():
        time.sleep(SETTLE_SECONDS)
        now = movement(subject.pid)
        same, last[0] = now == last[0] and "R" not in (state for state, _ in now.values()), now
        return same or not subject.alive()

    def busy(start=cpu_ns(subject.pid)):
        return cpu_ns(subject.pid) > start + 20000000 or not subject.alive()

    if subject.case.motion == "still":
        child.wait_until(still, "it comes to rest", PATIENCE)
    elif subject.case.motion == "busy":
        child.wait_until(busy, "it runs", PATIENCE)
    else:
        time.sleep(4 * SETTLE_SECONDS)
    return subject.alive()


@contextlib.contextmanager
def plain(python, case, folder, seconds):
    with Hang(python, case, folder, seconds=seconds) as subject:
        yield subject


AGE_SECONDS = 1.2  # a wait that takes so long is more than a request under way


@contextlib.contextmanager
def aged(python, case, folder, seconds):
    """It has been so for a while."""
    with Hang(python, case, folder, seconds=seconds) as subject:
        time.sleep(AGE_SECONDS)
        yield subject


@contextlib.contextmanager
def kept_alive(python, case, folder, seconds):
    """A client that was answered keeps its connection, for later."""
    with Hang(python, case, folder, seconds=seconds) as subject, \
            socket.create_connection(("127.0.0.1", int(subject.facts()["port"])), 60) as client:
        client.sendall(b"hello\n")
        assert client.recv(100) == b"hello\n"
        time.sleep(AGE_SECONDS)
        yield subject


@contextlib.contextmanager
def piped(python, case, folder, seconds):
    """Its input is a pipe; closing that lets it go."""
    reader, writer = os.pipe()
    writer = os.fdopen(writer, "wb")
    try:
        with Hang(python, case, folder, stdin=reader, seconds=seconds) as subject:
            os.close(reader)
            subject.release = writer.close
            yield subject
    finally:
        writer.close()


def _unshared(script):
    """A prefix: its own mounts, with SCRIPT run first."""
    if subprocess.run(["unshare", "-m", "--propagation", "private", "true"],
                      stderr=subprocess.DEVNULL).returncode:
        raise board.Skip("no mount namespace to be had")
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", script + ' exec "$@"', "sh"]


@contextlib.contextmanager
def private_mounts(python, case, folder, seconds):
    if not os.path.exists("/dev/fuse"):
        raise board.Skip("no /dev/fuse")
    with Hang(python, case, folder, _unshared(""), seconds=seconds) as subject:
        yield subject


def name_server(folder):
    """An address of 127.0.0.0/8 that no other program of this run has."""
    return "127.77.%d.%d" % divmod(int(folder.name.partition("-")[0]) % 50000, 250)


@contextlib.contextmanager
def private_resolver(python, case, folder, seconds):
    """Its own resolv.conf, that names a server which never answers."""
    resolv = folder / "resolv.conf"
    resolv.write_text("nameserver %s\noptions timeout:30 attempts:5\n" % name_server(folder))
    switch = folder / "nsswitch.conf"
    switch.write_text("hosts: files dns\n")
    prefix = _unshared(f"mount --bind {resolv} /etc/resolv.conf && mount --bind {switch} /etc/nsswitch.conf &&")
    with Hang(python, case, folder, prefix, seconds=seconds) as subject:
        yield subject


@contextlib.contextmanager
def stopped(python, case, folder, seconds):
    """Somebody stopped it, and forgot."""
    with Hang(python, case, folder, seconds=seconds) as subject:
        settle(subject)
        os.kill(subject.pid, signal.SIGSTOP)
        child.wait_until(lambda: procfs.state(subject.pid) == "T", "stopped")
        go_on = subject.release
        # a signal sent while the main thread still wakes up would go to another thread, that of Python's to none
        subject.release = lambda: (os.kill(subject.pid, signal.SIGCONT), settle(subject), go_on())
        yield subject


def _write(path, text):
    try:
        path.write_text(text)
    except OSError as error:
        raise board.Skip(f"{path}: {error.strerror}") from None


@contextlib.contextmanager
def _group(controller, unified=False):
    """A new cgroup below our own, of version 1 or 2; removed at the end."""
    for line in procfs.read("/proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if (names == "") if unified else controller in names.split(","):
            break
    else:
        raise board.Skip(f"no cgroup with {controller}")
    roots = [line.split()[1] for line in procfs.read("/proc/mounts").splitlines()
             if (line.split()[2] == "cgroup2" if unified else
                 line.split()[2] == "cgroup" and controller in line.split()[3].split(","))]
    if not roots or os.getuid():
        raise board.Skip(f"no cgroup with {controller} to be had")
    group = where.pathlib.Path(roots[0] + path) / f"vizattach-zoo-{os.getpid()}-{time.monotonic_ns()}"
    try:
        group.mkdir()
    except OSError as error:
        raise board.Skip(f"{group}: {error.strerror}") from None
    try:
        yield group
    finally:
        child.wait_until(lambda: not procfs.read(str(group / "cgroup.procs")), "the cgroup is empty")
        group.rmdir()


@contextlib.contextmanager
def _frozen(python, case, folder, seconds, unified):
    with _group("freezer", unified) as group:
        switch = group / ("cgroup.freeze" if unified else "freezer.state")
        on, off = ("1", "0") if unified else ("FROZEN", "THAWED")
        if not switch.exists():
            raise board.Skip(f"no {switch}")
        with Hang(python, case, folder, seconds=seconds) as subject:
            settle(subject)
            try:
                _write(group / "cgroup.procs", str(subject.pid))
                _write(switch, on)
                child.wait_until(lambda: "frozen 1" in procfs.read(str(group / "cgroup.events")) if unified
                                 else "FROZEN" in procfs.read(str(switch)), "frozen")
                go_on = subject.release
                subject.release = lambda: (_write(switch, off), settle(subject), go_on())
                yield subject
            finally:
                _write(switch, off)


def frozen_v1(*args):
    return _frozen(*args, False)


def frozen_v2(*args):
    return _frozen(*args, True)


@contextlib.contextmanager
def throttled(python, case, folder, seconds):
    """5 ms of CPU in each 100 ms."""
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    with _group("cpu", unified) as group:
        quota = group / ("cpu.max" if unified else "cpu.cfs_quota_us")
        if not quota.exists():
            raise board.Skip(f"no {quota}")
        with Hang(python, case, folder, seconds=seconds) as subject:
            _write(quota, "5000 100000" if unified else "5000")
            _write(group / "cgroup.procs", str(subject.pid))
            yield subject


def swapped(python, case, folder, seconds):
    if len(procfs.read("/proc/swaps").splitlines()) < 2:
        raise board.Skip("this machine has no swap")
    raise board.Skip("not brought about: swapping out one process needs a machine of its own")


class Upstream:
    """A server on 127.0.0.1 that takes a connection and answers when told to."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.asked = threading.Event()
        self._answer = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        link, _ = self._listener.accept()
        with link:
            link.recv(100)
            self.asked.set()
            self._answer.wait()
            link.sendall(b"rates\n")

    def speak(self):
        self._answer.set()


class Gunicorn:
    """One sync worker, in a request whose upstream does not answer."""

    def __init__(self, case, folder, seconds):
        self.case, self.upstream, self.body, self.seconds = case, Upstream(), [], seconds
        port = load.free_port()
        shutil.copy(HANGS / "stuck_app.py", folder)
        self.child = child.Child(["gunicorn", "-w", "1", "-b", f"127.0.0.1:{port}", "--timeout", "600",
                                  "stuck_app:app"], folder, name="gunicorn", cwd=folder,
                                 env={"UPSTREAM": str(self.upstream.port)})
        child.wait_until(lambda: load.answers(port) or not self.child.alive(), "gunicorn answers", 60)
        self._client = threading.Thread(target=self._ask, args=(port,), daemon=True)
        self._client.start()
        child.wait_until(lambda: self.upstream.asked.is_set() or not self.child.alive(), "a request", 60)
        self.pid = procfs.children(self.child.pid)[0]

    def _ask(self, port):
        ask, close = load.http_client(port, None, seconds=self.seconds)()
        self.body.append(ask(1))
        close()

    def facts(self):
        return {"peer": f"127.0.0.1:{self.upstream.port}"}

    def alive(self):
        return self.child.alive()

    def release(self):
        self.upstream.speak()

    def result(self):
        self._client.join(PATIENCE)
        return "" if self.body == [b"rates\n"] else f"the answer was {self.body!r}"


@contextlib.contextmanager
def gunicorn(python, case, folder, seconds):
    if not shutil.which("gunicorn"):
        raise board.Skip("no gunicorn")
    subject = Gunicorn(case, folder, seconds)
    with subject.child:
        yield subject


def check_possible(python, case):
    if case.root and os.getuid():
        raise board.Skip("needs root")
    if python.name.endswith("t") and case.kinds == ("gil-held",):
        raise board.Skip("this CPython has no GIL")
    if case.module and case.module not in python.modules:
        raise board.Skip("no " + case.module)
    if (case.program in ("gil", "children") or "native" in case.args) and not library():
        raise board.Skip("no C compiler")


def cage(case):
    """What CASE says is around it: a context manager of (python, case, folder, seconds)."""
    return globals()[case.stage]
