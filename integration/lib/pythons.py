"""Which interpreters are here."""
import collections
import os
import pathlib
import re
import shutil
import subprocess

from . import where

Python = collections.namedtuple("Python", "path name minor modules debian")

SUPPORTED = range(8, 14)
_ASK = ("import sys\n"
        "found = []\n"
        "for name in ('flask', 'gevent', 'greenlet'):\n"
        "    try:\n"
        "        __import__(name); found.append(name)\n"
        "    except Exception: pass\n"
        "print('%d.%d.%d%s %s %s' % (sys.version_info[:3]\n"
        "      + (getattr(sys, 'abiflags', ''), sys.executable, ','.join(found))))\n")


def ask(path):
    """(version, flags, executable, modules) of the program at PATH, or None if it is no Python."""
    try:
        text = subprocess.run([str(path), "-c", _ASK], stdout=subprocess.PIPE, timeout=60,
                              stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL).stdout.decode()
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    match = re.match(r"(\d+)\.(\d+)\.(\d+)([a-z]*) (\S+) ?(\S*)", text)
    if not match:
        return None
    version = tuple(int(part) for part in match.group(1, 2, 3))
    flags = match.group(4).replace("m", "") if version[1] < 8 else match.group(4)
    return version, flags, match.group(5), tuple(filter(None, match.group(6).split(",")))


def _folders():
    root = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    yield from sorted(root.glob("versions/*"))
    extra = os.environ.get("VZ_EXTRA_PYTHONS")
    if extra:
        yield pathlib.Path(extra)
        yield from sorted(path for path in pathlib.Path(extra).iterdir() if path.is_dir())


def _candidates():
    """The system's python3 comes first: it is the only one that brings modules and servers."""
    yield debian_python()
    for folder in _folders():
        binaries = [path for name in ("bin", "usr/bin", ".")
                    for path in sorted((folder / name).glob("python[23]*"))
                    if re.fullmatch(r"python[23](\.\d+)?d?", path.name) and os.access(path, os.X_OK)]
        yield from (str(path) for path in binaries)
    for minor in SUPPORTED:
        path = shutil.which(f"python3.{minor}", path="/usr/local/bin:/usr/bin:/bin")
        if path:
            yield path


def debian_python():
    return shutil.which("python3", path="/usr/bin:/bin") or shutil.which("python3")


_all = None


def everything():
    """Every Python here, of any version, each program once."""
    global _all
    if _all is not None:
        return _all
    _all, seen = [], set()
    for path in _candidates():
        real = os.path.realpath(path) if path else None
        if real is None or real in seen:
            continue
        seen.add(real)
        answer = ask(path)
        if answer is None:
            continue
        version, _, executable, modules = answer
        debian = path == debian_python()
        name = ("deb-" if debian else "") + ".".join(str(part) for part in version)
        if name not in [python.name for python in _all]:
            _all.append(Python(executable, name, version[:2], modules, debian))
    return _all


def supported():
    found = [python for python in everything() if python.minor[0] == 3 and python.minor[1] in SUPPORTED]
    return sorted(found, key=lambda python: (python.minor, not python.debian))


def unsupported():
    return [python for python in everything() if python not in supported()]


# Runs a Python of another root with that root's libraries, but the files of this one.
_WRAPPER = """#!/bin/sh
PYTHONHOME="{root}/usr" exec "{root}/usr/lib64/ld-linux-x86-64.so.2" --argv0 "$0" \\
	--library-path "{root}/usr/lib/x86_64-linux-gnu" "{root}/usr/bin/{name}" "$@"
"""


def _wrap(root, name):
    wrapper = root.parent / "bin" / f"{root.name}-{name}"
    wrapper.parent.mkdir(exist_ok=True)
    new = wrapper.with_suffix(f".{os.getpid()}")
    new.write_text(_WRAPPER.format(root=root, name=name))
    new.chmod(0o755)
    os.replace(new, wrapper)
    return wrapper


_readable = None


def readable():
    """
    Those that a snapshot can read: the supported ones, newer ones that scripts/roots has
    unpacked, and a free-threaded one that scripts/freethreaded has built.
    """
    global _readable
    if _readable is not None:
        return _readable
    _readable = supported()
    build = where.ROOT / "build"
    newer = [_wrap(path.parents[2], path.name)
             for path in sorted(build.glob("roots/*/usr/bin/python3.*"))
             if re.fullmatch(r"python3\.1[4-9]", path.name)]
    for path in newer + sorted(build.glob("freethreaded/bin/python3.*t")):
        answer = ask(path)
        if answer:
            version, flags, executable, modules = answer
            name = ".".join(str(part) for part in version) + flags
            _readable.append(Python(executable, name, version[:2], modules, False))
    return _readable


def system():
    """The Python that Debian's servers use."""
    return next((python for python in supported() if python.debian), None)
