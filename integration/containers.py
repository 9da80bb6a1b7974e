"""
Targets in other roots, with other C libraries, behind namespaces, limits and filters.

usage: containers.py [CASE...]
scripts/roots makes the roots; what cannot be had here is skipped.
"""
import collections
import glob
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

import errors
from lib import board, child, procfs, pythons, rooms, target, tool, trace, where

SYS_SOCKET, SYS_CONNECT, SYS_MEMFD_CREATE = 41, 42, 319  # x86-64
NOBODY = "65534"
# xor %edi,%edi; mov %edx,%eax; syscall; jmp: and mov %edx,%eax in its other encoding
EXIT_LOOP, SAME_LOOP = b"\x31\xff\x89\xd0\x0f\x05\xeb\xf8", b"\x31\xff\x8b\xc2\x0f\x05\xeb\xf8"
ALL = rooms.USER + rooms.NAMESPACES
TIME = ("--time", "--monotonic", "100000", "--boottime", "200000")
PROC = 'mount -t proc proc "$room/proc"'
READ_ONLY = 'mount -o remount,bind,ro "$room"'
NOEXEC_TMP = 'mount -t tmpfs -o noexec,nosuid tmpfs "$room/tmp"'
HIDDEN_PROC = 'mount -t proc -o hidepid=2 proc "$room/proc"'
HOST_PROC = 'mount --rbind /proc "$room/proc"'
NO_TMP = rooms.OVERLAY + 'rm -r "$room/tmp"'
HIDDEN_HERE = 'mount --make-rprivate /; mount -t proc -o hidepid=2 proc /proc; exec "$@"'

Case = collections.namedtuple("Case", "name room target args expect how",
                              defaults=("mixed", (), ("mix_digest", "mix_float", "wait_epoll"), "outside"))


def room(root, *mounts, **fields):
    return rooms.Room(root, mounts=mounts, **fields)


def denying(*numbers):
    return ("/usr/bin/python3", rooms.DENY, ",".join(str(number) for number in numbers))


def loader(suite, *libraries):
    """Python as an argument of a root's ld.so: /proc/PID/exe is not Python.  Libc from the first root."""
    roots = [rooms.ROOTS / name for name in (*libraries, suite)]
    path = ":".join(str(root / "usr/lib/x86_64-linux-gnu") for root in roots)
    found = glob.glob(str(roots[-1] / "usr/bin/python3.*")) or [str(roots[-1] / "usr/bin/python3")]
    return rooms.Room(interpreter=(roots[0] / "lib64/ld-linux-x86-64.so.2", "--library-path", path),
                      python=found[0], needs=(*libraries, suite))


BWRAP = ("--unshare-all", "--die-with-parent", "--uid", "1000", "--gid", "1000")
INNER = ("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")
UNPRIVILEGED = dict(chroot=(f"--userspec={NOBODY}:{NOBODY}",), prefix=("setpriv", "--no-new-privs"))

CASES = [
    # a root of its own: bullseye has glibc 2.31 with libpthread apart, trixie 2.41
    Case("chroot-bullseye", room("bullseye", PROC)),
    Case("chroot-trixie", room("trixie", PROC)),
    Case("chroot-idle", room("bullseye", PROC), "idle", ("lock",), ("idle_lock",)),
    Case("chroot-fork", room("bullseye", PROC), "life", ("fork",), ("life_step", "fork_once"), "workload"),
    Case("namespaces-bullseye", room("bullseye", PROC, namespaces=ALL)),
    Case("namespaces-trixie", room("trixie", PROC, namespaces=ALL)),
    Case("namespaces-host-root", rooms.Room(None, ALL, ("mount -t proc proc /proc",))),
    Case("rootless", room("trixie", PROC, namespaces=ALL, user=NOBODY), how="rootless"),
    Case("time-namespace", room("trixie", PROC, namespaces=rooms.NAMESPACES + TIME)),
    Case("bubblewrap", rooms.Room("trixie", bwrap=BWRAP, prefix=INNER)),
    # what a careful operator takes away
    Case("read-only", room("trixie", PROC, NOEXEC_TMP, READ_ONLY, namespaces=ALL)),
    Case("nobody-no-new-privs", room("trixie", PROC, NOEXEC_TMP, READ_ONLY,
                                     namespaces=rooms.NAMESPACES, **UNPRIVILEGED)),
    Case("overlay-no-tmp", room("bullseye", NO_TMP, PROC)),
    Case("seccomp-no-sockets", room("trixie", PROC, prefix=denying(SYS_SOCKET, SYS_CONNECT))),
    Case("seccomp-no-memfd", room("trixie", PROC, prefix=denying(SYS_MEMFD_CREATE)), how="no_memfd"),
    # /proc
    Case("hidepid", room("trixie", HIDDEN_PROC, namespaces=rooms.NAMESPACES, **UNPRIVILEGED),
         how="hidden"),
    Case("no-proc-bullseye", room("bullseye")),
    Case("no-proc-trixie", room("trixie")),
    Case("no-proc-fork", room("trixie"), "life", ("fork",), ("life_step", "fork_once"), "workload"),
    Case("proc-of-others", room("trixie", HOST_PROC, namespaces=rooms.NAMESPACES)),
    # from the inside
    Case("inside-root-bullseye", room("bullseye", PROC, namespaces=ALL), how="inside_root"),
    Case("inside-root-trixie", room("trixie", PROC, namespaces=ALL), how="inside_root"),
    Case("inside-static-bullseye", room("bullseye", PROC, namespaces=ALL), how="inside_static"),
    Case("inside-user", room("bullseye", PROC, namespaces=rooms.NAMESPACES, **UNPRIVILEGED),
         how="inside_user"),
    # control groups
    Case("memory-group", room("trixie", PROC, namespaces=ALL), how="memory_group"),
    Case("pids-group", room("trixie", PROC, namespaces=ALL), how="pids_group"),
    # where the files are not what is in memory
    Case("run-by-loader", loader("trixie"), "busy", (), ("busy_outer", "busy_inner")),
    Case("newest-libc", loader("trixie", "sid"), "threads", ("crowd",), ("crowd_work", "crowd_step")),
    Case("unknown-libc", None, how="unknown_libc"),
    Case("upgraded-root", None, how="upgraded_root"),
    Case("replaced-libpython", None, "calls", ("generators",), ("gen_leaf", "generators"),
         "replaced_libpython"),
    # refused, by name
    Case("python-3.14", room("sid", PROC, python="/usr/bin/python3.14"), "plain", how="too_new"),
    Case("python-3.15", room("sid", PROC, python="/usr/bin/python3.15"), "plain", how="too_new"),
    Case("musl", None, how="musl"),
    Case("musl-static", None, how="musl_static"),
    Case("glibc-static", None, how="glibc_static"),
]


class Visit:
    """One attach into a room, with what there was before."""

    def __init__(self, cell, case, tenant, folder):
        self.cell, self.case, self.tenant, self.folder = cell, case, tenant, folder
        self.before = tenant.settle()
        self.files = tenant.files()

    def recorded(self, recording):
        """It worked, the trace holds what it must."""
        status = recording.wait()
        messages = recording.messages().strip()[-400:]
        receipt = recording.receipt()
        self.cell.equal(status, 0, f"exit status ({messages})")
        if status == 0:
            self.cell.equal(receipt.get("restored"), True, f"receipt.restored ({receipt.get('left')})")
            names = trace.report(recording.path)
            self.cell.none([name for name in self.case.expect if name not in names],
                           f"not in the trace ({len(names)} names, {receipt.get('events')} events, "
                           f"{receipt.get('lost')} lost)")

    def as_before(self):
        """The same process and the same files; going on, with right results."""
        tenant = self.tenant
        self.cell.check(tenant.advances(), "target not healthy: " + tenant.child.stderr()[-500:])
        trace.wait_restored(self.cell, self.before, lambda: procfs.Snapshot(tenant.pid),
                            procfs.differences)
        self.cell.none(rooms.changed(self.files, tenant.files()), "files in the room")

    def goodbye(self):
        wrong = self.tenant.quit()
        self.cell.check(not wrong, wrong)


# ---- how the visit goes: one function for each value of Case.how


def outside(visit):
    visit.recorded(tool.Recording(visit.tenant.pid, visit.folder, "600ms"))


def workload(visit):
    """The target does something once, inside the window."""
    recording = tool.Recording(visit.tenant.pid, visit.folder, "10m")
    visit.cell.need(recording.wait_begun(), "it did not record: " + recording.messages())
    visit.tenant.begin()
    visit.tenant.wait_done()
    recording.child.signal(2)
    visit.recorded(recording)


def rootless(visit):
    """As rootless containers are: a user made the namespaces, and the same user attaches from outside."""
    place = visit.folder / "nobody"
    place.mkdir()
    place.chmod(0o777)
    binary = visit.folder / "vizattach"
    shutil.copy(where.program("vizattach"), binary)
    binary.chmod(0o755)
    visit.recorded(tool.Recording(visit.tenant.pid, visit.folder, "600ms", output=place / "trace.viz",
                                  binary=binary, user="nobody"))


def no_memfd(visit):
    run = errors.attempt(visit.tenant.pid, visit.folder)
    errors.refused(visit.cell, run, 7, "memfd_create", "seccomp")


def hidden(visit):
    """The tool sees /proc that way, too, if this kernel hides by mount (5.8) and not for all."""
    outside(visit)
    if tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2]) >= (5, 8):
        visit.recorded(tool.Recording(visit.tenant.pid, visit.folder, "300ms", name="hidden", prefix=[
            "unshare", "--mount", "bash", "-c", HIDDEN_HERE, "tool"]))


def inside(visit, *options, bring=rooms.bring_tool):
    """The tool runs in the room, as a copy, and knows the target by its number there."""
    words = rooms.enter(visit.tenant.pid, *options) + bring(visit.tenant.share)
    visit.files = visit.tenant.files()  # with the copy
    recording = tool.Recording(visit.tenant.inside, visit.folder, "600ms", prefix=words[:-1],
                               binary=words[-1], output="/srv/out/inside.viz")
    recording.path = visit.tenant.share / "out" / "inside.viz"
    visit.recorded(recording)


def inside_root(visit):
    inside(visit, "--user", "--setuid=0", "--setgid=0")


def inside_static(visit):
    """One file, in a root that has none of its libraries and an older libc."""
    inside(visit, "--user", "--setuid=0", "--setgid=0", bring=rooms.bring_static)


def inside_user(visit):
    scope = pathlib.Path("/proc/sys/kernel/yama/ptrace_scope")
    if scope.exists() and scope.read_text().strip() != "0":
        raise board.Skip("kernel.yama.ptrace_scope is not 0")
    inside(visit, "--setuid=" + NOBODY, "--setgid=" + NOBODY)


def memory_group(visit):
    """A group with room for what the recording needs, and not for much more."""
    with rooms.Group("memory", f"vizattach-test-{os.getpid()}") as group:
        group.add(visit.tenant.pid)
        group.limit(96 << 20)
        outside(visit)
        visit.as_before()


def pids_group(visit):
    """
    No more threads: it says so, and nothing has changed, not even where the attach goes on in spite
    of that.  Nor with one thread, which is missed only when the agent wants to be unmapped.
    """
    tenant, over = visit.tenant, ("--override-limits",)
    with rooms.Group("pids", f"vizattach-test-{os.getpid()}") as group:
        for pid in [tenant.pid] + procfs.descendants(tenant.pid):
            group.add(pid)
        group.limit(group.get("pids.current"))
        errors.refused(visit.cell, errors.attempt(tenant.pid, visit.folder), 7, "0 more threads")
        errors.refused(visit.cell, errors.attempt(tenant.pid, visit.folder, extra=over), 7, "pids.max")
        visit.as_before()
        for more in (1, 2):
            group.limit(group.get("pids.current") + more)
            visit.recorded(tool.Recording(tenant.pid, visit.folder, "300ms", name=f"with-{more}",
                                          extra=over if more == 1 else ()))
            visit.as_before()


def too_new(visit):
    run = errors.attempt(visit.tenant.pid, visit.folder)
    errors.refused(visit.cell, run, 5, visit.tenant.room.python.partition("python")[2], "too new")


# ---- cases that bring their own target


def replace(path):
    """As a package manager does it: a new file under the old name, and the old one is gone."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(b"not what it was\n" * 1000)
    os.replace(new, path)


def copy_root(suite, folder):
    root = folder / "copy"
    shutil.copytree(rooms.find_root(suite), root, symlinks=True,
                    ignore=shutil.ignore_patterns("dev"))  # /dev/zero has no end
    return root


def unknown_libc(cell, case, folder):
    """A libc whose exit loop is written in another way: the agent cannot unmap itself, the tool does."""
    root = copy_root("trixie", folder)
    path = root / "usr/lib/x86_64-linux-gnu/libc.so.6"
    code = path.read_bytes()
    cell.need(code.count(EXIT_LOOP) > 0, "the exit loop is not as we know it")
    path.write_bytes(code.replace(EXIT_LOOP, SAME_LOOP))
    with rooms.Tenant(room(str(root), PROC), case.target, folder) as tenant:
        visit_room(cell, case._replace(how="outside"), tenant, folder)


def upgraded_root(cell, case, folder):
    """Python, libc, libpthread and ld.so of the root are replaced under the running service."""
    root = copy_root("bullseye", folder)
    with rooms.Tenant(room(str(root), PROC), case.target, folder) as tenant:
        tenant.settle()
        for pattern in ("usr/bin/python3.*", "lib/x86_64-linux-gnu/libc-*", "lib/x86_64-linux-gnu/ld-*",
                        "lib/x86_64-linux-gnu/libpthread-*"):
            found = sorted(root.glob(pattern))
            cell.check(found, f"no {pattern} in the root")
            for path in found:
                replace(path)
        visit_room(cell, case._replace(how="outside"), tenant, folder)


def replaced_libpython(cell, case, folder):
    """The same with a Python whose libpython is apart; the files are gone for good."""
    for python in pythons.supported():
        prefix = pathlib.Path(python.path).resolve().parents[1]
        library = next(iter(sorted(prefix.glob("lib/libpython3.*.so.1.0"))), None)
        if not python.debian and library:
            break
    else:
        raise board.Skip("no Python with a libpython of its own")
    binary = folder / "python"
    shutil.copy(pathlib.Path(python.path).resolve(), binary)
    shutil.copy(library, folder)
    with target.Target(binary, case.target, folder, case.args, env={
            "LD_LIBRARY_PATH": str(folder), "PYTHONHOME": str(prefix)}) as subject:
        subject.settle()
        cell.need(any(str(folder / library.name) == one.path for one in procfs.maps(subject.pid)),
                  "it did not load the copy")
        binary.unlink()
        (folder / library.name).unlink()
        subject.files = dict
        visit_room(cell, case._replace(how="outside"), subject, folder)


# Exports what a CPython 3.11 exports, as data, and claims to run.
IMPOSTOR = """
#include <string.h>
#include <unistd.h>
#include "payload/wire.h"
#define NAME(symbol) unsigned char symbol[1 << 14] = { 1 };
#define Py_Version ignored
VZ_PY_SYMBOLS(NAME)
#undef Py_Version
unsigned long Py_Version = 0x030b02f0;
unsigned char Py_GetVersion[64] = { 1 };
int main(void)
{
	memset(_PyRuntime, 1, sizeof(_PyRuntime));
	for (;;)
		pause();
}
"""


def impostor(cell, folder, compiler, *options):
    """A process that looks like CPython and has another C library than we can call: refused."""
    if not shutil.which(compiler):
        raise board.Skip("no " + compiler)
    (folder / "impostor.c").write_text(IMPOSTOR)
    (folder / "exported").write_text("{ Py*; _Py*; };")
    binary = folder / "python3.11"
    done = subprocess.run([compiler, "-w", "-I", where.ROOT, "-o", binary, folder / "impostor.c",
                           f"-Wl,--dynamic-list={folder}/exported", *options], stderr=subprocess.PIPE, timeout=60)
    if done.returncode:
        raise board.Skip(f"{compiler} {options}: " + done.stderr.decode(errors="replace")[-200:])
    with child.Child([binary], folder, name="impostor") as process:
        child.wait_until(lambda: procfs.state(process.pid) == "S" and
                         procfs.status(process.pid).get("Name") == binary.name, "it waits")
        before = procfs.Snapshot(process.pid)
        run = errors.attempt(process.pid, folder)
        cell.none(procfs.differences(before, procfs.Snapshot(process.pid), strict=True), "touched")
        cell.check(process.alive(), "the target ended")
        return run


def musl(cell, case, folder):
    errors.refused(cell, impostor(cell, folder, "musl-gcc"), 5, "musl")


def musl_static(cell, case, folder):
    """A program without .dynsym shows nothing of what is in it."""
    errors.refused(cell, impostor(cell, folder, "musl-gcc", "-static"), 5, "static")


def glibc_static(cell, case, folder):
    errors.refused(cell, impostor(cell, folder, "gcc", "-static-pie"), 5, "linked with glibc dynamically")


# ---- the run


def visit_room(cell, case, tenant, folder):
    visit = Visit(cell, case, tenant, folder)
    globals()[case.how](visit)
    visit.as_before()
    visit.goodbye()


def run_case(cell, case):
    if os.getuid() != 0:
        raise board.Skip("needs root")
    for suite in case.room.needs if case.room else ():
        rooms.find_root(suite)
    folder = where.fresh(case.name)
    if case.room is None:
        globals()[case.how](cell, case, folder)
        return
    for program in ["unshare", "nsenter", "setpriv"] + ["bwrap"] * bool(case.room.bwrap):
        if not shutil.which(program):
            raise board.Skip("no " + program)
    with rooms.Tenant(case.room, case.target, folder, case.args) as tenant:
        visit_room(cell, case, tenant, folder)


def run(wanted=()):
    result = board.Board("containers")
    for case in CASES:
        if not wanted or case.name in wanted:
            result.run(case.name, "debian", run_case, case)
            child.end_all()
    result.table()
    return result


if __name__ == "__main__":
    sys.exit(board.finish([run(sys.argv[1:])]))
