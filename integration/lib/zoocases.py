"""
The table of hangs: which program, how it is brought about, and what a right answer is.

A right answer names one of KINDS and has each of WORDS in its sentence (a tuple: one of them;
{name}: a fact that the program told) and none of FORBID.  "unknown" is never wrong.
"""
import collections

Case = collections.namedtuple(
    "Case",
    "name program args kinds words motion release stage module root debian forbid",
    defaults=((), "still", "signal", "plain", None, False, False, ()))
# motion   still: no thread of it runs; busy: it runs all the time; polls: now and then (so do
#          threads that wait for the GIL)
# release  how it is let go: signal (SIGUSR1), quit (by the control block), feed (a byte), close
#          (its input ends); "" if there is no way: it is ended
# stage    a function of lib/zoo.py: what is around it
# module   that the interpreter must be able to import
# debian   only the system's interpreter

# Of a loop in Python this would not be true, whatever of CPython's own it is in when looked at.
NATIVE_CODE = ("native code",)


def abba(name, kind, count, kinds, release="signal"):
    held = ("orders_lock held by billing", "stock_lock held by shipping", "ledger_lock held by refunds")
    return Case(name, "abba", (kind, str(count)), kinds, held[:count] if kinds == ("deadlock",) else (),
                release=release)


DEADLOCKS = [
    abba("abba-with", "with", 2, ("deadlock",)),
    # nothing tells who holds a Lock that was taken by hand: its waiters are all that is sure
    abba("abba-acquire", "acquire", 2, ("deadlock", "lock")),
    abba("abba-rlock", "rlock", 2, ("deadlock",), release=""),
    abba("abc-with", "with", 3, ("deadlock",)),
    abba("abc-rlock", "rlock", 3, ("deadlock",), release=""),
    Case("self-lock", "self_lock", ("with",), ("deadlock",), ("cache_lock",)),
    Case("self-lock-acquire", "self_lock", ("acquire",), ("deadlock", "lock"), ()),
    Case("import-cycle", "imports", (), ("deadlock",), ("inventory", "loader")),
    Case("logging-lock", "logs", (), ("deadlock",), ("cache_lock held by evictor", "held by reporter")),
    Case("aio-ring", "aio", ("ring",), ("deadlock",), ("prices", "orders", "mails"), release=""),
    Case("aio-abba", "aio", ("abba",), ("deadlock",), ("transfer-1", "transfer-2"), release=""),
    # a future does not know who will fill it: that workers wait for each other is read from their stacks
    Case("nested-pool", "waits", ("nested",), ("deadlock", "lock"), ()),
]

NATIVE = [
    Case("gil-sleep", "gil", ("sleep",), ("gil-held",), ("stall_sleep", "libstall"), "polls"),
    Case("gil-loop", "gil", ("loop",), ("gil-held",), ("stall_loop", "libstall"), "busy", "quit"),
    Case("gil-read", "gil", ("read",), ("gil-held",), ("stall_read", "libstall"), "polls", "feed"),
    Case("regex", "busy", ("regex",), ("gil-held", "busy"),
         (("sre", "match_header", "re.match"),), "busy", ""),
    Case("json-huge", "busy", ("json",), ("gil-held", "busy"),
         (("json", "encode", "dumps", "export_json"),), "busy", "quit"),
    Case("pickle-huge", "busy", ("pickle",), ("gil-held", "busy"),
         (("pickle", "dumps", "export_pickle"),), "busy", "quit"),
]

PEERS = [
    Case("recv", "peer", ("recv",), ("peer",), ("{peer}",)),
    Case("recv-native", "peer", ("native",), ("peer",), ("{peer}",), release="feed"),
    Case("recv-unix", "peer", ("unix",), ("peer",), ("upstream.sock",)),
    Case("connect", "peer", ("connect",), ("peer",), ("{peer}", "connect")),
    Case("http", "peer", ("http",), ("peer",), ("{peer}",)),
    Case("tls", "peer", ("tls",), ("peer",), ("{peer}",)),
    Case("dns-query", "name_server", ("query",), ("peer",), ("{peer}", ("DNS", "name server")), root=True),
    Case("dns-resolver", "name_server", ("resolver",), ("peer",), ("{peer}", ("DNS", "name server")), "polls", "",
         "private_resolver", root=True),
    Case("pipe-full", "pipe_ends", ("full",), ("peer", "child"), ("pipe",)),
    Case("pipe-silent", "pipe_ends", ("silent",), ("peer", "child"), ("pipe",)),
    Case("pipe-own", "pipe_ends", ("own",), ("peer", "deadlock"), ("pipe",)),
    Case("one-request", "one_request", (), ("peer",), ("{peer}",), "polls", stage="aged"),
    Case("gunicorn", "stuck_app", (), ("peer",), ("{peer}",), stage="gunicorn", debian=True),
]

ORPHANS = [
    Case("orphan-lock", "orphan", ("lock",), ("orphaned-lock",), ("registry_lock",)),
    Case("orphan-rlock", "orphan", ("rlock",), ("orphaned-lock",), ("registry_lock",), release=""),
    Case("orphan-queue", "orphan", ("queue",), ("orphaned-lock",), (("mutex", "not_full", "orphan.py"),)),
    # that its holder is dead cannot be told from outside: a semaphore knows no owner
    Case("mp-lock-dead", "files", ("mplock",), ("orphaned-lock", "lock"), ()),
]

LOOPS = [
    Case("aio-sleep", "aio", ("sleep",), ("loop-blocked",), ("handle_sleep",)),
    Case("aio-cpu", "aio", ("cpu",), ("loop-blocked",), ("handle_cpu",), "busy", "quit", forbid=NATIVE_CODE),
    Case("aio-recv", "aio", ("recv",), ("loop-blocked", "peer"), ("handle_recv", "{peer}")),
    Case("gevent-sleep", "greens", ("sleep",), ("loop-blocked",), ("handle_order",), module="gevent"),
    Case("gevent-cpu", "greens", ("cpu",), ("loop-blocked", "busy"), ("handle_order",), "busy", "quit",
         module="gevent", forbid=NATIVE_CODE),
]

# "lock": what it waits for and that nobody is seen to be about to give it.  None of these is idle.
WAITS = [
    Case("queue-put", "waits", ("put",), ("lock",), (("put", "produce", "not_full"),)),
    Case("queue-join", "waits", ("join",), ("lock",), (("join", "finish_jobs", "all_tasks_done"),)),
    Case("event", "waits", ("event",), ("lock",), (("wait", "loaded"),)),
    # from outside it is the same as a server whose main thread waits to be told to end
    Case("event-beside-pool", "waits", ("beside",), ("lock", "idle"), (("wait_for_settings", "Event"),)),
    Case("condition", "waits", ("condition",), ("lock",), (("wait", "arrived"),)),
    Case("barrier", "waits", ("barrier",), ("lock",), (("Barrier", "wait", "meet"),)),
    Case("flock", "files", ("flock",), ("lock", "peer"), ("spool.lock",)),
    Case("sqlite", "files", ("sqlite",), ("lock",), (("orders.db", "sqlite"),), "polls", "feed"),
    # what matters is what the holder of the lock does
    Case("lock-behind-peer", "chains", ("peer",), ("peer", "lock"), ("refresher", "{peer}")),
    Case("lock-behind-sleep", "chains", ("sleep",), ("lock",), ("refresher", "rates_lock"), release=""),
    Case("lock-behind-busy", "chains", ("busy",), ("lock", "busy"), ("refresher",), "busy", "quit"),
    Case("pool-killed", "pools", ("killed",), ("lock", "child"), (("get", "wait"),)),
    Case("pool-stopped", "pools", ("stopped",), ("lock", "child"), (("result", "wait", "{child}"),)),
    # a loop that waits for events with a task that waits for a future: both are the truth
    Case("aio-future", "aio", ("future",), ("lock", "idle"), ()),
]

CHILDREN = [
    Case("child-wait", "children", ("wait",), ("child",), ("{child}",)),
    Case("child-waitpid", "children", ("waitpid",), ("child",), ("{child}",)),
    Case("communicate", "children", ("communicate",), ("child", "peer"), (("{child}", "pipe"),)),
    Case("vfork", "children", ("vfork",), ("child",), ("vfork",), release="feed"),
]

MACHINE = [
    Case("busy-loop", "busy", ("loop",), ("busy",), ("settle_accounts",), "busy", "quit", forbid=NATIVE_CODE),
    Case("busy-threads", "busy", ("threads",), ("busy", "lock"), ("settle_accounts",), "busy", "quit",
         forbid=NATIVE_CODE),
    Case("gc-storm", "busy", ("collect",), ("collecting",), ("collect",), "busy", "quit"),
    Case("sigstop", "healthy", ("queue",), ("stopped",), ("stopped",), stage="stopped"),
    Case("frozen-v1", "healthy", ("queue",), ("stopped",), (("frozen", "freezer"),), stage="frozen_v1",
         root=True),
    Case("frozen-v2", "healthy", ("queue",), ("stopped",), (("frozen", "freezer"),), stage="frozen_v2",
         root=True),
    Case("throttled", "busy", ("loop",), ("throttled",), ("cgroup",), "polls", "quit", stage="throttled",
         root=True),
    Case("fuse", "files", ("fuse",), ("disk",), (("rates.csv", "fuse"),), release="", stage="private_mounts",
         root=True),
    Case("swapped", "healthy", ("queue",), ("swapped",), (), stage="swapped", root=True),
]

HEALTHY = [
    Case("idle-threaded", "healthy", ("threaded",), ("idle",), (), "polls"),
    Case("idle-keepalive", "healthy", ("threaded",), ("idle",), (), "polls", stage="kept_alive"),
    Case("idle-cron", "healthy", ("cron",), ("idle",), (), "polls", "quit"),
    Case("idle-asyncio", "healthy", ("asyncio",), ("idle",), ()),
    Case("idle-pool", "healthy", ("pool",), ("idle",), ()),
    Case("idle-queue", "healthy", ("queue",), ("idle",), ()),
    Case("stdin", "healthy", ("stdin",), ("idle", "peer"), (), release="close", stage="piped"),
    Case("progress", "healthy", ("progress",), ("idle", "busy"), (), "busy", "quit"),
    Case("sleep", "waits", ("sleep",), ("idle",), ("sleep",)),
]

CASES = (DEADLOCKS + NATIVE + PEERS + ORPHANS + LOOPS + WAITS + CHILDREN + MACHINE + HEALTHY)
