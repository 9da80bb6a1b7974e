"""
Threads deep inside random programs, stopped at a barrier, and what Python itself says of their
stacks.  Runs in any CPython from 3.8 on, alone, without the rest of the tests.

usage: stacks.py      then for each line "SEED THREADS DEPTH" on stdin: one line of JSON
A line "go" lets them end: an empty line is the answer.

{"threads": {TID: [[file, line, name, qualified name], ...]}, "fault": {TID: [[file, line, name], ...]},
 "plans": {TID: [kind, ...]}, "failures": [traceback, ...]}: the innermost frame first; TID is the kernel's.
"""
import asyncio
import builtins
import collections
import contextlib
import copy
import ctypes
import faulthandler
import functools
import gc
import importlib
import itertools
import json
import os
import queue
import random
import re
import select
import sys
import tempfile
import threading
import traceback
import weakref

sys.setrecursionlimit(20000)
threading.stack_size(256 << 20)
KINDS = {}
ENDS = {}


def kind(function):
    KINDS[function.__name__] = function
    return function


def end(function):
    ENDS[function.__name__] = function
    return function


def step(run):
    """The next call of the program, and at last its end."""
    if run.gone:
        return None
    run.position += 1
    if run.position < len(run.plan):
        return KINDS[run.plan[run.position]](run)
    return ENDS[run.end](run)


# ---- kinds of calls; each one has to come to step() ----

@kind
def plain(run):
    return step(run)


@kind
def several_lines(run):
    a = 1
    result = (
        step(
            run,
        ),
        a +
        2,
    )
    return result


@kind
def keywords(run, *args, **kwargs):
    if not kwargs:
        return keywords(run, *(1, 2), **{"a": 1})
    return step(
        run=run)


@kind
def nested(run):
    def inner():
        return step(run)
    return inner()


@kind
def many_cells(run, a=1, b=2, c=3):
    d = e = f = g = 5

    def inner():
        nonlocal d
        d = a + b + c + e + f + g
        return step(run)
    return inner()


@kind
def lambdas(run):
    return (lambda: (lambda x: step(x))(run))()


@kind
def list_comprehension(run):
    return [step(run) for _ in (0,)]


@kind
def nested_comprehension(run):
    return {
        a: [
            step(run)
            for _ in range(1)
        ]
        for a in range(1)
    }


@kind
def set_comprehension(run):
    return {bool(step(run)) for _ in "a"}


@kind
def generator_expression(run):
    return list(step(run) for _ in (0,))


@kind
def generator(run):
    def numbers():
        yield 1
        yield step(run)
    for number in numbers():
        last = number
    return last


@kind
def generator_send(run):
    def numbers():
        while True:
            got = yield
            if got:
                step(run)
    numbers = numbers()
    next(numbers)
    numbers.send(1)


@kind
def generator_throw(run):
    def numbers():
        try:
            yield
        except KeyError:
            step(run)
            yield
    numbers = numbers()
    next(numbers)
    numbers.throw(KeyError("a"))


@kind
def generator_close(run):
    def numbers():
        try:
            yield
        finally:
            step(run)
    numbers = numbers()
    next(numbers)
    numbers.close()


@kind
def yield_from(run):
    def inner():
        yield 1
        step(run)
        yield 2

    def middle():
        yield from inner()

    def outer():
        yield from middle()
    return sum(outer())


@kind
def coroutines(run):
    async def inner():
        return step(run)

    async def middle():
        return await inner()

    async def outer():
        return await middle()
    with contextlib.suppress(StopIteration):
        outer().send(None)


@kind
def async_generators(run):
    async def numbers():
        yield 1
        step(run)
        yield 2

    async def outer():
        async for _ in numbers():
            pass
        return [x async for x in numbers()]
    position = run.position
    with contextlib.suppress(StopIteration):
        outer().send(None)
    assert run.position > position


@kind
def async_with(run):
    class Manager:
        async def __aenter__(self):
            return step(run)

        async def __aexit__(self, *args):
            pass

    async def outer():
        async with Manager():
            pass
    with contextlib.suppress(StopIteration):
        outer().send(None)


@kind
def event_loop(run):
    async def inner():
        await asyncio.sleep(0)
        return step(run)

    async def outer():
        return await asyncio.gather(inner())
    loop = asyncio.new_event_loop()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop.run_until_complete(outer())
    else:
        step(run)
    loop.close()


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper


@kind
@decorated
@decorated
def decorators(run):
    return step(run)


@kind
@functools.lru_cache(maxsize=None)
def cached(run):
    return step(run)


@kind
def partials(run):
    return functools.partial(step, run)()


class Things:
    def __init__(self, run, go=False):
        self.run = run
        if go:
            step(run)

    def method(self):
        return step(self.run)

    @classmethod
    def class_method(cls, run):
        return step(run)

    @staticmethod
    def static_method(run):
        return step(run)

    @property
    def prop(self):
        return step(self.run)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return step(self.run)

    def __call__(self, *args):
        return step(self.run)

    def __eq__(self, other):
        step(self.run)
        return True

    def __hash__(self):
        step(self.run)
        return 1

    def __lt__(self, other):
        step(self.run)
        return True

    def __add__(self, other):
        step(self.run)
        return self

    def __getitem__(self, i):
        step(self.run)
        return 1

    def __bool__(self):
        step(self.run)
        return True

    def __str__(self):
        step(self.run)
        return "a"

    def __iter__(self):
        step(self.run)
        return iter(())

    def __enter__(self):
        step(self.run)

    def __exit__(self, *args):
        pass

    def __format__(self, spec):
        step(self.run)
        return "a"

    def __contains__(self, what):
        step(self.run)
        return True

    def __len__(self):
        step(self.run)
        return 1

    def __deepcopy__(self, memo):
        step(self.run)
        return self


class More(Things):
    def __init__(self, run):
        super().__init__(run, True)

    def method(self):
        return super().method()


class OnDelete:
    def __init__(self, run):
        self.run = run

    def __del__(self):
        step(self.run)


class Exits(Things):
    def __enter__(self):
        return self

    def __exit__(self, *args):
        step(self.run)
        return True


@kind
def method(run):
    return Things(run).method()


@kind
def constructor(run):
    for _ in range(12):
        Things(run)
    return Things(run, True)


@kind
def super_constructor(run):
    return More(run)


@kind
def class_method(run):
    return Things.class_method(run), Things.static_method


@kind
def static_method(run):
    return Things.static_method(run)


@kind
def property_(run):
    return Things(run).prop


@kind
def getattr_(run):
    return Things(run).anything


@kind
def call_(run):
    return Things(run)(1, 2, 3)


@kind
def equal(run):
    return [Things(run)].index(1)


@kind
def hashed(run):
    return {Things(run): 1} and None


@kind
def less(run):
    return Things(run) < 1


@kind
def add(run):
    return Things(run) + 1


@kind
def item(run):
    return Things(run)[1]


@kind
def truth(run):
    if Things(run):
        return 1
    return 2


@kind
def string(run):
    return "%s" % (Things(run),)


@kind
def format_string(run):
    thing = Things(run)
    return f"abc {thing}"


@kind
def iterate(run):
    for _ in Things(run):
        pass


@kind
def contains(run):
    return 1 in Things(run)


@kind
def length(run):
    return len(Things(run))


@kind
def deep_copy(run):
    return copy.deepcopy([Things(run)])


@kind
def with_enter(run):
    with Things(run):
        pass


@kind
def with_exit(run):
    with Exits(run):
        pass


@kind
def with_exit_raised(run):
    with Exits(run):
        raise KeyError(1)


@kind
def context_manager(run):
    @contextlib.contextmanager
    def manager():
        yield
        step(run)
    with manager():
        pass


@kind
def delete(run):
    thing = OnDelete(run)
    del thing
    return None


@kind
def delete_at_return(run):
    def inner(thing):
        return 1
    return inner(OnDelete(run))


collecting = threading.Lock()


@kind
def collected(run):
    if not collecting.acquire(False):  # another thread would collect what is ours
        return step(run)
    try:
        thing = OnDelete(run)
        thing.me = thing
        del thing
        gc.collect()
    finally:
        collecting.release()


@kind
def weak(run):
    class Empty:
        pass
    thing = Empty()
    ref = weakref.ref(thing, lambda _: step(run))
    del thing
    return ref


@kind
def handler(run):
    try:
        raise ValueError(1)
    except ValueError:
        return step(run)


@kind
def finally_(run):
    try:
        raise_it()
    except KeyError:
        pass
    finally:
        step(run)


def raise_it():
    raise KeyError("raised")


@kind
def sorting(run):
    return sorted([1], key=lambda x: bool(step(run)))


@kind
def mapping(run):
    return list(map(lambda x: step(run), [1]))


@kind
def filtering(run):
    return list(filter(lambda x: step(run), [1]))


@kind
def reducing(run):
    return functools.reduce(lambda a, b: step(run), [1, 2])


@kind
def maximum(run):
    return max([1], key=lambda x: bool(step(run)))


@kind
def substitute(run):
    return re.sub("a", lambda match: (step(run), "b")[1], "a")


@kind
def grouped(run):
    return [list(group) for _, group in itertools.groupby([1], lambda x: bool(step(run)))]


@kind
def default_dict(run):
    return collections.defaultdict(lambda: step(run))[1]


@kind
def parsed(run):
    return json.loads("{}", object_hook=lambda x: step(run))


@kind
def dumped(run):
    return json.dumps({1, }, default=lambda x: step(run) or 1)


@kind
def iter_with_end(run):
    return list(iter(lambda: step(run), None))


@kind
def native_callback(run):
    return ctypes.CFUNCTYPE(ctypes.c_int)(lambda: bool(step(run)))()


@kind
def executed(run):
    exec("def f():\n\n    return (\n        step(run))\nf()\n", {"step": step, "run": run})


@kind
def executed_module(run):
    exec(compile("\n\n\nx = 1\ny = [\n  step(run),\n  2]\n", "<made up ä €>", "exec"),
         {"step": step, "run": run})


@kind
def evaluated(run):
    return eval("(1,\n step(run))")


def far_source(gap, statements):
    text = "def far(step, run, x=1):\n"
    text += "    x = x + 1; y = [x, x]; y.append(x * (x + 1))\n" * statements
    text += "\n" * gap
    text += "    result = [step(run),\n" + "\n" * gap + "        x]\n    return result\n"
    space = {}
    exec(compile(text, f"<far {gap} {statements}>", "exec"), space)
    return space["far"]


FAR = [far_source(gap, statements) for gap in (0, 100, 126, 127, 128, 129, 300, 40000)
       for statements in (0, 5, 40, 2000)]


@kind
def far(run):
    return run.random.choice(FAR)(step, run)


@kind
def backwards(run):
    for x in (1,
              step(run)
              ): pass
    return x


@kind
def loop_else(run):
    while False:
        pass
    else:
        step(run)


@kind
def conditional(run):
    return (1 if run is None
            else step(run)
            if run
            else 2)


@kind
def chained(run):
    return (run
            .random
            .choice([step])
            (run))


@kind
def class_body(run):
    class Body:
        x = 1
        y = step(run)
    return Body


@kind
def metaclass(run):
    class Meta(type):
        def __new__(mcs, name, bases, space):
            step(run)
            return super().__new__(mcs, name, bases, space)

    class Body(metaclass=Meta):
        pass
    return Body


@kind
def subclassed(run):
    class Base:
        def __init_subclass__(cls):
            step(run)

    class Body(Base):
        pass
    return Body


MODULES = tempfile.mkdtemp(prefix="vz-stacks-")
sys.path.insert(0, MODULES)
imports = itertools.count()
builtins.vz_runs = {}


@kind
def imported(run):
    name = "made_up_%d" % next(imports)
    path = os.path.join(MODULES, name + ".py")
    with open(path, "w") as file:
        file.write("import builtins\n\n\nbuiltins.vz_step(\n  builtins.vz_runs[__name__])\n")
    builtins.vz_step = step
    builtins.vz_runs[name] = run
    importlib.invalidate_caches()
    try:
        __import__(name)
    finally:
        os.unlink(path)
        del builtins.vz_runs[name]
        sys.modules.pop(name, None)


@kind
def recursion(run):
    def down(n):
        if n:
            return down(n - 1)
        return step(run)
    return down(run.random.randrange(200))


@kind
def deep(run):
    def down(n):
        if n:
            return down(n - 1)
        return step(run)
    return down(1000)


@kind
def deep_through_c(run):
    def down(n):
        if n:
            return list(map(down, [n - 1]))
        return step(run)
    return down(run.random.randrange(60))


@kind
def traced(run):
    def trace(frame, event, arg):
        return trace
    sys.settrace(trace)
    try:
        return several_lines(run)
    finally:
        sys.settrace(None)


@kind
def suspended_beside(run):
    def numbers():
        yield from iter([1, 2])
    beside = numbers()
    next(beside)
    return step(run)


if sys.version_info >= (3, 10):
    exec("""
@kind
def matched(run):
    match [1, 2]:
        case [1, x] if (
                step(run) or True):
            return x
""")

# ---- ends: from the first call of C on, their line stays the same ----


@end
def lock(run):
    os.write(run.arrived, b"x"), run.gate.acquire()


@end
def read(run):
    os.write(run.arrived, b"x"), os.read(run.pipe[0], 1)


@end
def queued(run):
    os.write(run.arrived, b"x"), run.queue.get()


@end
def polled(run):
    os.write(run.arrived, b"x"), select.select([run.pipe[0]], [], [])


@end
def in_argument(run):
    return max(
        1,
        len([os.write(run.arrived, b"x"), run.gate.acquire()]))


@end
def in_native_sort(run):
    gate, arrived = run.gate, run.arrived
    return sorted([1], key=lambda x: os.write(arrived, b"x") and gate.acquire() and 1)


# ---- a round ----

class Run(threading.Thread):
    def __init__(self, seed, depth, arrived):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        kinds = sorted(KINDS)
        if depth == 0:  # all of them
            self.plan = kinds
        else:
            self.plan = [self.random.choice(kinds) for _ in range(self.random.randrange(1, depth + 1))]
        self.end = self.random.choice(sorted(ENDS))
        self.position = -1
        self.gone = False
        self.arrived = arrived
        self.gate = threading.Lock()
        self.gate.acquire()
        self.pipe = os.pipe()
        self.queue = queue.SimpleQueue()
        self.failure = None

    def run(self):
        self.tid = threading.get_native_id()
        try:
            step(self)
        except BaseException:
            self.failure = traceback.format_exc()
            os.write(self.arrived, b"x")

    def let_go(self):
        self.gone = True
        self.gate.release()
        os.write(self.pipe[1], b"x")
        self.queue.put(None)
        self.join()
        os.close(self.pipe[0])
        os.close(self.pipe[1])


def frames_of(frame):
    ret = []
    summary = traceback.StackSummary.extract(traceback.walk_stack(frame), lookup_lines=False)
    for item in summary:
        code = frame.f_code
        ret.append([item.filename, item.lineno, item.name, getattr(code, "co_qualname", item.name)])
        frame = frame.f_back
    return ret


def fault_of(numbers):
    """What faulthandler prints, by thread."""
    ret, current = {}, None
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        for line in file.read().decode("ascii", "replace").splitlines():
            header = re.match(r"(?:Current thread|Thread) 0x([0-9a-f]+)", line)
            if header:
                current = ret.setdefault(str(numbers.get(int(header.group(1), 16))), [])
                continue
            frame = re.match(r'  File "(.*)", line (\d+|\?\?\?) in (.*)$', line)
            if frame:
                number = frame.group(2)
                current.append([frame.group(1), int(number) if number != "???" else None, frame.group(3)])
    ret.pop("None", None)
    return ret


def report(runs):
    numbers = {run.ident: run.tid for run in runs}
    frames = sys._current_frames()
    return {"threads": {str(number): frames_of(frames[ident]) for ident, number in numbers.items()},
            "fault": fault_of(numbers),
            "plans": {str(run.tid): run.plan + [run.end] for run in runs},
            "failures": [run.failure for run in runs if run.failure]}


def main():
    arrived = os.pipe()
    gc.disable()  # it would run what is not our turn
    for line in sys.stdin:
        seed, count, depth = map(int, line.split())
        runs = [Run(seed * 1000 + i, depth, arrived[1]) for i in range(count)]
        for run in runs:
            run.start()
        for _ in runs:
            os.read(arrived[0], 1)
        print(json.dumps(report(runs)), flush=True)
        if not sys.stdin.readline():
            break
        for run in runs:
            run.let_go()
        print(flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
