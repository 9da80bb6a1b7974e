"""Every way to enter and leave a function, each with its result checked."""
import asyncio
import math
import sys
import time

import ctl


def gen_leaf(count):
    for number in range(count):
        yield number


def gen_chain(count):
    total = yield from gen_leaf(count)
    return total


def gen_accumulate():
    total = 0
    try:
        while True:
            total += yield total
    except ValueError:
        yield -total


def generators():
    ctl.expect(sum(gen_chain(20)) == 190, "chain")
    accumulate = gen_accumulate()
    next(accumulate)
    for number in range(10):
        accumulate.send(number)
    ctl.expect(accumulate.throw(ValueError()) == -45, "throw")
    accumulate.close()
    left = gen_chain(5)
    next(left)
    del left  # closed by its destructor


async def co_leaf(number):
    await asyncio.sleep(0)
    return number


async def co_middle(number):
    return await co_leaf(number) + await co_leaf(1)


async def co_iterate(count):
    for number in range(count):
        await asyncio.sleep(0)
        yield number


async def co_main():
    results = await asyncio.gather(*[co_middle(number) for number in range(10)])
    total = 0
    async for number in co_iterate(5):
        total += number
    return sum(results) + total


loop = asyncio.new_event_loop()  # one for all rounds: its files stay the same


def coroutines():
    ctl.expect(loop.run_until_complete(co_main()) == 65, "coroutines")


class Expected(Exception):
    pass


def exc_raise(depth):
    if depth == 0:
        raise Expected("bottom")
    exc_raise(depth - 1)


def exc_middle(seen):
    try:
        exc_raise(5)
    finally:
        seen.append("finally")


def exc_top():
    seen = []
    try:
        exc_middle(seen)
    except Expected as error:
        seen.append(str(error))
    return seen


def exceptions():
    ctl.expect(exc_top() == ["finally", "bottom"], "exceptions")


def cf_key(number):
    return -number


def cf_user():
    ordered = sorted(range(20), key=cf_key)
    try:
        math.sqrt(-1)
    except ValueError:
        pass
    return ordered[0], math.sqrt(len(ordered) + 5), "vz".upper()


def cfunctions():
    ctl.expect(cf_user() == (19, 5.0, "VZ"), "C functions")


def deep_down(depth):
    if depth == 0:
        return 0
    return 1 + deep_down(depth - 1)


def recursion():
    ctl.expect(deep_down(5000) == 5000, "recursion")


def stack_bottom():
    """Ticks at the bottom of a deep stack: it is there before the attach and after."""
    while not ctl.quitting():
        stack_tick()
    return 0


def stack_tick():
    time.sleep(0.01)
    ctl.tick()


def stack_down(depth):
    if depth == 0:
        return stack_bottom()
    return 1 + stack_down(depth - 1)


def made():
    """Functions that exec makes and that die at once: their addresses are used again."""
    for number in range(50):
        space = {}
        exec("def made_%d(): return made_inner_%d()\ndef made_inner_%d(): return %d"
             % ((number,) * 4), space)
        ctl.expect(space["made_%d" % number]() == number, "made function")


CASES = dict((function.__name__, function) for function in
             (generators, coroutines, exceptions, cfunctions, recursion, made))


def main():
    sys.setrecursionlimit(20000)
    if sys.argv[2] == "deepstack":
        ctl.ready()
        ctl.expect(stack_down(3000) == 3000, "deep stack")
    else:
        case = CASES[sys.argv[2]]
        case()
        ctl.ready()
        while not ctl.quitting():
            case()
            time.sleep(0.002)  # bounded load: what matters is variety
            ctl.tick()
    ctl.finish()


main()
