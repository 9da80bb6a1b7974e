"""
Nothing hangs here.

usage: healthy.py CONTROL threaded|asyncio|pool|stdin|queue|cron|progress
"""
import asyncio
import concurrent.futures
import queue
import socketserver
import sys
import threading

import hang

HOW = (hang.ARGUMENTS or ["threaded"])[0]


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)


def serve_threads():
    """A server that nobody asks; perhaps a client keeps its connection alive."""
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        hang.on_release(lambda: hang.thread("shutdown", server.shutdown))
        hang.fact("port", server.server_address[1])
        hang.ready()
        server.serve_forever()
    return "done"


async def echo(reader, writer):
    while True:
        line = await reader.readline()
        if not line:
            break
        writer.write(line)
    writer.close()


async def serve():
    stop = asyncio.get_event_loop().create_future()
    loop = asyncio.get_event_loop()
    hang.on_release(lambda: loop.call_soon_threadsafe(stop.set_result, None))
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    hang.ready()
    await stop
    server.close()


def serve_asyncio():
    asyncio.run(serve())
    return "done"


def idle_pool():
    """A pool without work; the main thread waits to be told to stop."""
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(4, thread_name_prefix="render") as pool:
        results = list(pool.map(lambda number: hang.time.sleep(0.02) or number, range(8)))
        hang.on_release(stop.set)
        hang.ready()
        stop.wait()
    return "done" if results == list(range(8)) else results


def read_commands():
    """The driver has the other end of the pipe that is its input."""
    hang.on_release(lambda: None)
    hang.ready()
    for _ in sys.stdin:
        pass
    return "done"


def work_off():
    """A worker of a queue that is empty."""
    jobs, results = queue.Queue(), []

    def worker():
        while True:
            job = jobs.get()
            if job is None:
                return
            results.append(job)

    workers = [hang.thread(f"worker-{number}", worker) for number in range(2)]
    for number in range(10):
        jobs.put(number)
    while len(results) < 10:
        hang.time.sleep(0.001)
    hang.on_release(lambda: [jobs.put(None) for _ in workers])
    hang.ready()
    for one in workers:
        one.join()
    return "done"


def render(number):
    return sum(part * part for part in range(number % 300))


def look_now_and_then():
    """Sleeps, and works for a moment."""
    hang.ready()
    while not hang.ctl.quitting():
        hang.ctl.expect(render(10) == 285, "render")
        hang.ctl.tick()
        hang.time.sleep(0.2)
    return "done"


def make_progress():
    """Busy, and gets on: other work all the time."""
    hang.ready()
    number = 0
    while not hang.ctl.quitting():
        number += 1
        names = sorted(str(render(number + part)) for part in range(20))
        hang.ctl.expect(len(names) == 20, "names")
        hang.ctl.tick()
        hang.time.sleep(0.001)
    return "done"


hang.finish({"threaded": serve_threads, "asyncio": serve_asyncio, "pool": idle_pool,
             "stdin": read_commands, "queue": work_off, "cron": look_now_and_then,
             "progress": make_progress}[HOW](), "done")
