"""Where things are: the two programs, the targets, a scratch folder."""
import atexit
import itertools
import os
import pathlib
import shutil
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGETS = ROOT / "integration" / "targets"

_scratch = None


def _newest(name):
    found = [path for path in (ROOT / "build" / "release" / name, ROOT / "build" / name)
             if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def program(name):
    """vizattach or vizview: $VZ_BUILD_DIR, else the newer of build/release and build."""
    build = os.environ.get("VZ_BUILD_DIR")
    path = pathlib.Path(build) / name if build else _newest(name)
    if path is None or not path.is_file():
        raise SystemExit(f"no {name} in {build or 'build'}: run scripts/build first")
    return str(path)


def scratch():
    """One folder for this run, readable by other users, removed at the end."""
    global _scratch
    if _scratch is None:
        _scratch = pathlib.Path(tempfile.mkdtemp(prefix="vizattach-test-"))
        _scratch.chmod(0o755)
        if not os.environ.get("VZ_KEEP"):
            atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
    return _scratch


_numbers = itertools.count(1)


def fresh(name):
    """A new folder in the scratch folder; of any thread."""
    path = scratch() / f"{next(_numbers):03d}-{name}"
    path.mkdir(mode=0o755)
    return path
