"""Others who look, trace or veto while a recorder comes and goes; each checks that it sees no difference."""
import gc
import sys
import threading
import time
import unittest

import ctl

stop = threading.Event()


def beside_leaf(number):
    return number * number % 7


def beside_work():
    ctl.expect(sum(beside_leaf(number) for number in range(50)) == 98, "checksum")


def loop(step, pause=0.005):
    step()
    ctl.ready()
    while not ctl.quitting():
        step()
        time.sleep(pause)
        ctl.tick()


def coverage():
    """Counts lines as coverage does: the same ones, each time."""
    seen = []

    def trace(frame, event, argument):
        if frame.f_code in (beside_work.__code__, beside_leaf.__code__):
            seen.append((event, frame.f_lineno))
            return trace
        return None

    def step():
        del seen[:]
        sys.settrace(trace)
        beside_work()
        ctl.expect(sys.gettrace() is trace, "the trace function is gone")
        sys.settrace(None)
        first.append(list(seen))
        ctl.expect(first.pop() == first[0] if len(first) > 1 else True, "other lines than at first")
    first = []
    loop(step)
    ctl.expect(len(first[0]) > 150, "no lines")


def profile():
    """cProfile now and then; what it counts is right."""
    import cProfile

    def step():
        profiler = cProfile.Profile()
        profiler.enable()
        beside_work()
        profiler.disable()
        calls = [entry.callcount for entry in profiler.getstats()
                 if getattr(entry.code, "co_name", "") == "beside_leaf"]
        ctl.expect(calls == [50], "cProfile counted %r" % calls)
        beside_work()
    loop(step, 0.02)


def monitoring():
    """Another tool counts starts and lines of one function."""
    events, count = sys.monitoring.events, {}
    sys.monitoring.use_tool_id(sys.monitoring.COVERAGE_ID, "counts")

    def counter(name):
        def note(*arguments):
            count[name] = count.get(name, 0) + 1
        return note
    for name in ("PY_START", "PY_RETURN", "LINE"):
        sys.monitoring.register_callback(sys.monitoring.COVERAGE_ID, getattr(events, name), counter(name))
    sys.monitoring.set_local_events(sys.monitoring.COVERAGE_ID, beside_leaf.__code__,
                                    events.PY_START | events.PY_RETURN | events.LINE)

    def step():
        count.clear()
        beside_work()
        ctl.expect(count == {"PY_START": 50, "PY_RETURN": 50, "LINE": 50}, "counted %r" % count)
    loop(step)
    ctl.expect(sys.monitoring.get_tool(sys.monitoring.COVERAGE_ID) == "counts", "the id changed")


def one_id_left():
    """All ids but one are taken."""
    for number in (0, 1, 2, 3, 5):
        sys.monitoring.use_tool_id(number, "tool %d" % number)
    loop(beside_work)
    for number in (0, 1, 2, 3, 4, 5):
        ctl.expect(sys.monitoring.get_tool(number) == (None if number == 4 else "tool %d" % number),
                   "id %d" % number)


def sub_interpreters():
    """Interpreters that come and go on the main thread; "own": each with a GIL of its own."""
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        import _interpreters as interpreters
    own = sys.argv[3] == "own"
    if sys.version_info >= (3, 13):
        config = "isolated" if own else "legacy"

        def create():
            return interpreters.create(config)
    elif sys.version_info >= (3, 9):
        def create():
            return interpreters.create(isolated=own)
    else:
        create = interpreters.create
    code = ("def sub_leaf(number): return number * number % 7\n"
            "def sub_work(): return sum(sub_leaf(number) for number in range(50))\n"
            "for _ in range(5): assert sub_work() == 98, 'checksum'\n")
    kept = create()

    def step():
        fresh = create()
        for one in (kept, fresh):
            failed = interpreters.run_string(one, code)
            ctl.expect(not failed, "in an interpreter: %r" % (failed,))
        interpreters.destroy(fresh)
        beside_work()
    loop(step, 0.01)
    interpreters.destroy(kept)


def veto():
    """An audit hook that forbids; what it forbids to the recorder, it forbids to us as well."""
    words = tuple(sys.argv[3].split(","))

    def hook(event, arguments):
        if event.startswith(words):
            threading.current_thread()
            raise RuntimeError("not here: " + event)
    sys.addaudithook(hook)
    look_at_threads()


def look_at_threads():
    threads = [threading.Thread(target=stop.wait, name="waits") for _ in range(2)]
    for thread in threads:
        thread.start()
    expected = sorted(thread.name for thread in threading.enumerate())

    def step():
        names = sorted(thread.name for thread in threading.enumerate())
        ctl.expect(names == expected, "threads %r" % names)
        ctl.expect(threading.active_count() == len(expected), "count of threads")
        ctl.expect(len(threading._active) == len(expected), "_active %r" % threading._active)
        ctl.expect(set(sys._current_frames()) == set(thread.ident for thread in threading.enumerate()),
                   "frames of threads")
        beside_work()
    loop(step)


def logs():
    """An audit hook that wants to know the thread of everything, as logging does."""
    sys.addaudithook(lambda event, arguments: threading.current_thread())
    look_at_threads()


def is_foreign(thing):
    return type(thing).__name__ == "vizattach"


def objects():
    """Whoever walks through all objects finds none of the recorder's."""
    def step():
        beside_work()
        found = [one for one in gc.get_objects() if is_foreign(one)
                 or any(map(is_foreign, gc.get_referents(one)))]
        ctl.expect(not found, "objects: %.300r" % found)
    loop(step, 0.02)


def own_profiler(frame, event, argument):
    if frame.f_code is beside_leaf.__code__:
        own_events.append(event)


own_events = []


def profilers():
    """A program that profiles itself from time to time, and puts back what was there before."""
    def in_thread():
        ctl.expect(sys.getprofile() is own_profiler, "threading.setprofile")

    def step():
        before = sys.getprofile()
        ctl.expect(before is None, "there is a profiler: %r" % (before,))
        del own_events[:]
        sys.setprofile(own_profiler)
        ctl.expect(sys.getprofile() is own_profiler, "it is not the one that was set")
        beside_work()
        sys.setprofile(before)
        ctl.expect(own_events == ["call", "return"] * 50, "events %r" % own_events[:10])
        ctl.expect(sys.getprofile() is None, "it stayed")
        threading.setprofile(own_profiler)
        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()
        threading.setprofile(None)
        beside_work()
        kept.append(sys.getprofile())
    kept = []
    loop(step, 0.01)
    ctl.expect(set(kept) == {None}, "it kept %r" % set(kept))


def own_tests():
    """CPython's tests of its own profiling."""
    from test import test_sys_setprofile

    class Quiet:
        def write(self, text):
            pass

        def flush(self):
            pass

    def step():
        suite = unittest.defaultTestLoader.loadTestsFromModule(test_sys_setprofile)
        result = unittest.TextTestRunner(Quiet()).run(suite)
        bad = [str(one[0]) for one in result.failures + result.errors]
        ctl.expect(result.testsRun > 10 and not bad, "CPython's tests: %r" % bad)
        beside_work()
    loop(step)


def main():
    globals()[sys.argv[2]]()
    stop.set()
    ctl.finish()


main()
