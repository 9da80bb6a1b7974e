"""
asyncio: a loop that is blocked, tasks that wait for each other.

usage: aio.py CONTROL sleep|cpu|recv|ring|abba|future|gather
"""
import asyncio
import socket
import time

import hang

HOW = (hang.ARGUMENTS or ["sleep"])[0]
beats = []


class Stop(Exception):
    pass


def stop():
    raise Stop


async def heartbeat():
    while True:
        beats.append(1)
        await asyncio.sleep(0.01)


async def handle_sleep():
    time.sleep(hang.SECONDS)


async def handle_cpu():
    total = 0
    command = hang.ctl.control.block
    while not command[0]:
        total += 1
        if total % 10000 == 0:
            hang.ctl.tick()


async def handle_recv():
    with socket.create_connection(("127.0.0.1", server.port)) as link:
        return link.recv(10)


async def blocked():
    """A healthy loop; then one handler that is not."""
    beating = asyncio.ensure_future(heartbeat())
    while len(beats) < 3:
        await asyncio.sleep(0.01)
    hang.ready()
    result = await asyncio.ensure_future(HANDLERS[HOW]())
    count = len(beats)
    await asyncio.sleep(0.05)
    beating.cancel()
    return result, len(beats) > count


HANDLERS = {"sleep": handle_sleep, "cpu": handle_cpu, "recv": handle_recv}


def named(coroutine, name):
    task = asyncio.ensure_future(coroutine)
    task.set_name(name)
    return task


async def wait_for_next(number, tasks):
    await asyncio.sleep(0)
    return await tasks[(number + 1) % len(tasks)]


async def ring():
    tasks = []
    for number, name in enumerate(("prices", "orders", "mails")):
        tasks.append(named(wait_for_next(number, tasks), name))
    asyncio.get_event_loop().call_later(0.02, hang.ready)
    await asyncio.wait(tasks)


async def hold_both(first, second, ready):
    async with first:
        ready.append(1)
        while len(ready) < 2:
            await asyncio.sleep(0)
        async with second:
            pass


async def abba():
    from_lock, to_lock, ready = asyncio.Lock(), asyncio.Lock(), []
    tasks = [named(hold_both(from_lock, to_lock, ready), "transfer-1"),
             named(hold_both(to_lock, from_lock, ready), "transfer-2")]
    asyncio.get_event_loop().call_later(0.02, hang.ready)
    await asyncio.wait(tasks)


async def wait_for_answer(future):
    return await future


async def future():
    answer = asyncio.get_event_loop().create_future()
    hang.on_release(lambda: asyncio.get_event_loop().call_soon_threadsafe(answer.set_result, "late"))
    asyncio.get_event_loop().call_later(0.02, hang.ready)
    return await named(wait_for_answer(answer), "client")


if HOW in HANDLERS:
    if HOW == "sleep":
        hang.on_release(stop)
    if HOW == "recv":
        server = hang.SilentServer()
        hang.on_release(lambda: server.speak(b"late"))
    try:
        hang.finish(asyncio.run(blocked()), (b"late" if HOW == "recv" else None, True))
    except Stop:
        hang.finish()
hang.finish(asyncio.run({"ring": ring, "abba": abba, "future": future}[HOW]()),
            "late" if HOW == "future" else None)
