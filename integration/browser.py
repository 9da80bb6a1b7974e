"""
The page in real browsers: Chromium and Firefox ESR, both headless; browser/tests/*.mjs has the tests.

usage: browser.py [--golden] [PART-OF-A-NAME...]
  --golden   write the golden pictures anew (look at them before you commit them)
Screenshots of a run: build/browser/.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

from lib import board, child, scenery, where

HERE = where.ROOT / "integration" / "browser"
BOUND = 600


def missing():
    """Why the tests cannot run here; "" if they can."""
    for program in ("node", "chromium"):
        if not shutil.which(program):
            return f"no {program} here"
    if not (HERE / "node_modules" / "playwright-core").is_dir():
        return "no npm packages in integration/browser: scripts/setup installs them"
    return ""


def traces(folder):
    """All that the tests open; name -> path."""
    made = {name: scenery.generated(folder, name) for name in scenery.CALLS}
    made["scenes"] = scenery.scenes(folder)
    made["lossy"] = scenery.lossy(folder)
    made["json"], hand = scenery.imported(folder)
    if hand:
        made["hand"] = hand
    made.update(scenery.damaged(folder, made["small"]))
    return {name: str(path) for name, path in made.items()}


def relay(result, line):
    """One test of the other side, as a cell of ours."""
    told = json.loads(line)

    def cell_of(cell):
        cell.seconds = told["seconds"]
        if told["mark"] == "skip":
            raise board.Skip(told["why"])
        cell.failures.extend(told["failures"])
    result.run(told["group"], told["name"], cell_of)


def run_tests(result, wanted, golden):
    folder = where.fresh("browser")
    shots = where.ROOT / "build" / "browser"
    world = folder / "world.json"
    world.write_text(json.dumps({"vizview": where.program("vizview"), "scratch": str(folder),
                                 "shots": str(shots), "traces": traces(folder)}))
    environment = dict(os.environ, VZ_GOLDEN="write" if golden else "")
    tests = subprocess.Popen(["node", HERE / "run.mjs", world, *wanted], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, env=environment, text=True)
    try:
        for line in tests.stdout:
            relay(result, line)
        status = tests.wait(BOUND)
    finally:
        tests.terminate()
        tests.wait(30)

    def came_to_end(cell):
        cell.equal(status, 0, "exit status of the driver")
    result.run("driver", "came to its end", came_to_end)


def run(wanted=(), golden=False):
    result = board.Board("browser")
    why = missing()
    if why:
        def skipped(cell):
            raise board.Skip(why)
        result.run("all", "all", skipped)
    else:
        run_tests(result, wanted, golden)
        child.end_all()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--golden", action="store_true")
    parser.add_argument("tests", nargs="*")
    options = parser.parse_args()
    return board.finish([run(options.tests, options.golden)])


if __name__ == "__main__":
    sys.exit(board.interruptible(main))
