"""The table of scenarios: what runs in the target, how it is recorded, what must be true."""
import collections

from . import board

Case = collections.namedtuple(
    "Case",
    "name target args drive expect forbid options duration status strict threads module",
    defaults=((), "window", (), (), (), "600ms", 0, False, True, None))
# drive     how the recording goes, see drive.py
# expect    function names that the trace must hold; forbid: that it must not hold
# status    exit status of vizattach
# strict    compare private memory too: the target maps none by itself
# threads   compare the set of threads: the target has the same ones all the time
# module    that the interpreter must be able to import

IDLE = [Case("idle-" + how, "idle", (how,), expect=("idle_" + name,), strict=True)
        for how, name in (("sleep", "sleep"), ("select", "select"), ("poll", "poll"),
                          ("epoll", "epoll"), ("lock", "lock"), ("recv", "recv"),
                          ("forever", "sleep"))]

CASES = [
    Case("busy", "busy", expect=("busy_outer", "busy_inner")),
    *IDLE,
    Case("100-threads", "threads", ("crowd",), expect=("crowd_work", "crowd_step", "crowd")),
    Case("thread-churn", "threads", ("churn",), threads=False,
         expect=("churn_threading", "churn_thread", "churn_c", "one_round")),
    Case("generators", "calls", ("generators",),
         expect=("gen_leaf", "gen_chain", "gen_accumulate", "generators")),
    Case("coroutines", "calls", ("coroutines",), expect=("co_leaf", "co_middle", "co_iterate")),
    Case("exceptions", "calls", ("exceptions",), expect=("exc_raise", "exc_middle", "exc_top")),
    Case("c-calls", "calls", ("cfunctions",), expect=("cf_user", "cf_key", "sqrt", "sorted")),
    Case("no-c-calls", "calls", ("cfunctions",), options=("--no-c-calls",),
         expect=("cf_user", "cf_key"), forbid=("sqrt", "sorted", "upper")),
    Case("recursion-5000", "calls", ("recursion",), expect=("deep_down", "recursion")),
    Case("attach-3000-deep", "calls", ("deepstack",),
         expect=("stack_tick", "stack_down", "stack_bottom")),
    Case("exec-made", "calls", ("made",),
         expect=["made_%d" % n for n in range(50)] + ["made_inner_%d" % n for n in range(50)]),
    Case("mixed", "mixed", duration="1s", expect=("mix_digest", "mix_float", "wait_epoll", "echo")),
    Case("coverage-beside", "plain", ("settrace",), expect=("plain_step",)),
    Case("fork", "life", ("fork",), drive="workload", expect=("life_step", "fork_once"),
         forbid=("only_in_child", "child_work")),
    Case("exec", "life", ("exec",), drive="replaced", expect=("life_step", "work"), status=8),
    Case("exit", "life", ("exit",), drive="ends", expect=("life_step", "work"), status=8),
    Case("kill-target", "busy", drive="killed", expect=("busy_inner",), status=8),
    Case("sigint", "busy", drive="interrupted", args=(), options=("SIGINT",), expect=("busy_inner",)),
    Case("sigterm", "mixed", drive="interrupted", options=("SIGTERM",), expect=("mix_float",)),
    Case("kill-tool", "mixed", drive="tool_killed", expect=("mix_digest",), threads=True),
    Case("kill-tool-idle", "idle", ("sleep",), drive="tool_killed", expect=("idle_sleep",), strict=True),
    Case("asyncio-server", "aserver", drive="loaded", duration="1s",
         expect=("aio_compute", "aio_answer", "aio_client")),
    Case("greenlet", "greens", ("greenlet",), module="greenlet", expect=("green_pong", "green_leaf")),
    Case("gevent", "greens", ("gevent",), module="gevent",
         expect=("green_task", "green_nested", "green_leaf")),
]


def find(name):
    return next(case for case in CASES if case.name == name)


def check_possible(python, case):
    """Skip where this interpreter cannot run this case."""
    if case.module and case.module not in python.modules:
        raise board.Skip("no " + case.module)
