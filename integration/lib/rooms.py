"""
Containers made of the kernel's parts: a root, namespaces, mounts.  Everything is mounted in a
mount namespace of its own and vanishes with the process, so nothing needs to be unmounted.
"""
import collections
import glob
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys

from . import board, child, procfs, target, where

ROOTS = where.ROOT / "build" / "roots"  # made by scripts/roots
DENY = pathlib.Path(__file__).with_name("deny.py")
NAMESPACES = ("--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net", "--cgroup")
USER = ("--user", "--map-root-user")
SKIPPED = {"proc", "sys", "dev"}

Room = collections.namedtuple("Room", "root namespaces mounts prefix chroot interpreter bwrap python needs user",
                              defaults=(None, (), (), (), (), (), (), None, (), None))
# root         suite below build/roots, a folder, or None for the root of the host
# namespaces   options of unshare(1); a mount namespace always
# mounts       commands that run when root and share are mounted: $room, $root, $scratch
# prefix       words before chroot, run with the tools of the host
# chroot       options of chroot(1)
# interpreter  words between chroot and Python, in the room
# bwrap        options of bubblewrap, which then does all of it
# python       program, else the only python3.x of the root
# needs        other roots
# user         number of the user who makes the namespaces

_SETUP = """set -e
room=$1 root=$2 share=$3 scratch=$4
shift 4
mount --make-rprivate / 2>/dev/null || true
if [ "$root" != / ]; then
	mount --bind "$root" "$room"
	mount --bind "$share" "$room/srv"
fi
%s
exec "$@"
"""

OVERLAY = """umount "$room/srv" "$room"
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$scratch/upper,workdir=$scratch/work" "$room"
mount --bind "$share" "$room/srv"
"""


def find_root(name):
    """The folder of a root; Skip where it is not there."""
    path = pathlib.Path(name) if os.path.isabs(name) else ROOTS / name
    if not path.is_dir():
        raise board.Skip(f"no root of {path.name}: run scripts/roots")
    return path


def find_python(root):
    found = sorted(glob.glob(str(root / "usr/bin/python3.*")))
    if not found:
        raise board.Skip(f"no Python in {root}")
    return "/" + os.path.relpath(found[0], root)


def _words(room, folder, share):
    """The command line up to Python."""
    outside = where.TARGETS.parent / "lib"
    if room.bwrap:
        root = find_root(room.root)
        return ["bwrap", *room.bwrap, "--bind", root, "/", "--bind", share, "/srv", *room.prefix]
    root = find_root(room.root) if room.root else pathlib.Path("/")
    place, scratch = folder / "root", folder / "scratch"
    place.mkdir()
    scratch.mkdir()
    who = ["setpriv", f"--reuid={room.user}", f"--regid={room.user}", "--clear-groups"] if room.user else []
    words = [*who, "unshare", "--mount", *room.namespaces, "--", "bash", "-c",
             _SETUP % "\n".join(room.mounts), "room", place if room.root else "/", root, share,
             scratch, *room.prefix]
    if room.root:
        words += ["chroot", *room.chroot, place]
    return words + list(room.interpreter)


class Tenant(target.Target):
    """A target in a room.  `pid` is its number on the host, `inside` the one that it has itself."""

    def __init__(self, room, name, folder, args=()):
        self.room, self.name, self.share = room, name, folder / "share"
        self.seen = "/srv" if room.root else str(self.share)  # the share, as the target sees it
        shutil.copytree(where.TARGETS, self.share, ignore=shutil.ignore_patterns("__pycache__"))
        (self.share / "out").mkdir()
        (self.share / "out").chmod(0o777)
        super().__init__(None, name, folder, args)
        self.pid = self._find()
        self.inside = int(procfs.status(self.pid)["NSpid"].split()[-1])

    def launch(self, python, name, control, args, folder, env, user):
        shutil.move(control, self.share / "control")
        words = _words(self.room, folder, self.share)
        python = self.room.python or (find_python(find_root(self.room.root)) if self.room.root
                                      else sys.executable)
        words += [python, f"{self.seen}/{name}.py", f"{self.seen}/control"] + list(args)
        # not the folder of the driver: it would be seen as a way out of the room
        return child.Child(words, folder, name="target", cwd="/")

    def _find(self):
        """The innermost process that runs the program; the others only started it."""
        script = f"{self.seen}/{self.name}.py"
        found = [pid for pid in [self.child.pid] + procfs.descendants(self.child.pid)
                 if script in procfs.read(f"/proc/{pid}/cmdline").split("\0")]
        return found[-1]

    def files(self):
        """Every file that the target can see: path -> what would change if somebody had been there."""
        found = {}
        top = f"/proc/{self.pid}/root"
        if not self.room.root:
            return found
        for folder, names, files in os.walk(top):
            if folder == top:
                names[:] = [name for name in names if name not in SKIPPED]
            for name in names + files:
                path = os.path.join(folder, name)
                try:
                    one = os.lstat(path)
                except OSError:
                    continue
                if path != top + "/srv/control" and not stat.S_ISCHR(one.st_mode):
                    found[path[len(top):]] = (one.st_mode, one.st_size, one.st_mtime_ns,
                                              one.st_ctime_ns, one.st_uid, one.st_ino)
        return found


def changed(before, after, but="/srv/out"):
    """Paths that are new, gone or different."""
    return sorted(path for path in set(before) | set(after)
                  if before.get(path) != after.get(path) and not path.startswith(but))


def bring_tool(share):
    """
    A copy of vizattach with the libraries that it needs, in the room: works in a root with an
    older libc, and without one.  Returns the command line up to the options.
    """
    place = share / "tool"
    place.mkdir()
    binary = where.program("vizattach")
    shutil.copy(binary, place / "vizattach")
    text = subprocess.run(["ldd", binary], stdout=subprocess.PIPE, check=True, timeout=30).stdout.decode()
    for path in set(re.findall(r"(/\S+) \(0x", text)):
        shutil.copy(path, place)
    loader = next(place.glob("ld-linux*"))
    for path in place.iterdir():
        path.chmod(0o755)
    return [f"/srv/tool/{loader.name}", "--library-path", "/srv/tool", "/srv/tool/vizattach"]


def bring_static(share):
    """The same with the program that needs no library, where it was built."""
    binary = pathlib.Path(where.program("vizattach")).with_name("vizattach-static")
    if not binary.is_file():
        raise board.Skip("no vizattach-static: a static library was missing when it was built")
    (share / "tool").mkdir()
    shutil.copy(binary, share / "tool")
    return ["/srv/tool/vizattach-static"]


def enter(pid, *options):
    """The command line that enters the room of a process."""
    return ["nsenter", "--target", str(pid), "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup",
            "--root", "--wdns=/", *options, "--"]


class Group:
    """A control group of our own, version 1 or 2, removed at the end."""

    def __init__(self, controller, name):
        base = pathlib.Path("/sys/fs/cgroup")
        self.version = 1 if (base / controller / "tasks").exists() else 2
        self.path = (base / controller if self.version == 1 else base) / name
        try:
            self.path.mkdir()
        except OSError as error:
            raise board.Skip(f"no control group of {controller}: {error.strerror}") from None
        wanted = {("memory", 1): "memory.limit_in_bytes", ("memory", 2): "memory.max"}
        self.limit_name = wanted.get((controller, self.version), f"{controller}.max")
        if not (self.path / self.limit_name).exists():
            self.path.rmdir()
            raise board.Skip(f"control groups do not offer {self.limit_name} here")

    def add(self, pid):
        (self.path / "cgroup.procs").write_text(str(pid))

    def limit(self, value):
        (self.path / self.limit_name).write_text(str(value))

    def get(self, name):
        return int((self.path / name).read_text())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for pid in (self.path / "cgroup.procs").read_text().split():
            (self.path.parent / "cgroup.procs").write_text(pid)
        self.path.rmdir()
