"""
Six programs of the kinds that tracers are slow on, each a function that takes
some tens of milliseconds and returns a value that must always be the same.
"""
import ast
import os


def fib(number=21):
    return number if number < 2 else fib(number - 1) + fib(number - 2)


class Packet(object):
    def __init__(self, kind, value):
        self.kind, self.value, self.following = kind, value, None

    def append_to(self, queue):
        if queue is None:
            return self
        last = queue
        while last.following is not None:
            last = last.following
        last.following = self
        return queue


class Task(object):
    """One task of a small operating system, in the manner of the Richards benchmark."""

    def __init__(self, scheduler, priority):
        self.scheduler, self.priority, self.queue, self.work = scheduler, priority, None, 0

    def is_ready(self):
        return self.queue is not None

    def take(self):
        packet = self.queue
        self.queue, packet.following = packet.following, None
        return packet

    def put(self, packet):
        self.queue = packet.append_to(self.queue)

    def run(self):
        packet = self.take()
        self.work += self.handle(packet)
        self.scheduler.send(packet, self)

    def handle(self, packet):
        raise NotImplementedError


class Worker(Task):
    def handle(self, packet):
        packet.value = (packet.value * 31 + 7) % 1000
        return packet.value % 3


class Device(Task):
    def handle(self, packet):
        packet.kind = self.swap(packet.kind)
        return 1

    def swap(self, kind):
        return 1 - kind


class Scheduler(object):
    def __init__(self):
        self.tasks = [Worker(self, 3), Device(self, 2), Worker(self, 1), Device(self, 0)]
        self.sent = 0

    def send(self, packet, sender):
        self.sent += 1
        self.route(packet, sender).put(packet)

    def route(self, packet, sender):
        step = 1 + packet.kind
        return self.tasks[(self.tasks.index(sender) + step) % len(self.tasks)]

    def pick(self):
        for task in self.tasks:
            if task.is_ready():
                return task
        return None


def richards():
    scheduler = Scheduler()
    for number in range(12):
        scheduler.tasks[number % 4].put(Packet(number % 2, number))
    for _ in range(2500):
        scheduler.pick().run()
    return scheduler.sent, sum(task.work for task in scheduler.tasks)


class Variable(object):
    def __init__(self, name, value):
        self.name, self.value, self.stay, self.constraints = name, value, True, []

    def add(self, constraint):
        self.constraints.append(constraint)


class Constraint(object):
    """One-way constraints in a chain, in the manner of the DeltaBlue benchmark."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        source.add(self)

    def is_satisfied(self):
        return self.target.value == self.wanted()

    def wanted(self):
        raise NotImplementedError

    def execute(self):
        if not self.is_satisfied():
            self.target.value = self.wanted()
            return True
        return False


class Equal(Constraint):
    def wanted(self):
        return self.source.value


class Scale(Constraint):
    def wanted(self):
        return self.source.value * 3 % 997 + 1


class Planner(object):
    def __init__(self):
        self.executed = 0

    def propagate(self, variable):
        waiting = [variable]
        while waiting:
            for constraint in waiting.pop().constraints:
                if self.apply(constraint):
                    waiting.append(constraint.target)

    def apply(self, constraint):
        self.executed += 1
        return constraint.execute()


def deltablue():
    chain = [Variable("v%d" % number, 0) for number in range(60)]
    for number, (one, following) in enumerate(zip(chain, chain[1:])):
        (Equal if number % 2 else Scale)(one, following)
    planner = Planner()
    for value in range(50):
        chain[0].value = value
        planner.propagate(chain[0])
    return planner.executed, chain[-1].value


def numbers(count):
    for number in range(count):
        yield number


def doubled(source):
    for number in source:
        yield number * 2


def filtered(source):
    for number in source:
        if number % 3:
            yield number


def generators():
    return sum(filtered(doubled(filtered(doubled(numbers(9000))))))


def ccalls():
    total, items = 0, []
    append = items.append
    for number in range(12000):
        append(number)
        total += len(items) + abs(-number) + ord("x")
    return total


_SOURCES = []


def parse():
    if not _SOURCES:
        folder = os.path.dirname(ast.__file__)
        for name in ("bisect.py", "heapq.py", "sched.py", "textwrap.py"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                _SOURCES.append((name, file.read()))
    count = 0
    for name, text in _SOURCES:
        tree = ast.parse(text, name)
        count += sum(1 for _ in ast.walk(tree))
        compile(tree, name, "exec")
    return count


ALL = {"fib": fib, "richards": richards, "deltablue": deltablue, "generators": generators,
       "ccalls": ccalls, "parse": parse}
