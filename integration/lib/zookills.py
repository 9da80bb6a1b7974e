"""Snapshots whose tool is killed at each of its operations on the target: nobody may stay stopped."""
import os
import subprocess

from . import cages, child, procfs, where, zoocases

CASES = ("busy-loop", "gil-sleep", "gil-read")  # runs; sleeps, and its stack needs registers
MOST = 60


def _snapshot(pid, **fault):
    env = dict(os.environ, **{name: str(value) for name, value in fault.items()})
    return subprocess.run([where.program("vizattach-faults"), "snapshot", "--pid", str(pid), "--json"], env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          timeout=60).returncode


def _let_go(pid):
    return all(procfs.state(pid, tid) not in "Tt" and procfs.status(pid, tid).get("TracerPid") == "0"
               for tid in procfs.tasks(pid))


def run_case(cell, python, name):
    """Kill it at operation 1, 2, ... until it comes to its end; the program then gives its right result."""
    case = next(case for case in zoocases.CASES if case.name == name)
    cages.check_possible(python, case)
    with cages.cage(case)(python, case, where.fresh("killed-" + name), 120) as subject:
        cell.need(cages.settle(subject), "it does not hang: " + subject.child.stderr()[-500:])
        killed = 0
        for step in range(1, MOST):
            status = _snapshot(subject.pid, VZ_FAULT_STEP=step)
            child.wait_until(lambda: _let_go(subject.pid), f"let go after a kill at operation {step}", 5)
            if status == 0:
                break
            killed += cell.equal(status, -9, f"exit status at operation {step}")
        cell.check(killed > 0, "no operation was killed: the case stops nobody")
        cell.equal(_snapshot(subject.pid), 0, "the next snapshot")
        cell.need(subject.alive(), "it has ended: " + subject.child.stderr()[-500:])
        subject.release()
        wrong = subject.result()
        cell.check(not wrong, wrong)
        print(f"       {name}, {python.name}: killed at {killed} operations", flush=True)
