"""The table of awkward moments: the target, how often it is attached to, what must come of it."""
import collections

Moment = collections.namedtuple(
    "Moment",
    "name target args minors drive times options status words threads fds expect module root",
    defaults=((), (8, 11, 13), "repeat", 2, (), (0,), (), True, True, (), None, False))
# minors    3.x on which it runs
# drive     how it goes, see moment.py
# status    what vizattach may end with
# words     all in its messages, at least once
# threads   compare the set of threads: the target has the same ones all the time
# fds       compare open files: the target opens none by itself
# expect    function names that the traces must hold
# module    that the interpreter must be able to import
# root      needs root

PAIR = (11, 13)
MONITORING = (12, 13)
PROFILE = (8, 9, 10, 11)
EVERY = tuple(range(8, 14))

MOMENTS = [
    Moment("fork-loop", "storms", ("fork",), (8, 11, 13), "forks", expect=("storm_work", "fork")),
    Moment("fork-no-warning", "storms", ("fork", "strict"), MONITORING, "forks"),
    Moment("fork-exec-loop", "storms", ("fork_exec",), PAIR, fds=False),
    Moment("spawn-loop", "storms", ("spawn",), (8, 11, 13), fds=False),
    Moment("exec-itself", "corners", ("execs", "0.3"), PAIR, "hunted", 5, status=(0, 3, 5, 7, 8)),
    Moment("exit", "corners", ("short", "0.05"), PAIR, "dying", 5, status=(0, 3, 5, 7, 8)),
    Moment("finalizing", "corners", ("finalizing",), (8, 11, 12, 13), "refused", 1, status=(7,),
           words=("shutting down",)),
    Moment("imports", "storms", ("reload",), PAIR, expect=("reload",)),
    Moment("dlopen", "storms", ("dlopen",), (8, 11, 13), "libraries"),
    Moment("gc-storm", "storms", ("collect",), (8, 11, 12, 13), expect=("__del__",)),
    Moment("stopped-while-recorded", "corners", ("many", "2"), PAIR, "stopped"),
    Moment("500-threads", "corners", ("many", "500"), PAIR, expect=("corner_leaf",)),
    Moment("thread-storm", "storms", ("thread_churn",), (8, 11, 13), threads=False),
    Moment("signal-storm", "storms", ("signals",), (8, 11, 13), expect=("on_signal", "storm_leaf")),
    Moment("c-signal-storm", "storms", ("c_signals",), PAIR),
    Moment("sigchld-ignored", "storms", ("ignored_children",), PAIR),
    Moment("all-signals-blocked", "corners", ("masked",), PAIR),
    Moment("changes-euid", "corners", ("euid",), (8, 11, 13), root=True),
    Moment("dropped-root", "corners", ("dropped",), PAIR, root=True),
    Moment("memory-cgroup", "corners", ("many", "2"), PAIR, "memory_cgroup",
           options=("--ring-size", "16MiB"), root=True),
    Moment("gil-held-sleep", "corners", ("holds", "sleep", "1.6"), (8, 12), "gil_waits", 1),
    Moment("gil-held-power", "corners", ("holds", "power", "1.6"), (13,), "gil_waits", 1),
    Moment("gil-held-regex", "corners", ("holds", "regex", "1.6"), (11,), "gil_waits", 1),
    Moment("gil-never", "corners", ("holds", "sleep", "2"), PAIR, "gil_gives_up", 1),
    Moment("small-stacks", "corners", ("small_stacks", "32768"), (8, 9, 10, 11, 12, 13)),
    Moment("sigaltstack", "corners", ("alternate_stack",), (13,), times=1,
           options=("--attach-timeout", "20s")),
    Moment("settrace", "beside", ("coverage",), EVERY, expect=("beside_leaf",)),
    Moment("cprofile-beside", "beside", ("profile",), EVERY, status=(0, 6)),
    Moment("monitoring-beside", "beside", ("monitoring",), MONITORING, expect=("beside_leaf",)),
    Moment("one-tool-id-left", "beside", ("one_id_left",), MONITORING),
    Moment("subinterpreters", "beside", ("sub_interpreters", "shared"), EVERY,
           expect=("sub_leaf", "beside_leaf")),
    Moment("subinterpreters-own-gil", "beside", ("sub_interpreters", "own"), MONITORING,
           expect=("beside_leaf",)),
    Moment("audit-veto", "beside", ("veto", "sys.setprofile,sys.monitoring"), (9, 11, 12, 13),
           "refused", 2, status=(4,), words=("audit hook",)),
    Moment("audit-hook-looks", "beside", ("logs",), (8, 11, 12, 13)),
    Moment("looks-at-threads", "beside", ("look_at_threads",), EVERY),
    Moment("looks-at-objects", "beside", ("objects",), EVERY),
    Moment("profiles-itself", "beside", ("profilers",), EVERY, status=(0, 6), threads=False),
    Moment("own-profile-tests", "beside", ("own_tests",), PROFILE, status=(0, 6),
           module="test.test_sys_setprofile"),
    Moment("asyncio", "corners", ("aio",), PAIR, expect=("aio_part",)),
    Moment("recursion-limit", "corners", ("recursion",), (8, 10, 11, 12, 13), expect=("deep",)),
    Moment("no-address-space", "corners", ("no_memory", "3000000"), PAIR, "refused", status=(7,),
           words=("RLIMIT_AS",)),
    Moment("no-agent-memory", "corners", ("no_memory", "6000000"), PAIR, "refused", 1,
           ("--override-limits",), status=(1,), words=("memory",)),
    Moment("no-files", "corners", ("no_files",), PAIR, "refused", 1, status=(7,),
           words=("Too many open files", "RLIMIT_NOFILE")),
    Moment("no-threads", "corners", ("no_threads",), PAIR, "refused", 1, ("--override-limits",),
           status=(7,), words=("refused a thread",), root=True),
    Moment("greenlet", "greens", ("greenlet",), (11,), module="greenlet"),
    Moment("gevent", "greens", ("gevent",), (11,), module="gevent"),
]
