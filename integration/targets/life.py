"""fork, exec and exit while recorded; the child or the new program goes on."""
import os
import sys
import time
import warnings

import ctl


def life_step(number):
    return number * 3


def work():
    ctl.expect(sum(life_step(number) for number in range(50)) == 3675, "checksum")


def only_in_child():
    return sum(life_step(number) for number in range(300))


def child_work(answer):
    """Runs in the forked child: nothing of the tracer may be left that matters there."""
    good = sys.getprofile() is None
    for _ in range(300):
        good = good and only_in_child() == 134550
    os.write(answer, b"good" if good else b"bad!")


def fork_once():
    answer, child_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        child_work(child_end)
        os._exit(7)
    os.close(child_end)
    ctl.expect(os.read(answer, 10) == b"good", "the child's answer")
    os.close(answer)
    ctl.expect(os.waitpid(pid, 0) == (pid, 7 << 8), "the child's status")


def steps_until_begun():
    while not ctl.begun():
        work()
        time.sleep(0.002)
        ctl.tick()


def until_quit():
    while not ctl.quitting():
        work()
        time.sleep(0.01)
        ctl.tick()


def fork():
    # from 3.12 on os.fork() warns of any second thread, and the tracer's agent is one
    warnings.simplefilter("ignore", DeprecationWarning)
    steps_until_begun()
    for _ in range(10):
        fork_once()
        work()
    ctl.done()
    until_quit()


def execute():
    if len(sys.argv) > 3:  # the new program
        ctl.done()
        until_quit()
        return
    steps_until_begun()
    work()
    os.execv(sys.executable, [sys.executable] + sys.argv + ["again"])


def leave():
    steps_until_begun()
    work()


def main():
    ctl.ready()
    {"fork": fork, "exec": execute, "exit": leave}[sys.argv[2]]()
    ctl.finish()


main()
