"""A process as /proc shows it, before and after."""
import collections
import os

Map = collections.namedtuple("Map", "start end perms offset inode path")

# Numbers 32 and 33 belong to libc, which installs its handlers when the first thread starts.
LIBC_SIGNALS = (1 << 31) | (1 << 32)
HEAP_MAX = 64 << 20  # malloc's arenas start at multiples of this


def read(path):
    with open(path, "rb") as file:
        return file.read().decode(errors="replace")


def status(pid, tid=None):
    """/proc/PID/status as a dict; {} if it is gone."""
    path = f"/proc/{pid}/task/{tid}/status" if tid else f"/proc/{pid}/status"
    try:
        lines = read(path).splitlines()
    except OSError:
        return {}
    return dict((key, value.strip()) for key, _, value in (line.partition(":") for line in lines))


def state(pid, tid=None):
    """One letter: R S D T t Z; "" if it is gone."""
    return status(pid, tid).get("State", "")[:1]


def tasks(pid):
    try:
        return set(int(tid) for tid in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return set()


def children(pid):
    """Direct children, by asking every process for its parent."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and status(name).get("PPid") == str(pid):
            found.append(int(name))
    return sorted(found)


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child] + descendants(child)
    return found


def maps(pid):
    found = []
    for line in read(f"/proc/{pid}/maps").splitlines():
        fields = line.split(None, 5)
        start, end = (int(part, 16) for part in fields[0].split("-"))
        found.append(Map(start, end, fields[1], int(fields[2], 16), int(fields[4]),
                         fields[5] if len(fields) > 5 else ""))
    return found


def fds(pid):
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            pass
    return found


def _arenas(items):
    """Maps that belong to malloc's arenas: rw-p at a 64 MiB boundary and the ---p behind it."""
    found = set()
    for one, following in zip(items, items[1:] + [None]):
        if one.path or one.start % HEAP_MAX or one.perms != "rw-p":
            continue
        found.add(one)
        if following and following.start == one.end and following.perms == "---p":
            found.add(following)
    return found


class Snapshot:
    """Maps, open files, threads and signal masks of one moment."""

    def __init__(self, pid):
        self.pid = pid
        self.maps = maps(pid)
        self.fds = fds(pid)
        self.masks = {}
        for tid in tasks(pid):
            fields = status(pid, tid)
            if fields:
                self.masks[tid] = int(fields["SigBlk"], 16)
        fields = status(pid)
        self.caught = int(fields["SigCgt"], 16) & ~LIBC_SIGNALS
        self.ignored = int(fields["SigIgn"], 16)
        self.tracer = int(fields["TracerPid"])

    def _comparable(self, strict):
        """
        What must not change.  A program that runs maps and unmaps plain private
        memory for its own objects: that is compared only where STRICT says that
        it does nothing of the kind.  Code, files and shared memory always are.
        """
        skip = _arenas(self.maps)
        kept = set()
        for one in self.maps:
            plain = one.path == "" and one.perms in ("rw-p", "---p")
            if one in skip or one.path in ("[heap]", "[stack]") or (plain and not strict):
                continue
            kept.add(one)
        return kept


def differences(before, after, strict=False, threads=True, sockets=True):
    """
    Every difference in words; an empty list if there is none.  THREADS and
    SOCKETS are false where the program makes and ends such by itself.
    """
    found = []
    old, new = before._comparable(strict), after._comparable(strict)
    for sign, items in (("+", new - old), ("-", old - new)):
        for one in sorted(items):
            found.append(f"maps {sign}{one.start:x}-{one.end:x} {one.perms} {one.path}")
    for number in sorted(set(before.fds) | set(after.fds)):
        pair = before.fds.get(number), after.fds.get(number)
        own = not sockets and all(one is None or one.startswith("socket:") for one in pair)
        if pair[0] != pair[1] and not own:
            found.append(f"fd {number}: {pair[0]} -> {pair[1]}")
    if threads:
        for sign, items in (("+", set(after.masks) - set(before.masks)),
                            ("-", set(before.masks) - set(after.masks))):
            if items:
                found.append(f"threads {sign}{sorted(items)}")
    for tid in sorted(set(before.masks) & set(after.masks)):
        if before.masks[tid] != after.masks[tid]:
            found.append(f"SigBlk of {tid}: {before.masks[tid]:x} -> {after.masks[tid]:x}")
    for name in ("caught", "ignored", "tracer"):
        if getattr(before, name) != getattr(after, name):
            found.append(f"{name}: {getattr(before, name):x} -> {getattr(after, name):x}")
    return found
