"""
Waits for something that another thread of this process would have to do, and does not.

usage: waits.py CONTROL put|join|event|beside|condition|barrier|nested|sleep
"""
import concurrent.futures
import queue
import threading
import time

import hang

HOW = (hang.ARGUMENTS or ["put"])[0]


def consume(jobs, count):
    """Takes COUNT jobs and ends, as after an exception that nobody saw."""
    for _ in range(count):
        jobs.get()


def produce():
    jobs = queue.Queue(2)
    hang.thread("consumer", consume, jobs, 1).join(0.2)
    hang.on_release(lambda: hang.thread("consumer-2", consume, jobs, 1))
    hang.ready()
    for number in range(4):
        jobs.put(number)
    return jobs.qsize()


def finish_jobs():
    jobs = queue.Queue()
    jobs.put("job")
    hang.thread("consumer", consume, jobs, 1).join()
    hang.on_release(lambda: hang.thread("consumer-2", jobs.task_done))
    hang.ready()
    jobs.join()
    return jobs.unfinished_tasks


def wait_for_settings():
    loaded = threading.Event()

    def load():
        """Fails half-way; the event is never set."""
        hang.time.sleep(0.01)

    hang.thread("loader", load).join()
    hang.on_release(loaded.set)
    hang.ready()
    return loaded.wait()


def wait_beside_pool():
    """The same, while the workers of a pool have nothing to do."""
    with concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="render") as pool:
        list(pool.map(hang.time.sleep, [0.02] * 4))
        return wait_for_settings()


def wait_for_order():
    """The wake-up came before anybody waited, and nobody looks at the state."""
    arrived = threading.Condition()

    def arrive():
        with arrived:
            arrived.notify_all()

    hang.thread("arrival", arrive).join()
    hang.on_release(lambda: hang.thread("arrival-2", arrive))
    hang.ready()
    with arrived:
        return arrived.wait()


def meet():
    party = threading.Barrier(3)
    hang.thread("guest-1", party.wait)
    hang.on_release(lambda: hang.thread("guest-2", party.wait))
    hang.ready()
    return party.wait() in range(3)


def nested():
    """All workers wait for jobs that only they could do."""
    pool = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="render")
    begun = threading.Barrier(2)

    def render_part():
        return 1

    def render_page():
        begun.wait()
        return pool.submit(render_part).result()

    def more():
        """Room for two more workers."""
        pool._max_workers += 2
        hang.thread("room", pool.submit, render_part)

    hang.on_release(more)
    pages = [pool.submit(render_page) for _ in range(2)]
    hang.when(lambda: pool._work_queue.qsize() == 2)
    return sum(page.result() for page in pages)


def sleep():
    def wake():
        raise TimeoutError

    hang.on_release(wake)
    hang.ready()
    try:
        time.sleep(1000)
    except TimeoutError:
        return "woken"


WAYS = {"put": (produce, 2), "join": (finish_jobs, 0), "event": (wait_for_settings, True),
        "beside": (wait_beside_pool, True), "condition": (wait_for_order, True),
        "barrier": (meet, True), "nested": (nested, 2),
        "sleep": (sleep, "woken")}
function, expected = WAYS[HOW]
hang.finish(function(), expected)
