"""
Fields that CPython's headers do not show, for tests/test_pylayout.c: run with -c by each
interpreter that is found, it prints where each must hold what, "end", and waits.

A line: FIELD BASE VALUE BYTES.  BASE: the address of an object, or what the test knows itself.
"""
import _asyncio
import _thread
import asyncio
import gc
import sys
import threading
import warnings

warnings.simplefilter("ignore")
keep = []
VERSION = sys.version_info[:2]
print()  # a sign of life


def tell(field, base, value, size=8):
    keep.append((base, value))
    print(field, base if isinstance(base, str) else id(base), value if isinstance(value, int) else id(value), size)


async def wait(future):
    await future


async def generate():
    yield 1


def first(future):
    return future


def second(future):
    return future


def futures(loop):
    future = loop.create_future()
    future.add_done_callback(first)
    future.add_done_callback(second)
    tell("fu_loop", future, loop)
    tell("fu_callback0", future, first)
    tell("fu_callbacks", future, next(one for one in gc.get_referents(future) if type(one) is list))
    tell("fu_state", future, 0, 4)
    failed, done, cancelled = loop.create_future(), loop.create_future(), loop.create_future()
    error, result = ValueError(), object()
    failed.set_exception(error)
    done.set_result(result)
    cancelled.cancel()
    failed.exception()
    tell("fu_exception", failed, error)
    tell("fu_result", done, result)
    tell("fu_state", done, 2, 4)
    tell("fu_state", cancelled, 1, 4)
    tell("fi_future", future.__await__(), future)


async def tasks():
    loop = asyncio.get_running_loop()
    futures(loop)
    future = loop.create_future()
    task = asyncio.create_task(wait(future), name="a name")
    await asyncio.sleep(0)
    assert type(task) is _asyncio.Task
    tell("ta_fut_waiter", task, future)
    tell("ta_coro", task, task.get_coro())
    tell("ta_name", task, task.get_name())
    tell("fu_state", task, 0, 4)
    if VERSION >= (3, 14):
        tell("fu_awaited_by", future, task)
        tell("fu_awaited_by_is_set", future, 0, 1)
    generator = generate()
    tell("ag_gen", generator.asend(None), generator)
    tell("ag_gen", generator.athrow(ValueError), generator)
    coroutine = wait(future)
    tell("cw_coroutine", coroutine.__await__(), coroutine)


def locks():
    for held in (False, True):
        lock = _thread.allocate_lock()
        if held:
            lock.acquire()
        # The one of 3.13.0 is a pointer, the one of later ones is inside.
        inside = type(lock).__basicsize__ <= 16 + object.__basicsize__
        tell("lo_lock" if inside else "lo_locked", lock, int(held), 1)
    lock = _thread.RLock()
    for depth in (1, 2, 3):
        lock.acquire()
    tell("rl_owner", lock, _thread.get_ident())
    tell("rl_count", lock, depth - (VERSION >= (3, 14)))
    if VERSION >= (3, 14):
        tell("rl_lock", lock, 1, 1)


def threads():
    # Not a thread that uses the locks above, and one that stays.
    started, never = threading.Event(), threading.Event()

    def body():
        tell("ts_thread_id", "thread", _thread.get_ident())
        tell("ts_interp", "thread", 0)  # that of the test
        if VERSION >= (3, 11):
            tell("ts_native_thread_id", "thread", _thread.get_native_id())
        started.set()
        never.wait()

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    started.wait()
    handle = getattr(thread, "_handle", None) or getattr(thread, "_os_thread_handle", None)
    if handle:
        tell("th_ident", handle, thread.ident)
    tell("rt_main_thread", "runtime", threading.main_thread().ident)


loop = asyncio.new_event_loop()  # stays as it is: nothing is cancelled
loop.run_until_complete(tasks())
locks()
tell("is_modules", "interp", sys.modules)
tell("is_sysdict", "interp", sys.__dict__)
tell("md_dict", sys, sys.__dict__)
threads()
print("end 0 0 0", flush=True)
sys.stdin.read()
