"""
A target that means harm: once a recorder has its memory in this process, write
anything there, all the time.  What happens to this process does not matter.

usage: scribble.py CONTROL KIND
"""
import os
import random
import struct
import sys
import threading
import time

import ctl

PAGE, SLOT, CHUNK = 4096, 64, 16384
SLOTS = 4096
random.seed(4711)


def arena():
    """[start, end) of what was mapped here, or None."""
    with open("/proc/self/maps", "rb") as file:
        for line in file:
            if b"/memfd:vizattach" in line:
                return [int(part, 16) for part in line.split()[0].split(b"-")]
    return None


class Memory:
    """The arena, written like a file."""

    def __init__(self):
        self.fd = os.open("/proc/self/mem", os.O_RDWR)
        self.start, self.end = arena()
        # the queue of chunks that came back lies between slots and chunks
        chunks = (self.end - self.start) // CHUNK
        queue = 1
        while queue <= chunks:
            queue *= 2
        at = PAGE + SLOTS * SLOT + queue * 4
        self.chunks_at = (at + PAGE - 1) // PAGE * PAGE
        self.nchunks = (self.end - self.start - self.chunks_at) // CHUNK

    def put(self, offset, data):
        try:
            os.pwrite(self.fd, data, self.start + offset)
        except OSError:
            pass  # it is gone

    def slot(self, index, data):
        self.put(PAGE + index * SLOT, data)

    def chunk(self, index, offset, data):
        self.put(self.chunks_at + index * CHUNK + offset, data)


def number(plausible):
    """More often right than wrong: pure noise is refused at the first look."""
    return random.randrange(plausible) if random.random() < 0.75 else random.getrandbits(32)


def noise(memory):
    memory.put(random.randrange(memory.end - memory.start - 4096), os.urandom(random.choice((1, 8, 64, 4096))))


def control(memory):
    memory.put(random.randrange(64) * 4, struct.pack("<I", number(8)))
    memory.put(136, b"\x1b]0;pwned\x07\r\n" + os.urandom(100))  # error_text and what is before


def slots(memory):
    memory.put(40, struct.pack("<I", number(64)))  # nslots_used
    memory.slot(number(64) % SLOTS, struct.pack(
        "<IIIIQQQ", number(3), number(100000), number(memory.nchunks + 2), number(4), number(9), number(4),
        random.getrandbits(64)))


def links(memory):
    """Chunks in circles, heads that lie, sequence numbers that follow what was read."""
    index = random.randrange(min(64, memory.nchunks))
    memory.chunk(index, 0, struct.pack("<QIIQ", number(2041), number(66), number(64), number(8)))


def events(memory):
    """Words that say anything: deep stacks, snapshots of a billion frames, thousands of stacks."""
    words = [number(14) | number(1 << 20) % (1 << 20) << 4 | random.getrandbits(40) << 24 for _ in range(2040)]
    kind = random.randrange(4)
    if kind == 0:
        words = [1 | (index % 99 + 1) << 4 for index in range(2040)]
    elif kind == 1:
        words = [12 if index % 2 == 0 else random.getrandbits(64) for index in range(2040)]
    for index in range(min(16, memory.nchunks)):
        memory.chunk(index, 64, struct.pack("<2040Q", *words))
        memory.chunk(index, 0, struct.pack("<Q", 2040))


def dictionary(memory):
    """Definitions of any size; the first chunk is the dictionary's most of the time."""
    text = b"\x1b[31m\xff" * 400
    record = struct.pack("<IHBBIHH", number(1 << 20), number(400) & 0xffff, number(4) & 255, 0, number(3),
                         number(3000) & 0xffff, number(3000) & 0xffff)
    for index in range(min(4, memory.nchunks)):
        memory.chunk(index, 64 + 8 * number(1000) % 12000, record + text)


def everything(memory):
    random.choice((noise, control, slots, links, events, dictionary))(memory)


WRITERS = {"noise": noise, "control": control, "slots": slots, "links": links, "events": events,
           "dictionary": dictionary, "everything": everything}


def work():
    """Calls for the recorder to hear of."""
    return sum(len(str(number)) for number in range(50))


def scribble(kind):
    while not ctl.quitting():
        if arena():
            # what "everything" writes may prevent the recording, the others spoil it
            time.sleep(0 if kind == "everything" else 0.15)
            memory = Memory()
            while not ctl.quitting():
                for _ in range(50):
                    WRITERS[kind](memory)
                work()
        work()
        time.sleep(0.001)


def unmap():
    """Take the memory away under everybody's feet."""
    import ctypes
    libc = ctypes.CDLL(None)
    while not ctl.quitting():
        work()
        where = arena()
        if where:
            time.sleep(0.3)
            libc.munmap(ctypes.c_void_p(where[0]), ctypes.c_size_t(where[1] - where[0]))
            work()
            return


def steal():
    """Cut, replace or close the file of the arena in the moment that it is open."""
    null = os.open("/dev/null", os.O_RDWR)
    how = 0
    while not ctl.quitting():
        for fd in range(3, 24):
            try:
                if "memfd:vizattach" not in os.readlink("/proc/self/fd/%d" % fd):
                    continue
                how += 1
                if how % 3 == 0:
                    os.ftruncate(fd, 4096)
                elif how % 3 == 1:
                    os.dup2(null, fd)
                else:
                    os.close(fd)
            except OSError:
                pass
        work()


def template(number):
    return number


def functions(count=1100000):
    """More functions than there are numbers for; some with names of a megabyte."""
    make, code, alive = type(template), template.__code__, []
    for index in range(count):
        name = "f%d_%s" % (index, "x" * 60 if index % 100000 else "\x1b[2J\n" * 100000)
        alive.append(code.replace(co_name=name, co_filename="/" + name[:30]))
        make(alive[-1], {})(index)
        if ctl.quitting():
            break
    ctl.done()


def names():
    """Threads and a process that call themselves things."""
    def run():
        try:
            with open("/proc/thread-self/comm", "wb") as file:
                file.write(b"\x1b[2J\xff\r\x9b1m")
        except OSError:
            pass
        while not ctl.quitting():
            work()
            time.sleep(0.001)
    for name in ("\x1b]0;pwned\x07", "\udcff\ud800", "a\nb\r\x00c", "x" * 100000, "../../../tmp/x"):
        thread = threading.Thread(target=run, daemon=True)
        thread.name = name
        thread.start()
    while not ctl.quitting():
        work()
        time.sleep(0.001)


def down(depth):
    return down(depth - 1) if depth else work()


def deep():
    sys.setrecursionlimit(200000)
    threading.stack_size(512 << 20)

    def run():
        while not ctl.quitting():
            down(100000)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


OTHERS = {"unmap": unmap, "steal": steal, "functions": functions, "names": names, "deep": deep}


def main(kind):
    if kind == "names":
        with open("/proc/self/comm", "wb") as file:
            file.write(b"../\x1b[1m\xff\nx\x9b")
    ctl.ready()
    if kind in WRITERS:
        scribble(kind)
    else:
        OTHERS[kind]()
    while not ctl.quitting():
        work()
        time.sleep(0.001)
    os._exit(0)


main(sys.argv[2])
