"""Results: printed as they come, as a table at the end, and counted."""
import sys
import time
import traceback

from . import child


class Skip(Exception):
    """This cell cannot run here; the text says why."""


class Stop(Exception):
    """This cell cannot go on; its failures are recorded already."""


class Cell:
    """One check in progress.  Failures are collected, so that one run tells all that is wrong."""

    def __init__(self, row, column):
        self.row, self.column = row, column
        self.failures = []
        self.mark = "pass"  # how the table calls a success
        self.seconds = None  # that it took, if it ran elsewhere

    def check(self, condition, text):
        if not condition:
            self.failures.append(text)
        return bool(condition)

    def equal(self, actual, expected, what):
        return self.check(actual == expected, f"{what}: {actual!r}, expected {expected!r}")

    def none(self, items, what):
        """ITEMS is a list of differences that should be empty."""
        return self.check(not items, f"{what}: " + "; ".join(str(item) for item in items[:8]) +
                          (f" and {len(items) - 8} more" if len(items) > 8 else ""))

    def need(self, condition, text):
        """A check without which the rest makes no sense."""
        if not self.check(condition, text):
            raise Stop(text)


class Board:
    """The results of one part of the run."""

    def __init__(self, title):
        self.title = title
        self.results = {}
        self.rows, self.columns = [], []
        self.passed = self.failed = self.skipped = 0

    def run(self, row, column, function, *args):
        """Call FUNCTION(cell, *args) and note what became of it."""
        cell = Cell(row, column)
        begin = time.monotonic()
        why = ""
        try:
            function(cell, *args)
        except Skip as skip:
            why = str(skip)
            self._note(cell, "skip", why, begin)
            return
        except Stop:
            pass
        except child.Timeout as late:
            cell.failures.append(str(late))
        except Exception:
            cell.failures.append(traceback.format_exc(limit=-3).strip())
        self._note(cell, "FAIL" if cell.failures else cell.mark, why, begin)

    def _note(self, cell, mark, why, begin):
        if cell.row not in self.rows:
            self.rows.append(cell.row)
        if cell.column not in self.columns:
            self.columns.append(cell.column)
        self.results[cell.row, cell.column] = mark
        self.passed += mark not in ("FAIL", "skip")
        self.failed += mark == "FAIL"
        self.skipped += mark == "skip"
        seconds = time.monotonic() - begin if cell.seconds is None else cell.seconds
        print(f"{mark:4} {self.title}: {cell.row}, {cell.column} ({seconds:.1f} s)"
              + (f": {why}" if why else ""), flush=True)
        for failure in cell.failures:
            for line in failure.splitlines():
                print("       " + line, flush=True)

    def table(self):
        """Rows x columns."""
        if not self.rows:
            return
        width = max(len(row) for row in self.rows)
        print("\n" + " " * width, " ".join(self.columns))
        for row in self.rows:
            marks = (self.results.get((row, column), "-").center(len(column)) for column in self.columns)
            print(f"{row:{width}}", " ".join(marks))
        print(flush=True)

    def counts(self):
        return self.passed, self.failed, self.skipped


def finish(boards):
    """Print the total as the last line; returns the exit status."""
    totals = [sum(numbers) for numbers in zip(*(board.counts() for board in boards))] or [0, 0, 0]
    sys.stdout.flush()
    print("%d passed, %d failed, %d skipped" % tuple(totals), flush=True)
    return 1 if totals[1] or not totals[0] else 0


def interruptible(main):
    """MAIN's status; Ctrl-C ends what was started and says no more than that."""
    try:
        return main()
    except KeyboardInterrupt:
        child.end_all()
        print("interrupted", flush=True)
        return 130
