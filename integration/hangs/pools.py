"""
A pool of processes one of whose workers will not answer.

usage: pools.py CONTROL killed|stopped
killed   multiprocessing.Pool: the worker was killed; its job is lost and nobody is told
stopped  concurrent.futures: the worker was stopped
"""
import concurrent.futures
import multiprocessing
import os
import signal

import hang

HOW = (hang.ARGUMENTS or ["killed"])[0]


def convert(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    hang.time.sleep(0.3 if HOW == "stopped" else hang.SECONDS)
    return "converted"


def worker_in(path):
    """Its number, once the worker has begun."""
    text = ""
    while not text:
        hang.time.sleep(0.005)
        if os.path.exists(path):
            with open(path) as file:
                text = file.read()
    return int(text)


def killed(context, path):
    with context.Pool(1, initializer=hang.guard_by_clock) as pool:
        result = pool.apply_async(convert, (path,))
        os.kill(worker_in(path), signal.SIGKILL)
        hang.time.sleep(0.2)
        hang.on_release(lambda: result._set(0, (True, "late")))
        hang.ready()
        return result.get()


def stopped(context, path):
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context, initializer=hang.guard_by_clock) as pool:
        result = pool.submit(convert, path)
        worker = worker_in(path)
        os.kill(worker, signal.SIGSTOP)
        hang.fact("child", worker)
        hang.on_release(lambda: os.kill(worker, signal.SIGCONT))
        hang.ready()
        return result.result()


if __name__ == "__main__":
    function, expected = {"killed": (killed, "late"), "stopped": (stopped, "converted")}[HOW]
    hang.finish(function(multiprocessing.get_context("fork"), os.path.join(hang.FOLDER, "worker")),
                expected)
