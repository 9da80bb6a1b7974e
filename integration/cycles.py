"""
Attach and detach over and over to one process that answers requests all the
time: nothing may pile up, nothing may be lost, every request is answered.

usage: cycles.py [--python NAME-PART] [--count 200] [--duration 100ms]
"""
import argparse
import statistics
import sys

from lib import board, child, figures, load, procfs, pythons, target, tool, trace, where

COUNT = 200
WARM = 100            # cycles until memory must be flat
FLAT_KIB = 1024       # and how flat
SAMPLES = 25          # of one median: a service's own memory breathes
MORE_MAPS = 3         # plain memory that libc maps for the service itself; ours are compared one by one
# Every interpreter gets some cycles; the long run is for one of each hook.
SHORT = 25


class Growth:
    """VmRSS and counts after each cycle; medians of the first ones after the warm-up and of the last."""

    def __init__(self, pid):
        self.pid, self.rss, self.counts = pid, [], []

    def sample(self):
        self.rss.append(int(procfs.status(self.pid).get("VmRSS", "0").split()[0]))
        self.counts.append((len(procfs.maps(self.pid)), len(procfs.fds(self.pid)),
                            len(procfs.tasks(self.pid))))

    def long_enough(self):
        return len(self.rss) >= WARM + 2 * SAMPLES

    def rss_kib(self):
        """By how much it grew since the warm-up."""
        return (statistics.median(self.rss[-SAMPLES:])
                - statistics.median(self.rss[WARM:WARM + SAMPLES]))

    def grown(self):
        """Maps, fds, threads: (name, first, last) where the medians differ."""
        names = ("maps", "fds", "threads")
        first, last = (zip(*part) for part in (self.counts[WARM:WARM + SAMPLES], self.counts[-SAMPLES:]))
        return [(name, statistics.median(one), statistics.median(two))
                for name, one, two in zip(names, first, last)]

    def check(self, cell, name, count, wrong):
        if not self.long_enough():
            return
        cell.check(self.rss_kib() <= FLAT_KIB, f"VmRSS grew by {self.rss_kib():.0f} KiB")
        for what, first, last in self.grown():
            cell.check(last <= first + (MORE_MAPS if what == "maps" else 0),
                       f"{what}: {first:g} after {WARM} cycles, {last:g} in the end")
        figures.note("attach and detach, over and over", name, count, wrong,
                     "VmRSS %+.0f KiB after the first %d cycles, " % (self.rss_kib(), WARM)
                     + ", ".join("%s %g -> %g" % one for one in self.grown()))


def one_cycle(cell, subject, folder, number, duration):
    run = tool.record(subject.pid, folder, duration, name="cycle", extra=("--force",))
    receipt = run.receipt()
    good = cell.equal(run.status, 0, f"cycle {number}: exit status ({run.messages().strip()[-300:]})")
    good = good and cell.equal(receipt.get("lost"), 0, f"cycle {number}: lost")
    good = good and cell.equal(receipt.get("restored"), True, f"cycle {number}: restored ({receipt.get('left')})")
    return good, run


def service_cycles(cell, python, count, duration):
    folder = where.fresh("cycles")
    expected = target.function("wsgi_app", "app_compute")
    with target.Target(python.path, "service", folder) as subject:
        subject.clients = load.Load(load.http_client(subject.get("AUX"), lambda number:
                                                     b"%d" % expected(number)), threads=2)
        subject.clients.wait_busy()
        before, growth, failed = subject.settle(), Growth(subject.pid), 0
        for number in range(count):
            good, run = one_cycle(cell, subject, folder, number, duration)
            failed += not good
            growth.sample()
            # one that did not work may repeat itself two hundred times: enough is enough
            cell.need(good or len(cell.failures) < 3, "too many failures")
            if number % 50 == 49 and (count <= 500 or number % 500 == 499):
                print(f"       {python.name}: {number + 1} cycles, "
                      f"{subject.clients.answered} answers, VmRSS {growth.rss[-1]} KiB", flush=True)
        growth.check(cell, python.name, count, failed)
        cell.check("app_compute" in trace.report(run.path), "app_compute is not in the last trace")
        cell.check(subject.advances(), "target not healthy")
        trace.wait_restored(cell, before, lambda: procfs.Snapshot(subject.pid), procfs.differences)
        wrong = subject.quit()
        cell.check(not wrong, wrong)


def long_ones():
    """The newest interpreter with each kind of hook, and the system's."""
    found = [python.name for python in pythons.supported() if python.debian]
    for minors in (range(8, 12), range(12, 14)):
        names = [python.name for python in pythons.supported()
                 if python.minor[1] in minors and not python.debian]
        found += names[-1:]
    return found


def run(wanted=(), count=COUNT, duration="100ms"):
    result = board.Board("cycles")
    for python in pythons.supported():
        if not wanted or any(part in python.name for part in wanted):
            times = count if wanted or python.name in long_ones() else min(SHORT, count)
            result.run(f"{times} cycles", python.name, service_cycles, python, times,
                       duration)
            child.end_all()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--duration", default="100ms", help="of one recording")
    options = parser.parse_args()
    return board.finish([run(options.python, options.count, options.duration)])


if __name__ == "__main__":
    sys.exit(board.interruptible(main))
