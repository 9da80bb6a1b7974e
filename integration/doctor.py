"""
Every refusal that is known before anything is stopped, by causing it: the recording, `doctor` and
`ps` must agree, and the target must be as before.

usage: doctor.py [--python NAME-PART] [CASE...]
"""
import argparse
import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys

import errors
from lib import board, child, procfs, pythons, target, tool, where

BOUND = 60
VERDICTS = {"ok", "note", "warn", "unknown", "refuse"}


# ---- what the tool says

def run_tool(arguments, binary=None, prefix=()):
    return subprocess.run(list(prefix) + [binary or where.program("vizattach")]
                          + [str(one) for one in arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=BOUND)


def checks(answer):
    return {check["name"]: check for check in answer["checks"]}


def doctor(cell, pid, status, *words, options=(), **how):
    """`doctor` ends with STATUS, in both forms, and WORDS are in the first refusal.  Its JSON."""
    arguments = ["doctor"] + (["--pid", pid] if pid else []) + list(options)
    text = run_tool(arguments, **how)
    cell.equal(text.returncode, status, f"exit status of doctor ({text.stdout.decode()[-800:]})")
    cell.equal(text.stderr, b"", "stderr of doctor")
    cell.equal(b"FAIL" in text.stdout, status != 0, "FAIL in the list")
    cell.check(b"\033" not in text.stdout, "colours without a terminal")
    result = run_tool(arguments + ["--json"], **how)
    answer = json.loads(result.stdout)
    cell.equal((answer["schema"], answer["exit"], result.returncode), (1, status, status), "JSON")
    cell.equal(answer["attachable"], status == 0, "attachable")
    cell.none([check for check in answer["checks"] if check["verdict"] not in VERDICTS
               or not check["text"]], "checks without a verdict or a text")
    refusals = [check for check in answer["checks"] if check["verdict"] == "refuse"]
    if status:
        first = refusals[0]
        cell.equal(first["exit"], status, "exit of the first refusal")
        cell.check(first["try"], f"no hint: {first}")
        for word in words:
            cell.check(word in first["text"], f"{word!r} is not in {first['text']!r}")
    else:
        cell.none(refusals, "refusals")
    return answer


def listed(cell, pid, **how):
    """What `ps` says about PID; {} if it is not listed."""
    result = run_tool(["ps", "--json"], **how)
    cell.equal((result.returncode, result.stderr), (0, b""), "ps --json")
    answer = json.loads(result.stdout)
    cell.equal(answer["schema"], 1, "schema")
    return next((row for row in answer["processes"] if row["pid"] == pid), {})


def all_refuse(cell, pid, folder, status, *words, options=(), **how):
    """The recording, doctor and ps say the same."""
    errors.refused(cell, errors.attempt(pid, folder, extra=options, **how), status, *words)
    prefixes = {key: value for key, value in how.items() if key in ("binary", "prefix")}
    answer = doctor(cell, pid, status, *words, options=options, **prefixes)
    row = listed(cell, pid, **prefixes)
    if row:
        cell.equal((row["attachable"], row["exit"]), (False, status), "ps")
    return answer


# ---- nothing in the way

def nothing(cell, python, folder):
    with errors.untouched(cell, python, folder, "loop") as subject:
        answer = doctor(cell, subject.pid, 0)
        version = ".".join(str(part) for part in python.minor)
        cell.check(answer["python"].startswith(version), f"python: {answer['python']}")
        cell.none([check for check in answer["checks"] if check["verdict"] == "unknown"], "unknown")
        row = listed(cell, subject.pid)
        cell.check(row.get("attachable") is True and row["where"] == "here"
                   and row["python"].startswith(version) and "plain.py" in row["command"]
                   and row["uid"] == os.getuid(), f"ps: {row}")
        text = run_tool(["ps"]).stdout.decode()
        cell.check(any(f" {subject.pid} " in line and line.startswith("  ok ")
                       for line in text.splitlines()), f"ps: {text}")


def machine(cell, python, folder):
    result = run_tool(["doctor"])
    cell.check(result.returncode in (0, 4), f"exit status {result.returncode}")
    answer = doctor(cell, None, result.returncode)
    cell.equal(answer["pid"], None, "pid")
    for name in ("kernel", "ptrace", "yama", "clock", "cpu", "supported"):
        cell.check(name in checks(answer), f"no check {name}")


# ---- rights

def as_nobody(folder):
    """(binary, place, prefix) with which the tool runs as nobody."""
    if os.getuid() != 0 or not shutil.which("setpriv"):
        raise board.Skip("needs root and setpriv")
    binary, place = folder / "vizattach", folder / "nobody"
    shutil.copy(where.program("vizattach"), binary)
    binary.chmod(0o755)
    place.mkdir()
    place.chmod(0o777)
    return str(binary), place


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def other_user(cell, python, folder):
    binary, place = as_nobody(folder)
    with errors.untouched(cell, python, folder, "loop") as subject:
        all_refuse(cell, subject.pid, place, 4, "belongs to root", binary=binary, prefix=NOBODY)
        row = listed(cell, subject.pid, binary=binary, prefix=NOBODY)
        cell.check(row and "belongs to root" in row["why"], f"ps: {row}")


def not_dumpable(cell, python, folder):
    binary, place = as_nobody(folder)
    with errors.untouched(cell, python, folder, "undumpable", user="nobody") as subject:
        all_refuse(cell, subject.pid, place, 4, "not dumpable", binary=binary, prefix=NOBODY)
        doctor(cell, subject.pid, 0)  # root may


def without_capability(cell, python, folder):
    """This root lacks CAP_SYS_PTRACE, as in a container."""
    binary, place = as_nobody(folder)
    prefix = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace")
    with errors.untouched(cell, python, folder, "loop") as subject:
        all_refuse(cell, subject.pid, place, 4, "cap_sys_ptrace", binary=binary, prefix=prefix)
    with errors.untouched(cell, python, folder, "loop", user="nobody") as subject:
        all_refuse(cell, subject.pid, place, 4, "this root lacks CAP_SYS_PTRACE", binary=binary,
                   prefix=prefix)


def other_group(cell, python, folder):
    binary, place = as_nobody(folder)
    prefix = NOBODY[:2] + ("--regid=1",) + NOBODY[3:]
    with errors.untouched(cell, python, folder, "loop", user="nobody") as subject:
        all_refuse(cell, subject.pid, place, 4, "group", binary=binary, prefix=prefix)


def yama(cell, python, folder):
    """Where the kernel has no Yama: a file in its place, and a process that is refused anyway."""
    binary, place = as_nobody(folder)
    script = ('mount -t tmpfs none /proc/sys/kernel && mkdir /proc/sys/kernel/yama && '
              'echo %d >/proc/sys/kernel/yama/ptrace_scope && exec "$@"')

    def under(scope, *more):
        return ("unshare", "-m", "sh", "-c", script % scope, "sh") + more
    if run_tool(["--version"], prefix=under(0)).returncode:
        raise board.Skip("no mount namespaces")
    words = {1: "only a parent", 2: "only root", 3: "nobody may"}
    with errors.untouched(cell, python, folder, "odd-group") as subject:
        for scope, word in words.items():
            all_refuse(cell, subject.pid, place, 4, f"ptrace_scope is {scope}", word, binary=binary,
                       prefix=under(scope, *NOBODY))
            doctor(cell, None, 4, f"ptrace_scope is {scope}", binary=binary,
                   prefix=under(scope, *NOBODY))
        all_refuse(cell, subject.pid, place, 4, "a container or a seccomp filter", binary=binary,
                   prefix=under(0, *NOBODY))
        for scope, status in ((0, 0), (1, 0), (2, 0), (3, 4)):
            doctor(cell, None, status, binary=binary, prefix=under(scope))


def other_namespace(cell, python, folder):
    """Root of a user namespace is not root of its parent."""
    if not shutil.which("unshare") or run_tool(["--version"], prefix=("unshare", "-Ur")).returncode:
        raise board.Skip("no user namespaces")
    with errors.untouched(cell, python, folder, "loop") as subject:
        all_refuse(cell, subject.pid, folder, 4, "another user namespace", prefix=("unshare", "-Ur"))


def below_namespace(cell, python, folder):
    """Root may look into the namespaces below."""
    if os.getuid() != 0 or not shutil.which("unshare"):
        raise board.Skip("needs root and unshare")
    if run_tool(["--version"], prefix=("unshare", "-Ur")).returncode:
        raise board.Skip("no user namespaces")
    with child.Child(["unshare", "-Ur", python.path, "-c", "import time; time.sleep(1000)"],
                     folder) as subject:
        child.wait_until(lambda: listed(cell, subject.pid).get("attachable"), "it starts")
        answer = doctor(cell, subject.pid, 0)
        cell.check("above" in checks(answer)["capabilities"]["text"], "capabilities")


def container(cell, python, folder):
    """Other process ids and another /proc than ours."""
    prefix = ["unshare", "-p", "-f", "--mount-proc", "--kill-child"]
    if not shutil.which("unshare") or run_tool(["--version"], prefix=prefix).returncode:
        raise board.Skip("no pid namespaces")
    with child.Child(prefix + [python.path, "-c", "import time\nwhile True: time.sleep(0.01)"],
                     folder) as subject:
        def inside():
            return next((row for pid in procfs.children(subject.pid)
                         for row in [listed(cell, pid)] if row.get("attachable")), None)
        row = child.wait_until(inside, "it starts")
        cell.equal(row["where"], "container", "where")
        answer = doctor(cell, row["pid"], 0)
        cell.equal(checks(answer)["container"]["verdict"], "note", "container")
        run = errors.attempt(row["pid"], folder)
        cell.equal(run.status, 0, "recording (" + run.messages()[-300:] + ")")


# ---- its state

def stopped(cell, python, folder):
    with errors.untouched(cell, python, folder, "loop") as subject:
        os.kill(subject.pid, signal.SIGSTOP)
        child.wait_until(lambda: procfs.state(subject.pid) == "T", "stopped")
        all_refuse(cell, subject.pid, folder, 7, "stopped")
        cell.equal(procfs.state(subject.pid), "T", "state after")
        os.kill(subject.pid, signal.SIGCONT)


def zombie(cell, python, folder):
    with child.Child([python.path, "-c", "pass"], folder) as dead:
        child.wait_until(lambda: procfs.state(dead.pid) == "Z", "zombie")
        all_refuse(cell, dead.pid, folder, 3, "zombie")
        cell.equal(listed(cell, dead.pid), {}, "ps")


def traced(cell, python, folder):
    if not shutil.which("strace"):
        raise board.Skip("no strace")
    with errors.untouched(cell, python, folder, "loop") as subject:
        with child.Child(["strace", "-f", "-o", "/dev/null", "-p", str(subject.pid)], folder,
                         name="strace") as strace:
            child.wait_until(lambda: procfs.status(subject.pid).get("TracerPid") == str(strace.pid),
                             "strace attaches")
            all_refuse(cell, subject.pid, folder, 6, "strace")
            strace.signal(signal.SIGTERM)
            strace.wait()
        child.wait_until(lambda: procfs.status(subject.pid).get("TracerPid") == "0", "strace left")


def kernel_thread(cell, python, folder):
    if procfs.status(2).get("Name") != "kthreadd":
        raise board.Skip("no threads of the kernel to be seen")
    all_refuse(cell, 2, folder, 5, "kernel")


# ---- control groups and limits

@contextlib.contextmanager
def control_group(controller, pid):
    """A group of version 1 or 2 of our own below the one that PID is in, with PID in it."""
    name = f"vizattach-test-{os.getpid()}"
    old = None
    for place, unified in ((pathlib.Path("/sys/fs/cgroup") / controller, False),
                           (pathlib.Path("/sys/fs/cgroup"), True)):
        known = (place / "cgroup.controllers").read_text().split() if unified and \
            (place / "cgroup.controllers").exists() else []
        if not unified and not (place / "cgroup.procs").exists():
            continue
        if unified and controller not in known and controller != "freezer":
            continue
        with contextlib.suppress(OSError):
            if unified and controller != "freezer":
                (place / "cgroup.subtree_control").write_text(f"+{controller}")
            (place / name).mkdir()
            old = place
            break
    if old is None:
        raise board.Skip(f"cannot make a control group for {controller}")
    try:
        (old / name / "cgroup.procs").write_text(str(pid))
        yield old / name
    finally:
        with contextlib.suppress(OSError):
            (old / "cgroup.procs").write_text(str(pid))

        def gone():
            with contextlib.suppress(OSError):
                (old / name).rmdir()
            return not (old / name).exists()
        child.wait_until(gone, "the control group can be removed")


def first_file(group, *names):
    return next((group / name for name in names if (group / name).exists()), None)


def memory_limit(cell, python, folder):
    """A container that is nearly full: the ring would be its end, a smaller one is not."""
    with errors.untouched(cell, python, folder, "loop") as subject, \
            control_group("memory", subject.pid) as group:
        limit = first_file(group, "memory.limit_in_bytes", "memory.max")
        if limit is None:
            raise board.Skip("no limit of memory in this control group")
        limit.write_text(str(40 << 20))
        all_refuse(cell, subject.pid, folder, 7, "control group")
        hint = checks(doctor(cell, subject.pid, 7))["memory left"]["try"]
        cell.check("--ring-size" in hint and "--override-limits" in hint, f"hint: {hint}")
        options = hint.replace(",", "").split()[:2]
        cell.equal(errors.attempt(subject.pid, folder, extra=options, name="small").status, 0,
                   "with what it advised")
        over = errors.attempt(subject.pid, folder, extra=["--override-limits"], name="over")
        cell.equal(over.status, 0, "with --override-limits: " + over.messages()[-400:])
        cell.check("warning: memory left" in over.messages(), f"no warning: {over.messages()}")


def thread_limit(cell, python, folder):
    with errors.untouched(cell, python, folder, "loop") as subject, \
            control_group("pids", subject.pid) as group:
        if not (group / "pids.max").exists():
            raise board.Skip("no limit of threads in this control group")
        (group / "pids.max").write_text("1")
        all_refuse(cell, subject.pid, folder, 7, "room for 0 more threads")
        (group / "pids.max").write_text("max")
        doctor(cell, subject.pid, 0)


def user_limit(cell, python, folder):
    """RLIMIT_NPROC counts all threads of a user; root is free of it."""
    if os.getuid() != 0 or not shutil.which("prlimit") or not shutil.which("setpriv"):
        raise board.Skip("needs root, prlimit and setpriv")
    with errors.untouched(cell, python, folder, "loop", user="nobody") as subject:
        subprocess.run(NOBODY + ("prlimit", f"--pid={subject.pid}", "--nproc=1:1"), check=True,
                       timeout=BOUND)
        all_refuse(cell, subject.pid, folder, 7, "limit of processes")


def address_limit(cell, python, folder):
    with errors.untouched(cell, python, folder, "loop") as subject:
        size = int(procfs.status(subject.pid)["VmSize"].split()[0]) << 10
        resource.prlimit(subject.pid, resource.RLIMIT_AS, (size + (32 << 20),) * 2)
        all_refuse(cell, subject.pid, folder, 7, "RLIMIT_AS")


def frozen(cell, python, folder):
    with errors.untouched(cell, python, folder, "loop") as subject, \
            control_group("freezer", subject.pid) as group:
        file = first_file(group, "freezer.state", "cgroup.freeze")
        if file is None:
            raise board.Skip("this control group cannot be frozen")
        on, off = ("FROZEN", "THAWED") if file.name == "freezer.state" else ("1", "0")
        file.write_text(on)
        try:
            events = group / ("freezer.state" if on == "FROZEN" else "cgroup.events")
            child.wait_until(lambda: "FROZEN" in events.read_text()
                             or "frozen 1" in events.read_text(), "frozen")
            all_refuse(cell, subject.pid, folder, 7, "frozen")
        finally:
            file.write_text(off)


# ---- what it has forbidden itself

def strict_seccomp(cell, python, folder):
    """One call too many and the kernel kills it: it must not get that far."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    with target.Target(python.path, "plain", folder, ("strict", pipe)) as subject:
        child.wait_until(lambda: procfs.status(subject.pid).get("Seccomp") == "1"
                         and procfs.state(subject.pid) == "S", "strict")
        before = procfs.Snapshot(subject.pid)
        all_refuse(cell, subject.pid, folder, 7, "strict seccomp")
        cell.none(procfs.differences(before, procfs.Snapshot(subject.pid), strict=True), "touched")
        cell.check(subject.child.alive(), "it is dead")


def seccomp_filter(cell, python, folder):
    """Whether a filter forbids a call is seen only when a thread is stopped."""
    with errors.untouched(cell, python, folder, "filter") as subject:
        cell.equal(procfs.status(subject.pid).get("Seccomp"), "2", "Seccomp")
        answer = doctor(cell, subject.pid, 0)
        cell.equal(checks(answer)["seccomp"]["verdict"], "unknown", "seccomp")
        cell.equal(checks(answer)["privileges"]["verdict"], "note", "privileges")
        run = errors.attempt(subject.pid, folder)
        cell.equal(run.status, 0, "recording (" + run.messages()[-300:] + ")")


# ---- what it runs

def opted_out(cell, python, folder):
    with target.Target(python.path, "plain", folder, ("loop",),
                       env={"PYTHON_DISABLE_REMOTE_DEBUG": "1"}) as subject:
        all_refuse(cell, subject.pid, folder, 4, "PYTHON_DISABLE_REMOTE_DEBUG")
        doctor(cell, subject.pid, 0, options=["--override-opt-out"])


def unsupported(cell, python, folder):
    with errors.untouched(cell, python, folder, "loop") as subject:
        version = ".".join(str(part) for part in python.minor)
        answer = all_refuse(cell, subject.pid, folder, 5, version)
        cell.check(answer["python"].startswith(version), f"python: {answer['python']!r}")
        cell.check(listed(cell, subject.pid).get("exit") == 5, "ps does not list it")


def pypy(cell, python, folder):
    """By its name; there is no PyPy to try it on."""
    binary = folder / "pypy3.10"
    shutil.copy("/bin/sleep", binary)
    with child.Child([binary, "1000"], folder) as subject:
        child.wait_until(lambda: procfs.status(subject.pid).get("Name") == "pypy3.10", "exec")
        all_refuse(cell, subject.pid, folder, 5, "PyPy")
        cell.check("PyPy" in listed(cell, subject.pid).get("why", ""), "ps")


# pause(2) in a loop: mov $29, %eax; int $0x80; jmp to the start
CODE_32 = bytes.fromhex("b81d000000" "cd80" "ebf7")


def program_32(path):
    """A 32-bit program, byte by byte: no compiler needs to know how."""
    base, size = 0x08048000, 52 + 32 + len(CODE_32)

    def words(*numbers):
        return b"".join(number.to_bytes(4, "little") for number in numbers)
    header = (b"\x7fELF\x01\x01\x01" + bytes(9) + words(2 | 3 << 16, 1, base + 84, 52, 0, 0)
              + words(52 | 32 << 16, 1, 0))
    segment = words(1, 0, base, base, size, size, 5, 4096)
    path.write_bytes(header + segment + CODE_32)
    path.chmod(0o755)


def class_32(cell, python, folder):
    binary = folder / "python3-32"
    program_32(binary)
    try:
        subject = child.Child([binary], folder)
    except OSError as error:
        raise board.Skip(f"no 32-bit programs here: {error}") from None
    with subject:
        child.wait_until(lambda: procfs.status(subject.pid).get("Name") == "python3-32"
                         or not subject.alive(), "exec")
        if not subject.alive():
            raise board.Skip("no 32-bit programs here")
        all_refuse(cell, subject.pid, folder, 5, "32-bit")


def finalizing(cell, python, folder):
    """The last object of the interpreter waits in its __del__."""
    program = ("import os, sys\n"
               "class Last(object):\n"
               "    def __del__(self, read=os.read, write=os.write):\n"
               "        write(1, b'x'); read(0, 1)\n"
               "sys.modules['last'] = Last()\n")
    hold, release = os.pipe()
    try:
        with child.Child([python.path, "-c", program], folder, stdin=hold) as subject:
            child.wait_until(lambda: subject.stdout() == "x" or not subject.alive(), "shutting down")
            before = procfs.Snapshot(subject.pid)
            all_refuse(cell, subject.pid, folder, 7, "shutting down")
            cell.none(procfs.differences(before, procfs.Snapshot(subject.pid), strict=True), "touched")
            os.write(release, b"x")
            cell.equal(subject.wait(), 0, "its exit status")
    finally:
        os.close(hold)
        os.close(release)


def profiled(cell, python, folder):
    with errors.untouched(cell, python, folder, "cprofile") as subject:
        if python.minor[1] < 12:
            all_refuse(cell, subject.pid, folder, 6, "cProfile")
        else:
            doctor(cell, subject.pid, 0)


def held_gil(cell, python, folder):
    """Not a refusal, but said before."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    with target.Target(python.path, "plain", folder, ("gil", pipe)) as subject:
        child.wait_until(lambda: subject.get("AUX") == 1 and procfs.state(subject.pid) == "S", "held")
        gil = checks(doctor(cell, subject.pid, 0))["gil"]
        cell.equal(gil["verdict"], "warn", "gil")
        cell.check(str(subject.pid) in gil["text"] and "read" in gil["text"], f"gil: {gil}")
        with open(pipe, "wb", buffering=0) as file:
            file.write(b"x")
        wrong = subject.quit()
        cell.check(not wrong, wrong)


def busy_gil(cell, python, folder):
    """A program that computes all the time holds the GIL too: that is no reason to warn."""
    with target.Target(python.path, "busy", folder) as subject:
        subject.settle()
        for _ in range(5):
            gil = checks(doctor(cell, subject.pid, 0))["gil"]
            cell.equal(gil["verdict"], "ok", f"gil: {gil}")
        wrong = subject.quit()
        cell.check(not wrong, wrong)


def occupied(cell, python, folder):
    with target.Target(python.path, "plain", folder, ("loop",)) as subject:
        subject.settle()
        with tool.Recording(subject.pid, folder, "10m", name="first") as first:
            cell.need(first.wait_begun(), "it did not record: " + first.messages())
            all_refuse(cell, subject.pid, folder, 6, "another vizattach")
            first.child.signal(signal.SIGINT)
            cell.equal(first.wait(), 0, "exit status of the first one")
        doctor(cell, subject.pid, 0)
        wrong = subject.quit()
        cell.check(not wrong, wrong)


EMBEDDER = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) : NULL;
	void (*start)(int) = library ? dlsym(library, "Py_InitializeEx") : NULL;
	int (*run)(const char *) = library ? dlsym(library, "PyRun_SimpleString") : NULL;

	if (!start || !run)
		return 1;
	start(0);
	return run("import time, os\nos.write(1, b'x')\nwhile True: time.sleep(0.01)\n");
}
"""


def embedder(cell, python, folder):
    """A program that loads libpython when it runs is found too."""
    ask = ("import sys, sysconfig as s; v = s.get_config_var;"
           "print(v('LIBDIR') + '/' + (v('INSTSONAME') or '')); print(sys.base_prefix)")
    library, home = subprocess.run([python.path, "-c", ask], stdout=subprocess.PIPE, timeout=60,
                                   check=True).stdout.decode().splitlines()
    compiler = shutil.which("cc")
    if ".so" not in library or not os.path.exists(library) or not compiler:
        raise board.Skip("no compiler, or CPython is no shared library")
    source, binary = folder / "host.c", folder / "host"
    source.write_text(EMBEDDER)
    subprocess.run([compiler, "-o", binary, source, "-ldl"], check=True, timeout=60)
    with child.Child([binary, library], folder, env={"PYTHONHOME": home}) as subject:
        child.wait_until(lambda: subject.stdout() == "x" or not subject.alive(), "it starts")
        cell.need(subject.alive(), "the embedder is dead: " + subject.stderr()[-500:])
        row = listed(cell, subject.pid)
        cell.check(row.get("attachable") is True, f"ps: {row}")
        doctor(cell, subject.pid, 0)


def usage(cell, python, folder):
    for arguments in (["doctor", "--duration", "1s"], ["doctor", "4242"], ["ps", "--pid", "1"],
                      ["ps", "x"], ["doctr"]):
        result = run_tool(arguments)
        cell.equal((result.returncode, result.stdout), (2, b""), f"{arguments}")
        cell.check(result.stderr.startswith(b"vizattach: "), f"message: {result.stderr!r}")
    for verb in ("doctor", "ps"):
        result = run_tool([verb, "--help"])
        cell.equal((result.returncode, result.stderr), (0, b""), verb)
        lines = result.stdout.decode().splitlines()
        cell.check(len(lines) <= 24 and all(len(line) <= 80 for line in lines), "does not fit")


ONCE = [("machine", machine), ("usage", usage), ("other-user", other_user),
        ("not-dumpable", not_dumpable), ("without-capability", without_capability),
        ("other-group", other_group), ("yama", yama),
        ("other-namespace", other_namespace), ("below-namespace", below_namespace), ("container", container),
        ("zombie", zombie), ("traced", traced), ("kernel-thread", kernel_thread),
        ("memory-limit", memory_limit), ("thread-limit", thread_limit), ("user-limit", user_limit),
        ("address-limit", address_limit), ("frozen", frozen), ("opted-out", opted_out),
        ("pypy", pypy), ("32-bit", class_32)]
EACH = [("nothing", nothing), ("stopped", stopped), ("strict-seccomp", strict_seccomp),
        ("seccomp-filter", seccomp_filter), ("finalizing", finalizing), ("cprofile", profiled),
        ("held-gil", held_gil), ("busy-gil", busy_gil), ("occupied", occupied),
        ("embedder", embedder)]


def run(wanted_pythons=(), wanted=()):
    result = board.Board("doctor")
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
