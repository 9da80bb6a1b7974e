"""
What tests/test_pystack.c reads from outside, and what Python says of it: threads that stand still
in all kinds of calls, generators in all states, variables, values in use.

thread TID                   then its frames, the innermost first, each as LINE|FILE|NAME
gen ADDRESS STATE LINE AWAITED      addresses of objects; STATE: ended, begun or not; LINE 0: ended
local TID DEPTH NAME ADDRESS        ADDRESS 0: not bound
value TID DEPTH ADDRESS             is among the values that the frame works with
"""
import functools
import os
import re
import sys
import threading

arrived = os.pipe()
gate = threading.Lock()
gate.acquire()
facts = []


def stay():
    os.write(arrived[1], b"x"), gate.acquire()


def recursion():
    def down(n):
        if n:
            return down(n - 1)
        stay()
    down(1000)


def comprehension():
    return [[stay() for _ in "a"] for _ in "a"]


def lambdas():
    return (lambda: (
        lambda x: stay())(1))()


def executed():
    exec("def g():\n\n\n  return (1,\n    stay())\ng()", {"stay": stay})


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper


@decorated
@decorated
def decorators():
    stay()


def through_c():
    def reducing(a, b):
        return re.sub("a", lambda match: stay() or "b", "a")

    def key(x):
        return list(map(lambda y: functools.reduce(reducing, [1, 2]), [1]))
    return sorted([1], key=key)


class Deleted:
    def __del__(self):
        stay()


def delete():
    thing = Deleted()
    del thing


class Constructed:
    def __init__(self):
        stay()


def constructor():
    return [Constructed(
    ) for _ in "a"]


def generators():
    def inner():
        yield 1
        stay()

    def outer():
        yield from inner()
    return sum(outer())


def coroutines():
    async def inner():
        stay()

    async def outer():
        await inner()
    outer().send(None)


def in_handler():
    try:
        raise KeyError
    except KeyError:
        with gate_of_another():
            stay()


class gate_of_another:
    def __enter__(self):
        return self

    def __exit__(self, *args):
        return False


marker = object()


def variables(first="text", *rest, named=5):
    cell = [1]
    unbound = None
    del unbound
    number = 12345678901234567890

    def inner():
        return cell, first
    inner.__name__
    tid = threading.get_native_id()
    for name, value in (("first", first), ("rest", rest), ("named", named), ("cell", cell),
                        ("number", number), ("inner", inner), ("unbound", None)):
        facts.append("local %d 0 %s %d" % (tid, name, id(value) if value is not None else 0))
    facts.append("value %d 0 %d" % (tid, id(marker)))
    return [marker, os.write(arrived[1], b"x"), gate.acquire()]


def closure():
    cell = ["of the caller"]

    def inner():
        tid = threading.get_native_id()
        facts.append("local %d 1 cell %d" % (tid, id(cell)))
        return stay()
    return inner()


class Awaitable:
    def __await__(self):
        yield 1


keep = []


def objects():
    """Generators and coroutines in all states."""
    def plain():
        yield 1
        yield 2

    def over(what):
        yield from what

    async def waits(what):
        await what

    def ends():
        yield

    async def numbers():
        yield 1
        await Awaitable()

    made, suspended, ended, beneath = plain(), plain(), ends(), plain()
    next(suspended), list(ended)
    above = over(beneath)
    next(above)
    iterator = iter([1, 2])
    above_list = over(iterator)
    next(above_list)
    inner = waits(Awaitable())
    outer = waits(inner)
    outer.send(None)
    fresh = waits(Awaitable())
    asynchronous = numbers()
    step = asynchronous.__anext__()
    try:
        step.send(None)
    except StopIteration:
        pass

    def fact(generator, awaited=None):
        for prefix in ("gi", "cr", "ag"):
            frame = getattr(generator, prefix + "_frame", None)
            if frame or hasattr(generator, prefix + "_code"):
                break
        if awaited is None:
            awaited = getattr(generator, {"gi": "gi_yieldfrom"}.get(prefix, prefix + "_await"), None)
        state = "ended" if frame is None else "made" if frame.f_lasti < 0 else "begun"
        keep.append((generator, awaited))
        facts.append("gen %d %s %d %d" % (id(generator), state, frame.f_lineno if frame else 0,
                                          id(awaited) if awaited is not None else 0))
    for generator in (made, suspended, ended, above, above_list, inner, outer, fresh, asynchronous):
        fact(generator)

    def running():
        keep.append(me)
        facts.append("gen %d begun %d 0" % (id(me), sys._getframe().f_lineno + 1))
        os.write(arrived[1], b"x"), gate.acquire()
        yield
    me = running()
    next(me)


CASES = [recursion, comprehension, lambdas, executed, decorators, through_c, delete, constructor,
         generators, coroutines, in_handler, variables, closure, objects]


class Thread(threading.Thread):
    def __init__(self, case):
        super().__init__(daemon=True)
        self.case = case

    def run(self):
        self.tid = threading.get_native_id()
        self.case()


def main():
    sys.setrecursionlimit(5000)
    threads = []
    for case in CASES:  # one after the other: they share a list of facts
        threads.append(Thread(case))
        threads[-1].start()
        os.read(arrived[0], 1)
    frames = sys._current_frames()
    lines = []
    for thread in threads:
        lines.append("thread %d" % thread.tid)
        frame = frames[thread.ident]
        while frame:
            code = frame.f_code
            lines.append("%d|%s|%s" % (frame.f_lineno, code.co_filename,
                                       getattr(code, "co_qualname", code.co_name)))
            frame = frame.f_back
    text = "\n".join(lines + facts + ["end", ""])
    sys.stdout.write(text)
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


main()
